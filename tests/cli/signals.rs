//! Which signal arrives, how often, with which value, and its effect on the target.

use crate::support::prelude::*;

/// `si_code` of kill(2).
const SI_USER: i32 = 0;

/// Every form of a signal `X` on the command line.
const WAYS: &str = "-s X|-sX|--signal X|--signal=X|--sig X|-n X|-nX|-X|-a -X";

/// The spellings of each signal.
const SPELLINGS: &str = "
    1  | HUP SIGHUP hup SigHup 1 01 0000000001
    2  | int
    6  | IOT ABRT
    10 | usr1
    12 | SIGUSR2
    15 | 15
    17 | CLD SIGCLD CHLD
    29 | POLL IO
    30 | pwr
    34 | 34 RTMIN RTMIN+0
    37 | RTMIN+3 sigrtmin+3 RT3
    50 | RTMAX-14
    63 | rtmax-1
    64 | SIGRTMAX RT30 RTMIN+30 064";

#[test]
fn every_spelling_of_a_signal_arrives_as_that_signal() {
    let mut recorder = Recorder::new();
    for [number, spellings] in rows(SPELLINGS) {
        for spelling in spellings.split(' ') {
            for way in each(WAYS).map(|way| way.replace('X', spelling)) {
                run!("{way} {recorder}").ok();
                assert_eq!(recorder.signals(), numbers(number), "{way}");
            }
        }
    }
    for null in [
        "0", "00", "000", "EXIT", "exit", "NULL", "SIGNULL", "SIGEXIT",
    ] {
        each(WAYS).for_each(|way| _ = run!("{} {recorder}", way.replace('X', null)).ok());
    }
    recorder.assert_untouched();
}

/// Lines in which options and values stand in any order, the signal, and the value if it is queued.
const SENT: &str = "
    -- PID           | 15 |
    PID --           | 15 |
    -HUP -- PID      | 1  |
    -s HUP -- PID    | 1  |
    -HUP PID --      | 1  |
    PID -HUP         | 1  |
    PID -hup         | 1  |
    PID --signal=1   | 1  |
    PID -n 1         | 1  |
    PID -a -s HUP    | 1  |
    -01 PID          | 1  |
    -1 PID           | 1  |
    -0034 PID        | 34 |
    -64 PID          | 64 |
    --si HUP PID     | 1  |
    --sig=HUP --all PID | 1 |
    -HUP --req PID   | 1  |
    --requi -1 PID   | 1  |
    -a -HUP --all -aa PID | 1 |
    -rr -HUP -r PID  | 1  |
    -q 8 PID         | 15 | 8
    -q 8 -0 PID      |    |
    -q 0 -sUSR1 PID  | 10 | 0
    -q-7 -n10 PID    | 10 | -7
    -q 5 -HUP PID    | 1  | 5
    --q 5 -HUP PID   | 1  | 5
    --que 5 -HUP PID | 1  | 5
    --queue 5 -HUP PID | 1 | 5
    --queue -2147483648 -USR1 PID | 10 | -2147483648
    --queue=2147483647 -USR1 PID  | 10 | 2147483647
    -q -1 PID        | 15 | -1
    -q -1 -1 PID     | 1  | -1
    -1 -q -1 PID     | 1  | -1
    --queue -9 PID   | 15 | -9
    --queue=-9 -INT PID | 2 | -9
    -q-9 -INT PID    | 2  | -9
    -aq -9 PID       | 15 | -9
    -aq-9 -INT PID   | 2  | -9
    -INT -aq -9 PID  | 2  | -9
    PID -q -9        | 15 | -9
    PID -q 7 -INT    | 2  | 7";

#[test]
fn options_and_values_are_read_in_any_order_and_the_value_of_one_is_never_a_signal() {
    let mut recorder = Recorder::new();
    for [line, signal, value] in rows(SENT) {
        run!("{}", line.replace("PID", &recorder.arg())).ok();
        let received = recorder.received().into_iter();
        let is_queued = |it: &Received| it.code == libc::SI_QUEUE;
        let received = received.map(|it| (it.signal, is_queued(&it).then_some(it.value)));
        let wanted = numbers(signal).into_iter();
        let wanted = wanted.map(|signal| (signal, value.parse().ok()));
        assert!(received.eq(wanted), "{line}");
    }
    run!("-p -pp --pid {recorder}").says(format!("{recorder}\n"));
    run!("{recorder} -p").says(format!("{recorder}\n"));
    recorder.assert_untouched();
}

#[test]
fn every_number_that_can_be_caught_arrives_once_through_kill() {
    let mut recorder = Recorder::new();
    for signal in (1..=64).filter(|signal| ![9, 19, 32, 33].contains(signal)) {
        run!("-{signal} {recorder}").ok();
        let heard = recorder.received();
        let got = heard.iter().map(|heard| heard.signal).collect::<Vec<_>>();
        assert_eq!(got, [signal]);
        assert_eq!(heard[0].code, SI_USER);
    }
}

#[test]
fn the_default_action_is_taken() {
    // TERM if no signal is named; numbers without a name.
    table(
        "CAT           | 0 | silent | CAT=15
         STUBBORN      | 0 | silent |
         -KILL STUBBORN | 0 | silent | STUBBORN=9
         -s 32 CAT     | 0 | silent | CAT=32
         -s 33 CAT     | 0 | silent | CAT=33
         -STOP CAT     | 0 | silent | CAT=T
         -TERM STOPPED | 0 | silent | STOPPED=T
         -9 STOPPED    | 0 | silent | STOPPED=9",
    );
    let stopped = victim().stopped();
    run!("-TERM {stopped}").ok();
    run!("-CONT {stopped}").ok();
    stopped.assert_killed_by(15);
}

#[test]
fn realtime_signals_queue_up_and_arrive_by_number() {
    let mut recorder = Recorder::holding();
    let sent = "-RTMAX -q1|-RTMIN+2 -q2|-RTMIN+1 -q3|-RTMIN+1 -q4|-USR1 -q5|-RTMIN+1 -q6";
    each(sent).for_each(|args| _ = run!("{args} {recorder}").ok());
    let heard = recorder.received().into_iter();
    let heard: Vec<_> = heard.map(|heard| (heard.signal, heard.value)).collect();
    let sent = [(10, 5), (35, 3), (35, 4), (35, 6), (36, 2), (64, 1)];
    assert_eq!(heard, sent);
    // A PID typed twice is signalled twice.
    run!("-RTMIN {recorder} 0{recorder}").ok();
    assert_eq!(recorder.signals(), [34, 34]);
}

#[test]
fn a_target_that_fails_does_not_affect_the_others() {
    in_pid_namespace!();
    let line = "sigsend: sending signal to GONE failed: No such process";
    // A zombie still has its PID, and kill(2) succeeds.
    table(&format!(
        "-0 GONE       | 1  | {line} |
         -0 ZOMBIE     | 0  | silent |
         CAT GONE CAT2 | 64 | {line} | CAT=15 CAT2=15 RECORDER="
    ));
    let gone = Victim::gone();
    let line = format!("{}\n", line.replace("GONE", &gone.to_string()));
    run!("-HUP {gone} {gone}").fails(1, line.repeat(2));
}

#[test]
fn a_plain_pid_makes_one_kill_call_and_reads_no_proc() {
    let mut recorder = Recorder::new();
    let pid = recorder.arg();
    let trace = traced!("trace=all", "-HUP {pid}");
    trace.done.code(0);
    eventually("the signal", || recorder.signals() == [1]);
    let is_kill = |call: &&String| call.contains("kill") && !call.starts_with("execve");
    let kills: Vec<_> = trace.calls.iter().filter(is_kill).collect();
    assert_eq!(kills.len(), 1, "{kills:#?}");
    let holds = kills[0].starts_with(&format!("kill({pid}, SIGHUP)"));
    assert!(holds, "{kills:?}");
    let looks = "pidfd wait ptrace process_ sched_get getpgid getsid getpriority prlimit";
    let affinity = format!("sched_getaffinity({},", trace.pid);
    for call in &trace.calls {
        let own = ["/proc/self/", "prlimit64(0,", &affinity];
        let at_itself = own.iter().any(|own| call.contains(own));
        let looks = call.contains("/proc") || looks.split(' ').any(|look| call.starts_with(look));
        assert!(at_itself || !looks, "{call}");
        // An address may contain the digits.
        let mut words = call.split(|c: char| !c.is_ascii_alphanumeric());
        let names_it = words.any(|word| word == pid) && !call.starts_with("execve(");
        assert!(!names_it || call.starts_with("kill("), "{call}");
    }
}
