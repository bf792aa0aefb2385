//! Where bytes are.
//!
//! # Test without shared memory
//!
//! A dictionary of the process behaves as shared memory does, but for who sees it.
//!
//! ```
//! use inplace::Store;
//! use inplace::connector::LocalConnector;
//!
//! let store = Store::builder("tested").connector(LocalConnector::new()).open()?;
//! let key = store.put("anything")?;
//! assert!(store.get::<str>(key)?.is_some());
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Choose the region, and how large it may become
//!
//! ```
//! use inplace::connector::{ConnectorConfig, ShmConfig};
//! use inplace::Store;
//!
//! # let name = format!("cookbook-shm-{}", std::process::id());
//! # let name = name.as_str();
//! let shm = ShmConfig { region: name.into(), capacity: Some(64 << 20), ..ShmConfig::default() };
//! let store = Store::builder("sized").connector_config(ConnectorConfig::Shm(shm)).open()?;
//! let region = store.connector().as_shm().expect("it is shared memory").region()?;
//! assert_eq!(region.capacity(), 64 << 20); // address space: memory is taken as objects need it
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Bytes by key, without types
//!
//! ```
//! use inplace::RegionOptions;
//! use inplace::connector::{Connector, ShmConnector};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let connector = ShmConnector::new(region);
//! let keys = connector.put_batch(&[b"one", b"two"])?;
//! let block = connector.get(keys[1])?.expect("just put");
//! assert_eq!(&*block, b"two"); // pinned and in place
//! assert_eq!(connector.evict_batch(&keys)?, 2);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # A connector of your own
//!
//! Seven methods; batches come with them. A kind that is registered can be rebuilt from its configuration in every process
//! that registers it, so proxies of such a store resolve there.
//!
//! ```
//! use std::collections::BTreeMap;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicU64, Ordering};
//!
//! use inplace::connector::{
//!     Block, Connector, ConnectorConfig, CustomConfig, Fill, LocalConnector, register_kind,
//! };
//! use inplace::{Fingerprint, Key, Result, Store};
//!
//! /// Counts what another connector stores.
//! #[derive(Debug)]
//! struct Counting {
//!     inside: LocalConnector,
//!     puts: AtomicU64,
//! }
//!
//! impl Connector for Counting {
//!     fn put_with(&self, size: usize, fingerprint: Fingerprint, fill: &mut Fill<'_>) -> Result<Key> {
//!         self.puts.fetch_add(1, Ordering::Relaxed);
//!         self.inside.put_with(size, fingerprint, fill)
//!     }
//!
//!     fn get(&self, key: Key) -> Result<Option<Block>> {
//!         self.inside.get(key)
//!     }
//!
//!     fn take(&self, key: Key) -> Result<Option<Block>> {
//!         self.inside.take(key)
//!     }
//!
//!     fn exists(&self, key: Key) -> Result<bool> {
//!         self.inside.exists(key)
//!     }
//!
//!     fn evict(&self, key: Key) -> Result<bool> {
//!         self.inside.evict(key)
//!     }
//!
//!     fn close(&self) -> Result<()> {
//!         self.inside.close()
//!     }
//!
//!     fn config(&self) -> ConnectorConfig {
//!         let options = BTreeMap::from([("name".to_owned(), "counted".to_owned())]);
//!         ConnectorConfig::Custom(CustomConfig { kind: "counting".into(), options })
//!     }
//! }
//!
//! fn connect(options: &BTreeMap<String, String>) -> Result<Arc<dyn Connector>> {
//!     let name = options.get("name").map_or("unnamed", String::as_str);
//!     Ok(Arc::new(Counting { inside: LocalConnector::named(name)?, puts: AtomicU64::new(0) }))
//! }
//!
//! register_kind("counting", connect)?;
//! let config = "name = \"custom\"\n[connector.custom]\nkind = \"counting\"\noptions = { name = \"counted\" }\n";
//! let store = Store::from_toml(config)?;
//! let message = postcard::to_stdvec(&store.proxy("by way of a connector of ours")?).unwrap();
//! let received: inplace::Proxy<str> = postcard::from_bytes(&message).unwrap();
//! assert!(received.ends_with("of ours"));
//! # Store::registered("custom").unwrap().close()?;
//! # Ok::<(), inplace::Error>(())
//! ```
