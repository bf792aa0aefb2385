//! Topics: messages from any number of publishers to every subscriber, each of whom receives all of them, or knows how many
//! it lost.
//!
//! ```text
//! publish: P1 object n: WRITING as in put, bytes, what is said of it; n.place = topic, n.number = none, READY(me) · P2 load tail t ·
//!          P3 load the word w of t: of position t? P4 CAS tail t → t + 1, P2; of a later one? P2 · P5 (held back) any cursor
//!          ≤ t - capacity? full · P6 n.number = t · P7 evict what w names · P8 CAS w → (t, n): published; lost: P2 ·
//!          P9 CAS tail t → t + 1 · P10 ring ITEMS · P11 drop
//! join:    J1 find the true tail t (P2 to P4) · J2 my cursor = c · J3 find the true tail t': c < t' - capacity? J2 again · J4 ring ROOM
//! receive: C1 load the word of c: of position c? C2 load its slot's word READY(g), pin that, place and number are those? a view ·
//!          C3 cursor = c + 1, ring ROOM · C2 in vain, and the word is the same? one lost (if it was published), C3 · of a later q? all before q - capacity
//!          are lost, C3 · of an earlier one: nothing there yet
//! leave:   cursor = 0 · ring ROOM
//! drop:    D1 p = OLDEST · D2 within the limits? done · D3 (held back) any cursor ≤ p? done · D4 evict what the word of p names ·
//!          D5 OLDEST = p + 1, D2
//! ```
//!
//! The ring is one word longer than the capacity, since P7 is before P8. Why all of this holds is in docs/design.md.

mod publish;
mod retain;
mod subscribe;
mod sweep;

pub(crate) use publish::Unpublished;
#[cfg(not(loom))]
pub(crate) use publish::{METADATA_BYTES, Note};
pub(crate) use retain::Window;
#[cfg(not(loom))]
pub(crate) use subscribe::Post;
pub(crate) use subscribe::{Cursor, Start};

use crate::actor::{Actor, Refusal};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::layout::block::BlockRef;
use crate::layout::slot::{MESSAGE, ObjectId, Place, Slot, SlotWord, State, VERSION};
use crate::layout::topic::{
    CURSORS, CursorWord, ITEMS, KIND, MAX_AGE, MAX_BYTES, MAX_CAPACITY, MAX_CURSORS, NO_POSITION,
    OPENED, PARTICIPANTS, PostWord, ROOM, TAIL, TOPIC, TopicShape,
};
use crate::protocol::channel::{AtChannel, ChannelBell, Producers};
use crate::protocol::named::{Kind, Noun};
use crate::protocol::pin::Pin;
use crate::sync::{AtomicU64, Ordering};

/// Where a topic is; it stays there while it is pinned.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TopicPlace {
    pub(crate) id: ObjectId,
    pub(crate) block: BlockRef,
    pub(crate) shape: TopicShape,
}

/// A pinned topic, at which a participant is at work.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Topic<'a> {
    pub(super) actor: Actor<'a>,
    slot: &'a Slot,
    pub(crate) place: TopicPlace,
    words: &'a [AtomicU64],
}

/// Words of the head, which say how large a topic is.
const PRELUDE: usize = OPENED;

impl<'a> Actor<'a> {
    /// A topic without messages.
    pub(crate) fn new_topic(
        &self,
        fingerprint: Fingerprint,
        shape: TopicShape,
    ) -> Result<ObjectId, Refusal> {
        self.make_topic(fingerprint, shape, |word| word)
    }

    /// The topic a name is bound to; made, and bound, if it is bound to nothing. It may have another shape.
    pub(crate) fn open_topic(
        &self,
        name: &str,
        fingerprint: Fingerprint,
        shape: TopicShape,
    ) -> Result<ObjectId, Refusal> {
        self.open_named(name, Kind { noun: Noun::Topic, fingerprint }, || {
            self.make_topic(fingerprint, shape, |word| self.naming_channel(word))
        })
    }

    fn make_topic(
        &self,
        fingerprint: Fingerprint,
        shape: TopicShape,
        word: impl Fn(SlotWord) -> SlotWord,
    ) -> Result<ObjectId, Refusal> {
        let mut head = [0; PRELUDE];
        head[KIND] = TOPIC | u64::from(shape.capacity);
        head[CURSORS] = shape.cursors.into();
        head[PARTICIPANTS] = shape.participants.into();
        head[MAX_BYTES] = shape.max_bytes;
        head[MAX_AGE] = shape.max_age;
        self.make_channel(fingerprint, (shape.bytes(), shape.words()), &head, word)
    }

    /// Refuses a topic that is gone, or has messages of another type.
    pub(crate) fn expect_topic(&self, id: ObjectId, fingerprint: Fingerprint) -> Result<()> {
        self.expect_kind(id, Kind { noun: Noun::Topic, fingerprint })
    }

    /// Pins a topic; `None` when it is gone.
    pub(crate) fn pin_topic(&self, id: ObjectId) -> Result<Option<(Pin<'a>, Topic<'a>)>> {
        let Some(pin) = self.pin_in(State::Channel, id)? else { return Ok(None) };
        let topic = self.at_topic(self.place_of_topic(id, pin.slot)?, pin.slot)?;
        Ok(Some((pin, topic)))
    }

    /// A topic that the caller has pinned, or is reclaiming.
    #[inline]
    pub(crate) fn at_topic(&self, place: TopicPlace, slot: &'a Slot) -> Result<Topic<'a>> {
        let words = self.segment.channel_words(place.block, place.shape.words())?;
        Ok(Topic { actor: *self, slot, place, words })
    }

    /// Where a topic says it is, and how large: believed as far as its block reaches.
    pub(super) fn place_of_topic(&self, id: ObjectId, slot: &Slot) -> Result<TopicPlace> {
        let block = BlockRef(slot.block.load(Ordering::Relaxed));
        let head = self.segment.channel_words(block, PRELUDE as u64)?;
        let word = |at: usize| head[at].load(Ordering::Relaxed);
        let [kind, cursors, participants, max_bytes, max_age] =
            [KIND, CURSORS, PARTICIPANTS, MAX_BYTES, MAX_AGE].map(word);
        let capacity = kind & !TOPIC;
        let is_possible = kind & TOPIC != 0
            && (1..u64::from(MAX_CAPACITY)).contains(&capacity)
            && cursors < MAX_CURSORS.into()
            && (1..=4095).contains(&participants);
        let shape = TopicShape {
            capacity: capacity as u32,
            cursors: cursors as u32,
            participants: participants as u32,
            max_bytes,
            max_age,
        };
        if !is_possible || shape.bytes() > block.size() {
            let what = format!("topic {id:?} says {capacity} messages in {block:?}");
            return Err(Error::corrupt(what));
        }
        Ok(TopicPlace { id, block, shape })
    }
}

impl<'a> Topic<'a> {
    #[inline]
    fn word(&self, at: usize) -> &'a AtomicU64 {
        &self.words[at]
    }

    #[inline]
    fn post_word(&self, position: u64) -> &'a AtomicU64 {
        self.word(self.place.shape.post(position))
    }

    #[inline]
    fn load_post(&self, position: u64) -> PostWord {
        PostWord(self.post_word(position).load(Ordering::SeqCst))
    }

    pub(in crate::protocol) fn load_cursor(&self, cursor: u32) -> CursorWord {
        CursorWord(self.word(self.place.shape.cursor(cursor)).load(Ordering::SeqCst))
    }

    /// What the tail's word says, whatever that is: what is near it.
    #[inline]
    fn tail_hint(&self) -> u64 {
        self.word(TAIL).load(Ordering::SeqCst)
    }

    #[inline]
    fn load_tail(&self) -> Result<u64> {
        let tail = self.tail_hint();
        if tail < NO_POSITION { Ok(tail) } else { Err(no_tail(tail)) }
    }

    /// P2 to P4: the first position that is not published, and its word.
    #[inline]
    pub(in crate::protocol) fn find_tail(&self) -> Result<(u64, PostWord)> {
        let mut stale = None;
        loop {
            let tail = self.load_tail()?;
            let post = self.load_post(tail);
            match post.position(tail) {
                None => return Ok((tail, post)),
                Some(position) if position < tail => return Ok((tail, post)),
                Some(position) if position == tail => self.advance(tail),
                // The tail was another by then, or the word is nobody's.
                Some(_) if stale.replace(tail) == Some(tail) => {
                    return Err(Error::corrupt(format!("a topic's tail {tail} is at {post:?}")));
                }
                Some(_) => {}
            }
        }
    }

    /// P9: a position that is published, whoever did it.
    #[inline]
    fn advance(&self, tail: u64) {
        let word = self.word(TAIL);
        let _ = word.compare_exchange(tail, tail + 1, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Whether publishers wait for subscribers.
    #[inline]
    pub(crate) fn holds_back(&self) -> bool {
        self.place.shape.cursors != 0
    }

    /// Whether a subscriber that is waited for wants that position, or one before it.
    fn is_wanted(&self, position: u64) -> bool {
        (0..self.place.shape.cursors).any(|cursor| {
            let cursor = self.load_cursor(cursor);
            !cursor.is_free() && cursor.position() <= position
        })
    }

    /// P5: whether what is published at that position waits for a subscriber.
    fn is_held_back(&self, position: u64) -> bool {
        position
            .checked_sub(self.place.shape.capacity.into())
            .is_some_and(|last| self.is_wanted(last))
    }

    /// The slot's word of a message that is there, which a word of the ring names.
    #[inline]
    fn message(&self, post: PostWord, position: u64) -> Option<(&'a Slot, SlotWord)> {
        let slot = self.actor.segment.slot(post.slot())?;
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        (word.is(State::Ready) && self.is_of(slot, word, position)).then_some((slot, word))
    }

    /// Whether a READY slot has the topic's message of that position: for the one who has pinned it, or changes no other word
    /// than that.
    #[inline]
    fn is_of(&self, slot: &Slot, word: SlotWord, position: u64) -> bool {
        word.has(VERSION)
            && word.has(MESSAGE)
            && slot.place.load(Ordering::Relaxed) == Place::Variable(self.place.id).to_word()
            && slot.number() == position
    }

    /// P7, D4: evicts what a word of the ring names; whether it did.
    fn evict_post(&self, post: PostWord, near: u64) -> bool {
        let message = post.position(near).and_then(|position| self.message(post, position));
        message.is_some_and(|(slot, word)| {
            self.actor.retire_if(post.slot(), slot, |found| found == word)
        })
    }
}

impl<'a> AtChannel<'a> for Topic<'a> {
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
        let shape = &self.place.shape;
        let words = &self.words[shape.producers()..][..shape.participants as usize];
        Producers { segment: self.actor.segment, words, opened: self.word(OPENED) }
    }
}

#[cold]
fn no_tail(tail: u64) -> Error {
    Error::corrupt(format!(
        "a topic's tail is {tail}, and no message has a position from {NO_POSITION} on"
    ))
}
