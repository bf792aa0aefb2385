//! What is sent instead of an object.

use std::fmt;

/// Names one object for ever: sixteen bytes, sent instead of the object.
///
/// `space` says whose it is (a region's id, or a connector's own number), `object` which one; a key is never given to
/// two objects. In a region, `object` packs the slot (low 24 bits) and its generation (high 40 bits).
///
/// ```
/// use inplace::Key;
///
/// let key = Key::new(7, 42);
/// assert_eq!(key.to_string().parse::<Key>().unwrap(), key);
/// ```
#[derive(
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[rkyv(derive(Debug, PartialEq, Eq))]
pub struct Key {
    space: u64,
    object: u64,
}

impl Key {
    /// A key from its two parts.
    #[must_use]
    pub const fn new(space: u64, object: u64) -> Self {
        Self { space, object }
    }

    /// Whose object it is: the region's id, or a connector's own number.
    #[must_use]
    pub const fn space(self) -> u64 {
        self.space
    }

    /// Which object of its space.
    #[must_use]
    pub const fn object(self) -> u64 {
        self.object
    }
}

impl From<&ArchivedKey> for Key {
    fn from(key: &ArchivedKey) -> Self {
        Self::new(key.space.to_native(), key.object.to_native())
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}-{:016x}", self.space, self.object)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({self})")
    }
}

impl std::str::FromStr for Key {
    type Err = crate::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let hex = |part: &str| {
            // Or a sign would do for the first digit.
            let is_hex = part.len() == 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
            is_hex.then(|| u64::from_str_radix(part, 16).ok()).flatten()
        };
        text.split_once('-')
            .and_then(|(space, object)| Some(Self::new(hex(space)?, hex(object)?)))
            .ok_or_else(|| crate::Error::InvalidName {
                what: "key",
                name: text.chars().take(64).collect(),
                reason: "expected two groups of 16 hexadecimal digits with a dash between them"
                    .into(),
            })
    }
}
