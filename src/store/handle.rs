//! What the handles of cells, queues and topics have in common: a key, the store that it is in, and the codec of its values.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Inner, registry};
use crate::codec::{Codec, Decoded};
use crate::error::Result;
use crate::key::Key;
use crate::proxy::{Access, ProxyRef, StoreRef};
use crate::view::{Resolved, View};

/// A handle, which is sent as a proxy of its key, and finds its store when it is first used.
pub(crate) struct Handle<T: ?Sized, C> {
    key: Key,
    home: Home,
    pub(crate) codec: C,
    marker: PhantomData<fn(*const T)>,
}

#[derive(Clone)]
enum Home {
    Open(Arc<Inner>),
    /// The store, once it was found.
    Named(Arc<StoreRef>, Resolved<Inner>),
}

impl<T: ?Sized, C> Handle<T, C> {
    pub(crate) fn new(key: Key, store: Arc<Inner>, codec: C) -> Self {
        Self { key, home: Home::Open(store), codec, marker: PhantomData }
    }

    pub(crate) fn key(&self) -> Key {
        self.key
    }

    pub(crate) fn store_ref(&self) -> &StoreRef {
        match &self.home {
            Home::Open(store) => &store.reference,
            Home::Named(reference, _) => reference,
        }
    }

    #[inline]
    pub(crate) fn store(&self) -> Result<&Inner> {
        match &self.home {
            Home::Open(store) => Ok(store),
            Home::Named(reference, found) => match found.get() {
                Some(store) => Ok(store),
                None => self.find(reference, found),
            },
        }
    }

    #[cold]
    fn find<'a>(&self, reference: &StoreRef, found: &'a Resolved<Inner>) -> Result<&'a Inner> {
        let store = registry::resolve(reference, self.key)?;
        Ok(found.install(View::new(Decoded::owned(store))))
    }

    /// The store, for who keeps it longer than the handle.
    pub(crate) fn shared_store(&self) -> Result<Arc<Inner>> {
        match &self.home {
            Home::Open(store) => Ok(store.clone()),
            Home::Named(reference, _) => registry::resolve(reference, self.key),
        }
    }

    /// What is sent.
    pub(crate) fn to_ref(&self) -> ProxyRef {
        ProxyRef { key: self.key, access: Access::Get, store: self.store_ref().clone() }
    }
}

impl<T: ?Sized, C: Codec<T>> Handle<T, C> {
    pub(crate) fn from_ref(ProxyRef { key, store, .. }: ProxyRef) -> Self {
        let home = Home::Named(Arc::new(store), Resolved::none());
        Self { key, home, codec: C::default(), marker: PhantomData }
    }
}

impl<T: ?Sized, C: Copy> Clone for Handle<T, C> {
    fn clone(&self) -> Self {
        Self { key: self.key, home: self.home.clone(), codec: self.codec, marker: PhantomData }
    }
}

impl<T: ?Sized, C> PartialEq for Handle<T, C> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<T: ?Sized, C> Serialize for Handle<T, C> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.to_ref().serialize(to)
    }
}

impl<'de, T: ?Sized, C: Codec<T>> Deserialize<'de> for Handle<T, C> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        ProxyRef::deserialize(from).map(Self::from_ref)
    }
}
