//! Where an object's bytes are: one word.

use std::fmt;

use crate::layout::class::Class;
use crate::layout::geometry::{GRANULE, GRANULES_PER_UNIT, UNIT};

const KIND_SHIFT: u32 = 62;
const CELL: u64 = 1;
const SPAN: u64 = 2;
const EXTENT_SHIFT: u32 = 38;
const EXTENT: u64 = (1 << 24) - 1;
const GRANULE_MASK: u64 = (1 << EXTENT_SHIFT) - 1;

/// `kind 2 | extent 24 | granule 38`: a cell of a slab (extent: its class) or a span of units (extent: how many), at
/// `granule × 64` bytes into the data area; zero is no block, as for objects of 0 bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockRef(pub(crate) u64);

/// What a [`BlockRef`] says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Block {
    None,
    /// Cell `index` of the slab in `unit`.
    Cell {
        unit: u32,
        index: u32,
        class: Class,
    },
    /// `count` whole units from `first`.
    Span {
        first: u32,
        count: u32,
    },
}

impl BlockRef {
    pub(crate) const NONE: Self = Self(0);

    #[inline]
    pub(crate) fn cell(unit: u32, index: u32, class: Class) -> Self {
        let granule = u64::from(unit) * GRANULES_PER_UNIT + u64::from(index * class.granules());
        Self((CELL << KIND_SHIFT) | (u64::from(class.0) << EXTENT_SHIFT) | granule)
    }

    #[inline]
    pub(crate) fn span(first: u32, count: u32) -> Self {
        Self(
            (SPAN << KIND_SHIFT)
                | (u64::from(count) << EXTENT_SHIFT)
                | (u64::from(first) * GRANULES_PER_UNIT),
        )
    }

    /// Bytes from the start of the data area.
    #[inline]
    pub(crate) const fn offset(self) -> u64 {
        (self.0 & GRANULE_MASK) * GRANULE
    }

    /// Bytes the block holds.
    #[inline]
    pub(crate) fn size(self) -> u64 {
        let extent = (self.0 >> EXTENT_SHIFT) & EXTENT;
        match self.0 >> KIND_SHIFT {
            CELL => Class::from_bits(extent as u32).map_or(0, Class::bytes),
            SPAN => extent * UNIT,
            _ => 0,
        }
    }

    /// `None` for a value no participant writes.
    #[inline]
    pub(crate) fn get(self) -> Option<Block> {
        let granule = self.0 & GRANULE_MASK;
        let extent = ((self.0 >> EXTENT_SHIFT) & EXTENT) as u32;
        let unit = (granule / GRANULES_PER_UNIT) as u32;
        let inside = (granule % GRANULES_PER_UNIT) as u32;
        match self.0 >> KIND_SHIFT {
            0 => (self.0 == 0).then_some(Block::None),
            CELL => {
                let class = Class::from_bits(extent)?;
                let index = inside / class.granules();
                (index * class.granules() == inside && index < class.cells())
                    .then_some(Block::Cell { unit, index, class })
            }
            SPAN => {
                (inside == 0 && extent > 0).then_some(Block::Span { first: unit, count: extent })
            }
            _ => None,
        }
    }
}

impl fmt::Debug for BlockRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.get() {
            Some(block) => block.fmt(f),
            None => write!(f, "Invalid({:#x})", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_and_spans_come_back_as_they_went_in() {
        for class in Class::all() {
            for index in [0, class.cells() - 1] {
                let block = BlockRef::cell(9, index, class);
                assert_eq!(block.get(), Some(Block::Cell { unit: 9, index, class }));
                assert_eq!(block.offset(), 9 * UNIT + u64::from(index) * class.bytes());
            }
        }
        let units = (1 << 24) - 1;
        let span = BlockRef::span(units, units);
        assert_eq!(span.get(), Some(Block::Span { first: units, count: units }));
        assert_eq!(BlockRef::NONE.get(), Some(Block::None));
    }

    #[test]
    fn bytes_no_participant_writes_are_no_block() {
        assert_eq!(BlockRef(3 << 62).get(), None);
        assert_eq!(BlockRef(1).get(), None);
        assert_eq!(BlockRef((CELL << KIND_SHIFT) | (EXTENT << EXTENT_SHIFT)).get(), None);
        assert_eq!(BlockRef((SPAN << KIND_SHIFT) | (1 << EXTENT_SHIFT) | 1).get(), None);
    }
}
