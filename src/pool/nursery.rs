//! The nursery: a process with one thread that forks workers, waits for them, and replaces those that die.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::pool::board::Stage;
use crate::pool::core::Core;
use crate::pool::panics;
use crate::pool::wire::{Death, Report, cut};
use crate::region::fork::leave_all;
use crate::sys::process;

/// What a worker does all its life; its seat's number. The code it ends with.
pub(super) type Life = Arc<dyn Fn(&Arc<Core>, usize) -> i32 + Send + Sync>;

/// So many workers that one after another die before they are ready, are enough.
const ENOUGH: u32 = 10;
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LAST_PAUSE: Duration = Duration::from_millis(500);
/// How long to sleep where nothing tells that somebody died.
const GLANCE: Duration = Duration::from_millis(20);
const LONG: Duration = Duration::from_secs(60);

/// How long to wait after so many failures in a row.
pub(super) fn pause(failures: u32) -> Duration {
    match failures {
        0 => Duration::ZERO,
        some => FIRST_PAUSE.saturating_mul(1 << (some - 1).min(16)).min(LAST_PAUSE),
    }
}

/// Forks a nursery; its number.
pub(super) fn start(core: &Arc<Core>, life: &Life) -> Result<u32> {
    let parent = std::process::id();
    let work = || {
        Nursery::new(core, life, parent).run();
        core.wire.report(&Report::Leaving);
        // Where the pool's process was killed, nobody else may be left.
        leave_all();
        0
    };
    process::fork(work).map_err(|error| Error::system("forking a worker pool's nursery", error))
}

/// Where a worker is, or is to be.
#[derive(Default)]
struct Seat {
    /// 0: nobody.
    pid: u32,
    watch: Option<OwnedFd>,
    /// How many died there before they were ready, since one was.
    failures: u32,
    /// How many died there before they had done a task, since one had.
    useless: u32,
    /// When the next one starts.
    start: Option<Instant>,
    /// Its worker has ended, and was not to go on.
    is_over: bool,
}

impl Seat {
    /// Counts one that died, or ended, and was that far.
    fn count(&mut self, stage: Stage) {
        self.failures = if stage < Stage::Ready { self.failures + 1 } else { 0 };
        self.useless = if stage < Stage::Proven { self.useless + 1 } else { 0 };
    }
}

struct Nursery<'a> {
    core: &'a Arc<Core>,
    life: &'a Life,
    parent: u32,
    parents_end: Option<OwnedFd>,
    seats: Vec<Seat>,
    last: Option<Death>,
}

impl<'a> Nursery<'a> {
    fn new(core: &'a Arc<Core>, life: &'a Life, parent: u32) -> Self {
        process::set_name(c"inplace-nursery");
        process::leave_interrupts_to_parent();
        let seats = (0..core.board.seats()).map(|_| Seat::default()).collect();
        Self { core, life, parent, parents_end: process::watch(parent), seats, last: None }
    }

    fn run(mut self) {
        loop {
            if process::parent() != self.parent || self.core.wire.is_to_end() {
                return self.end_all();
            }
            (0..self.seats.len()).for_each(|seat| self.look_after(seat));
            if self.is_hopeless() {
                // One that met the end of the tasks is enough.
                if !self.seats.iter().any(|seat| seat.is_over) {
                    self.give_up();
                }
                return;
            }
            self.start_missing();
            self.sleep();
        }
    }

    /// D1 to D4.
    fn look_after(&mut self, at: usize) {
        let board = &self.core.board;
        let stage = board.stage(at);
        let seat = &mut self.seats[at];
        if seat.pid == 0 {
            return;
        }
        let Some(end) = process::ended(seat.pid) else { return };
        // What it did before it died.
        let stage = board.stage(at).max(stage);
        let death = Death::new(seat.pid, end, board.task(at));
        (seat.pid, seat.watch) = (0, None);
        seat.count(stage);
        if stage == Stage::Ended {
            seat.is_over = true;
        } else {
            board.count_death();
            self.core.wire.report(&Report::Died(death));
            self.last = Some(death);
            // The first is replaced at once.
            let pause = pause(seat.failures.max(seat.useless.saturating_sub(1)));
            seat.start = Some(Instant::now() + pause);
        }
        // Whoever can not be reaped now is so by those who wait.
        let _ = self.core.region.reap();
        board.vacate(at);
        // Now whoever looks for a letter finds it.
        self.core.wire.report(&Report::Look);
    }

    /// Whether nobody is there, and nobody will be.
    fn is_hopeless(&self) -> bool {
        self.seats.iter().all(|seat| seat.is_over || (seat.pid == 0 && seat.failures >= ENOUGH))
    }

    fn give_up(&self) {
        let last =
            self.last.map_or_else(String::new, |death| format!("; the last, {}", death.describe()));
        let why = format!("{ENOUGH} in a row ended before they were ready{last}");
        self.core.wire.report(&Report::GaveUp(why));
    }

    fn start_missing(&mut self) {
        let now = Instant::now();
        for at in 0..self.seats.len() {
            let seat = &self.seats[at];
            let is_due = seat.start.is_none_or(|start| start <= now) && seat.failures < ENOUGH;
            if seat.pid == 0 && !seat.is_over && is_due {
                self.start(at);
            }
        }
    }

    /// D5.
    fn start(&mut self, at: usize) {
        let (core, life, nursery) = (self.core, self.life, std::process::id());
        core.board.set_stage(at, Stage::Starting);
        core.board.set_task(at, 0);
        let (seats, parents_end) = (&mut self.seats, &mut self.parents_end);
        let work = || {
            // Those of its siblings are not for it.
            seats.iter_mut().for_each(|seat| seat.watch = None);
            *parents_end = None;
            process::die_with_parent();
            if process::parent() != nursery {
                return 0;
            }
            process::set_name(c"inplace-worker");
            // As the nursery does, perhaps later than the first task is done.
            core.board.seat(at, std::process::id());
            match panics::catch(|| life(core, at)) {
                Ok(code) => code,
                Err(why) => {
                    core.wire.report(&Report::Unready(cut(why)));
                    101
                }
            }
        };
        let forked = process::fork(work);
        let seat = &mut self.seats[at];
        match forked {
            Ok(pid) => {
                (seat.pid, seat.watch, seat.start) = (pid, process::watch(pid), None);
                core.board.seat(at, pid);
            }
            Err(error) => {
                seat.failures += 1;
                seat.start = Some(Instant::now() + pause(seat.failures));
                let why = format!("a worker can not be forked: {error}");
                core.wire.report(&Report::Unready(why));
            }
        }
    }

    /// Until somebody dies, or tells something, or is to be started.
    fn sleep(&self) {
        let now = Instant::now();
        let starts = self.seats.iter().filter(|seat| seat.pid == 0).filter_map(|seat| seat.start);
        let next = starts.min().map_or(LONG, |start| start.saturating_duration_since(now));
        let is_told = self.parents_end.is_some()
            && self.seats.iter().all(|seat| seat.pid == 0 || seat.watch.is_some());
        let limit = if is_told { next } else { next.min(GLANCE) };
        let watches = self.seats.iter().filter_map(|seat| seat.watch.as_ref());
        let mut descriptors: Vec<_> = watches.chain(&self.parents_end).map(AsFd::as_fd).collect();
        descriptors.push(self.core.wire.nurserys_end());
        // Rounded up: a poll of less than a millisecond does not sleep.
        process::wait_readable(&descriptors, limit + Duration::from_millis(1));
    }

    fn end_all(&mut self) {
        let living = || self.seats.iter().filter(|seat| seat.pid != 0);
        living().for_each(|seat| process::kill(seat.pid));
        for seat in living() {
            while process::ended(seat.pid).is_none() {
                let watch: Vec<_> = seat.watch.iter().map(AsFd::as_fd).collect();
                process::wait_readable(&watch, GLANCE);
            }
        }
        let _ = self.core.region.reap();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_have_an_end() {
        assert_eq!(pause(0), Duration::ZERO);
        assert_eq!(pause(3), Duration::from_millis(20));
        assert_eq!(pause(u32::MAX), LAST_PAUSE);
    }
}
