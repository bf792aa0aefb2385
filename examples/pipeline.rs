//! Read, parse, aggregate: three stages, each a process of its own, with queues between them. One that is killed is started
//! again, and the result is the same.
//!
//! A reader sends files, a parser counts the words of each where it lies, and the parent adds the counts up. A file that the parser
//! holds when it is killed is received by the next one: a message is gone only when it is acknowledged, which is done when
//! its counts have been sent. Counts may so arrive twice; the parent knows what it has.
//!
//! ```text
//! cargo run --release --example pipeline                              # this repository's own sources
//! cargo run --release --example pipeline -- --kill                    # the parser is killed in the middle
//! cargo run --release --example pipeline -- --kill /usr/share/dict/*  # files of yours
//! ```
//!
//! While it runs, kill any stage yourself: their process ids are printed.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inplace::{Error, Queue, Store, storable};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

type Failure = Box<dyn std::error::Error>;
type Total = HashMap<String, u64>;

/// What the reader sends.
#[storable]
struct Document {
    number: u64,
    text: String,
}

/// What the parser sends: each word of a document with how often it stands there.
#[storable]
struct Counts {
    document: u64,
    words: Vec<(String, u64)>,
}

fn main() -> Result<(), Failure> {
    let (flags, paths): (Vec<_>, Vec<_>) =
        std::env::args_os().skip(1).partition(|it| it == "--kill");
    let paths = match paths.is_empty() {
        true => own_sources()?,
        false => paths.into_iter().map(PathBuf::from).collect(),
    };
    // The name is this run's own. The region goes away with its last process, however that ends.
    let store = Store::open(&format!("pipeline-{}", std::process::id()))?;
    let documents = store.queue::<Document>("documents", 8)?;
    let counts = store.queue::<Counts>("counts", 8)?;

    let started = Instant::now();
    let mut reader = Stage::start("reader", || {
        let sender = documents.sender()?;
        (0..).zip(&paths).try_for_each(|(number, path)| {
            sender.send(&Document { number, text: read(path)? })?;
            Ok(())
        })
    })?;
    // While this process produces, too, a stage that is killed is not the end of its stream.
    let mut more_documents = Some(documents.sender()?);
    let mut parser = Stage::start("parser", || parse(&documents, &counts))?;
    let mut more_counts = Some(counts.sender()?);

    let receiver = counts.receiver()?;
    let (mut total, mut seen, mut again) = (Total::new(), BTreeSet::new(), 0);
    let mut kill_at = flags.first().map(|_| paths.len() / 3);
    loop {
        match receiver.recv_timeout(Duration::from_millis(20)) {
            Ok(Some(counts)) => {
                if seen.insert(counts.document.to_native()) {
                    add(
                        &mut total,
                        counts.words.iter().map(|it| (it.0.as_str(), it.1.to_native())),
                    );
                } else {
                    again += 1;
                }
                counts.ack()?;
            }
            Ok(None) => break,
            Err(Error::TimedOut { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if kill_at.is_some_and(|at| seen.len() >= at) {
            kill_at = None;
            println!("killing the parser after {} of {} documents", seen.len(), paths.len());
            kill(parser.pid, Signal::SIGKILL)?;
        }
        if more_documents.is_some() && reader.has_done_its_work()? {
            more_documents = None;
        }
        if more_counts.is_some() && parser.has_done_its_work()? {
            more_counts = None;
        }
    }
    let elapsed = started.elapsed();

    let texts = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let mut expected = Total::new();
    texts.iter().for_each(|text| add(&mut expected, words(text)));
    assert_eq!(total, expected, "one process alone counts the same");

    let mut top: Vec<_> = total.into_iter().collect();
    top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    println!("the five most frequent words:");
    top.iter().take(5).for_each(|(word, count)| println!("{count:>10}  {word}"));
    println!(
        "{} documents in {elapsed:.1?}; stages started again: {}; counts received twice: {again}; the same as in one process",
        paths.len(),
        reader.restarts + parser.restarts,
    );
    Ok(())
}

/// Sends the counts of each document, and only then says that it is done.
fn parse(documents: &Queue<Document>, counts: &Queue<Counts>) -> Result<(), Failure> {
    let (receiver, sender) = (documents.receiver()?, counts.sender()?);
    for document in &receiver {
        let document = document?;
        let mut total = HashMap::new();
        add(&mut total, words(&document.text));
        let words = total.into_iter().collect();
        sender.send(&Counts { document: document.number.to_native(), words })?;
        document.ack()?;
    }
    Ok(())
}

fn words(text: &str) -> impl Iterator<Item = (&str, u64)> {
    let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_');
    parts.filter(|word| !word.is_empty()).map(|word| (word, 1))
}

fn add<'a>(total: &mut Total, counts: impl Iterator<Item = (&'a str, u64)>) {
    for (word, count) in counts {
        match total.get_mut(word) {
            Some(sum) => *sum += count,
            None => _ = total.insert(word.to_owned(), count),
        }
    }
}

/// A process that does one part of the work.
struct Stage<F> {
    name: &'static str,
    work: F,
    pid: Pid,
    restarts: u32,
}

impl<F: Fn() -> Result<(), Failure>> Stage<F> {
    fn start(name: &'static str, work: F) -> Result<Self, Failure> {
        let pid = Self::fork(name, &work)?;
        Ok(Self { name, work, pid, restarts: 0 })
    }

    fn fork(name: &str, work: &F) -> Result<Pid, Failure> {
        // SAFETY: this program has one thread, so the child may do anything.
        match unsafe { fork()? } {
            ForkResult::Parent { child } => {
                println!("the {name} is process {child}");
                Ok(child)
            }
            ForkResult::Child => {
                let outcome = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)
                    .map_err(Failure::from)
                    .and_then(|()| work());
                if let Err(error) = &outcome {
                    eprintln!("{name}: {error}");
                }
                std::process::exit(i32::from(outcome.is_err()));
            }
        }
    }

    /// Whether it has ended well. One that was killed is started again.
    fn has_done_its_work(&mut self) -> Result<bool, Failure> {
        match waitpid(self.pid, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, 0) => Ok(true),
            WaitStatus::Exited(..) => Err(format!("the {} failed", self.name).into()),
            WaitStatus::Signaled(_, signal, _) => {
                println!("the {} was ended by {signal}: another one goes on", self.name);
                (self.pid, self.restarts) = (Self::fork(self.name, &self.work)?, self.restarts + 1);
                Ok(false)
            }
            _ => Ok(false),
        }
    }
}

/// A file's text; whatever is no UTF-8 in it is replaced.
fn read(path: &Path) -> Result<String, Failure> {
    let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// This repository's Rust sources.
fn own_sources() -> Result<Vec<PathBuf>, Failure> {
    let mut paths = Vec::new();
    let mut folders: Vec<_> = ["src", "examples", "tests"]
        .iter()
        .map(|folder| Path::new(env!("CARGO_MANIFEST_DIR")).join(folder))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                paths.push(path);
            }
        }
    }
    paths.sort();
    Ok(paths)
}
