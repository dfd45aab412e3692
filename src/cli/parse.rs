//! From a command line to an action: whether the options go together, and what they mean as a plan.
//! Pure: nothing is looked up and nothing is sent.

use std::ffi::OsStr;

use crate::cli::argv::{self, Line};
use crate::cli::duration::duration;
use crate::cli::options::{Opt, table as opt};
use crate::cli::refusal::{Refusal, usage_error, with_hint};
use crate::cli::selection::selection;
use crate::cli::values;
use crate::event::Status;
use crate::plan::{Action, Begun, Detail, FollowUp, Mode, Plan, Question, Until, Voice};
use crate::signal::Signal;
use crate::target::{Pid, Target};
use crate::usage::UsageError;

/// Reads the arguments after argv[0].
pub fn parse(args: &[&'static OsStr]) -> Result<Action, Refusal> {
    let line = argv::split(args);
    let action = match &line.error {
        Some(error) => Err(usage_error(error, &line)),
        None => action(&line),
    };
    action.map_err(|error| Refusal {
        error: with_hint(error, &line),
        // A supervisor must not take a usage error for a dead service: with --alive the answer is
        // "could not be determined".
        status: line.choice(Status::Failure, &[(&opt::ALIVE, Status::Undecided)]),
        voice: voice(&line),
    })
}

fn action(line: &Line) -> Result<Action, UsageError> {
    if line.has(&opt::LONG_HELP) {
        return Ok(Action::Help(Detail::Long));
    } else if line.has(&opt::HELP) {
        return Ok(Action::Help(Detail::Short));
    } else if line.has(&opt::VERSION) {
        return Ok(Action::Version);
    }
    check_exclusions(line)?;
    let operands = line.operands.iter().copied();
    let words = operands.clone().map(OsStr::to_owned);
    Ok(if line.has(&opt::LIST) {
        let attached = line.values(&opt::LIST).map(OsStr::to_owned);
        Action::List(attached.chain(words).collect())
    } else if line.has(&opt::NUMBERS) {
        Action::Numbers(words.collect())
    } else if line.has(&opt::TABLE) {
        Action::Table(words.collect())
    } else if line.has(&opt::STATE) {
        let pids = line.values(&opt::STATE).chain(operands);
        Action::State(pids.map(values::process_id).collect::<Result<_, _>>()?)
    } else if let Some(product) = line.value(&opt::GENERATE, values::product)? {
        Action::Generate(product)
    } else {
        Action::Run(plan(line)?.into(), voice(line))
    })
}

fn mode(line: &Line) -> Mode {
    let modes = [
        (&opt::PID, Mode::Ask(Question::Pid)),
        (&opt::ID, Mode::Ask(Question::Id)),
        (&opt::ALIVE, Mode::Ask(Question::Alive)),
        (&opt::DRY_RUN, Mode::Rehearse),
    ];
    line.choice(Mode::Send, &modes)
}

fn voice(line: &Line) -> Voice {
    let voices = [(&opt::JSON, Voice::Json), (&opt::VERBOSE, Voice::Verbose)];
    line.choice(Voice::Quiet, &voices)
}

fn check_exclusions(line: &Line) -> Result<(), UsageError> {
    for (ones, others) in opt::EXCLUSIONS {
        let Some(one) = line.first(ones) else {
            continue;
        };
        let may_be_both = |other: &Opt| [one.id(), opt::VERBOSE.id()].contains(&other.id());
        let mut others = others.iter().filter(|other| !may_be_both(other));
        if let Some(other) = others.find(|other| line.has(other)) {
            let (one, other) = (one.spelled(), other.spelled());
            let error = format!("'{one}' cannot be used with '{other}'");
            return Err(UsageError::new(error));
        }
    }
    Ok(())
}

fn plan(line: &Line) -> Result<Plan, UsageError> {
    let signals = line.values(&opt::SIGNAL).map(values::signal);
    let first = match signals.collect::<Result<Vec<_>, _>>()?[..] {
        [] => Signal::TERM,
        [one] => one,
        [one, other, ..] => {
            let error = format!("one signal at a time: {one} and {other} were named");
            return Err(UsageError::new(error));
        }
    };
    let timeouts: Vec<_> = line.values(&opt::TIMEOUT).collect();
    let timeouts = timeouts.chunks_exact(2);
    let follow_ups = timeouts.map(|pair| values::follow_up(pair[0], pair[1]));
    let mut follow_ups: Vec<FollowUp> = follow_ups.collect::<Result<_, _>>()?;
    let within = line.value(&opt::WITHIN, duration)?;
    let grace = line.value(&opt::GRACE, duration)?;
    let value = line.value(&opt::QUEUE, values::queued_value)?;
    let selection = selection(line, first)?;
    if line.has(&opt::HANDLER) && matches!(first, Signal::NULL | Signal::KILL | Signal::STOP) {
        return Err(UsageError::new(format!(
            "'--require-handler' is of no use with {first}, which no process can catch"
        )));
    }
    if grace.is_some() && first.is_null() {
        return Err(UsageError::new(format!(
            "'--grace' cannot be used with {first}, which signals nobody: '--within' waits only"
        )));
    }
    let signal = Signal::KILL;
    follow_ups.extend(grace.map(|after| FollowUp { after, signal }));
    let wants_cont = grace.is_some() && !matches!(first, Signal::KILL | Signal::CONT);
    Ok(Plan {
        mode: mode(line),
        perhaps_signal: perhaps_signal(line),
        selection,
        first,
        companions: wants_cont.then_some(Signal::CONT).into_iter().collect(),
        follow_ups,
        value,
        until: match within.or(grace) {
            Some(within) => Until::Within(within),
            None if line.has(&opt::WAIT) => Until::Gone,
            None => Until::Sent,
        },
        begun: Begun::default(),
    })
}

/// The first of several targets, if no signal is named and its number may mean one.
fn perhaps_signal(line: &Line) -> Option<Pid> {
    if line.before_signal == 0 || line.operands.len() < 2 || line.has(&opt::SIGNAL) {
        return None;
    }
    let target = Target::try_from(line.operands[0]).ok()?;
    let pid = target.process()?;
    (pid.number() <= Signal::RTMAX.number()).then_some(pid)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;
    use crate::plan::{Age, Reach, Users};

    /// Reads a line of words, of which some are in single quotes.
    fn read(line: &'static str) -> Result<Action, Refusal> {
        let parts = line.split('\'').enumerate();
        let words = parts.flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().collect(),
            _ => vec![part],
        });
        parse(&words.map(OsStr::new).collect::<Vec<_>>())
    }

    #[track_caller]
    fn planned(line: &'static str) -> (Plan, Voice) {
        match read(line) {
            Ok(Action::Run(plan, voice)) => (*plan, voice),
            other => panic!("{line}: {other:?}"),
        }
    }

    /// Lines that are refused, a part of the error, and of the hint if that is given.
    const REFUSED: &str = "
        -l -t                   | '--list' cannot be used with '--table'
        -L -f x                 | '-L' cannot be used with '--full'
        -t -u 0                 | '--table' cannot be used with '--user'
        -d 7 --cwd x            | '--show-process-state' cannot be used with '--cwd'
        --generate man --mixed  | '--generate' cannot be used with '--mixed'
        -p -HUP 7               | '--pid' cannot be used with '--signal'
        --id --alive 7          | '--id' cannot be used with '--alive'
        --alive --grace 5s 7    | '--alive' cannot be used with '--grace'
        -p --dry-run 7          | '--pid' cannot be used with '--dry-run'
        --grace 5s --within 5s 7 | '--grace' cannot be used with '--within'
        --grace 5s --timeout 1s KILL 7 | '--grace' cannot be used with '--timeout'
        --grace 5s -0 7         | '--grace' cannot be used with EXIT
        --tree --cgroup /x      | '--tree' cannot be used with '--cgroup'
        --mixed --cgroup /x     | '--mixed' cannot be used with '--cgroup'
        -a -u bob nginx         | '--user' cannot be used with '--all'
        -r -KILL nginx          | '--require-handler' is of no use with KILL
        -r -HUP -- -7           | '--require-handler' cannot be used with the target '-7'
        --expect x 0            | '--expect' cannot be used with the target '0'
        -p 0                    | '--pid' cannot be used with the target '0'
        --alive -- -7           | '--alive' cannot be used with the target '-7'
        -w 0                    | '--wait' cannot be used with the target '0'
        --timeout 1s KILL 0     | '--timeout' cannot be used with the target '0'
        --grace 5s 0            | '--grace' cannot be used with the target '0'
        --tree 1                | the tree of process 1 is every process
        --mixed 01              | the tree of process 1 is every process
        -u bob                  | '--user' selects nobody by itself
        -u bob -KILL -w         | '--user' selects nobody by itself
        --mixed -KILL           | no process ID specified
        -f ab                   | '--full' selects by itself only with at least three bytes |
        -f 4242                 | '--full' selects by itself only with at least three bytes | 'kill 4242'
        -9 -f 4242              | '--full' selects by itself | 'kill -9 4242' signals the process 4242
        -f ab -f 12345 -u bob   | '--full' selects by itself only with at least three bytes
        --cwd /x -f ab          | '--full' selects by itself only with at least three bytes
        -f '' nginx             | '': invalid text
        --cwd / nginx           | '/': invalid directory
        --cwd '' nginx          | '': invalid directory
        -u '' nginx             | '': invalid user
        nginx HUP -TERM         | 'HUP' is a signal without its dash
        SigTerm --pidfile x     | 'SigTerm' is a signal without its dash
        --alive hup             | 'hup' is a signal without its dash | '-- hup' means processes
        --pidfile x --cgroup    | '--cgroup' is missing a value
        -d ''                   | '': invalid process ID
        --cwd /x --cwd /y       | '--cwd' can be given only once
        8080/udp                | invalid target | ':8080/udp'
        https://[::1]:8080/x?y  | invalid target | ':8080'
        [::]:8080               | invalid target | ':8080'
        :http                   | invalid target | ':PORT', ':PORT/tcp' and ':PORT/udp' take one port
        /usr/sbin/nginx         | invalid target | 'kill nginx' selects by command name, '--expect nginx' verifies; '--pidfile /usr/sbin/nginx' reads
        ./a/                    | invalid target | '--pidfile ./a/'
        -vw5 7                  | unknown option '-5' | '--within 5s'
        --wait=5s 7             | '--wait' takes no value | '--within 5s'
        --wait=5 7              | '--wait' takes no value | '--within 5s'
        7 -w 1m30s              | invalid target | '--within 1m30s'
        -s term,9 7             | invalid signal | '--grace 5s'
        -INT,TERM,KILL 7        | invalid signal | '-INT --timeout 5s TERM'
        -n -HUP 7               | invalid signal | '-s HUP' and '-HUP'
        7 --timeout=1s:KILL     | '--timeout' is missing a value | '--timeout 1s KILL'
        –TERM 7                 | invalid target | write -TERM
        -- '- 20005'            | invalid target | tr -d ' '
        4242 ? 00:00:00 cron    | invalid target | 'ps -o pid='
        4242 00:00:00 cron      | invalid target | 'ps -o pid='
        -ei nginx               | unknown option '-e' | '-v'
        --port=8080             | unknown option '--port' | 'kill :8080'
        --port x                | unknown option '--port' | 'kill :PORT'
        -P 7                    | unknown option '-P' | '--tree PID'
        --older 7               | unknown option '--older' | --older SECONDS
        --user-name bob         | unknown option '--user-name' |
        --hup 7                 | unknown option '--hup' | did you mean -HUP?";

    #[test]
    fn what_does_not_go_together_is_refused_with_what_to_type() {
        for row in REFUSED.lines().skip(1) {
            let mut columns = row.split(" |").map(str::trim);
            let mut column = || columns.next();
            let (line, error) = (column().expect("a line"), column().expect("an error"));
            let refused = read(line).expect_err(line);
            let (told, hint) = (&refused.error.text, refused.error.hint_for("kill"));
            assert!(told.contains(error), "{line}: {told}");
            match column() {
                Some("") => assert_eq!(hint, None, "{line}"),
                Some(wanted) => assert!(
                    hint.iter().any(|hint| hint.contains(wanted)),
                    "{line}: {hint:?}"
                ),
                None => {}
            }
            let alive = line.contains("--alive");
            assert_eq!(refused.status == Status::Undecided, alive, "{line}");
        }
    }

    /// Lines that are not refused.
    const PLANNED: &str = "nginx ''|'' ''|-w ''|-f ab nginx|-f ab ''|-f 4242 --pidfile -|-f ab -f abc\
        |-f a12 -u bob|--cwd . -a|-u bob nginx|-u 0 7|-u bob --cgroup /x|-f x --cgroup /x -KILL\
        |--tree --mixed 7|-aa -ww -vv -rr nginx|-HUP HUP|-s 1 stop|nginx -- stop|-TERM -- stop\
        |--wait :80/udp :80/tcp :80|--pidfile a --pidfile b|--alive -a nginx|--alive -u bob nginx\
        |-p -r --tree nginx";

    #[test]
    fn a_plan_says_what_the_line_says() {
        PLANNED.split('|').for_each(|line| _ = planned(line));
        let (plan, voice) = planned("--dry-run --grace 5s --mixed -u bob -f abc -f d --cwd /x");
        let wanted = (Mode::Rehearse, Voice::Quiet, Reach::Mixed);
        assert_eq!((plan.mode, voice, plan.selection.reach), wanted);
        assert_eq!(plan.selection.users, Users::Of("bob".into()));
        assert_eq!(plan.selection.full, ["abc", "d"]);
        assert_eq!(plan.selection.cwd, Some("/x".into()));
        assert_eq!(plan.companions, [Signal::CONT]);
        let (after, signal) = (Duration::from_secs(5), Signal::KILL);
        assert_eq!(plan.follow_ups, [FollowUp { after, signal }]);
        assert_eq!(plan.until, Until::Within(after));
        let (plan, _) = planned(
            "--timeout 9 KILL --timeout 1s INT -w -r -HUP --allow-stale --pidfile a --pidfile -",
        );
        let signals: Vec<Signal> = plan.signals().collect();
        assert_eq!(signals, [Signal::HUP, Signal::KILL, Signal::INT]);
        assert_eq!(plan.until, Until::Gone);
        assert_eq!(plan.selection.catching, Some(Signal::HUP));
        let pidfiles = &plan.selection.pidfiles;
        assert!(pidfiles.iter().all(|pidfile| pidfile.age == Age::Any));
        assert!(pidfiles.iter().map(|pidfile| &pidfile.path).eq(["a", "-"]));
        let (plan, _) = planned("--cgroup /x --grace 1s -KILL");
        assert!(plan.companions.is_empty() && plan.kills_whole());
        assert!(!planned("--cgroup /x -KILL -f abc").0.kills_whole());
    }

    #[test]
    fn a_small_number_in_front_may_be_meant_for_a_signal() {
        let perhaps = |line| planned(line).0.perhaps_signal.map(Pid::number);
        for line in "9 4242|09 4242 7|-p 9 4242".split('|') {
            assert_eq!(perhaps(line), Some(9), "{line}");
        }
        assert_eq!(perhaps("-w 64 nginx"), Some(64));
        let others = "9|65 4242|nginx 9|9:7 4242|-HUP 9 4242|9 4242 -HUP|-- 9 4242|0 4242";
        for line in others.split('|') {
            assert_eq!(perhaps(line), None, "{line}");
        }
    }

    const OPTIONS: &str = "-u -u0 --user=bob -f -f/ --full --full=abc --cwd --cwd=/ --cwd=/x --mixed \
        --mix -s -n -q -l -L -t -d -a -p -r -w -v -h -V -s0 -s9 -n1 -q0 -q-1 -aw -wv -vs -aq -- --signal \
        --signal=0 --signal=TERM --sig --queue --queue=-1 --all --pid --require-handler --pidfile \
        --pidfile=- --pidfile=/x --allow-stale --expect --expect=x --alive --id --tree --timeout \
        --timeout=0 --timeout=5s --ti --wait --within --within=0s --grace --grace=1s --dry-run --verbose \
        --json --wi --list=9 -é -9x -as -ax -vq5 -s-9 -n9 -sHUP -l9 -lTERM --nope --time --with";

    const TOKENS: &str = "0|-1|0|-1|00|-0|-00|-01|+0|+1|| |0 | 0|-1 | -1|-|-2|-9|-15|-64|-65|1|2|42|007\
        |0:1|1:0|42:7|%1|nginx|-TERM|-HUP|-KILL|-NOPE|-hup|-pwr|-int|-RTMIN+1|KILL|TERM|5s|10ms|4294967296|-4294967295";

    /// Ways in which many accepted lines begin.
    const STARTS: &str =
        "||-9|-s HUP|-TERM --|-KILL --wait|--tree|--grace 1s|-q 0 -USR1|--timeout 0 KILL";

    /// One of the words.
    fn one_of(words: &'static str, separator: char) -> impl Strategy<Value = String> {
        let words: Vec<&str> = words.split(separator).collect();
        prop::sample::select(words).prop_map(str::to_owned)
    }

    /// Arguments that are valid, nearly valid, or nearly `0` and `-1`.
    fn argument() -> impl Strategy<Value = String> {
        prop_oneof![
            4 => one_of(OPTIONS, ' '),
            4 => one_of(TOKENS, '|'),
            1 => "-?0{0,2}[0-9]{1,3}",
            1 => "-?(21474836|42949672|184467440737095516)[0-9]{1,2}",
            1 => "[ +-]{0,2}[0-9]{1,2}[ \n]{0,1}",
            1 => "--[a-z]{1,4}(=0|=-1|)",
        ]
    }

    fn arguments() -> impl Strategy<Value = Vec<String>> {
        let rest = prop::collection::vec(argument(), 0..7);
        (one_of(STARTS, '|'), rest).prop_map(|(start, rest)| {
            let start = start.split_whitespace().map(str::to_owned);
            start.chain(rest).collect()
        })
    }

    /// The arguments of the program live as long as it does; these are leaked to do the same.
    fn leaked(args: &[String]) -> Vec<&'static OsStr> {
        let leak = |arg: &String| &*Box::leak(OsString::from(arg).into_boxed_os_str());
        args.iter().map(leak).collect()
    }

    /// The plan of a line that is accepted.
    fn plan_of(args: &[String]) -> Option<Plan> {
        match parse(&leaked(args)) {
            Ok(Action::Run(plan, _)) => Some(*plan),
            _ => None,
        }
    }

    /// Whether the others contain the items in this order.
    fn is_within(items: &[String], others: &[String]) -> bool {
        let mut others = others.iter();
        items.iter().all(|item| others.any(|other| other == item))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2500))]

        #[test]
        fn nothing_after_two_dashes_is_read(before in arguments(), after in arguments()) {
            // Enough dashes that one pair is no option's value.
            let args = [before, ["--"; 3].map(str::to_owned).to_vec()].concat();
            let alone = argv::split(&leaked(&args));
            let line = argv::split(&leaked(&[args, after.clone()].concat()));
            prop_assert_eq!(&line.operands[alone.operands.len()..], leaked(&after));
            prop_assert_eq!(line.options, alone.options);
        }

        #[test]
        fn own_group_and_everyone_are_only_ever_spelled_out(args in arguments()) {
            let Some(plan) = plan_of(&args) else { return Ok(()) };
            let count = |target: &Target| plan.selection.targets.iter().filter(|other| other == target).count();
            let spelled = |token: &str| args.iter().filter(|arg| *arg == token).count();
            prop_assert!(count(&Target::OwnGroup) <= spelled("0"));
            prop_assert!(count(&Target::Everyone) <= spelled("-1"));
            let targets: Vec<String> = plan.selection.targets.iter().map(|target| target.to_string()).collect();
            prop_assert!(is_within(&targets, &args), "{targets:?}");
        }

        #[test]
        fn a_group_or_everyone_needs_a_signal_or_two_dashes_in_front(args in arguments()) {
            let Some(plan) = plan_of(&args) else { return Ok(()) };
            if plan.selection.targets.iter().any(|target| matches!(target, Target::Group(_) | Target::Everyone)) {
                let names = |c: char| c.is_ascii_uppercase() || "sn0123456789".contains(c);
                let named = |arg: &String| arg == "--" || arg.starts_with("--s") || (arg.starts_with('-') && arg.contains(names));
                let first = args.iter().position(|arg| arg.starts_with('-') && arg[1..].parse::<i64>().is_ok());
                let first_named = args.iter().position(named);
                prop_assert!(first_named.is_some() && first_named <= first);
            }
        }

        #[test]
        fn what_selects_is_given_and_selects_not_too_much(args in arguments()) {
            let Some(Plan { selection, .. }) = plan_of(&args) else { return Ok(()) };
            prop_assert!(!selection.is_empty(), "nothing selects");
            prop_assert!(selection.full.iter().all(|text| !text.is_empty()));
            prop_assert!(selection.cwd.as_ref().is_none_or(|directory| !directory.is_empty() && directory != "/"));
            if selection.is_description_alone() && !selection.full.is_empty() {
                let selects = |text: &OsString| text.len() >= 3 && text.to_str().is_none_or(|text| text.parse::<u64>().is_err());
                prop_assert!(selection.full.iter().any(selects), "{:?}", selection.full);
            }
        }

        #[test]
        fn a_signal_without_its_dash_is_no_target(args in arguments(), signal in "(SIG|)(HUP|term|Kill|RTMIN)") {
            // In front, where no signal is named and nothing takes it for its value.
            let plan = plan_of(&[&[signal][..], &args].concat());
            prop_assert!(plan.is_none(), "{plan:?}");
        }
    }
}
