//! Where sending a value's bytes costs as much as sending a proxy: what `inplace::AUTO_THRESHOLD` is taken from.
//!
//! `cargo bench --bench auto [-- ROUNDS]`: a value is made ready, sent through a pipe to another process, used there
//! (all of its numbers are added up), and evicted if it went by proxy; then the other process says a byte. Inline and by
//! proxy in turns; medians over the rounds, and their ratio.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Instant;

use inplace::connector::ShmConnector;
use inplace::{Auto, Region, RegionOptions, Store};
use nix::unistd::{ForkResult, fork, pipe};

const SIZES: [usize; 12] = [
    64,
    256,
    1 << 10,
    2 << 10,
    4 << 10,
    6 << 10,
    8 << 10,
    16 << 10,
    32 << 10,
    64 << 10,
    256 << 10,
    1 << 20,
];
const COUNT: u32 = 300;

/// One end of the talk between the two processes.
struct Line {
    to: File,
    from: File,
}

impl Line {
    fn new(to: OwnedFd, from: OwnedFd) -> Self {
        Self { to: to.into(), from: from.into() }
    }

    fn send(&mut self, message: &[u8]) {
        self.to.write_all(&(message.len() as u32).to_le_bytes()).expect("a reader");
        self.to.write_all(message).expect("a reader");
    }

    /// `false`: nobody will send any more.
    fn receive(&mut self, message: &mut Vec<u8>) -> bool {
        let mut len = [0; 4];
        if self.from.read_exact(&mut len).is_err() {
            return false;
        }
        message.resize(u32::from_le_bytes(len) as usize, 0);
        self.from.read_exact(message).expect("the rest of a message");
        true
    }
}

/// The other process: uses what it is sent.
fn use_all(mut line: Line) {
    let mut message = Vec::new();
    while line.receive(&mut message) {
        let auto: Auto<Vec<f64>> = postcard::from_bytes(&message).expect("what was sent");
        let sum: f64 = auto.iter().map(|number| number.to_native()).sum();
        assert!(sum > 0.0);
        drop(auto);
        line.to.write_all(&[1]).expect("a sender");
    }
}

/// Microseconds of sending one, over many.
fn time(store: &Store, line: &mut Line, (value, threshold): (&Vec<f64>, usize)) -> f64 {
    let start = Instant::now();
    for _ in 0..COUNT {
        let auto = store
            .auto_above(threshold, value)
            .expect("room")
            .evict_on_resolve()
            .expect("nobody else evicts it");
        line.send(&postcard::to_stdvec(&auto).expect("bytes"));
        line.from.read_exact(&mut [0]).expect("an answer");
    }
    start.elapsed().as_secs_f64() * 1e6 / f64::from(COUNT)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn main() {
    let rounds = std::env::args().filter_map(|text| text.parse().ok()).next().unwrap_or(15);
    let region: Region = RegionOptions::new().capacity(256 << 20).anonymous().expect("a region");
    let store = Store::builder("auto").connector(ShmConnector::new(region)).register().open();
    let store = store.expect("a store");
    let ((theirs, to), (from, mine)) = (pipe().expect("a pipe"), pipe().expect("a pipe"));
    // SAFETY: this process has one thread, so the child finds everything as it was.
    match unsafe { fork() }.expect("a child") {
        ForkResult::Child => {
            drop((to, from));
            return use_all(Line::new(mine, theirs));
        }
        ForkResult::Parent { .. } => drop((theirs, mine)),
    }
    let mut line = Line::new(to, from);
    println!(
        "| numbers, bytes | inline, µs | by proxy, µs | inline / by proxy |\n|---|---|---|---|"
    );
    for bytes in SIZES {
        let value = vec![0.5; bytes / 8];
        let (mut inline, mut proxied) = (vec![], vec![]);
        for _ in 0..rounds {
            inline.push(time(&store, &mut line, (&value, usize::MAX)));
            proxied.push(time(&store, &mut line, (&value, 0)));
        }
        let (inline, proxied) = (median(inline), median(proxied));
        println!("| {bytes} | {inline:.1} | {proxied:.1} | {:.2} |", inline / proxied);
    }
}
