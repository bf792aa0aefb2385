//! Publishing.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::waiting::Publishing;
use crate::codec::{Archive, Codec};
use crate::error::Result;
use crate::region::{Patience, TopicPublisher, WaitPolicy};
use crate::store::Inner;

/// A publisher of a [`Topic`](super::Topic): while there is one, the stream goes on.
///
/// It is its process's; in a forked child its methods are [`Error::NotOwner`](crate::Error::NotOwner), and its drop does
/// nothing. It may be shared by threads.
pub struct Publisher<T: ?Sized, C: Codec<T> = Archive> {
    store: Arc<Inner>,
    pub(super) publisher: TopicPublisher,
    codec: C,
    policy: WaitPolicy,
    marker: PhantomData<fn(*const T)>,
}

impl<T: ?Sized, C: Codec<T>> Publisher<T, C> {
    pub(super) fn new(store: Arc<Inner>, publisher: TopicPublisher, codec: C) -> Self {
        Self { store, publisher, codec, policy: WaitPolicy::default(), marker: PhantomData }
    }

    /// The same, waiting for slow subscribers in another way.
    #[must_use]
    pub fn wait_policy(self, policy: WaitPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Publishes a message; its position. Where subscribers [are waited for](crate::TopicOptions::hold_back), waits until each of
    /// them has fewer messages to receive than the topic keeps.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) when the topic was or is evicted, and as [`Store::put`](crate::Store::put).
    #[inline]
    pub fn publish(&self, value: &T) -> Result<u64> {
        self.publish_for(value, &[], None)
    }

    /// Publishes a message with at most 32 bytes beside it, which subscribers have [without looking](super::Published::metadata)
    /// at it.
    ///
    /// ```
    /// use inplace::{Error, RegionOptions, Start, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("tagged").connector(ShmConnector::new(region)).open()?;
    /// let topic = store.topic_new::<u64>(8)?;
    /// let publisher = topic.publisher()?;
    /// assert_eq!(publisher.publish_with(&7, b"urgent")?, 0);
    /// assert_eq!(topic.subscriber(Start::Oldest)?.recv()?.unwrap().metadata(), b"urgent");
    /// assert!(matches!(publisher.publish_with(&7, &[0; 33]), Err(Error::TooLarge { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) for more metadata, and as [`publish`](Publisher::publish).
    pub fn publish_with(&self, value: &T, metadata: &[u8]) -> Result<u64> {
        self.publish_for(value, metadata, None)
    }

    /// Publishes a message if no subscriber has to be waited for; its position.
    ///
    /// # Errors
    /// [`Error::Full`](crate::Error::Full), and as [`publish`](Publisher::publish).
    pub fn try_publish(&self, value: &T) -> Result<u64> {
        self.publish_for(value, &[], Some(Duration::ZERO))
    }

    /// Publishes a message, waiting for subscribers for so long; its position.
    ///
    /// # Errors
    /// [`Error::TimedOut`](crate::Error::TimedOut), and as [`publish`](Publisher::publish).
    pub fn publish_timeout(&self, value: &T, timeout: Duration) -> Result<u64> {
        self.publish_for(value, &[], Some(timeout))
    }

    /// Publishes a message without a thread that waits for subscribers; its position. No runtime is needed, and any will do.
    ///
    /// Dropped before it is ready, the future has published nothing. Futures that wait for the same subscriber publish in no
    /// particular order: who publishes several messages in theirs awaits one after the other. Where nobody
    /// [is waited for](crate::TopicOptions::hold_back), it is ready at once.
    ///
    /// ```
    /// use inplace::{RegionOptions, Start, Store, TopicOptions};
    /// use inplace::connector::ShmConnector;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("paced").connector(ShmConnector::new(region)).open()?;
    /// let topic = store.topic_new_with::<u64>(&TopicOptions::new(1).hold_back(1))?;
    /// let (publisher, mut subscriber) = (topic.publisher()?, topic.subscriber(Start::Latest)?);
    /// let publish = async move {
    ///     for number in 0..10 {
    ///         publisher.publish_async(&number).await?;
    ///     }
    ///     Ok::<(), inplace::Error>(())
    /// };
    /// let receive = async {
    ///     let mut sum = 0;
    ///     while let Some(number) = subscriber.recv_async().await? {
    ///         sum += number.to_native();
    ///     }
    ///     Ok::<u64, inplace::Error>(sum)
    /// };
    /// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// let (published, sum) = runtime.block_on(async { tokio::join!(publish, receive) });
    /// published?;
    /// assert_eq!(sum?, 45);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Its outcome's are those of [`publish`](Publisher::publish).
    pub fn publish_async<'a>(&'a self, value: &'a T) -> Publishing<'a, T, C> {
        Publishing::new(self, value, &[])
    }

    /// [`publish_with`](Publisher::publish_with) without a thread that waits for subscribers.
    ///
    /// # Errors
    /// Its outcome's are those of [`publish_with`](Publisher::publish_with).
    pub fn publish_with_async<'a>(
        &'a self,
        value: &'a T,
        metadata: &'a [u8],
    ) -> Publishing<'a, T, C> {
        Publishing::new(self, value, metadata)
    }

    /// Stops publishing; the last publisher's end is the end of the stream. Dropping it does the same.
    pub fn close(self) {
        drop(self);
    }

    #[inline]
    pub(super) fn publish_for(
        &self,
        value: &T,
        metadata: &[u8],
        limit: Option<Duration>,
    ) -> Result<u64> {
        let patience = Patience { policy: self.policy, limit };
        self.store.encoded(self.codec, value, |size, fill| {
            self.publisher.publish((size, metadata), &patience, fill)
        })
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Publisher<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Publisher").field("policy", &self.policy).finish_non_exhaustive()
    }
}
