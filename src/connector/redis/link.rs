//! Connections to a server or a cluster: opened, kept while idle, never shared over a fork.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis::cluster::{ClusterClient, ClusterConnection, cluster_pipe};
use redis::{
    Client, Cmd, Connection, ConnectionInfo, FromRedisValue, IntoConnectionInfo, RedisResult, Value,
};

use crate::connector::config::RedisConfig;
use crate::connector::one_at_a_time;
use crate::error::{Error, Result};
use crate::sync::{AtomicU64, Ordering};
use crate::sys::identity::Identity;

/// Idle connections of one connector at most.
const IDLE_MOST: usize = 8;
/// One that was idle this long is asked whether it still lives: servers and what lies between close idle ones.
const STALE: Duration = Duration::from_millis(500);
/// How often a cluster is asked again that is moving slots.
const CLUSTER_RETRIES: u32 = 3;

/// Idle connections of all connectors. Locked in [`one_at_a_time`] only.
static IDLE: Mutex<Vec<Idle>> = Mutex::new(Vec::new());

struct Idle {
    /// Whose it is: see [`Links::owner`].
    owner: Owner,
    link: Link,
    since: Instant,
}

/// A connector in one process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Owner {
    connector: u64,
    process: u64,
}

/// One connection.
pub(super) enum Link {
    Server(Box<Connection>),
    Cluster(Box<ClusterConnection>),
}

impl Link {
    pub(super) fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> RedisResult<T> {
        match self {
            Self::Server(server) => command.query(&mut **server),
            Self::Cluster(cluster) => command.query(&mut **cluster),
        }
    }

    /// Asks everything at once; an answer for each, or the first error.
    pub(super) fn ask_all(&mut self, commands: Vec<Cmd>) -> RedisResult<Vec<Value>> {
        match self {
            Self::Server(server) => {
                let mut all = redis::pipe();
                for command in commands {
                    all.add_command(command);
                }
                all.query(&mut **server)
            }
            Self::Cluster(cluster) => {
                let mut all = cluster_pipe();
                for command in commands {
                    all.add_command(command);
                }
                all.query(cluster)
            }
        }
    }
}

/// The connections of one connector.
pub(super) struct Links {
    config: RedisConfig,
    connector: u64,
    /// Wiped in a child: its parent's connections are not its own.
    process: Identity,
}

impl Links {
    pub(super) fn new(config: &RedisConfig) -> Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        if !cfg!(feature = "redis-tls") && config.urls.iter().any(|url| url.starts_with("rediss:"))
        {
            return Err(Error::InvalidConfig {
                what: "redis.urls".into(),
                found: "an address with TLS".into(),
                expected: "redis://, or a program built with the feature `redis-tls` of inplace"
                    .into(),
            });
        }
        let process = Identity::new().map_err(|error| Error::system("mapping a page", error))?;
        let connector = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(Self { config: config.clone(), connector, process })
    }

    /// An idle connection that answers; `None` when a new one has to be opened.
    pub(super) fn idle(&self) -> Option<Link> {
        loop {
            let idle = self.with_idle(|all, owner| {
                let at = all.iter().rposition(|idle| idle.owner == owner)?;
                Some(all.swap_remove(at))
            })?;
            let mut link = idle.link;
            if idle.since.elapsed() < STALE || link.ask::<()>(&redis::cmd("PING")).is_ok() {
                return Some(link);
            }
        }
    }

    /// Keeps a connection for the next who needs one.
    pub(super) fn keep(&self, link: Link) {
        let surplus = self.with_idle(|all, owner| {
            if all.iter().filter(|idle| idle.owner == owner).count() >= IDLE_MOST {
                return Some(link);
            }
            all.push(Idle { owner, link, since: Instant::now() });
            None
        });
        drop(surplus);
    }

    /// Closes this connector's idle connections, and in a child those of its parent.
    pub(super) fn close(&self) {
        let closed = self.with_idle(|all, owner| {
            let (closed, kept) = std::mem::take(all)
                .into_iter()
                .partition::<Vec<_>, _>(|idle| idle.owner.connector == owner.connector);
            *all = kept;
            closed
        });
        drop(closed);
    }

    /// Looks at the idle connections. What is to be closed is given back: closing takes time.
    fn with_idle<R>(&self, use_them: impl FnOnce(&mut Vec<Idle>, Owner) -> R) -> R {
        let _turn = one_at_a_time();
        if self.process.tag() == 0 {
            // Another number than the parent's: its process number, and which connector's turn it was.
            static NEXT: AtomicU64 = AtomicU64::new(1);
            let count = NEXT.fetch_add(1, Ordering::Relaxed);
            self.process.assume(1, u64::from(std::process::id()) << 32 | count);
        }
        let owner = Owner { connector: self.connector, process: self.process.incarnation() };
        use_them(&mut IDLE.lock().unwrap_or_else(PoisonError::into_inner), owner)
    }

    /// Opens a connection.
    pub(super) fn open(&self) -> Result<Link> {
        let config = &self.config;
        let password = match &config.password_env {
            Some(variable) => Some(std::env::var(variable).map_err(|_| Error::InvalidConfig {
                what: "redis.password_env".into(),
                found: format!("{variable:?}, a variable that this process does not have"),
                expected: "the name of an environment variable that holds the password".into(),
            })?),
            None => None,
        };
        let certificates = self.certificates()?;
        let opened = if config.cluster {
            self.open_cluster(password, certificates)
        } else {
            self.open_server(password, certificates)
        };
        opened.map_err(|error| self.unusable(error))
    }

    fn open_server(
        &self,
        password: Option<String>,
        certificates: Certificates,
    ) -> RedisResult<Link> {
        let mut info: ConnectionInfo = self.config.urls[0].as_str().into_connection_info()?;
        if let Some(password) = password {
            let settings = info.redis_settings().clone().set_password(password);
            info = info.set_redis_settings(settings);
        }
        let connection =
            certificates.client(info)?.get_connection_with_timeout(self.config.timeout())?;
        connection.set_read_timeout(Some(self.config.timeout()))?;
        connection.set_write_timeout(Some(self.config.timeout()))?;
        Ok(Link::Server(Box::new(connection)))
    }

    fn open_cluster(
        &self,
        password: Option<String>,
        certificates: Certificates,
    ) -> RedisResult<Link> {
        let mut builder = ClusterClient::builder(self.config.urls.iter().map(String::as_str))
            .retries(CLUSTER_RETRIES)
            .connection_timeout(self.config.timeout())
            .response_timeout(self.config.timeout());
        if let Some(password) = password {
            builder = builder.password(password);
        }
        let connection = certificates.cluster(builder).build()?.get_connection()?;
        Ok(Link::Cluster(Box::new(connection)))
    }

    #[cfg(feature = "redis-tls")]
    fn certificates(&self) -> Result<Certificates> {
        // Where a program has several providers of cryptography and chose none, rustls would panic.
        let _chosen_before = rustls::crypto::ring::default_provider().install_default();
        let read = |path: &Option<String>| {
            let read = path.as_ref().map(|path| crate::sys::disk::read_whole(path.as_ref()));
            read.transpose().map_err(|error| Error::system("reading a certificate", error))
        };
        let config = &self.config;
        let client = match (read(&config.certificate_file)?, read(&config.key_file)?) {
            (Some(client_cert), Some(client_key)) => {
                Some(redis::ClientTlsConfig { client_cert, client_key })
            }
            _ => None,
        };
        let root_cert = read(&config.ca_file)?;
        let is_tls = config.urls.iter().any(|url| url.starts_with("rediss:"));
        Ok(Certificates(is_tls.then_some(redis::TlsCertificates { client_tls: client, root_cert })))
    }

    #[cfg(not(feature = "redis-tls"))]
    fn certificates(&self) -> Result<Certificates> {
        Ok(Certificates)
    }

    /// The error of a server that is not there, or refuses.
    pub(super) fn unusable(&self, error: redis::RedisError) -> Error {
        let kind = if self.config.cluster { "the Redis cluster" } else { "the Redis server" };
        let server = format!("{kind} at {}", self.config.urls.join(", "));
        Error::Server { server, reason: error.to_string() }
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links").field("config", &self.config).finish_non_exhaustive()
    }
}

/// What a server with TLS is to be believed by, and this side.
#[cfg(feature = "redis-tls")]
struct Certificates(Option<redis::TlsCertificates>);

#[cfg(not(feature = "redis-tls"))]
struct Certificates;

type Builder = redis::cluster::ClusterClientBuilder;

#[cfg(feature = "redis-tls")]
impl Certificates {
    fn client(self, info: ConnectionInfo) -> RedisResult<Client> {
        match self.0 {
            Some(certificates) => Client::build_with_tls(info, certificates),
            None => Client::open(info),
        }
    }

    fn cluster(self, builder: Builder) -> Builder {
        match self.0 {
            Some(certificates) => builder.certs(certificates),
            None => builder,
        }
    }
}

#[cfg(not(feature = "redis-tls"))]
impl Certificates {
    fn client(self, info: ConnectionInfo) -> RedisResult<Client> {
        Client::open(info)
    }

    fn cluster(self, builder: Builder) -> Builder {
        builder
    }
}
