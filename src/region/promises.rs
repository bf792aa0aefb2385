//! Promises: keys handed out before their value exists, by whom they are kept, and waiting for them.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::actor::Actor;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{KeeperWord, ObjectId, Slot};
use crate::participants;
use crate::protocol::promise::{PromiseStage, Promised};
use crate::region::attachment::Attachment;
use crate::region::counters::Counted;
use crate::region::ops::with_key;
use crate::region::pinned::Pinned;
use crate::region::{Region, reap};
use crate::sys::futex;
use crate::writer::Fill;

/// How long a waiter sleeps before it looks whether whoever should wake it is still alive.
pub(super) const SLICE: Duration = Duration::from_millis(100);

/// What a process needs to know to keep a promise that another one made: good for one [`adopt`](Region::adopt_promise).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Offer {
    keeping: u64,
    incarnation: u64,
}

impl Offer {
    /// An offer of a connector's own: two numbers that mean something to it.
    #[must_use]
    pub const fn new(keeping: u64, incarnation: u64) -> Self {
        Self { keeping, incarnation }
    }

    /// Which keeping of the promise is offered: no two have the same number.
    #[must_use]
    pub const fn keeping(self) -> u64 {
        self.keeping
    }

    /// Whose it is.
    #[must_use]
    pub const fn incarnation(self) -> u64 {
        self.incarnation
    }
}

impl Region {
    /// Promises an object: the key can be handed out before the value exists.
    ///
    /// ```
    /// use inplace::{Fingerprint, RegionOptions};
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let key = region.reserve()?;
    /// region.set(key, b"late")?;
    /// assert_eq!(&*region.wait(key, None)?, b"late");
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfSlots`], [`Error::Severed`].
    pub fn reserve(&self) -> Result<Key> {
        self.relieved(0, |actor| actor.reserve()).map(|id| self.key(id))
    }

    /// Gives a promised object its value, once.
    ///
    /// # Errors
    /// [`Error::AlreadySet`], [`Error::Broken`], [`Error::NotFound`] when it was evicted, and as [`put`](Region::put).
    pub fn set(&self, key: Key, bytes: &[u8]) -> Result<()> {
        self.set_with(key, bytes.len(), Fingerprint::BYTES, &mut |out| {
            out.write(bytes);
            Ok(())
        })
    }

    /// Gives a promised object the value that `fill` writes.
    ///
    /// # Errors
    /// As [`set`](Region::set), and what `fill` returns; the promise is then open as before.
    pub fn set_with(
        &self,
        key: Key,
        size: usize,
        fingerprint: Fingerprint,
        fill: &mut Fill<'_>,
    ) -> Result<()> {
        let id = self.object_id(key)?;
        self.relieved(size as u64, |actor| actor.set_with(id, (size as u64, fingerprint), fill))?;
        self.count_put(id);
        Ok(())
    }

    /// Says that a value promised by this process will never come; everyone who waits gets [`Error::Broken`]. Takes no
    /// memory.
    ///
    /// # Errors
    /// [`Error::NotOwner`] when another process keeps the promise, [`Error::AlreadySet`], [`Error::NotFound`].
    pub fn fail(&self, key: Key) -> Result<()> {
        let id = self.object_id(key)?;
        self.attachment.actor()?.fail(id)
    }

    /// Says why a value promised by this process will never come; everyone who waits gets [`Error::Failed`]. The text is
    /// an object of the fingerprint [`FAILED`](Fingerprint::FAILED), which [`get`](Region::get) returns; where there is
    /// no room for it, it is left out.
    ///
    /// ```
    /// use inplace::{Error, RegionOptions};
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let key = region.reserve()?;
    /// region.fail_with(key, "no such file")?;
    /// assert!(matches!(region.wait(key, None), Err(Error::Failed { message, .. }) if message == "no such file"));
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`fail`](Region::fail), and [`Error::Broken`] when it is.
    pub fn fail_with(&self, key: Key, message: &str) -> Result<()> {
        let id = self.object_id(key)?;
        let fail = |message: &str| {
            let size = message.len() as u64;
            self.relieved(size, |actor| actor.fail_with(id, Fingerprint::FAILED, message))
        };
        match fail(message) {
            Err(Error::OutOfSpace { .. }) => fail(""),
            outcome => outcome,
        }
    }

    /// Takes back what this process promised; everyone who waits gets [`Error::Cancelled`]. Takes no memory.
    ///
    /// # Errors
    /// As [`fail_with`](Region::fail_with).
    pub fn cancel(&self, key: Key) -> Result<()> {
        let id = self.object_id(key)?;
        self.relieved(0, |actor| actor.fail_with(id, Fingerprint::CANCELLED, ""))
    }

    /// Gives a promise that another process keeps the answer that there is no value, and why.
    pub(crate) fn fail_for_keeper(&self, key: Key, message: &str) -> Result<()> {
        let fail = |message: &str| {
            self.set_with(key, message.len(), Fingerprint::FAILED, &mut |out| {
                out.write(message.as_bytes());
                Ok(())
            })
        };
        match fail(message) {
            Err(Error::OutOfSpace { .. }) => fail(""),
            outcome => outcome,
        }
    }

    /// Says that a value promised by this process will never come, also where somebody is just writing it.
    pub(crate) fn forsake(&self, key: Key) -> Result<()> {
        let id = self.object_id(key)?;
        self.attachment.actor()?.forsake(id)
    }

    /// How far a promise is.
    pub(crate) fn stage_of_promise(&self, key: Key) -> Result<PromiseStage> {
        Ok(self.attachment.actor()?.stage_of_promise(self.object_id(key)?))
    }

    /// Offers a promise that this process keeps to whoever [adopts](Region::adopt_promise) it first. Until somebody does, it is
    /// kept here, and ends with this process.
    ///
    /// # Errors
    /// As [`fail_with`](Region::fail_with).
    pub fn offer_promise(&self, key: Key) -> Result<Offer> {
        let id = self.object_id(key)?;
        let kept = self.attachment.actor()?.offer_promise(id)?;
        Ok(Offer { keeping: kept.0, incarnation: self.attachment.identity.incarnation() })
    }

    /// Keeps a promise from now on that was offered: it breaks when this process ends, no longer when the other does.
    ///
    /// ```
    /// use inplace::{Error, RegionOptions};
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let key = region.reserve()?;
    /// let offer = region.offer_promise(key)?; // sent, with the key, to another process
    /// region.adopt_promise(key, offer)?;
    /// assert!(matches!(region.adopt_promise(key, offer), Err(Error::AlreadyAdopted { .. })), "good once");
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Broken`] when who offered it is dead, [`Error::AlreadyAdopted`] when somebody has adopted it,
    /// [`Error::AlreadySet`], [`Error::NotFound`].
    pub fn adopt_promise(&self, key: Key, offer: Offer) -> Result<()> {
        let id = self.object_id(key)?;
        let attachment = self.attachment;
        let offered = KeeperWord(offer.keeping);
        let sender = offered.keeper().ok_or(Error::AlreadyAdopted { key })?;
        attachment.actor()?.adopt_promise(id, offered, || {
            let sender = (sender, offer.incarnation);
            participants::is_still_alive(&attachment.segment, &attachment.source(), sender)
        })
    }

    /// Waits for an object that is promised; `None` waits without limit. A promiser that dies wakes everybody.
    ///
    /// # Errors
    /// [`Error::Broken`], [`Error::Failed`], [`Error::Cancelled`], [`Error::NotFound`] when it was evicted or never
    /// existed, [`Error::TimedOut`].
    pub fn wait(&self, key: Key, timeout: Option<Duration>) -> Result<Pinned> {
        let id = self.object_id(key)?;
        let actor = self.attachment.actor()?;
        // Who waits without a limit need not know the time.
        let limit = timeout.map(|timeout| (Instant::now(), timeout));
        loop {
            let (slot, word) = match actor.look(id).map_err(|error| with_key(error, key))? {
                Promised::Value(pin) => {
                    let value = a_value(key, Pinned::new(self.attachment, pin)?)?;
                    self.count(Counted::Get);
                    return Ok(value);
                }
                Promised::Broken => return Err(Error::Broken { key }),
                Promised::Gone => {
                    self.count(Counted::Miss);
                    return Err(Error::NotFound { key });
                }
                Promised::Pending(slot, word) => (slot, word),
            };
            let mut left = SLICE;
            if let Some((started, timeout)) = limit {
                let waited = started.elapsed();
                left = timeout.saturating_sub(waited);
                if left.is_zero() {
                    return Err(Error::TimedOut { key, waited });
                }
            }
            if !futex::wait_low(&slot.word, word.futex_half(), Some(left.min(SLICE))) {
                reap::reap_dead(self.attachment)?;
                let is_alive = |keeper| self.attachment.is_alive(keeper);
                break_if_unkept(&actor, (slot, id), is_alive)?;
            }
        }
    }
}

/// Unless the object says why there is no value.
fn a_value(key: Key, pinned: Pinned) -> Result<Pinned> {
    match Error::of_outcome(key, pinned.fingerprint(), &pinned) {
        None => Ok(pinned),
        Some(error) => Err(error),
    }
}

/// Breaks what a dead one promised: whoever was elected to reap it may be stopped.
pub(super) fn break_if_unkept(
    actor: &Actor<'_>,
    (slot, id): (&Slot, ObjectId),
    is_alive: impl Fn(ParticipantId) -> Result<bool>,
) -> Result<()> {
    if actor.is_unkept(slot, id, &is_alive)? && !actor.break_promise(id, slot) {
        actor.doom(slot, id, is_alive)?;
    }
    Ok(())
}

impl Attachment {
    /// Reaps the dead, and breaks those of the promises whose keepers are.
    pub(super) fn attend(&self, promises: &[ObjectId]) -> Result<()> {
        reap::reap_dead(self)?;
        let actor = self.actor()?;
        // Who lives now need not be asked for again; who is dead must be, after its promise was looked at.
        let living = std::cell::RefCell::new(Vec::new());
        let is_alive = |participant: ParticipantId| {
            if living.borrow().contains(&participant) {
                return Ok(true);
            }
            let lives = self.is_alive(participant)?;
            if lives {
                living.borrow_mut().push(participant);
            }
            Ok(lives)
        };
        for id in promises {
            if let Some(slot) = self.segment.slot(id.slot()) {
                break_if_unkept(&actor, (slot, *id), is_alive)?;
            }
        }
        Ok(())
    }
}
