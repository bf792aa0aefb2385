//! A Redis server, or a cluster of them.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::connector::config::check_name;
use crate::error::{Error, Result};

const PREFIX: &str = "inplace";
#[cfg(feature = "redis")]
const TIMEOUT_MS: u64 = 10_000;
const TIMEOUT_MS_MOST: u64 = 3_600_000;

/// A Redis server or cluster: see `RedisConnector`, which is there with the feature `redis`.
///
/// ```
/// use inplace::connector::ConnectorConfig;
///
/// ConnectorConfig::from_toml("[redis]\nurls = [\"redis://cache.example.org\"]\npassword_env = \"CACHE_PASSWORD\"\n")?;
/// let told = ConnectorConfig::from_toml("[redis]\nurls = [\"redis://me:secret@cache.example.org\"]\n").unwrap_err();
/// assert!(told.to_string().contains("password_env") && !told.to_string().contains("secret"));
/// # Ok::<(), inplace::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// Addresses: `redis://host:port/database`, `rediss://…` for TLS, `redis+unix:///path`. One; of a cluster, some.
    pub urls: Vec<String>,
    /// Whether the servers are a cluster.
    #[serde(default)]
    pub cluster: bool,
    /// What the server's keys begin with, so that stores can share a server; `inplace` by default.
    #[serde(default = "prefix")]
    pub prefix: String,
    /// The environment variable that holds the password: a configuration travels with every proxy, a password must not.
    #[serde(default)]
    pub password_env: Option<String>,
    /// How long to wait for a connection, and for the next bytes of an answer; 10,000 by default.
    #[serde(default)]
    pub timeout_ms: Option<u64>,
    /// A file with the certificate (PEM) of whoever vouches for the server; the system's trusted ones if none is given.
    #[serde(default)]
    pub ca_file: Option<String>,
    /// A file with this side's certificate (PEM), for a server that asks for one.
    #[serde(default)]
    pub certificate_file: Option<String>,
    /// A file with the key (PEM) of that certificate.
    #[serde(default)]
    pub key_file: Option<String>,
}

fn prefix() -> String {
    PREFIX.into()
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            cluster: false,
            prefix: prefix(),
            password_env: None,
            timeout_ms: None,
            ca_file: None,
            certificate_file: None,
            key_file: None,
        }
    }
}

impl RedisConfig {
    pub(in crate::connector) fn validate(&self) -> Result<()> {
        check_name("redis prefix", &self.prefix)?;
        if self.urls.is_empty() || (self.urls.len() > 1 && !self.cluster) {
            let expected = "one address, or some of a cluster's with `cluster = true`";
            return Err(refused("urls", format!("{} addresses", self.urls.len()), expected));
        }
        self.urls.iter().try_for_each(|url| check_url(url))?;
        let is_tls = self.urls.iter().any(|url| url.starts_with("rediss://"));
        if self.urls.iter().any(|url| url.starts_with("rediss://") != is_tls) {
            return Err(refused("urls", "some with TLS and some without", "all alike"));
        }
        let files = [&self.ca_file, &self.certificate_file, &self.key_file];
        if !is_tls && files.iter().any(|file| file.is_some()) {
            let expected = "none, or `rediss://` addresses";
            return Err(refused("ca_file, certificate_file or key_file", "given", expected));
        }
        if self.certificate_file.is_some() != self.key_file.is_some() {
            let expected = "both or none";
            return Err(refused("certificate_file and key_file", "one of the two", expected));
        }
        match self.timeout_ms {
            Some(millis) if !(1..=TIMEOUT_MS_MOST).contains(&millis) => {
                Err(refused("timeout_ms", millis, "1 to 3600000"))
            }
            _ => Ok(()),
        }
    }

    /// Whether both lead to the same objects: any node of a cluster leads to all of it.
    pub(super) fn is_same_place(&self, other: &Self) -> bool {
        let share = |url: &String| other.urls.contains(url);
        self.prefix == other.prefix && self.cluster == other.cluster && self.urls.iter().any(share)
    }

    #[cfg(feature = "redis")]
    pub(in crate::connector) fn timeout(&self) -> std::time::Duration {
        std::time::Duration::from_millis(self.timeout_ms.unwrap_or(TIMEOUT_MS))
    }
}

/// Refuses what is no address, and passwords.
fn check_url(url: &str) -> Result<()> {
    let schemes = ["redis://", "rediss://", "redis+unix://", "unix://"];
    let Some(scheme) = schemes.iter().find(|scheme| url.starts_with(**scheme)) else {
        let shown: String = url.chars().take_while(|c| *c != '@').take(20).collect();
        return Err(refused(
            "urls",
            format!("{shown:?}…"),
            "addresses that begin with redis:// or rediss://",
        ));
    };
    let rest = &url[scheme.len()..];
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let has_password = authority.rsplit_once('@').is_some_and(|(user, _)| user.contains(':'))
        || rest.contains("pass=");
    if has_password {
        let expected = "addresses without one: name the variable that holds it as `password_env`, because a \
                        configuration travels with every proxy";
        return Err(refused("urls", "a password in an address", expected));
    }
    Ok(())
}

fn refused(what: &str, found: impl fmt::Display, expected: &str) -> Error {
    Error::InvalidConfig {
        what: format!("redis.{what}"),
        found: found.to_string(),
        expected: expected.into(),
    }
}
