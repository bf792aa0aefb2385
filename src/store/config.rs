//! What another process needs to open the same store.

use serde::{Deserialize, Serialize};

use crate::connector::{ConnectorConfig, check_name};
use crate::error::{Error, Result};

const CACHE_SIZE: usize = 16;
const CACHE_BYTES: u64 = 64 << 20;
const CACHE_SIZE_MAX: usize = 1 << 24;
const CACHE_BYTES_MAX: u64 = 1 << 46;

/// A store's name, where its objects are, and its cache. Serializable; as text it is TOML.
///
/// ```
/// use inplace::StoreConfig;
///
/// let config = StoreConfig::from_toml("name = \"weather\"\ncache_size = 4\n[connector.shm]\nregion = \"weather\"\n")?;
/// assert_eq!(StoreConfig::from_toml(&config.to_toml())?, config);
/// assert_eq!(StoreConfig::new("weather").connector, config.connector);
/// # Ok::<(), inplace::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Text", into = "Text")]
pub struct StoreConfig {
    /// The store's name.
    pub name: String,
    /// How many values that a codec made anew are kept at most; 0 keeps none.
    pub cache_size: usize,
    /// How many bytes they may stand for at most.
    pub cache_bytes: u64,
    /// Whether operations are counted: see [`metrics`](crate::metrics).
    pub metrics: bool,
    /// Whether proxies are resolved from the start where they are made: see
    /// [`ProxyOptions::populate`](crate::ProxyOptions::populate).
    pub populate: bool,
    /// Where the objects are.
    pub connector: ConnectorConfig,
}

/// What may be left out in the text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    name: String,
    #[serde(default = "cache_size")]
    cache_size: usize,
    #[serde(default = "cache_bytes")]
    cache_bytes: u64,
    #[serde(default)]
    metrics: bool,
    #[serde(default)]
    populate: bool,
    #[serde(default)]
    connector: Option<ConnectorConfig>,
}

fn cache_size() -> usize {
    CACHE_SIZE
}

fn cache_bytes() -> u64 {
    CACHE_BYTES
}

impl From<Text> for StoreConfig {
    fn from(text: Text) -> Self {
        let connector = text.connector.unwrap_or_else(|| ConnectorConfig::shm(&text.name));
        Self {
            name: text.name,
            cache_size: text.cache_size,
            cache_bytes: text.cache_bytes,
            metrics: text.metrics,
            populate: text.populate,
            connector,
        }
    }
}

impl From<StoreConfig> for Text {
    fn from(config: StoreConfig) -> Self {
        let StoreConfig { name, cache_size, cache_bytes, metrics, populate, connector } = config;
        Self { name, cache_size, cache_bytes, metrics, populate, connector: Some(connector) }
    }
}

impl StoreConfig {
    /// The store of that name with every default, in the region of that name.
    #[must_use]
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        let connector = ConnectorConfig::shm(&name);
        Self {
            name,
            cache_size: CACHE_SIZE,
            cache_bytes: CACHE_BYTES,
            metrics: false,
            populate: false,
            connector,
        }
    }

    /// Refuses values that cannot be meant.
    pub fn validate(&self) -> Result<()> {
        check_name("store", &self.name)?;
        self.connector.validate()?;
        if self.cache_size > CACHE_SIZE_MAX {
            return Err(too_much("cache_size", self.cache_size as u64, CACHE_SIZE_MAX as u64));
        }
        if self.cache_bytes > CACHE_BYTES_MAX {
            return Err(too_much("cache_bytes", self.cache_bytes, CACHE_BYTES_MAX));
        }
        Ok(())
    }

    /// Reads TOML. Fields it does not know are errors.
    pub fn from_toml(text: &str) -> Result<Self> {
        let config: Self = toml::from_str(text).map_err(|e| Error::ConfigText(e.to_string()))?;
        config.validate()?;
        Ok(config)
    }

    /// The configuration as TOML.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).unwrap_or_else(|e| format!("# cannot be written: {e}\n"))
    }
}

fn too_much(what: &str, found: u64, most: u64) -> Error {
    Error::InvalidConfig {
        what: what.into(),
        found: found.to_string(),
        expected: format!("at most {most}"),
    }
}
