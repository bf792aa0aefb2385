//! The operations of a region, with their errors made readable and a second try after reaping and trimming.

use crate::actor::{Actor, Refusal};
use crate::arena::Usage;
use crate::deadline::Term;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::layout::geometry::UNIT;
use crate::layout::slot::ObjectId;
use crate::names;
use crate::protocol::check::{Report, Walk};
use crate::protocol::write::Writing;
use crate::region::counters::Counted;
use crate::region::pinned::Pinned;
use crate::region::{Lifespan, Region, reap};
use crate::sys::limits;
use crate::writer::{BlockWriter, Fill, FillBatch};

impl Region {
    #[inline]
    pub(super) fn object_id(&self, key: Key) -> Result<ObjectId> {
        if key.space() == self.id() { Ok(ObjectId(key.object())) } else { Err(self.foreign(key)) }
    }

    #[cold]
    fn foreign(&self, key: Key) -> Error {
        Error::WrongRegion {
            key,
            expected: key.space(),
            found: self.id(),
            name: self.name().to_owned(),
        }
    }

    pub(super) fn key(&self, id: ObjectId) -> Key {
        id.key(self.id())
    }

    /// The key of an object just put.
    #[inline]
    pub(super) fn put_key(&self, id: ObjectId) -> Key {
        self.count_put(id);
        self.key(id)
    }

    /// Tries, and once more after reaping the dead and giving unused pages back when there was no room.
    #[inline]
    pub(super) fn relieved<T>(
        &self,
        requested: u64,
        mut attempt: impl FnMut(&Actor<'_>) -> Result<T, Refusal>,
    ) -> Result<T> {
        let actor = self.attachment.actor()?;
        match attempt(&actor) {
            Ok(done) => Ok(done),
            Err(Refusal::Error(error)) => Err(error),
            Err(refusal) => {
                self.relieve(&actor, &refusal, requested)?;
                attempt(&actor).map_err(|refusal| self.explain(refusal, requested))
            }
        }
    }

    #[cold]
    fn relieve(&self, actor: &Actor<'_>, refusal: &Refusal, requested: u64) -> Result<()> {
        reap::reap_dead(self.attachment)?;
        actor.expire_all();
        if matches!(refusal, Refusal::NoSpace { by_system: true }) {
            actor.retire_empty_slabs();
            // The object may have needed a chunk of the index, too, a unit of which it takes a part, and tables for both.
            let overhead = self.attachment.segment.geometry().chunk_stride() + 2 * UNIT;
            actor.trim_units(requested.saturating_add(overhead));
        }
        Ok(())
    }

    #[cold]
    fn explain(&self, refusal: Refusal, requested: u64) -> Error {
        let by_system = match refusal {
            Refusal::Error(error) => return error,
            Refusal::NoSlot => return Error::OutOfSlots { max_objects: self.max_objects() },
            Refusal::NoSpace { by_system } => by_system,
        };
        let usage = Usage::of(&self.attachment.segment);
        let remedy = if by_system {
            self.explain_system()
        } else {
            "evict objects, or create the region with a larger `capacity` (it is address space: memory is taken as \
             objects need it)"
                .into()
        };
        Error::OutOfSpace { requested, in_use: usage.in_use, capacity: self.capacity(), remedy }
    }

    fn explain_system(&self) -> String {
        if self.lifespan() == Lifespan::Anonymous {
            return "the system has no memory left: evict objects, or raise the memory limit of this container".into();
        }
        let sizes = limits::shm_space()
            .map(|space| format!(" ({} of {} bytes free)", space.available, space.total))
            .unwrap_or_default();
        format!(
            "/dev/shm is full{sizes}: evict objects, or enlarge it: `mount -o remount,size=1G /dev/shm`, in Docker \
             `--shm-size=1g`, in Kubernetes an emptyDir with `medium: Memory` mounted at /dev/shm"
        )
    }

    /// Puts a copy of `bytes`; the key is what other processes need.
    ///
    /// ```
    /// use inplace::RegionOptions;
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let key = region.put(b"bytes")?;
    /// assert_eq!(&*region.get(key)?.unwrap(), b"bytes");
    /// assert!(region.evict(key)?);
    /// assert!(region.get(key)?.is_none());
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::OutOfSpace`], [`Error::OutOfSlots`], [`Error::Severed`].
    #[inline]
    pub fn put(&self, bytes: &[u8]) -> Result<Key> {
        self.put_as(bytes, Fingerprint::BYTES)
    }

    /// Puts a copy of `bytes` that are of a type.
    ///
    /// # Errors
    /// As [`put`](Region::put).
    #[inline]
    pub fn put_as(&self, bytes: &[u8], fingerprint: Fingerprint) -> Result<Key> {
        self.relieved(bytes.len() as u64, |actor| actor.put(bytes, fingerprint))
            .map(|id| self.put_key(id))
    }

    /// Puts what `fill` writes straight into shared memory; `size` is a guess, a right one saves a second call.
    ///
    /// # Errors
    /// As [`put`](Region::put), and what `fill` returns.
    pub fn put_with(
        &self,
        size: usize,
        fingerprint: Fingerprint,
        fill: &mut Fill<'_>,
    ) -> Result<Key> {
        let kind = (fingerprint, Term::Unlimited);
        self.relieved(size as u64, |actor| actor.put_with(size as u64, kind, fill))
            .map(|id| self.put_key(id))
    }

    /// Puts copies of all `items`, or of none; the keys are in their order.
    ///
    /// # Errors
    /// As [`put`](Region::put).
    pub fn put_batch(&self, items: &[&[u8]]) -> Result<Vec<Key>> {
        let requested = items.iter().map(|item| item.len() as u64).sum();
        self.relieved(requested, |actor| {
            let mut writings = Vec::with_capacity(items.len());
            for item in items {
                let writing = actor.start_writing(item.len() as u64)?;
                actor.write_block(writing.claimed.index, writing.block, item)?;
                writings.push((writing, item.len() as u64));
            }
            let publish =
                |(writing, len): (Writing<'_>, u64)| writing.publish(len, Fingerprint::BYTES);
            Ok(writings.into_iter().map(|written| self.put_key(publish(written))).collect())
        })
    }

    /// Puts as many objects as there are guesses in `sizes`, or none; `fill` writes each straight into shared memory, as in
    /// [`put_with`](Region::put_with). None can be seen before all are written.
    ///
    /// ```
    /// use inplace::{Fingerprint, RegionOptions};
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let keys = region.put_batch_with(&[1, 1], Fingerprint::BYTES, &mut |at, out| {
    ///     out.write(["one", "three"][at].as_bytes());
    ///     Ok(())
    /// })?;
    /// assert_eq!(&*region.get(keys[1])?.unwrap(), b"three");
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`put`](Region::put), and what `fill` returns.
    pub fn put_batch_with(
        &self,
        sizes: &[usize],
        fingerprint: Fingerprint,
        fill: &mut FillBatch<'_>,
    ) -> Result<Vec<Key>> {
        let requested = sizes.iter().fold(0_u64, |sum, size| sum.saturating_add(*size as u64));
        self.relieved(requested, |actor| {
            let mut written = Vec::with_capacity(sizes.len());
            for (at, size) in sizes.iter().enumerate() {
                let mut fill = |out: &mut BlockWriter<'_>| fill(at, out);
                let pair = |writing, len| (writing, len);
                written.push(actor.write_with(*size as u64, &mut fill, pair)?);
            }
            let publish = |(writing, len): (Writing<'_>, u64)| {
                self.put_key(writing.publish(len, fingerprint))
            };
            Ok(written.into_iter().map(publish).collect())
        })
    }

    /// The object in place; `None` when it was evicted, never existed, or is promised and not there yet.
    ///
    /// # Errors
    /// [`Error::WrongRegion`], [`Error::TooManyViews`], [`Error::Severed`], [`Error::Corrupt`].
    #[inline(always)]
    pub fn get(&self, key: Key) -> Result<Option<Pinned>> {
        if self.attachment.is_counted() { self.get_counted(key) } else { self.get_uncounted(key) }
    }

    #[inline(never)]
    fn get_counted(&self, key: Key) -> Result<Option<Pinned>> {
        let found = self.get_uncounted(key)?;
        self.count(if found.is_some() { Counted::Get } else { Counted::Miss });
        Ok(found)
    }

    #[inline(always)]
    fn get_uncounted(&self, key: Key) -> Result<Option<Pinned>> {
        let id = self.object_id(key)?;
        let actor = self.attachment.actor()?;
        match actor.pin(id) {
            Ok(Some(pin)) => Pinned::new(self.attachment, pin).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(with_key(error, key)),
        }
    }

    /// Evicts the object and returns it: of any number of concurrent takers exactly one gets it.
    ///
    /// # Errors
    /// As [`get`](Region::get).
    pub fn take(&self, key: Key) -> Result<Option<Pinned>> {
        let id = self.object_id(key)?;
        let actor = self.attachment.actor()?;
        let taken = actor.take(id).map_err(|error| with_key(error, key))?;
        self.count(if taken.is_some() { Counted::Get } else { Counted::Miss });
        if taken.is_some() {
            self.count(Counted::Eviction);
        }
        taken.map(|pin| Pinned::new(self.attachment, pin)).transpose()
    }

    /// Whether the object is there, or the variable.
    ///
    /// # Errors
    /// [`Error::WrongRegion`], [`Error::Severed`].
    pub fn exists(&self, key: Key) -> Result<bool> {
        Ok(self.attachment.actor()?.exists(self.object_id(key)?))
    }

    /// Evicts the object, or the variable: from now on nobody gets it; its memory returns with the last view. `false`: it
    /// was not there. A version of a variable is not evicted by its own key.
    ///
    /// # Errors
    /// [`Error::WrongRegion`], [`Error::Severed`].
    #[inline]
    pub fn evict(&self, key: Key) -> Result<bool> {
        let was_there = self.attachment.actor()?.evict(self.object_id(key)?);
        if was_there {
            self.count(Counted::Eviction);
        }
        Ok(was_there)
    }

    /// Binds a name to an object, so that others find it without its key; what it was bound to before.
    ///
    /// ```
    /// use inplace::RegionOptions;
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let key = region.put(b"weights")?;
    /// region.bind("model", key)?;
    /// assert_eq!(region.lookup("model")?, Some(key));
    /// assert_eq!(region.unbind("model")?, Some(key));
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidName`] unless the name has 1 to 1024 bytes, [`Error::NotFound`] when the object is gone, and as
    /// [`put`](Region::put).
    pub fn bind(&self, name: &str, key: Key) -> Result<Option<Key>> {
        names::check(name)?;
        let id = self.object_id(key)?;
        let before = self.relieved(name.len() as u64, |actor| actor.bind(name, Some(id)))?;
        Ok(before.map(|id| self.key(id)))
    }

    /// The key a name is bound to; `None` also when its object is gone.
    ///
    /// # Errors
    /// [`Error::InvalidName`], [`Error::Severed`], [`Error::Corrupt`].
    pub fn lookup(&self, name: &str) -> Result<Option<Key>> {
        names::check(name)?;
        Ok(self.attachment.actor()?.lookup(name)?.map(|id| self.key(id)))
    }

    /// Makes a name mean nothing; what it was bound to.
    ///
    /// # Errors
    /// As [`bind`](Region::bind).
    pub fn unbind(&self, name: &str) -> Result<Option<Key>> {
        names::check(name)?;
        let before = self.relieved(name.len() as u64, |actor| actor.bind(name, None))?;
        Ok(before.map(|id| self.key(id)))
    }

    /// Gives memory that no object uses back to the system; how many bytes.
    ///
    /// # Errors
    /// [`Error::Severed`].
    pub fn trim(&self) -> Result<u64> {
        let actor = self.attachment.actor()?;
        actor.retire_empty_slabs();
        Ok(actor.trim_units(u64::MAX))
    }

    /// Undoes what dead processes left half done; how many there were. Evicts what has outlived its lease, too. Operations
    /// do this themselves when something runs short, and so does every process that attaches.
    ///
    /// # Errors
    /// [`Error::Severed`], [`Error::System`].
    pub fn reap(&self) -> Result<usize> {
        let actor = self.attachment.actor()?;
        let reaped = reap::reap_dead(self.attachment)?;
        actor.expire_all();
        Ok(reaped)
    }

    /// Walks everything and states every broken invariant; operations go on meanwhile.
    ///
    /// # Errors
    /// [`Error::Severed`].
    pub fn check(&self) -> Result<Report> {
        let actor = self.attachment.actor()?;
        let is_alive = |participant| self.attachment.is_alive(participant).unwrap_or(true);
        Ok(Walk::over(actor, &is_alive))
    }

    /// Remembers the name of a type for the errors of all processes.
    pub(crate) fn register_type(&self, fingerprint: Fingerprint, name: &str) {
        if let Ok(actor) = self.attachment.actor() {
            actor.register_type(fingerprint, name);
        }
    }

    /// The name of a type that some process registered.
    pub(crate) fn describe_type(&self, fingerprint: Fingerprint) -> Option<String> {
        self.attachment.actor().ok()?.describe_type(fingerprint)
    }
}

#[cold]
pub(super) fn with_key(error: Error, key: Key) -> Error {
    match error {
        Error::TooManyViews { .. } => Error::TooManyViews { key },
        other => other,
    }
}
