//! A dictionary of this process: for tests, and for programs of one process.

mod variables;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::thread::Thread;
use std::time::{Duration, Instant};

use crate::connector::config::{ConnectorConfig, check_name};
use crate::connector::heap::HeapBytes;
use crate::connector::local::variables::Variable;
use crate::connector::{
    Block, Connector, Deferrable, Fill, Lasting, Loan, Loaning, Offer, Variables, Watch,
    hold_at_fork,
};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::region::fork::Hook;
use crate::sync::{AtomicBool, AtomicU64, Ordering};
use crate::sys::latch::{Held, Latch};

mod bond;
mod lasting;

use lasting::Object;

const SHARDS: usize = 16;
/// A waiter looks again after this long even if nobody wakes it: a forked child has none of its parent's threads.
const WAIT_SLICE: Duration = Duration::from_millis(100);

/// Every dictionary, also those that nobody named.
static DICTIONARIES: Latch<BTreeMap<String, Weak<Dictionary>>> = Latch::new(BTreeMap::new());

/// Stores objects in a dictionary of this process, each on the heap.
///
/// ```
/// use inplace::connector::{Connector, LocalConnector};
///
/// let local = LocalConnector::new();
/// let key = local.put(b"bytes")?;
/// assert_eq!(&*local.get(key)?.unwrap(), b"bytes");
/// assert!(local.evict(key)?);
/// assert!(local.get(key)?.is_none());
/// # Ok::<(), inplace::Error>(())
/// ```
pub struct LocalConnector {
    dictionary: Arc<Dictionary>,
    closed: AtomicBool,
}

struct Dictionary {
    name: String,
    space: u64,
    next: AtomicU64,
    shards: [Latch<Shard>; SHARDS],
    types: Latch<BTreeMap<Fingerprint, String>>,
    /// When the next lease may be over; the largest number when there is none.
    soonest: AtomicU64,
    /// Of variables.
    names: Latch<BTreeMap<String, u64>>,
}

type Shard = HashMap<u64, Entry>;

enum Entry {
    Ready(Object),
    Pending(Promise),
    Broken,
    Variable(Variable),
}

/// Who waits for a value, and how often whoever owes it has changed.
#[derive(Default)]
struct Promise {
    threads: Vec<Thread>,
    listeners: Vec<Listener>,
    hands: u64,
}

struct Listener {
    number: u64,
    process: u32,
    waker: Waker,
}

impl LocalConnector {
    /// A new dictionary with a name of its own.
    #[must_use]
    pub fn new() -> Self {
        let dictionary = Arc::new(Dictionary::new(None));
        remember(&mut dictionaries(), &dictionary);
        Self::over(dictionary)
    }

    /// The dictionary of that name in this process; made if no connector to it lives.
    pub fn named(name: &str) -> Result<Self> {
        check_name("dictionary", name)?;
        let mut dictionaries = dictionaries();
        if let Some(dictionary) = dictionaries.get(name).and_then(Weak::upgrade) {
            return Ok(Self::over(dictionary));
        }
        let dictionary = Arc::new(Dictionary::new(Some(name)));
        remember(&mut dictionaries, &dictionary);
        Ok(Self::over(dictionary))
    }

    fn over(dictionary: Arc<Dictionary>) -> Self {
        Self { dictionary, closed: AtomicBool::new(false) }
    }

    fn open(&self) -> Result<&Arc<Dictionary>> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::Closed {
                what: format!("local connector {:?}", self.dictionary.name),
            });
        }
        Ok(&self.dictionary)
    }

    fn owning(&self, key: Key) -> Result<&Dictionary> {
        let dictionary = self.open()?;
        if key.space() == dictionary.space {
            return Ok(dictionary);
        }
        let (expected, found, name) = (key.space(), dictionary.space, dictionary.name.clone());
        Err(Error::WrongRegion { key, expected, found, name })
    }
}

impl Default for LocalConnector {
    fn default() -> Self {
        Self::new()
    }
}

impl Dictionary {
    fn new(name: Option<&str>) -> Self {
        let space = random();
        Self {
            name: name.map_or_else(|| format!("local-{space:016x}"), str::to_owned),
            space,
            next: AtomicU64::new(1),
            shards: std::array::from_fn(|_| Latch::new(Shard::new())),
            types: Latch::new(BTreeMap::new()),
            soonest: AtomicU64::new(u64::MAX),
            names: Latch::new(BTreeMap::new()),
        }
    }

    /// Looks at a shard or changes it. `use_it` runs no code of a user, and gives back what is to be dropped.
    fn with<R>(&self, object: u64, use_it: impl FnOnce(&mut Shard) -> R) -> R {
        let mut shard = self.shards[object as usize % SHARDS].lock();
        let is_over = shard.get(&object).is_some_and(Entry::is_over);
        let over = if is_over { shard.remove(&object) } else { None };
        let used = use_it(&mut shard);
        drop(shard);
        drop(over);
        used
    }

    fn add(&self, entry: Entry) -> Key {
        self.expire();
        let object = self.next.fetch_add(1, Ordering::Relaxed);
        self.with(object, |shard| shard.insert(object, entry));
        Key::new(self.space, object)
    }

    /// Turns a promise into `entry`, and says what it was if it was none.
    fn settle(&self, key: Key, entry: Entry) -> Result<()> {
        let waiters = self.with(key.object(), |shard| match shard.get_mut(&key.object()) {
            None | Some(Entry::Variable(_)) => Err(Error::NotFound { key }),
            Some(Entry::Ready(_)) => Err(Error::AlreadySet { key }),
            Some(Entry::Broken) => Err(Error::Broken { key }),
            Some(promise) => Ok(std::mem::replace(promise, entry)),
        })?;
        waiters.wake();
        Ok(())
    }

    /// The value of `key` if there is one now; else leaves the current thread to be woken, if it `stays`.
    fn poll(&self, key: Key, stays: bool) -> Result<Option<Block>> {
        self.with(key.object(), |shard| match shard.get_mut(&key.object()) {
            None | Some(Entry::Variable(_)) => Err(Error::NotFound { key }),
            Some(Entry::Broken) => Err(Error::Broken { key }),
            Some(Entry::Ready(object)) => Ok(Some(object.block.clone())),
            Some(Entry::Pending(promise)) => {
                let me = std::thread::current();
                if stays && promise.threads.iter().all(|waiter| waiter.id() != me.id()) {
                    promise.threads.push(me);
                }
                Ok(None)
            }
        })
    }

    /// What `use_it` makes of a promise.
    fn with_promise<R>(
        &self,
        key: Key,
        use_it: impl FnOnce(&mut Promise) -> Result<R>,
    ) -> Result<R> {
        self.with(key.object(), |shard| match shard.get_mut(&key.object()) {
            None | Some(Entry::Variable(_)) => Err(Error::NotFound { key }),
            Some(Entry::Ready(_)) => Err(Error::AlreadySet { key }),
            Some(Entry::Broken) => Err(Error::Broken { key }),
            Some(Entry::Pending(promise)) => use_it(promise),
        })
    }
}

impl Entry {
    fn wake(self) {
        match self {
            Self::Pending(promise) => {
                promise.threads.iter().for_each(Thread::unpark);
                promise.listeners.into_iter().for_each(Listener::wake);
            }
            Self::Variable(variable) => variable.wake(),
            Self::Ready(_) | Self::Broken => {}
        }
    }
}

impl Listener {
    /// One of the parent's means nothing in a forked child, not even to be dropped.
    fn wake(self) {
        if self.process == std::process::id() {
            self.waker.wake();
        } else {
            std::mem::forget(self.waker);
        }
    }
}

/// A waker in the list of a promise or a variable, until this is dropped.
struct Listed {
    dictionary: Weak<Dictionary>,
    key: Key,
    number: u64,
    process: u32,
}

impl Drop for Listed {
    fn drop(&mut self) {
        let Some(dictionary) = self.dictionary.upgrade() else { return };
        if self.process != std::process::id() {
            return;
        }
        let removed = dictionary.with(self.key.object(), |shard| {
            let listeners = match shard.get_mut(&self.key.object()) {
                Some(Entry::Pending(promise)) => &mut promise.listeners,
                Some(Entry::Variable(variable)) => &mut variable.listeners,
                _ => return None,
            };
            let at = listeners.iter().position(|listener| listener.number == self.number);
            at.map(|at| listeners.swap_remove(at))
        });
        drop(removed);
    }
}

impl Connector for LocalConnector {
    fn put_with(&self, size: usize, fingerprint: Fingerprint, fill: &mut Fill<'_>) -> Result<Key> {
        let dictionary = self.open()?;
        let block = Block::filled(size, fingerprint, fill)?;
        Ok(dictionary.add(Entry::Ready(block.into())))
    }

    fn get(&self, key: Key) -> Result<Option<Block>> {
        self.owning(key)?.with(key.object(), |shard| match shard.get(&key.object()) {
            Some(Entry::Ready(object)) => Ok(Some(object.block.clone())),
            Some(Entry::Pending(_) | Entry::Broken | Entry::Variable(_)) | None => Ok(None),
        })
    }

    fn take(&self, key: Key) -> Result<Option<Block>> {
        self.owning(key)?.with(key.object(), |shard| match shard.get(&key.object()) {
            Some(Entry::Ready(_)) => match shard.remove(&key.object()) {
                Some(Entry::Ready(object)) => Ok(Some(object.block)),
                _ => Ok(None),
            },
            Some(Entry::Pending(_) | Entry::Broken | Entry::Variable(_)) | None => Ok(None),
        })
    }

    fn exists(&self, key: Key) -> Result<bool> {
        self.owning(key)?.with(key.object(), |shard| {
            let value = |block: &Block| !Fingerprint::is_outcome(block.fingerprint().get());
            Ok(match shard.get(&key.object()) {
                Some(Entry::Ready(object)) => value(&object.block),
                Some(Entry::Variable(_)) => true,
                _ => false,
            })
        })
    }

    fn evict(&self, key: Key) -> Result<bool> {
        let evicted = self.owning(key)?.with(key.object(), |shard| shard.remove(&key.object()));
        let was_there = evicted.is_some();
        evicted.into_iter().for_each(Entry::wake);
        Ok(was_there)
    }

    fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn space(&self) -> Option<u64> {
        Some(self.dictionary.space)
    }

    fn config(&self) -> ConnectorConfig {
        ConnectorConfig::local(&self.dictionary.name)
    }

    fn register_type(&self, fingerprint: Fingerprint, name: &str) {
        self.dictionary.types.lock().insert(fingerprint, name.to_owned());
    }

    fn describe(&self, fingerprint: Fingerprint) -> Option<String> {
        self.dictionary.types.lock().get(&fingerprint).cloned()
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        Some(self)
    }

    fn loaning(&self) -> Option<&dyn Loaning> {
        Some(self)
    }

    fn lasting(&self) -> Option<&dyn Lasting> {
        Some(self)
    }

    fn variables(&self) -> Option<&dyn Variables> {
        Some(self)
    }
}

impl Deferrable for LocalConnector {
    fn reserve(&self) -> Result<Key> {
        Ok(self.open()?.add(Entry::Pending(Promise::default())))
    }

    fn set_with(
        &self,
        key: Key,
        size: usize,
        fingerprint: Fingerprint,
        fill: &mut Fill<'_>,
    ) -> Result<()> {
        let dictionary = self.owning(key)?;
        dictionary.settle(key, Entry::Ready(Block::filled(size, fingerprint, fill)?.into()))
    }

    fn fail(&self, key: Key) -> Result<()> {
        self.owning(key)?.settle(key, Entry::Broken)
    }

    fn wait(&self, key: Key, timeout: Option<Duration>) -> Result<Block> {
        let dictionary = self.owning(key)?;
        let begin = Instant::now();
        loop {
            if let Some(block) = dictionary.poll(key, timeout != Some(Duration::ZERO))? {
                return Ok(block);
            }
            let waited = begin.elapsed();
            let left = timeout.map_or(WAIT_SLICE, |timeout| timeout.saturating_sub(waited));
            if left.is_zero() {
                return Err(Error::TimedOut { key, waited });
            }
            std::thread::park_timeout(left.min(WAIT_SLICE));
        }
    }

    fn offer(&self, key: Key) -> Result<Offer> {
        self.owning(key)?.with_promise(key, |promise| Ok(Offer::new(promise.hands, 0)))
    }

    fn adopt(&self, key: Key, offer: Offer) -> Result<()> {
        self.owning(key)?.with_promise(key, |promise| {
            if promise.hands != offer.keeping() {
                return Err(Error::AlreadyAdopted { key });
            }
            promise.hands += 1;
            Ok(())
        })
    }

    fn watch(&self, key: Key, waker: &Waker) -> Result<Watch> {
        self.list(key, waker, |dictionary, listener| {
            dictionary.with_promise(key, |promise| {
                promise.listeners.extend(listener.take());
                Ok(())
            })
        })
    }
}

impl LocalConnector {
    /// Has `list` take a listener, unless there is something to hear already.
    fn list(
        &self,
        key: Key,
        waker: &Waker,
        list: impl FnOnce(&Dictionary, &mut Option<Listener>) -> Result<()>,
    ) -> Result<Watch> {
        let dictionary = self.owning(key)?;
        let number = dictionary.next.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let mut listener = Some(Listener { number, process, waker: waker.clone() });
        if list(dictionary, &mut listener).is_err() || listener.is_some() {
            return Ok(Watch::over(waker));
        }
        let dictionary = Arc::downgrade(self.open()?);
        Ok(Watch::new(Listed { dictionary, key, number, process }))
    }
}

impl Loaning for LocalConnector {
    fn loan(&self, len: usize, fingerprint: Fingerprint) -> Result<Loan> {
        Ok(Loan::heap(HeapBytes::zeroed(len), fingerprint, Lender(self.open()?.clone())))
    }
}

impl fmt::Debug for LocalConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalConnector")
            .field("name", &self.dictionary.name)
            .finish_non_exhaustive()
    }
}

/// Where a loan of this connector is published.
pub(crate) struct Lender(Arc<Dictionary>);

impl Lender {
    pub(crate) fn publish(self, block: Block) -> Result<Key> {
        Ok(self.0.add(Entry::Ready(block.into())))
    }
}

fn dictionaries() -> Held<'static, BTreeMap<String, Weak<Dictionary>>> {
    static HOOK: Hook = Hook::new(lock_for_fork, unlock_after_fork);
    hold_at_fork(&HOOK);
    DICTIONARIES.lock()
}

fn remember(dictionaries: &mut BTreeMap<String, Weak<Dictionary>>, dictionary: &Arc<Dictionary>) {
    dictionaries.retain(|_, dictionary| dictionary.strong_count() > 0);
    dictionaries.insert(dictionary.name.clone(), Arc::downgrade(dictionary));
}

/// Takes every lock of every dictionary, so that a forked child finds none taken by a thread it does not have.
fn lock_for_fork() -> bool {
    let Some(dictionaries) = DICTIONARIES.lock_unless_mine() else { return false };
    let all_taken = dictionaries.values().filter_map(Weak::upgrade).all(|dictionary| {
        // In the order in which they are taken one inside another.
        keep(dictionary.names.lock_unless_mine())
            && dictionary.shards.iter().all(|shard| keep(shard.lock_unless_mine()))
            && keep(dictionary.types.lock_unless_mine())
    });
    dictionaries.keep();
    if !all_taken {
        unlock_after_fork();
    }
    all_taken
}

fn keep<T>(lock: Option<Held<'_, T>>) -> bool {
    lock.map(Held::keep).is_some()
}

fn unlock_after_fork() {
    let Some(dictionaries) = DICTIONARIES.kept() else { return };
    for dictionary in dictionaries.values().filter_map(Weak::upgrade) {
        dictionary.shards.iter().for_each(|shard| drop(shard.kept()));
        drop(dictionary.types.kept());
        drop(dictionary.names.kept());
    }
}

fn random() -> u64 {
    RandomState::new().hash_one((std::process::id(), std::time::SystemTime::now()))
}
