//! Counting, and showing it.
//!
//! # How long do operations take, and how much is found?
//!
//! Off unless it is asked for. A forked child starts from zero; what processes counted merges.
//!
//! ```
//! use inplace::Store;
//! use inplace::connector::LocalConnector;
//! use inplace::metrics::{Operation, StoreMetrics};
//!
//! let store = Store::builder("timed").connector(LocalConnector::new()).metrics(true).open()?;
//! for number in 0..100_u32 {
//!     let key = store.put(&number)?;
//!     assert!(store.take::<u32>(key)?.is_some());
//! }
//!
//! let metrics = store.metrics().expect("asked for");
//! let put = metrics.operation(Operation::Put).latency;
//! println!("{} puts: p50 {:?}, p99 {:?}, at most {:?}", put.count(), put.p50(), put.p99(), put.max());
//! assert_eq!(metrics.hit_rate(), Some(1.0));
//! assert_eq!(metrics.types[0].name, "u32"); // and by type
//!
//! let mut of_all = StoreMetrics::default(); // what workers send home
//! let sent = serde_json::to_string(&metrics).unwrap();
//! of_all.merge(&serde_json::from_str(&sent).unwrap());
//! assert_eq!(of_all.hits, 100);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # What did all processes do, also those that are gone?
//!
//! A region counts in shared memory: puts, bytes, gets, misses, evictions. What a killed process did stays counted.
//!
//! ```
//! use inplace::RegionOptions;
//! use nix::sys::signal::{Signal, raise};
//! use nix::sys::wait::waitpid;
//! use nix::unistd::{ForkResult, fork};
//!
//! let region = RegionOptions::new().capacity(1 << 20).metrics(true).anonymous()?;
//! match unsafe { fork() }? {
//!     ForkResult::Child => {
//!         region.put(b"my last words").unwrap();
//!         raise(Signal::SIGKILL).unwrap();
//!     }
//!     ForkResult::Parent { child } => drop(waitpid(child, None)?),
//! }
//! let counters = region.counters()?;
//! assert_eq!((counters.puts, counters.put_bytes), (1, 13));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # How full is it?
//!
//! ```
//! use inplace::RegionOptions;
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let _key = region.put(&[0; 1000])?;
//! let usage = region.usage()?;
//! println!("{} of {} bytes, {} objects", usage.bytes_in_use, usage.capacity, usage.objects);
//! assert!(usage.bytes_in_use >= 1000);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Show it to Prometheus
//!
//! One text for all stores and regions, each family once. Serve it with whatever HTTP there is.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::metrics::Exposition;
//! use inplace::{RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let connector = ShmConnector::new(region.clone());
//! let store = Store::builder("shown").connector(connector).metrics(true).open()?;
//! store.put("text")?;
//!
//! let text = Exposition::new()
//!     .with(&store.metrics().expect("asked for"))
//!     .with(&region.metrics()?)
//!     .to_string();
//! assert!(text.contains("# TYPE inplace_store_operation_seconds histogram\n"));
//! assert!(text.contains("inplace_region_puts_total{region=\"anonymous\"} 1\n"));
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Feed the `metrics` facade, or `tracing`
//!
//! With the cargo features of these names: `inplace = { version = "…", features = ["metrics", "tracing"] }`. Stores that
//! are opened with metrics after a recorder was installed also count there, under the names that Prometheus sees. And each
//! operation of each store is an event at level TRACE, target `inplace`, with the fields `store`, `operation`, `key`,
//! `items`, `nanoseconds` and `error`.
