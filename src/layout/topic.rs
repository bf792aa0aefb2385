//! The block of a topic: a head, who publishes, the cursors of those who are waited for, and a ring of words. All of it is
//! atomics of eight bytes, which are named by their number.

use crate::layout::geometry::UNIT;
use crate::layout::participant::ParticipantId;
use crate::layout::slot::KeeperWord;

/// Words between two that different processes write all the time: two cache lines, which are fetched together.
const APART: u64 = if cfg!(loom) { 1 } else { 16 };
/// One cache line.
const LINE: u64 = if cfg!(loom) { 1 } else { 8 };

/// The capacity, with [`TOPIC`]. Of a queue, the first word has not that bit.
pub(crate) const KIND: usize = 0;
/// How many subscribers are waited for; 0: nobody is, and any number may subscribe.
pub(crate) const CURSORS: usize = 1;
/// How many participants may publish.
pub(crate) const PARTICIPANTS: usize = 2;
/// Bytes of messages that are kept; 0: no limit.
pub(crate) const MAX_BYTES: usize = 3;
/// Nanoseconds that a message is kept; 0: no limit.
pub(crate) const MAX_AGE: usize = 4;
/// How often somebody began to publish.
pub(crate) const OPENED: usize = 5;
const HEAD_WORDS: u64 = if cfg!(loom) { 6 } else { APART };
/// The position the next message is published at, or one less.
pub(crate) const TAIL: usize = HEAD_WORDS as usize;
/// All before that position are gone.
pub(crate) const OLDEST: usize = TAIL + 1;
/// Rung when there may be something to receive.
pub(crate) const ITEMS: usize = TAIL + if cfg!(loom) { 2 } else { APART as usize };
/// Rung when there may be room.
pub(crate) const ROOM: usize = ITEMS + APART as usize;
const PRODUCERS: u64 = ROOM as u64 + APART;

/// In the first word of a channel's block: it is a topic.
pub(crate) const TOPIC: u64 = 1 << 63;

/// More messages than a topic may have.
pub(crate) const MAX_CAPACITY: u32 = 1 << 24;
/// More subscribers than can be waited for.
pub(crate) const MAX_CURSORS: u32 = 1 << 16;

const POSITION_BITS: u32 = 52;
/// A position that no message has.
pub(crate) const NO_POSITION: u64 = (1 << POSITION_BITS) - 1;

/// How large a topic is, and what it keeps.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TopicShape {
    pub(crate) capacity: u32,
    pub(crate) cursors: u32,
    pub(crate) participants: u32,
    pub(crate) max_bytes: u64,
    pub(crate) max_age: u64,
}

impl TopicShape {
    /// Words of the ring.
    #[inline]
    pub(crate) fn ring(&self) -> u64 {
        u64::from(self.capacity) + 1
    }

    fn cursors_at(&self) -> u64 {
        PRODUCERS + u64::from(self.participants).next_multiple_of(LINE)
    }

    fn ring_at(&self) -> u64 {
        self.cursors_at() + u64::from(self.cursors) * LINE
    }

    /// Words of the whole block.
    pub(crate) fn words(&self) -> u64 {
        self.ring_at() + self.ring()
    }

    /// Bytes of the whole block.
    pub(crate) fn bytes(&self) -> u64 {
        // Models know the largest cells only.
        let least = if cfg!(loom) { UNIT / 2 } else { 0 };
        (self.words() * 8).max(least)
    }

    /// Where the words of the producers begin.
    pub(crate) fn producers(&self) -> usize {
        PRODUCERS as usize
    }

    #[inline]
    pub(crate) fn cursor(&self, cursor: u32) -> usize {
        (self.cursors_at() + u64::from(cursor) * LINE) as usize
    }

    /// The word of a position.
    #[inline]
    pub(crate) fn post(&self, position: u64) -> usize {
        (self.ring_at() + position % self.ring()) as usize
    }
}

const SLOT_BITS: u32 = if cfg!(loom) { 61 } else { 24 };

/// `position 40 | slot 24`: the message at a place of the ring. All zeros: none was ever there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PostWord(pub(crate) u64);

impl PostWord {
    #[inline]
    pub(crate) const fn new(position: u64, slot: u32) -> Self {
        Self((position << SLOT_BITS) | slot as u64)
    }

    /// 0 if none was ever there.
    #[inline]
    pub(crate) const fn slot(self) -> u32 {
        (self.0 & ((1 << SLOT_BITS) - 1)) as u32
    }

    /// Whether it is that of a position, or of another that is cut to the same.
    #[inline]
    pub(crate) const fn is_at(self, position: u64) -> bool {
        self.0 != 0 && self.0 >> SLOT_BITS == (position << SLOT_BITS) >> SLOT_BITS
    }

    /// The position, which is near that one; `None`: none was ever there.
    #[inline]
    pub(crate) const fn position(self, near: u64) -> Option<u64> {
        if self.0 == 0 {
            return None;
        }
        let ahead = ((self.0 >> SLOT_BITS).wrapping_sub(near) << SLOT_BITS) as i64 >> SLOT_BITS;
        Some(near.wrapping_add_signed(ahead))
    }
}

const OWNER_BITS: u32 = 12;

/// `position 52 | owner 12`: the position that a subscriber wants next. All zeros: nobody's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct CursorWord(pub(crate) u64);

impl CursorWord {
    #[inline]
    pub(crate) const fn new(position: u64, owner: ParticipantId) -> Self {
        Self((position << OWNER_BITS) | owner.tag() as u64)
    }

    #[inline]
    pub(crate) const fn is_free(self) -> bool {
        self.0 & ((1 << OWNER_BITS) - 1) == 0
    }

    #[inline]
    pub(crate) const fn owner(self) -> Option<ParticipantId> {
        ParticipantId::from_tag((self.0 & ((1 << OWNER_BITS) - 1)) as u32)
    }

    #[inline]
    pub(crate) const fn position(self) -> u64 {
        self.0 >> OWNER_BITS
    }
}

const _: () = assert!(POSITION_BITS == 64 - OWNER_BITS && KeeperWord::HANDS_SHIFT == OWNER_BITS);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_topic_do_not_overlap() {
        let shape =
            TopicShape { capacity: 5, cursors: 3, participants: 9, max_bytes: 0, max_age: 0 };
        assert!(OLDEST < ITEMS && ITEMS < ROOM && ROOM < shape.producers());
        assert!(shape.producers() + 9 <= shape.cursor(0));
        assert!(shape.cursor(2) < shape.post(0));
        assert_eq!(shape.post(5) - shape.post(0), 5);
        assert_eq!(shape.post(6), shape.post(0));
        assert_eq!(shape.post(5) as u64 + 1, shape.words());
    }

    #[test]
    fn a_post_tells_its_position_from_those_near_it() {
        assert_eq!(PostWord(0).position(7), None);
        for position in [0, 1, 99, (1 << 40) - 1, 1 << 40, (1 << 40) + 5, (1 << 51) + 3] {
            let post = PostWord::new(position, 77);
            assert_eq!((post.slot(), post.is_at(position)), (77, true));
            assert!(!post.is_at(position + 1));
            for near in [position + 9, position.saturating_sub(9)] {
                assert_eq!(post.position(near), Some(position));
            }
        }
    }

    #[test]
    fn a_cursor_is_its_owners_at_any_position() {
        let (owner, last) = (ParticipantId::new(4094), NO_POSITION);
        for position in [0, 5, last] {
            let cursor = CursorWord::new(position, owner);
            assert_eq!((cursor.owner(), cursor.position()), (Some(owner), position));
            assert!(!cursor.is_free());
        }
        assert!(CursorWord(0).is_free());
    }
}
