//! The only place that asks the system for anything: files, locks, futexes, fork handlers.

pub(crate) mod file;
pub(crate) mod fork;
pub(crate) mod futex;
pub(crate) mod identity;
pub(crate) mod latch;
pub(crate) mod leaked;
pub(crate) mod limits;
pub(crate) mod lock;
