//! Permissions: an unprivileged user cannot signal others and gets the reason; root is not misled
//! by names, pidfiles and environments of other users.

use crate::support::is_dynamic;
use crate::support::prelude::*;

/// Another unprivileged user than [`NOBODY`].
const MALLORY: u32 = 65533;

const REFUSED: &str = "Operation not permitted";

#[test]
fn an_unprivileged_user_is_refused_and_sends_no_signal() {
    let refused = "PID|-0 PID|-KILL PID|-q 1 -USR1 PID|-KILL -- -PID|-KILL TOKEN|-KILL --wait PID\
        |-KILL --within 9s -- -PID|--grace 9s PID|--timeout 1ms KILL PID|--tree PID\
        |--tree -KILL PID|-a -KILL NAME|--dry-run PID";
    in_pid_namespace!();
    needs!(may_change_user(), "root");
    let user = Unprivileged::new();
    let roots = Recorder::of(victim().named("roots"));
    let others = Recorder::of(victim().named("others").owned_by(MALLORY));
    for (mut target, name, owner) in [(roots, "roots", "root"), (others, "others", "65533")] {
        let token = token(&target);
        let lines = refused.replace("TOKEN", &token).replace("NAME", name);
        for line in each(&lines.replace("PID", &target.arg())) {
            let told = call!(user.sigsend(), "{line}").begins(1, "sigsend: ").err;
            let is_refused = told.contains(REFUSED) && told.lines().count() == 1;
            assert!(is_refused, "{line}: {told}");
            let verbose = call!(user.sigsend(), "-v {line}").begins(1, &told).err;
            let hint = format!("process {target} belongs to {owner}");
            let has_hint = line.contains("-- ") || verbose.contains(&hint);
            assert!(has_hint, "{line}: {verbose}");
        }
        call!(user.sigsend(), "-KILL {name}").fails(1, "cannot find process");
        call!(user.sigsend(), "-KILL --expect somebody {target}").fails(1, "somebody");
        // `--alive` and `--id` need no permission.
        call!(user.sigsend(), "--alive {target} {token}").ok();
        call!(user.sigsend(), "--id {target}").says(format!("{token}\n"));
        // The kernel reports success when every process refuses (kill(2), "-1").
        call!(user.sigsend(), "-KILL -- -1").code(0);
        target.assert_untouched();
    }
}

/// Within a session CONT needs no permission (kill(2)).
#[test]
fn a_process_that_takes_cont_but_not_the_follow_up_counts_as_both() {
    needs!(may_change_user(), "root");
    let (user, mut roots) = (Unprivileged::new(), Recorder::new());
    for follow_up in each("--grace 1ms | --timeout 1ms TERM | --timeout 1ms KILL --wait") {
        for dry in ["", "--dry-run"] {
            let counted = "\"signalled\":1,\"already_gone\":0,\"failed\":1,\"remaining\":0";
            let args = format!("{dry} --json -CONT {follow_up} {roots}");
            call!(user.sigsend(), "{args}").is(64, counted, REFUSED);
        }
    }
    assert_eq!(roots.signals(), [18; 3]);
}

#[test]
fn a_hostile_environment_changes_nothing() {
    let names = "LC_ALL LANG LANGUAGE TERM TERMINFO COLUMNS LINES NO_COLOR CLICOLOR CLICOLOR_FORCE \
        COLORTERM RUST_BACKTRACE RUST_LIB_BACKTRACE RUST_LOG RUST_MIN_STACK LD_PRELOAD \
        LD_LIBRARY_PATH LD_AUDIT LD_DEBUG MALLOC_ARENA_MAX MALLOC_CHECK_ MALLOC_PERTURB_ \
        MALLOC_TOP_PAD_ MALLOC_MMAP_THRESHOLD_ GLIBC_TUNABLES PATH HOME TMPDIR TZ POSIXLY_CORRECT";
    let nonsense = "'' nonsense -1 0 99999999999999999999 ../../../../etc/passwd %n%s%x \
        \u{1b}[2J\u{202e} tcache_count=-1:a=b LONG";
    let mut target = Recorder::new();
    // COLUMNS may change the width of the help, but not its words.
    let mut told = |set: &dyn Fn(&mut Command)| {
        let lines = "-l | -t | --help | -USR1 --expect no-such-name PID | -x | -v -USR1 PID";
        let run = |line: &str| {
            let mut command = raw_sigsend();
            set(&mut command);
            let done = command.run(&words(&line.replace("PID", &target.arg())));
            let words = |text: &str| {
                let found = text.split_whitespace().map(str::to_owned);
                found.collect::<Vec<_>>()
            };
            (done.status, words(&done.out), words(&done.err))
        };
        let told: Vec<_> = each(lines).map(run).collect();
        assert_eq!(target.signals(), [10]);
        told
    };
    let plain = told(&|_| ());
    for value in words(nonsense) {
        let value = value.replace("LONG", &"x".repeat(20_000));
        let hostile = told(&|command| {
            // The dynamic linker speaks for itself.
            let is_read = |name: &&str| !(is_dynamic() && name.starts_with("LD_"));
            command.envs(names.split(' ').filter(is_read).map(|name| (name, &value)));
        });
        assert!(hostile == plain, "{value:.30}: {hostile:?}");
    }
    let mut bare = raw_sigsend();
    bare.env_clear();
    call!(bare, "-USR1 {target}").ok();
    assert_eq!(target.signals(), [10]);
    needs!(!is_dynamic(), "a static program");
    let dir = tempdir();
    let mut preloaded = raw_sigsend();
    let library = dir.file("evil.so", "a dynamic linker would print an error");
    preloaded.env("LD_PRELOAD", library);
    call!(preloaded, "-l 9").says("KILL\n");
}

#[test]
fn only_the_real_uid_decides_who_owns_a_process() {
    in_pid_namespace!();
    needs!(may_change_user(), "root");
    needs!(program("setpriv").is_some(), "setpriv");
    let user = Unprivileged::new();
    let mut roots = Recorder::of(victim().named("shared"));
    let own = || victim().named("shared").owned_by(NOBODY).sleeping();
    let theirs = own();
    call!(user.sigsend(), "-v -KILL --wait shared").code(0);
    theirs.assert_killed_by(9);
    // As a program with the set-user-ID bit: real user NOBODY, effective user root. Names
    // select processes of the real user.
    let theirs = own();
    let set_user_id = through("setpriv --ruid 65534 --");
    call!(set_user_id, "-KILL --wait shared").code(0);
    theirs.assert_killed_by(9);
    roots.assert_untouched();
}

/// A pidfile of an attacker in a world-writable directory, younger than every process that it
/// names.
fn planted(dir: &TempDir, name: &str, content: &str) -> String {
    let path = dir.arg(name, content);
    nix::unistd::chown(&*path, Some(MALLORY.into()), Some(MALLORY.into())).expect("root may");
    path
}

#[test]
fn with_expect_a_planted_pidfile_signals_no_process_of_another_name() {
    in_pid_namespace!();
    needs!(may_change_user(), "root");
    let dir = tempdir();
    let open = fs::Permissions::from_mode(0o1777);
    fs::set_permissions(dir.path(), open).expect("the directory is ours");
    let mut sshd = Recorder::of(victim().named("sshd"));
    let mut mallory = Recorder::of(victim().named("mallory").owned_by(MALLORY));
    let file = planted(&dir, "nginx.pid", &format!("{sshd} {mallory}\n"));
    for line in each("-KILL | --grace 9s | --tree -KILL | -KILL --wait --allow-stale") {
        let done = run!("{line} --expect nginx --pidfile {file}").code(1);
        done.has("(sshd) is not nginx")
            .has("(mallory) is not nginx");
    }
    // A file that names groups, -1 or 0 is refused.
    for content in ["0", "-1", "-2", "1 0", "1 -1", "-1\n1", "nginx"] {
        let file = planted(&dir, "evil.pid", content);
        run!("-KILL --allow-stale --pidfile {file}").fails(1, "invalid target");
    }
    // Without it only the age limits the damage: a process that is younger than its file by
    // more than two seconds cannot have written it.
    let file = planted(&dir, "sshd.pid", &sshd.arg());
    run!("-0 --pidfile {file}").code(0);
    back_date(file.as_ref(), 3 * DEADLINE);
    run!("-USR1 --pidfile {file}").fails(1, "is stale");
    sshd.assert_untouched();
    mallory.assert_untouched();
}

#[test]
fn a_wait_needs_no_permission_and_everything_else_does() {
    in_pid_namespace!();
    needs!(may_change_user(), "root");
    let (user, mut roots) = (Unprivileged::new(), Recorder::new());
    for target in [roots.arg(), token(&roots)] {
        call!(user.sigsend(), "--dry-run -0 --wait {target}").ok();
        call!(user.sigsend(), "-0 --within 10ms {target}").code(124);
        for line in ["-0", "--dry-run -0", "-0 --timeout 1 KILL", "-0 --tree"] {
            let done = call!(user.sigsend(), "{line} {target}");
            done.code(1).has(REFUSED);
        }
    }
    roots.assert_untouched();
}

#[test]
fn cont_reaches_only_members_of_the_own_session() {
    in_pid_namespace!();
    needs!(may_change_user(), "root");
    let Some(setsid) = program("setsid") else {
        return skip("no setsid");
    };
    let user = Unprivileged::new();
    let own = victim().owned_by(NOBODY).sleeping();
    let roots = victim().in_group_of(&own).sleeping();
    let to_root = |done: &Done, event: &str| {
        let mut events = done.json().into_iter();
        events.any(|it| it["event"] == event && it["pid"] == roots.pid())
    };
    for (dry, event, state) in [("", "sent", 'S'), ("--dry-run", "would-send", 'T')] {
        kill(Pid::from_raw(roots.pid()), Signal::SIGSTOP).expect("a child can be stopped");
        roots.assert_state('T');
        let line = format!("--json -CONT --within 0s {dry} -- -{own}");
        // The kernel skips it if the sender is in another session.
        let mut foreign = Command::new(&setsid);
        foreign.arg("--wait").arg(user.path()).uid(NOBODY);
        foreign.gid(NOBODY).current_dir("/");
        let done = foreign.run(&words(&line));
        let holds = to_root(&done, "failed") && done.out.contains("EPERM");
        assert!(holds, "{done:?}");
        roots.assert_state('T');
        let done = user.sigsend().run(&words(&line));
        assert!(to_root(&done, event), "{done:?}");
        roots.assert_state(state);
    }
    own.assert_alive();
}
