//! Values that change: a handle of a variable, each version of which is an object.

mod archived;
mod changed;

pub use archived::ArchivedCell;
pub use changed::Changed;

use std::borrow::Borrow;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Archive, Codec};
use crate::connector::{Variables, Version};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::proxy::{ProxyRef, StoreRef};
use crate::store::{Handle, Inner, Store};
use crate::view::View;

/// A value that changes, for any number of readers and writers in any number of processes.
///
/// [`set`](Cell::set) puts a new version beside the old one and makes it the current one in a single step: a reader has
/// one or the other, whole, and what it has it keeps for as long as it likes. Nobody waits for anybody, whoever is
/// stopped or killed in the middle. Versions are numbered: the first is 1, and no later read finds a lower one.
///
/// The handle is sent as a [`Proxy`](crate::Proxy) is, through serde or inside a [`Storable`](crate::Storable) type, or found by its name with [`Store::cell`]. It finds
/// its store when it is first used. A forked child goes on with its parent's.
///
/// ```
/// use inplace::{Cell, RegionOptions, Store};
/// use inplace::connector::ShmConnector;
///
/// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
/// let store = Store::builder("rates").connector(ShmConnector::new(region)).register().open()?;
/// let rates = store.cell::<Vec<f64>>("rates")?;
/// assert!(rates.get()?.is_none());
///
/// assert_eq!(rates.set(&vec![1.0, 1.1])?, 1);
/// let first = rates.get()?.expect("it was set");
/// let doubled = rates.update(|old| {
///     old.map_or(vec![], |old| old.iter().map(|rate| rate.to_native() * 2.0).collect())
/// })?;
/// assert_eq!(doubled, 2);
/// assert_eq!(first[0], 1.0, "a version never changes");
///
/// let elsewhere: Cell<Vec<f64>> = postcard::from_bytes(&postcard::to_stdvec(&rates)?)?;
/// assert_eq!(elsewhere.get()?.unwrap()[1], 2.2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Cell<T: ?Sized, C: Codec<T> = Archive> {
    handle: Handle<T, C>,
}

/// A version of a [`Cell`]'s value, and its number.
#[derive(Debug)]
pub struct Versioned<V: ?Sized> {
    /// The value.
    pub value: View<V>,
    /// How many versions there have been with it.
    pub version: u64,
}

impl<V: ?Sized> Clone for Versioned<V> {
    fn clone(&self) -> Self {
        Self { value: self.value.clone(), version: self.version }
    }
}

impl<C> Store<C> {
    /// The cell of that name, made if there is none: of many who make it at once, all have the same. It stays until it is
    /// [evicted](Cell::evict).
    ///
    /// ```
    /// use inplace::{Error, Store};
    /// use inplace::connector::LocalConnector;
    ///
    /// let store = Store::builder("cells").connector(LocalConnector::new()).open()?;
    /// store.cell::<String>("greeting")?.set(&"hello".into())?;
    /// assert_eq!(store.cell::<String>("greeting")?.get()?.unwrap().as_str(), "hello");
    /// assert!(matches!(store.cell::<u32>("greeting"), Err(Error::TypeMismatch { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TypeMismatch`] for a cell of another type, or a name that is bound to something else;
    /// [`Error::InvalidName`], [`Error::Unsupported`] where the connector has no variables, [`Error::OutOfSpace`],
    /// [`Error::OutOfSlots`].
    pub fn cell<T: ?Sized>(&self, name: &str) -> Result<Cell<T, C>>
    where
        C: Codec<T>,
    {
        let variables = self.inner.variables()?;
        let _ = self.inner.meet::<C, T>();
        Ok(self.cell_from_key(variables.open_variable(name, C::FINGERPRINT)?))
    }

    /// A new cell without a name, and without a value.
    ///
    /// ```
    /// use inplace::Store;
    /// use inplace::connector::LocalConnector;
    ///
    /// let store = Store::builder("unnamed").connector(LocalConnector::new()).open()?;
    /// let progress = store.cell_new::<u64>()?;
    /// assert_eq!((progress.version()?, progress.set(&50)?), (0, 1));
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the connector has no variables, [`Error::OutOfSlots`].
    pub fn cell_new<T: ?Sized>(&self) -> Result<Cell<T, C>>
    where
        C: Codec<T>,
    {
        let variables = self.inner.variables()?;
        let _ = self.inner.meet::<C, T>();
        Ok(self.cell_from_key(variables.new_variable(C::FINGERPRINT)?))
    }

    /// The cell of that key.
    #[must_use]
    pub fn cell_from_key<T: ?Sized>(&self, key: Key) -> Cell<T, C>
    where
        C: Codec<T>,
    {
        Cell { handle: Handle::new(key, self.inner.clone(), self.codec) }
    }
}

impl<T: ?Sized, C: Codec<T>> Cell<T, C> {
    /// The cell's key: to be evicted with others, or made a cell of by [`Store::cell_from_key`].
    #[must_use]
    pub fn key(&self) -> Key {
        self.handle.key()
    }

    fn from_ref(sent: ProxyRef) -> Self {
        Self { handle: Handle::from_ref(sent) }
    }

    /// Where the cell is.
    #[must_use]
    pub fn store_ref(&self) -> &StoreRef {
        self.handle.store_ref()
    }

    #[inline]
    fn store(&self) -> Result<&Inner> {
        self.handle.store()
    }

    /// Gives it a new value, whatever it had; the new version.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it was evicted, [`Error::TypeMismatch`] when it has values of another type, and as
    /// [`Store::put`].
    pub fn set(&self, value: &T) -> Result<u64> {
        self.set_where(None, value)
    }

    /// Gives it a new value if it is at that version (0: it was never set); the new version. So nothing that somebody else
    /// set meanwhile is lost.
    ///
    /// ```
    /// use inplace::{Error, Store};
    /// use inplace::connector::LocalConnector;
    ///
    /// let store = Store::builder("guarded").connector(LocalConnector::new()).open()?;
    /// let cell = store.cell_new::<u64>()?;
    /// let seen = cell.set(&1)?;
    /// cell.set(&2)?; // somebody else
    /// assert!(matches!(cell.set_if(seen, &3), Err(Error::Conflict { expected: 1, found: 2, .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is at another version, and as [`set`](Cell::set).
    pub fn set_if(&self, version: u64, value: &T) -> Result<u64> {
        self.set_where(Some(version), value)
    }

    fn set_where(&self, wanted: Option<u64>, value: &T) -> Result<u64> {
        let store = self.store()?;
        let variables = store.variables()?;
        store.encoded(self.handle.codec, value, |size, fill| {
            variables.set_variable((self.key(), wanted), (size, C::FINGERPRINT), fill)
        })
    }

    /// Gives it the value that `next` makes of the current one (`None`: it was never set); the new version. `next` is
    /// called again when somebody else has set it meanwhile.
    ///
    /// ```
    /// use inplace::Store;
    /// use inplace::connector::LocalConnector;
    ///
    /// let store = Store::builder("counting").connector(LocalConnector::new()).open()?;
    /// let counter = store.cell_new::<u64>()?;
    /// counter.update(|count| count.map_or(0, |count| count.to_native()) + 1)?;
    /// assert_eq!(*counter.get()?.unwrap(), 1);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`set`](Cell::set).
    pub fn update<V: Borrow<T>>(
        &self,
        mut next: impl FnMut(Option<&C::Target>) -> V,
    ) -> Result<u64> {
        loop {
            let current = self.get_versioned()?;
            let version = current.as_ref().map_or(0, |current| current.version);
            let value = next(current.as_ref().map(|current| &*current.value));
            match self.set_if(version, value.borrow()) {
                Err(Error::Conflict { .. }) => {}
                outcome => return outcome,
            }
        }
    }

    /// The current value, in place; `None` when it was never set.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it was evicted, [`Error::TypeMismatch`] when it has values of another type, and as
    /// [`Store::get`].
    #[inline]
    pub fn get(&self) -> Result<Option<View<C::Target>>> {
        match self.get_versioned() {
            Ok(Some(current)) => Ok(Some(current.value)),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The current value and its version.
    ///
    /// # Errors
    /// As [`get`](Cell::get).
    #[inline]
    pub fn get_versioned(&self) -> Result<Option<Versioned<C::Target>>> {
        let store = self.store()?;
        // As for objects: shared memory is asked inline.
        let found = match store.connector.as_shm() {
            Some(shm) => shm.get_variable(self.key(), C::FINGERPRINT),
            None => store.variables()?.get_variable(self.key(), C::FINGERPRINT),
        };
        match found {
            Ok(Some(version)) => Self::view(store, version).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        }
    }

    #[inline(always)]
    fn view(store: &Inner, version: Version) -> Result<Versioned<C::Target>> {
        let Version { key, number, block } = version;
        Ok(Versioned { value: store.view::<C, T>(key, block)?, version: number })
    }

    /// How often it was set; 0: never.
    ///
    /// # Errors
    /// [`Error::NotFound`] when it was evicted.
    pub fn version(&self) -> Result<u64> {
        let found = self.store()?.variables()?.get_variable(self.key(), C::FINGERPRINT)?;
        Ok(found.map_or(0, |version| version.number))
    }

    /// Waits until it has a version above `seen` (0: any), and returns the current one; `None` waits without limit.
    ///
    /// Versions between may be passed over: it is the value that is waited for, not every change of it.
    ///
    /// ```
    /// use inplace::Store;
    /// use inplace::connector::LocalConnector;
    ///
    /// let store = Store::builder("watched").connector(LocalConnector::new()).open()?;
    /// let cell = store.cell_new::<u64>()?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| cell.set(&7));
    ///     let first = cell.wait_for_change(0, None)?;
    ///     assert_eq!((*first.value, first.version), (7.into(), 1));
    ///     Ok::<(), inplace::Error>(())
    /// })?;
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TimedOut`], [`Error::NotFound`] when it was or is evicted, and as [`get`](Cell::get).
    pub fn wait_for_change(
        &self,
        seen: u64,
        timeout: Option<Duration>,
    ) -> Result<Versioned<C::Target>> {
        let store = self.store()?;
        Self::view(store, store.variables()?.wait_for_change(self.key(), seen, timeout)?)
    }

    /// [`wait_for_change`](Cell::wait_for_change) without a thread: to be awaited under any runtime. One thread of the process
    /// waits for all of them, and for all [promises](crate::Future). Dropped before it is ready, it has taken nothing.
    ///
    /// ```
    /// use inplace::Store;
    /// use inplace::connector::LocalConnector;
    ///
    /// let store = Store::builder("followed").connector(LocalConnector::new()).open()?;
    /// let percent = store.cell_new::<u32>()?;
    /// let runtime = tokio::runtime::Builder::new_current_thread().build()?; // or another, or none
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| percent.set(&100));
    ///     let first = runtime.block_on(percent.changed(0))?;
    ///     assert_eq!((*first.value, first.version), (100.into(), 1));
    ///     Ok::<(), inplace::Error>(())
    /// })?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn changed(&self, seen: u64) -> Changed<T, C> {
        Changed::new(self.clone(), seen)
    }

    /// Evicts it, with its current version: from now on it is [`Error::NotFound`] for everyone, and its name free. What was
    /// got of it stays. Whether it was there.
    ///
    /// # Errors
    /// As [`Store::evict`].
    pub fn evict(&self) -> Result<bool> {
        self.store()?.evict(self.key())
    }
}

impl<T: ?Sized, C: Codec<T>> Clone for Cell<T, C> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<T: ?Sized, C: Codec<T>> PartialEq for Cell<T, C> {
    /// Whether both are handles of the same cell.
    fn eq(&self, other: &Self) -> bool {
        self.handle == other.handle
    }
}

impl<T: ?Sized, C: Codec<T>> Eq for Cell<T, C> {}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Cell<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell").field("key", &self.key()).finish_non_exhaustive()
    }
}

impl<T: ?Sized, C: Codec<T>> Serialize for Cell<T, C> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.handle.serialize(to)
    }
}

impl<'de, T: ?Sized, C: Codec<T>> Deserialize<'de> for Cell<T, C> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self { handle: Handle::deserialize(from)? })
    }
}
