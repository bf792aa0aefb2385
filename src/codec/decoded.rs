//! What decoding found, and what keeps it alive.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::connector::Block;
use crate::error::Result;

/// What a codec found: a value that lies in its block, or one made anew on the heap.
///
/// Derefs to the value and keeps it alive; cloning holds it once more.
///
/// ```
/// use inplace::Fingerprint;
/// use inplace::codec::Decoded;
/// use inplace::connector::Block;
///
/// let block = Block::from_heap(b"head:body"[..].into(), Fingerprint::BYTES);
/// let body = Decoded::project(block, |bytes| Ok(&bytes[5..])).unwrap();
/// assert_eq!(*body, b"body"[..]);
/// ```
pub struct Decoded<V: ?Sized>(Repr<V>);

enum Repr<V: ?Sized> {
    /// `value` points into `block`, whose bytes neither move nor change while any clone of it lives.
    InPlace {
        value: NonNull<V>,
        block: Block,
        /// The block is not the object's own: the codec made it.
        is_made: bool,
    },
    Owned(Arc<V>),
}

// SAFETY: shared access to a `V` from any thread is what `V: Send + Sync` allows; the block itself is `Send + Sync`.
unsafe impl<V: ?Sized + Send + Sync> Send for Decoded<V> {}
// SAFETY: as for `Send`: only `&V` is ever handed out.
unsafe impl<V: ?Sized + Send + Sync> Sync for Decoded<V> {}

impl<V: ?Sized> Decoded<V> {
    /// The value `find` finds among the block's bytes; it lives as long as the block, which is kept.
    #[inline]
    pub fn project(block: Block, find: impl FnOnce(&[u8]) -> Result<&V>) -> Result<Self> {
        let value = NonNull::from(find(&block)?);
        Ok(Self(Repr::InPlace { value, block, is_made: false }))
    }

    /// Says that the block was made by the codec, and is not the object's own: the store then keeps the value for later
    /// gets, as it does with those made anew. For codecs that decompress or decrypt, and then let another one decode.
    ///
    /// ```
    /// use inplace::codec::{Codec, Decoded, Raw};
    /// use inplace::connector::{Block, BlockWriter};
    /// use inplace::{Fingerprint, Result};
    ///
    /// /// Bytes that lie backwards.
    /// #[derive(Debug, Clone, Copy, Default)]
    /// struct Backwards;
    ///
    /// impl Codec<[u8]> for Backwards {
    ///     type Target = [u8];
    ///     const FINGERPRINT: Fingerprint = Fingerprint::BYTES.with_str("backwards");
    ///
    ///     fn type_name() -> String {
    ///         "backwards".into()
    ///     }
    ///
    ///     fn size_hint(&self, value: &[u8]) -> usize {
    ///         value.len()
    ///     }
    ///
    ///     fn encode(&self, value: &[u8], out: &mut BlockWriter<'_>) -> Result<()> {
    ///         value.iter().rev().for_each(|byte| out.write(&[*byte]));
    ///         Ok(())
    ///     }
    ///
    ///     fn decode(block: Block) -> Result<Decoded<[u8]>> {
    ///         let forwards = block.iter().rev().copied().collect();
    ///         let made = Block::from_heap(forwards, Fingerprint::BYTES);
    ///         <Raw as Codec<[u8]>>::decode(made).map(Decoded::made_anew)
    ///     }
    /// }
    ///
    /// let block = Block::from_heap(b"drawer"[..].into(), Backwards::FINGERPRINT);
    /// let value = Backwards::decode(block).unwrap();
    /// assert_eq!(*value, *b"reward");
    /// assert!(value.block().is_none(), "not the object's");
    /// ```
    #[must_use]
    pub fn made_anew(self) -> Self {
        Self(match self.0 {
            Repr::InPlace { value, block, .. } => Repr::InPlace { value, block, is_made: true },
            owned @ Repr::Owned(_) => owned,
        })
    }

    /// How many bytes the value takes beside the object, where it was made anew.
    pub(crate) fn made_bytes(&self) -> usize {
        match &self.0 {
            Repr::InPlace { block, is_made: true, .. } => block.len(),
            Repr::InPlace { .. } => 0,
            Repr::Owned(value) => size_of_val(&**value),
        }
    }

    /// A value made anew.
    #[inline]
    #[must_use]
    pub fn owned(value: Arc<V>) -> Self {
        Self(Repr::Owned(value))
    }

    /// The object's block, in which the value lies; `None` when it was made anew.
    #[inline]
    #[must_use]
    pub fn block(&self) -> Option<&Block> {
        match &self.0 {
            Repr::InPlace { block, is_made: false, .. } => Some(block),
            Repr::InPlace { .. } | Repr::Owned(_) => None,
        }
    }
}

impl<V: ?Sized> Deref for Decoded<V> {
    type Target = V;

    #[inline]
    fn deref(&self) -> &V {
        match &self.0 {
            // SAFETY: `project` took the pointer from a reference into the block's bytes (or to something that lives
            // for ever), and the block beside it keeps those bytes in place and unchanged.
            Repr::InPlace { value, .. } => unsafe { value.as_ref() },
            Repr::Owned(value) => value,
        }
    }
}

impl<V: ?Sized> Clone for Decoded<V> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Repr::InPlace { value, block, is_made } => {
                Repr::InPlace { value: *value, block: block.clone(), is_made: *is_made }
            }
            Repr::Owned(value) => Repr::Owned(Arc::clone(value)),
        })
    }
}

impl<V: ?Sized + fmt::Debug> fmt::Debug for Decoded<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decoded").field(&&**self).finish()
    }
}
