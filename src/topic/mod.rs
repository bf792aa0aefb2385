//! Topics: messages from many publishers, each to every subscriber.

mod published;
mod publisher;
mod subscriber;
mod waiting;

pub use published::{Posts, Published};
pub use publisher::Publisher;
pub use subscriber::{Start, Subscriber};
pub use waiting::{Publishing, ReceivingPost};

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::proxy::StoreRef;
use crate::region::{Region, TopicOptions};
use crate::store::{Handle, Inner, Store};

/// Messages from any number of publishers, each to every subscriber, in any processes of the host.
///
/// A topic keeps the last messages that were published. Every subscriber has a place of its own among them: it receives one after
/// the other, in place, and begins with the [oldest](Start::Oldest), after the [latest](Start::Latest), or
/// [anywhere](Start::At). A message is published in one step, at the next *position*; a publisher that is killed has published it or
/// not.
///
/// What becomes of the slow is said when the topic is made. Unless told otherwise, nobody waits for them: they lose what was
/// replaced, and the next message that they receive says exactly [how many](Published::missed) that were. Or publishers
/// [are held back](TopicOptions::hold_back): then nothing is lost, and a subscriber that does not receive, because it is stopped,
/// say, makes publishers wait for as long as it lives. The dead are not waited for.
///
/// The stream ends, for each subscriber, when somebody has published and nobody does any more, dead publishers included, and it has
/// received everything. What it received stays for as long as it is looked at, also when the topic has dropped it.
///
/// The handle is sent as a [`Proxy`](crate::Proxy) is, through serde, or found by its name with [`Store::topic`]. A forked
/// child goes on with its parent's; its parent's [`Publisher`]s and [`Subscriber`]s are not the child's.
///
/// ```
/// use inplace::{RegionOptions, Start, Store};
/// use inplace::connector::ShmConnector;
///
/// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
/// let store = Store::builder("market").connector(ShmConnector::new(region)).open()?;
/// let prices = store.topic::<f64>("prices", 2)?;
///
/// let (mut fast, mut slow) = (prices.subscriber(Start::Latest)?, prices.subscriber(Start::Latest)?);
/// let publisher = prices.publisher()?;
/// for price in [1.0, 1.5, 2.0, 2.5, 3.0] {
///     publisher.publish(&price)?;
///     assert_eq!(*fast.recv()?.expect("it is not over"), price);
/// }
/// publisher.close();
///
/// let first = slow.recv()?.expect("the last ones are there");
/// assert_eq!((*first, first.position(), first.missed()), (2.0.into(), 2, 2));
/// assert_eq!(slow.iter().count(), 2);
/// assert!(fast.recv()?.is_none(), "nobody publishes any more");
/// # Ok::<(), inplace::Error>(())
/// ```
pub struct Topic<T: ?Sized, C: Codec<T> = Archive> {
    handle: Handle<T, C>,
}

impl<C> Store<C> {
    /// The topic of that name, made to keep so many messages if there is none: of many who make it at once, all have the same. It
    /// stays until it is [evicted](Topic::evict).
    ///
    /// ```
    /// use inplace::{Error, RegionOptions, Start, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("news").connector(ShmConnector::new(region)).open()?;
    /// store.topic::<u64>("numbers", 8)?.publisher()?.publish(&7)?;
    /// let mut subscriber = store.topic::<u64>("numbers", 8)?.subscriber(Start::Oldest)?;
    /// assert_eq!(*subscriber.recv()?.unwrap(), 7);
    /// assert!(matches!(store.topic::<String>("numbers", 8), Err(Error::TypeMismatch { .. })));
    /// assert!(matches!(store.topic::<u64>("numbers", 9), Err(Error::InvalidConfig { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TypeMismatch`] for a topic of another type, or a name that is bound to something else;
    /// [`Error::InvalidConfig`] for one with other options; [`Error::InvalidName`], [`Error::Unsupported`] where the
    /// connector is not shared memory, [`Error::OutOfSpace`], [`Error::OutOfSlots`].
    pub fn topic<T: ?Sized>(&self, name: &str, capacity: u32) -> Result<Topic<T, C>>
    where
        C: Codec<T>,
    {
        self.topic_with(name, &TopicOptions::new(capacity))
    }

    /// The topic of that name, made with these options if there is none.
    ///
    /// # Errors
    /// As [`topic`](Store::topic).
    pub fn topic_with<T: ?Sized>(&self, name: &str, options: &TopicOptions) -> Result<Topic<T, C>>
    where
        C: Codec<T>,
    {
        let _ = self.inner.meet::<C, T>();
        let key = region_of(&self.inner)?.open_topic(name, C::FINGERPRINT, options)?;
        Ok(self.topic_from_key(key))
    }

    /// A new topic without a name, which keeps so many messages.
    ///
    /// # Errors
    /// As [`topic`](Store::topic).
    pub fn topic_new<T: ?Sized>(&self, capacity: u32) -> Result<Topic<T, C>>
    where
        C: Codec<T>,
    {
        self.topic_new_with(&TopicOptions::new(capacity))
    }

    /// A new topic without a name, with these options.
    ///
    /// ```
    /// use inplace::{Error, RegionOptions, Start, Store, TopicOptions};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("orders").connector(ShmConnector::new(region)).open()?;
    /// let orders = store.topic_new_with::<u64>(&TopicOptions::new(2).hold_back(1))?;
    /// let (publisher, mut subscriber) = (orders.publisher()?, orders.subscriber(Start::Latest)?);
    /// publisher.publish(&1)?;
    /// publisher.publish(&2)?;
    /// assert!(matches!(publisher.try_publish(&3), Err(Error::Full { .. })), "nothing is lost");
    /// assert_eq!(*subscriber.recv()?.unwrap(), 1);
    /// publisher.try_publish(&3)?;
    /// assert!(matches!(orders.subscriber(Start::Latest), Err(Error::TooManySubscribers { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`topic`](Store::topic).
    pub fn topic_new_with<T: ?Sized>(&self, options: &TopicOptions) -> Result<Topic<T, C>>
    where
        C: Codec<T>,
    {
        let _ = self.inner.meet::<C, T>();
        let key = region_of(&self.inner)?.new_topic(C::FINGERPRINT, options)?;
        Ok(self.topic_from_key(key))
    }

    /// The topic of that key.
    #[must_use]
    pub fn topic_from_key<T: ?Sized>(&self, key: Key) -> Topic<T, C>
    where
        C: Codec<T>,
    {
        Topic { handle: Handle::new(key, self.inner.clone(), self.codec) }
    }
}

/// The shared memory of a store, the only place where there are topics.
fn region_of(store: &Inner) -> Result<&Region> {
    match store.connector.as_shm() {
        Some(shm) => shm.region(),
        None => {
            let connector = store.connector.config().kind();
            Err(Error::Unsupported { connector, operation: "topics" })
        }
    }
}

impl<T: ?Sized, C: Codec<T>> Topic<T, C> {
    /// The topic's key: to be evicted with others, or made a topic of by [`Store::topic_from_key`].
    #[must_use]
    pub fn key(&self) -> Key {
        self.handle.key()
    }

    /// Where the topic is.
    #[must_use]
    pub fn store_ref(&self) -> &StoreRef {
        self.handle.store_ref()
    }

    /// Makes this process a publisher, until that is dropped or the process ends. A process may have any number of them.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the topic was evicted, [`Error::TypeMismatch`] when its messages are of another type.
    pub fn publisher(&self) -> Result<Publisher<T, C>> {
        let store = self.handle.shared_store()?;
        let publisher = region_of(&store)?.topic_publisher(self.key(), C::FINGERPRINT)?;
        Ok(Publisher::new(store, publisher, self.handle.codec))
    }

    /// Makes this process a subscriber, from there on, until that is dropped or the process ends. A process may have any number of
    /// them, each of which receives everything.
    ///
    /// # Errors
    /// [`Error::TooManySubscribers`] when publishers are [held back](TopicOptions::hold_back) for as many as they may be; and as
    /// [`publisher`](Topic::publisher).
    pub fn subscriber(&self, start: Start) -> Result<Subscriber<T, C>> {
        let kind = (self.key(), C::FINGERPRINT);
        let subscriber = region_of(self.handle.store()?)?.topic_subscriber(kind, start.into())?;
        Ok(Subscriber::new(subscriber))
    }

    /// Drops what is [too old](TopicOptions::max_age) or [too much](TopicOptions::max_bytes) now, as publishers do whenever they
    /// publish; how many messages.
    ///
    /// ```
    /// use inplace::{RegionOptions, Start, Store, TopicOptions};
    /// use inplace::connector::ShmConnector;
    /// use std::time::Duration;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("recent").connector(ShmConnector::new(region)).open()?;
    /// let options = TopicOptions::new(64).max_age(Duration::from_millis(1));
    /// let topic = store.topic_new_with::<u64>(&options)?;
    /// topic.publisher()?.publish(&1)?;
    /// std::thread::sleep(Duration::from_millis(5));
    /// assert_eq!(topic.trim()?, 1);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`publisher`](Topic::publisher).
    pub fn trim(&self) -> Result<u64> {
        region_of(self.handle.store()?)?.trim_topic(self.key(), C::FINGERPRINT)
    }

    /// Evicts it, with its messages: from now on it is [`Error::NotFound`] for everyone, for those who wait, too, and its name
    /// is free. What was received stays. Whether it was there.
    ///
    /// # Errors
    /// As [`Store::evict`].
    pub fn evict(&self) -> Result<bool> {
        self.handle.store()?.evict(self.key())
    }
}

impl<T: ?Sized, C: Codec<T>> Clone for Topic<T, C> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<T: ?Sized, C: Codec<T>> PartialEq for Topic<T, C> {
    /// Whether both are handles of the same topic.
    fn eq(&self, other: &Self) -> bool {
        self.handle == other.handle
    }
}

impl<T: ?Sized, C: Codec<T>> Eq for Topic<T, C> {}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Topic<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic").field("key", &self.key()).finish_non_exhaustive()
    }
}

impl<T: ?Sized, C: Codec<T>> Serialize for Topic<T, C> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.handle.serialize(to)
    }
}

impl<'de, T: ?Sized, C: Codec<T>> Deserialize<'de> for Topic<T, C> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self { handle: Handle::deserialize(from)? })
    }
}
