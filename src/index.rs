//! The index: claiming a slot, giving it back, growing.
//!
//! A slot is claimed by one CAS `FREE -> WRITING(me)`. Which slot to try is a hint (returned lately, else a cursor); the
//! slot word is the truth. When no free slot is met within a bounded search, the index grows by one committed chunk.
//!
//! Crash cases: killed after the CAS, the slot is WRITING(dead) and the reaper gives it back; killed between committing
//! a chunk and announcing it, the pages are committed once more by the next who grows (idempotent).

use crate::actor::{Actor, Refusal};
use crate::layout::block::BlockRef;
use crate::layout::geometry::CHUNK_SLOTS;
use crate::layout::hint::HintKind;
use crate::layout::slot::{LAST_GENERATION, ObjectId, Slot, SlotWord, State};
use crate::sync::Ordering;

/// How many slots are looked at before the index rather grows.
const SEARCH: u32 = 2 * CHUNK_SLOTS as u32;

/// A slot in WRITING by this participant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClaimedSlot<'a> {
    pub(crate) slot: &'a Slot,
    pub(crate) index: u32,
    /// The word as claimed.
    pub(crate) word: SlotWord,
}

impl ClaimedSlot<'_> {
    #[inline]
    pub(crate) fn id(&self) -> ObjectId {
        ObjectId::new(self.index, self.word.generation())
    }
}

impl<'a> Actor<'a> {
    /// Claims a free slot.
    #[inline]
    pub(crate) fn claim_slot(&self) -> Result<ClaimedSlot<'a>, Refusal> {
        while let Some(hint) = self.pop_hint(HintKind::SLOTS) {
            if let Some(claimed) = self.try_claim_slot(hint as u32) {
                return Ok(claimed);
            }
        }
        self.search_slot()
    }

    #[inline]
    fn try_claim_slot(&self, index: u32) -> Option<ClaimedSlot<'a>> {
        let slot = self.segment.slot(index)?;
        let free = SlotWord(slot.word.load(Ordering::Relaxed));
        if !free.is(State::Free) || free.generation() == LAST_GENERATION {
            return None;
        }
        let word = free.with_state(State::Writing).owned_by(self.me);
        // Acquire: pairs with the Release store of FREE, whose reclaimer has returned the slot's block before.
        slot.word.compare_exchange(free.0, word.0, Ordering::SeqCst, Ordering::Relaxed).ok()?;
        // What the last generation left there is nobody's intent.
        slot.block.store(BlockRef::NONE.0, Ordering::Relaxed);
        // Release: who reads it (Acquire, `is_over`) sees in the word that the slot is claimed.
        slot.deadline.store(0, Ordering::Release);
        Some(ClaimedSlot { slot, index, word })
    }

    #[cold]
    fn search_slot(&self) -> Result<ClaimedSlot<'a>, Refusal> {
        loop {
            let committed = self.segment.committed_slots();
            if let Some(claimed) = self.search_slots_from_cursor(committed.min(SEARCH)) {
                return Ok(claimed);
            }
            if u64::from(committed) >= self.segment.geometry().slot_limit() {
                return self.search_slots_from_cursor(committed).ok_or(Refusal::NoSlot);
            }
            if let Err(refusal) = self.grow_index(committed) {
                return self.search_slots_from_cursor(committed).ok_or(refusal);
            }
        }
    }

    fn search_slots_from_cursor(&self, count: u32) -> Option<ClaimedSlot<'a>> {
        let committed = self.segment.committed_slots();
        let start = self.local.slot_cursor.load(Ordering::Relaxed);
        for step in 0..count {
            let index = (start.wrapping_add(step)) % committed;
            if let Some(claimed) = self.try_claim_slot(index) {
                self.local.slot_cursor.store(index + 1, Ordering::Relaxed);
                return Some(claimed);
            }
        }
        self.local.slot_cursor.store(start.wrapping_add(count) % committed, Ordering::Relaxed);
        None
    }

    /// Commits the chunk behind `committed` slots, unless somebody else just did.
    fn grow_index(&self, committed: u32) -> Result<(), Refusal> {
        let geometry = self.segment.geometry();
        let chunk = u64::from(committed).div_ceil(CHUNK_SLOTS);
        self.segment.commit(geometry.chunk_offset(chunk), geometry.chunk_stride())?;
        // Release: whoever loads the new count (Acquire) may touch the committed pages. Never down, and past a word that is
        // not what it was read as, or a search would grow for ever.
        self.segment.header().chunks.fetch_max(chunk as u32 + 1, Ordering::SeqCst);
        self.local.slot_cursor.store(committed, Ordering::Relaxed);
        Ok(())
    }

    /// Makes a slot free again whose block has been returned, from WRITING or RECLAIMING by this participant.
    #[inline]
    pub(crate) fn return_slot(&self, index: u32, slot: &Slot, word: SlotWord) {
        // Release: pairs with the claiming CAS.
        slot.word.store(word.next_free().0, Ordering::Release);
        self.push_hint(HintKind::SLOTS, u64::from(index));
    }
}
