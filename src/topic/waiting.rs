//! Receiving and publishing without a thread that waits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::published::Published;
use super::publisher::Publisher;
use super::subscriber::Subscriber;
use crate::codec::{Archive, Codec};
use crate::error::Result;
use crate::region::watch::Told;

/// Waits for the next message: what [`Subscriber::recv_async`] returns. Dropped, it waits no more, has received nothing, and
/// nothing is left of it.
#[must_use = "futures do nothing unless they are awaited"]
pub struct ReceivingPost<'a, T: ?Sized, C: Codec<T> = Archive> {
    subscriber: &'a mut Subscriber<T, C>,
    told: Told,
}

impl<'a, T: ?Sized, C: Codec<T>> ReceivingPost<'a, T, C> {
    pub(super) fn new(subscriber: &'a mut Subscriber<T, C>) -> Self {
        Self { subscriber, told: Told::default() }
    }
}

// Nothing in it is ever pinned.
impl<T: ?Sized, C: Codec<T>> Unpin for ReceivingPost<'_, T, C> {}

impl<T: ?Sized, C: Codec<T>> Future for ReceivingPost<'_, T, C> {
    type Output = Result<Option<Published<T, C>>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { subscriber, told } = self.get_mut();
        let outcome = subscriber.recv_timeout(Duration::ZERO);
        let key = subscriber.subscriber.key();
        told.poll(key, outcome, context.waker(), |waker| subscriber.subscriber.watch(waker))
    }
}

/// Waits for subscribers and publishes: what [`Publisher::publish_async`] returns. Dropped before it is ready, it has published
/// nothing, and nothing is left of it.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Publishing<'a, T: ?Sized, C: Codec<T> = Archive> {
    publisher: &'a Publisher<T, C>,
    value: &'a T,
    metadata: &'a [u8],
    told: Told,
}

impl<'a, T: ?Sized, C: Codec<T>> Publishing<'a, T, C> {
    pub(super) fn new(publisher: &'a Publisher<T, C>, value: &'a T, metadata: &'a [u8]) -> Self {
        Self { publisher, value, metadata, told: Told::default() }
    }
}

// Nothing in it is ever pinned.
impl<T: ?Sized, C: Codec<T>> Unpin for Publishing<'_, T, C> {}

impl<T: ?Sized, C: Codec<T>> Future for Publishing<'_, T, C> {
    type Output = Result<u64>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { publisher, value, metadata, told } = self.get_mut();
        let outcome = publisher.publish_for(value, metadata, Some(Duration::ZERO));
        let key = publisher.publisher.key();
        told.poll(key, outcome, context.waker(), |waker| publisher.publisher.watch(waker))
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for ReceivingPost<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivingPost").field("by", self.subscriber).finish_non_exhaustive()
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Publishing<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publishing").field("by", self.publisher).finish_non_exhaustive()
    }
}
