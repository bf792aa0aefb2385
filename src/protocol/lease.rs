//! Leases: objects that go at a time unless somebody extends them.
//!
//! ```text
//! expire: X1 load word: READY(g) · X2 load deadline d, after the word · X3 d passed? CAS d -> EXPIRED (lost: X2) ·
//!         X4 CAS READY(g) -> RETIRED(g), wake, try_reclaim; EXPIRED at X2: X4 at once
//! get:    pin · X2 to X4; over: unpin, nothing is there
//! extend: pin, as get · E1 load d: EXPIRED? X4, gone · E2 CAS d -> d' (lost: E1) · unpin
//! ```
//!
//! The word of the deadline decides, not the clock: whoever says that an object's lease is over has won X3 first, so
//! nobody extends it afterwards; and who extended it has changed what X3 would have to find. A claimer resets the
//! deadline while the slot is WRITING. Killed after X3: EXPIRED and READY; whoever looks next does X4. It does not matter
//! who is alive: the deadline stands in the slot.

use crate::actor::Actor;
use crate::error::Result;
use crate::layout::slot::{EXPIRED, ObjectId, Slot, SlotWord, State};
use crate::sync::Ordering;
use crate::sys::clock;

impl Actor<'_> {
    /// Whether the lease of an object that was seen READY is over; then it is evicted by now.
    ///
    /// Who has not pinned it looks at the word once more: the deadline may have been another generation's.
    #[inline(always)]
    pub(crate) fn is_over(&self, id: ObjectId, slot: &Slot) -> bool {
        // Acquire: pairs with the Release of a claimer, after which the word is not READY in this generation.
        slot.deadline.load(Ordering::Acquire) != 0 && self.expire(id, slot)
    }

    /// X2 to X4.
    #[cold]
    #[inline(never)]
    fn expire(&self, id: ObjectId, slot: &Slot) -> bool {
        let mut deadline = slot.deadline.load(Ordering::SeqCst);
        while deadline != EXPIRED {
            if deadline == 0 || deadline > clock::now() {
                return false;
            }
            match slot.deadline.compare_exchange(
                deadline,
                EXPIRED,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => break,
                Err(found) => deadline = found,
            }
        }
        self.end_lease(id, slot);
        true
    }

    /// X1: the word of an object that is there to be got.
    pub(crate) fn ready_word(&self, id: ObjectId, slot: &Slot) -> Option<SlotWord> {
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        if !word.is_ready(id) || self.is_over(id, slot) {
            return None;
        }
        // The same generation before and after: the deadline was its own, and not that of what came after it.
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        word.is_ready(id).then_some(word)
    }

    /// Sets when an object goes, or that it does not; `false` when it is not there.
    pub(crate) fn set_deadline(&self, id: ObjectId, deadline: u64) -> Result<bool> {
        let Some(pin) = self.pin(id)? else { return Ok(false) };
        if SlotWord(pin.slot.word.load(Ordering::SeqCst)).is_version() {
            return Ok(false);
        }
        let mut found = pin.slot.deadline.load(Ordering::SeqCst);
        while found != EXPIRED {
            match pin.slot.deadline.compare_exchange(
                found,
                deadline,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => return Ok(true),
                Err(other) => found = other,
            }
        }
        self.end_lease(id, pin.slot);
        Ok(false)
    }

    /// When an object goes, if it does; `None` when it is not there.
    pub(crate) fn deadline(&self, id: ObjectId) -> Result<Option<u64>> {
        let Some(pin) = self.pin(id)? else { return Ok(None) };
        let deadline = pin.slot.deadline.load(Ordering::SeqCst);
        Ok((deadline != EXPIRED).then_some(deadline))
    }

    /// Evicts whatever has outlived its lease; how many objects.
    pub(crate) fn expire_all(&self) -> usize {
        let slots = 1..self.segment.committed_slots();
        let over = slots.filter(|&index| {
            self.segment.slot(index).is_some_and(|slot| self.expire_slot(index, slot))
        });
        over.count()
    }

    pub(crate) fn expire_slot(&self, index: u32, slot: &Slot) -> bool {
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        word.is(State::Ready) && self.is_over(ObjectId::new(index, word.generation()), slot)
    }
}
