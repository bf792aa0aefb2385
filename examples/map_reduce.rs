//! Counts the words of texts, and adds up the numbers of CSV files, with a pool of workers, one of which is killed meanwhile.
//!
//! The files are cut into pieces at the ends of lines. Each piece is put into shared memory once, and read there by a worker;
//! what the worker counted is added up by the parent, where it lies. The result is compared with that of one process.
//!
//! ```text
//! cargo run --release --example map_reduce                       # this repository's own sources
//! cargo run --release --example map_reduce -- books/*.txt numbers.csv
//! ```

use std::cell::Cell;
use std::collections::HashMap;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use inplace::{Store, WorkerPool, storable};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

type Failure = Box<dyn std::error::Error>;

const PIECE: usize = 128 << 10;
/// Little input is taken again and again.
const LEAST: usize = 32 << 20;

/// Whole lines of one file.
#[storable]
struct Piece {
    /// Of a CSV file: its columns.
    columns: Vec<String>,
    text: String,
}

/// Words and how often they stand there; columns and the sums of their numbers, in thousandths.
type Totals = Vec<(String, i64)>;

fn main() -> Result<(), Failure> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let paths = if paths.is_empty() { own_sources()? } else { paths };
    let pieces = cut(&paths)?;
    let bytes: usize = pieces.iter().map(|piece| piece.text.len()).sum();
    let workers = std::thread::available_parallelism()?.get().clamp(2, 8);
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    println!(
        "{} files, {mebibytes:.1} MiB in {} pieces, {workers} workers",
        paths.len(),
        pieces.len()
    );

    let started = Instant::now();
    let (totals, deaths) = with_workers(&pieces, workers)?;
    let with_workers = started.elapsed();
    let started = Instant::now();
    let mut alone = HashMap::new();
    for piece in &pieces {
        let columns: Vec<&str> = piece.columns.iter().map(String::as_str).collect();
        reduce(&mut alone, totals_of(&columns, &piece.text));
    }
    let by_one = started.elapsed();
    assert_eq!(totals, alone, "many processes and one count the same");
    assert_eq!(deaths, 1, "one worker was killed");

    let mut top: Vec<_> = totals.into_iter().collect();
    top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    for (what, total) in top.iter().take(10) {
        match what.strip_prefix("sum of ") {
            Some(_) => println!("{:>14.3}  {what}", *total as f64 / 1000.0),
            None => println!("{total:>14}  {what}"),
        }
    }
    println!("{workers} workers, one killed {with_workers:>8.1?}, the same result");
    println!("one process            {by_one:>8.1?}");
    Ok(())
}

/// Maps the pieces over workers, and kills one of those after a quarter; the totals, and how many died.
fn with_workers(pieces: &[Piece], workers: usize) -> Result<(HashMap<String, i64>, u64), Failure> {
    let store = Store::open(&format!("map-reduce-{}", std::process::id()))?;
    let pool = WorkerPool::<Piece, Totals>::fork(&store, workers, |piece| {
        let columns: Vec<&str> = piece.columns.iter().map(|column| column.as_str()).collect();
        Ok::<_, String>(totals_of(&columns, &piece.text))
    })?;
    let (mut totals, is_killed) = (HashMap::new(), Cell::new(false));
    let results = pool.map_unordered(pieces).progress(|done, _submitted| {
        draw(done, pieces.len());
        if done as usize > pieces.len() / 4 && !is_killed.replace(true) {
            let victim = pool.workers()[0];
            let killed = kill(Pid::from_raw(victim as i32), Signal::SIGKILL);
            println!("\rkill -9 {victim}: {killed:?}{:50}", "");
        }
    });
    for result in results {
        let result = result?;
        reduce(&mut totals, result.iter().map(|entry| (entry.0.as_str(), entry.1.to_native())));
    }
    println!();
    let killed_and_replaced = pool.deaths();
    pool.join()?;
    Ok((totals, killed_and_replaced))
}

/// A bar where somebody looks, and dots else.
fn draw(done: u64, of: usize) {
    const WIDTH: usize = 50;
    let full = done as usize * WIDTH / of.max(1);
    if std::io::stdout().is_terminal() {
        print!("\r[{}{}] {done}/{of}", "#".repeat(full), "-".repeat(WIDTH - full));
    } else if full != (done as usize - 1) * WIDTH / of.max(1) {
        print!(".");
    }
    // What can not be drawn is not missed.
    let _ = std::io::stdout().flush();
}

fn reduce<S: AsRef<str>>(
    totals: &mut HashMap<String, i64>,
    more: impl IntoIterator<Item = (S, i64)>,
) {
    for (what, total) in more {
        match totals.get_mut(what.as_ref()) {
            Some(sum) => *sum += total,
            None => {
                totals.insert(what.as_ref().to_owned(), total);
            }
        }
    }
}

fn totals_of(columns: &[&str], text: &str) -> Totals {
    let mut totals: HashMap<&str, i64> = HashMap::new();
    if columns.is_empty() {
        let is_between = |c: char| !c.is_alphanumeric() && c != '_';
        for word in text.split(is_between).filter(|word| !word.is_empty()) {
            *totals.entry(word).or_insert(0) += 1;
        }
        return totals.into_iter().map(|(word, count)| (word.to_owned(), count)).collect();
    }
    for line in text.lines() {
        for (column, field) in columns.iter().zip(line.split(',')) {
            if let Ok(number) = field.trim().parse::<f64>() {
                // Whole thousandths add up to the same in any order.
                *totals.entry(column).or_insert(0) += (number * 1000.0).round() as i64;
            }
        }
    }
    totals.into_iter().map(|(column, sum)| (format!("sum of {column}"), sum)).collect()
}

fn cut(paths: &[PathBuf]) -> Result<Vec<Piece>, Failure> {
    let read = |path: &PathBuf| -> Result<_, Failure> {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let is_csv = path.extension().is_some_and(|extension| extension == "csv");
        Ok((String::from_utf8_lossy(&bytes).into_owned(), is_csv))
    };
    let files = paths.iter().map(read).collect::<Result<Vec<_>, Failure>>()?;
    let all: usize = files.iter().map(|(text, _)| text.len()).sum();
    let times = LEAST.div_ceil(all.max(1));
    let mut pieces = Vec::new();
    let texts = files.iter().filter(|(_, is_csv)| !is_csv).map(|(text, _)| text.as_str());
    cut_one(&[], &texts.collect::<String>().repeat(times), &mut pieces);
    for (text, _) in files.iter().filter(|(_, is_csv)| *is_csv) {
        let (head, rows) = text.split_once('\n').unwrap_or((text, ""));
        let columns: Vec<_> = head.trim().split(',').map(str::to_owned).collect();
        cut_one(&columns, &rows.repeat(times), &mut pieces);
    }
    Ok(pieces)
}

fn cut_one(columns: &[String], text: &str, pieces: &mut Vec<Piece>) {
    let mut rest = text;
    while !rest.is_empty() {
        let most = rest.floor_char_boundary(PIECE.min(rest.len()));
        // A piece ends with a line, unless there is none as short.
        let end = match rest[..most].rfind('\n') {
            Some(line) if most < rest.len() => line + 1,
            _ => most,
        };
        let (piece, after) = rest.split_at(end);
        pieces.push(Piece { columns: columns.to_vec(), text: piece.to_owned() });
        rest = after;
    }
}

/// This repository's Rust sources.
fn own_sources() -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut folders: Vec<_> =
        ["src", "examples", "tests", "benches", "crates"].map(|folder| root.join(folder)).into();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    Ok(paths)
}
