//! Receiving, acknowledging, giving back.

use super::{EnvelopeWords, Found, Queue, change_word, load_word};
use crate::error::{Error, Result};
use crate::layout::queue::{ABOUT, About, EnvelopeWord, HEAD, METADATA, OBJECT, RingWord, Stage};
use crate::layout::slot::ObjectId;
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::protocol::queue::send::METADATA_BYTES;
use crate::sync::unmodelled;
use crate::sync::{Ordering, unmodelled::AtomicU64};
use crate::sys::lock::Source;

/// A message that this participant received, and neither acknowledged nor gave back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken {
    pub(crate) envelope: u32,
    pub(crate) word: EnvelopeWord,
}

/// Where the bytes of a message are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// In the queue's block, from there on.
    Inline { at: u64, len: u64 },
    /// An object.
    Object(ObjectId),
}

/// What was sent with a message, in the first so many bytes.
pub(crate) type Metadata = ([u8; METADATA_BYTES], usize);

#[inline]
fn about(words: &EnvelopeWords) -> About {
    About(words[ABOUT].load(Ordering::Relaxed))
}

#[inline(always)]
fn metadata_in(words: &EnvelopeWords) -> Metadata {
    let mut bytes = [0; METADATA_BYTES];
    let len = usize::from(about(words).metadata()).min(METADATA_BYTES);
    if len != 0 {
        copy_metadata(words, &mut bytes[..len.next_multiple_of(8)]);
    }
    (bytes, len)
}

#[inline(never)]
fn copy_metadata(words: &EnvelopeWords, bytes: &mut [u8]) {
    for (at, part) in bytes.chunks_mut(8).enumerate() {
        part.copy_from_slice(&words[METADATA + at].load(Ordering::Relaxed).to_le_bytes());
    }
}

#[cold]
fn wrong_head(head: u64, named: RingWord) -> Error {
    Error::corrupt(format!("a queue's head {head} is at {named:?}"))
}

#[cold]
fn too_long(len: u32, most: u32) -> Error {
    Error::corrupt(format!("a message of {len} bytes in an envelope of {most}"))
}

impl<'a> Queue<'a> {
    /// The next message, if there is one; `seen` is what this receiver knows of what was given back.
    #[inline(always)]
    pub(crate) fn receive(&self, seen: &AtomicU64) -> Result<Option<Taken>> {
        let returned = self.returned();
        if returned != seen.load(unmodelled::Ordering::Relaxed) {
            if let Some(taken) = self.take_again() {
                return Ok(Some(taken));
            }
            seen.store(returned, unmodelled::Ordering::Relaxed);
        }
        self.take_next()
    }

    /// [`receive`](Self::receive), and C1 without asking whether anything was given back: whoever is about to say so may be
    /// stopped, or dead.
    #[cold]
    pub(crate) fn receive_whatever_is_there(&self) -> Result<Option<Taken>> {
        match self.take_again() {
            Some(taken) => Ok(Some(taken)),
            None => self.take_next(),
        }
    }

    /// C1a: a message that was given back.
    #[cold]
    fn take_again(&self) -> Option<Taken> {
        (0..self.place.shape.envelopes).find_map(|envelope| {
            let found = self.find(envelope);
            let word = load_word(found.words);
            let is_there = word.is(Stage::Abandoned);
            is_there.then(|| self.take(found, word, word.delivered())).flatten()
        })
    }

    /// A dead letter, looked for from an envelope on.
    pub(crate) fn take_letter(&self, from: u32) -> Option<Taken> {
        (from..self.place.shape.envelopes).find_map(|envelope| {
            let found = self.find(envelope);
            let word = load_word(found.words);
            word.is(Stage::Letter).then(|| self.take(found, word, word)).flatten()
        })
    }

    #[inline(always)]
    fn take(&self, found: Found<'_>, from: EnvelopeWord, to: EnvelopeWord) -> Option<Taken> {
        let word = to.at(Stage::Taken).owned_by(self.actor.me);
        let envelope = found.index;
        change_word(found.words, from, word).then_some(Taken { envelope, word })
    }

    /// C2 to C6.
    #[inline(always)]
    fn take_next(&self) -> Result<Option<Taken>> {
        while let Some((head, found, word)) = self.next()? {
            if let Some(taken) = self.take(found, word, word.delivered()) {
                self.advance(HEAD, head);
                return Ok(Some(taken));
            }
        }
        Ok(None)
    }

    /// C2 to C4a: the head, and the envelope there, which is to be received.
    #[inline(always)]
    fn next(&self) -> Result<Option<(u64, Found<'a>, EnvelopeWord)>> {
        let shape = &self.place.shape;
        let mut stale = None;
        loop {
            let head = self.word(HEAD).load(Ordering::SeqCst);
            let named = self.load_ring(head);
            let envelope = named.envelope();
            if named.round() != shape.round(head) || envelope >= shape.envelopes {
                if named.round() == shape.round_before(head) {
                    return Ok(None);
                }
                if named.round() == shape.round(head.wrapping_add(shape.ring.into())) {
                    // A sender overwrites what was received only: by one who was killed before it helped the head, and by
                    // whom it was given back to since.
                    self.advance(HEAD, head);
                } else if stale.replace(head) == Some(head) {
                    // The head was another's by then, or the word is nobody's.
                    return Err(wrong_head(head, named));
                }
                continue;
            }
            let found = self.find(envelope);
            self.prefetch_envelope(found, false);
            let word = load_word(found.words);
            // Versions are cut in the ring: only while the word is the same, its version is the envelope's.
            if self.load_ring(head) != named {
                continue;
            }
            let is_unreceived = word.is(Stage::Owned) || word.is(Stage::Queued);
            if is_unreceived && named.names(envelope, word) {
                return Ok(Some((head, found, word)));
            }
            self.advance(HEAD, head);
        }
    }

    /// Z2 for another, who has looked before: whether it is in vain to look again. `seen` is what a receiver knew then of what
    /// was given back.
    pub(crate) fn is_silent(
        &self,
        bell: ChannelBell,
        seen: u64,
        source: &Source<'_>,
    ) -> Result<bool> {
        if !self.is_there() {
            return Ok(false);
        }
        let mut stages = (0..self.place.shape.envelopes).map(|it| self.load_envelope(it));
        Ok(match bell {
            ChannelBell::Room => !stages.any(|word| word.is(Stage::Empty)),
            ChannelBell::Items => {
                let is_any_back = self.returned() != seen;
                let has_some = (is_any_back && stages.any(|word| word.is(Stage::Abandoned)))
                    || self.next()?.is_some();
                // What the dead hold comes back before the stream is over.
                !has_some && (!self.has_no_producer() || self.is_held_by_dead(source)?)
            }
        })
    }

    /// Where a message that was taken is.
    #[inline(always)]
    pub(crate) fn contents(&self, taken: &Taken) -> Result<Contents> {
        self.contents_of(self.find(taken.envelope))
    }

    #[inline(always)]
    fn contents_of(&self, found: Found<'_>) -> Result<Contents> {
        let shape = &self.place.shape;
        let object = found.words[OBJECT].load(Ordering::Relaxed);
        if let Some(object) = ObjectId::from_word(object) {
            return Ok(Contents::Object(object));
        }
        let len = about(found.words).len();
        if len > shape.inline {
            return Err(too_long(len, shape.inline));
        }
        Ok(Contents::Inline { at: self.inline_at(found.index), len: len.into() })
    }

    pub(super) fn about_envelope(&self, envelope: u32) -> About {
        about(self.envelope(envelope))
    }

    /// What was sent with it.
    pub(crate) fn metadata(&self, taken: &Taken) -> Metadata {
        metadata_in(self.envelope(taken.envelope))
    }

    /// Both.
    #[inline(always)]
    pub(crate) fn parts(&self, taken: &Taken) -> Result<(Contents, Metadata)> {
        let found = self.find(taken.envelope);
        Ok((self.contents_of(found)?, metadata_in(found.words)))
    }

    /// A1 to A5; `false`: it is not this participant's.
    #[inline(always)]
    pub(crate) fn acknowledge(&self, taken: &Taken) -> bool {
        let words = self.envelope(taken.envelope);
        let has_object = words[OBJECT].load(Ordering::Relaxed) != 0;
        let next = if has_object {
            taken.word.at(Stage::Acked).owned_by(self.actor.me)
        } else {
            taken.word.next()
        };
        if !change_word(words, taken.word, next) {
            return false;
        }
        if has_object {
            self.finish_ack(taken.envelope, next);
        }
        self.ring(ChannelBell::Room);
        true
    }

    /// A2 to A4.
    pub(super) fn finish_ack(&self, envelope: u32, acked: EnvelopeWord) {
        self.evict_object(envelope);
        self.change_envelope(envelope, acked, acked.next());
    }

    /// Evicts what an envelope names and nobody needs any more: the object of a message, a promise of a ledger.
    pub(super) fn evict_object(&self, envelope: u32) {
        let object = self.field(envelope, OBJECT);
        if let Some(id) = ObjectId::from_word(object.load(Ordering::SeqCst)) {
            self.evict_of(envelope, id);
            object.store(0, Ordering::SeqCst);
        }
    }

    /// Evicts what an envelope names, unless it is another's.
    pub(super) fn evict_of(&self, envelope: u32, id: ObjectId) {
        if self.about_envelope(envelope).is_owed() {
            self.actor.evict_owed(id);
        } else {
            self.actor.evict_named(id);
        }
    }

    /// B1 to B3: somebody else may receive it; `false`: it is not this participant's.
    pub(crate) fn give_back(&self, taken: &Taken) -> bool {
        if !self.abandon(taken.envelope, taken.word) {
            return false;
        }
        self.announce_return();
        self.ring(ChannelBell::Items);
        true
    }

    /// B1.
    pub(super) fn abandon(&self, envelope: u32, taken: EnvelopeWord) -> bool {
        let most = self.place.shape.max_deliveries;
        let is_letter = most != 0 && taken.deliveries() >= most;
        let stage = if is_letter { Stage::Letter } else { Stage::Abandoned };
        self.change_envelope(envelope, taken, taken.at(stage))
    }
}
