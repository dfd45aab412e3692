//! Waiting until targets are gone: what counts as gone, which processes are waited for, exit
//! statuses, number of wake-ups.

use crate::support::prelude::*;

#[test]
fn a_wait_is_over_when_the_last_target_is_gone() {
    let at_once = Victim::shell("echo ready");
    let soon = Victim::shell("echo ready; sleep 0.05");
    let on_demand = Victim::shell("echo ready; read word");
    let mut waiting = background!("-0 --wait -v {at_once} {soon} {on_demand}");
    // On a busy machine it may be gone before sigsend has started.
    let ends = ["exited with status 0", "is already gone"];
    let ends = ends.map(|end| format!("{soon} (sh) {end}"));
    let is_its_end = |line: String| ends.iter().any(|end| line.starts_with(end));
    while !is_its_end(waiting.read_line()) {}
    waiting.assert_alive();
    drop(on_demand);
    waiting.assert_exited_with(0);
}

#[test]
fn a_process_that_remains_is_named_at_the_timeout() {
    let stubborn = Victim::shell(STUBBORN);
    let named = format!("{stubborn} (sh) is still there after 0.");
    let done = run!("--within 50ms {stubborn}");
    done.begins(124, format!("sigsend: {named}")).complains(1);
    let (_dir, kill) = link(SIGSEND.as_ref(), "kill");
    call!(Command::new(kill), "--within 10ms {stubborn}").begins(124, format!("kill: {named}"));
    stubborn.assert_alive();
}

#[test]
fn a_wait_of_zero_checks_once() {
    table(
        "--within 0s STUBBORN              | 124 | |
         --timeout 0 KILL --wait STUBBORN  | 0   | silent | STUBBORN=9",
    );
    let dead: Vec<Victim> = (0..20).map(|_| Victim::zombie()).collect();
    let pids: Vec<String> = dead.iter().map(Victim::arg).collect();
    run!("-0 --within 0s {}", pids.join(" ")).fine();
}

#[test]
fn a_process_that_is_already_gone_counts_as_success() {
    let (gone, zombie) = (Victim::gone(), Victim::zombie());
    for waiting in each("--wait | --within 20s | --grace 20s | --within 0s") {
        run!("{waiting} {gone}").ok();
        run!("{waiting} -- -{gone}").ok();
        run!("{waiting} -v {gone}").is(0, format!("{gone} is already gone\n"), "");
        run!("{waiting} {zombie}").ok();
    }
    run!("-v --wait -- -{gone}").says(format!("process group {gone} is already gone\n"));
    let killed = Victim::sleeping();
    run!("--wait {killed}").code(0);
    killed.assert_killed_by(15);
}

#[test]
fn with_only_a_follow_up_an_already_gone_process_is_a_failure() {
    table(
        "--timeout 20s KILL GONE      | 1  | sigsend: sending signal to GONE failed: No such process |
         --timeout 20s KILL -- -GONE  | 1  | sigsend: sending signal to -GONE failed: No such process |
         --timeout 20s KILL GONE CAT  | 64 |        | CAT=15
         --timeout 20s KILL nobody-at-all CAT | 64 | | CAT=15
         --wait nobody-at-all CAT     | 0  | silent | CAT=15
         --tree -KILL GONE            | 1  |        |
         --tree --grace 15s GONE      | 0  | silent |
         --tree --wait -KILL ZOMBIE   | 0  | silent |
         --tree -KILL ZOMBIE          | 0  |        |",
    );
}

#[test]
fn a_process_that_may_not_be_signalled_is_reported_and_not_waited_for() {
    needs!(may_change_user(), "root");
    let (user, mut foreign) = (Unprivileged::new(), Recorder::new());
    let calls = " | --wait | --within 20s | --grace 20s | --timeout 20s KILL | -KILL --tree";
    for call in each(calls) {
        let line = format!("sending signal to {foreign} failed: Operation not permitted\n");
        call!(user.sigsend(), "{call} {foreign}").begins(1, format!("sigsend: {line}"));
        let own = victim().owned_by(NOBODY).sleeping();
        call!(user.sigsend(), "{call} {foreign} {own}").code(64);
        own.assert_killed_by(if call.starts_with("-KILL") { 9 } else { 15 });
    }
    let stubborn = victim().owned_by(NOBODY).shell(STUBBORN);
    call!(user.sigsend(), "--within 50ms {foreign} {stubborn}").code(124);
    // The null signal waits without permission and sends nothing.
    call!(user.sigsend(), "-0 --within 50ms {foreign}").code(124);
    foreign.assert_untouched();
    let mut shell = Victim::shell("echo ready; read word; exit 5");
    shell.write_line("exit");
    call!(user.sigsend(), "-0 --wait {shell}").ok();
    shell.assert_exited_with(5);
}

#[test]
fn a_thousand_targets_are_waited_for_side_by_side() {
    let mut family = Family::with_role("children 2000");
    let pids: Vec<String> = family.children().iter().map(ToString::to_string).collect();
    assert_eq!(pids.len(), 2000);
    run!("--grace 15s {}", pids.join(" ")).within(10).ok();
    family.assert_alive();
    run!("-KILL --wait {family}").code(0);
    family.assert_all_ended();
}

#[test]
fn a_wait_wakes_up_once_for_each_exit() {
    let mut victims: Vec<Victim> = (0..5).map(|_| Victim::sleeping()).collect();
    victims.push(Victim::zombie());
    let pids: Vec<String> = victims.iter().map(Victim::arg).collect();
    let sleeps = "trace=epoll_wait,epoll_pwait,epoll_pwait2,poll,ppoll,nanosleep,clock_nanosleep";
    let trace = traced!(sleeps, "--wait {}", pids.join(" "));
    trace.done.code(0);
    let wakes = trace.calls.iter().filter(|call| call.starts_with("epoll_"));
    let wakes = wakes.count();
    let sleeps = trace.calls.iter().any(|call| call.starts_with("nanosleep"));
    let holds = (1..=victims.len() + 1).contains(&wakes) && !sleeps;
    assert!(holds, "{:#?}", trace.calls);
    // Without --verbose no exit status is looked up. isatty(3) is TCGETS, or TIOCGWINSZ with musl.
    let victim = Victim::sleeping();
    let looks = "trace=ioctl,openat,open,readlink";
    let trace = strace(looks, &format!("--wait {victim}"));
    trace.done.code(0);
    let is_look = |call: &String| {
        let is_tty = call.contains("TCGETS") || call.contains("TIOCGWINSZ");
        call.starts_with("ioctl") && !is_tty || call.contains(&victim.arg())
    };
    assert!(!trace.calls.iter().any(is_look), "{:#?}", trace.calls);
}

#[test]
fn an_idle_wait_does_not_wake_up() {
    let (stubborn, zombie) = (Victim::shell(STUBBORN), Victim::zombie());
    let sleeps = "trace=epoll_wait,epoll_pwait,epoll_pwait2,nanosleep,clock_nanosleep";
    let trace = traced!(sleeps, "-0 --within 300ms {zombie} {stubborn}");
    trace.done.code(124);
    assert!(trace.calls.len() <= 3, "{:#?}", trace.calls);
}

#[test]
fn a_process_named_in_several_ways_gets_each_step_once() {
    let mut leader = Recorder::of(victim());
    let mut member = Recorder::of(victim().in_group_of(leader.victim()));
    for targets in ["L L -- -L -L", "M -- -L"] {
        let targets = targets.replace('L', &leader.arg());
        let targets = targets.replace('M', &member.arg());
        run!("-USR1 --timeout 10 USR2 --within 50ms {targets}").code(124);
        let got = [leader.signals(), member.signals()];
        assert_eq!(got, [[10, 12], [10, 12]], "{targets}");
    }
}

#[test]
fn a_process_whose_time_was_used_up_by_the_freeze_gets_a_moment_to_die() {
    needs!(may_trace(), "strace");
    let waits_after_kill = |delay: &str| {
        let victim = Victim::sleeping();
        let slow = format!("inject=pidfd_send_signal:delay_enter={delay}:when=1");
        let trace = strace(&slow, &format!("--tree -KILL --within 0s {victim}"));
        let is_kill = |call: &&String| call.contains("SIGKILL");
        let is_wait = |call: &String| call.starts_with("epoll_w") || call.starts_with("epoll_p");
        let mut later = trace.calls.iter().skip_while(|call| !is_kill(call));
        assert!(later.next().is_some(), "KILL is sent");
        later.any(is_wait)
    };
    assert!(waits_after_kill("150000"));
    // On a busy machine any freeze may be slow.
    assert!((0..20).any(|_| !waits_after_kill("1")));
}

#[test]
fn a_clock_that_has_jumped_past_the_deadline_ends_the_wait_at_once() {
    let mut target = Recorder::new();
    let mut command = raw_sigsend();
    let line = format!("-USR1 --timeout 300ms USR2 --within 300ms {target}");
    let child = command.args(words(&line)).stderr(Stdio::null()).spawn();
    let mut child = child.expect("it starts");
    let own = i32::try_from(child.id()).expect("a PID");
    let mut received = Vec::new();
    eventually("the first signal", || {
        received.extend(target.signals());
        received.contains(&10)
    });
    // For a stopped process, the clock seems to jump.
    send(own, Signal::SIGSTOP);
    let stopped = Instant::now();
    let is_past = || stopped.elapsed() > Duration::from_millis(400);
    eventually("the deadline to pass", is_past);
    send(own, Signal::SIGCONT);
    assert_eq!(child.wait().expect("it ends").code(), Some(124));
    received.extend(target.signals());
    assert_eq!(received, [10, 12]);
}
