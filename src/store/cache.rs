//! Values that a codec made anew, kept for the next get. It never pins: every get asks the connector first, so nothing
//! here can outlive its object's evict, or keep its memory.

use std::any::Any;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, TryLockError};

use crossbeam::utils::{Backoff, CachePadded};
use lru::LruCache;

use crate::key::Key;
use crate::sync::{AtomicBool, Ordering};

const SHARDS_MAX: usize = 8;
const SHARD_ENTRIES: usize = 16;

/// A least-recently-used cache with a budget of entries and one of bytes, in shards.
///
/// A lock that cannot be had soon is a miss: a forked child may have inherited one that nobody will ever unlock.
pub(crate) struct Cache {
    shards: Box<[CachePadded<Mutex<Shard>>]>,
    hasher: RandomState,
    entries: usize,
    bytes: u64,
    used: AtomicBool,
}

type Value = Box<dyn Any + Send + Sync>;

struct Shard {
    values: LruCache<Key, Cached>,
    bytes: u64,
}

struct Cached {
    value: Value,
    bytes: u64,
}

impl Cache {
    /// A cache of at most `entries` values that stand for at most `bytes` bytes.
    pub(crate) fn new(entries: usize, bytes: u64) -> Self {
        let shards = (entries / SHARD_ENTRIES).clamp(1, SHARDS_MAX);
        Self {
            shards: (0..shards).map(|_| CachePadded::new(Mutex::new(Shard::new()))).collect(),
            hasher: RandomState::new(),
            entries: entries.div_ceil(shards),
            bytes: bytes / shards as u64,
            used: AtomicBool::new(false),
        }
    }

    /// Whether anything was ever put in: what is not is not worth asking.
    #[inline]
    pub(crate) fn is_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn get<V: Clone + 'static>(&self, key: &Key) -> Option<V> {
        self.shard(key)?.values.get(key)?.value.downcast_ref::<V>().cloned()
    }

    /// Keeps `value`, which stands for `bytes` bytes, in place of those used least recently.
    pub(crate) fn insert<V: Send + Sync + 'static>(&self, key: Key, value: V, bytes: u64) {
        if bytes > self.bytes {
            return;
        }
        let cached = Cached { value: Box::new(value), bytes };
        let Some(mut shard) = self.shard(&key) else { return };
        let displaced = shard.insert(key, cached, (self.entries, self.bytes));
        drop(shard);
        self.used.store(true, Ordering::Relaxed);
        drop(displaced);
    }

    pub(crate) fn remove(&self, key: &Key) {
        let removed = self.shard(key).and_then(|mut shard| shard.remove(key));
        drop(removed);
    }

    pub(crate) fn clear(&self) {
        for shard in &self.shards {
            let values = lock(shard).map(|mut shard| std::mem::replace(&mut *shard, Shard::new()));
            drop(values);
        }
    }

    fn shard(&self, key: &Key) -> Option<MutexGuard<'_, Shard>> {
        let at = if self.shards.len() == 1 {
            0
        } else {
            self.hasher.hash_one(key) as usize % self.shards.len()
        };
        lock(&self.shards[at])
    }
}

/// Nothing that runs under a shard's lock is a user's: values are dropped by the caller.
fn lock(shard: &Mutex<Shard>) -> Option<MutexGuard<'_, Shard>> {
    let backoff = Backoff::new();
    loop {
        match shard.try_lock() {
            Ok(guard) => return Some(guard),
            Err(TryLockError::Poisoned(guard)) => return Some(guard.into_inner()),
            Err(TryLockError::WouldBlock) if backoff.is_completed() => return None,
            Err(TryLockError::WouldBlock) => backoff.snooze(),
        }
    }
}

impl Shard {
    fn new() -> Self {
        Self { values: LruCache::unbounded(), bytes: 0 }
    }

    /// What has to go for `cached` to stay within the budgets.
    fn insert(&mut self, key: Key, cached: Cached, (entries, bytes): (usize, u64)) -> Vec<Cached> {
        self.bytes += cached.bytes;
        let mut displaced: Vec<_> =
            self.values.push(key, cached).into_iter().map(|(_, old)| old).collect();
        self.bytes -= displaced.iter().map(|old| old.bytes).sum::<u64>();
        while self.values.len() > entries || self.bytes > bytes {
            let Some((_, oldest)) = self.values.pop_lru() else { break };
            self.bytes -= oldest.bytes;
            displaced.push(oldest);
        }
        displaced
    }

    fn remove(&mut self, key: &Key) -> Option<Cached> {
        let removed = self.values.pop(key)?;
        self.bytes -= removed.bytes;
        Some(removed)
    }
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache")
            .field("shards", &self.shards.len())
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn key(number: u64) -> Key {
        Key::new(1, number)
    }

    #[test]
    fn the_value_used_least_recently_goes_first() {
        let cache = Cache::new(2, 1000);
        for number in 0..2 {
            cache.insert(key(number), number, 1);
        }
        assert_eq!(cache.get::<u64>(&key(0)), Some(0));
        cache.insert(key(2), 2_u64, 1);
        assert_eq!(cache.get::<u64>(&key(1)), None);
        assert_eq!((cache.get(&key(0)), cache.get(&key(2))), (Some(0_u64), Some(2_u64)));
        assert_eq!(cache.get::<u32>(&key(0)), None, "another type is not there");
    }

    #[test]
    fn the_byte_budget_holds_and_every_value_is_dropped_once() {
        let count = Arc::new(());
        let cache = Cache::new(100, 8 * 6);
        for number in 0..50 {
            cache.insert(key(number), count.clone(), 3);
            cache.insert(key(number), count.clone(), 3);
            assert!(cache.shards.iter().all(|shard| lock(shard).unwrap().bytes <= 8 * 6));
        }
        let kept: usize = cache.shards.iter().map(|shard| lock(shard).unwrap().values.len()).sum();
        assert_eq!(Arc::strong_count(&count), 1 + kept);
        cache.insert(key(99), count.clone(), 1000);
        assert!(cache.get::<Arc<()>>(&key(99)).is_none());
        cache.clear();
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    fn a_lock_that_nobody_will_unlock_is_a_miss() {
        let cache = Cache::new(4, 100);
        cache.insert(key(1), 1_u64, 1);
        let held = cache.shards[0].lock().unwrap();
        assert_eq!(cache.get::<u64>(&key(1)), None);
        cache.insert(key(2), 2_u64, 1);
        cache.clear();
        drop(held);
        assert_eq!(cache.get::<u64>(&key(1)), Some(1));
    }
}
