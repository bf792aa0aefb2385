//! Plain numbers with a shape, read in place.

mod array;
mod element;

use std::fmt;
use std::marker::PhantomData;

pub use array::{Array, NdSlice};
pub(crate) use array::{HEADER as ARRAY_HEADER, array_len, shape_array};
pub use element::Element;

use crate::codec::{Codec, Contained, Decoded};
use crate::connector::{Block, BlockWriter};
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use array::{HEADER, MAX_DIMS, NONE, padded};

/// Stores elements as they are, with their shape; a resolved object is an [`Array`], in place.
///
/// Puts a `[T]`, a `Vec<T>` or an [`NdSlice`]; one copy, and nothing to check element by element when it is read.
///
/// ```
/// use inplace::codec::{Codec, NdSlice, Slice, to_vec};
/// use inplace::connector::Block;
///
/// let matrix = NdSlice::new(&[2, 3], &[0.0, 0.5, 1.0, 1.5, 2.0, 2.5]).unwrap();
/// let bytes = to_vec(Slice::<f32>::default(), &matrix).unwrap();
/// let block = Block::from_heap(bytes.into(), <Slice<f32> as Codec<[f32]>>::FINGERPRINT);
/// let matrix = <Slice<f32> as Codec<[f32]>>::decode(block).unwrap();
/// assert_eq!(matrix.shape(), [2, 3]);
/// assert_eq!(matrix.at(&[1, 2]), Some(&2.5));
/// assert_eq!(matrix.iter().sum::<f32>(), 7.5);
/// ```
pub struct Slice<T>(PhantomData<fn() -> T>);

impl<T> Clone for Slice<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Slice<T> {}

impl<T> Default for Slice<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Element> fmt::Debug for Slice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slice<{}>", T::type_name())
    }
}

impl<'a, T: Element> Codec<NdSlice<'a, T>> for Slice<T> {
    type Target = Array<T>;
    const FINGERPRINT: Fingerprint = Fingerprint::of("inplace::slice").with(T::FINGERPRINT);
    const CONTAINED: Contained = Contained(true);

    fn type_name() -> String {
        format!("Slice<{}>", T::type_name())
    }

    #[inline]
    fn size_hint(&self, value: &NdSlice<'a, T>) -> usize {
        HEADER.saturating_add(padded::<T>(value.as_slice().len()).unwrap_or(usize::MAX))
    }

    #[inline]
    fn encode(&self, value: &NdSlice<'a, T>, out: &mut BlockWriter<'_>) -> Result<()> {
        let mut dims = [NONE; MAX_DIMS];
        dims[..value.shape().len()].copy_from_slice(value.shape());
        let data: &[u8] = bytemuck::cast_slice(value.as_slice());
        out.write(bytemuck::bytes_of(&dims));
        out.write(data);
        out.write(&[0; align_of::<usize>()][..data.len().wrapping_neg() % align_of::<usize>()]);
        Ok(())
    }

    #[inline]
    fn decode(block: Block) -> Result<Decoded<Array<T>>> {
        Decoded::project(block, Array::find)
    }
}

macro_rules! flat {
    ($($flat:ty),*) => {$(
        impl<T: Element> Codec<$flat> for Slice<T> {
            type Target = Array<T>;
            const FINGERPRINT: Fingerprint = <Self as Codec<NdSlice<'static, T>>>::FINGERPRINT;
            const CONTAINED: Contained = Contained(true);

            fn type_name() -> String {
                <Self as Codec<NdSlice<'static, T>>>::type_name()
            }

            #[inline]
            fn size_hint(&self, value: &$flat) -> usize {
                HEADER.saturating_add(padded::<T>(value.len()).unwrap_or(usize::MAX))
            }

            #[inline]
            fn encode(&self, value: &$flat, out: &mut BlockWriter<'_>) -> Result<()> {
                self.encode(&NdSlice::new(&[value.len()], value)?, out)
            }

            #[inline]
            fn decode(block: Block) -> Result<Decoded<Array<T>>> {
                Decoded::project(block, Array::find)
            }
        }
    )*};
}

flat!([T], Vec<T>);

#[cfg(test)]
mod tests;
