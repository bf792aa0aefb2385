//! Private marks, one word per slot of the region, whose memory exists only where it was used.

use memmap2::{MmapOptions, MmapRaw};

use crate::error::{Error, Result};
use crate::layout::geometry::Geometry;
use crate::sync::unmodelled::AtomicU64;

/// A private word per slot, zero at first.
#[derive(Debug)]
pub(crate) struct Marks {
    words: MmapRaw,
}

impl Marks {
    pub(crate) fn new(geometry: &Geometry) -> Result<Self> {
        let words = MmapOptions::new()
            .len(geometry.slot_limit() as usize * 8)
            .no_reserve_swap()
            .map_anon()
            .map_err(|error| Error::system("mapping the table of checked objects", error))?;
        Ok(Self { words: words.into() })
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&AtomicU64> {
        if slot as usize >= self.words.len() / 8 {
            return None;
        }
        // SAFETY: inside the mapping, aligned, and only ever accessed as this atomic.
        Some(unsafe { &*self.words.as_ptr().cast::<AtomicU64>().add(slot as usize) })
    }
}
