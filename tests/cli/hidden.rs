//! /proc with hidepid=2, which hides the processes of other users, or without any: a process that
//! cannot be seen is not taken for gone.

use crate::support::keep_pids_small;
use crate::support::prelude::*;

/// Hides the processes of other users in the /proc of this namespace; `false` if that is not
/// possible here.
pub fn hide(how: u8) -> bool {
    let option = format!("remount,hidepid={how}");
    let mounted = tool(&format!("mount -o {option} /proc")).status();
    keep_pids_small();
    may_change_user() && mounted.is_ok_and(|mounted| mounted.success())
}

/// The same from other modules, which are skipped where it is not possible.
#[track_caller]
pub fn hide_processes() -> bool {
    let is_hidden = hide(2);
    if !is_hidden {
        skip("no root or no hidepid");
    }
    is_hidden
}

/// A copy of a program that is set-user-ID root.
pub fn set_user_id(dir: &TempDir, name: &str) -> PathBuf {
    let path = dir.path().join(name);
    copy(program(name).expect("a program"), &path);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).expect("ours");
    path
}

#[test]
fn own_processes_are_found_and_others_refused() {
    in_pid_namespace!();
    needs!(may_change_user(), "root");
    let user = Unprivileged::new();
    let mut roots = Recorder::of(victim().named("hidden"));
    let refused = "-KILL PID|-KILL hidden|-a -KILL hidden|-KILL --wait PID\
        |-KILL --expect hidden PID|-r -USR1 PID|--tree -KILL PID|--grace 9s -- -PID\
        |--dry-run PID|--alive --expect hidden PID";
    for how in [1, 2] {
        needs!(hide(how), "hidepid");
        for line in each(&refused.replace("PID", &roots.arg())) {
            let status = if line.contains("--alive") { 2 } else { 1 };
            call!(user.sigsend(), "{line}").begins(status, "sigsend: ");
        }
        call!(user.sigsend(), "--alive {roots}").code(0);
        let told = format!("reading the state of {roots} failed: Operation not permitted");
        call!(user.sigsend(), "-d {roots}").fails(1, told);
        for line in each("own | --expect own PID | --tree PID | --grace 9s -- -PID") {
            let own = victim().named("own").owned_by(NOBODY).sleeping();
            call!(user.sigsend(), "{}", line.replace("PID", &own.arg())).code(0);
            own.assert_killed_by(15);
        }
    }
    roots.assert_untouched();
}

#[test]
fn a_group_counts_its_hidden_members() {
    in_pid_namespace!();
    needs!(hide(2), "root and hidepid");
    let user = Unprivileged::new();
    for call in each("-KILL --wait | --grace 15s | -KILL --timeout 10 KILL") {
        let own = victim().owned_by(NOBODY).sleeping();
        let hidden = Recorder::of(victim().in_group_of(&own));
        let failed = format!("sigsend: sending signal to -{own} (PID {hidden})");
        let line = format!("--json {call} -- -{own}");
        call!(user.sigsend(), "{line}").is(64, "\"failed\":1,", failed);
        own.ending();
    }
    // Only hidden members.
    let mut hidden = Recorder::of(victim());
    let done = call!(user.sigsend(), "-KILL --wait -- -{hidden}");
    done.fails(1, "Operation not permitted");
    hidden.assert_untouched();
}

#[test]
fn a_tree_counts_its_hidden_members() {
    in_pid_namespace!();
    let is_possible = program("setpriv").is_some() && hide(2);
    needs!(is_possible, "root, setpriv and hidepid");
    let (user, dir) = (Unprivileged::new(), tempdir());
    let setpriv = set_user_id(&dir, "setpriv");
    for call in ["-KILL", "-KILL --wait", "--grace 15s"] {
        let as_root = format!("{} --reuid 0 --regid 0 --clear-groups", setpriv.display());
        let script = format!("exec 3<&0; {as_root} sh -c 'echo $$; exec cat' <&3 & wait");
        let mut own = victim().owned_by(NOBODY).command(sh(&script));
        let hidden: i32 = own.read_line().parse().expect("a PID");
        let named = format!("PID {hidden}");
        let line = format!("--json --tree {call} {own}");
        call!(user.sigsend(), "{line}").is(64, "\"failed\":1,", named);
        own.ending();
        assert!("SR".contains(state(hidden)), "{}", state(hidden));
    }
}

#[test]
fn an_ancestor_above_a_hidden_one_is_not_killed_with_its_tree() {
    in_pid_namespace!();
    let is_possible = program("setpriv").is_some() && hide(2);
    needs!(is_possible, "root, setpriv and hidepid");
    let (user, dir) = (Unprivileged::new(), tempdir());
    let root_shell = set_user_id(&dir, "sh");
    // The user's shell, a set-user-ID root shell, which is hidden, and the user's shell again.
    let innermost = dir.arg(
        "innermost",
        "for call in '-KILL' '--grace 5s' '-TERM --wait' '-HUP'; do \"$0\" --tree $call $1; echo status $?; done\n\
         start() { cut -d' ' -f22 /proc/$1/stat; }\n\
         while [ \"$(start $$)\" = \"$(start self)\" ]; do :; done\n\
         exec 3<&0; cat <&3 & \"$0\" --tree -KILL --wait $!; echo younger $?\n",
    );
    let user_again = "setpriv --reuid 65534 --regid 65534 --clear-groups";
    let program = user.path();
    let inner = format!(
        "{user_again} sh -c \". {innermost}\" {} $1 2>&1",
        program.display()
    );
    let script = format!("{} -p -c '{inner}' sh $$; exec cat", root_shell.display());
    let ancestor = victim().owned_by(NOBODY);
    let mut ancestor = ancestor.command(sh(&script));
    for _call in 0..4 {
        contains!(ancestor.read_line(), "may be an ancestor of sigsend");
        assert_eq!(ancestor.read_line(), "status 1");
    }
    // One that started after the child of the hidden one is no ancestor.
    assert_eq!(ancestor.read_line(), "younger 0");
    ancestor.assert_alive();
}

/// A process, and the ID of its second thread.
fn threaded() -> (Family, String) {
    let family = Family::with_role("threads");
    let threads = fs::read_dir(format!("/proc/{family}/task")).expect("a process");
    let threads = threads.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let thread = threads.filter(|id| *id != family.arg()).last();
    (family, thread.expect("a second thread"))
}

#[test]
fn a_thread_that_cannot_be_seen_is_not_gone() {
    in_pid_namespace!();
    let (family, thread) = threaded();
    for call in ["--wait", "-0 --within 1s"] {
        let script = format!("mount -t tmpfs none /proc && \"$0\" {call} $1");
        let mut command = tool("unshare --mount sh -c");
        command.args([&script, *SIGSEND]);
        call!(command, "{thread}").fails(1, format!("{thread} is a thread"));
    }
    eventually("the family to continue", || state(family.pid()) == 'S');
    needs!(hide(2), "root and hidepid");
    let user = Unprivileged::new();
    for call in each("--wait | -0 --wait | --grace 5s | --id | -KILL --wait") {
        let is_thread = format!("{thread} is a thread");
        call!(user.sigsend(), "{call} {thread}").fails(1, is_thread);
    }
    call!(user.sigsend(), "--alive {thread}").code(2);
    run!("--alive {family}").code(0);
}

#[test]
fn without_proc_no_process_is_confused_with_another() {
    in_pid_namespace!();
    needs!(running_as_root(), "root");
    let dir = tempdir();
    let mut target = Recorder::of(victim().named("target"));
    let file = dir.arg("pid", target.arg());
    let run = |line: &str| {
        let line = line.replace("PID", &target.arg()).replace("FILE", &file);
        let mut command = Command::new("unshare");
        let hidden = "mount -t tmpfs none /proc && exec \"$0\" \"$@\"";
        command.args(["--mount", "sh", "-c", hidden, *SIGSEND]);
        command.current_dir("/");
        call!(command, "{line}")
    };
    let refused = "target|-a -KILL target|-KILL --expect target PID|-r -USR1 PID\
        |-KILL --pidfile FILE|--tree -KILL PID|--tree PID|-KILL --wait -- -PID|--alive target\
        |--alive --expect target PID|-d PID";
    for line in each(refused) {
        let done = run(line).code(if line.contains("--alive") { 2 } else { 1 });
        let holds = done.err.starts_with("sigsend: ") && done.err.lines().count() == 1;
        assert!(holds, "{done:?}");
    }
    let mortal = Victim::sleeping();
    run(&format!("-v --grace 9s {mortal}")).code(0);
    mortal.assert_killed_by(15);
    let works = "-USR1 PID|-v -USR1 PID|-USR1 -- -PID\
        |--json -USR1 --allow-stale --pidfile FILE|--alive PID|--id PID";
    each(works).for_each(|line| _ = run(line).code(0));
    // An empty /proc does not mean that the process is gone, or not.
    run(&format!("--alive {}", Victim::zombie())).code(1);
    assert_eq!(target.signals(), [10; 4]);
}
