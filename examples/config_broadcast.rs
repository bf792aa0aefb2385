//! One process changes a configuration; others work by it, and have each change as soon as it is made.
//!
//! The writer sets a cell; its readers are forked children here, and might as well be other programs that open the cell
//! by its name. Every reader does its work under the configuration it has just looked up, which costs less than a
//! hundred nanoseconds and never waits, and one thread of it sleeps until there is another. Then a writer is killed in the
//! middle of its work, and the next one goes on.
//!
//! ```text
//! cargo run --release --example config_broadcast [READERS]
//! ```

use std::time::{Duration, Instant};

use inplace::{Cell, RegionOptions, Store, connector::ShmConnector, storable};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};

type Failure = Box<dyn std::error::Error>;

/// What is broadcast: a model, or a configuration, of any size.
#[storable]
struct Config {
    /// That of the configuration, so that a reader can say whether it has all of one.
    number: u64,
    servers: Vec<String>,
    weights: Vec<f32>,
}

const CHANGES: u64 = 20;
const LAST: u64 = u64::MAX;

impl Config {
    fn new(number: u64) -> Self {
        let servers = (0..8).map(|server| format!("server {server} of configuration {number}"));
        Self { number, servers: servers.collect(), weights: vec![number as f32; 100_000] }
    }
}

fn main() -> Result<(), Failure> {
    let readers: usize = std::env::args().nth(1).map_or(Ok(3), |text| text.parse())?;
    let region = RegionOptions::new().capacity(256 << 20).anonymous()?;
    let store = Store::builder("config").connector(ShmConnector::new(region)).open()?;
    let config = store.cell::<Config>("config")?;
    config.set(&Config::new(1))?;

    let children: Vec<Pid> =
        (0..readers).map(|reader| child(|| follow(reader, &config))).collect::<Result<_, _>>()?;

    // One writer changes it for ever, and is killed wherever it happens to be.
    let writer = child(|| {
        for number in 2.. {
            config.set(&Config::new(number))?;
        }
        Ok(())
    })?;
    std::thread::sleep(Duration::from_millis(50));
    kill(writer, Signal::SIGKILL)?;
    waitpid(writer, None)?;
    println!("a writer was killed at version {}; the next one goes on", config.version()?);

    for _ in 0..CHANGES {
        std::thread::sleep(Duration::from_millis(5));
        config.update(|old| Config::new(old.map_or(0, |old| old.number.to_native()) + 1))?;
    }
    config.set(&Config::new(LAST))?;
    for child in children {
        let end = waitpid(child, None)?;
        if !matches!(end, WaitStatus::Exited(_, 0)) {
            return Err(format!("a reader ended with {end:?}").into());
        }
    }
    let region = store.connector().as_shm().expect("it stands on shared memory").region()?.clone();
    region.reap()?;
    println!("{}", region.check()?);
    Ok(())
}

/// Works by the current configuration, while a thread of this process waits for the next one.
fn follow(reader: usize, config: &Cell<Config>) -> Result<(), Failure> {
    let (lookups, time, changes) = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let (mut seen, mut changes) = (0, 0);
            loop {
                let next = config.wait_for_change(seen, None)?;
                (seen, changes) = (next.version, changes + 1);
                if next.value.number == LAST {
                    return Ok::<u64, inplace::Error>(changes);
                }
            }
        });
        let (mut lookups, start) = (0_u64, Instant::now());
        loop {
            let current = config.get()?.expect("it was set before there were readers");
            let number = current.number.to_native();
            let is_whole = current.weights.last().is_some_and(|last| *last == number as f32)
                && current.servers.len() == 8;
            assert!(is_whole, "a configuration is read whole");
            lookups += 1;
            if number == LAST {
                let changes = waiter.join().expect("it does not panic")?;
                return Ok::<_, Failure>((lookups, start.elapsed(), changes));
            }
        }
    })?;
    let each = time.as_nanos() as f64 / lookups as f64;
    println!("reader {reader}: {lookups} lookups of {each:.0} ns; told of {changes} changes");
    Ok(())
}

/// Forks a child that does `work` and ends.
fn child(work: impl FnOnce() -> Result<(), Failure>) -> Result<Pid, Failure> {
    // SAFETY: this process has one thread, so the child finds everything as it was.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(child),
        ForkResult::Child => {
            let code = match work() {
                Ok(()) => 0,
                Err(error) => {
                    eprintln!("{error}");
                    1
                }
            };
            std::process::exit(code)
        }
    }
}
