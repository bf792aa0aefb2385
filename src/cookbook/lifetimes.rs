//! Objects that nobody has to evict by hand.
//!
//! # Evict at the end of a scope
//!
//! Also when it is left by `?` or a panic. Views that exist stay.
//!
//! ```
//! use inplace::connector::{LocalConnector, ShmConnector};
//! use inplace::{RegionOptions, Store};
//!
//! fn longest(store: &Store, lines: &[String]) -> inplace::Result<usize> {
//!     let scope = store.scope();
//!     let parts = scope.put_batch(lines)?; // intermediate results, for others to work on
//!     let mut longest = 0;
//!     for key in parts {
//!         longest = longest.max(store.get::<String>(key)?.expect("it is in scope").len());
//!     }
//!     Ok(longest) // here they go; `scope.end()?` would tell of errors
//! }
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("scopes").connector(ShmConnector::new(region.clone())).open()?;
//! assert_eq!(longest(&store, &["one".into(), "three".into()])?, 5);
//! assert_eq!(region.usage()?.objects, 0);
//!
//! // What was made elsewhere can be attached, by its key or a proxy of it.
//! let store = Store::builder("attached").connector(LocalConnector::new()).open()?;
//! let proxy = store.proxy("made elsewhere")?;
//! let scope = store.scope();
//! scope.attach_proxy(&proxy)?;
//! assert_eq!(scope.end()?, 1);
//! assert!(proxy.resolve().is_err());
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Keep for a time: a lease
//!
//! The deadline stands with the objects, in shared memory. It holds when whoever set it is dead; and nobody gets an object
//! whose time is over.
//!
//! ```
//! use std::time::Duration;
//!
//! use inplace::connector::ShmConnector;
//! use inplace::{Deadline, Error, RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("sessions").connector(ShmConnector::new(region)).open()?;
//! let lease = store.lease(Duration::from_secs(60))?;
//! let session = lease.put("logged in")?;
//! lease.extend(Duration::from_secs(60))?; // two minutes from the start
//!
//! let short = store.lease(Duration::from_secs(60))?;
//! let code = short.put("one-time code")?;
//! short.set_deadline(Deadline::after(Duration::from_millis(5)))?;
//! std::thread::sleep(Duration::from_millis(6));
//! assert!(store.get::<str>(code)?.is_none());
//! assert!(matches!(short.extend(Duration::from_secs(1)), Err(Error::LeaseOver { .. })));
//! assert!(store.exists(session)?);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Keep for as long as this process lives
//!
//! At its exit, the objects go. When it is killed, whoever next reaps evicts them: a process that attaches, one that runs
//! short of memory or waits, or a thread that does it regularly.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//! use nix::sys::signal::{Signal, raise};
//! use nix::sys::wait::waitpid;
//! use nix::unistd::{ForkResult, fork};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("bound").connector(ShmConnector::new(region.clone())).open()?;
//! match unsafe { fork() }? {
//!     ForkResult::Child => {
//!         store.process_lifetime().unwrap().put("my scratch data").unwrap();
//!         raise(Signal::SIGKILL).unwrap();
//!     }
//!     ForkResult::Parent { child } => drop(waitpid(child, None)?),
//! }
//! region.reap()?; // now; or, in the background, `region.reap_every(interval)?`
//! assert_eq!(region.usage()?.objects, 0);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Why not both: a lifetime, and evicting on resolve
//!
//! One of the two would come too late, so it is refused.
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::{Error, ProxyOptions, Store};
//!
//! let store = Store::builder("either").connector(LocalConnector::new()).open()?;
//! let once = store.proxy_with("for one", ProxyOptions::new().evict_on_resolve())?;
//! let refused = store.scope().attach_proxy(&once);
//! assert!(matches!(refused, Err(Error::EvictedOnResolve { .. })));
//! # Ok::<(), inplace::Error>(())
//! ```
