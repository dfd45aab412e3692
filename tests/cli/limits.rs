//! Limits of the kernel: the longest arguments, thousands of processes, wide and deep trees, and
//! very few descriptors, processes or little memory. The sizes are smaller unless in full.

use nix::sys::resource::{Resource, getrlimit};

use crate::support::is_dynamic;
use crate::support::prelude::*;

/// The longest single argument (`MAX_ARG_STRLEN` less its NUL).
const LONGEST: usize = 128 * 1024 - 1;

/// The size for the normal run, or in full.
pub fn size(normal: usize, full: usize) -> usize {
    if in_full() { full } else { normal }
}

/// sigsend within a limit, as prlimit(1) spells it.
fn limited(limit: &str) -> Command {
    through(&format!("prlimit {limit}"))
}

/// Whether this many processes can be pinned here.
pub fn may_open(count: usize) -> bool {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    usize::try_from(hard).is_ok_and(|hard| hard > count + 20)
}

#[test]
fn a_hundred_thousand_targets_are_read_before_any_signal_is_sent() {
    let mut target = Recorder::new();
    let many = format!("{target} ").repeat(100_000);
    run!("-0 {many}").ok();
    for wrong in ["00", "-01", "4294967296", "-s"] {
        run!("-USR1 {many} {wrong}").fails(1, "sigsend: ");
    }
    run!("--alive {many}").ok();
    target.assert_untouched();
    // A pinned target gets one signal.
    run!("-USR1 --within 0s {many}").code(124);
    assert_eq!(target.signals(), [10]);
}

#[test]
fn the_longest_argument_is_refused_in_any_place() {
    let mut bystander = Recorder::new();
    let lines = "-USR1 LONG|-0 PID LONG|-s LONG PID|-q LONG PID|--within LONG PID\
        |--timeout 1s LONG PID|--expect LONG PID|--pidfile LONG|-l LONG";
    for byte in ["1", "a", "-", " ", ":", "\u{1}"] {
        let long = format!("'{}'", byte.repeat(LONGEST));
        for line in each(lines) {
            // As a target it may be a name, which no process has.
            let is_name = byte == "a" && line.starts_with("-0");
            let status = if is_name { 64 } else { 1 };
            let line = line.replace("LONG", &long).replace("PID", &bystander.arg());
            let done = run!("{line}");
            let is_refused = done.status == Some(status) && done.err.starts_with("sigsend: ");
            // Not the whole of what was typed.
            assert!(is_refused, "{byte:?} {line:.20}: {:.99}", done.err);
        }
    }
    bystander.assert_untouched();
}

#[test]
fn as_many_arguments_as_the_kernel_allows_are_accepted() {
    let mut target = Recorder::new();
    // The maximum is 6 MiB, including a pointer for each argument, for any stack size. Only a shell
    // with a larger stack can create such a line.
    let count = size(100_000, 500_000);
    for (filler, status) in [("-v", 0), ("-a", 0), ("--", 1)] {
        let many = format!("$(yes -- {filler} | head -n {count})");
        let shell = sh(&format!("ulimit -s unlimited; exec $0 -0 $1 {many} -- $1"));
        call!(shell, "{target}").code(status);
    }
    target.assert_untouched();
}

#[test]
fn a_large_group_is_ended_and_waited_for() {
    in_pid_namespace!();
    let count = size(1000, 5000);
    needs!(may_open(count), "a higher limit of open files");
    let mut bystander = Recorder::new();
    for args in ["-v -KILL --wait", "--grace 9s"] {
        let mut crowd = Family::with_role(&format!("children {count}"));
        assert_eq!(crowd.children().len(), count);
        run!("{args} -- -{crowd}").within(20).code(0);
        crowd.assert_all_ended();
    }
    bystander.assert_untouched();
}

#[test]
fn a_wide_and_a_deep_tree_are_killed_whole() {
    in_pid_namespace!();
    let (width, depth) = (size(1000, 5000), size(200, 500));
    needs!(may_open(width), "a higher limit of open files");
    let mut bystander = Recorder::new();
    for signal in ["-KILL", "-TERM"] {
        for (shape, size) in [("children", width), ("chain", depth)] {
            let mut family = Family::with_role(&format!("{shape} {size}"));
            let done = run!("-v --tree {signal} {family}").within(10).fine();
            assert_eq!(done.sent_to().len(), size + 1, "{shape}");
            family.assert_all_ended();
        }
    }
    bystander.assert_untouched();
}

#[test]
fn at_the_limit_of_processes_everything_works() {
    in_pid_namespace!();
    needs!(
        program("prlimit").is_some() && may_change_user(),
        "root and prlimit"
    );
    let user = Unprivileged::new();
    // No thread can be started, so everything is written at the end.
    for line in each("PID|-v --grace 9s PID|poor|--grace 9s PID|--tree -KILL PID|--alive PID") {
        let victim = victim().owned_by(NOBODY).named("poor").sleeping();
        let mut command = tool("prlimit --nproc=1:1");
        command.arg(user.path()).uid(NOBODY);
        let told = call!(command, "{}", line.replace("PID", &victim.arg())).told();
        let lines = if line.contains("-v ") { 3 } else { 0 };
        assert_eq!(told.lines().count(), lines, "{told}");
        match line {
            _ if line.contains("--alive") => victim.assert_alive(),
            _ => victim.assert_killed_by(if line.contains("-KILL") { 9 } else { 15 }),
        }
    }
}

#[test]
fn sixty_four_megabytes_are_enough() {
    in_pid_namespace!();
    needs!(program("prlimit").is_some(), "prlimit");
    let mut target = Recorder::new();
    let pid = format!("{target} ");
    let (many, dir) = (pid.repeat(100_000), tempdir());
    let full = dir.arg("full", pid.repeat((1 << 20) / pid.len()));
    for limit in ["--as=67108864", "--data=67108864"] {
        call!(limited(limit), "-0 {many}").ok();
        call!(limited(limit), "-USR1 --allow-stale --pidfile {full}").ok();
        assert_eq!(target.signals(), [10]);
        let mut crowd = Family::with_role("children 900");
        call!(limited(limit), "--json --tree -KILL {crowd}").fine();
        crowd.assert_all_ended();
    }
    target.assert_untouched();
}

#[test]
fn a_list_too_large_for_memory_is_refused() {
    needs!(program("prlimit").is_some(), "prlimit");
    for megabytes in [7, 16, 40, 70] {
        let limited = "prlimit --as=67108864 $0 -0 --pidfile -";
        let shell = sh(&format!("yes 1 | head -c {megabytes}000000 | {limited}"));
        let refused = "sigsend: reading standard input: ";
        shell.run(&[]).begins(1, refused).complains(1);
    }
}

/// Shell redirections that close descriptors, in all combinations.
const CLOSED: &str = "|<&-|>&-|2>&-|<&- >&-|<&- 2>&-|>&- 2>&-|<&- >&- 2>&-";

#[test]
fn closed_standard_descriptors_change_only_the_output() {
    let (mut target, dir) = (Recorder::new(), tempdir());
    let file = dir.arg("pid", target.arg());
    let quiet = "-USR1 PID|-USR1 --allow-stale --pidfile FILE|--alive PID|-USR1 --tree PID";
    let telling = "-l|-L|-t|--help|-V|-d PID|-v -USR1 PID|--json -USR1 --within 0s PID";
    for closed in each(CLOSED) {
        let is_mute = closed.split(' ').any(|word| word == ">&-");
        let mut run = |line: &str| {
            let line = line.replace("PID", &target.arg()).replace("FILE", &file);
            let done = call!(redirected(closed), "{line}");
            let signals: &[i32] = if line.contains("-USR1") { &[10] } else { &[] };
            assert_eq!(target.signals(), signals, "{closed} {done:?}");
            done
        };
        for line in each(quiet) {
            run(line).ok();
        }
        for line in each(telling) {
            let done = run(line);
            let status = if line.contains("--json") { 124 } else { 0 };
            let done = done.code(if is_mute { 1 } else { status });
            assert_eq!(done.out.is_empty(), is_mute, "{closed} {done:?}");
            if is_mute && !closed.contains("2>&-") {
                contains!(done.err, "sigsend: write error: Bad file descriptor\n");
            }
        }
        for line in ["12,34", "-HUP"] {
            call!(redirected(closed), "{line}").code(1);
        }
    }
    // The file on standard input was not overwritten.
    let content = fs::read_to_string(file).expect("it is still there");
    assert_eq!(content, target.arg());
}

#[test]
fn closed_standard_descriptors_need_no_dev_null() {
    needs!(running_as_root(), "root");
    needs!(!is_dynamic(), "a static program for an empty root");
    let (root, mut target) = (tempdir(), Recorder::new());
    copy(*SIGSEND, &root.path().join("sigsend"));
    let chroot = format!("exec chroot {} /sigsend", root.path().display());
    for closed in each(CLOSED) {
        let inside = |line: &str| sh(&format!("{chroot} {line} {closed}")).run(&[]);
        let got = inside(&format!("-USR1 {target}")).code(0).err;
        assert_eq!(got, "", "{closed}");
        assert_eq!(target.signals(), [10], "{closed}");
        let is_mute = closed.split(' ').any(|word| word == ">&-");
        let late = inside(&format!("-v -USR1 --within 0s {target}"));
        late.code(if is_mute { 1 } else { 124 });
        assert_eq!(target.signals(), [10], "{closed}");
        let read = inside("-USR1 --allow-stale --pidfile -");
        read.code(i32::from(closed.contains("<&-")));
    }
    target.assert_untouched();
}

#[test]
fn no_opened_file_gets_the_number_of_a_standard_descriptor() {
    needs!(may_trace(), "strace");
    let dir = tempdir();
    for (index, closed) in each(CLOSED).enumerate() {
        let victim = Victim::sleeping();
        let log = dir.path().join(index.to_string());
        let traced = "trace=execve,openat,pidfd_open,epoll_create1,fcntl";
        let mut command = tool(&format!("strace -qq -e signal=none -e {traced} -o"));
        command.arg(&log);
        let script = format!("exec $0 -v --within 9s --expect cat {victim} {closed}");
        command.args(["sh", "-c", &script, *SIGSEND]);
        command.run(&[]);
        victim.assert_killed_by(15);
        let log = fs::read_to_string(log).expect("strace writes its log");
        let (_, own) = log.rsplit_once("execve(").expect("it was executed");
        let (_, own) = own.split_once("fcntl(2, F_GETFD").expect("main is reached");
        let opens = own.lines().skip(1);
        let opens = opens.filter(|call| !call.contains("\"/dev/null\""));
        for call in opens.filter(|call| !call.contains("ETFD") && !call.starts_with('"')) {
            let is_taken = ["= 0", "= 1", "= 2"].iter().any(|end| call.ends_with(end));
            assert!(!is_taken, "{closed}: {call}");
        }
    }
}
