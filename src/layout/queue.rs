//! The block of a queue: a head, who produces, a ring of words, and the envelopes; then the bytes of small messages.
//!
//! All of it but those bytes are atomics of eight bytes, which are named by their number.

use std::fmt;

use crate::layout::participant::ParticipantId;

/// Words between two that different processes write all the time: two cache lines, which are fetched together.
const APART: u64 = if cfg!(loom) { 1 } else { 16 };

/// How many envelopes there are.
pub(crate) const ENVELOPES: usize = 0;
/// How many words the ring has.
pub(crate) const RING: usize = 1;
/// Bytes of a message that lies in the queue itself.
pub(crate) const INLINE: usize = 2;
/// After how many deliveries a message that nobody acknowledges is a dead letter.
pub(crate) const MAX_DELIVERIES: usize = 3;
/// How many participants may produce.
pub(crate) const PARTICIPANTS: usize = 4;
/// How often somebody began to produce.
pub(crate) const OPENED: usize = 5;
const HEAD_WORDS: u64 = if cfg!(loom) { 6 } else { APART };
/// The position the next message is sent to.
pub(crate) const TAIL: usize = HEAD_WORDS as usize;
/// The position the next message is received from.
pub(crate) const HEAD: usize = TAIL + APART as usize;
/// Rung when there may be something to receive.
pub(crate) const ITEMS: usize = HEAD + APART as usize;
/// How many messages were given back by who received them.
pub(crate) const RETURNED: usize = ITEMS + 1;
/// Rung when there may be room.
pub(crate) const ROOM: usize = RETURNED + if cfg!(loom) { 1 } else { APART as usize - 1 };
/// Words before those that say who produces.
pub(crate) const HEAD_END: usize = ROOM + APART as usize;
const PRODUCERS: u64 = HEAD_END as u64;

/// Of an envelope: its [`EnvelopeWord`], the object with its message (0: in the queue itself), what is said about it, and
/// the metadata.
pub(crate) const WORD: usize = 0;
pub(crate) const OBJECT: usize = 1;
pub(crate) const ABOUT: usize = 2;
pub(crate) const METADATA: usize = 3;
/// Words of metadata.
pub(crate) const METADATA_WORDS: usize = 4;
/// One cache line.
pub(crate) const ENVELOPE_WORDS: usize = 8;

/// Somebody may sleep on a bell; the rest counts how often it was rung.
pub(crate) const SLEEPERS: u64 = 1;
/// One ring.
pub(crate) const ONE_RING: u64 = 2;

/// More envelopes than a ring word can name.
pub(crate) const MAX_ENVELOPES: u32 = 1 << ENVELOPE_BITS;
const ENVELOPE_BITS: u32 = 20;
const VERSION_BITS: u32 = if cfg!(loom) { 2 } else { 22 };
const VERSION: u64 = (1 << VERSION_BITS) - 1;
const ROUND: u64 = (1 << 22) - 1;

/// How large a queue is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Shape {
    pub(crate) envelopes: u32,
    /// A power of two, at least as many as there are envelopes.
    pub(crate) ring: u32,
    /// A multiple of 64.
    pub(crate) inline: u32,
    pub(crate) participants: u32,
    pub(crate) max_deliveries: u8,
}

impl Shape {
    /// For so many messages at a time.
    pub(crate) fn new(capacity: u32, inline: u32, participants: u32, max_deliveries: u8) -> Self {
        let least = if cfg!(loom) { 1 } else { 8 };
        Self {
            envelopes: capacity,
            ring: capacity.next_power_of_two().max(least),
            inline: inline.next_multiple_of(64),
            participants,
            max_deliveries,
        }
    }

    /// The first word of the ring.
    pub(crate) fn ring_at(&self) -> u64 {
        PRODUCERS + u64::from(self.participants).next_multiple_of(if cfg!(loom) { 1 } else { 8 })
    }

    /// The first word of the envelopes.
    pub(crate) fn envelopes_at(&self) -> u64 {
        self.ring_at() + u64::from(self.ring)
    }

    /// Words before the bytes of messages.
    pub(crate) fn words(&self) -> u64 {
        self.envelopes_at() + u64::from(self.envelopes) * ENVELOPE_WORDS as u64
    }

    /// Bytes of the whole block.
    pub(crate) fn bytes(&self) -> u64 {
        self.words() * 8 + u64::from(self.envelopes) * u64::from(self.inline)
    }

    #[inline]
    pub(crate) fn producer(&self, participant: ParticipantId) -> usize {
        PRODUCERS as usize + participant.index().min(self.participants - 1) as usize
    }

    /// Which time the position's ring word is written; never 0 the first time.
    #[inline]
    pub(crate) fn round(&self, position: u64) -> u64 {
        ((position >> self.ring.trailing_zeros()) + 1) & ROUND
    }

    #[inline]
    pub(crate) fn round_before(&self, position: u64) -> u64 {
        (position >> self.ring.trailing_zeros()) & ROUND
    }
}

/// What an envelope is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Stage {
    /// Holds no message.
    Empty = 0,
    /// Its owner sends a message with it, or has sent it: if the ring names it.
    Owned = 1,
    /// Sent by somebody who is gone.
    Queued = 2,
    /// Received by its owner, and not acknowledged.
    Taken = 3,
    /// Acknowledged: the owner evicts the message.
    Acked = 4,
    /// Received by somebody who gave it back, or died.
    Abandoned = 5,
    /// The same, too often.
    Letter = 6,
}

impl Stage {
    const fn from_bits(bits: u64) -> Option<Self> {
        Some(match bits {
            0 => Self::Empty,
            1 => Self::Owned,
            2 => Self::Queued,
            3 => Self::Taken,
            4 => Self::Acked,
            5 => Self::Abandoned,
            6 => Self::Letter,
            _ => return None,
        })
    }
}

const STAGE: u64 = 0xf;
const OWNER_SHIFT: u32 = 4;
const OWNER: u64 = 0xfff << OWNER_SHIFT;
const DELIVERIES_SHIFT: u32 = 16;
const DELIVERIES: u64 = 0xff << DELIVERIES_SHIFT;
const VERSION_SHIFT: u32 = 24;

/// `version 40 | deliveries 8 | owner 12 | stage 4`. The version goes up with every message that was received.
///
/// All zeros is an empty envelope.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct EnvelopeWord(pub(crate) u64);

impl EnvelopeWord {
    #[inline]
    pub(crate) const fn version(self) -> u64 {
        self.0 >> VERSION_SHIFT
    }

    #[inline]
    pub(crate) const fn deliveries(self) -> u8 {
        ((self.0 & DELIVERIES) >> DELIVERIES_SHIFT) as u8
    }

    /// `None` for a value no participant writes.
    #[inline]
    pub(crate) const fn stage(self) -> Option<Stage> {
        Stage::from_bits(self.0 & STAGE)
    }

    #[inline]
    pub(crate) const fn is(self, stage: Stage) -> bool {
        self.0 & STAGE == stage as u64
    }

    #[inline]
    pub(crate) const fn owner(self) -> Option<ParticipantId> {
        ParticipantId::from_tag(((self.0 & OWNER) >> OWNER_SHIFT) as u32)
    }

    #[inline]
    pub(crate) fn is_owned_by(self, owner: ParticipantId) -> bool {
        (self.0 & OWNER) >> OWNER_SHIFT == u64::from(owner.tag())
    }

    /// The same message, with its deliveries.
    #[inline]
    pub(crate) const fn at(self, stage: Stage) -> Self {
        Self((self.0 & !(OWNER | STAGE)) | stage as u64)
    }

    #[inline]
    pub(crate) const fn owned_by(self, owner: ParticipantId) -> Self {
        Self((self.0 & !OWNER) | ((owner.tag() as u64) << OWNER_SHIFT))
    }

    /// One delivery more, as far as they are counted.
    #[inline]
    pub(crate) const fn delivered(self) -> Self {
        if self.deliveries() == u8::MAX { self } else { Self(self.0 + (1 << DELIVERIES_SHIFT)) }
    }

    /// Empty, for the next message.
    #[inline]
    pub(crate) const fn next(self) -> Self {
        Self(self.version().wrapping_add(1) << VERSION_SHIFT)
    }
}

impl fmt::Debug for EnvelopeWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnvelopeWord")
            .field("version", &self.version())
            .field("deliveries", &self.deliveries())
            .field("owner", &self.owner())
            .field("stage", &self.stage())
            .finish()
    }
}

/// `round 22 | version 22 | envelope + 1, 20`: the message at a position of the ring. All zeros: none was ever there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RingWord(pub(crate) u64);

impl RingWord {
    #[inline]
    pub(crate) const fn naming(round: u64, envelope: u32, word: EnvelopeWord) -> Self {
        let version = word.version() & VERSION;
        Self(
            (round << (ENVELOPE_BITS + VERSION_BITS))
                | (version << ENVELOPE_BITS)
                | (envelope + 1) as u64,
        )
    }

    #[inline]
    pub(crate) const fn round(self) -> u64 {
        self.0 >> (ENVELOPE_BITS + VERSION_BITS)
    }

    /// No envelope that there is, if none was ever there.
    #[inline]
    pub(crate) const fn envelope(self) -> u32 {
        ((self.0 & (MAX_ENVELOPES as u64 - 1)) as u32).wrapping_sub(1)
    }

    /// The message, wherever in the ring it is; `None`: none was ever there.
    #[inline]
    pub(crate) const fn message(self) -> Option<u64> {
        let message = self.0 & ((1 << (ENVELOPE_BITS + VERSION_BITS)) - 1);
        if self.0 == 0 { None } else { Some(message) }
    }

    /// Whether it names the envelope with the message that it has now.
    #[inline]
    pub(crate) fn names(self, envelope: u32, word: EnvelopeWord) -> bool {
        self.message() == Some(Self::naming(0, envelope, word).0)
    }
}

/// `owed 1 | owned 1 | metadata 8 | length 32`, in the low 42 bits: the bytes of a message, whether it is an object that somebody
/// owned before, and whether the envelope is a line of a ledger.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct About(pub(crate) u64);

impl About {
    pub(crate) const fn new(len: u32, metadata: u8) -> Self {
        Self(len as u64 | ((metadata as u64) << 32))
    }

    pub(crate) const fn len(self) -> u32 {
        self.0 as u32
    }

    pub(crate) const fn metadata(self) -> u8 {
        (self.0 >> 32) as u8
    }

    /// The same, of an object that others may have the key of.
    pub(crate) const fn owned(self) -> Self {
        Self(self.0 | OWNED)
    }

    pub(crate) const fn is_owned(self) -> bool {
        self.0 & OWNED != 0
    }

    /// What a ledger says of each of its envelopes.
    pub(crate) const OWED: Self = Self(1 << 41);

    pub(crate) const fn is_owed(self) -> bool {
        self.0 & Self::OWED.0 != 0
    }
}

const OWNED: u64 = 1 << 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_about_a_message_comes_back_as_it_went_in() {
        let about = About::new(u32::MAX, u8::MAX);
        assert_eq!((about.len(), about.metadata(), about.is_owned()), (u32::MAX, u8::MAX, false));
        let about = About::new(0, 3).owned();
        assert_eq!((about.len(), about.metadata(), about.is_owned()), (0, 3, true));
        assert!(About::OWED.is_owed() && !about.is_owed());
    }

    #[test]
    fn every_part_of_an_envelope_word_comes_back_as_it_went_in() {
        let (owner, last) = (ParticipantId::new(4094), (1 << 40) - 1);
        let word = EnvelopeWord(last << VERSION_SHIFT).at(Stage::Taken).owned_by(owner).delivered();
        assert_eq!(
            (word.version(), word.deliveries(), word.owner(), word.stage()),
            (last, 1, Some(owner), Some(Stage::Taken))
        );
        assert_eq!(word.at(Stage::Abandoned).owner(), None);
        assert_eq!(word.at(Stage::Abandoned).deliveries(), 1);
        assert_eq!(word.next(), EnvelopeWord(0));
    }

    #[test]
    fn deliveries_that_are_not_counted_any_more_spill_into_nothing() {
        let mut word = EnvelopeWord(7 << VERSION_SHIFT);
        (0..300).for_each(|_| word = word.delivered());
        assert_eq!((word.deliveries(), word.version()), (255, 7));
    }

    #[test]
    fn a_ring_word_names_one_message_of_its_envelope() {
        let word = EnvelopeWord(5 << VERSION_SHIFT).at(Stage::Owned);
        let ring = RingWord::naming(3, 77, word);
        assert_eq!((ring.round(), ring.envelope()), (3, 77));
        assert!(ring.names(77, word) && !ring.names(78, word) && !ring.names(77, word.next()));
        assert!(!RingWord(0).names(0, EnvelopeWord(0)), "nothing was ever there");
        let wrapped = RingWord::naming(0, 0, EnvelopeWord(0));
        assert!(
            wrapped.names(0, EnvelopeWord(0)),
            "round, version and envelope 0 are a message, too"
        );
        let last = MAX_ENVELOPES - 2;
        assert_eq!(RingWord::naming(ROUND, last, word).envelope(), last);
        assert_eq!(RingWord::naming(ROUND, last, word).round(), ROUND);
    }

    #[test]
    fn words_and_bytes_of_a_queue_do_not_overlap() {
        let shape = Shape::new(5, 100, 3, 0);
        assert_eq!((shape.ring, shape.inline), (8, 128));
        assert!((shape.producer(ParticipantId::new(9)) as u64) < shape.ring_at());
        assert_eq!(shape.ring_at() + 8, shape.envelopes_at());
        assert_eq!(shape.envelopes_at() + 5 * ENVELOPE_WORDS as u64, shape.words());
        assert_eq!(METADATA + METADATA_WORDS, ENVELOPE_WORDS - 1);
        assert_eq!(shape.words() * 8 + 5 * 128, shape.bytes());
        assert_eq!(shape.words() * 8 % 64, 0, "archives need that of the bytes of messages");
    }

    #[test]
    fn a_round_begins_where_the_one_before_is_over() {
        let shape = Shape::new(8, 0, 1, 0);
        assert_eq!((shape.round_before(0), shape.round(7), shape.round(8)), (0, 1, 2));
        assert_eq!(shape.round_before(8), shape.round(0));
    }
}
