//! How the cost of each look grows with the number of processes, as an SVG on logarithmic axes: a
//! panel a job, a line a program.

use std::fmt::Write as _;

use crate::report::Row;

const PANEL: (f64, f64) = (400.0, 260.0);
/// The space for axes and labels: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (56.0, 34.0, 84.0, 34.0);
/// Powers of ten: processes, and milliseconds of CPU time.
const PROCESSES: (f64, f64) = (1.5, 3.8);
const MILLISECONDS: (f64, f64) = (-0.7, 3.0);

/// Readable on white and on black; the first colour is sigsend's.
const COLOURS: [&str; 4] = ["#e0452f", "#3f8fd0", "#4aa564", "#a878c8"];

const STYLE: &str = "text{font:12px sans-serif;fill:#555}.title{font-weight:bold}\
    .axis{stroke:#888;stroke-opacity:.35}@media(prefers-color-scheme:dark){text{fill:#bbb}}";

pub fn svg(rows: &[Row]) -> String {
    let mut jobs: Vec<&str> = Vec::new();
    // What no other program does shows nothing here.
    let is_shown = |row: &&Row| row.among.is_some() && row.entries.len() > 1;
    for row in rows.iter().filter(is_shown) {
        if !jobs.contains(&row.job) {
            jobs.push(row.job);
        }
    }
    let mut panels = String::new();
    let mut place = (0.0, 0.0);
    for job in jobs {
        let of_job: Vec<&Row> = rows.iter().filter(|row| row.job == job).collect();
        let _ = writeln!(
            panels,
            "<g transform=\"translate({},{})\">\n{}</g>",
            place.0,
            place.1,
            panel(&of_job)
        );
        place = if place.0 > 0.0 {
            (0.0, place.1 + PANEL.1)
        } else {
            (PANEL.0, place.1)
        };
    }
    let height = if place.0 > 0.0 {
        place.1 + PANEL.1
    } else {
        place.1
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {height}\">\n\
         <style>{STYLE}</style>\n{panels}</svg>\n",
        2.0 * PANEL.0
    )
}

fn x(processes: f64) -> f64 {
    let share = (processes.log10() - PROCESSES.0) / (PROCESSES.1 - PROCESSES.0);
    MARGIN.0 + share * (PANEL.0 - MARGIN.0 - MARGIN.2)
}

fn y(milliseconds: f64) -> f64 {
    let share = (milliseconds.log10() - MILLISECONDS.0) / (MILLISECONDS.1 - MILLISECONDS.0);
    PANEL.1 - MARGIN.3 - share * (PANEL.1 - MARGIN.1 - MARGIN.3)
}

fn panel(rows: &[&Row]) -> String {
    let mut text = String::new();
    let title = rows.first().map_or("", |row| &row.title);
    let title = title.split(", among").next().unwrap_or(title);
    let (left, right) = (MARGIN.0, PANEL.0 - MARGIN.2);
    let (top, bottom) = (MARGIN.1, PANEL.1 - MARGIN.3);
    let title = title.replace('`', "");
    let _ = writeln!(
        text,
        "<text class=\"title\" x=\"{left}\" y=\"20\">{title}</text>"
    );
    for (value, label) in [(1.0, "1 ms"), (10.0, "10 ms"), (100.0, "100 ms")] {
        let y = y(value);
        let _ = writeln!(
            text,
            "<path class=\"axis\" d=\"M{left} {y:.1}H{right}\"/>\
             <text text-anchor=\"end\" x=\"{:.0}\" y=\"{:.1}\">{label}</text>",
            left - 6.0,
            y + 4.0
        );
    }
    for value in [50.0, 500.0, 5000.0] {
        let x = x(value);
        let _ = writeln!(
            text,
            "<path class=\"axis\" d=\"M{x:.1} {top}V{bottom}\"/>\
             <text text-anchor=\"middle\" x=\"{x:.1}\" y=\"{:.0}\">{value}</text>",
            bottom + 18.0
        );
    }
    let labels = rows.iter().flat_map(|row| &row.entries);
    let mut programs: Vec<&str> = Vec::new();
    for label in labels.map(|entry| entry.label.as_str()) {
        if !programs.contains(&label) {
            programs.push(label);
        }
    }
    let mut ends: Vec<(f64, &str, &str)> = Vec::new();
    for (program, colour) in programs.into_iter().zip(COLOURS) {
        let points: Vec<(f64, f64)> = rows.iter().filter_map(|row| point(row, program)).collect();
        let line: Vec<String> = points
            .iter()
            .map(|(x, y)| format!("{x:.1},{y:.1}"))
            .collect();
        let width = if program == "sigsend" { 3 } else { 2 };
        let _ = writeln!(
            text,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"{width}\" points=\"{}\"/>",
            line.join(" ")
        );
        ends.extend(points.last().map(|(_, y)| (*y, program, colour)));
    }
    // From the top down, none over another.
    ends.sort_by(|one, other| one.0.total_cmp(&other.0));
    let mut free = top;
    for (y, program, colour) in ends {
        let y = y.max(free);
        free = y + 14.0;
        let name = program.split(' ').next().unwrap_or(program);
        let _ = writeln!(
            text,
            "<text style=\"fill:{colour}\" x=\"{:.0}\" y=\"{:.1}\">{name}</text>",
            x(5000.0) + 6.0,
            y + 4.0
        );
    }
    text
}

/// Where a program stands in a panel.
fn point(row: &Row, program: &str) -> Option<(f64, f64)> {
    let entry = row.entries.iter().find(|entry| entry.label == program)?;
    let processes = u32::try_from(row.among?).ok()?;
    Some((x(processes.into()), y(entry.median() * 1000.0)))
}
