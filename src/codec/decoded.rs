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
    },
    Anew(Anew<V>),
}

/// Small, so that views of values in place are no larger for it.
enum Anew<V: ?Sized> {
    Value(Arc<V>),
    /// In a block that is not the object's own.
    Block(Arc<Apart<V>>),
}

/// As [`Repr::InPlace`], in a block that the codec made.
struct Apart<V: ?Sized> {
    value: NonNull<V>,
    block: Block,
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
        Ok(Self(Repr::InPlace { value, block }))
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
            Repr::InPlace { value, block } => {
                Repr::Anew(Anew::Block(Arc::new(Apart { value, block })))
            }
            anew @ Repr::Anew(_) => anew,
        })
    }

    /// How many bytes the value takes beside the object, where it was made anew.
    pub(crate) fn made_bytes(&self) -> usize {
        match &self.0 {
            Repr::InPlace { .. } => 0,
            Repr::Anew(Anew::Value(value)) => size_of_val(&**value),
            Repr::Anew(Anew::Block(apart)) => apart.block.len(),
        }
    }

    /// A value made anew.
    #[inline]
    #[must_use]
    pub fn owned(value: Arc<V>) -> Self {
        Self(Repr::Anew(Anew::Value(value)))
    }

    /// The object's block, in which the value lies; `None` when it was made anew.
    #[inline]
    #[must_use]
    pub fn block(&self) -> Option<&Block> {
        match &self.0 {
            Repr::InPlace { block, .. } => Some(block),
            Repr::Anew(_) => None,
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
            Repr::Anew(Anew::Value(value)) => value,
            // SAFETY: as above.
            Repr::Anew(Anew::Block(apart)) => unsafe { apart.value.as_ref() },
        }
    }
}

impl<V: ?Sized> Clone for Decoded<V> {
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Repr::InPlace { value, block } => Repr::InPlace { value: *value, block: block.clone() },
            Repr::Anew(Anew::Value(value)) => Repr::Anew(Anew::Value(Arc::clone(value))),
            Repr::Anew(Anew::Block(apart)) => Repr::Anew(Anew::Block(Arc::clone(apart))),
        })
    }
}

impl<V: ?Sized + fmt::Debug> fmt::Debug for Decoded<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decoded").field(&&**self).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_in_place_take_no_word_more_for_those_that_are_not() {
        let in_place = size_of::<Block>() + size_of::<NonNull<u8>>();
        assert_eq!(size_of::<Decoded<u8>>(), in_place);
    }
}
