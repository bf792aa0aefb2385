//! Bytes on the heap that start at a 64-byte boundary, as blocks in shared memory do.

use std::fmt;
use std::mem::MaybeUninit;
use std::ops::{Deref, DerefMut};

use crate::connector::{BlockWriter, Fill};
use crate::error::{Error, Result};

const ALIGNMENT: usize = 64;

/// A buffer whose first byte is 64-byte aligned. Every byte of it is initialised from the start, so that nothing a
/// `fill` does can expose memory that never was.
pub(crate) struct HeapBytes {
    buffer: Vec<u8>,
    start: usize,
    len: usize,
}

impl HeapBytes {
    pub(crate) fn zeroed(len: usize) -> Self {
        let buffer = vec![0; len + ALIGNMENT - 1];
        let start = buffer.as_ptr().align_offset(ALIGNMENT);
        Self { buffer, start, len }
    }

    pub(crate) fn copied(bytes: &[u8]) -> Self {
        let mut copy = Self::zeroed(bytes.len());
        copy.copy_from_slice(bytes);
        copy
    }

    /// What `fill` writes: into a buffer of the guessed size first, then into one of exactly the counted size.
    pub(crate) fn filled(size: usize, fill: &mut Fill<'_>) -> Result<Self> {
        let mut size = size;
        for _ in 0..2 {
            let mut bytes = Self::zeroed(size);
            let mut writer = BlockWriter::new(bytes.as_uninit());
            fill(&mut writer)?;
            let (written, fits) = (writer.position(), writer.fits());
            if fits && written <= bytes.len {
                bytes.len = written;
                return Ok(bytes);
            }
            size = written;
        }
        Err(Error::Codec {
            codec: "block",
            what: format!("wrote more than the {size} bytes it had counted"),
        })
    }

    fn as_uninit(&mut self) -> &mut [MaybeUninit<u8>] {
        let bytes: &mut [u8] = self;
        // SAFETY: `MaybeUninit<u8>` has the layout of `u8`; the only user is `BlockWriter`, which writes bytes of
        // initialised slices, so every byte is initialised again when the borrow ends.
        unsafe { &mut *(std::ptr::from_mut(bytes) as *mut [MaybeUninit<u8>]) }
    }
}

/// `header` and what `fill` writes after it, in one go: whatever size was guessed, everything fits.
pub(crate) fn encoded(header: &[u8], size: usize, fill: &mut Fill<'_>) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // A guess that can not be had is no reason not to try.
    let _grows_then = bytes.try_reserve_exact(header.len().saturating_add(size));
    bytes.extend_from_slice(header);
    fill(&mut BlockWriter::through(&mut bytes, usize::MAX))?;
    Ok(bytes)
}

impl Deref for HeapBytes {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.buffer[self.start..self.start + self.len]
    }
}

impl DerefMut for HeapBytes {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[self.start..self.start + self.len]
    }
}

impl fmt::Debug for HeapBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HeapBytes({} bytes)", self.len)
    }
}
