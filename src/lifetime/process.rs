//! Objects that go with the process.

use super::{Attach, attach_methods};
use crate::codec::{Archive, Codec};
use crate::connector::Lasting;
use crate::deadline::Term;
use crate::error::Result;
use crate::key::Key;
use crate::proxy::Proxy;
use crate::store::Store;

/// Binds objects to this process: they are evicted when it ends, at its exit, or by whoever reaps when it was killed.
///
/// A handle without a life of its own: dropping it changes nothing. What a forked child puts through it is bound to the
/// child; what its parent put stays the parent's.
///
/// ```
/// use inplace::{RegionOptions, Store};
/// use inplace::connector::ShmConnector;
///
/// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
/// let store = Store::builder("process").connector(ShmConnector::new(region)).open()?;
/// let lifetime = store.process_lifetime()?;
/// let key = store.put("a table that only makes sense while I run")?;
/// lifetime.attach(key)?;
/// lifetime.detach(key)?; // or not: it stays
/// # Ok::<(), inplace::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct ProcessLifetime<C = Archive> {
    store: Store<C>,
}

impl<C> ProcessLifetime<C> {
    pub(super) fn new(store: Store<C>) -> Result<Self> {
        store.inner.lasting()?;
        Ok(Self { store })
    }

    fn lasting(&self) -> Result<&dyn Lasting> {
        self.store.inner.lasting()
    }

    /// Makes an object that is bound to this process everybody's: it stays until somebody evicts it.
    ///
    /// # Errors
    /// [`Error::NotOwner`](crate::Error::NotOwner) when it is not bound to this process,
    /// [`Error::NotFound`](crate::Error::NotFound) when it is not there.
    pub fn detach(&self, key: Key) -> Result<()> {
        self.lasting()?.unbind_from_process(key)
    }
}

impl<C> Attach<C> for ProcessLifetime<C> {
    fn store(&self) -> &Store<C> {
        &self.store
    }

    fn term(&self) -> Result<Term> {
        Ok(Term::Process)
    }

    fn took(&self, _: Key, _: Term) -> Result<()> {
        Ok(())
    }

    /// One that is bound to another process is [`Error::NotOwner`](crate::Error::NotOwner).
    fn take_on(&self, key: Key) -> Result<()> {
        self.lasting()?.bind_to_process(key).map(drop)
    }
}

attach_methods!(ProcessLifetime);
