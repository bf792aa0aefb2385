//! Reaping what a dead participant left in a topic, and evicting what a topic names.
//!
//! ```text
//! at the topic: Q0 pin it, for the dead · Q1 its cursors = 0 · Q4 its word of the producers = 0 · Q5 wake both bells
//! at each slot READY(dead), VERSION, MESSAGE: Q6 pin its topic · Q7 does the word of its position name it? else evict it
//! ```
//!
//! What is published keeps its publisher's tag. What is not, was never seen by anybody; and where the topic is gone, or going,
//! nobody will see it.

use super::Topic;
use crate::actor::Actor;
use crate::error::Result;
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{MESSAGE, Place, Slot, SlotWord, State, VERSION};
use crate::layout::topic::{NO_POSITION, PostWord};
use crate::participants;
use crate::protocol::channel::AtChannel;
use crate::sync::Ordering;
use crate::sys::lock::Source;

impl Actor<'_> {
    /// Q6 and Q7.
    pub(in crate::protocol) fn reap_message(&self, index: u32, slot: &Slot, dead: ParticipantId) {
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        let is_message = word.is(State::Ready) && word.has(VERSION) && word.has(MESSAGE);
        if is_message && word.is_owned_by(dead) && !self.is_published(index, slot) {
            self.retire_if(index, slot, |found| found == word);
        }
    }

    /// Whether its topic is there and names a message.
    #[cold]
    fn is_published(&self, index: u32, slot: &Slot) -> bool {
        let place = Place::from_word(slot.place.load(Ordering::SeqCst));
        let Some(Place::Variable(id)) = place else { return false };
        let position = slot.number();
        match self.pin_topic(id) {
            Ok(Some((_pin, topic))) => topic.names(index, position),
            Ok(None) => false,
            // The dead has pinned it as often as can be counted: it is there.
            Err(_) => self.segment.slot(id.slot()).is_some_and(|at| {
                if !SlotWord(at.word.load(Ordering::SeqCst)).is_in(State::Channel, id) {
                    return false;
                }
                let topic = self.place_of_topic(id, at);
                let topic = topic.and_then(|place| self.at_topic(place, at));
                topic.is_ok_and(|topic| topic.names(index, position))
            }),
        }
    }
}

impl Topic<'_> {
    /// Whether the ring names a message.
    pub(crate) fn names(&self, index: u32, position: u64) -> bool {
        position != NO_POSITION && self.load_post(position) == PostWord::new(position, index)
    }

    /// Q1 to Q5.
    pub(in crate::protocol) fn reap(&self, dead: ParticipantId) {
        for cursor in 0..self.place.shape.cursors {
            let found = self.load_cursor(cursor);
            if found.owner() == Some(dead) {
                let word = self.word(self.place.shape.cursor(cursor));
                let _ = word.compare_exchange(found.0, 0, Ordering::SeqCst, Ordering::SeqCst);
            }
        }
        self.producers().of(dead).store(0, Ordering::SeqCst);
        self.ring_all();
    }

    /// Whether a dead one is waited for, whom somebody has not reaped yet.
    pub(crate) fn is_held_by_dead(&self, source: &Source<'_>) -> Result<bool> {
        for cursor in 0..self.place.shape.cursors {
            if let Some(owner) = self.load_cursor(cursor).owner()
                && participants::looks_dead(self.actor.segment, source, owner)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// C6: whatever the ring names.
    pub(in crate::protocol) fn evict_all(&self) {
        let near = self.tail_hint();
        for position in 0..self.place.shape.ring() {
            self.evict_post(self.load_post(position), near);
        }
    }

    /// The topic's messages that are there.
    pub(crate) fn count(&self) -> u64 {
        let near = self.tail_hint();
        let is_there = |at: &u64| {
            let post = self.load_post(*at);
            post.position(near).is_some_and(|position| self.message(post, position).is_some())
        };
        (0..self.place.shape.ring()).filter(is_there).count() as u64
    }
}
