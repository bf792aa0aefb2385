//! Owns a region's mappings; the only place where an offset becomes a reference.
//!
//! Under `cfg(loom)` a modelled segment takes the place of the mapped one: the same words on the heap.

mod bounds;
mod marks;

#[cfg(not(loom))]
mod access;
#[cfg(not(loom))]
mod map;
#[cfg(not(loom))]
mod mapped;

#[cfg(loom)]
mod modelled;

#[cfg(not(loom))]
pub(crate) use map::Backing;
#[cfg(not(loom))]
pub(crate) use mapped::Segment;
pub(crate) use marks::Marks;
#[cfg(loom)]
pub(crate) use modelled::Segment;
