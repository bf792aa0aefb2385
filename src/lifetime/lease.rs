//! Objects that go at a time.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Attach, attach_methods};
use crate::codec::{Archive, Codec};
use crate::connector::Lasting;
use crate::deadline::{Deadline, Term};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::proxy::Proxy;
use crate::store::Store;

/// Keeps objects until a deadline, which stands with each of them in the store: it holds when this process is dead.
///
/// Dropping the handle changes nothing: the objects go at the deadline. From then on nobody gets them, in any process, and
/// their memory returns when somebody looks for them, reaps, or runs short of memory. Views stay valid as ever. An object
/// has one deadline: that of the lease it was attached to last.
///
/// A forked child's copy is not for use (its methods are [`Error::NotOwner`]); it makes a lease of its own, and attaches
/// what it wants to keep.
///
/// ```
/// use std::time::Duration;
/// use inplace::{RegionOptions, Store};
/// use inplace::connector::ShmConnector;
///
/// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
/// let store = Store::builder("leases").connector(ShmConnector::new(region)).open()?;
/// let lease = store.lease(Duration::from_secs(3600))?;
/// let key = store.put(&[1_u8, 2, 3])?;
/// lease.attach(key)?;
/// assert_eq!(lease.extend(Duration::from_secs(60))?, 1); // one object, an hour and a minute from its start
/// assert_eq!(lease.end()?, 1); // or now
/// assert!(!store.exists(key)?);
/// # Ok::<(), inplace::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "nothing is attached to it yet"]
pub struct Lease<C = Archive> {
    store: Store<C>,
    held: Mutex<Held>,
    /// A forked child must not take a lock that another thread of its parent held.
    process: u32,
}

struct Held {
    deadline: Deadline,
    keys: Vec<Key>,
}

impl<C> Lease<C> {
    pub(super) fn new(store: Store<C>, deadline: Deadline) -> Result<Self> {
        store.inner.lasting()?;
        let held = Mutex::new(Held { deadline, keys: Vec::new() });
        Ok(Self { store, held, process: std::process::id() })
    }

    fn lasting(&self) -> Result<&dyn Lasting> {
        self.store.inner.lasting()
    }

    fn held(&self) -> Result<MutexGuard<'_, Held>> {
        if self.process != std::process::id() {
            return Err(Error::NotOwner { token: "lease" });
        }
        Ok(self.held.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is held, unless the lease is over.
    fn current(&self) -> Result<MutexGuard<'_, Held>> {
        let held = self.held()?;
        if held.deadline.has_passed() {
            return Err(Error::LeaseOver { over: held.deadline.elapsed() });
        }
        Ok(held)
    }

    /// When it ends.
    ///
    /// # Errors
    /// [`Error::NotOwner`] in a forked child.
    pub fn deadline(&self) -> Result<Deadline> {
        Ok(self.held()?.deadline)
    }

    /// Moves the end by so much, for every object that is attached; how many there still are. Each of them stays at least
    /// until then.
    ///
    /// # Errors
    /// [`Error::LeaseOver`] when it is too late; the connector's, after every object was tried; [`Error::NotOwner`] in a
    /// forked child.
    pub fn extend(&self, time: Duration) -> Result<usize> {
        let mut held = self.current()?;
        let deadline = held.deadline.later_by(time);
        held.move_to(deadline, self.lasting()?)
    }

    /// Sets the end, sooner or later than it was, for every object that is attached; how many there still are.
    ///
    /// # Errors
    /// As [`extend`](Lease::extend).
    pub fn set_deadline(&self, deadline: Deadline) -> Result<usize> {
        self.current()?.move_to(deadline, self.lasting()?)
    }

    /// Ends it now: evicts every object that is attached; how many were still there.
    ///
    /// # Errors
    /// The first of the connector's; [`Error::NotOwner`] in a forked child.
    pub fn end(self) -> Result<usize> {
        let keys = std::mem::take(&mut self.held()?.keys);
        if keys.is_empty() { Ok(0) } else { self.store.evict_batch(&keys) }
    }
}

impl Held {
    fn move_to(&mut self, deadline: Deadline, lasting: &dyn Lasting) -> Result<usize> {
        let mut outcome = Ok(());
        // What was evicted is not held any more.
        self.keys.retain(|key| match lasting.set_deadline(*key, Some(deadline)) {
            Ok(is_there) => is_there,
            Err(error) => {
                if outcome.is_ok() {
                    outcome = Err(error);
                }
                true
            }
        });
        self.deadline = deadline;
        outcome.map(|()| self.keys.len())
    }
}

impl<C> Attach<C> for Lease<C> {
    fn store(&self) -> &Store<C> {
        &self.store
    }

    fn term(&self) -> Result<Term> {
        Ok(Term::Until(self.current()?.deadline))
    }

    fn took(&self, key: Key, term: Term) -> Result<()> {
        let mut held = self.held()?;
        // Another thread may have moved the end meanwhile.
        if term != Term::Until(held.deadline) {
            self.lasting()?.set_deadline(key, Some(held.deadline))?;
        }
        held.keys.push(key);
        Ok(())
    }

    fn take_on(&self, key: Key) -> Result<()> {
        let mut held = self.current()?;
        if !self.lasting()?.set_deadline(key, Some(held.deadline))? {
            return Err(Error::NotFound { key });
        }
        held.keys.push(key);
        Ok(())
    }
}

attach_methods!(Lease);

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("deadline", &self.deadline)
            .field("keys", &self.keys.len())
            .finish()
    }
}
