//! How a value becomes bytes, and how those bytes are used in place.

use std::ptr::NonNull;
use std::sync::Arc;

use crate::connector::{Block, BlockWriter};
use crate::error::Result;
use crate::fingerprint::Fingerprint;

/// Turns values of type `T` into a block's bytes and back into something that derefs to [`Codec::Target`].
pub trait Codec<T: ?Sized>: Copy + Default + Send + Sync + 'static {
    /// What a resolved object derefs to: the archived form, the slice, the value itself.
    type Target: ?Sized + Send + Sync + 'static;

    /// What the bytes are; compared with the slot's own on every use.
    const FINGERPRINT: Fingerprint;

    /// The type's name, for errors.
    fn type_name() -> String;

    /// A guess of the encoded length in bytes.
    fn size_hint(&self, value: &T) -> usize;

    /// Writes `value`.
    fn encode(&self, value: &T, out: &mut BlockWriter<'_>) -> Result<()>;

    /// Finds the value in `block`, whose fingerprint has been compared already. `checked`: the bytes have been checked
    /// in this process before.
    fn decode(block: &Block, checked: bool) -> Result<Decoded<Self::Target>>;
}

/// What decoding found.
#[derive(Debug)]
pub enum Decoded<V: ?Sized> {
    /// The value lies in the block and lives as long as it.
    InPlace(NonNull<V>),
    /// The value was made anew, on the heap.
    Owned(Arc<V>),
}
