//! The first page of a region.

use crate::sync::{AtomicU32, AtomicU64, unmodelled};

/// `INPLACE1`, little-endian.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"INPLACE1");
/// Counts up with every change of the layout or of a protocol.
pub(crate) const LAYOUT_VERSION: u32 = 1;
/// Words that are rung for those who wait for many promises at once.
pub(crate) const BELLS: usize = if cfg!(loom) { 1 } else { 64 };
/// In a bell: somebody may sleep on it.
pub(crate) const LISTENERS: u32 = 1;
/// What a ring adds to a bell.
pub(crate) const RING: u32 = 2;

/// A hash over the sources of the layout, from `build.rs`.
pub(crate) fn layout_fingerprint() -> u64 {
    env!("INPLACE_LAYOUT_FINGERPRINT").parse().unwrap_or(0)
}

/// The first page.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Header {
    // Written once, before the region gets its name.
    pub(crate) magic: AtomicU64,
    pub(crate) layout_version: AtomicU32,
    /// A [`crate::region::Lifespan`] as a number.
    pub(crate) lifespan: AtomicU32,
    pub(crate) layout_fingerprint: AtomicU64,
    pub(crate) region_id: AtomicU64,
    /// Bytes of the data area.
    pub(crate) capacity: AtomicU64,
    pub(crate) max_objects: AtomicU32,
    pub(crate) max_participants: AtomicU32,
    /// Nanoseconds since the epoch, for people only.
    pub(crate) created_at: AtomicU64,
    /// For people only.
    pub(crate) creator: AtomicU64,

    // Read by every operation, written rarely.
    /// Index chunks that are committed; only grows.
    pub(crate) chunks: AtomicU32,
    /// No entry at or above this index was ever used; only grows.
    pub(crate) participants_high: AtomicU32,
    /// Units whose table entries are committed; only grows.
    pub(crate) frontier: AtomicU32,
    /// Bumped by every fork, after the counts were copied.
    pub(crate) fork_epoch: AtomicU32,
    /// A hint: bumped when units became free, so that a search that was in vain is tried again.
    pub(crate) returns: unmodelled::AtomicU32,
    pub(crate) spare_word: unmodelled::AtomicU32,
    /// A hash of what is written once and not only for people.
    pub(crate) seal: AtomicU64,
    pub(crate) spare: [unmodelled::AtomicU32; 8],

    /// `rings 31 | LISTENERS 1`: futex words for those who wait for many promises at once.
    pub(crate) bells: [AtomicU32; BELLS],
}
