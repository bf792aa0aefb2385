//! A ledger: a queue to which nothing is sent. Each envelope that its owner owns names a promise, so that whoever reaps the
//! owner evicts what it owed, and what was given for it.
//!
//! ```text
//! reserve: U1 CAS envelope EMPTY(v) → OWNED(v, me) · promise n is WRITING · U2 envelope.object = n · n PENDING
//! release: V1 evict n, unless it is to stay · V2 envelope.object = 0 · V3 CAS OWNED(v, me) → EMPTY(v)
//! ```
//!
//! A value that somebody owns by then is his, and stays.
//!
//! Killed anywhere: Q2 evicts what the envelope names, which is WRITING (then R1c frees it), or there, or gone.

use super::Queue;
use crate::actor::Refusal;
use crate::layout::queue::{ABOUT, About, OBJECT, Stage};
use crate::layout::slot::ObjectId;
use crate::sync::Ordering;

impl Queue<'_> {
    /// Promises an object whose end is this participant's, by an envelope that it alone uses; `None`: it is in use.
    pub(crate) fn reserve_in(&self, envelope: u32) -> Result<Option<ObjectId>, Refusal> {
        let empty = self.load_envelope(envelope);
        let owned = empty.at(Stage::Owned).owned_by(self.actor.me);
        if !empty.is(Stage::Empty) || !self.change_envelope(envelope, empty, owned) {
            return Ok(None);
        }
        self.field(envelope, ABOUT).store(About::OWED.0, Ordering::Relaxed);
        let object = self.field(envelope, OBJECT);
        // There is no instant at which the promise is there and nobody's.
        let reserved = self.actor.reserve_as(|id| object.store(id.0, Ordering::SeqCst));
        if reserved.is_err() {
            self.change_envelope(envelope, owned, owned.at(Stage::Empty));
        }
        reserved.map(Some)
    }

    /// Ends what an envelope of this participant's says; whether the promise, or its value, goes or stays.
    pub(crate) fn release(&self, envelope: u32, goes: bool) {
        let owned = self.load_envelope(envelope);
        if !owned.is(Stage::Owned) || !owned.is_owned_by(self.actor.me) {
            return;
        }
        if goes {
            self.evict_object(envelope);
        } else {
            self.field(envelope, OBJECT).store(0, Ordering::SeqCst);
        }
        self.change_envelope(envelope, owned, owned.at(Stage::Empty));
    }
}
