//! `-f TEXT`: processes by a text in their command line. [`Filter`] checks what `--cwd` and `-u`
//! share with it.

use crate::reuse::swap;
use crate::support::VictimOptions;
use crate::support::prelude::*;

/// A sleeping process with every signal at its default; `fit` changes its command.
#[track_caller]
pub fn started(mut options: VictimOptions, fit: impl FnOnce(&mut Command)) -> Victim {
    let mut command = Command::new(options.linked(program("cat").expect("a program")));
    fit(&mut command);
    options.echoing(&mut command)
}

fn titled(text: &str) -> Victim {
    started(victim().argv0(text), |_| {})
}

/// Asserts that a call was refused with a reason before it looked for anybody.
#[track_caller]
pub fn assert_usage_error(told: Done) -> String {
    let told = told.fails(1, "sigsend: ").err;
    assert!(!told.contains("unknown option"), "{told}");
    told
}

/// An option that describes processes, with its value, and how a command becomes one that it
/// selects.
pub struct Filter<'a>(pub &'a str, pub &'a dyn Fn(&mut Command));

impl Filter<'_> {
    /// Names, ports and control groups are narrowed in silence; a PID, a token, a pidfile and a
    /// list on standard input are refused; groups are a usage error.
    #[track_caller]
    pub fn assert_narrows_and_verifies(&self) {
        let Self(option, fit) = self;
        let (name, dir, group) = (unique(), tempdir(), control_group());
        // Held by both processes. This one holds it too, and is an ancestor of sigsend.
        let socket = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = socket.local_addr().expect("it is bound").port();
        let member = |fit: &dyn Fn(&mut Command)| {
            let socket = OwnedFd::from(socket.try_clone().expect("a descriptor"));
            let member = started(victim().named(&name), |command| {
                fit(command.stderr(socket));
            });
            if let Some(group) = &group {
                group.take(member.pid());
            }
            member
        };
        let group = group.iter().map(|group| format!("--cgroup {group}"));
        for target in group.chain([name.clone(), format!(":{port}")]) {
            let (other, fitting) = (member(&|_| {}), member(fit));
            run!("-p {option} {target}").says(format!("{fitting}\n"));
            run!("-KILL {option} {target}").ok();
            fitting.assert_killed_by(9);
            run!("-KILL {option} {target}").fails(1, "sigsend: ");
            other.assert_alive();
        }
        for kind in ["PID", "token", "pidfile", "list"] {
            let (other, fitting) = (started(victim(), |_| {}), started(victim(), fit));
            let call = |options: &str, target: &Victim| {
                let target = match kind {
                    "PID" => target.arg(),
                    "token" => token(target),
                    "list" => {
                        let list = piped(target.arg());
                        return call!(list, "{options} {option} --pidfile -");
                    }
                    _ => format!("--pidfile {}", dir.file("x.pid", target.arg()).display()),
                };
                run!("{options} {option} {target}")
            };
            for options in each("-KILL | --wait | --tree -KILL | --dry-run | --alive | -p") {
                call(options, &other).fails(1, other.arg());
            }
            call("-HUP", &fitting).ok();
            fitting.assert_killed_by(1);
            other.assert_alive();
        }
        let leader = Victim::sleeping();
        for group in ["0", "-1", &leader.group_arg()] {
            assert_usage_error(run!("-0 {option} -- {group}"));
        }
    }

    /// sigsend's parent, which the option would select, gets no signal and does not count.
    #[track_caller]
    pub fn assert_spares_the_caller(&self) {
        let Self(option, fit) = self;
        let failing =
            "-KILL | -a -KILL --tree | --mixed --timeout 0 KILL | -p | --alive | --dry-run";
        let failing = each(failing).map(|options| (options, 1));
        for (options, status) in failing.chain([("-KILL --wait", 0), ("--grace 5s", 0)]) {
            let mut command = sh("\"$0\" \"$@\" 2>/dev/null; echo status $?; read line");
            command.args(words(&format!("{options} {option}")));
            fit(&mut command);
            let mut caller = victim().command(command);
            assert_eq!(caller.read_line(), format!("status {status}"), "{options}");
            caller.assert_alive();
        }
    }
}

/// With each option that asks, shows, escalates or waits: `start` makes a process and the words
/// that select it alone.
#[track_caller]
pub fn assert_works_with_every_option(start: impl Fn() -> (Victim, String)) {
    // What is printed, and the signal that the process dies of, if any.
    let calls = "
        -p                      | PID                         |
        --id                    | PID:                        |
        --alive                 |                             |
        --dry-run               | would send TERM (15) to PID |
        --dry-run -r -HUP       |                             |
        -r -HUP                 |                             |
        -v -HUP                 | sent HUP (1) to PID         | 1
        --json -HUP             | \"pid\":PID,                | 1
        --tree -KILL            |                             | 9
        --grace 20s             |                             | 15
        -v --wait -HUP          | was killed by HUP           | 1
        --within 20s -q 7 -KILL |                             | 9";
    for [options, printed, signal] in rows(calls) {
        let (target, words) = start();
        let done = run!("{options} {words}").code(i32::from(options.contains("-r ")));
        contains!(done.out, "{}", printed.replace("PID", &target.arg()));
        match signal.parse() {
            Ok(signal) => target.assert_killed_by(signal),
            Err(_) => target.assert_alive(),
        }
    }
}

/// A shell with these arguments, separated by `|`.
fn with_arguments(arguments: &[u8]) -> Victim {
    let mut command = Command::new("sh");
    command.args(["-c", "echo ready; read line"]);
    command.args(arguments.split(|byte| *byte == b'|').map(OsStr::from_bytes));
    victim().ready(&mut command)
}

#[test]
fn a_text_is_looked_for_in_the_whole_command_line_byte_by_byte() {
    let text = unique();
    let filled = |pattern: &[u8]| {
        let parts: Vec<&[u8]> = pattern.split(|byte| *byte == b'@').collect();
        parts.join(text.as_bytes())
    };
    let long = "x".repeat(100_000) + "@" + &"y".repeat(30_000);
    let many = ("z".repeat(100_000) + "|").repeat(8) + "@";
    // The arguments, a text, and whether it is found.
    let table: &[(&[u8], &[u8], bool)] = &[
        (b"a@b", b"@", true),
        (b"worker|--queue|@|--fast", b"--queue @ --f", true),
        (b"two @ blanks", b"two @ blanks", true),
        (b"@||x", b"@  x", true),
        (b"@\nline", b"@\nline", true),
        (b"@\xff\xfe", b"@\xff", true),
        (many.as_bytes(), b"@", true),
        (long.as_bytes(), &long.as_bytes()[20_000..], true),
        (b"@", b"@ ", false),
        (b"@|x", b"@x", false),
        (b"@x", b"@X", false),
        (b"@x", b"@.*", false),
        (b"@\xff", b"@\xc3\xbf", false),
    ];
    for (arguments, pattern, matches) in table {
        let (target, pattern) = (with_arguments(&filled(arguments)), filled(pattern));
        let call = |options: &str| {
            let mut command = sigsend();
            command.arg("-f").arg(OsStr::from_bytes(&pattern));
            call!(command, "{options}")
        };
        if *matches {
            call("-p").says(format!("{target}\n"));
            // The matched text is shown, and control characters are escaped.
            let shown = call("--dry-run").told();
            let is_one_line = !shown.trim_end().contains(char::is_control);
            assert!(shown.contains(&text) && is_one_line, "{}", shown.len());
            call("-HUP").ok();
            target.assert_killed_by(1);
        } else {
            call("-KILL").code(1);
            target.assert_alive();
        }
    }
}

#[test]
fn every_description_must_match() {
    let (one, two, dir) = (unique(), unique(), tempdir());
    let both = format!("{two} {one}");
    let others = [&one, &two, &both].map(|text| titled(text));
    let meant = started(victim().argv0(both), |command| {
        command.current_dir(dir.path());
    });
    let dir = dir.path().display();
    run!("-HUP --full={one} -f{two} --cwd {dir}").ok();
    meant.assert_killed_by(1);
    alive(&others);
}

#[test]
fn a_text_alone_wants_three_bytes_that_are_not_all_digits() {
    let target = Victim::sleeping();
    for text in ["''", "/", "sh", "é", &target.arg(), "4242"] {
        for options in each("-0 -f | -p -a -f | --dry-run --full") {
            assert_usage_error(run!("{options} {text}"));
        }
    }
    // -f for force.
    for digits in [&target.arg(), "4242"] {
        let told = assert_usage_error(run!("-9 -f {digits}"));
        assert!(told.contains(&format!(" -9 {digits}")), "{told}");
    }
    target.assert_alive();
    // Where something else selects, short texts do no harm.
    run!("-f a -KILL {target}").ok();
    target.assert_killed_by(9);
}

#[test]
fn an_unset_variable_or_an_empty_list_does_not_make_the_text_select_alone() {
    let text = unique();
    let target = titled(&text);
    call!(piped(""), "-KILL -f {text} --pidfile -").ok();
    run!("-KILL -f {text} ''").code(1);
    target.assert_alive();
}

#[test]
fn a_text_narrows_verifies_and_spares_the_caller() {
    let text = unique();
    let fit = |command: &mut Command| {
        command.arg0(&text);
    };
    let option = format!("-f {text}");
    let filter = Filter(&option, &fit);
    filter.assert_narrows_and_verifies();
    filter.assert_spares_the_caller();
}

#[test]
fn a_text_works_with_every_option() {
    assert_works_with_every_option(|| {
        let text = unique();
        (titled(&text), format!("-f {text}"))
    });
}

#[test]
fn a_rewritten_title_counts_and_the_arguments_before_it_do_not() {
    needs!(program("perl").is_some(), "perl");
    let (old, new) = (unique(), unique());
    let mut command = Command::new("perl");
    let script = "$0 = \"nginx: worker process $ARGV[1]\"; $| = 1; print \"ready\\n\"; <STDIN>";
    command.args(["-e", script, &old, &new]);
    let target = victim().ready(&mut command);
    run!("-KILL -f {old}").code(1);
    target.assert_alive();
    run!("-HUP -f 'nginx: worker process {new}'").ok();
    target.assert_killed_by(1);
}

#[test]
fn a_text_that_only_others_have_is_told_with_the_option_for_them() {
    needs!(may_change_user(), "root");
    let text = unique();
    let foreign = started(victim().argv0(&*text).owned_by(NOBODY), |_| {});
    for options in each("-KILL | -w -KILL | --grace 5s | -p") {
        run!("{options} -f {text}").fails(1, &text).complains(1);
    }
    // The hint.
    run!("-v -KILL -f {text}").fails(1, &text).has("-a");
    run!("--alive -f {text}").ok();
    let (own, user) = (titled(&text), Unprivileged::new());
    let done = call!(user.sigsend(), "-a -HUP -f {text}").fails(64, own.arg());
    done.has("Operation not permitted");
    foreign.assert_killed_by(1);
    own.assert_alive();
}

#[test]
fn a_process_that_executes_meanwhile_is_found_or_not_and_is_no_other() {
    let (dir, text) = (tempdir(), unique());
    // Executes itself a thousand times, every second time without the text, which is there at last.
    let script = "[ $2 = 0 ] && exec sh -c 'read line' $TEXT\n\
        if [ $1 = - ]; then set -- $TEXT $2; else set -- - $2; fi\n\
        exec sh $0 $1 $(($2 - 1))";
    let path = dir.file("again", script);
    let again = |text: &str| {
        let mut command = Command::new("sh");
        command.arg(&path).args(["-", "1000"]).env("TEXT", text);
        victim().command(command)
    };
    let (target, other) = (again(&text), again("other"));
    for _round in 0..10 {
        let told = run!("-p -f {text}").out;
        assert!(told.is_empty() || told == format!("{target}\n"), "{told}");
    }
    eventually("the text to be there at the right time", || {
        let told = run!("-KILL -f {text}");
        assert!(matches!(told.status, Some(0 | 1)), "{told:?}");
        told.status == Some(0)
    });
    target.assert_killed_by(9);
    other.assert_alive();
}

#[test]
fn a_text_never_hits_the_next_owner_of_the_pid() {
    in_pid_namespace!();
    needs!(may_trace() && may_change_user(), "strace and root");
    let text = unique();
    // Not the user of the tracer, whose command line has the text too.
    let owner = |argv0: &str| {
        let options = victim().with_pid(4242).owned_by(NOBODY);
        options.argv0(argv0).sleeping()
    };
    for (window, next) in [
        (Window::BeforePinning, "other"),
        (Window::AfterPinning, "other"),
        (Window::BeforeSending, "other"),
        (Window::BeforeSending, &text),
    ] {
        let line = format!("-KILL -u 65534 -f {text}");
        swap(window, &line, owner(&text), || owner(next), "sigsend: ");
    }
}
