//! The listing forms `-l`, `-L`, `-t` and `-d`, in a pipe and on a terminal, and write errors.

use crate::support::prelude::*;

/// The names of the standard signals, 1 to 31.
const STANDARD: &str = "\
    HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT CHLD CONT STOP \
    TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS";

#[test]
fn every_name_is_listed_by_number_one_a_line() {
    let lower = (1..=15).map(|n| format!("RTMIN+{n}"));
    let upper = (1..=14).rev().map(|n| format!("RTMAX-{n}"));
    let realtime: Vec<String> = lower.chain(upper).collect();
    let names = format!("EXIT {STANDARD} RTMIN {} RTMAX ", realtime.join(" "));
    for option in ["-l", "--list", "--li"] {
        run!("{option}").says(names.replace(' ', "\n"));
    }
    // Each is a signal, and its number has this name.
    for name in words(&names) {
        let number = run!("-l {name}").told();
        run!("-l {}", number.trim_end()).says(format!("{name}\n"));
        run!("-l {}", name.to_lowercase()).says(&number);
        run!("-l SIG{name}").says(&number);
    }
}

/// Operands with the same answer.
const TRANSLATED: &str = "
    KILL     | 9 09 137 265 393
    EXIT     | 0 128 256 512 2304 65280
    SEGV     | 139
    IO       | 29
    32       | 32
    33       | 33
    RTMIN    | 34
    RTMIN+1  | 35
    RTMIN+15 | 49
    RTMAX-14 | 50
    RTMAX    | 64 192 448
    HUP      | 385
    9        | KILL SIGKILL kill
    29       | POLL
    17       | CLD
    6        | IOT
    0        | EXIT NULL
    35       | RTMIN+1 RT1
    50       | RTMAX-14
    64       | rtmax";

#[test]
fn numbers_statuses_and_names_are_translated() {
    for [answer, operands] in rows(TRANSLATED) {
        for operand in operands.split(' ') {
            for form in ["-l ", "-l", "-l=", "--list ", "--list="] {
                run!("{form}{operand}").says(format!("{answer}\n"));
            }
        }
    }
    let wrong = "99 384 449 65 127 255 -1 NOPE SIG '' +9 ' 9' 99999999999999999999 0x 0xg";
    for operand in words(wrong) {
        let refused = format!("sigsend: '{operand}': invalid signal\n");
        run!("-l -- '{operand}'").begins(1, refused);
    }
    run!("-l 9 TERM 137").says("KILL\n15\nKILL\n");
    run!("-l9 TERM").says("KILL\n15\n");
    let done = run!("-l 9 NOPE 15 99").is(1, "KILL\nTERM\n", "'NOPE': invalid signal");
    done.has("'99': invalid signal");
}

#[test]
fn a_mask_is_decoded() {
    for (mask, names) in [
        ("0x4001", "HUP TERM"),
        ("0x0000000000004001", "HUP TERM"),
        ("0x8000000200000001", "HUP RTMIN RTMAX"),
    ] {
        let told = run!("-l {mask}").told();
        assert_eq!(words(&told.replace('\n', " ")), words(names), "{mask}");
    }
    let all = run!("-l 0xffffffffffffffff").told();
    assert_eq!(all.split_whitespace().count(), 64);
    run!("-l 0x10000000000000000").fails(1, "sigsend: ");
}

#[test]
fn numbers_and_names_are_listed_in_pairs() {
    let names = STANDARD.split(' ').zip(1..);
    let names = names.chain([("RTMIN", 34), ("RTMAX", 64)]);
    let pairs = names.map(|(name, number)| format!("{number:>2} {name}\n"));
    let pairs: Vec<_> = pairs.collect();
    run!("-L").says(pairs.concat());
    run!("-L KILL rtmin+1 1").says(" 9 KILL\n35 RTMIN+1\n 1 HUP\n");
    run!("-L NOPE").fails(1, "sigsend: ");
}

#[test]
fn the_table_has_a_row_for_each_signal() {
    let first = |table: &str| {
        let columns = table.lines().flat_map(|row| numbers(&row[..2]));
        columns.collect::<Vec<_>>()
    };
    for option in ["-t", "--table", "--tab"] {
        let table = run!("{option}").told();
        assert_eq!(first(&table), (0..=64).collect::<Vec<_>>(), "{option}");
        let last = table.lines().last().unwrap_or_default();
        let holds = table.starts_with(" 0 EXIT") && last.starts_with("64 RTMAX ");
        assert!(holds, "{table}");
    }
    let actions = "HUP terminate|QUIT core|STOP stop|TTIN stop|CONT continue|CHLD ignore\
        |WINCH ignore|URG ignore|RTMIN+15 terminate|RTMAX-14 terminate|SYS core|32 terminate";
    for (name, action) in each(actions).filter_map(|row| row.split_once(' ')) {
        let row = run!("-t {name}").told();
        let fields: Vec<_> = row.split_whitespace().collect();
        assert_eq!(fields[1..3], [name, action]);
        assert!(fields.len() > 3, "a description: {row}");
        let is_realtime = row.contains("realtime");
        assert_eq!(is_realtime, name.starts_with("RT"), "{row}");
    }
    assert_eq!(first(&run!("-t 9 HUP").told()), [9, 1]);
    run!("-t NOPE").fails(1, "sigsend: ");
}

#[test]
fn a_terminal_gets_columns() {
    for columns in [40, 80, 132] {
        for option in ["-l", "-L"] {
            let shown = on_terminal(columns, &[option]);
            let words: Vec<_> = shown.split_whitespace().collect();
            let fits = |line: &str| line.len() <= usize::from(columns);
            let holds = shown.lines().count() < 33 && shown.lines().all(fits);
            assert!(holds, "{option} {shown}");
            let mut names = ["HUP", "KILL", "RTMIN", "RTMAX"].iter();
            let has_all = names.all(|name| words.contains(name));
            let is_short = !shown.contains("RTMIN+") && !shown.contains("RTMAX-");
            assert!(has_all && is_short, "{shown}");
        }
    }
    assert!(on_terminal(80, &["-l"]).starts_with("EXIT"));
    assert!(!on_terminal(80, &["-L"]).contains("EXIT"));
    assert_eq!(on_terminal(80, &["-l", "9"]), "KILL\n");
    // A serial console reports no size.
    for option in ["-l", "-L"] {
        let got = on_terminal(0, &[option]);
        assert_eq!(got, on_terminal(80, &[option]), "{option}");
    }
}

/// The line of a set that `-d` shows, without its label.
#[track_caller]
fn set<'a>(told: &'a str, label: &str) -> &'a str {
    let mut lines = told.lines();
    let set = lines.find_map(|line| line.strip_prefix(label)?.strip_prefix(": "));
    set.expect(told)
}

#[test]
fn the_state_of_a_process_is_shown_set_by_set() {
    let shell = Victim::shell("trap '' HUP INT; trap : USR1; echo ready; read x");
    let told = run!("-d {shell}").told();
    assert_eq!(set(&told, "Ignored"), "HUP INT");
    let holds = set(&told, "Caught").split(' ').any(|name| name == "USR1");
    assert!(holds, "{told}");
    let holds = !told.contains("Pending") && !told.contains("Blocked");
    assert!(holds, "empty sets: {told}");
    run!("-STOP {shell}").ok();
    shell.assert_state('T');
    run!("-USR2 {shell}").ok();
    for option in ["-d", "--show-process-state", "--show"] {
        let told = run!("{option} {shell}").told();
        assert!(told.starts_with("Pending (process): USR2\n"), "{told}");
    }
    let recorder = Recorder::new();
    let told = run!("-d {recorder}").told();
    let blocked = set(&told, "Blocked");
    let is_all = blocked.starts_with("HUP INT QUIT") && blocked.ends_with("RTMAX");
    assert!(is_all && !blocked.contains("KILL"), "{told}");
}

#[test]
fn the_state_of_several_processes_is_shown_for_those_that_exist() {
    in_pid_namespace!();
    let gone = Victim::gone();
    let shell = Victim::shell("trap '' HUP; echo ready; read x");
    let twice = run!("-d {shell} {shell}").told();
    assert_eq!(twice.matches("Ignored: HUP\n").count(), 2);
    assert_eq!(twice.matches(&format!("{shell}:\n")).count(), 2, "{twice}");
    assert!(!run!("-d {shell}").told().contains(&shell.arg()));
    let failed = format!("sigsend: reading the state of {gone} failed: No such process\n");
    run!("-d {gone}").begins(1, failed);
    run!("-d {gone} {shell}").has("Ignored: HUP");
    for token in ["0", "-5", "sh", "+1", "''"] {
        run!("-d -- {token}").fails(1, "sigsend: ");
    }
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let sleeper = Victim::shell("trap '' HUP; echo ready; read x");
    let forms = "-l | -l 9 | -lTERM | -L | -t | -t HUP | -d PID | -p PID | -h | --help | -V \
        | --generate man | --generate bash | --generate zsh | --generate fish";
    for form in each(&forms.replace("PID", &sleeper.arg())) {
        let full = "sigsend: write error: No space left on device\n";
        call!(redirected(">/dev/full"), "{form}").fails(1, full);
        let closed = "sigsend: write error: Bad file descriptor\n";
        for redirection in [">&-", "1</dev/null"] {
            call!(redirected(redirection), "{form}").fails(1, closed);
        }
    }
}

#[test]
fn a_reader_that_closes_the_pipe_early_is_no_error() {
    for form in each("-l | -l 9 | -L | -t | -h | --help | -V") {
        let (_, writer) = std::io::pipe().expect("a pipe");
        let output = raw_sigsend().args(words(form)).stdout(writer).output();
        Done::of(form, output.expect("sigsend starts")).ok();
    }
}

#[test]
fn each_number_below_600_has_the_name_of_its_signal() {
    let names = run!("-l").told();
    let names: Vec<&str> = names.lines().collect();
    // 32 and 33 have no names.
    let name = |signal: usize| match signal {
        0..=31 => Some(names[signal].to_owned()),
        32 | 33 => Some(signal.to_string()),
        34..=64 => Some(names[signal - 2].to_owned()),
        _ => None,
    };
    let signal = |number| match number {
        0..255 => number & 0x7f,
        // yash(1) adds 384 to the signal.
        385..=448 => number - 384,
        _ => number & 0xff,
    };
    let numbers: Vec<String> = (0..600).map(|number| number.to_string()).collect();
    let done = run!("-l {}", numbers.join(" ")).code(1);
    let known = (0..600).filter_map(|number| name(signal(number)));
    assert!(known.eq(done.out.lines()), "{done:?}");
    let refused = (0..600).filter(|number| name(signal(*number)).is_none());
    let refused = refused.map(|number| format!("sigsend: '{number}': invalid signal"));
    let told = done
        .err
        .lines()
        .filter(|line| line.starts_with("sigsend: "));
    assert!(refused.eq(told), "{done:?}");
    let masks: Vec<String> = (0..64).map(|bit| format!("{:#x}", 1_u64 << bit)).collect();
    let done = run!("-l {}", masks.join(" ")).told();
    assert!((1..=64).filter_map(name).eq(done.lines()), "{done}");
}
