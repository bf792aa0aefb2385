//! What `check()` says of topics.

use super::Walk;
use crate::layout::slot::{ObjectId, Place, Slot, SlotWord};
use crate::protocol::channel::AtChannel;
use crate::protocol::topic::Topic;
use crate::sync::Ordering;

impl Walk<'_> {
    /// Whoever is waited for, and whoever publishes, lives.
    pub(super) fn topic(&mut self, index: u32, topic: &Topic<'_>) {
        self.report.topics += 1;
        self.report.published += topic.count();
        for cursor in 0..topic.place.shape.cursors {
            let found = topic.load_cursor(cursor);
            self.report.subscribers += u64::from(found.0 != 0);
            if found.0 != 0 {
                let is_left = || topic.load_cursor(cursor) == found && self.is_lost(found.owner());
                if self.stays(is_left) {
                    let owner = found.owner();
                    self.blame(format!(
                        "cursor {cursor} of topic {index} is that of {owner:?}, who is dead"
                    ));
                }
            }
        }
        if let Err(error) = topic.find_tail() {
            self.blame(format!("slot {index} is a topic that is broken: {error}"));
        }
        self.producers(index, &topic.producers());
    }

    /// A message of a topic is named by it, or about to be published by somebody who lives.
    pub(super) fn post(&mut self, index: u32, slot: &Slot, word: SlotWord) {
        let id = ObjectId::new(index, word.generation());
        if !self.is(index, word) || self.is_post(id, slot) {
            return;
        }
        self.report.in_progress += 1;
        let is_unnamed = || self.is(index, word) && !self.is_post(id, slot);
        if self.stays(|| is_unnamed() && self.is_lost(word.owner())) {
            let place = Place::from_word(slot.place.load(Ordering::SeqCst));
            self.blame(format!("slot {index} is a message of {place:?}, which does not name it"));
        }
    }

    /// Whether a topic names that message, or will be evicted with it.
    fn is_post(&self, id: ObjectId, slot: &Slot) -> bool {
        let place = Place::from_word(slot.place.load(Ordering::SeqCst));
        let Some(Place::Variable(topic)) = place else { return false };
        match self.actor.pin_topic(topic) {
            Ok(Some((_pin, topic))) => topic.names(id.slot(), slot.number()),
            _ => self.segment.slot(topic.slot()).is_some_and(|slot| {
                let word = SlotWord(slot.word.load(Ordering::SeqCst));
                word.is_generation_of(topic) && word.is_channel()
            }),
        }
    }
}
