//! What queues and topics have in common: a slot in state CHANNEL whose block is one of the two, its bells, who produces, its
//! end.
//!
//! ```text
//! produce: producers[me] + 1 · OPENED + 1
//! close:   producers[me] - 1 · was it the last? ring ITEMS
//! ring:    SLEEPERS in the bell? CAS: one ring more, SLEEPERS out · wake all
//! sleep:   Z1 SLEEPERS into the bell (fetch_or) · Z2 look once more · Z3 sleep while the bell is as at Z1
//! evict:   E0 pin · E1 CAS CHANNEL → RETIRED · E2 ring both bells, whatever they hold · E3 unpin
//! reclaim: C6 evict every message that the block names · CHANNEL out of the word · return the block
//! ```

use crate::actor::{Actor, Refusal};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::layout::block::BlockRef;
use crate::layout::participant::ParticipantId;
use crate::layout::queue::{ONE_RING, SLEEPERS};
use crate::layout::slot::{BOUND, CHANNEL, ObjectId, Slot, SlotWord, State};
use crate::layout::topic::{KIND, TOPIC};
use crate::protocol::evict::retired;
use crate::protocol::named::Noun;
use crate::protocol::pin::Pin;
use crate::protocol::queue::Queue;
use crate::protocol::topic::Topic;
use crate::segment::Segment;
use crate::sync::{AtomicU64, Ordering};
use crate::sys::futex;

/// A pinned channel, at which a participant is at work.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Channel<'a> {
    Queue(Queue<'a>),
    Topic(Topic<'a>),
}

/// What is rung when something has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ChannelBell {
    /// There may be something to receive, or nothing ever any more.
    Items,
    /// There may be room: an envelope is empty; a cursor has moved, or is gone.
    Room,
}

/// What is done alike at a queue and at a topic.
pub(crate) trait AtChannel<'a> {
    /// Who is at work.
    fn actor(&self) -> &Actor<'a>;
    /// The channel's, which is pinned.
    fn slot(&self) -> &'a Slot;
    fn id(&self) -> ObjectId;
    fn bell(&self, bell: ChannelBell) -> &'a AtomicU64;
    fn producers(&self) -> Producers<'a>;

    /// Whether it was not evicted.
    #[inline]
    fn is_there(&self) -> bool {
        SlotWord(self.slot().word.load(Ordering::SeqCst)).is_in(State::Channel, self.id())
    }

    /// Refuses one that was evicted.
    #[inline]
    fn expect_there(&self) -> Result<()> {
        if self.is_there() { Ok(()) } else { Err(self.gone()) }
    }

    #[cold]
    fn gone(&self) -> Error {
        Error::NotFound { key: self.actor().key(self.id()) }
    }

    /// Counts a producer of this participant's.
    fn add_producer(&self) {
        self.producers().add(self.actor().me);
    }

    /// Counts one down; the last one's end is the end of the stream.
    fn remove_producer(&self) {
        // Whoever waits for the end sees that nobody produces, or is woken.
        if self.producers().remove(self.actor().me) {
            self.ring(ChannelBell::Items);
        }
    }

    /// Whether somebody produced, and nobody does any more: then what a look finds from now on is all there is.
    fn has_no_producer(&self) -> bool {
        self.producers().are_none_left()
    }

    /// Wakes those who sleep on a bell, if there are some.
    #[inline]
    fn ring(&self, bell: ChannelBell) {
        ring(self.bell(bell));
    }

    /// Wakes everybody, whatever the bells hold.
    fn ring_all(&self) {
        for bell in [ChannelBell::Items, ChannelBell::Room] {
            ring_whatever(self.bell(bell));
        }
    }

    /// Z1: what to sleep on, and as long as it is what.
    fn listen(&self, bell: ChannelBell) -> (&'a AtomicU64, u32) {
        listen(self.bell(bell))
    }
}

impl Channel<'_> {
    pub(super) fn ring_all(&self) {
        match self {
            Self::Queue(queue) => queue.ring_all(),
            Self::Topic(topic) => topic.ring_all(),
        }
    }
}

impl<'a> Actor<'a> {
    /// A channel of so many bytes, and so many words, the first of which are those, and all others 0.
    pub(super) fn make_channel(
        &self,
        fingerprint: Fingerprint,
        (bytes, count): (u64, u64),
        head: &[u64],
        word: impl Fn(SlotWord) -> SlotWord,
    ) -> Result<ObjectId, Refusal> {
        let writing = self.start_writing(bytes)?;
        self.commit_block(writing.claimed.index, writing.block)?;
        let words = self.segment.channel_words(writing.block, count)?;
        for (at, word) in words.iter().enumerate() {
            word.store(head.get(at).copied().unwrap_or_default(), Ordering::Relaxed);
        }
        let channel =
            SlotWord::new(writing.claimed.word.generation(), State::Channel).with(CHANNEL);
        Ok(writing.publish_as(word(channel), bytes, fingerprint))
    }

    /// The word of a channel that is made for a name, which it has not yet.
    pub(super) fn naming_channel(&self, word: SlotWord) -> SlotWord {
        word.owned_by(self.me).with(BOUND)
    }

    /// Pins a channel; `None` when it is gone.
    pub(crate) fn pin_channel(&self, id: ObjectId) -> Result<Option<(Pin<'a>, Channel<'a>)>> {
        let Some(pin) = self.pin_in(State::Channel, id)? else { return Ok(None) };
        let channel = self.channel_at(id, pin.slot)?;
        Ok(Some((pin, channel)))
    }

    /// An error of a pin, which does not know the region, with the key of what was to be pinned.
    #[cold]
    pub(super) fn with_key(&self, error: Error, id: ObjectId) -> Error {
        match error {
            Error::TooManyViews { .. } => Error::TooManyViews { key: self.key(id) },
            other => other,
        }
    }

    /// A channel that the caller has pinned, or is reclaiming.
    pub(super) fn channel_at<'s>(&self, id: ObjectId, slot: &'s Slot) -> Result<Channel<'s>>
    where
        'a: 's,
    {
        let actor: Actor<'s> = *self;
        match actor.noun_of_channel(slot)? {
            Noun::Topic => {
                actor.at_topic(actor.place_of_topic(id, slot)?, slot).map(Channel::Topic)
            }
            _ => actor.at_queue(actor.place_of_queue(id, slot)?, slot).map(Channel::Queue),
        }
    }

    /// What a channel is that the caller has pinned, or is reclaiming.
    pub(super) fn noun_of_channel(&self, slot: &Slot) -> Result<Noun> {
        let block = BlockRef(slot.block.load(Ordering::Relaxed));
        let words = self.segment.channel_words(block, KIND as u64 + 1)?;
        let is_topic = words[KIND].load(Ordering::Relaxed) & TOPIC != 0;
        Ok(if is_topic { Noun::Topic } else { Noun::Queue })
    }

    /// E1 for a channel: its messages go with it, once nobody has a handle of it.
    #[cold]
    pub(crate) fn evict_channel(&self, id: ObjectId) -> bool {
        // Pinned, for its bells.
        let Ok(Some((pin, channel))) = self.pin_channel(id) else { return false };
        let mut word = SlotWord(pin.slot.word.load(Ordering::SeqCst));
        while word.is_in(State::Channel, id) {
            let next = retired(word);
            match pin.slot.word.compare_exchange(word.0, next.0, Ordering::SeqCst, Ordering::SeqCst)
            {
                Ok(_) => {
                    channel.ring_all();
                    return true;
                }
                Err(found) => word = SlotWord(found),
            }
        }
        false
    }

    /// E2, for a dead one who has a channel pinned: was it killed between E1 and E2, nobody was told.
    pub(super) fn ring_retired(&self, index: u32, slot: &Slot) {
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        if word.is(State::Retired)
            && word.is_channel()
            && let Ok(channel) = self.channel_at(ObjectId::new(index, word.generation()), slot)
        {
            channel.ring_all();
        }
    }

    /// C6 for a channel that is RECLAIMING by this participant: evicts its messages, and takes CHANNEL out of the word. From
    /// then on the block may be another's.
    #[cold]
    pub(crate) fn evict_messages(&self, index: u32, slot: &Slot, word: SlotWord) -> SlotWord {
        match self.channel_at(ObjectId::new(index, word.generation()), slot) {
            Ok(Channel::Queue(queue)) => queue.evict_objects(),
            Ok(Channel::Topic(topic)) => topic.evict_all(),
            // Of one that is corrupt, nothing is believed.
            Err(_) => {}
        }
        let bare = word.without(CHANNEL);
        // Who finds CHANNEL evicts the messages again; so it goes before the block does.
        slot.word.store(bare.0, Ordering::SeqCst);
        bare
    }

    /// Finishes or undoes what a dead participant did to a channel. Before its counts are cleared.
    #[inline]
    pub(crate) fn reap_channel(&self, index: u32, slot: &Slot, dead: ParticipantId) {
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        if word.is(State::Channel) {
            self.reap_channel_of(ObjectId::new(index, word.generation()), slot, dead);
        } else {
            self.reap_message(index, slot, dead);
        }
    }

    #[cold]
    fn reap_channel_of(&self, id: ObjectId, slot: &Slot, dead: ParticipantId) {
        let pin = self.pin_in(State::Channel, id);
        // `Err`: the dead has pinned it, as often as can be counted.
        if matches!(pin, Ok(None)) {
            return;
        }
        match self.channel_at(id, slot) {
            Ok(Channel::Queue(queue)) => queue.reap(dead),
            Ok(Channel::Topic(topic)) => topic.reap(dead),
            // Of one that is corrupt, nothing is believed.
            Err(_) => {}
        }
    }
}

/// Who produces for a channel.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Producers<'a> {
    pub(super) segment: &'a Segment,
    /// A word per participant, written by it and by its reaper.
    pub(super) words: &'a [AtomicU64],
    pub(super) opened: &'a AtomicU64,
}

impl<'a> Producers<'a> {
    pub(super) fn of(&self, participant: ParticipantId) -> &'a AtomicU64 {
        &self.words[(participant.index() as usize).min(self.words.len() - 1)]
    }

    pub(super) fn add(&self, me: ParticipantId) {
        self.of(me).fetch_add(1, Ordering::SeqCst);
        self.opened.fetch_add(1, Ordering::SeqCst);
    }

    /// Whether it was the participant's last.
    pub(super) fn remove(&self, me: ParticipantId) -> bool {
        self.of(me).fetch_sub(1, Ordering::SeqCst) == 1
    }

    pub(super) fn produces(&self, participant: ParticipantId) -> bool {
        self.of(participant).load(Ordering::SeqCst) != 0
    }

    /// Whether somebody produced, and nobody does any more: then what a look finds from now on is all there is.
    pub(super) fn are_none_left(&self) -> bool {
        let opened = || self.opened.load(Ordering::SeqCst);
        let mut before = opened();
        while before != 0 && !self.segment.participants().any(|p| self.produces(p)) {
            // Who began meanwhile may have been overlooked, and have let another end.
            match opened() {
                now if now == before => return true,
                now => before = now,
            }
        }
        false
    }
}

/// Wakes those who sleep on a bell, if there are some.
#[inline]
fn ring(bell: &AtomicU64) {
    let found = bell.load(Ordering::SeqCst);
    if found & SLEEPERS != 0 {
        ring_sleepers(bell, found);
    }
}

#[cold]
fn ring_sleepers(bell: &AtomicU64, found: u64) {
    let mut found = found;
    while found & SLEEPERS != 0 {
        let rung = found.wrapping_add(ONE_RING) & !SLEEPERS;
        match bell.compare_exchange(found, rung, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return futex::wake_low(bell, u32::MAX >> 1),
            Err(other) => found = other,
        }
    }
}

/// Wakes everybody, whatever the bell holds: somebody may have been killed between a ring and its wake.
fn ring_whatever(bell: &AtomicU64) {
    bell.fetch_add(ONE_RING, Ordering::SeqCst);
    futex::wake_low(bell, u32::MAX >> 1);
}

/// Z1: what to sleep on, and as long as it is what.
pub(crate) fn listen(bell: &AtomicU64) -> (&AtomicU64, u32) {
    (bell, (bell.fetch_or(SLEEPERS, Ordering::SeqCst) | SLEEPERS) as u32)
}
