//! One publisher, several subscribers, each a process of its own: every subscriber receives every file, in place, once.
//!
//! The topic holds its publisher back for subscribers that are slow, so nobody loses anything; one that is killed is not waited
//! for. The publisher is killed as well, with `--kill`: positions of a topic have no gaps, so the next one knows with which file
//! to go on, and no subscriber notices.
//!
//! ```text
//! cargo run --release --example broadcast                              # this repository's own sources
//! cargo run --release --example broadcast -- --kill                    # the publisher and a subscriber are killed
//! cargo run --release --example broadcast -- --kill /usr/share/dict/*  # files of yours
//! ```

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inplace::{Error, Queue, Start, Store, Topic, TopicOptions, storable};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

type Failure = Box<dyn std::error::Error>;
type Measure = fn(&str) -> u64;

/// What subscribers find out of each file; the last one is killed.
const SUBSCRIBERS: [(&str, Measure); 4] =
    [("bytes", bytes), ("lines", lines), ("words", words), ("victim", bytes)];

/// What a subscriber says: that it has begun, or what it has found out.
#[storable]
struct Said {
    who: u32,
    sum: Option<u64>,
    files: u64,
}

fn main() -> Result<(), Failure> {
    let (flags, paths): (Vec<_>, Vec<_>) =
        std::env::args_os().skip(1).partition(|it| it == "--kill");
    let paths = match paths.is_empty() {
        true => own_sources()?,
        false => paths.into_iter().map(PathBuf::from).collect(),
    };
    let does_kill = !flags.is_empty();
    // The name is this run's own. The region goes away with its last process, however that ends.
    let store = Store::open(&format!("broadcast-{}", std::process::id()))?;
    // Held back for the four, for this process, and for a publisher that asks where to go on.
    let places = SUBSCRIBERS.len() as u32 + 2;
    let files = store.topic_with::<String>("files", &TopicOptions::new(8).hold_back(places))?;
    let said = store.queue::<Said>("said", 16)?;

    let answers = said.receiver()?;
    let children = (0..).zip(SUBSCRIBERS).map(|(who, (name, measure))| {
        let child = start(name, || subscribe((&files, &said), who, measure))?;
        // From then on it receives everything.
        answers.recv()?.ok_or("nobody says anything")?.ack()?;
        Ok(child)
    });
    let children = children.collect::<Result<Vec<_>, Failure>>()?;

    let started = Instant::now();
    let restarts = watch(&files, &paths, does_kill.then_some(children[children.len() - 1]))?;
    let elapsed = started.elapsed();

    let texts = paths.iter().map(|path| read(path)).collect::<Result<Vec<_>, _>>()?;
    let mut answering = 0;
    for (child, (name, _)) in children.into_iter().zip(SUBSCRIBERS) {
        match waitpid(child, None)? {
            WaitStatus::Signaled(_, signal, _) => {
                println!("{name:>8}: ended by {signal}; nobody waited for it");
            }
            _ => answering += 1,
        }
    }
    for _ in 0..answering {
        let answer = answers.recv()?.ok_or("a subscriber said nothing")?;
        let (name, measure) = SUBSCRIBERS[answer.who.to_native() as usize];
        let expected: u64 = texts.iter().map(|text| measure(text)).sum();
        let sum = answer.sum.as_ref().map(|sum| sum.to_native());
        assert_eq!(sum, Some(expected), "one process alone counts the same {name}");
        println!("{name:>8}: {expected} in {} files", answer.files);
        answer.ack()?;
    }
    println!(
        "{} files to each in {elapsed:.1?}; publishers started again: {restarts}; the same as in one process",
        paths.len()
    );
    Ok(())
}

/// Has everything published, and receives it, too: how often a publisher was started again.
fn watch(files: &Topic<String>, paths: &[PathBuf], victim: Option<Pid>) -> Result<u32, Failure> {
    let mut subscriber = files.subscriber(Start::Latest)?;
    // While this process publishes, too, a publisher that is killed is not the end of the stream.
    let mut more = Some(files.publisher()?);
    let mut publisher = start("publisher", || publish(files, paths))?;
    let (mut restarts, mut kill_at) = (0, victim.map(|_| paths.len() as u64 / 3));
    loop {
        match subscriber.recv_timeout(Duration::from_millis(20)) {
            Ok(Some(_)) => {}
            Ok(None) => return Ok(restarts),
            Err(Error::TimedOut { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        if let (Some(at), Some(victim)) = (kill_at, victim)
            && subscriber.position() >= at
        {
            kill_at = None;
            println!("killing the publisher and a subscriber at file {}", subscriber.position());
            kill(publisher, Signal::SIGKILL)?;
            kill(victim, Signal::SIGKILL)?;
        }
        if more.is_none() {
            continue;
        }
        match waitpid(publisher, Some(WaitPidFlag::WNOHANG))? {
            WaitStatus::Exited(_, 0) => more = None,
            WaitStatus::Exited(..) => return Err("the publisher failed".into()),
            WaitStatus::Signaled(_, signal, _) => {
                println!("the publisher was ended by {signal}: another one goes on");
                (publisher, restarts) =
                    (start("publisher", || publish(files, paths))?, restarts + 1);
            }
            _ => {}
        }
    }
}

/// Publishes the files that were not published yet.
fn publish(files: &Topic<String>, paths: &[PathBuf]) -> Result<(), Failure> {
    let publisher = files.publisher()?;
    let next = files.subscriber(Start::Latest)?.position();
    (0..).zip(paths).skip(next as usize).try_for_each(|(number, path)| {
        assert_eq!(
            publisher.publish(&read(path)?)?,
            number,
            "a file has the position of its number"
        );
        Ok(())
    })
}

/// Receives all files, and says what came of them.
fn subscribe(
    (files, said): (&Topic<String>, &Queue<Said>),
    who: u32,
    measure: Measure,
) -> Result<(), Failure> {
    let mut subscriber = files.subscriber(Start::Oldest)?;
    let sender = said.sender()?;
    sender.send(&Said { who, sum: None, files: 0 })?;
    let (mut sum, mut count) = (0, 0);
    for file in subscriber.iter() {
        let file = file?;
        assert_eq!((file.position(), file.missed()), (count, 0), "each file, once, in order");
        (sum, count) = (sum + measure(&file), count + 1);
    }
    sender.send(&Said { who, sum: Some(sum), files: count })?;
    Ok(())
}

fn bytes(text: &str) -> u64 {
    text.len() as u64
}

fn lines(text: &str) -> u64 {
    text.lines().count() as u64
}

fn words(text: &str) -> u64 {
    text.split_whitespace().count() as u64
}

/// A process that does one part of the work.
fn start(name: &str, work: impl FnOnce() -> Result<(), Failure>) -> Result<Pid, Failure> {
    // SAFETY: this program has one thread, so the child may do anything.
    match unsafe { fork()? } {
        ForkResult::Parent { child } => {
            println!("{name} is process {child}");
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
