//! How much of the data area is used for what: walked, not counted, so that no crash can unbalance it.

use crate::layout::geometry::UNIT;
use crate::layout::unit::{Unit, UnitWord};
use crate::segment::Segment;
use crate::sync::Ordering;

/// Bytes of the data area by use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// In cells and spans that some slot holds.
    pub(crate) in_use: u64,
    /// In units that are committed, whatever for.
    pub(crate) committed: u64,
}

impl Usage {
    pub(crate) fn of(segment: &Segment) -> Self {
        let mut usage = Self::default();
        for entry in
            (0..segment.frontier()).map_while(|unit| segment.unit(unit).map(|entry| (unit, entry)))
        {
            let (unit, entry) = entry;
            let (used, committed) = match UnitWord(entry.word.load(Ordering::SeqCst)).get() {
                Some(Unit::Span(_)) => (UNIT, UNIT),
                Some(Unit::Slab(class) | Unit::Retiring(class, _)) => {
                    let words = segment.block_words(unit, class).iter();
                    let cells = words.filter(|word| word.load(Ordering::Relaxed) != 0).count();
                    (cells as u64 * class.bytes(), UNIT)
                }
                Some(Unit::Free | Unit::Warming(_) | Unit::Trimming(_)) => (0, UNIT),
                Some(Unit::Cold) | None => (0, 0),
            };
            usage.in_use += used;
            usage.committed += committed;
        }
        usage
    }
}
