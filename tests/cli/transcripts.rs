//! The commands of README and docs/ are run as printed, and their output is compared.
//!
//! A `console` block is a transcript: `$ command` and what it prints. Each line of a `sh` block
//! must succeed; one that begins with `#!` is a script, which must leave no process running. HTML
//! comments before a block give its requirements: `<!-- before: … -->` is run in the same shell
//! first, `<!-- needs: … -->` names programs (or root, or cgroup) without which the block is
//! skipped, `<!-- not run: … -->` says why it is not run at all.

mod masked;
mod page;
mod shell;

use std::collections::BTreeSet;

use crate::cgroup::group::Group;
use crate::support::prelude::*;
use masked::assert_same;
use page::{Block, blocks};
use shell::{Shell, processes, settle};

/// The pages that this test runs, those without commands, and those that others run or nobody.
const PAGES: &str = "README.md docs/recipes.md docs/reference.md";
const WITHOUT_COMMANDS: &str = "SECURITY.md docs/ARCHITECTURE.md docs/benchmark.md \
    docs/comparison.md docs/kernels.md docs/safety.md docs/tried.md CHANGELOG.md";
const ELSEWHERE: &str = "CONTRIBUTING.md docs/fleet.md docs/from-pkill.md docs/packaging.md";

fn run_transcript(shell: &mut Shell, block: &Block) {
    for part in block.parts(|line| line.starts_with("$ ")) {
        let place = format!("{}: {}", block.place, part[0]);
        let command = part[0].strip_prefix("$ ").expect("a command first");
        match &part[1..] {
            // The process that it starts in the background gets the printed PID.
            [job] if job.starts_with('[') => {
                let (_, pid) = job.split_once("] ").expect("a PID");
                shell.run(&format!("at {pid}\n{command}"));
                let (_, started) = shell.run("echo $!");
                settle();
                assert_eq!(started.trim(), pid, "{place} did not get its PID");
            }
            printed => assert_same(&place, printed, &shell.run(command).1),
        }
    }
}

fn run_script(shell: &mut Shell, block: &Block) {
    let before = processes();
    let script = shell.dir.arg("script", block.lines.join("\n") + "\n");
    shell.must_run(&block.place, &format!("bash {script}"));
    settle();
    assert_eq!(processes(), before, "{}: left behind", block.place);
}

fn run_page(page: &str) {
    let mut run = 0;
    for block in blocks(page).iter().filter(|block| block.has_commands()) {
        if let Some(missing) = block.missing() {
            skip(format!("{}: no {missing}", block.place));
            continue;
        }
        let needs_group = block.needs.contains("cgroup");
        let group = needs_group.then(control_group).flatten();
        if needs_group && group.is_none() {
            continue;
        }
        let mut shell = Shell::new();
        let directory = group.as_ref().map_or_else(String::new, Group::arg);
        let before = format!("cgroup={directory}\n{}", block.before);
        shell.must_run(&block.place, &before);
        settle();
        match block.lines.first() {
            Some(line) if line.starts_with("#!") => run_script(&mut shell, block),
            _ if block.language == "console" => run_transcript(&mut shell, block),
            _ => {
                for part in block.parts(|line| !line.starts_with([' ', '}'])) {
                    shell.must_run(&block.place, &part.join("\n"));
                }
            }
        }
        run += 1;
    }
    assert!(run > 0, "{page} has no block that is run");
}

#[test]
fn every_command_of_the_readme_works_as_it_says() {
    in_pid_namespace!();
    run_page("README.md");
}

#[test]
fn every_command_of_the_recipes_works_as_it_says() {
    in_pid_namespace!();
    run_page("docs/recipes.md");
}

#[test]
fn every_command_of_the_reference_works_as_it_says() {
    in_pid_namespace!();
    run_page("docs/reference.md");
}

/// The recipe for a script's children, in the environment of cron, with each ending of a script.
#[test]
fn children_end_with_the_script_in_every_shell() {
    // A child of bash that has not executed anything yet would run the trap of the script.
    const STARTED: &str = "until [ \"$(sigsend -p sleep | wc -l)\" -eq 3 ]; do :; done";
    in_pid_namespace!();
    let page = blocks("docs/recipes.md");
    let has_trap = |block: &&Block| block.lines.iter().any(|line| line.ends_with(" EXIT"));
    let recipe = page.iter().find(has_trap).expect("the recipe");
    let recipe = recipe.lines.join("\n").replace("2s", "500ms");
    for name in ["sh", "bash", "zsh", "busybox sh"] {
        if program(&words(name)[0]).is_none() {
            skip(format!("no {name}"));
            continue;
        }
        let mut shell = Shell::new();
        settle();
        let before = processes();
        for (ending, status) in [("", 0), ("false", 1), ("sigsend $$; wait", 143)] {
            let script = format!("{recipe}\n{STARTED}\n{ending}\n");
            let script = shell.dir.arg("script", script);
            let (ended, text) = shell.run(&format!("env -i PATH=\"$PATH\" {name} {script}"));
            assert_eq!(ended, status, "{name}: {ending}\nprints\n{text}");
            settle();
            assert_eq!(processes(), before, "{name}: {ending}: left behind");
        }
    }
}

#[test]
fn no_page_is_left_out() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let names = |dir: &'static str| {
        let entries = fs::read_dir(root.join(dir)).expect("a directory").flatten();
        entries.map(move |entry| format!("{dir}{}", entry.file_name().to_string_lossy()))
    };
    let is_page = |name: &String| Path::new(name).extension() == Some("md".as_ref());
    let pages: BTreeSet<String> = names("").chain(names("docs/")).filter(is_page).collect();
    let known = [PAGES, WITHOUT_COMMANDS, ELSEWHERE].join(" ");
    assert_eq!(pages, words(&known).into_iter().collect());
    for block in words(WITHOUT_COMMANDS).iter().flat_map(|page| blocks(page)) {
        assert!(!block.has_commands(), "{}: not run", block.place);
    }
}
