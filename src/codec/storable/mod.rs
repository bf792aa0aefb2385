//! Types that can be archived, and the structural fingerprint each has.

mod collections;
mod primitives;

use rkyv::bytecheck::CheckBytes;
use rkyv::de::Pool;
use rkyv::rancor::{BoxedError, Strategy};
use rkyv::validation::Validator;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::validation::shared::SharedValidator;

use crate::codec::Encoder;
use crate::fingerprint::Fingerprint;

/// What checks an archive's bytes.
pub type Checker<'a> = Strategy<Validator<ArchiveValidator<'a>, SharedValidator>, BoxedError>;

/// What turns an archived value back into an owned one.
pub type Reviver = Strategy<Pool, BoxedError>;

/// A type that [`Archive`](crate::codec::Archive) stores: rkyv archives it, and its structure has a fingerprint.
///
/// Implemented for numbers, text, collections, tuples and the like; for your own types by
/// [`#[inplace::storable]`](macro@crate::storable), which needs no further dependency. `T: Storable` is the only bound
/// generic code needs.
///
/// ```
/// use inplace::Storable;
///
/// #[inplace::storable]
/// struct Sample {
///     channel: u16,
///     values: Vec<f64>,
/// }
///
/// assert_eq!(Sample::type_name(), "Sample");
/// assert_ne!(<Vec<f64>>::FINGERPRINT, <Vec<u64>>::FINGERPRINT);
/// ```
///
/// Elements of vectors, slices and hash tables take at least a byte each, or it does not compile: of others, hostile bytes
/// could claim to be any number.
///
/// ```compile_fail
/// use inplace::Storable;
///
/// println!("{:?}", <Vec<()>>::FINGERPRINT);
/// ```
///
/// # Safety
///
/// Types with equal fingerprints must have archived forms of the same layout in which the same bytes are valid: within
/// a process, bytes that were checked as one of them are used as another. Build the fingerprint with
/// [`Fingerprint::of_archived`], then every field's name and fingerprint in order.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored as an archive",
    label = "not `Storable`",
    note = "put `#[inplace::storable]` on the type, or use the `Serde` codec"
)]
pub unsafe trait Storable:
    Sized
    + 'static
    + rkyv::Archive<
        Archived: for<'a> CheckBytes<Checker<'a>>
                      + rkyv::Deserialize<Self, Reviver>
                      + Send
                      + Sync
                      + 'static,
    >
    + for<'a> rkyv::Serialize<Encoder<'a>>
{
    /// The structure of the archived type.
    const FINGERPRINT: Fingerprint;

    /// The type's name, for people.
    fn type_name() -> String;
}

/// Stands for the type being defined where it holds itself, so that its fingerprint does not depend on itself. `TYPE`
/// hashes its definition. You never name it. It takes a byte, as whatever it stands for does.
#[doc(hidden)]
#[derive(
    Debug, PartialEq, Eq, PartialOrd, Ord, Hash, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
#[rkyv(derive(PartialEq, Eq, PartialOrd, Ord, Hash))]
pub struct Itself<const TYPE: u64>(u8);

// SAFETY: a byte, every value of which is valid.
unsafe impl<const TYPE: u64> Storable for Itself<TYPE> {
    const FINGERPRINT: Fingerprint =
        Fingerprint::of_archived::<Self::Archived>("Self").with_u64(TYPE);

    fn type_name() -> String {
        "Self".into()
    }
}
