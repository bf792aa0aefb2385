//! A region, its participants and what every model asks of them.

use std::time::Instant;

use loom::sync::Arc;
use loom::thread::JoinHandle;

use crate::actor::{Actor, Refusal};
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::layout::geometry::{Geometry, UNIT};
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{ObjectId, SlotWord, State};
use crate::local::Local;
use crate::participants::{self, Membership};
use crate::protocol::bell::{bell_of, listen};
use crate::protocol::check::Walk;
use crate::protocol::pin::Pin;
use crate::protocol::promise::Promised;
use crate::protocol::sweep;
use crate::segment::Segment;
use crate::sync::modelled::{Fences, control};
use crate::sync::unmodelled::{AtomicU64, Ordering};
use crate::sys::futex;
use crate::sys::lock::LockedFile;

/// Bytes of which two cells fill a unit.
pub(super) const HALF: u64 = UNIT / 2;

/// How large a model is.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) objects: u32,
    pub(super) units: u64,
    pub(super) participants: u32,
}

/// One region of a model.
pub(super) struct Scene {
    pub(super) segment: Segment,
    pub(super) locks: LockedFile,
    locals: Vec<Local>,
    members: std::sync::Mutex<Vec<Option<Membership>>>,
}

impl Scene {
    /// A region with all its participants attached.
    pub(super) fn new(size: Size) -> Arc<Self> {
        let scene = Self::empty(size);
        (0..size.participants).for_each(|_| scene.admit());
        scene
    }

    /// A region without participants.
    pub(super) fn empty(size: Size) -> Arc<Self> {
        let Size { objects, units, participants } = size;
        let geometry = Geometry::new(units * UNIT, objects, participants).expect("small numbers");
        let locals = (0..participants).map(|_| Local::new(&geometry).expect("little memory"));
        Arc::new(Self {
            locals: locals.collect(),
            segment: Segment::scratch(geometry),
            locks: LockedFile::new(),
            members: std::sync::Mutex::default(),
        })
    }

    /// Attaches a participant that stays until it is taken with [`Scene::member`].
    pub(super) fn admit(&self) {
        let joined = participants::join(&self.segment, &self.locks.source()).expect("no system");
        let mut members = self.members.lock().expect("not poisoned");
        members.push(Some(joined.expect("an entry is vacant")));
    }

    /// What keeps a participant alive, to be dropped by a thread that dies or leaves.
    pub(super) fn member(&self, p: usize) -> Membership {
        self.members.lock().expect("not poisoned")[p].take().expect("taken once")
    }

    pub(super) fn actor(&self, p: u32) -> Actor<'_> {
        let local = &self.locals[p as usize];
        Actor { segment: &self.segment, local, me: ParticipantId::new(p) }
    }

    pub(super) fn reap(&self) -> usize {
        sweep::reap_dead(&self.segment, &self.locals[0], &self.locks.source()).expect("no system")
    }

    fn is_alive(&self, participant: ParticipantId) -> bool {
        participants::is_alive(&self.locks.source(), participant).expect("no system")
    }

    /// Everything half done is undone; nothing is broken, and nothing is in the middle of anything.
    pub(super) fn assert_settled(&self) {
        self.reap();
        let report = Walk::over(self.actor(0), &|p| self.is_alive(p));
        assert!(report.is_clean(), "{report}");
        assert_eq!((report.in_progress, report.retired, report.pins), (0, 0, 0), "{report}");
    }

    /// And once everything is evicted, every slot and every byte is back.
    pub(super) fn assert_all_returns(&self) {
        self.assert_settled();
        let actor = self.actor(0);
        let _ = actor.bind("name", None);
        for index in 1..self.segment.committed_slots() {
            // With its version, which is not evicted by itself.
            let Some(slot) = self.segment.slot(index) else { continue };
            let word = SlotWord(slot.word.load(crate::sync::Ordering::SeqCst));
            if word.is(State::Variable) || word.is(State::Channel) {
                assert!(actor.evict(ObjectId::new(index, word.generation())), "{word:?}");
            }
        }
        for index in 1..self.segment.committed_slots() {
            let Some(slot) = self.segment.slot(index) else { continue };
            let word = SlotWord(slot.word.load(crate::sync::Ordering::SeqCst));
            if !word.is(State::Free) {
                assert!(actor.evict(ObjectId::new(index, word.generation())), "{word:?}");
            }
            let word = SlotWord(slot.word.load(crate::sync::Ordering::SeqCst));
            assert!(word.is(State::Free), "slot {index}: {word:?}");
        }
        actor.retire_empty_slabs();
        let report = Walk::over(actor, &|p| self.is_alive(p));
        assert!(report.is_clean() && report.bytes_in_use == 0, "{report}");
        actor.trim_units(u64::MAX);
        let report = Walk::over(actor, &|p| self.is_alive(p));
        assert_eq!(report.bytes_committed, 0, "{report}");
    }

    /// Whether the participant lives that took its entry for the `incarnation`th time.
    pub(super) fn is_still_alive(&self, who: (ParticipantId, u64)) -> Result<bool> {
        participants::is_still_alive(&self.segment, &self.locks.source(), who)
    }

    /// Waits as the thread of `region::watch` does, for one promise: a ring that does not come is a deadlock.
    pub(super) fn listen(&self, p: u32, id: ObjectId) -> Option<u64> {
        let bell = &self.segment.header().bells[bell_of(id.slot())];
        let actor = self.actor(p);
        loop {
            let heard = listen(bell);
            if !actor.is_pending(id) {
                return get(&actor, id);
            }
            futex::wait(bell, heard);
        }
    }

    /// Waits as `Region::wait` does, but that nothing is lost in a slice: a wake that does not come is a deadlock.
    pub(super) fn wait(&self, p: u32, id: ObjectId) -> Option<u64> {
        loop {
            match self.actor(p).look(id).expect("no count is too high") {
                Promised::Value(pin) => return Some(value_of(&pin)),
                Promised::Broken | Promised::Gone => return None,
                Promised::Pending(slot, word) => {
                    futex::wait_low(&slot.word, word.futex_half(), None);
                }
            }
        }
    }
}

/// Another process, or thread of one, at work on the scene.
pub(super) fn spawn<T: 'static>(
    scene: &Arc<Scene>,
    work: impl FnOnce(&Scene) -> T + 'static,
) -> JoinHandle<T> {
    let scene = Arc::clone(scene);
    loom::thread::spawn(move || work(&scene))
}

/// Puts a value in a block of so many bytes.
pub(super) fn put(actor: &Actor<'_>, value: u64, size: u64) -> Option<ObjectId> {
    match try_put(actor, value, size) {
        Ok(id) => Some(id),
        Err(Refusal::NoSlot | Refusal::NoSpace { .. }) => None,
        Err(Refusal::Error(error)) => panic!("{error}"),
    }
}

fn try_put(actor: &Actor<'_>, value: u64, size: u64) -> Result<ObjectId, Refusal> {
    let writing = actor.start_writing(size)?;
    actor.write_block(writing.claimed.index, writing.block, &value.to_le_bytes())?;
    Ok(writing.publish(8, Fingerprint::BYTES))
}

/// Puts an object without a block.
pub(super) fn put_empty(actor: &Actor<'_>) -> ObjectId {
    actor.start_writing(0).expect("a slot is free").publish(0, Fingerprint::BYTES)
}

/// Gives a promise its value.
pub(super) fn set(actor: &Actor<'_>, id: ObjectId, value: u64) -> Result<(), Refusal> {
    actor.set_with(id, (HALF, Fingerprint::BYTES), &mut |out| {
        out.write(&value.to_le_bytes());
        Ok(())
    })
}

pub(super) fn value_of(pin: &Pin<'_>) -> u64 {
    let bytes = pin.bytes().expect("the block lies inside");
    u64::from_le_bytes(bytes.try_into().expect("eight bytes were put"))
}

/// What is read while the object is pinned.
pub(super) fn get(actor: &Actor<'_>, id: ObjectId) -> Option<u64> {
    actor.pin(id).expect("no count is too high").map(|pin| value_of(&pin))
}

/// The first object a participant ever puts into a new region.
pub(super) fn first() -> ObjectId {
    ObjectId::new(1, 0)
}

/// Explores every interleaving with at most so many preemptions, and as many more or less as `INPLACE_PREEMPTIONS` says, with fences on either side of SeqCst accesses.
pub(super) fn explore(name: &str, preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    explore_with(&[Fences::AfterWrites, Fences::BeforeReads], (name, preemptions), model);
}

/// `INPLACE_PREEMPTIONS`: how many more than a model asks for, or less.
fn adjusted(preemptions: usize) -> usize {
    let asked = std::env::var("INPLACE_PREEMPTIONS").ok();
    let more = asked.and_then(|asked| asked.parse().ok()).unwrap_or(0);
    preemptions.saturating_add_signed(more).max(1)
}

/// The same of what needs no total order: without any fences, too, which hide that a Release is missing.
pub(super) fn explore_handing_over(
    name: &str,
    preemptions: usize,
    model: impl Fn() + Sync + Send + 'static,
) {
    let fences = [Fences::AfterWrites, Fences::BeforeReads, Fences::Nowhere];
    explore_with(&fences, (name, preemptions), model);
}

fn explore_with(
    fences: &[Fences],
    (name, preemptions): (&str, usize),
    model: impl Fn() + Sync + Send + 'static,
) {
    let (model, start) = (std::sync::Arc::new(model), Instant::now());
    let preemptions = adjusted(preemptions);
    let explored = std::sync::Arc::new(AtomicU64::new(0));
    for &fences in fences {
        control::set_fences(fences);
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(preemptions);
        builder.max_branches = 100_000;
        let (model, counter) = (model.clone(), explored.clone());
        builder.check(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            model();
        });
    }
    let count = explored.load(Ordering::Relaxed);
    println!("{name}: {count} interleavings, {:.1?}", start.elapsed());
    for (site, (access, ordering)) in control::take_sites() {
        println!("SITE {site} {access:?} {ordering}");
    }
}

/// A participant that is killed when it has changed so many words, or after all of its work; whoever joins the thread finds
/// it dead. Whether it was in the middle.
pub(super) fn mortal<'a>(
    scene: &'a Scene,
    (p, changes): (u32, u32),
    deaths: &Deaths,
    work: impl FnOnce(&Actor<'a>),
) -> bool {
    let member = scene.member(p as usize);
    let is_killed = control::die_after(changes, || work(&scene.actor(p))).is_none();
    if is_killed {
        deaths.fetch_add(1, Ordering::Relaxed);
    }
    drop(member);
    is_killed
}

/// How many interleavings it died in.
pub(super) type Deaths = std::sync::Arc<AtomicU64>;

/// Explores a participant killed before each of its changes, the last of which is the first that it does not reach.
pub(super) fn explore_deaths<M>(name: &str, model: M)
where
    M: Fn(u32, &Deaths) + Sync + Send + Copy + 'static,
{
    for changes in 0.. {
        let deaths = Deaths::default();
        let died = deaths.clone();
        let name = format!("{name}, killed after {changes} changes");
        explore_with(&[Fences::AfterWrites], (&name, 1), move || model(changes, &died));
        if deaths.load(Ordering::Relaxed) == 0 {
            return;
        }
    }
}
