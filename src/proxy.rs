//! Lazy references: a key, where to find its store, and the view once it was used.

mod ahead;
mod options;
mod pool;
mod takers;
mod wire;

pub use ahead::Resolving;
pub use options::ProxyOptions;
pub use wire::{Access, ArchivedProxy, ProxyRef, StoreRef};

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::metrics::Operation;
use crate::proxy::takers::Takers;
use crate::store::{Call, Inner, registry};
use crate::view::{Resolved, View, forward_to_target};

/// Stands for an object that is used as if it were here, and is resolved when it first is.
///
/// Send it in its few bytes, through serde or inside a [`Storable`](crate::Storable) type, to any process of the host:
/// there it finds its store, or opens it. It derefs to what the codec makes of the object, `T`'s archived form by
/// default. Resolved once, it stays so; any thread may do it, and none waits for another.
///
/// # Panics
///
/// Where the object cannot be had (evicted, of another type, its store not there), dereferencing, comparing and hashing
/// panic with the cause. [`resolve`](Proxy::resolve) returns it instead.
///
/// ```
/// use inplace::{Proxy, Store};
/// use inplace::connector::LocalConnector;
///
/// let store = Store::builder("lazy").connector(LocalConnector::new()).open()?;
/// let _registered = store.register()?;
/// let sent = postcard::to_stdvec(&store.proxy(&vec![1_u32, 2, 3])?)?;
///
/// let received: Proxy<Vec<u32>> = postcard::from_bytes(&sent)?;
/// assert!(!received.is_resolved());
/// assert_eq!(received.len(), 3);
/// assert!(received.is_resolved());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Proxy<T: ?Sized, C: Codec<T> = Archive> {
    resolved: Resolved<C::Target>,
    key: Key,
    access: Access,
    home: Home,
    takers: Takers,
    /// Whether a lifetime evicts the object.
    is_attached: bool,
    marker: PhantomData<fn(*const T)>,
}

#[derive(Clone)]
enum Home {
    Open(Arc<Inner>),
    Named(Arc<StoreRef>),
}

impl<T: ?Sized, C: Codec<T>> Proxy<T, C> {
    pub(crate) fn new(key: Key, store: Arc<Inner>) -> Self {
        Self::with_access(key, Access::Get, store)
    }

    pub(crate) fn with_access(key: Key, access: Access, store: Arc<Inner>) -> Self {
        Self::at(key, access, Home::Open(store))
    }

    /// The proxy that was sent as `wire`.
    #[must_use]
    pub fn from_ref(wire: ProxyRef) -> Self {
        Self::at(wire.key, wire.access, Home::Named(Arc::new(wire.store)))
    }

    /// What to send.
    #[must_use]
    pub fn to_ref(&self) -> ProxyRef {
        ProxyRef { key: self.key, access: self.access, store: self.store_ref().clone() }
    }

    fn at(key: Key, access: Access, home: Home) -> Self {
        Self {
            resolved: Resolved::none(),
            key,
            access,
            home,
            takers: Takers::none(),
            is_attached: false,
            marker: PhantomData,
        }
    }

    /// Evicts the object when it is resolved: of all proxies of it that say so, anywhere, one has the value and the
    /// others are errors. One that [waits](Self::wait_on_resolve), as those of a [`Future`](crate::Future) do, waits for the
    /// value and takes it then; else what is promised only is an error, too.
    ///
    /// ```
    /// use inplace::connector::LocalConnector;
    /// use inplace::{Error, Store};
    ///
    /// let store = Store::builder("once").connector(LocalConnector::new()).open()?;
    /// let (promise, future) = store.promise::<str>()?;
    /// let mine = future.proxy().evict_on_resolve()?;
    /// std::thread::scope(|scope| {
    ///     scope.spawn(|| promise.set("for one"));
    ///     assert_eq!(mine.as_str(), "for one");
    /// });
    /// assert!(matches!(future.wait(None), Err(Error::NotFound { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::EvictedOnResolve`] when the proxy was made by a lifetime or an owner, which evicts its object.
    pub fn evict_on_resolve(mut self) -> Result<Self> {
        if self.is_attached {
            return Err(Error::EvictedOnResolve { key: self.key });
        }
        self.access = self.access.and_take();
        Ok(self)
    }

    /// Says that a lifetime evicts the object.
    pub(crate) fn attached(mut self) -> Self {
        self.is_attached = true;
        self
    }

    /// Waits, when it is resolved, for a value that is promised.
    #[must_use]
    pub fn wait_on_resolve(mut self) -> Self {
        self.access = self.access.and_wait();
        self
    }

    /// Waits and leaves the object where it is.
    pub(crate) fn only_waiting(mut self) -> Self {
        self.access = Access::Wait;
        self
    }

    /// The object's key.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// What resolving does.
    #[must_use]
    pub fn access(&self) -> Access {
        self.access
    }

    /// Where the object is.
    #[must_use]
    pub fn store_ref(&self) -> &StoreRef {
        match &self.home {
            Home::Open(store) => &store.reference,
            Home::Named(reference) => reference,
        }
    }

    /// Whether it was resolved in this process: using it then costs a load and a comparison.
    #[inline]
    #[must_use]
    pub fn is_resolved(&self) -> bool {
        self.resolved.get().is_some()
    }

    /// The object, or why it cannot be had. A failure is not remembered: the next call tries again.
    #[inline]
    pub fn resolve(&self) -> Result<&C::Target> {
        self.view().map(|view| &**view)
    }

    /// Finds the object whatever resolving does, and leaves it where it is.
    pub(crate) fn populate(&self, store: &Inner) -> Result<()> {
        self.resolved.install(self.find(store)?);
        Ok(())
    }

    /// The object as a view that outlives the proxy.
    pub fn into_view(self) -> Result<View<C::Target>> {
        self.view()?;
        self.resolved.into_view().ok_or(Error::NotFound { key: self.key })
    }

    #[inline]
    fn view(&self) -> Result<&View<C::Target>> {
        match self.resolved.get() {
            Some(view) => Ok(view),
            None => self.race(),
        }
    }

    #[cold]
    fn race(&self) -> Result<&View<C::Target>> {
        match &self.home {
            Home::Open(store) => self.race_in(store),
            Home::Named(reference) => self.race_in(&*registry::resolve(reference, self.key)?),
        }
    }

    /// The store the object is in, opened if it is not.
    pub(crate) fn store(&self) -> Result<Arc<Inner>> {
        match &self.home {
            Home::Open(store) => Ok(store.clone()),
            Home::Named(reference) => registry::resolve(reference, self.key),
        }
    }

    fn race_in(&self, store: &Inner) -> Result<&View<C::Target>> {
        store.observe(Call::one(Operation::Resolve, self.key), || self.race_observed(store))
    }

    fn race_observed(&self, store: &Inner) -> Result<&View<C::Target>> {
        self.conclude(store, self.find(store))
    }

    /// The object where it is, once it is there if resolving waits for it.
    fn find(&self, store: &Inner) -> Result<View<C::Target>> {
        if self.access.waits() {
            store.find_promised::<C, T>(self.key, None)
        } else {
            store.find::<C, T>(self.key)?.ok_or(Error::NotFound { key: self.key })
        }
    }

    /// Does with what was found what resolving does.
    fn conclude(&self, store: &Inner, found: Result<View<C::Target>>) -> Result<&View<C::Target>> {
        if self.access.takes() {
            self.race_to_take(store, found)
        } else {
            found.map(|view| self.resolved.install(view))
        }
    }

    /// One thread of one process gets what was found; if it is of this process, the others have it through this proxy. What
    /// can not be read is not taken.
    fn race_to_take(
        &self,
        store: &Inner,
        found: Result<View<C::Target>>,
    ) -> Result<&View<C::Target>> {
        let view = match found {
            Ok(view) => Some(view),
            Err(Error::NotFound { .. }) => None,
            Err(error) => return Err(error),
        };
        // Counted from before the object goes until it is installed; not while it is waited for.
        let taking = self.takers.enter();
        if let Some(view) = view
            && store.forget_and_evict(self.key)?
        {
            return Ok(self.resolved.install(view));
        }
        drop(taking);
        self.takers.wait_while_any(|| self.is_resolved());
        self.resolved.get().ok_or(Error::NotFound { key: self.key })
    }
}

impl<T: ?Sized, C: Codec<T>> Deref for Proxy<T, C> {
    type Target = C::Target;

    #[inline]
    fn deref(&self) -> &C::Target {
        match self.resolved.get() {
            Some(view) => view,
            None => self.race().unwrap_or_else(|error| unresolved(&C::type_name(), &error)),
        }
    }
}

#[cold]
fn unresolved(type_name: &str, error: &Error) -> ! {
    panic!("cannot resolve a proxy of {type_name}: {error}")
}

impl<T: ?Sized, C: Codec<T>> AsRef<C::Target> for Proxy<T, C> {
    fn as_ref(&self) -> &C::Target {
        self
    }
}

impl<T: ?Sized, C: Codec<T>> Clone for Proxy<T, C> {
    /// Another proxy of the same object; resolved if this one is.
    fn clone(&self) -> Self {
        let resolved = self.resolved.clone();
        let is_attached = self.is_attached;
        Self { resolved, is_attached, ..Self::at(self.key, self.access, self.home.clone()) }
    }
}

forward_to_target!([T: ?Sized, C: Codec<T>] Proxy<T, C>, C::Target);

impl<T: ?Sized, C: Codec<T, Target: fmt::Debug>> fmt::Debug for Proxy<T, C> {
    /// The target once it is resolved, else the key: looking at a proxy does not resolve it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.resolved.get() {
            Some(view) => view.fmt(f),
            None => f.debug_struct("Proxy").field("key", &self.key).finish_non_exhaustive(),
        }
    }
}

impl<T: ?Sized, C: Codec<T, Target: fmt::Display>> fmt::Display for Proxy<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
