//! Values that change.
//!
//! # Publish a configuration that every process reads
//!
//! Whoever knows the store and the name finds the cell. A reader has one version or another, whole, and keeps what it has.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store, storable};
//!
//! #[storable]
//! struct Settings {
//!     threads: u32,
//!     model: String,
//! }
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("settings").connector(ShmConnector::new(region)).open()?;
//! let settings = store.cell::<Settings>("settings")?; // made by whoever comes first
//! settings.set(&Settings { threads: 2, model: "small".into() })?;
//!
//! let reader = store.cell::<Settings>("settings")?; // in any process
//! let before = reader.get()?.expect("it was set");
//! settings.set(&Settings { threads: 8, model: "large".into() })?;
//! assert_eq!((before.threads.to_native(), before.model.as_str()), (2, "small"));
//! assert_eq!(reader.get()?.unwrap().threads, 8);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Count together, and lose nothing
//!
//! `update` makes the next value of the current one, and does it again when somebody else was faster.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//! use nix::sys::wait::{WaitStatus, waitpid};
//! use nix::unistd::{ForkResult, fork};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("counted").connector(ShmConnector::new(region)).open()?;
//! let done = store.cell_new::<u64>()?;
//! let work = || (0..100).try_for_each(|_| done.update(|count| count.map_or(0, |n| n.to_native()) + 1).map(drop));
//! match unsafe { fork() }? {
//!     ForkResult::Child => unsafe { libc::_exit(i32::from(work().is_err())) },
//!     ForkResult::Parent { child } => {
//!         work()?;
//!         assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 0));
//!     }
//! }
//! assert_eq!(*done.get()?.unwrap(), 200);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Replace only what was seen
//!
//! ```
//! use inplace::connector::LocalConnector;
//! use inplace::{Error, Store};
//!
//! let store = Store::builder("turns").connector(LocalConnector::new()).open()?;
//! let leader = store.cell::<str>("leader")?;
//! assert_eq!(leader.set_if(0, "worker 1")?, 1); // 0: if it was never set
//! match leader.set_if(0, "worker 2") {
//!     Err(Error::Conflict { found, .. }) => assert_eq!(found, 1), // somebody else leads
//!     other => panic!("{other:?}"),
//! }
//! let current = leader.get_versioned()?.unwrap();
//! assert_eq!((current.value.as_str(), current.version), ("worker 1", 1));
//! leader.set_if(current.version, "worker 2")?;
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Follow the changes
//!
//! Whoever waits sleeps in the kernel. Versions may be passed over, the last one never is.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{Error, RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("progress").connector(ShmConnector::new(region)).open()?;
//! let percent = store.cell_new::<u32>()?;
//! std::thread::scope(|scope| {
//!     let shown = scope.spawn(|| {
//!         let mut seen = 0;
//!         loop {
//!             let current = percent.wait_for_change(seen, None)?;
//!             seen = current.version;
//!             if *current.value == 100 {
//!                 return Ok::<_, Error>(seen);
//!             }
//!         }
//!     });
//!     for done in [25, 50, 75, 100] {
//!         percent.set(&done)?;
//!     }
//!     assert_eq!(shown.join().unwrap()?, 4);
//!     percent.evict()?; // for everyone: who waits then, or uses it, hears `NotFound`
//!     assert!(matches!(percent.wait_for_change(4, None), Err(Error::NotFound { .. })));
//!     Ok::<_, Error>(())
//! })?;
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Await the changes
//!
//! Under any runtime; one thread of the process waits for all cells and promises. Dropped, as the slower branch of a `select!`
//! is, a wait has taken nothing.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{Cell, RegionOptions, Store};
//!
//! async fn last(percent: Cell<u32>) -> inplace::Result<u64> {
//!     let mut seen = 0;
//!     loop {
//!         let current = percent.changed(seen).await?;
//!         seen = current.version;
//!         if *current.value == 100 {
//!             return Ok(seen);
//!         }
//!     }
//! }
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("awaited").connector(ShmConnector::new(region)).open()?;
//! let percent = store.cell_new::<u32>()?;
//! let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build()?;
//! let followed = runtime.spawn(last(percent.clone()));
//! for done in [25, 50, 75, 100] {
//!     percent.set(&done)?;
//! }
//! assert_eq!(runtime.block_on(followed)??, 4);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Send a cell
//!
//! The handle goes through serde as a proxy does, and finds its store by itself.
//!
//! ```
//! use inplace::{Cell, Store};
//!
//! # let name = format!("cookbook-cell-{}", std::process::id());
//! # let name = name.as_str();
//! let store = Store::open(name)?;
//! let state = store.cell_new::<String>()?; // without a name: only who is sent it has it
//! let message = postcard::to_stdvec(&state)?;
//!
//! let received: Cell<String> = postcard::from_bytes(&message)?;
//! received.set(&"running".into())?;
//! assert_eq!(state.get()?.unwrap().as_str(), "running");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
