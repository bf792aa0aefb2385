//! Who watches what, under one lock that a fork holds.

use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::layout::slot::ObjectId;
use crate::region::Region;
use crate::region::fork::{Hook, hold_at_fork};
use crate::region::promises::SLICE;
use crate::region::watch::bell::{Bell, Name, Stale, Watched};
use crate::sync::unmodelled::{AtomicU32, Ordering};
use crate::sys::futex::{ANY_MAX, Awaited};
use crate::sys::latch::{Held, Latch};

/// How long a thread without anything to watch stays.
const LINGER: Duration = Duration::from_secs(1);

static ROSTER: Latch<Roster> = Latch::new(Roster { process: 0, numbers: 0, sleepers: Vec::new() });

/// All watches of this process. Nothing that runs under its lock is a user's: wakers are cloned before, and called and
/// dropped after it, and so are handles of regions.
pub(super) struct Roster {
    /// Whose: a forked child has none of its parent's.
    process: u32,
    numbers: u64,
    sleepers: Vec<Sleeper>,
}

/// What one thread watches.
struct Sleeper {
    /// Changed when the thread has to look again at what it sleeps on.
    control: &'static AtomicU32,
    has_thread: bool,
    bells: Vec<Bell>,
    timers: Vec<Timer>,
    /// When to look for dead promisers.
    attend_at: Instant,
    /// Since when there is nothing to watch.
    idle_since: Option<Instant>,
    /// Its thread has gone to sleep, or is about to.
    is_asleep: bool,
    /// What else it sleeps on, or will: bells that nobody listens to any more. Who comes soon need not wake it.
    stale: Vec<Stale>,
}

/// Who is to be called from time to time.
pub(super) struct Timer {
    pub(super) number: u64,
    pub(super) interval: Duration,
    pub(super) due: Instant,
    pub(super) waker: Arc<Waker>,
}

/// Where a watch stands: its sleeper, and its bell unless it is a timer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    sleeper: usize,
    bell: Option<Name>,
}

/// What is to be done for a sleeper once the lock is given back.
pub(super) enum Errand {
    Nothing,
    Wake(&'static AtomicU32),
    /// It has no thread yet; whoever got this starts one.
    Start(usize),
}

/// What was taken out, to be dropped without the lock.
#[derive(Default)]
pub(super) struct Removed {
    _watched: Option<Watched>,
    _timer: Option<Timer>,
    _bell: Option<Bell>,
}

/// What a thread does next.
pub(super) enum Round {
    Work(Work),
    Sleep(Sleep),
    End,
}

/// Who is to be called, and which promises may have lost their promiser.
#[derive(Default)]
pub(super) struct Work {
    pub(super) wakers: Vec<Waker>,
    pub(super) timers: Vec<Arc<Waker>>,
    pub(super) attend: Vec<(Region, Vec<ObjectId>)>,
    dropped: Vec<Bell>,
}

/// What to sleep on, and how long.
pub(super) struct Sleep {
    pub(super) words: Vec<Awaited>,
    pub(super) control: &'static AtomicU32,
    pub(super) expected: u32,
    pub(super) limit: Duration,
}

impl Sleeper {
    fn new() -> Self {
        Self {
            control: Box::leak(Box::new(AtomicU32::new(0))),
            has_thread: false,
            bells: Vec::new(),
            timers: Vec::new(),
            attend_at: Instant::now(),
            idle_since: None,
            is_asleep: false,
            stale: Vec::new(),
        }
    }

    /// Has its thread look again, when there is more to watch; one that is awake does so anyway.
    fn call(&mut self, at: usize) -> Errand {
        if !std::mem::replace(&mut self.has_thread, true) {
            return Errand::Start(at);
        }
        if !self.is_asleep {
            return Errand::Nothing;
        }
        self.control.fetch_add(1, Ordering::Relaxed);
        Errand::Wake(self.control)
    }

    fn keep_stale(&mut self, bell: &Bell) {
        let Ok(stale) = bell.stale() else { return };
        if self.stale.iter().all(|known| (known.name, known.heard) != (stale.name, stale.heard)) {
            self.stale.push(stale);
        }
    }

    /// [`call`](Self::call) for a bell, on which the thread may be asleep already.
    fn call_for(&mut self, at: usize, (name, heard): (Name, u32)) -> Errand {
        let is_it = |stale: &Stale| stale.name == name && stale.heard == heard;
        if self.has_thread && self.is_asleep && self.stale.iter().any(is_it) {
            return Errand::Nothing;
        }
        self.call(at)
    }

    fn round(&mut self) -> Round {
        let (now, mut work) = (Instant::now(), Work::default());
        if std::mem::take(&mut self.is_asleep) {
            // Without a handle nobody can tell whether they rang.
            self.stale.clear();
        }
        let is_due = self.attend_at <= now;
        self.bells.iter_mut().for_each(|bell| bell.look(&mut work.wakers, is_due));
        let silent = self.bells.extract_if(.., |bell| bell.watched.is_empty());
        for bell in silent.collect::<Vec<_>>() {
            self.keep_stale(&bell);
            work.dropped.push(bell);
        }
        for timer in self.timers.iter_mut().filter(|timer| timer.due <= now) {
            timer.due = now + timer.interval;
            work.timers.push(timer.waker.clone());
        }
        if !self.bells.is_empty() && is_due {
            self.attend_at = now + SLICE;
            work.attend = self.promises();
        }
        if !work.is_none() {
            self.idle_since = None;
            return Round::Work(work);
        }
        // Who listens to a stale bell from now on does not wake the thread, and may have a dead promiser, too.
        let ends = [
            (!self.bells.is_empty()).then_some(self.attend_at),
            self.timers.iter().map(|timer| timer.due).min(),
            (!self.stale.is_empty()).then_some(now + SLICE),
        ];
        let end = ends.into_iter().flatten().min();
        let idle_end = *self.idle_since.get_or_insert(now) + LINGER;
        if !self.bells.is_empty() || !self.timers.is_empty() {
            self.idle_since = None;
        } else if idle_end <= now {
            self.has_thread = false;
            return Round::End;
        }
        Round::Sleep(self.sleep(end.unwrap_or(idle_end).saturating_duration_since(now)))
    }

    fn sleep(&mut self, limit: Duration) -> Sleep {
        let expected = self.control.load(Ordering::Relaxed);
        self.is_asleep = true;
        self.stale.retain(|stale| self.bells.iter().all(|bell| bell.name() != stale.name));
        self.stale.truncate(ANY_MAX - 1 - self.bells.len());
        let words = std::iter::once(Awaited::private(self.control, expected))
            .chain(self.bells.iter().filter_map(|bell| bell.word().ok()))
            .chain(self.stale.iter().map(|stale| stale.word));
        Sleep { words: words.collect(), control: self.control, expected, limit }
    }

    /// Every region that something is watched of, and the promises among that.
    fn promises(&self) -> Vec<(Region, Vec<ObjectId>)> {
        let mut regions: Vec<(Region, Vec<ObjectId>)> = Vec::new();
        for bell in &self.bells {
            let ids = bell.watched.iter().filter_map(|watched| watched.until.promise());
            let id = bell.region.id();
            match regions.iter_mut().find(|(region, _)| region.id() == id) {
                Some((_, known)) => known.extend(ids),
                None => regions.push((bell.region.clone(), ids.collect())),
            }
        }
        regions
    }
}

impl Work {
    fn is_none(&self) -> bool {
        self.wakers.is_empty()
            && self.timers.is_empty()
            && self.attend.is_empty()
            && self.dropped.is_empty()
    }
}

impl Roster {
    pub(super) fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    /// Listens to a bell with one watch, for whom it was looked at after the bell held what it says; what is not needed of it is
    /// to be dropped without the lock.
    pub(super) fn add(&mut self, mut bell: Bell) -> (Place, Errand, Option<Bell>) {
        let name = bell.name();
        let place = |sleeper| Place { sleeper, bell: Some(name) };
        for (at, sleeper) in self.sleepers.iter_mut().enumerate() {
            if let Some(known) = sleeper.bells.iter_mut().find(|known| known.name() == name) {
                known.watched.append(&mut bell.watched);
                // A thread that listens to the bell already looks at whatever stands here when it rings.
                let errand = if sleeper.has_thread { Errand::Nothing } else { sleeper.call(at) };
                return (place(at), errand, Some(bell));
            }
        }
        // One word is the thread's own.
        let at = self.first(|sleeper| sleeper.bells.len() < ANY_MAX - 1);
        let sleeper = &mut self.sleepers[at];
        if sleeper.bells.is_empty() {
            sleeper.attend_at = Instant::now() + SLICE;
        }
        let heard = bell.heard;
        sleeper.bells.push(bell);
        (place(at), sleeper.call_for(at, (name, heard)), None)
    }

    pub(super) fn add_timer(&mut self, timer: Timer) -> (Place, Errand) {
        let at = self.first(|_| true);
        self.sleepers[at].timers.push(timer);
        (Place { sleeper: at, bell: None }, self.sleepers[at].call(at))
    }

    fn first(&mut self, has_room: impl Fn(&Sleeper) -> bool) -> usize {
        self.sleepers.iter().position(has_room).unwrap_or_else(|| {
            self.sleepers.push(Sleeper::new());
            self.sleepers.len() - 1
        })
    }

    pub(super) fn remove(&mut self, number: u64, place: Place) -> Removed {
        let mut removed = Removed::default();
        let Some(sleeper) = self.sleepers.get_mut(place.sleeper) else { return removed };
        let Some(name) = place.bell else {
            let at = sleeper.timers.iter().position(|timer| timer.number == number);
            removed._timer = at.map(|at| sleeper.timers.swap_remove(at));
            return removed;
        };
        let Some(at) = sleeper.bells.iter().position(|bell| bell.name() == name) else {
            return removed;
        };
        let watched = &mut sleeper.bells[at].watched;
        let found = watched.iter().position(|watched| watched.number == number);
        removed._watched = found.map(|found| watched.swap_remove(found));
        if watched.is_empty() {
            let bell = sleeper.bells.swap_remove(at);
            sleeper.keep_stale(&bell);
            removed._bell = Some(bell);
        }
        removed
    }

    /// What the thread of a sleeper does next.
    pub(super) fn round(&mut self, at: usize) -> Round {
        self.sleepers.get_mut(at).map_or(Round::End, Sleeper::round)
    }

    /// No thread can be had: everybody is called, and may try again.
    pub(super) fn desert(&mut self, at: usize) -> Work {
        let mut work = Work::default();
        let Some(sleeper) = self.sleepers.get_mut(at) else { return work };
        sleeper.has_thread = false;
        sleeper.stale.clear();
        for mut bell in sleeper.bells.drain(..) {
            work.wakers.extend(bell.watched.drain(..).map(Watched::called));
            work.dropped.push(bell);
        }
        work.timers.extend(sleeper.timers.drain(..).map(|timer| timer.waker));
        work
    }

    /// In a process that has just been forked: what its parent watched.
    fn inherited(&mut self, process: u32) -> Vec<Sleeper> {
        if self.process == process {
            return Vec::new();
        }
        self.process = process;
        std::mem::take(&mut self.sleepers)
    }
}

/// Wakers of the parent mean nothing here, not even to be dropped.
fn abandon(sleepers: Vec<Sleeper>) {
    for sleeper in sleepers {
        std::mem::forget(sleeper.timers);
        sleeper.bells.into_iter().for_each(|bell| std::mem::forget(bell.watched));
    }
}

pub(super) fn lock() -> Held<'static, Roster> {
    static HOOK: Hook = Hook::new(|| ROSTER.lock_unless_mine().map(Held::keep).is_some(), unlock);
    hold_at_fork(&HOOK);
    let mut roster = ROSTER.lock();
    let inherited = roster.inherited(std::process::id());
    if !inherited.is_empty() {
        drop(roster);
        abandon(inherited);
        return ROSTER.lock();
    }
    roster
}

fn unlock() {
    let Some(mut roster) = ROSTER.kept() else { return };
    let inherited = roster.inherited(std::process::id());
    drop(roster);
    abandon(inherited);
}
