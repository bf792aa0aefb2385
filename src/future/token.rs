//! A promise on its way to another process.

use std::fmt;
use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Archive, Codec};
use crate::connector::Offer;
use crate::error::Result;
use crate::future::Promise;
use crate::key::Key;
use crate::proxy::ProxyRef;
use crate::store::registry;

/// A promise on its way: send it through serde, and [adopt](PromiseToken::adopt) it where it arrives.
///
/// Sent and never adopted, it is a promise of its sender still, and breaks when that ends: whoever waits hears
/// [`Error::Broken`](crate::Error::Broken). Copied, it is good for one adoption.
///
/// ```
/// use inplace::connector::LocalConnector;
/// use inplace::{PromiseToken, Store};
///
/// let store = Store::builder("tokens").connector(LocalConnector::new()).register().open()?;
/// let (promise, future) = store.promise::<Vec<u8>>()?;
/// let sent = postcard::to_stdvec(&promise.into_token()?)?;
///
/// let received: PromiseToken<Vec<u8>> = postcard::from_bytes(&sent)?;
/// received.adopt()?.set(&vec![7; 3])?;
/// assert_eq!(future.wait(None)?.as_slice(), [7; 3]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "not adopted, the promise breaks when this process ends"]
pub struct PromiseToken<T: ?Sized, C = Archive> {
    reference: ProxyRef,
    offer: Offer,
    marker: PhantomData<fn(*const T) -> C>,
}

#[derive(Serialize, Deserialize)]
struct Wire {
    promised: ProxyRef,
    offer: Offer,
}

impl<T: ?Sized, C> PromiseToken<T, C> {
    pub(super) fn new(reference: ProxyRef, offer: Offer) -> Self {
        Self { reference, offer, marker: PhantomData }
    }

    /// The key of the value.
    #[must_use]
    pub fn key(&self) -> Key {
        self.reference.key
    }
}

impl<T: ?Sized, C: Codec<T>> PromiseToken<T, C> {
    /// Makes the promise this process's: from now on it does not break when the sender ends. Of several that have copies of
    /// the token, one gets it.
    ///
    /// # Errors
    /// [`Error::AlreadyAdopted`](crate::Error::AlreadyAdopted) when another was faster,
    /// [`Error::Broken`](crate::Error::Broken) when the sender is dead, [`Error::NotFound`](crate::Error::NotFound) when the
    /// object was evicted, [`Error::AlreadySet`](crate::Error::AlreadySet), and those of opening its store.
    pub fn adopt(self) -> Result<Promise<T, C>> {
        let ProxyRef { key, store, .. } = self.reference;
        let store = registry::resolve(&store, key)?;
        store.deferrable()?.adopt(key, self.offer)?;
        Ok(Promise::new(store, key))
    }
}

impl<T: ?Sized, C: Codec<T>> Serialize for PromiseToken<T, C> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Wire { promised: self.reference.clone(), offer: self.offer }.serialize(to)
    }
}

impl<'de, T: ?Sized, C: Codec<T>> Deserialize<'de> for PromiseToken<T, C> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Wire::deserialize(from).map(|wire| Self::new(wire.promised, wire.offer))
    }
}

impl<T: ?Sized, C> fmt::Debug for PromiseToken<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromiseToken").field("key", &self.key()).finish_non_exhaustive()
    }
}
