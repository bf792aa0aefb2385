//! Names: what one bucket of the name table holds, as bytes.
//!
//! A bucket word names one immutable object that holds every (name, object) of the bucket; binding makes a new one. The
//! protocol is in `protocol::bind`.

use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::layout::geometry::NAME_BUCKETS;
use crate::layout::slot::ObjectId;

/// What bucket objects carry.
pub(crate) const FINGERPRINT: Fingerprint = Fingerprint::of("inplace::names");
const LONGEST: usize = 1024;

/// The bucket a name belongs to.
pub(crate) fn bucket_of(name: &str) -> u64 {
    Fingerprint::of(name).get() % NAME_BUCKETS
}

/// Checks a name for an object.
pub(crate) fn check(name: &str) -> Result<()> {
    let refuse = |reason: String| {
        let name = name.chars().take(64).collect();
        Err(Error::InvalidName { what: "object", name, reason })
    };
    match name.len() {
        0 => refuse("it is empty; expected 1 to 1024 bytes".into()),
        len if len > LONGEST => refuse(format!("it has {len} bytes; expected 1 to {LONGEST}")),
        _ => Ok(()),
    }
}

/// One bucket's names, decoded.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Bucket {
    pub(crate) entries: Vec<(String, ObjectId)>,
}

impl Bucket {
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self> {
        let mut entries = Vec::new();
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some((entry, after)) = decode_entry(rest) else {
                return Err(Error::corrupt("a name bucket holds no names"));
            };
            entries.push(entry);
            rest = after;
        }
        Ok(Self { entries })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, id) in &self.entries {
            bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
            bytes.extend_from_slice(&id.0.to_le_bytes());
            bytes.extend_from_slice(name.as_bytes());
        }
        bytes
    }

    pub(crate) fn find(&self, name: &str) -> Option<ObjectId> {
        self.entries.iter().find(|(found, _)| found == name).map(|&(_, id)| id)
    }
}

fn decode_entry(bytes: &[u8]) -> Option<((String, ObjectId), &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<4>()?;
    let (id, rest) = rest.split_first_chunk::<8>()?;
    let (name, rest) = rest.split_at_checked(u32::from_le_bytes(*len) as usize)?;
    let name = std::str::from_utf8(name).ok()?;
    Some(((name.to_owned(), ObjectId(u64::from_le_bytes(*id))), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_comes_back_as_it_went_in() {
        let bucket = Bucket {
            entries: vec![
                ("a".into(), ObjectId::new(1, 2)),
                ("weights/größe".into(), ObjectId::new(3, 4)),
            ],
        };
        assert_eq!(Bucket::decode(&bucket.encode()).unwrap(), bucket);
        assert_eq!(bucket.find("a"), Some(ObjectId::new(1, 2)));
        assert_eq!(bucket.find("b"), None);
    }

    #[test]
    fn truncated_buckets_are_errors() {
        let bytes = Bucket { entries: vec![("name".into(), ObjectId::new(1, 2))] }.encode();
        for len in 1..bytes.len() {
            assert!(Bucket::decode(&bytes[..len]).is_err(), "{len}");
        }
    }
}
