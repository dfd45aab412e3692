//! Completion in the real shells: bash and zsh get keys, including tab, through a pseudo-terminal;
//! fish is queried directly.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
use nix::sched::{CloneFlags, unshare};

use crate::cgroup::group::control_group;
use crate::support::{
    DEADLINE, NOBODY, TempDir, in_pid_namespace, may_change_user, program, sigsend, skip, stdout,
    tempdir, victim,
};

/// The end of every prompt of an interactive shell.
const PROMPT: &str = "ready> ";

/// Puts the completion script of a shell into a directory.
fn script(dir: &TempDir, shell: &str, name: &str) {
    let script = sigsend()
        .args(["--generate", shell])
        .assert()
        .success()
        .stderr("");
    dir.file(name, stdout(&script));
}

/// An interactive shell on a pseudo-terminal, in which `sigsend` only prints its arguments.
struct Session {
    shell: Child,
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    /// Output that was read and not yet searched.
    unseen: String,
    home: TempDir,
}

impl Session {
    /// Starts bash or zsh; prints the reason and returns `None` if it is not installed.
    #[track_caller]
    fn start(shell: &str) -> Option<Self> {
        let (Some(setsid), Some(path)) = (program("setsid"), program(shell)) else {
            skip(format!("no {shell}"));
            return None;
        };
        let home = tempdir();
        script(&home, shell, "_sigsend");
        home.file("some.pid", "");
        home.file("subfile", "");
        std::fs::create_dir(home.path().join("subdir")).expect("a directory of ours");
        let load = match shell {
            "zsh" => "fpath=($PWD $fpath); autoload -U compinit && compinit -D -u",
            _ => "source ./_sigsend",
        };
        let show = r#"sigsend() { printf 'args'; printf ' <%s>' "$@"; printf ' end\n'; }"#;
        let rc = home.file(
            ".zshrc",
            format!("{load}\n{show}\nPS1='{PROMPT}'\nLISTMAX=5000\n"),
        );
        let size = Winsize {
            ws_row: 1000,
            ws_col: 500,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let pty = openpty(&size, None).expect("a pseudo-terminal");
        let end = || Stdio::from(pty.slave.try_clone().expect("another descriptor"));
        let mut command = Command::new(setsid);
        command.args(["--ctty", "--wait"]).arg(path);
        match shell {
            "zsh" => command.args(["-d", "-i"]),
            _ => command.arg("--noprofile").arg("--rcfile").arg(rc).arg("-i"),
        };
        let dir = home.path();
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TERM", "dumb");
        command
            .env("HOME", dir)
            .env("ZDOTDIR", dir)
            .current_dir(dir)
            .stdin(end())
            .stdout(end())
            .stderr(end());
        let shell = command.spawn().expect("setsid starts");
        // Both hold the terminal open and would delay its end of file.
        drop((command, pty.slave));
        let keyboard = File::from(pty.master);
        let mut master = keyboard.try_clone().expect("another descriptor");
        let (sender, screen) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                if sender.send(bytes[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        let mut session = Self {
            shell,
            keyboard,
            screen,
            unseen: String::new(),
            home,
        };
        session.read_until(PROMPT);
        Some(session)
    }

    /// The arguments that sigsend gets when the line is typed, then the tab key, then return.
    #[track_caller]
    fn completes(&mut self, line: &str) -> String {
        write!(self.keyboard, "sigsend {line}\t\r").expect("the shell reads");
        let seen = self.read_until(" end\r\n");
        self.read_until(PROMPT);
        let shown = seen.rsplit_once("args ").expect("the arguments follow").1;
        shown.trim_end().trim_end_matches(" end").to_owned()
    }

    /// The screen after the line was typed and tab was pressed. The line is then deleted.
    #[track_caller]
    fn offers(&mut self, line: &str) -> String {
        write!(self.keyboard, "sigsend {line}\t\x15echo wi''ped\r").expect("the shell reads");
        let seen = self.read_until("wiped\r\n");
        self.read_until(PROMPT);
        seen
    }

    /// The output up to and including the text.
    #[track_caller]
    fn read_until(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(start) = self.unseen.find(text) {
                let rest = self.unseen.split_off(start + text.len());
                return std::mem::replace(&mut self.unseen, rest);
            }
            let Ok(bytes) = self
                .screen
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            else {
                panic!("timed out waiting for {text:?}: {:?}", self.unseen);
            };
            self.unseen.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // End of file at an empty prompt. If the shell ignores it, setsid is killed and the shell
        // gets a hangup.
        let _ = self.keyboard.write_all(b"\x15\x04");
        let deadline = Instant::now() + DEADLINE;
        while self.shell.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline
        {
            let _ = self.screen.recv_timeout(Duration::from_millis(10));
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}

/// What is typed and the completed line, the same in bash and zsh.
const TABLE: [(&str, &str); 17] = [
    ("-s HU", "<-s> <HUP>"),
    ("-n KI", "<-n> <KILL>"),
    ("--signal XC", "<--signal> <XCPU>"),
    ("--signal=XF", "<--signal=XFSZ>"),
    ("-sWI", "<-sWINCH>"),
    ("-HU", "<-HUP>"),
    ("-v -RTMIN+7", "<-v> <-RTMIN+7>"),
    ("-l STK", "<-l> <STKFLT>"),
    ("--timeout 5s KI", "<--timeout> <5s> <KILL>"),
    (
        "-w --timeout 5s INT --timeout 1s VT",
        "<-w> <--timeout> <5s> <INT> <--timeout> <1s> <VTALRM>",
    ),
    ("--gra", "<--grace>"),
    ("-w --pidf", "<-w> <--pidfile>"),
    ("--generate po", "<--generate> <powershell>"),
    ("--pidfile som", "<--pidfile> <some.pid>"),
    ("--grace som", "<--grace> <som>"),
    ("-- -HU", "<--> <-HU>"),
    ("-l HUP --no-such", "<-l> <HUP> <--no-such>"),
];

#[test]
fn bash_completes_signals_options_and_files() {
    let Some(mut session) = Session::start("bash") else {
        return;
    };
    for (line, args) in TABLE {
        assert_eq!(session.completes(line), args, "{line}");
    }
}

#[test]
fn zsh_completes_signals_options_and_files() {
    let Some(mut session) = Session::start("zsh") else {
        return;
    };
    for (line, args) in TABLE {
        assert_eq!(session.completes(line), args, "{line}");
    }
}

/// Completes ports and control groups in namespaces that have one of each.
fn completes_ports_and_groups(shell: &str) {
    if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
        return skip(format!("no network namespace: {error}"));
    }
    let _listener = TcpListener::bind("[::]:18234").expect("a free port");
    let _socket = UdpSocket::bind("0.0.0.0:28234").expect("a free port");
    let Some(group) = control_group() else { return };
    let _member = group.sleeping();
    let Some(mut session) = Session::start(shell) else {
        return;
    };
    // zsh removes the slash that it has added.
    let args = session.completes("--cgroup sub");
    assert_eq!(
        args.trim_end_matches("/>").trim_end_matches('>'),
        "<--cgroup> <subdir"
    );
    let shown = group.shown();
    assert_eq!(
        session.completes(&format!("--cgroup {}", &shown[..shown.len() - 2])),
        format!("<--cgroup> <{shown}>")
    );
    assert_eq!(
        session.completes("--grace 5s :18"),
        "<--grace> <5s> <:18234>"
    );
    assert_eq!(session.completes("-HUP -- :28"), "<-HUP> <--> <:28234>");
    assert_eq!(session.completes(":38"), "<:38>");
}

#[test]
fn bash_completes_ports_and_groups() {
    in_pid_namespace(|| completes_ports_and_groups("bash"));
}

#[test]
fn zsh_completes_ports_and_groups() {
    in_pid_namespace(|| completes_ports_and_groups("zsh"));
}

#[test]
fn fish_completes_ports_and_groups() {
    in_pid_namespace(|| {
        let Some(path) = program("fish") else {
            return skip("no fish");
        };
        if let Err(error) = unshare(CloneFlags::CLONE_NEWNET) {
            return skip(format!("no network namespace: {error}"));
        }
        let dir = tempdir();
        script(&dir, "fish", "sigsend");
        let _listener = TcpListener::bind("[::]:18234").expect("a free port");
        assert_eq!(fish(&path, &dir, "--grace 5s :18"), [":18234"]);
        let Some(group) = control_group() else { return };
        let _member = group.sleeping();
        let shown = group.shown();
        assert_eq!(
            fish(
                &path,
                &dir,
                &format!("--cgroup {}", &shown[..shown.len() - 2])
            ),
            [shown]
        );
    });
}

/// Completes processes in a namespace that has no others of these names.
fn completes_processes(shell: &str) {
    let Some(mut session) = Session::start(shell) else {
        return;
    };
    let one = victim().named("qzserver").with_pid(31_234).sleeping();
    let spaced = victim().named("Qz Content").sleeping();
    let hostile = victim().named("qy$(>boo)`>boo`").sleeping();
    for (line, args) in [
        ("-HUP qzs", "<-HUP> <qzserver>"),
        ("-HUP 3123", "<-HUP> <31234>"),
        ("-d 3123", "<-d> <31234>"),
        ("--expect qzs", "<--expect> <qzserver>"),
        ("-- qzs", "<--> <qzserver>"),
        ("Qz", "<Qz Content>"),
        ("qy", "<qy$(>boo)`>boo`>"),
    ] {
        assert_eq!(session.completes(line), args, "{line}");
    }
    assert!(
        !session.home.path().join("boo").exists(),
        "a process name was run as a command"
    );
    if may_change_user() {
        let _other = victim().named("qxother").owned_by(NOBODY).sleeping();
        assert_eq!(session.completes("qxo"), "<qxo>");
        assert_eq!(session.completes("-a qxo"), "<-a> <qxother>");
    }
    for victim in [one, spaced, hostile] {
        victim.assert_alive();
    }
}

#[test]
fn bash_completes_processes_and_runs_none_of_their_names() {
    in_pid_namespace(|| completes_processes("bash"));
}

#[test]
fn zsh_completes_processes_and_runs_none_of_their_names() {
    in_pid_namespace(|| completes_processes("zsh"));
}

/// Every spelling of an option in the short help.
fn options() -> Vec<String> {
    let help = stdout(&sigsend().arg("-h").assert().success());
    let rows = help
        .lines()
        .filter_map(|line| line.strip_prefix("  "))
        .filter(|row| row.trim_start().starts_with('-'));
    let words = rows.flat_map(|row| {
        row.split("  ")
            .find(|part| part.contains('-'))
            .unwrap_or_default()
            .split([',', ' '])
    });
    let options: Vec<String> = words
        .filter(|word| word.starts_with('-'))
        .map(str::to_owned)
        .collect();
    assert!(
        options.len() > 30 && options.contains(&"--timeout".to_owned()),
        "{options:?}"
    );
    options
}

/// The completions of bash for the last word, without a terminal; nothing may be on standard error.
#[track_caller]
fn bash(path: &Path, dir: &TempDir, words: &[&str]) -> Vec<String> {
    let mut command = Command::new(path);
    let ask = "source ./sigsend; COMP_WORDS=(sigsend \"$@\"); COMP_CWORD=$#
               _sigsend sigsend \"${!#}\" \"${COMP_WORDS[COMP_CWORD-1]}\"; printf '%s\\n' \"${COMPREPLY[@]}\"";
    command
        .args(["--noprofile", "--norc", "-c", ask, "bash"])
        .args(words)
        .current_dir(dir.path());
    let output = command.output().expect("bash starts");
    assert!(
        output.stderr.is_empty(),
        "{words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

#[test]
fn bash_prints_no_errors_for_any_option() {
    in_pid_namespace(|| {
        let Some(path) = program("bash") else {
            return skip("no bash");
        };
        let dir = tempdir();
        script(&dir, "bash", "sigsend");
        for option in options() {
            for word in ["", "-", "-H", "x", "--t"] {
                bash(&path, &dir, &[&option, word]);
            }
        }
        let offers = bash(&path, &dir, &["-"]);
        assert!(
            offers.contains(&"--signal".to_owned()) && offers.contains(&"-n".to_owned()),
            "{offers:?}"
        );
        assert!(!offers.contains(&"-HUP".to_owned()), "{offers:?}");
        assert!(bash(&path, &dir, &["-H"]).contains(&"-HUP".to_owned()));
        assert!(bash(&path, &dir, &["-l", "--ta"]).contains(&"--table".to_owned()));
    });
}

#[test]
fn fish_prints_no_errors_for_any_option() {
    in_pid_namespace(|| {
        let Some(path) = program("fish") else {
            return skip("no fish");
        };
        let dir = tempdir();
        script(&dir, "fish", "sigsend");
        fish(&path, &dir, "-s HUP ");
        for option in options() {
            fish(&path, &dir, &format!("{option} "));
        }
        let offers = fish(&path, &dir, "-");
        assert!(
            offers.contains(&"--signal".to_owned()) && !offers.contains(&"-HUP".to_owned()),
            "{offers:?}"
        );
    });
}

#[test]
fn zsh_prints_no_errors_for_any_option() {
    // In a namespace, because zsh asks before it lists more processes than fit on the screen.
    in_pid_namespace(|| {
        let Some(mut session) = Session::start("zsh") else {
            return;
        };
        for option in options() {
            let seen = session.offers(&format!("{option} "));
            let noise = ["_sigsend:", "_sigsend_", "_arguments", "zsh:"];
            assert!(
                !noise.iter().any(|word| seen.contains(word)),
                "{option}: {seen}"
            );
        }
        let seen = session.offers("-");
        assert!(
            seen.contains("--signal") && !seen.contains("-HUP"),
            "{seen}"
        );
    });
}

/// The completions of fish for a line, without the descriptions.
fn fish(path: &Path, dir: &TempDir, line: &str) -> Vec<String> {
    let mut command = Command::new(path);
    command.args([
        "--no-config",
        "-c",
        "source sigsend; complete -C \"sigsend $argv[1]\"",
        "--",
        line,
    ]);
    command
        .env("HOME", dir.path())
        .env("LC_ALL", "C.UTF-8")
        .current_dir(dir.path());
    let output = command.output().expect("fish starts");
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let offers = String::from_utf8(output.stdout).expect("UTF-8");
    offers
        .lines()
        .map(|offer| offer.split('\t').next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn fish_completes_signals_options_and_files() {
    let Some(path) = program("fish") else {
        return skip("no fish");
    };
    let dir = tempdir();
    std::fs::create_dir(dir.path().join("subdir")).expect("a directory of ours");
    script(&dir, "fish", "sigsend");
    for (line, offers) in [
        ("-s HU", &["HUP"][..]),
        ("-n KI", &["KILL"]),
        ("--signal=XF", &["--signal=XFSZ"]),
        ("-HU", &["-HUP"]),
        ("-l STK", &["STKFLT"]),
        ("--timeout 5s KI", &["KILL"]),
        ("--gra", &["--grace"]),
        ("--generate p", &["powershell"]),
        ("--pidfile sigs", &["sigsend"]),
        ("--grace sigs", &[]),
        ("--cgroup sub", &["subdir/"]),
    ] {
        assert_eq!(fish(&path, &dir, line), offers, "{line}");
    }
}

#[test]
fn fish_completes_processes() {
    in_pid_namespace(|| {
        let Some(path) = program("fish") else {
            return skip("no fish");
        };
        let dir = tempdir();
        script(&dir, "fish", "sigsend");
        let _one = victim().named("qzserver").with_pid(31_234).sleeping();
        let _spaced = victim().named("Qz Content").sleeping();
        for (line, offer) in [
            ("-HUP qzs", "qzserver"),
            ("-HUP 3123", "31234"),
            ("-d 3123", "31234"),
            ("--expect qzs", "qzserver"),
            ("Qz", "Qz Content"),
        ] {
            assert_eq!(fish(&path, &dir, line), [offer], "{line}");
        }
    });
}

#[test]
fn elvish_and_powershell_get_the_same_options() {
    for (shell, first) in [
        ("elvish", "use re"),
        ("powershell", "using namespace System.Management.Automation"),
    ] {
        let script = sigsend()
            .args(["--generate", shell])
            .assert()
            .success()
            .stderr("");
        let script = stdout(&script);
        assert_eq!(
            script.lines().find(|line| !line.starts_with('#')),
            Some(first)
        );
        for word in [
            "--signal",
            "--show-process-state",
            "'--timeout'",
            "RTMIN+15",
            "powershell",
        ] {
            assert!(
                script.replace(" --timeout)", "'--timeout'").contains(word),
                "{shell} lacks {word}"
            );
        }
    }
}
