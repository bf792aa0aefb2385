//! Processes are killed at any moment, thousands a minute, while others go on: no value is ever wrong, nothing hangs,
//! and nothing is lost but what the killed alone knew.
//!
//! `INPLACE_STORM_SECONDS` says how long, `INPLACE_SEED` with which random numbers.

mod support;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inplace::{Error, Fingerprint, Key, Pinned, Region, RegionOptions};
use nix::sys::wait::WaitStatus;
use support::payload;
use support::random::Random;
use support::shared::{Atomics, Shared};
use support::small_shm::with_shm_of;
use support::victims::{Tally, Victims};
use support::{Name, start_child, watch_for};

const PLACES: usize = 256;
const OBJECTS: u32 = 3000;
const CAPACITY: u64 = 24 << 20;
const NAMES: u64 = 20;
const AUDITS: Duration = Duration::from_millis(300);
const INHERITING: usize = 2;
const OPENING: usize = 2;

/// What all processes of a storm know: objects, each with the seed of its bytes, and what has happened so far.
struct Board {
    places: [AtomicU64; PLACES],
    region: AtomicU64,
    /// 0: go on, 1: pause, 2: stop.
    order: AtomicU32,
    paused: AtomicU32,
    done: [AtomicU64; KINDS.len()],
    verified: AtomicU64,
    full: AtomicU64,
    broken: AtomicU64,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Board {}

const KINDS: [&str; 12] = [
    "put", "get", "evict", "take", "promise", "set", "wait", "bind", "lookup", "loan", "batch",
    "fail",
];

/// `seed 16 | generation 24 | slot 24`: an object, and what it should hold.
fn pack(key: Key, seed: u16) -> Option<u64> {
    (key.object() >> 48 == 0).then(|| u64::from(seed) << 48 | key.object())
}

struct Worker<'a> {
    region: &'a Region,
    board: Shared<Board>,
    random: Random,
    held: Vec<(Pinned, Option<u16>)>,
}

/// Errors that a full region may give at any time.
fn is_shortage(error: &Error) -> bool {
    matches!(error, Error::OutOfSpace { .. } | Error::OutOfSlots { .. })
}

impl<'a> Worker<'a> {
    fn new(region: &'a Region, board: Shared<Board>, seed: u64) -> Self {
        Self { region, board, random: Random::new(seed), held: Vec::new() }
    }

    fn len(&mut self) -> usize {
        let top = [8, 64, 700, 5000, 33_000, 70_000, 300_000, 4 << 20][match self.random.below(100)
        {
            0..20 => 0,
            20..40 => 1,
            40..60 => 2,
            60..75 => 3,
            75..87 => 4,
            87..94 => 5,
            94..99 => 6,
            _ => 7,
        }];
        self.random.below(top + 1) as usize
    }

    fn seed(&mut self) -> u16 {
        self.random.draw() as u16
    }

    fn place(&mut self) -> &'static AtomicU64 {
        let at = self.random.below(PLACES as u64) as usize;
        let board: &'static Board = self.board.get();
        &board.places[at]
    }

    fn pick(&mut self) -> Option<(Key, u16)> {
        let word = self.place().load(Ordering::SeqCst);
        let key = Key::new(self.region.id(), word & ((1 << 48) - 1));
        (word != 0).then_some((key, (word >> 48) as u16))
    }

    /// Puts an object where others find it, and evicts what was there.
    fn post(&mut self, key: Key, seed: u16) -> Result<(), Error> {
        let Some(word) = pack(key, seed) else { return self.region.evict(key).map(drop) };
        let before = self.place().swap(word, Ordering::SeqCst);
        if before != 0 {
            self.region.evict(Key::new(self.region.id(), before & ((1 << 48) - 1)))?;
        }
        Ok(())
    }

    fn verify(&mut self, view: Pinned, seed: Option<u16>) {
        if let Some(wrong) = payload::blame(seed, &view) {
            panic!("{}: {wrong}", view.key());
        }
        self.board.verified.fetch_add(1, Ordering::Relaxed);
        if self.random.one_in(3) {
            self.held.push((view, seed));
        }
        if self.held.len() > 6 || self.random.one_in(20) {
            let at = self.random.below(self.held.len().max(1) as u64) as usize;
            if at < self.held.len() {
                let (view, seed) = self.held.swap_remove(at);
                assert_eq!(payload::blame(seed, &view), None, "{}, held for a while", view.key());
            }
        }
    }

    fn act(&mut self) {
        let kind = match self.random.below(100) {
            0..24 => 0,
            24..50 => 1,
            50..58 => 2,
            58..64 => 3,
            64..70 => 4,
            70..78 => 5,
            78..81 => 6,
            81..86 => 7,
            86..92 => 8,
            92..96 => 9,
            96..98 => 10,
            _ => 11,
        };
        match self.try_act(kind) {
            Ok(()) => {}
            Err(error) if is_shortage(&error) => {
                self.board.full.fetch_add(1, Ordering::Relaxed);
            }
            Err(error) => panic!("{}: {error}", KINDS[kind]),
        }
        self.board.done[kind].fetch_add(1, Ordering::Relaxed);
    }

    fn try_act(&mut self, kind: usize) -> Result<(), Error> {
        let (seed, region) = (self.seed(), self.region);
        match KINDS[kind] {
            "put" => {
                let bytes = payload::make(seed, self.len());
                let key = region.put(&bytes)?;
                self.post(key, seed)
            }
            "loan" => {
                let mut loan = region.loan(self.len(), Fingerprint::BYTES)?;
                payload::fill(seed, &mut loan);
                let key = loan.publish()?;
                self.post(key, seed)
            }
            "batch" => {
                let items: Vec<_> =
                    (0..5).map(|_| payload::make(seed, self.len().min(70_000))).collect();
                let items: Vec<&[u8]> = items.iter().map(|item| &item[..]).collect();
                region.put_batch(&items)?.into_iter().try_for_each(|key| self.post(key, seed))
            }
            "promise" => {
                let key = region.reserve()?;
                self.post(key, seed)
            }
            "lookup" => {
                let name = format!("name {}", self.random.below(NAMES));
                let Some(key) = region.lookup(&name)? else { return Ok(()) };
                if let Some(view) = region.get(key)? {
                    self.verify(view, None);
                }
                Ok(())
            }
            kind => match self.pick() {
                Some((key, seed)) => self.act_on(kind, key, seed),
                None => Ok(()),
            },
        }
    }

    fn act_on(&mut self, kind: &str, key: Key, seed: u16) -> Result<(), Error> {
        let region = self.region;
        let outcome = match kind {
            "get" => region.get(key)?.map(|view| self.verify(view, Some(seed))).map_or(Ok(()), Ok),
            "take" => {
                region.take(key)?.map(|view| self.verify(view, Some(seed))).map_or(Ok(()), Ok)
            }
            "evict" => region.evict(key).map(drop),
            "set" => region.set(key, &payload::make(seed, self.len())),
            "fail" => region.fail(key),
            "wait" => {
                let timeout = Duration::from_micros(self.random.below(5000));
                region.wait(key, Some(timeout)).map(|view| self.verify(view, Some(seed)))
            }
            "bind" if self.random.one_in(4) => {
                region.unbind(&format!("name {}", self.random.below(NAMES))).map(drop)
            }
            _ => region.bind(&format!("name {}", self.random.below(NAMES)), key).map(drop),
        };
        match outcome {
            Err(Error::Broken { .. }) => {
                self.board.broken.fetch_add(1, Ordering::Relaxed);
                Ok(())
            }
            Err(
                Error::AlreadySet { .. }
                | Error::NotFound { .. }
                | Error::NotOwner { .. }
                | Error::TimedOut { .. },
            ) => Ok(()),
            outcome => outcome,
        }
    }
}

/// The work of a victim that is attached already: forked from an attached process.
fn inherit(board: Shared<Board>, seed: u64) -> i32 {
    let id = board.region.load(Ordering::SeqCst);
    match Region::attached(id).unwrap() {
        Some(region) => toil(&region, board, seed),
        // No entry was left at the fork: this child is severed.
        None => 0,
    }
}

/// The work of a victim that attaches by name.
fn open(name: &str, board: Shared<Board>, seed: u64) -> i32 {
    match Region::open(name) {
        Ok(region) => toil(&region, board, seed),
        Err(Error::OutOfParticipants { .. }) => 0,
        Err(error) => panic!("opening: {error}"),
    }
}

fn toil(region: &Region, board: Shared<Board>, seed: u64) -> i32 {
    let mut worker = Worker::new(region, board, seed);
    let leaves = seed.is_multiple_of(5);
    let rounds = if leaves { seed % 40 } else { u64::MAX };
    for _ in 0..rounds {
        worker.act();
    }
    0
}

/// A process that is never attached itself and keeps victims that open the region by name.
fn keep_openers(name: &str, (board, tally): (Shared<Board>, Shared<Tally>), seed: u64) -> i32 {
    watch_for(seconds() as u32 + 60);
    let work = |seed| open(name, board, seed);
    let mut victims = Victims::new(OPENING, tally, Random::new(seed), &work);
    loop {
        match board.order.load(Ordering::SeqCst) {
            0 => {
                board.paused.store(0, Ordering::SeqCst);
                victims.go_on();
                std::thread::sleep(Duration::from_micros(50));
            }
            1 => {
                victims.end_all();
                board.paused.store(1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_micros(200));
            }
            _ => {
                victims.end_all();
                return 0;
            }
        }
    }
}

fn seconds() -> u64 {
    std::env::var("INPLACE_STORM_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(5)
}

/// With every victim dead: all they left half done is undone, and every object that is left has an owner.
fn audit(region: &Region, board: Shared<Board>) -> u64 {
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.in_progress, report.pins, report.participants), (0, 0, 1), "{report}");
    assert_eq!(report.retired, 0, "{report}");
    let known: std::collections::HashSet<u64> =
        board.places.iter().map(|place| place.load(Ordering::SeqCst) & ((1 << 48) - 1)).collect();
    let lost = region.keys().unwrap().into_iter().filter(|key| !known.contains(&key.object()));
    lost.map(|key| u64::from(region.evict(key).unwrap())).sum()
}

/// Everything evicted: all bytes are back, and every slot can be claimed.
fn assert_nothing_is_left(region: &Region) {
    for name in 0..NAMES {
        region.unbind(&format!("name {name}")).unwrap();
    }
    for key in region.keys().unwrap() {
        assert!(region.evict(key).unwrap());
    }
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{report}");
    let left = (
        report.objects,
        report.retired,
        report.pending,
        report.in_progress,
        report.names,
        report.pins,
    );
    assert_eq!(left, (0, 0, 0, 0, 0, 0), "{report}");
    assert_eq!(report.bytes_in_use, 0, "{report}");
    let mut claimed = Vec::new();
    let refused = loop {
        match region.put(b"") {
            Ok(key) => claimed.push(key),
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, Error::OutOfSlots { .. }), "{refused}");
    assert_eq!(claimed.len(), OBJECTS as usize, "every slot can be claimed");
    claimed.into_iter().for_each(|key| assert!(region.evict(key).unwrap()));
    match region.put(&vec![1; CAPACITY as usize]) {
        Ok(big) => assert!(region.evict(big).unwrap()),
        Err(error) => assert!(error.to_string().contains("/dev/shm is full"), "{error}"),
    }
    region.trim().unwrap();
    assert_eq!(region.check().unwrap().bytes_committed, 0);
}

/// One storm over a region of these options.
fn storm(name: &str, options: &RegionOptions, length: Duration) {
    watch_for(length.as_secs() as u32 + 60);
    payload::prepare();
    let (board, tally, seed) = (Shared::<Board>::new(), Shared::<Tally>::new(), Random::seed(name));
    // Before anything is attached.
    let openers = start_child(|| {
        while board.region.load(Ordering::SeqCst) == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
        keep_openers(name, (board, tally), seed ^ 1)
    });
    let region = options.create(name).unwrap();
    board.region.store(region.id(), Ordering::SeqCst);

    let work = |seed| inherit(board, seed);
    let mut victims = Victims::new(INHERITING, tally, Random::new(seed ^ 2), &work);
    let mut parent = Worker::new(&region, board, seed ^ 3);
    let start = Instant::now();
    let (mut audits, mut lost) = (0, 0);
    let mut next_audit = start + AUDITS;
    while start.elapsed() < length && tally.went_wrong.load(Ordering::SeqCst) == 0 {
        victims.go_on();
        parent.act();
        if Instant::now() >= next_audit {
            victims.end_all();
            pause(board);
            parent.held.clear();
            lost += audit(&region, board);
            audits += 1;
            board.order.store(0, Ordering::SeqCst);
            next_audit = Instant::now() + AUDITS;
        }
    }
    parent.held.clear();
    victims.end_all();
    board.order.store(2, Ordering::SeqCst);
    let ended = openers.wait();
    assert!(matches!(ended, WaitStatus::Exited(_, 0)), "{ended:?}");
    tell(name, (board, tally), start.elapsed(), (audits, lost));
    assert_eq!(tally.went_wrong.load(Ordering::SeqCst), 0, "a victim did not die of its kill");

    audit(&region, board);
    assert_nothing_is_left(&region);
}

/// Has the keeper of the openers end them all, and waits until it has.
fn pause(board: Shared<Board>) {
    board.order.store(1, Ordering::SeqCst);
    while board.paused.load(Ordering::SeqCst) == 0 && board.order.load(Ordering::SeqCst) == 1 {
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn options() -> RegionOptions {
    RegionOptions::new().capacity(CAPACITY).max_objects(OBJECTS).max_participants(12)
}

#[test]
fn killed_at_any_moment_processes_leave_no_wrong_value_and_nothing_behind() {
    let _alone = alone();
    let name = Name::new("storm");
    storm(&name, &options(), Duration::from_secs(seconds()));
    assert!(!name.exists(), "the last to leave removes the region");
}

#[test]
fn killed_at_any_moment_while_dev_shm_is_full_nobody_faults() {
    let _alone = alone();
    let length = Duration::from_millis(seconds() * 400);
    with_shm_of(5 << 20, || storm("storm in a teacup", &options(), length));
}

/// Forks duplicate what other tests of the process have open: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn tell(
    name: &str,
    (board, tally): (Shared<Board>, Shared<Tally>),
    took: Duration,
    (audits, lost): (u64, u64),
) {
    let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let kills = count(&tally.kills);
    println!(
        "{name}: {kills} kills in {took:?} ({:.0}/s), {} victims had left, {audits} audits, {lost} objects whose key was lost",
        kills as f64 / took.as_secs_f64(),
        count(&tally.early),
    );
    let done: Vec<_> = KINDS
        .iter()
        .zip(&board.done)
        .map(|(kind, done)| format!("{} {kind}", count(done)))
        .collect();
    println!(
        "{name}: {}; {} values verified, {} shortages, {} broken promises",
        done.join(", "),
        count(&board.verified),
        count(&board.full),
        count(&board.broken)
    );
}
