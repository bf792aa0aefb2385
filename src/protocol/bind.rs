//! Names bound to objects: copy-on-write buckets.
//!
//! ```text
//! lookup: load the bucket word · pin what it names, or again · read
//! bind:   S1 claim slot n · S2 old = bucket word, pin old, read it · S3 n.link = old or EMPTY, bytes, pin n,
//!         READY(me) · S4 CAS bucket old -> n (lost: evict n, unpin, from S1) · S5 evict old · no name left in n: S5a
//!         CAS bucket n -> EMPTY · S5b evict n · S6 n.link = none · S7 unpin n and old
//! ```
//!
//! Killed with the link set: the reaper, before it clears the dead one's counts, loads the bucket word; if it is `n`, and
//! `n` has no names, it does S5a. Then it evicts `old` unless it is current, and `n` unless it is current. Idempotent,
//! whatever others bound meanwhile, because an object id is never given twice and `n`, pinned, keeps its slot until S7.

use crate::actor::{Actor, Refusal};
use crate::error::{Error, Result};
use crate::layout::slot::{DOOMED, EVICTED, Link, ObjectId, Place, SlotWord, State, VERSION};
use crate::names::{self, Bucket};
use crate::protocol::pin::Pin;
use crate::sync::Ordering;

impl<'a> Actor<'a> {
    /// The object a name is bound to.
    pub(crate) fn lookup(&self, name: &str) -> Result<Option<ObjectId>> {
        let bucket = names::bucket_of(name);
        let Some((_pin, names)) = self.read_bucket(bucket)? else { return Ok(None) };
        Ok(names.find(name).filter(|&id| self.is_bindable(id)))
    }

    /// Binds a name to an object, or to nothing; what it was bound to before.
    pub(crate) fn bind(
        &self,
        name: &str,
        target: Option<ObjectId>,
    ) -> Result<Option<ObjectId>, Refusal> {
        self.bind_if(name, target, |_| true)
    }

    /// Binds a name if what it is bound to before is as wanted; that, bound or not.
    pub(crate) fn bind_if(
        &self,
        name: &str,
        target: Option<ObjectId>,
        is_wanted: impl Fn(Option<ObjectId>) -> bool,
    ) -> Result<Option<ObjectId>, Refusal> {
        if let Some(id) = target.filter(|&id| !self.is_bindable(id)) {
            let region = self.segment.header().region_id.load(Ordering::Relaxed);
            return Err(Error::NotFound { key: id.key(region) }.into());
        }
        loop {
            let bucket = names::bucket_of(name);
            let (old, mut names) = match self.read_bucket(bucket)? {
                Some((pin, names)) => (Some(pin), names),
                None => (None, Bucket::default()),
            };
            let found = names.find(name);
            if target.is_none() && found.is_none() {
                return Ok(None);
            }
            let before = found.filter(|&id| self.is_bindable(id));
            if !is_wanted(before) {
                return Ok(before);
            }
            names.entries.retain(|(bound, id)| bound != name && self.is_bindable(*id));
            names.entries.extend(target.map(|id| (name.to_owned(), id)));
            if self.replace_bucket(bucket, old, &names)? {
                return Ok(before);
            }
        }
    }

    /// Whether the object is there or promised, or the variable or the queue there.
    fn is_bindable(&self, id: ObjectId) -> bool {
        self.segment.slot(id.slot()).is_some_and(|slot| {
            let word = SlotWord(slot.word.load(Ordering::SeqCst));
            if word.is_ready(id) {
                return self.ready_word(id, slot).is_some();
            }
            word.is_generation_of(id)
                && !word.has(EVICTED | DOOMED)
                && matches!(
                    word.state(),
                    Some(State::Pending | State::Filling | State::Variable | State::Channel)
                )
        })
    }

    pub(crate) fn read_bucket(&self, bucket: u64) -> Result<Option<(Pin<'a>, Bucket)>> {
        let mut missed = None;
        loop {
            let word = self.segment.name_bucket(bucket).load(Ordering::SeqCst);
            let Some(current) = ObjectId::from_word(word) else { return Ok(None) };
            if let Some(pin) = self.pin(current)? {
                let names = Bucket::decode(pin.bytes()?)?;
                return Ok(Some((pin, names)));
            }
            // A version is evicted only after the word names another one.
            if missed.replace(word) == Some(word) {
                let what = format!("name bucket {bucket} names {current:?}, which is not READY");
                return Err(Error::corrupt(what));
            }
        }
    }

    /// S1 and S3 to S7; `false`: the bucket was replaced meanwhile.
    fn replace_bucket(
        &self,
        bucket: u64,
        old: Option<Pin<'a>>,
        names: &Bucket,
    ) -> Result<bool, Refusal> {
        let bytes = names.encode();
        let writing = self.start_writing(bytes.len() as u64)?;
        let (index, slot, word) =
            (writing.claimed.index, writing.claimed.slot, writing.claimed.word);
        self.write_block(index, writing.block, &bytes)?;
        let old_id = old.as_ref().map(|pin| pin.id);
        slot.place.store(Place::Bucket(bucket).to_word(), Ordering::Relaxed);
        // Release: a reaper that still takes the slot for an earlier version sees with the link that it is not.
        slot.link.store(Link::replacing(old_id).0, Ordering::Release);
        let new = self.pin_own(writing.claimed.id(), slot)?;
        let ready = SlotWord::new(word.generation(), State::Ready).owned_by(self.me).with(VERSION);
        let id = writing.publish_as(ready, bytes.len() as u64, names::FINGERPRINT);
        let (from, cell) = (old_id.map_or(0, |id| id.0), self.segment.name_bucket(bucket));
        let replaced =
            cell.compare_exchange(from, id.0, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        match old_id {
            _ if !replaced => self.evict_version(id),
            Some(predecessor) => self.evict_version(predecessor),
            None => {}
        }
        // A bucket without names holds no slot.
        if replaced && names.entries.is_empty() && self.clear_bucket(bucket, id) {
            self.evict_version(id);
        }
        new.slot.link.store(Link::NONE.0, Ordering::SeqCst);
        Ok(replaced)
    }

    /// S5a; `false`: another version is current by now.
    pub(super) fn clear_bucket(&self, bucket: u64, version: ObjectId) -> bool {
        let cell = self.segment.name_bucket(bucket);
        cell.compare_exchange(version.0, 0, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}
