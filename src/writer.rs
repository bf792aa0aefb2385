//! Where a codec writes: straight into the block.

use std::fmt;
use std::io;
use std::mem::MaybeUninit;

use rkyv::ser::{Positional, Writer};

use crate::error::Result;

/// Writes bytes one after another into a block; past its end it only counts.
///
/// The block's first byte is 64-byte aligned. Writing never fails: a block that proves too small yields the exact size
/// that is needed instead.
///
/// ```
/// use inplace::connector::BlockWriter;
/// use std::mem::MaybeUninit;
///
/// let mut block = [MaybeUninit::uninit(); 4];
/// let mut out = BlockWriter::new(&mut block);
/// out.write(b"four");
/// assert!(out.fits());
/// out.write(b" and six");
/// assert!(!out.fits());
/// assert_eq!(out.position(), 12);
/// ```
pub struct BlockWriter<'a> {
    /// Empty when the block is written through a sink.
    block: &'a mut [MaybeUninit<u8>],
    capacity: usize,
    written: usize,
    sink: Option<&'a mut dyn Sink>,
}

/// Fills a block: called with a writer that may be too small; whatever is written past its end is only counted, and
/// the connector then calls again with a block of exactly the counted size.
pub type Fill<'a> = dyn FnMut(&mut BlockWriter<'_>) -> Result<()> + 'a;

/// Fills the blocks of a batch: called with the position of the object in the batch, and as [`Fill`] is.
pub type FillBatch<'a> = dyn FnMut(usize, &mut BlockWriter<'_>) -> Result<()> + 'a;

/// Takes the bytes of a block whose memory is not there yet.
pub(crate) trait Sink {
    /// Appends `bytes`, which fit.
    fn append(&mut self, bytes: &[u8]);
}

impl Sink for Vec<u8> {
    fn append(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

impl<'a> BlockWriter<'a> {
    /// A writer at the start of `block`.
    #[inline]
    pub fn new(block: &'a mut [MaybeUninit<u8>]) -> Self {
        Self { capacity: block.len(), block, written: 0, sink: None }
    }

    /// A writer at the start of a block of `capacity` bytes behind a sink.
    pub(crate) fn through(sink: &'a mut dyn Sink, capacity: usize) -> Self {
        Self { block: &mut [], capacity, written: 0, sink: Some(sink) }
    }

    /// Appends `bytes`, or only counts them when they do not fit.
    #[inline]
    pub fn write(&mut self, bytes: &[u8]) {
        let end = self.written.saturating_add(bytes.len());
        if let Some(free) = self.block.get_mut(self.written..end) {
            free.copy_from_slice(bytemuck::cast_slice(bytes));
        } else if let Some(sink) = self.sink.as_mut().filter(|_| end <= self.capacity) {
            sink.append(bytes);
        }
        self.written = end;
    }

    /// Bytes written and counted so far.
    #[inline]
    #[must_use]
    pub fn position(&self) -> usize {
        self.written
    }

    /// Whether everything written so far fits.
    #[inline]
    #[must_use]
    pub fn fits(&self) -> bool {
        self.written <= self.capacity
    }

    /// A writer that goes on where this one stands; tell this one its last position with
    /// [`advance_to`](Self::advance_to).
    #[inline]
    pub(crate) fn reborrow(&mut self) -> BlockWriter<'_> {
        let sink: Option<&mut dyn Sink> = match &mut self.sink {
            Some(sink) => Some(&mut **sink),
            None => None,
        };
        BlockWriter {
            block: &mut *self.block,
            capacity: self.capacity,
            written: self.written,
            sink,
        }
    }

    /// A writer for what lies behind this one's position, with a position of its own; tell this one afterwards where that ends.
    pub(crate) fn part(&mut self) -> BlockWriter<'_> {
        let from = self.written.min(self.block.len());
        let sink: Option<&mut dyn Sink> = match &mut self.sink {
            Some(sink) => Some(&mut **sink),
            None => None,
        };
        BlockWriter {
            block: &mut self.block[from..],
            capacity: self.capacity.saturating_sub(self.written),
            written: 0,
            sink,
        }
    }

    #[inline]
    pub(crate) fn advance_to(&mut self, position: usize) {
        self.written = position;
    }
}

impl Positional for BlockWriter<'_> {
    #[inline]
    fn pos(&self) -> usize {
        self.written
    }
}

impl<E> Writer<E> for BlockWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), E> {
        BlockWriter::write(self, bytes);
        Ok(())
    }
}

impl io::Write for BlockWriter<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        BlockWriter::write(self, bytes);
        Ok(bytes.len())
    }

    #[inline]
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        BlockWriter::write(self, bytes);
        Ok(())
    }

    #[inline]
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for BlockWriter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockWriter")
            .field("written", &self.written)
            .field("capacity", &self.capacity)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(len: usize) -> Vec<MaybeUninit<u8>> {
        vec![MaybeUninit::new(0xEE); len]
    }

    fn byte(cell: &MaybeUninit<u8>) -> u8 {
        // SAFETY: every cell of a test's block starts initialised.
        unsafe { cell.assume_init() }
    }

    #[test]
    fn what_fits_is_written_in_order() {
        let mut block = block(6);
        let mut out = BlockWriter::new(&mut block);
        out.write(b"one");
        out.write(b"two");
        assert!(out.fits());
        assert_eq!(block.iter().map(byte).collect::<Vec<_>>(), b"onetwo");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_leaves_the_rest_alone() {
        let mut block = block(4);
        let mut out = BlockWriter::new(&mut block);
        out.write(b"abc");
        out.write(b"de");
        out.write(b"f");
        assert_eq!((out.position(), out.fits()), (6, false));
        assert_eq!(byte(&block[3]), 0xEE);
    }

    #[test]
    fn formatted_text_goes_straight_into_the_block() {
        use std::io::Write as _;
        let mut block = block(8);
        let mut out = BlockWriter::new(&mut block);
        write!(out, "{}-{}", 12, 34).unwrap();
        assert_eq!(out.position(), 5);
    }

    #[test]
    fn a_writer_over_nothing_only_counts() {
        let mut out = BlockWriter::new(&mut []);
        assert!(out.fits());
        out.write(&[0; 1000]);
        assert_eq!(out.position(), 1000);
    }
}
