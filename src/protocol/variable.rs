//! Variables: a slot that names the current one of many versions.
//!
//! ```text
//! read: G1 load the variable's word, then cur · G2 pin what it names · G3 a version of this variable? else from G1
//! own:  new, with BOUND and my tag, and set: nobody knows of it before
//! set:  S1 claim slot n, bytes · S0 pin the variable · S2 old = cur, its number · S2o NAMING? O4; bound: to me? · S3 n.place, n.number = old's + 1,
//!       n.link = old or EMPTY, pin n, READY(me) · S4 CAS cur old -> n; lost: from S2, with another link · S5 evict old ·
//!       S5c change + 1, wake · S6 n.link = none · S7 unpin n, then the variable
//! wait: T1 c = change · T2 read; not newer? · T3 CAS WAITERS in · T4 sleep while change is c; or with the bell listened to before
//!       T1: T5 change still c? · sleep on the bell
//! open: by name, see `named`
//! ```
//!
//! Killed with the link set: the reaper, before it clears the dead one's count of n, evicts `old` unless it is current, and
//! `n` unless it is current; where the variable is gone, nothing is.

use crate::actor::{Actor, Refusal};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{
    BOUND, Link, NAMING, ObjectId, Place, Slot, SlotWord, State, VARIABLE, VERSION, WAITERS,
};
use crate::protocol::evict::retired;
use crate::protocol::named::{Kind, Noun};
use crate::protocol::pin::Pin;
use crate::protocol::promise::announced;
use crate::protocol::write::Writing;
use crate::sync::Ordering;
use crate::writer::Fill;

/// A version of a variable, pinned.
#[derive(Debug)]
pub(crate) struct Version<'a> {
    pub(crate) pin: Pin<'a>,
    /// How many there have been with it.
    pub(crate) number: u64,
}

/// What a look at a variable found.
#[derive(Debug)]
pub(crate) enum Current<'a> {
    /// It was evicted, or never was one.
    Gone,
    /// It was never set.
    Empty,
    /// Its current version.
    Version(Version<'a>),
}

/// What a look for a newer version found.
#[derive(Debug)]
pub(crate) enum Awaited<'a> {
    /// The variable was evicted, or never was one.
    Gone,
    /// A newer one.
    Version(Version<'a>),
    /// None yet: sleep on the slot's change word as long as it is this.
    Unchanged(&'a Slot, u32),
}

/// A new version that is not current yet.
struct Candidate<'a> {
    pin: Pin<'a>,
    id: ObjectId,
}

/// Whether a pinned object is a version of that variable.
#[inline(always)]
fn is_version_of(variable: ObjectId, slot: &Slot) -> bool {
    SlotWord(slot.word.load(Ordering::SeqCst)).has(VERSION)
        && slot.place.load(Ordering::SeqCst) == Place::Variable(variable).to_word()
}

impl<'a> Actor<'a> {
    /// A variable without a version.
    pub(crate) fn new_variable(&self, fingerprint: Fingerprint) -> Result<ObjectId, Refusal> {
        self.make_variable(fingerprint, |word| word)
    }

    /// The same, bound to this participant from its first instant.
    pub(crate) fn new_bound_variable(&self, fingerprint: Fingerprint) -> Result<ObjectId, Refusal> {
        self.make_variable(fingerprint, |word| word.owned_by(self.me).with(BOUND))
    }

    fn make_variable(
        &self,
        fingerprint: Fingerprint,
        word: impl Fn(SlotWord) -> SlotWord,
    ) -> Result<ObjectId, Refusal> {
        let claimed = self.claim_slot()?;
        // Claiming has left no current version.
        // Release: as where an object is published.
        claimed.slot.len.store(0, Ordering::Release);
        claimed.slot.fingerprint.store(fingerprint.get(), Ordering::Release);
        let variable = SlotWord::new(claimed.word.generation(), State::Variable).with(VARIABLE);
        // Release: pairs with the SeqCst loads of the word in `variable` and `pins::pin_in`.
        claimed.slot.word.store(word(variable).0, Ordering::Release);
        Ok(claimed.id())
    }

    /// The variable a name is bound to; made, and bound, if it is bound to nothing.
    pub(crate) fn open_variable(
        &self,
        name: &str,
        fingerprint: Fingerprint,
    ) -> Result<ObjectId, Refusal> {
        let kind = Kind { noun: Noun::Variable, fingerprint };
        self.open_named(name, kind, || {
            self.make_variable(fingerprint, |word| word.owned_by(self.me).with(BOUND | NAMING))
        })
    }

    /// The slot of a variable that is there.
    #[inline(always)]
    fn variable(&self, id: ObjectId) -> Option<&'a Slot> {
        let slot = self.segment.slot(id.slot())?;
        SlotWord(slot.word.load(Ordering::SeqCst)).is_in(State::Variable, id).then_some(slot)
    }

    /// Refuses a variable that is gone, or has values of another type.
    pub(crate) fn expect_type(&self, id: ObjectId, expected: Fingerprint) -> Result<()> {
        self.expect_kind(id, Kind { noun: Noun::Variable, fingerprint: expected })
    }

    /// The current version.
    #[inline(always)]
    pub(crate) fn read_variable(&self, id: ObjectId) -> Result<Current<'a>> {
        if let Some(slot) = self.variable(id)
            && let Some(current) = ObjectId::from_word(slot.block.load(Ordering::SeqCst))
            && let Some(pin) = self.pin(current)?
            && is_version_of(id, pin.slot)
        {
            let number = pin.slot.number();
            return Ok(Current::Version(Version { pin, number }));
        }
        self.read_variable_again(id)
    }

    /// When it was being replaced, was never set, or is gone.
    #[cold]
    fn read_variable_again(&self, id: ObjectId) -> Result<Current<'a>> {
        let mut missed = None;
        loop {
            let Some(slot) = self.variable(id) else { return Ok(Current::Gone) };
            let word = slot.block.load(Ordering::SeqCst);
            let Some(current) = ObjectId::from_word(word) else {
                let is_there = self.variable(id).is_some();
                return Ok(if is_there { Current::Empty } else { Current::Gone });
            };
            // The word may have been that of whatever stands in the slot by now.
            match self.pin(current)?.filter(|pin| is_version_of(id, pin.slot)) {
                Some(pin) => {
                    let number = pin.slot.number();
                    return Ok(Current::Version(Version { pin, number }));
                }
                // A version is evicted only after the word names another one, or the variable is gone.
                None if missed.replace(word) == Some(word) && self.variable(id).is_some() => {
                    let what = format!("variable {id:?} names {word:#x}, which is not READY");
                    return Err(Error::corrupt(what));
                }
                None => {}
            }
        }
    }

    /// Gives a variable a new version, which `fill` writes, if the number of the current one is the one wanted (0: none);
    /// the number of the new one.
    pub(crate) fn set_variable(
        &self,
        (id, wanted): (ObjectId, Option<u64>),
        (guess, fingerprint): (u64, Fingerprint),
        fill: &mut Fill<'_>,
    ) -> Result<u64, Refusal> {
        self.expect_type(id, fingerprint)?;
        if let Some(slot) = self.variable(id) {
            self.predecessor(id, slot, wanted)?;
        }
        // What is written first is pinned by nobody: a child that `fill` forks has nothing to give back.
        let replaced = self.write_with(guess, fill, |writing, len| {
            self.replace_version((id, wanted), writing, (len, fingerprint))
        });
        Ok(replaced??)
    }

    /// S2: what a new version replaces, and its number.
    fn predecessor(
        &self,
        id: ObjectId,
        slot: &Slot,
        wanted: Option<u64>,
    ) -> Result<(Option<ObjectId>, u64)> {
        loop {
            let word = slot.block.load(Ordering::SeqCst);
            let old = ObjectId::from_word(word);
            // Perhaps another's by now: then S4 fails, or the word is another.
            let number = old.and_then(|old| self.segment.slot(old.slot())).map_or(0, Slot::number);
            match wanted {
                Some(wanted) if wanted != number => {
                    if slot.block.load(Ordering::SeqCst) == word {
                        let key = self.key(id);
                        return Err(Error::Conflict { key, expected: wanted, found: number });
                    }
                }
                _ => return Ok((old, number)),
            }
        }
    }

    /// S2 and S2o. What is to be replaced is read before it is asked who may: who hands the variable over between has set it
    /// before, or not at all, for the next owner's set makes S4 fail.
    fn replaceable(
        &self,
        id: ObjectId,
        slot: &Slot,
        wanted: Option<u64>,
    ) -> Result<(Option<ObjectId>, u64)> {
        let found = self.predecessor(id, slot, wanted)?;
        if !self.keep_named(id, State::Variable) {
            return Err(Error::NotFound { key: self.key(id) });
        }
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        // Once it is evicted, the word says no more whose it was.
        if !word.is_in(State::Variable, id) {
            return Err(Error::NotFound { key: self.key(id) });
        }
        if word.has(BOUND) && !word.is_bound_to(self.me) {
            return Err(Error::NotOwner { token: "cell" });
        }
        Ok(found)
    }

    /// S0 and S2 to S7.
    fn replace_version(
        &self,
        (id, wanted): (ObjectId, Option<u64>),
        writing: Writing<'a>,
        (len, fingerprint): (u64, Fingerprint),
    ) -> Result<u64> {
        let gone = || Error::NotFound { key: self.key(id) };
        let variable = self.pin_variable(id)?.ok_or_else(gone)?;
        let (mut old, number) = self.replaceable(id, variable.slot, wanted)?;
        let mut number = number + 1;
        let (word, slot) = (writing.claimed.word, writing.claimed.slot);
        slot.place.store(Place::Variable(id).to_word(), Ordering::Relaxed);
        slot.set_number(number);
        // Release: a reaper that still takes the slot for an earlier version sees with the link that it is not.
        slot.link.store(Link::replacing(old).0, Ordering::Release);
        let pin = self.pin_own(writing.claimed.id(), slot)?;
        let ready = SlotWord::new(word.generation(), State::Ready).owned_by(self.me).with(VERSION);
        let new = Candidate { pin, id: writing.publish_as(ready, len, fingerprint) };
        while !self.swap(variable.slot, old, new.id) {
            match self.replaceable(id, variable.slot, wanted) {
                Ok((predecessor, found)) => (old, number) = (predecessor, found + 1),
                Err(error) => {
                    self.evict_version(new.id);
                    new.pin.slot.link.store(Link::NONE.0, Ordering::SeqCst);
                    return Err(error);
                }
            }
            slot.set_number(number);
            slot.link.store(Link::replacing(old).0, Ordering::SeqCst);
        }
        if let Some(old) = old {
            self.evict_version(old);
        }
        self.announce_change(id.slot(), variable.slot);
        new.pin.slot.link.store(Link::NONE.0, Ordering::SeqCst);
        Ok(number)
    }

    /// S4.
    fn swap(&self, variable: &Slot, old: Option<ObjectId>, new: ObjectId) -> bool {
        let from = old.map_or(0, |old| old.0);
        let current = &variable.block;
        current.compare_exchange(from, new.0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// S5c. The variable is pinned, or RECLAIMING by this participant: a slot used again may hold a number there.
    pub(super) fn announce_change(&self, index: u32, variable: &Slot) {
        variable.extra.fetch_add(1, Ordering::SeqCst);
        if SlotWord(variable.word.load(Ordering::SeqCst)).has(WAITERS) {
            self.wake_variable(index, variable);
        }
    }

    /// Whether a variable has no version with a higher number yet; whoever gives it one rings its bell, for a sleeper is
    /// announced.
    pub(crate) fn is_unchanged(&self, id: ObjectId, seen: u64) -> bool {
        let Some(slot) = self.segment.slot(id.slot()) else { return false };
        loop {
            let change = slot.extra.load(Ordering::SeqCst);
            let current = slot.block.load(Ordering::SeqCst);
            let number = ObjectId::from_word(current)
                .and_then(|current| self.segment.slot(current.slot()))
                .map_or(0, Slot::number);
            // The number was that of the current version if it is still the current one.
            let is_newer = number > seen && slot.block.load(Ordering::SeqCst) == current;
            let word = SlotWord(slot.word.load(Ordering::SeqCst));
            if is_newer || !word.is_in(State::Variable, id) {
                return false;
            }
            if number <= seen
                && announced(slot, word).is_some()
                && slot.extra.load(Ordering::SeqCst) == change
            {
                return true;
            }
        }
    }

    /// Looks for a version with a higher number, announcing a sleeper when there is none.
    pub(crate) fn look_for_change(&self, id: ObjectId, seen: u64) -> Result<Awaited<'a>> {
        let Some(slot) = self.segment.slot(id.slot()) else { return Ok(Awaited::Gone) };
        loop {
            let change = slot.extra.load(Ordering::SeqCst) as u32;
            match self.read_variable(id)? {
                Current::Gone => return Ok(Awaited::Gone),
                Current::Version(version) if version.number > seen => {
                    return Ok(Awaited::Version(version));
                }
                Current::Empty | Current::Version(_) => {}
            }
            let word = SlotWord(slot.word.load(Ordering::SeqCst));
            if !word.is_in(State::Variable, id) {
                return Ok(Awaited::Gone);
            }
            if announced(slot, word).is_some() {
                return Ok(Awaited::Unchanged(slot, change));
            }
        }
    }

    /// E1 for a variable: its last version goes with it, once nobody is setting it any more.
    #[cold]
    pub(crate) fn evict_variable(&self, id: ObjectId) -> bool {
        // Pinned, for its change word.
        let Ok(Some(variable)) = self.pin_variable(id) else { return false };
        let slot = variable.slot;
        let mut word = SlotWord(slot.word.load(Ordering::SeqCst));
        while word.is_in(State::Variable, id) {
            let next = retired(word);
            match slot.word.compare_exchange(word.0, next.0, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    self.announce_change(id.slot(), slot);
                    return true;
                }
                Err(found) => word = SlotWord(found),
            }
        }
        false
    }

    /// C6 for a variable that is RECLAIMING by this participant.
    #[cold]
    pub(crate) fn evict_last_version(&self, index: u32, variable: &Slot) {
        self.announce_change(index, variable);
        if let Some(last) = ObjectId::from_word(variable.block.load(Ordering::SeqCst)) {
            self.evict_version(last);
        }
    }

    /// What a variable names, also while it is RETIRED or RECLAIMING; `None` when it is gone altogether.
    pub(crate) fn current_of(&self, id: ObjectId) -> Option<ObjectId> {
        let slot = self.segment.slot(id.slot())?;
        let is_it = || {
            let word = SlotWord(slot.word.load(Ordering::SeqCst));
            word.is_generation_of(id) && word.has(VARIABLE)
        };
        if !is_it() {
            return None;
        }
        let current = slot.block.load(Ordering::SeqCst);
        // It is that of the variable only if the variable is still there afterwards.
        ObjectId::from_word(current).filter(|_| is_it())
    }

    /// Finishes or undoes the set of a bucket or of a variable that a dead participant left unfinished. Before its counts
    /// are cleared.
    pub(crate) fn reap_version(&self, index: u32, slot: &Slot, dead: ParticipantId) {
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        if !word.has(VERSION)
            || !word.is_owned_by(dead)
            || !matches!(word.state(), Some(State::Ready | State::Retired))
        {
            return;
        }
        let link = Link(slot.link.load(Ordering::SeqCst)).predecessor();
        let place = Place::from_word(slot.place.load(Ordering::SeqCst));
        let (Some(predecessor), Some(place)) = (link, place) else { return };
        let current = match place {
            Place::Bucket(bucket) => {
                ObjectId::from_word(self.segment.name_bucket(bucket).load(Ordering::SeqCst))
            }
            Place::Variable(variable) => self.current_of(variable),
        };
        let version = ObjectId::new(index, word.generation());
        let len = slot.len.load(Ordering::SeqCst);
        if !SlotWord(slot.word.load(Ordering::SeqCst)).is_generation_of(version) {
            // Not pinned by the dead any more, so it is finished; link and place are somebody else's.
            return;
        }
        // A bucket without names holds no slot. Who replaced this version meanwhile evicts it.
        let is_emptied = matches!(place, Place::Bucket(bucket)
            if current == Some(version) && len == 0 && self.clear_bucket(bucket, version));
        for id in [predecessor, Some(version)].into_iter().flatten() {
            if current != Some(id) || is_emptied {
                self.evict_version(id);
            }
        }
        if let Place::Variable(variable) = place
            && let Ok(Some(variable)) = self.pin_variable(variable)
        {
            self.announce_change(variable.id.slot(), variable.slot);
        }
    }
}
