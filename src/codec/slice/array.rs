//! Arrays of plain numbers: as they are put, and as they lie in a block.

use std::fmt;
use std::ops::Deref;

use crate::codec::Element;
use crate::error::{Error, Result};

/// The most dimensions an array may have.
pub(super) const MAX_DIMS: usize = 8;

/// Stands in the header for a dimension that is not there.
pub(super) const NONE: usize = usize::MAX;

/// Elements and their shape, to be put; the last dimension varies fastest.
///
/// ```
/// use inplace::codec::NdSlice;
///
/// let matrix = NdSlice::new(&[2, 3], &[1, 2, 3, 4, 5, 6]).unwrap();
/// assert_eq!(matrix.shape(), [2, 3]);
/// assert!(NdSlice::new(&[2, 2], &[1, 2, 3]).is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct NdSlice<'a, T> {
    shape: &'a [usize],
    data: &'a [T],
}

impl<'a, T> NdSlice<'a, T> {
    /// `data` in the given shape: of at most 8 dimensions, whose product is the number of elements.
    pub fn new(shape: &'a [usize], data: &'a [T]) -> Result<Self> {
        if shape.len() > MAX_DIMS {
            return Err(failed(format!(
                "{} dimensions, at most {MAX_DIMS} are possible",
                shape.len()
            )));
        }
        if elements(shape) != Some(data.len()) {
            return Err(failed(format!("shape {shape:?} does not hold {} elements", data.len())));
        }
        Ok(Self { shape, data })
    }

    /// The size of each dimension.
    #[must_use]
    pub fn shape(&self) -> &'a [usize] {
        self.shape
    }

    /// The elements.
    #[must_use]
    pub fn as_slice(&self) -> &'a [T] {
        self.data
    }
}

/// An array in place: elements that start 64-byte aligned, and their shape.
///
/// Derefs to the slice of its elements; the last dimension varies fastest.
#[repr(C)]
pub struct Array<T> {
    dims: [usize; MAX_DIMS],
    data: [T],
}

impl<T: Element> Array<T> {
    /// Finds an array that fills `bytes` exactly.
    pub(super) fn find(bytes: &[u8]) -> Result<&Self> {
        let (header, body) = bytes.split_first_chunk::<HEADER>().ok_or_else(|| {
            failed(format!("{} bytes are too few for the shape, which takes {HEADER}", bytes.len()))
        })?;
        let dims: [usize; MAX_DIMS] = bytemuck::pod_read_unaligned(header);
        let shape = shape(&dims);
        if dims[shape.len()..].iter().any(|&dim| dim != NONE) {
            return Err(failed(format!("a dimension follows one that is not there: {dims:?}")));
        }
        let count = elements(shape)
            .filter(|&count| padded::<T>(count) == Some(body.len()))
            .ok_or_else(|| {
                failed(format!(
                    "{} bytes do not hold shape {shape:?} of {}",
                    body.len(),
                    T::type_name()
                ))
            })?;
        let align = align_of::<usize>().max(align_of::<T>());
        if !bytes.as_ptr().addr().is_multiple_of(align) {
            return Err(failed(format!("the block is not aligned to {align} bytes")));
        }
        let array = std::ptr::slice_from_raw_parts(bytes.as_ptr(), count) as *const Self;
        // SAFETY: `bytes` is aligned for the array and exactly as long as one of `count` elements; any bytes are valid
        // dimensions and, the elements being `Pod`, valid elements.
        Ok(unsafe { &*array })
    }
}

impl<T> Array<T> {
    /// The size of each dimension; empty for a single value.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        shape(&self.dims)
    }

    /// The elements, in order.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.data
    }

    /// The element at one index per dimension; `None` outside the shape.
    #[must_use]
    pub fn at(&self, index: &[usize]) -> Option<&T> {
        let shape = self.shape();
        if index.len() != shape.len() || index.iter().zip(shape).any(|(at, dim)| at >= dim) {
            return None;
        }
        self.data.get(index.iter().zip(shape).fold(0, |offset, (at, dim)| offset * dim + at))
    }
}

impl<T> Deref for Array<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.data
    }
}

impl<T: PartialEq> PartialEq for Array<T> {
    fn eq(&self, other: &Self) -> bool {
        self.shape() == other.shape() && self.data == other.data
    }
}

impl<T: PartialEq> PartialEq<[T]> for Array<T> {
    fn eq(&self, other: &[T]) -> bool {
        self.data == *other
    }
}

impl<T: PartialEq, const N: usize> PartialEq<[T; N]> for Array<T> {
    fn eq(&self, other: &[T; N]) -> bool {
        self.data == *other
    }
}

impl<T: fmt::Debug> fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Array").field("shape", &self.shape()).field("data", &&self.data).finish()
    }
}

/// Bytes before the first element: one cache line, so that the elements are aligned to the next.
pub(crate) const HEADER: usize = size_of::<[usize; MAX_DIMS]>();

const _: () =
    assert!(HEADER == 64 && cfg!(target_endian = "little"), "dimensions are 64-bit, little endian");

/// Bytes that `count` elements take, with the padding after them that an [`Array`] has.
pub(super) fn padded<T>(count: usize) -> Option<usize> {
    const {
        assert!(size_of::<T>() > 0, "elements without a size cannot be stored");
        assert!(align_of::<T>() <= HEADER, "elements may be aligned to 64 bytes at most");
    }
    count.checked_mul(size_of::<T>())?.checked_next_multiple_of(align_of::<usize>())
}

/// How many bytes an array of a shape takes, and how many elements it has.
pub(crate) fn array_len<T: Element>(shape: &[usize]) -> Result<(usize, usize)> {
    let possible = elements(shape).filter(|_| shape.len() <= MAX_DIMS).and_then(|count| {
        let len = HEADER.checked_add(padded::<T>(count)?)?;
        (len <= isize::MAX as usize).then_some((len, count))
    });
    possible.ok_or_else(|| failed(format!("no array can have the shape {shape:?}")))
}

/// Makes bytes an array of a shape, for which they are enough: its elements are what they held.
pub(crate) fn shape_array(shape: &[usize], bytes: &mut [u8]) {
    let mut dims = [NONE; MAX_DIMS];
    dims[..shape.len()].copy_from_slice(shape);
    // The padding.
    bytes.iter_mut().rev().take(align_of::<usize>()).for_each(|byte| *byte = 0);
    bytes[..HEADER].copy_from_slice(bytemuck::bytes_of(&dims));
}

fn shape(dims: &[usize; MAX_DIMS]) -> &[usize] {
    &dims[..dims.iter().position(|&dim| dim == NONE).unwrap_or(MAX_DIMS)]
}

/// How many elements a shape has; `None` when no slice can have so many.
fn elements(shape: &[usize]) -> Option<usize> {
    if shape.contains(&0) {
        return Some(0);
    }
    shape.iter().try_fold(1_usize, |count, &dim| count.checked_mul(dim))
}

#[cold]
fn failed(what: String) -> Error {
    Error::Codec { codec: "slice", what }
}
