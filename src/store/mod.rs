//! Typed values by key, over any connector.

mod builder;
mod cache;
mod config;
mod handle;
mod inner;
mod observed;
mod per_call;
mod promises;
pub(crate) mod registry;
mod trace;
mod typed;
mod types;

pub use builder::StoreBuilder;
pub use config::StoreConfig;
pub use registry::Registration;

pub(crate) use handle::Handle;
pub(crate) use inner::Inner;
pub(crate) use observed::Call;
pub(crate) use promises::Listening;

use std::fmt;
use std::sync::Arc;

use crate::codec::Archive;
use crate::connector::Connector;
use crate::error::Result;
use crate::key::Key;
use crate::metrics::StoreMetrics;

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

    /// The store of that configuration that is registered in this process, else a new one, which then is: for workers
    /// that are sent a configuration.
    ///
    /// ```
    /// use inplace::connector::ConnectorConfig;
    /// use inplace::{Store, StoreConfig};
    ///
    /// let config = StoreConfig { connector: ConnectorConfig::local("shared"), ..StoreConfig::new("worker") };
    /// let first = Store::get_or_open(config.clone())?;
    /// let key = first.put("once")?;
    /// assert_eq!(Store::get_or_open(config)?.get::<str>(key)?.unwrap().as_str(), "once");
    /// first.close()?;
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::StoreMismatch`](crate::Error::StoreMismatch) when the registered one has another configuration, and as
    /// [`from_config`](Store::from_config).
    pub fn get_or_open(config: StoreConfig) -> Result<Self> {
        registry::get_or_open(config).map(|inner| Self::over(inner, Archive))
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

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
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

    /// Takes the store out of the registry, however often it was registered; whether it was there. It goes on as it is.
    pub fn unregister(&self) -> bool {
        registry::unregister(&self.inner)
    }

    /// Whether the object is there: never `true` after an evict in any process.
    pub fn exists(&self, key: Key) -> Result<bool> {
        self.inner.exists(key)
    }

    /// [`exists`](Store::exists) for each key, in order.
    pub fn exists_batch(&self, keys: &[Key]) -> Result<Vec<bool>> {
        self.inner.exists_batch(keys)
    }

    /// Evicts the object; whether it was there. Views of it stay valid; its memory returns with the last of them.
    pub fn evict(&self, key: Key) -> Result<bool> {
        self.inner.evict(key)
    }

    /// Evicts every one of the objects, going on after an error; how many were there.
    pub fn evict_batch(&self, keys: &[Key]) -> Result<usize> {
        self.inner.evict_batch(keys)
    }

    /// What was done with the store in this process, if it is counted: see [`StoreBuilder::metrics`].
    #[must_use]
    pub fn metrics(&self) -> Option<StoreMetrics> {
        self.inner.metrics()
    }

    /// Stops using the store and its connector, and takes it out of the registry; closing it again does nothing.
    pub fn close(&self) -> Result<()> {
        registry::unregister(&self.inner);
        self.inner.close()
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
