//! How long objects stay: deadlines, bonds to a process, and handing a bond over.

use crate::deadline::{Deadline, Term};
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::region::Region;
use crate::region::counters::Counted;
use crate::region::ops::with_key;
use crate::writer::Fill;

impl Region {
    /// Puts what `fill` writes, as [`put_with`](Region::put_with) does, and says what ends the object if nobody evicts it.
    ///
    /// ```
    /// use inplace::{Deadline, Fingerprint, RegionOptions, Term};
    /// use std::time::Duration;
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let kind = (Fingerprint::BYTES, Term::Until(Deadline::after(Duration::from_millis(1))));
    /// let key = region.put_for(5, kind, &mut |out| Ok(out.write(b"brief")))?;
    /// std::thread::sleep(Duration::from_millis(2));
    /// assert!(region.get(key)?.is_none());
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`put`](Region::put), and what `fill` returns.
    pub fn put_for(
        &self,
        size: usize,
        kind: (Fingerprint, Term),
        fill: &mut Fill<'_>,
    ) -> Result<Key> {
        self.relieved(size as u64, |actor| actor.put_with(size as u64, kind, fill))
            .map(|id| self.put_key(id))
    }

    /// Sets when an object goes if nobody evicts it before; `None`: never. `false`: it is not there any more. After `true`
    /// it stays at least until then, or until it is set anew.
    ///
    /// # Errors
    /// As [`get`](Region::get).
    pub fn set_deadline(&self, key: Key, deadline: Option<Deadline>) -> Result<bool> {
        let (id, actor) = (self.object_id(key)?, self.attachment.actor()?);
        let set = actor.set_deadline(id, deadline.map_or(0, Deadline::nanos));
        set.map_err(|error| with_key(error, key))
    }

    /// When an object goes; `None` when it is not there, or stays until it is evicted.
    ///
    /// # Errors
    /// As [`get`](Region::get).
    pub fn deadline(&self, key: Key) -> Result<Option<Deadline>> {
        let (id, actor) = (self.object_id(key)?, self.attachment.actor()?);
        let deadline = actor.deadline(id).map_err(|error| with_key(error, key))?;
        Ok(deadline.and_then(Deadline::from_nanos))
    }

    /// Binds an object to this process: it is evicted when the process ends, also when it is killed. A forked child does
    /// not inherit that. Binding it again does nothing, and is `false`.
    ///
    /// ```
    /// use inplace::RegionOptions;
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let key = region.put(b"mine")?;
    /// region.bind_to_process(key)?;
    /// region.unbind_from_process(key)?; // everybody's again
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotOwner`](crate::Error::NotOwner) when it is bound to another process,
    /// [`Error::NotFound`](crate::Error::NotFound) when it is not there.
    pub fn bind_to_process(&self, key: Key) -> Result<bool> {
        let id = self.object_id(key)?;
        self.attachment.actor()?.bind_to_me(id)
    }

    /// Makes an object that is bound to this process everybody's: it stays until somebody evicts it.
    ///
    /// # Errors
    /// [`Error::NotOwner`](crate::Error::NotOwner) when it is not bound to this process,
    /// [`Error::NotFound`](crate::Error::NotFound) when it is not there.
    pub fn unbind_from_process(&self, key: Key) -> Result<()> {
        let id = self.object_id(key)?;
        self.attachment.actor()?.lift_bond(id)
    }

    /// Offers an object that is bound to this process to whoever [adopts](Region::adopt_object) it with the number that is
    /// returned. Until then it still ends with this process, which may adopt it itself.
    ///
    /// # Errors
    /// As [`unbind_from_process`](Region::unbind_from_process).
    pub fn offer_object(&self, key: Key) -> Result<u64> {
        let id = self.object_id(key)?;
        self.attachment.actor()?.offer_bond(id)
    }

    /// Binds an object to this process that was offered under that number: of any number of adopters exactly one gets it.
    ///
    /// # Errors
    /// [`Error::AlreadyAdopted`](crate::Error::AlreadyAdopted),
    /// [`Error::NotFound`](crate::Error::NotFound) when it is not there, as when the process that offered it has ended.
    pub fn adopt_object(&self, key: Key, offer: u64) -> Result<()> {
        let id = self.object_id(key)?;
        self.attachment.actor()?.adopt_bond(id, offer)
    }

    /// Evicts an object if it is bound to this process and not offered to others; whether it did.
    ///
    /// # Errors
    /// As [`evict`](Region::evict).
    pub fn evict_bound(&self, key: Key) -> Result<bool> {
        let id = self.object_id(key)?;
        let was_mine = self.attachment.actor()?.evict_mine(id);
        if was_mine {
            self.count(Counted::Eviction);
        }
        Ok(was_mine)
    }

    /// A number that this process has, and no other has or ever had in this region; a forked child has another.
    ///
    /// # Errors
    /// [`Error::Severed`](crate::Error::Severed).
    pub fn process(&self) -> Result<u64> {
        let tag = self.attachment.me()?.tag();
        Ok(self.attachment.identity.incarnation() << 12 | u64::from(tag))
    }
}
