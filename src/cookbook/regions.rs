//! Shared memory itself.
//!
//! # Find an object without its key
//!
//! Whoever knows the region and the name finds it. Binding a name again is how a value is replaced.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("names").connector(ShmConnector::new(region.clone())).open()?;
//! region.bind("settings", store.put(&vec![1_u32])?)?;
//!
//! let newer = store.put(&vec![1_u32, 2])?;
//! if let Some(older) = region.bind("settings", newer)? {
//!     store.evict(older)?; // who has it in view keeps it
//! }
//! let key = region.lookup("settings")?.expect("bound above");
//! assert_eq!(store.get::<Vec<u32>>(key)?.unwrap().len(), 2);
//! region.unbind("settings")?;
//! assert_eq!(region.lookup("settings")?, None);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Produce in place: a loan
//!
//! Memory of the object is lent before there is an object; nobody sees it until it is published. Dropped, it goes back.
//!
//! ```
//! use inplace::{Fingerprint, RegionOptions};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let mut loan = region.loan(8192, Fingerprint::BYTES)?;
//! let mut len = 0;
//! for word in ["read", "or", "rendered", "into", "place"] {
//!     loan[len..len + word.len()].copy_from_slice(word.as_bytes()); // a read(2) would go here
//!     len += word.len();
//! }
//! let key = loan.publish_prefix(len)?;
//! assert_eq!(&*region.get(key)?.unwrap(), b"readorrenderedintoplace");
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Hand out a key before there is a value
//!
//! If the producer dies, whoever waits hears of it at once.
//!
//! ```
//! use std::time::Duration;
//!
//! use inplace::{Error, RegionOptions};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let key = region.reserve()?;
//! assert!(region.get(key)?.is_none());
//! std::thread::scope(|scope| {
//!     let waiter = scope.spawn(|| region.wait(key, Some(Duration::from_secs(5))));
//!     region.set(key, b"late")?;
//!     assert_eq!(&*waiter.join().unwrap()?, b"late");
//!     Ok::<_, Error>(())
//! })?;
//!
//! let never = region.reserve()?;
//! region.fail(never)?;
//! assert!(matches!(region.wait(never, None), Err(Error::Broken { .. })));
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Share memory with forked workers, and leave nothing behind
//!
//! An anonymous region has no name in /dev/shm. Children inherit it, and their parent's views as their own.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//! use nix::sys::wait::{WaitStatus, waitpid};
//! use nix::unistd::{ForkResult, fork};
//!
//! let region = RegionOptions::new().capacity(16 << 20).anonymous()?;
//! let store = Store::builder("family").connector(ShmConnector::new(region.clone())).open()?;
//! let input = store.put(&vec![2_u64; 1000])?;
//! let result = region.reserve()?;
//! match unsafe { fork() }? {
//!     ForkResult::Child => {
//!         let numbers = store.get::<Vec<u64>>(input).unwrap().unwrap();
//!         let sum: u64 = numbers.iter().map(|number| number.to_native()).sum();
//!         region.set(result, &sum.to_le_bytes()).unwrap();
//!         unsafe { libc::_exit(0) }
//!     }
//!     ForkResult::Parent { child } => {
//!         assert_eq!(*region.wait(result, None)?, 2000_u64.to_le_bytes());
//!         assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 0));
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Keep a region when nobody is attached
//!
//! ```
//! use inplace::{Lifespan, Region, RegionOptions};
//!
//! # let name = format!("cookbook-keep-{}", std::process::id());
//! # let name = name.as_str();
//! let options = RegionOptions::new().capacity(1 << 20).lifespan(Lifespan::Persistent);
//! let key = options.create(name)?.put(b"still there")?; // the only handle ends here
//! assert_eq!(&*Region::open(name)?.get(key)?.unwrap(), b"still there");
//! Region::destroy(name)?;
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Be told when something is wrong
//!
//! ```
//! use inplace::RegionOptions;
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let undone = region.reap()?; // what dead processes left half done; operations do this when they need to
//! let report = region.check()?;
//! assert!(report.is_clean() && undone == 0, "{report:?}");
//! # Ok::<(), inplace::Error>(())
//! ```
