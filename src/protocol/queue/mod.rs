//! Queues: messages from any number of producers to any number of consumers, each to one of them.
//!
//! ```text
//! envelope: EMPTY(v) → OWNED(v, p) → TAKEN(v, c) → EMPTY(v + 1), or by way of ACKED(v, c)
//!           OWNED(v, dead) → QUEUED(v) if it was sent, else EMPTY(v) · TAKEN(v, c) → ABANDONED(v) → TAKEN, or LETTER(v)
//! ring:     a word per position, which names the envelope and version of the message that was sent to it last
//!
//! send:    P1 CAS envelope EMPTY(v) → OWNED(v, me) · P2 metadata, bytes; a large one: object n is WRITING, P2a
//!          envelope.object = n, P2b n READY · P3 load tail t · P4 load the ring word at t: of t's round? P6, then P3 · P5 CAS it
//!          from the round before → (round, envelope, v): sent · P6 CAS tail t → t + 1 · P7 ring ITEMS
//! receive: C1 RETURNED moved? C1a CAS an envelope ABANDONED(v) → TAKEN(v, me) · C2 load head h · C3 load the ring word at h: of
//!          the round before? nothing there; of the next one? received, C6 · C4 load envelope, C4a the ring word again · C5 CAS
//!          OWNED(v) | QUEUED(v) → TAKEN(v, me); it is another's: C6, then C2 · C6 CAS head h → h + 1
//! ack:     A1 CAS TAKEN(v, me) → EMPTY(v + 1); of an object: → ACKED(v, me) · A2 evict it, A3 envelope.object = 0, A4 EMPTY(v + 1)
//!          · A5 ring ROOM
//! return:  B1 CAS TAKEN(v, me) → ABANDONED(v), or LETTER(v) when it was delivered too often · B2 RETURNED + 1 · B3 ring ITEMS
//! ring:    SLEEPERS in the bell? CAS: one ring more, SLEEPERS out · wake all
//! sleep:   Z1 SLEEPERS into the bell (fetch_or) · Z2 look once more · Z3 sleep while the bell is as at Z1
//! ```
//!
//! Nobody clears a ring word. Of the words behind the tail, those that name a message nobody received are the newest, and
//! fewer than there are envelopes, for who sends owns one, too; so what a sender overwrites was received. And while a sender
//! lives, OWNED says as well as QUEUED that a message was sent: the ring does.
//!
//! The queue is a slot in state CHANNEL whose block is all of this, pinned by every handle. Evicted, it is RETIRED, and its
//! messages are evicted by who reclaims it.

mod ledger;
mod owned;
mod receive;
mod send;
mod sweep;

pub(crate) use receive::{Contents, Metadata, Taken};
pub(crate) use send::Guess;
#[cfg(not(loom))]
pub(crate) use send::{Envelope, METADATA_BYTES};

use crate::actor::{Actor, Refusal};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::layout::block::BlockRef;
use crate::layout::participant::ParticipantId;
use crate::layout::queue::{
    ENVELOPE_WORDS, ENVELOPES, EnvelopeWord, HEAD_END, INLINE, ITEMS, MAX_DELIVERIES,
    MAX_ENVELOPES, OPENED, PARTICIPANTS, RETURNED, RING, ROOM, RingWord, Shape, Stage, WORD,
};
use crate::layout::slot::{BOUND, ObjectId, Slot, SlotWord, State};
use crate::protocol::channel::{AtChannel, ChannelBell, Producers};
use crate::protocol::named::{Kind, Noun};
use crate::protocol::pin::Pin;
use crate::sync::{AtomicU64, Ordering};

/// Where a queue is; it stays there while it is pinned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct QueuePlace {
    pub(crate) id: ObjectId,
    pub(crate) block: BlockRef,
    pub(crate) shape: Shape,
}

/// A pinned queue, at which a participant is at work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queue<'a> {
    pub(super) actor: Actor<'a>,
    pub(super) slot: &'a Slot,
    pub(crate) place: QueuePlace,
    /// All of them; then parts, of which every send and receive needs some.
    words: &'a [AtomicU64],
    head: &'a [AtomicU64; HEAD_END],
    ring: &'a [AtomicU64],
    envelopes: &'a [EnvelopeWords],
}

type EnvelopeWords = [AtomicU64; ENVELOPE_WORDS];

/// An envelope that was looked up once.
#[derive(Clone, Copy, Debug)]
struct Found<'a> {
    index: u32,
    words: &'a EnvelopeWords,
}

impl<'a> Actor<'a> {
    /// A queue without messages.
    pub(crate) fn new_queue(
        &self,
        fingerprint: Fingerprint,
        shape: Shape,
    ) -> Result<ObjectId, Refusal> {
        self.make_queue(fingerprint, shape, |word| word)
    }

    /// The same, bound to this participant from its first instant.
    pub(crate) fn new_bound_queue(
        &self,
        fingerprint: Fingerprint,
        shape: Shape,
    ) -> Result<ObjectId, Refusal> {
        self.make_queue(fingerprint, shape, |word| word.owned_by(self.me).with(BOUND))
    }

    /// The queue a name is bound to; made, and bound, if it is bound to nothing. It may have another shape.
    pub(crate) fn open_queue(
        &self,
        name: &str,
        fingerprint: Fingerprint,
        shape: Shape,
    ) -> Result<ObjectId, Refusal> {
        self.open_named(name, Kind { noun: Noun::Queue, fingerprint }, || {
            self.make_queue(fingerprint, shape, |word| self.naming_channel(word))
        })
    }

    fn make_queue(
        &self,
        fingerprint: Fingerprint,
        shape: Shape,
        word: impl Fn(SlotWord) -> SlotWord,
    ) -> Result<ObjectId, Refusal> {
        let mut head = [0; PRELUDE as usize];
        head[ENVELOPES] = shape.envelopes.into();
        head[RING] = shape.ring.into();
        head[INLINE] = shape.inline.into();
        head[MAX_DELIVERIES] = shape.max_deliveries.into();
        head[PARTICIPANTS] = shape.participants.into();
        self.make_channel(fingerprint, (shape.bytes(), shape.words()), &head, word)
    }

    /// Refuses a queue that is gone, or has messages of another type.
    pub(crate) fn expect_queue(&self, id: ObjectId, fingerprint: Fingerprint) -> Result<()> {
        self.expect_kind(id, Kind { noun: Noun::Queue, fingerprint })
    }

    /// Pins a queue; `None` when it is gone.
    pub(crate) fn pin_queue(&self, id: ObjectId) -> Result<Option<(Pin<'a>, Queue<'a>)>> {
        let Some(pin) = self.pin_in(State::Channel, id)? else { return Ok(None) };
        let place = self.place_of_queue(id, pin.slot)?;
        let queue = self.at_queue(place, pin.slot)?;
        Ok(Some((pin, queue)))
    }

    /// A queue that the caller has pinned, or is reclaiming.
    pub(crate) fn at_queue(&self, place: QueuePlace, slot: &'a Slot) -> Result<Queue<'a>> {
        let shape = &place.shape;
        let words = self.segment.channel_words(place.block, shape.words())?;
        let Some(head) = words.first_chunk() else {
            return Err(Error::corrupt(format!("queue {:?} has no head", place.id)));
        };
        let (ring, envelopes) = words[shape.ring_at() as usize..].split_at(shape.ring as usize);
        let (envelopes, _) = envelopes.as_chunks();
        Ok(Queue { actor: *self, slot, place, words, head, ring, envelopes })
    }

    /// Where a queue says it is, and how large: believed as far as its block reaches.
    pub(super) fn place_of_queue(&self, id: ObjectId, slot: &Slot) -> Result<QueuePlace> {
        let block = BlockRef(slot.block.load(Ordering::Relaxed));
        let head = self.segment.channel_words(block, PRELUDE)?;
        let word = |at: usize| head[at].load(Ordering::Relaxed);
        let [envelopes, ring, inline, deliveries, participants] =
            [ENVELOPES, RING, INLINE, MAX_DELIVERIES, PARTICIPANTS].map(word);
        let is_possible = (1..u64::from(MAX_ENVELOPES)).contains(&envelopes)
            && ring.is_power_of_two()
            && (envelopes..=MAX_ENVELOPES.into()).contains(&ring)
            && inline % 64 == 0
            && inline <= block.size()
            && (1..=4095).contains(&participants)
            && deliveries <= u8::MAX.into();
        let shape = Shape {
            envelopes: envelopes as u32,
            ring: ring as u32,
            inline: inline as u32,
            participants: participants as u32,
            max_deliveries: deliveries as u8,
        };
        if !is_possible || shape.bytes() > block.size() {
            let what = format!("queue {id:?} says {envelopes} envelopes in {block:?}");
            return Err(Error::corrupt(what));
        }
        Ok(QueuePlace { id, block, shape })
    }
}

/// Words of the head, which say how large a queue is.
const PRELUDE: u64 = OPENED as u64 + 1;

impl<'a> Queue<'a> {
    #[inline]
    fn word(&self, at: usize) -> &'a AtomicU64 {
        &self.head[at]
    }

    /// The words of an envelope.
    #[inline]
    fn envelope(&self, envelope: u32) -> &'a EnvelopeWords {
        &self.envelopes[envelope as usize]
    }

    #[inline]
    fn find(&self, index: u32) -> Found<'a> {
        Found { index, words: self.envelope(index) }
    }

    /// A word of an envelope.
    #[inline]
    fn field(&self, envelope: u32, field: usize) -> &'a AtomicU64 {
        &self.envelope(envelope)[field]
    }

    #[inline]
    fn ring_word(&self, position: u64) -> &'a AtomicU64 {
        &self.ring[position as usize & (self.ring.len() - 1)]
    }

    /// Where the bytes of an envelope's message begin, from the start of the block.
    #[inline]
    fn inline_at(&self, envelope: u32) -> u64 {
        self.words.len() as u64 * 8 + u64::from(envelope) * u64::from(self.place.shape.inline)
    }

    #[inline]
    pub(super) fn load_envelope(&self, envelope: u32) -> EnvelopeWord {
        load_word(self.envelope(envelope))
    }

    /// Starts fetching an envelope and the first bytes in it, both of which another processor has.
    #[inline(always)]
    fn prefetch_envelope(&self, found: Found<'_>, is_written: bool) {
        let (segment, block) = (self.actor.segment, self.place.block);
        segment.prefetch_word(&found.words[WORD]);
        if is_written {
            segment.prefetch_to_write(block, self.inline_at(found.index));
        } else {
            segment.prefetch_to_view(block, self.inline_at(found.index));
        }
    }

    /// CAS of an envelope's word; whether it was as expected.
    #[inline]
    fn change_envelope(&self, envelope: u32, from: EnvelopeWord, to: EnvelopeWord) -> bool {
        change_word(self.envelope(envelope), from, to)
    }

    #[inline]
    fn load_ring(&self, position: u64) -> RingWord {
        RingWord(self.ring_word(position).load(Ordering::SeqCst))
    }

    /// P6, C6: a position that is done with, whoever did it.
    #[inline]
    fn advance(&self, at: usize, position: u64) {
        let next = position.wrapping_add(1);
        let _ = self.word(at).compare_exchange(position, next, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Whether any envelope is not empty.
    pub(crate) fn is_in_use(&self) -> bool {
        let mut envelopes = 0..self.place.shape.envelopes;
        envelopes.any(|envelope| !self.load_envelope(envelope).is(Stage::Empty))
    }

    /// How often messages were given back.
    #[inline]
    fn returned(&self) -> u64 {
        self.word(RETURNED).load(Ordering::SeqCst)
    }

    fn announce_return(&self) {
        self.word(RETURNED).fetch_add(1, Ordering::SeqCst);
    }
}

#[inline]
fn load_word(envelope: &EnvelopeWords) -> EnvelopeWord {
    EnvelopeWord(envelope[WORD].load(Ordering::SeqCst))
}

/// CAS of an envelope's word; whether it was as expected.
#[inline]
fn change_word(envelope: &EnvelopeWords, from: EnvelopeWord, to: EnvelopeWord) -> bool {
    envelope[WORD].compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
}

impl<'a> AtChannel<'a> for Queue<'a> {
    #[inline]
    fn actor(&self) -> &Actor<'a> {
        &self.actor
    }

    #[inline]
    fn slot(&self) -> &'a Slot {
        self.slot
    }

    #[inline]
    fn id(&self) -> ObjectId {
        self.place.id
    }

    #[inline]
    fn bell(&self, bell: ChannelBell) -> &'a AtomicU64 {
        self.word(match bell {
            ChannelBell::Items => ITEMS,
            ChannelBell::Room => ROOM,
        })
    }

    fn producers(&self) -> Producers<'a> {
        let start = self.place.shape.producer(ParticipantId::new(0));
        let words = &self.words[start..][..self.place.shape.participants as usize];
        Producers { segment: self.actor.segment, words, opened: self.word(OPENED) }
    }
}
