//! The table of known types: only for errors, so it may be full, late or cut, and never wrong about a fingerprint.

use crate::actor::Actor;
use crate::fingerprint::Fingerprint;
use crate::layout::types::TYPE_ENTRIES;
use crate::sync::Ordering;

impl Actor<'_> {
    /// Remembers a type's name for all processes, if there is room.
    pub(crate) fn register_type(&self, fingerprint: Fingerprint, name: &str) {
        for step in 0..TYPE_ENTRIES {
            let entry = self.segment.type_entry(fingerprint.get().wrapping_add(step));
            match entry.fingerprint.compare_exchange(
                0,
                fingerprint.get(),
                Ordering::AcqRel,
                Ordering::Acquire,
            ) {
                Ok(_) => {
                    for (word, bytes) in entry.name.iter().zip(name.as_bytes().chunks(8)) {
                        let mut padded = [0; 8];
                        padded[..bytes.len()].copy_from_slice(bytes);
                        word.store(u64::from_le_bytes(padded), Ordering::Release);
                    }
                    return;
                }
                Err(found) if found == fingerprint.get() => return,
                Err(_) => {}
            }
        }
    }

    /// What to call a type in errors.
    pub(crate) fn name_type(&self, fingerprint: Fingerprint) -> String {
        match self.describe_type(fingerprint) {
            Some(name) => name,
            None if fingerprint == Fingerprint::BYTES => "bytes".into(),
            None => format!("an unknown type ({fingerprint:?})"),
        }
    }

    /// The name of a type that some process registered.
    pub(crate) fn describe_type(&self, fingerprint: Fingerprint) -> Option<String> {
        for step in 0..TYPE_ENTRIES {
            let entry = self.segment.type_entry(fingerprint.get().wrapping_add(step));
            match entry.fingerprint.load(Ordering::Acquire) {
                0 => return None,
                found if found == fingerprint.get() => {
                    let bytes: Vec<u8> = entry
                        .name
                        .iter()
                        .flat_map(|word| word.load(Ordering::Acquire).to_le_bytes())
                        .collect();
                    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
                    return (end > 0).then(|| String::from_utf8_lossy(&bytes[..end]).into_owned());
                }
                _ => {}
            }
        }
        None
    }
}
