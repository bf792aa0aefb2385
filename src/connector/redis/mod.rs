//! A Redis server or cluster: the way beyond one host.

mod lasting;
mod link;
mod value;

use std::fmt;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, RedisError, RedisResult, RetryMethod, Value};

use crate::connector::config::{ConnectorConfig, RedisConfig};
use crate::connector::heap::HeapBytes;
use crate::connector::series::{Need, RANGES, Ranges, Series};
use crate::connector::{Block, Connector, Fill, FillBatch, Lasting};
use crate::deadline::Deadline;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::sync::{AtomicBool, Ordering};
use crate::sys::file;

use link::{Link, Links};
use value::{HEADER, is_value, parts, set, value_of};

/// Pauses before something that may be asked twice is asked again.
const PAUSES: [Duration; 3] =
    [Duration::ZERO, Duration::from_millis(50), Duration::from_millis(250)];

/// Stores each object in a Redis server or cluster: processes of several hosts use the same objects, by copy.
///
/// An object is a string of at most 512 MiB under `<prefix>:<space>:<object>`. A get copies it to the heap; what was got
/// stays valid when it is evicted. Batches are sent at once; in a cluster to every node at once.
///
/// - The server has to keep what it is given: with a `maxmemory-policy` other than `noeviction`, objects vanish. A full
///   server is [`Error::OutOfSpace`].
/// - Whether an object is evicted by one or two who try is the server's word. When the connection breaks before its answer
///   to an evict or take, that is an error ([`Error::Server`]), and the object may be gone. Everything else is asked again
///   on a new connection.
/// - A server that lost its data (restarted without persistence, flushed) is found empty; connectors that are open go on
///   with the keys they give, unless others began anew before: then they say so.
/// - Leases are the server's to end, whoever is dead then. It is told how long is left rather than when that is, so no clocks
///   need agree: an object stays for the time that was left when the server heard of it. That is never less than the
///   deadline asks for, and as much more as the words were on their way (on a server whose clock is not set meanwhile: one
///   that is set forward ends leases early).
/// - Promises and owners need to know who lives, which a server does not: this connector has none, and objects that go with
///   a process are [`Error::Unsupported`]. Use the `MultiConnector` with one that has.
///
/// Connections are kept per process: a forked child opens its own.
///
/// ```no_run
/// use inplace::connector::{Connector, RedisConnector};
///
/// let redis = RedisConnector::open("redis://127.0.0.1:6379")?;
/// let key = redis.put(b"bytes")?;
/// assert_eq!(&*redis.get(key)?.unwrap(), b"bytes");
/// # Ok::<(), inplace::Error>(())
/// ```
pub struct RedisConnector {
    config: RedisConfig,
    links: Links,
    space: u64,
    series: Series,
    closed: AtomicBool,
}

impl RedisConnector {
    /// The server at that address, with every default.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn open(url: &str) -> Result<Self> {
        Self::connect(&RedisConfig { urls: vec![url.to_owned()], ..RedisConfig::default() })
    }

    /// The server or cluster of that configuration.
    ///
    /// # Errors
    /// [`Error::Server`] when it does not answer, or refuses; [`Error::InvalidConfig`].
    pub fn connect(config: &RedisConfig) -> Result<Self> {
        config.validate()?;
        let links = Links::new(config)?;
        let mut link = links.open()?;
        let own = file::random().map_err(|error| Error::system("drawing a number", error))?.max(1);
        let space =
            agree_on_space(&mut link, config, own).map_err(|error| links.unusable(error))?;
        links.keep(link);
        let (config, closed) = (config.clone(), AtomicBool::new(false));
        Ok(Self { config, links, space, series: Series::new()?, closed })
    }

    fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::Closed { what: format!("the connector of {}", self.name()) });
        }
        Ok(())
    }

    fn check_own(&self, key: Key) -> Result<()> {
        self.check_open()?;
        if key.space() == self.space {
            return Ok(());
        }
        let (expected, found, name) = (key.space(), self.space, self.name());
        Err(Error::WrongRegion { key, expected, found, name })
    }

    fn name(&self) -> String {
        format!("{} of {}", self.config.prefix, self.config.urls.join(", "))
    }

    /// The server's key of something of this space.
    fn place(&self, what: impl fmt::Display) -> String {
        format!("{}:{:016x}:{what}", self.config.prefix, self.space)
    }

    fn place_of(&self, key: Key) -> String {
        self.place(format_args!("{:016x}", key.object()))
    }

    /// Does something with a connection, once: what it asked may have been done although it fails.
    fn once<T>(&self, ask: &mut dyn FnMut(&mut Link) -> RedisResult<T>) -> RedisTry<T> {
        let mut link = match self.links.idle() {
            Some(link) => link,
            None => self.open_link().map_err(Attempt::Unopened)?,
        };
        match ask(&mut link) {
            Ok(answer) => {
                self.links.keep(link);
                Ok(answer)
            }
            Err(error) => {
                // An answer that is an error is an answer: the connection is good.
                if !is_broken(&error) {
                    self.links.keep(link);
                }
                Err(Attempt::Failed(error))
            }
        }
    }

    /// Opens a connection, and makes sure that behind it are still the same objects.
    fn open_link(&self) -> Result<Link> {
        let mut link = self.links.open()?;
        let found = agree_on_space(&mut link, &self.config, self.space)
            .map_err(|error| self.links.unusable(error))?;
        if found == self.space {
            return Ok(link);
        }
        Err(Error::Server {
            server: self.name(),
            reason:
                "it lost its objects, and others have put new ones since: open the connector anew"
                    .into(),
        })
    }

    /// Asks what may be asked again when the connection breaks.
    fn again<T>(&self, ask: &mut dyn FnMut(&mut Link) -> RedisResult<T>) -> Result<T> {
        let mut last = None;
        for pause in PAUSES {
            std::thread::sleep(pause);
            match self.once(ask) {
                Ok(answer) => return Ok(answer),
                Err(Attempt::Failed(error)) if !is_worth_another_try(&error) => {
                    return Err(self.links.unusable(error));
                }
                Err(Attempt::Failed(error)) => last = Some(self.links.unusable(error)),
                Err(Attempt::Unopened(error)) => last = Some(error),
            }
        }
        Err(last.unwrap_or(Error::Severed))
    }

    fn get_again<T: FromRedisValue>(&self, command: &Cmd) -> Result<T> {
        self.again(&mut |link| link.ask(command))
    }

    /// Asks what can be done once only.
    fn change<T>(&self, ask: &mut dyn FnMut(&mut Link) -> RedisResult<T>) -> Result<T> {
        self.once(ask).map_err(|attempt| match attempt {
            Attempt::Unopened(error) => error,
            Attempt::Failed(error) => self.links.unusable(error),
        })
    }

    fn new_key(&self) -> Result<Key> {
        Ok(Key::new(self.space, self.series.next(self)?))
    }

    /// Stores values under new keys, perhaps until some time; all or none.
    fn add(&self, values: &[Vec<u8>], until: Option<Deadline>) -> Result<Vec<Key>> {
        let mut keys = Vec::with_capacity(values.len());
        for part in parts(values) {
            if let Err(error) = self.add_part(part, until, &mut keys) {
                // The first error is the one to hear of.
                let _ = self.evict_batch(&keys);
                return Err(error);
            }
        }
        Ok(keys)
    }

    /// Stores values and adds their keys, also when only some could be.
    fn add_part(
        &self,
        values: &[Vec<u8>],
        until: Option<Deadline>,
        keys: &mut Vec<Key>,
    ) -> Result<()> {
        let first = keys.len();
        for _ in values {
            keys.push(self.new_key()?);
        }
        let commands = || -> Vec<Cmd> {
            let pairs = keys[first..].iter().zip(values);
            pairs.map(|(key, value)| set(&self.place_of(*key), value, until)).collect()
        };
        let mut attempts = 0;
        let stored = self.again(&mut |link| {
            attempts += 1;
            match values.len() {
                1 => link.ask(&commands()[0]).map(|answer| vec![answer]),
                _ => link.ask_all(commands()),
            }
        });
        let len: usize = values.iter().map(|value| value.len() - HEADER).sum();
        let answers = stored.map_err(|error| self.perhaps_full(len as u64, error))?;
        // What an attempt that was cut off had set is this one's as well.
        match answers.iter().position(|answer| *answer == Value::Nil) {
            Some(at) if attempts == 1 => {
                let taken = keys.swap_remove(first + at);
                Err(self
                    .damaged(taken, "was there before it was put: another program writes there"))
            }
            _ => Ok(()),
        }
    }

    /// A server that has no more memory says so by an error of its own.
    fn perhaps_full(&self, requested: u64, error: Error) -> Error {
        match &error {
            Error::Server { reason, .. } if reason.contains("OOM") => {
                let told: Option<String> = self.get_again(redis::cmd("INFO").arg("memory")).ok();
                let number = |name: &str| {
                    let line = told.as_ref()?.lines().find_map(|line| line.strip_prefix(name))?;
                    line.trim().parse::<u64>().ok()
                };
                Error::OutOfSpace {
                    requested,
                    in_use: number("used_memory:").unwrap_or(0),
                    capacity: number("maxmemory:").unwrap_or(0),
                    remedy: format!(
                        "{} has reached its `maxmemory`: evict objects, or raise it",
                        self.name()
                    ),
                }
            }
            _ => error,
        }
    }

    /// Asks for something of each object at once, which may be asked again.
    fn ask_each(&self, keys: &[Key], command: impl Fn(Key) -> Cmd) -> Result<Vec<Value>> {
        self.check_open()?;
        keys.iter().try_for_each(|key| self.check_own(*key))?;
        match keys {
            [] => Ok(Vec::new()),
            keys => {
                self.again(&mut |link| link.ask_all(keys.iter().map(|key| command(*key)).collect()))
            }
        }
    }

    /// What the server has before an object's bytes; nothing when the object is not there.
    fn get_header(&self, key: Key) -> Cmd {
        redis::cmd("GETRANGE").arg(self.place_of(key)).arg(0).arg(HEADER - 1).take()
    }

    fn string(&self, key: Key, answer: Value) -> Result<Option<Vec<u8>>> {
        Option::from_redis_value(answer).map_err(|_| self.damaged(key, "is no string"))
    }

    fn block(&self, key: Key, value: &[u8]) -> Result<Block> {
        let (fingerprint, bytes) = value::split(value).map_err(|what| self.damaged(key, what))?;
        Ok(Block::heap(HeapBytes::copied(bytes), fingerprint))
    }

    fn damaged(&self, key: Key, found: &str) -> Error {
        Error::Damaged { key, place: self.place_of(key), found: found.to_owned() }
    }

    fn type_name(&self, fingerprint: Fingerprint) -> String {
        self.place(format_args!("type:{:016x}", fingerprint.get()))
    }
}

/// Why an attempt failed.
enum Attempt {
    /// Nothing was asked.
    Unopened(Error),
    /// Something was asked, and may have been done.
    Failed(RedisError),
}

/// Whether the connection is of no more use.
fn is_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_unrecoverable_error()
}

/// Whether the answer may be another one in a moment: the connection broke, or the server is starting or moving.
fn is_worth_another_try(error: &RedisError) -> bool {
    is_broken(error) || !matches!(error.retry_method(), RetryMethod::NoRetry)
}

type RedisTry<T> = std::result::Result<T, Attempt>;

/// Whose the objects behind this connection are: `own`, unless others were first.
fn agree_on_space(link: &mut Link, config: &RedisConfig, own: u64) -> RedisResult<u64> {
    let place = format!("{}:space", config.prefix);
    let _may_be_there: Value =
        link.ask(redis::cmd("SET").arg(&place).arg(format!("{own:016x}")).arg("NX"))?;
    let found: String = link.ask(redis::cmd("GET").arg(&place))?;
    let parsed = u64::from_str_radix(&found, 16).ok().filter(|_| found.len() == 16);
    parsed.ok_or_else(|| {
        let what = "the key with the number of the space holds something else";
        RedisError::from((redis::ErrorKind::Client, what, place))
    })
}

impl Ranges for RedisConnector {
    type Held = ();

    /// The server counts ranges from a number that was drawn: one that lost its count begins elsewhere.
    fn take(&self) -> Result<(u64, ())> {
        let place = self.place("ranges");
        let drawn = file::random().map_err(|error| Error::system("drawing a number", error))?;
        let start = (drawn % (RANGES / 2)).to_string();
        // Asked twice because the answer was lost, a range is nobody's.
        let range: u64 = self.again(&mut |link| {
            link.ask::<Value>(redis::cmd("SET").arg(&place).arg(&start).arg("NX"))?;
            link.ask(redis::cmd("INCR").arg(&place))
        })?;
        if range >= RANGES {
            return Err(Error::OutOfSlots { max_objects: u32::MAX });
        }
        Ok((range, ()))
    }

    fn keep(&self, _: Need, _: u64, (): ()) {}
}

impl Connector for RedisConnector {
    fn put_with(&self, size: usize, fingerprint: Fingerprint, fill: &mut Fill<'_>) -> Result<Key> {
        self.check_open()?;
        let value = value_of(size, fingerprint, fill)?;
        Ok(self.add(std::slice::from_ref(&value), None)?[0])
    }

    fn put_batch_with(
        &self,
        sizes: &[usize],
        fingerprint: Fingerprint,
        fill: &mut FillBatch<'_>,
    ) -> Result<Vec<Key>> {
        self.check_open()?;
        let mut values = Vec::with_capacity(sizes.len());
        for (at, size) in sizes.iter().enumerate() {
            values.push(value_of(*size, fingerprint, &mut |out| fill(at, out))?);
        }
        self.add(&values, None)
    }

    fn get(&self, key: Key) -> Result<Option<Block>> {
        self.check_own(key)?;
        let value: Option<Vec<u8>> = self.get_again(redis::cmd("GET").arg(self.place_of(key)))?;
        value.map(|value| self.block(key, &value)).transpose()
    }

    fn get_batch(&self, keys: &[Key]) -> Result<Vec<Option<Block>>> {
        let get = |key: Key| redis::cmd("GET").arg(self.place_of(key)).take();
        let block = |(key, answer): (&Key, Value)| {
            let value = self.string(*key, answer)?;
            value.map(|value| self.block(*key, &value)).transpose()
        };
        keys.iter().zip(self.ask_each(keys, get)?).map(block).collect()
    }

    fn take(&self, key: Key) -> Result<Option<Block>> {
        self.check_own(key)?;
        // Read first: an object that is damaged is not lost to a failed attempt.
        let Some(block) = self.get(key)? else { return Ok(None) };
        Ok(if self.evict(key)? { Some(block) } else { None })
    }

    fn exists(&self, key: Key) -> Result<bool> {
        self.check_own(key)?;
        let header: Vec<u8> = self.get_again(&self.get_header(key))?;
        Ok(is_value(&header))
    }

    fn exists_batch(&self, keys: &[Key]) -> Result<Vec<bool>> {
        let is_there = |(key, answer): (&Key, Value)| {
            Ok(is_value(&self.string(*key, answer)?.unwrap_or_default()))
        };
        let answers = self.ask_each(keys, |key| self.get_header(key))?;
        keys.iter().zip(answers).map(is_there).collect()
    }

    fn take_batch(&self, keys: &[Key]) -> Result<Vec<Option<Block>>> {
        let mut blocks = self.get_batch(keys)?;
        let found: Vec<usize> = (0..keys.len()).filter(|at| blocks[*at].is_some()).collect();
        let unlink = |at: &usize| redis::cmd("UNLINK").arg(self.place_of(keys[*at])).take();
        if !found.is_empty() {
            let answers =
                self.change(&mut |link| link.ask_all(found.iter().map(unlink).collect()))?;
            for (at, answer) in found.into_iter().zip(answers) {
                // Another one was faster.
                if answer != Value::Int(1) {
                    blocks[at] = None;
                }
            }
        }
        Ok(blocks)
    }

    fn evict(&self, key: Key) -> Result<bool> {
        self.check_own(key)?;
        let place = self.place_of(key);
        self.change(&mut |link| link.ask(redis::cmd("UNLINK").arg(&place)))
    }

    fn evict_batch(&self, keys: &[Key]) -> Result<usize> {
        self.check_open()?;
        let (own, foreign): (Vec<Key>, Vec<Key>) =
            keys.iter().partition(|key| key.space() == self.space);
        let unlink = |key: &Key| redis::cmd("UNLINK").arg(self.place_of(*key)).take();
        let evicted = match &own[..] {
            [] => 0,
            own => {
                let ask = &mut |link: &mut Link| link.ask_all(own.iter().map(unlink).collect());
                let answers = self.change(ask)?;
                answers.iter().filter(|answer| **answer == Value::Int(1)).count()
            }
        };
        foreign.first().map_or(Ok(evicted), |key| self.check_own(*key).map(|()| evicted))
    }

    fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Relaxed);
        self.links.close();
        Ok(())
    }

    fn config(&self) -> ConnectorConfig {
        ConnectorConfig::Redis(self.config.clone())
    }

    fn space(&self) -> Option<u64> {
        Some(self.space)
    }

    fn register_type(&self, fingerprint: Fingerprint, name: &str) {
        let command = set(&self.type_name(fingerprint), name.as_bytes(), None);
        // For errors only: without it a type has no name there.
        let _missing = self.get_again::<Value>(&command);
    }

    fn describe(&self, fingerprint: Fingerprint) -> Option<String> {
        self.get_again(redis::cmd("GET").arg(self.type_name(fingerprint))).ok()?
    }

    fn lasting(&self) -> Option<&dyn Lasting> {
        Some(self)
    }
}

impl fmt::Debug for RedisConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConnector").field("config", &self.config).finish_non_exhaustive()
    }
}
