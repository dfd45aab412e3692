//! Completion in the real shells: bash and zsh get keys, including tab, through a pseudo-terminal;
//! fish is queried directly.

use std::net::UdpSocket;

use crate::support::prelude::*;

/// The end of every prompt of an interactive shell.
const PROMPT: &str = "ready> ";

/// A directory with the completion script of a shell and files to complete; also the shell. Skips
/// the test if it is not installed.
fn home(shell: &str) -> Option<(TempDir, PathBuf)> {
    let Some(path) = program(shell) else {
        skip(format!("no {shell}"));
        return None;
    };
    let home = tempdir();
    home.file("_sigsend", run!("--generate {shell}").told());
    home.file("some.pid", "");
    home.file("subfile", "");
    std::fs::create_dir(home.path().join("subdir")).expect("a directory of ours");
    Some((home, path))
}

/// An interactive shell on a pseudo-terminal, in which `sigsend` only prints its arguments.
struct Session {
    terminal: Terminal,
    home: TempDir,
}

impl Session {
    fn start(shell: &str) -> Option<Self> {
        let (home, path) = home(shell)?;
        let load = match shell {
            "zsh" => "fpath=($PWD $fpath); autoload -U compinit && compinit -D -u",
            _ => "source ./_sigsend",
        };
        let show = r#"sigsend() { printf 'args'; printf ' <%s>' "$@"; printf ' end\n'; }"#;
        let settings = format!("{load}\n{show}\nPS1='{PROMPT}'\nLISTMAX=5000\n");
        home.file(".zshrc", settings);
        let options = match shell {
            "zsh" => "-d -i",
            _ => "--noprofile --rcfile .zshrc -i",
        };
        let mut terminal = Terminal::new(1000, 500);
        let line = format!("{} {options}", path.display());
        terminal.run_in(home.path(), "dumb", &line);
        terminal.next_until(PROMPT);
        Some(Self { terminal, home })
    }

    /// The arguments that sigsend gets when the line is typed, then the tab key, then return.
    #[track_caller]
    fn completes(&mut self, line: &str) -> String {
        self.terminal.type_in(&format!("sigsend {line}\t\r"));
        let seen = self.terminal.next_until(" end\r\n");
        self.terminal.next_until(PROMPT);
        let (_, shown) = seen.rsplit_once("args ").expect("the arguments follow");
        shown.trim_end().trim_end_matches(" end").to_owned()
    }

    /// The screen after the line was typed and tab was pressed. The line is then deleted.
    #[track_caller]
    fn offers(&mut self, line: &str) -> String {
        let line = format!("sigsend {line}\t\x15echo wi''ped\r");
        self.terminal.type_in(&line);
        let seen = self.terminal.next_until("wiped\r\n");
        self.terminal.next_until(PROMPT);
        seen
    }
}

/// The completions of fish for a line, without the descriptions.
#[track_caller]
fn fish(path: &Path, home: &TempDir, line: &str) -> String {
    let ask = "source _sigsend; complete -C \"sigsend $argv[1]\"";
    let mut command = Command::new(path);
    command.args(["--no-config", "-c", ask, "--", line]);
    command.current_dir(home.path());
    command.env("HOME", home.path()).env("LC_ALL", "C.UTF-8");
    let offers = command.run(&[]).told();
    let offers = offers.lines().filter_map(|offer| offer.split('\t').next());
    offers.collect::<Vec<_>>().join(" ")
}

/// What is typed and the completed line, the same in bash and zsh.
const TABLE: &str = "
    -s HU            | <-s> <HUP>
    -n KI            | <-n> <KILL>
    --signal XC      | <--signal> <XCPU>
    --signal=XF      | <--signal=XFSZ>
    -sWI             | <-sWINCH>
    -HU              | <-HUP>
    -v -RTMIN+7      | <-v> <-RTMIN+7>
    -l STK           | <-l> <STKFLT>
    --timeout 5s KI  | <--timeout> <5s> <KILL>
    -w --timeout 5s INT --timeout 1s VT | <-w> <--timeout> <5s> <INT> <--timeout> <1s> <VTALRM>
    --gra            | <--grace>
    -w --pidf        | <-w> <--pidfile>
    --generate ba    | <--generate> <bash>
    --pidfile som    | <--pidfile> <some.pid>
    --grace som      | <--grace> <som>
    -- -HU           | <--> <-HU>
    -l HUP --no-such | <-l> <HUP> <--no-such>
    -l HUP STK       | <-l> <HUP> <STKFLT>
    -t som           | <-t> <som>
    -u roo           | <-u> <root>
    --user=roo       | <--user=root>
    --cwd sub        | <--cwd> <subdir>
    -f som           | <-f> <som>
    --mix            | <--mixed>";

const OFFERED: &str = "
    -s HU           | HUP
    -n KI           | KILL
    --signal=XF     | --signal=XFSZ
    -HU             | -HUP
    -l STK          | STKFLT
    --timeout 5s KI | KILL
    --gra           | --grace
    --generate ba   | bash
    --pidfile som   | some.pid
    --grace som     |
    --cgroup sub    | subdir/
    --cwd sub       | subdir/
    -u roo          | root
    -l HUP STK      | STKFLT
    -f som          |
    --mix           | --mixed";

#[test]
fn signals_options_and_files_are_completed() {
    for mut session in ["bash", "zsh"].into_iter().filter_map(Session::start) {
        for [line, args] in rows(TABLE) {
            // zsh removes the slash that it has added.
            let completed = session.completes(line).replace("/>", ">");
            assert_eq!(completed, args, "{line}");
        }
    }
    let Some((home, path)) = home("fish") else {
        return;
    };
    for [line, offers] in rows(OFFERED) {
        assert_eq!(fish(&path, &home, line), offers, "{line}");
    }
}

#[test]
fn ports_and_groups_are_completed() {
    in_pid_namespace!();
    needs!(entered_network(), "a network namespace");
    let _listener = TcpListener::bind("[::]:18234").expect("a free port");
    let _socket = UdpSocket::bind("0.0.0.0:28234").expect("a free port");
    let Some(group) = control_group() else { return };
    let _member = group.sleeping();
    let shown = group.shown();
    let begun = format!("--cgroup {}", &shown[..shown.len() - 2]);
    for mut session in ["bash", "zsh"].into_iter().filter_map(Session::start) {
        // zsh removes the slash that it has added.
        let args = session.completes("--cgroup sub").replace("/>", ">");
        assert_eq!(args, "<--cgroup> <subdir>");
        assert_eq!(session.completes(&begun), format!("<--cgroup> <{shown}>"));
        let got = session.completes("--grace 5s :18");
        assert_eq!(got, "<--grace> <5s> <:18234>");
        assert_eq!(session.completes("-HUP -- :28"), "<-HUP> <--> <:28234/udp>");
        assert_eq!(session.completes(":38"), "<:38>");
    }
    let Some((home, path)) = home("fish") else {
        return;
    };
    assert_eq!(fish(&path, &home, "--grace 5s :18"), ":18234");
    assert_eq!(fish(&path, &home, "-- :28"), ":28234/udp");
    assert_eq!(fish(&path, &home, &begun), shown);
}

#[test]
fn processes_are_completed_and_none_of_their_names_is_run() {
    let lines = "
        -HUP qzs     | <-HUP> <qzserver>
        -HUP 3123    | <-HUP> <31234>
        -d 3123      | <-d> <31234>
        --expect qzs | <--expect> <qzserver>
        -- qzs       | <--> <qzserver>
        Qz           | <Qz Content>
        qy           | <qy$(>boo)`>boo`>";
    in_pid_namespace!();
    let one = victim().named("qzserver").with_pid(31_234).sleeping();
    let others = ["Qz Content", "qy$(>boo)`>boo`"].map(|name| victim().named(name).sleeping());
    for mut session in ["bash", "zsh"].into_iter().filter_map(Session::start) {
        for [line, args] in rows(lines) {
            assert_eq!(session.completes(line), args, "{line}");
        }
        let holds = !session.home.path().join("boo").exists();
        assert!(holds, "a name was run as a command");
        if may_change_user() {
            let _other = victim().named("qxother").owned_by(NOBODY).sleeping();
            assert_eq!(session.completes("qxo"), "<qxo>");
            assert_eq!(session.completes("-a qxo"), "<-a> <qxother>");
        }
    }
    others.iter().chain([&one]).for_each(Victim::assert_alive);
    if let Some((home, path)) = home("fish") {
        let all = rows::<2>(lines).take(6);
        for [line, args] in all.filter(|[line, _]| !line.starts_with("-- ")) {
            let (_, last) = args.rsplit_once('<').expect("an argument");
            assert_eq!(format!("{}>", fish(&path, &home, line)), last, "{line}");
        }
    }
    if let Some(mut session) = Session::start("zsh") {
        let seen = session.offers("-l ");
        let holds = seen.contains("RTMAX-1") && !seen.contains("qzserver");
        assert!(holds, "{seen}");
    }
    let _next = victim().named("qznext").with_pid(31_235).sleeping();
    if let Some((home, path)) = home("bash") {
        let offers = bash(&path, &home, "-HUP 3123");
        assert_eq!(offers, " 31234 (qzserver)  31235 (qznext) ");
    }
    if let Some(mut session) = Session::start("bash") {
        assert_eq!(session.completes("-HUP 31"), "<-HUP> <3123>");
        let seen = session.offers("-HUP 3123\t");
        assert!(seen.contains("31234 (qzserver)"), "{seen}");
    }
}

pub fn options() -> Vec<String> {
    let help = run!("--help").told();
    let (help, _) = help.split_once("Targets:").expect("a section");
    let rows = help.lines().filter_map(|line| line.strip_prefix("  "));
    let rows = rows.filter(|row| row.starts_with('-'));
    let spellings = rows.filter_map(|row| row.split("  ").find(|part| part.contains('-')));
    let words = spellings.flat_map(|part| part.split([',', ' ']));
    let options = words.filter(|word| word.starts_with('-'));
    let options: Vec<_> = options.map(str::to_owned).collect();
    let has_all = options.len() > 30 && options.contains(&"--timeout".to_owned());
    assert!(has_all, "{options:?}");
    options
}

/// The completions of bash for the last word, without a terminal; nothing may be on standard error.
#[track_caller]
fn bash(path: &Path, home: &TempDir, line: &str) -> String {
    let ask = "source ./_sigsend; COMP_WORDS=(sigsend \"$@\"); COMP_CWORD=$#
        _sigsend sigsend \"${!#}\" \"${COMP_WORDS[COMP_CWORD-1]}\"
        printf ' %s ' \"${COMPREPLY[@]}\"";
    let mut command = Command::new(path);
    command.args(["--noprofile", "--norc", "-c", ask, "bash"]);
    command.current_dir(home.path());
    command.run(&words(line)).told()
}

#[test]
fn no_option_leads_to_an_error() {
    // In a namespace, because zsh asks before it lists more processes than fit on the screen.
    in_pid_namespace!();
    if let Some(mut session) = Session::start("zsh") {
        for option in options() {
            let seen = session.offers(&format!("{option} "));
            let noise = ["_sigsend:", "_sigsend_", "_arguments", "zsh:"];
            let holds = !noise.iter().any(|word| seen.contains(word));
            assert!(holds, "{option}: {seen}");
        }
        let seen = session.offers("-");
        let holds = seen.contains("--signal") && !seen.contains("-HUP");
        assert!(holds, "{seen}");
    }
    if let Some((home, path)) = home("bash") {
        for option in options() {
            for word in ["''", "-", "-H", "x", "--t"] {
                bash(&path, &home, &format!("{option} {word}"));
            }
        }
        let offers = bash(&path, &home, "-");
        let has_all = offers.contains(" --signal ") && offers.contains(" -n ");
        assert!(has_all && !offers.contains(" -HUP "), "{offers:?}");
        contains!(bash(&path, &home, "-H"), " -HUP ");
        contains!(bash(&path, &home, "-l --ta"), " --table ");
    }
    if let Some((home, path)) = home("fish") {
        fish(&path, &home, "-s HUP ");
        for option in options() {
            fish(&path, &home, &format!("{option} "));
        }
        let offers = fish(&path, &home, "-");
        let holds = offers.contains("--signal") && !offers.contains("-HUP");
        assert!(holds, "{offers:?}");
    }
}
