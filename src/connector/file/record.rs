//! What a file of the directory holds: 64 bytes about the object, then its bytes.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::connector::Block;
use crate::connector::heap::HeapBytes;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::sys::mapping::Mapping;

/// Bytes before the object's own: these start at a multiple of 64 wherever the file is mapped.
pub(super) const HEADER: usize = 64;
const MAGIC: u64 = u64::from_le_bytes(*b"INPLOBJ1");

const VALUE: u64 = 1;
const PROMISE: u64 = 2;
const BROKEN: u64 = 3;

/// What the file of an object says it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Record {
    Value {
        fingerprint: Fingerprint,
        len: u64,
    },
    /// A value may come, for as long as the process that made it lives.
    Promise,
    /// No value will come.
    Broken,
}

impl Record {
    /// The first bytes of the object's file.
    pub(super) fn header(self, key: Key) -> [u8; HEADER] {
        let (state, fingerprint, len) = match self {
            Self::Value { fingerprint, len } => (VALUE, fingerprint.get(), len),
            Self::Promise => (PROMISE, 0, 0),
            Self::Broken => (BROKEN, 0, 0),
        };
        let mut words = [MAGIC, state, key.space(), key.object(), fingerprint, len, 0, 0];
        words[7] = seal(&words);
        let mut header = [0; HEADER];
        for (place, word) in header.chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        header
    }

    /// Reads the header of the object's file, and holds it against the key and the file's length.
    pub(super) fn read(file: &mut File, path: &Path, key: Key) -> Result<Self> {
        let damaged = |found: &str| damaged(path, key, found);
        let mut header = [0; HEADER];
        match file.read_exact(&mut header) {
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                return Err(damaged("is too short to be an object"));
            }
            outcome => outcome.map_err(|error| failed(path, error))?,
        }
        let mut words = [0_u64; HEADER / 8];
        for (word, place) in words.iter_mut().zip(header.chunks_exact(8)) {
            *word = place.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        }
        let [magic, state, space, object, fingerprint, len, _, sealed] = words;
        if magic != MAGIC {
            return Err(damaged("does not begin as an object of this version does"));
        }
        words[7] = 0;
        if sealed != seal(&words) {
            return Err(damaged("has a header whose words do not belong together"));
        }
        if (space, object) != (key.space(), key.object()) {
            let other = Key::new(space, object);
            return Err(damaged(&format!("holds another object, {other}")));
        }
        let actual = file.metadata().map_err(|error| failed(path, error))?.len();
        let expected = len.saturating_add(HEADER as u64);
        if actual != expected {
            return Err(damaged(&format!("has {actual} bytes instead of {expected}")));
        }
        match state {
            VALUE => Ok(Self::Value { fingerprint: Fingerprint::from_raw(fingerprint), len }),
            PROMISE => Ok(Self::Promise),
            BROKEN => Ok(Self::Broken),
            _ => Err(damaged("is neither a value nor a promise")),
        }
    }
}

/// The block of a value whose header was read; from `map_from` bytes on the file is mapped, below it is copied.
pub(super) fn block(
    (mut file, path): (File, &Path),
    (fingerprint, len): (Fingerprint, u64),
    map_from: u64,
) -> Result<Block> {
    let failed = |error| failed(path, error);
    let bytes = usize::try_from(len).unwrap_or(usize::MAX - HEADER);
    if len >= map_from && len > 0 {
        let mapping = Mapping::new(&file, HEADER + bytes).map_err(failed)?;
        return Ok(Block::mapped(mapping, HEADER, fingerprint));
    }
    let mut copy = HeapBytes::zeroed(bytes);
    file.read_exact(&mut copy).map_err(failed)?;
    Ok(Block::heap(copy, fingerprint))
}

fn damaged(path: &Path, key: Key, found: &str) -> Error {
    Error::Damaged { key, place: path.display().to_string(), found: found.to_owned() }
}

/// A system error that names the file.
pub(super) fn failed(path: &Path, error: std::io::Error) -> Error {
    let named = std::io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    Error::system("using a directory of objects", named)
}

/// FNV-1a of the words before it: not against malice, but against bytes that are something else.
fn seal(words: &[u64; HEADER / 8]) -> u64 {
    let start = Fingerprint::of("inplace::file");
    words[..7].iter().fold(start, |seal, word| seal.with_u64(*word)).get()
}
