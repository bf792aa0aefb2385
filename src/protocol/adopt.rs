//! Promises that change hands.
//!
//! ```text
//! adopt: M1 the word: PENDING or FILLING of this generation · M2 CAS keeper (g, hands, sender) -> (g, hands + 1, me) ·
//!        M3 the sender lives? M4 the word once more: still promised, adopted · no: CAS keeper -> nobody, PENDING -> BROKEN
//! ```
//!
//! A keeping is named by its word alone: (g, hands, sender) is written once, when the sender reserves or adopts, and stands
//! until another adopts or a reaper clears it, which comes before the sender's number can be another's. So a token is
//! good once, and never for a later keeping.
//!
//! M3 is what lets a waiter break the promise of a dead keeper: it saw the keeper dead and then the keeper's word unchanged,
//! so M2 came after that death, and M3 finds it.

use crate::actor::Actor;
use crate::error::{Error, Result};
use crate::layout::slot::{EVICTED, KeeperWord, LAST_HANDS, ObjectId, Slot, SlotWord, State};
use crate::protocol::promise::state_of;
use crate::sync::Ordering;

impl Actor<'_> {
    /// The word that names this participant's keeping of a promise.
    pub(crate) fn offer_promise(&self, id: ObjectId) -> Result<KeeperWord> {
        let slot = self.owed(id)?.ok_or_else(|| Error::Broken { key: self.key(id) })?;
        let kept = KeeperWord(slot.extra.load(Ordering::SeqCst));
        if !kept.is_kept_by(self.me) || kept.generation() != id.generation() {
            return Err(Error::NotOwner { token: "promise" });
        }
        if kept.hands() == LAST_HANDS {
            let operation = "4096th hand-over of a promise";
            return Err(Error::Unsupported { connector: "shm", operation });
        }
        Ok(kept)
    }

    /// Keeps a promise from now on that another offered; `sender_lives` asks for who offered it.
    pub(crate) fn adopt_promise(
        &self,
        id: ObjectId,
        offered: KeeperWord,
        sender_lives: impl FnOnce() -> Result<bool>,
    ) -> Result<()> {
        let used_up = || Error::AlreadyAdopted { key: self.key(id) };
        let slot = self.segment.slot(id.slot());
        let slot = slot.ok_or_else(|| Error::NotFound { key: self.key(id) })?;
        self.promised(id, slot)?;
        let mine = offered.adopted_by(self.me).filter(|_| offered.generation() == id.generation());
        let Some(mine) = mine else { return Err(used_up()) };
        let adopted =
            slot.extra.compare_exchange(offered.0, mine.0, Ordering::SeqCst, Ordering::SeqCst);
        match adopted {
            Ok(_) => match sender_lives() {
                Ok(true) => self.promised(id, slot),
                dead => {
                    self.give_up_keeping(slot, mine);
                    let unkept = self.unkept(id, slot);
                    Err(dead.err().unwrap_or(unkept))
                }
            },
            // The sender was reaped.
            Err(found) if KeeperWord(found).keeper().is_none() => Err(self.unkept(id, slot)),
            Err(_) => Err(used_up()),
        }
    }

    /// From now on nobody keeps it, unless it has changed hands.
    pub(super) fn give_up_keeping(&self, slot: &Slot, kept: KeeperWord) {
        let nobody = KeeperWord::NOBODY.0;
        let _ = slot.extra.compare_exchange(kept.0, nobody, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Why there is nothing to adopt, if there is not.
    fn promised(&self, id: ObjectId, slot: &Slot) -> Result<()> {
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        let key = self.key(id);
        match state_of(word) {
            _ if !word.is_generation_of(id) || word.has(EVICTED) => Err(Error::NotFound { key }),
            Some(State::Pending | State::Filling) => Ok(()),
            Some(State::Ready) => Err(Error::AlreadySet { key }),
            Some(State::Broken) => Err(Error::Broken { key }),
            _ => Err(Error::NotFound { key }),
        }
    }

    /// Breaks a promise that nobody keeps. Somebody else may be giving it its value just now.
    fn unkept(&self, id: ObjectId, slot: &Slot) -> Error {
        let key = self.key(id);
        if self.break_promise(id, slot) {
            return Error::Broken { key };
        }
        self.promised(id, slot).err().unwrap_or(Error::AlreadySet { key })
    }
}
