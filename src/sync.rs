//! The atomics every protocol word is made of: the standard ones, or loom's under `cfg(loom)`.

#![allow(clippy::disallowed_types, reason = "this is the one place that names them")]

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU16, AtomicU32, AtomicU64,
    Ordering,
};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{
    AtomicBool, AtomicI32, AtomicPtr, AtomicU16, AtomicU32, AtomicU64,
    Ordering,
};
