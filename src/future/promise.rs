//! The duty to give a value.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::future::{Future, PromiseToken};
use crate::key::Key;
use crate::proxy::Proxy;
use crate::store::Inner;
use crate::sync::{AtomicBool, Ordering};

/// Owes a value to whoever waits for it. Set it, fail it, or cancel it; dropped, it is cancelled.
///
/// It belongs to the process that made or [adopted](PromiseToken::adopt) it, and breaks with it. The copy a forked child has is
/// nobody's: using it is [`Error::NotOwner`], dropping it does nothing.
///
/// ```
/// use inplace::connector::LocalConnector;
/// use inplace::{Error, Store};
///
/// let store = Store::builder("promises").connector(LocalConnector::new()).open()?;
/// let (promise, future) = store.promise::<str>()?;
/// promise.set("once")?;
/// assert!(matches!(promise.set("twice"), Err(Error::AlreadySet { .. })));
/// assert_eq!(&*future.wait(None)?, "once");
///
/// let (promise, future) = store.promise::<str>()?;
/// drop(promise);
/// assert!(matches!(future.wait(None), Err(Error::Cancelled { .. })));
/// # Ok::<(), inplace::Error>(())
/// ```
#[must_use = "dropped, it is cancelled"]
pub struct Promise<T: ?Sized, C: Codec<T> = Archive> {
    store: Arc<Inner>,
    key: Key,
    /// Whose it is.
    process: u32,
    /// Nothing is owed any more.
    is_settled: AtomicBool,
    marker: PhantomData<fn(*const T) -> C>,
}

impl<T: ?Sized, C: Codec<T>> Promise<T, C> {
    pub(super) fn new(store: Arc<Inner>, key: Key) -> Self {
        let (process, is_settled) = (std::process::id(), AtomicBool::new(false));
        Self { store, key, process, is_settled, marker: PhantomData }
    }

    /// What to send in place of the promise. Until somebody [adopts](PromiseToken::adopt) it, the promise is kept by this
    /// process, and breaks when it ends.
    ///
    /// # Errors
    /// [`Error::NotOwner`] in a forked child, [`Error::AlreadySet`], [`Error::NotFound`],
    /// [`Error::Unsupported`] where the connector cannot hand over.
    pub fn into_token(self) -> Result<PromiseToken<T, C>> {
        let offer = self.owned()?.deferrable()?.offer(self.key)?;
        self.is_settled.store(true, Ordering::Relaxed);
        let proxy = Proxy::<T, C>::new(self.key, self.store.clone());
        Ok(PromiseToken::new(proxy.to_ref(), offer))
    }

    /// The key of the value.
    #[must_use]
    pub fn key(&self) -> Key {
        self.key
    }

    /// What waits for the value.
    pub fn future(&self) -> Future<T, C> {
        Future::from(Proxy::new(self.key, self.store.clone()))
    }

    /// Gives the value, once. After an error nothing was given, and the promise is as before.
    ///
    /// # Errors
    /// [`Error::AlreadySet`], [`Error::NotFound`] when the object was evicted: nobody wants it; [`Error::NotOwner`] in a
    /// forked child; and as [`Store::put`](crate::Store::put).
    pub fn set(&self, value: &T) -> Result<()> {
        let set = self.owned()?.set(C::default(), self.key, value);
        self.settled(set)
    }

    /// Says why there will be no value; whoever waits hears it as [`Error::Failed`].
    ///
    /// # Errors
    /// As [`set`](Promise::set).
    pub fn fail(self, error: impl fmt::Display) -> Result<()> {
        let failed = self.owned()?.deferrable()?.fail_with(self.key, &error.to_string());
        self.settled(failed)
    }

    /// Takes the promise back; whoever waits hears [`Error::Cancelled`].
    ///
    /// # Errors
    /// As [`set`](Promise::set).
    pub fn cancel(self) -> Result<()> {
        let cancelled = self.owned()?.deferrable()?.cancel(self.key);
        self.settled(cancelled)
    }

    fn owned(&self) -> Result<&Inner> {
        if self.process == std::process::id() {
            Ok(&self.store)
        } else {
            Err(Error::NotOwner { token: "promise" })
        }
    }

    fn settled(&self, outcome: Result<()>) -> Result<()> {
        // What is gone needs no second word.
        let is_settled = matches!(
            outcome,
            Ok(()) | Err(Error::AlreadySet { .. } | Error::Broken { .. } | Error::NotFound { .. })
        );
        self.is_settled.fetch_or(is_settled, Ordering::Relaxed);
        outcome
    }
}

impl<T: ?Sized, C: Codec<T>> Drop for Promise<T, C> {
    fn drop(&mut self) {
        if self.is_settled.load(Ordering::Relaxed) {
            return;
        }
        // A drop has nobody to tell.
        let _ = self.owned().and_then(Inner::deferrable).and_then(|it| it.cancel(self.key));
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Promise<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Promise").field("key", &self.key).finish_non_exhaustive()
    }
}
