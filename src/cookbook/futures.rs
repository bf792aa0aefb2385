//! Values that are promised.
//!
//! # Hand out a value before it is there
//!
//! The proxy is an ordinary one, to be sent and used as any: its first use waits.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{Proxy, RegionOptions, Store};
//!
//! fn total(prices: &Proxy<Vec<u32>>) -> u32 {
//!     prices.iter().map(|price| price.to_native()).sum() // here it waits
//! }
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("early").connector(ShmConnector::new(region)).open()?;
//! let (promise, future) = store.promise::<Vec<u32>>()?;
//! let prices = future.proxy();
//! std::thread::scope(|scope| {
//!     let total = scope.spawn(|| total(&prices));
//!     promise.set(&vec![3, 4])?;
//!     assert_eq!(total.join().unwrap(), 7);
//!     Ok::<_, inplace::Error>(())
//! })?;
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Leave nothing behind
//!
//! A proxy that waits and evicts: whoever uses it first has the value, and nobody needs to evict it.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{Error, Proxy, RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("for-one").connector(ShmConnector::new(region)).register().open()?;
//! let (promise, future) = store.promise::<String>()?;
//! let message = postcard::to_stdvec(&future.proxy().evict_on_resolve()?)?; // before there is a value
//! promise.set(&"once".into())?;
//!
//! let (first, second): (Proxy<String>, Proxy<String>) = (postcard::from_bytes(&message)?, postcard::from_bytes(&message)?);
//! assert_eq!(first.as_str(), "once");
//! assert!(matches!(second.resolve(), Err(Error::NotFound { .. })));
//! assert!(!store.exists(future.key())?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Say that there will be no value, and why
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::{Error, Store};
//!
//! let store = Store::builder("no-value").connector(LocalConnector::new()).open()?;
//! let (promise, future) = store.promise::<String>()?;
//! promise.fail("the disk is on fire")?;
//! assert!(matches!(future.wait(None), Err(Error::Failed { message, .. }) if message.contains("fire")));
//!
//! let (promise, future) = store.promise::<String>()?;
//! promise.cancel()?; // or drop it, as a `?` before the `set` would
//! assert!(matches!(future.wait(None), Err(Error::Cancelled { .. })));
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Let another process give the value, and hear of it when it dies
//!
//! A promise goes to another process as a token. Of all who have copies of it one can adopt it; from then on the promise
//! breaks with that process, within 200 ms.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{Error, Promise, PromiseToken, RegionOptions, Store};
//! use nix::sys::signal::{Signal, raise};
//! use nix::sys::wait::waitpid;
//! use nix::unistd::{ForkResult, fork};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("by-token").connector(ShmConnector::new(region)).register().open()?;
//! let (kept, answer) = store.promise::<u64>()?;
//! let (broken, silence) = store.promise::<u64>()?;
//! let messages = [postcard::to_stdvec(&kept.into_token()?)?, postcard::to_stdvec(&broken.into_token()?)?];
//!
//! match unsafe { fork() }? {
//!     ForkResult::Child => {
//!         let [kept, broken] = messages.map(|message| {
//!             let token: PromiseToken<u64> = postcard::from_bytes(&message).unwrap();
//!             token.adopt().unwrap()
//!         });
//!         kept.set(&42).unwrap();
//!         raise(Signal::SIGKILL).unwrap();
//!         broken.set(&43).unwrap(); // it never gets here
//!     }
//!     ForkResult::Parent { child } => {
//!         assert_eq!(*answer.wait(None)?, 42);
//!         assert!(matches!(silence.wait(None), Err(Error::Broken { .. })));
//!         waitpid(child, None)?;
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Wait for a while only, or just look
//!
//! Who waits may go away at any time. Who wants nobody to bother any more evicts the object: its producer hears that, too.
//!
//! ```
//! use std::time::Duration;
//!
//! use inplace::connector::LocalConnector;
//! use inplace::{Error, Store};
//!
//! let store = Store::builder("patience").connector(LocalConnector::new()).open()?;
//! let (promise, future) = store.promise::<String>()?;
//! assert!(future.try_get()?.is_none());
//! assert!(matches!(future.wait(Some(Duration::from_millis(5))), Err(Error::TimedOut { .. })));
//!
//! future.evict()?;
//! assert!(matches!(promise.set(&"too late".into()), Err(Error::NotFound { .. })));
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Await, under any runtime or none
//!
//! One thread of the process listens for all promises, however many are awaited. Here it is tokio that runs the tasks.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("awaited").connector(ShmConnector::new(region)).open()?;
//! let (promises, futures): (Vec<_>, Vec<_>) =
//!     (0..100).map(|_| store.promise::<u64>()).collect::<inplace::Result<Vec<_>>>()?.into_iter().unzip();
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! let sum = runtime.block_on(async {
//!     let tasks: Vec<_> = futures.into_iter().map(|future| tokio::spawn(async { future.await })).collect();
//!     for (number, promise) in promises.iter().enumerate() {
//!         promise.set(&(number as u64))?;
//!     }
//!     let mut sum = 0;
//!     for task in tasks {
//!         sum += task.await.expect("it does not panic")?.to_native();
//!     }
//!     Ok::<_, inplace::Error>(sum)
//! })?;
//! assert_eq!(sum, 4950);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Await a proxy that is resolved in the background
//!
//! [`resolve_async`](crate::Proxy::resolve_async) begins at once. It opens the store, touches every page and checks the
//! value, or waits for its promise; who awaits it has a proxy whose uses cost nothing more.
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::Store;
//!
//! let store = Store::builder("background").connector(LocalConnector::new()).open()?;
//! let proxy = store.proxy(&vec![0.5_f64; 100_000])?;
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! let numbers = runtime.block_on(proxy.resolve_async())?;
//! assert!(numbers.is_resolved());
//! assert_eq!(numbers.len(), 100_000);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
