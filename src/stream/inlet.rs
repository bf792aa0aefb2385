//! Where a consumer's messages come from.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use super::packet::{Metadata, Outgoing, Packing};
use crate::codec::Codec;
use crate::connector::Block;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::queue::{Message, Receiver, Receiving};
use crate::topic::{Published, ReceivingPost, Subscriber};

/// A channel of a consumer's.
pub(super) struct Inlet<T, M: Metadata, C: Codec<T>> {
    pub(super) name: Arc<str>,
    pub(super) source: Source<T, M, C>,
    pub(super) has_ended: bool,
    /// Messages that were lost before those that it received.
    missed: u64,
    /// How many of them no object was handed out with yet.
    untold: u64,
}

pub(super) enum Source<T, M: Metadata, C: Codec<T>> {
    Queue(Receiver<[Outgoing<T, M>], Packing<C>>),
    Topic(Subscriber<[Outgoing<T, M>], Packing<C>>),
}

/// A message of a stream.
pub(super) enum Packet<T, M: Metadata, C: Codec<T>> {
    /// This consumer's until it is acknowledged.
    Queue(Message<[Outgoing<T, M>], Packing<C>>),
    /// Every consumer's.
    Topic(Published<[Outgoing<T, M>], Packing<C>>),
}

impl<T, M: Metadata, C: Codec<T>> Inlet<T, M, C> {
    pub(super) fn new(name: &str, source: Source<T, M, C>) -> Self {
        Self { name: name.into(), source, has_ended: false, missed: 0, untold: 0 }
    }

    /// Counts what was lost before a message, whatever becomes of that.
    pub(super) fn count(&mut self, packet: &Packet<T, M, C>) {
        self.missed += packet.missed();
        self.untold += packet.missed();
    }

    /// How many messages were lost since an object was handed out; with the next one that is told.
    pub(super) fn tell(&mut self) -> u64 {
        std::mem::take(&mut self.untold)
    }

    /// How many messages were lost, as far as it is known.
    pub(super) fn missed(&self) -> u64 {
        match &self.source {
            Source::Queue(_) => 0,
            Source::Topic(subscriber) => self.missed.saturating_add(subscriber.missed()),
        }
    }
}

impl<T, M: Metadata, C: Codec<T>> Source<T, M, C> {
    pub(super) fn receive(&mut self) -> Arrival<'_, T, M, C> {
        match self {
            Self::Queue(receiver) => Arrival::Queue(receiver.recv_async()),
            Self::Topic(subscriber) => Arrival::Topic(subscriber.recv_async()),
        }
    }

    /// Waits for so long in this thread; `TimedOut` after that.
    pub(super) fn receive_within(
        &mut self,
        limit: Option<Duration>,
    ) -> Result<Option<Packet<T, M, C>>> {
        match (self, limit) {
            (Self::Queue(receiver), None) => Ok(receiver.recv()?.map(Packet::Queue)),
            (Self::Queue(receiver), Some(limit)) => {
                Ok(receiver.recv_timeout(limit)?.map(Packet::Queue))
            }
            (Self::Topic(subscriber), None) => Ok(subscriber.recv()?.map(Packet::Topic)),
            (Self::Topic(subscriber), Some(limit)) => {
                Ok(subscriber.recv_timeout(limit)?.map(Packet::Topic))
            }
        }
    }

    pub(super) fn key(&self) -> Key {
        match self {
            Self::Queue(receiver) => receiver.key(),
            Self::Topic(subscriber) => subscriber.key(),
        }
    }

    /// Refuses a forked child.
    pub(super) fn expect_mine(&self, packet: &Packet<T, M, C>) -> Result<()> {
        match self {
            Self::Queue(_) => packet.expect_mine(),
            Self::Topic(subscriber) => subscriber.expect_mine(),
        }
    }
}

impl<T, M: Metadata, C: Codec<T>> Packet<T, M, C> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Queue(message) => message,
            Self::Topic(published) => published,
        }
    }

    pub(super) fn block(&self) -> Option<&Block> {
        match self {
            Self::Queue(message) => message.block(),
            Self::Topic(published) => published.block(),
        }
    }

    /// Whether other consumers have it, too.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Topic(_))
    }

    /// Refuses a forked child, which has no part in what its parent received; what everybody has, it may look at.
    pub(super) fn expect_mine(&self) -> Result<()> {
        match self {
            Self::Queue(message) if !message.is_mine() => Err(not_mine()),
            _ => Ok(()),
        }
    }

    pub(super) fn deliveries(&self) -> u8 {
        match self {
            Self::Queue(message) => message.deliveries(),
            Self::Topic(_) => 1,
        }
    }

    pub(super) fn position(&self) -> Option<u64> {
        match self {
            Self::Queue(_) => None,
            Self::Topic(published) => Some(published.position()),
        }
    }

    fn missed(&self) -> u64 {
        match self {
            Self::Queue(_) => 0,
            Self::Topic(published) => published.missed(),
        }
    }

    /// All of it is consumed.
    pub(super) fn ack(self) -> Result<()> {
        match self {
            Self::Queue(message) => message.ack(),
            Self::Topic(_) => Ok(()),
        }
    }
}

#[cold]
fn not_mine() -> Error {
    Error::NotOwner { token: "message of a stream" }
}

/// Waits for a message of one channel.
pub(super) enum Arrival<'a, T, M: Metadata, C: Codec<T>> {
    Queue(Receiving<'a, [Outgoing<T, M>], Packing<C>>),
    Topic(ReceivingPost<'a, [Outgoing<T, M>], Packing<C>>),
}

impl<T, M: Metadata, C: Codec<T>> Future for Arrival<'_, T, M, C> {
    type Output = Result<Option<Packet<T, M, C>>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match self.get_mut() {
            Self::Queue(future) => {
                Pin::new(future).poll(context).map_ok(|found| found.map(Packet::Queue))
            }
            Self::Topic(future) => {
                Pin::new(future).poll(context).map_ok(|found| found.map(Packet::Topic))
            }
        }
    }
}
