//! The operations on values with a codec chosen for the call.

use std::time::Duration;

use crate::codec::Codec;
use crate::error::Result;
use crate::key::Key;
use crate::proxy::Proxy;
use crate::store::Store;
use crate::view::View;

/// With a codec chosen for one call. For many calls: [`with_codec`](Store::with_codec), which has every operation.
///
/// ```
/// use inplace::Store;
/// use inplace::codec::{Raw, Serde};
/// use inplace::connector::LocalConnector;
///
/// let store = Store::builder("codecs").connector(LocalConnector::new()).open()?;
/// let key = store.put_as(Raw, b"already serialized".as_slice())?;
/// assert_eq!(*store.take_as::<Raw, [u8]>(key)?.unwrap(), *b"already serialized");
///
/// let proxy = store.proxy_as(Serde, &Some(2.5_f64))?;
/// assert_eq!(*proxy, Some(2.5));
/// # Ok::<(), inplace::Error>(())
/// ```
impl<C> Store<C> {
    /// [`put`](Store::put) with another codec.
    pub fn put_as<D: Codec<T>, T: ?Sized>(&self, codec: D, value: &T) -> Result<Key> {
        self.inner.put(codec, value)
    }

    /// [`get`](Store::get) with another codec.
    pub fn get_as<D: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<D::Target>>> {
        self.inner.get::<D, T>(key)
    }

    /// [`wait`](Store::wait) with another codec.
    pub fn wait_as<D: Codec<T>, T: ?Sized>(
        &self,
        key: Key,
        timeout: Option<Duration>,
    ) -> Result<View<D::Target>> {
        self.inner.wait::<D, T>(key, timeout)
    }

    /// [`take`](Store::take) with another codec.
    pub fn take_as<D: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<D::Target>>> {
        self.inner.take::<D, T>(key)
    }

    /// [`put_batch`](Store::put_batch) with another codec.
    pub fn put_batch_as<'a, D: Codec<T>, T: ?Sized + 'a>(
        &self,
        codec: D,
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<Vec<Key>> {
        self.with_codec(codec).put_batch(values)
    }

    /// [`get_batch`](Store::get_batch) with another codec.
    pub fn get_batch_as<D: Codec<T>, T: ?Sized>(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<View<D::Target>>>> {
        self.inner.get_batch::<D, T>(keys)
    }

    /// [`take_batch`](Store::take_batch) with another codec.
    pub fn take_batch_as<D: Codec<T>, T: ?Sized>(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<View<D::Target>>>> {
        self.inner.take_batch::<D, T>(keys)
    }

    /// [`proxy`](Store::proxy) with another codec.
    pub fn proxy_as<D: Codec<T>, T: ?Sized>(&self, codec: D, value: &T) -> Result<Proxy<T, D>> {
        self.with_codec(codec).proxy(value)
    }

    /// [`proxy_batch`](Store::proxy_batch) with another codec.
    pub fn proxy_batch_as<'a, D: Codec<T>, T: ?Sized + 'a>(
        &self,
        codec: D,
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<Vec<Proxy<T, D>>> {
        self.with_codec(codec).proxy_batch(values)
    }

    /// [`proxy_from_key`](Store::proxy_from_key) with another codec.
    #[must_use]
    pub fn proxy_from_key_as<D: Codec<T>, T: ?Sized>(&self, key: Key) -> Proxy<T, D> {
        Proxy::new(key, self.inner.clone())
    }
}
