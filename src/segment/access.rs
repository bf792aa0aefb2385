//! From offsets to references, all below committed bounds.

use std::mem::MaybeUninit;
use std::ptr::NonNull;

use super::Segment;
use super::bounds::outside;
use crate::error::Result;
use crate::layout::block::BlockRef;
use crate::layout::class::Class;
use crate::layout::geometry::{BLOCK_WORDS_PAGE, CHUNK_SLOTS, NAME_BUCKETS};
use crate::layout::header::Header;
use crate::layout::hint::{HintKind, HintStack};
use crate::layout::participant::{ParticipantEntry, ParticipantId};
use crate::layout::slot::Slot;
use crate::layout::types::{TYPE_ENTRIES, TypeEntry};
use crate::layout::unit::{UnitEntry, WORDS_COMMITTED};
use crate::sync::{AtomicU16, AtomicU32, AtomicU64, Ordering};

impl Segment {
    /// # Safety
    /// A `T` made of atomics lies at `offset`, aligned, inside the control area, in committed pages.
    #[inline]
    unsafe fn at<T>(&self, offset: u64) -> &T {
        debug_assert!(offset + size_of::<T>() as u64 <= self.geometry.data_offset());
        // SAFETY: the caller's promise; control memory is only ever accessed through atomics.
        unsafe { &*self.control.add(offset as usize).cast::<T>() }
    }

    #[inline]
    pub(crate) fn header(&self) -> &Header {
        // SAFETY: the first page is the header and always committed.
        unsafe { self.at(0) }
    }

    /// A participant's entry; ids from outside are reduced to the table's size.
    #[inline]
    pub(crate) fn entry(&self, participant: ParticipantId) -> &ParticipantEntry {
        let index = participant.index().min(self.geometry.max_participants - 1);
        // SAFETY: the table is committed at creation and the index is inside it.
        unsafe {
            self.at(self.geometry.participants_offset()
                + u64::from(index) * size_of::<ParticipantEntry>() as u64)
        }
    }

    #[inline]
    pub(crate) fn hints(&self, kind: HintKind) -> &HintStack {
        let index = kind.0.min(HintKind::COUNT - 1);
        // SAFETY: the stacks are committed at creation and the index is inside them.
        unsafe { self.at(self.offsets.hints + (index * size_of::<HintStack>()) as u64) }
    }

    pub(crate) fn name_bucket(&self, bucket: u64) -> &AtomicU64 {
        // SAFETY: the buckets are committed at creation and the index is inside them.
        unsafe { self.at(self.geometry.names_offset() + bucket % NAME_BUCKETS * 8) }
    }

    /// An entry of the table of known types.
    pub(crate) fn type_entry(&self, index: u64) -> &TypeEntry {
        let offset = index % TYPE_ENTRIES * size_of::<TypeEntry>() as u64;
        // SAFETY: the table is committed at creation and the index is inside it.
        unsafe { self.at(self.geometry.types_offset() + offset) }
    }

    #[inline]
    fn chunk_of(&self, index: u32) -> (u64, u64) {
        let chunk = u64::from(index) / CHUNK_SLOTS;
        (self.offsets.chunks + chunk * self.offsets.chunk_stride, u64::from(index) % CHUNK_SLOTS)
    }

    /// A slot; `None` for slot 0 and beyond what is committed.
    #[inline]
    pub(crate) fn slot(&self, index: u32) -> Option<&Slot> {
        if !self.is_committed_slot(index) {
            return None;
        }
        let (chunk, inside) = self.chunk_of(index);
        // SAFETY: the chunk is committed and the slot inside it.
        Some(unsafe { self.at(chunk + inside * size_of::<Slot>() as u64) })
    }

    /// Starts fetching a slot's cache line, and the one where the slot's bytes were when this process last looked: both
    /// may have been written by another process, and otherwise each would be waited for after the other.
    #[inline(always)]
    pub(crate) fn prefetch(&self, slot: &Slot, last_seen: u64) {
        prefetch(std::ptr::from_ref(slot).cast());
        prefetch(self.views.wrapping_add(BlockRef(last_seen).offset() as usize));
    }

    /// Starts fetching a line of a queue's block that is about to be written.
    #[inline(always)]
    pub(crate) fn prefetch_to_write(&self, block: BlockRef, at: u64) {
        let data = self.data.load(Ordering::Relaxed).cast_const();
        prefetch_for_write(data.wrapping_add((block.offset() + at) as usize));
    }

    /// The same for a line with a word of a queue.
    #[inline(always)]
    pub(crate) fn prefetch_word(&self, word: &AtomicU64) {
        prefetch_for_write(std::ptr::from_ref(word).cast());
    }

    /// Starts fetching a line of a block that is about to be viewed.
    #[inline(always)]
    pub(crate) fn prefetch_to_view(&self, block: BlockRef, at: u64) {
        prefetch(self.views.wrapping_add((block.offset() + at) as usize));
    }

    /// A participant's count of pins of a slot; the slot must be a committed one.
    #[inline]
    pub(crate) fn count(&self, participant: ParticipantId, index: u32) -> &AtomicU16 {
        debug_assert!(self.is_committed_slot(index));
        let index = if index < self.seen_slots.load(Ordering::Relaxed) { index } else { 0 };
        let row = u64::from(participant.index().min(self.geometry.max_participants - 1))
            * self.geometry.row_bytes();
        let (chunk, inside) = self.chunk_of(index);
        // SAFETY: chunks are committed with their rows; an index beyond them was replaced by 0, which no slot uses.
        unsafe { self.at(chunk + CHUNK_SLOTS * size_of::<Slot>() as u64 + row + inside * 2) }
    }

    /// A unit's entry; `None` beyond the frontier.
    #[inline]
    pub(crate) fn unit(&self, unit: u32) -> Option<&UnitEntry> {
        if !self.is_committed_unit(unit) {
            return None;
        }
        let offset = self.offsets.units + u64::from(unit) * size_of::<UnitEntry>() as u64;
        // SAFETY: the table is committed below the frontier.
        Some(unsafe { self.at(offset) })
    }

    /// Where a unit's block words lie in the file: committed before the unit becomes a slab, never punched.
    pub(crate) fn block_words_offset(&self, unit: u32) -> u64 {
        self.offsets.block_words + u64::from(unit) * BLOCK_WORDS_PAGE
    }

    /// The block words of a unit that is, or was, a slab; none of a unit that never was one.
    #[inline]
    pub(crate) fn block_words(&self, unit: u32, class: Class) -> &[AtomicU32] {
        if self
            .unit(unit)
            .is_none_or(|entry| entry.flags.load(Ordering::Relaxed) & WORDS_COMMITTED == 0)
        {
            return &[];
        }
        // SAFETY: the unit lies below the frontier, and its page of block words is committed and stays so.
        unsafe {
            let first: &AtomicU32 = self.at(self.block_words_offset(unit));
            std::slice::from_raw_parts(first, class.cells() as usize)
        }
    }

    /// The first words of a block that is a channel's: for the one who has claimed it, or pinned the channel.
    #[inline]
    pub(crate) fn channel_words(&self, block: BlockRef, count: u64) -> Result<&[AtomicU64]> {
        let len = count.saturating_mul(8);
        if !self.contains(block, len) || len > block.size() {
            return Err(outside(block, len));
        }
        // SAFETY: just checked to lie inside the mapping, aligned to 64 bytes. These words of a channel are accessed as atomics
        // only, and its pages are committed before it is there, and stay so while it is pinned.
        Ok(unsafe {
            let data = self.data.load(Ordering::Relaxed).cast_const();
            std::slice::from_raw_parts(data.add(block.offset() as usize).cast(), count as usize)
        })
    }

    /// The first byte of an object, in the read-only mapping.
    #[inline]
    pub(crate) fn view(&self, block: BlockRef, len: u64) -> Result<NonNull<u8>> {
        if !self.contains(block, len) {
            return Err(outside(block, len));
        }
        // SAFETY: just checked to lie inside the mapping, and no mapping reaches address zero.
        Ok(unsafe { NonNull::new_unchecked(self.views.add(block.offset() as usize).cast_mut()) })
    }

    /// The bytes of a block that is being written.
    ///
    /// # Safety
    /// The caller has claimed the block (its slot is WRITING or FILLING by this participant) and makes no second
    /// reference while this one lives; `len` is at most the block's size and its pages are committed.
    #[allow(
        clippy::mut_from_ref,
        reason = "exclusive by the claim on the block, not by a borrow of the segment"
    )]
    #[inline]
    pub(crate) unsafe fn claimed(&self, block: BlockRef, len: u64) -> &mut [MaybeUninit<u8>] {
        // SAFETY: inside the mapping; exclusive by the caller's claim.
        unsafe {
            std::slice::from_raw_parts_mut(self.claimed_start(block, len).cast(), len as usize)
        }
    }

    /// [`claimed`](Self::claimed) of a part of a block, which begins after so many bytes.
    ///
    /// # Safety
    /// The caller has claimed that part, which the block has, in whatever way, and makes no second reference while this one lives; its pages are
    /// committed.
    #[allow(clippy::mut_from_ref, reason = "exclusive by the claim on the part")]
    #[inline]
    pub(crate) unsafe fn claimed_part(
        &self,
        block: BlockRef,
        (at, len): (u64, u64),
    ) -> &mut [MaybeUninit<u8>] {
        assert!(self.contains(block, at.saturating_add(len)));
        // SAFETY: inside the mapping, as was just checked; exclusive by the caller's claim.
        unsafe {
            let start =
                self.data.load(Ordering::Relaxed).add(block.offset() as usize + at as usize);
            std::slice::from_raw_parts_mut(start.cast(), len as usize)
        }
    }

    /// Where the bytes of a block that is being written start; `len` is at most its size.
    #[inline]
    pub(crate) fn claimed_start(&self, block: BlockRef, len: u64) -> *mut u8 {
        assert!(self.contains(block, len) && len <= block.size());
        // SAFETY: just checked to lie inside the mapping.
        unsafe { self.data.load(Ordering::Relaxed).add(block.offset() as usize) }
    }
}

/// As [`prefetch`], so that no other processor has the line.
#[inline(always)]
fn prefetch_for_write(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // Without a target feature the intrinsic is a prefetch to read: a second transfer, of the right to write, would follow.
    // SAFETY: as in `prefetch`; processors of 64 bits that do not know the instruction do nothing.
    unsafe {
        std::arch::asm!(
            "prefetchw [{}]",
            in(reg) address,
            options(nostack, preserves_flags, readonly)
        );
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

/// A hint: any address is harmless.
#[inline(always)]
fn prefetch(address: *const u8) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing and never faults.
    unsafe {
        std::arch::x86_64::_mm_prefetch::<{ std::arch::x86_64::_MM_HINT_T0 }>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
