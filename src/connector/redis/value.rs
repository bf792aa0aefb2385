//! Values as the server keeps them: 16 bytes about the object, then its bytes.

use redis::Cmd;

use crate::connector::Fill;
use crate::connector::heap::encoded;
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;

/// Before an object's bytes: what it is, and its fingerprint.
pub(super) const HEADER: usize = 16;
const MAGIC: [u8; 8] = *b"INPLOBJ1";
/// What a string of Redis may hold.
const VALUE_MOST: u64 = 512 << 20;
/// A batch is sent in parts of about so many bytes, so that neither side holds all of it at once.
const PART_MOST: usize = 16 << 20;

/// A value's fingerprint and bytes, or what it is instead.
pub(super) fn split(value: &[u8]) -> Result<(Fingerprint, &[u8]), &'static str> {
    let Some((header, bytes)) = value.split_first_chunk::<HEADER>() else {
        return Err("is too short to be an object");
    };
    if header[..8] != MAGIC {
        return Err("does not begin as an object of this version does");
    }
    let fingerprint = header[8..].iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
    Ok((Fingerprint::from_raw(fingerprint), bytes))
}

/// Whether these first bytes are of an object that is there, and not of why there will be none.
pub(super) fn is_value(header: &[u8]) -> bool {
    let is_outcome = split(header).is_ok_and(|(kind, _)| Fingerprint::is_outcome(kind.get()));
    !header.is_empty() && !is_outcome
}

/// Stores a value under a name that has to be new, perhaps until some time.
pub(super) fn set(place: &str, value: &[u8], until: Option<Deadline>) -> Cmd {
    let mut command = Cmd::with_capacity(6, value.len() + place.len() + 40);
    command.arg("SET").arg(place).arg(value).arg("NX");
    if let Some(deadline) = until {
        // It takes no shorter time for one to begin with.
        command.arg("PX").arg(millis_left(deadline).max(1));
    }
    command
}

/// How long an object has to stay for a deadline, in whole milliseconds: a server knows no others. 0: not at all.
pub(super) fn millis_left(deadline: Deadline) -> u64 {
    let millis = deadline.remaining().as_nanos().div_ceil(1_000_000);
    u64::try_from(millis).unwrap_or(u64::MAX)
}

/// Neighbouring values in parts of a bounded size.
pub(super) fn parts(values: &[Vec<u8>]) -> impl Iterator<Item = &[Vec<u8>]> {
    let mut rest = values;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |value: &&Vec<u8>| {
            bytes += value.len();
            bytes <= PART_MOST
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        let (part, after) = rest.split_at(count);
        rest = after;
        (!part.is_empty()).then_some(part)
    })
}

/// A value as it is stored.
pub(super) fn value_of(
    size: usize,
    fingerprint: Fingerprint,
    fill: &mut Fill<'_>,
) -> Result<Vec<u8>> {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..].copy_from_slice(&fingerprint.get().to_le_bytes());
    let value = encoded(&header, size, fill)?;
    if value.len() as u64 > VALUE_MOST {
        let (len, most) = ((value.len() - HEADER) as u64, VALUE_MOST - HEADER as u64);
        return Err(Error::TooLarge { len, most, what: "a string of Redis".to_owned() });
    }
    Ok(value)
}
