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
                let got = recorder.signals();
                assert_eq!(got, [number.parse::<i32>().expect("a number")], "{way}");
            }
        }
    }
    // After the target it is still the signal.
    for way in each("-HUP|-hup|-s HUP|--signal=1|-n 1") {
        run!("{recorder} {way}").ok();
        assert_eq!(recorder.signals(), [1], "{way}");
    }
    for null in ["0", "00", "EXIT", "exit", "NULL", "SIGNULL", "SIGEXIT"] {
        each(WAYS).for_each(|way| _ = run!("{} {recorder}", way.replace('X', null)).ok());
    }
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
fn a_child_cleans_up_on_term_ignores_it_or_reloads_on_hup() {
    let dir = tempdir();
    let lock = dir.file("lock", "");
    let clean = format!("trap 'rm \"{}\"; echo clean; exit 3' TERM", lock.display());
    let mut child = Victim::shell(&format!("{clean}; echo ready; {IDLE}"));
    run!("{child}").ok();
    assert_eq!(child.read_line(), "clean");
    child.assert_exited_with(3);
    assert!(!lock.exists());

    let deaf = Victim::shell(&format!("trap '' TERM; echo ready; {IDLE}"));
    run!("{deaf}").ok();
    deaf.assert_alive();
    run!("-KILL {deaf}").ok();
    deaf.assert_killed_by(9);

    let mut daemon = Victim::shell(&format!("trap 'echo reloaded' HUP; echo ready; {IDLE}"));
    for _ in 0..2 {
        run!("-HUP {daemon}").ok();
        assert_eq!(daemon.read_line(), "reloaded");
    }
    daemon.assert_alive();
}

#[test]
fn realtime_signals_queue_up_and_arrive_by_number() {
    let mut recorder = Recorder::holding();
    let sent = "-RTMAX -q1|-RTMIN+2 -q2|-RTMIN+1 -q3|-RTMIN+1 -q4|-USR1 -q5|-RTMIN+1 -q6";
    each(sent).for_each(|args| _ = run!("{args} {recorder}").ok());
    let heard = recorder.received();
    let heard = heard.iter().map(|heard| (heard.signal, heard.value));
    let heard: Vec<_> = heard.collect();
    let got = heard;
    assert_eq!(got, [(10, 5), (35, 3), (35, 4), (35, 6), (36, 2), (64, 1)]);
    // A PID typed twice is signalled twice.
    run!("-RTMIN {recorder} 0{recorder}").ok();
    assert_eq!(recorder.signals(), [34, 34]);
}

#[test]
fn a_queued_value_is_received_with_the_signal() {
    let mut recorder = Recorder::new();
    for (args, value) in [
        ("-q 42", 42),
        ("-q42", 42),
        ("-q 0", 0),
        ("-q -1", -1),
        ("-q-7", -7),
        ("--queue -2147483648", i32::MIN),
        ("--queue=2147483647", i32::MAX),
        ("--que 5", 5),
    ] {
        for signal in ["-USR1", "-sUSR1", "-n10"] {
            run!("{args} {signal} {recorder}").ok();
            assert_eq!(
                recorder.received(),
                [Received::queued(10, value)],
                "{args:?} {signal}"
            );
        }
    }
    run!("-q 8 {recorder}").ok();
    assert_eq!(recorder.received(), [Received::queued(15, 8)]);
    run!("-q 8 -0 {recorder}").ok();
    recorder.assert_untouched();
}

#[test]
fn a_queued_value_reaches_processes_by_name() {
    in_pid_namespace(|| {
        let mut recorders = [(); 2].map(|()| Recorder::of(victim().named("queueing")));
        let mut bystander = Recorder::of(victim().named("queuein"));
        run!("-q -3 -RTMIN+4 queueing").ok();
        for recorder in &mut recorders {
            assert_eq!(recorder.received(), [Received::queued(38, -3)]);
        }
        bystander.assert_untouched();
    });
}

#[test]
fn a_target_that_fails_does_not_affect_the_others() {
    in_pid_namespace(|| {
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
    });
}

#[test]
fn a_process_of_another_user_is_neither_signalled_nor_gone() {
    needs!(may_change_user(), "root");
    let line = "sigsend: sending signal to RECORDER failed: Operation not permitted";
    let hint = "process RECORDER belongs to root; only root may signal it";
    let refused = each("-0 | -TERM | -RTMIN | -q1").map(|signal| {
        let plain = format!("nobody: {signal} RECORDER | 1 | {line} & !belongs |");
        format!("{plain}\nnobody: -v {signal} RECORDER | 1 | {line} & {hint} |\n")
    });
    let own = "nobody: -0 CAT~ | 0 | silent |
         -0 CAT~            | 0 | silent |
         nobody: CAT~       | 0 | silent | CAT~=15";
    table(&(refused.collect::<String>() + own));
}

#[test]
fn a_link_called_kill_is_kill() {
    let (_dir, kill) = link(SIGSEND.as_ref(), "kill");
    let mut recorder = Recorder::new();
    for signal in ["-HUP", "-1", "-s1"] {
        call!(std::process::Command::new(&kill), "{signal} {recorder}").ok();
        assert_eq!(recorder.signals(), [1]);
    }
    call!(std::process::Command::new(&kill), "-l 9").says("KILL\n");
}

#[test]
fn a_plain_pid_makes_one_kill_call_and_reads_no_proc() {
    let mut recorder = Recorder::new();
    let pid = recorder.arg();
    needs!(may_trace(), "strace");
    let trace = strace("trace=all", &["-HUP", &pid]);
    assert!(trace.output.status.success());
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
        let names_it = call.contains(&pid) && !call.starts_with("execve(");
        assert!(!names_it || call.starts_with("kill("), "{call}");
    }
}
