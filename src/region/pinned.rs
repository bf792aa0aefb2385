//! What `get` returns: an object's bytes in place.

use std::fmt;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::actor::Actor;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::layout::slot::{ObjectId, Slot};
use crate::pins;
use crate::protocol::pin::Pin;
use crate::region::attachment::Attachment;
use crate::region::flight;
use crate::sync::Ordering;

/// An object's bytes, read-only and in place; they stay for as long as this lives, also when the object is evicted.
///
/// `'static`, `Send` and `Sync`; inherited by `fork`. Cloning counts the object once more.
///
/// # Panics
/// Cloning panics when this process holds 32768 views of the object already, and in a process that is severed from the
/// region. Share one view instead, as in `Arc<Pinned>`.
pub struct Pinned {
    attachment: &'static Attachment,
    /// Mapped for as long as the pin is counted.
    slot: &'static Slot,
    id: ObjectId,
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the bytes are READY, so nobody writes them, and the pin is counted for the process, not for a thread.
unsafe impl Send for Pinned {}
// SAFETY: as above; everything is read-only.
unsafe impl Sync for Pinned {}

impl Pinned {
    /// Takes over a pin; the attachment has a handle now and keeps its mappings for as long as the pin is counted.
    #[inline(always)]
    pub(super) fn new(attachment: &'static Attachment, pin: Pin<'_>) -> Result<Self> {
        let (start, len) = pin.place()?;
        let id = pin.id;
        // SAFETY: the attachment's control area stays mapped, at this address also in forked children, for as long as
        // this process has a pin, and `Self` is one.
        let slot = unsafe { &*std::ptr::from_ref(pin.slot) };
        pin.into_counted();
        Ok(Self { attachment, slot, id, start, len })
    }

    #[inline]
    pub(super) fn attachment(&self) -> &'static Attachment {
        self.attachment
    }

    #[inline]
    pub(super) fn slot(&self) -> &'static Slot {
        self.slot
    }

    /// Counts the object once more.
    #[inline]
    pub(super) fn again(&self) -> Result<Self> {
        let Actor { segment, local, me } = self.attachment.actor()?;
        pins::pin_again(segment, me, &local.gate, self.id).map_err(|error| self.with_key(error))?;
        let Self { attachment, slot, id, start, len } = *self;
        Ok(Self { attachment, slot, id, start, len })
    }

    /// The object's first bytes only.
    #[inline]
    pub(super) fn cut(mut self, len: usize) -> Self {
        self.len = self.len.min(len);
        self
    }

    /// A part of the object, which is somebody's who has pinned it and lets nobody write that part meanwhile.
    #[inline(always)]
    pub(super) fn lend(&self, (at, len): (u64, u64)) -> Result<Lent> {
        let is_inside = at.checked_add(len).is_some_and(|end| end <= self.len as u64);
        if !is_inside {
            return Err(outside(len));
        }
        // SAFETY: just checked to lie inside the object.
        let start = unsafe { self.start.add(at as usize) };
        Ok(Lent { start, len: len as usize, fingerprint: self.fingerprint() })
    }

    /// The object's key.
    #[must_use]
    pub fn key(&self) -> Key {
        self.id.key(self.attachment.facts.region)
    }

    /// What type the bytes were put as.
    #[inline]
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::from_raw(self.slot.fingerprint.load(Ordering::Relaxed))
    }

    /// Whether this process has checked the bytes against their fingerprint before.
    #[inline]
    pub(crate) fn is_checked(&self) -> bool {
        self.attachment.local.is_checked(self.id)
    }

    /// Remembers that the bytes are what their fingerprint says.
    pub(crate) fn set_checked(&self) {
        self.attachment.local.set_checked(self.id);
    }
}

impl Deref for Pinned {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the object is pinned, so these bytes stay and nobody writes them.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

impl AsRef<[u8]> for Pinned {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl Clone for Pinned {
    fn clone(&self) -> Self {
        match self.again() {
            Ok(again) => again,
            Err(error) => panic!("cannot clone a view of {}: {error}", self.key()),
        }
    }
}

/// Bytes of a message that lies in its queue. Whoever has it holds the message: it is neither acknowledged nor given back
/// while this is looked at, and so nobody writes them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Lent {
    start: NonNull<u8>,
    len: usize,
    fingerprint: Fingerprint,
}

// SAFETY: bytes of shared memory that nobody writes while this is looked at.
unsafe impl Send for Lent {}
// SAFETY: as above; everything is read-only.
unsafe impl Sync for Lent {}

impl Lent {
    /// A part of it, of a type of its own.
    pub(crate) fn part(self, (at, len): (usize, usize), fingerprint: Fingerprint) -> Option<Self> {
        let is_inside = at.checked_add(len).is_some_and(|end| end <= self.len);
        // SAFETY: just checked to lie inside.
        is_inside.then(|| Self { start: unsafe { self.start.add(at) }, len, fingerprint })
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }
}

impl Deref for Lent {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: inside a queue that is pinned, as said above.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.len) }
    }
}

#[cold]
fn outside(len: u64) -> Error {
    Error::corrupt(format!("a message of {len} bytes lies outside its queue"))
}

impl Pinned {
    fn with_key(&self, error: Error) -> Error {
        match error {
            Error::TooManyViews { .. } => Error::TooManyViews { key: self.key() },
            other => other,
        }
    }
}

impl Drop for Pinned {
    #[inline]
    fn drop(&mut self) {
        let flight = flight::enter();
        // A severed process has no pins to give back.
        let Some(me) = self.attachment.me_unless_severed() else { return };
        let index = self.id.slot();
        // A count below zero is reported by `check()`; a drop has nobody to tell.
        let was_last = pins::unpin(&self.attachment.segment, me, index).unwrap_or(false);
        if !was_last {
            return;
        }
        self.attachment.actor_as(me).reclaim_if_retired(index, self.slot);
        let pursuit = self.attachment.awaits(index);
        drop(flight);
        if let Some(pursuit) = pursuit {
            pursuit.go_on();
        }
    }
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pinned").field("key", &self.key()).field("len", &self.len).finish()
    }
}
