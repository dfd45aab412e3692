//! Pidfiles of other programs, and what a message may say of a file.

use crate::support::prelude::*;

#[test]
fn a_message_repeats_nothing_of_a_file() {
    let (dir, mut target) = (tempdir(), Recorder::new());
    // The secret, the file, and the line that it is in.
    let secrets = "
        hunter2     | hunter2⏎                          | 1
        $6$salt     | PID⏎PID⏎root:$6$salt$x:1⏎         | 3
        BEGIN       | PID PID⏎-----BEGIN KEY-----⏎      | 2
        99999999999 | 99999999999                       | 1
        0x31337     | PID⏎0x31337⏎                      | 2
        12,34       | PID⏎12,34⏎                        | 2";
    for [secret, content, line] in rows(&secrets.replace("PID", &target.arg())) {
        let file = dir.arg("x.pid", content.replace('⏎', "\n"));
        // A link in a directory of an attacker may be to a file that only the caller may read.
        let link = dir.path().join("link");
        let _ = symlink(&file, &link);
        let file = link.display();
        for options in each("-KILL | -0 | --dry-run | --alive | -v --wait | --json | -p") {
            let done = run!("{options} --pidfile {file}");
            assert_ne!(done.status, Some(0), "{done:?}");
            done.has(format!("line {line}")).lacks(secret);
        }
        target.assert_untouched();
    }
}

#[test]
fn the_first_line_counts_alone_where_the_second_is_no_pid() {
    let (dir, mut target) = (tempdir(), Recorder::new());
    let (pid, token) = (target.arg(), token(&target));
    for first in [&pid, &token] {
        for rest in [
            "/var/lib/postgresql/15/main\n1700000000\n5432\n/run\nlocalhost\n  1 2\nready   \n",
            "/usr/sbin/sendmail -L sm-mta -bd -q10m\n",
            "-bd\n",
        ] {
            let file = dir.arg("x.pid", format!("{first}\n{rest}"));
            run!("-USR1 --pidfile {file}").ok();
            assert_eq!(target.signals(), [10], "{first} {rest:?}");
        }
    }
    let refused = "PID⏎PID⏎/usr/sbin/sendmail⏎ | PID PID⏎/usr/sbin/sendmail⏎ \
        | PID /usr/sbin/sendmail⏎ | PID⏎5432x⏎ | /usr/sbin/sendmail⏎PID⏎";
    for content in each(refused) {
        let content = content.replace("PID", &pid).replace('⏎', "\n");
        let file = dir.arg("x.pid", content);
        assert_eq!(run!("-USR1 --pidfile {file}").code(1).out, "");
        target.assert_untouched();
    }
    // Only of a regular file.
    let list = piped(format!("{pid}\n/usr/sbin/sendmail\n"));
    assert_eq!(call!(list, "-USR1 --pidfile -").code(1).out, "");
    target.assert_untouched();
}

#[test]
fn several_pidfiles_are_read() {
    let (dir, mut targets) = (tempdir(), [Recorder::new(), Recorder::new()]);
    let files = [0, 1].map(|n| dir.arg(&format!("{n}.pid"), targets[n].arg()));
    let [one, two] = files.each_ref().map(|file| format!("--pidfile={file}"));
    let twice = format!("{two} {one}");
    for more in [&two, &twice, "--pidfile -"] {
        call!(piped(targets[1].arg()), "-USR1 {one} {more}").ok();
        for target in &mut targets {
            assert_eq!(target.signals(), [10], "{more}");
        }
    }
    // Each has its own age.
    back_date(files[0].as_ref(), Duration::from_secs(3600));
    let done = run!("-USR1 {one} {two}").has("0.pid is stale");
    assert_ne!(done.status, Some(0));
    targets[0].assert_untouched();
}
