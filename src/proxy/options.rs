//! What a proxy is to do, said when it is made.

use std::sync::Arc;

use crate::codec::Codec;
use crate::error::Result;
use crate::key::Key;
use crate::proxy::{Access, Proxy};
use crate::store::Inner;

/// How a proxy resolves, and whether it is resolved from the start: for [`Store::proxy_with`](crate::Store::proxy_with)
/// and its like.
///
/// ```
/// use inplace::connector::LocalConnector;
/// use inplace::{ProxyOptions, Store};
///
/// let store = Store::builder("options").connector(LocalConnector::new()).open()?;
/// let once = ProxyOptions::new().evict_on_resolve().populate(true);
/// let proxy = store.proxy_with(&vec![1_u8, 2], once)?;
/// assert!(proxy.is_resolved());
///
/// let sent = proxy.to_ref(); // whoever gets this takes the object; here it stays in view
/// assert!(store.exists(sent.key)?);
/// # Ok::<(), inplace::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct ProxyOptions {
    access: Access,
    populate: Option<bool>,
}

impl ProxyOptions {
    /// Resolves by getting; populated if the store says so.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the proxy is resolved in this process from the start. A proxy that is sent is not.
    ///
    /// The object is read once as any first use would do it, so what is used is what the others will find; later uses, of
    /// this proxy and of the object in this process, need not read it again. Nothing is evicted by it, whatever resolving
    /// does; where a value is promised, it waits for that.
    pub fn populate(mut self, populated: bool) -> Self {
        self.populate = Some(populated);
        self
    }

    /// As [`Proxy::evict_on_resolve`].
    pub fn evict_on_resolve(mut self) -> Self {
        self.access = self.access.and_take();
        self
    }

    /// As [`Proxy::wait_on_resolve`].
    pub fn wait_on_resolve(mut self) -> Self {
        self.access = self.access.and_wait();
        self
    }

    /// A proxy of an object in a store.
    pub(crate) fn proxy<T: ?Sized, C: Codec<T>>(
        self,
        key: Key,
        store: &Arc<Inner>,
    ) -> Result<Proxy<T, C>> {
        let proxy = Proxy::<T, C>::with_access(key, self.access, store.clone());
        if self.populate.unwrap_or(store.config.populate) {
            proxy.populate(store)?;
        }
        Ok(proxy)
    }
}
