//! Nothing is sent on bad input: an error anywhere on the command line means that no process gets a
//! signal. The victims have the PIDs that a wrong reading would select: 5, 12, 34 and 123, the
//! caller's own group, and all others for a stray -1.

use crate::support::prelude::*;
use crate::support::tokens::{NOT_SIGNALS, NOT_TARGETS};

/// All ways to name TERM, and not to name a signal at all.
const NAMINGS: &str = "|-s TERM|-sTERM|--signal TERM|--signal=TERM|--sig TERM|-n 15|-n15|-TERM|-15\
    |-a -sigterm";

struct Crowd {
    at_risk: [Victim; 4],
    leader: Victim,
    good: Recorder,
}

impl Crowd {
    fn gather() -> Self {
        let at_risk = [5, 12, 34, 123].map(|pid| victim().with_pid(pid).sleeping());
        Self {
            at_risk,
            leader: Victim::sleeping(),
            good: Recorder::new(),
        }
    }

    /// Runs sigsend in the group of the leader with these words, of which `GOOD` stands for a PID
    /// that could be signalled. It must refuse, and no process may get a signal.
    #[track_caller]
    fn assert_refused(&mut self, args: &[&[u8]]) -> String {
        let good = self.good.arg();
        let mut command = raw_sigsend();
        command.process_group(self.leader.pid());
        for word in args {
            let is_good = *word == b"GOOD";
            command.arg(OsStr::from_bytes(if is_good {
                good.as_bytes()
            } else {
                word
            }));
        }
        let told = command.run(&[]).begins(1, "sigsend: ").err;
        self.good.assert_untouched();
        self.leader.assert_alive();
        alive(&self.at_risk);
        told
    }
}

/// What is said of a bad token, which stands after these words and before a good target if any.
/// `None` if the line is valid: `-0` and `-01` in front are signals, and `--` ends the options.
fn complaint(naming: &str, before: &str, token: &str, has_target: bool) -> Option<String> {
    let options_ended = before.contains("--");
    let may_be_signal = naming.is_empty() && before.is_empty();
    let number = token.strip_prefix('-');
    let number = number.filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_option = token.len() > 1 && token.starts_with('-') && token != r"-\xff";
    Some(match number {
        Some("0" | "00" | "01") if may_be_signal && has_target => return None,
        Some("0" | "00" | "01") if may_be_signal => "no process ID specified".into(),
        Some(number) if may_be_signal => format!("'{number}': invalid signal"),
        // After a target it is ambiguous and refused.
        Some(number) if naming.is_empty() && !options_ended && is_digits(number) => {
            format!("'{token}'")
        }
        None if is_option && !options_ended => "unknown option".into(),
        _ => format!("'{token}': invalid target"),
    })
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The words before and after the token.
const PLACES: &str = r"
            |
    GOOD    |
            | GOOD
    --      |
    -- GOOD |
    --      | GOOD
";

/// Tokens that are no valid target in any place and not UTF-8, and how they are shown.
const NOT_UTF8: [(&[u8], &str); 3] = [
    (b"\xff", r"\xff"),
    (b"12\xff", r"12\xff"),
    (b"-\xff", r"-\xff"),
];

#[test]
fn a_bad_target_in_any_place_means_no_signal_is_sent() {
    in_pid_namespace!();
    let mut crowd = Crowd::gather();
    let namings: Vec<&str> = each(NAMINGS).collect();
    let texts = words(NOT_TARGETS);
    let texts = texts.iter().map(|text| (text.as_bytes(), escaped(text)));
    let others = NOT_UTF8.map(|(bytes, shown)| (bytes, shown.to_owned()));
    let mut turn = 0;
    for (token, shown) in texts.chain(others) {
        for [before, after] in rows(PLACES) {
            // Without a signal, and with each of the others or one of them in turn.
            turn = turn % 10 + 1;
            let from = if in_full() {
                1..namings.len()
            } else {
                turn..turn + 1
            };
            for naming in namings[from].iter().chain([&""]) {
                let has_target = before.contains("GOOD") || after.contains("GOOD");
                let Some(complaint) = complaint(naming, before, &shown, has_target) else {
                    continue;
                };
                let (head, tail) = (words(&format!("{naming} {before}")), words(after));
                let mut args: Vec<&[u8]> = head.iter().map(String::as_bytes).collect();
                args.push(token);
                args.extend(tail.iter().map(String::as_bytes));
                let told = crowd.assert_refused(&args);
                let holds = told.contains(&complaint);
                assert!(holds, "{naming} {before} {shown}: {told}");
            }
        }
    }
}

fn escaped(text: &str) -> String {
    let show = |c: char| match c {
        c if c.is_control() => format!("\\x{:02x}", u32::from(c)),
        '\u{a0}' => "\\u{a0}".to_owned(),
        c => c.to_string(),
    };
    text.chars().map(show).collect()
}

#[test]
fn a_bad_signal_in_any_form_means_no_signal_is_sent() {
    in_pid_namespace!();
    let mut crowd = Crowd::gather();
    // A leading zero there is left open.
    let signals = words(NOT_SIGNALS).into_iter();
    let signals = signals.filter(|signal| signal != "RTMIN+01");
    for signal in signals {
        let quoted = format!("'{}': invalid signal", escaped(&signal));
        // Elsewhere these are read as options or as signals.
        let first = signal.chars().next();
        let old_form = first.is_some_and(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
        for form in each("-s S|-sS|--signal S|--signal=S|-n S|-S") {
            for targets in each("GOOD|GOOD GOOD|0|-- -1") {
                let line = format!("{form} {targets}");
                let args = words(&line).into_iter();
                let args = args.map(|word| word.replace('S', &signal));
                let args: Vec<String> = args.collect();
                if old_form || form.contains([' ', '=']) {
                    let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
                    let told = crowd.assert_refused(&args);
                    assert!(told.contains(&quoted), "{args:?}: {told}");
                }
            }
        }
    }
}

/// Arguments that contradict each other, and missing or wrong values.
const CONTRADICTING: &str = "-TERM -HUP GOOD|-TERM -TERM GOOD|-TERM -s HUP GOOD|-s HUP -s INT GOOD\
    |-n 1 -HUP GOOD|-s HUP GOOD -INT|GOOD -HUP -INT|-9 --signal=9 GOOD|GOOD -9|GOOD -1|GOOD -5\
    |GOOD GOOD -123|-s|-n|--signal|GOOD -s|--signal= GOOD|-q|-q GOOD|-q x GOOD\
    |-q 2147483648 GOOD|-q -2147483649 GOOD|-q 0x1 GOOD|-q 1.0 GOOD|--queue= GOOD\
    |-r -KILL GOOD|-r -STOP GOOD|-r -0 GOOD|-p -HUP GOOD|-p -s HUP GOOD|-9 -p GOOD|-p -q 1 GOOD\
    |--nope GOOD|--nope=1 GOOD|-x GOOD|-ax GOOD|--all=1 GOOD|GOOD --nope|-s TERM|-9|-HUP|-1|-a|--\
    |-s TERM --|-l -l|-l -t|-t -l|-l -L|-t -L|-l -d GOOD|-d GOOD -t|-l -HUP|-HUP -l|-l -s HUP\
    |-s HUP -l 9|-l -9|-9 -L|-9 -t|-t -s HUP|-L -q 1|-l -p|-d GOOD -9|-d GOOD -s HUP|-HUP -d GOOD\
    |-l --list=9|-l9 -lTERM|-l -f GOOD|-t -u root|-L --cwd /tmp|-d GOOD --mixed|--id -w GOOD\
    |-a -u root GOOD|--mixed --cgroup /x";

const NOT_FOR_GROUPS: &str =
    "-q 1|-q 1 -HUP|-r -HUP|-p|--id|--expect sh|-f abc|--cwd /tmp|-u root|--tree|--mixed";

#[test]
fn contradicting_arguments_mean_no_signal_is_sent() {
    in_pid_namespace!();
    let mut crowd = Crowd::gather();
    let groups = ["-5", "0", "-1"];
    let for_groups = each(NOT_FOR_GROUPS).flat_map(|option| {
        let lines = groups.map(|group| format!("{option} -- {group}"));
        lines.map(|line| (line, true))
    });
    let lines = each(CONTRADICTING).map(|line| (line.to_owned(), false));
    for (line, names_group) in lines.chain(for_groups) {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let told = crowd.assert_refused(&args);
        // A value that cannot be read is the whole error.
        let is_usage = told.contains("Usage: sigsend [options] <pid>...\n");
        assert!(is_usage || told.contains("invalid"), "{line}: {told}");
        let group = line.rsplit(' ').next().filter(|_| names_group);
        assert!(told.contains(group.unwrap_or_default()), "{line}: {told}");
    }
}
