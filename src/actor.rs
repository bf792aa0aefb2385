//! One participant at work on one region: what every protocol step needs to know.

use crate::error::Error;
use crate::layout::hint::{HINT_DEPTH, HintKind};
use crate::layout::participant::ParticipantId;
use crate::local::{Local, take_fitting};
use crate::segment::Segment;
use crate::sync::unmodelled::Ordering;

/// A participant acting on a region.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Actor<'a> {
    pub(crate) segment: &'a Segment,
    pub(crate) local: &'a Local,
    pub(crate) me: ParticipantId,
}

impl Actor<'_> {
    /// Changes when this process is forked: user code may do that in the middle of an operation.
    #[inline]
    pub(crate) fn forks(&self) -> u32 {
        self.local.forks.load(Ordering::Relaxed)
    }

    /// A hint of something returned lately: what this process returned itself before what others did.
    #[inline]
    pub(crate) fn pop_hint(&self, kind: HintKind) -> Option<u64> {
        self.local.pop(kind).or_else(|| self.pop_shared_hint(kind))
    }

    #[inline]
    fn pop_shared_hint(&self, kind: HintKind) -> Option<u64> {
        let stack = self.segment.hints(kind);
        let top = stack.depth.load(Ordering::Relaxed).checked_sub(1)?;
        stack.depth.store(top, Ordering::Relaxed);
        Some(stack.entries.get(top as usize)?.load(Ordering::Relaxed))
    }

    pub(crate) fn pop_fitting_hint(
        &self,
        kind: HintKind,
        fits: impl Fn(u64) -> bool,
    ) -> Option<u64> {
        self.local.pop_fitting(kind, &fits).or_else(|| {
            let stack = self.segment.hints(kind);
            take_fitting(&stack.depth, &stack.entries, &fits)
        })
    }

    /// Tells of something returned; `false` when nobody will remember it.
    #[inline]
    pub(crate) fn push_hint(&self, kind: HintKind, hint: u64) -> bool {
        if self.local.push(kind, hint) {
            return true;
        }
        let stack = self.segment.hints(kind);
        let depth = stack.depth.load(Ordering::Relaxed) as usize;
        if depth >= HINT_DEPTH {
            return false;
        }
        stack.entries[depth].store(hint, Ordering::Relaxed);
        stack.depth.store(depth as u32 + 1, Ordering::Relaxed);
        true
    }

    /// Says that a search that was in vain may now find something.
    pub(crate) fn note_return(&self) {
        self.segment.header().returns.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn returns(&self) -> u32 {
        self.segment.header().returns.load(Ordering::Relaxed)
    }
}

/// Why a claim did not succeed; the region makes an [`Error`] with context of it.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// No slot is free and the index can not grow.
    NoSlot,
    /// No memory: the data area is full, or the system has none left.
    NoSpace {
        /// Whether the system refused, not the region.
        by_system: bool,
    },
    /// Something else.
    Error(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl From<std::io::Error> for Refusal {
    fn from(error: std::io::Error) -> Self {
        match error.raw_os_error() {
            Some(libc::ENOSPC | libc::ENOMEM | libc::EDQUOT) => Self::NoSpace { by_system: true },
            _ => Self::Error(Error::system("committing shared memory", error)),
        }
    }
}
