//! Words and structs in shared memory: no behaviour beyond packing, no system calls.
//!
//! `docs/design.md` shows every struct as a table; a test holds the tables against `offset_of!`.

pub(crate) mod block;
pub(crate) mod class;
pub(crate) mod geometry;
pub(crate) mod header;
pub(crate) mod hint;
pub(crate) mod participant;
pub(crate) mod queue;
pub(crate) mod slot;
pub(crate) mod topic;
pub(crate) mod types;
pub(crate) mod unit;

#[cfg(all(test, not(loom)))]
mod tests;
