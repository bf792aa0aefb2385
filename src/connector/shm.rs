//! Shared memory: the connector that everything else is measured against.

use std::task::Waker;
use std::time::Duration;

use crate::connector::config::{ConnectorConfig, ShmConfig};
use crate::connector::{
    Block, Connector, Deferrable, Fill, FillBatch, Lasting, Loan, Loaning, Offer, Variables,
    Version, Watch,
};
use crate::deadline::{Deadline, Term};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::region::{Lifespan, Pinned, Region, RegionOptions};
use crate::sync::{AtomicBool, Ordering};

/// A [`Region`] as a connector.
///
/// ```
/// use inplace::RegionOptions;
/// use inplace::connector::{Connector, ShmConnector};
///
/// let shm = ShmConnector::new(RegionOptions::new().capacity(1 << 20).anonymous()?);
/// let key = shm.put(b"bytes")?;
/// assert_eq!(&*shm.get(key)?.unwrap(), b"bytes");
/// # Ok::<(), inplace::Error>(())
/// ```
#[derive(Debug)]
pub struct ShmConnector {
    region: Region,
    closed: AtomicBool,
}

impl ShmConnector {
    /// The connector over a region.
    #[must_use]
    pub fn new(region: Region) -> Self {
        Self { region, closed: AtomicBool::new(false) }
    }

    /// Opens the region of that configuration, and creates it when it does not exist.
    ///
    /// # Errors
    /// As [`RegionOptions::open_or_create`].
    pub fn connect(config: &ShmConfig) -> Result<Self> {
        RegionOptions::from(config).open_or_create(&config.region).map(Self::new)
    }

    /// The region an existing object is in: one this process has already, perhaps inherited, or else the one of that
    /// configuration, which is not created.
    pub(crate) fn connect_to(config: &ShmConfig, key: Key) -> Result<Self> {
        if let Some(region) = Region::attached(key.space())? {
            return Ok(Self::new(region));
        }
        if config.lifespan == Some(Lifespan::Anonymous) {
            return Err(Error::RegionNotFound { name: config.region.clone() });
        }
        RegionOptions::from(config).open(&config.region).map(Self::new)
    }

    /// The region, unless the connector was closed.
    ///
    /// # Errors
    /// [`Error::Closed`].
    #[inline]
    pub fn region(&self) -> Result<&Region> {
        if self.closed.load(Ordering::Relaxed) {
            Err(self.closed_error())
        } else {
            Ok(&self.region)
        }
    }

    #[cold]
    fn closed_error(&self) -> Error {
        Error::Closed { what: format!("the connector of region {:?}", self.region.name()) }
    }
}

impl Connector for ShmConnector {
    fn put_with(&self, size: usize, fingerprint: Fingerprint, fill: &mut Fill<'_>) -> Result<Key> {
        self.region()?.put_with(size, fingerprint, fill)
    }

    #[inline]
    fn put(&self, bytes: &[u8]) -> Result<Key> {
        self.region()?.put(bytes)
    }

    fn put_batch(&self, items: &[&[u8]]) -> Result<Vec<Key>> {
        self.region()?.put_batch(items)
    }

    fn put_batch_with(
        &self,
        sizes: &[usize],
        fingerprint: Fingerprint,
        fill: &mut FillBatch<'_>,
    ) -> Result<Vec<Key>> {
        self.region()?.put_batch_with(sizes, fingerprint, fill)
    }

    #[inline(always)]
    fn get(&self, key: Key) -> Result<Option<Block>> {
        Ok(self.region()?.get(key)?.map(Block::from))
    }

    fn take(&self, key: Key) -> Result<Option<Block>> {
        Ok(self.region()?.take(key)?.map(Block::from))
    }

    fn exists(&self, key: Key) -> Result<bool> {
        self.region()?.exists(key)
    }

    #[inline]
    fn evict(&self, key: Key) -> Result<bool> {
        self.region()?.evict(key)
    }

    /// Refuses further operations; the process detaches when the connector and every view are gone.
    fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn config(&self) -> ConnectorConfig {
        let mut config =
            ShmConfig { region: self.region.name().to_owned(), ..ShmConfig::default() };
        if self.region.lifespan() == Lifespan::Anonymous {
            config.lifespan = Some(Lifespan::Anonymous);
        }
        ConnectorConfig::Shm(config)
    }

    fn space(&self) -> Option<u64> {
        Some(self.region.id())
    }

    fn register_type(&self, fingerprint: Fingerprint, name: &str) {
        self.region.register_type(fingerprint, name);
    }

    fn describe(&self, fingerprint: Fingerprint) -> Option<String> {
        self.region.describe_type(fingerprint)
    }

    fn as_shm(&self) -> Option<&ShmConnector> {
        Some(self)
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        Some(self)
    }

    fn loaning(&self) -> Option<&dyn Loaning> {
        Some(self)
    }

    fn lasting(&self) -> Option<&dyn Lasting> {
        Some(self)
    }

    fn variables(&self) -> Option<&dyn Variables> {
        Some(self)
    }
}

impl Deferrable for ShmConnector {
    fn reserve(&self) -> Result<Key> {
        self.region()?.reserve()
    }

    fn set_with(
        &self,
        key: Key,
        size: usize,
        fingerprint: Fingerprint,
        fill: &mut Fill<'_>,
    ) -> Result<()> {
        self.region()?.set_with(key, size, fingerprint, fill)
    }

    fn fail(&self, key: Key) -> Result<()> {
        self.region()?.fail(key)
    }

    fn wait(&self, key: Key, timeout: Option<Duration>) -> Result<Block> {
        self.region()?.wait(key, timeout).map(Block::from)
    }

    fn fail_with(&self, key: Key, message: &str) -> Result<()> {
        self.region()?.fail_with(key, message)
    }

    fn cancel(&self, key: Key) -> Result<()> {
        self.region()?.cancel(key)
    }

    fn offer(&self, key: Key) -> Result<Offer> {
        self.region()?.offer_promise(key)
    }

    fn adopt(&self, key: Key, offer: Offer) -> Result<()> {
        self.region()?.adopt_promise(key, offer)
    }

    /// Called once, as soon as there is an answer, by the thread that listens for all promises of this process.
    fn watch(&self, key: Key, waker: &Waker) -> Result<Watch> {
        let watch = self.region()?.watch(key, waker)?;
        Ok(watch.map_or_else(|| Watch::over(waker), Watch::new))
    }
}

impl Loaning for ShmConnector {
    fn loan(&self, len: usize, fingerprint: Fingerprint) -> Result<Loan> {
        self.region()?.loan(len, fingerprint).map(Loan::from)
    }
}

impl Lasting for ShmConnector {
    fn put_for(&self, size: usize, kind: (Fingerprint, Term), fill: &mut Fill<'_>) -> Result<Key> {
        self.region()?.put_for(size, kind, fill)
    }

    fn set_deadline(&self, key: Key, deadline: Option<Deadline>) -> Result<bool> {
        self.region()?.set_deadline(key, deadline)
    }

    fn bind_to_process(&self, key: Key) -> Result<bool> {
        self.region()?.bind_to_process(key)
    }

    fn unbind_from_process(&self, key: Key) -> Result<()> {
        self.region()?.unbind_from_process(key)
    }

    fn offer(&self, key: Key) -> Result<u64> {
        self.region()?.offer_object(key)
    }

    fn adopt(&self, key: Key, offer: u64) -> Result<()> {
        self.region()?.adopt_object(key, offer)
    }

    fn evict_bound(&self, key: Key) -> Result<bool> {
        self.region()?.evict_bound(key)
    }

    fn process(&self) -> Result<u64> {
        self.region()?.process()
    }
}

impl Variables for ShmConnector {
    fn new_variable(&self, fingerprint: Fingerprint) -> Result<Key> {
        self.region()?.new_variable(fingerprint)
    }

    fn new_bound_variable(&self, fingerprint: Fingerprint) -> Result<Key> {
        self.region()?.new_bound_variable(fingerprint)
    }

    fn open_variable(&self, name: &str, fingerprint: Fingerprint) -> Result<Key> {
        self.region()?.open_variable(name, fingerprint)
    }

    fn set_variable(
        &self,
        variable: (Key, Option<u64>),
        encoded: (usize, Fingerprint),
        fill: &mut Fill<'_>,
    ) -> Result<u64> {
        self.region()?.set_variable(variable, encoded, fill)
    }

    #[inline(always)]
    fn get_variable(&self, key: Key, fingerprint: Fingerprint) -> Result<Option<Version>> {
        Ok(self.region()?.get_variable(key, fingerprint)?.map(Version::from))
    }

    fn wait_for_change(&self, key: Key, seen: u64, timeout: Option<Duration>) -> Result<Version> {
        self.region()?.wait_for_change(key, seen, timeout).map(Version::from)
    }

    /// Called once, as [`Deferrable::watch`] does.
    fn watch_change(&self, key: Key, seen: u64, waker: &Waker) -> Result<Watch> {
        let watch = self.region()?.watch_change(key, seen, waker)?;
        Ok(watch.map_or_else(|| Watch::over(waker), Watch::new))
    }
}

impl From<(Pinned, u64)> for Version {
    fn from((pinned, number): (Pinned, u64)) -> Self {
        Self { key: pinned.key(), number, block: Block::from(pinned) }
    }
}
