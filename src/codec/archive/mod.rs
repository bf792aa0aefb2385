//! The default codec: rkyv archives, read in place.

use std::mem::MaybeUninit;
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};

use rkyv::api::{access_pos_with_context, root_position};
use rkyv::bytecheck::CheckBytes;
use rkyv::rancor::{BoxedError, Strategy};
use rkyv::ser::{Positional, Writer, WriterExt};
use rkyv::string::{ArchivedString, StringResolver};
use rkyv::validation::Validator;
use rkyv::validation::archive::ArchiveValidator;
use rkyv::validation::shared::SharedValidator;
use rkyv::vec::{ArchivedVec, VecResolver};
use rkyv::{Deserialize, Place, Portable, Serialize};

use crate::codec::encoder::Stack;
use crate::codec::storable::Checker;
use crate::codec::{Codec, Contained, Decoded, Encoder, Storable};
use crate::connector::{Block, BlockWriter};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;

/// Archives any [`Storable`] type with rkyv, straight into the block; a resolved object is the archived form, in place.
///
/// The bytes are checked once per process, on first use. A `str` is stored as a `String`, a `[T]` as a `Vec<T>`. Boxes,
/// vectors and tables may be nested 256 levels deep: more is an error when it is checked.
///
/// ```
/// use inplace::Storable;
/// use inplace::codec::{Archive, Codec, to_vec};
/// use inplace::connector::Block;
///
/// let bytes = to_vec(Archive, &vec![1.0_f64, 2.5]).unwrap();
/// let block = Block::from_heap(bytes.into(), <Vec<f64>>::FINGERPRINT);
/// let view = <Archive as Codec<Vec<f64>>>::decode(block).unwrap();
/// assert_eq!(view[1], 2.5);
/// assert_eq!(Archive::to_owned::<Vec<f64>>(&view).unwrap(), [1.0, 2.5]);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Archive;

impl Archive {
    /// The owned value an archived one stands for.
    pub fn to_owned<T: Storable>(archived: &T::Archived) -> Result<T> {
        let mut pool = rkyv::de::Pool::new();
        archived.deserialize(Strategy::<_, BoxedError>::wrap(&mut pool)).map_err(failed)
    }
}

impl<T: Storable> Codec<T> for Archive {
    type Target = T::Archived;
    const FINGERPRINT: Fingerprint = T::FINGERPRINT;
    const CONTAINED: Contained = Contained(true);

    fn type_name() -> String {
        T::type_name()
    }

    #[inline]
    fn size_hint(&self, _: &T) -> usize {
        size_of::<T::Archived>()
    }

    #[inline]
    fn encode(&self, value: &T, out: &mut BlockWriter<'_>) -> Result<()> {
        with_encoder(out, |encoder| {
            if T::COPY_OPTIMIZATION.is_enabled() {
                return write_copy(value, encoder);
            }
            write_root(value, value.serialize(encoder)?, encoder)
        })
    }

    // Where it is called, a decoded view need not go through memory.
    #[inline(always)]
    fn decode(block: Block) -> Result<Decoded<T::Archived>> {
        root(block, T::FINGERPRINT)
    }
}

impl Codec<str> for Archive {
    type Target = ArchivedString;
    const FINGERPRINT: Fingerprint = <String as Storable>::FINGERPRINT;
    const CONTAINED: Contained = Contained(true);

    fn type_name() -> String {
        <String as Storable>::type_name()
    }

    #[inline]
    fn size_hint(&self, value: &str) -> usize {
        (value.len() + size_of::<u64>()).next_multiple_of(size_of::<u64>())
            + size_of::<ArchivedString>()
    }

    #[inline]
    fn encode(&self, value: &str, out: &mut BlockWriter<'_>) -> Result<()> {
        with_encoder(out, |encoder| {
            let text = Text(value);
            write_root(&text, text.serialize(encoder)?, encoder)
        })
    }

    #[inline]
    fn decode(block: Block) -> Result<Decoded<ArchivedString>> {
        root(block, <String as Storable>::FINGERPRINT)
    }
}

impl<T: Storable> Codec<[T]> for Archive {
    type Target = ArchivedVec<T::Archived>;
    const FINGERPRINT: Fingerprint = <Vec<T> as Storable>::FINGERPRINT;
    const CONTAINED: Contained = Contained(true);

    fn type_name() -> String {
        <Vec<T> as Storable>::type_name()
    }

    #[inline]
    fn size_hint(&self, value: &[T]) -> usize {
        value.len() * size_of::<T::Archived>() + 2 * size_of::<ArchivedVec<T::Archived>>()
    }

    #[inline]
    fn encode(&self, value: &[T], out: &mut BlockWriter<'_>) -> Result<()> {
        with_encoder(out, |encoder| {
            let items = Items(value);
            write_root(&items, items.serialize(encoder)?, encoder)
        })
    }

    #[inline]
    fn decode(block: Block) -> Result<Decoded<ArchivedVec<T::Archived>>> {
        root(block, <Vec<T> as Storable>::FINGERPRINT)
    }
}

/// A borrowed string that archives as a `String` does.
struct Text<'a>(&'a str);

impl rkyv::Archive for Text<'_> {
    type Archived = ArchivedString;
    type Resolver = StringResolver;

    #[inline]
    fn resolve(&self, resolver: StringResolver, out: Place<ArchivedString>) {
        ArchivedString::resolve_from_str(self.0, resolver, out);
    }
}

impl Serialize<Encoder<'_>> for Text<'_> {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'_>) -> Result<StringResolver, BoxedError> {
        ArchivedString::serialize_from_str(self.0, encoder)
    }
}

/// A borrowed slice that archives as a `Vec` does.
struct Items<'a, T>(&'a [T]);

impl<T: rkyv::Archive> rkyv::Archive for Items<'_, T> {
    type Archived = ArchivedVec<T::Archived>;
    type Resolver = VecResolver;

    #[inline]
    fn resolve(&self, resolver: VecResolver, out: Place<Self::Archived>) {
        ArchivedVec::resolve_from_slice(self.0, resolver, out);
    }
}

impl<'e, T: Serialize<Encoder<'e>>> Serialize<Encoder<'e>> for Items<'_, T> {
    #[inline]
    fn serialize(&self, encoder: &mut Encoder<'e>) -> Result<VecResolver, BoxedError> {
        ArchivedVec::<T::Archived>::serialize_from_slice(self.0, encoder)
    }
}

/// Lends `out` to an encoder whose scratch memory starts on this stack.
#[inline]
fn with_encoder(
    out: &mut BlockWriter<'_>,
    encode: impl FnOnce(&mut Encoder<'_>) -> Result<(), BoxedError>,
) -> Result<()> {
    let mut stack: Stack = [MaybeUninit::uninit(); _];
    let mut encoder = Encoder::new(out.reborrow(), &mut stack);
    let result = encode(&mut encoder);
    let position = encoder.pos();
    drop(encoder);
    out.advance_to(position);
    result.map_err(failed)
}

/// Writes the root: the last bytes of every archive.
#[inline]
fn write_root<'e, T: Serialize<Encoder<'e>>>(
    value: &T,
    resolver: T::Resolver,
    encoder: &mut Encoder<'e>,
) -> Result<(), BoxedError> {
    encoder.align_for::<T::Archived>()?;
    // SAFETY: `resolver` comes from serializing `value`, and the encoder has just been aligned.
    unsafe { encoder.resolve_aligned(value, resolver)? };
    Ok(())
}

/// Writes a root whose archived bytes are the value's own.
#[inline]
fn write_copy<T: rkyv::Archive>(value: &T, encoder: &mut Encoder<'_>) -> Result<(), BoxedError> {
    encoder.align_for::<T::Archived>()?;
    // SAFETY: the type's copy optimization promises that its bytes are those of its archived form, all initialised.
    let bytes = unsafe {
        std::slice::from_raw_parts(std::ptr::from_ref(value).cast::<u8>(), size_of::<T>())
    };
    encoder.write(bytes)
}

/// Finds the root, checking every byte reachable from it unless this process has done so before.
#[inline(always)]
fn root<A>(block: Block, fingerprint: Fingerprint) -> Result<Decoded<A>>
where
    A: Portable + for<'a> CheckBytes<Checker<'a>>,
{
    if block.is_checked() && block.fingerprint() == fingerprint {
        return Decoded::project(block, |bytes| {
            // SAFETY: only `checked_root` marks blocks as checked, after a check of these bytes, which never change, as
            // the type of this fingerprint; and equal fingerprints mean equal archived types (`Storable`).
            Ok(unsafe { rkyv::access_unchecked(bytes) })
        });
    }
    checked_root(block, fingerprint)
}

#[cold]
fn checked_root<A>(block: Block, fingerprint: Fingerprint) -> Result<Decoded<A>>
where
    A: Portable + for<'a> CheckBytes<Checker<'a>>,
{
    let same_type = block.fingerprint() == fingerprint;
    let found = Decoded::project(block, |bytes| check::<A>(bytes))?;
    if let (true, Some(block)) = (same_type, found.block()) {
        block.set_checked();
    }
    Ok(found)
}

#[cold]
fn check<A>(bytes: &[u8]) -> Result<&A>
where
    A: Portable + for<'a> CheckBytes<Checker<'a>>,
{
    if bytes.len() < size_of::<A>() {
        let what = format!("{} bytes are too few for a root of {}", bytes.len(), size_of::<A>());
        return Err(Error::Codec { codec: CODEC, what });
    }
    let archive = ArchiveValidator::with_max_depth(bytes, NonZeroUsize::new(DEPTH));
    let mut validator = Validator::new(archive, SharedValidator::new());
    let root = root_position::<A>(bytes.len());
    let access = || access_pos_with_context::<A, _, BoxedError>(bytes, root, &mut validator);
    // rkyv adds up lengths of tables before it looks whether they are possible: where a sum that overflows panics, that is
    // a refusal, too.
    match catch_unwind(AssertUnwindSafe(access)) {
        Ok(found) => found.map_err(failed),
        Err(_) => Err(Error::Codec { codec: CODEC, what: "an impossible length".into() }),
    }
}

/// How deep pointers may be nested, each box, vector or table within another being one level: a check of more might need
/// more stack than a thread has.
const DEPTH: usize = 256;

const CODEC: &str = "archive";

#[cold]
fn failed(error: BoxedError) -> Error {
    Error::Codec { codec: CODEC, what: error.to_string() }
}

#[cfg(test)]
mod tests;
