//! Values by key.
//!
//! # Put, get, evict
//!
//! A key is sixteen bytes, to be sent instead of the object. What was got stays as it is, also when the object is evicted.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("keys").connector(ShmConnector::new(region)).open()?;
//! let key = store.put(&vec!["in".to_owned(), "place".to_owned()])?;
//!
//! let words = store.get::<Vec<String>>(key)?.expect("nobody evicted it");
//! assert!(store.exists(key)?);
//! assert!(store.evict(key)?); // from now on nobody gets it, in any process
//! assert!(!store.exists(key)? && store.get::<Vec<String>>(key)?.is_none());
//! assert_eq!(words[1].as_str(), "place");
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Let one of many have it
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("takers").connector(ShmConnector::new(region)).open()?;
//! let key = store.put(&42_u64)?;
//! let winners: usize = std::thread::scope(|scope| {
//!     let takers: Vec<_> = (0..4).map(|_| scope.spawn(|| store.take::<u64>(key))).collect();
//!     takers.into_iter().filter_map(|taker| taker.join().unwrap().unwrap()).count()
//! });
//! assert_eq!(winners, 1);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Keep a view for as long as it is needed
//!
//! Views own what they show: they go into structs, threads and `'static` closures, and become [`bytes::Bytes`].
//!
//! ```
//! use inplace::codec::Raw;
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store, View};
//!
//! struct Packet {
//!     payload: View<[u8]>,
//! }
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("packets").connector(ShmConnector::new(region)).codec(Raw).open()?;
//! let key = store.put(b"header and body".as_slice())?;
//! let packet = Packet { payload: store.take::<[u8]>(key)?.expect("it was just put") };
//! std::thread::spawn(move || {
//!     let body = bytes::Bytes::from(packet.payload).slice(11..); // still in shared memory
//!     assert_eq!(body, "body");
//! })
//! .join()
//! .unwrap();
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Find what nobody else remembers
//!
//! A process that is killed between a put and the sending of its key leaves an object that only the region knows.
//!
//! ```
//! use inplace::RegionOptions;
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let known = region.put(b"known")?;
//! let _forgotten = region.put(b"forgotten")?;
//! for key in region.keys()? {
//!     if key != known {
//!         region.evict(key)?;
//!     }
//! }
//! assert_eq!(region.keys()?, [known]);
//! # Ok::<(), inplace::Error>(())
//! ```
