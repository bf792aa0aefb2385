//! Many at once.
//!
//! # Put, get and evict a batch
//!
//! Keys and results are in the order of what they are for. Of a batch that is put all is stored, or nothing.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("batches").connector(ShmConnector::new(region)).open()?;
//! let keys = store.put_batch(["one", "two", "three"])?;
//! assert_eq!(store.exists_batch(&keys)?, [true; 3]);
//!
//! let lengths = store.get_batch::<str>(&keys)?.into_iter().flatten().map(|word| word.len());
//! assert_eq!(lengths.sum::<usize>(), 11);
//!
//! let taken = store.take_batch::<str>(&keys[..2])?; // read first: one that cannot be read leaves all where they are
//! assert!(taken.iter().all(Option::is_some));
//! assert_eq!(store.evict_batch(&keys)?, 1); // the others are gone already
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Scatter proxies, gather results
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{ProxyOptions, RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(16 << 20).anonymous()?;
//! let store = Store::builder("scatter").connector(ShmConnector::new(region)).open()?;
//! let parts: Vec<Vec<u64>> = (0..4).map(|part| (part * 100..(part + 1) * 100).collect()).collect();
//! // Each part goes to one worker, and is gone when that has it.
//! let proxies = store.proxy_batch_with(&parts, ProxyOptions::new().evict_on_resolve())?;
//!
//! let sums: u64 = std::thread::scope(|scope| {
//!     let sum = |part: inplace::Proxy<Vec<u64>>| part.iter().map(|n| n.to_native()).sum::<u64>();
//!     let workers: Vec<_> = proxies.into_iter().map(|part| scope.spawn(move || sum(part))).collect();
//!     workers.into_iter().map(|worker| worker.join().unwrap()).sum()
//! });
//! assert_eq!(sums, (0..400_u64).sum::<u64>());
//! # Ok::<(), inplace::Error>(())
//! ```
