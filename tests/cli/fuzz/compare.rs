//! Compares the result of a command line with the forecast.

use std::collections::BTreeSet;

use super::line::{Line, Sink};
use super::model::{self, Bounds, Forecast, KILLED};
use super::reading::{Mode, Reading};
use super::roles::Habit;
use super::runner::Ended;
use super::victim::Receipt;
use super::world::{Observation, PATIENCE, Victim, World};

/// The differences between the forecast and how the line ended and what the victims received; empty
/// if there are none.
pub fn differences(
    line: &Line,
    reading: &Reading,
    forecast: &Forecast,
    world: &World,
    ended: &Ended,
    observations: &[Observation],
) -> Vec<String> {
    let mut wrong = output_differences(line, reading, forecast, ended);
    let observed = world.victims.iter().zip(observations);
    for ((victim, observation), bounds) in observed.zip(&forecast.bounds) {
        let name = victim.name.escape_ascii().to_string();
        let who = format!("{} ({name:?}, {})", victim.pid, victim.describe());
        let is_child = |child: &Victim| child.exists() && child.parent == victim.pid;
        let is_parent = world.victims.iter().any(is_child);
        // Its groups form a circle of processes that survive HUP. The first death continues one.
        let is_of_circle =
            |one: &Victim| one.family == victim.family && one.habit == Habit::Escapes;
        let mut permitted = bounds.clone();
        if bounds.frozen && world.victims.iter().any(is_of_circle) {
            permitted.most[1] += 1;
            permitted.most[18] += 1;
        }
        let mut differences = victim_differences(victim, is_parent, observation, &permitted);
        // Without CONT it is forked only because the kernel or another process continues a member.
        let is_escape = bounds.frozen && bounds.most[18] == 0 && ended.exit == 0;
        if let Some(pid) = observation.escaped.filter(|_| is_escape) {
            differences.push(format!("its child {pid} outran KILL"));
        }
        let is_stormy = line.storm == Some(victim.family);
        differences.extend(sender_differences(
            reading,
            observation,
            ended.pid,
            is_stormy,
        ));
        wrong.extend(differences.iter().map(|what| format!("{who}: {what}")));
    }
    wrong
}

/// Differences in the exit status and the output.
fn output_differences(
    line: &Line,
    reading: &Reading,
    forecast: &Forecast,
    ended: &Ended,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut report_if = |bad: bool, what: String| {
        if bad {
            wrong.push(what);
        }
    };
    report_if(ended.hung, format!("did not end within {PATIENCE:?}"));
    let delayed = "waited for a reader before it sent a predicted signal";
    report_if(ended.delayed, delayed.into());
    let is_raw = |c: char| c.is_control() && c != '\n';
    let is_request = matches!(reading, Reading::Request(_));
    let raw = ended.stderr.contains(is_raw) || is_request && ended.stdout.contains(is_raw);
    let panicked = ended.exit == 101 || ended.exit == 134 || ended.stderr.contains("panicked");
    report_if(panicked, format!("panicked: {}", ended.stderr));
    let exits = &forecast.exits;
    let is_foreseen = exits.contains(&ended.exit);
    let what = format!("ended with {}, not one of {exits:?}", ended.exit);
    report_if(!is_foreseen, what);
    let text = format!("stdout {:?}, stderr {:?}", ended.stdout, ended.stderr);
    report_if(raw, format!("control characters in the output: {text}"));
    let has_stdout = matches!(line.sink, Sink::File | Sink::Late);
    let has_stderr = has_stdout || matches!(line.sink, Sink::Closed | Sink::Full);
    let is_refused = matches!(reading, Reading::Refused) && forecast.listed.is_none();
    if is_refused && has_stderr && !exits.contains(&0) {
        let is_error = ended.stderr.starts_with("sigsend: ");
        let clear = is_error && (ended.stdout.is_empty() || ended.stdout.starts_with('{'));
        report_if(!clear, format!("no clear usage error: {text}"));
    }
    if let Reading::Request(request) = reading {
        let prints = request.has("verbose") || request.has("json") || request.mode != Mode::Send;
        let silent = ended.exit == 0 && !prints && !request.loose;
        // A member that another process continues cannot be kept stopped, which is a warning.
        let is_warning = |message: &str| {
            line.storm.is_some() && message.contains(" could not be kept stopped; ")
        };
        let is_quiet = ended.stdout.is_empty() && ended.stderr.lines().all(is_warning);
        let what = format!("success is not silent: {text}");
        report_if(silent && !is_quiet, what);
        let fails = matches!(ended.exit, 1 | 64) && request.mode == Mode::Send;
        let is_mute = fails && has_stderr && ended.stderr.is_empty();
        report_if(is_mute, "no message about the failure".into());
        let is_garbage = |line: &&str| {
            let value = serde_json::from_str::<serde_json::Value>(line);
            !value.is_ok_and(|value| value.is_object())
        };
        let has_json = request.has("json") && has_stdout;
        let garbage = ended.stdout.lines().find(is_garbage).filter(|_| has_json);
        report_if(garbage.is_some(), format!("no JSON: {garbage:?}"));
    }
    if has_stdout && let Some(listed) = &forecast.listed {
        // The names of a mask may share a line.
        let printed: Vec<&str> = ended.stdout.split_whitespace().collect();
        let what = format!("listed {printed:?}, not {listed:?}");
        report_if(printed != *listed, what);
    }
    if has_stdout && let Reading::Request(request) = reading {
        let has_json = request.has("json") && ended.exit < KILLED;
        let summary = summary(&ended.stdout).filter(|_| has_json);
        let is_missing = has_json && !request.loose && summary.is_none();
        report_if(is_missing, format!("no summary: {text}"));
        if let Some([signalled, gone, failed, remaining, status]) = summary {
            let exit = ended.exit;
            let is_other = i64::from(exit) != status;
            let what = format!("reports status {status} and exits with {exit}");
            report_if(is_other, what);
            let counted = [signalled, gone, failed, remaining];
            let fits = |(count, [least, most]): (i64, [usize; 2])| {
                usize::try_from(count).is_ok_and(|count| (least..=most).contains(&count))
            };
            let fits = |may: &[[usize; 2]; 4]| counted.into_iter().zip(*may).all(fits);
            let bad = forecast.counts.filter(|may| !fits(may));
            let what = format!("counts {counted:?}, not {bad:?}: {text}");
            report_if(bad.is_some(), what);
        }
    }
    if let Some([must, may]) = forecast.printed.as_ref().filter(|_| has_stdout) {
        let printed: BTreeSet<String> = ended.stdout.lines().map(str::to_owned).collect();
        let fits = must.is_subset(&printed) && printed.is_subset(may);
        let what = format!("printed {printed:?}, not {must:?} to {may:?}");
        report_if(!fits, what);
    }
    wrong
}

/// The numbers of the summary, which is the last line of JSON: signalled, already gone, failed,
/// remaining, status.
fn summary(stdout: &str) -> Option<[i64; 5]> {
    let value: serde_json::Value = serde_json::from_str(stdout.lines().last()?).ok()?;
    let number = |key: &str| value[key].as_i64();
    let keys = ["signalled", "already_gone", "failed", "remaining", "status"];
    let numbers: Option<Vec<i64>> = keys.into_iter().map(number).collect();
    let numbers: Option<[i64; 5]> = numbers?.try_into().ok();
    numbers.filter(|_| value["event"] == "summary")
}

/// Differences in the sender of the signals, the system call used and the value.
fn sender_differences(
    reading: &Reading,
    observation: &Observation,
    sigsend: i32,
    is_stormy: bool,
) -> Vec<String> {
    let Reading::Request(request) = reading else {
        return Vec::new();
    };
    let first = i32::from(request.signal.unwrap_or(15));
    let mut wrong = Vec::new();
    for &[signal, code, sender, value] in &observation.receipts {
        if code > 0 || is_stormy && signal == 18 {
            continue;
        }
        if sender != sigsend {
            wrong.push(format!(
                "{signal} came from {sender}, not from sigsend ({sigsend})"
            ));
        }
        let (sent, queue) = ((code == -1).then_some(value), request.queue);
        if sent != queue && signal == first && !request.loose {
            wrong.push(format!("{signal} came with value {sent:?}, not {queue:?}"));
        }
    }
    wrong
}

/// Differences between what a victim received and its bounds.
fn victim_differences(
    victim: &Victim,
    is_parent: bool,
    observation: &Observation,
    bounds: &Bounds,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let number = |signal: i32| usize::try_from(signal).expect("a signal");
    let (least, most) = (&bounds.least, &bounds.most);
    // Its handler exits.
    let may_exit = victim.habit == Habit::Forks && observation.exited == Some(0) && most[15] > 0;
    if let Some(code) = observation.exited.filter(|_| !may_exit) {
        wrong.push(format!("exited with {code}"));
    }
    let is_unforeseen = |signal: &i32| most[number(*signal)] == 0;
    if let Some(signal) = observation.killed.filter(is_unforeseen) {
        wrong.push(format!("was killed by {signal}"));
    }
    // CONT discards pending stop signals, and a stop signal discards a pending CONT.
    let both_ways = most[18] > 0 && [19, 20, 21, 22].iter().any(|&stop| most[stop] > 0);
    // A victim may be stopped on its way into a handler.
    let midway = victim.habit.counts() && observation.stopped;
    let is_observable = !midway && (victim.habit.counts() || victim.habit.reports());
    let dead = observation.is_dead();
    for signal in (1..=64).filter(|signal| ![9, 19].contains(signal)) {
        let got = observation.counts[signal];
        let (least, most) = (least[signal], most[signal]);
        if got > most {
            wrong.push(format!(
                "received {signal} {got} times, at most {most} predicted"
            ));
        }
        // The kernel's own CHLD and HUP (a child ended, a group was orphaned) may have merged with
        // sigsend's.
        let by_kernel = |receipt: &Receipt| receipt[1] > 0 && number(receipt[0]) == signal;
        let merged = observation.receipts.iter().any(by_kernel)
            || signal == 17 && (observation.unanswered || is_parent && victim.habit.counts());
        let flushed = both_ways && matches!(signal, 18 | 20..=22);
        // The children of process 1 end at any time, too.
        let uncounted =
            victim.is_zombie() || victim.habit == Habit::Init && matches!(signal, 17 | 32 | 33);
        // Standard signals merge while they are pending, and pending realtime signals are not
        // counted.
        let merge = signal < 32 || observation.unanswered;
        let needed = if merge { least.min(1) } else { least };
        if is_observable && !dead && !merged && !flushed && !uncounted && got < needed {
            wrong.push(format!(
                "received {signal} {got} times, at least {needed} predicted"
            ));
        }
    }
    let may_stop = most[19] > 0
        || victim.habit == Habit::Dies && [20, 21, 22].iter().any(|&stop| most[stop] > 0);
    if observation.stopped && !victim.stopped && !may_stop {
        let what = if bounds.frozen {
            "was left frozen"
        } else {
            "was stopped"
        };
        wrong.push(what.into());
    }
    if victim.stopped && !observation.stopped && !dead && most[18] == 0 {
        wrong.push("was continued".into());
    }
    if victim.habit != Habit::Init && victim.exists() && !victim.is_zombie() && !dead {
        let fatal = |signal: &usize| model::is_fatal(*signal) && least[*signal] > 0;
        let stoppable = victim.stopped || may_stop;
        let dies = |signal: &usize| match victim.habit {
            Habit::Dies => fatal(signal),
            Habit::Forks => *signal == 15 && least[15] > 0,
            _ => false,
        };
        let must_die = least[9] > 0 || !stoppable && (1..=64).any(|signal| dies(&signal));
        if must_die {
            wrong.push("is alive, but had to be killed".into());
        }
        let may_stop = victim.habit != Habit::Vforks;
        if least[19] > 0 && most[18] == 0 && !observation.stopped && may_stop {
            wrong.push("was not stopped".into());
        }
    }
    wrong
}
