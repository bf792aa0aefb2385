//! What an operation did when it was stepped through the first time, and the quickest way to each place of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::support::shared::{Atomics, Shared};

/// Of an instruction that is done more often, only so many of the first and the last times are turns.
const ROUNDS: usize = 100;
/// Longer operations are not swept.
pub const LONGEST: usize = 1 << 21;
const SLEEPS: usize = 8;

/// One operation, instruction by instruction; in shared memory, for the launcher must not change from scene to scene.
pub struct Script {
    len: AtomicU64,
    /// Where the n-th instruction lies.
    addresses: [AtomicU64; LONGEST],
    /// How often a breakpoint there stops until the n-th instruction; 0: it does not stop at that one.
    visits: [AtomicU32; LONGEST],
    /// Instructions that put the victim to sleep until it is woken.
    sleeps: [AtomicU64; SLEEPS],
    sleep_count: AtomicU64,
    /// Places but those of the middle rounds of long loops.
    turns: [AtomicU32; LONGEST],
    turn_count: AtomicU64,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Script {}

impl Script {
    pub fn new() -> Shared<Self> {
        Shared::new()
    }

    pub fn len(&self) -> usize {
        self.len.load(Ordering::SeqCst) as usize
    }

    pub fn address(&self, at: usize) -> u64 {
        self.addresses[at].load(Ordering::Relaxed)
    }

    /// Sleeping instructions before a place.
    pub fn sleeps_before(&self, place: usize) -> impl Iterator<Item = usize> {
        let count = self.sleep_count.load(Ordering::SeqCst) as usize;
        let sleeps = self.sleeps[..count].iter();
        sleeps.map(|sleep| sleep.load(Ordering::SeqCst) as usize).filter(move |&at| at < place)
    }

    /// Starts anew.
    pub fn clear(&self) {
        self.len.store(0, Ordering::SeqCst);
        self.sleep_count.store(0, Ordering::SeqCst);
    }

    /// Adds the next instruction.
    pub fn push(&self, address: u64, sleeps: bool) {
        let at = self.len();
        assert!(at < LONGEST, "an operation of more than {LONGEST} instructions");
        self.addresses[at].store(address, Ordering::Relaxed);
        if sleeps {
            let known = self.sleep_count.fetch_add(1, Ordering::SeqCst) as usize;
            self.sleeps[known].store(at as u64, Ordering::SeqCst);
        }
        self.len.store(at as u64 + 1, Ordering::SeqCst);
    }

    /// When all is recorded: counts how often each place's breakpoint stops. Counting starts again after each sleep.
    pub fn finish(&self) {
        let mut seen: HashMap<u64, u32> = HashMap::new();
        let mut sleeps: Vec<usize> = self.sleeps_before(LONGEST).collect();
        let mut before = 0;
        for at in 0..self.len() {
            let address = self.address(at);
            // A repeated string instruction stops at its breakpoint once.
            let repeats = address == before;
            let visits =
                if repeats { 0 } else { *seen.entry(address).and_modify(|n| *n += 1).or_insert(1) };
            self.visits[at].store(visits, Ordering::Relaxed);
            before = address;
            if sleeps.first() == Some(&at) {
                sleeps.remove(0);
                seen.clear();
                before = 0;
            }
        }
    }

    /// After [`finish`](Self::finish): says which places differ from others by more than the round of a loop.
    pub fn find_turns(&self) {
        let mut times: HashMap<u64, usize> = HashMap::new();
        (0..self.len()).for_each(|at| *times.entry(self.address(at)).or_default() += 1);
        let mut seen: HashMap<u64, usize> = HashMap::new();
        let mut count = 0;
        for place in 1..=self.len() {
            // What is killed there has done the instruction before it last.
            let address = self.address(place - 1);
            let nth = seen.entry(address).or_default();
            if *nth < ROUNDS || *nth + ROUNDS >= times[&address] {
                self.turns[count].store(place as u32, Ordering::Relaxed);
                count += 1;
            }
            *nth += 1;
        }
        self.turn_count.store(count as u64, Ordering::SeqCst);
    }

    /// How many places differ from others by more than the round of a loop.
    pub fn turns(&self) -> usize {
        self.turn_count.load(Ordering::SeqCst) as usize
    }

    /// The n-th of them.
    pub fn turn(&self, n: usize) -> usize {
        self.turns[n].load(Ordering::Relaxed) as usize
    }

    /// The cheapest way to `to` from `from`, where counting started: a breakpoint at a place, how often it stops, and then
    /// single steps. No breakpoint: all of the way is stepped.
    pub fn way(&self, from: usize, to: usize) -> Option<(usize, u32)> {
        let mut best = (to - from, None);
        for at in (from..to.min(self.len() - 1) + 1).rev() {
            let steps = to - at;
            if steps >= best.0 {
                break;
            }
            let visits = self.visits[at].load(Ordering::Relaxed);
            if visits != 0 && visits as usize + steps < best.0 {
                best = (visits as usize + steps, Some((at, visits)));
            }
        }
        best.1
    }
}
