//! Processes that are killed: alone or with threads, and with children who have children.

use std::time::Duration;

use inplace::{Error, Region};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{ForkResult, Pid, fork};

use super::board::{Board, Counts, Lie, Me, Values};
use super::family;
use super::support::random::Random;
use super::support::watch_for;
use super::worker::Worker;

/// How a victim lives, by its seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Kind {
    threads: u64,
    /// One in so many steps forks; 0: none.
    forks: u64,
    /// After so many steps it leaves by itself.
    leaves: Option<u64>,
    reaps: bool,
}

impl Kind {
    fn draw(random: &mut Random) -> Self {
        let (threads, forks) = match random.below(8) {
            0..4 => (1, 0),
            4 => (3, 0),
            5 => (3, 25),
            _ => (1, 15),
        };
        let leaves = random.one_in(6).then(|| random.below(60));
        Self { threads, forks, leaves, reaps: random.one_in(10) }
    }
}

/// What all victims of a storm are given.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    pub board: &'static Board,
    pub name: &'a str,
    pub values: Values,
    pub lie: Lie,
    /// Victims neither fork nor have threads.
    pub is_plain: bool,
}

/// A victim that was forked from an attached process.
pub fn inherit(setting: Setting<'_>, me: Me, seed: u64) -> i32 {
    match Region::attached(setting.board.region.load(std::sync::atomic::Ordering::SeqCst)).unwrap()
    {
        Some(region) => toil(&region, setting, me, seed),
        // No entry was left at the fork.
        None => severed(setting.board),
    }
}

/// A victim that attaches by name.
pub fn open(setting: Setting<'_>, me: Me, seed: u64) -> i32 {
    match Region::open(setting.name) {
        Ok(region) => toil(&region, setting, me, seed),
        // Somebody who is stopped, or killed and not yet gone, may stand in the door.
        Err(Error::OutOfParticipants { .. } | Error::Busy { .. }) => {
            Counts::add(&setting.board.counts.turned_away);
            0
        }
        Err(error) => {
            setting.board.blame(&me, &format!("opening: {error}"));
            0
        }
    }
}

fn severed(board: &Board) -> i32 {
    Counts::add(&board.counts.severed);
    0
}

fn toil(region: &Region, setting: Setting<'_>, me: Me, seed: u64) -> i32 {
    let mut random = Random::new(seed);
    let mut kind = Kind::draw(&mut random);
    if setting.is_plain {
        kind = Kind { threads: 1, forks: 0, reaps: false, ..kind };
    }
    let _reaper = kind.reaps.then(|| region.reap_every(Duration::from_millis(2)).unwrap());
    let seeds: Vec<u64> = (0..kind.threads).map(|at| Random::derive(seed, at)).collect();
    let work = |seed| work_alone(region, setting, (me, kind), seed);
    let is_well = std::thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> =
            seeds[1..].iter().map(|&seed| scope.spawn(move || work(seed))).collect();
        work(seeds[0]);
        others.into_iter().all(|other| other.join().is_ok())
    });
    setting.board.process_may_end(me);
    if is_well { 0 } else { 101 }
}

fn work_alone(region: &Region, setting: Setting<'_>, (me, kind): (Me, Kind), seed: u64) {
    let mut worker = Worker::new(region, (setting.board, setting.values), me, seed);
    worker.lie = setting.lie;
    let mut children = Vec::new();
    for _ in 0..kind.leaves.unwrap_or(u64::MAX) {
        let step = worker.act();
        if kind.forks > 0 && step.luck.is_multiple_of(kind.forks) {
            fork_child(&mut worker, kind, &mut children, step.luck / kind.forks);
        }
    }
    if kind.leaves.is_some() {
        setting.board.process_may_end(me);
    }
    worker.rest();
}

/// A child of a victim; killed by its parent after so many more chances to fork, or left to itself.
struct Child(Pid, Me, Option<u64>);

fn fork_child(worker: &mut Worker, kind: Kind, children: &mut Vec<Child>, luck: u64) {
    let board = worker.board;
    children.retain_mut(|Child(pid, me, chances)| {
        if let Some(chances) = chances {
            *chances = chances.saturating_sub(1);
        }
        if *chances == Some(0) {
            board.process_may_end(*me);
            let _ended = kill(*pid, Signal::SIGKILL);
            *chances = None;
        }
        family::has_ended(*pid).is_none_or(|status| {
            family::count(board, status);
            false
        })
    });
    if worker.me.depth >= 3 || children.len() as u64 >= 3 - worker.me.depth {
        return;
    }
    let me = board.new_process(Me { depth: worker.me.depth + 1, ..worker.me });
    Counts::add(&board.counts.forks);
    // SAFETY: the child goes on with what every child may do, and ends.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => {
            let chances = luck.is_multiple_of(2).then_some(luck / 2 % 4);
            children.push(Child(child, me, chances));
        }
        Ok(ForkResult::Child) => {
            watch_for(60);
            let lived = std::panic::AssertUnwindSafe(|| live(worker, (me, kind), luck));
            let code = std::panic::catch_unwind(lived).map_or(101, |()| 0);
            board.process_may_end(me);
            // SAFETY: ends the child.
            unsafe { libc::_exit(code) }
        }
        Err(errno) => board.blame(&worker.me, &format!("fork: {errno}")),
    }
}

/// A child works, forks, and ends by itself, as another program or by a kill.
fn live(worker: &mut Worker, (me, kind): (Me, Kind), luck: u64) {
    let board = worker.board;
    if !matches!(Region::attached(worker.region.id()), Ok(Some(_))) {
        severed(board);
        if !matches!(worker.region.put(b"x"), Err(Error::Severed)) {
            board.blame(&me, "a severed child could put");
        }
        // Where they were, nothing is mapped.
        worker.held.clear();
        worker.loans.clear();
        return;
    }
    worker.become_child(me, Random::derive(luck, me.depth));
    let mut children = Vec::new();
    let steps = if luck.is_multiple_of(3) { u64::MAX } else { luck % 40 };
    for _ in 0..steps {
        let step = worker.act();
        if step.luck.is_multiple_of(kind.forks.max(1)) {
            fork_child(worker, kind, &mut children, step.luck / kind.forks.max(1));
        }
    }
    if luck.is_multiple_of(5) {
        board.process_may_end(me);
        Counts::add(&board.counts.execs);
        let error = nix::unistd::execv(c"/bin/sleep", &[c"sleep", c"0.003"]);
        panic!("exec: {error:?}");
    }
    worker.rest();
}
