//! The protocols: what one participant does, step by step, to the words in shared memory.
//!
//! Everything here is built twice: as it is used, and under `cfg(loom)` over a modelled segment, where `models` tries its
//! interleavings. So nothing here knows files, handles or processes.

pub(crate) mod adopt;
pub(crate) mod bell;
pub(crate) mod bind;
mod bond;
pub(crate) mod channel;
pub(crate) mod check;
pub(crate) mod evict;
mod known_types;
mod lease;
mod named;
pub(crate) mod pin;
pub(crate) mod promise;
pub(crate) mod queue;
pub(crate) mod sweep;
pub(crate) mod topic;
pub(crate) mod variable;
pub(crate) mod write;
