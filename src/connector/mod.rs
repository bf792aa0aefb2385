//! Bytes by key: what a store stands on.

mod block;
mod writer;

pub use block::Block;
pub use writer::BlockWriter;

use std::time::Duration;

use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::key::Key;

/// Fills a block: called with a writer that may be too small; whatever is written past its end is only counted, and
/// the connector then calls again with a block of exactly the counted size.
pub type Fill<'a> = dyn FnMut(&mut BlockWriter<'_>) -> Result<()> + 'a;

/// Stores bytes under keys it makes up. Objects are written once and never change.
pub trait Connector: Send + Sync + std::fmt::Debug {
    /// Stores what `fill` writes. `size` is a guess of its length in bytes: right saves a second call of `fill`.
    fn put_with(&self, size: usize, fingerprint: Fingerprint, fill: &mut Fill<'_>) -> Result<Key>;

    /// Stores a copy of `bytes`.
    fn put(&self, bytes: &[u8]) -> Result<Key>;

    /// The object in place, pinned for as long as the block lives; `None` when it was evicted or never existed.
    fn get(&self, key: Key) -> Result<Option<Block>>;

    /// Evicts the object and returns it: of any number of concurrent takers exactly one gets it.
    fn take(&self, key: Key) -> Result<Option<Block>>;

    /// Whether the object is there.
    fn exists(&self, key: Key) -> Result<bool>;

    /// Evicts the object: from now on nobody gets it; its memory returns with the last block. Whether it was there.
    fn evict(&self, key: Key) -> Result<bool>;
}

/// A connector whose keys can be handed out before their value exists.
pub trait Deferrable: Connector {
    /// A key whose value is promised by this process.
    fn reserve(&self) -> Result<Key>;

    /// Gives a reserved key its value, once.
    fn set_with(
        &self,
        key: Key,
        size: usize,
        fingerprint: Fingerprint,
        fill: &mut Fill<'_>,
    ) -> Result<()>;

    /// Says that the value will never come.
    fn fail(&self, key: Key) -> Result<()>;

    /// Waits for the value; `None` waits without limit.
    fn wait(&self, key: Key, timeout: Option<Duration>) -> Result<Block>;
}
