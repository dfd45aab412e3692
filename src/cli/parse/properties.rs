//! Random command lines: sigsend's own group and everyone are selected only by their exact tokens.

use std::ffi::OsString;

use proptest::prelude::*;

use super::*;

const OPTIONS: &str = "-u -u0 --user=bob -f -f/ --full --full=abc --cwd --cwd=/ --cwd=/x --mixed \
    --mix -s -n -q -l -L -t -d -a -p -r -w -v -h -V -s0 -s9 -n1 -q0 -q-1 -aw -wv -vs -aq -- --signal \
    --signal=0 --signal=TERM --sig --queue --queue=-1 --all --pid --require-handler --pidfile \
    --pidfile=- --pidfile=/x --allow-stale --expect --expect=x --alive --id --tree --timeout \
    --timeout=0 --timeout=5s --ti --wait --within --within=0s --grace --grace=1s --dry-run --verbose \
    --json --wi --list=9";

const TOKENS: &str = "0|-1|0|-1|00|-0|-00|-01|+0|+1|| |0 | 0|-1 | -1|-|-2|-9|-15|-64|-65|1|2|42|007\
    |0:1|1:0|42:7|%1|nginx|-TERM|-HUP|-KILL|KILL|TERM|5s|10ms|4294967296|-4294967295";

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

/// The plan of a line that is accepted.
fn plan_of(args: &[String]) -> Option<Plan> {
    // The arguments of the program live as long as it does; these are leaked to do the same.
    let leak = |arg: &String| &*Box::leak(OsString::from(arg).into_boxed_os_str());
    match parse(&args.iter().map(leak).collect::<Vec<_>>()) {
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
