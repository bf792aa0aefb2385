//! Subscribing.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use super::published::{Posts, Published};
use super::waiting::ReceivingPost;
use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::protocol::topic;
use crate::region::{Broadcast, Patience, ReceivedPost, TopicSubscriber, WaitPolicy};

/// With which message of a [`Topic`](super::Topic) a [`Subscriber`] begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Start {
    /// The oldest that the topic has.
    Oldest,
    /// The next that is published.
    Latest,
    /// That of a position, which may be still to come; what is gone of those from there on, it has missed. One after
    /// the [position](super::Published::position) of a message goes on behind that.
    At(u64),
}

impl From<Start> for topic::Start {
    fn from(start: Start) -> Self {
        match start {
            Start::Oldest => Self::Oldest,
            Start::Latest => Self::Latest,
            Start::At(position) => Self::At(position),
        }
    }
}

/// A subscriber of a [`Topic`](super::Topic), with a place of its own among the messages.
///
/// It is its process's; in a forked child its methods are [`Error::NotOwner`], and its drop does nothing. It may be moved to other
/// threads. Dropped, it is not waited for any more.
pub struct Subscriber<T: ?Sized, C: Codec<T> = Archive> {
    pub(super) subscriber: TopicSubscriber,
    policy: WaitPolicy,
    marker: PhantomData<fn(*const T, C)>,
}

impl<T: ?Sized, C: Codec<T>> Subscriber<T, C> {
    pub(super) fn new(subscriber: TopicSubscriber) -> Self {
        Self { subscriber, policy: WaitPolicy::default(), marker: PhantomData }
    }

    /// The same, waiting for messages in another way.
    #[must_use]
    pub fn wait_policy(self, policy: WaitPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Receives the next message, waiting for it; `None` at the end of the stream.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the topic was or is evicted, and as [`Store::get`](crate::Store::get). A message that is there and
    /// cannot be used is received all the same: the next call receives the next one. It does not count as
    /// [missed](super::Published::missed); what was missed before it counts for the next.
    #[inline]
    pub fn recv(&mut self) -> Result<Option<Published<T, C>>> {
        match self.receive(None)? {
            Broadcast::Message(received) => self.decode(received).map(Some),
            Broadcast::End | Broadcast::Nothing => Ok(None),
        }
    }

    /// Receives the next message if there is one; `None`: there is none now, or will be [none any
    /// more](Subscriber::has_ended).
    ///
    /// # Errors
    /// As [`recv`](Subscriber::recv).
    #[inline]
    pub fn try_recv(&mut self) -> Result<Option<Published<T, C>>> {
        match self.receive(Some(Duration::ZERO))? {
            Broadcast::Message(received) => self.decode(received).map(Some),
            Broadcast::End | Broadcast::Nothing => Ok(None),
        }
    }

    /// Receives the next message, waiting for it for so long; `None` at the end of the stream.
    ///
    /// # Errors
    /// [`Error::TimedOut`], and as [`recv`](Subscriber::recv).
    pub fn recv_timeout(&mut self, timeout: Duration) -> Result<Option<Published<T, C>>> {
        match self.receive(Some(timeout))? {
            Broadcast::Message(received) => self.decode(received).map(Some),
            Broadcast::End => Ok(None),
            Broadcast::Nothing => Err(Error::TimedOut { key: self.key(), waited: timeout }),
        }
    }

    /// Receives the next message without a thread that waits for it; `None` at the end of the stream. No runtime is needed, and
    /// any will do: one thread of the process waits for all its futures.
    ///
    /// Dropped before it is ready, the future has received nothing: the next one does. What was [missed](Subscriber::missed) by
    /// then is told with it.
    ///
    /// ```
    /// use inplace::{RegionOptions, Start, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("awaited").connector(ShmConnector::new(region)).open()?;
    /// let topic = store.topic_new::<u64>(8)?;
    /// let mut subscribers = [topic.subscriber(Start::Latest)?, topic.subscriber(Start::Latest)?];
    /// let publisher = topic.publisher()?;
    /// publisher.publish(&3)?;
    /// publisher.close();
    /// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// for subscriber in &mut subscribers {
    ///     let number = runtime.block_on(subscriber.recv_async())?.expect("it was published");
    ///     assert_eq!(*number, 3);
    ///     assert!(runtime.block_on(subscriber.recv_async())?.is_none());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Its outcome's are those of [`recv`](Subscriber::recv).
    pub fn recv_async(&mut self) -> ReceivingPost<'_, T, C> {
        ReceivingPost::new(self)
    }

    /// Messages one after another, until the end of the stream, or the first error.
    pub fn iter(&mut self) -> Posts<'_, T, C> {
        Posts::new(self)
    }

    /// The position that it looks at next.
    ///
    /// ```
    /// use inplace::{RegionOptions, Start, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("resumed").connector(ShmConnector::new(region)).open()?;
    /// let topic = store.topic_new::<u64>(8)?;
    /// let publisher = topic.publisher()?;
    /// (10..15).try_for_each(|number| publisher.publish(&number).map(drop))?;
    /// let mut first = topic.subscriber(Start::Oldest)?;
    /// assert_eq!(*first.recv()?.unwrap(), 10);
    /// let mut second = topic.subscriber(Start::At(first.position()))?;
    /// drop(first);
    /// assert_eq!(*second.recv()?.unwrap(), 11);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    #[must_use]
    pub fn position(&self) -> u64 {
        self.subscriber.position()
    }

    /// How many messages it is known to have lost since the last one that it received: the next one
    /// [says](super::Published::missed) at least that.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.subscriber.missed()
    }

    /// Whether somebody published, nobody does any more, and everything is received.
    ///
    /// # Errors
    /// As [`recv`](Subscriber::recv).
    pub fn has_ended(&self) -> Result<bool> {
        self.subscriber.has_ended()
    }

    pub(crate) fn key(&self) -> Key {
        self.subscriber.key()
    }

    /// Refuses a forked child.
    #[inline]
    pub(crate) fn expect_mine(&self) -> Result<()> {
        self.subscriber.expect_mine()
    }

    #[inline]
    fn decode(&mut self, received: ReceivedPost) -> Result<Published<T, C>> {
        let missed = received.missed;
        Published::new(received).inspect_err(|_| self.subscriber.put_back(missed))
    }

    #[inline]
    fn receive(&mut self, limit: Option<Duration>) -> Result<Broadcast> {
        self.subscriber.receive(&Patience { policy: self.policy, limit })
    }
}

impl<'a, T: ?Sized, C: Codec<T>> IntoIterator for &'a mut Subscriber<T, C> {
    type Item = Result<Published<T, C>>;
    type IntoIter = Posts<'a, T, C>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Subscriber<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscriber")
            .field("position", &self.position())
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}
