//! What an object's bytes are: a structural hash of its archived type, kept in the slot and compared on every use.

use std::fmt;

/// A structural hash of an archived type: its name, fields, sizes and alignments, and how they are encoded.
///
/// Neither `TypeId` nor `type_name` takes part, so two programs built apart agree. Computed in constant evaluation with
/// 64-bit FNV-1a.
///
/// ```
/// use inplace::Fingerprint;
///
/// const POINT: Fingerprint = Fingerprint::of("Point").with_str("x").with_u64(4);
/// assert_ne!(POINT, Fingerprint::BYTES);
/// ```
#[derive(
    Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize,
)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// Raw bytes: what objects without a type carry.
    pub const BYTES: Self = Self::of("inplace::bytes");

    /// Why a promise was failed: the text its promiser gave, in the place of a value.
    pub const FAILED: Self = Self::of("inplace::failed");

    /// That a promise was cancelled, in the place of a value.
    pub const CANCELLED: Self = Self::of("inplace::cancelled");

    /// Whether a slot's fingerprint says that there is no value, and why.
    pub(crate) const fn is_outcome(raw: u64) -> bool {
        raw == Self::FAILED.0 || raw == Self::CANCELLED.0
    }

    /// The fingerprint that starts with a name.
    #[must_use]
    pub const fn of(name: &str) -> Self {
        Self(0xcbf2_9ce4_8422_2325).with_str(name)
    }

    /// The largest alignment an archived type may have: what rkyv can pad to.
    pub const MAX_ALIGN: usize = 32;

    /// The fingerprint that starts with an archived type: its name, size and alignment, and how numbers and pointers
    /// are laid out.
    ///
    /// An alignment above [`MAX_ALIGN`](Self::MAX_ALIGN) does not compile.
    ///
    /// ```
    /// use inplace::Fingerprint;
    ///
    /// const NARROW: Fingerprint = Fingerprint::of_archived::<[u8; 4]>("Colour");
    /// const WIDE: Fingerprint = Fingerprint::of_archived::<[u8; 16]>("Colour");
    /// assert_ne!(NARROW, WIDE);
    /// ```
    #[must_use]
    pub const fn of_archived<A>(name: &str) -> Self {
        assert!(
            align_of::<A>() <= Self::MAX_ALIGN,
            "an archived type may be aligned to 32 bytes at most: lower its `repr(align)`, or store it with `Slice`"
        );
        Self::of("inplace::archive")
            .with_str(if cfg!(target_endian = "little") { "little" } else { "big" })
            .with_u64(size_of::<rkyv::primitive::ArchivedUsize>() as u64)
            .with_str(name)
            .with_u64(size_of::<A>() as u64)
            .with_u64(align_of::<A>() as u64)
    }

    /// Goes on with a string: a field's name, a codec's.
    #[must_use]
    pub const fn with_str(self, text: &str) -> Self {
        let bytes = text.as_bytes();
        let (mut hash, mut at) = (self.0, 0);
        while at < bytes.len() {
            hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        Self(hash).with_u64(bytes.len() as u64)
    }

    /// Goes on with a number: a size, an alignment, a count.
    #[must_use]
    pub const fn with_u64(self, number: u64) -> Self {
        let (bytes, mut hash, mut at) = (number.to_le_bytes(), self.0, 0);
        while at < 8 {
            hash = (hash ^ bytes[at] as u64).wrapping_mul(0x0000_0100_0000_01b3);
            at += 1;
        }
        Self(hash)
    }

    /// Goes on with another type's fingerprint: a field's, an element's.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        self.with_u64(other.0)
    }

    /// The hash itself, as it stands in a slot.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The fingerprint a slot holds.
    #[must_use]
    pub const fn from_raw(raw: u64) -> Self {
        Self(raw)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({:016x})", self.0)
    }
}
