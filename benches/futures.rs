//! Waking a process that waits for a promised value, against waking one that sleeps on a bare futex.
//!
//! ```text
//! cargo bench --bench futures -- [--rounds N] [--json FILE]
//! ```
//!
//! Two processes take turns: each gives a value that the other waits for, and then waits for the next one. A sample is half
//! of what a turn of both takes. Ways of waiting alternate within a round; what is reported is the median of the rounds'
//! medians, of their 99th percentiles, and of their ratios to the baseline of the same round.
//!
//! `await` wakes two threads where `wait` wakes one: the one that listens for all promises of a process, which then wakes
//! the one that awaits. So it stands beside a bare futex with such a thread behind it, too.

use std::future::IntoFuture;
use std::path::PathBuf;
use std::pin::pin;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::task::{Context, Poll, Wake};
use std::thread::Thread;
use std::time::Instant;

use inplace::codec::Raw;
use inplace::connector::ShmConnector;
use inplace::{Future, Promise, PromiseToken, Region, RegionOptions, Store};
use memmap2::MmapMut;
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

const TURNS: usize = 300;
/// Not counted: threads start, pages are touched.
const WARM: usize = 50;

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Futex,
    Wait,
    FutexRelayed,
    Await,
}

/// Each with its name and the way it is compared with.
const WAYS: [(Way, &str, Way); 5] = [
    (Way::Futex, "bare futex", Way::Futex),
    (Way::Wait, "future.wait", Way::Futex),
    (Way::FutexRelayed, "bare futex, relayed by a thread", Way::Futex),
    (Way::Await, "future.await", Way::Futex),
    (Way::Await, "future.await", Way::FutexRelayed),
];

#[derive(Default, Clone)]
struct Times {
    p50: f64,
    p99: f64,
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut rounds, mut json) = (15, None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--rounds" => {
                rounds = arguments.next().and_then(|it| it.parse().ok()).unwrap_or(rounds)
            }
            "--json" => json = arguments.next().map(PathBuf::from),
            _ => {}
        }
    }
    let mut rows = Vec::new();
    for (place, processor) in [("same core", 0), ("cross core", 1)] {
        let rounds: Vec<[Times; 4]> = (0..rounds).map(|_| round(processor)).collect();
        println!("{place}: wake-up in ns, p50 and p99; ratios to the baseline of the same round");
        for (way, name, baseline) in WAYS {
            rows.push(row(&rounds, (way, baseline), format!("{name}, {place}")));
        }
    }
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&rows).expect("numbers and names");
        std::fs::write(path, text).expect("the file can be written");
    }
}

fn row(rounds: &[[Times; 4]], (way, baseline): (Way, Way), name: String) -> serde_json::Value {
    let median_of = |of: &dyn Fn(&[Times; 4]) -> f64| median(rounds.iter().map(of).collect());
    let (way, to) = (way as usize, baseline as usize);
    let (p50, p99) = (median_of(&|it| it[way].p50), median_of(&|it| it[way].p99));
    let ratio = median_of(&|it| it[way].p50 / it[to].p50);
    let ratio_p99 = median_of(&|it| it[way].p99 / it[to].p99);
    let baseline = WAYS.iter().find(|(way, ..)| *way == baseline).map_or("", |(_, name, _)| name);
    println!("  {name:<45} {p50:>9.0} {p99:>9.0}   {ratio:>5.2} {ratio_p99:>5.2} × {baseline}");
    serde_json::json!({
        "op": name, "median_ns": p50, "p99_ns": p99, "baseline": baseline, "ratio": ratio, "ratio_p99": ratio_p99,
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn round(processor: usize) -> [Times; 4] {
    [Way::Futex, Way::Wait, Way::FutexRelayed, Way::Await].map(|way| {
        let mut samples = match way {
            Way::Futex | Way::FutexRelayed => bare(processor, way == Way::FutexRelayed),
            Way::Wait | Way::Await => promised(processor, way == Way::Await),
        };
        samples.drain(..WARM);
        samples.sort_by(f64::total_cmp);
        Times { p50: samples[samples.len() / 2], p99: samples[samples.len() * 99 / 100] }
    })
}

fn stay_on(processor: usize) {
    let mut processors = CpuSet::new();
    processors.set(processor).expect("a small number");
    sched_setaffinity(Pid::from_raw(0), &processors).expect("the processor is there");
}

/// Half of what each turn takes.
fn time_turns(mut turn: impl FnMut(usize)) -> Vec<f64> {
    let time = |number| {
        let start = Instant::now();
        turn(number);
        start.elapsed().as_nanos() as f64 / 2.0
    };
    (0..TURNS + WARM).map(time).collect()
}

/// A child that does `work` on its processor, and is there until this is dropped: to leave takes a processor for a while.
struct Partner(Pid);

impl Partner {
    fn start(processor: usize, work: impl FnOnce()) -> Self {
        // SAFETY: the child does what any process of this library may do after a fork, and ends by `_exit`.
        match unsafe { fork() }.expect("fork") {
            ForkResult::Parent { child } => Self(child),
            ForkResult::Child => {
                let _ = nix::sys::prctl::set_pdeathsig(Signal::SIGKILL);
                stay_on(processor);
                let _printed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
                nix::unistd::pause();
                // SAFETY: ends the child.
                unsafe { libc::_exit(0) }
            }
        }
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        let _may_be_dead = kill(self.0, Signal::SIGKILL);
        let _ = waitpid(self.0, None);
    }
}

/// Three words that parent and child share, each on a cache line of its own.
struct Words(MmapMut);

impl Words {
    fn new() -> Self {
        // `map_anon` is private to a process.
        let file = nix::sys::memfd::memfd_create(c"words", nix::sys::memfd::MFdFlags::empty());
        let file = std::fs::File::from(file.expect("memory"));
        file.set_len(4096).expect("memory");
        // SAFETY: nobody else knows the file, and only atomics are made of it.
        Self(unsafe { MmapMut::map_mut(&file) }.expect("memory"))
    }

    fn at(&self, index: usize) -> &AtomicU64 {
        // SAFETY: inside the page, aligned, and only ever used as this.
        unsafe { &*self.0.as_ptr().add(index * 128).cast::<AtomicU64>() }
    }

    /// The child is where it should be, and asleep. Both rest, so that the scheduler holds nothing against them for what
    /// they did before: preparing promises takes longer than preparing words.
    fn await_partner(&self) {
        while self.at(2).load(SeqCst) == 0 {
            std::thread::yield_now();
        }
        std::thread::sleep(std::time::Duration::from_millis(40));
    }
}

fn futex(word: &AtomicU64, operation: i32, value: u32) {
    let no_limit = ptr::null::<libc::timespec>();
    // SAFETY: the kernel compares the word's low half, which is at its address, or looks for sleepers there.
    unsafe { libc::syscall(libc::SYS_futex, ptr::from_ref(word), operation, value, no_limit) };
}

fn give(word: &AtomicU64, turn: u64) {
    word.store(turn, SeqCst);
    futex(word, libc::FUTEX_WAKE, i32::MAX as u32);
}

fn await_word(word: &AtomicU64, turn: u64) {
    while word.load(SeqCst) < turn {
        futex(word, libc::FUTEX_WAIT, turn as u32 - 1);
    }
}

/// Waits as this thread, or has another wait that unparks this one.
fn waiting_for(word: &'static AtomicU64, is_relayed: bool) -> impl Fn(u64) {
    let seen: &'static AtomicU64 = Box::leak(Box::default());
    if is_relayed {
        let waiter: Thread = std::thread::current();
        std::thread::spawn(move || {
            for turn in 1..=(TURNS + WARM) as u64 {
                await_word(word, turn);
                seen.store(turn, SeqCst);
                waiter.unpark();
            }
        });
    }
    move |turn| {
        if !is_relayed {
            return await_word(word, turn);
        }
        while seen.load(SeqCst) < turn {
            std::thread::park();
        }
    }
}

fn bare(processor: usize, is_relayed: bool) -> Vec<f64> {
    let words: &'static Words = Box::leak(Box::new(Words::new()));
    let _partner = Partner::start(processor, || {
        let wait = waiting_for(words.at(0), is_relayed);
        words.at(2).store(1, SeqCst);
        for turn in 1..=(TURNS + WARM) as u64 {
            wait(turn);
            give(words.at(1), turn);
        }
    });
    stay_on(0);
    words.await_partner();
    let wait = waiting_for(words.at(1), is_relayed);
    time_turns(|turn| {
        give(words.at(0), turn as u64 + 1);
        wait(turn as u64 + 1);
    })
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<F: IntoFuture>(future: F) -> F::Output {
    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future.into_future());
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

type Bytes = [u8];
type Pairs = (Vec<Promise<Bytes, Raw>>, Vec<Future<Bytes, Raw>>);

fn wait_for(future: &Future<Bytes, Raw>, is_awaited: bool) {
    let value = if is_awaited { block_on(future) } else { future.wait(None) };
    assert_eq!(value.expect("it is set")[0], 7);
}

/// This process has the pages mapped, to write and to read, where values will be, and promises are: a fault is no part of a
/// wake-up.
fn touch(region: &Region, promised: &[Future<Bytes, Raw>]) {
    for future in promised {
        assert!(future.try_get().expect("it is promised").is_none());
    }
    let key = region.put(&[7; 4 << 20]).expect("there is room");
    let pinned = region.get(key).expect("the region is open").expect("it is there");
    assert!(pinned.iter().step_by(4096).all(|byte| *byte == 7));
    drop(pinned);
    assert!(region.evict(key).expect("it is there"));
}

fn promised(processor: usize, is_awaited: bool) -> Vec<f64> {
    let options = RegionOptions::new().capacity(16 << 20).max_objects(4000);
    let region = options.anonymous().expect("memory");
    let connector = ShmConnector::new(region.clone());
    let store = Store::builder("bench").connector(connector).codec(Raw).register();
    let store = store.open().expect("no other store of that name");
    let make =
        || -> Pairs { (0..TURNS + WARM).map(|_| store.promise().expect("there is room")).unzip() };
    let (ours, ours_given) = make();
    let (theirs, theirs_given) = make();
    let tokens: Vec<PromiseToken<Bytes, Raw>> =
        theirs.into_iter().map(|promise| promise.into_token().expect("ours")).collect();
    let words = Words::new();
    touch(&region, &theirs_given);
    let mut tokens = Some(tokens);
    let _partner = Partner::start(processor, || {
        let adopt = |token: PromiseToken<Bytes, Raw>| token.adopt().expect("its sender lives");
        let theirs: Vec<_> = tokens.take().expect("once").into_iter().map(adopt).collect();
        touch(&region, &ours_given);
        words.at(2).store(1, SeqCst);
        for (promise, future) in theirs.iter().zip(&ours_given) {
            wait_for(future, is_awaited);
            promise.set(&[7; 64]).expect("there is room");
        }
    });
    stay_on(0);
    words.await_partner();
    let times = time_turns(|turn| {
        ours[turn].set(&[7; 64]).expect("there is room");
        wait_for(&theirs_given[turn], is_awaited);
    });
    store.close().expect("nobody else uses it");
    times
}
