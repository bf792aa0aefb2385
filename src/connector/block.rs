//! The bytes of one object, held in place.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use crate::fingerprint::Fingerprint;

/// The bytes of one object, read-only and in place; the object stays for as long as the block lives.
///
/// `Send`, `Sync` and `'static`; cloning holds the object once more.
#[derive(Clone)]
pub struct Block {
    repr: Repr,
}

#[derive(Clone)]
enum Repr {
    Heap { bytes: Arc<[u8]>, fingerprint: Fingerprint },
}

impl Block {
    /// A block on the heap, for connectors that hold no shared memory.
    #[must_use]
    pub fn from_heap(bytes: Arc<[u8]>, fingerprint: Fingerprint) -> Self {
        Self { repr: Repr::Heap { bytes, fingerprint } }
    }

    /// What type the bytes were put as.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        match &self.repr {
            Repr::Heap { fingerprint, .. } => *fingerprint,
        }
    }

    /// Whether this process has checked this object's bytes against its fingerprint before.
    #[must_use]
    pub fn is_checked(&self) -> bool {
        false
    }

    /// Remembers that this object's bytes are what its fingerprint says.
    pub fn set_checked(&self) {}
}

impl Deref for Block {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.repr {
            Repr::Heap { bytes, .. } => bytes,
        }
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Block").field("len", &self.len()).finish_non_exhaustive()
    }
}
