//! The operations on values, with the store's codec.

use std::time::Duration;

use crate::codec::Codec;
use crate::error::Result;
use crate::key::Key;
use crate::proxy::{Proxy, ProxyOptions};
use crate::store::Store;
use crate::view::View;

impl<C> Store<C> {
    /// Stores a value; the key is what to send instead of it.
    #[inline]
    pub fn put<T: ?Sized>(&self, value: &T) -> Result<Key>
    where
        C: Codec<T>,
    {
        self.inner.put(self.codec, value)
    }

    /// The object in place, for as long as the view lives; `None` when it was evicted or never existed.
    ///
    /// The key of a [`Cell`](crate::Cell), or of what is [owned](Store::own), leads to its current value. An object put as
    /// another type is [`Error::TypeMismatch`](crate::Error::TypeMismatch).
    #[inline]
    pub fn get<T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>>
    where
        C: Codec<T>,
    {
        self.inner.get::<C, T>(key)
    }

    /// The object once it is there, for keys that are promised; `None` waits without limit.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use inplace::connector::LocalConnector;
    /// use inplace::{Error, Store};
    ///
    /// let store = Store::builder("waiting").connector(LocalConnector::new()).open()?;
    /// let promises = store.connector().deferrable().expect("it has promises");
    /// let key = promises.reserve()?;
    /// let soon = store.wait::<str>(key, Some(Duration::from_millis(1)));
    /// assert!(matches!(soon, Err(Error::TimedOut { .. })));
    /// promises.fail(key)?;
    /// assert!(matches!(store.wait::<str>(key, None), Err(Error::Broken { .. })));
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TimedOut`](crate::Error::TimedOut), [`Error::Broken`](crate::Error::Broken),
    /// [`Error::NotFound`](crate::Error::NotFound), and as [`get`](Store::get).
    pub fn wait<T: ?Sized>(&self, key: Key, timeout: Option<Duration>) -> Result<View<C::Target>>
    where
        C: Codec<T>,
    {
        self.inner.wait::<C, T>(key, timeout)
    }

    /// Evicts the object and returns it: of any number of concurrent takers, anywhere, exactly one gets it.
    pub fn take<T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>>
    where
        C: Codec<T>,
    {
        self.inner.take::<C, T>(key)
    }

    /// Stores several values; the keys are in their order. All are stored, or none.
    pub fn put_batch<'a, T: ?Sized + 'a>(
        &self,
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<Vec<Key>>
    where
        C: Codec<T>,
    {
        self.inner.put_batch(self.codec, &values.into_iter().collect::<Vec<_>>())
    }

    /// [`get`](Store::get) for each key, in order.
    pub fn get_batch<T: ?Sized>(&self, keys: &[Key]) -> Result<Vec<Option<View<C::Target>>>>
    where
        C: Codec<T>,
    {
        self.inner.get_batch::<C, T>(keys)
    }

    /// [`take`](Store::take) for each key, in order. All are read first: where one is of another type, none is evicted.
    pub fn take_batch<T: ?Sized>(&self, keys: &[Key]) -> Result<Vec<Option<View<C::Target>>>>
    where
        C: Codec<T>,
    {
        self.inner.take_batch::<C, T>(keys)
    }

    /// Stores a value and returns a proxy of it: send that, and whoever uses it has the value in place.
    pub fn proxy<T: ?Sized>(&self, value: &T) -> Result<Proxy<T, C>>
    where
        C: Codec<T>,
    {
        self.proxy_with(value, ProxyOptions::new())
    }

    /// [`proxy`](Store::proxy) with options. Where the proxy cannot be populated, nothing is stored.
    pub fn proxy_with<T: ?Sized>(&self, value: &T, options: ProxyOptions) -> Result<Proxy<T, C>>
    where
        C: Codec<T>,
    {
        let key = self.put(value)?;
        options.proxy(key, &self.inner).inspect_err(|_| self.withdraw(&[key]))
    }

    /// Stores several values and returns proxies of them, in their order. All are stored, or none.
    pub fn proxy_batch<'a, T: ?Sized + 'a>(
        &self,
        values: impl IntoIterator<Item = &'a T>,
    ) -> Result<Vec<Proxy<T, C>>>
    where
        C: Codec<T>,
    {
        self.proxy_batch_with(values, ProxyOptions::new())
    }

    /// [`proxy_batch`](Store::proxy_batch) with options. Where one cannot be populated, nothing is stored.
    pub fn proxy_batch_with<'a, T: ?Sized + 'a>(
        &self,
        values: impl IntoIterator<Item = &'a T>,
        options: ProxyOptions,
    ) -> Result<Vec<Proxy<T, C>>>
    where
        C: Codec<T>,
    {
        let keys = self.put_batch(values)?;
        let proxies = keys.iter().map(|key| options.proxy(*key, &self.inner)).collect();
        Result::inspect_err(proxies, |_| self.withdraw(&keys))
    }

    /// Evicts what nobody has been told of.
    #[cold]
    fn withdraw(&self, keys: &[Key]) {
        // The first error is the one to hear of.
        let _ = self.inner.evict_batch(keys);
    }

    /// A proxy of an object that is, or will be, in this store. It is resolved by its first use, whatever the store's
    /// default is.
    #[must_use]
    pub fn proxy_from_key<T: ?Sized>(&self, key: Key) -> Proxy<T, C>
    where
        C: Codec<T>,
    {
        Proxy::new(key, self.inner.clone())
    }

    /// [`proxy_from_key`](Store::proxy_from_key) with options: populated, it is an error where there is no object.
    pub fn proxy_from_key_with<T: ?Sized>(
        &self,
        key: Key,
        options: ProxyOptions,
    ) -> Result<Proxy<T, C>>
    where
        C: Codec<T>,
    {
        options.proxy(key, &self.inner)
    }

    /// [`proxy_from_key`](Store::proxy_from_key) for each key, in order.
    #[must_use]
    pub fn proxies_from_keys<T: ?Sized>(&self, keys: &[Key]) -> Vec<Proxy<T, C>>
    where
        C: Codec<T>,
    {
        keys.iter().map(|key| self.proxy_from_key(*key)).collect()
    }
}
