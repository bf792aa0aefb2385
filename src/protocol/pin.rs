//! Pinned objects: the guards whose life keeps a block where it is.

use std::ptr::NonNull;

use crate::actor::Actor;
use crate::error::{Error, Result};
use crate::layout::block::BlockRef;
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{ObjectId, Slot, State};
use crate::pins::{self, PinOutcome};
use crate::sync::Ordering;

/// An object pinned for as long as a protocol step needs it.
#[derive(Debug)]
pub(crate) struct Pin<'a> {
    actor: Actor<'a>,
    pub(crate) id: ObjectId,
    pub(crate) slot: &'a Slot,
}

impl<'a> Actor<'a> {
    /// Pins an object; `None` when it is not READY, or its lease is over.
    #[inline(always)]
    pub(crate) fn pin(&self, id: ObjectId) -> Result<Option<Pin<'a>>> {
        if let Some(slot) = self.segment.slot(id.slot()) {
            self.segment.prefetch(slot, self.local.last_seen(id.slot()));
        }
        match pins::pin(self.segment, self.me, &self.local.gate, id)? {
            PinOutcome::Pinned(slot) if self.is_over_pinned(id, slot) => Ok(None),
            PinOutcome::Pinned(slot) => Ok(Some(Pin { actor: *self, id, slot })),
            PinOutcome::Missed(slot) => {
                self.after_miss(id, slot);
                Ok(None)
            }
            PinOutcome::Absent => Ok(None),
        }
    }

    /// Whether the lease of an object that was just pinned is over; then the pin is given back. A [`Pin`] that lives over
    /// the question would cost more than the pin.
    #[inline(always)]
    fn is_over_pinned(&self, id: ObjectId, slot: &'a Slot) -> bool {
        // Ordered by the word, which was loaded before. Newer ones are seen by who expires.
        slot.deadline.load(Ordering::Relaxed) != 0 && self.give_back_if_over(id, slot)
    }

    #[cold]
    #[inline(never)]
    fn give_back_if_over(&self, id: ObjectId, slot: &'a Slot) -> bool {
        let pin = Pin { actor: *self, id, slot };
        let is_over = self.is_over(id, slot);
        if !is_over {
            pin.into_counted();
        }
        is_over
    }

    /// Pins a variable; `None` when it is gone.
    pub(crate) fn pin_variable(&self, id: ObjectId) -> Result<Option<Pin<'a>>> {
        self.pin_in(State::Variable, id)
    }

    /// Pins what is in that state; `None` when it is gone.
    pub(crate) fn pin_in(&self, state: State, id: ObjectId) -> Result<Option<Pin<'a>>> {
        let me = (self.me, &self.local.gate);
        let slot = match pins::pin_in(state, self.segment, me, id)? {
            PinOutcome::Pinned(slot) => Some(slot),
            PinOutcome::Missed(slot) => {
                self.reclaim_if_retired(id.slot(), slot);
                None
            }
            PinOutcome::Absent => None,
        };
        Ok(slot.map(|slot| Pin { actor: *self, id, slot }))
    }

    #[cold]
    fn after_miss(&self, id: ObjectId, slot: &Slot) {
        self.reclaim_if_retired(id.slot(), slot);
    }

    /// Pins an object that this participant itself is about to publish.
    pub(crate) fn pin_own(&self, id: ObjectId, slot: &'a Slot) -> Result<Pin<'a>> {
        pins::pin_again(self.segment, self.me, &self.local.gate, id)?;
        Ok(Pin { actor: *self, id, slot })
    }

    /// K7 and K8 of a fork: gives a prepared child this participant's pins, too. Its gate is closed.
    pub(crate) fn copy_pins_to(&self, child: ParticipantId) {
        let corrected = pins::copy_row(self.segment, self.me, child);
        self.segment.header().fork_epoch.fetch_add(1, Ordering::SeqCst);
        for index in corrected {
            if let Some(slot) = self.segment.slot(index) {
                self.reclaim_if_retired(index, slot);
            }
        }
    }

    /// Gives back a pin; whoever gives back the last one of an evicted object reclaims it.
    #[inline]
    pub(crate) fn unpin(&self, id: ObjectId, slot: &Slot) -> Result<()> {
        if pins::unpin(self.segment, self.me, id.slot())? {
            self.reclaim_if_retired(id.slot(), slot);
        }
        Ok(())
    }
}

impl Pin<'_> {
    /// Where the bytes lie, and how many they are.
    #[inline(always)]
    pub(crate) fn place(&self) -> Result<(NonNull<u8>, usize)> {
        let block = BlockRef(self.slot.block.load(Ordering::Relaxed));
        let len = self.slot.len.load(Ordering::Relaxed);
        self.actor.local.set_last_seen(self.id.slot(), block.0);
        if len > block.size() {
            return Err(too_long(self.id, len, block));
        }
        Ok((self.actor.segment.view(block, len)?, len as usize))
    }

    pub(crate) fn bytes(&self) -> Result<&[u8]> {
        let (start, len) = self.place()?;
        // SAFETY: the object is READY, so nobody writes its bytes, and pinned for as long as `self` lives.
        Ok(unsafe { std::slice::from_raw_parts(start.as_ptr(), len) })
    }

    /// Leaves the pin counted: somebody else will give it back.
    pub(crate) fn into_counted(self) {
        std::mem::forget(self);
    }
}

#[cold]
fn too_long(id: ObjectId, len: u64, block: BlockRef) -> Error {
    Error::corrupt(format!("{id:?} says {len} bytes in {block:?}"))
}

impl Drop for Pin<'_> {
    // A hot path hands its pin over and comes here on errors only.
    #[inline(never)]
    fn drop(&mut self) {
        // A count below zero is reported by `check()`; a drop has nobody to tell.
        let _ = self.actor.unpin(self.id, self.slot);
    }
}
