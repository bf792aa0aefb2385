//! One process's side of one region: what all its handles and views share.
//!
//! Handles are counted, views are not: each view has a count in the process's row of shared memory already. When the
//! last handle goes, the attachment is *closing*, and the unpin that leaves the row empty finishes it. So that not every
//! unpin of a closing attachment searches the row, one slot with a count is *awaited*, and only the unpin that empties
//! it searches on from there.

use std::path::PathBuf;

use crate::actor::Actor;
use crate::error::{Error, Result};
use crate::layout::participant::ParticipantId;
use crate::local::Local;
use crate::participants;
use crate::region::options::Lifespan;
use crate::segment::Segment;
use crate::sync::{AtomicBool, AtomicU32, Ordering};
use crate::sys::file::FileId;
use crate::sys::identity::Identity;
use crate::sys::lock::Source;

/// What never changes about a region.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) name: String,
    /// Where the file's name was; none for anonymous regions.
    pub(crate) path: Option<PathBuf>,
    pub(crate) region: u64,
    pub(crate) lifespan: Lifespan,
    pub(crate) file: FileId,
}

/// An attached region.
#[derive(Debug)]
pub(crate) struct Attachment {
    pub(crate) segment: Segment,
    pub(crate) local: Local,
    pub(crate) identity: Identity,
    pub(crate) facts: Facts,
    /// Whether this process counts what it does.
    counted: AtomicBool,
    handles: AtomicU32,
    closing: AtomicBool,
    awaited: AtomicU32,
}

impl Attachment {
    pub(crate) fn new(segment: Segment, facts: Facts) -> Result<Self> {
        let identity =
            Identity::new().map_err(|error| Error::system("mapping the identity page", error))?;
        Ok(Self {
            local: Local::new(segment.geometry())?,
            segment,
            identity,
            facts,
            counted: AtomicBool::new(false),
            handles: AtomicU32::new(0),
            closing: AtomicBool::new(false),
            awaited: AtomicU32::new(0),
        })
    }

    /// Where to open further descriptors.
    pub(crate) fn source(&self) -> Source<'_> {
        Source {
            file: self.segment.descriptor(),
            id: self.facts.file,
            path: self.facts.path.as_deref(),
        }
    }

    /// Who this process is in the region.
    #[inline]
    pub(crate) fn me(&self) -> Result<ParticipantId> {
        match self.me_unless_severed() {
            Some(me) => Ok(me),
            None => Err(Error::Severed),
        }
    }

    /// [`me`](Self::me) where a severed process simply does nothing.
    #[inline]
    pub(crate) fn me_unless_severed(&self) -> Option<ParticipantId> {
        ParticipantId::from_tag(self.identity.tag())
    }

    /// Whether shared memory is none of this process's business any more: operations fail, drops do nothing.
    #[inline]
    pub(crate) fn is_severed(&self) -> bool {
        self.identity.tag() == 0
    }

    /// This process at work on the region.
    #[inline]
    pub(crate) fn actor(&self) -> Result<Actor<'_>> {
        Ok(self.actor_as(self.me()?))
    }

    /// Somebody at work for a participant: the elected acts under the id of the dead.
    #[inline]
    pub(crate) fn actor_as(&self, me: ParticipantId) -> Actor<'_> {
        Actor { segment: &self.segment, local: &self.local, me }
    }

    /// Whether the participant's process lives.
    pub(crate) fn is_alive(&self, participant: ParticipantId) -> Result<bool> {
        participants::is_alive(&self.source(), participant)
    }

    #[inline]
    pub(crate) fn is_counted(&self) -> bool {
        self.counted.load(Ordering::Relaxed)
    }

    /// For good: handles and views share the attachment.
    pub(crate) fn start_counting(&self) {
        self.counted.store(true, Ordering::Relaxed);
    }

    /// What names the attachment when it may be gone.
    #[inline]
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self).addr()
    }

    /// Counts a handle, if there are others.
    #[inline]
    pub(super) fn add_handle(&self) -> bool {
        let more = |handles: u32| if handles == 0 { None } else { handles.checked_add(1) };
        self.handles.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
    }

    /// Counts a handle, perhaps the first; under the table's lock.
    pub(super) fn revive(&self) {
        let more = |handles: u32| handles.checked_add(1);
        let counted = self.handles.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        assert!(counted.is_ok(), "too many handles of a region");
        self.closing.store(false, Ordering::SeqCst);
    }

    /// Counts a handle down; `true`: it was the last.
    #[inline]
    pub(super) fn remove_handle(&self) -> bool {
        self.handles.fetch_sub(1, Ordering::AcqRel) == 1
    }

    pub(super) fn has_handles(&self) -> bool {
        self.handles.load(Ordering::Acquire) != 0
    }

    pub(super) fn start_closing(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Under the table's lock: whether a closing attachment still waits for this slot. A pursuit from before a reopening
    /// must not go on from its slot: lower ones may have been pinned since.
    pub(super) fn is_pursued_from(&self, slot: u32) -> bool {
        let alone = self.is_closing() && !self.has_handles() && !self.is_severed();
        alone && self.awaited.load(Ordering::SeqCst) == slot
    }

    /// While in [flight](super::flight), after the last unpin of a slot: whether to [go on](Pursuit::go_on) after it.
    ///
    /// SeqCst throughout, and so is the unpin: either this sees the slot awaited, or the search sees its count gone.
    #[inline]
    pub(crate) fn awaits(&self, slot: u32) -> Option<Pursuit> {
        (self.is_closing() && self.awaited.load(Ordering::SeqCst) == slot)
            .then(|| Pursuit { attachment: self.address(), slot })
    }

    /// Under the table's lock, while closing: waits for the next slot this process has pinned; `false`: there is none.
    pub(super) fn await_next(&self, me: ParticipantId, from: u32) -> bool {
        let pinned = |slot: &u32| self.segment.count(me, *slot).load(Ordering::SeqCst) != 0;
        let mut at = from.max(1);
        loop {
            let Some(slot) = (at..self.segment.committed_slots()).find(pinned) else {
                return false;
            };
            self.awaited.store(slot, Ordering::SeqCst);
            if pinned(&slot) {
                return true;
            }
            at = slot;
        }
    }
}

/// The duty of the unpin that emptied the awaited slot. Names the attachment by its address only: it may be gone by the
/// time this is followed.
#[derive(Clone, Copy, Debug)]
#[must_use]
pub(crate) struct Pursuit {
    pub(super) attachment: usize,
    pub(super) slot: u32,
}
