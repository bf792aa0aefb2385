//! Pins: who still looks at a slot's block.
//!
//! Every participant has a row of u16 counts, one per slot, which it alone writes and everybody may read:
//!
//! ```text
//! pin(k):   own[i] += 1 · gate · load word: READY(g)? pinned : unpin
//! unpin(i): own[i] -= 1 was 1? · load word: RETIRED? try_reclaim(i)
//! evict(k): CAS READY(g) -> RETIRED(g) · try_reclaim(i)
//! ```
//!
//! All of it is SeqCst: either the pinner sees RETIRED, or the scan of the counts sees the pin; the last to unpin sees
//! RETIRED, or the evictor sees no count. Killed after the increment: the reaper zeroes the count, then tries to reclaim.
//! Readers never write a cache line that other processes' readers write.

use crate::error::{Error, Result};
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{ObjectId, Slot, SlotWord, State};
use crate::segment::Segment;
use crate::sync::{AtomicU16, AtomicU32, Ordering, pause};

/// A count at which another pin is refused: so many views of one object in one process are a leak.
const TOO_MANY: u16 = 0x8000;

/// Closed while a fork copies the row of counts: who pins meanwhile takes it back and waits.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    closed: AtomicU32,
}

impl Gate {
    pub(crate) fn close(&self) {
        self.closed.store(1, Ordering::SeqCst);
    }

    pub(crate) fn open(&self) {
        self.closed.store(0, Ordering::SeqCst);
    }

    #[inline]
    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst) != 0
    }

    #[cold]
    fn wait(&self) {
        let backoff = crossbeam::utils::Backoff::new();
        while self.is_closed() {
            pause(&backoff);
        }
    }
}

/// What an attempt to pin found.
#[derive(Debug)]
pub(crate) enum PinOutcome<'a> {
    /// Pinned.
    Pinned(&'a Slot),
    /// Not READY in this generation: the count is back, and the caller must look whether it was the last one.
    Missed(&'a Slot),
    /// No such slot.
    Absent,
}

/// Pins `id` for `me`.
#[inline(always)]
pub(crate) fn pin<'a>(
    segment: &'a Segment,
    me: ParticipantId,
    gate: &Gate,
    id: ObjectId,
) -> Result<PinOutcome<'a>> {
    pin_in(State::Ready, segment, (me, gate), id)
}

/// Pins what `id` names, if it is in that state.
#[inline(always)]
pub(crate) fn pin_in<'a>(
    state: State,
    segment: &'a Segment,
    (me, gate): (ParticipantId, &Gate),
    id: ObjectId,
) -> Result<PinOutcome<'a>> {
    let Some(slot) = segment.slot(id.slot()) else { return Ok(PinOutcome::Absent) };
    let count = segment.count(me, id.slot());
    increment(count, gate, id)?;
    if SlotWord(slot.word.load(Ordering::SeqCst)).is_in(state, id) {
        return Ok(PinOutcome::Pinned(slot));
    }
    missed(count, slot)
}

#[cold]
fn missed<'a>(count: &AtomicU16, slot: &'a Slot) -> Result<PinOutcome<'a>> {
    decrement(count)?;
    Ok(PinOutcome::Missed(slot))
}

/// Counts one more pin of a slot that this participant knows to be pinned already.
#[inline]
pub(crate) fn pin_again(
    segment: &Segment,
    me: ParticipantId,
    gate: &Gate,
    id: ObjectId,
) -> Result<()> {
    increment(segment.count(me, id.slot()), gate, id)
}

#[inline]
fn increment(count: &AtomicU16, gate: &Gate, id: ObjectId) -> Result<()> {
    if count.fetch_add(1, Ordering::SeqCst) < TOO_MANY && !gate.is_closed() {
        return Ok(());
    }
    increment_again(count, gate, id)
}

/// After an increment that has to be taken back, because there are too many or the gate is closed.
#[cold]
fn increment_again(count: &AtomicU16, gate: &Gate, id: ObjectId) -> Result<()> {
    loop {
        // One less than was found; none found is one more than fit: nobody counts that far, but a wrong word may say so.
        if count.fetch_sub(1, Ordering::SeqCst).wrapping_sub(1) >= TOO_MANY {
            return Err(Error::TooManyViews { key: id.key(0) });
        }
        gate.wait();
        if count.fetch_add(1, Ordering::SeqCst) < TOO_MANY && !gate.is_closed() {
            return Ok(());
        }
    }
}

#[inline]
fn decrement(count: &AtomicU16) -> Result<bool> {
    match count.fetch_sub(1, Ordering::SeqCst) {
        1 => Ok(true),
        0 => Err(below_zero(count)),
        _ => Ok(false),
    }
}

#[cold]
fn below_zero(count: &AtomicU16) -> Error {
    count.fetch_add(1, Ordering::SeqCst);
    Error::corrupt("a pin count fell below zero")
}

/// Gives one pin back; `true`: it was this participant's last.
#[inline]
pub(crate) fn unpin(segment: &Segment, me: ParticipantId, slot: u32) -> Result<bool> {
    decrement(segment.count(me, slot))
}

/// Whether anybody has pinned the slot.
#[inline]
pub(crate) fn is_pinned(segment: &Segment, slot: u32) -> bool {
    segment
        .participants()
        .any(|participant| segment.count(participant, slot).load(Ordering::SeqCst) != 0)
}

/// Copies `from`'s counts into the row of `to`, a prepared child's, whose entry is active and whose counts are zero.
///
/// Other threads may give pins back meanwhile. Whoever does so before its count was looked at again is not copied; the
/// slots where that was so are returned, because who unpinned last may have seen the copy and left the slot RETIRED.
/// Whoever does so later sees the copy, or its fork epoch.
#[must_use = "the slots may have to be reclaimed"]
pub(crate) fn copy_row(segment: &Segment, from: ParticipantId, to: ParticipantId) -> Vec<u32> {
    let mut corrected = Vec::new();
    for slot in 1..segment.committed_slots() {
        let (theirs, copy) = (segment.count(from, slot), segment.count(to, slot));
        let mut count = theirs.load(Ordering::SeqCst);
        while count != copy.load(Ordering::SeqCst) {
            copy.store(count, Ordering::SeqCst);
            let now = theirs.load(Ordering::SeqCst);
            if now != count {
                corrected.push(slot);
            }
            count = now;
        }
    }
    corrected
}
