//! Put an object into shared memory once; every process on the host uses it in place.

pub mod codec;
pub mod connector;
mod error;
mod fingerprint;
mod key;
mod layout;
mod sync;
mod sys;

pub use error::{Error, Result};
pub use fingerprint::Fingerprint;
pub use key::Key;
pub use rkyv;
