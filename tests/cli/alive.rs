//! `--alive`: 0 if a target runs and 1 if all are gone, regardless of state letters, permissions
//! and hidden PIDs; 2 if that is unknown.

use std::process::id;

use crate::support::prelude::*;

/// Asserts the exit status of `sigsend --alive WORDS`, which prints no answer, and an error unless
/// the status is 0.
#[track_caller]
fn alive(status: i32, words: &str) {
    let done = run!("--alive {words}").code(status);
    let holds = done.out.is_empty() && done.err.is_empty() == (status == 0);
    assert!(holds, "{done:?}");
}

macro_rules! alive {
    ($status:expr, $($words:tt)*) => { alive($status, &format!($($words)*)) };
}

#[test]
fn running_processes_are_alive_and_ended_ones_are_gone() {
    table(
        "--alive CAT                   | 0 | silent |
         --alive CAT STOPPED STUBBORN  | 0 | silent | STOPPED=T
         --alive RECORDER RECORDER     | 0 | silent |",
    );
    for dead in ["ZOMBIE", "GONE", "2147483647"] {
        for form in ["DEAD", "DEAD CAT STOPPED", "CAT DEAD"] {
            table(&format!("--alive {} | 1 | |", form.replace("DEAD", dead)));
        }
    }
}

#[test]
fn a_process_that_exits_during_the_look_up_counts_only_if_it_was_named_by_pid() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    let other = victim().named("service").sleeping();
    for named_by_pid in [false, true] {
        let start = || {
            let worker = victim().named("service").sleeping();
            let by_pid = Some(worker.arg()).filter(|_| named_by_pid);
            let by_pid = by_pid.unwrap_or_default();
            let args = format!("--alive service service {by_pid}");
            (worker, args)
        };
        let (worker, args) = start();
        let trace = strace("trace=poll", &args);
        drop(worker);
        for point in calls(&trace) {
            let (mut worker, args) = start();
            let held = Held::before(&point, &args);
            kill(Pid::from_raw(worker.pid()), Signal::SIGKILL).expect("it is ours");
            worker.ending();
            let status = held.go().status;
            worker.reap();
            // The last look may have been before.
            let is_known = status == Some(0) || status == Some(1) && named_by_pid;
            assert!(is_known, "{point:?}: {status:?}");
        }
    }
    other.assert_alive();
}

#[test]
fn permission_does_not_matter() {
    needs!(may_change_user(), "root");
    table(
        "nobody: --alive ZOMBIE     | 1 | sigsend: ZOMBIE: No such process |
         nobody: -0 CAT             | 1 | |
         nobody: --alive CAT        | 0 | silent |
         nobody: --alive 1          | 0 | silent |
         nobody: --alive CAT ZOMBIE | 1 | |",
    );
}

#[test]
fn a_usage_error_never_reports_a_process_as_gone() {
    let (target, dir) = (Victim::sleeping(), tempdir());
    let path = |name: &str| dir.path().join(name).display().to_string();
    let missing = path("missing.pid");
    let garbage = dir.file("garbage.pid", "nginx\n").display().to_string();
    let empty = dir.file("empty.pid", "").display().to_string();
    let mistakes = format!(
        "| '' | - | 0x1 | 12,34 | 4294967296 | 00 | %1 | PID '' | PID --nonsense | PID -x | PID -9 \
         | -9 PID | -s HUP PID | -s NOPE PID | 0 | -- -PID | -- -1 | --wait PID | --grace 5s PID \
         | --id PID | --expect | --pidfile {missing} | --pidfile {garbage} | --pidfile {empty}"
    );
    for mistake in each(&mistakes.replace("PID", &target.arg())) {
        alive!(2, "{mistake}");
        // The option may be in any place where it is not an operand or a value.
        if !mistake.contains("-- ") && mistake != "--expect" {
            run!("{mistake} --alive").is(2, "", "sigsend: ");
        }
    }
    // Abbreviations and clusters are accepted.
    for option in ["--ali", "-v --alive", "--json --alive"] {
        run!("{option} 0x1").code(2);
    }
    target.assert_alive();
}

#[test]
fn alive_takes_pidfiles_expect_names_and_tokens() {
    let (dir, name) = (tempdir(), format!("asked{}", id()));
    let mut target = victim().named(&name).sleeping();
    let (pid, token) = (target.arg(), token(&target));
    let path = dir.file("x.pid", format!("{pid}\n"));
    let file = path.display();
    let forms = format!(
        "--pidfile {file} | --pidfile {file} --expect {name} | {name} | {token} | -a {name} \
         | {token} {name} {pid} --pidfile {file} --expect {name}"
    );
    each(&forms).for_each(|form| alive(0, form));
    alive!(1, "--pidfile {file} --expect somebody");
    run!("--alive -v --pidfile {file}").says(format!("{pid} ({name}) is alive\n"));
    call!(piped(&*pid), "--alive --pidfile -").code(0);

    back_date(&path, Duration::from_secs(60));
    alive!(1, "--pidfile {file}");
    alive!(0, "--pidfile {file} --allow-stale");
    run!("-KILL {token}").code(0);
    target.assert_killed_by(9);
    each(&forms).for_each(|form| alive(1, form));
    target.reap();
    each(&forms).for_each(|form| alive(1, form));
}

#[test]
fn a_name_is_alive_while_one_process_has_it() {
    let name = format!("reloads{}", id());
    let Some(perl) = program("perl") else {
        return skip("no perl");
    };
    // Its child, which has the same name, is a zombie.
    let mut options = victim().named(&name);
    let mut command = Command::new(options.linked(perl));
    command.args(["-e", "$| = 1; exit unless fork; print qq(ready\\n); <>"]);
    let parent = options.ready(&mut command);
    let zombie = children(parent.pid())[0];
    eventually("the child to be a zombie", || state(zombie) == 'Z');
    for _poll in 0..20 {
        alive!(0, "{name}");
    }
    alive!(0, "-a {name}");
    alive!(1, "{zombie}");
    alive!(0, "--tree {name}");
    alive!(0, "--tree {parent}");
    alive!(1, "--tree {parent} {zombie}");
    // A caller without other descendants.
    sh("\"$0\" --alive --tree $$; exit $?").run(&[]).ok();
    run!("-p {name}").says(format!("{parent}\n"));
    // Zombies do not count: no process has the name now.
    run!("-KILL {parent}").code(0);
    parent.assert_killed_by(9);
    run!("-HUP {name}").begins(1, "sigsend: cannot find process");
    alive!(1, "{name}");
}

#[test]
fn a_service_that_reloads_is_always_alive() {
    let name = format!("workers{}", id());
    // Its children have the same name, exit at once and are zombies until they are reaped.
    let reloads = "echo ready; while :; do (exit 0) & (exit 0) & wait; done";
    let _service = victim().named(&name).shell(reloads);
    for _poll in 0..200 {
        alive!(0, "{name}");
    }
}

#[test]
fn a_zombie_with_handlers_is_gone() {
    for call in each("-r -HUP --wait | -r -HUP --wait --tree | -r --grace 5s") {
        table(&format!("{call} -v ZOMBIE | 0 | already gone |"));
    }
}
