//! What another process needs to use the same objects.

mod file;
mod multi;
mod redis;

pub use file::FileConfig;
pub use multi::{MemberConfig, MultiConfig};
pub use redis::RedisConfig;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::connector::{
    Connector, FileConnector, LocalConnector, MultiConnector, ShmConnector, custom,
};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::layout::geometry::{MAX_CAPACITY, MAX_PARTICIPANTS, MAX_SLOTS};
use crate::region::{Lifespan, RegionOptions};

const NAME_MAX: usize = 200;
const CAPACITY: RangeInclusive<u64> = 1..=MAX_CAPACITY;
const OBJECTS: RangeInclusive<u32> = 1..=MAX_SLOTS as u32 - 1;
const PARTICIPANTS: RangeInclusive<u32> = 1..=MAX_PARTICIPANTS;

/// Which connector, and what it is to be made of. Serializable; as text it is TOML.
///
/// ```
/// use inplace::connector::ConnectorConfig;
///
/// let config = ConnectorConfig::from_toml("[shm]\nregion = \"weather\"\ncapacity = 1073741824\n")?;
/// assert_eq!(ConnectorConfig::from_toml(&config.to_toml())?, config);
/// assert!(ConnectorConfig::from_toml("[shm]\nregion = \"weather\"\nsize = 3\n").is_err());
/// # Ok::<(), inplace::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConnectorConfig {
    /// A region in shared memory.
    Shm(ShmConfig),
    /// A dictionary of this process.
    Local(LocalConfig),
    /// A directory.
    File(FileConfig),
    /// A Redis server or cluster; connecting needs the feature `redis`.
    Redis(RedisConfig),
    /// A connector of your own: see [`register_kind`](crate::connector::register_kind).
    Custom(CustomConfig),
    /// Several connectors as one. Last, because [`MemberConfig`] reads all others by their place.
    Multi(MultiConfig),
}

/// A region in shared memory; what is not given takes the region's default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShmConfig {
    /// The region's name.
    pub region: String,
    /// Bytes of the data area at most: address space, not memory.
    #[serde(default)]
    pub capacity: Option<u64>,
    /// Objects at most.
    #[serde(default)]
    pub max_objects: Option<u32>,
    /// Processes attached at once at most.
    #[serde(default)]
    pub max_participants: Option<u32>,
    /// How long the region stays.
    #[serde(default)]
    pub lifespan: Option<Lifespan>,
    /// Permission bits of the region's file.
    #[serde(default)]
    pub mode: Option<u32>,
}

/// A dictionary of this process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocalConfig {
    /// The dictionary's name: the same name is the same dictionary for as long as one of its connectors lives.
    pub name: String,
}

/// A connector of a kind that the program has registered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomConfig {
    /// Which kind.
    pub kind: String,
    /// Whatever that kind needs to know.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
}

impl ConnectorConfig {
    /// The region of that name, with every default.
    #[must_use]
    pub fn shm(region: impl Into<String>) -> Self {
        Self::Shm(ShmConfig { region: region.into(), ..ShmConfig::default() })
    }

    /// The dictionary of that name in this process.
    #[must_use]
    pub fn local(name: impl Into<String>) -> Self {
        Self::Local(LocalConfig { name: name.into() })
    }

    /// Which kind of connector it is.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Shm(_) => "shm",
            Self::Local(_) => "local",
            Self::File(_) => "file",
            Self::Redis(_) => "redis",
            Self::Custom(_) => "custom",
            Self::Multi(_) => "multi",
        }
    }

    /// The directory at that path, which begins at the root, with every default.
    #[must_use]
    pub fn file(directory: impl Into<String>) -> Self {
        Self::File(FileConfig { directory: directory.into(), ..FileConfig::default() })
    }

    /// The Redis server at that address, with every default.
    #[must_use]
    pub fn redis(url: impl Into<String>) -> Self {
        Self::Redis(RedisConfig { urls: vec![url.into()], ..RedisConfig::default() })
    }

    /// Several connectors as one.
    #[must_use]
    pub fn multi<M: Into<MemberConfig>>(members: impl IntoIterator<Item = M>) -> Self {
        Self::Multi(MultiConfig { members: members.into_iter().map(Into::into).collect() })
    }

    /// Makes the connector, or opens what is there.
    pub fn connect(&self) -> Result<Arc<dyn Connector>> {
        self.validate()?;
        match self {
            Self::Shm(config) => Ok(Arc::new(ShmConnector::connect(config)?)),
            Self::Local(config) => Ok(Arc::new(LocalConnector::named(&config.name)?)),
            Self::File(config) => Ok(Arc::new(FileConnector::connect(config)?)),
            Self::Redis(config) => connect_redis(config),
            Self::Custom(config) => custom::connect(config),
            Self::Multi(config) => Ok(Arc::new(MultiConnector::connect(config)?)),
        }
    }

    /// Makes the connector that has an existing object; a region or directory that does not exist is not
    /// created.
    pub(crate) fn connect_to(&self, key: Key) -> Result<Arc<dyn Connector>> {
        match self {
            Self::Shm(config) => Ok(Arc::new(ShmConnector::connect_to(config, key)?)),
            Self::File(config) => Ok(Arc::new(FileConnector::connect_to(config)?)),
            _ => self.connect(),
        }
    }

    /// Refuses values that cannot be meant.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Shm(config) => config.validate(),
            Self::Local(config) => check_name("dictionary", &config.name),
            Self::File(config) => config.validate(),
            Self::Redis(config) => config.validate(),
            Self::Multi(config) => config.validate(),
            Self::Custom(config) => check_name("connector kind", &config.kind),
        }
    }

    /// Whether both lead to the same objects, whatever their options.
    #[must_use]
    pub fn is_same_place(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Shm(a), Self::Shm(b)) => a.region == b.region,
            (Self::Local(a), Self::Local(b)) => a.name == b.name,
            (Self::File(a), Self::File(b)) => a.is_same_place(b),
            (Self::Redis(a), Self::Redis(b)) => a.is_same_place(b),
            (Self::Multi(a), Self::Multi(b)) => a.is_same_place(b),
            (Self::Custom(a), Self::Custom(b)) => a == b,
            _ => false,
        }
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

#[cfg(feature = "redis")]
fn connect_redis(config: &RedisConfig) -> Result<Arc<dyn Connector>> {
    Ok(Arc::new(crate::connector::RedisConnector::connect(config)?))
}

#[cfg(not(feature = "redis"))]
fn connect_redis(_: &RedisConfig) -> Result<Arc<dyn Connector>> {
    Err(Error::InvalidConfig {
        what: "connector".into(),
        found: "redis".into(),
        expected: "another one: this program was built without the feature `redis` of inplace"
            .into(),
    })
}

impl From<&ShmConfig> for RegionOptions {
    fn from(config: &ShmConfig) -> Self {
        let mut options = RegionOptions::new();
        if let Some(bytes) = config.capacity {
            options = options.capacity(bytes);
        }
        if let Some(count) = config.max_objects {
            options = options.max_objects(count);
        }
        if let Some(count) = config.max_participants {
            options = options.max_participants(count);
        }
        if let Some(lifespan) = config.lifespan {
            options = options.lifespan(lifespan);
        }
        if let Some(mode) = config.mode {
            options = options.mode(mode);
        }
        options
    }
}

impl ShmConfig {
    fn validate(&self) -> Result<()> {
        check_name("region", &self.region)?;
        check_range("capacity", self.capacity, CAPACITY)?;
        check_range("max_objects", self.max_objects, OBJECTS)?;
        check_range("max_participants", self.max_participants, PARTICIPANTS)?;
        match self.mode {
            Some(mode) if mode & !0o777 != 0 || mode & 0o600 != 0o600 => {
                Err(Error::InvalidConfig {
                    what: "mode".into(),
                    found: format!("{mode:#o}"),
                    expected: "0o600, and read and write for the group or others (0o660, 0o666)"
                        .into(),
                })
            }
            _ => Ok(()),
        }
    }
}

fn check_range<N>(what: &str, value: Option<N>, range: RangeInclusive<N>) -> Result<()>
where
    N: PartialOrd + fmt::Display,
{
    match value {
        Some(value) if !range.contains(&value) => Err(Error::InvalidConfig {
            what: what.into(),
            found: value.to_string(),
            expected: format!("{} to {}", range.start(), range.end()),
        }),
        _ => Ok(()),
    }
}

/// Refuses names that could not be a file's.
pub(crate) fn check_name(what: &'static str, name: &str) -> Result<()> {
    let reason = if name.is_empty() {
        "it is empty"
    } else if name.len() > NAME_MAX {
        "it is longer than 200 bytes"
    } else if name == "." || name == ".." {
        "it is a directory's name"
    } else if name.contains(['/', '\0']) {
        "it contains '/' or a NUL byte"
    } else {
        return Ok(());
    };
    Err(Error::InvalidName { what, name: name.chars().take(64).collect(), reason: reason.into() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shm(options: &str) -> Result<ConnectorConfig> {
        ConnectorConfig::from_toml(&format!("[shm]\nregion = \"r\"\n{options}\n"))
    }

    #[test]
    fn every_option_survives_toml_and_postcard() {
        let options = "capacity = 65536\nmax_objects = 5\nmax_participants = 3\nlifespan = \"persistent\"\nmode = 0o660";
        let config = shm(options).unwrap();
        assert!(
            matches!(&config, ConnectorConfig::Shm(c) if c.lifespan == Some(Lifespan::Persistent))
        );
        assert_eq!(ConnectorConfig::from_toml(&config.to_toml()).unwrap(), config);
        let wire = postcard::to_stdvec(&config).unwrap();
        assert_eq!(postcard::from_bytes::<ConnectorConfig>(&wire).unwrap(), config);
        let local = ConnectorConfig::local("here");
        assert_eq!(ConnectorConfig::from_toml(&local.to_toml()).unwrap(), local);
    }

    #[test]
    fn absurd_values_are_refused_by_name() {
        for (options, what) in [
            ("capacity = 0", "capacity"),
            ("capacity = 9000000000000000000", "capacity"),
            ("max_objects = 0", "max_objects"),
            ("max_participants = 5000", "max_participants"),
            ("mode = 0o200", "mode"),
            ("mode = 0o7777", "mode"),
        ] {
            let error = shm(options).unwrap_err();
            assert!(
                matches!(&error, Error::InvalidConfig { what: found, .. } if found == what),
                "{options}: {error}"
            );
        }
        for name in ["", "a/b", ".", "nul\0", &"x".repeat(201)] {
            assert!(
                matches!(ConnectorConfig::shm(name).validate(), Err(Error::InvalidName { .. })),
                "{name:?}"
            );
        }
    }

    #[test]
    fn options_of_directories_servers_and_several_are_refused_by_name() {
        for (text, what) in [
            ("[file]\ndirectory = \"here\"", "file.directory"),
            ("[redis]\nurls = []", "redis.urls"),
            ("[redis]\nurls = [\"redis://a\", \"redis://b\"]", "redis.urls"),
            ("[redis]\nurls = [\"http://a\"]", "redis.urls"),
            ("[redis]\nurls = [\"redis://:secret@a\"]", "redis.urls"),
            ("[redis]\nurls = [\"unix:///s?pass=secret\"]", "redis.urls"),
            ("[redis]\nurls = [\"redis://a\"]\nca_file = \"/ca\"", "redis.ca_file"),
            ("[redis]\nurls = [\"rediss://a\"]\nkey_file = \"/k\"", "redis.certificate_file"),
            ("[redis]\nurls = [\"redis://a\"]\ntimeout_ms = 0", "redis.timeout_ms"),
            ("[redis]\nurls = [\"redis://a\", \"rediss://b\"]\ncluster = true", "redis.urls"),
            ("[multi]\nmembers = []", "multi.members"),
            (
                "[[multi.members]]\nconnector.local.name = \"a\"\n[[multi.members]]\nconnector.local.name = \"a\"",
                "multi.members",
            ),
            (
                "[[multi.members]]\nconnector.local.name = \"a\"\npolicy = { min_size = 9, max_size = 8 }",
                "policy.min_size",
            ),
        ] {
            let error = ConnectorConfig::from_toml(text).unwrap_err();
            let is_named = matches!(&error, Error::InvalidConfig { what: found, .. } if found.starts_with(what));
            assert!(is_named && !error.to_string().contains("secret"), "{text}: {error}");
        }
    }

    #[test]
    fn several_of_several_are_refused_however_deep() {
        let one = ConnectorConfig::multi([ConnectorConfig::local("a")]);
        let nested = ConnectorConfig::multi([one]);
        assert!(nested.validate().unwrap_err().to_string().contains("multi.members"));
        let error = ConnectorConfig::from_toml(&nested.to_toml()).unwrap_err();
        assert!(matches!(&error, Error::ConfigText(_)), "{error}");
        let inner = postcard::to_stdvec(&nested).unwrap();
        let level = [5, 1, 0, 0, 0, 0, 0, 0];
        assert!(inner.starts_with(&[level, level].concat()), "{inner:?}");
        let deep = level.repeat(100_000);
        assert!(postcard::from_bytes::<ConnectorConfig>(&deep).is_err());
        assert!(postcard::from_bytes::<ConnectorConfig>(&inner).is_err());
    }

    #[test]
    fn negative_values_and_unknown_fields_are_refused() {
        for options in ["capacity = -1", "max_objects = -7", "size = 1", "lifespan = \"eternal\""] {
            assert!(matches!(shm(options), Err(Error::ConfigText(_))), "{options}");
        }
        assert!(matches!(
            ConnectorConfig::from_toml("[tape]\nreel = 1\n"),
            Err(Error::ConfigText(_))
        ));
    }
}
