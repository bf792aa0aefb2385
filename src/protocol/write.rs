//! Putting: claim a slot, claim a block, write, publish.
//!
//! ```text
//! W1 CAS slot FREE -> WRITING(me) · W2 slot.block = intent, claim the block · W3 bytes, length, fingerprint ·
//! W4 word = READY(g) (Release)
//! ```
//!
//! Nobody else knows the key before W4, so publication is one store. Killed before it: the reaper returns block and
//! slot; killed after it: the object is there, and lost only if its key never reached anybody.

use crate::actor::{Actor, Refusal};
use crate::deadline::Term;
use crate::fingerprint::Fingerprint;
use crate::index::ClaimedSlot;
use crate::layout::block::BlockRef;
use crate::layout::slot::{BOUND, ObjectId, SlotWord, State};
use crate::sync::Ordering;
use crate::writer::Fill;

/// A slot and its block in WRITING by this participant; dropped unpublished, both are given back.
#[derive(Debug)]
pub(crate) struct Writing<'a> {
    actor: Actor<'a>,
    /// [`Actor::forks`] when it was begun.
    forks: u32,
    pub(crate) claimed: ClaimedSlot<'a>,
    pub(crate) block: BlockRef,
}

impl<'a> Actor<'a> {
    /// Claims a slot and a block of at least `len` bytes.
    #[inline]
    pub(crate) fn start_writing(&self, len: u64) -> Result<Writing<'a>, Refusal> {
        let claimed = self.claim_slot()?;
        let mut writing =
            Writing { actor: *self, forks: self.forks(), claimed, block: BlockRef::NONE };
        writing.block = self.claim_block(&claimed, len)?;
        Ok(writing)
    }

    /// Puts a copy of `bytes`.
    #[inline]
    pub(crate) fn put(&self, bytes: &[u8], fingerprint: Fingerprint) -> Result<ObjectId, Refusal> {
        let writing = self.start_writing(bytes.len() as u64)?;
        self.write_block(writing.claimed.index, writing.block, bytes)?;
        Ok(writing.publish(bytes.len() as u64, fingerprint))
    }

    /// Puts what `fill` writes; called again with a block of exactly the right size when `guess` was too small.
    pub(crate) fn put_with(
        &self,
        guess: u64,
        (fingerprint, term): (Fingerprint, Term),
        fill: &mut Fill<'_>,
    ) -> Result<ObjectId, Refusal> {
        self.write_with(guess, fill, |writing, len| writing.publish_for(term, len, fingerprint))
    }

    /// W1 to W3 of [`put_with`](Self::put_with); `finish` gets what is to be published, and its length. (A `Writing` that is
    /// returned goes through memory, which a small put would notice.)
    #[inline(always)]
    pub(crate) fn write_with<R>(
        &self,
        guess: u64,
        fill: &mut Fill<'_>,
        finish: impl FnOnce(Writing<'a>, u64) -> R,
    ) -> Result<R, Refusal> {
        let mut size = guess;
        loop {
            let writing = self.start_writing(size)?;
            let written = self.fill_block(writing.claimed.index, writing.block, fill)?;
            if written <= writing.block.size() {
                return Ok(finish(writing, written));
            }
            size = written;
        }
    }
}

impl Writing<'_> {
    /// Makes the object readable.
    #[inline]
    pub(crate) fn publish(self, len: u64, fingerprint: Fingerprint) -> ObjectId {
        let word = SlotWord::new(self.claimed.word.generation(), State::Ready);
        self.publish_as(word, len, fingerprint)
    }

    /// Makes the object readable, and says what ends it: there is no instant at which it is there without that.
    #[inline]
    fn publish_for(self, term: Term, len: u64, fingerprint: Fingerprint) -> ObjectId {
        let ready = SlotWord::new(self.claimed.word.generation(), State::Ready);
        let word = match term {
            Term::Unlimited => ready,
            Term::Until(deadline) => {
                // Release: as where a claimer resets it.
                self.claimed.slot.deadline.store(deadline.nanos(), Ordering::Release);
                ready
            }
            Term::Process => ready.owned_by(self.actor.me).with(BOUND),
        };
        self.publish_as(word, len, fingerprint)
    }

    /// Makes the object readable under a word of the caller's.
    #[inline]
    pub(crate) fn publish_as(self, word: SlotWord, len: u64, fingerprint: Fingerprint) -> ObjectId {
        let slot = self.claimed.slot;
        // Release: who reads one of the two without a pin (`exists`, a topic's `length`) sees in the word that the slot has been
        // claimed since.
        slot.len.store(len, Ordering::Release);
        slot.fingerprint.store(fingerprint.get(), Ordering::Release);
        // Release: pairs with the SeqCst load of the word in `pins::pin`.
        slot.word.store(word.0, Ordering::Release);
        let id = self.claimed.id();
        std::mem::forget(self);
        id
    }

    /// Hands the claim over to a token that remembers it elsewhere.
    pub(crate) fn into_claim(self) -> (u32, SlotWord, BlockRef) {
        let claim = (self.claimed.index, self.claimed.word, self.block);
        std::mem::forget(self);
        claim
    }

    /// The claim a token remembered.
    pub(crate) fn from_claim<'a>(
        actor: Actor<'a>,
        (index, word, block): (u32, SlotWord, BlockRef),
    ) -> Option<Writing<'a>> {
        let slot = actor.segment.slot(index)?;
        let forks = actor.forks();
        Some(Writing { actor, forks, claimed: ClaimedSlot { slot, index, word }, block })
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        if self.actor.forks() != self.forks {
            // The parent's.
            return;
        }
        let ClaimedSlot { slot, index, word } = self.claimed;
        self.actor.abandon_block(index, BlockRef(slot.block.load(Ordering::Relaxed)));
        self.actor.return_slot(index, slot, word);
    }
}
