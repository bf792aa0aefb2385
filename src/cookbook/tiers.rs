//! Beyond shared memory: disks, other hosts, and several places as one.
//!
//! # Keep objects on a disk
//!
//! Each is a file, written whole, mapped when it is large; it stays until it is evicted, over a reboot too.
//!
//! ```
//! use inplace::connector::FileConnector;
//! use inplace::{Key, Store};
//!
//! # let directory = std::env::temp_dir().join(format!("cookbook-disk-{}", std::process::id()));
//! let store = Store::builder("results").connector(FileConnector::open(&directory)?).open()?;
//! let key = store.put(&vec![0.5; 100_000])?.to_string(); // to be written down
//! store.close()?;
//!
//! // Another day, in another process:
//! let store = Store::builder("results").connector(FileConnector::open(&directory)?).open()?;
//! let key: Key = key.parse()?;
//! assert_eq!(store.get::<Vec<f64>>(key)?.expect("it was kept").len(), 100_000);
//! store.evict(key)?;
//! # drop(store);
//! # std::fs::remove_dir_all(directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Reach other hosts: a Redis server
//!
//! With the feature `redis`. A proxy of such a store resolves on every host that reaches the server: it carries the
//! address, and the name of the variable with the password, never the password.
//!
//! (Compiled with that feature, and not run here: it needs a server. `tests/redis.rs` runs one.)
//!
#![cfg_attr(feature = "redis", doc = "```no_run")]
#![cfg_attr(not(feature = "redis"), doc = "```ignore")]
//! use inplace::connector::{RedisConfig, RedisConnector};
//! use inplace::Store;
//!
//! let config = RedisConfig {
//!     urls: vec!["rediss://cache.example.org".into()], // TLS: with the feature `redis-tls`
//!     password_env: Some("CACHE_PASSWORD".into()),
//!     prefix: "experiment-7".into(),
//!     ..RedisConfig::default()
//! };
//! let store = Store::builder("hosts").connector(RedisConnector::connect(&config)?).open()?;
//! let proxy = store.proxy(&vec![1.0, 2.0])?;
//! assert_eq!(proxy[1], 2.0); // copied from the server
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Spill to a disk when shared memory is full
//!
//! The member of the highest priority that takes the object and has room gets it. The key tells which one it was, so a
//! proxy is the same either way.
//!
//! ```
//! use inplace::connector::{FileConnector, MultiConnector, Policy, ShmConnector};
//! use inplace::{RegionOptions, Store};
//!
//! # let directory = std::env::temp_dir().join(format!("cookbook-spill-{}", std::process::id()));
//! let memory = ShmConnector::new(RegionOptions::new().capacity(1 << 20).anonymous()?);
//! let both = MultiConnector::new()
//!     .with(memory, Policy { priority: 1, ..Policy::default() })
//!     .with(FileConnector::open(&directory)?, Policy::default());
//! let store = Store::builder("spilling").connector(both).open()?;
//!
//! let blocks: Vec<Vec<u8>> = (0..8).map(|number| vec![number; 300_000]).collect();
//! let proxies = store.proxy_batch(&blocks)?; // 2.4 MB, of which 1 MiB has room
//! let on_disk = std::fs::read_dir(directory.join("objects"))?.count();
//! assert!((1..8).contains(&on_disk));
//! assert!(proxies.iter().zip(0..).all(|(proxy, number)| proxy[299_999] == number));
//! # drop((store, proxies));
//! # std::fs::remove_dir_all(directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The same in TOML
//!
//! A proxy carries this configuration: who resolves it opens what its object needs, and creates nothing.
//!
//! ```
//! use inplace::{Proxy, Store};
//!
//! # let directory = std::env::temp_dir().join(format!("cookbook-tiers-{}", std::process::id()));
//! # let text = format!(r#"
//! # name = "tiers-{0}"
//! # [[connector.multi.members]]
//! # connector.shm = {{ region = "tiers-{0}", capacity = 1_048_576 }}
//! # policy = {{ priority = 1, max_size = 100_000 }}
//! # [[connector.multi.members]]
//! # connector.file.directory = {1:?}
//! # "#, std::process::id(), directory);
//! # let _shown =
//! r#"
//! name = "tiers"
//!
//! [[connector.multi.members]]                                      # small objects
//! connector.shm = { region = "tiers", capacity = 1_048_576 }
//! policy = { priority = 1, max_size = 100_000 }
//!
//! [[connector.multi.members]]                                      # large ones, and what has no room there
//! connector.file.directory = "/var/tmp/tiers"
//! "#;
//! let store = Store::from_toml(&text)?;
//! let proxies = [store.proxy("small")?, store.proxy(&*"large ".repeat(100_000))?];
//! assert_ne!(proxies[0].key().space(), proxies[1].key().space());
//!
//! let received: Vec<Proxy<str>> = postcard::from_bytes(&postcard::to_stdvec(&proxies.to_vec())?)?;
//! assert!(received[0].as_str() == "small" && received[1].starts_with("large"));
//! # drop((store, proxies, received));
//! # std::fs::remove_dir_all(directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Choose the place by tags
//!
//! A handle with tags puts where all of them are offered. Everything else finds an object wherever it is.
//!
//! ```
//! use inplace::connector::{Connector, FileConnector, LocalConnector, MultiConnector, Policy, Tags};
//! use inplace::Store;
//!
//! # let directory = std::env::temp_dir().join(format!("cookbook-tags-{}", std::process::id()));
//! let durable = Policy { subset_tags: vec!["durable".into()], ..Policy::default() };
//! let places = MultiConnector::new()
//!     .with(LocalConnector::new(), Policy { priority: 1, ..Policy::default() })
//!     .with(FileConnector::open(&directory)?, durable);
//! let kept = Store::builder("kept").connector(places.tagged(Tags::subset(["durable"]))).open()?;
//! let store = Store::builder("any").connector(places).open()?;
//!
//! let (result, scratch) = (kept.put("result")?, store.put("scratch")?);
//! assert_eq!(std::fs::read_dir(directory.join("objects"))?.count(), 1);
//! assert!(store.exists(result)? && kept.exists(scratch)?);
//! # drop((store, kept));
//! # std::fs::remove_dir_all(directory)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
