//! Which processes a signal reaches: one process, a group, the caller's own group, every process.
//! Tests with more than one target PID run in a private PID namespace.

use crate::support::prelude::*;

/// sigsend as a member of the group that `leader` leads.
fn sigsend_in_group_of(leader: &Victim) -> Command {
    let mut command = raw_sigsend();
    command.process_group(leader.pid());
    command
}

#[test]
fn a_pid_may_be_padded_but_is_never_octal() {
    in_pid_namespace!();
    let sleeper = victim().with_pid(100).sleeping();
    let bystander = victim().with_pid(64).sleeping();
    for padded in words("0100 0000000000000000000100 '    100' '100   ' '\t100\n' ' \n 00100 \t'") {
        run!("-0 '{padded}'").ok();
    }
    run!("' 0100\n'").code(0);
    sleeper.assert_killed_by(15);
    bystander.assert_alive();
}

#[test]
fn a_group_is_signalled_with_all_members_and_no_others() {
    for way in each("-TERM|-15|-s TERM|-sTERM|--signal=TERM|-n 15|--|-s TERM --") {
        table(&format!(
            "{way} -CAT | 0 | silent | CAT=15 CAT2@CAT=15 RECORDER="
        ));
    }
    table("-RTMIN+1 -RECORDER | 0 | | RECORDER=35");
}

#[test]
fn a_member_is_not_its_group_and_neither_is_the_leader() {
    in_pid_namespace!();
    table(
        "-TERM -CAT2@CAT | 1 | sigsend: sending signal to -CAT2@CAT failed: No such process |
         CAT2@CAT        | 0 | silent | CAT2@CAT=15",
    );
    let mut leader = Victim::sleeping();
    let member = victim().in_group_of(&leader).sleeping();
    run!("{leader}").code(0);
    leader.assert_killed_by(15);
    member.assert_alive();
    // The group exists without its leader.
    leader.reap();
    run!("-0 -- -{leader}").code(0);
    run!("-HUP -{leader}").code(0);
    member.assert_killed_by(1);
}

#[test]
fn zero_is_the_group_of_the_caller_itself_included() {
    in_pid_namespace!();
    let mut bystander = Recorder::new();
    for (args, signal) in [("0", 15), ("-USR1 0", 10), ("-- 0", 15), ("-RTMIN 0", 34)] {
        let leader = Victim::sleeping();
        let member = victim().in_group_of(&leader).sleeping();
        let caller = sigsend_in_group_of(&leader).args(words(args)).status();
        let got = caller.expect("sigsend starts").signal();
        assert_eq!(got, Some(signal), "{args:?}");
        leader.assert_killed_by(signal);
        member.assert_killed_by(signal);
        bystander.assert_untouched();
    }
    // The caller ends with its group, but not before the others were signalled.
    let (leader, other) = (Victim::sleeping(), Victim::sleeping());
    let mut caller = sigsend_in_group_of(&leader);
    let caller = caller.args(["0", &other.arg()]).status();
    assert_eq!(caller.expect("sigsend starts").signal(), Some(15));
    leader.assert_killed_by(15);
    other.assert_killed_by(15);
    let leader = Victim::sleeping();
    call!(sigsend_in_group_of(&leader), "-0 0").code(0);
    leader.assert_alive();
}

#[test]
fn minus_one_is_every_process_but_the_caller_and_init() {
    in_pid_namespace!();
    run!("-TERM -1").fails(1, "sigsend: sending signal to -1 failed: No such process\n");
    for (args, signal) in [
        ("-- -1", 15),
        ("-TERM -1", 15),
        ("-1 -1", 1),
        ("-9 -- -1", 9),
        ("-s INT -1", 2),
        ("-RTMAX -1", 64),
    ] {
        let victims = [Victim::sleeping(), Victim::sleeping(), victim().stopped()];
        let member = victim().in_group_of(&victims[0]).sleeping();
        run!("{args}").ok();
        // A stopped process handles signals other than KILL only when it is continued.
        run!("-CONT -1").code(0);
        killed(victims.iter().chain([&member]), signal);
    }
}

#[test]
fn pids_are_printed_instead_of_signalled() {
    in_pid_namespace!();
    let gone = Victim::gone();
    let mut listed = [(); 2].map(|()| Recorder::of(victim().named("listed")));
    let both = format!("{}\n{}\n", listed[0], listed[1]);
    for option in ["-p", "--pid"] {
        run!("{option} listed").says(&both);
    }
    run!("-p {}", listed[1]).says(format!("{}\n", listed[1]));
    let unfound = "sigsend: cannot find process \"nobody-here\"\n";
    run!("-p listed nobody-here").is(64, &both, unfound);
    run!("-p nobody-here").fails(1, unfound);
    run!("-p {gone}").fails(1, "sigsend: ");
    listed.iter_mut().for_each(Recorder::assert_untouched);
}

#[test]
fn a_negative_number_after_a_signal_is_a_group() {
    in_pid_namespace!();
    for way in each("-TERM | -15 | -s 15 | -sTERM | --sig=TERM | -an 15") {
        let group = victim().with_pid(9).sleeping();
        run!("{way} -9").ok();
        group.assert_killed_by(15);
    }
    let (group, other) = (victim().with_pid(9).sleeping(), Victim::sleeping());
    run!("{other} -HUP -9").code(0);
    group.assert_killed_by(1);
    other.assert_killed_by(1);
}
