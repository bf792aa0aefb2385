//! Consuming.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::message::{DeadLetters, Message, Messages};
use super::waiting::Receiving;
use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::region::{Patience, QueueReceiver, Received, WaitPolicy};
use crate::store::Inner;

/// A consumer of a [`Queue`](super::Queue).
///
/// It is its process's; in a forked child its methods are [`Error::NotOwner`]. It may be shared by threads.
pub struct Receiver<T: ?Sized, C: Codec<T> = Archive> {
    pub(super) store: Arc<Inner>,
    pub(super) receiver: QueueReceiver,
    policy: WaitPolicy,
    marker: PhantomData<fn(*const T, C)>,
}

impl<T: ?Sized, C: Codec<T>> Receiver<T, C> {
    pub(super) fn new(store: Arc<Inner>, receiver: QueueReceiver) -> Self {
        Self { store, receiver, policy: WaitPolicy::default(), marker: PhantomData }
    }

    /// The same, waiting for messages in another way.
    #[must_use]
    pub fn wait_policy(self, policy: WaitPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Receives a message, waiting for it; `None` at the end of the stream.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the queue was or is evicted; with another key than [the queue's](crate::Queue::key), when a message
    /// that was [owned](crate::Sender::send_owned) was evicted by that key: it is over, and others can be received. And as
    /// [`Store::get`](crate::Store::get).
    #[inline]
    pub fn recv(&self) -> Result<Option<Message<T, C>>> {
        match self.receive(None)? {
            Received::Message(delivery) => Message::new(delivery).map(Some),
            Received::End | Received::Nothing => Ok(None),
        }
    }

    /// Receives a message if there is one; `None`: there is none now, or will be [none any more](Receiver::has_ended).
    ///
    /// # Errors
    /// As [`recv`](Receiver::recv).
    #[inline]
    pub fn try_recv(&self) -> Result<Option<Message<T, C>>> {
        match self.receive(Some(Duration::ZERO))? {
            Received::Message(delivery) => Message::new(delivery).map(Some),
            Received::End | Received::Nothing => Ok(None),
        }
    }

    /// Receives a message, waiting for it for so long; `None` at the end of the stream.
    ///
    /// # Errors
    /// [`Error::TimedOut`], and as [`recv`](Receiver::recv).
    pub fn recv_timeout(&self, timeout: Duration) -> Result<Option<Message<T, C>>> {
        match self.receive(Some(timeout))? {
            Received::Message(delivery) => Message::new(delivery).map(Some),
            Received::End => Ok(None),
            Received::Nothing => Err(Error::TimedOut { key: self.key(), waited: timeout }),
        }
    }

    /// Receives a message without a thread that waits for it; `None` at the end of the stream. No runtime is needed, and any
    /// will do: one thread of the process waits for all its futures.
    ///
    /// Dropped before it is ready, the future has received nothing. What it would have received, others do.
    ///
    /// ```
    /// use inplace::{RegionOptions, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("awaited").connector(ShmConnector::new(region)).open()?;
    /// let queue = store.queue_new::<u64>(8)?;
    /// let (sender, receiver) = (queue.sender()?, queue.receiver()?);
    /// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// let sum = runtime.block_on(async {
    ///     sender.send_async(&3).await?;
    ///     sender.send_async(&4).await?;
    ///     sender.close();
    ///     let mut sum = 0;
    ///     while let Some(number) = receiver.recv_async().await? {
    ///         sum += number.to_native();
    ///         number.ack()?;
    ///     }
    ///     Ok::<u64, inplace::Error>(sum)
    /// })?;
    /// assert_eq!(sum, 7);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Its outcome's are those of [`recv`](Receiver::recv).
    pub fn recv_async(&self) -> Receiving<'_, T, C> {
        Receiving::new(self)
    }

    /// Receives at most so many messages, waiting for the first of them; none at the end of the stream. After an error, those
    /// before it are received again.
    ///
    /// ```
    /// use inplace::{RegionOptions, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("batches").connector(ShmConnector::new(region)).open()?;
    /// let queue = store.queue_new::<u64>(8)?;
    /// queue.sender()?.send_batch(&[1, 2, 3])?;
    /// let batch = queue.receiver()?.recv_batch(2)?;
    /// assert_eq!(batch.iter().map(|number| number.to_native()).collect::<Vec<_>>(), [1, 2]);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`recv`](Receiver::recv), of the first message; behind others, one that was evicted by its key is passed over.
    pub fn recv_batch(&self, most: usize) -> Result<Vec<Message<T, C>>> {
        let mut batch = Vec::new();
        while batch.len() < most {
            let limit = if batch.is_empty() { None } else { Some(Duration::ZERO) };
            let Received::Message(delivery) = self.receive(limit)? else { break };
            match Message::open(delivery) {
                Ok(message) => batch.push(message),
                Err(unopened) if unopened.is_over && !batch.is_empty() => {}
                Err(unopened) => return Err(unopened.error),
            }
        }
        Ok(batch)
    }

    /// Messages one after another, until the end of the stream, or the first error.
    pub fn iter(&self) -> Messages<'_, T, C> {
        Messages::new(self)
    }

    /// Whether somebody produced, nobody does any more, and there is nothing to receive. What a consumer holds
    /// unacknowledged may yet come back.
    ///
    /// # Errors
    /// As [`recv`](Receiver::recv).
    pub fn has_ended(&self) -> Result<bool> {
        self.receiver.has_ended()
    }

    /// Messages that were received too often and never acknowledged. Each is this consumer's until it is
    /// [acknowledged](Message::ack), which takes it out of the queue, or dropped, which leaves it among the dead letters. They
    /// take room in the queue.
    pub fn dead_letters(&self) -> DeadLetters<'_, T, C> {
        DeadLetters::new(self)
    }

    pub(crate) fn key(&self) -> Key {
        self.receiver.key()
    }

    #[inline(always)]
    fn receive(&self, limit: Option<Duration>) -> Result<Received> {
        self.receiver.receive(&Patience { policy: self.policy, limit })
    }

    pub(super) fn dead_letter(&self, from: u32) -> Result<Option<(u32, Message<T, C>)>> {
        let Some(delivery) = self.receiver.dead_letter(from)? else { return Ok(None) };
        let envelope = delivery.envelope();
        Ok(Some((envelope, Message::new(delivery)?)))
    }
}

impl<'a, T: ?Sized, C: Codec<T>> IntoIterator for &'a Receiver<T, C> {
    type Item = Result<Message<T, C>>;
    type IntoIter = Messages<'a, T, C>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Receiver<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("policy", &self.policy).finish_non_exhaustive()
    }
}
