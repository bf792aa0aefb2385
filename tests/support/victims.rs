//! Processes that are killed again and again, each at a random time after its start.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;

use super::random::Random;
use super::shared::{Atomics, Shared};
use super::{start_child, watch_for};

/// How victims ended, counted in all processes that keep some.
pub struct Tally {
    pub kills: AtomicU64,
    /// Ended by themselves before their kill, as they may.
    pub early: AtomicU64,
    /// Panicked, faulted or hung.
    pub went_wrong: AtomicU64,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Tally {}

/// Processes that are killed again and again, each at a random time after its start.
pub struct Victims<'a> {
    running: Vec<(Pid, Instant)>,
    count: usize,
    tally: Shared<Tally>,
    random: Random,
    work: &'a dyn Fn(u64) -> i32,
}

impl<'a> Victims<'a> {
    pub fn new(
        count: usize,
        tally: Shared<Tally>,
        random: Random,
        work: &'a dyn Fn(u64) -> i32,
    ) -> Self {
        Self { running: Vec::new(), count, tally, random, work }
    }

    fn start(&mut self) {
        let seed = self.random.draw();
        let child = start_child(|| {
            watch_for(20);
            (self.work)(seed)
        });
        let limit = [300, 3000, 30_000][self.random.below(3) as usize];
        self.running.push((child.0, Instant::now() + self.random.micros(limit)));
    }

    /// Kills whoever's time has come, and starts others.
    pub fn go_on(&mut self) {
        while self.running.len() < self.count {
            self.start();
        }
        let now = Instant::now();
        let due = self.running.extract_if(.., |(_, end)| *end <= now).collect::<Vec<_>>();
        due.into_iter().for_each(|(victim, _)| self.end(victim));
    }

    fn end(&self, victim: Pid) {
        kill(victim, Signal::SIGKILL).unwrap();
        self.tally.kills.fetch_add(1, Ordering::Relaxed);
        match waitpid(victim, None).unwrap() {
            WaitStatus::Signaled(_, Signal::SIGKILL, _) => {}
            WaitStatus::Exited(_, 0) => {
                self.tally.early.fetch_add(1, Ordering::Relaxed);
            }
            other => {
                eprintln!("a victim ended by itself: {other:?}");
                self.tally.went_wrong.fetch_add(1, Ordering::SeqCst);
            }
        }
    }

    pub fn end_all(&mut self) {
        for (victim, _) in std::mem::take(&mut self.running) {
            self.end(victim);
        }
    }
}
