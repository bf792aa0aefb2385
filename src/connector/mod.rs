//! Bytes by key: what a store stands on.

mod block;
mod config;
mod custom;
mod file;
mod heap;
mod loan;
mod local;
mod multi;
mod policy;
#[cfg(feature = "redis")]
mod redis;
mod series;
mod shm;
mod variables;
mod watch;

pub use block::Block;
pub use config::{
    ConnectorConfig, CustomConfig, FileConfig, LocalConfig, MemberConfig, MultiConfig, RedisConfig,
    ShmConfig,
};
pub use custom::{Factory, register_kind};
pub use file::FileConnector;
pub use loan::Loan;
pub use local::LocalConnector;
pub use multi::MultiConnector;
pub use policy::{Policy, Tags};
#[cfg(feature = "redis")]
pub use redis::RedisConnector;
pub use shm::ShmConnector;
pub use variables::{Variables, Version};
pub use watch::Watch;

pub use crate::region::Offer;

pub use crate::writer::{BlockWriter, Fill, FillBatch};

pub(crate) use config::check_name;
pub(crate) use heap::HeapBytes;

use std::task::Waker;
use std::time::Duration;

use crate::deadline::{Deadline, Term};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
pub(crate) use crate::region::fork::{Hook, hold_at_fork};
use crate::sys::latch::{Held, Latch};

/// How often whoever waits for a connector that is told of nothing looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Held for something short that a connector does once in a while, and around every fork: see [`hold_at_fork`].
pub(crate) fn one_at_a_time() -> Held<'static, ()> {
    static TURN: Latch<()> = Latch::new(());
    static HOOK: Hook =
        Hook::new(|| TURN.lock_unless_mine().map(Held::keep).is_some(), || drop(TURN.kept()));
    hold_at_fork(&HOOK);
    TURN.lock()
}

/// Stores bytes under keys it makes up. Objects are written once and never change.
///
/// A key of another connector is [`Error::WrongRegion`]; a key whose object is gone is
/// `None` or `false`.
pub trait Connector: Send + Sync + std::fmt::Debug {
    /// Stores what `fill` writes. `size` is a guess of its length in bytes: right saves a second call of `fill`.
    fn put_with(&self, size: usize, fingerprint: Fingerprint, fill: &mut Fill<'_>) -> Result<Key>;

    /// The object in place, pinned for as long as the block lives; `None` when it was evicted, never existed, or is
    /// promised and not there: whether it will come is for who [waits](Deferrable::wait).
    fn get(&self, key: Key) -> Result<Option<Block>>;

    /// Evicts the object and returns it: of any number of concurrent takers exactly one gets it.
    fn take(&self, key: Key) -> Result<Option<Block>>;

    /// Whether the object is there, or the variable.
    fn exists(&self, key: Key) -> Result<bool>;

    /// Evicts the object, or the variable: from now on nobody gets it; its memory returns with the last block. Whether it was there:
    /// of any number of concurrent calls exactly one hears `true`.
    fn evict(&self, key: Key) -> Result<bool>;

    /// Stops using the connector; closing it again does nothing. Blocks that were got stay.
    fn close(&self) -> Result<()>;

    /// What another process needs to use the same objects: see [`ConnectorConfig::connect`].
    fn config(&self) -> ConnectorConfig;

    /// The [`space`](Key::space) of this connector's keys, if it has one that it knows: a connector of several finds the
    /// one a key is of by it. Where it is `None`, each operation tells by [`Error::WrongRegion`].
    fn space(&self) -> Option<u64> {
        None
    }

    /// Stores a copy of `bytes`.
    fn put(&self, bytes: &[u8]) -> Result<Key> {
        self.put_with(bytes.len(), Fingerprint::BYTES, &mut |out| {
            out.write(bytes);
            Ok(())
        })
    }

    /// Stores copies of several byte strings; the keys are in their order. All are stored, or none.
    fn put_batch(&self, items: &[&[u8]]) -> Result<Vec<Key>> {
        let sizes: Vec<usize> = items.iter().map(|bytes| bytes.len()).collect();
        self.put_batch_with(&sizes, Fingerprint::BYTES, &mut |at, out| {
            out.write(items[at]);
            Ok(())
        })
    }

    /// Stores as many objects as there are guesses in `sizes`; the keys are in their order. All are stored, or none.
    fn put_batch_with(
        &self,
        sizes: &[usize],
        fingerprint: Fingerprint,
        fill: &mut FillBatch<'_>,
    ) -> Result<Vec<Key>> {
        let mut keys = Vec::with_capacity(sizes.len());
        for (at, size) in sizes.iter().enumerate() {
            match self.put_with(*size, fingerprint, &mut |out| fill(at, out)) {
                Ok(key) => keys.push(key),
                Err(error) => {
                    // The first error is the one to hear of.
                    let _ = self.evict_batch(&keys);
                    return Err(error);
                }
            }
        }
        Ok(keys)
    }

    /// [`get`](Connector::get) for each key, in order.
    fn get_batch(&self, keys: &[Key]) -> Result<Vec<Option<Block>>> {
        keys.iter().map(|key| self.get(*key)).collect()
    }

    /// [`take`](Connector::take) for each key, in order.
    fn take_batch(&self, keys: &[Key]) -> Result<Vec<Option<Block>>> {
        keys.iter().map(|key| self.take(*key)).collect()
    }

    /// [`exists`](Connector::exists) for each key, in order.
    fn exists_batch(&self, keys: &[Key]) -> Result<Vec<bool>> {
        keys.iter().map(|key| self.exists(*key)).collect()
    }

    /// [`evict`](Connector::evict) for each key, going on after an error; how many were there.
    fn evict_batch(&self, keys: &[Key]) -> Result<usize> {
        let mut evicted = 0;
        let mut outcome = Ok(());
        for key in keys {
            match self.evict(*key) {
                Ok(was_there) => evicted += usize::from(was_there),
                Err(error) => outcome = outcome.and(Err(error)),
            }
        }
        outcome.map(|()| evicted)
    }

    /// Keeps the name of a type, for [`describe`](Connector::describe). May be called again for the same type.
    fn register_type(&self, fingerprint: Fingerprint, name: &str) {
        let _ = (fingerprint, name);
    }

    /// The name of the type with this fingerprint, where it is known.
    fn describe(&self, fingerprint: Fingerprint) -> Option<String> {
        let _ = fingerprint;
        None
    }

    /// This connector itself, if it is shared memory: spares a store the virtual call.
    fn as_shm(&self) -> Option<&ShmConnector> {
        None
    }

    /// This connector's promises, if it has them.
    fn deferrable(&self) -> Option<&dyn Deferrable> {
        None
    }

    /// This connector's loans, if it has them.
    fn loaning(&self) -> Option<&dyn Loaning> {
        None
    }

    /// How long this connector's objects stay, if it can be told.
    fn lasting(&self) -> Option<&dyn Lasting> {
        None
    }

    /// This connector's variables, if it has them.
    fn variables(&self) -> Option<&dyn Variables> {
        None
    }
}

/// A connector whose keys can be handed out before their value exists.
pub trait Deferrable: Connector {
    /// A key whose value is promised by this process.
    fn reserve(&self) -> Result<Key>;

    /// Gives a reserved key its value, once.
    #[allow(clippy::too_many_arguments, reason = "those of `put_with`, and the key")]
    fn set_with(
        &self,
        key: Key,
        size: usize,
        fingerprint: Fingerprint,
        fill: &mut Fill<'_>,
    ) -> Result<()>;

    /// Says that the value will never come: whoever waits hears [`Error::Broken`].
    fn fail(&self, key: Key) -> Result<()>;

    /// Waits for the value; `None` waits without limit. What says why there is none
    /// ([`fail_with`](Deferrable::fail_with), [`cancel`](Deferrable::cancel)) may be returned as it is, or as the error.
    fn wait(&self, key: Key, timeout: Option<Duration>) -> Result<Block>;

    /// Says why the value will never come: whoever waits hears [`Error::Failed`]. Stores the text in the value's place,
    /// under the fingerprint [`FAILED`](Fingerprint::FAILED).
    fn fail_with(&self, key: Key, message: &str) -> Result<()> {
        self.set_with(key, message.len(), Fingerprint::FAILED, &mut |out| {
            out.write(message.as_bytes());
            Ok(())
        })
    }

    /// Takes the promise back: whoever waits hears [`Error::Cancelled`]. Stores nothing in the value's place, under the
    /// fingerprint [`CANCELLED`](Fingerprint::CANCELLED).
    fn cancel(&self, key: Key) -> Result<()> {
        self.set_with(key, 0, Fingerprint::CANCELLED, &mut |_| Ok(()))
    }

    /// Offers a promise that this process keeps to whoever [adopts](Deferrable::adopt) it first; until then it is kept
    /// here.
    fn offer(&self, key: Key) -> Result<Offer> {
        let _ = key;
        Err(Error::Unsupported { connector: "store's", operation: "hand-over of promises" })
    }

    /// Keeps a promise in this process that another offered.
    fn adopt(&self, key: Key, offer: Offer) -> Result<()> {
        let _ = (key, offer);
        Err(Error::Unsupported { connector: "store's", operation: "hand-over of promises" })
    }

    /// Has `waker` called, once or more often, when the promise is kept or never will be, until the watch is dropped;
    /// at once where that is so already. Whoever is called looks with [`wait`](Deferrable::wait) and no time to wait.
    ///
    /// A connector that is told of nothing keeps this: its wakers are called every 10 ms.
    fn watch(&self, key: Key, waker: &Waker) -> Result<Watch> {
        let _ = key;
        Watch::every(LOOK_AGAIN, waker)
    }
}

/// A connector that lends the memory of an object before it is written.
pub trait Loaning: Connector {
    /// Memory for an object of `len` bytes, to be filled in place and published.
    fn loan(&self, len: usize, fingerprint: Fingerprint) -> Result<Loan>;
}

/// A connector that evicts objects by itself: at a time, or with the process they are bound to.
///
/// A *bond* says that an object goes with one process; that process is its owner. An owner may offer it to others, of whom
/// one adopts it. Where objects live as long as a process anyway, that process is the owner of all that is bound.
///
/// A connector that has only leases, or only bonds, answers whatever needs the other with
/// [`Error::Unsupported`].
pub trait Lasting: Connector {
    /// Stores what `fill` writes, as [`put_with`](Connector::put_with), and says what ends it: there is no instant at
    /// which the object is there without that.
    fn put_for(&self, size: usize, kind: (Fingerprint, Term), fill: &mut Fill<'_>) -> Result<Key>;

    /// Sets when an object goes; `None`: never. Whether it was there; if so, it stays at least until then.
    fn set_deadline(&self, key: Key, deadline: Option<Deadline>) -> Result<bool>;

    /// Binds an object to this process; `false`: it was already. One that is bound to another process is
    /// [`Error::NotOwner`], one that is gone [`Error::NotFound`].
    fn bind_to_process(&self, key: Key) -> Result<bool>;

    /// Makes an object that is bound to this process everybody's. Errors as [`bind_to_process`](Self::bind_to_process).
    fn unbind_from_process(&self, key: Key) -> Result<()>;

    /// Offers an object that is bound to this process to whoever adopts it, and returns the number of the offer. Until
    /// then it still ends with this process. Errors as [`bind_to_process`](Self::bind_to_process).
    fn offer(&self, key: Key) -> Result<u64>;

    /// Binds an object to this process that was offered under that number. Of any number of adopters one gets it, the
    /// others hear [`Error::AlreadyAdopted`].
    fn adopt(&self, key: Key, offer: u64) -> Result<()>;

    /// Evicts an object if it is bound to this process and not offered; whether it did.
    fn evict_bound(&self, key: Key) -> Result<bool>;

    /// A number of this process that no other process with the same objects has or had; a forked child has another.
    fn process(&self) -> Result<u64>;
}
