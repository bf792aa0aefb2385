//! Evicting and reclaiming.
//!
//! ```text
//! evict(k):       CAS READY(g) | PENDING(g) | BROKEN(g) -> RETIRED(g), WAITERS kept · wake · try_reclaim
//!                 FILLING(g): CAS EVICTED in · wake; the writer's publication finishes it
//! try_reclaim(i): e = fork_epoch · any count of the slot? return · fork_epoch == e? else again ·
//!                 CAS RETIRED(g) -> RECLAIMING(g, me) · wake · return the block · word = FREE(g + 1)
//! ```
//!
//! Killed after RETIRED: whoever unpins last reclaims it, or else the reaper, who tries every RETIRED slot. Killed in
//! RECLAIMING: the reaper returns the block, if it still carries the slot's tag, and frees the slot.

use crate::actor::Actor;
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::layout::block::BlockRef;
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{
    BOUND, CHANNEL, DOOMED, EVICTED, NAMING, OFFERED, ObjectId, Slot, SlotWord, State, VARIABLE,
    VERSION, WAITERS,
};
use crate::pins;
use crate::protocol::pin::Pin;
use crate::sync::Ordering;

/// What a word becomes when its object is evicted: owner and WAITERS stay, for the reaper of an unfinished set and for
/// those who sleep.
pub(crate) fn retired(word: SlotWord) -> SlotWord {
    let naming = if word.has(VARIABLE) { NAMING } else { 0 };
    word.with_state(State::Retired).without(EVICTED | BOUND | DOOMED | OFFERED | naming)
}

impl<'a> Actor<'a> {
    /// Evicts an object; `false` when it was not there.
    #[inline]
    pub(crate) fn evict(&self, id: ObjectId) -> bool {
        let Some(slot) = self.segment.slot(id.slot()) else { return false };
        let mut word = SlotWord(slot.word.load(Ordering::SeqCst));
        loop {
            if !word.is_generation_of(id) {
                return false;
            }
            let next = match word.state() {
                Some(State::Ready) if word.has(VERSION) || self.is_over(id, slot) => return false,
                Some(State::Ready | State::Pending | State::Broken) => retired(word),
                Some(State::Variable) => return self.evict_variable(id),
                Some(State::Channel) => return self.evict_channel(id),
                Some(State::Filling) if !word.has(EVICTED) => word.with(EVICTED),
                _ => return false,
            };
            match slot.word.compare_exchange_weak(
                word.0,
                next.0,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => {
                    if word.has(WAITERS) {
                        self.wake(id.slot(), slot);
                    }
                    if next.is(State::Retired) {
                        self.try_reclaim(id.slot(), slot, next);
                    }
                    return true;
                }
                Err(found) => word = SlotWord(found),
            }
        }
    }

    /// Evicts a version that is not the current one any more, or never was.
    pub(crate) fn evict_version(&self, id: ObjectId) {
        let Some(slot) = self.segment.slot(id.slot()) else { return };
        let mut word = SlotWord(slot.word.load(Ordering::SeqCst));
        while word.is_ready(id) {
            let next = retired(word);
            match slot.word.compare_exchange(word.0, next.0, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return self.try_reclaim(id.slot(), slot, next),
                Err(found) => word = SlotWord(found),
            }
        }
    }

    /// Evicts the object of a message that an envelope names. Not what goes with another participant: its envelope was about to give
    /// it up, or has just given it up.
    pub(crate) fn evict_named(&self, id: ObjectId) {
        let is_bound = |word: SlotWord| word.has(BOUND) && !word.is_sent();
        self.evict_unless(id, |word| is_bound(word) && !word.is_owned_by(self.me));
    }

    /// Evicts what a ledger names: a promise, or its value, unless that has an owner by now.
    pub(crate) fn evict_owed(&self, id: ObjectId) {
        self.evict_unless(id, |word| word.has(BOUND));
    }

    /// The words that were seen, never the object by its key: it may have been bound to another meanwhile.
    fn evict_unless(&self, id: ObjectId, is_anothers: impl Fn(SlotWord) -> bool) {
        let Some(slot) = self.segment.slot(id.slot()) else { return };
        let is_ours = |word: SlotWord| {
            let states = [State::Ready, State::Pending, State::Broken, State::Variable];
            let is_there = word.is_generation_of(id) && states.iter().any(|it| word.is(*it));
            is_there && !is_anothers(word)
        };
        while !self.retire_and_announce(id.slot(), slot, is_ours) {
            let word = SlotWord(slot.word.load(Ordering::SeqCst));
            let is_filling = word.is_generation_of(id) && word.is(State::Filling);
            if is_filling && !word.has(EVICTED) {
                // Whoever writes it finishes that.
                let evicted = word.with(EVICTED);
                let found = &slot.word;
                let is_in =
                    found.compare_exchange(word.0, evicted.0, Ordering::SeqCst, Ordering::SeqCst);
                if is_in.is_ok() {
                    return self.wake_if_waited_for(id.slot(), slot, word);
                }
            } else if !is_ours(word) {
                return;
            }
        }
    }

    /// Evicts what was bound to a participant that ended. The words that were seen, never the object by its key: it may
    /// have been bound to another meanwhile, or to nobody.
    pub(crate) fn evict_bound(&self, index: u32, slot: &Slot, ended: ParticipantId) {
        let is_there = |word: SlotWord| {
            matches!(word.state(), Some(State::Ready | State::Variable | State::Channel))
        };
        self.retire_and_announce(index, slot, |word| {
            is_there(word) && word.has(BOUND) && word.is_owned_by(ended)
        });
    }

    /// [`retire_if`](Self::retire_if) for what may be a variable, or a channel.
    pub(super) fn retire_and_announce(
        &self,
        index: u32,
        slot: &Slot,
        is_wanted: impl Fn(SlotWord) -> bool,
    ) -> bool {
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        let id = ObjectId::new(index, word.generation());
        // Those who wait sleep on words that only who has pinned it may change.
        let variable = word.is(State::Variable).then(|| self.pin_variable(id));
        let channel = word.is(State::Channel).then(|| self.pin_channel(id));
        let is_evicted = self.retire_if(index, slot, is_wanted);
        if let (true, Some(Ok(Some(pin)))) = (is_evicted, &variable) {
            self.announce_change(index, pin.slot);
        }
        if let (true, Some(Ok(Some((_pin, channel))))) = (is_evicted, &channel) {
            channel.ring_all();
        }
        is_evicted
    }

    /// CAS loop to RETIRED from a word that is as wanted; whether there was one.
    pub(super) fn retire_if(
        &self,
        index: u32,
        slot: &Slot,
        is_wanted: impl Fn(SlotWord) -> bool,
    ) -> bool {
        let mut word = SlotWord(slot.word.load(Ordering::SeqCst));
        while is_wanted(word) {
            let next = retired(word);
            match slot.word.compare_exchange(word.0, next.0, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => {
                    self.wake_if_waited_for(index, slot, word);
                    self.try_reclaim(index, slot, next);
                    return true;
                }
                Err(found) => word = SlotWord(found),
            }
        }
        false
    }

    /// Evicts an object that is over, whatever was said of it before.
    pub(crate) fn end_lease(&self, id: ObjectId, slot: &Slot) {
        self.retire_if(id.slot(), slot, |word| word.is_ready(id));
    }

    /// Evicts an object and keeps it pinned: of any number of takers one gets it.
    pub(crate) fn take(&self, id: ObjectId) -> Result<Option<Pin<'a>>> {
        let Some(pin) = self.pin(id)? else { return Ok(None) };
        let mut word = SlotWord(pin.slot.word.load(Ordering::SeqCst));
        while word.is_ready(id) && !word.has(VERSION) {
            let next = retired(word);
            match pin.slot.word.compare_exchange_weak(
                word.0,
                next.0,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => return Ok(Some(pin)),
                Err(found) => word = SlotWord(found),
            }
        }
        Ok(None)
    }

    /// Whether an object is there to be got, a variable to be read, or a channel: what says why a promise has no value is none.
    pub(crate) fn exists(&self, id: ObjectId) -> bool {
        self.segment.slot(id.slot()).is_some_and(|slot| {
            let word = SlotWord(slot.word.load(Ordering::SeqCst));
            if word.is_in(State::Variable, id) || word.is_in(State::Channel, id) {
                return true;
            }
            let is_value = word.is_ready(id)
                && !Fingerprint::is_outcome(slot.fingerprint.load(Ordering::SeqCst));
            // The same generation before and after: the fingerprint was its own.
            is_value && self.ready_word(id, slot).is_some()
        })
    }

    /// Reclaims a slot that was evicted, unless somebody still looks at it.
    #[inline]
    pub(crate) fn reclaim_if_retired(&self, index: u32, slot: &Slot) {
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        if word.is(State::Retired) {
            self.try_reclaim(index, slot, word);
        }
    }

    /// `word`: the RETIRED word seen.
    pub(crate) fn try_reclaim(&self, index: u32, slot: &Slot, word: SlotWord) {
        let epoch = &self.segment.header().fork_epoch;
        let mut word = word;
        loop {
            let before = epoch.load(Ordering::SeqCst);
            if pins::is_pinned(self.segment, index) {
                return;
            }
            if epoch.load(Ordering::SeqCst) != before {
                continue;
            }
            let mine = word.with_state(State::Reclaiming).owned_by(self.me);
            match slot.word.compare_exchange(word.0, mine.0, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return self.reclaim(index, slot, mine),
                Err(found) => {
                    let found = SlotWord(found);
                    if !found.is(State::Retired) || found.generation() != word.generation() {
                        return;
                    }
                    word = found;
                }
            }
        }
    }

    /// Returns block and slot of a slot that is RECLAIMING by this participant.
    fn reclaim(&self, index: u32, slot: &Slot, word: SlotWord) {
        if word.has(WAITERS) {
            self.wake_again(index, slot, word);
        }
        let word = self.return_contents(index, slot, word);
        self.return_slot(index, slot, word);
    }

    /// Returns the block of a slot that nobody else uses any more; a variable's last version is evicted, and a channel's
    /// messages are. The word that the slot has then.
    #[inline]
    pub(crate) fn return_contents(&self, index: u32, slot: &Slot, word: SlotWord) -> SlotWord {
        let mut word = word;
        if word.has(VARIABLE | CHANNEL) {
            if word.has(VARIABLE) {
                self.evict_last_version(index, slot);
                return word;
            }
            word = self.evict_messages(index, slot, word);
        }
        self.return_block(index, BlockRef(slot.block.load(Ordering::SeqCst)));
        word
    }
}
