//! Breaks the code at one place after the other, and looks which model notices.

mod models;
mod orderings;
mod rechecks;

use std::path::PathBuf;
use std::process::ExitCode;

fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("crates/mutants lies in the project").to_owned()
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (what, only) = (arguments.next().unwrap_or_default(), arguments.next().unwrap_or_default());
    let tally = match what.as_str() {
        "orderings" => orderings::run(&root(), &only),
        "rechecks" => rechecks::run(&root(), &only),
        _ => {
            eprintln!(
                "expected `orderings` or `rechecks`, and perhaps a text that chooses some of them"
            );
            return ExitCode::from(2);
        }
    };
    println!(
        "{what}: {} mutants, {} caught, {} equivalent, {} missed",
        tally.caught + tally.equivalent + tally.missed,
        tally.caught,
        tally.equivalent,
        tally.missed
    );
    ExitCode::from(u8::from(tally.missed > 0))
}

/// What became of mutants.
#[derive(Default)]
struct Tally {
    caught: u32,
    equivalent: u32,
    missed: u32,
}

impl Tally {
    /// One mutant, told at once.
    fn of(mutant: &str, caught_by: Option<&str>, excuse: Option<&str>) -> Self {
        let mut tally = Self::default();
        tally.note(mutant, caught_by, excuse);
        tally
    }

    fn and(mut self, other: Self) -> Self {
        self.caught += other.caught;
        self.equivalent += other.equivalent;
        self.missed += other.missed;
        self
    }

    fn note(&mut self, mutant: &str, caught_by: Option<&str>, excuse: Option<&str>) {
        match (caught_by, excuse) {
            (Some(model), None) => {
                self.caught += 1;
                println!("caught      {mutant}: {model}");
            }
            (None, Some(reason)) => {
                self.equivalent += 1;
                println!("EQUIVALENT  {mutant}: {reason}");
            }
            (None, None) => {
                self.missed += 1;
                println!("MISSED      {mutant}");
            }
            (Some(model), Some(_)) => {
                self.missed += 1;
                println!("MISSED      {mutant}: called equivalent, and caught by {model}");
            }
        }
    }
}
