use super::*;
use crate::codec::testing::{block, encoded, stored};
use crate::error::Error;

fn view<T: Element>(shape: &[usize], data: &[T]) -> Decoded<Array<T>> {
    let block = stored(Slice::<T>::default(), &NdSlice::new(shape, data).unwrap());
    <Slice<T> as Codec<[T]>>::decode(block).unwrap()
}

fn refused<T: Element + std::fmt::Debug>(bytes: &[u8]) -> String {
    match <Slice<T> as Codec<[T]>>::decode(block(bytes, <Slice<T> as Codec<[T]>>::FINGERPRINT)) {
        Err(Error::Codec { codec: "slice", what }) => what,
        other => panic!("not refused: {other:?}"),
    }
}

fn header(dims: [usize; MAX_DIMS]) -> Vec<u8> {
    bytemuck::bytes_of(&dims).to_vec()
}

#[test]
fn elements_and_shape_come_back() {
    let array = view(&[2, 3], &[1_u16, 2, 3, 4, 5, 6]);
    assert_eq!(array.shape(), [2, 3]);
    assert_eq!(*array, [1, 2, 3, 4, 5, 6]);
    assert_eq!(array.at(&[1, 0]), Some(&4));
    assert_eq!((array.at(&[2, 0]), array.at(&[0, 3]), array.at(&[0])), (None, None, None));
}

#[test]
fn any_number_of_dimensions_up_to_eight_is_possible() {
    for dims in 0..=8 {
        let shape = vec![1; dims];
        let array = view(&shape, &[7_u128]);
        assert_eq!(
            (array.shape(), array.at(&shape.iter().map(|_| 0).collect::<Vec<_>>())),
            (&shape[..], Some(&7))
        );
    }
    assert!(NdSlice::new(&[1; 9], &[7]).is_err());
}

#[test]
fn no_elements_are_possible() {
    assert!(view::<f64>(&[0], &[]).is_empty());
    assert_eq!(view::<u8>(&[usize::MAX - 1, 0, usize::MAX - 1], &[]).shape().len(), 3);
}

#[test]
fn a_shape_that_does_not_hold_the_elements_is_refused() {
    assert!(NdSlice::new(&[2, 2], &[0; 5]).is_err());
    assert!(NdSlice::new(&[usize::MAX, 2], &[0; 5]).is_err());
    assert!(NdSlice::new(&[0], &[0; 5]).is_err());
}

#[test]
fn elements_start_at_the_second_cache_line() {
    let bytes = encoded(Slice::<u8>::default(), &b"abc"[..]);
    assert_eq!(&bytes[64..67], b"abc");
    assert_eq!(bytes.len(), 72, "padded as the array in memory is");
}

#[test]
fn slices_and_vectors_are_one_dimensional_arrays() {
    let numbers = vec![1.5_f32, 2.5];
    assert_eq!(encoded(Slice::default(), &numbers), encoded(Slice::default(), &numbers[..]));
    assert_eq!(
        encoded(Slice::default(), &numbers),
        encoded(Slice::default(), &NdSlice::new(&[2], &numbers).unwrap())
    );
}

#[test]
fn the_size_is_known_before() {
    let data = [1_u8, 2, 3];
    let value = NdSlice::new(&[3], &data).unwrap();
    let slice = Slice::<u8>::default();
    assert_eq!(slice.size_hint(&value), encoded(slice, &value).len());
}

#[test]
fn floats_are_never_read_as_integers() {
    assert_ne!(
        <Slice<f64> as Codec<[f64]>>::FINGERPRINT,
        <Slice<u64> as Codec<[u64]>>::FINGERPRINT
    );
    assert_ne!(
        <Slice<f64> as Codec<[f64]>>::FINGERPRINT,
        <Slice<[f64; 2]> as Codec<[[f64; 2]]>>::FINGERPRINT
    );
}

#[test]
fn truncated_bytes_are_an_error_and_never_a_panic() {
    let bytes = encoded(Slice::<u32>::default(), &[1_u32, 2, 3][..]);
    for len in 0..bytes.len() {
        refused::<u32>(&bytes[..len]);
    }
}

#[test]
fn a_header_that_lies_is_an_error() {
    let none = usize::MAX;
    let mut long = header([3, none, none, none, none, none, none, none]);
    long.extend([0; 32]);
    assert!(refused::<u64>(&long).contains("32 bytes do not hold shape [3] of u64"));
    assert!(
        refused::<u64>(&header([1 << 40, 1 << 40, none, none, none, none, none, none]))
            .contains("shape")
    );
    assert!(
        refused::<u64>(&header([usize::MAX / 2, none, none, none, none, none, none, none]))
            .contains("shape")
    );
    assert!(
        refused::<u64>(&header([none, 0, none, none, none, none, none, none])).contains("follows")
    );
}

#[test]
fn structs_of_numbers_are_elements() {
    #[crate::element]
    #[derive(Debug, PartialEq)]
    struct Point {
        x: f32,
        y: f32,
    }
    let points = [Point { x: 1.0, y: 2.0 }, Point { x: 3.0, y: 4.0 }];
    assert_eq!(*view(&[2], &points), points);
    assert_eq!(Point::type_name(), "Point");
}
