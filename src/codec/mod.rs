//! How a value becomes bytes, and how those bytes are used in place.
//!
//! | codec | stores | a resolved object is |
//! |---|---|---|
//! | [`Archive`] (default) | any [`Storable`] type | its archived form, in place |
//! | [`Slice`] | numbers with a shape | an [`Array`], in place |
//! | [`Raw`] | bytes | `[u8]`, in place |
//! | [`Serde`] | any serde type | the value itself, made anew |
//!
//! Your own codec implements [`Codec`], in safe code: what it finds in the block it returns through
//! [`Decoded::project`], what it makes anew through [`Decoded::owned`].
//!
//! ```
//! use std::str::Utf8Error;
//!
//! use inplace::codec::{Codec, Decoded};
//! use inplace::connector::{Block, BlockWriter};
//! use inplace::{Error, Fingerprint, Result};
//!
//! #[derive(Debug, Clone, Copy, Default)]
//! struct Text;
//!
//! impl Codec<str> for Text {
//!     type Target = str;
//!     const FINGERPRINT: Fingerprint = Fingerprint::of("example::text");
//!
//!     fn type_name() -> String {
//!         "text".into()
//!     }
//!
//!     fn size_hint(&self, value: &str) -> usize {
//!         value.len()
//!     }
//!
//!     fn encode(&self, value: &str, out: &mut BlockWriter<'_>) -> Result<()> {
//!         out.write(value.as_bytes());
//!         Ok(())
//!     }
//!
//!     fn decode(block: Block) -> Result<Decoded<str>> {
//!         Decoded::project(block, |bytes| {
//!             let failed = |error: Utf8Error| Error::Codec { codec: "text", what: error.to_string() };
//!             str::from_utf8(bytes).map_err(failed)
//!         })
//!     }
//! }
//!
//! let block = Block::from_heap(b"in place"[..].into(), Text::FINGERPRINT);
//! assert_eq!(&*Text::decode(block).unwrap(), "in place");
//! ```

mod archive;
mod decoded;
mod encoder;
mod raw;
mod serde;
mod slice;
mod storable;

pub use archive::Archive;
pub use decoded::Decoded;
pub use encoder::Encoder;
pub use raw::Raw;
pub use serde::Serde;
pub(crate) use slice::{ARRAY_HEADER, array_len, shape_array};
pub use slice::{Array, Element, NdSlice, Slice};
pub use storable::{Checker, Itself, Reviver, Storable};

use crate::connector::{Block, BlockWriter};
use crate::error::Result;
use crate::fingerprint::Fingerprint;

/// Whether a codec lets nobody keep a part of the block that it decodes, or take it out of the value: then messages may lie
/// where the next ones will. Others' codecs say nothing of it, because memory safety rests on it.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Contained(pub(crate) bool);

/// Turns values of type `T` into a block's bytes and back into something that derefs to [`Codec::Target`].
pub trait Codec<T: ?Sized>: Copy + Default + Send + Sync + 'static {
    /// What a resolved object derefs to: the archived form, the slice, the value itself.
    type Target: ?Sized + Send + Sync + 'static;

    /// What the bytes are; compared with the slot's own on every use.
    const FINGERPRINT: Fingerprint;

    /// Whether nothing of a block outlives what [`decode`](Codec::decode) made of it. Of this crate's codecs only.
    #[doc(hidden)]
    const CONTAINED: Contained = Contained(false);

    /// The type's name, for errors.
    fn type_name() -> String;

    /// A guess of the encoded length in bytes.
    fn size_hint(&self, value: &T) -> usize;

    /// Writes `value`.
    fn encode(&self, value: &T, out: &mut BlockWriter<'_>) -> Result<()>;

    /// Finds the value in `block`.
    ///
    /// The caller has compared the fingerprints to tell the user of a wrong type; memory safety must not rest on that:
    /// bytes that are not a value are an error.
    fn decode(block: Block) -> Result<Decoded<Self::Target>>;
}

/// The bytes `codec` makes of `value`, on the heap: for connectors that send or keep copies.
///
/// ```
/// use inplace::codec::{Raw, to_vec};
///
/// assert_eq!(to_vec(Raw, b"bytes".as_slice()).unwrap(), b"bytes");
/// ```
pub fn to_vec<T: ?Sized, C: Codec<T>>(codec: C, value: &T) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(codec.size_hint(value));
    // What counts is what arrives: a codec may put another writer in the place of this one.
    codec.encode(value, &mut BlockWriter::through(&mut bytes, usize::MAX))?;
    Ok(bytes)
}

#[cfg(test)]
mod testing;

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;

    /// Writes elsewhere, and says nothing of it.
    #[derive(Clone, Copy, Default)]
    struct Elsewhere;

    impl Codec<()> for Elsewhere {
        type Target = [u8];
        const FINGERPRINT: Fingerprint = Fingerprint::BYTES;

        fn type_name() -> String {
            "elsewhere".into()
        }

        fn size_hint(&self, (): &()) -> usize {
            0
        }

        fn encode(&self, (): &(), out: &mut BlockWriter<'_>) -> Result<()> {
            *out = BlockWriter::new(Box::leak(Box::new([MaybeUninit::uninit(); 64])));
            out.write(&[1; 64]);
            Ok(())
        }

        fn decode(block: Block) -> Result<Decoded<[u8]>> {
            Decoded::project(block, |bytes| Ok(bytes))
        }
    }

    #[test]
    fn what_a_codec_writes_elsewhere_is_not_taken_for_written() {
        assert!(to_vec(Elsewhere, &()).unwrap().is_empty());
    }
}
