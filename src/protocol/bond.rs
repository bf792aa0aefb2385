//! Bonds: objects and variables that go with a process, and how one process hands them to another. READY stands for VARIABLE,
//! too: what is said of its versions is in [`variable`](crate::protocol::variable).
//!
//! ```text
//! put:    W4 word = READY(me, BOUND): there is no instant without the bond
//! bind:   CAS READY, no owner -> READY(me, BOUND)
//! lift:   CAS READY(me, BOUND) -> READY, no owner
//! offer:  O1 n = the next offer in extra, of a variable in link (CAS) · O2 CAS READY(me, BOUND) -> READY(me, BOUND, OFFERED); the token says n
//! adopt:  A1 load word: READY(s, BOUND, OFFERED) · A2 load that word of the slot: n? · A3 CAS that word -> READY(me, BOUND)
//! send:   P2b CAS READY(me, BOUND) -> READY(BOUND, OFFERED), no owner: the envelope that names it since P2a answers for it
//! receive: A2o CAS READY(BOUND, OFFERED), no owner, or of a message from the first on READY(VERSION) -> READY(me, BOUND)
//! end:    CAS READY(p, BOUND) -> RETIRED, whether OFFERED or not (evict_bound): who leaves, and the reaper
//! ```
//!
//! Adopting is a pull, so there is one owner at every instant: the sender until A3, though it has given its right up at O2
//! and only its end still counts; the receiver from then on. A token that nobody follows dies with its sender. Of many who
//! follow it one wins A3. Nobody's bond is adopted without being offered, whatever number a process had before; a token
//! names its offer and not its sender, so it does not matter who has the sender's number by now.
//!
//! Killed after O1: a number is used up. After O2, A3: the word says who answers for it. Elsewhere: nothing.

use crate::actor::Actor;
use crate::error::{Error, Result};
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{BOUND, NAMING, OFFERED, ObjectId, Slot, SlotWord, State, VERSION};
use crate::sync::Ordering;

const OWNED: &str = "object";

impl Actor<'_> {
    /// Binds an object to this participant; `false`: it was already.
    pub(crate) fn bind_to_me(&self, id: ObjectId) -> Result<bool> {
        self.rebind(id, |_, word| match word.owner() {
            None if !word.is_sent() => Ok(word.owned_by(self.me).with(BOUND)),
            Some(_) if word.is_bound_to(self.me) => Ok(word),
            _ => Err(Error::NotOwner { token: OWNED }),
        })
    }

    /// Makes an object of this participant's everybody's: it stays until it is evicted.
    pub(crate) fn lift_bond(&self, id: ObjectId) -> Result<()> {
        self.rebind(id, |_, word| Ok(self.mine(word)?.unowned().without(BOUND))).map(drop)
    }

    /// Offers an object of this participant's to whoever adopts it; the number of the offer.
    pub(crate) fn offer_bond(&self, id: ObjectId) -> Result<u64> {
        // Pinned: in the slot of another object the number would be something else.
        let pin = self.pin(id)?.map_or_else(|| self.pin_variable(id), |pin| Ok(Some(pin)))?;
        let _pin = pin.ok_or_else(|| Error::NotFound { key: self.key(id) })?;
        let mut number = 0;
        self.rebind(id, |slot, word| {
            let offered = self.mine(word)?.with(OFFERED);
            number = slot.next_offer(word);
            Ok(offered)
        })?;
        Ok(number)
    }

    /// Becomes the owner of an object that was offered under that number.
    pub(crate) fn adopt_bond(&self, id: ObjectId, number: u64) -> Result<()> {
        self.rebind(id, |slot, word| {
            // The number after the word: a later offer's would else be taken for this one.
            let is_offered = word.has(BOUND) && word.has(OFFERED) && !word.is_sent();
            if !is_offered || slot.offer_of(word).load(Ordering::SeqCst) != number {
                return Err(Error::AlreadyAdopted { key: self.key(id) });
            }
            Ok(word.owned_by(self.me).without(OFFERED))
        })
        .map(drop)
    }

    /// P2b: gives an object of this participant's to the envelope that names it.
    pub(crate) fn send_bond(&self, id: ObjectId) -> Result<()> {
        self.rebind(id, |_, word| Ok(self.mine(word)?.unowned().with(OFFERED))).map(drop)
    }

    /// A2o: makes the object of a message, which this participant has acknowledged, its own.
    pub(crate) fn adopt_message(&self, id: ObjectId) -> Result<()> {
        let gone = || Error::NotFound { key: self.key(id) };
        let slot = self.segment.slot(id.slot()).ok_or_else(gone)?;
        loop {
            let word = SlotWord(slot.word.load(Ordering::SeqCst));
            let is_there = word.is_in(State::Variable, id) || self.ready_word(id, slot).is_some();
            let is_message = word.is_sent() || word.is_version() && word.owner().is_none();
            if !is_there || !is_message {
                return Err(gone());
            }
            // What was a message from the first on is an object like any other from now on.
            let mine = word.owned_by(self.me).with(BOUND).without(OFFERED | VERSION);
            if slot
                .word
                .compare_exchange(word.0, mine.0, Ordering::SeqCst, Ordering::SeqCst)
                .is_ok()
            {
                return Ok(());
            }
        }
    }

    /// Evicts an object that is bound to this participant; `false` when it is not, or is not there.
    pub(crate) fn evict_mine(&self, id: ObjectId) -> bool {
        let Some(slot) = self.segment.slot(id.slot()) else { return false };
        // The word that was seen, never the object by its key: it may be another's by then.
        let is_it = |word: SlotWord| word.is_ready(id) || word.is_in(State::Variable, id);
        self.bindable_word(id, slot).is_some()
            && self.retire_and_announce(id.slot(), slot, |word| {
                is_it(word) && word.is_bound_to(self.me)
            })
    }

    /// Evicts all that is bound to a participant that ends.
    pub(crate) fn evict_all_bound(&self, ended: ParticipantId) {
        for index in 1..self.segment.committed_slots() {
            if let Some(slot) = self.segment.slot(index) {
                self.evict_bound(index, slot, ended);
            }
        }
    }

    fn mine(&self, word: SlotWord) -> Result<SlotWord> {
        let is_mine = word.is_bound_to(self.me);
        if is_mine { Ok(word) } else { Err(Error::NotOwner { token: OWNED }) }
    }

    /// The word of what may be bound: an object, or a variable that is not about to get its name.
    fn bindable_word(&self, id: ObjectId, slot: &Slot) -> Option<SlotWord> {
        let mut word = SlotWord(slot.word.load(Ordering::SeqCst));
        if word.is_in(State::Variable, id) {
            if word.has(NAMING) {
                self.keep_named(id, State::Variable);
                word = SlotWord(slot.word.load(Ordering::SeqCst));
            }
            return word.is_in(State::Variable, id).then_some(word);
        }
        self.ready_word(id, slot).filter(|word| !word.is_version())
    }

    /// CAS loop from READY or VARIABLE to what `change` makes of it; whether that is something else.
    fn rebind(
        &self,
        id: ObjectId,
        mut change: impl FnMut(&Slot, SlotWord) -> Result<SlotWord>,
    ) -> Result<bool> {
        let gone = || Error::NotFound { key: self.key(id) };
        let slot = self.segment.slot(id.slot()).ok_or_else(gone)?;
        loop {
            let word = self.bindable_word(id, slot).ok_or_else(gone)?;
            let next = change(slot, word)?;
            let rebound = next == word
                || slot
                    .word
                    .compare_exchange(word.0, next.0, Ordering::SeqCst, Ordering::SeqCst)
                    .is_ok();
            if rebound {
                return Ok(next != word);
            }
        }
    }
}
