//! Reaping: what a dead participant left in a queue.
//!
//! ```text
//! Q0 pin the queue, for the dead · Q1 per ring word: names an envelope OWNED(v, dead)? CAS it → QUEUED(v) ·
//! Q2 per envelope: OWNED(v, dead): evict its object, → EMPTY(v) · TAKEN(v, dead): → ABANDONED(v) or LETTER(v) · ACKED(v, dead): A2 to A4
//! Q3 any ABANDONED seen, whosever it was: RETURNED + 1 · Q4 its word of the producers = 0 · Q5 wake both bells
//! ```
//!
//! Q1 before Q2: what is still OWNED then was never sent, and no longer will be. Q3 also for what an earlier reaper
//! abandoned, who may have been killed before he said so. A queue that is RETIRED needs nothing of it: who reclaims it
//! evicts all its messages.

use std::collections::HashSet;

use super::Queue;
use crate::error::Result;
use crate::layout::participant::ParticipantId;
use crate::layout::queue::{EnvelopeWord, OBJECT, RingWord, Stage};
use crate::layout::slot::ObjectId;
use crate::participants;
use crate::protocol::channel::AtChannel;
use crate::sync::Ordering;
use crate::sys::lock::Source;

impl Queue<'_> {
    /// Q1 to Q5.
    pub(in crate::protocol) fn reap(&self, dead: ParticipantId) {
        self.settle_sent(dead);
        let is_any_abandoned = self.settle_envelopes(dead);
        if is_any_abandoned {
            self.announce_return();
        }
        self.producers().of(dead).store(0, Ordering::SeqCst);
        self.ring_all();
    }

    /// C6: whatever the envelopes name.
    pub(in crate::protocol) fn evict_objects(&self) {
        for envelope in 0..self.place.shape.envelopes {
            if let Some(object) = self.object_of(envelope) {
                self.evict_of(envelope, object);
            }
        }
    }

    /// Q1.
    fn settle_sent(&self, dead: ParticipantId) {
        for position in 0..u64::from(self.place.shape.ring) {
            let named = self.load_ring(position);
            if named.envelope() >= self.place.shape.envelopes {
                continue;
            }
            let word = self.load_envelope(named.envelope());
            if word.is(Stage::Owned)
                && word.is_owned_by(dead)
                && named.names(named.envelope(), word)
            {
                self.change_envelope(named.envelope(), word, word.at(Stage::Queued));
            }
        }
    }

    /// Q2; whether any message is ABANDONED.
    fn settle_envelopes(&self, dead: ParticipantId) -> bool {
        let mut is_any_abandoned = false;
        for envelope in 0..self.place.shape.envelopes {
            let word = self.load_envelope(envelope);
            is_any_abandoned |= word.is(Stage::Abandoned);
            if !word.is_owned_by(dead) {
                continue;
            }
            match word.stage() {
                Some(Stage::Owned) => {
                    self.evict_object(envelope);
                    self.change_envelope(envelope, word, word.at(Stage::Empty));
                }
                Some(Stage::Taken) => is_any_abandoned |= self.abandon(envelope, word),
                Some(Stage::Acked) => self.finish_ack(envelope, word),
                _ => {}
            }
        }
        is_any_abandoned
    }

    /// What the ring names.
    pub(crate) fn sent(&self) -> HashSet<u64> {
        let positions = 0..u64::from(self.place.shape.ring);
        positions.filter_map(|position| self.load_ring(position).message()).collect()
    }

    /// Whether an envelope's message is among them.
    pub(crate) fn is_among(sent: &HashSet<u64>, envelope: u32, word: EnvelopeWord) -> bool {
        RingWord::naming(1, envelope, word).message().is_some_and(|message| sent.contains(&message))
    }

    /// Whether anything can be received now.
    pub(crate) fn has_messages(&self) -> bool {
        (0..self.place.shape.envelopes).any(|envelope| {
            let word = self.load_envelope(envelope);
            match word.stage() {
                Some(Stage::Queued | Stage::Abandoned) => true,
                Some(Stage::Owned) => self.is_sent(envelope),
                _ => false,
            }
        })
    }

    /// Whether another participant received something and has not acknowledged it.
    #[cold]
    pub(crate) fn is_held_by_others(&self) -> bool {
        (0..self.place.shape.envelopes).any(|envelope| {
            let word = self.load_envelope(envelope);
            word.is(Stage::Taken) && !word.is_owned_by(self.actor.me)
        })
    }

    /// Whether somebody received something who is dead, and not reaped yet: perhaps somebody is about to.
    #[cold]
    pub(crate) fn is_held_by_dead(&self, source: &Source<'_>) -> Result<bool> {
        for envelope in 0..self.place.shape.envelopes {
            let word = self.load_envelope(envelope);
            if word.is(Stage::Taken)
                && let Some(owner) = word.owner()
                && participants::looks_dead(self.actor.segment, source, owner)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The object that an envelope's message is, or is to be.
    pub(crate) fn object_of(&self, envelope: u32) -> Option<ObjectId> {
        let object = self.field(envelope, OBJECT);
        ObjectId::from_word(object.load(Ordering::SeqCst))
    }

    /// Whether the ring names the message that an envelope has now.
    pub(crate) fn is_sent(&self, envelope: u32) -> bool {
        let word = self.load_envelope(envelope);
        (0..u64::from(self.place.shape.ring))
            .any(|position| self.load_ring(position).names(envelope, word))
    }
}
