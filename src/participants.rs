//! Who is attached: joining, leaving, asking who lives, and electing who undoes what the dead left.
//!
//! A participant lives as long as byte `1 + p` of the region's file is locked. Only its owner ever takes that byte for
//! good, others ask; pids are for people. The lock comes first, then the entry; giving up goes the other way round:
//!
//! ```text
//! join:  entry VACANT? · lock 1+p · still VACANT? · high > p · ACTIVE, incarnation + 1
//! leave: VACANT (the row is empty, nothing is half done) · unlock 1+p
//! reap:  1+p free? · lock 8192+p · still not VACANT, 1+p still free? · DYING · undo · VACANT · unlock 8192+p
//! fork:  lock 1+c on a descriptor · EMBRYO · copy the row · fork · child: map the lock, ACTIVE
//! ```
//!
//! Between two questions of a reaper nobody can take `1+p` for good: a joiner keeps it only over a VACANT entry, and
//! this one is not. Killed anywhere, a joiner leaves either a vacant entry or one that looks dead.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};
use crate::layout::geometry::Geometry;
use crate::layout::participant::{EntryWord, ParticipantId, Presence};
use crate::segment::Segment;
use crate::sync::Ordering;
use crate::sys::lock::{HeldByte, Mode, Source, Transient};

/// The byte of the door, through which everybody comes and goes.
pub(crate) const DOOR: u64 = 0;
const FIRST_ENTRY: u64 = 1;
const FIRST_ELECTION: u64 = 8192;

/// How long the byte of a vacant entry may stay held: by one who joins or looks, or by a *ghost*, a process between its
/// creation by `posix_spawn` and its `exec`, which copied the descriptor a joiner had open just then.
const GHOSTS: Duration = Duration::from_millis(if cfg!(loom) { 0 } else { 200 });

const fn life_byte(participant: ParticipantId) -> u64 {
    FIRST_ENTRY + participant.index() as u64
}

fn failed(error: std::io::Error) -> Error {
    Error::system("locking a byte of the region's file", error)
}

/// Nanoseconds since the epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_nanos() as u64)
}

/// One process's entry, and the lock that says that it lives.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) id: ParticipantId,
    pub(crate) incarnation: u64,
    pub(crate) life: HeldByte,
}

/// A seat taken on a descriptor: for a process that is about to be forked.
#[derive(Debug)]
pub(crate) struct Embryo {
    pub(crate) id: ParticipantId,
    incarnation: u64,
    lock: Transient,
}

fn word_of(segment: &Segment, participant: ParticipantId) -> EntryWord {
    EntryWord(segment.entry(participant).word.load(Ordering::SeqCst))
}

fn is_vacant(segment: &Segment, participant: ParticipantId) -> bool {
    word_of(segment, participant).presence() == Some(Presence::Vacant)
}

/// Ids of the whole table, used or not.
fn seats(geometry: &Geometry) -> impl Iterator<Item = ParticipantId> + use<> {
    (0..geometry.max_participants).map(ParticipantId::new)
}

/// Writes the entry whose byte the caller has just locked; `None` when it is not vacant any more.
fn occupy(segment: &Segment, id: ParticipantId, presence: Presence) -> Option<u64> {
    let (entry, found) = (segment.entry(id), word_of(segment, id));
    if found.presence() != Some(Presence::Vacant) {
        return None;
    }
    segment.header().participants_high.fetch_max(id.index() + 1, Ordering::SeqCst);
    let taken = EntryWord::new(found.incarnation() + 1, presence);
    entry.pid.store(
        if presence == Presence::Active { std::process::id().into() } else { 0 },
        Ordering::Relaxed,
    );
    entry.attached_at.store(now(), Ordering::Relaxed);
    let outcome = entry.word.compare_exchange(found.0, taken.0, Ordering::SeqCst, Ordering::SeqCst);
    outcome.ok().map(|_| taken.incarnation())
}

/// Takes the lowest vacant entry. `None` when there is none: reap, and try again.
pub(crate) fn join(segment: &Segment, source: &Source<'_>) -> Result<Option<Membership>> {
    outlast_ghosts(segment, || try_join(segment, source))
}

/// Tries again for a while where an entry is vacant and its byte is held.
fn outlast_ghosts<T>(
    segment: &Segment,
    mut attempt: impl FnMut() -> Result<Option<T>>,
) -> Result<Option<T>> {
    let start = Instant::now();
    loop {
        let taken = attempt()?;
        if taken.is_some() || !has_vacancy(segment) || start.elapsed() >= GHOSTS {
            return Ok(taken);
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

fn try_join(segment: &Segment, source: &Source<'_>) -> Result<Option<Membership>> {
    for id in seats(segment.geometry()).filter(|&id| is_vacant(segment, id)) {
        let Some(life) = HeldByte::try_take(source, life_byte(id)).map_err(failed)? else {
            continue;
        };
        if let Some(incarnation) = occupy(segment, id, Presence::Active) {
            return Ok(Some(Membership { id, incarnation, life }));
        }
    }
    Ok(None)
}

/// Takes entry 0 of a region that has no name yet. `None` when a sweeper looks at the file just now.
pub(crate) fn found(source: &Source<'_>) -> Result<Option<HeldByte>> {
    HeldByte::try_take(source, FIRST_ENTRY).map_err(failed)
}

/// Whether whoever makes a file that has no name yet lives.
pub(crate) fn founder_lives(source: &Source<'_>) -> Result<bool> {
    source.is_held(FIRST_ENTRY).map_err(failed)
}

/// The entry that goes with [`found`], once the table is committed.
pub(crate) fn occupy_first(segment: &Segment, life: HeldByte) -> Result<Membership> {
    let id = ParticipantId::new(0);
    let incarnation = occupy(segment, id, Presence::Active);
    let incarnation = incarnation
        .ok_or_else(|| Error::corrupt("the first entry of a new region is not vacant"))?;
    Ok(Membership { id, incarnation, life })
}

/// Gives the entry back; the caller's row must be empty and nothing half done.
pub(crate) fn leave(segment: &Segment, membership: Membership) {
    set_vacant(segment, membership.id, membership.incarnation);
    drop(membership.life);
}

/// The process is about to end: it keeps its entry, for it may still be at work, but not the region.
pub(crate) fn announce_end(segment: &Segment, id: ParticipantId, incarnation: u64) {
    segment
        .entry(id)
        .word
        .store(EntryWord::new(incarnation, Presence::Leaving).0, Ordering::SeqCst);
}

fn set_vacant(segment: &Segment, id: ParticipantId, incarnation: u64) {
    segment.entry(id).pid.store(0, Ordering::Relaxed);
    segment.entry(id).word.store(EntryWord::new(incarnation, Presence::Vacant).0, Ordering::SeqCst);
}

/// Whether the participant's process lives.
pub(crate) fn is_alive(source: &Source<'_>, participant: ParticipantId) -> Result<bool> {
    source.is_held(life_byte(participant)).map_err(failed)
}

/// Whether any process is attached, as far as locks can tell: for those who have not mapped the region.
pub(crate) fn anybody_lives(source: &Source<'_>, geometry: &Geometry) -> Result<bool> {
    let held = source.first_held(FIRST_ENTRY, geometry.max_participants.into());
    held.map(|held| held.is_some()).map_err(failed)
}

/// Whether any process is attached and stays. Asked by one who holds the door alone, so nobody is just joining: a byte
/// that is held over a vacant entry is a [ghost](GHOSTS).
pub(crate) fn anybody_stays(segment: &Segment, source: &Source<'_>) -> Result<bool> {
    if !anybody_lives(source, segment.geometry())? {
        return Ok(false);
    }
    for id in seats(segment.geometry()) {
        let gone =
            matches!(word_of(segment, id).presence(), Some(Presence::Vacant | Presence::Leaving));
        if !gone && is_alive(source, id)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the process lives that took the entry for the `incarnation`th time.
pub(crate) fn is_still_alive(
    segment: &Segment,
    source: &Source<'_>,
    (participant, incarnation): (ParticipantId, u64),
) -> Result<bool> {
    let held = is_alive(source, participant)?;
    // After the byte: did another hold it, the entry was vacated before.
    let word = word_of(segment, participant);
    let is_gone = matches!(word.presence(), None | Some(Presence::Vacant | Presence::Dying));
    Ok(held && !is_gone && word.incarnation() == incarnation)
}

/// Whether an entry needs undoing: it is in use, and its process is gone.
pub(crate) fn looks_dead(
    segment: &Segment,
    source: &Source<'_>,
    participant: ParticipantId,
) -> Result<bool> {
    Ok(!is_vacant(segment, participant) && !is_alive(source, participant)?)
}

/// The right to undo what a dead participant left; ends with the drop, or with the death of the one elected. Held by a
/// mapping: did it end with the closing of a descriptor, another would be elected, finish, and vacate the entry, and what
/// its next holder claims would be undone by this one.
#[derive(Debug)]
pub(crate) struct Election {
    participant: ParticipantId,
    incarnation: u64,
    _lock: HeldByte,
}

impl Election {
    /// The dead one. The elected acts under its id, so that whoever finishes for him finds his steps like the dead's own.
    pub(crate) fn participant(&self) -> ParticipantId {
        self.participant
    }
}

/// Tries to become the one who undoes what `participant` left. `None`: it lives, or is vacant, or somebody else does it.
pub(crate) fn elect(
    segment: &Segment,
    source: &Source<'_>,
    participant: ParticipantId,
) -> Result<Option<Election>> {
    if !looks_dead(segment, source, participant)? {
        return Ok(None);
    }
    let byte = FIRST_ELECTION + u64::from(participant.index());
    let Some(lock) = HeldByte::try_take(source, byte).map_err(failed)? else { return Ok(None) };
    let word = word_of(segment, participant);
    if word.presence() == Some(Presence::Vacant) || is_alive(source, participant)? {
        return Ok(None);
    }
    let incarnation = word.incarnation();
    let dying = EntryWord::new(incarnation, Presence::Dying);
    // The word read before the lock was asked: whoever left and made room for another in between has changed it.
    let entry = &segment.entry(participant).word;
    let elected = entry.compare_exchange(word.0, dying.0, Ordering::SeqCst, Ordering::SeqCst);
    Ok(elected.is_ok().then_some(Election { participant, incarnation, _lock: lock }))
}

/// The last step of reaping: everything is undone and the row is empty.
pub(crate) fn vacate(segment: &Segment, election: Election) {
    set_vacant(segment, election.participant, election.incarnation);
    drop(election);
}

/// Before a fork: takes an entry for the child. `None` when there is none.
pub(crate) fn conceive(segment: &Segment, source: &Source<'_>) -> Result<Option<Embryo>> {
    outlast_ghosts(segment, || try_conceive(segment, source))
}

fn try_conceive(segment: &Segment, source: &Source<'_>) -> Result<Option<Embryo>> {
    for id in seats(segment.geometry()).filter(|&id| is_vacant(segment, id)) {
        let lock = Transient::open_for_fork(source).map_err(failed)?;
        if lock.try_lock(life_byte(id), Mode::Exclusive).map_err(failed)?
            && let Some(incarnation) = occupy(segment, id, Presence::Embryo)
        {
            return Ok(Some(Embryo { id, incarnation, lock }));
        }
        lock.close_after_fork();
    }
    Ok(None)
}

/// Whether the table has a vacant entry.
pub(crate) fn has_vacancy(segment: &Segment) -> bool {
    seats(segment.geometry()).any(|id| is_vacant(segment, id))
}

impl Embryo {
    /// In the parent: closes the descriptor and never unlocks, which would end the child's lock too. If the fork failed
    /// the byte is free now and the entry gets reaped.
    pub(crate) fn release(self) {
        self.lock.close_after_fork();
    }

    /// In the child: the lock from now on lives as long as the child does.
    pub(crate) fn adopt(self, segment: &Segment) -> Result<Membership> {
        let life = HeldByte::keep(&self.lock).map_err(failed)?;
        let entry = segment.entry(self.id);
        entry.pid.store(std::process::id().into(), Ordering::Relaxed);
        entry.word.store(EntryWord::new(self.incarnation, Presence::Active).0, Ordering::SeqCst);
        let (id, incarnation) = (self.id, self.incarnation);
        self.lock.close_after_fork();
        Ok(Membership { id, incarnation, life })
    }
}
