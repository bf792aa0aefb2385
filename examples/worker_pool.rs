//! A parent hands documents to a pool of forked workers, which count their words in place.
//!
//! The parent puts every document into shared memory once; a worker counts its words where it lies, without a copy, and puts
//! the counts where the parent reads them. The same work is then done once more with documents and counts sent through sockets.
//!
//! ```text
//! cargo run --release --example worker_pool                       # this repository's own sources
//! cargo run --release --example worker_pool -- /usr/share/dict/*  # files of yours
//! ```

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use inplace::rkyv::string::ArchivedString;
use inplace::{Store, WorkerPool};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

type Failure = Box<dyn std::error::Error>;

/// What a worker answers: each word with how often it stands there.
type Counts = Vec<(String, u64)>;

fn main() -> Result<(), Failure> {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let documents = if paths.is_empty() { own_sources()? } else { read_all(&paths)? };
    let workers = std::thread::available_parallelism()?.get().clamp(2, 8);
    let bytes: usize = documents.iter().map(String::len).sum();
    println!(
        "{} documents, {:.1} MiB, {workers} workers",
        documents.len(),
        bytes as f64 / f64::from(1 << 20)
    );

    let (by_proxy, time_by_proxy) = count_by_proxy(&documents, workers)?;
    let (by_socket, time_by_socket) = count_by_socket(&documents, workers)?;
    assert_eq!(by_proxy, by_socket, "both ways count the same words");

    let mut top: Vec<_> = by_proxy.into_iter().collect();
    top.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    println!("the ten most frequent words:");
    for (word, count) in top.iter().take(10) {
        println!("{count:>10}  {word}");
    }
    println!("by proxy  {time_by_proxy:>8.1?}   put once, counted in place, counts read in place");
    println!(
        "by socket {time_by_socket:>8.1?}   the same work, everything sent through pipes of the system"
    );
    println!(
        "by proxy / by socket: {:.2}",
        time_by_proxy.as_secs_f64() / time_by_socket.as_secs_f64()
    );
    Ok(())
}

/// Documents and counts go through shared memory, in the hands of a pool.
fn count_by_proxy(
    documents: &[String],
    workers: usize,
) -> Result<(HashMap<String, u64>, Duration), Failure> {
    // The name is this run's own. The region goes away with its last process, however that ends.
    let store = Store::open(&format!("worker-pool-{}", std::process::id()))?;
    let count = |document: &ArchivedString| Ok::<_, String>(count_words(document));
    let pool = WorkerPool::<String, Counts>::fork(&store, workers, count)?;
    let started = Instant::now();
    let mut total = HashMap::new();
    // Each document is evicted when it was counted, its counts when the view of them is dropped.
    for counts in pool.map(documents) {
        for entry in counts?.iter() {
            *total.entry(entry.0.as_str().to_owned()).or_insert(0) += entry.1.to_native();
        }
    }
    let elapsed = started.elapsed();
    pool.join()?;
    Ok((total, elapsed))
}

/// The same by hand, with everything copied through sockets.
fn count_by_socket(
    documents: &[String],
    workers: usize,
) -> Result<(HashMap<String, u64>, Duration), Failure> {
    let children = start_workers(workers, |task| {
        let document = std::str::from_utf8(task)?;
        Ok(postcard::to_stdvec(&count_words(document))?)
    })?;
    let started = Instant::now();
    let mut total = HashMap::new();
    let answered = |answer: &[u8]| {
        let counts: Counts = postcard::from_bytes(answer)?;
        for (word, count) in counts {
            *total.entry(word).or_insert(0) += count;
        }
        Ok(())
    };
    exchange(&children, documents, |document| Ok(document.as_bytes()), answered)?;
    let elapsed = started.elapsed();
    stop_workers(children)?;
    Ok((total, elapsed))
}

fn count_words(text: &str) -> Counts {
    let mut counts: HashMap<&str, u64> = HashMap::new();
    for word in
        text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty())
    {
        *counts.entry(word).or_insert(0) += 1;
    }
    counts.into_iter().map(|(word, count)| (word.to_owned(), count)).collect()
}

/// A forked worker and the socket to it.
struct Worker {
    pid: Pid,
    socket: UnixStream,
}

/// Forks workers that answer every task with what `work` makes of it, until the socket is closed.
fn start_workers(
    count: usize,
    work: impl Fn(&[u8]) -> Result<Vec<u8>, Failure>,
) -> Result<Vec<Worker>, Failure> {
    let mut workers = Vec::new();
    for _ in 0..count {
        let (socket, mut theirs) = UnixStream::pair()?;
        // SAFETY: this program has one thread, so the child may do anything.
        match unsafe { fork()? } {
            ForkResult::Parent { child } => workers.push(Worker { pid: child, socket }),
            ForkResult::Child => {
                // A socket to another worker, kept here, would keep that one from seeing its end.
                drop((socket, std::mem::take(&mut workers)));
                let outcome = serve(&mut theirs, &work);
                if let Err(error) = &outcome {
                    eprintln!("worker {}: {error}", std::process::id());
                }
                std::process::exit(i32::from(outcome.is_err()));
            }
        }
    }
    Ok(workers)
}

fn serve(
    socket: &mut UnixStream,
    work: impl Fn(&[u8]) -> Result<Vec<u8>, Failure>,
) -> Result<(), Failure> {
    while let Some(task) = receive(&mut *socket)? {
        send(&mut *socket, &work(&task)?)?;
    }
    Ok(())
}

/// Gives every worker a task, takes every answer, and so on.
fn exchange<'a, M: AsRef<[u8]>>(
    workers: &[Worker],
    documents: &'a [String],
    mut task: impl FnMut(&'a String) -> Result<M, Failure>,
    mut answered: impl FnMut(&[u8]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    for round in documents.chunks(workers.len()) {
        for (worker, document) in workers.iter().zip(round) {
            send(&worker.socket, task(document)?.as_ref())?;
        }
        for worker in workers.iter().take(round.len()) {
            let answer = receive(&worker.socket)?.ok_or("a worker ended early")?;
            answered(&answer)?;
        }
    }
    Ok(())
}

fn stop_workers(workers: Vec<Worker>) -> Result<(), Failure> {
    for Worker { pid, socket } in workers {
        drop(socket);
        waitpid(pid, None)?;
    }
    Ok(())
}

fn send(mut socket: impl Write, message: &[u8]) -> io::Result<()> {
    socket.write_all(&(message.len() as u64).to_le_bytes())?;
    socket.write_all(message)
}

fn receive(mut socket: impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut len = [0; 8];
    match socket.read_exact(&mut len) {
        Err(end) if end.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        read => read?,
    }
    let mut message = vec![0; u64::from_le_bytes(len) as usize];
    socket.read_exact(&mut message)?;
    Ok(Some(message))
}

/// This repository's Rust sources, often enough that there is something to do: 32 documents of a MiB each.
fn own_sources() -> Result<Vec<String>, Failure> {
    let mut paths = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for folder in ["src", "examples", "tests", "benches", "crates"] {
        find_sources(&root.join(folder), &mut paths)?;
    }
    paths.sort();
    let once = read_all(&paths)?.concat();
    let text = once.repeat((1 << 20) / once.len().max(1) + 1);
    Ok(vec![text; 32])
}

fn find_sources(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("target") {
            find_sources(&path, paths)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            paths.push(path);
        }
    }
    Ok(())
}

/// The files' texts; whatever is no UTF-8 in them is replaced.
fn read_all(paths: &[PathBuf]) -> Result<Vec<String>, Failure> {
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    };
    paths.iter().map(read).collect()
}
