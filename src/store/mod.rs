//! Typed values by key, over any connector.

mod builder;
mod cache;
mod config;
mod inner;
pub(crate) mod registry;
mod types;

pub use builder::StoreBuilder;
pub use config::StoreConfig;
pub use registry::Registration;

pub(crate) use inner::Inner;

use std::fmt;
use std::sync::Arc;

use crate::codec::{Archive, Codec};
use crate::connector::Connector;
use crate::error::Result;
use crate::key::Key;
use crate::proxy::Proxy;
use crate::view::View;

/// Puts values where every process of the host can use them, and gets them back in place.
///
/// Objects are written once, read by many, and never change; an evicted object is gone for everyone at once, and what
/// was got of it before stays valid. Handles are cheap to clone and share.
///
/// ```
/// use inplace::Store;
/// use inplace::connector::LocalConnector;
///
/// let store = Store::builder("numbers").connector(LocalConnector::new()).open()?;
/// let key = store.put(&vec![1.5, 2.5])?;
/// let numbers = store.get::<Vec<f64>>(key)?.expect("nobody evicted it");
/// assert_eq!(numbers[1], 2.5);
/// assert!(store.get::<Vec<u64>>(key).is_err(), "another type");
/// # Ok::<(), inplace::Error>(())
/// ```
pub struct Store<C = Archive> {
    pub(crate) inner: Arc<Inner>,
    pub(crate) codec: C,
}

impl Store {
    /// The store of that name in the region of that name, with every default.
    pub fn open(name: &str) -> Result<Self> {
        Self::builder(name).open()
    }

    /// Options for the store of that name.
    pub fn builder(name: impl Into<String>) -> StoreBuilder {
        StoreBuilder::new(StoreConfig::new(name))
    }

    /// The store of that configuration.
    pub fn from_config(config: StoreConfig) -> Result<Self> {
        StoreBuilder::new(config).open()
    }

    /// The store of that configuration in TOML.
    pub fn from_toml(text: &str) -> Result<Self> {
        Self::from_config(StoreConfig::from_toml(text)?)
    }

    /// The store of that name that is registered in this process.
    #[must_use]
    pub fn registered(name: &str) -> Option<Self> {
        registry::registered(name).map(|inner| Self::over(inner, Archive))
    }
}

impl<C> Store<C> {
    pub(crate) fn over(inner: Arc<Inner>, codec: C) -> Self {
        Self { inner, codec }
    }

    /// The store's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.inner.config.name
    }

    /// What another process needs to open the same store.
    #[must_use]
    pub fn config(&self) -> &StoreConfig {
        &self.inner.config
    }

    /// What the store stands on.
    #[must_use]
    pub fn connector(&self) -> &Arc<dyn Connector> {
        &self.inner.connector
    }

    /// The same store with another codec.
    #[must_use]
    pub fn with_codec<D>(&self, codec: D) -> Store<D> {
        Store::over(self.inner.clone(), codec)
    }

    /// Makes proxies that name this store use this one, for as long as the guard lives.
    ///
    /// A store of the same name but another configuration is [`Error::StoreMismatch`](crate::Error::StoreMismatch).
    pub fn register(&self) -> Result<Registration> {
        registry::register(&self.inner)
    }

    /// Whether the object is there: never `true` after an evict in any process.
    pub fn exists(&self, key: Key) -> Result<bool> {
        self.inner.connector.exists(key)
    }

    /// Evicts the object; whether it was there. Views of it stay valid; its memory returns with the last of them.
    pub fn evict(&self, key: Key) -> Result<bool> {
        self.inner.evict(key)
    }

    /// Evicts every one of the objects, going on after an error; how many were there.
    pub fn evict_batch(&self, keys: &[Key]) -> Result<usize> {
        self.inner.evict_batch(keys)
    }

    /// Stops using the store and its connector, and takes it out of the registry; closing it again does nothing.
    pub fn close(&self) -> Result<()> {
        registry::unregister(&self.inner);
        self.inner.close()
    }

    /// [`put`](Store::put) with another codec.
    pub fn put_as<D: Codec<T>, T: ?Sized>(&self, codec: D, value: &T) -> Result<Key> {
        self.inner.put(codec, value)
    }

    /// [`get`](Store::get) with another codec.
    pub fn get_as<D: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<D::Target>>> {
        self.inner.get::<D, T>(key)
    }

    /// Stores a value; the key is what to send instead of it.
    #[inline]
    pub fn put<T: ?Sized>(&self, value: &T) -> Result<Key>
    where
        C: Codec<T>,
    {
        self.inner.put(self.codec, value)
    }

    /// The object in place, for as long as the view lives; `None` when it was evicted or never existed.
    ///
    /// An object put as another type is [`Error::TypeMismatch`](crate::Error::TypeMismatch).
    #[inline]
    pub fn get<T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>>
    where
        C: Codec<T>,
    {
        self.inner.get::<C, T>(key)
    }

    /// Evicts the object and returns it: of any number of concurrent takers, anywhere, exactly one gets it.
    pub fn take<T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>>
    where
        C: Codec<T>,
    {
        self.inner.take::<C, T>(key)
    }

    /// Stores several values; the keys are in their order. All are stored, or none.
    pub fn put_batch<'a, T: ?Sized + 'a>(
        &self,
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<Vec<Key>>
    where
        C: Codec<T>,
    {
        self.inner.put_batch(self.codec, &values.into_iter().collect::<Vec<_>>())
    }

    /// [`get`](Store::get) for each key, in order.
    pub fn get_batch<T: ?Sized>(&self, keys: &[Key]) -> Result<Vec<Option<View<C::Target>>>>
    where
        C: Codec<T>,
    {
        self.inner.get_batch::<C, T>(keys)
    }

    /// Stores a value and returns a proxy of it: send that, and whoever uses it has the value in place.
    pub fn proxy<T: ?Sized>(&self, value: &T) -> Result<Proxy<T, C>>
    where
        C: Codec<T>,
    {
        self.put(value).map(|key| self.proxy_from_key(key))
    }

    /// [`proxy`](Store::proxy) that is resolved in this process from the start.
    pub fn proxy_resolved<T: ?Sized>(&self, value: &T) -> Result<Proxy<T, C>>
    where
        C: Codec<T>,
    {
        let proxy = self.proxy(value)?;
        proxy.resolve()?;
        Ok(proxy)
    }

    /// Stores several values and returns proxies of them, in their order. All are stored, or none.
    pub fn proxy_batch<'a, T: ?Sized + 'a>(
        &self,
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<Vec<Proxy<T, C>>>
    where
        C: Codec<T>,
    {
        Ok(self.put_batch(values)?.into_iter().map(|key| self.proxy_from_key(key)).collect())
    }

    /// A proxy of an object that is, or will be, in this store.
    #[must_use]
    pub fn proxy_from_key<T: ?Sized>(&self, key: Key) -> Proxy<T, C>
    where
        C: Codec<T>,
    {
        Proxy::new(key, self.inner.clone())
    }
}

impl<C: Clone> Clone for Store<C> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), codec: self.codec.clone() }
    }
}

impl<C> fmt::Debug for Store<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("name", &self.name())
            .field("connector", &self.inner.connector)
            .finish()
    }
}
