//! How long objects of a dictionary stay.

use crate::connector::local::bond::{Bond, To};
use crate::connector::local::variables::Variable;
use crate::connector::local::{Dictionary, Entry, LocalConnector};
use crate::connector::{Block, Fill, Lasting};
use crate::deadline::{Deadline, Term};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::sync::Ordering;

/// A value, and what ends it.
pub(super) struct Object {
    pub(super) block: Block,
    deadline: Option<Deadline>,
    bond: Bond,
}

impl From<Block> for Object {
    fn from(block: Block) -> Self {
        Self { block, deadline: None, bond: Bond::NONE }
    }
}

impl Entry {
    /// Whether it has outlived its lease.
    pub(super) fn is_over(&self) -> bool {
        matches!(self, Self::Ready(object) if object.deadline.is_some_and(Deadline::has_passed))
    }
}

impl Dictionary {
    /// Looks at an object that is there; `None` when it is not.
    fn with_object<R>(&self, key: Key, use_it: impl FnOnce(&mut Object) -> R) -> Option<R> {
        self.with(key.object(), |shard| match shard.get_mut(&key.object()) {
            Some(Entry::Ready(object)) => Some(use_it(object)),
            _ => None,
        })
    }

    fn rebind(&self, key: Key, change: impl FnOnce(&mut Bond) -> Result<()>) -> Result<()> {
        self.with(key.object(), |shard| match shard.get_mut(&key.object()) {
            Some(Entry::Ready(object)) => change(&mut object.bond),
            Some(Entry::Variable(variable)) => change(&mut variable.bond),
            _ => Err(Error::NotFound { key }),
        })
    }

    fn note(&self, deadline: Option<Deadline>) {
        let nanos = deadline.map_or(u64::MAX, Deadline::nanos);
        self.soonest.fetch_min(nanos, Ordering::Relaxed);
    }

    /// Drops what has outlived its lease, when something may have.
    pub(super) fn expire(&self) {
        let soonest = Deadline::from_nanos(self.soonest.load(Ordering::Relaxed));
        if !soonest.is_some_and(Deadline::has_passed) {
            return;
        }
        // Those that stay are noted again, and so is what comes meanwhile.
        self.soonest.store(u64::MAX, Ordering::Relaxed);
        for shard in &self.shards {
            let mut shard = shard.lock();
            let over: Vec<_> = shard.extract_if(|_, entry| entry.is_over()).collect();
            for entry in shard.values() {
                if let Entry::Ready(object) = entry {
                    self.note(object.deadline);
                }
            }
            drop(shard);
            drop(over);
        }
    }
}

impl Lasting for LocalConnector {
    fn put_for(
        &self,
        size: usize,
        (fingerprint, term): (Fingerprint, Term),
        fill: &mut Fill<'_>,
    ) -> Result<Key> {
        let dictionary = self.open()?;
        let mut object = Object::from(Block::filled(size, fingerprint, fill)?);
        match term {
            Term::Unlimited => {}
            Term::Until(deadline) => object.deadline = Some(deadline),
            Term::Process => object.bond = Bond::MINE,
        }
        let deadline = object.deadline;
        let key = dictionary.add(Entry::Ready(object));
        dictionary.note(deadline);
        Ok(key)
    }

    fn set_deadline(&self, key: Key, deadline: Option<Deadline>) -> Result<bool> {
        let dictionary = self.owning(key)?;
        let set = dictionary.with_object(key, |object| object.deadline = deadline).is_some();
        dictionary.note(deadline);
        Ok(set)
    }

    fn bind_to_process(&self, key: Key) -> Result<bool> {
        let mut is_new = true;
        self.owning(key)?.rebind(key, |bond| match bond.to {
            To::Me => {
                is_new = false;
                Ok(())
            }
            _ => bond.change(To::Nobody, To::Me),
        })?;
        Ok(is_new)
    }

    fn unbind_from_process(&self, key: Key) -> Result<()> {
        self.owning(key)?.rebind(key, |bond| bond.change(To::Me, To::Nobody))
    }

    fn offer(&self, key: Key) -> Result<u64> {
        let mut number = 0;
        self.owning(key)?.rebind(key, |bond| {
            bond.change(To::Me, To::WhoeverAdopts)?;
            bond.offers = bond.offers.wrapping_add(1);
            number = bond.offers;
            Ok(())
        })?;
        Ok(number)
    }

    fn adopt(&self, key: Key, offer: u64) -> Result<()> {
        self.owning(key)?.rebind(key, |bond| {
            if !bond.is_offered() || bond.offers != offer {
                return Err(Error::AlreadyAdopted { key });
            }
            bond.to = To::Me;
            Ok(())
        })
    }

    fn evict_bound(&self, key: Key) -> Result<bool> {
        let dictionary = self.owning(key)?;
        let evicted =
            dictionary.with(key.object(), |shard| match shard.get(&key.object()) {
                Some(
                    Entry::Ready(Object { bond, .. }) | Entry::Variable(Variable { bond, .. }),
                ) if bond.to == To::Me => shard.remove(&key.object()),
                _ => None,
            });
        let is_evicted = evicted.is_some();
        if let Some(Entry::Variable(variable)) = evicted {
            variable.wake();
        }
        Ok(is_evicted)
    }

    fn process(&self) -> Result<u64> {
        self.open()?;
        Ok(std::process::id().into())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::connector::Connector;

    #[test]
    fn what_nobody_asks_for_any_more_is_dropped_by_a_later_put() {
        let local = LocalConnector::new();
        let kind = |time| (Fingerprint::BYTES, Term::Until(Deadline::after(time)));
        let put = |time| local.put_for(0, kind(time), &mut |_| Ok(())).unwrap();
        (0..20).for_each(|_| _ = put(Duration::from_millis(1)));
        let late = put(Duration::from_secs(3600));
        std::thread::sleep(Duration::from_millis(2));
        local.put(b"another").unwrap();
        let left = local.dictionary.shards.iter().map(|shard| shard.lock().len()).sum::<usize>();
        assert_eq!(left, 2);
        assert!(local.set_deadline(late, Some(Deadline::after(Duration::ZERO))).unwrap());
        local.put(b"a third").unwrap();
        let left = local.dictionary.shards.iter().map(|shard| shard.lock().len()).sum::<usize>();
        assert_eq!(left, 2, "the soonest deadline is noted again");
    }
}
