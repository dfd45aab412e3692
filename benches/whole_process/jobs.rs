//! The jobs whose whole run is timed: sending once, many targets; and the size of the programs on
//! disk and in memory.

use anyhow::Result;

use crate::options::Options;
use crate::peers::Programs;
use crate::process;
use crate::program::{Invocation, Program};
use crate::report::{Entry, Report, Row, Unit};
use crate::sleepers::Sleepers;

pub const UTF8: &str = "C.UTF-8";
const MANY_PIDS: usize = 100_000;
/// The number of different processes among the many PIDs.
const VICTIMS: usize = 8;
const MEMORY_RUNS: usize = 5;

const KILLS: &str = "Sending and listing";

/// Runs the jobs for the kill(1) programs that `options` selects.
pub fn send_and_list(programs: &Programs, options: &Options, report: &mut Report) -> Result<()> {
    let mut sleepers = Sleepers::open()?;
    let victims = sleepers.start(VICTIMS, "victim")?;
    let victim = victims[0].as_str();
    let one_call: [(&str, &[&str]); 4] = [
        ("null", &["-0", victim]),
        ("s-hup", &["-s", "HUP", victim]),
        ("hup", &["-HUP", victim]),
        ("list", &["-l"]),
    ];
    for locale in [UTF8, "C"] {
        for (job, args) in one_call.iter().filter(|(job, _)| options.wants(job)) {
            let title = format!("`{}`, {locale}", args.join(" ").replace(victim, "PID"));
            let compared = [
                &programs.kills[..],
                programs.earlier.as_slice(),
                &programs.floors,
            ]
            .concat();
            let invocations = prepare(
                &programs.sigsend,
                &compared,
                locale,
                &owned(args),
                &title,
                report,
            )?;
            report.add(Row::new(
                job,
                KILLS,
                title,
                Unit::Seconds,
                measure_in_turn(&invocations, options.rounds, Invocation::time)?,
            ));
        }
    }

    // What everyday calls do not show: the start of the C library, and the parser.
    let parsed: [(&str, &[&str], &[Program]); 3] = [
        ("main", &["-0", "--", victim], &programs.kills),
        ("help", &["--help"], &programs.kills),
        ("table", &["-t"], &[]),
    ];
    for (job, args, kills) in parsed {
        if options.wants(job) {
            let title = format!("`{}`", args.join(" ").replace(victim, "PID"));
            let compared = [kills, programs.earlier.as_slice()].concat();
            let invocations = prepare(
                &programs.sigsend,
                &compared,
                UTF8,
                &owned(args),
                &title,
                report,
            )?;
            report.add(Row::new(
                job,
                KILLS,
                title,
                Unit::Seconds,
                measure_in_turn(&invocations, options.rounds, Invocation::time)?,
            ));
        }
    }

    let mut many = owned(&["-0"]);
    many.extend(victims.iter().cycle().take(MANY_PIDS).cloned());
    if options.wants("100000-pids") {
        let title = "`-0` and 100,000 PIDs".to_owned();
        let invocations = prepare(
            &programs.sigsend,
            &programs.kills,
            UTF8,
            &many,
            &title,
            report,
        )?;
        report.add(Row::new(
            "100000-pids",
            KILLS,
            title,
            Unit::Seconds,
            measure_in_turn(&invocations, share(options.rounds, 10), Invocation::time)?,
        ));
    }
    if options.wants("memory") {
        measure_memory(
            programs,
            "peak memory, `-0 PID`",
            &owned(&["-0", victim]),
            &programs.floors,
            report,
        )?;
        measure_memory(programs, "peak memory, 100,000 PIDs", &many, &[], report)?;
    }
    if options.wants("size") {
        let all = [
            std::slice::from_ref(&programs.sigsend),
            &programs.kills,
            &programs.floors,
        ]
        .concat();
        let entries = all
            .iter()
            .map(|program| Ok(Entry::new(program, vec![bytes(program.size()?)])))
            .collect::<Result<_>>()?;
        report.add(Row::new(
            "size",
            KILLS,
            "file size".to_owned(),
            Unit::Bytes,
            entries,
        ));
    }
    Ok(())
}

/// The number of rounds of a heavy job, at least 3 for a median.
pub fn share(rounds: usize, divisor: usize) -> usize {
    (rounds / divisor).max(3)
}

pub fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(|&arg| arg.to_owned()).collect()
}

/// The command lines of all programs that succeed in a trial run; the others are noted.
fn prepare(
    sigsend: &Program,
    others: &[Program],
    locale: &str,
    args: &[String],
    title: &str,
    report: &mut Report,
) -> Result<Vec<Invocation>> {
    let mut able = Vec::new();
    for program in std::iter::once(sigsend).chain(others) {
        let invocation = program.invocation(locale, args)?;
        match invocation.run_once() {
            Ok(_) => able.push(invocation),
            Err(error) => report.note(format!("{title}: {}: {error:#}", program.label)),
        }
    }
    Ok(able)
}

/// Runs the programs in turn. Each round starts with a different one, so that no program always
/// runs first.
pub fn measure_in_turn(
    invocations: &[Invocation],
    rounds: usize,
    sample: impl Fn(&Invocation) -> Result<f64>,
) -> Result<Vec<Entry>> {
    let mut entries: Vec<Entry> = invocations
        .iter()
        .map(|invocation| Entry::new(&invocation.program, Vec::new()))
        .collect();
    for round in 0..rounds {
        process::fail_if_interrupted()?;
        for turn in 0..invocations.len() {
            let next = (round + turn) % invocations.len();
            entries[next].samples.push(sample(&invocations[next])?);
        }
    }
    Ok(entries)
}

fn measure_memory(
    programs: &Programs,
    title: &str,
    args: &[String],
    floors: &[Program],
    report: &mut Report,
) -> Result<()> {
    let compared = [&programs.kills[..], floors].concat();
    let mut entries = Vec::new();
    for invocation in prepare(&programs.sigsend, &compared, UTF8, args, title, report)? {
        let peaks: Result<Vec<f64>> = (0..MEMORY_RUNS)
            .map(|_| process::peak_memory(invocation.command()).map(bytes))
            .collect();
        match peaks {
            Ok(peaks) => entries.push(Entry::new(&invocation.program, peaks)),
            Err(error) => report.note(format!("{title}: {}: {error:#}", invocation.program.label)),
        }
    }
    report.add(Row::new(
        "memory",
        KILLS,
        title.to_owned(),
        Unit::Bytes,
        entries,
    ));
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "no program weighs 2^53 bytes")]
fn bytes(count: u64) -> f64 {
    count as f64
}
