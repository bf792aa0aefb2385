//! Sending: an envelope is owned, filled, and named by the ring.

use super::{EnvelopeWords, Queue, change_word, load_word};
use crate::actor::Refusal;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::layout::block::BlockRef;
use crate::layout::queue::{
    ABOUT, About, EnvelopeWord, METADATA, METADATA_WORDS, OBJECT, RingWord, Stage, TAIL,
};
use crate::layout::slot::{Link, ObjectId, Place, SlotWord, State, VERSION};
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::protocol::write::Writing;
use crate::sync::Ordering;
use crate::sync::unmodelled::{self, Ordering::Relaxed};
use crate::writer::{BlockWriter, Fill};

/// Bytes of metadata that a message may have.
pub(crate) const METADATA_BYTES: usize = METADATA_WORDS * 8;

/// What a sender saw of the ring word that it will name its next message in, while it had the line: who waits for that message
/// looks at the line all the time, so to look first would be to fetch it twice. Any guess will do: the CAS decides.
#[derive(Debug, Default)]
pub(crate) struct Guess {
    position: unmodelled::AtomicU64,
    word: unmodelled::AtomicU64,
}

impl Guess {
    #[inline(always)]
    fn at(&self, position: u64) -> Option<RingWord> {
        let is_of_it = self.position.load(Relaxed) == position;
        is_of_it.then(|| RingWord(self.word.load(Relaxed)))
    }

    #[inline(always)]
    fn set(&self, position: u64, word: RingWord) {
        self.word.store(word.0, Relaxed);
        self.position.store(position, Relaxed);
    }
}

/// An envelope that this participant owns, for a message that is not sent yet; dropped, it is empty again.
#[derive(Debug)]
pub(crate) struct Envelope<'a> {
    pub(super) queue: &'a Queue<'a>,
    /// [`Actor::forks`](crate::actor::Actor::forks) when it was owned.
    forks: u32,
    pub(crate) index: u32,
    words: &'a EnvelopeWords,
    word: EnvelopeWord,
    /// Whether its message is an object that this participant owned.
    pub(super) is_of_owned: bool,
}

impl<'a> Queue<'a> {
    /// Starts fetching the lines that a send fills, if it is the envelope from which one is looked for: who received what was
    /// there before has them. Once: who waits for room would keep them from those who make it.
    #[inline(always)]
    pub(crate) fn prefetch_for_send(&self, from: u32) {
        self.prefetch_envelope(self.find(from.min(self.place.shape.envelopes - 1)), true);
    }

    /// The envelope after another.
    #[inline(always)]
    pub(crate) fn envelope_after(&self, index: u32) -> u32 {
        if index + 1 < self.place.shape.envelopes { index + 1 } else { 0 }
    }

    /// P1: an empty envelope, looked for from one on; `None`: there is none.
    #[inline(always)]
    pub(crate) fn own_envelope(&'a self, from: u32) -> Option<Envelope<'a>> {
        let from = from.min(self.place.shape.envelopes - 1);
        self.own(from).or_else(|| self.own_another(from))
    }

    #[cold]
    fn own_another(&'a self, from: u32) -> Option<Envelope<'a>> {
        let count = self.place.shape.envelopes;
        (from + 1..count).chain(0..from).find_map(|index| self.own(index))
    }

    /// P1 of one that is empty.
    #[inline(always)]
    fn own(&'a self, index: u32) -> Option<Envelope<'a>> {
        let words = self.envelope(index);
        let empty = load_word(words);
        if !empty.is(Stage::Empty) {
            return None;
        }
        let word = empty.at(Stage::Owned).owned_by(self.actor.me);
        let forks = self.actor.forks();
        let is_mine = change_word(words, empty, word);
        is_mine.then(|| Envelope { queue: self, forks, index, words, word, is_of_owned: false })
    }
}

impl<'a> Envelope<'a> {
    pub(super) fn set(&self, field: usize, value: u64) {
        self.words[field].store(value, Ordering::Relaxed);
    }

    /// Where a small message is to lie, in the queue's block.
    pub(crate) fn inline_part(&self) -> (BlockRef, u64) {
        let place = &self.queue.place;
        (place.block, self.queue.inline_at(self.index))
    }

    /// P2 of a small message: lets `fill` write it into the queue itself; how much it wrote, or wanted to write.
    #[inline(always)]
    pub(crate) fn fill<F>(&self, fill: &mut F) -> Result<usize>
    where
        F: FnMut(&mut BlockWriter<'_>) -> Result<()> + ?Sized,
    {
        let place = &self.queue.place;
        let part = (self.queue.inline_at(self.index), u64::from(place.shape.inline));
        self.queue.actor.fill_part(place.block, part, fill)
    }

    /// P2 of a large message: an object of its own; its length.
    pub(crate) fn fill_object(&self, guess: u64, fill: &mut Fill<'_>) -> Result<u64, Refusal> {
        self.queue.actor.write_with(guess, fill, |writing, len| {
            self.publish(writing, len);
            len
        })
    }

    /// P2 of a large message that is filled in place, before [`publish`](Self::publish).
    pub(crate) fn lend_object(&self, len: u64) -> Result<Writing<'a>, Refusal> {
        let actor = self.queue.actor;
        let writing = actor.start_writing(len)?;
        actor.commit_block(writing.claimed.index, writing.block)?;
        Ok(writing)
    }

    /// P2a, P2b.
    #[inline]
    pub(crate) fn publish(&self, writing: Writing<'_>, len: u64) {
        let Queue { slot: queue, place, .. } = self.queue;
        let fingerprint = Fingerprint::from_raw(queue.fingerprint.load(Ordering::Relaxed));
        let slot = writing.claimed.slot;
        slot.place.store(Place::Variable(place.id).to_word(), Ordering::Relaxed);
        // What stood there before may have been offered.
        slot.link.store(Link::NONE.0, Ordering::Relaxed);
        // P2a before P2b: there is no instant at which the object is there and nobody's.
        self.set(OBJECT, writing.claimed.id().0);
        let word = SlotWord::new(writing.claimed.word.generation(), State::Ready).with(VERSION);
        writing.publish_as(word, len, fingerprint);
    }

    #[inline(never)]
    fn set_metadata(&self, metadata: &[u8]) {
        for (at, part) in metadata.chunks(8).take(METADATA_WORDS).enumerate() {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.set(METADATA + at, u64::from_le_bytes(word));
        }
    }

    /// P3 to P6: sends what was filled, of so many bytes.
    #[inline(always)]
    pub(crate) fn send(self, len: u32, metadata: &[u8], guess: &Guess) -> Result<()> {
        self.name(len, metadata, guess)?;
        std::mem::forget(self);
        Ok(())
    }

    /// The same for one who forgets it then.
    #[inline(always)]
    fn name(&self, len: u32, metadata: &[u8], guess: &Guess) -> Result<()> {
        let about = About::new(len, metadata.len() as u8);
        self.set(ABOUT, if self.is_of_owned { about.owned().0 } else { about.0 });
        if !metadata.is_empty() {
            self.set_metadata(metadata);
        }
        let (queue, shape) = (self.queue, &self.queue.place.shape);
        let (mut stale, mut untried) = (None, Some(guess));
        let mut guess_of = |tail: u64| {
            let guess = untried.take()?;
            // Two threads may have set a part each: only the CAS may believe it.
            guess.at(tail).filter(|word| word.round() == shape.round_before(tail))
        };
        loop {
            let tail = queue.word(TAIL).load(Ordering::SeqCst);
            let found = guess_of(tail).unwrap_or_else(|| queue.load_ring(tail));
            if found.round() == shape.round_before(tail) {
                let named = RingWord::naming(shape.round(tail), self.index, self.word);
                let word = queue.ring_word(tail);
                let sent =
                    word.compare_exchange(found.0, named.0, Ordering::SeqCst, Ordering::SeqCst);
                if sent.is_ok() {
                    let next = tail.wrapping_add(1);
                    guess.set(next, queue.load_ring(next));
                    queue.advance(TAIL, tail);
                    return Ok(());
                }
            } else if found.round() == shape.round(tail) {
                queue.advance(TAIL, tail);
            } else if stale.replace(tail) == Some(tail) {
                // The tail was another's by then, or the word is nobody's.
                return Err(wrong_tail(tail, found));
            }
        }
    }
}

#[cold]
fn wrong_tail(tail: u64, found: RingWord) -> Error {
    Error::corrupt(format!("a queue's tail {tail} is at {found:?}"))
}

impl Drop for Envelope<'_> {
    fn drop(&mut self) {
        if self.queue.actor.forks() != self.forks {
            // The parent's.
            return;
        }
        let object = &self.words[OBJECT];
        if let Some(id) = ObjectId::from_word(object.load(Ordering::Relaxed)) {
            if self.is_of_owned {
                // Whose it was owns it as before; somebody may have evicted it by its key.
                let _ = self.queue.actor.adopt_message(id);
            } else {
                self.queue.actor.evict_named(id);
            }
            object.store(0, Ordering::SeqCst);
        }
        change_word(self.words, self.word, self.word.at(Stage::Empty));
        self.queue.ring(ChannelBell::Room);
    }
}
