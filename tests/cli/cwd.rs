//! `--cwd DIR`: processes that work in a directory or below it.

use crate::full::{Filter, assert_usage_error, assert_works_with_every_option, started};
use crate::support::prelude::*;

fn working_in(dir: impl AsRef<Path>) -> Victim {
    started(victim(), |command| {
        command.current_dir(dir);
    })
}

#[track_caller]
fn assert_selects(dir: impl AsRef<Path>, expected: &[&Victim]) {
    selects(&format!("--cwd '{}'", dir.as_ref().display()), expected);
}

#[test]
fn a_directory_selects_what_works_in_it_or_below() {
    let base = tempdir();
    let at = |name: &str| base.path().join(name);
    fs::create_dir_all(at("in/below")).expect("ours");
    fs::create_dir(at("inside")).expect("ours");
    symlink("in", at("link")).expect("ours");
    let (inside, above) = (working_in(at("inside")), working_in(base.path()));
    let (into, below) = (working_in(at("link")), working_in(at("in/below")));
    for spelled in each("in | in/ | in/. | inside/../in | link | link/ | link/below/..") {
        assert_selects(at(spelled), &[&into, &below]);
    }
    assert_selects(at("link/below"), &[&below]);
    assert_selects(base.path(), &[&inside, &above, &into, &below]);
    for (dir, spelled) in [("in", "."), ("in/below", ".."), ("", "./in")] {
        let mut command = raw_sigsend();
        command.current_dir(at(dir));
        let told = call!(command, "-p --cwd {spelled}").told();
        assert_eq!(told.lines().count(), 2, "{spelled}: {told}");
    }
    // The directory counts, not the path by which it was entered.
    fs::rename(at("in"), at("moved")).expect("ours");
    fs::create_dir(at("in")).expect("ours");
    assert_selects(at("in"), &[]);
    run!("-KILL --cwd {}", at("moved").display()).ok();
    into.assert_killed_by(9);
    below.assert_killed_by(9);
    inside.assert_alive();
    above.assert_alive();
}

#[test]
fn a_removed_directory_is_found_by_its_path() {
    let base = tempdir();
    let base = fs::canonicalize(base.path()).expect("ours");
    let at = |name: &str| base.join(name);
    for dir in each("gone/sub | gonex | half/sub | stays (deleted)") {
        fs::create_dir_all(at(dir)).expect("ours");
    }
    let (gone, sub) = (working_in(at("gone")), working_in(at("gone/sub")));
    let (neighbour, half) = (working_in(at("gonex")), working_in(at("half/sub")));
    let stays = working_in(at("stays (deleted)"));
    for dir in each("gone/sub | gone | gonex | half/sub") {
        fs::remove_dir(at(dir)).expect("empty");
    }
    assert_selects(at("gone"), &[&gone, &sub]);
    assert_selects(at("gone/"), &[&gone, &sub]);
    assert_selects(at("gone/sub"), &[&sub]);
    assert_selects(at("half"), &[&half]);
    assert_selects(&base, &[&gone, &sub, &neighbour, &half, &stays]);
    // This is its name, not what /proc adds to it.
    assert_selects(at("stays"), &[]);
    assert_selects(at("stays (deleted)"), &[&stays]);
    run!("--grace 20s --cwd {}", at("gone").display()).ok();
    gone.assert_killed_by(15);
    sub.assert_killed_by(15);
    alive([neighbour, half, stays]);
}

#[test]
fn an_equal_path_in_another_mount_namespace_is_another_directory() {
    in_pid_namespace!();
    let base = tempdir();
    let dir = base.path().join("place");
    fs::create_dir_all(dir.join("sub")).expect("ours");
    fs::create_dir(base.path().join("other")).expect("ours");
    let place = |script: &str| {
        let mut command = tool("unshare --mount sh -c");
        command.arg(format!("{script} && echo ready && exec cat"));
        victim().ready(command.current_dir(base.path()))
    };
    let others = ["cd place", "mkdir place/x && cd place/x && rmdir ../x"]
        .map(|enter| place(&format!("mount -t tmpfs none place && {enter}")));
    let same = [
        place("cd place/sub"),
        place("mount --bind place other && cd other/sub"),
        working_in(&dir),
    ];
    assert_selects(&dir, &same.each_ref());
    assert_selects(dir.join("x"), &[]);
    run!("-KILL --cwd {}", dir.display()).ok();
    killed(&same, 9);
    alive(&others);
}

#[test]
fn the_root_directory_and_the_empty_word_are_refused() {
    let (dir, target) = (tempdir(), Victim::sleeping());
    let link = dir.path().join("link");
    symlink("/", &link).expect("ours");
    let link = link.display().to_string();
    for word in ["''", "/", "//", "/.", "/proc/..", &link] {
        for options in ["-0", "--dry-run", "-p -a", &format!("-0 {target}")] {
            assert_usage_error(run!("--cwd {word} {options}"));
        }
    }
}

#[test]
fn a_directory_narrows_and_verifies_and_spares_the_caller() {
    in_pid_namespace!();
    let dir = tempdir();
    let fit = |command: &mut Command| {
        command.current_dir(dir.path());
    };
    let option = format!("--cwd {}", dir.path().display());
    Filter(&option, &fit).assert_narrows_and_verifies();
    Filter(&option, &fit).assert_spares_the_caller();
}

#[test]
fn a_directory_works_with_every_option_and_is_shown() {
    let base = tempdir();
    let dir = base.path().join("two\nlines");
    fs::create_dir(&dir).expect("ours");
    let option = format!("--cwd '{}'", dir.display());
    assert_works_with_every_option(|| (working_in(&dir), option.clone()));
    for options in each("--dry-run | -v -HUP") {
        let target = working_in(&dir);
        let told = run!("{options} {option}").told();
        contains!(told, "two\\x0alines");
        let holds = told.lines().count() == 1 && told.contains(&target.arg());
        assert!(holds, "{told}");
    }
}

#[test]
fn a_working_directory_that_cannot_be_read_is_no_match() {
    needs!(may_change_user(), "root");
    let base = tempdir();
    let dir = base.path().display();
    // Only root may read where root's processes work.
    let (roots, user) = (working_in(base.path()), Unprivileged::new());
    let calls = format!("-a -KILL | -a -p | -KILL {roots} | --wait {roots}");
    for words in each(&calls) {
        call!(user.sigsend(), "--cwd {dir} {words}").fails(1, "sigsend: ");
    }
    let own = started(victim().owned_by(NOBODY), |command| {
        command.current_dir(base.path());
    });
    call!(user.sigsend(), "-HUP --cwd {dir}").ok();
    own.assert_killed_by(1);
    roots.assert_alive();
}
