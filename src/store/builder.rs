//! A store with other options than the default ones.

use std::sync::Arc;

use crate::codec::Archive;
use crate::connector::{Connector, ConnectorConfig};
use crate::error::Result;
use crate::store::inner::Inner;
use crate::store::{Store, StoreConfig, registry};

/// Builds a [`Store`]; begin with [`Store::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct StoreBuilder<C = Archive> {
    config: StoreConfig,
    connector: Option<Arc<dyn Connector>>,
    codec: C,
    registered: Registered,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Registered {
    No,
    Yes,
}

impl StoreBuilder<Archive> {
    pub(crate) fn new(config: StoreConfig) -> Self {
        Self { config, connector: None, codec: Archive, registered: Registered::No }
    }
}

impl<C> StoreBuilder<C> {
    /// Stands on this connector.
    pub fn connector(self, connector: impl Connector + 'static) -> Self {
        self.shared_connector(Arc::new(connector))
    }

    /// Stands on a connector that others use too.
    pub fn shared_connector(mut self, connector: Arc<dyn Connector>) -> Self {
        self.config.connector = connector.config();
        self.connector = Some(connector);
        self
    }

    /// Stands on the connector of this configuration. Without any: the region of the store's name.
    pub fn connector_config(mut self, config: ConnectorConfig) -> Self {
        self.config.connector = config;
        self.connector = None;
        self
    }

    /// Keeps at most so many values that a codec made anew, 16 by default; 0 keeps none.
    pub fn cache_size(mut self, values: usize) -> Self {
        self.config.cache_size = values;
        self
    }

    /// Keeps values that stand for at most so many bytes, 64 MiB by default.
    pub fn cache_bytes(mut self, bytes: u64) -> Self {
        self.config.cache_bytes = bytes;
        self
    }

    /// Counts operations, and how long they take: see [`metrics`](crate::metrics). Off by default; then it costs put and
    /// get a branch. On a region this process also counts in shared memory: see
    /// [`Region::counters`](crate::Region::counters).
    pub fn metrics(mut self, counted: bool) -> Self {
        self.config.metrics = counted;
        self
    }

    /// Makes proxies that are resolved in this process from the start: see
    /// [`ProxyOptions::populate`](crate::ProxyOptions::populate). Off by default.
    pub fn populate(mut self, populated: bool) -> Self {
        self.config.populate = populated;
        self
    }

    /// Uses this codec where no other is asked for.
    pub fn codec<D>(self, codec: D) -> StoreBuilder<D> {
        StoreBuilder {
            config: self.config,
            connector: self.connector,
            codec,
            registered: self.registered,
        }
    }

    /// Registers the store for the rest of the process: proxies that name it use this one.
    pub fn register(mut self) -> Self {
        self.registered = Registered::Yes;
        self
    }

    /// Opens the store.
    pub fn open(self) -> Result<Store<C>> {
        let Self { config, connector, codec, registered } = self;
        let inner = match connector {
            Some(connector) => {
                config.validate()?;
                Inner::new(connector, config)?
            }
            None => Inner::connect(config)?,
        };
        let store = Store::over(Arc::new(inner), codec);
        if registered == Registered::Yes {
            registry::register(&store.inner)?.forever();
        }
        Ok(store)
    }
}
