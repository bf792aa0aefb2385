//! Names of types by fingerprint, so that an error can name what it found.

use crate::sync::AtomicU64;

pub(crate) const TYPE_ENTRIES: u64 = 256;
pub(crate) const NAME_WORDS: usize = 7;

/// One known type. Only errors read it: an entry may lack its name, or a name its end.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub(crate) struct TypeEntry {
    /// 0: unused.
    pub(crate) fingerprint: AtomicU64,
    /// UTF-8, padded with zeros, cut at 56 bytes.
    pub(crate) name: [AtomicU64; NAME_WORDS],
}
