//! Nothing is sent on bad input: an error anywhere on the command line means that no process gets a
//! signal. The victims have the PIDs that a wrong reading would select: 5, 12, 34 and 123, the
//! caller's own group, and all others for a stray -1.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;

use assert_cmd::Command;

use crate::support::{Recorder, Timed, Victim, in_pid_namespace, raw_sigsend, victim};

/// Tokens that are no valid target in any place.
const NO_TARGETS: [&[u8]; 44] = [
    b"",
    b"-",
    b"--",
    b"+1",
    b"00",
    b"-0",
    b"-01",
    b"0x7b",
    b"123abc",
    b"12,34",
    b"%1",
    b" -5",
    b"2147483648",
    b"4294967295",
    b"4294967296",
    b"4294967297",
    b"18446744073709551615",
    b"99999999999999999999",
    b"-2147483648",
    b"-4294967295",
    b"\xff",
    b"12\xff",
    b"-\xff",
    b" ",
    b"\n",
    b"0 ",
    b" 0",
    b"-1 ",
    b"-5x",
    b"1e5",
    b"-1e5",
    b"1.5",
    b"-1.5",
    b"-0123",
    b"a/b",
    b"@5",
    b"5:",
    b":0",
    b":5x",
    b"5:x",
    b"0:5",
    b" 5:5",
    b"5:-5",
    b"5:5:5",
];

/// All ways to name TERM, and not to name a signal at all.
const NAMINGS: [&[&str]; 11] = [
    &[],
    &["-s", "TERM"],
    &["-sTERM"],
    &["--signal", "TERM"],
    &["--signal=TERM"],
    &["--sig", "TERM"],
    &["-n", "15"],
    &["-n15"],
    &["-TERM"],
    &["-15"],
    &["-a", "-sigterm"],
];

/// The processes that must get no signal.
struct Crowd {
    at_risk: Vec<Victim>,
    leader: Victim,
    good: Recorder,
}

impl Crowd {
    fn gather() -> Self {
        let at_risk = [5, 12, 34, 123]
            .map(|pid| victim().with_pid(pid).sleeping())
            .into();
        Self {
            at_risk,
            leader: Victim::sleeping(),
            good: Recorder::new(),
        }
    }

    /// Runs sigsend in the group of the leader; it must refuse, and no process may get a signal.
    fn assert_refused(&mut self, args: &[OsString]) -> String {
        let mut command = raw_sigsend();
        command.process_group(self.leader.pid()).args(args);
        let output = Command::from_std(command)
            .timed()
            .output()
            .expect("sigsend starts");
        let stderr = String::from_utf8(output.stderr).expect("messages are UTF-8");
        assert_eq!(
            (output.status.code(), output.stdout.as_slice()),
            (Some(1), &b""[..]),
            "{args:?}: {stderr}"
        );
        assert!(stderr.starts_with("sigsend: "), "{args:?}: {stderr}");
        self.good.assert_untouched();
        self.leader.assert_alive();
        self.at_risk.iter().for_each(Victim::assert_alive);
        stderr
    }
}

type Words<'a> = &'a [&'a [u8]];

/// One command line: a form of signal, and a bad token with good targets around it.
struct Case<'a> {
    naming: Words<'a>,
    before: Words<'a>,
    token: &'a [u8],
    after: Words<'a>,
}

impl Case<'_> {
    /// The arguments, with `GOOD` replaced by a PID that could be signalled.
    fn args(&self, good: &str) -> Vec<OsString> {
        let words = [self.naming, self.before, &[self.token], self.after].concat();
        let word = |word: &[u8]| {
            if word == b"GOOD" {
                OsString::from(good)
            } else {
                OsStr::from_bytes(word).to_owned()
            }
        };
        words.into_iter().map(word).collect()
    }

    fn options_ended(&self) -> bool {
        self.before.contains(&b"--".as_slice())
    }

    /// Whether the token is where the old form of a signal is accepted, with no signal before it.
    fn may_be_signal(&self) -> bool {
        self.naming.is_empty() && self.before.is_empty()
    }

    /// Whether the line is valid: `-0` and `-01` in front are signals, and `--` ends the options.
    fn is_fine(&self) -> bool {
        let has_target = self.before.contains(&b"GOOD".as_slice()) || !self.after.is_empty();
        let is_signal = self.may_be_signal() && [b"-0".as_slice(), b"-01"].contains(&self.token);
        has_target && !self.options_ended() && (is_signal || self.token == b"--")
    }

    /// What the message must contain.
    fn complaint(&self) -> String {
        let text = match self.token {
            b"\xff" => r"\xff",
            b"12\xff" => r"12\xff",
            b"-\xff" => r"-\xff",
            b"\n" => r"\x0a",
            token => str::from_utf8(token).expect("the others are UTF-8"),
        };
        let number = text
            .strip_prefix('-')
            .filter(|rest| rest.starts_with(|first: char| first.is_ascii_digit()));
        match number {
            Some("0" | "01") if self.may_be_signal() => "no process ID specified".into(),
            Some(number) if self.may_be_signal() => format!("'{number}': invalid signal"),
            // After a target it is ambiguous and refused.
            Some(number)
                if self.naming.is_empty() && !self.options_ended() && is_digits(number) =>
            {
                format!("'{text}'")
            }
            None if text == "--" && !self.options_ended() => "no process ID specified".into(),
            _ => format!("'{text}': invalid target"),
        }
    }
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn a_bad_target_in_any_place_means_no_signal_is_sent() {
    in_pid_namespace(|| {
        let mut crowd = Crowd::gather();
        let places: [(Words, Words); 6] = [
            (&[], &[]),
            (&[b"GOOD"], &[]),
            (&[], &[b"GOOD"]),
            (&[b"--"], &[]),
            (&[b"--", b"GOOD"], &[]),
            (&[b"--"], &[b"GOOD"]),
        ];
        for token in NO_TARGETS {
            for naming in NAMINGS {
                let naming: Vec<_> = naming.iter().map(|word| word.as_bytes()).collect();
                for (before, after) in places {
                    let case = Case {
                        naming: &naming,
                        before,
                        token,
                        after,
                    };
                    if !case.is_fine() {
                        let args = case.args(&crowd.good.arg());
                        let stderr = crowd.assert_refused(&args);
                        assert!(stderr.contains(&case.complaint()), "{args:?}: {stderr}");
                    }
                }
            }
        }
    });
}

#[test]
fn a_bad_signal_in_any_form_means_no_signal_is_sent() {
    in_pid_namespace(|| {
        let mut crowd = Crowd::gather();
        let pid = crowd.good.arg();
        let bad = [
            "65",
            "129",
            "137",
            "256",
            "4294967297",
            "18446744073709551616",
            "NOPE",
            "SIG",
            "SIGSIGHUP",
            "SIG1",
            "UNUSED",
            "RTMIN3",
            "RTMIN+31",
            "RTMIN-1",
            "RTMAX+1",
            "RTMAX-31",
            "RT31",
            "HUP,INT",
            "1x",
            "0x1",
        ];
        for signal in bad {
            let spellings = [
                vec!["-s".to_owned(), signal.into()],
                vec![format!("-s{signal}")],
                vec!["--signal".into(), signal.into()],
                vec![format!("--signal={signal}")],
                vec!["-n".into(), signal.into()],
                vec![format!("-{signal}")],
            ];
            for spelling in spellings {
                for targets in [
                    &[&pid][..],
                    &[&pid, &pid],
                    &[&"0".to_owned()],
                    &[&"--".to_owned(), &"-1".to_owned()],
                ] {
                    let args: Vec<_> = spelling
                        .iter()
                        .chain(targets.iter().copied())
                        .map(OsString::from)
                        .collect();
                    let stderr = crowd.assert_refused(&args);
                    assert!(
                        stderr.contains(&format!("'{signal}': invalid signal")),
                        "{args:?}: {stderr}"
                    );
                }
            }
        }
        for signal in ["", " ", "+1", "-1", " 9", "9 ", "--", "TERM "] {
            for option in ["-s", "-n", "--signal"] {
                let stderr = crowd.assert_refused(&[option, signal, &pid].map(OsString::from));
                assert!(
                    stderr.contains(&format!("'{signal}': invalid signal")),
                    "{option} {signal:?}: {stderr}"
                );
            }
        }
    });
}

#[test]
fn contradicting_arguments_mean_no_signal_is_sent() {
    in_pid_namespace(|| {
        let mut crowd = Crowd::gather();
        let pid = crowd.good.arg();
        let lines = [
            "-TERM -HUP GOOD",
            "-TERM -TERM GOOD",
            "-TERM -s HUP GOOD",
            "-s HUP -s INT GOOD",
            "-n 1 -HUP GOOD",
            "-s HUP GOOD -INT",
            "GOOD -HUP -INT",
            "-9 --signal=9 GOOD",
            "GOOD -9",
            "GOOD -1",
            "GOOD -5",
            "GOOD GOOD -123",
            "-s",
            "-n",
            "--signal",
            "GOOD -s",
            "--signal= GOOD",
            "-q",
            "-q GOOD",
            "-q x GOOD",
            "-q 2147483648 GOOD",
            "-q -2147483649 GOOD",
            "-q 0x1 GOOD",
            "-q 1.0 GOOD",
            "--queue= GOOD",
            "-q 1 0",
            "-q 1 -- -1",
            "-q 1 -TERM -5",
            "-r -KILL GOOD",
            "-r -STOP GOOD",
            "-r -0 GOOD",
            "-r -HUP -- -5",
            "-r -HUP 0",
            "-r -HUP -1",
            "-p -HUP GOOD",
            "-p -- -5",
            "-p 0",
            "-p -- -1",
            "-p -q 1 GOOD",
            "--nope GOOD",
            "--nope=1 GOOD",
            "-x GOOD",
            "-ax GOOD",
            "--all=1 GOOD",
            "GOOD --nope",
            "-s TERM",
            "-9",
            "-HUP",
            "-a",
            "--",
            "-s TERM --",
        ];
        for text in lines {
            let args: Vec<_> = text
                .split(' ')
                .map(|word| OsString::from(if word == "GOOD" { &pid } else { word }))
                .collect();
            crowd.assert_refused(&args);
        }
    });
}
