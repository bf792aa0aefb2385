//! Worker processes, and work for them.
//!
//! # Give work to processes, and wait for what comes of it
//!
//! Inputs and results are in shared memory. A task whose worker is killed is done by another; an error or a panic of the handler
//! is heard by whoever waits.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store, WorkerPool, storable};
//!
//! #[storable]
//! struct Image {
//!     width: u32,
//!     pixels: Vec<u8>,
//! }
//!
//! let region = RegionOptions::new().capacity(1 << 24).anonymous()?;
//! let store = Store::builder("images").connector(ShmConnector::new(region)).open()?;
//! let pool = WorkerPool::<Image, Image>::fork(&store, 2, |image| {
//!     let width = image.width.to_native();
//!     let pixels = image.pixels.chunks(width as usize).flat_map(|row| row.iter().rev().copied());
//!     Ok::<_, String>(Image { width, pixels: pixels.collect() })
//! })?;
//!
//! let task = pool.submit(&Image { width: 2, pixels: vec![1, 2, 3, 4] })?;
//! let mirrored = task.wait(None)?; // or `task.await?`
//! assert_eq!(mirrored.pixels.as_slice(), [2, 1, 4, 3]);
//! drop(task); // evicts the result; the view stays
//! pool.join()?;
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Map more than there is memory for
//!
//! The iterator is asked for an input when there is room for it: so many are on their way at a time.
//!
//! ```
//! use inplace::codec::Slice;
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store, WorkerPool};
//!
//! let region = RegionOptions::new().capacity(1 << 24).anonymous()?;
//! let store = Store::builder("arrays").connector(ShmConnector::new(region)).codec(Slice::<f64>::default()).open()?;
//! let pool = WorkerPool::<[f64], [f64], _>::fork(&store, 2, |array| {
//!     Ok::<_, String>(array.iter().map(|x| x.sqrt()).collect::<Vec<_>>())
//! })?;
//!
//! let arrays = (0..50).map(|n| vec![f64::from(n); 100_000]); // 40 MB in all
//! let roots = pool.map(arrays).in_flight(4).progress(|done, _submitted| {
//!     eprint!("\r{done}/50");
//! });
//! for (n, root) in roots.enumerate() {
//!     assert_eq!(root?[99_999], (n as f64).sqrt());
//! }
//! pool.join()?;
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Make something once per worker
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store, WorkerPool};
//!
//! let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
//! let store = Store::builder("models").connector(ShmConnector::new(region)).open()?;
//! let weights = store.proxy(&vec![2.0_f64; 1000])?; // of all workers, in place
//! let key = weights.key();
//! let pool = WorkerPool::<f64, f64>::builder(&store)
//!     .workers(2)
//!     .attempts(5) // how often a task is tried whose worker is killed
//!     .init(|_number| Vec::with_capacity(1000)) // a buffer of each
//!     .fork(move |buffer: &mut Vec<f64>, x| {
//!         buffer.clear();
//!         buffer.extend(weights.iter().map(|w| w.to_native() * x.to_native()));
//!         Ok::<_, String>(buffer.iter().sum::<f64>())
//!     })?;
//! assert_eq!(*pool.submit(&0.5)?.wait(None)?, 1000.0);
//! pool.join()?;
//! store.evict(key)?;
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Use what is there already as an input, and a result as the next one
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store, WorkerPool};
//!
//! let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
//! let store = Store::builder("chains").connector(ShmConnector::new(region)).open()?;
//! let pool = WorkerPool::<Vec<u32>, Vec<u32>>::fork(&store, 2, |numbers| {
//!     Ok::<_, String>(numbers.iter().map(|n| n.to_native() + 1).collect::<Vec<_>>())
//! })?;
//! let numbers = store.proxy(&vec![1, 2, 3])?.evict_on_resolve()?; // goes when its task is done
//! let once = pool.submit_proxy(&numbers)?;
//! let twice = pool.submit_proxy(&once.proxy())?; // waits for the first, in a worker
//! assert_eq!(twice.wait(None)?.as_slice(), [3, 4, 5]);
//! drop((once, twice));
//! pool.join()?;
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Let other programs do the work
//!
//! A pool with a name has its tasks done by whoever attaches to it, with or without workers of its own.
//!
//! ```no_run
//! use inplace::{Store, Worker, WorkerPool};
//!
//! // One program:
//! let store = Store::open("render")?;
//! let pool = WorkerPool::<str, u64>::builder(&store).name("frames").attached()?;
//! for pixels in pool.map(["a.scene", "b.scene"]) {
//!     println!("{} pixels", pixels?);
//! }
//!
//! // Any number of others, which end with the pool:
//! let store = Store::open("render")?;
//! let done = Worker::<str, u64>::attach(&store, "frames")?.run(|scene| {
//!     if scene.is_empty() { Err("there is no scene") } else { Ok(1920 * 1080_u64) }
//! })?;
//! println!("{done} scenes");
//! # Ok::<(), inplace::Error>(())
//! ```
