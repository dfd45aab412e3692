//! Pidfiles of other programs, and what a message may say of a file.

use crate::support::{Recorder, back_date, sigsend, stderr, stdout, tempdir};

#[test]
fn a_message_repeats_nothing_of_a_file() {
    let dir = tempdir();
    let mut target = Recorder::new();
    let pid = target.arg();
    // The secret, the file, and the line that it is in.
    for (secret, content, line) in [
        ("hunter2", "hunter2\n".to_owned(), "1"),
        ("$6$salt", format!("{pid}\n{pid}\nroot:$6$salt$x:1\n"), "3"),
        ("BEGIN", format!("{pid} {pid}\n-----BEGIN KEY-----\n"), "2"),
        ("99999999999", "99999999999".into(), "1"),
        ("0x31337", format!("{pid}\n0x31337\n"), "2"),
        ("12,34", format!("{pid}\n12,34\n"), "2"),
    ] {
        let file = dir.file("x.pid", &content).display().to_string();
        for args in [
            &["-KILL"][..],
            &["-0"],
            &["--dry-run"],
            &["--alive"],
            &["-v", "--wait"],
            &["--json"],
            &["-p"],
        ] {
            let told = sigsend().args(args).args(["--pidfile", &file]).assert();
            let told = told.failure();
            let all = stdout(&told) + &stderr(&told);
            assert!(!all.contains(secret), "{args:?}: {all}");
            assert!(all.contains(&format!("line {line}")), "{args:?}: {all}");
        }
        target.assert_untouched();
    }
}

#[test]
fn the_first_line_counts_alone_where_the_second_is_no_pid() {
    let dir = tempdir();
    let mut target = Recorder::new();
    let pid = target.arg();
    let token = stdout(&sigsend().args(["--id", &pid]).assert().success());
    let token = token.trim_end();
    for first in [&*pid, token] {
        for rest in [
            "/var/lib/postgresql/15/main\n1700000000\n5432\n/run\nlocalhost\n  1 2\nready   \n",
            "/usr/sbin/sendmail -L sm-mta -bd -q10m\n",
            "-bd\n",
        ] {
            let file = dir.file("x.pid", format!("{first}\n{rest}"));
            let mut command = sigsend();
            command.arg("-USR1").arg("--pidfile").arg(file);
            command.assert().success().stdout("").stderr("");
            assert_eq!(target.signals(), [10], "{first} {rest:?}");
        }
    }
    for content in [
        format!("{pid}\n{pid}\n/usr/sbin/sendmail\n"),
        format!("{pid} {pid}\n/usr/sbin/sendmail\n"),
        format!("{pid} /usr/sbin/sendmail\n"),
        format!("{pid}\n5432x\n"),
        format!("/usr/sbin/sendmail\n{pid}\n"),
    ] {
        let file = dir.file("x.pid", &content).display().to_string();
        let call = ["-USR1", "--pidfile", &file];
        sigsend().args(call).assert().code(1).stdout("");
        target.assert_untouched();
    }
    // Only of a regular file.
    let mut list = sigsend();
    let list = list.args(["-USR1", "--pidfile", "-"]);
    let list = list.write_stdin(format!("{pid}\n/usr/sbin/sendmail\n"));
    list.assert().code(1).stdout("");
    target.assert_untouched();
}

#[test]
fn several_pidfiles_are_read() {
    let dir = tempdir();
    let mut targets = [Recorder::new(), Recorder::new()];
    let files = [0, 1].map(|n| {
        let file = dir.file(&format!("{n}.pid"), targets[n].arg());
        format!("--pidfile={}", file.display())
    });
    let [one, two] = &files;
    for (args, status) in [
        (vec!["-USR1", one, two], 0),
        (vec!["-USR1", one, two, one], 0),
        (vec!["-USR1", one, "--pidfile", "-"], 0),
    ] {
        let mut command = sigsend();
        command.args(&args).write_stdin(targets[1].arg());
        command.assert().code(status).stdout("").stderr("");
        for target in &mut targets {
            assert_eq!(target.signals(), [10], "{args:?}");
        }
    }
    // Each has its own age.
    back_date(
        &dir.path().join("0.pid"),
        std::time::Duration::from_secs(3600),
    );
    let told = sigsend().args(["-USR1", one, two]).assert().failure();
    assert!(
        stderr(&told).contains("0.pid is stale"),
        "{}",
        stderr(&told)
    );
    targets[0].assert_untouched();
}
