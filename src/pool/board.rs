//! What the workers are at, in memory that the pool's process, its nursery and the workers share: it is there after a worker
//! was killed.

use std::io;

use crate::sync::unmodelled::{AtomicU64, Ordering};
use crate::sys::inherited::InheritedWords;

/// How far a worker is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(u64)]
pub(super) enum Stage {
    /// Nobody is there.
    Vacant = 0,
    /// It was forked.
    Starting = 1,
    /// It waits for its first task.
    Ready = 2,
    /// It has done one.
    Proven = 3,
    /// There are none any more: it ends by itself.
    Ended = 4,
}

const PID: usize = 0;
const STAGE: usize = 1;
/// The promise of its task; 0 for none.
const TASK: usize = 2;
/// A cache line.
const WORDS: usize = 8;

/// A seat for each worker, and how many workers were replaced.
#[derive(Debug)]
pub(super) struct Board {
    words: InheritedWords,
    seats: usize,
}

impl Board {
    pub(super) fn new(seats: usize) -> io::Result<Self> {
        Ok(Self { words: InheritedWords::new((seats + 1) * WORDS)?, seats })
    }

    pub(super) fn seats(&self) -> usize {
        self.seats
    }

    fn word(&self, seat: usize, word: usize) -> &AtomicU64 {
        &self.words[(seat + 1) * WORDS + word]
    }

    fn deaths_word(&self) -> &AtomicU64 {
        &self.words[0]
    }

    pub(super) fn stage(&self, seat: usize) -> Stage {
        match self.word(seat, STAGE).load(Ordering::SeqCst) {
            1 => Stage::Starting,
            2 => Stage::Ready,
            3 => Stage::Proven,
            4 => Stage::Ended,
            _ => Stage::Vacant,
        }
    }

    pub(super) fn set_stage(&self, seat: usize, stage: Stage) {
        self.word(seat, STAGE).store(stage as u64, Ordering::SeqCst);
    }

    /// The process; 0 for none.
    pub(super) fn pid(&self, seat: usize) -> u32 {
        self.word(seat, PID).load(Ordering::SeqCst) as u32
    }

    pub(super) fn task(&self, seat: usize) -> u64 {
        self.word(seat, TASK).load(Ordering::SeqCst)
    }

    pub(super) fn set_task(&self, seat: usize, task: u64) {
        self.word(seat, TASK).store(task, Ordering::SeqCst);
    }

    /// Whether any worker has, or had when it died, that task.
    pub(super) fn has_task(&self, task: u64) -> bool {
        (0..self.seats).any(|seat| self.task(seat) == task)
    }

    pub(super) fn seat(&self, seat: usize, pid: u32) {
        self.word(seat, PID).store(pid.into(), Ordering::SeqCst);
    }

    pub(super) fn vacate(&self, seat: usize) {
        for word in [TASK, PID, STAGE] {
            self.word(seat, word).store(0, Ordering::SeqCst);
        }
    }

    pub(super) fn count_death(&self) {
        self.deaths_word().fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn deaths(&self) -> u64 {
        self.deaths_word().load(Ordering::Relaxed)
    }
}
