//! Waiting for a value without a thread.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::codec::{Archive, Codec};
use crate::error::Result;
use crate::proxy::Proxy;
use crate::store::Listening;
use crate::view::View;

/// Waits for a promised value: what `.await` makes of a [`Future`](crate::Future). Dropped, it waits no more, and nothing
/// is left of it.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Waiting<T: ?Sized, C: Codec<T> = Archive> {
    proxy: Proxy<T, C>,
    listening: Listening,
}

impl<T: ?Sized, C: Codec<T>> Waiting<T, C> {
    pub(super) fn new(proxy: Proxy<T, C>) -> Self {
        Self { proxy, listening: Listening::default() }
    }
}

// Nothing in it is ever pinned.
impl<T: ?Sized, C: Codec<T>> Unpin for Waiting<T, C> {}

impl<T: ?Sized, C: Codec<T>> Future for Waiting<T, C> {
    type Output = Result<View<C::Target>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { proxy, listening } = self.get_mut();
        let store = proxy.store()?;
        store.poll_wait::<C, T>(proxy.key(), context.waker(), listening)
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Waiting<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").field("key", &self.proxy.key()).finish_non_exhaustive()
    }
}
