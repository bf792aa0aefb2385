//! What operations cost against the least they could cost: one process, two, and many.
//!
//! ```text
//! cargo bench --bench cross_process -- [--quick] [--json FILE] [--rounds N] [OPERATION…]
//! ```
//!
//! Every operation has a baseline that does the unavoidable part only: an atomic addition, a memcpy into memory that is
//! reused in the same way, a write of fresh pages, an ideal slot between the same two processes. Samples of both
//! alternate; the cases of a round come in random order, each set up anew. What is reported is the median of the rounds'
//! medians, and of the rounds' ratios: of one machine's moods, only those that last a whole round get in.

#[path = "cross_process/harness.rs"]
mod harness;
#[path = "cross_process/one_process.rs"]
mod one_process;
#[path = "cross_process/partner.rs"]
mod partner;
#[path = "cross_process/report.rs"]
mod report;
#[path = "cross_process/round_trip.rs"]
mod round_trip;
#[path = "cross_process/shared.rs"]
mod shared;
#[path = "cross_process/targets.rs"]
mod targets;
#[path = "cross_process/typed.rs"]
mod typed;
#[path = "cross_process/wakeup.rs"]
mod wakeup;

use std::path::PathBuf;

use harness::{Case, Effort};

struct Options {
    effort: Effort,
    json: Option<PathBuf>,
    /// Only operations that start with one of these; all when empty.
    only: Vec<String>,
}

fn options() -> Options {
    let mut options = Options { effort: Effort::full(), json: None, only: Vec::new() };
    let mut arguments = std::env::args().skip(1);
    let mut rounds = None;
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--bench" => {}
            "--quick" => options.effort = Effort::quick(),
            "--json" => options.json = arguments.next().map(PathBuf::from),
            "--rounds" => rounds = arguments.next().and_then(|rounds| rounds.parse().ok()),
            operation => options.only.push(operation.to_owned()),
        }
    }
    options.effort.rounds = rounds.unwrap_or(options.effort.rounds);
    options
}

fn cases(effort: &Effort) -> Vec<Case> {
    let mut cases = one_process::cases(effort);
    cases.extend(typed::cases(effort));
    cases.extend(round_trip::cases(effort));
    cases.extend(wakeup::cases());
    cases
}

fn main() {
    let options = options();
    let wanted = |case: &Case| {
        options.only.is_empty()
            || options.only.iter().any(|only| case.op.starts_with(only.as_str()))
    };
    let cases: Vec<Case> = cases(&options.effort).into_iter().filter(wanted).collect();
    let rows = harness::run(&cases, &options.effort);
    match options.json {
        Some(path) => report::write_json(&path, &rows),
        None => report::print_table(&rows),
    }
}
