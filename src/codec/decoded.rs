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
        Ok(Self(Repr::InPlace { value, block }))
    }

    /// A value made anew.
    #[inline]
    #[must_use]
    pub fn owned(value: Arc<V>) -> Self {
        Self(Repr::Owned(value))
    }

    /// The block the value lies in; `None` when it was made anew.
    #[inline]
    #[must_use]
    pub fn block(&self) -> Option<&Block> {
        match &self.0 {
            Repr::InPlace { block, .. } => Some(block),
            Repr::Owned(_) => None,
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
            Repr::InPlace { value, block } => Repr::InPlace { value: *value, block: block.clone() },
            Repr::Owned(value) => Repr::Owned(Arc::clone(value)),
        })
    }
}

impl<V: ?Sized + fmt::Debug> fmt::Debug for Decoded<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Decoded").field(&&**self).finish()
    }
}
