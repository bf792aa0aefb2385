//! Reaping, the part that walks the region: what a dead participant left half done is finished or undone.
//!
//! R0 elect, ask again, DYING (participants) · R1 per slot, in this order: unfinished sets · envelopes of a queue, cursors of a topic, unpublished messages · keeper · WRITING, FILLING,
//! RECLAIMING by tag · its count = 0 · try_reclaim if RETIRED · BOUND: evict · lease over: evict · wake if WAITERS · R3 unit words · R4 the
//! entry is vacated last (participants). Every step is an idempotent CAS: a killed reaper's work is done once more by
//! the next one.

use crate::actor::Actor;
use crate::error::Result;
use crate::layout::block::BlockRef;
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{KeeperWord, ObjectId, Slot, SlotWord, State, WAITERS};
use crate::local::Local;
use crate::participants;
use crate::protocol::promise::is_kept;
use crate::segment::Segment;
use crate::sync::Ordering;
use crate::sys::lock::Source;

/// Reaps every dead participant; returns how many.
pub(crate) fn reap_dead(segment: &Segment, local: &Local, source: &Source<'_>) -> Result<usize> {
    let mut reaped = 0;
    for participant in segment.participants() {
        if let Some(election) = participants::elect(segment, source, participant)? {
            let me = election.participant();
            Actor { segment, local, me }.sweep(me);
            participants::vacate(segment, election);
            reaped += 1;
        }
    }
    Ok(reaped)
}

impl Actor<'_> {
    /// R1 and R3 for one dead participant. The caller has been elected.
    pub(crate) fn sweep(&self, dead: ParticipantId) {
        for index in 1..self.segment.committed_slots() {
            if let Some(slot) = self.segment.slot(index) {
                self.sweep_slot(index, slot, dead);
            }
        }
        self.reap_units(dead);
    }

    fn sweep_slot(&self, index: u32, slot: &Slot, dead: ParticipantId) {
        self.reap_version(index, slot, dead);
        self.reap_channel(index, slot, dead);
        self.reap_keeping(slot, dead);
        self.undo_half_done(index, slot, dead);
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        if word.is(State::Pending) && !is_kept(slot) {
            self.break_promise(ObjectId::new(index, word.generation()), slot);
        }
        let count = self.segment.count(dead, index);
        if count.load(Ordering::SeqCst) != 0 {
            self.ring_retired(index, slot);
            count.store(0, Ordering::SeqCst);
        }
        self.reclaim_if_retired(index, slot);
        self.evict_bound(index, slot, dead);
        self.expire_slot(index, slot);
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        if word.has(WAITERS) {
            self.wake_again(index, slot, word);
        }
    }

    /// What only promises have is something else in other states: the word is looked at after it.
    fn reap_keeping(&self, slot: &Slot, dead: ParticipantId) {
        let kept = KeeperWord(slot.extra.load(Ordering::SeqCst));
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        let is_promised = word.is(State::Pending) || word.is(State::Filling);
        if kept.is_kept_by(dead) && is_promised && kept.generation() == word.generation() {
            // Somebody may adopt the promise just now.
            self.give_up_keeping(slot, kept);
        }
    }

    fn undo_half_done(&self, index: u32, slot: &Slot, dead: ParticipantId) {
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        if !word.is_owned_by(dead) {
            return;
        }
        match word.state() {
            Some(State::Writing | State::Reclaiming) => {
                if word.has(WAITERS) {
                    self.wake_again(index, slot, word);
                }
                let word = self.return_contents(index, slot, word);
                let free = word.next_free();
                let _ =
                    slot.word.compare_exchange(word.0, free.0, Ordering::SeqCst, Ordering::SeqCst);
            }
            Some(State::Filling) => {
                self.return_block(index, BlockRef(slot.block.load(Ordering::SeqCst)));
                slot.block.store(BlockRef::NONE.0, Ordering::SeqCst);
                self.reap_filling(slot, dead);
            }
            _ => {}
        }
    }
}
