//! What a proxy is on its way: a key, and how to find its store.

use std::fmt;
use std::marker::PhantomData;

use rkyv::rancor::Fallible;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Codec, Storable};
use crate::connector::ConnectorConfig;
use crate::error::Result;
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::proxy::Proxy;
use crate::region::Lifespan;
use crate::store::StoreConfig;

/// A proxy without its type: what is sent.
///
/// With the default store, 19 bytes and the store's name in postcard.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(deny_unknown_fields)]
pub struct ProxyRef {
    /// The object.
    #[serde(with = "short_key")]
    pub key: Key,
    /// What resolving does.
    #[serde(default)]
    pub access: Access,
    /// Where the object is.
    pub store: StoreRef,
}

impl ProxyRef {
    /// What the bytes of an archived one may be: its accesses are part of that.
    pub(crate) const ARCHIVED: Fingerprint = Fingerprint::of("get, take, wait, wait_and_take");
}

/// What resolving a proxy does.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Gets the object.
    #[default]
    Get,
    /// Gets the object and evicts it: one taker gets it.
    Take,
    /// Waits for an object that is promised.
    Wait,
    /// Waits for an object that is promised, gets and evicts it: one taker gets it.
    WaitAndTake,
}

impl Access {
    /// Whether it evicts the object.
    #[must_use]
    pub fn takes(self) -> bool {
        matches!(self, Self::Take | Self::WaitAndTake)
    }

    /// Whether it waits for an object that is promised.
    #[must_use]
    pub fn waits(self) -> bool {
        matches!(self, Self::Wait | Self::WaitAndTake)
    }

    pub(super) fn and_take(self) -> Self {
        if self.waits() { Self::WaitAndTake } else { Self::Take }
    }

    pub(super) fn and_wait(self) -> Self {
        if self.takes() { Self::WaitAndTake } else { Self::Wait }
    }
}

/// How a process that never saw a store finds it.
#[derive(
    Clone,
    Debug,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    rkyv::Archive,
    rkyv::Serialize,
    rkyv::Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum StoreRef {
    /// In the region of the store's name.
    Region(String),
    /// In a region of another name.
    RegionNamed {
        /// The store's name.
        store: String,
        /// The region's name.
        region: String,
    },
    /// Anywhere else.
    Connector {
        /// The store's name.
        store: String,
        /// The connector's configuration in TOML.
        connector: String,
    },
}

impl StoreRef {
    /// A region that exists is found by its name alone, unless its file's mode is to be checked as well.
    pub(crate) fn of(config: &StoreConfig) -> Self {
        let store = config.name.clone();
        match &config.connector {
            ConnectorConfig::Shm(shm)
                if shm.mode.is_none() && shm.lifespan != Some(Lifespan::Anonymous) =>
            {
                let region = shm.region.clone();
                if region == store {
                    Self::Region(store)
                } else {
                    Self::RegionNamed { store, region }
                }
            }
            other => Self::Connector { store, connector: other.to_toml() },
        }
    }

    /// The store's name.
    #[must_use]
    pub fn store(&self) -> &str {
        match self {
            Self::Region(store)
            | Self::RegionNamed { store, .. }
            | Self::Connector { store, .. } => store,
        }
    }

    /// What to open the store with.
    pub(crate) fn config(&self) -> Result<StoreConfig> {
        let connector = match self {
            Self::Region(region) | Self::RegionNamed { region, .. } => ConnectorConfig::shm(region),
            Self::Connector { connector, .. } => ConnectorConfig::from_toml(connector)?,
        };
        Ok(StoreConfig { connector, ..StoreConfig::new(self.store()) })
    }

    /// Whether a store of that configuration has the same objects.
    pub(crate) fn leads_to(&self, config: &StoreConfig) -> Result<bool> {
        match (self, &config.connector) {
            (
                Self::Region(region) | Self::RegionNamed { region, .. },
                ConnectorConfig::Shm(shm),
            ) => Ok(*region == shm.region),
            _ => Ok(self.config()?.connector.is_same_place(&config.connector)),
        }
    }
}

/// Sixteen bytes, or text for people.
mod short_key {
    use super::{Deserialize, Deserializer, Key, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(key: &Key, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() {
            return to.collect_str(key);
        }
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&key.space().to_le_bytes());
        bytes[8..].copy_from_slice(&key.object().to_le_bytes());
        bytes.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Key, D::Error> {
        if from.is_human_readable() {
            return String::deserialize(from)?.parse().map_err(serde::de::Error::custom);
        }
        let both = u128::from_le_bytes(<[u8; 16]>::deserialize(from)?);
        Ok(Key::new(both as u64, (both >> 64) as u64))
    }
}

impl<T: ?Sized, C: Codec<T>> Serialize for Proxy<T, C> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.to_ref().serialize(to)
    }
}

impl<'de, T: ?Sized, C: Codec<T>> Deserialize<'de> for Proxy<T, C> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        ProxyRef::deserialize(from).map(Self::from_ref)
    }
}

/// A [`ProxyRef`] that knows its type, so that a proxy inside an archive is a proxy again.
#[derive(rkyv::Archive, rkyv::Serialize)]
#[rkyv(archived = ArchivedProxy)]
pub struct TypedRef<T: ?Sized, C> {
    reference: ProxyRef,
    marker: PhantomData<fn(*const T) -> C>,
}

impl<T: ?Sized, C: Codec<T>> ArchivedProxy<T, C> {
    /// The proxy.
    ///
    /// ```
    /// use inplace::connector::LocalConnector;
    /// use inplace::{Proxy, Store};
    ///
    /// #[inplace::storable]
    /// struct Job {
    ///     input: Proxy<Vec<f64>>,
    /// }
    ///
    /// let store = Store::builder("jobs").connector(LocalConnector::new()).register().open()?;
    /// let job = store.proxy(&Job { input: store.proxy(&vec![0.5])? })?;
    /// assert_eq!(job.input.to_proxy()[0], 0.5);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    #[must_use]
    pub fn to_proxy(&self) -> Proxy<T, C> {
        Proxy::from_ref(ProxyRef::from(&self.reference))
    }
}

impl<T: ?Sized, C> ArchivedProxy<T, C> {
    /// The object's key.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::from(&self.reference.key)
    }
}

impl<T: ?Sized, C> fmt::Debug for ArchivedProxy<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy").field("key", &self.key()).finish_non_exhaustive()
    }
}

impl From<&ArchivedProxyRef> for ProxyRef {
    fn from(archived: &ArchivedProxyRef) -> Self {
        let access = match archived.access {
            ArchivedAccess::Get => Access::Get,
            ArchivedAccess::Take => Access::Take,
            ArchivedAccess::Wait => Access::Wait,
            ArchivedAccess::WaitAndTake => Access::WaitAndTake,
        };
        Self { key: Key::from(&archived.key), access, store: StoreRef::from(&archived.store) }
    }
}

impl From<&ArchivedStoreRef> for StoreRef {
    fn from(archived: &ArchivedStoreRef) -> Self {
        let text = |archived: &rkyv::string::ArchivedString| archived.as_str().to_owned();
        match archived {
            ArchivedStoreRef::Region(region) => Self::Region(text(region)),
            ArchivedStoreRef::RegionNamed { store, region } => {
                Self::RegionNamed { store: text(store), region: text(region) }
            }
            ArchivedStoreRef::Connector { store, connector } => {
                Self::Connector { store: text(store), connector: text(connector) }
            }
        }
    }
}

impl<T: ?Sized, C: Codec<T>> rkyv::Archive for Proxy<T, C> {
    type Archived = ArchivedProxy<T, C>;
    type Resolver = (TypedRef<T, C>, <TypedRef<T, C> as rkyv::Archive>::Resolver);

    fn resolve(&self, (wire, resolver): Self::Resolver, out: rkyv::Place<Self::Archived>) {
        wire.resolve(resolver, out);
    }
}

impl<T: ?Sized, C: Codec<T>, S: Fallible + ?Sized> rkyv::Serialize<S> for Proxy<T, C>
where
    TypedRef<T, C>: rkyv::Serialize<S>,
{
    fn serialize(&self, serializer: &mut S) -> Result<Self::Resolver, S::Error> {
        let wire = TypedRef { reference: self.to_ref(), marker: PhantomData };
        let resolver = rkyv::Serialize::serialize(&wire, serializer)?;
        Ok((wire, resolver))
    }
}

impl<T: ?Sized, C: Codec<T>, D: Fallible + ?Sized> rkyv::Deserialize<Proxy<T, C>, D>
    for ArchivedProxy<T, C>
{
    fn deserialize(&self, _: &mut D) -> Result<Proxy<T, C>, D::Error> {
        Ok(self.to_proxy())
    }
}

// SAFETY: every `ArchivedProxy` has the same layout and the same valid bytes, whatever its type parameters, which
// therefore take no part. (The object's own fingerprint is compared when it is resolved; and a type may hold a proxy of
// itself.)
unsafe impl<T: ?Sized + 'static, C: Codec<T>> Storable for Proxy<T, C> {
    const FINGERPRINT: Fingerprint =
        Fingerprint::of_archived::<ArchivedProxy<T, C>>("inplace::Proxy").with(ProxyRef::ARCHIVED);

    fn type_name() -> String {
        format!("Proxy<{}>", C::type_name())
    }
}
