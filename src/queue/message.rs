//! What was received.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Deref;

use super::receiver::Receiver;
use crate::codec::{Archive, Codec};
use crate::connector::Block;
use crate::error::{Error, Result};
use crate::region::{Delivery, MessageBytes, MessageMetadata};
use crate::view::View;

/// A message that this process received: derefs to it, in place. [Acknowledge](Message::ack) it when its work is done; dropped
/// without that, it is received again, perhaps by another.
///
/// It may be sent to other threads. A forked child does not inherit it.
///
/// # Panics
/// It derefs in a forked child only by panicking: by then its parent may have acknowledged it.
pub struct Message<T: ?Sized, C: Codec<T> = Archive> {
    /// Goes before the delivery, whose bytes it looks at.
    pub(super) view: View<C::Target>,
    pub(super) delivery: Delivery,
    metadata: MessageMetadata,
}

impl<T: ?Sized, C: Codec<T>> Message<T, C> {
    #[inline(always)]
    pub(super) fn new(delivery: Delivery) -> Result<Self> {
        Self::open(delivery).map_err(|unopened| unopened.error)
    }

    #[inline(always)]
    pub(super) fn open(delivery: Delivery) -> Result<Self, Unopened> {
        let (bytes, metadata) = match delivery.parts() {
            Ok(parts) => parts,
            Err(error) => return Err(gone(delivery, error)),
        };
        // What cannot be decoded is given back, and is a dead letter in the end.
        let decoded = C::decode(block_of::<T, C>(bytes));
        let view = View::new(decoded.map_err(|error| Unopened { error, is_over: false })?);
        Ok(Self { view, delivery, metadata })
    }

    /// Its bytes, which are its own only until it is acknowledged or dropped.
    pub(crate) fn block(&self) -> Option<&Block> {
        self.view.block()
    }

    /// Whether this process received it.
    #[inline]
    pub(crate) fn is_mine(&self) -> bool {
        self.delivery.is_mine()
    }

    /// What was [sent with it](super::Sender::send_with).
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        &self.metadata.0[..self.metadata.1]
    }

    /// How often it was received, with this time; 255 for more. Of a dead letter, how often before.
    #[must_use]
    pub fn deliveries(&self) -> u8 {
        self.delivery.deliveries()
    }

    /// Takes it out of the queue for good, which makes room for another.
    ///
    /// # Errors
    /// [`Error::NotOwner`] in a forked child.
    #[inline]
    pub fn ack(self) -> Result<()> {
        let Self { view, delivery, .. } = self;
        view.end();
        delivery.acknowledge()
    }
}

impl<T: ?Sized, C: Codec<T>> Deref for Message<T, C> {
    type Target = C::Target;

    #[inline]
    fn deref(&self) -> &C::Target {
        if !self.delivery.is_mine() {
            not_mine();
        }
        &self.view
    }
}

/// What a codec decodes. One that may keep parts of it has a copy of what lies in the queue itself, which is written over after
/// the acknowledgement: its sender may have used another codec.
#[inline]
pub(crate) fn block_of<T: ?Sized, C: Codec<T>>(bytes: MessageBytes) -> Block {
    match bytes {
        MessageBytes::Inline(lent) if !C::CONTAINED.0 => {
            Block::from_heap(lent[..].into(), lent.fingerprint())
        }
        bytes => bytes.into(),
    }
}

/// Why a message that was received cannot be had.
pub(super) struct Unopened {
    pub(super) error: Error,
    /// It was evicted: nobody will receive it again.
    pub(super) is_over: bool,
}

/// What was owned, and evicted by its key since it was sent, is told of once.
#[cold]
fn gone(delivery: Delivery, error: Error) -> Unopened {
    let is_over = matches!(error, Error::NotFound { .. });
    if is_over {
        // The error of the message is the one to hear of.
        let _ = delivery.acknowledge();
    }
    Unopened { error, is_over }
}

#[cold]
fn not_mine() -> ! {
    panic!("{}", Error::NotOwner { token: "message" })
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Message<T, C>
where
    C::Target: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Messages of a [`Receiver`] until the end of the stream.
#[derive(Debug)]
pub struct Messages<'a, T: ?Sized, C: Codec<T> = Archive> {
    receiver: &'a Receiver<T, C>,
    is_over: bool,
}

impl<'a, T: ?Sized, C: Codec<T>> Messages<'a, T, C> {
    pub(super) fn new(receiver: &'a Receiver<T, C>) -> Self {
        Self { receiver, is_over: false }
    }
}

impl<T: ?Sized, C: Codec<T>> Messages<'_, T, C> {
    /// The next one, without a thread that waits for it: see [`Receiver::recv_async`].
    pub async fn next_async(&mut self) -> Option<Result<Message<T, C>>> {
        if self.is_over {
            return None;
        }
        let next = self.receiver.recv_async().await;
        self.went_on(next)
    }

    fn went_on(&mut self, next: Result<Option<Message<T, C>>>) -> Option<Result<Message<T, C>>> {
        let next = next.transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl<T: ?Sized, C: Codec<T>> Iterator for Messages<'_, T, C> {
    type Item = Result<Message<T, C>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.receiver.recv();
        self.went_on(next)
    }
}

impl<T: ?Sized, C: Codec<T>> FusedIterator for Messages<'_, T, C> {}

/// Dead letters of a queue, each of which is the iterating consumer's while it is held.
#[derive(Debug)]
pub struct DeadLetters<'a, T: ?Sized, C: Codec<T> = Archive> {
    receiver: &'a Receiver<T, C>,
    /// The envelope from which to look on; `None`: no more.
    from: Option<u32>,
}

impl<'a, T: ?Sized, C: Codec<T>> DeadLetters<'a, T, C> {
    pub(super) fn new(receiver: &'a Receiver<T, C>) -> Self {
        Self { receiver, from: Some(0) }
    }
}

impl<T: ?Sized, C: Codec<T>> Iterator for DeadLetters<'_, T, C> {
    type Item = Result<Message<T, C>>;

    fn next(&mut self) -> Option<Self::Item> {
        let found = self.receiver.dead_letter(self.from?).transpose();
        self.from = match &found {
            Some(Ok((envelope, _))) => Some(envelope + 1),
            _ => None,
        };
        found.map(|found| found.map(|(_, message)| message))
    }
}

impl<T: ?Sized, C: Codec<T>> FusedIterator for DeadLetters<'_, T, C> {}
