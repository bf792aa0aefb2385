//! Any serde type, through postcard.

mod bounded;
mod probe;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use postcard::ser_flavors::Flavor;
use std::sync::Arc;

use crate::codec::{Codec, Contained, Decoded};
use crate::connector::{Block, BlockWriter};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;

/// Stores any serde type in postcard's format; a resolved object is the value, made anew and shared within the process.
///
/// For types that cannot be archived, or are not yours: reading them costs a decoding and a copy. Serde knows no
/// structure of a type without a value, so all serde objects carry one fingerprint. Their bytes start with an outline
/// of the type instead: its name and those of its fields or variants. A type with another outline is an error; one that
/// differs only within its fields may go unnoticed and give wrong values, but never undefined behaviour.
///
/// Values may be nested 256 levels deep, and have 65,536 elements that take no bytes: more is an error when it is decoded.
///
/// ```
/// use inplace::codec::{Codec, Serde, to_vec};
/// use inplace::connector::Block;
///
/// let value = vec![(1_u32, "one".to_string()), (2, "two".to_string())];
/// let bytes = to_vec(Serde, &value).unwrap();
/// let block = Block::from_heap(bytes.into(), <Serde as Codec<Vec<(u32, String)>>>::FINGERPRINT);
///
/// assert_eq!(*<Serde as Codec<Vec<(u32, String)>>>::decode(block.clone()).unwrap(), value);
/// assert!(<Serde as Codec<Vec<f64>>>::decode(block).is_err());
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Serde;

/// Bytes of the outline before the value.
const OUTLINE: usize = size_of::<u64>();

impl<T> Codec<T> for Serde
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    type Target = T;
    const FINGERPRINT: Fingerprint = Fingerprint::of("inplace::serde:postcard");
    const CONTAINED: Contained = Contained(true);

    /// The compiler's name for the type: for people only, no part of the fingerprint.
    fn type_name() -> String {
        format!("Serde<{}>", std::any::type_name::<T>())
    }

    #[inline]
    fn size_hint(&self, _: &T) -> usize {
        OUTLINE + size_of::<T>()
    }

    fn encode(&self, value: &T, out: &mut BlockWriter<'_>) -> Result<()> {
        out.write(&probe::outline::<T>().get().to_le_bytes());
        postcard::serialize_with_flavor(value, Flow(out)).map_err(failed)
    }

    fn decode(block: Block) -> Result<Decoded<T>> {
        let (outline, bytes) = block.split_first_chunk::<OUTLINE>().ok_or_else(|| {
            invalid(format!("{} bytes are too few for the type's outline", block.len()))
        })?;
        if u64::from_le_bytes(*outline) != probe::outline::<T>().get() {
            return Err(invalid(format!(
                "the object was put as another type than {}",
                std::any::type_name::<T>()
            )));
        }
        let mut from = postcard::Deserializer::from_bytes(bytes);
        let value = bounded::decode(&mut from, bytes.len()).map_err(failed)?;
        match from.finalize().map_err(failed)? {
            [] => Ok(Decoded::owned(Arc::new(value))),
            rest => Err(invalid(format!("{} bytes are left over after the value", rest.len()))),
        }
    }
}

/// Postcard's way into a block.
struct Flow<'a, 'b>(&'a mut BlockWriter<'b>);

impl Flavor for Flow<'_, '_> {
    type Output = ();

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.write(bytes);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.write(&[byte]);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}

#[cold]
fn failed(error: postcard::Error) -> Error {
    invalid(error.to_string())
}

#[cold]
fn invalid(what: String) -> Error {
    Error::Codec { codec: "serde", what }
}

#[cfg(test)]
mod tests;
