//! Several signals in order: how a process is stopped, which processes get a follow-up, and that no
//! follow-up is sent to a reused PID.

use crate::support::prelude::*;

#[test]
fn grace_lets_a_process_end_and_kills_only_the_others() {
    table(
        "-v --grace 15s POLITE | 0 | sent TERM (15) to POLITE (sh) & sent CONT (18) to POLITE (sh) \
            & POLITE (sh) exited with status 3 after & !sent KILL | POLITE=x3 RECORDER=
         -v --grace 200ms POLITE STUBBORN | 0 | sent KILL (9) to STUBBORN (sh) after 0. \
            & !sent KILL (9) to POLITE | POLITE=x3 STUBBORN=9 RECORDER=
         --grace 15s STOPPED FROZEN       | 0 | silent | STOPPED=15 FROZEN=x3
         -v -KILL --grace 9s CAT          | 0 | sent KILL & !sent TERM & !sent CONT | CAT=9
         -v -KILL --grace 9s STOPPED      | 0 | sent KILL & !sent TERM & !sent CONT | STOPPED=9
         --timeout 5m INT --timeout 1h KILL --wait -v CAT POLITE ZOMBIE | 0 | !INT & !KILL \
            | CAT=15 POLITE=x3",
    );
}

#[test]
fn grace_sends_each_signal_once_and_in_order() {
    let mut recorder = Recorder::holding();
    let mut patient = background!("--grace 30s -HUP -v {recorder}");
    assert!(patient.read_line().starts_with("sent HUP (1) to "));
    assert!(patient.read_line().starts_with("sent CONT (18) to "));
    assert_eq!(recorder.signals(), [1, 18]);
    patient.assert_alive();
}

#[test]
fn follow_ups_come_in_order_and_carry_the_value() {
    let mut recorder = Recorder::new();
    let steps = "--timeout 10 USR2 --timeout 20ms HUP --within 10ms";
    run!("-USR1 -q -42 {steps} {recorder}").code(124);
    let queued = [10, 12, 1].map(|signal| Received::queued(signal, -42));
    assert_eq!(recorder.received(), queued);
    // Without a wait it ends with the last signal, and a survivor of every step is named.
    table(
        "-USR1 --timeout 10ms USR2 RECORDER        | 0   | silent     | RECORDER=10,12
         --timeout 10 USR1 --within 10ms RECORDER  | 124 | RECORDER ( | RECORDER=15,10",
    );
}

#[test]
fn ten_stubborn_processes_take_the_time_of_one() {
    let stubborn: Vec<Victim> = (0..10).map(|_| Victim::shell(STUBBORN)).collect();
    let pids: Vec<String> = stubborn.iter().map(Victim::arg).collect();
    let begin = Instant::now();
    run!("--timeout 1s KILL --wait {}", pids.join(" ")).fine();
    let took = begin.elapsed();
    let holds = (Duration::from_secs(1)..Duration::from_secs(6)).contains(&took);
    assert!(holds, "{took:?}");
    killed(&stubborn, 9);
}

#[test]
fn a_process_that_got_the_first_signal_but_not_the_next_counts_as_both() {
    needs!(may_change_user(), "root");
    let user = Unprivileged::new();
    // With --grace, CONT and KILL are both refused; a refused CONT does not end the wait.
    for call in each("--timeout 200ms KILL | --timeout 200ms KILL --wait | --grace 200ms") {
        let mut family = Family::with_role("becomes-root");
        let done = call!(user.sigsend(), "--json {call} {family}").code(64);
        let events = done.json();
        let summary = events.last().expect("a summary");
        let is_both = summary["signalled"] == 1 && summary["failed"] == 1;
        let is_refused = events.iter().any(|event| event["errno"] == "EPERM");
        assert!(is_both && is_refused, "{done:?}");
        assert_eq!(family.next_line(), Some(format!("root {family}")));
        family.assert_alive();
    }
}

#[test]
fn a_process_that_exits_at_the_deadline_is_gone() {
    in_pid_namespace!();
    needs!(may_trace(), "strace");
    for (nth, call) in [(1, "--within 10ms"), (2, "--timeout 10 USR1 --within 10ms")] {
        let deaf = "trap '' TERM USR1; echo ready; while read line; do :; done";
        let patient = Victim::shell(deaf);
        // The wait has ended without an exit when the process dies.
        let wait = Call::nth("epoll_wait", nth);
        let held = Held::after(&wait, &format!("{call} {patient}"));
        send(patient.pid(), Signal::SIGKILL);
        patient.assert_killed_by(9);
        held.go().fine();
    }
}

#[test]
fn a_member_that_uses_up_the_descriptors_does_not_affect_the_others() {
    needs!(program("prlimit").is_some(), "prlimit");
    for form in each("-- -HEAD A B | -- A B -HEAD | --tree HEAD A B | --tree A B HEAD") {
        let mut family = Family::with_role("forks-on-term 60");
        let stubborn = [Victim::shell(STUBBORN), Victim::shell(STUBBORN)];
        let targets = form.replace("HEAD", &family.arg());
        let targets = targets.replace('A', &stubborn[0].arg());
        let targets = targets.replace('B', &stubborn[1].arg());
        let done = call!(through("prlimit --nofile=24:24"), "--grace 500ms {targets}")
            .fails(64, "24 open files");
        assert_eq!(done.err.lines().count(), 1, "reported once: {done:?}");
        killed(&stubborn, 9);
        assert_eq!(family.next_line(), Some(format!("forked {family}")));
    }
    // Nor does one that has too many members from the start.
    for form in ["-- -", "--tree "] {
        let (family, other) = (Family::with_role("children 60"), Victim::sleeping());
        let call = format!("--within 9s {form}{family} {other}");
        let done = call!(through("prlimit --nofile=24:24"), "{call}").fails(64, "24 open files");
        assert_eq!(done.err.lines().count(), 1, "{done:?}");
        other.assert_killed_by(15);
        family.assert_alive();
    }
}

/// The PID that is reused.
const NUMBER: i32 = 5000;

/// A process ends by the first signal and is reaped, its PID is given to an unrelated process, and
/// then the follow-up is due. sigsend is stopped meanwhile, so that no round is a race.
fn recycle(target: &str) {
    let mut rounds_with_follow_up = 0;
    let dir = tempdir();
    let errors = dir.arg("errors", "");
    for _ in 0..if in_full() { 100 } else { 10 } {
        let mut doomed = victim().with_pid(NUMBER).sleeping();
        let stubborn = Victim::shell(STUBBORN);
        let mut command = raw_sigsend();
        let call = format!("--timeout 20 KILL --wait {target}{doomed} {stubborn}");
        command.args(words(&call));
        command.stderr(File::create(&errors).expect("a file"));
        let patient = victim().command(command);
        doomed.assert_killed_by(15);
        send(patient.pid(), Signal::SIGSTOP);
        doomed.reap();
        let unrelated = victim().with_pid(NUMBER).sleeping();
        rounds_with_follow_up += usize::from(!stubborn.has_ended());
        send(patient.pid(), Signal::SIGCONT);
        stubborn.assert_killed_by(9);
        patient.assert_exited_with(0);
        unrelated.assert_alive();
        assert_eq!(fs::read_to_string(&errors).expect("a file"), "");
    }
    let holds = rounds_with_follow_up > 0;
    assert!(holds, "it was never due after the PID was reused");
}

#[test]
fn a_follow_up_never_hits_a_reused_pid_group_id_or_tree() {
    in_pid_namespace!();
    ["", "-- -", "--tree "].into_iter().for_each(recycle);
}
