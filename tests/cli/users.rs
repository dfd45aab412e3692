//! `-u USER`: the processes of another user, by login name or number.

use crate::full::{Filter, assert_usage_error, assert_works_with_every_option, started};
use crate::support::prelude::*;
use crate::support::sh_of;

/// The login name of [`NOBODY`], or `None` if the test cannot run here.
fn login() -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut users = passwd.lines();
    let user = users.find(|line| line.split(':').nth(2) == Some("65534"));
    let login = user.and_then(|user| Some(user.split_once(':')?.0.to_owned()));
    if !may_change_user() || login.is_none() {
        skip("needs root and a user 65534");
    }
    login.filter(|_| may_change_user())
}

#[test]
fn a_user_narrows_and_verifies() {
    needs!(may_change_user(), "root");
    let fit = |command: &mut Command| {
        command.uid(NOBODY).gid(NOBODY);
    };
    Filter("-u 65534", &fit).assert_narrows_and_verifies();
}

#[test]
fn a_user_works_with_every_option() {
    let Some(login) = login() else { return };
    assert_works_with_every_option(|| {
        let name = unique();
        let target = started(victim().named(&name).owned_by(NOBODY), |_| {});
        (target, format!("-u {login} {name}"))
    });
}

#[test]
fn a_user_is_the_real_one_by_login_name_or_number() {
    let Some(login) = login() else { return };
    let (name, text) = (unique(), unique());
    let own = started(victim().named(&name).argv0(&*text), |_| {});
    let foreign = started(victim().named(&name).argv0(&*text).owned_by(NOBODY), |_| {});
    for user in [&*login, "65534"] {
        run!("-p -u {user} {name}").says(format!("{foreign}\n"));
        run!("-p --user={user} -f {text}").says(format!("{foreign}\n"));
    }
    run!("-p -u root {name}").says(format!("{own}\n"));
    // Liveness is asked among all users, unless one is named.
    run!("--alive -u {login} {name}").ok();
    run!("-HUP -u {login} {name}").ok();
    foreign.assert_killed_by(1);
    run!("--alive -u {login} {name}").code(1);
    run!("--alive {name}").ok();
    own.assert_alive();
    // With root as its effective user it looks like root's in /proc.
    needs!(program("setpriv").is_some(), "setpriv");
    let script = "'echo ready; read line'";
    let mut both = tool(&format!("setpriv --ruid 65534 sh -p -c {script} {text}"));
    let both = victim().ready(&mut both);
    run!("-p -u {login} -f {text}").says(format!("{both}\n"));
    run!("-p -u root -f {text}").says(format!("{own}\n"));
}

#[test]
fn a_user_alone_selects_nobody_and_is_told_the_control_group() {
    let Some(login) = login() else { return };
    let theirs = victim().owned_by(NOBODY).sleeping();
    for options in each("-KILL | -p | --grace 5s | --dry-run | --tree") {
        let done = run!("{options} -u {login}").fails(1, "--cgroup");
        done.has("user-65534.slice");
    }
    theirs.assert_alive();
}

#[test]
fn a_user_that_does_not_exist_or_comes_with_all_is_a_usage_error() {
    let (name, unknown) = (unique(), unique());
    let target = victim().named(&name).sleeping();
    for user in each("'' | -1 | +0 | 0x0 | 4294967296 | ' root' | root:root").chain([&*unknown]) {
        assert_usage_error(run!("-0 -u {user} {name}"));
    }
    assert_usage_error(run!("-0 -a -u root {name}"));
    assert_usage_error(run!("-0 --user=0 {target} --all"));
    target.assert_alive();
}

#[test]
fn a_user_is_asked_of_the_root_of_a_tree_only() {
    let is_possible = may_change_user() && program("setpriv").is_some();
    needs!(is_possible, "root and setpriv");
    let child = "setpriv --reuid 65534 --regid 65534 --clear-groups sleep 60";
    let mut family = Family::shell(&format!("{child} & echo ready; wait"));
    run!("--tree -KILL -u 65534 {}", family.arg()).fails(1, family.arg());
    family.assert_alive();
    run!("--tree -KILL -u root {}", family.arg()).ok();
    family.assert_killed_by(9);
    family.assert_all_ended();
}

#[test]
fn a_user_without_privileges_may_ask_for_another_one() {
    needs!(may_change_user(), "root");
    let (name, user) = (unique(), Unprivileged::new());
    let roots = victim().named(&name).sleeping();
    call!(user.sigsend(), "-KILL -u root {name}").fails(1, "Operation not permitted");
    call!(user.sigsend(), "--alive -u root {name}").ok();
    // Others have it, so it may not be what was meant.
    call!(user.sigsend(), "--wait -u 65534 {name}").fails(1, &name);
    // The nearest name is one of that user.
    let upper = name.to_uppercase();
    call!(user.sigsend(), "-v -u root {upper}").fails(1, &name);
    roots.assert_alive();
}

#[test]
fn another_user_answers_only_with_what_was_looked_for() {
    in_pid_namespace!();
    needs!(may_change_user(), "root");
    let foreign = victim().named("daemond").argv0("daemond --queue mail");
    let foreign = foreign.owned_by(NOBODY).sleeping();
    let dir = tempdir();
    let dir = dir.path().display();
    for line in [
        "-f no-such-text daemond".to_owned(),
        format!("--cwd={dir} daemond"),
        format!("-f queue --cwd={dir}"),
    ] {
        let told = run!("-v --wait {line}").code(0).told();
        assert!(!told.contains("selects"), "{told}");
        run!("--alive -u 0 {line}").code(1);
    }
    for line in each("-f queue daemond | -f queue | daemond") {
        run!("-v --wait {line}").fails(1, "-a selects it");
    }
    // An ancestor of another user has the text in its command line.
    needs!(program("setpriv").is_some(), "setpriv");
    let user = Unprivileged::new();
    let runs = "setpriv --reuid 65534 --clear-groups \"$0\" -v --wait -f zzz-marker; exit $?";
    call!(sh_of(user.path(), runs), "")
        .code(0)
        .has("already gone");
    let runs = "setpriv --reuid 65534 --clear-groups \"$0\" -v --wait sh; exit $?";
    let told = "only sigsend and its ancestors answer to \"sh\"";
    call!(sh_of(user.path(), runs), "").code(1).has(told);
    foreign.assert_alive();
}
