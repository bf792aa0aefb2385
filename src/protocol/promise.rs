//! Promises: keys handed out before their value exists.
//!
//! ```text
//! reserve: CAS FREE -> WRITING(me) · keeper = me · word = PENDING
//! set:     F1 CAS PENDING -> FILLING(me) · F2 block, bytes · F3 CAS loop -> READY, or RETIRED if EVICTED came in,
//!          BROKEN if DOOMED did · wake · reclaim
//! abort:   return the block · CAS loop -> PENDING (RETIRED if EVICTED, BROKEN if DOOMED) · keeper NONE? CAS PENDING ->
//!          BROKEN · wake
//! fail:    keeper is me · CAS PENDING -> BROKEN · wake; with a reason: keeper is me · set, to an object that says it
//! forsake: fail; FILLING, and the keeper is me: CAS DOOMED in · wake
//! wait:    READY: pin · BROKEN, DOOMED: error · other generation, RETIRED, EVICTED: gone · else CAS WAITERS in, sleep ·
//!          keeper dead, and still the keeper? CAS PENDING -> BROKEN, or, FILLING by a dead one, DOOMED in · wake
//! ```
//!
//! DOOMED is what makes an answer final that is given before the writer, or its reaper, is done: the writer, another under the
//! same id, or one who finds the promise PENDING in between, would else give it a value.
//!
//! Killed between any two: the reaper clears the keeper, turns FILLING(dead) into PENDING, and PENDING without a keeper
//! into BROKEN, and wakes every slot with WAITERS, so nobody sleeps on a promise whose promiser is dead.

use crate::actor::{Actor, Refusal};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::index::ClaimedSlot;
use crate::key::Key;
use crate::layout::block::BlockRef;
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{
    DOOMED, EVICTED, KeeperWord, Link, ObjectId, Slot, SlotWord, State, WAITERS,
};
use crate::protocol::evict::retired;
use crate::protocol::pin::Pin;
use crate::sync::Ordering;
use crate::writer::Fill;

/// What a look at a promised object found.
#[derive(Debug)]
pub(crate) enum Promised<'a> {
    /// The value.
    Value(Pin<'a>),
    /// It will never come.
    Broken,
    /// It was evicted, or never existed.
    Gone,
    /// Not yet: sleep on the slot's word as long as it is this one.
    Pending(&'a Slot, SlotWord),
}

/// How far a promise is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum PromiseStage {
    /// Nobody gave it an answer.
    Open,
    /// Somebody is about to.
    Filling,
    /// It has one, is broken, or gone.
    Answered,
}

/// The state as promises go: FILLING that is DOOMED is BROKEN.
pub(super) fn state_of(word: SlotWord) -> Option<State> {
    let is_doomed = word.is(State::Filling) && word.has(DOOMED);
    if is_doomed { Some(State::Broken) } else { word.state() }
}

/// Whether somebody owes the slot's promised value, dead or alive.
pub(super) fn is_kept(slot: &Slot) -> bool {
    KeeperWord(slot.extra.load(Ordering::SeqCst)).keeper().is_some()
}

/// What FILLING becomes where `next` is wanted.
fn left(word: SlotWord, next: State) -> SlotWord {
    let after = if word.has(EVICTED) {
        retired(word)
    } else if word.has(DOOMED) {
        word.with_state(State::Broken).without(DOOMED)
    } else {
        word.with_state(next)
    };
    after.unowned()
}

impl<'a> Actor<'a> {
    pub(super) fn key(&self, id: ObjectId) -> Key {
        id.key(self.segment.header().region_id.load(Ordering::Relaxed))
    }

    /// Promises an object.
    pub(crate) fn reserve(&self) -> Result<ObjectId, Refusal> {
        self.reserve_as(|_| ())
    }

    /// Promises an object, whose id is told before it is promised.
    pub(crate) fn reserve_as(&self, tell: impl FnOnce(ObjectId)) -> Result<ObjectId, Refusal> {
        let claimed = self.claim_slot()?;
        tell(claimed.id());
        claimed.slot.block.store(BlockRef::NONE.0, Ordering::Relaxed);
        claimed.slot.link.store(Link::NONE.0, Ordering::Relaxed);
        let kept = KeeperWord::new(claimed.word.generation(), self.me);
        // A swap, and on x86 no more than a store, for models: loom lets a store be overwritten by an adoption before it.
        claimed.slot.extra.swap(kept.0, Ordering::SeqCst);
        claimed
            .slot
            .word
            .store(SlotWord::new(claimed.word.generation(), State::Pending).0, Ordering::SeqCst);
        Ok(claimed.id())
    }

    /// Gives a promised object its value.
    pub(crate) fn set_with(
        &self,
        id: ObjectId,
        (guess, fingerprint): (u64, Fingerprint),
        fill: &mut Fill<'_>,
    ) -> Result<(), Refusal> {
        let filling = self.start_filling(id)?;
        let mut size = guess;
        loop {
            let block = self.claim_block(&filling.claimed, size)?;
            let written = self.fill_block(id.slot(), block, fill)?;
            if written <= block.size() {
                return filling.publish(written, fingerprint).map_err(Refusal::Error);
            }
            self.abandon_block(id.slot(), block);
            filling.claimed.slot.block.store(BlockRef::NONE.0, Ordering::SeqCst);
            size = written;
        }
    }

    fn start_filling(&self, id: ObjectId) -> Result<Filling<'a>> {
        let gone = || Error::NotFound { key: self.key(id) };
        let slot = self.segment.slot(id.slot()).ok_or_else(gone)?;
        let mut word = SlotWord(slot.word.load(Ordering::SeqCst));
        loop {
            if !word.is_generation_of(id) || word.has(EVICTED) {
                return Err(gone());
            }
            match state_of(word) {
                Some(State::Pending) => {}
                Some(State::Filling | State::Ready) => {
                    return Err(Error::AlreadySet { key: self.key(id) });
                }
                Some(State::Broken) => return Err(Error::Broken { key: self.key(id) }),
                _ => return Err(gone()),
            }
            let mine = word.with_state(State::Filling).owned_by(self.me);
            match slot.word.compare_exchange_weak(
                word.0,
                mine.0,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => {
                    let claimed = ClaimedSlot { slot, index: id.slot(), word: mine };
                    return Ok(Filling { actor: *self, forks: self.forks(), claimed });
                }
                Err(found) => word = SlotWord(found),
            }
        }
    }

    /// Says that a promised value will never come. Only who keeps the promise may.
    pub(crate) fn fail(&self, id: ObjectId) -> Result<()> {
        loop {
            let Some(slot) = self.owed(id)? else { return Ok(()) };
            if self.break_promise(id, slot) {
                return Ok(());
            }
            // Somebody was faster: look again at what it is now.
        }
    }

    /// Says that a promised value will never come, also when somebody, dead or alive, is writing it: who publishes, gives up or
    /// reaps that finds it in the word. Only who keeps the promise may.
    pub(crate) fn forsake(&self, id: ObjectId) -> Result<()> {
        loop {
            match self.fail(id) {
                Err(Error::AlreadySet { .. }) => {}
                outcome => return outcome,
            }
            let Some(slot) = self.segment.slot(id.slot()) else { return Ok(()) };
            let word = SlotWord(slot.word.load(Ordering::SeqCst));
            if !word.is_generation_of(id) || word.is(State::Ready) {
                return Ok(());
            }
            let is_mine = KeeperWord(slot.extra.load(Ordering::SeqCst)).is_kept_by(self.me);
            if !is_mine {
                return Err(Error::NotOwner { token: "promise" });
            }
            if word.is(State::Filling) && self.doom_word(slot, (id, word)) {
                return Ok(());
            }
        }
    }

    /// CAS DOOMED into the word that was seen, and wake.
    fn doom_word(&self, slot: &Slot, (id, word): (ObjectId, SlotWord)) -> bool {
        let doomed = word.with(DOOMED);
        let is_in = slot
            .word
            .compare_exchange(word.0, doomed.0, Ordering::SeqCst, Ordering::SeqCst)
            .is_ok();
        if is_in && word.has(WAITERS) {
            self.wake(id.slot(), slot);
        }
        is_in
    }

    /// Says why a promised value will never come, in an object of that fingerprint. Only who keeps the promise may.
    pub(crate) fn fail_with(
        &self,
        id: ObjectId,
        fingerprint: Fingerprint,
        message: &str,
    ) -> Result<(), Refusal> {
        if self.owed(id)?.is_none() {
            return Err(Error::Broken { key: self.key(id) }.into());
        }
        self.set_with(id, (message.len() as u64, fingerprint), &mut |out| {
            out.write(message.as_bytes());
            Ok(())
        })
    }

    /// The slot of a promise that this participant keeps; `None` when it is broken.
    pub(super) fn owed(&self, id: ObjectId) -> Result<Option<&'a Slot>> {
        let gone = || Error::NotFound { key: self.key(id) };
        let slot = self.segment.slot(id.slot()).ok_or_else(gone)?;
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        match state_of(word) {
            _ if !word.is_generation_of(id) || word.has(EVICTED) => return Err(gone()),
            Some(State::Pending) => {}
            Some(State::Filling | State::Ready) => {
                return Err(Error::AlreadySet { key: self.key(id) });
            }
            Some(State::Broken) => return Ok(None),
            _ => return Err(gone()),
        }
        if KeeperWord(slot.extra.load(Ordering::SeqCst)).is_kept_by(self.me) {
            Ok(Some(slot))
        } else {
            Err(Error::NotOwner { token: "promise" })
        }
    }

    /// Whether an object that was seen promised is without its value and its promiser dead: anybody may break the promise
    /// then, unless somebody is just keeping it. While it is PENDING or FILLING in this generation, the entry of who keeps it was
    /// not given to another process.
    pub(crate) fn is_unkept(
        &self,
        slot: &Slot,
        id: ObjectId,
        is_alive: impl Fn(ParticipantId) -> Result<bool>,
    ) -> Result<bool> {
        let kept = KeeperWord(slot.extra.load(Ordering::SeqCst));
        // After the keeper, which else might be that of a later generation.
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        if !word.is_generation_of(id) || !(word.is(State::Pending) || word.is(State::Filling)) {
            return Ok(false);
        }
        let Some(keeper) = kept.keeper() else { return Ok(true) };
        // Who was asked for may have handed the promise over before it died.
        Ok(!is_alive(keeper)? && slot.extra.load(Ordering::SeqCst) == kept.0)
    }

    /// Of a promise whose keeper is dead: when its value was being written by somebody who is dead, too, says in the word
    /// that it will not come. Only the elected reaper may give the block back.
    pub(crate) fn doom(
        &self,
        slot: &Slot,
        id: ObjectId,
        is_alive: impl Fn(ParticipantId) -> Result<bool>,
    ) -> Result<()> {
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        let filling = word.is_generation_of(id) && word.is(State::Filling);
        let Some(owner) = word.owner().filter(|_| filling) else { return Ok(()) };
        // The word that was seen before its owner was asked for: another may write by now.
        if !is_alive(owner)? {
            self.doom_word(slot, (id, word));
        }
        Ok(())
    }

    /// CAS PENDING -> BROKEN and wake; `false` when it is not PENDING in that generation.
    pub(crate) fn break_promise(&self, id: ObjectId, slot: &Slot) -> bool {
        let mut word = SlotWord(slot.word.load(Ordering::SeqCst));
        while word.is(State::Pending) && word.is_generation_of(id) {
            let broken = word.with_state(State::Broken);
            match slot.word.compare_exchange_weak(
                word.0,
                broken.0,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => {
                    if word.has(WAITERS) {
                        self.wake(id.slot(), slot);
                    }
                    return true;
                }
                Err(found) => word = SlotWord(found),
            }
        }
        false
    }

    /// Looks at a promised object, announcing a sleeper when there is nothing yet.
    pub(crate) fn look(&self, id: ObjectId) -> Result<Promised<'a>> {
        let Some(slot) = self.segment.slot(id.slot()) else { return Ok(Promised::Gone) };
        loop {
            let word = SlotWord(slot.word.load(Ordering::SeqCst));
            match state_of(word) {
                _ if !word.is_generation_of(id) || word.has(EVICTED) => return Ok(Promised::Gone),
                Some(State::Ready) => {
                    if let Some(pin) = self.pin(id)? {
                        return Ok(Promised::Value(pin));
                    }
                }
                Some(State::Broken) => return Ok(Promised::Broken),
                Some(State::Pending | State::Filling) => {
                    if let Some(waited) = announced(slot, word) {
                        return Ok(Promised::Pending(slot, waited));
                    }
                }
                _ => return Ok(Promised::Gone),
            }
        }
    }

    /// How far a promise is: nobody sleeps for that.
    pub(crate) fn stage_of_promise(&self, id: ObjectId) -> PromiseStage {
        let Some(slot) = self.segment.slot(id.slot()) else { return PromiseStage::Answered };
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        match state_of(word) {
            _ if !word.is_generation_of(id) || word.has(EVICTED) => PromiseStage::Answered,
            Some(State::Pending) => PromiseStage::Open,
            Some(State::Filling) => PromiseStage::Filling,
            _ => PromiseStage::Answered,
        }
    }

    /// Whether a promised object has no answer yet; whoever gives one wakes, for a sleeper is announced.
    pub(crate) fn is_pending(&self, id: ObjectId) -> bool {
        let Some(slot) = self.segment.slot(id.slot()) else { return false };
        loop {
            let word = SlotWord(slot.word.load(Ordering::SeqCst));
            let is_promised = matches!(state_of(word), Some(State::Pending | State::Filling));
            if !is_promised || !word.is_generation_of(id) || word.has(EVICTED) {
                return false;
            }
            if announced(slot, word).is_some() {
                return true;
            }
        }
    }
}

/// Puts WAITERS into the word that was seen; `None` when it has changed.
pub(super) fn announced(slot: &Slot, word: SlotWord) -> Option<SlotWord> {
    let waited = word.with(WAITERS);
    let is_in = word == waited
        || slot.word.compare_exchange(word.0, waited.0, Ordering::SeqCst, Ordering::SeqCst).is_ok();
    is_in.then_some(waited)
}

/// A promised slot in FILLING by this participant; dropped unpublished, it is PENDING again.
struct Filling<'a> {
    actor: Actor<'a>,
    /// [`Actor::forks`] when it was begun.
    forks: u32,
    claimed: ClaimedSlot<'a>,
}

impl Filling<'_> {
    fn publish(self, len: u64, fingerprint: Fingerprint) -> Result<()> {
        let slot = self.claimed.slot;
        // Release: as where an object is published.
        slot.len.store(len, Ordering::Release);
        slot.fingerprint.store(fingerprint.get(), Ordering::Release);
        let left = self.actor.leave_filling(&self.claimed, State::Ready);
        let key = self.actor.key(self.claimed.id());
        std::mem::forget(self);
        match left.state() {
            Some(State::Ready) => Ok(()),
            Some(State::Broken) => Err(Error::Broken { key }),
            _ => Err(Error::NotFound { key }),
        }
    }
}

impl Drop for Filling<'_> {
    fn drop(&mut self) {
        if self.actor.forks() != self.forks {
            // The parent's.
            return;
        }
        let ClaimedSlot { slot, index, .. } = self.claimed;
        self.actor.abandon_block(index, BlockRef(slot.block.load(Ordering::Relaxed)));
        slot.block.store(BlockRef::NONE.0, Ordering::SeqCst);
        if self.actor.leave_filling(&self.claimed, State::Pending).is(State::Pending)
            && !is_kept(slot)
        {
            self.actor.break_promise(self.claimed.id(), slot);
        }
    }
}

impl Actor<'_> {
    /// CAS loop FILLING -> `next`, or RETIRED when EVICTED came in, BROKEN when DOOMED did; wakes, reclaims. What it is.
    fn leave_filling(&self, claimed: &ClaimedSlot<'_>, next: State) -> SlotWord {
        let slot = claimed.slot;
        let mut word = SlotWord(slot.word.load(Ordering::SeqCst));
        loop {
            let after = left(word, next);
            if after.is(State::Broken) {
                // Nobody gets it.
                let block = BlockRef(slot.block.load(Ordering::Relaxed));
                self.abandon_block(claimed.index, block);
                slot.block.store(BlockRef::NONE.0, Ordering::SeqCst);
            }
            match slot.word.compare_exchange_weak(
                word.0,
                after.0,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => {
                    if word.has(WAITERS) && !after.is(State::Pending) {
                        self.wake(claimed.index, slot);
                    }
                    if after.is(State::Retired) {
                        self.try_reclaim(claimed.index, slot, after);
                    }
                    return after;
                }
                Err(found) => word = SlotWord(found),
            }
        }
    }

    /// Undoes FILLING of a dead participant: PENDING again, RETIRED when EVICTED came in, BROKEN when DOOMED did.
    pub(crate) fn reap_filling(&self, slot: &Slot, dead: ParticipantId) {
        let mut word = SlotWord(slot.word.load(Ordering::SeqCst));
        while word.is(State::Filling) && word.is_owned_by(dead) {
            let next = left(word, State::Pending);
            match slot.word.compare_exchange_weak(
                word.0,
                next.0,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => return,
                Err(found) => word = SlotWord(found),
            }
        }
    }
}
