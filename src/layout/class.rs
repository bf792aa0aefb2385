//! Size classes: what a slab's cells measure.

use crate::layout::geometry::{GRANULE, GRANULES_PER_UNIT, UNIT};

/// Granules of each class: every granule up to 1 KiB, then steps of at most 1/7 up to 8 KiB, then the sizes of which
/// 7, 6, 5, 4, 3, 2 fill a unit.
const GRANULES: [u16; CLASSES] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 20, 22, 24, 26, 28, 30, 32, 36, 40,
    44, 48, 51, 56, 60, 64, 73, 78, 85, 93, 102, 113, 128, 146, 170, 204, 256, 341, 512,
];
pub(crate) const CLASSES: usize = 45;

/// Objects above this many bytes get whole units.
#[cfg(test)]
pub(crate) const LARGEST_CELL: u64 = GRANULES[CLASSES - 1] as u64 * GRANULE;

const CLASS_OF_GRANULES: [u8; GRANULES[CLASSES - 1] as usize + 1] = {
    let mut table = [0; GRANULES[CLASSES - 1] as usize + 1];
    let (mut granules, mut class) = (0, 0);
    while granules < table.len() {
        if granules > GRANULES[class] as usize {
            class += 1;
        }
        table[granules] = class as u8;
        granules += 1;
    }
    table
};

/// The index of a size class.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Class(pub(crate) u8);

impl Class {
    /// The smallest class that holds `len` bytes; `None` above 32 KiB.
    #[inline]
    pub(crate) fn for_len(len: u64) -> Option<Self> {
        // Models have large cells only, for a slab of small ones has too many words to explore.
        let len = if cfg!(loom) { len.max(UNIT / 2) } else { len };
        CLASS_OF_GRANULES.get(len.div_ceil(GRANULE) as usize).map(|&class| Self(class))
    }

    #[inline]
    pub(crate) const fn from_bits(bits: u32) -> Option<Self> {
        if bits < CLASSES as u32 { Some(Self(bits as u8)) } else { None }
    }

    #[inline]
    pub(crate) const fn granules(self) -> u32 {
        GRANULES[self.0 as usize] as u32
    }

    #[inline]
    pub(crate) const fn bytes(self) -> u64 {
        self.granules() as u64 * GRANULE
    }

    /// Cells of one slab.
    #[inline]
    pub(crate) const fn cells(self) -> u32 {
        GRANULES_PER_UNIT as u32 / self.granules()
    }

    #[cfg(test)]
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES as u8).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_gets_the_smallest_class_that_holds_it() {
        for len in 0..=LARGEST_CELL {
            let class = Class::for_len(len).unwrap();
            assert!(class.bytes() >= len);
            assert!(class.0 == 0 || Class(class.0 - 1).bytes() < len);
        }
        assert_eq!(Class::for_len(LARGEST_CELL + 1), None);
    }

    #[test]
    fn up_to_eight_kibibytes_a_class_wastes_at_most_a_seventh() {
        for pair in GRANULES.windows(2).filter(|pair| pair[1] <= 128 && pair[0] >= 16) {
            assert!(f64::from(pair[1] - pair[0]) / f64::from(pair[0]) <= 0.145, "{pair:?}");
        }
    }
}
