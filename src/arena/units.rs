//! Units: committed, made into slabs, retired, given back to the system.
//!
//! ```text
//! warm:   CAS COLD -> WARMING(me) · commit · -> FREE
//! slab:   commit the unit's block words · CAS FREE -> SLAB(class)
//! retire: CAS SLAB -> RETIRING(class, me) · every block word 0? -> FREE : -> SLAB
//! trim:   CAS FREE -> TRIMMING(me) · punch · -> COLD
//! ```
//!
//! Killed in WARMING or TRIMMING: the reaper punches the unit and makes it COLD, never FREE. Killed in RETIRING: SLAB.

use crate::actor::{Actor, Refusal};
use crate::layout::class::Class;
use crate::layout::geometry::{BLOCK_WORDS_PAGE, PAGE, UNIT};
use crate::layout::participant::ParticipantId;
use crate::layout::unit::{Unit, UnitEntry, UnitWord, WORDS_COMMITTED};
use crate::sync::Ordering;

/// Changes a unit from one state to another; `false` when it is in neither.
#[cfg_attr(loom, track_caller)]
pub(super) fn change(entry: &UnitEntry, from: Unit, to: Unit) -> bool {
    let (from, to) = (UnitWord::new(from).0, UnitWord::new(to).0);
    entry.word.compare_exchange(from, to, Ordering::SeqCst, Ordering::Relaxed).is_ok()
}

pub(super) fn unit_offset(unit: u32) -> u64 {
    u64::from(unit) * UNIT
}

impl Actor<'_> {
    /// Commits the next cold unit; `None` when there is none and the table can not grow.
    pub(super) fn warm_next_unit(&self) -> Result<Option<u32>, Refusal> {
        loop {
            let frontier = self.segment.frontier();
            let cursor = self.local.unit_cursor.load(Ordering::Relaxed).min(frontier);
            for unit in (cursor..frontier).chain(0..cursor) {
                if self.warm_unit(unit)? {
                    self.local.unit_cursor.store(unit + 1, Ordering::Relaxed);
                    return Ok(Some(unit));
                }
            }
            if !self.extend_frontier(1)? {
                return Ok(None);
            }
        }
    }

    /// Commits one unit, if it is cold.
    fn warm_unit(&self, unit: u32) -> Result<bool, Refusal> {
        let Some(entry) = self.segment.unit(unit) else { return Ok(false) };
        let cold = entry.word.load(Ordering::Relaxed) == UnitWord::new(Unit::Cold).0;
        if !cold || !change(entry, Unit::Cold, Unit::Warming(self.me)) {
            return Ok(false);
        }
        match self.segment.commit_mapped(unit_offset(unit), UNIT) {
            Ok(()) => {
                change(entry, Unit::Warming(self.me), Unit::Free);
                Ok(true)
            }
            Err(error) => {
                self.cool_unit(unit, entry, Unit::Warming(self.me));
                Err(error.into())
            }
        }
    }

    /// Gives back what of a unit is committed and makes it cold.
    pub(super) fn cool_unit(&self, unit: u32, entry: &UnitEntry, from: Unit) {
        // A failure to punch leaves committed pages in a cold unit: they are used again when it is warmed.
        let _ = self.segment.punch_data(unit_offset(unit), UNIT);
        change(entry, from, Unit::Cold);
    }

    /// Makes a free unit a slab; `false` when somebody else took it.
    pub(super) fn make_slab(&self, unit: u32, class: Class) -> Result<bool, Refusal> {
        let Some(entry) = self.segment.unit(unit) else { return Ok(false) };
        if entry.flags.load(Ordering::Relaxed) & WORDS_COMMITTED == 0 {
            self.segment.commit(self.segment.block_words_offset(unit), BLOCK_WORDS_PAGE)?;
            entry.flags.fetch_or(WORDS_COMMITTED, Ordering::SeqCst);
        }
        Ok(change(entry, Unit::Free, Unit::Slab(class)))
    }

    /// Commits more of the unit table, at least `units` entries; `false` when it is whole.
    pub(super) fn extend_frontier(&self, units: u32) -> Result<bool, Refusal> {
        let geometry = self.segment.geometry();
        let frontier = self.segment.frontier();
        if u64::from(frontier) >= geometry.units() {
            return Ok(false);
        }
        let step = (PAGE / size_of::<UnitEntry>() as u64).max(u64::from(units));
        let wanted = (u64::from(frontier) + step).min(geometry.units());
        let start = geometry.units_offset() + geometry.units_bytes(u64::from(frontier));
        let end = geometry.units_offset() + geometry.units_bytes(wanted);
        if start < end {
            self.segment.commit(start, end - start)?;
        }
        // Release: whoever loads the new frontier (Acquire) may touch the committed entries. Never down, and past a word
        // that is not what it was read as, or a search would extend for ever.
        self.segment.header().frontier.fetch_max(wanted as u32, Ordering::SeqCst);
        Ok(true)
    }

    /// Makes slabs without objects free units again; how many.
    pub(crate) fn retire_empty_slabs(&self) -> u32 {
        let mut retired = 0;
        for unit in 0..self.segment.frontier() {
            let Some(entry) = self.segment.unit(unit) else { break };
            if let Some(Unit::Slab(class)) = UnitWord(entry.word.load(Ordering::SeqCst)).get()
                && self.is_empty_slab(unit, class)
                && self.retire(unit, entry, class)
            {
                retired += 1;
            }
        }
        if retired > 0 {
            self.note_return();
        }
        retired
    }

    fn is_empty_slab(&self, unit: u32, class: Class) -> bool {
        self.segment.block_words(unit, class).iter().all(|word| word.load(Ordering::SeqCst) == 0)
    }

    fn retire(&self, unit: u32, entry: &UnitEntry, class: Class) -> bool {
        let retiring = Unit::Retiring(class, self.me);
        if !change(entry, Unit::Slab(class), retiring) {
            return false;
        }
        let empty = self.is_empty_slab(unit, class);
        change(entry, retiring, if empty { Unit::Free } else { Unit::Slab(class) });
        empty
    }

    /// Gives the pages of free units back to the system, at most `most` bytes; how many bytes.
    pub(crate) fn trim_units(&self, most: u64) -> u64 {
        let mut given = 0;
        for unit in 0..self.segment.frontier() {
            if given >= most {
                break;
            }
            let Some(entry) = self.segment.unit(unit) else { break };
            let free = entry.word.load(Ordering::Relaxed) == UnitWord::new(Unit::Free).0;
            if free && change(entry, Unit::Free, Unit::Trimming(self.me)) {
                self.cool_unit(unit, entry, Unit::Trimming(self.me));
                if given == 0 {
                    // The lowest: units that were slabs before have their page of block words already.
                    self.local.unit_cursor.store(unit, Ordering::Relaxed);
                }
                given += UNIT;
            }
        }
        given
    }

    /// Undoes what a dead participant left half done with units. Idempotent.
    pub(crate) fn reap_units(&self, dead: ParticipantId) {
        for unit in 0..self.segment.frontier() {
            let Some(entry) = self.segment.unit(unit) else { break };
            match UnitWord(entry.word.load(Ordering::SeqCst)).get() {
                Some(Unit::Retiring(class, p)) if p == dead => {
                    change(entry, Unit::Retiring(class, p), Unit::Slab(class));
                }
                Some(half @ (Unit::Warming(p) | Unit::Trimming(p))) if p == dead => {
                    self.cool_unit(unit, entry, half);
                }
                _ => {}
            }
        }
        self.note_return();
    }
}
