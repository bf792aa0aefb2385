//! Spans of whole units: objects above 32 KiB.
//!
//! ```text
//! claim: L1 slot.block = range · L2 each unit, left to right: CAS FREE -> SPAN(slot), or COLD -> WARMING(me);
//!        on conflict L3 give all of them back, only then try another range
//! fill:  the WARMING units are committed by writing through the descriptor · -> SPAN(slot)
//! ```
//!
//! Killed anywhere: the reaper finds the range in the slot, makes its SPAN(slot) units FREE, and, sweeping the units,
//! the WARMING ones COLD. A range recorded before the last one was given back would hide the last one: hence L3 first.

use crossbeam::utils::Backoff;

use super::units::change;
use crate::actor::{Actor, Refusal};
use crate::index::ClaimedSlot;
use crate::layout::block::{Block, BlockRef};
use crate::layout::geometry::UNIT;
use crate::layout::hint::HintKind;
use crate::layout::slot::{SlotWord, State};
use crate::layout::unit::{Unit, UnitWord};
use crate::sync::{Ordering, pause};

/// How often a full arena is searched again because another claimer holds units it may yet give back or make a slab of.
pub(super) const RESCANS: u32 = if cfg!(loom) { 2 } else { 16 };

/// Which units a search takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accept {
    Warm,
    Any,
}

/// Units that hold `len` bytes; `None` when no geometry has so many.
fn units_for(len: u64) -> Option<u32> {
    u32::try_from(len.div_ceil(UNIT)).ok().filter(|&units| units < 1 << 24)
}

impl Actor<'_> {
    pub(super) fn claim_span(
        &self,
        claimed: &ClaimedSlot<'_>,
        len: u64,
    ) -> Result<BlockRef, Refusal> {
        let full = Refusal::NoSpace { by_system: false };
        let Some(count) =
            units_for(len).filter(|&count| u64::from(count) <= self.segment.geometry().units())
        else {
            return Err(full);
        };
        let fits = |hint| matches!(BlockRef(hint).get(), Some(Block::Span { count: found, .. }) if found == count);
        while let Some(hint) = self.pop_fitting_hint(HintKind::SPANS, fits) {
            if let Some(Block::Span { first, .. }) = BlockRef(hint).get()
                && self.try_claim_span(claimed, (first, count), Accept::Warm)
            {
                return Ok(BlockRef(hint));
            }
        }
        let backoff = Backoff::new();
        for rescans in 0..RESCANS {
            let returns = self.returns();
            if let Some(block) = self.search_span(claimed, count)? {
                return Ok(block);
            }
            let may_change = self.retire_empty_slabs() > 0
                // A unit that was between two states may be free by now.
                || rescans == 0
                || self.returns() != returns
                || self.is_someone_claiming();
            if !may_change {
                break;
            }
            pause(&backoff);
        }
        Err(full)
    }

    /// Warm units first, then any, growing the table as long as that helps.
    fn search_span(
        &self,
        claimed: &ClaimedSlot<'_>,
        count: u32,
    ) -> Result<Option<BlockRef>, Refusal> {
        let returns = self.returns();
        if !self.local.is_span_search_fruitless(count, returns) {
            let frontier = self.segment.frontier();
            if let Some(first) = self.claim_run_below(claimed, (frontier, count), Accept::Warm) {
                return Ok(Some(BlockRef::span(first, count)));
            }
            self.local.set_span_search_fruitless(count, returns);
        }
        loop {
            let frontier = self.segment.frontier();
            let below = self.local.span_cursor(returns).unwrap_or(frontier);
            let found = self
                .claim_run_below(claimed, (below.min(frontier), count), Accept::Any)
                .or_else(|| self.claim_run_below(claimed, (frontier, count), Accept::Any));
            if let Some(first) = found {
                self.local.set_span_cursor(first, returns);
                return Ok(Some(BlockRef::span(first, count)));
            }
            if !self.extend_frontier(count)? {
                return Ok(None);
            }
            self.local.set_span_cursor(self.segment.frontier(), returns);
        }
    }

    /// Claims the highest run of acceptable units that ends at or below unit `below`.
    fn claim_run_below(
        &self,
        claimed: &ClaimedSlot<'_>,
        (below, count): (u32, u32),
        accept: Accept,
    ) -> Option<u32> {
        let mut run = 0;
        for unit in (0..below).rev() {
            let word = UnitWord(self.segment.unit(unit)?.word.load(Ordering::Relaxed));
            let acceptable = word == UnitWord::new(Unit::Free)
                || accept == Accept::Any && word == UnitWord::new(Unit::Cold);
            run = if acceptable { run + 1 } else { 0 };
            if run == count {
                if self.try_claim_span(claimed, (unit, count), accept) {
                    return Some(unit);
                }
                run = 0;
            }
        }
        None
    }

    fn try_claim_span(
        &self,
        claimed: &ClaimedSlot<'_>,
        (first, count): (u32, u32),
        accept: Accept,
    ) -> bool {
        // The intent; ordered before the claims by their SeqCst.
        claimed.slot.block.store(BlockRef::span(first, count).0, Ordering::Relaxed);
        for unit in first..first + count {
            if !self.try_claim_unit(claimed.index, unit, accept) {
                self.release_units(claimed.index, first..unit);
                // Or else giving up would once more give back units that another thread may be warming by now.
                claimed.slot.block.store(BlockRef::NONE.0, Ordering::Release);
                return false;
            }
        }
        true
    }

    fn try_claim_unit(&self, slot: u32, unit: u32, accept: Accept) -> bool {
        self.segment.unit(unit).is_some_and(|entry| {
            change(entry, Unit::Free, Unit::Span(slot))
                || accept == Accept::Any && change(entry, Unit::Cold, Unit::Warming(self.me))
        })
    }

    /// Gives back units of a span whose writer is this participant, committed or not yet.
    fn release_units(&self, slot: u32, units: std::ops::Range<u32>) {
        for unit in units {
            let Some(entry) = self.segment.unit(unit) else { break };
            if !change(entry, Unit::Span(slot), Unit::Free)
                && entry.word.load(Ordering::Relaxed) == UnitWord::new(Unit::Warming(self.me)).0
            {
                self.cool_unit(unit, entry, Unit::Warming(self.me));
            }
        }
        self.note_return();
    }

    /// Gives back the units of a span. Units that carry another slot's tag stay.
    pub(super) fn return_span(&self, slot: u32, first: u32, count: u32) {
        for unit in first..first.saturating_add(count) {
            let Some(entry) = self.segment.unit(unit) else { break };
            change(entry, Unit::Span(slot), Unit::Free);
        }
        self.push_hint(HintKind::SPANS, BlockRef::span(first, count).0);
        self.note_return();
    }

    /// Gives back a span that its writer abandons: some of its units may not be committed yet.
    pub(crate) fn abandon_block(&self, slot: u32, block: BlockRef) {
        match block.get() {
            Some(Block::Span { first, count }) => {
                self.release_units(slot, first..first.saturating_add(count))
            }
            _ => self.return_block(slot, block),
        }
    }

    /// Whether some span is being claimed or written, or some unit is between two states.
    pub(super) fn is_someone_claiming(&self) -> bool {
        (0..self.segment.frontier()).filter_map(|unit| self.segment.unit(unit)).any(|entry| {
            match UnitWord(entry.word.load(Ordering::Relaxed)).get() {
                Some(Unit::Span(slot)) => self.segment.slot(slot).is_some_and(|slot| {
                    let word = SlotWord(slot.word.load(Ordering::Relaxed));
                    word.is(State::Writing) || word.is(State::Filling) || word.is(State::Reclaiming)
                }),
                // Also another thread of this process: this one holds nothing while it asks.
                Some(Unit::Warming(_) | Unit::Trimming(_) | Unit::Retiring(..)) => true,
                _ => false,
            }
        })
    }
}
