//! Arguments that are small or large.
//!
//! # Write a function once, for values that come inline and for values that come by proxy
//!
//! Up to [`AUTO_THRESHOLD`](crate::AUTO_THRESHOLD) bytes are sent as they are; more are put, and go by proxy. Both deref
//! to the same archived form.
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::{Auto, Store};
//!
//! fn job(message: &[u8]) -> u64 {
//!     let samples: Auto<Vec<u64>> = postcard::from_bytes(message).expect("it was sent by us");
//!     samples.iter().map(|sample| sample.to_native()).sum()
//! }
//!
//! let store = Store::builder("jobs").connector(LocalConnector::new()).register().open()?;
//! for count in [3, 100_000] {
//!     let argument = store.auto(&vec![1_u64; count])?.evict_on_resolve()?; // one receiver, once
//!     let message = postcard::to_stdvec(&argument)?;
//!     assert!(message.len() < 100);
//!     assert_eq!(job(&message), count as u64);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Say yourself what is large
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::Store;
//!
//! let store = Store::builder("choice").connector(LocalConnector::new()).open()?;
//! let text = "a text of some length";
//! assert!(!store.auto_above(10, text)?.is_inline()); // by the bytes it takes
//! assert!(store.auto_if(text, |text| text.len() > 100)?.is_inline()); // or by what you know of it
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Answer a caller who has the value in a proxy already
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::{Auto, Store};
//!
//! fn shout(text: &Auto<str>) -> String {
//!     text.to_uppercase()
//! }
//!
//! let store = Store::builder("callers").connector(LocalConnector::new()).open()?;
//! let by_proxy = Auto::from(store.proxy("from a store")?);
//! let inline = Auto::inline("from nowhere")?; // needs no store
//! assert_eq!((shout(&by_proxy), shout(&inline)), ("FROM A STORE".into(), "FROM NOWHERE".into()));
//! store.evict(by_proxy.key().expect("it goes by proxy"))?;
//! # Ok::<(), inplace::Error>(())
//! ```
