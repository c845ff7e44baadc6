//! Draws what the scripts in `bench` have measured.
//!
//! `draw latency CSV SVG`: lines `reader,percent,ms`. `draw memory CSV SVG`: lines `workload,server,seconds,MiB`.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a program for measuring"
)]

use towpath_testkit::{Axis, Chart, Curve, Panel};

/// Of a file: a line's fields.
type Line<'a> = Vec<&'a str>;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [what, csv, svg] = arguments.as_slice() else { return };
    let text = std::fs::read_to_string(csv).unwrap();
    let lines: Vec<Line<'_>> = text.lines().map(|line| line.split(',').collect()).collect();
    let chart = match what.as_str() {
        "latency" => latency(&lines),
        "memory" => memory(&lines),
        other => panic!("{other}: latency or memory"),
    };
    std::fs::write(svg, chart.svg()).unwrap();
}

/// The last two fields of a line.
fn point(line: &Line<'_>) -> (f64, f64) {
    let number = |from_end: usize| line[line.len() - from_end].parse().unwrap();
    (number(2), number(1))
}

fn latency(lines: &[Line<'_>]) -> Chart {
    let mut curves: Vec<Curve> = Vec::new();
    for line in lines {
        let (percent, ms) = point(line);
        add(&mut curves, line[0], (ms, percent));
    }
    Chart {
        panels: vec![Panel {
            title: "Commits at the reader, %, over ms since the statement".to_owned(),
            x: Axis::Decades,
            y: Axis::Even,
            curves,
        }],
        foot: "Time logarithmic.".to_owned(),
    }
}

/// Adds a point to the curve of this name.
fn add(curves: &mut Vec<Curve>, name: &str, point: (f64, f64)) {
    let known = curves.iter().position(|curve| curve.name == name);
    let curve = known.unwrap_or_else(|| {
        curves.push(Curve { name: name.to_owned(), points: Vec::new() });
        curves.len() - 1
    });
    curves[curve].points.push(point);
}

fn memory(lines: &[Line<'_>]) -> Chart {
    let mut panels: Vec<Panel> = Vec::new();
    for line in lines {
        let (workload, server) = (line[0], line[1]);
        let title = format!("{workload}: resident memory, MiB, over seconds");
        let known = panels.iter().position(|panel| panel.title == title);
        let panel = known.unwrap_or_else(|| {
            panels.push(Panel { title, x: Axis::Even, y: Axis::Decades, curves: Vec::new() });
            panels.len() - 1
        });
        add(&mut panels[panel].curves, server, point(line));
    }
    Chart { panels, foot: "Memory logarithmic.".to_owned() }
}
