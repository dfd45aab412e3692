//! Computes statistics from samples and prints a Markdown table for each group of jobs, or JSON.

use std::env;
use std::fs;
use std::io::{self, Write as _};
use std::thread;

use anyhow::Result;
use nix::sys::utsname::uname;
use serde_json::{Value, json};

use crate::program::Program;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    Seconds,
    Bytes,
}

/// The measurements of one program for one job, one per round.
pub struct Entry {
    pub label: String,
    pub samples: Vec<f64>,
}

impl Entry {
    pub fn new(program: &Program, samples: Vec<f64>) -> Self {
        Self {
            label: program.label.clone(),
            samples,
        }
    }

    pub fn is_of(&self, program: &Program) -> bool {
        self.label == program.label
    }

    pub fn median(&self) -> f64 {
        percentile(&self.samples, 50)
    }
}

/// One job; sigsend, if measured, comes first.
pub struct Row {
    pub job: &'static str,
    table: &'static str,
    pub title: String,
    unit: Unit,
    pub entries: Vec<Entry>,
    /// How many processes were looked at, if that is what makes the cost.
    pub among: Option<usize>,
}

impl Row {
    pub fn new(
        job: &'static str,
        table: &'static str,
        title: String,
        unit: Unit,
        entries: Vec<Entry>,
    ) -> Self {
        Self {
            job,
            table,
            title,
            unit,
            entries,
            among: None,
        }
    }

    pub fn among(self, processes: usize) -> Self {
        Self {
            among: Some(processes),
            ..self
        }
    }

    fn entry(&self, label: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.label == label)
    }

    /// The median over the rounds of the ratio of sigsend's measurement to that of `entry`.
    fn ratio(&self, entry: &Entry) -> Option<f64> {
        let sigsend = self
            .entry("sigsend")
            .filter(|sigsend| sigsend.label != entry.label)?;
        let ratios: Vec<f64> = sigsend
            .samples
            .iter()
            .zip(&entry.samples)
            .map(|(own, other)| own / other)
            .collect();
        Some(percentile(&ratios, 50)).filter(|ratio| ratio.is_finite())
    }

    fn cell(&self, label: &str) -> String {
        let Some(entry) = self.entry(label) else {
            return "–".to_owned();
        };
        let median = self.unit.show(entry.median());
        let ratio = self
            .ratio(entry)
            .map(|ratio| format!(" **{ratio:.2}**"))
            .unwrap_or_default();
        match self.unit {
            Unit::Seconds => format!(
                "{median} / {}{ratio}",
                self.unit.show(percentile(&entry.samples, 95))
            ),
            Unit::Bytes => format!("{median}{ratio}"),
        }
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        let (units, step) = match self {
            Unit::Seconds => (["µs", "ms", "s"], 1000.0),
            Unit::Bytes => (["KiB", "MiB", "GiB"], 1024.0),
        };
        let mut value = if self == Unit::Seconds {
            value * 1e6
        } else {
            value / step
        };
        let mut unit = units[0];
        for &larger in &units[1..] {
            if value < step {
                break;
            }
            value /= step;
            unit = larger;
        }
        let decimals = if value < 10.0 {
            2
        } else {
            usize::from(value < 100.0)
        };
        format!("{value:.decimals$} {unit}")
    }
}

/// The nearest-rank percentile; NaN if there are no samples.
fn percentile(samples: &[f64], percent: usize) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted
        .get(rank.saturating_sub(1))
        .copied()
        .unwrap_or(f64::NAN)
}

#[derive(Default)]
pub struct Report {
    pub rows: Vec<Row>,
    notes: Vec<String>,
}

impl Report {
    /// Adds a job and prints a progress line.
    pub fn add(&mut self, row: Row) {
        let _ = writeln!(io::stderr(), "done: {}", row.title);
        self.rows.push(row);
    }

    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub fn markdown(&self, missing: &[String]) -> String {
        let mut text = format!(
            "{}\n`{}`\n\nEach cell: median / 95th percentile, then sigsend's share of it (the median of the ratios, round by round).\n",
            machine(),
            command()
        );
        let mut rest = &self.rows[..];
        while let Some(first) = rest.first() {
            let length = rest
                .iter()
                .take_while(|row| row.table == first.table)
                .count();
            let (rows, others) = rest.split_at(length);
            text += &table(first.table, rows);
            rest = others;
        }
        text += &bullets("Missing", missing);
        text += &bullets("Notes", &self.notes);
        text
    }

    pub fn json(&self, missing: &[String]) -> String {
        let results: Vec<Value> = self
            .rows
            .iter()
            .flat_map(|row| row.entries.iter().map(|entry| figures(row, entry)))
            .collect();
        let document = json!({
            "machine": machine(), "command": command(), "results": results, "missing": missing, "notes": self.notes,
        });
        format!("{document:#}\n")
    }
}

fn figures(row: &Row, entry: &Entry) -> Value {
    json!({
        "job": row.job,
        "title": row.title.replace('`', ""),
        "program": entry.label,
        "unit": if row.unit == Unit::Seconds { "seconds" } else { "bytes" },
        "rounds": entry.samples.len(),
        "median": entry.median(),
        "p95": percentile(&entry.samples, 95),
        "ratio": row.ratio(entry),
    })
}

fn table(title: &str, rows: &[Row]) -> String {
    let mut labels: Vec<&str> = Vec::new();
    for entry in rows.iter().flat_map(|row| &row.entries) {
        if !labels.contains(&entry.label.as_str()) {
            labels.push(&entry.label);
        }
    }
    let mut text = format!(
        "\n| {title} | {} |\n| --- |{}\n",
        labels.join(" | "),
        " ---: |".repeat(labels.len())
    );
    text.extend(rows.iter().map(|row| {
        let cells: Vec<String> = labels.iter().map(|label| row.cell(label)).collect();
        format!("| {} | {} |\n", row.title, cells.join(" | "))
    }));
    text
}

fn bullets(title: &str, lines: &[String]) -> String {
    if lines.is_empty() {
        return String::new();
    }
    format!("\n{title}:\n\n- {}\n", lines.join("\n- "))
}

/// Processor, cores, kernel and system in one line.
fn machine() -> String {
    let value = |file: &str, key: &str, separator: char| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let found = text
            .lines()
            .filter_map(|line| line.split_once(separator))
            .find(|(name, _)| name.trim() == key);
        found.map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().trim_matches('"').to_owned(),
        )
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let kernel: Result<String> = uname()
        .map(|names| names.release().to_string_lossy().into_owned())
        .map_err(Into::into);
    format!(
        "{}, {cores} cores, Linux {}, {}",
        value("/proc/cpuinfo", "model name", ':'),
        kernel.unwrap_or_default(),
        value("/etc/os-release", "PRETTY_NAME", '='),
    )
}

fn command() -> String {
    let args: Vec<String> = env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.is_empty() {
        "cargo bench".to_owned()
    } else {
        format!("cargo bench --bench whole_process -- {}", args.join(" "))
    }
}
