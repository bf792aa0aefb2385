//! A value that changes, for reader processes: `inplace::Cell` beside mmap-sync's `Synchronizer`.
//!
//! ```text
//! cargo run --release --bin cell [ROUNDS]
//! ```
//!
//! The same structure of numbers goes through both, each with its own version of rkyv. All are measured in rounds, one
//! after the other in each round; what is printed are medians over the rounds, and their ratios.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use inplace::connector::ShmConnector;
use inplace::{Cell, Region, RegionOptions, Store};
use mmap_sync::locks::LockDisabled;
use mmap_sync::synchronizer::Synchronizer;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork};

#[inplace::storable]
struct Ours {
    number: u64,
    weights: Vec<f32>,
}

#[derive(rkyv::Archive, rkyv::Serialize, rkyv::Deserialize)]
#[archive_attr(derive(bytecheck::CheckBytes))]
struct Theirs {
    number: u64,
    weights: Vec<f32>,
}

/// Its writer looks every 10 µs whether readers have left the instance it wants; by default every second.
type Sync = Synchronizer<wyhash::WyHash, LockDisabled, 1024, 10_000>;

/// How long their writer waits for readers that may be dead.
const GRACE: Duration = Duration::from_secs(1);
const SIZES: [usize; 3] = [1 << 10, 64 << 10, 1 << 20];
const READERS: [usize; 4] = [0, 1, 2, 4];

/// Both, with a value of one size.
struct Pair {
    cell: Cell<Ours>,
    path: PathBuf,
    ours: Ours,
    theirs: Theirs,
    region: Region,
}

impl Pair {
    fn new(bytes: usize) -> Self {
        let region = RegionOptions::new().capacity(1 << 30).anonymous().expect("a region");
        let connector = ShmConnector::new(region.clone());
        let store = Store::builder("compare").connector(connector).open();
        let cell = store.expect("a store").cell_new().expect("a cell");
        let path = PathBuf::from(format!("/dev/shm/bench-compare-{}-{bytes}", std::process::id()));
        let weights = vec![0.5; bytes / 4];
        let ours = Ours { number: 1, weights: weights.clone() };
        let pair = Self { cell, path, ours, theirs: Theirs { number: 1, weights }, region };
        pair.set();
        pair.write(&mut pair.synchronizer());
        pair
    }

    fn synchronizer(&self) -> Sync {
        Sync::with_params(self.path.as_os_str())
    }

    fn set(&self) {
        black_box(self.cell.set(&self.ours).expect("it is set"));
    }

    fn write(&self, to: &mut Sync) {
        black_box(to.write(&self.theirs, GRACE).expect("it is written"));
    }

    fn get(&self) {
        let value = self.cell.get().expect("it is there").expect("it was set");
        black_box((value.number, value.weights.first().copied(), value.weights.last().copied()));
    }

    fn read(&self, from: &mut Sync, is_checked: bool) {
        // SAFETY: the guard is dropped at once, long before the grace period is over.
        let value = unsafe { from.read::<Theirs>(is_checked) }.expect("it is there");
        black_box((value.number, value.weights.first().copied(), value.weights.last().copied()));
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for end in ["state", "data_0", "data_1"] {
            let _ = std::fs::remove_file(format!("{}_{end}", self.path.display()));
        }
    }
}

/// Nanoseconds of one call, over so many.
fn time(count: u32, mut call: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| call());
    start.elapsed().as_nanos() as f64 / f64::from(count)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A child that does something until it is killed, or its parent ends.
fn child(mut work: impl FnMut()) -> Pid {
    // SAFETY: this process has one thread, so the child finds everything as it was.
    match unsafe { fork() }.expect("a child") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).expect("a signal");
            loop {
                work();
            }
        }
    }
}

fn end(children: Vec<Pid>) {
    for child in children {
        kill(child, Signal::SIGKILL).expect("it lives");
        waitpid(child, None).expect("it ends");
    }
}

fn line(what: &str, ours: f64, theirs: f64) {
    let ratio = ours / theirs;
    let ratio = if ratio < 0.01 { "< 0.01".into() } else { format!("{ratio:.2}") };
    println!("| {what} | {ours:.0} | {theirs:.0} | {ratio} |");
}

fn label(bytes: usize) -> String {
    format!("{} KiB", bytes >> 10)
}

fn reads(rounds: usize) {
    for bytes in SIZES {
        let pair = Pair::new(bytes);
        let mut sync = pair.synchronizer();
        for is_written in [false, true] {
            let writer = is_written.then(|| {
                let mut sync = pair.synchronizer();
                child(|| {
                    pair.set();
                    pair.write(&mut sync);
                    std::thread::sleep(Duration::from_millis(1));
                })
            });
            let (mut ours, mut theirs, mut checked) = (vec![], vec![], vec![]);
            for _ in 0..rounds {
                ours.push(time(20_000, || pair.get()));
                theirs.push(time(20_000, || pair.read(&mut sync, false)));
                checked.push(time(200, || pair.read(&mut sync, true)));
            }
            end(writer.into_iter().collect());
            let how = if is_written { ", written every ms" } else { "" };
            let (ours, what) = (median(ours), format!("read, {}{how}", label(bytes)));
            line(&what, ours, median(theirs));
            line(&format!("{what}; theirs checked"), ours, median(checked));
        }
    }
}

fn writes(rounds: usize) {
    for bytes in SIZES {
        let pair = Pair::new(bytes);
        for readers in READERS {
            let mut sync = pair.synchronizer();
            let count = (2 << 20) / (bytes as u32 + 4096) + 2;
            let (mut ours, mut theirs) = (vec![], vec![]);
            for _ in 0..rounds {
                let children = (0..readers).map(|_| child(|| pair.get())).collect();
                ours.push(time(count, || pair.set()));
                end(children);
                pair.region.reap().expect("what the readers held comes back");
                let mut from = pair.synchronizer();
                let children =
                    (0..readers).map(|_| child(|| pair.read(&mut from, false))).collect();
                theirs.push(time(count, || pair.write(&mut sync)));
                end(children);
            }
            let what = format!("write, {}, {readers} readers", label(bytes));
            line(&what, median(ours), median(theirs));
        }
    }
}

fn main() {
    let rounds = std::env::args().nth(1).map_or(15, |text| text.parse().expect("a number"));
    println!("| what | `Cell`, ns | mmap-sync, ns | ratio |\n|---|---|---|---|");
    reads(rounds);
    writes(rounds);
}
