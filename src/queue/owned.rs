//! Messages that have an owner: what is in the region already is sent without a copy.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::message::{Message, block_of};
use super::receiver::Receiver;
use super::sender::Sender;
use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::owned::Owned;
use crate::region::watch::Told;

impl<T: ?Sized, C: Codec<T>> Sender<T, C> {
    /// Sends what this process owns, without a copy, waiting for room: the object itself is the message, and the queue its owner,
    /// until somebody receives it. It lies where it was, under the key that it had: whoever has that finds it still.
    ///
    /// Acknowledged, it is evicted; [adopted](Receiver::adopt), it is its receiver's. A sender that is killed owns it still, and it goes
    /// with it, or has sent it. An object that nobody owns is sent by whoever [owns it first](crate::Proxy::into_owned).
    ///
    /// ```
    /// use inplace::{RegionOptions, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("handed").connector(ShmConnector::new(region)).open()?;
    /// let queue = store.queue_new::<Vec<f64>>(8)?;
    /// let weights = store.own(&vec![0.5; 100_000])?;
    /// let proxy = weights.proxy();
    /// queue.sender()?.send_owned(weights)?; // or returned with the error
    /// assert_eq!(proxy.len(), 100_000, "it is where it was");
    ///
    /// // In another process:
    /// let receiver = queue.receiver()?;
    /// let mut weights = receiver.adopt(receiver.recv()?.unwrap())?;
    /// weights.update(&vec![0.25])?;
    /// assert_eq!(weights.key(), proxy.key());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Unsent`] has the object, owned as before, and the error: [`Error::WrongRegion`] when it is in another region than the queue,
    /// [`Error::NotFound`] when somebody evicted it or the queue, [`Error::NotOwner`] in a forked child.
    pub fn send_owned(&self, owned: Owned<T, C>) -> Result<(), Unsent<T, C>> {
        self.send_owned_for(owned, &[], None)
    }

    /// [`send_owned`](Sender::send_owned) with at most 32 bytes beside it.
    ///
    /// # Errors
    /// As [`send_owned`](Sender::send_owned), with [`Error::TooLarge`] for more metadata.
    pub fn send_owned_with(&self, owned: Owned<T, C>, metadata: &[u8]) -> Result<(), Unsent<T, C>> {
        self.send_owned_for(owned, metadata, None)
    }

    /// [`send_owned`](Sender::send_owned) if there is room.
    ///
    /// ```
    /// use inplace::{Error, RegionOptions, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("kept").connector(ShmConnector::new(region)).open()?;
    /// let sender = store.queue_new::<str>(1)?.sender()?;
    /// sender.try_send_owned(store.own("first")?).unwrap();
    /// let unsent = sender.try_send_owned(store.own("second")?).unwrap_err();
    /// assert!(matches!(unsent.error(), Error::Full { .. }));
    /// assert_eq!(unsent.into_owned().as_str(), "second");
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`send_owned`](Sender::send_owned), with [`Error::Full`].
    pub fn try_send_owned(&self, owned: Owned<T, C>) -> Result<(), Unsent<T, C>> {
        self.send_owned_for(owned, &[], Some(Duration::ZERO))
    }

    /// [`send_owned`](Sender::send_owned), waiting for room for so long.
    ///
    /// # Errors
    /// As [`send_owned`](Sender::send_owned), with [`Error::TimedOut`].
    pub fn send_owned_timeout(
        &self,
        owned: Owned<T, C>,
        timeout: Duration,
    ) -> Result<(), Unsent<T, C>> {
        self.send_owned_for(owned, &[], Some(timeout))
    }

    /// [`send_owned`](Sender::send_owned) without a thread that waits for room. Dropped before it is ready, the future evicts the
    /// object, as any owner does.
    ///
    /// # Errors
    /// Its outcome's are those of [`send_owned`](Sender::send_owned).
    pub fn send_owned_async(&self, owned: Owned<T, C>) -> SendingOwned<'_, T, C> {
        SendingOwned { sender: self, owned: Some(owned), told: Told::default() }
    }

    fn send_owned_for(
        &self,
        mut owned: Owned<T, C>,
        metadata: &[u8],
        limit: Option<Duration>,
    ) -> Result<(), Unsent<T, C>> {
        let patience = self.patience(limit);
        let sent = owned.give_away(|key| self.sender.send_owned(key, metadata, &patience));
        sent.map_err(|error| Unsent::new(error, owned))
    }
}

impl<T: ?Sized, C: Codec<T>> Receiver<T, C> {
    /// Makes this process the owner of what it received: the message is acknowledged and stays. What was
    /// [sent by its owner](Sender::send_owned) keeps its key; of what was sent by value, a large message becomes an object with a
    /// key, and only one that lies in the queue itself is copied.
    ///
    /// A receiver that is killed in the middle has given the message back, to be received again, or owned it, and it goes.
    ///
    /// ```
    /// use inplace::{RegionOptions, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("adopted").connector(ShmConnector::new(region)).open()?;
    /// let queue = store.queue_new::<str>(8)?;
    /// queue.sender()?.send("a message")?;
    /// let receiver = queue.receiver()?;
    /// let owned = receiver.adopt(receiver.recv()?.unwrap())?;
    /// drop(queue);
    /// assert_eq!(owned.as_str(), "a message");
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`] when somebody evicted it meanwhile, [`Error::NotOwner`] in a forked child, [`Error::WrongRegion`] for a
    /// message of another region's queue, and for a small message as [`Store::own`](crate::Store::own). But for the first, the message
    /// is given back then.
    pub fn adopt(&self, message: Message<T, C>) -> Result<Owned<T, C>> {
        // The view goes before the delivery, whose bytes it may look at.
        let Message { delivery, view, .. } = message;
        self.receiver.expect_same_region(&delivery)?;
        if let Some(key) = delivery.object()? {
            return Owned::adopted((&self.store, key), view, || delivery.take_out());
        }
        let owned = Owned::of_bytes(&self.store, &block_of::<T, C>(delivery.bytes()?))?;
        drop(view);
        delivery.acknowledge()?;
        Ok(owned)
    }
}

/// What was not sent, and why: its owner owns it as before.
///
/// It is an error itself, as which `?` passes it on where any is taken.
#[must_use = "dropped, the object is evicted"]
pub struct Unsent<T: ?Sized, C: Codec<T> = Archive>(Box<(Error, Owned<T, C>)>);

impl<T: ?Sized, C: Codec<T>> Unsent<T, C> {
    fn new(error: Error, owned: Owned<T, C>) -> Self {
        Self(Box::new((error, owned)))
    }

    /// Why.
    #[must_use]
    pub fn error(&self) -> &Error {
        &self.0.0
    }

    /// Why, where only that matters: it evicts the object, as dropping any [`Owned`] does.
    #[must_use]
    pub fn into_error(self) -> Error {
        self.0.0
    }

    /// The object.
    pub fn into_owned(self) -> Owned<T, C> {
        self.0.1
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Display for Unsent<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error().fmt(f)
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Unsent<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Unsent").field(self.error()).finish()
    }
}

impl<T: ?Sized, C: Codec<T>> std::error::Error for Unsent<T, C> {}

/// Waits for room and sends what is owned: what [`Sender::send_owned_async`] returns. Dropped before it is ready, it evicts the object.
#[must_use = "futures do nothing unless they are awaited"]
pub struct SendingOwned<'a, T: ?Sized, C: Codec<T> = Archive> {
    sender: &'a Sender<T, C>,
    /// Until it is sent.
    owned: Option<Owned<T, C>>,
    told: Told,
}

// Nothing in it is ever pinned.
impl<T: ?Sized, C: Codec<T>> Unpin for SendingOwned<'_, T, C> {}

impl<T: ?Sized, C: Codec<T>> Future for SendingOwned<'_, T, C> {
    type Output = Result<(), Unsent<T, C>>;

    /// # Panics
    /// When it was ready before.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { sender, owned, told } = self.get_mut();
        let mut unsent = owned.take().expect("a future is polled until it is ready");
        let outcome = unsent.give_away(|key| {
            sender.sender.send_owned(key, &[], &sender.patience(Some(Duration::ZERO)))
        });
        let key = sender.sender.key();
        match told.poll(key, outcome, context.waker(), |waker| sender.sender.watch(waker)) {
            Poll::Ready(outcome) => {
                Poll::Ready(outcome.map_err(|error| Unsent::new(error, unsent)))
            }
            Poll::Pending => {
                *owned = Some(unsent);
                Poll::Pending
            }
        }
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for SendingOwned<'_, T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SendingOwned").field("by", self.sender).finish_non_exhaustive()
    }
}
