//! What arrays hold: numbers, and structs of numbers.

use crate::fingerprint::Fingerprint;

/// A number, or a plain struct of numbers: what [`Slice`](crate::codec::Slice) stores without looking at it.
///
/// [`#[inplace::element]`](macro@crate::element) makes your own struct one. Implementing it is safe: any bytes are a
/// valid [`Pod`](bytemuck::Pod), so a wrong fingerprint only makes for wrong numbers.
///
/// ```
/// use inplace::codec::Element;
///
/// #[inplace::element]
/// struct Pixel {
///     red: f32,
///     green: f32,
///     blue: f32,
/// }
///
/// assert_ne!(Pixel::FINGERPRINT, <[f32; 3]>::FINGERPRINT);
/// ```
///
/// A struct with padding is refused:
///
/// ```compile_fail
/// #[inplace::element]
/// struct Padded {
///     small: u8,
///     large: u32,
/// }
/// ```
pub trait Element: bytemuck::Pod + Send + Sync {
    /// What the element's bytes mean.
    const FINGERPRINT: Fingerprint;

    /// The type's name, for people.
    fn type_name() -> String;
}

macro_rules! numbers {
    ($($number:ident),*) => {$(
        impl Element for $number {
            const FINGERPRINT: Fingerprint = Fingerprint::of(stringify!($number));

            fn type_name() -> String {
                stringify!($number).into()
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, u128, usize, i8, i16, i32, i64, i128, isize, f32, f64);

impl<T: Element, const N: usize> Element for [T; N]
where
    Self: bytemuck::Pod,
{
    const FINGERPRINT: Fingerprint =
        Fingerprint::of("array").with_u64(N as u64).with(T::FINGERPRINT);

    fn type_name() -> String {
        format!("[{}; {N}]", T::type_name())
    }
}
