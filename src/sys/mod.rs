//! The only place that asks the system for anything: files, locks, futexes, fork handlers.

#[cfg(not(loom))]
pub(crate) mod clock;
#[cfg(not(loom))]
pub(crate) mod disk;
#[cfg(not(loom))]
pub(crate) mod file;
#[cfg(not(loom))]
pub(crate) mod fork;
#[cfg(not(loom))]
pub(crate) mod futex;
#[cfg(not(loom))]
pub(crate) mod identity;
#[cfg(not(loom))]
pub(crate) mod inherited;
#[cfg(not(loom))]
pub(crate) mod latch;
#[cfg(not(loom))]
pub(crate) mod leaked;
#[cfg(not(loom))]
pub(crate) mod limits;
#[cfg(not(loom))]
pub(crate) mod lock;
#[cfg(not(loom))]
pub(crate) mod mapping;
#[cfg(not(loom))]
pub(crate) mod process;
#[cfg(not(loom))]
pub(crate) mod thread;
#[cfg(not(loom))]
pub(crate) mod wiped;

#[cfg(loom)]
mod modelled;

#[cfg(loom)]
pub(crate) use modelled::{clock, futex, lock};
