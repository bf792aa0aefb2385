//! Cells of slabs: objects up to 32 KiB.
//!
//! ```text
//! claim:   A1 unit word SLAB(class)? · A2 slot.block = (unit, cell) · A3 CAS block word 0 -> slot ·
//!          A4 unit word still SLAB(class)? claimed : A5 CAS block word slot -> 0, try elsewhere
//! return:  block word slot -> 0
//! ```
//!
//! A3/A4 against a retirer's `CAS SLAB -> RETIRING · load words` (units.rs) is store-then-load on both sides, SeqCst:
//! either the claimer sees RETIRING and backs out, or the retirer sees the claimer's word. Killed after A2: the reaper
//! finds the intent, whose word carries no tag of this slot; killed after A3: the tag is there and is taken back.

use crossbeam::utils::Backoff;

use super::spans::RESCANS;
use crate::actor::{Actor, Refusal};
use crate::index::ClaimedSlot;
use crate::layout::block::{Block, BlockRef};
use crate::layout::class::Class;
use crate::layout::hint::HintKind;
use crate::layout::unit::{SPARE_CELLS, Unit, UnitWord};
use crate::sync::{Ordering, pause};

impl Actor<'_> {
    #[inline]
    pub(super) fn claim_cell(
        &self,
        claimed: &ClaimedSlot<'_>,
        class: Class,
    ) -> Result<BlockRef, Refusal> {
        while let Some(hint) = self.pop_hint(HintKind::cells(class)) {
            if let Some(Block::Cell { unit, index, class: hinted }) = BlockRef(hint).get()
                && hinted == class
                && self.try_claim_cell(claimed, (unit, index, class))
            {
                return Ok(BlockRef(hint));
            }
        }
        if let Some((unit, cell)) = self.local.cell_cursor(class)
            && let Some(block) = self.claim_cell_of(claimed, class, (unit, cell))
        {
            return Ok(block);
        }
        self.claim_cell_elsewhere(claimed, class)
    }

    #[inline]
    fn try_claim_cell(
        &self,
        claimed: &ClaimedSlot<'_>,
        (unit, index, class): (u32, u32, Class),
    ) -> bool {
        let slab = UnitWord::new(Unit::Slab(class));
        let Some(entry) = self.segment.unit(unit) else { return false };
        if entry.word.load(Ordering::SeqCst) != slab.0 {
            return false;
        }
        let Some(word) = self.segment.block_words(unit, class).get(index as usize) else {
            return false;
        };
        claimed.slot.block.store(BlockRef::cell(unit, index, class).0, Ordering::Relaxed);
        // SeqCst: orders the intent before the claim, and the claim before the second look at the unit word. Acquire:
        // pairs with the Release of the word's return.
        if word.compare_exchange(0, claimed.index, Ordering::SeqCst, Ordering::Relaxed).is_err() {
            return false;
        }
        if entry.word.load(Ordering::SeqCst) == slab.0 {
            return true;
        }
        let _ = word.compare_exchange(claimed.index, 0, Ordering::SeqCst, Ordering::Relaxed);
        false
    }

    /// Claims a cell of one slab, looking from a cell on.
    fn claim_cell_of(
        &self,
        claimed: &ClaimedSlot<'_>,
        class: Class,
        (unit, from): (u32, u32),
    ) -> Option<BlockRef> {
        let entry = self.segment.unit(unit)?;
        if entry.word.load(Ordering::SeqCst) != UnitWord::new(Unit::Slab(class)).0 {
            return None;
        }
        let words = self.segment.block_words(unit, class);
        for (index, word) in (0..class.cells()).zip(words).skip(from as usize) {
            if word.load(Ordering::Relaxed) == 0
                && self.try_claim_cell(claimed, (unit, index, class))
            {
                self.local.set_cell_cursor(class, unit, index + 1);
                return Some(BlockRef::cell(unit, index, class));
            }
        }
        None
    }

    #[cold]
    fn claim_cell_elsewhere(
        &self,
        claimed: &ClaimedSlot<'_>,
        class: Class,
    ) -> Result<BlockRef, Refusal> {
        let (backoff, mut rescans) = (Backoff::new(), 0);
        loop {
            let returns = self.returns();
            // Before it is refused, whatever is remembered: who made a unit free may have stopped before it said so.
            if rescans > 0 || !self.local.is_cell_search_fruitless(class, returns) {
                if let Some(block) = self.claim_cell_of_warm_unit(claimed, class)? {
                    return Ok(block);
                }
                self.local.set_cell_search_fruitless(class, returns);
            }
            match self.warm_next_unit() {
                Ok(Some(unit)) => {
                    if self.make_slab(unit, class)?
                        && let Some(block) = self.claim_cell_of(claimed, class, (unit, 0))
                    {
                        return Ok(block);
                    }
                }
                refused => {
                    if let Some(block) = self.claim_any_cell(claimed, class) {
                        return Ok(block);
                    }
                    if self.retire_empty_slabs() > 0 || self.returns() != returns {
                        continue;
                    }
                    // A unit that was between two states may be a slab of this class by now, or free.
                    if rescans == RESCANS || rescans > 0 && !self.is_someone_claiming() {
                        return Err(refused.err().unwrap_or(Refusal::NoSpace { by_system: false }));
                    }
                    rescans += 1;
                    pause(&backoff);
                }
            }
        }
    }

    /// A slab of this class that is known to have free cells, or a free unit made into one.
    fn claim_cell_of_warm_unit(
        &self,
        claimed: &ClaimedSlot<'_>,
        class: Class,
    ) -> Result<Option<BlockRef>, Refusal> {
        for unit in 0..self.segment.frontier() {
            let Some(entry) = self.segment.unit(unit) else { break };
            let usable = match UnitWord(entry.word.load(Ordering::SeqCst)).get() {
                Some(Unit::Slab(found)) if found == class => {
                    entry.flags.load(Ordering::Relaxed) & SPARE_CELLS != 0 && {
                        entry.flags.fetch_and(!SPARE_CELLS, Ordering::Relaxed);
                        true
                    }
                }
                Some(Unit::Free) => self.make_slab(unit, class)?,
                _ => false,
            };
            if usable && let Some(block) = self.claim_cell_of(claimed, class, (unit, 0)) {
                return Ok(Some(block));
            }
        }
        Ok(None)
    }

    /// Any free cell of any slab of this class, hints or not.
    fn claim_any_cell(&self, claimed: &ClaimedSlot<'_>, class: Class) -> Option<BlockRef> {
        (0..self.segment.frontier()).find_map(|unit| self.claim_cell_of(claimed, class, (unit, 0)))
    }

    #[inline]
    pub(super) fn return_cell(&self, slot: u32, (unit, index, class): (u32, u32, Class)) {
        let Some(word) = self.segment.block_words(unit, class).get(index as usize) else { return };
        if word.load(Ordering::Relaxed) != slot {
            return;
        }
        // Nobody changes a word that carries another slot's tag, so a store does. Release: pairs with the claiming CAS.
        word.store(0, Ordering::Release);
        if !self.push_hint(HintKind::cells(class), BlockRef::cell(unit, index, class).0) {
            self.note_spare_cell(unit);
        }
    }

    fn note_spare_cell(&self, unit: u32) {
        let Some(entry) = self.segment.unit(unit) else { return };
        if entry.flags.load(Ordering::Relaxed) & SPARE_CELLS == 0 {
            entry.flags.fetch_or(SPARE_CELLS, Ordering::Relaxed);
            self.note_return();
        }
    }
}
