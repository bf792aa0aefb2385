//! Publishing: an object that is READY, and then named by the ring.

use super::Topic;
use crate::actor::Refusal;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::layout::slot::{Link, MESSAGE, ObjectId, Place, Slot, SlotWord, State, VERSION};
use crate::layout::topic::{NO_POSITION, PostWord};
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::sync::Ordering;
use crate::writer::{BlockWriter, Fill};

/// Bytes of metadata that a message may have.
pub(crate) const METADATA_BYTES: usize = 32;
/// Bytes behind a message and its metadata: when it was written, and how long the metadata is.
const TAIL_BYTES: usize = 16;

/// What is said of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    metadata: [u8; METADATA_BYTES],
    len: usize,
    /// In nanoseconds of CLOCK_BOOTTIME; 0 where it does not matter.
    pub(crate) time: u64,
}

impl Note {
    /// What is behind a message's bytes in its object: how many of them are the message, and the note.
    pub(crate) fn split(bytes: &[u8]) -> Result<(usize, Self)> {
        let corrupt = || Error::corrupt(format!("a topic's message of {} bytes", bytes.len()));
        let (rest, tail) = bytes.split_last_chunk::<TAIL_BYTES>().ok_or_else(corrupt)?;
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| tail[at + byte]));
        let len = word(8) as usize;
        if len > METADATA_BYTES || len > rest.len() {
            return Err(corrupt());
        }
        let (message, found) = rest.split_at(rest.len() - len);
        let mut metadata = [0; METADATA_BYTES];
        metadata[..len].copy_from_slice(found);
        Ok((message.len(), Self { metadata, len, time: word(0) }))
    }

    /// Metadata of a message, at most as many bytes as it may have.
    pub(crate) fn new(metadata: &[u8], time: u64) -> Self {
        let len = metadata.len().min(METADATA_BYTES);
        let mut note = Self { metadata: [0; METADATA_BYTES], len, time };
        note.metadata[..len].copy_from_slice(&metadata[..len]);
        note
    }

    pub(crate) fn metadata(&self) -> &[u8] {
        &self.metadata[..self.len]
    }

    /// How much longer it makes an object.
    pub(crate) fn bytes(&self) -> u64 {
        (self.len + TAIL_BYTES) as u64
    }

    pub(crate) fn write(&self, out: &mut BlockWriter<'_>) {
        out.write(self.metadata());
        out.write(&self.time.to_le_bytes());
        out.write(&(self.len as u64).to_le_bytes());
    }
}

/// A message that is written and not published; dropped, it is evicted.
#[derive(Debug)]
pub(crate) struct Unpublished<'a> {
    topic: Topic<'a>,
    /// [`Actor::forks`](crate::actor::Actor::forks) when it was written.
    forks: u32,
    pub(crate) id: ObjectId,
    slot: &'a Slot,
}

impl<'a> Topic<'a> {
    /// P1: lets `fill` write a message of about so many bytes, and the [`Note`] behind it.
    pub(crate) fn write_message(
        &self,
        guess: u64,
        fill: &mut Fill<'_>,
    ) -> Result<Unpublished<'a>, Refusal> {
        let fingerprint = Fingerprint::from_raw(self.slot.fingerprint.load(Ordering::Relaxed));
        let forks = self.actor.forks();
        self.actor.write_with(guess, fill, |writing, len| {
            let slot = writing.claimed.slot;
            slot.place.store(Place::Variable(self.place.id).to_word(), Ordering::Relaxed);
            // It is no set of a variable.
            slot.link.store(Link::NONE.0, Ordering::Relaxed);
            // What stood in the slot before may have been of this topic, and at a position whose word still names the slot.
            slot.set_number(NO_POSITION);
            let word = SlotWord::new(writing.claimed.word.generation(), State::Ready)
                .owned_by(self.actor.me)
                .with(VERSION | MESSAGE);
            let id = writing.publish_as(word, len, fingerprint);
            Unpublished { topic: *self, forks, id, slot }
        })
    }

    /// Whether a message can be published now.
    pub(crate) fn has_room(&self) -> Result<bool> {
        Ok(!self.holds_back() || !self.is_held_back(self.find_tail()?.0))
    }
}

impl Unpublished<'_> {
    /// P2 to P9: the position it is published at; `None`: subscribers that are waited for have not received enough.
    pub(crate) fn try_publish(&self) -> Result<Option<u64>> {
        let topic = &self.topic;
        loop {
            let (tail, found) = topic.find_tail()?;
            if topic.holds_back() && topic.is_held_back(tail) {
                return Ok(None);
            }
            self.slot.set_number(tail);
            // Before the ring forgets it.
            topic.evict_post(found, tail);
            let mine = PostWord::new(tail, self.id.slot());
            let word = topic.post_word(tail);
            if word.compare_exchange(found.0, mine.0, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                topic.advance(tail);
                return Ok(Some(tail));
            }
        }
    }

    /// P10, after which nobody takes it back.
    pub(crate) fn announce(self) {
        self.topic.ring(ChannelBell::Items);
        std::mem::forget(self);
    }
}

impl Drop for Unpublished<'_> {
    fn drop(&mut self) {
        // The parent's, in a child.
        if self.topic.actor.forks() == self.forks {
            self.topic.actor.evict_version(self.id);
        }
    }
}
