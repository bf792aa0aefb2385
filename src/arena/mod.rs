//! The arena: who uses which bytes of the data area.
//!
//! Small objects get a cell of a slab (a unit cut into cells of one size class), large ones a span of whole units. The
//! truth are two kinds of words: a unit word per 64 KiB, and, for slabs, a block word per cell that holds the slot's
//! index. Where to look first are hints: what was returned last, then cursors.
//!
//! A claimer first stores where it will claim into its slot (the intent), then claims by CAS, so that whoever finds the
//! slot of a dead writer knows what to give back, and gives back only what carries that slot's tag.

mod cells;
mod fill;
mod spans;
mod units;
#[cfg(not(loom))]
mod usage;

#[cfg(not(loom))]
pub(crate) use usage::Usage;

use crate::actor::{Actor, Refusal};
use crate::index::ClaimedSlot;
use crate::layout::block::{Block, BlockRef};
use crate::layout::class::Class;
use crate::sync::Ordering;

impl Actor<'_> {
    /// Claims a block of at least `len` bytes for a slot. A span may have units that are not committed yet: write it
    /// with [`Actor::write_block`] or commit it with [`Actor::commit_block`] before touching it.
    #[inline]
    pub(crate) fn claim_block(
        &self,
        claimed: &ClaimedSlot<'_>,
        len: u64,
    ) -> Result<BlockRef, Refusal> {
        match Class::for_len(len) {
            _ if len == 0 => {
                claimed.slot.block.store(BlockRef::NONE.0, Ordering::Relaxed);
                Ok(BlockRef::NONE)
            }
            Some(class) => self.claim_cell(claimed, class),
            None => self.claim_span(claimed, len),
        }
    }

    /// Gives back the block of a slot that is RECLAIMING, or WRITING or FILLING and abandoned, by this participant.
    #[inline]
    pub(crate) fn return_block(&self, slot: u32, block: BlockRef) {
        match block.get() {
            Some(Block::Cell { unit, index, class }) => {
                self.return_cell(slot, (unit, index, class))
            }
            Some(Block::Span { first, count }) => self.return_span(slot, first, count),
            Some(Block::None) | None => {}
        }
    }
}
