//! What stores and regions count, and how it is shown.
//!
//! Off unless it is asked for: [`StoreBuilder::metrics`](crate::StoreBuilder::metrics) for a store in one process, and
//! with it, or by [`RegionOptions::metrics`](crate::RegionOptions::metrics), for what a region's processes do together.
//!
//! ```
//! use inplace::Store;
//! use inplace::connector::LocalConnector;
//! use inplace::metrics::Operation;
//!
//! let store = Store::builder("counted").connector(LocalConnector::new()).metrics(true).open()?;
//! let key = store.put(&vec![1_u32, 2, 3])?;
//! assert!(store.get::<Vec<u32>>(key)?.is_some());
//!
//! let metrics = store.metrics().expect("asked for");
//! assert_eq!((metrics.hits, metrics.misses), (1, 0));
//! let puts = metrics.operation(Operation::Put).latency;
//! assert!(puts.count() == 1 && puts.p99() <= puts.max());
//! assert!(metrics.to_prometheus().contains("inplace_store_hits_total{store=\"counted\"} 1\n"));
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! Latencies go into histograms with sixteen steps per power of two, so that a quantile is at most a sixteenth too high.
//! A thread counts beside most others and waits for none; a forked child starts from zero.
//!
//! With the cargo feature `metrics` the same figures also go to the [`metrics`](https://docs.rs/metrics) facade, for
//! stores that are opened after its recorder was installed. With the feature `tracing` every operation of every store is
//! an event at level TRACE with the target `inplace`.

mod buckets;
mod exposition;
#[cfg(feature = "metrics")]
mod facade;
mod histogram;
mod operation;
mod recorder;
mod store;

pub use exposition::{Expose, Exposition, Family, Kind};
pub use histogram::Histogram;
pub use operation::Operation;
pub use store::{OperationMetrics, StoreMetrics, TypeMetrics};

pub(crate) use recorder::{Counter, Recorder, TypeCounter};
