//! A region's mappings.
//!
//! Two mappings of one file: the control area and the data area read-write (`shared_memory`, or a memfd), and the data
//! area once more read-only (`memmap2`), which is what views point into: a stray write through a view faults. In a
//! forked child the read-write data area is mapped anew elsewhere, and its old addresses are made inaccessible.
//!
//! Everything handed out lives as long as the mappings; whoever owns the segment calls [`Segment::unmap`] only when
//! nobody can come any more. Memory is touched only below committed bounds, because a hole of a full tmpfs is a SIGBUS.

use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Mutex;

use super::map::Maps;
use crate::layout::geometry::Geometry;
use crate::sync::unmodelled::{AtomicPtr, AtomicU32};
use crate::sys::file::FileId;

/// One region, mapped.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(super) geometry: Geometry,
    pub(super) offsets: Offsets,
    /// Start of the read-write mapping: the control area.
    pub(super) control: *mut u8,
    /// The data area, read-write; moves in a forked child.
    pub(super) data: AtomicPtr<u8>,
    /// The data area, read-only.
    pub(super) views: *const u8,
    pub(super) descriptor: RawFd,
    pub(super) file: FileId,
    /// What this process has seen of the committed bounds, which only grow.
    pub(super) seen_slots: AtomicU32,
    pub(super) seen_units: AtomicU32,
    pub(super) maps: Mutex<Option<Maps>>,
}

/// What every operation needs of the geometry, computed once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offsets {
    pub(super) hints: u64,
    pub(super) units: u64,
    /// The first index chunk.
    pub(super) chunks: u64,
    pub(super) chunk_stride: u64,
    pub(super) block_words: u64,
}

impl Offsets {
    pub(super) fn of(geometry: &Geometry) -> Self {
        Self {
            hints: geometry.hints_offset(),
            units: geometry.units_offset(),
            chunks: geometry.chunk_offset(0),
            chunk_stride: geometry.chunk_stride(),
            block_words: geometry.block_words_offset(),
        }
    }
}

// SAFETY: the pointers name mappings that are shared by all threads; everything behind `control` is atomic, and blocks
// behind `data` are written by the one who claimed them.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

impl Segment {
    /// The region's own descriptor.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: `maps` owns the file as long as the segment is mapped.
        unsafe { BorrowedFd::borrow_raw(self.descriptor) }
    }
}

/// Used by `map` to take the file apart.
pub(super) fn raw(file: &File) -> RawFd {
    use std::os::fd::AsRawFd;
    file.as_raw_fd()
}
