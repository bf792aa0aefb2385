//! The table for people, and the list for programs.

use std::path::Path;

use crate::harness::Row;
use crate::targets::{Target, target};

pub(crate) fn write_json(path: &Path, rows: &[Row]) {
    let json = serde_json::to_string_pretty(rows).expect("rows are plain numbers");
    std::fs::write(path, json).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

pub(crate) fn print_table(rows: &[Row]) {
    println!(
        "{:<20}{:>9}{:>12}{:>12}  {:<14}{:>12}{:>9}{:>9}  target",
        "operation", "size", "median", "p99", "baseline", "median", "ratio", "/atomic"
    );
    for row in rows {
        println!(
            "{:<20}{:>9}{:>12}{:>12}  {:<14}{:>12}{:>9.2}{:>9}  {}",
            row.op,
            size(row.bytes),
            time(row.median_ns),
            time(row.p99_ns),
            row.baseline,
            time(row.baseline_ns),
            row.ratio,
            atomics(row.ratio_fetch_add),
            verdict(row),
        );
    }
}

fn verdict(row: &Row) -> String {
    let Some(target) = target(row.op, row.bytes) else { return String::new() };
    let (found, text) = match target {
        Target::Ratio(most) => (row.ratio / most, format!("≤ {most} × {}", row.baseline)),
        Target::FetchAdds(most) => (row.ratio_fetch_add / most, format!("≤ {most} × fetch_add")),
        Target::Nanoseconds(most) => (row.median_ns / most, format!("≤ {most} ns")),
    };
    if found <= 1.0 { text } else { format!("{text}: MISSED") }
}

/// Only where it says something.
fn atomics(ratio: f64) -> String {
    if ratio < 1000.0 { format!("{ratio:.2}") } else { "-".into() }
}

fn size(bytes: usize) -> String {
    match bytes {
        0 => "-".into(),
        _ if bytes >= 1 << 20 => format!("{} MiB", bytes >> 20),
        _ if bytes >= 1 << 10 => format!("{} KiB", bytes >> 10),
        _ => format!("{bytes} B"),
    }
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        _ if nanoseconds >= 1e6 => format!("{:.2} ms", nanoseconds / 1e6),
        _ if nanoseconds >= 1e4 => format!("{:.1} µs", nanoseconds / 1e3),
        _ if nanoseconds >= 1e3 => format!("{:.2} µs", nanoseconds / 1e3),
        _ => format!("{nanoseconds:.1} ns"),
    }
}
