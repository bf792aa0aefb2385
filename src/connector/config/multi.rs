//! Several connectors as one.

use serde::{Deserialize, Deserializer, Serialize};

use crate::connector::config::{
    ConnectorConfig, CustomConfig, FileConfig, LocalConfig, RedisConfig, ShmConfig,
};
use crate::connector::policy::Policy;
use crate::error::{Error, Result};

const MEMBERS_MOST: usize = 64;

/// Several connectors as one: see [`MultiConnector`](crate::connector::MultiConnector).
///
/// ```
/// use inplace::connector::ConnectorConfig;
///
/// let config = ConnectorConfig::from_toml(
///     r#"
///     [[multi.members]]                 # shared memory first …
///     connector.shm.region = "weather"
///     policy = { priority = 1, max_size = 1_000_000_000 }
///
///     [[multi.members]]                 # … then a disk
///     connector.file.directory = "/var/tmp/weather"
///     "#,
/// )?;
/// assert_eq!(ConnectorConfig::from_toml(&config.to_toml())?, config);
/// # Ok::<(), inplace::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MultiConfig {
    /// The connectors, and what each is for.
    pub members: Vec<MemberConfig>,
}

/// One of several connectors.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MemberConfig {
    /// What it is for.
    #[serde(default)]
    pub policy: Policy,
    /// The connector: any but several as one.
    #[serde(deserialize_with = "single")]
    pub connector: ConnectorConfig,
}

/// Every configuration but [`ConnectorConfig::Multi`], in the same order: what is sent can not be nested without end.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Single {
    Shm(ShmConfig),
    Local(LocalConfig),
    File(FileConfig),
    Redis(RedisConfig),
    Custom(CustomConfig),
}

fn single<'de, D: Deserializer<'de>>(from: D) -> Result<ConnectorConfig, D::Error> {
    Ok(match Single::deserialize(from)? {
        Single::Shm(config) => ConnectorConfig::Shm(config),
        Single::Local(config) => ConnectorConfig::Local(config),
        Single::File(config) => ConnectorConfig::File(config),
        Single::Redis(config) => ConnectorConfig::Redis(config),
        Single::Custom(config) => ConnectorConfig::Custom(config),
    })
}

impl From<ConnectorConfig> for MemberConfig {
    /// A member for everything.
    fn from(connector: ConnectorConfig) -> Self {
        Self { connector, policy: Policy::default() }
    }
}

impl MultiConfig {
    pub(in crate::connector) fn validate(&self) -> Result<()> {
        let refused = |found: String, expected: &str| Error::InvalidConfig {
            what: "multi.members".into(),
            found,
            expected: expected.into(),
        };
        if !(1..=MEMBERS_MOST).contains(&self.members.len()) {
            return Err(refused(format!("{} connectors", self.members.len()), "1 to 64 of them"));
        }
        for (at, member) in self.members.iter().enumerate() {
            member.policy.validate()?;
            if matches!(member.connector, ConnectorConfig::Multi(_)) {
                return Err(refused("a multi connector".into(), "connectors of any other kind"));
            }
            member.connector.validate()?;
            let same = |other: &&MemberConfig| other.connector.is_same_place(&member.connector);
            if let Some(other) = self.members[..at].iter().find(same) {
                let found = format!("the same place twice: {}", other.connector.to_toml().trim());
                return Err(refused(found, "a place once, with one policy"));
            }
        }
        Ok(())
    }

    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        self.members.len() == other.members.len()
            && self
                .members
                .iter()
                .zip(&other.members)
                .all(|(mine, theirs)| mine.connector.is_same_place(&theirs.connector))
    }
}
