//! Who evicts an object when nobody does it by hand: a scope, a lease, the end of the process.

mod lease;
mod process;
mod scope;

pub use lease::Lease;
pub use process::ProcessLifetime;
pub use scope::Scope;

use std::time::Duration;

use crate::codec::Codec;
use crate::deadline::{Deadline, Term};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::proxy::Proxy;
use crate::store::Store;

impl<C: Clone> Store<C> {
    /// A guard that evicts what was attached to it when it is dropped, also by a panic.
    ///
    /// ```
    /// use inplace::Store;
    /// use inplace::connector::LocalConnector;
    ///
    /// let store = Store::builder("scoped").connector(LocalConnector::new()).open()?;
    /// let key = {
    ///     let scope = store.scope();
    ///     scope.put("intermediate result")?
    /// };
    /// assert!(!store.exists(key)?);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    pub fn scope(&self) -> Scope<C> {
        Scope::new(self.clone())
    }

    /// A lease of so long: what is attached to it goes when it ends, whoever is alive then, unless it is extended.
    ///
    /// ```
    /// use std::time::Duration;
    /// use inplace::{Deadline, Store};
    /// use inplace::connector::LocalConnector;
    ///
    /// let store = Store::builder("leased").connector(LocalConnector::new()).open()?;
    /// let lease = store.lease(Duration::from_secs(60))?;
    /// let key = lease.put("for a while")?;
    /// lease.extend(Duration::from_secs(60))?; // two minutes
    /// assert!(store.exists(key)?);
    /// lease.set_deadline(Deadline::after(Duration::ZERO))?;
    /// assert!(!store.exists(key)?);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the connector keeps no deadlines.
    pub fn lease(&self, time: Duration) -> Result<Lease<C>> {
        Lease::new(self.clone(), Deadline::after(time))
    }

    /// The lifetime of this process: what is attached to it is evicted when the process ends, also when it is killed.
    ///
    /// ```
    /// use inplace::{RegionOptions, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let store = Store::builder("bound").connector(ShmConnector::new(region)).open()?;
    /// let key = store.process_lifetime()?.put("as long as I live")?;
    /// assert!(store.exists(key)?);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] when the connector knows of no processes.
    pub fn process_lifetime(&self) -> Result<ProcessLifetime<C>> {
        ProcessLifetime::new(self.clone())
    }
}

/// What every lifetime does of its own.
trait Attach<C> {
    fn store(&self) -> &Store<C>;

    /// What ends objects that are put now; an error when it does not take any more.
    fn term(&self) -> Result<Term>;

    /// Takes charge of an object that was put with that term.
    fn took(&self, key: Key, term: Term) -> Result<()>;

    /// Takes charge of an object that is there already.
    fn take_on(&self, key: Key) -> Result<()>;

    fn put_one<T: ?Sized>(&self, value: &T) -> Result<Key>
    where
        C: Codec<T>,
    {
        let (store, term) = (self.store(), self.term()?);
        let key = match term {
            Term::Unlimited => store.put(value)?,
            term => store.inner.put_for(store.codec, value, term)?,
        };
        match self.took(key, term) {
            Ok(()) => Ok(key),
            Err(error) => {
                // The first error is the one to hear of.
                let _ = store.evict(key);
                Err(error)
            }
        }
    }

    /// All, or none.
    fn put_all<T: ?Sized>(&self, values: &mut dyn Iterator<Item = &T>) -> Result<Vec<Key>>
    where
        C: Codec<T>,
    {
        let mut keys = Vec::new();
        for value in values {
            match self.put_one(value) {
                Ok(key) => keys.push(key),
                Err(error) => {
                    let _ = self.store().evict_batch(&keys);
                    return Err(error);
                }
            }
        }
        Ok(keys)
    }

    fn take_on_proxy<T: ?Sized, D: Codec<T>>(&self, proxy: &Proxy<T, D>) -> Result<()> {
        if proxy.access().takes() {
            return Err(Error::EvictedOnResolve { key: proxy.key() });
        }
        self.take_on(proxy.key())
    }
}

/// The methods that all lifetimes have.
macro_rules! attach_methods {
    ($lifetime:ident) => {
        impl<C> $lifetime<C> {
            /// Takes charge of an object that is there already.
            ///
            /// # Errors
            /// [`Error::WrongRegion`](crate::Error::WrongRegion) for a key of another store, and those of this lifetime.
            pub fn attach(&self, key: Key) -> Result<()> {
                self.take_on(key)
            }

            /// Takes charge of a proxy's object.
            ///
            /// # Errors
            /// [`Error::EvictedOnResolve`](crate::Error::EvictedOnResolve) when the proxy evicts it itself, and as
            /// [`attach`](Self::attach).
            pub fn attach_proxy<T: ?Sized, D: Codec<T>>(&self, proxy: &Proxy<T, D>) -> Result<()> {
                self.take_on_proxy(proxy)
            }

            /// Stores a value that this lifetime ends.
            pub fn put<T: ?Sized>(&self, value: &T) -> Result<Key>
            where
                C: Codec<T>,
            {
                self.put_one(value)
            }

            /// Stores several values that this lifetime ends; the keys are in their order. All are stored, or none.
            pub fn put_batch<'a, T: ?Sized + 'a>(
                &self,
                values: impl IntoIterator<Item = &'a T>,
            ) -> Result<Vec<Key>>
            where
                C: Codec<T>,
            {
                self.put_all(&mut values.into_iter())
            }

            /// Stores a value that this lifetime ends, and returns a proxy of it.
            pub fn proxy<T: ?Sized>(&self, value: &T) -> Result<Proxy<T, C>>
            where
                C: Codec<T>,
            {
                let key = self.put_one(value)?;
                Ok(self.store().proxy_from_key(key).attached())
            }

            /// The store.
            #[must_use]
            pub fn store(&self) -> &Store<C> {
                Attach::store(self)
            }
        }
    };
}
use attach_methods;
