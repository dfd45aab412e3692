//! The jobs that look processes up: ports, names, command lines, working directories, trees and
//! groups, each among few processes and among thousands.

use anyhow::Result;

use crate::jobs::{UTF8, measure_in_turn, owned, share};
use crate::options::Options;
use crate::peers::Programs;
use crate::process;
use crate::program::{BinDir, Invocation};
use crate::report::{Entry, Report, Row, Unit};
use crate::sleepers::Sleepers;

/// So many processes are looked at.
const CROWDS: [usize; 3] = [50, 500, 5000];
/// The members of the tree, among the others.
const TREE: usize = 200;
/// The members of a group.
const GROUP: usize = 1000;

const FINDERS: &str = "Looking, CPU time";
const ENDERS: &str = "Ending";

/// What is done to one of the processes, and the arguments of the programs that do it; the first
/// one is sigsend.
type Job = (&'static str, &'static str, Vec<(&'static str, Vec<String>)>);

pub fn look(
    programs: &Programs,
    bin_dir: &BinDir,
    options: &Options,
    report: &mut Report,
) -> Result<()> {
    let wanted = ["port", "name", "full", "cwd", "tree"];
    if !wanted.iter().any(|job| options.wants(job)) {
        return Ok(());
    }
    for crowd in CROWDS {
        let mut others = Sleepers::open()?;
        others.start(crowd, "crowd")?;
        let word = format!("needle{}", std::process::id());
        let mut needle = Sleepers::open_called(&word, &bin_dir.directory)?;
        needle.start(1, &word)?;
        let port = needle.listen()?;
        let mut tree = Sleepers::open()?;
        let directory = bin_dir.directory.display().to_string();
        for (job, title, calls) in jobs(&word, &port, &tree.helper(), &directory) {
            if !options.wants(job) {
                continue;
            }
            // The last job: its processes are among nobody else's.
            if job == "tree" {
                tree.start(TREE - 1, "twig")?;
            }
            let title = format!("{title}, among {crowd}");
            let mut invocations = Vec::new();
            for (name, args) in calls {
                let found = programs.finders.iter().find(|(known, _)| *known == name);
                let program = match found {
                    Some((_, program)) => program,
                    None if name == "sigsend" => &programs.sigsend,
                    None => continue,
                };
                invocations.push(program.invocation(UTF8, &args)?);
            }
            able(&mut invocations, &title, report);
            let rounds = share(options.rounds, 10 + crowd / 100);
            let entries = measure_in_turn(&invocations, rounds, Invocation::cpu_time)?;
            report.add(Row::new(job, FINDERS, title, Unit::Seconds, entries).among(crowd));
        }
    }
    Ok(())
}

fn jobs(word: &str, port: &str, root: &str, directory: &str) -> Vec<Job> {
    let (address, filter) = (format!(":{port}"), format!("sport = :{port}"));
    let tcp = (format!("-iTCP:{port}"), format!("{port}/tcp"));
    let listening = ["-nP", &tcp.0, "-sTCP:LISTEN", "-t"];
    vec![
        (
            "port",
            "`-p :PORT`",
            vec![
                ("sigsend", owned(&["-p", &address])),
                ("ss", owned(&["-lptnH", &filter])),
                ("lsof", owned(&listening)),
                ("fuser", owned(&[&tcp.1])),
            ],
        ),
        (
            "name",
            "`-p NAME`",
            vec![
                ("sigsend", owned(&["-p", word])),
                ("pgrep", owned(&["-x", word])),
                ("killall", owned(&["-0", word])),
            ],
        ),
        (
            "full",
            "`-p -f TEXT`",
            vec![
                ("sigsend", owned(&["-p", "-f", word])),
                ("pgrep", owned(&["-f", word])),
            ],
        ),
        (
            "cwd",
            "`-p --cwd DIR`",
            vec![("sigsend", owned(&["-p", "--cwd", directory]))],
        ),
        (
            "tree",
            "`-0 --tree PID` of 200",
            vec![
                ("sigsend", owned(&["-0", "--tree", root])),
                ("pstree", owned(&["-p", root])),
                ("pkill", owned(&["-0", "-P", root])),
            ],
        ),
    ]
}

/// Drops the command lines that fail in a trial run, and notes them.
fn able(invocations: &mut Vec<Invocation>, title: &str, report: &mut Report) {
    invocations.retain(|invocation| match invocation.run_once() {
        Ok(_) => true,
        Err(error) => {
            report.note(format!("{title}: {}: {error:#}", invocation.program.label));
            false
        }
    });
}

/// Ends trees and groups, which are started anew for each run.
pub fn end(programs: &Programs, options: &Options, report: &mut Report) -> Result<()> {
    let tree: [(&str, &[&str]); 1] = [("sigsend", &["--tree", "-KILL", "--wait"])];
    let group: [(&str, &[&str]); 2] = [("sigsend", &["--grace", "5s", "--"]), ("floor", &[])];
    let jobs = [
        ("kill-tree", "`--tree -KILL --wait` of 200", TREE, &tree[..]),
        ("group", "`--grace 5s -- -PGID` of 1000", GROUP, &group[..]),
    ];
    for (job, title, count, calls) in jobs {
        if !options.wants(job) {
            continue;
        }
        let mut entries: Vec<Entry> = Vec::new();
        for round in 0..share(options.rounds, 50) {
            process::fail_if_interrupted()?;
            for turn in 0..calls.len() {
                let (name, args) = calls[(round + turn) % calls.len()];
                let program = match (name, &programs.group_floor) {
                    ("floor", Some(floor)) => floor,
                    ("floor", None) => continue,
                    _ => &programs.sigsend,
                };
                let mut sleepers = Sleepers::open()?;
                let pids = sleepers.start(count - 1, "member")?;
                let helper = sleepers.helper();
                let mut args = owned(args);
                match (job, name) {
                    ("group", "sigsend") => args.push(format!("-{helper}")),
                    ("group", _) => args.extend([helper.clone(), helper].into_iter().chain(pids)),
                    _ => args.push(helper),
                }
                let sample = program.invocation(UTF8, &args)?.time()?;
                drop(sleepers);
                process::reap_orphans();
                match entries.iter_mut().find(|entry| entry.is_of(program)) {
                    Some(entry) => entry.samples.push(sample),
                    None => entries.push(Entry::new(program, vec![sample])),
                }
            }
        }
        report.add(Row::new(
            job,
            ENDERS,
            title.to_owned(),
            Unit::Seconds,
            entries,
        ));
    }
    Ok(())
}
