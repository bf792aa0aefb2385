//! The bytes of one object, held in place.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;

use crate::connector::Fill;
use crate::connector::heap::HeapBytes;
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::region::{Lent, MessageBytes, Pinned};
use crate::sync::{AtomicBool, Ordering};
use crate::sys::mapping::Mapping;

/// The bytes of one object, read-only and in place; the object stays for as long as the block lives.
///
/// `Send`, `Sync` and `'static`; cloning holds the object once more. Its first byte is 64-byte aligned.
///
/// ```
/// use inplace::Fingerprint;
/// use inplace::connector::Block;
///
/// let block = Block::from_heap(b"bytes"[..].into(), Fingerprint::BYTES);
/// assert_eq!(&*block, b"bytes");
/// assert_eq!(bytes::Bytes::from(block), &b"bytes"[..]);
/// ```
#[derive(Clone)]
pub struct Block {
    repr: Repr,
}

#[derive(Clone)]
enum Repr {
    Heap(Arc<OwnBlock<HeapBytes>>),
    /// A file: its bytes after so many.
    File(Arc<OwnBlock<Mapping>>, usize),
    Shm(Pinned),
    /// A message in its queue.
    Lent(Lent),
    Part(Arc<Part>),
}

/// An object within another one.
struct Part {
    whole: Arc<Block>,
    at: usize,
    len: usize,
    fingerprint: Fingerprint,
    checked: AtomicBool,
}

impl Part {
    /// Apart, so that nothing else calls itself.
    #[inline(never)]
    fn bytes(&self) -> &[u8] {
        &self.whole[self.at..self.at + self.len]
    }
}

struct OwnBlock<B> {
    bytes: B,
    fingerprint: Fingerprint,
    checked: AtomicBool,
}

impl<B> OwnBlock<B> {
    fn new(bytes: B, fingerprint: Fingerprint) -> Arc<Self> {
        Arc::new(Self { bytes, fingerprint, checked: AtomicBool::new(false) })
    }
}

impl Block {
    /// A block on the heap with a copy of `bytes`, for connectors that hold no shared memory.
    #[must_use]
    pub fn from_heap(bytes: Arc<[u8]>, fingerprint: Fingerprint) -> Self {
        Self::heap(HeapBytes::copied(&bytes), fingerprint)
    }

    /// A block on the heap that holds what `fill` writes; `size` is a guess of its length.
    pub fn filled(size: usize, fingerprint: Fingerprint, fill: &mut Fill<'_>) -> Result<Self> {
        Ok(Self::heap(HeapBytes::filled(size, fill)?, fingerprint))
    }

    pub(crate) fn heap(bytes: HeapBytes, fingerprint: Fingerprint) -> Self {
        Self { repr: Repr::Heap(OwnBlock::new(bytes, fingerprint)) }
    }

    /// A block that is a mapped file without its first `start` bytes, which are a multiple of 64.
    pub(crate) fn mapped(mapping: Mapping, start: usize, fingerprint: Fingerprint) -> Self {
        Self { repr: Repr::File(OwnBlock::new(mapping, fingerprint), start) }
    }

    /// A part of it that begins at a multiple of 64, as a block of its own; `None` if it does not lie inside.
    pub(crate) fn part(
        self: &Arc<Self>,
        (at, len): (usize, usize),
        fingerprint: Fingerprint,
    ) -> Option<Self> {
        let repr = match &self.repr {
            Repr::Lent(lent) => Repr::Lent(lent.part((at, len), fingerprint)?),
            _ => {
                self.get(at..at.checked_add(len)?)?;
                let (whole, checked) = (self.clone(), AtomicBool::new(false));
                Repr::Part(Arc::new(Part { whole, at, len, fingerprint, checked }))
            }
        };
        at.is_multiple_of(64).then_some(Self { repr })
    }

    /// Whether its bytes are a message's, which are written over when that is acknowledged.
    #[inline]
    pub(crate) fn is_lent(&self) -> bool {
        matches!(self.repr, Repr::Lent(_))
    }

    /// What type the bytes were put as.
    #[inline]
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        match &self.repr {
            Repr::Heap(heap) => heap.fingerprint,
            Repr::File(file, _) => file.fingerprint,
            Repr::Shm(pinned) => pinned.fingerprint(),
            Repr::Lent(lent) => lent.fingerprint(),
            Repr::Part(part) => part.fingerprint,
        }
    }

    /// Whether this process has checked this object's bytes against its fingerprint before.
    #[inline]
    #[must_use]
    pub fn is_checked(&self) -> bool {
        match &self.repr {
            Repr::Heap(heap) => heap.checked.load(Ordering::Relaxed),
            Repr::File(file, _) => file.checked.load(Ordering::Relaxed),
            Repr::Shm(pinned) => pinned.is_checked(),
            Repr::Lent(_) => false,
            Repr::Part(part) => part.checked.load(Ordering::Relaxed),
        }
    }

    /// Remembers that this object's bytes are what its fingerprint says.
    pub(crate) fn set_checked(&self) {
        match &self.repr {
            Repr::Heap(heap) => heap.checked.store(true, Ordering::Relaxed),
            Repr::File(file, _) => file.checked.store(true, Ordering::Relaxed),
            Repr::Shm(pinned) => pinned.set_checked(),
            Repr::Lent(_) => {}
            Repr::Part(part) => part.checked.store(true, Ordering::Relaxed),
        }
    }
}

impl Deref for Block {
    type Target = [u8];

    #[inline(always)]
    fn deref(&self) -> &[u8] {
        match &self.repr {
            Repr::Heap(heap) => &heap.bytes,
            Repr::File(file, start) => &file.bytes[*start..],
            Repr::Shm(pinned) => pinned,
            Repr::Lent(lent) => lent,
            Repr::Part(part) => part.bytes(),
        }
    }
}

impl From<Pinned> for Block {
    #[inline]
    fn from(pinned: Pinned) -> Self {
        Self { repr: Repr::Shm(pinned) }
    }
}

impl From<MessageBytes> for Block {
    #[inline]
    fn from(message: MessageBytes) -> Self {
        match message {
            MessageBytes::Inline(lent) => Self { repr: Repr::Lent(lent) },
            MessageBytes::Object(pinned) => pinned.into(),
        }
    }
}

impl AsRef<[u8]> for Block {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl From<Block> for Bytes {
    /// The same bytes, still in place: the object stays for as long as any part of them lives.
    fn from(block: Block) -> Self {
        Self::from_owner(block)
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block")
            .field("len", &self.len())
            .field("fingerprint", &self.fingerprint())
            .finish()
    }
}
