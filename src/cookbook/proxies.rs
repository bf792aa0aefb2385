//! Values by reference.
//!
//! # Send a value to another process
//!
//! Put it once, and send the proxy over whatever there is: a pipe, a socket, a queue, an argument. It is a few dozen bytes
//! in any serde format. The receiver needs no setup: the first use finds the region and reads the value where it lies.
//!
//! ```
//! use std::io::{Read, Write};
//! use std::os::unix::net::UnixStream;
//!
//! use inplace::{Proxy, Store};
//! use nix::sys::wait::{WaitStatus, waitpid};
//! use nix::unistd::{ForkResult, fork};
//!
//! # let name = format!("cookbook-send-{}", std::process::id());
//! # let name = name.as_str();
//! let store = Store::open(name)?; // made on first use, in /dev/shm
//! let proxy = store.proxy(&vec![0.5_f64; 100_000])?; // 800 kB, put once
//! let (mut here, mut there) = UnixStream::pair()?;
//! here.write_all(&postcard::to_stdvec(&proxy)?)?; // a few dozen bytes
//! here.shutdown(std::net::Shutdown::Write)?;
//!
//! // Any process will do. Here it is a child, which is the shortest to write.
//! match unsafe { fork() }? {
//!     ForkResult::Child => {
//!         let mut message = Vec::new();
//!         there.read_to_end(&mut message).unwrap();
//!         let numbers: Proxy<Vec<f64>> = postcard::from_bytes(&message).unwrap();
//!         let is_right = numbers.len() == 100_000 && numbers[99_999] == 0.5;
//!         unsafe { libc::_exit(i32::from(!is_right)) }
//!     }
//!     ForkResult::Parent { child } => {
//!         assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 0));
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Pass a proxy where a value is wanted
//!
//! A proxy derefs to the archived form of its value, so a function that takes that does not care.
//!
//! ```
//! use inplace::codec::{Array, Slice};
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//!
//! fn mean(numbers: &Array<f64>) -> f64 {
//!     numbers.iter().sum::<f64>() / numbers.len() as f64
//! }
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("numbers").connector(ShmConnector::new(region)).open()?;
//! let numbers = store.proxy_as(Slice::<f64>::default(), &vec![1.0, 2.0, 6.0])?;
//! assert_eq!(mean(&numbers), 3.0);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Have it resolved from the start: populate
//!
//! Where the maker of a proxy uses it, too. It is read once, now, and then no more; to whoever gets it, it arrives lazy.
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::{ProxyOptions, Store};
//!
//! let store = Store::builder("populated").connector(LocalConnector::new()).open()?;
//! let proxy = store.proxy_with("used here as well", ProxyOptions::new().populate(true))?;
//! assert!(proxy.is_resolved());
//!
//! // Or for every proxy of a store:
//! let store = Store::builder("always").connector(LocalConnector::new()).populate(true).open()?;
//! assert!(store.proxy("here, too")?.is_resolved());
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Give it to one receiver only
//!
//! The object is evicted when it is resolved. Of any number of receivers, in any processes, one has the value; the others
//! hear that it is gone.
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::{Error, ProxyOptions, Store};
//!
//! let store = Store::builder("once").connector(LocalConnector::new()).open()?;
//! let proxy = store.proxy_with("for one", ProxyOptions::new().evict_on_resolve())?;
//! let copy = proxy.clone();
//! assert_eq!(proxy.as_str(), "for one");
//! assert!(matches!(copy.resolve(), Err(Error::NotFound { .. })));
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Resolve while doing something else
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::Store;
//!
//! let store = Store::builder("ahead").connector(LocalConnector::new()).open()?;
//! let coming = store.proxy(&vec![1_u8; 1 << 20])?.resolve_async(); // mapped, read and checked meanwhile
//! let other_work: u64 = (0..1000).sum();
//! let bytes = coming.wait()?; // or `.await`
//! assert!(bytes.is_resolved() && other_work == 499_500);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Handle a proxy whose object may be gone
//!
//! Using a proxy panics when there is nothing to use. `resolve` says why instead, and may be tried again.
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::{Error, Store};
//!
//! let store = Store::builder("gone").connector(LocalConnector::new()).open()?;
//! let proxy = store.proxy(&1_u32)?;
//! store.evict(proxy.key())?;
//! match proxy.resolve() {
//!     Ok(number) => println!("{number}"),
//!     Err(Error::NotFound { key }) => println!("{key} was evicted"),
//!     Err(other) => return Err(other),
//! }
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Put proxies into other values
//!
//! A value may hold proxies of parts that not every reader needs.
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::{Proxy, Store, storable};
//!
//! #[storable]
//! struct Photo {
//!     title: String,
//!     pixels: Proxy<Vec<u8>>,
//! }
//!
//! let store = Store::builder("photos").connector(LocalConnector::new()).register().open()?;
//! let pixels = store.proxy(&vec![7_u8; 1 << 20])?;
//! let photo = store.proxy(&Photo { title: "seven".into(), pixels })?;
//! assert_eq!(photo.title.as_str(), "seven"); // no pixel was touched
//! assert_eq!(photo.pixels.to_proxy()[0], 7);
//! # Ok::<(), inplace::Error>(())
//! ```
