//! Rounds, medians, tables.

use serde_json::{Value, json};

/// A contender.
pub struct Row {
    pub name: String,
    pub measure: Box<dyn Fn() -> f64>,
    /// The row it is compared with.
    pub base: Option<usize>,
}

pub fn row(name: &str, base: Option<usize>, measure: impl Fn() -> f64 + 'static) -> Row {
    Row { name: name.into(), measure: Box::new(measure), base }
}

pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Measures all in each round, every other time backwards, and prints a table.
pub fn table(title: &str, unit: &str, rounds: usize, rows: &[Row]) -> Vec<Value> {
    let rounds: Vec<Vec<f64>> = (0..rounds).map(|round| measure(round, rows)).collect();
    println!("\n| {title} | {unit} | ratio | to |\n|---|---|---|---|");
    let mut values = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        let value = median(rounds.iter().map(|round| round[at]).collect());
        let shown = if value < 10_000.0 { format!("{value:.0}") } else { thousands(value) };
        let base = row.base.map(|base| {
            let ratio = median(rounds.iter().map(|round| round[at] / round[base]).collect());
            (ratio, rows[base].name.as_str())
        });
        let (ratio, to) = base.map_or(("".into(), ""), |(it, to)| (format!("{it:.2}"), to));
        println!("| {} | {shown} | {ratio} | {to} |", row.name);
        values.push(json!({
            "table": title, "op": row.name, "unit": unit, "median": value,
            "ratio": base.map(|base| base.0), "baseline": base.map(|base| base.1),
        }));
    }
    values
}

fn measure(round: usize, rows: &[Row]) -> Vec<f64> {
    let mut values = vec![0.0; rows.len()];
    let mut order: Vec<usize> = (0..rows.len()).collect();
    if round % 2 == 1 {
        order.reverse();
    }
    for at in order {
        values[at] = (rows[at].measure)();
    }
    values
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut shown = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}
