//! Opening stores.
//!
//! # The shortest way
//!
//! ```
//! # let name = format!("cookbook-open-{}", std::process::id());
//! # let name = name.as_str();
//! let store = inplace::Store::open(name)?; // in the region of that name, made when it is not there
//! assert_eq!(store.name(), name);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # With options
//!
//! ```
//! use inplace::codec::Serde;
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(64 << 20).max_objects(10_000).anonymous()?;
//! let store = Store::builder("options")
//!     .connector(ShmConnector::new(region))
//!     .codec(Serde)
//!     .cache_size(100) // decoded values that are kept
//!     .cache_bytes(8 << 20) // and how much they may stand for
//!     .metrics(true)
//!     .open()?;
//! assert_eq!(store.config().cache_size, 100);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # From TOML
//!
//! What is left out takes its default; what is not known is an error.
//!
//! ```
//! use inplace::Store;
//!
//! # let text = format!(r#"
//! # name = "weather-{0}"
//! # cache_size = 4
//! # metrics = true
//! #
//! # [connector.shm]
//! # region = "weather-{0}"
//! # capacity = 16777216
//! # lifespan = "attached"
//! # "#, std::process::id());
//! # let _shown =
//! r#"
//! name = "weather"
//! cache_size = 4
//! metrics = true
//!
//! [connector.shm]
//! region = "weather"
//! capacity = 16777216
//! lifespan = "attached"
//! "#;
//! let store = Store::from_toml(&text)?;
//! let again = Store::from_toml(&store.config().to_toml())?; // what another process would do
//! let key = store.put("sunny")?;
//! assert_eq!(again.get::<str>(key)?.unwrap().as_str(), "sunny");
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Let proxies that arrive find a store
//!
//! A proxy names its store. Where a store of that name is registered it is used, else it is opened, once per process. To
//! decide yourself with which connector, cache or metrics, register yours; a store of the same name and another
//! configuration is an error, never a surprise.
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::{Error, Proxy, Store};
//!
//! let store = Store::builder("registered").connector(LocalConnector::new()).open()?;
//! let message = postcard::to_stdvec(&store.proxy(&7_u8)?)?;
//! {
//!     let _registered = store.register()?; // for as long as the guard lives
//!     assert_eq!(*postcard::from_bytes::<Proxy<u8>>(&message)?, 7);
//!
//!     let other = Store::builder("registered").connector(LocalConnector::new()).open()?;
//!     assert!(matches!(other.register(), Err(Error::StoreMismatch { .. })));
//! }
//! assert!(Store::registered("registered").is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Hand a worker the configuration
//!
//! ```
//! use inplace::connector::ConnectorConfig;
//! use inplace::{Store, StoreConfig};
//!
//! fn work(job: &str) -> inplace::Result<usize> {
//!     let config: StoreConfig = serde_json::from_str(job).expect("it was sent by us");
//!     let store = Store::get_or_open(config)?; // opened by the first job, found by the others
//!     Ok(store.config().cache_size)
//! }
//!
//! let config = StoreConfig { connector: ConnectorConfig::local("jobs"), ..StoreConfig::new("jobs") };
//! let job = serde_json::to_string(&config).unwrap();
//! assert_eq!((work(&job)?, work(&job)?), (16, 16));
//! # Ok::<(), inplace::Error>(())
//! ```
