//! Choosing a codec, and writing one.
//!
//! | values are | codec | reading costs |
//! |---|---|---|
//! | types of yours | [`Archive`](crate::codec::Archive), the default | a check, once per process; then nothing |
//! | arrays of numbers, with a shape | [`Slice`](crate::codec::Slice) | nothing |
//! | bytes that are serialized already | [`Raw`](crate::codec::Raw) | nothing |
//! | types of others, with serde | [`Serde`](crate::codec::Serde) | a decoding, once per process while the cache keeps it |
//! | anything else | your own | as you like |
//!
//! # Store your own types
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::{Store, storable};
//!
//! #[storable]
//! enum Shape {
//!     Circle { radius: f64 },
//!     Polygon(Vec<[f64; 2]>),
//! }
//!
//! let store = Store::builder("shapes").connector(LocalConnector::new()).open()?;
//! let key = store.put(&Shape::Polygon(vec![[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))?;
//! match &*store.get::<Shape>(key)?.unwrap() {
//!     ArchivedShape::Polygon(corners) => assert_eq!(corners.len(), 3),
//!     ArchivedShape::Circle { radius } => println!("{radius}"),
//! }
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Share an array with its shape
//!
//! ```
//! use inplace::codec::{NdSlice, Slice};
//! use inplace::connector::LocalConnector;
//! use inplace::Store;
//!
//! let store = Store::builder("arrays").connector(LocalConnector::new()).codec(Slice::<f32>::default());
//! let store = store.open()?;
//! let key = store.put(&NdSlice::new(&[2, 3], &[0.0, 0.5, 1.0, 1.5, 2.0, 2.5])?)?;
//! let matrix = store.get::<[f32]>(key)?.unwrap();
//! assert_eq!((matrix.shape(), matrix.at(&[1, 2])), (&[2, 3][..], Some(&2.5)));
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Use another codec for one call, or for a while
//!
//! ```
//! use inplace::codec::{Raw, Serde};
//! use inplace::connector::LocalConnector;
//! use inplace::Store;
//!
//! let store = Store::builder("mixed").connector(LocalConnector::new()).open()?;
//! let key = store.put_as(Raw, b"\x89PNG".as_slice())?;
//! assert_eq!(*store.get_as::<Raw, [u8]>(key)?.unwrap(), *b"\x89PNG");
//!
//! let decoded = store.with_codec(Serde); // the same store
//! let proxy = decoded.proxy(&std::time::Duration::from_secs(3))?; // a type of the standard library
//! assert_eq!(proxy.as_secs(), 3);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Write a codec: the identity
//!
//! Safe code: what lies in the block is found with [`Decoded::project`](crate::codec::Decoded::project). The fingerprint is
//! what keeps an object from being read as something else; give each format its own.
//!
//! ```
//! use inplace::codec::{Codec, Decoded};
//! use inplace::connector::{Block, BlockWriter, LocalConnector};
//! use inplace::{Error, Fingerprint, Result, Store};
//!
//! #[derive(Debug, Clone, Copy, Default)]
//! struct Json;
//!
//! impl Codec<str> for Json {
//!     type Target = str;
//!     const FINGERPRINT: Fingerprint = Fingerprint::of("cookbook::json");
//!
//!     fn type_name() -> String {
//!         "JSON text".into()
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
//!             let failed = |error| Error::Codec { codec: "json", what: format!("{error}") };
//!             std::str::from_utf8(bytes).map_err(failed)
//!         })
//!     }
//! }
//!
//! let store = Store::builder("json").connector(LocalConnector::new()).codec(Json).open()?;
//! let key = store.put(r#"{"answer": 42}"#)?;
//! assert!(store.get::<str>(key)?.unwrap().contains("42"));
//! assert!(store.get_as::<inplace::codec::Archive, String>(key).is_err(), "another type");
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Write a codec around another: compression
//!
//! What is decompressed lies on the heap, and is no longer the object:
//! [`made_anew`](crate::codec::Decoded::made_anew) says so, and the store then keeps it for the next get, within the
//! budgets of its cache. The example `codecs` has this with bounds for bytes that lie.
//!
//! ```
//! use std::marker::PhantomData;
//!
//! use inplace::codec::{Archive, Codec, Decoded, to_vec};
//! use inplace::connector::{Block, BlockWriter, LocalConnector};
//! use inplace::{Error, Fingerprint, Result, Store};
//!
//! #[derive(Debug, Clone, Copy, Default)]
//! struct Lz4<C>(PhantomData<fn() -> C>);
//!
//! impl<T: ?Sized, C: Codec<T>> Codec<T> for Lz4<C> {
//!     type Target = C::Target;
//!     const FINGERPRINT: Fingerprint = C::FINGERPRINT.with_str("cookbook::lz4");
//!
//!     fn type_name() -> String {
//!         format!("Lz4<{}>", C::type_name())
//!     }
//!
//!     fn size_hint(&self, value: &T) -> usize {
//!         C::default().size_hint(value) / 2 // the store learns from what it has put
//!     }
//!
//!     fn encode(&self, value: &T, out: &mut BlockWriter<'_>) -> Result<()> {
//!         out.write(&lz4_flex::compress_prepend_size(&to_vec(C::default(), value)?));
//!         Ok(())
//!     }
//!
//!     fn decode(block: Block) -> Result<Decoded<C::Target>> {
//!         let plain = lz4_flex::decompress_size_prepended(&block)
//!             .map_err(|error| Error::Codec { codec: "lz4", what: error.to_string() })?;
//!         C::decode(Block::from_heap(plain.into(), C::FINGERPRINT)).map(Decoded::made_anew)
//!     }
//! }
//!
//! let connector = LocalConnector::new();
//! let store = Store::builder("small").connector(connector).codec(Lz4::<Archive>::default()).open()?;
//! let key = store.put(&vec![7_u64; 100_000])?;
//! assert!(store.connector().get(key)?.unwrap().len() < 10_000);
//! assert_eq!(store.get::<Vec<u64>>(key)?.unwrap()[99_999], 7);
//! # Ok::<(), inplace::Error>(())
//! ```
