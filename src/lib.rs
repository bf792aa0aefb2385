//! Put an object into shared memory once; every process on the host uses it in place.

extern crate self as inplace;

mod actor;
mod arena;
pub mod codec;
pub mod connector;
mod error;
mod fingerprint;
mod index;
mod key;
mod layout;
mod local;
mod names;
mod participants;
mod pins;
pub mod proxy;
mod region;
mod segment;
pub mod store;
mod sync;
mod sys;
mod view;
mod writer;

pub use bytemuck;
pub use codec::Storable;
pub use error::{Error, Result};
pub use fingerprint::Fingerprint;
pub use inplace_derive::{element, storable};
pub use key::Key;
pub use proxy::Proxy;
pub use region::{Lifespan, Loan, Pinned, Region, RegionOptions, Report};
pub use rkyv;
pub use store::{Registration, Store, StoreBuilder, StoreConfig};
pub use view::View;
