//! Waking: who sleeps on one promise sleeps on its slot's word, on one variable on its count of changes; who waits for many
//! sleeps on *bells*, of which every slot has one by its number.
//!
//! ```text
//! wake:  the word of the slot has changed, and WAITERS was in it · wake the word · LISTENERS in the bell? add a ring, take
//!        LISTENERS out, wake the bell
//! sleep: Z1 LISTENERS into the bell · Z2 look at every slot, WAITERS into its word · Z3 sleep on the bells as they were at Z1
//! ```
//!
//! Who was killed between a ring and its wake has left a bell without LISTENERS and listeners asleep: so reapers, and who
//! reclaims the slot, wake the bell whatever it holds.
//!
//! Z1 before Z2, and the word before the bell, SeqCst: either Z2 sees what the word became, or the bell is rung.

use crate::actor::Actor;
use crate::layout::header::{BELLS, LISTENERS, RING};
use crate::layout::slot::{Slot, SlotWord, VARIABLE, WAITERS};
use crate::sync::{AtomicU32, Ordering};
use crate::sys::futex;

/// Slots in a row that share a bell: promises made one after the other mostly have the one that is listened to already.
const NEIGHBOURS: usize = 16;

/// Which bell is rung for a slot.
pub(crate) const fn bell_of(slot: u32) -> usize {
    slot as usize / NEIGHBOURS % BELLS
}

impl Actor<'_> {
    /// Wakes those who sleep on a slot whose word says that there may be some.
    pub(crate) fn wake_if_waited_for(&self, index: u32, slot: &Slot, word: SlotWord) {
        match word.has(WAITERS) {
            true if word.has(VARIABLE) => self.wake_variable(index, slot),
            true => self.wake(index, slot),
            false => {}
        }
    }

    /// Wakes everybody who sleeps on a slot's word, or on its bell.
    pub(crate) fn wake(&self, index: u32, slot: &Slot) {
        futex::wake_low(&slot.word, u32::MAX >> 1);
        ring(&self.segment.header().bells[bell_of(index)]);
    }

    /// [`wake`](Self::wake) for one who has woken already, or was killed before: perhaps after it took LISTENERS out.
    pub(crate) fn wake_again(&self, index: u32, slot: &Slot, word: SlotWord) {
        if word.has(VARIABLE) {
            self.wake_variable(index, slot);
        } else {
            self.wake(index, slot);
        }
        futex::wake(&self.segment.header().bells[bell_of(index)], u32::MAX >> 1);
    }

    /// Wakes those who wait for a variable to change.
    pub(crate) fn wake_variable(&self, index: u32, slot: &Slot) {
        futex::wake_low(&slot.extra, u32::MAX >> 1);
        ring(&self.segment.header().bells[bell_of(index)]);
    }
}

fn ring(bell: &AtomicU32) {
    let mut found = bell.load(Ordering::SeqCst);
    while found & LISTENERS != 0 {
        let rung = found.wrapping_add(RING) & !LISTENERS;
        match bell.compare_exchange_weak(found, rung, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => return futex::wake(bell, u32::MAX >> 1),
            Err(other) => found = other,
        }
    }
}

/// Z1: what the bell holds now; it is rung when it holds something else.
pub(crate) fn listen(bell: &AtomicU32) -> u32 {
    bell.fetch_or(LISTENERS, Ordering::SeqCst) | LISTENERS
}
