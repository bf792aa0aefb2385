//! Receiving and sending without a thread that waits.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::message::Message;
use super::receiver::Receiver;
use super::sender::Sender;
use crate::codec::{Archive, Codec};
use crate::error::Result;
use crate::region::watch::Told;

/// Waits for a message: what [`Receiver::recv_async`] returns. Dropped, it waits no more, has received nothing, and nothing is
/// left of it.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Receiving<'a, T: ?Sized, C: Codec<T> = Archive> {
    receiver: &'a Receiver<T, C>,
    told: Told,
}

impl<'a, T: ?Sized, C: Codec<T>> Receiving<'a, T, C> {
    pub(super) fn new(receiver: &'a Receiver<T, C>) -> Self {
        Self { receiver, told: Told::default() }
    }
}

// Nothing in it is ever pinned.
impl<T: ?Sized, C: Codec<T>> Unpin for Receiving<'_, T, C> {}

impl<T: ?Sized, C: Codec<T>> Future for Receiving<'_, T, C> {
    type Output = Result<Option<Message<T, C>>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { receiver, told } = self.get_mut();
        let outcome = receiver.recv_timeout(Duration::ZERO);
        let key = receiver.key();
        told.poll(key, outcome, context.waker(), |waker| receiver.receiver.watch(waker))
    }
}

/// Waits for room and sends: what [`Sender::send_async`] returns. Dropped before it is ready, it has sent nothing, and nothing is
/// left of it.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Sending<'a, T: ?Sized, C: Codec<T> = Archive> {
    sender: &'a Sender<T, C>,
    value: &'a T,
    metadata: &'a [u8],
    told: Told,
}

impl<'a, T: ?Sized, C: Codec<T>> Sending<'a, T, C> {
    pub(super) fn new(sender: &'a Sender<T, C>, value: &'a T, metadata: &'a [u8]) -> Self {
        Self { sender, value, metadata, told: Told::default() }
    }
}

// Nothing in it is ever pinned.
impl<T: ?Sized, C: Codec<T>> Unpin for Sending<'_, T, C> {}

impl<T: ?Sized, C: Codec<T>> Future for Sending<'_, T, C> {
    type Output = Result<()>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { sender, value, metadata, told } = self.get_mut();
        let outcome = sender.send_for(value, metadata, Some(Duration::ZERO));
        let key = sender.sender.key();
        told.poll(key, outcome, context.waker(), |waker| sender.sender.watch(waker))
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Receiving<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiving").field("from", self.receiver).finish_non_exhaustive()
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Sending<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sending").field("by", self.sender).finish_non_exhaustive()
    }
}
