//! Owns a region's mappings; the only place where an offset becomes a reference.
//!
//! Two mappings of one file: the control area and the data area read-write (`shared_memory`, or a memfd), and the data
//! area once more read-only (`memmap2`), which is what views point into: a stray write through a view faults. In a
//! forked child the read-write data area is mapped anew elsewhere, and its old addresses are made inaccessible.
//!
//! Everything handed out lives as long as the mappings; whoever owns the segment calls [`Segment::unmap`] only when
//! nobody can come any more. Memory is touched only below committed bounds, because a hole of a full tmpfs is a SIGBUS.

mod access;
mod map;
mod marks;

pub(crate) use map::Backing;
pub(crate) use marks::Marks;

use std::fs::File;
use std::os::fd::{BorrowedFd, RawFd};
use std::sync::Mutex;

use crate::layout::geometry::Geometry;
use crate::sync::{AtomicPtr, AtomicU32};
use crate::sys::file::FileId;

/// One region, mapped.
#[derive(Debug)]
pub(crate) struct Segment {
    geometry: Geometry,
    offsets: Offsets,
    /// Start of the read-write mapping: the control area.
    control: *mut u8,
    /// The data area, read-write; moves in a forked child.
    data: AtomicPtr<u8>,
    /// The data area, read-only.
    views: *const u8,
    descriptor: RawFd,
    file: FileId,
    /// What this process has seen of the committed bounds, which only grow.
    seen_slots: AtomicU32,
    seen_units: AtomicU32,
    maps: Mutex<Option<map::Maps>>,
}

/// What every operation needs of the geometry, computed once.
#[derive(Clone, Copy, Debug)]
struct Offsets {
    hints: u64,
    units: u64,
    /// The first index chunk.
    chunks: u64,
    chunk_stride: u64,
    block_words: u64,
}

impl Offsets {
    fn of(geometry: &Geometry) -> Self {
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
    pub(crate) fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The region's own descriptor.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        // SAFETY: `maps` owns the file as long as the segment is mapped.
        unsafe { BorrowedFd::borrow_raw(self.descriptor) }
    }
}

/// Used by `map` to take the file apart.
fn raw(file: &File) -> RawFd {
    use std::os::fd::AsRawFd;
    file.as_raw_fd()
}
