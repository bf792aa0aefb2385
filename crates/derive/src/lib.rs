//! The attributes of inplace: `#[storable]` for types that are archived, `#[element]` for those that arrays hold.

mod element;
mod options;
mod recursion;
mod storable;

use proc_macro::TokenStream;
use syn::parse_macro_input;

/// Makes a struct or enum storable in place: derives rkyv's `Archive`, `Serialize` and `Deserialize` through the
/// re-exported rkyv, and implements `inplace::Storable` with a structural fingerprint of its archived form.
///
/// ```
/// use inplace::Storable;
///
/// #[inplace::storable(derive(Debug), compare(PartialEq))]
/// struct Sample {
///     channel: u16,
///     values: Vec<f64>,
/// }
///
/// #[inplace::storable]
/// enum Tree<T> {
///     Leaf(T),
///     Branch(Vec<Tree<T>>),
/// }
///
/// assert_eq!(Tree::<Sample>::type_name(), "Tree<Sample>");
/// ```
///
/// # Options
///
/// - `derive(Debug, PartialEq, …)`: what the archived type derives.
/// - `compare(PartialEq, PartialOrd)`: compares archived with owned values.
/// - `crate = path`: where `inplace` is found, `::inplace` by default.
///
/// ```
/// use inplace as shared;
///
/// #[shared::storable(crate = shared)]
/// struct Renamed(u8);
/// ```
///
/// Further `#[rkyv(…)]` attributes are passed on, except `as` and `remote`, which put another type in the archived
/// form's place.
///
/// # Recursive types
///
/// A type may hold itself behind a `Box`, a `Vec`, a map: a field that names the type (or `Self`) with the same
/// parameters is recognised, and the fingerprint is cut there. Types that hold *each other* need the cut to be named:
/// put `#[storable(opaque)]` on one of the fields that close the circle.
///
/// ```
/// #[inplace::storable]
/// struct Folder {
///     files: Vec<File>,
/// }
///
/// #[inplace::storable]
/// struct File {
///     #[storable(opaque)]
///     shadows: Vec<Folder>,
/// }
/// ```
///
/// ```compile_fail
/// #[inplace::storable]
/// struct Folder {
///     files: Vec<File>,
/// }
///
/// #[inplace::storable]
/// struct File {
///     shadows: Vec<Folder>, // the circle is not cut
/// }
/// ```
///
/// # Opaque fields
///
/// The type of a field marked `#[storable(opaque)]`, or one with `#[rkyv(with = …)]`, need not be `Storable`. It takes
/// part in the fingerprint as it is written, with the module and the package version it is written in: only programs
/// that share the definition agree.
///
/// # What does not compile
///
/// A field that is not storable, a borrowed one, an archived form aligned to more than 32 bytes:
///
/// ```compile_fail
/// #[inplace::storable]
/// struct Worker {
///     thread: std::thread::Thread,
/// }
/// ```
///
/// ```compile_fail
/// #[inplace::storable]
/// struct Line<'a> {
///     text: &'a str,
/// }
/// ```
///
/// ```compile_fail
/// #[inplace::storable]
/// #[rkyv(attr(repr(align(64))))]
/// struct Wide {
///     lanes: [f32; 16],
/// }
/// ```
#[proc_macro_attribute]
pub fn storable(args: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(args as options::Options);
    let item = parse_macro_input!(item as syn::DeriveInput);
    storable::expand(&options, item).unwrap_or_else(|error| error.to_compile_error()).into()
}

/// Makes a struct of numbers an element of arrays: `repr(C)`, `Clone`, `Copy`, bytemuck's `Pod` and `Zeroable`, and
/// `inplace::codec::Element`.
///
/// The struct may have no padding and no parameters. `#[element(crate = path)]` says where `inplace` is found.
///
/// ```
/// use inplace::codec::{Element, Slice};
///
/// #[inplace::element]
/// struct Pixel {
///     red: f32,
///     green: f32,
///     blue: f32,
/// }
///
/// assert_eq!(format!("{:?}", Slice::<Pixel>::default()), "Slice<Pixel>");
/// ```
#[proc_macro_attribute]
pub fn element(args: TokenStream, item: TokenStream) -> TokenStream {
    let options = parse_macro_input!(args as options::Options);
    let item = parse_macro_input!(item as syn::DeriveInput);
    element::expand(&options, &item).unwrap_or_else(|error| error.to_compile_error()).into()
}
