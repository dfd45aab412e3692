//! Without pidfds, or with the /proc of another PID namespace: plain PIDs keep working, and every
//! form that needs a pidfd fails with a message and sends no signal.

use nix::libc::{ENOSYS, EPERM};

use crate::strange::{without_pidfds, without_signals_to_others};
use crate::support::prelude::*;

/// The errors of kernels and sandboxes without pidfds.
const ERRORS: [(i32, &str); 2] = [
    (EPERM, "Operation not permitted"),
    (ENOSYS, "Function not implemented"),
];

fn confined(errno: i32, line: &str) -> Done {
    let mut command = raw_sigsend();
    without_pidfds(&mut command, errno);
    command.run(&words(line))
}

#[test]
fn what_needs_no_pidfd_works_without_pidfds() {
    let works = "
        -HUP PID          | 1
        PID               | 15
        -0 PID            |
        -RTMIN PID PID    | 34 34
        -RTMIN+1 -q 7 PID | 35
        -USR1 -- -PID     | 10
        -v -USR2 PID      | 12";
    for (errno, _) in ERRORS {
        let mut target = Recorder::new();
        for [line, signals] in rows(works) {
            confined(errno, &line.replace("PID", &target.arg())).fine();
            assert_eq!(target.signals(), numbers(signals), "{line:?}");
        }
        let gone = Victim::gone();
        confined(errno, &format!("-HUP {gone} {target}")).code(64);
        assert_eq!(target.signals(), [1]);
        // Without a target nothing is pinned.
        confined(errno, "--pidfile -").code(0);
        confined(errno, "-l 9").says("KILL\n");
    }
}

#[test]
fn a_form_that_needs_pidfds_fails_without_them_and_sends_no_signal() {
    let (dir, name) = (tempdir(), format!("confined{}", std::process::id()));
    let mut target = Recorder::of(victim().named(&name));
    let file = dir.arg("x.pid", target.arg());
    // A plain target together with one that must be pinned gets nothing either.
    let forms = "-USR1 NAME|-a NAME|-USR1 TOKEN|-USR1 --pidfile FILE\
        |-USR1 --pidfile FILE --allow-stale|-USR1 --expect NAME PID|-r -USR1 PID|--wait PID\
        |-0 --wait PID|--within 9s PID|--grace 9s PID|--grace 9s -- -PID|--timeout 9s KILL PID\
        |--tree PID|--tree -KILL PID|--id PID|-p NAME|--alive PID|--alive NAME\
        |--alive --pidfile FILE --expect NAME|-USR1 PID TOKEN|-USR1 PID PID --pidfile FILE";
    let forms = forms.replace("PID", &target.arg());
    let forms = forms.replace("TOKEN", &token(&target));
    let forms = forms.replace("NAME", &name).replace("FILE", &file);
    let begin = format!("sigsend: pinning process {target}: this kernel or sandbox has no pidfds");
    for (errno, reason) in ERRORS {
        for form in each(&forms) {
            let status = if form.contains("--alive") { 2 } else { 1 };
            let told = confined(errno, form).begins(status, &begin).err;
            let holds = told.contains(reason) && told.lines().count() == 1;
            assert!(holds, "{form:?}: {told}");
        }
    }
    target.assert_untouched();
}

/// In a child namespace with the /proc of ours: an unrelated process gets a PID that another
/// process has in that /proc, and sigsend runs with a chosen PID. The exit status of the unrelated
/// process shows whether it reached the end of its input.
const INSIDE: &str = r#"
exec 3<&0
echo ready
read number <&3
echo 299 >/proc/sys/kernel/ns_last_pid
(read line <&3; exit 7) &
unrelated=$!
echo $((number - 1)) >/proc/sys/kernel/ns_last_pid
"$@" 2>&1
echo "status $?"
wait $unrelated
echo "unrelated $unrelated $?"
read line <&3
"#;

/// The PID of sigsend outside.
const OUTER: i32 = 5000;

#[test]
fn a_proc_of_another_namespace_never_selects_an_unrelated_process() {
    let confused = "-KILL wanted|-a -KILL wanted|-KILL --expect wanted 300|-KILL --pidfile FILE\
        |-r -HUP 300|--tree -KILL 300|-KILL --wait -- -300|-p wanted|--alive wanted\
        |--alive --expect wanted 300";
    in_pid_namespace!();
    needs!(running_as_root(), "root");
    let dir = tempdir();
    let confused = confused.replace("FILE", &dir.arg("x.pid", "300\n"));
    let wanted = victim().with_pid(300).named("wanted").sleeping();
    // Also when sigsend happens to have the same number in both namespaces.
    for number in [OUTER, 400] {
        for args in each(&confused) {
            let told = run_inside(number, args);
            let status = if args.contains("--alive") { 2 } else { 1 };
            let ends = [&*format!("status {status}"), "unrelated 300 7"];
            assert_eq!(told[1..], ends, "{args}");
            let is_clear = told[0].starts_with("sigsend: ") && told[0].contains("/proc");
            let holds = is_clear && told[0].contains("another PID namespace");
            assert!(holds, "{args}: {told:?}");
        }
        // Forms that do not read /proc use the PIDs of the caller's namespace.
        for (args, end) in [("-0 300", 7), ("--alive 300", 7), ("-KILL 300", 137)] {
            let expected = ["status 0".to_owned(), format!("unrelated 300 {end}")];
            assert_eq!(run_inside(number, args), expected, "{args:?}");
        }
    }
    wanted.assert_alive();
}

/// The lines that sigsend and [`INSIDE`] print; sigsend has this PID inside and [`OUTER`] outside.
fn run_inside(number: i32, line: &str) -> Vec<String> {
    let mut command = tool("unshare --pid --fork --kill-child sh -c");
    command.args([INSIDE, "sh", *SIGSEND]).args(words(line));
    let mut outer = victim().command(command);
    assert_eq!(outer.read_line(), "ready");
    // No other process forks in this namespace: the unrelated process gets the next PID, sigsend
    // the one after it.
    let last = (OUTER - 2).to_string();
    fs::write("/proc/sys/kernel/ns_last_pid", last).expect("the namespace is ours");
    outer.write_line(&number.to_string());
    let mut lines = vec![outer.read_line()];
    while !lines.last().is_some_and(|line| line.starts_with("status ")) {
        lines.push(outer.read_line());
    }
    outer.write_line("the end");
    lines.push(outer.read_line());
    lines
}

#[test]
fn a_refusal_names_no_owner_to_the_owner_or_to_root() {
    needs!(may_change_user(), "root");
    let user = Unprivileged::new();
    let mut own = Recorder::of(victim().owned_by(NOBODY));
    let refused = format!("sigsend: sending signal to {own} failed: Operation not permitted\n");
    for args in ["-TERM", "-KILL --wait", "-TERM --tree"] {
        if program("setpriv").is_some() {
            let mut root = Command::new("setpriv");
            root.args(["--inh-caps=-kill", "--bounding-set=-kill", *SIGSEND]);
            call!(root, "-v {args} {own}").fails(1, &refused);
        }
        for id in [0, NOBODY] {
            let mut command = Command::new(user.path());
            command.uid(id).gid(id);
            let is_confined = without_signals_to_others(&mut command);
            needs!(is_confined, "a Landlock that restricts signals");
            call!(command, "-v {args} {own}").fails(1, &refused);
        }
    }
    own.assert_untouched();
}
