//! The atomics every protocol word is made of: the standard ones, or modelled ones under `cfg(loom)`.

#[cfg(loom)]
pub(crate) mod modelled;

#[cfg(loom)]
pub(crate) use modelled::{AtomicU16, AtomicU32, AtomicU64, Ordering, pause};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicPtr, AtomicU16, AtomicU32, AtomicU64, Ordering,
};

/// For what is no step of a protocol: locks and registries of one process, whose statics need constants to start with,
/// and hints, of which any value is as good as another.
#[cfg_attr(loom, allow(unused_imports, reason = "models use a part of it"))]
pub(crate) mod unmodelled {
    pub(crate) use std::sync::atomic::{
        AtomicBool, AtomicI32, AtomicPtr, AtomicU32, AtomicU64, Ordering,
    };
}

/// Gives way to whoever is waited for.
#[cfg(not(loom))]
pub(crate) fn pause(backoff: &crossbeam::utils::Backoff) {
    if backoff.is_completed() {
        std::thread::sleep(std::time::Duration::from_micros(50));
    } else {
        backoff.snooze();
    }
}
