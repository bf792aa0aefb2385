//! Queues: messages from many producers to many consumers, each to one of them.

mod loan;
mod message;
mod owned;
mod receiver;
mod sender;
mod waiting;

pub use loan::{ArrayLoan, MessageLoan};
pub use message::{DeadLetters, Message, Messages};
pub use owned::{SendingOwned, Unsent};
pub use receiver::Receiver;
pub use sender::Sender;
pub use waiting::{Receiving, Sending};

pub(crate) use message::block_of;

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::proxy::StoreRef;
use crate::region::{QueueOptions, Region};
use crate::store::{Handle, Inner, Store};

/// Messages from any number of producers to any number of consumers, in any processes of the host.
///
/// Each message is received by one consumer, in place, and stays in the queue until it is
/// [acknowledged](Message::ack): dropped without that, or with a consumer that is killed, it is received again, until it has
/// been so too often and is a [dead letter](Receiver::dead_letters). A message is sent in one step: a producer that is killed
/// has sent it or not. Messages of one producer are received in the order in which it sent them; what is received
/// again comes before all others.
///
/// The queue has room for so many messages; a full one makes producers wait. The stream ends when somebody has produced and
/// nobody does any more, dead producers included, and everything is received. Nobody waits for a process that is stopped,
/// but for the messages it holds, and for the end of its stream.
///
/// The handle is sent as a [`Proxy`](crate::Proxy) is, through serde, or found by its name with [`Store::queue`]. A forked
/// child goes on with its parent's; its parent's [`Sender`]s, [`Receiver`]s and [`Message`]s are not the child's.
///
/// ```
/// use inplace::{RegionOptions, Store};
/// use inplace::connector::ShmConnector;
///
/// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
/// let store = Store::builder("work").connector(ShmConnector::new(region)).open()?;
/// let queue = store.queue::<String>("jobs", 64)?;
///
/// let sender = queue.sender()?;
/// sender.send(&"sweep the floor".into())?;
/// sender.send(&"lock the door".into())?;
/// sender.close();
///
/// let receiver = queue.receiver()?;
/// let mut done = Vec::new();
/// for message in &receiver {
///     let message = message?;
///     done.push(message.to_string());
///     message.ack()?;
/// }
/// assert_eq!(done, ["sweep the floor", "lock the door"]);
/// # Ok::<(), inplace::Error>(())
/// ```
pub struct Queue<T: ?Sized, C: Codec<T> = Archive> {
    handle: Handle<T, C>,
}

impl<C> Store<C> {
    /// The queue of that name, made for so many messages if there is none: of many who make it at once, all have the same. It
    /// stays until it is [evicted](Queue::evict).
    ///
    /// ```
    /// use inplace::{Error, RegionOptions, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("named").connector(ShmConnector::new(region)).open()?;
    /// store.queue::<u64>("numbers", 8)?.sender()?.send(&7)?;
    /// assert_eq!(*store.queue::<u64>("numbers", 8)?.receiver()?.recv()?.unwrap(), 7);
    /// assert!(matches!(store.queue::<String>("numbers", 8), Err(Error::TypeMismatch { .. })));
    /// assert!(matches!(store.queue::<u64>("numbers", 9), Err(Error::InvalidConfig { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TypeMismatch`] for a queue of another type, or a name that is bound to something else;
    /// [`Error::InvalidConfig`] for one of another capacity; [`Error::InvalidName`], [`Error::Unsupported`] where the
    /// connector is not shared memory, [`Error::OutOfSpace`], [`Error::OutOfSlots`].
    pub fn queue<T: ?Sized>(&self, name: &str, capacity: u32) -> Result<Queue<T, C>>
    where
        C: Codec<T>,
    {
        self.queue_with(name, &QueueOptions::new(capacity))
    }

    /// The queue of that name, made with these options if there is none.
    ///
    /// # Errors
    /// As [`queue`](Store::queue).
    pub fn queue_with<T: ?Sized>(&self, name: &str, options: &QueueOptions) -> Result<Queue<T, C>>
    where
        C: Codec<T>,
    {
        let _ = self.inner.meet::<C, T>();
        let key = region_of(&self.inner)?.open_queue(name, C::FINGERPRINT, options)?;
        Ok(self.queue_from_key(key))
    }

    /// A new queue without a name.
    ///
    /// # Errors
    /// As [`queue`](Store::queue).
    pub fn queue_new<T: ?Sized>(&self, capacity: u32) -> Result<Queue<T, C>>
    where
        C: Codec<T>,
    {
        self.queue_new_with(&QueueOptions::new(capacity))
    }

    /// A new queue without a name, with these options.
    ///
    /// ```
    /// use inplace::{QueueOptions, RegionOptions, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("once").connector(ShmConnector::new(region)).open()?;
    /// let queue = store.queue_new_with::<u64>(&QueueOptions::new(8).max_deliveries(1))?;
    /// queue.sender()?.send(&1)?;
    /// drop(queue.receiver()?.recv()?);
    /// assert!(queue.receiver()?.recv()?.is_none(), "a dead letter by now");
    /// assert_eq!(queue.receiver()?.dead_letters().count(), 1);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`queue`](Store::queue).
    pub fn queue_new_with<T: ?Sized>(&self, options: &QueueOptions) -> Result<Queue<T, C>>
    where
        C: Codec<T>,
    {
        let _ = self.inner.meet::<C, T>();
        let key = region_of(&self.inner)?.new_queue(C::FINGERPRINT, options)?;
        Ok(self.queue_from_key(key))
    }

    /// The queue of that key.
    #[must_use]
    pub fn queue_from_key<T: ?Sized>(&self, key: Key) -> Queue<T, C>
    where
        C: Codec<T>,
    {
        Queue { handle: Handle::new(key, self.inner.clone(), self.codec) }
    }
}

/// The shared memory of a store, the only place where there are queues.
pub(crate) fn region_of(store: &Inner) -> Result<&Region> {
    match store.connector.as_shm() {
        Some(shm) => shm.region(),
        None => {
            let connector = store.connector.config().kind();
            Err(Error::Unsupported { connector, operation: "queues" })
        }
    }
}

impl<T: ?Sized, C: Codec<T>> Queue<T, C> {
    /// The queue's key: to be evicted with others, or made a queue of by [`Store::queue_from_key`].
    #[must_use]
    pub fn key(&self) -> Key {
        self.handle.key()
    }

    /// Where the queue is.
    #[must_use]
    pub fn store_ref(&self) -> &StoreRef {
        self.handle.store_ref()
    }

    /// Makes this process a producer, until the sender is dropped or the process ends. A process may have any number of
    /// senders.
    ///
    /// # Errors
    /// [`Error::NotFound`] when the queue was evicted, [`Error::TypeMismatch`] when its messages are of another type.
    pub fn sender(&self) -> Result<Sender<T, C>> {
        let store = self.handle.shared_store()?;
        let _ = store.meet::<C, T>();
        let sender = region_of(&store)?.queue_sender(self.key(), C::FINGERPRINT)?;
        Ok(Sender::new(store, sender, self.handle.codec))
    }

    /// Makes this process a consumer. A process may have any number of receivers, which share its messages with those of all
    /// others.
    ///
    /// # Errors
    /// As [`sender`](Queue::sender).
    pub fn receiver(&self) -> Result<Receiver<T, C>> {
        let store = self.handle.shared_store()?;
        let receiver = region_of(&store)?.queue_receiver(self.key(), C::FINGERPRINT)?;
        Ok(Receiver::new(store, receiver))
    }

    /// Evicts it, with its messages: from now on it is [`Error::NotFound`] for everyone, for those who wait, too, and its name
    /// is free. Messages that were received stay until they are dropped. Whether it was there.
    ///
    /// # Errors
    /// As [`Store::evict`].
    pub fn evict(&self) -> Result<bool> {
        self.handle.store()?.evict(self.key())
    }
}

impl<T: ?Sized, C: Codec<T>> Clone for Queue<T, C> {
    fn clone(&self) -> Self {
        Self { handle: self.handle.clone() }
    }
}

impl<T: ?Sized, C: Codec<T>> PartialEq for Queue<T, C> {
    /// Whether both are handles of the same queue.
    fn eq(&self, other: &Self) -> bool {
        self.handle == other.handle
    }
}

impl<T: ?Sized, C: Codec<T>> Eq for Queue<T, C> {}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Queue<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("key", &self.key()).finish_non_exhaustive()
    }
}

impl<T: ?Sized, C: Codec<T>> Serialize for Queue<T, C> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        self.handle.serialize(to)
    }
}

impl<'de, T: ?Sized, C: Codec<T>> Deserialize<'de> for Queue<T, C> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Ok(Self { handle: Handle::deserialize(from)? })
    }
}
