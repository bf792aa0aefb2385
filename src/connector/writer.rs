//! Where a codec writes: straight into the block.

use std::mem::MaybeUninit;

/// Writes bytes one after another into a block; past its end it only counts.
///
/// The block's first byte is 64-byte aligned.
#[derive(Debug)]
pub struct BlockWriter<'a> {
    block: &'a mut [MaybeUninit<u8>],
    written: usize,
}

impl<'a> BlockWriter<'a> {
    /// A writer at the start of `block`.
    pub fn new(block: &'a mut [MaybeUninit<u8>]) -> Self {
        Self { block, written: 0 }
    }

    /// Appends `bytes`, or only counts them when they do not fit.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        let end = self.written.saturating_add(bytes.len());
        if let Some(free) = self.block.get_mut(self.written..end) {
            free.write_copy_of_slice(bytes);
        }
        self.written = end;
    }

    /// Bytes written and counted so far.
    #[must_use]
    pub fn position(&self) -> usize {
        self.written
    }

    /// Whether everything written so far fits.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.written <= self.block.len()
    }
}
