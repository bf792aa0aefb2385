//! Values that are promised: who owes them, and who waits for them.
//!
//! ```
//! use inplace::Store;
//! use inplace::connector::LocalConnector;
//!
//! let store = Store::builder("later").connector(LocalConnector::new()).open()?;
//! let (promise, future) = store.promise::<Vec<f64>>()?;
//! let waiting = future.proxy(); // may be sent before there is a value; its first use waits
//! std::thread::scope(|scope| {
//!     scope.spawn(|| promise.set(&vec![0.5; 1000]).expect("nobody evicted it"));
//!     assert_eq!(waiting.len(), 1000);
//! });
//! assert_eq!(future.wait(None)?[0], 0.5);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! | the producer | whoever waits, anywhere, hears |
//! |---|---|
//! | [`set`](Promise::set) | the value |
//! | [`fail`](Promise::fail) | [`Error::Failed`], with its text |
//! | [`cancel`](Promise::cancel), or the promise was dropped | [`Error::Cancelled`] |
//! | was killed, or ended | [`Error::Broken`], within 200 ms |
//! | nothing: a consumer evicted the object | [`Error::NotFound`] |

mod promise;
mod token;
mod waiting;

pub use promise::Promise;
pub use token::PromiseToken;
pub use waiting::Waiting;

use std::fmt;
use std::future::IntoFuture;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::proxy::{Proxy, ProxyRef};
use crate::store::Store;
use crate::view::View;

impl<C> Store<C> {
    /// Promises a value: what gives it, and what waits for it. Both may be sent to other processes, the promise as a
    /// [token](Promise::into_token).
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the connector has no promises, [`Error::OutOfSlots`].
    pub fn promise<T: ?Sized>(&self) -> Result<(Promise<T, C>, Future<T, C>)>
    where
        C: Codec<T>,
    {
        let key = self.inner().deferrable()?.reserve()?;
        let promise = Promise::new(self.inner().clone(), key);
        Ok((promise, self.future(key)))
    }

    /// What waits for a promised object, by its key.
    pub fn future<T: ?Sized>(&self, key: Key) -> Future<T, C>
    where
        C: Codec<T>,
    {
        Future::from(self.proxy_from_key(key))
    }
}

/// A value that is promised: wait for it, `.await` it, or hand out [proxies](Future::proxy) of it before it is there.
///
/// It may be cloned and sent, through serde, to any process of the host; any number may wait. Awaiting needs no runtime
/// and takes no thread for each: one thread of the process waits for all promises. Whatever waits may be dropped at any
/// time.
///
/// ```
/// use inplace::connector::LocalConnector;
/// use inplace::{Error, Future, Store};
///
/// let store = Store::builder("futures").connector(LocalConnector::new()).register().open()?;
/// let (promise, future) = store.promise::<String>()?;
/// let sent = postcard::to_stdvec(&future)?;
///
/// let received: Future<String> = postcard::from_bytes(&sent)?;
/// assert!(received.try_get()?.is_none());
/// promise.fail("no such file")?;
/// let error = received.wait(None).unwrap_err();
/// assert!(matches!(error, Error::Failed { message, .. } if message == "no such file"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "nobody waits for it"]
pub struct Future<T: ?Sized, C: Codec<T> = Archive> {
    proxy: Proxy<T, C>,
}

impl<T: ?Sized, C: Codec<T>> Future<T, C> {
    /// The key of the value.
    #[must_use]
    pub fn key(&self) -> Key {
        self.proxy.key()
    }

    /// A proxy of the value, which may be there or not: using it waits. With
    /// [`evict_on_resolve`](Proxy::evict_on_resolve) it waits and takes the value then.
    #[must_use]
    pub fn proxy(&self) -> Proxy<T, C> {
        self.proxy.clone()
    }

    /// Waits for the value; `None` waits without limit.
    ///
    /// # Errors
    /// [`Error::TimedOut`], and what the [producer did](self) instead of giving a value.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<View<C::Target>> {
        self.proxy.store()?.wait::<C, T>(self.key(), timeout)
    }

    /// The value if it is there.
    ///
    /// # Errors
    /// What the [producer did](self) instead of giving a value.
    pub fn try_get(&self) -> Result<Option<View<C::Target>>> {
        match self.wait(Some(Duration::ZERO)) {
            Ok(view) => Ok(Some(view)),
            Err(Error::TimedOut { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Evicts the object, whether it has a value or not: nobody wants it any more. The producer hears
    /// [`Error::NotFound`], and so does whoever waits.
    pub fn evict(&self) -> Result<bool> {
        self.proxy.store()?.evict(self.key())
    }
}

impl<T: ?Sized, C: Codec<T>> From<Proxy<T, C>> for Future<T, C> {
    /// Waits for the object of the proxy, and leaves it where it is.
    fn from(proxy: Proxy<T, C>) -> Self {
        Self { proxy: proxy.only_waiting() }
    }
}

impl<T: ?Sized + 'static, C: Codec<T>> IntoFuture for Future<T, C> {
    type Output = Result<View<C::Target>>;
    type IntoFuture = Waiting<T, C>;

    fn into_future(self) -> Waiting<T, C> {
        Waiting::new(self.proxy)
    }
}

impl<T: ?Sized + 'static, C: Codec<T>> IntoFuture for &Future<T, C> {
    type Output = Result<View<C::Target>>;
    type IntoFuture = Waiting<T, C>;

    fn into_future(self) -> Waiting<T, C> {
        Waiting::new(self.proxy())
    }
}

impl<T: ?Sized, C: Codec<T>> Clone for Future<T, C> {
    fn clone(&self) -> Self {
        Self { proxy: self.proxy.clone() }
    }
}

impl<T: ?Sized, C: Codec<T>> Serialize for Future<T, C> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.proxy.serialize(to)
    }
}

impl<'de, T: ?Sized, C: Codec<T>> Deserialize<'de> for Future<T, C> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        ProxyRef::deserialize(from).map(|wire| Self::from(Proxy::from_ref(wire)))
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Future<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Future").field("key", &self.key()).finish_non_exhaustive()
    }
}
