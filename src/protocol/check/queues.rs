//! What `check()` says of channels, and of queues.

use std::collections::HashSet;

use super::Walk;
use crate::layout::queue::{EnvelopeWord, Stage};
use crate::layout::slot::{BOUND, ObjectId, SlotWord, State};
use crate::protocol::channel::{AtChannel, Channel, Producers};
use crate::protocol::queue::Queue;
use crate::sync::Ordering;

impl Walk<'_> {
    /// A channel is as somebody who lives wants it.
    pub(super) fn channel(&mut self, index: u32, word: SlotWord) {
        let id = ObjectId::new(index, word.generation());
        if word.has(BOUND) && self.is_lost(word.owner()) && self.is(index, word) {
            let owner = word.owner();
            self.blame(format!(
                "slot {index} is a channel made for a name by {owner:?}, who is dead"
            ));
        }
        match self.actor.pin_channel(id) {
            Ok(Some((_pin, Channel::Queue(queue)))) => self.queue(index, &queue),
            Ok(Some((_pin, Channel::Topic(topic)))) => self.topic(index, &topic),
            Ok(None) => {}
            Err(error) => self.blame(format!("slot {index} is a channel that is broken: {error}")),
        }
    }

    /// Every envelope is as somebody who lives wants it, and has its message.
    fn queue(&mut self, index: u32, queue: &Queue<'_>) {
        self.report.queues += 1;
        let sent = queue.sent();
        for envelope in 0..queue.place.shape.envelopes {
            self.envelope(index, (queue, &sent), envelope);
        }
        self.producers(index, &queue.producers());
    }

    fn envelope(&mut self, index: u32, (queue, sent): (&Queue<'_>, &HashSet<u64>), envelope: u32) {
        let word = queue.load_envelope(envelope);
        let is_it = || queue.load_envelope(envelope) == word;
        let Some(stage) = word.stage() else {
            return self.blame(format!(
                "envelope {envelope} of queue {index} has the unknown word {:#x}",
                word.0
            ));
        };
        let is_owned = matches!(stage, Stage::Owned | Stage::Taken | Stage::Acked);
        if is_owned && self.is_lost(word.owner()) && is_it() {
            self.blame(format!("envelope {envelope} of queue {index} is {word:?}, who is dead"));
        }
        let is_sent = Queue::is_among(sent, envelope, word);
        match stage {
            Stage::Empty => {}
            Stage::Owned if is_sent => self.report.queued += 1,
            Stage::Owned | Stage::Acked => self.report.in_progress += 1,
            Stage::Queued | Stage::Abandoned => self.report.queued += 1,
            Stage::Taken => self.report.unacknowledged += 1,
            Stage::Letter => self.report.dead_letters += 1,
        }
        if stage == Stage::Queued && !is_sent && self.stays(|| is_it() && !queue.is_sent(envelope))
        {
            self.blame(format!(
                "envelope {envelope} of queue {index} is queued and not in the ring"
            ));
        }
        self.message(index, queue, (envelope, word, is_sent));
    }

    /// A message that has an object, has it until it is acknowledged, and no longer.
    fn message(
        &mut self,
        index: u32,
        queue: &Queue<'_>,
        (envelope, word, is_sent): (u32, EnvelopeWord, bool),
    ) {
        let Some(object) = queue.object_of(envelope) else { return };
        let is_it =
            || queue.load_envelope(envelope) == word && queue.object_of(envelope) == Some(object);
        match word.stage() {
            Some(Stage::Empty) if self.stays(is_it) => {
                self.blame(format!(
                    "envelope {envelope} of queue {index} is empty and has {object:?}"
                ));
            }
            // Not sent yet, or acknowledged.
            Some(Stage::Empty | Stage::Acked) | None => {}
            Some(Stage::Owned) if !is_sent => {}
            // Others have its key, and may have evicted it; or its lease is over.
            Some(_) if queue.is_of_owned(envelope) => {}
            Some(_) => {
                if self.stays(|| is_it() && !self.actor.exists(object)) {
                    self.blame(format!(
                        "envelope {envelope} of queue {index} has a message that is gone: {object:?}"
                    ));
                }
            }
        }
    }

    /// Whoever produces for a channel lives.
    pub(super) fn producers(&mut self, index: u32, producers: &Producers<'_>) {
        for p in self.segment.participants() {
            let is_left = || producers.produces(p) && self.is_lost(Some(p));
            if producers.produces(p) && self.stays(is_left) {
                self.blame(format!("{p:?} produces for channel {index}, and is dead or gone"));
            }
        }
    }

    /// An object that goes with an envelope is named by one.
    pub(super) fn sent(&mut self, index: u32, word: SlotWord) {
        let id = ObjectId::new(index, word.generation());
        if self.stays(|| self.is(index, word) && !self.is_in_a_queue(id)) {
            self.blame(format!("slot {index} was sent, and no envelope names it"));
        }
    }

    fn is_in_a_queue(&self, object: ObjectId) -> bool {
        (1..self.segment.committed_slots()).any(|index| {
            let Some(slot) = self.segment.slot(index) else { return false };
            let word = SlotWord(slot.word.load(Ordering::SeqCst));
            let id = ObjectId::new(index, word.generation());
            word.is_channel() && self.is_message_of(id, object) == Some(true)
        })
    }

    /// Whether a queue's envelope names an object; `None` when that is no queue.
    pub(super) fn is_message_of(&self, queue: ObjectId, object: ObjectId) -> Option<bool> {
        let slot = self.segment.slot(queue.slot())?;
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        if !word.is_generation_of(queue) || !word.is_channel() {
            return None;
        }
        if !word.is(State::Channel) {
            // Whoever reclaims it evicts its messages.
            return Some(true);
        }
        let Ok(Some((_pin, queue))) = self.actor.pin_queue(queue) else { return None };
        let mut envelopes = 0..queue.place.shape.envelopes;
        Some(envelopes.any(|envelope| queue.object_of(envelope) == Some(object)))
    }
}
