//! How far a region reaches: bounds that only grow, and what of them this process has seen.

use super::Segment;
use crate::error::Error;
use crate::layout::block::BlockRef;
use crate::layout::geometry::{CHUNK_SLOTS, Geometry};
use crate::layout::participant::ParticipantId;
use crate::sync::Ordering;

impl Segment {
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// Ids of the entries that were ever used.
    #[inline]
    pub(crate) fn participants(&self) -> impl Iterator<Item = ParticipantId> + use<> {
        let high = self
            .header()
            .participants_high
            .load(Ordering::SeqCst)
            .min(self.geometry.max_participants);
        (0..high).map(ParticipantId::new)
    }

    /// Slots below this index are committed.
    #[inline]
    pub(crate) fn committed_slots(&self) -> u32 {
        let chunks = u64::from(self.header().chunks.load(Ordering::Acquire));
        let chunks = chunks.clamp(1, self.geometry.chunks());
        (chunks * CHUNK_SLOTS).min(self.geometry.slot_limit()) as u32
    }

    #[inline]
    pub(super) fn is_committed_slot(&self, index: u32) -> bool {
        index != 0
            && (index < self.seen_slots.load(Ordering::Relaxed)
                || self.is_newly_committed_slot(index))
    }

    #[cold]
    fn is_newly_committed_slot(&self, index: u32) -> bool {
        let committed = self.committed_slots();
        // Never down: `count` relies on what `slot` saw, also when another thread's look is older.
        self.seen_slots.fetch_max(committed, Ordering::Relaxed);
        index < committed
    }

    /// Units below this index have a committed table entry.
    #[inline]
    pub(crate) fn frontier(&self) -> u32 {
        let frontier = u64::from(self.header().frontier.load(Ordering::Acquire));
        frontier.clamp(self.geometry.initial_frontier(), self.geometry.units()) as u32
    }

    #[cold]
    fn is_newly_committed_unit(&self, unit: u32) -> bool {
        let frontier = self.frontier();
        self.seen_units.fetch_max(frontier, Ordering::Relaxed);
        unit < frontier
    }

    /// Whether a block reference lies inside the data area.
    #[inline]
    pub(crate) fn contains(&self, block: BlockRef, len: u64) -> bool {
        len <= self.geometry.capacity && block.offset() <= self.geometry.capacity - len
    }

    #[inline]
    pub(super) fn is_committed_unit(&self, unit: u32) -> bool {
        unit < self.seen_units.load(Ordering::Relaxed) || self.is_newly_committed_unit(unit)
    }

    /// Sets the bounds of what creation committed.
    pub(super) fn initialise_bounds(&self) {
        self.header().frontier.store(self.geometry.initial_frontier() as u32, Ordering::Release);
        self.header().chunks.store(1, Ordering::Release);
    }
}

#[cold]
pub(super) fn outside(block: BlockRef, len: u64) -> Error {
    Error::corrupt(format!("{block:?} with {len} bytes lies outside the data area"))
}
