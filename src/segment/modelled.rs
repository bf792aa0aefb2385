//! A region's words on the heap, made of loom's atomics: nothing is mapped, and touching what is not committed panics.
//!
//! Data is ordinary memory. loom is told of every block that is looked at or written, so that it finds those who look
//! while somebody writes.

use std::io;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use loom::cell::UnsafeCell;

use super::bounds::outside;
use crate::error::Result;
use crate::layout::block::BlockRef;
use crate::layout::class::Class;
use crate::layout::geometry::{GRANULES_PER_UNIT, Geometry, NAME_BUCKETS, UNIT};
use crate::layout::header::Header;
use crate::layout::hint::{HintKind, HintStack};
use crate::layout::participant::{ParticipantEntry, ParticipantId};
use crate::layout::slot::Slot;
use crate::layout::types::TypeEntry;
use crate::layout::unit::{UnitEntry, WORDS_COMMITTED};
use crate::sync::modelled::{KernelFlag, control};
use crate::sync::unmodelled;
use crate::sync::{AtomicU16, AtomicU32, AtomicU64, Ordering};

/// Of which bytes loom is told together: the largest cell.
const WATCHED: u64 = UNIT / 2;

/// Words of a queue of two envelopes or three, or of a topic of a few messages.
const CHANNEL_WORDS: u64 = 48;

/// Whether pages are there. As the kernel sees it: who asks hears the latest, and no memory is ordered by it.
#[derive(Debug, Default)]
struct Committed(KernelFlag);

impl Committed {
    fn is(&self) -> bool {
        self.0.fetch_or(false, Ordering::Relaxed)
    }

    fn set(&self, is: bool) {
        self.0.swap(is, Ordering::Relaxed);
    }
}

/// One region, modelled.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(super) geometry: Geometry,
    header: Header,
    entries: Vec<ParticipantEntry>,
    hints: Vec<HintStack>,
    buckets: Vec<AtomicU64>,
    known_type: TypeEntry,
    units: Vec<UnitEntry>,
    block_words: Vec<Vec<AtomicU32>>,
    slots: Vec<Slot>,
    rows: Vec<Vec<AtomicU16>>,
    /// Of the one channel of a model, which has no more.
    channel: std::sync::OnceLock<(BlockRef, Vec<AtomicU64>)>,
    data: NonNull<u8>,
    watched: Vec<UnsafeCell<()>>,
    committed_units: Vec<Committed>,
    committed_chunks: Vec<Committed>,
    pub(super) seen_slots: unmodelled::AtomicU32,
    pub(super) seen_units: unmodelled::AtomicU32,
}

// SAFETY: words are atomics; data is written by those who claimed it, which is what loom is to find out.
unsafe impl Send for Segment {}
// SAFETY: as above.
unsafe impl Sync for Segment {}

fn many<T>(count: u64, make: impl Fn() -> T) -> Vec<T> {
    (0..count).map(|_| make()).collect()
}

fn header() -> Header {
    Header {
        magic: AtomicU64::new(0),
        layout_version: AtomicU32::new(0),
        lifespan: AtomicU32::new(0),
        layout_fingerprint: AtomicU64::new(0),
        region_id: AtomicU64::new(1),
        capacity: AtomicU64::new(0),
        max_objects: AtomicU32::new(0),
        max_participants: AtomicU32::new(0),
        created_at: AtomicU64::new(0),
        creator: AtomicU64::new(0),
        chunks: AtomicU32::new(0),
        participants_high: AtomicU32::new(0),
        frontier: AtomicU32::new(0),
        fork_epoch: AtomicU32::new(0),
        returns: unmodelled::AtomicU32::new(0),
        spare_word: unmodelled::AtomicU32::new(0),
        seal: AtomicU64::new(0),
        spare: std::array::from_fn(|_| unmodelled::AtomicU32::new(0)),
        bells: std::array::from_fn(|_| AtomicU32::new(0)),
    }
}

fn layout(bytes: u64) -> std::alloc::Layout {
    std::alloc::Layout::from_size_align(bytes as usize, 4096).expect("a small size")
}

impl Segment {
    /// A region as its creator leaves it.
    pub(crate) fn scratch(geometry: Geometry) -> Self {
        let (slots, units) = (geometry.slot_limit(), geometry.units());
        // SAFETY: the size is not zero: a geometry has a unit.
        let data = unsafe { std::alloc::alloc_zeroed(layout(geometry.capacity)) };
        let segment = Self {
            geometry,
            header: header(),
            entries: many(geometry.max_participants.into(), ParticipantEntry::default),
            hints: many(HintKind::COUNT as u64, HintStack::default),
            buckets: many(NAME_BUCKETS, AtomicU64::default),
            known_type: TypeEntry::default(),
            units: many(units, UnitEntry::default),
            block_words: many(units, || many(GRANULES_PER_UNIT / 512, AtomicU32::default)),
            slots: many(slots, Slot::default),
            rows: many(geometry.max_participants.into(), || many(slots, AtomicU16::default)),
            channel: std::sync::OnceLock::new(),
            data: NonNull::new(data).expect("memory for a model"),
            watched: many(geometry.capacity / WATCHED, || UnsafeCell::new(())),
            committed_units: many(units, Committed::default),
            committed_chunks: many(geometry.chunks(), Committed::default),
            seen_slots: unmodelled::AtomicU32::new(0),
            seen_units: unmodelled::AtomicU32::new(0),
        };
        segment.committed_chunks[0].set(true);
        segment.initialise_bounds();
        segment
    }

    pub(crate) fn header(&self) -> &Header {
        &self.header
    }

    pub(crate) fn entry(&self, participant: ParticipantId) -> &ParticipantEntry {
        &self.entries[participant.index() as usize]
    }

    pub(crate) fn hints(&self, kind: HintKind) -> &HintStack {
        &self.hints[kind.0]
    }

    pub(crate) fn name_bucket(&self, bucket: u64) -> &AtomicU64 {
        &self.buckets[(bucket % NAME_BUCKETS) as usize]
    }

    pub(crate) fn type_entry(&self, _: u64) -> &TypeEntry {
        &self.known_type
    }

    fn assert_committed_slot(&self, index: u32) {
        let chunk = u64::from(index) / crate::layout::geometry::CHUNK_SLOTS;
        // The first chunk always is, and asking is a step to explore.
        let committed = chunk == 0 || self.committed_chunks[chunk as usize].is();
        assert!(committed, "slot {index} is touched and not committed");
    }

    pub(crate) fn slot(&self, index: u32) -> Option<&Slot> {
        if !self.is_committed_slot(index) {
            return None;
        }
        self.assert_committed_slot(index);
        Some(&self.slots[index as usize])
    }

    pub(crate) fn prefetch(&self, _: &Slot, _: u64) {}

    pub(crate) fn prefetch_to_write(&self, _: BlockRef, _: u64) {}

    pub(crate) fn prefetch_word(&self, _: &AtomicU64) {}

    pub(crate) fn prefetch_to_view(&self, _: BlockRef, _: u64) {}

    pub(crate) fn count(&self, participant: ParticipantId, index: u32) -> &AtomicU16 {
        assert!(self.is_committed_slot(index));
        self.assert_committed_slot(index);
        &self.rows[participant.index() as usize][index as usize]
    }

    pub(crate) fn unit(&self, unit: u32) -> Option<&UnitEntry> {
        self.is_committed_unit(unit).then(|| &self.units[unit as usize])
    }

    pub(crate) fn block_words_offset(&self, unit: u32) -> u64 {
        self.geometry.block_words_offset() + u64::from(unit)
    }

    /// Words of the largest classes only: models use no others.
    pub(crate) fn block_words(&self, unit: u32, class: Class) -> &[AtomicU32] {
        let committed = |entry: &UnitEntry| entry.flags.load(Ordering::Relaxed) & WORDS_COMMITTED;
        if self.unit(unit).is_none_or(|entry| committed(entry) == 0) {
            return &[];
        }
        &self.block_words[unit as usize][..class.cells() as usize]
    }

    pub(crate) fn channel_words(&self, block: BlockRef, count: u64) -> Result<&[AtomicU64]> {
        let (first, words) =
            self.channel.get_or_init(|| (block, many(CHANNEL_WORDS, AtomicU64::default)));
        assert!(*first == block, "a model has one channel, in one place");
        Ok(&words[..count as usize])
    }

    fn watched(&self, offset: u64, len: u64) -> &[UnsafeCell<()>] {
        let end = (offset + len.max(1)).min(self.geometry.capacity);
        for unit in offset / UNIT..end.div_ceil(UNIT) {
            assert!(
                self.committed_units[unit as usize].is(),
                "unit {unit} is touched and not committed"
            );
        }
        &self.watched[(offset / WATCHED) as usize..end.div_ceil(WATCHED) as usize]
    }

    fn writes(&self, offset: u64, len: u64) {
        self.watched(offset, len).iter().for_each(|cell| cell.with_mut(|_| ()));
    }

    pub(crate) fn view(&self, block: BlockRef, len: u64) -> Result<NonNull<u8>> {
        if !self.contains(block, len) {
            return Err(outside(block, len));
        }
        if len > 0 {
            self.watched(block.offset(), len).iter().for_each(|cell| cell.with(|_| ()));
        }
        // SAFETY: just checked to lie inside the data.
        Ok(unsafe { self.data.add(block.offset() as usize) })
    }

    /// # Safety
    /// As of a mapped segment.
    #[allow(clippy::mut_from_ref, reason = "as of a mapped segment")]
    pub(crate) unsafe fn claimed(&self, block: BlockRef, len: u64) -> &mut [MaybeUninit<u8>] {
        // SAFETY: inside the data; exclusive by the caller's claim.
        unsafe {
            std::slice::from_raw_parts_mut(self.claimed_start(block, len).cast(), len as usize)
        }
    }

    /// # Safety
    /// As of a mapped segment. loom is not told: parts of one block are several claimers'.
    #[allow(clippy::mut_from_ref, reason = "as of a mapped segment")]
    pub(crate) unsafe fn claimed_part(
        &self,
        block: BlockRef,
        (at, len): (u64, u64),
    ) -> &mut [MaybeUninit<u8>] {
        assert!(at + len <= block.size());
        // SAFETY: inside the data; exclusive by the caller's claim.
        unsafe {
            let start = self.data.add((block.offset() + at) as usize);
            std::slice::from_raw_parts_mut(start.as_ptr().cast(), len as usize)
        }
    }

    pub(crate) fn claimed_start(&self, block: BlockRef, len: u64) -> *mut u8 {
        assert!(self.contains(block, len) && len <= block.size());
        if len > 0 {
            self.writes(block.offset(), len);
        }
        // SAFETY: just checked to lie inside the data.
        unsafe { self.data.add(block.offset() as usize).as_ptr() }
    }

    fn set_committed(&self, offset: u64, len: u64, is: bool) {
        for unit in offset / UNIT..(offset + len).div_ceil(UNIT) {
            self.committed_units[unit as usize].set(is);
        }
    }

    /// Commits a part of the control area.
    pub(crate) fn commit(&self, offset: u64, _: u64) -> io::Result<()> {
        let chunk = (0..self.geometry.chunks()).find(|&c| self.geometry.chunk_offset(c) == offset);
        if let Some(chunk) = chunk {
            self.committed_chunks[chunk as usize].set(true);
        }
        Ok(())
    }

    pub(crate) fn commit_data(&self, offset: u64, len: u64) -> io::Result<()> {
        self.set_committed(offset, len, true);
        Ok(())
    }

    pub(crate) fn commit_mapped(&self, offset: u64, len: u64) -> io::Result<()> {
        self.commit_data(offset, len)
    }

    pub(crate) fn punch_data(&self, offset: u64, len: u64) -> io::Result<()> {
        if !control::is_dead() {
            self.set_committed(offset, len, true);
            self.writes(offset, len);
            self.set_committed(offset, len, false);
        }
        Ok(())
    }

    pub(crate) fn write_data(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.set_committed(offset, bytes.len() as u64, true);
        self.writes(offset, bytes.len() as u64);
        // SAFETY: callers pass a part of the data area that they claimed.
        unsafe {
            let start = self.data.add(offset as usize).as_ptr();
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), start, bytes.len());
        }
        Ok(())
    }
}

impl Drop for Segment {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout by `scratch`.
        unsafe { std::alloc::dealloc(self.data.as_ptr(), layout(self.geometry.capacity)) };
    }
}
