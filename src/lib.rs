//! Put an object into shared memory once; every process on the host uses it in place.
//!
//! A [`Store`] puts values into a *region*, a POSIX shared-memory segment that every process maps. What is sent is a
//! [`Proxy`]: a key and the store's name, a few dozen bytes, over whatever channel there is. Its first use, in any
//! process, finds the store and dereferences to the value where it lies. No server, no daemon, no copy on the reading
//! side; and a process that is killed at any instruction leaves nothing broken and nothing stuck.
//!
//! ```
//! use inplace::{Proxy, Store, storable};
//!
//! #[storable]
//! struct Model {
//!     name: String,
//!     weights: Vec<f64>,
//! }
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = Store::open("models")?; // a region of shared memory, made on first use
//! let model = Model { name: "tiny".into(), weights: vec![0.5; 100_000] };
//!
//! let proxy: Proxy<Model> = store.proxy(&model)?; // put once
//! let message = postcard::to_stdvec(&proxy)?; // a few dozen bytes, for any process on this host
//!
//! let received: Proxy<Model> = postcard::from_bytes(&message)?;
//! assert_eq!(received.name.as_str(), "tiny"); // resolved by its first use
//! assert_eq!(received.weights[99_999], 0.5); // read where it lies
//!
//! store.evict(proxy.key())?; // nobody gets it any more; views that exist stay
//! assert_eq!(received.weights.len(), 100_000);
//! # Ok(())
//! # }
//! ```
//!
//! # What there is
//!
//! | for | use |
//! |---|---|
//! | values by reference, between processes | [`Store::proxy`], [`Proxy`], [`ProxyOptions`] |
//! | resolving them in the background | [`Proxy::resolve_async`] |
//! | arguments that go inline or by reference, whichever is cheaper | [`Store::auto`], [`Auto`] |
//! | values by key | [`Store::put`], [`get`](Store::get), [`take`](Store::take), [`evict`](Store::evict), and batches of them |
//! | your own types | [`#[storable]`](macro@storable), which archives them with [rkyv] |
//! | arrays of numbers, of structs of numbers | [`Slice`](codec::Slice), [`#[element]`](macro@element) |
//! | bytes that are serialized already, any serde type | [`Raw`](codec::Raw), [`Serde`](codec::Serde) |
//! | objects that are evicted at the end of a scope, at a time, with the process | [`Store::scope`], [`Store::lease`], [`Store::process_lifetime`] |
//! | objects with one owner, who hands them over | [`Store::own`], [`Owned`], [`OwnedToken`] |
//! | memory that a producer fills in place | [`Region::loan`], [`Sender::loan`] |
//! | a value that is promised and awaited | [`Store::promise`], [`Promise`], [`Future`] |
//! | a promise that another process keeps | [`Promise::into_token`], [`PromiseToken::adopt`] |
//! | a key before there is a value | [`Region::reserve`], [`set`](Region::set), [`wait`](Region::wait) |
//! | values that change, for any number of readers and writers | [`Store::cell`], [`Cell`] |
//! | work for whoever is free: messages, each received by one of many | [`Store::queue`], [`Queue`], [`Sender`], [`Receiver`] |
//! | streams of objects through several channels, queues or topics: batches, filters, aggregation, proxies | [`StreamProducer`], [`StreamConsumer`] |
//! | work for processes that are forked, replaced and retried: futures, ordered and unordered maps | [`WorkerPool`], [`Task`], [`Worker`] |
//! | broadcast: messages, each received by every subscriber | [`Store::topic`], [`Topic`], [`Publisher`], [`Subscriber`] |
//! | finding an object without its key | [`Region::bind`], [`lookup`](Region::lookup) |
//! | memory that was never given a name | [`RegionOptions::anonymous`], for a process and its children |
//! | undoing what the dead left, and stating what is broken, if anything | [`Region::reap`], [`Region::check`] |
//! | objects on a disk, over a reboot | [`FileConnector`](connector::FileConnector) |
//! | objects for several hosts | `RedisConnector`, with the feature `redis` (TLS: `redis-tls`) |
//! | a second place for what has no room in the first | [`MultiConnector`](connector::MultiConnector) |
//! | bytes that live elsewhere | [`Connector`](connector::Connector), and a connector of your own |
//! | stores from a configuration | [`StoreConfig`], [`Store::from_toml`], [`Store::get_or_open`] |
//! | counts and latencies | [`StoreBuilder::metrics`], [`Region::counters`], [`metrics`] |
//! | recipes for all of this | [`cookbook`] |
//!
//! # What to know
//!
//! - Objects are written once. A view never changes under its reader, and stays valid after an evict until it is dropped.
//! - Any thread may `fork`. A child keeps its parent's views as its own; a [`Loan`] is the parent's alone.
//! - A `capacity` is address space. Memory is taken as objects need it; a full `/dev/shm` is [`Error::OutOfSpace`], which
//!   says how to enlarge it. Containers have 64 MiB there unless told otherwise.
//! - The last process to leave removes the region; [`Lifespan::Persistent`] keeps it until [`Region::destroy`].
//! - A value is never read as another type: every object carries a structural [`Fingerprint`], which is compared.
//!
//! # When not to use it
//!
//! - Mainly between hosts, or to keep things over a reboot: a region is the memory of one host, and connectors for more
//!   cost copies and round trips.
//! - Between processes that do not trust one another: who may write the region may change every object.
//! - For values of a few hundred bytes that one other process reads once: send them instead of a key.
//! - For values that change in place: a [`Cell`] puts a new version of the whole.
//! - Anywhere but on 64-bit little-endian Linux; elsewhere it does not compile.
//!
//! `docs/design.md` in the repository says how it works: the layout, and every protocol step by step with what is left when
//! a process is killed after it.

#![cfg_attr(loom, allow(dead_code, missing_docs, reason = "models use a part of it"))]

extern crate self as inplace;

mod actor;
mod arena;
mod deadline;
mod error;
mod fingerprint;
mod index;
mod key;
mod layout;
mod local;
mod names;
mod participants;
mod pins;
mod protocol;
mod segment;
mod sync;
mod sys;
mod writer;

#[cfg(not(loom))]
mod auto;
#[cfg(not(loom))]
pub mod cell;
#[cfg(not(loom))]
pub mod codec;
#[cfg(not(loom))]
pub mod connector;
#[cfg(not(loom))]
pub mod cookbook;
#[cfg(not(loom))]
pub mod future;
#[cfg(not(loom))]
pub mod lifetime;
#[cfg(not(loom))]
pub mod metrics;
#[cfg(not(loom))]
mod owned;
#[cfg(not(loom))]
mod pool;
#[cfg(not(loom))]
pub mod proxy;
#[cfg(not(loom))]
mod queue;
#[cfg(not(loom))]
mod region;
#[cfg(not(loom))]
pub mod store;
#[cfg(not(loom))]
mod stream;
#[cfg(not(loom))]
mod topic;
#[cfg(not(loom))]
mod view;

#[cfg(all(loom, test))]
mod models;

#[cfg(not(loom))]
mod offered {
    pub use crate::auto::{AUTO_THRESHOLD, Auto};
    pub use crate::cell::{Cell, Versioned};
    pub use crate::codec::Storable;
    pub use crate::future::{Future, Promise, PromiseToken};
    pub use crate::lifetime::{Lease, ProcessLifetime, Scope};
    pub use crate::owned::{Owned, OwnedToken};
    pub use crate::pool::{Map, PoolBuilder, Task, TaskWaiting, Worker, WorkerPool};
    pub use crate::proxy::{Proxy, ProxyOptions};
    pub use crate::queue::{
        ArrayLoan, DeadLetters, Message, MessageLoan, Messages, Queue, Receiver, Receiving, Sender,
        Sending, SendingOwned, Unsent,
    };
    pub use crate::region::{
        Lifespan, Loan, Pinned, QueueOptions, Reaper, Region, RegionCounters, RegionMetrics,
        RegionOptions, RegionUsage, TopicOptions, WaitPolicy,
    };
    pub use crate::store::{Registration, Store, StoreBuilder, StoreConfig};
    pub use crate::stream::{Metadata, StreamConsumer, StreamItem, StreamProducer};
    pub use crate::topic::{
        Posts, Published, Publisher, Publishing, ReceivingPost, Start, Subscriber, Topic,
    };
    pub use crate::view::View;
}

pub use bytemuck;
pub use deadline::{Deadline, Term};
pub use error::{Error, Result};
pub use fingerprint::Fingerprint;
pub use inplace_derive::{element, storable};
pub use key::Key;
#[cfg(not(loom))]
pub use offered::*;
pub use protocol::check::Report;
pub use rkyv;
