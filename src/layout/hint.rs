//! Hints shared by all processes: what was returned last.

use crate::layout::class::{CLASSES, Class};
use crate::layout::geometry::HINT_STACKS;
use crate::sync::unmodelled::{AtomicU32, AtomicU64};

pub(crate) const HINT_DEPTH: usize = 15;

/// A small lossy stack. Whatever it says is tried with a CAS on the word that is the truth.
#[repr(C, align(128))]
#[derive(Debug, Default)]
pub(crate) struct HintStack {
    pub(crate) depth: AtomicU32,
    pub(crate) spare: AtomicU32,
    pub(crate) entries: [AtomicU64; HINT_DEPTH],
}

/// Which stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct HintKind(pub(crate) usize);

impl HintKind {
    /// Free slots.
    pub(crate) const SLOTS: Self = Self(0);
    /// Spans of units that became free, as a `BlockRef`.
    pub(crate) const SPANS: Self = Self(1);
    /// How many stacks there are.
    pub(crate) const COUNT: usize = 2 + CLASSES;

    /// Free cells of a class, as a `BlockRef`.
    #[inline]
    pub(crate) const fn cells(class: Class) -> Self {
        Self(2 + class.0 as usize)
    }
}

const _: () = assert!(HintKind::COUNT <= HINT_STACKS as usize);
