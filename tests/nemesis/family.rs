//! Families: process groups of victims and all they fork, stopped and killed together or only their first.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{Pid, setpgid};

use super::board::{Board, Counts, Me};
use super::support::random::Random;
use super::support::{end_with_parent, start_child, watch_for};

/// What happens to a family, drawn when it starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fate {
    /// For its first process to draw from.
    pub seed: u64,
    stop: Option<(Duration, Duration)>,
    /// Kills the first process alone before all are killed.
    orphaned: Option<Duration>,
    end: Duration,
}

impl Fate {
    pub fn draw(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let limit = [300, 3000, 30_000][random.below(3) as usize];
        let mut end = random.micros(limit);
        let stop = random.one_in(6).then(|| {
            let length = if random.one_in(40) { 1_500_000 } else { 8000 };
            (random.micros(limit), random.micros(length))
        });
        // Some are killed while they are stopped, others go on.
        if let Some((start, length)) = stop.filter(|_| random.one_in(2)) {
            end += start + length;
        }
        let orphaned = random.one_in(4).then(|| random.micros(limit));
        Self { seed: random.draw(), stop, orphaned, end }
    }
}

struct Family {
    leader: Pid,
    me: Me,
    fate: Fate,
    started: Instant,
    is_stopped: bool,
}

/// So many families, each replaced when it has ended.
pub struct Families<'a> {
    board: &'static Board,
    running: Vec<Family>,
    /// Of the seats of the board.
    seats: std::ops::Range<usize>,
    seed: u64,
    started: u64,
    work: &'a dyn Fn(Me, u64) -> i32,
}

impl<'a> Families<'a> {
    pub fn new(
        board: &'static Board,
        seats: std::ops::Range<usize>,
        seed: u64,
        work: &'a dyn Fn(Me, u64) -> i32,
    ) -> Self {
        adopt_orphans();
        Self { board, running: Vec::new(), seats, seed, started: 0, work }
    }

    fn start(&mut self, seat: usize) {
        let fate = Fate::draw(Random::derive(self.seed, self.started));
        self.started += 1;
        let me = self.board.new_family(seat);
        let child = start_child(|| {
            watch_for(60);
            end_with_parent();
            let _by_the_parent = setpgid(Pid::this(), Pid::this());
            (self.work)(me, fate.seed)
        });
        // Whoever comes first; the child may have ended.
        let _by_the_child = setpgid(child.0, child.0);
        let family =
            Family { leader: child.0, me, fate, started: Instant::now(), is_stopped: false };
        self.running.push(family);
    }

    /// Does what is due to whom, and starts others.
    pub fn go_on(&mut self) {
        for seat in self.seats.clone() {
            if !self.running.iter().any(|family| family.me.seat == seat) {
                self.start(seat);
            }
        }
        for family in &mut self.running {
            family.go_on(self.board);
        }
        let is_due = |family: &mut Family| family.started.elapsed() >= family.fate.end;
        let due: Vec<Family> = self.running.extract_if(.., is_due).collect();
        due.into_iter().for_each(|family| family.end(self.board));
    }

    pub fn end_all(&mut self) {
        self.running.drain(..).for_each(|family| family.end(self.board));
    }
}

impl Family {
    fn go_on(&mut self, board: &Board) {
        let age = self.started.elapsed();
        if let Some((start, length)) = self.fate.stop {
            if !self.is_stopped && age >= start {
                stop(board, self.me.seat, || killpg(self.leader, Signal::SIGSTOP));
                Counts::add(if length.as_millis() >= 100 {
                    &board.counts.long_stops
                } else {
                    &board.counts.stops
                });
                self.is_stopped = true;
            } else if self.is_stopped && age >= start + length {
                self.cont(board);
                self.fate.stop = None;
            }
        }
        if self.fate.orphaned.is_some_and(|at| age >= at) {
            self.fate.orphaned = None;
            board.process_may_end(self.me);
            let _gone = kill(self.leader, Signal::SIGKILL);
        }
    }

    fn cont(&mut self, board: &Board) {
        self.is_stopped = false;
        cont(board, self.me.seat, || killpg(self.leader, Signal::SIGCONT));
    }

    /// Kills whoever is left of it, and waits for all.
    fn end(mut self, board: &Board) {
        board.family_may_end(self.me);
        let _gone = killpg(self.leader, Signal::SIGKILL);
        while let Ok(status) = waitpid(Pid::from_raw(-self.leader.as_raw()), None) {
            count(board, status);
        }
        if self.is_stopped {
            // For the next who sits there.
            self.cont(board);
        }
    }
}

/// How a process ended, if that is how one may.
pub fn count(board: &Board, status: WaitStatus) {
    match status {
        WaitStatus::Signaled(_, Signal::SIGKILL, _) => Counts::add(&board.counts.kills),
        WaitStatus::Exited(_, 0) => Counts::add(&board.counts.early),
        other => {
            eprintln!("a process ended by itself: {other:?}");
            board.counts.went_wrong.fetch_add(1, SeqCst);
        }
    }
}

/// Stops whoever sits there: operations during which the number changes or is odd are nobody's to blame.
pub fn stop<T>(board: &Board, seat: usize, send: impl FnOnce() -> T) {
    board.stops[seat].fetch_add(1, SeqCst);
    send();
}

pub fn cont<T>(board: &Board, seat: usize, send: impl FnOnce() -> T) {
    send();
    board.stops[seat].fetch_add(1, SeqCst);
}

/// Descendants whose parents are dead become children of this process, which waits for them.
fn adopt_orphans() {
    // SAFETY: changes who this process's orphaned descendants belong to.
    let adopted = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1) };
    assert_eq!(adopted, 0);
}

/// Waits for a child that has ended; `None`: it lives.
pub fn has_ended(child: Pid) -> Option<WaitStatus> {
    match waitpid(child, Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::StillAlive) | Err(Errno::EINTR) => None,
        Ok(status) => Some(status),
        Err(errno) => panic!("{errno}"),
    }
}
