//! An ownership on its way to another process.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::owned::Owned;
use crate::proxy::Proxy;

/// The right to become the owner of an object, to be sent: a proxy and the number of the offer.
///
/// It owns nothing itself. Lost, it changes nothing: the object ends with the process that offered it. Sent to several, the
/// first who adopts it has the object, and the others hear it. See [`Owned::into_token`].
#[must_use = "nobody owns the object until it is adopted"]
pub struct OwnedToken<T: ?Sized, C: Codec<T> = Archive> {
    proxy: Proxy<T, C>,
    offer: u64,
}

impl<T: ?Sized, C: Codec<T>> OwnedToken<T, C> {
    pub(super) fn new(proxy: Proxy<T, C>, offer: u64) -> Self {
        Self { proxy, offer }
    }

    /// The object's key.
    #[must_use]
    pub fn key(&self) -> Key {
        self.proxy.key()
    }

    /// Makes this process the owner.
    ///
    /// # Errors
    /// [`Error::AlreadyAdopted`] when another was faster; [`Error::NotFound`] when the process that offered the object has
    /// ended, or somebody evicted it; [`Error::TypeMismatch`] when it is of another type: then it can still be adopted as
    /// its own; and what opening the store says.
    pub fn adopt(self) -> Result<Owned<T, C>> {
        let (store, key) = (self.proxy.store()?, self.proxy.key());
        let lasting = store.lasting()?;
        let view = store.get::<C, T>(key)?.ok_or(Error::NotFound { key })?;
        Owned::adopted((&store, key), view, || lasting.adopt(key, self.offer))
    }
}

impl<T: ?Sized, C: Codec<T>> Serialize for OwnedToken<T, C> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        (&self.proxy, self.offer).serialize(to)
    }
}

impl<'de, T: ?Sized, C: Codec<T>> Deserialize<'de> for OwnedToken<T, C> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        <(Proxy<T, C>, u64)>::deserialize(from).map(|(proxy, offer)| Self { proxy, offer })
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for OwnedToken<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedToken").field("key", &self.key()).finish_non_exhaustive()
    }
}
