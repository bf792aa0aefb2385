//! The slot: one index entry, one cache line, and the word that says what it is.

use std::fmt;

use crate::key::Key;
use crate::layout::participant::ParticipantId;
use crate::sync::{AtomicU64, Ordering};

/// One index entry. Type-stable: a slot is always a slot.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub(crate) struct Slot {
    /// A [`SlotWord`].
    pub(crate) word: AtomicU64,
    /// A [`crate::layout::block::BlockRef`]: where the bytes are, or will be (the intent). Of a variable: the
    /// [`ObjectId`] of its current version, 0 for none.
    pub(crate) block: AtomicU64,
    /// Bytes of the object.
    pub(crate) len: AtomicU64,
    /// What type they are.
    pub(crate) fingerprint: AtomicU64,
    /// The predecessor of a version whose set is unfinished: a [`Link`]. Of a variable: it goes up with every offer.
    pub(crate) link: AtomicU64,
    /// Of a version: the word it stands in, a [`Place`]. Of a message: its channel, as of a variable.
    pub(crate) place: AtomicU64,
    /// What else its state needs. Of a promise: a [`KeeperWord`]. Of an object that was offered: a number that goes up with
    /// every offer. Of a version: its number. Of a message of a topic: its position, as a number. Those three leave the keeper's
    /// bits 0, so that who comes late with a CAS of a keeper finds none. Of a variable: it goes up when it changed, a futex.
    pub(crate) extra: AtomicU64,
    /// When the lease ends, in nanoseconds of CLOCK_BOOTTIME; 0 for none, or [`EXPIRED`].
    pub(crate) deadline: AtomicU64,
}

impl Slot {
    /// Of a version: how many versions its variable has had with this one. Its own only while it is the current one, or
    /// pinned.
    pub(crate) fn number(&self) -> u64 {
        // Acquire: who has read another version's sees that the variable names another, too.
        self.extra.load(Ordering::Acquire) >> KeeperWord::HANDS_SHIFT
    }

    /// Before the version can become the current one, which carries the number to those who read it.
    pub(crate) fn set_number(&self, number: u64) {
        self.extra.store(number << KeeperWord::HANDS_SHIFT, Ordering::Release);
    }

    /// Where the number of the last offer stands.
    pub(crate) fn offer_of(&self, word: SlotWord) -> &AtomicU64 {
        if word.has(VARIABLE) { &self.link } else { &self.extra }
    }

    /// Of an object or a variable that is pinned and offered: a number that no other offer of it has.
    pub(crate) fn next_offer(&self, word: SlotWord) -> u64 {
        let offer = self.offer_of(word);
        let mut found = offer.load(Ordering::SeqCst);
        loop {
            let next = (found & !KeeperWord::KEEPER).wrapping_add(1 << KeeperWord::HANDS_SHIFT);
            match offer.compare_exchange(found, next, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return next,
                Err(other) => found = other,
            }
        }
    }
}

/// What a slot is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum State {
    /// Reusable.
    Free = 0,
    /// A put or a loan is in progress; nobody else knows the key.
    Writing = 1,
    /// The key is promised.
    Pending = 2,
    /// The promised value is being written.
    Filling = 3,
    /// The value, for ever the same.
    Ready = 4,
    /// The promised value will never come.
    Broken = 5,
    /// Evicted, maybe still pinned.
    Retired = 6,
    /// The block is being returned.
    Reclaiming = 7,
    /// Names the current one of many versions.
    Variable = 8,
    /// Messages between processes: its block is a [queue](crate::layout::queue), or a [topic](crate::layout::topic).
    Channel = 9,
}

impl State {
    const fn from_bits(bits: u64) -> Option<Self> {
        Some(match bits {
            0 => Self::Free,
            1 => Self::Writing,
            2 => Self::Pending,
            3 => Self::Filling,
            4 => Self::Ready,
            5 => Self::Broken,
            6 => Self::Retired,
            7 => Self::Reclaiming,
            8 => Self::Variable,
            9 => Self::Channel,
            _ => return None,
        })
    }
}

/// Somebody may sleep on the word.
pub(crate) const WAITERS: u64 = 1;
/// Evicted while being written: the writer's publication finishes the eviction.
pub(crate) const EVICTED: u64 = 2;
/// Evict when the owner process ends.
pub(crate) const BOUND: u64 = 4;
/// Somebody was told that no value will follow what a dead writer began: FILLING is as good as BROKEN.
pub(crate) const DOOMED: u64 = 8;
/// Of a version: a topic's message, which its owner published or is about to.
pub(crate) const MESSAGE: u64 = DOOMED;
/// Its owner gave it up for whoever adopts it, and answers for it until then. Without an owner: an envelope does.
pub(crate) const OFFERED: u64 = 16;
/// Of a variable: it is bound until it has its name, no longer.
pub(crate) const NAMING: u64 = 32;

/// A deadline that somebody found passed: from then on nobody gets the object, and nobody extends it.
pub(crate) const EXPIRED: u64 = u64::MAX;
/// Of what is no variable: a channel, also when it is RETIRED, and RECLAIMING until its messages are evicted.
pub(crate) const CHANNEL: u64 = NAMING;
/// A variable, also when it is RETIRED or RECLAIMING: `block` is no block.
pub(crate) const VARIABLE: u64 = 64;
/// A version of a bucket or a variable, or a message of a channel: the region's own, which nobody evicts by its key.
pub(crate) const VERSION: u64 = 128;

const FLAGS: u64 = 0xff;
const STATE_SHIFT: u32 = 8;
const STATE: u64 = 0xf << STATE_SHIFT;
const OWNER_SHIFT: u32 = 12;
const OWNER: u64 = 0xfff << OWNER_SHIFT;
const GENERATION_SHIFT: u32 = 24;
const SLOT: u64 = (1 << GENERATION_SHIFT) - 1;
/// A slot whose generation is used up is never claimed again.
pub(crate) const LAST_GENERATION: u64 = (1 << 40) - 1;

/// `generation 40 | owner 12 | state 4 | flags 8`, generation in the high bits; the low half is the futex word.
///
/// The owner is 0 for nobody, else a participant id + 1. All zeros is a free slot of generation 0.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SlotWord(pub(crate) u64);

impl SlotWord {
    #[inline]
    pub(crate) const fn new(generation: u64, state: State) -> Self {
        Self((generation << GENERATION_SHIFT) | ((state as u64) << STATE_SHIFT))
    }

    #[inline]
    pub(crate) const fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }

    /// `None` for a value no participant writes.
    #[inline]
    pub(crate) const fn state(self) -> Option<State> {
        State::from_bits((self.0 & STATE) >> STATE_SHIFT)
    }

    #[inline]
    pub(crate) fn is(self, state: State) -> bool {
        self.0 & STATE == (state as u64) << STATE_SHIFT
    }

    #[inline]
    pub(crate) const fn owner(self) -> Option<ParticipantId> {
        ParticipantId::from_tag(((self.0 & OWNER) >> OWNER_SHIFT) as u32)
    }

    #[inline]
    pub(crate) fn is_owned_by(self, owner: ParticipantId) -> bool {
        (self.0 & OWNER) >> OWNER_SHIFT == u64::from(owner.tag())
    }

    #[inline]
    pub(crate) const fn has(self, flag: u64) -> bool {
        self.0 & flag != 0
    }

    /// Whether it goes with this participant, who has not offered it to another.
    #[inline]
    pub(crate) fn is_bound_to(self, owner: ParticipantId) -> bool {
        self.has(BOUND) && !self.has(OFFERED) && self.is_owned_by(owner)
    }

    /// Whether it goes with an envelope of a queue, which names it, and with no participant.
    pub(crate) fn is_sent(self) -> bool {
        self.0 & (BOUND | OFFERED | OWNER) == BOUND | OFFERED
    }

    /// Whether it is a variable that is bound until it has its name.
    pub(crate) fn is_naming(self) -> bool {
        self.has(VARIABLE) && self.has(NAMING)
    }

    /// Whether it is a channel, or was one whose messages are not evicted yet.
    pub(crate) fn is_channel(self) -> bool {
        !self.has(VARIABLE) && self.has(CHANNEL)
    }

    /// Whether it is a version of a bucket or a variable, which carries its binder's tag for the reaper.
    #[inline]
    pub(crate) fn is_version(self) -> bool {
        self.has(VERSION)
    }

    #[inline]
    pub(crate) const fn with_state(self, state: State) -> Self {
        Self((self.0 & !STATE) | ((state as u64) << STATE_SHIFT))
    }

    #[inline]
    pub(crate) const fn owned_by(self, owner: ParticipantId) -> Self {
        Self((self.0 & !OWNER) | ((owner.tag() as u64) << OWNER_SHIFT))
    }

    #[inline]
    pub(crate) const fn unowned(self) -> Self {
        Self(self.0 & !OWNER)
    }

    #[inline]
    pub(crate) const fn with(self, flag: u64) -> Self {
        Self(self.0 | flag)
    }

    #[inline]
    pub(crate) const fn without(self, flag: u64) -> Self {
        Self(self.0 & !flag)
    }

    /// The free word that follows this generation.
    #[inline]
    pub(crate) const fn next_free(self) -> Self {
        Self::new(self.generation() + 1, State::Free)
    }

    /// Whether this is the generation `id` names, and READY: owner and flags do not matter.
    #[inline]
    pub(crate) fn is_ready(self, id: ObjectId) -> bool {
        self.is_in(State::Ready, id)
    }

    /// Whether this is the generation `id` names, in that state.
    #[inline]
    pub(crate) fn is_in(self, state: State, id: ObjectId) -> bool {
        (self.0 & !(OWNER | FLAGS)) == (id.0 & !SLOT) | ((state as u64) << STATE_SHIFT)
    }

    #[inline]
    pub(crate) const fn is_generation_of(self, id: ObjectId) -> bool {
        self.0 >> GENERATION_SHIFT == id.0 >> GENERATION_SHIFT
    }

    /// The half a futex looks at.
    #[inline]
    pub(crate) const fn futex_half(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Debug for SlotWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SlotWord")
            .field("generation", &self.generation())
            .field("owner", &self.owner())
            .field("state", &self.state())
            .field("waiters", &self.has(WAITERS))
            .field("evicted", &self.has(EVICTED))
            .field("bound", &self.has(BOUND))
            .field("doomed", &self.has(DOOMED))
            .field("offered", &self.has(OFFERED))
            .field("naming", &self.is_naming())
            .field("channel", &self.is_channel())
            .field("variable", &self.has(VARIABLE))
            .field("version", &self.has(VERSION))
            .finish()
    }
}

/// The region's half of a key: `generation 40 | slot 24`. Never zero, because slot 0 is never used.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ObjectId(pub(crate) u64);

impl ObjectId {
    #[inline]
    pub(crate) const fn new(slot: u32, generation: u64) -> Self {
        Self((generation << GENERATION_SHIFT) | slot as u64)
    }

    #[inline]
    pub(crate) const fn slot(self) -> u32 {
        (self.0 & SLOT) as u32
    }

    #[inline]
    pub(crate) const fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }

    /// `None` for the zero that means "no object".
    #[inline]
    pub(crate) const fn from_word(word: u64) -> Option<Self> {
        if word == 0 { None } else { Some(Self(word)) }
    }

    pub(crate) const fn key(self, region: u64) -> Key {
        Key::new(region, self.0)
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} generation {}", self.slot(), self.generation())
    }
}

/// How often a promise may change hands.
pub(crate) const LAST_HANDS: u64 = (1 << 12) - 1;

/// `generation 40 | hands 12 | keeper 12`: who keeps a promise since it was made or adopted. No two keepings have the same
/// word: a token that names one is good for one adoption, whoever has the keeper's number by then.
///
/// The keeper is 0 for nobody, else a participant id + 1. All zeros is nobody.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeeperWord(pub(crate) u64);

impl KeeperWord {
    pub(crate) const NOBODY: Self = Self(0);
    pub(crate) const HANDS_SHIFT: u32 = 12;
    pub(crate) const KEEPER: u64 = (1 << Self::HANDS_SHIFT) - 1;

    /// Of a promise just made.
    pub(crate) const fn new(generation: u64, keeper: ParticipantId) -> Self {
        Self((generation << GENERATION_SHIFT) | keeper.tag() as u64)
    }

    pub(crate) const fn generation(self) -> u64 {
        self.0 >> GENERATION_SHIFT
    }

    pub(crate) const fn hands(self) -> u64 {
        (self.0 >> Self::HANDS_SHIFT) & LAST_HANDS
    }

    pub(crate) const fn keeper(self) -> Option<ParticipantId> {
        ParticipantId::from_tag((self.0 & Self::KEEPER) as u32)
    }

    pub(crate) fn is_kept_by(self, keeper: ParticipantId) -> bool {
        self.0 & Self::KEEPER == u64::from(keeper.tag())
    }

    /// The next keeping, by another; `None` when the promise has changed hands too often.
    pub(crate) fn adopted_by(self, keeper: ParticipantId) -> Option<Self> {
        let next = Self::new(self.generation(), keeper).0;
        (self.hands() < LAST_HANDS)
            .then_some(Self(next | ((self.hands() + 1) << Self::HANDS_SHIFT)))
    }
}

impl fmt::Debug for KeeperWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeeperWord")
            .field("generation", &self.generation())
            .field("hands", &self.hands())
            .field("keeper", &self.keeper())
            .finish()
    }
}

/// The intent of an unfinished set: 0 for none, 1 for "the word was empty", else the predecessor's [`ObjectId`].
///
/// Slot 1 of generation 0 is the object id 1, so ids are stored as `id + 1`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Link(pub(crate) u64);

impl Link {
    pub(crate) const NONE: Self = Self(0);

    pub(crate) const fn replacing(predecessor: Option<ObjectId>) -> Self {
        match predecessor {
            None => Self(1),
            Some(id) => Self(id.0.wrapping_add(1)),
        }
    }

    /// `None`: no intent; `Some(None)`: the word was empty.
    pub(crate) const fn predecessor(self) -> Option<Option<ObjectId>> {
        match self.0 {
            0 => None,
            1 => Some(None),
            tagged => Some(ObjectId::from_word(tagged - 1)),
        }
    }
}

/// The word a version stands in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// A name bucket.
    Bucket(u64),
    /// A variable, of a generation that may be over; of a message, its channel.
    Variable(ObjectId),
}

/// More than there are buckets.
const PLACES_OF_BUCKETS: u64 = 1 << 16;

impl Place {
    /// 0 is none; then the buckets; then the variables.
    pub(crate) const fn to_word(self) -> u64 {
        match self {
            Self::Bucket(bucket) => bucket + 1,
            Self::Variable(id) => id.0.wrapping_add(PLACES_OF_BUCKETS),
        }
    }

    pub(crate) const fn from_word(word: u64) -> Option<Self> {
        match word {
            0 => None,
            1..=PLACES_OF_BUCKETS => Some(Self::Bucket(word - 1)),
            _ => Some(Self::Variable(ObjectId(word - PLACES_OF_BUCKETS))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_slot_word_comes_back_as_it_went_in() {
        let owner = ParticipantId::new(4094);
        let word = SlotWord::new(LAST_GENERATION, State::Filling)
            .owned_by(owner)
            .with(WAITERS)
            .with(BOUND);
        assert_eq!(
            (word.generation(), word.state(), word.owner()),
            (LAST_GENERATION, Some(State::Filling), Some(owner))
        );
        assert!(word.has(WAITERS) && word.has(BOUND) && !word.has(EVICTED));
        assert_eq!(word.unowned().owner(), None);
        assert_eq!(word.with_state(State::Ready).state(), Some(State::Ready));
        assert_eq!(SlotWord(0).state(), Some(State::Free));
    }

    #[test]
    fn ready_is_recognised_by_generation_whatever_owner_and_flags_say() {
        let id = ObjectId::new(77, 5);
        let ready = SlotWord::new(5, State::Ready).owned_by(ParticipantId::new(3)).with(WAITERS);
        assert!(ready.is_ready(id));
        assert!(!SlotWord::new(6, State::Ready).is_ready(id));
        assert!(!SlotWord::new(5, State::Retired).is_ready(id));
    }

    #[test]
    fn every_keeping_of_a_promise_has_a_word_of_its_own_until_the_last() {
        let (first, second) = (ParticipantId::new(0), ParticipantId::new(4094));
        let mut word = KeeperWord::new(LAST_GENERATION, first);
        assert_eq!((word.hands(), word.keeper()), (0, Some(first)));
        for hands in 1..=LAST_HANDS {
            let keeper = if hands % 2 == 0 { first } else { second };
            word = word.adopted_by(keeper).unwrap();
            assert!(word.is_kept_by(keeper));
            assert_eq!((word.generation(), word.hands()), (LAST_GENERATION, hands));
        }
        assert_eq!(word.adopted_by(first), None);
        assert_eq!(KeeperWord::NOBODY.keeper(), None);
    }

    #[test]
    fn places_of_buckets_and_of_variables_are_told_apart() {
        assert_eq!(Place::from_word(0), None);
        for place in [
            Place::Bucket(0),
            Place::Bucket(1023),
            Place::Variable(ObjectId::new(1, 0)),
            Place::Variable(ObjectId::new((1 << 24) - 1, LAST_GENERATION - 1)),
        ] {
            assert_eq!(Place::from_word(place.to_word()), Some(place));
        }
    }

    #[test]
    fn an_empty_predecessor_is_not_the_absence_of_an_intent() {
        assert_eq!(Link::NONE.predecessor(), None);
        assert_eq!(Link::replacing(None).predecessor(), Some(None));
        let first = ObjectId::new(1, 0);
        assert_eq!(Link::replacing(Some(first)).predecessor(), Some(Some(first)));
    }
}
