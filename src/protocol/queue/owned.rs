//! Objects that have an owner, as messages: the bond passes from the sender to the envelope, and from there to the receiver.
//!
//! ```text
//! send:    P1 · P2a envelope.object = n · P2b CAS n (me, BOUND) → (BOUND, OFFERED), no owner; lost: object = 0, → EMPTY(v) · P3 to P7
//! adopt:   A1 CAS TAKEN(v, me) → ACKED(v, me) · A2o CAS n (BOUND, OFFERED), no owner → (me, BOUND); it is gone? as in an ack
//!          · A3 envelope.object = 0 · A4 → EMPTY(v + 1) · A5 ring ROOM
//! ```
//!
//! So at any instant one answers for n: the sender until P2b, the envelope until A2o (whose message is received again, or evicted by Q2
//! or C6), the receiver after it. Killed between A1 and A2o, a receiver has acknowledged it: it goes.

use super::send::Envelope;
use super::{Queue, Taken};
use crate::error::{Error, Result};
use crate::layout::queue::{OBJECT, Stage};
use crate::layout::slot::ObjectId;
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::sync::Ordering;

impl Envelope<'_> {
    /// P2a, P2b: takes an object that is bound to this participant. After an error it is as before.
    pub(crate) fn take_in(&mut self, id: ObjectId) -> Result<()> {
        // P2a before P2b: there is no instant at which nobody answers for it.
        self.set(OBJECT, id.0);
        let sent = self.queue.actor.send_bond(id);
        if sent.is_err() {
            self.set(OBJECT, 0);
        }
        self.is_of_owned = sent.is_ok();
        sent
    }
}

impl Queue<'_> {
    /// A1 to A5 for who goes on with the message's object, which is bound to this participant then.
    pub(crate) fn take_out(&self, taken: &Taken) -> Result<()> {
        let none = || Error::corrupt("a message that is to be adopted is no object");
        let id = self.object_of(taken.envelope).ok_or_else(none)?;
        let acked = taken.word.at(Stage::Acked).owned_by(self.actor.me);
        if !self.change_envelope(taken.envelope, taken.word, acked) {
            return Err(Error::NotOwner { token: "message" });
        }
        // A1 before A2o: what is the receiver's is not received again when he is killed.
        let adopted = self.actor.adopt_message(id);
        if adopted.is_ok() {
            let object = self.field(taken.envelope, OBJECT);
            object.store(0, Ordering::SeqCst);
        }
        self.finish_ack(taken.envelope, acked);
        self.ring(ChannelBell::Room);
        adopted
    }

    /// Whether an envelope's message was sent by its owner: others may have its key.
    pub(crate) fn is_of_owned(&self, envelope: u32) -> bool {
        self.about_envelope(envelope).is_owned()
    }
}
