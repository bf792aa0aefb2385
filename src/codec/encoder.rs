//! What rkyv archives with: the block's writer, scratch memory, and the table of shared pointers, all lazy.

use std::alloc::Layout;
use std::fmt;
use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

use rkyv::rancor::{BoxedError, Fallible};
use rkyv::ser::sharing::{Share, SharingState};
use rkyv::ser::{Allocator, Positional, Sharing, Writer};

use crate::connector::BlockWriter;

/// The serializer every [`Storable`](crate::codec::Storable) type archives with.
///
/// It writes straight into the block. Scratch memory and the table of shared pointers cost nothing until a type asks
/// for them.
pub struct Encoder<'a> {
    out: BlockWriter<'a>,
    scratch: Scratch<'a>,
    shared: Share,
}

/// Scratch memory on the stack, enough for most values.
pub(crate) type Stack = [MaybeUninit<u128>; 32];

impl<'a> Encoder<'a> {
    #[inline]
    pub(crate) fn new(out: BlockWriter<'a>, stack: &'a mut Stack) -> Self {
        Self { out, scratch: Scratch::new(stack), shared: Share::new() }
    }
}

impl Fallible for Encoder<'_> {
    type Error = BoxedError;
}

impl Positional for Encoder<'_> {
    #[inline]
    fn pos(&self) -> usize {
        self.out.position()
    }
}

impl Writer<BoxedError> for Encoder<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), BoxedError> {
        self.out.write(bytes);
        Ok(())
    }
}

// SAFETY: `Scratch::push` returns memory nobody else points to, of the layout's size and alignment.
unsafe impl Allocator<BoxedError> for Encoder<'_> {
    #[inline]
    unsafe fn push_alloc(&mut self, layout: Layout) -> Result<NonNull<[u8]>, BoxedError> {
        Ok(NonNull::slice_from_raw_parts(self.scratch.push(layout), layout.size()))
    }

    #[inline]
    unsafe fn pop_alloc(&mut self, allocation: NonNull<u8>, _: Layout) -> Result<(), BoxedError> {
        self.scratch.pop(allocation);
        Ok(())
    }
}

impl Sharing<BoxedError> for Encoder<'_> {
    fn start_sharing(&mut self, address: usize) -> SharingState {
        Sharing::<BoxedError>::start_sharing(&mut self.shared, address)
    }

    fn finish_sharing(&mut self, address: usize, pos: usize) -> Result<(), BoxedError> {
        self.shared.finish_sharing(address, pos)
    }
}

impl fmt::Debug for Encoder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("out", &self.out).finish_non_exhaustive()
    }
}

/// A stack of allocations: on the borrowed stack memory while it lasts, each on the heap after that.
struct Scratch<'a> {
    base: NonNull<u8>,
    used: usize,
    heap: Vec<Box<[MaybeUninit<u128>]>>,
    stack: PhantomData<&'a mut Stack>,
}

impl<'a> Scratch<'a> {
    #[inline]
    fn new(stack: &'a mut Stack) -> Self {
        Self { base: NonNull::from(stack).cast(), used: 0, heap: Vec::new(), stack: PhantomData }
    }

    #[inline]
    fn push(&mut self, layout: Layout) -> NonNull<u8> {
        let start = self.used
            + self.base.addr().get().wrapping_add(self.used).wrapping_neg() % layout.align();
        match start.checked_add(layout.size()) {
            Some(end) if end <= size_of::<Stack>() => {
                self.used = end;
                // SAFETY: `start..end` lies within the stack memory `base` points to.
                unsafe { self.base.add(start) }
            }
            _ => self.push_heap(layout),
        }
    }

    #[cold]
    fn push_heap(&mut self, layout: Layout) -> NonNull<u8> {
        let slack = layout.align().saturating_sub(align_of::<u128>());
        self.heap.push(Box::new_uninit_slice((layout.size() + slack).div_ceil(size_of::<u128>())));
        let memory = self
            .heap
            .last_mut()
            .map_or(NonNull::dangling(), |memory| NonNull::from(&mut **memory).cast::<u8>());
        // SAFETY: the memory is `slack` bytes longer than the layout, and aligning it takes at most those.
        unsafe { memory.add(memory.align_offset(layout.align())) }
    }

    /// Takes back `allocation` and whatever was pushed after it.
    #[inline]
    fn pop(&mut self, allocation: NonNull<u8>) {
        let offset = allocation.addr().get().wrapping_sub(self.base.addr().get());
        if offset < size_of::<Stack>() {
            self.used = offset;
        } else {
            self.pop_heap(allocation);
        }
    }

    #[cold]
    fn pop_heap(&mut self, allocation: NonNull<u8>) {
        let allocation = allocation.as_ptr().cast_const().cast();
        if let Some(at) =
            self.heap.iter().rposition(|memory| memory.as_ptr_range().contains(&allocation))
        {
            self.heap.truncate(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(scratch: &mut Scratch<'_>, size: usize, align: usize) -> NonNull<u8> {
        let memory = scratch.push(Layout::from_size_align(size, align).unwrap());
        assert_eq!(memory.addr().get() % align, 0);
        // SAFETY: the allocation is `size` bytes long and ours alone.
        unsafe { memory.write_bytes(0xAB, size) };
        memory
    }

    #[test]
    fn small_scratch_stays_on_the_stack_and_is_used_again() {
        let mut stack = [MaybeUninit::uninit(); 32];
        let mut scratch = Scratch::new(&mut stack);
        let first = push(&mut scratch, 100, 8);
        let second = push(&mut scratch, 100, 64);
        scratch.pop(second);
        scratch.pop(first);
        assert_eq!(push(&mut scratch, 400, 1), first);
        assert!(scratch.heap.is_empty());
    }

    #[test]
    fn large_scratch_goes_to_the_heap_and_returns() {
        let mut stack = [MaybeUninit::uninit(); 32];
        let mut scratch = Scratch::new(&mut stack);
        let large = push(&mut scratch, 100_000, 256);
        let larger = push(&mut scratch, 200_000, 4096);
        let small = push(&mut scratch, 16, 16);
        scratch.pop(small);
        scratch.pop(larger);
        assert_eq!(scratch.heap.len(), 1);
        scratch.pop(large);
        assert!(scratch.heap.is_empty());
    }
}
