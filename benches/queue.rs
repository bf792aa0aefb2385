//! A message of 64 bytes there and back between two processes, beside bare shared memory; and messages per second.
//!
//! ```text
//! cargo bench --bench queue -- [--rounds N] [--json FILE]
//! ```
//!
//! Two processes on two cores take turns: each sends the number that it received, one more. A sample is half of what a turn
//! of both takes: from before a send to after the receive by the other, acknowledged. The baseline is the same with two cache
//! lines and a number in each, without a queue. Ways alternate within a round; what is reported is the median of the
//! rounds' medians, and of their ratios to the baseline of the same round.
//!
//! For messages per second any number of producers and consumers, each a process, share a queue for 1,024 messages.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use inplace::codec::Raw;
use inplace::connector::ShmConnector;
use inplace::{Queue, QueueOptions, RegionOptions, Store, WaitPolicy};
use memmap2::MmapMut;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

const TURNS: usize = 6_000;
const BATCH: usize = 10;
const BYTES: usize = 64;
const MESSAGES: u64 = 100_000;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Bare,
    Spin,
    Object,
    Park,
}

const WAYS: [(Way, &str); 4] = [
    (Way::Bare, "bare shared memory, busy"),
    (Way::Spin, "queue, spinning"),
    (Way::Object, "queue, spinning, an object each"),
    (Way::Park, "queue, parked"),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut rounds, mut json) = (7, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => {
                rounds = arguments.next().and_then(|it| it.parse().ok()).unwrap_or(rounds);
            }
            "--json" => json = arguments.next().map(PathBuf::from),
            _ => {}
        }
    }
    let mut rows = Vec::new();
    let times: Vec<[f64; 4]> =
        (0..rounds).map(|_| WAYS.map(|(way, _)| median(ping_pong(way)))).collect();
    println!("64 bytes one way, in ns; ratio to bare shared memory of the same round");
    for (at, (_, name)) in WAYS.iter().enumerate() {
        let time = median(times.iter().map(|round| round[at]).collect());
        let ratio = median(times.iter().map(|round| round[at] / round[0]).collect());
        println!("  {name:<40} {time:>8.0}   {ratio:>6.2}");
        rows.push(serde_json::json!({ "op": name, "median_ns": time, "ratio": ratio }));
    }
    println!("messages of 64 bytes per second");
    for (producers, consumers) in [(1, 1), (2, 1), (1, 2), (2, 2), (4, 4)] {
        let rates = (0..rounds).map(|_| rate(producers, consumers)).collect();
        let rate: f64 = median(rates);
        println!("  {producers} producers, {consumers} consumers {rate:>20.0}");
        let op = format!("{producers} producers, {consumers} consumers");
        rows.push(serde_json::json!({ "op": op, "per_second": rate }));
    }
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&rows).expect("numbers and names");
        std::fs::write(path, text).expect("the file can be written");
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn stay_on(processor: usize) {
    let mut processors = CpuSet::new();
    processors.set(processor).expect("a small number");
    sched_setaffinity(Pid::from_raw(0), &processors).expect("the processor is there");
}

/// Runs `work` in another process.
fn elsewhere(work: impl FnOnce()) -> Pid {
    // SAFETY: the child works with what it inherits, starts no thread, and ends.
    match unsafe { fork() }.expect("a process can be forked") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            work();
            // SAFETY: ends the child.
            unsafe { libc::_exit(0) }
        }
    }
}

/// The parent's times of half a turn, each the mean of a batch.
fn play(mut turn: impl FnMut(u64) -> u64) -> Vec<f64> {
    (0..TURNS / BATCH)
        .map(|batch| {
            let start = Instant::now();
            for at in 0..BATCH {
                let number = (batch * BATCH + at) as u64 * 2 + 1;
                assert_eq!(turn(number), number + 1);
            }
            start.elapsed().as_nanos() as f64 / BATCH as f64 / 2.0
        })
        .skip(20)
        .collect()
}

fn ping_pong(way: Way) -> Vec<f64> {
    match way {
        Way::Bare => bare(),
        Way::Spin => queued(WaitPolicy::Spin, 64),
        Way::Object => queued(WaitPolicy::Spin, 0),
        Way::Park => queued(WaitPolicy::Park, 64),
    }
}

/// A number that says that the bytes beside it are there.
#[repr(C, align(128))]
struct Line {
    number: AtomicU64,
    bytes: [AtomicU64; BYTES / 8],
}

impl Line {
    fn give(&self, number: u64) {
        self.bytes.iter().for_each(|word| word.store(number, Ordering::Relaxed));
        self.number.store(number, Ordering::Release);
    }

    fn await_one(&self, number: u64) -> u64 {
        while self.number.load(Ordering::Acquire) != number {
            std::hint::spin_loop();
        }
        self.bytes.iter().map(|word| word.load(Ordering::Relaxed)).max().unwrap_or(0)
    }
}

/// A page of zeros that children share.
fn shared() -> MmapMut {
    let name = c"bench";
    let file = nix::sys::memfd::memfd_create(name, nix::sys::memfd::MFdFlags::MFD_CLOEXEC);
    let file = std::fs::File::from(file.expect("a memory file"));
    file.set_len(4096).expect("a page");
    // SAFETY: the file is this process's and its children's, who use it as atomics.
    unsafe { MmapMut::map_mut(&file) }.expect("memory")
}

fn bare() -> Vec<f64> {
    let shared = shared();
    // SAFETY: zeros are lines; the mapping outlives their use, and is page-aligned.
    let lines = unsafe { &*shared.as_ptr().cast::<[Line; 2]>() };
    let other = elsewhere(|| {
        stay_on(1);
        for turn in 0..TURNS as u64 {
            let number = lines[0].await_one(turn * 2 + 1);
            lines[1].give(number + 1);
        }
    });
    stay_on(0);
    let times = play(|number| {
        lines[0].give(number);
        lines[1].await_one(number + 1)
    });
    waitpid(other, None).expect("it ends");
    times
}

fn store() -> Store<Raw> {
    let region = RegionOptions::new().capacity(64 << 20).anonymous().expect("shared memory");
    Store::builder("bench").connector(ShmConnector::new(region)).codec(Raw).open().expect("a store")
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes[..8].try_into().expect("64 bytes"))
}

fn queued(policy: WaitPolicy, inline: u32) -> Vec<f64> {
    let store = store();
    let options = QueueOptions::new(64).inline_bytes(inline);
    let queues = [0, 1].map(|_| store.queue_new_with::<[u8]>(&options).expect("a queue"));
    let answer = |from: &Queue<[u8], Raw>, to: &Queue<[u8], Raw>| {
        let receiver = from.receiver().expect("it is there").wait_policy(policy);
        let sender = to.sender().expect("it is there").wait_policy(policy);
        (receiver, sender)
    };
    let other = elsewhere(|| {
        stay_on(1);
        let (receiver, sender) = answer(&queues[0], &queues[1]);
        let mut bytes = [0; BYTES];
        for _ in 0..TURNS {
            let message = receiver.recv().expect("it is there").expect("it goes on");
            bytes[..8].copy_from_slice(&(number(&message) + 1).to_le_bytes());
            message.ack().expect("it is mine");
            sender.send(&bytes).expect("there is room");
        }
    });
    stay_on(0);
    let (receiver, sender) = answer(&queues[1], &queues[0]);
    let mut bytes = [0; BYTES];
    let times = play(|given| {
        bytes[..8].copy_from_slice(&given.to_le_bytes());
        sender.send(&bytes).expect("there is room");
        let message = receiver.recv().expect("it is there").expect("it goes on");
        let found = number(&message);
        message.ack().expect("it is mine");
        found
    });
    waitpid(other, None).expect("it ends");
    times
}

/// Messages per second from so many processes to so many.
fn rate(producers: u64, consumers: u64) -> f64 {
    let store = store();
    let options = QueueOptions::new(1024).inline_bytes(64);
    let queue = store.queue_new_with::<[u8]>(&options).expect("a queue");
    let start = shared();
    // SAFETY: zeros are a number; the mapping outlives its use.
    let start = unsafe { &*start.as_ptr().cast::<AtomicU64>() };
    let mut processors = CpuSet::new();
    (0..2).for_each(|at| processors.set(at).expect("a small number"));
    sched_setaffinity(Pid::from_raw(0), &processors).expect("the processors are there");
    let gate = queue.sender().expect("it is there");
    let mut others = Vec::new();
    for _ in 0..producers {
        others.push(elsewhere(|| {
            let sender = queue.sender().expect("it is there");
            while start.load(Ordering::Acquire) == 0 {
                std::thread::sleep(Duration::from_micros(100));
            }
            for _ in 0..MESSAGES / producers {
                sender.send(&[7; BYTES]).expect("the queue is there");
            }
            drop(sender);
        }));
    }
    for _ in 0..consumers {
        others.push(elsewhere(|| {
            for message in &queue.receiver().expect("it is there") {
                message.expect("the queue is there").ack().expect("it is mine");
            }
        }));
    }
    std::thread::sleep(Duration::from_millis(50));
    let begun = Instant::now();
    start.store(1, Ordering::Release);
    for other in others.drain(..producers as usize) {
        waitpid(other, None).expect("it ends");
    }
    gate.close();
    for other in others {
        waitpid(other, None).expect("it ends");
    }
    MESSAGES as f64 / begun.elapsed().as_secs_f64()
}
