//! What all processes of a storm know, in memory of their own beside the region.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, Ordering::SeqCst};

use super::history::{History, Object, Verdict};
use super::names::Names;
use super::support::payload;
use super::support::random::Random;
use super::support::shared::{Atomics, Shared};
use super::worker::ACTIONS;

pub const PLACES: usize = 256;
/// Places where processes are stopped: one per family that there can be at once.
pub const SEATS: usize = 96;
/// Numbers of processes and families are remembered modulo this.
const NUMBERS: u64 = 1 << 20;

/// What a worker does on purpose to show that the storm notices.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lie {
    None,
    /// Says that it evicted.
    FalseEvict,
    /// Evicts and does not say so.
    SilentEvict,
    /// Puts something else than it says.
    WrongValue,
    /// Binds and does not say so.
    SilentBind,
    /// Says once more that it took.
    DoubleTake,
    /// Sits on an operation.
    Dawdle,
}

/// A process of a storm, by numbers of the storm's own.
#[derive(Clone, Copy, Debug)]
pub struct Me {
    pub process: u64,
    pub family: u64,
    pub seat: usize,
    /// How many generations it is away from one that the storm started itself.
    pub depth: u64,
}

impl Me {
    /// Of what keeps a promise.
    pub fn keeper(self) -> u64 {
        ((self.family % NUMBERS) << 20) | (self.process % NUMBERS)
    }
}

struct Marks([AtomicU64; NUMBERS as usize / 64]);

impl Marks {
    fn set(&self, number: u64) {
        let number = number % NUMBERS;
        self.0[number as usize / 64].fetch_or(1 << (number % 64), SeqCst);
    }

    fn is_set(&self, number: u64) -> bool {
        let number = number % NUMBERS;
        self.0[number as usize / 64].load(SeqCst) >> (number % 64) & 1 != 0
    }
}

/// How many of what there were.
#[derive(Default)]
pub struct Counts {
    pub kills: AtomicU64,
    pub stops: AtomicU64,
    pub long_stops: AtomicU64,
    pub forks: AtomicU64,
    pub execs: AtomicU64,
    pub severed: AtomicU64,
    pub early: AtomicU64,
    pub went_wrong: AtomicU64,
    pub turned_away: AtomicU64,
    pub verified: AtomicU64,
    pub answers: AtomicU64,
    pub full: AtomicU64,
    pub broken: AtomicU64,
    /// `nanoseconds 56 | action 8` of the slowest operation, without the time its thread waited for a processor.
    pub slowest: AtomicU64,
}

impl Counts {
    pub fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// All of it; zeros are a beginning.
pub struct Board {
    places: [AtomicU64; PLACES],
    pub region: AtomicU64,
    /// `how many orders there were 30 | order 2`
    order: AtomicU32,
    pub ready: AtomicU32,
    pub paused: [AtomicU32; SEATS],
    pub stops: [AtomicU32; SEATS],
    families: AtomicU64,
    processes: AtomicU64,
    dying_families: Marks,
    dying_processes: Marks,
    violations: AtomicU64,
    pub is_quiet: AtomicBool,
    pub done: [AtomicU64; ACTIONS.len()],
    pub counts: Counts,
    pub history: History,
    pub names: Names,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Board {}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    Work,
    Pause,
    Stop,
}

impl Board {
    pub fn new() -> &'static Self {
        Shared::<Self>::new().get()
    }

    /// What is to be done, and the number of that order.
    pub fn order(&self) -> (Order, u32) {
        let word = self.order.load(SeqCst);
        (
            if word & 3 == 0 {
                Order::Work
            } else if word & 3 == 1 {
                Order::Pause
            } else {
                Order::Stop
            },
            word,
        )
    }

    pub fn give(&self, order: Order) -> u32 {
        let word = ((self.order.load(SeqCst) >> 2) + 1) << 2 | order as u32;
        self.order.store(word, SeqCst);
        word
    }

    /// Waits until whoever sits there obeys a pause.
    pub fn await_pause(&self, seat: usize, order: u32) {
        while self.paused[seat].load(SeqCst) != order && self.is_sound() {
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
    }

    pub fn new_family(&self, seat: usize) -> Me {
        let family = self.families.fetch_add(1, SeqCst);
        self.new_process(Me { process: 0, family, seat, depth: 0 })
    }

    pub fn new_process(&self, like: Me) -> Me {
        Me { process: self.processes.fetch_add(1, SeqCst), ..like }
    }

    /// Before a process ends or is ended: its promises may break from now on.
    pub fn process_may_end(&self, me: Me) {
        self.dying_processes.set(me.process);
    }

    /// Before all processes of a family are ended.
    pub fn family_may_end(&self, me: Me) {
        self.dying_families.set(me.family);
    }

    pub fn may_be_dead(&self, keeper: u64) -> bool {
        self.dying_families.is_set(keeper >> 20) || self.dying_processes.is_set(keeper)
    }

    /// The object at a place and its value.
    pub fn at(&self, place: usize) -> Option<(Object, u16)> {
        unpack(self.places[place].load(SeqCst))
    }

    /// Puts an object in the place of another.
    pub fn replace(&self, place: usize, object: Object, value: u16) -> Option<(Object, u16)> {
        let generation = object.generation << 12;
        let word = 1 << 63 | generation << 16 | (object.slot as u64) << 16 | u64::from(value);
        unpack(self.places[place].swap(word, SeqCst))
    }

    /// Says, once and for all, that something is wrong.
    pub fn blame(&self, who: &dyn std::fmt::Debug, what: &str) {
        if self.violations.fetch_add(1, SeqCst) < 20 && !self.is_quiet.load(SeqCst) {
            eprintln!("VIOLATION: {who:?}: {what}");
        }
    }

    pub fn judge(&self, who: &dyn std::fmt::Debug, verdict: Verdict) {
        Counts::add(&self.counts.answers);
        if let Err(what) = verdict {
            self.blame(who, &what);
        }
    }

    pub fn violations(&self) -> u64 {
        self.violations.load(SeqCst)
    }

    pub fn is_sound(&self) -> bool {
        self.violations() == 0 && self.counts.went_wrong.load(SeqCst) == 0
    }
}

fn unpack(word: u64) -> Option<(Object, u16)> {
    let (slot, generation) = ((word >> 16 & 0xfff) as usize, word >> 28 & 0x7f_ffff);
    (word != 0).then_some((Object { slot, generation }, word as u16))
}

/// The bytes that a value of sixteen bits stands for: as long as its upper fourteen say.
#[derive(Clone, Copy)]
pub struct Values {
    pub largest: usize,
}

/// So many values share a length: a promise may get any of them.
pub const VARIANTS: u16 = 4;

impl Values {
    fn len(self, value: u16) -> usize {
        let mut random = Random::new(u64::from(value / VARIANTS) + 0x1234_5678);
        random.draw();
        let top = match random.below(100) {
            0..20 => 8,
            20..40 => 64,
            40..60 => 700,
            60..75 => 5000,
            75..87 => 33_000,
            87..94 => 70_000,
            94..99 => 300_000,
            _ => 4 << 20,
        };
        random.below(top + 1).min(self.largest as u64) as usize
    }

    /// The value that is put for one that was drawn: short ones do not come in variants.
    pub fn canonical(self, value: u16) -> u16 {
        if self.len(value) < 16 { value / VARIANTS * VARIANTS } else { value }
    }

    pub fn make(self, value: u16) -> Vec<u8> {
        let value = self.canonical(value);
        payload::make(value, self.len(value))
    }

    /// Which variant of a value the bytes are. `None`: the value was not known, and the bytes do not say.
    pub fn name(self, value: Option<u16>, bytes: &[u8]) -> Result<Option<u16>, String> {
        let named = match (bytes.first_chunk::<2>(), value) {
            (Some(head), _) if bytes.len() >= 16 => u16::from_le_bytes(*head),
            (_, Some(value)) => value / VARIANTS * VARIANTS,
            _ => return Ok(None),
        };
        if value.is_some_and(|value| value / VARIANTS != named / VARIANTS) {
            return Err(format!("bytes of value {named} instead of {value:?}"));
        }
        if bytes.len() != self.len(named) {
            let len = self.len(named);
            return Err(format!("{} bytes of value {named}, which has {len}", bytes.len()));
        }
        payload::blame(Some(named), bytes).map_or(Ok(Some(named)), Err)
    }
}
