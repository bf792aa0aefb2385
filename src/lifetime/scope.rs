//! A guard that evicts.

use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Attach, attach_methods};
use crate::codec::{Archive, Codec};
use crate::deadline::Term;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::proxy::Proxy;
use crate::store::Store;

/// Evicts every object that was attached to it, when it [ends](Scope::end) or is dropped, also by a panic.
///
/// Views of those objects stay valid. A forked child has a copy that does nothing: its drop evicts nothing, and its methods
/// are [`Error::NotOwner`]. It is a guard of its process: killed, it leaves its objects. What shall go then as well is for
/// [`Store::process_lifetime`].
///
/// ```
/// use inplace::Store;
/// use inplace::connector::LocalConnector;
///
/// let store = Store::builder("scope").connector(LocalConnector::new()).open()?;
/// let scope = store.scope();
/// let result = scope.proxy(&vec![1_u8, 2, 3])?;
/// let other = store.put("made elsewhere")?;
/// scope.attach(other)?;
/// assert_eq!(result.len(), 3);
/// assert_eq!(scope.end()?, 2);
/// assert!(!store.exists(other)?);
/// # Ok::<(), inplace::Error>(())
/// ```
#[must_use = "dropped, it evicts what it has"]
pub struct Scope<C = Archive> {
    store: Store<C>,
    keys: Mutex<Vec<Key>>,
    /// A forked child must not take a lock that another thread of its parent held.
    process: u32,
}

impl<C> Scope<C> {
    pub(super) fn new(store: Store<C>) -> Self {
        Self { store, keys: Mutex::default(), process: std::process::id() }
    }

    fn keys(&self) -> Result<MutexGuard<'_, Vec<Key>>> {
        if self.process != std::process::id() {
            return Err(Error::NotOwner { token: "scope" });
        }
        Ok(self.keys.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Evicts every object that was attached, going on after an error; how many were still there.
    ///
    /// # Errors
    /// The first of the connector's; [`Error::NotOwner`] in a forked child.
    pub fn end(self) -> Result<usize> {
        self.evict_all()
    }

    fn evict_all(&self) -> Result<usize> {
        let keys = std::mem::take(&mut *self.keys()?);
        if keys.is_empty() { Ok(0) } else { self.store.evict_batch(&keys) }
    }
}

impl<C> Attach<C> for Scope<C> {
    fn store(&self) -> &Store<C> {
        &self.store
    }

    fn term(&self) -> Result<Term> {
        self.keys().map(|_| Term::Unlimited)
    }

    fn took(&self, key: Key, _: Term) -> Result<()> {
        self.keys()?.push(key);
        Ok(())
    }

    /// Also one that is promised, or gone already.
    fn take_on(&self, key: Key) -> Result<()> {
        self.store.exists(key)?;
        self.took(key, Term::Unlimited)
    }
}

attach_methods!(Scope);

impl<C> Drop for Scope<C> {
    fn drop(&mut self) {
        // A drop has nobody to tell.
        let _ = self.evict_all();
    }
}

impl<C> fmt::Debug for Scope<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scope").field("store", &self.store.name()).finish_non_exhaustive()
    }
}
