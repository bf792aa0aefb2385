//! Objects with one owner.
//!
//! # Own an object, and let others look at it
//!
//! Dropped, it is evicted; killed with its process, too. A borrow lasts as long as it is needed.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{Error, RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("owner").connector(ShmConnector::new(region)).open()?;
//! let table = store.own(&vec![1_u64, 2, 3])?;
//! let (borrowed, proxy) = (table.borrow(), table.proxy()); // the proxy is for other processes
//! assert_eq!(proxy.len(), 3);
//!
//! drop(table);
//! assert_eq!(borrowed.len(), 3);
//! assert!(matches!(store.proxy_from_key::<Vec<u64>>(proxy.key()).resolve(), Err(Error::NotFound { .. })));
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Change it
//!
//! Whoever was given a proxy or the key finds the newest value, and who has an old one keeps it. Nobody but the owner sets it;
//! for many who set a value there are [cells](super::cells).
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("versions").connector(ShmConnector::new(region)).open()?;
//! let mut weights = store.own(&vec![0.0_f64, 0.0])?;
//! let (start, proxy) = (weights.borrow(), weights.proxy()); // for others, now
//! let follower = store.cell_from_key::<Vec<f64>>(weights.key()); // for those who want to hear of every change
//! let next: Vec<f64> = weights.iter().map(|weight| weight.to_native() + 0.5).collect();
//! weights.update(&next)?;
//! assert_eq!((start[0].to_native(), weights[0].to_native(), proxy[0].to_native()), (0.0, 0.5, 0.5));
//! assert_eq!(follower.wait_for_change(1, None)?.version, 2);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Hand the ownership to another process
//!
//! At every moment there is exactly one owner: until the token is adopted it is the sender, so a message that is lost, or
//! whose receiver dies, leaves nothing behind.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{Error, OwnedToken, RegionOptions, Store};
//! use nix::sys::wait::{WaitStatus, waitpid};
//! use nix::unistd::{ForkResult, fork};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("handed").connector(ShmConnector::new(region)).register().open()?;
//! let parcel = store.own("parcel")?;
//! let key = parcel.key();
//! let message = postcard::to_stdvec(&parcel.into_token()?)?;
//!
//! match unsafe { fork() }? {
//!     ForkResult::Child => {
//!         let token: OwnedToken<str> = postcard::from_bytes(&message).unwrap();
//!         let parcel = token.adopt().unwrap();
//!         let is_right = parcel.as_str() == "parcel";
//!         drop(parcel); // its owner is done with it
//!         unsafe { libc::_exit(i32::from(!is_right)) }
//!     }
//!     ForkResult::Parent { child } => {
//!         assert_eq!(waitpid(child, None)?, WaitStatus::Exited(child, 0));
//!         let again: OwnedToken<str> = postcard::from_bytes(&message)?; // a copy is worth nothing
//!         assert!(matches!(again.adopt(), Err(Error::NotFound { .. })));
//!         assert!(!store.exists(key)?);
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Copy it, share it, or become the owner of what nobody owns
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
//! let store = Store::builder("shared").connector(ShmConnector::new(region)).open()?;
//! let original = store.own("text")?;
//! let copy = original.try_clone()?; // another object with the same bytes
//! assert_ne!(original.key(), copy.key());
//!
//! let everybodys = original.into_shared()?; // stays until somebody evicts it
//! let mine = everybodys.into_owned()?; // of many processes that try, one succeeds
//! assert_eq!(*mine, *copy);
//! # Ok::<(), inplace::Error>(())
//! ```
