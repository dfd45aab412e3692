//! The quick way does what the parser and the plan do: `ARGS` and `ARGS --` mean the same, and `--`
//! never takes the quick way. With every build under test, such as a release build.

use std::process::ExitStatus;

use crate::support::prelude::*;
use crate::support::tokens::{NOT_SIGNALS, NOT_TARGETS, SIGNALS};
use crate::support::{BUILDS, raw, sh_of, strace_of};

/// Whether a recorder does not survive the signal; 32 and 33 cannot be caught here, since the C
/// library refuses to.
fn is_lethal(signal: &str) -> bool {
    ["KILL", "STOP", "9", "19", "32", "33"].contains(&signal)
}

/// The targets, and the program as every user can execute it.
struct World {
    program: Unprivileged,
    recorders: Vec<Recorder>,
}

impl World {
    fn of(build: &str, recorders: Vec<Recorder>) -> Self {
        let program = Unprivileged::of(build);
        Self { program, recorders }
    }

    /// How the call of this user ended, and what each target received.
    fn run(&mut self, args: &[String], user: u32) -> (Option<i32>, [String; 2], Vec<Vec<i32>>) {
        let mut command = raw(self.program.path());
        if user != 0 {
            command.uid(user).gid(user);
        }
        let done = command.run(args);
        let received = self.recorders.iter_mut().map(Recorder::signals);
        (done.status, [done.out, done.err], received.collect())
    }

    #[track_caller]
    fn assert_same(&mut self, args: &[String], user: u32) {
        let quick = self.run(args, user);
        let parsed = self.run(&[args, &["--".to_owned()]].concat(), user);
        assert_eq!(quick, parsed, "{args:?} of user {user}");
    }
}

fn in_odd_case(text: &str) -> String {
    let odd = |(index, c): (usize, char)| [c, c.to_ascii_lowercase()][index % 2];
    text.char_indices().map(odd).collect()
}

/// Spellings of a signal, valid or nearly.
const SPELLED: &str = "|-HUP|-hup|-SIGHUP|-SigUsr1|-1|-01|-0|-64|-65|-RTMIN+1|-rtmax|-NOPE|-s HUP\
    |-s sighup|-s 1|-s 0|-s 65|-s ''|-s ' 1'|-sHUP|-s1|--signal=USR1|-n 10|-s SIGSIGHUP";

/// Targets, valid or nearly: A and B are processes, GONE is none. Options may stand between.
const TARGETS: &str = "|A|A B|A A|GONE|A GONE B|GONE A|2147483647 A|2147483648|4294967297\
    |nobody-at-all A|é|0A|00A|' A'|'A '|'A\n'|A000000000|Ax|A:|A:1|A.0|+A|--A|0xA|4294967296A|-v A\
    |A -v|A -USR1|-l A|A -a|- A|A -q1|'' A|-2147483646 A";

#[test]
fn common_lines_and_those_close_to_them_do_the_same_when_they_are_parsed() {
    in_pid_namespace!();
    for build in BUILDS.iter() {
        let recorders = [Recorder::holding(), Recorder::holding()];
        let [one, two] = recorders.each_ref().map(Recorder::arg);
        let gone = Victim::gone().to_string();
        let mut world = World::of(build, recorders.into());
        let filled = |targets: &str| {
            let targets = targets.replace("GONE", &gone).replace('A', &one);
            words(&targets.replace('B', &two))
        };
        let spelled: Vec<Vec<String>> = each(SPELLED).map(words).collect();
        let targets: Vec<Vec<String>> = each(TARGETS).map(filled).collect();
        let near = spelled
            .iter()
            .flat_map(|s| targets.iter().map(|t| [&s[..], t].concat()));
        let wrong = words(NOT_TARGETS).into_iter().zip(spelled.iter().cycle());
        let wrong = wrong.map(|(token, s)| [&s[..], &[token, one.clone()]].concat());
        let users = [0, 0, 0, if may_change_user() { NOBODY } else { 0 }];
        let lines: Vec<Vec<String>> = near.chain(wrong).collect();
        for (line, user) in lines.iter().zip(users.into_iter().cycle()) {
            world.assert_same(line, user);
        }
    }
}

#[test]
fn every_spelling_of_a_standard_signal_does_the_same() {
    for build in BUILDS.iter() {
        let mut world = World::of(build, vec![Recorder::new()]);
        let pid = world.recorders[0].arg();
        let numbers = (0..=70).map(|number| number.to_string());
        let signals = numbers.chain(words(SIGNALS)).chain(words(NOT_SIGNALS));
        for signal in signals.filter(|signal| !is_lethal(signal)) {
            let odd = [signal.clone(), format!("SIG{signal}")];
            world.assert_same(&[format!("-{signal}"), pid.clone()], 0);
            for signal in odd.map(|signal| in_odd_case(&signal)) {
                world.assert_same(&["-s".to_owned(), signal, pid.clone()], 0);
            }
        }
    }
}

#[test]
fn signals_that_end_or_stop_a_process_arrive() {
    for build in BUILDS.iter() {
        for [spelled, number] in rows("-KILL|9\n-9|9\n-TERM|15\n-32|32\n-33|33\n-34|34") {
            let victims = [Victim::sleeping(), Victim::sleeping()];
            call!(raw(build), "{spelled} {} {}", victims[0], victims[1]).fine();
            killed(&victims, number.parse().expect("a number"));
        }
        let stopped = Victim::sleeping();
        call!(raw(build), "-STOP {stopped}").code(0);
        stopped.assert_state('T');
    }
}

/// What the C library does before `main` is its own; what comes after, from the first call on that
/// sigsend makes, is bounded.
fn after_start(calls: &[String]) -> &[String] {
    let is_first = |call: &String| call.starts_with("fcntl(0, F_GETFD");
    let first = calls.iter().position(is_first);
    &calls[first.expect("the standard descriptors are looked at first")..]
}

/// Lines, the number of system calls that they may take, and the signals that arrive. So few calls
/// that the parser was not reached, which allocates.
const COMMON: &str = "
    PID         | 8  | 15
    -HUP PID    | 8  | 1
    -sighup PID | 8  | 1
    -1 PID      | 8  | 1
    -0 PID      | 8  |
    -64 PID     | 8  | 64
    -s HUP PID  | 8  | 1
    -s 1 PID    | 8  | 1
    -s Exit PID PID PID | 10 |
    -l          | 16 |";

#[test]
fn common_calls_make_few_system_calls() {
    for build in BUILDS.iter() {
        let mut recorder = Recorder::new();
        for [line, most, received] in rows(COMMON) {
            needs!(may_trace(), "strace");
            let trace = strace_of(build, "trace=all", &line.replace("PID", &recorder.arg()));
            trace.done.fine();
            let calls = after_start(&trace.calls);
            let most: usize = most.parse().expect("a number");
            assert!(calls.len() <= most, "{build} {line}: {calls:#?}");
            let names = "fcntl( rt_sigaction( getpid( kill( exit_group(";
            let is_expected = |call: &String| names.split(' ').any(|name| call.starts_with(name));
            let is_plain = line == "-l" || calls.iter().all(is_expected);
            assert!(is_plain, "{build} {line}: {calls:#?}");
            assert_eq!(recorder.signals(), numbers(received), "{line}");
        }
    }
}

/// Targets, the status, and how many signals the first and the last of them receive.
const WITH_A_DEAD_ONE: &str = "
    FIRST FIRST GONE LAST  | 64 | 2 1
    GONE FIRST LAST LAST   | 64 | 1 2
    FIRST LAST FIRST GONE  | 64 | 2 1
    GONE                   | 1  | 0 0
    FIRST LAST 00          | 1  | 0 0";

#[test]
fn a_signal_is_not_sent_again_after_a_later_target_failed() {
    let gone = Victim::gone().to_string();
    for build in BUILDS.iter() {
        let mut recorders = [Recorder::holding(), Recorder::holding()];
        let [first, last] = recorders.each_ref().map(Recorder::arg);
        let line = format!("sigsend: sending signal to {gone} failed: No such process\n");
        for [targets, status, counts] in rows(WITH_A_DEAD_ONE) {
            let named = targets.replace("FIRST", &first).replace("LAST", &last);
            // Realtime signals queue up, so each one that is sent is received.
            let line_of_call = format!("-34 {}", named.replace("GONE", &gone));
            let status = status.parse().expect("a number");
            let done = call!(raw(build), "{line_of_call}").code(status);
            assert!(done.err == line || targets.contains("00"), "{done:?}");
            let received = recorders.each_mut();
            let received = received.map(|recorder| recorder.signals().len());
            let got = format!("{} {}", received[0], received[1]);
            assert_eq!(got, counts, "{targets}");
            needs!(may_trace(), "strace");
            let trace = strace_of(build, "trace=kill", &line_of_call);
            let kills = trace.calls.iter().filter(|call| call.starts_with("kill("));
            let is_refused = targets.contains("00");
            let named = targets.split(' ').count();
            let expected = if is_refused { 0 } else { named };
            assert_eq!(kills.count(), expected, "{targets}");
            let all = recorders.iter_mut();
            all.for_each(|recorder| _ = recorder.signals());
        }
    }
}

#[test]
fn a_hundred_thousand_targets_with_a_dead_one_among_them_get_each_signal_once() {
    let gone = Victim::gone().to_string();
    for build in BUILDS.iter() {
        let mut recorder = Recorder::holding();
        let mut pids = vec![recorder.arg(); 100];
        pids.resize(60_000, gone.clone());
        pids.push(recorder.arg());
        let mut command = raw(build);
        command.arg("-34");
        command.run(&pids).code(64).complains(59_900);
        assert_eq!(recorder.signals(), [34; 101]);
    }
}

/// How `sh -c 'exec sigsend ARGUMENTS'` ends in a process group of its own, with a signal ignored
/// from the start or not. `$1` is the PID of `other`.
fn to_itself(build: &str, ignored: &str, arguments: &str, other: &Recorder) -> ExitStatus {
    let script = format!("ulimit -c 0; trap '' {ignored}; exec \"$0\" {arguments}");
    let mut command = sh_of(build, &script);
    command.arg(other.arg()).stdout(Stdio::null());
    command.process_group(0);
    command.status().expect("sh starts")
}

#[track_caller]
fn assert_ends_itself(forms: &str) {
    let mut other = Recorder::new();
    for build in BUILDS.iter() {
        // The name by which --expect knows it.
        let copied = Unprivileged::of(build);
        let program = copied.path().display().to_string();
        for [name, number] in rows("SEGV|11\nBUS|7\nPIPE|13\nXFSZ|25\nTERM|15") {
            let number = numbers(number)[0];
            for form in each(forms) {
                let arguments = format!("-{name} {form}");
                let received = vec![number; form.matches("$1").count()];
                let ended = to_itself(&program, "USR2", &arguments, &other);
                assert_eq!(ended.signal(), Some(number), "{arguments}: {ended}");
                assert_eq!(other.signals(), received, "{arguments}");
                let ended = to_itself(&program, name, &arguments, &other);
                assert!(ended.success(), "{arguments}, ignored: {ended}");
                assert_eq!(other.signals(), received, "{arguments}, ignored");
            }
        }
    }
}

/// sigsend ignores PIPE and XFSZ for its own output, and Rust's runtime would catch SEGV and BUS. The
/// others get their signals first, wherever its own PID stands.
#[test]
fn a_signal_to_sigsend_itself_comes_last_and_does_what_it_does_to_any_program() {
    assert_ends_itself("$$ | -v $$ | --expect sigsend $$ | -- $$ | $$ $1 | -v $$ $1 | -- $1 $$");
    let other = Recorder::new();
    for build in BUILDS.iter() {
        let ended = to_itself(build, "USR2", "-0 $$ $1", &other);
        assert!(ended.success(), "{ended}");
    }
}

#[test]
fn a_signal_to_its_own_group_does_what_it_does_to_any_program() {
    in_pid_namespace!();
    assert_ends_itself("0 | -- -$$ | -v $1 0");
}

/// write(2) that fails, or writes nothing, is an error and is not repeated for ever.
#[test]
fn a_list_that_cannot_be_written_is_an_error() {
    needs!(program("strace").is_some(), "strace");
    let faults = "
        retval=0     | failed to write
        error=EIO    | Input/output error
        error=ENOSPC | No space left on device";
    let all = BUILDS.iter();
    for (build, [result, reason]) in all.flat_map(|b| rows(faults).map(move |row| (b, row))) {
        for line in each("-l | -l -- | -t | -L") {
            let inject = format!("inject=write:{result}:when=1");
            let mut command = tool(&format!("strace -qq -e {inject} -o /dev/null"));
            command.arg(build);
            let begins = format!("sigsend: write error: {reason}");
            call!(command, "{line}").code(1).has(&begins);
        }
    }
}

/// Where a list may be written to, and the status. The other end of a pipe is in `readers`.
const SINKS: &str = "
    exec \"$0\" LIST >FILE                        | 0
    exec prlimit --fsize=100 \"$0\" LIST >FILE    | 1
    exec \"$0\" LIST 1<FILE                       | 1
    exec \"$0\" LIST >/dev/full                   | 1
    exec \"$0\" LIST >&-                          | 1
    mkfifo FILE.2; exec 3<>FILE.2 4>FILE.2 3<&-; exec \"$0\" LIST >&4 | 0";

#[test]
fn a_list_is_written_in_the_same_way_when_it_is_parsed() {
    needs!(program("prlimit").is_some(), "prlimit");
    let all = BUILDS.iter();
    for (build, [script, status]) in all.flat_map(|b| rows(SINKS).map(move |row| (b, row))) {
        for traps in ["", "trap '' PIPE;", "trap '' XFSZ;"] {
            let [quick, parsed] = ["-l", "-l --"].map(|list| {
                let dir = tempdir();
                let file = dir.arg("list", "");
                let script = script.replace("LIST", list).replace("FILE", &file);
                let done = sh_of(build, &format!("{traps} {script}")).run(&[]);
                let written = fs::read(file).expect("our own file");
                let holds = !script.contains("fsize") || written.len() == 100;
                assert!(holds, "{done:?}");
                (done.status, done.out, done.err, written)
            });
            assert_eq!(quick, parsed, "{script} {traps}");
            assert_eq!(quick.0, status.parse().ok(), "{script} {traps}: {quick:?}");
        }
    }
}

/// A wait, the victim that it is for, and the signal that ends the victim.
const WAITS: &str = "
    --wait         | cat | 15
    -w             | cat | 15
    --wait -s TERM | cat | 15
    -15 -w         | cat | 15
    --wait -KILL   | trap '' TERM HUP | 9
    -w -USR1       | trap 'kill -KILL $$' USR1 | 9";

#[test]
fn a_wait_ends_in_the_same_way_when_it_is_parsed() {
    for (build, more) in BUILDS.iter().flat_map(|build| [(build, ""), (build, "--")]) {
        for [args, script, signal] in rows(WAITS) {
            let victim = match script {
                "cat" => Victim::sleeping(),
                traps => Victim::shell(&format!("{traps}; echo ready; while :; do read x; done")),
            };
            call!(raw(build), "{args} {victim} {more}").ok();
            victim.assert_killed_by(signal.parse().expect("a number"));
        }
        let (zombie, gone) = (Victim::zombie(), Victim::gone());
        call!(raw(build), "-w {gone} {more}").ok();
        call!(raw(build), "--wait {zombie} {more}").ok();
    }
    for (build, line) in BUILDS
        .iter()
        .flat_map(|b| ["-w 0", "-w -1", "-w 007x"].map(|l| (b, l)))
    {
        let [quick, parsed] = ["", "--"].map(|more| call!(raw(build), "{line} {more}").code(1));
        assert_eq!((quick.out, quick.err), (parsed.out, parsed.err), "{line}");
    }
}

#[test]
fn a_wait_for_one_process_makes_few_system_calls_and_sends_once() {
    for build in BUILDS.iter() {
        let sleeping = Victim::sleeping();
        needs!(may_trace(), "strace");
        let trace = strace_of(build, "trace=all", &format!("--wait {sleeping}"));
        trace.done.code(0);
        let calls = after_start(&trace.calls);
        assert!(calls.len() <= 15, "{calls:#?}");
        sleeping.assert_killed_by(15);
    }
}

/// When poll(2) fails after the signal, the plan continues to wait and sends no other.
#[test]
fn a_wait_that_fails_after_its_signal_continues_without_a_second_signal() {
    needs!(program("strace").is_some(), "strace");
    for build in BUILDS.iter() {
        let traps = "trap 'echo got' USR1; trap 'exit 0' USR2";
        let mut victim = Victim::shell(&format!("{traps}; echo ready; {IDLE}"));
        let inject = "trace=?poll,?ppoll -e inject=?poll,?ppoll:error=EINVAL:when=2";
        let mut command = tool(&format!("strace -qq -e {inject} -o /dev/null {build}"));
        command.args(["--wait", "-USR1", &victim.arg()]);
        let mut waiting = command.spawn().expect("strace starts");
        assert_eq!(victim.read_line(), "got");
        send(victim.pid(), Signal::SIGUSR2);
        let status = waiting.wait().expect("our child");
        assert!(status.success(), "{status}");
        victim.assert_exited_with(0);
    }
}
