//! Producing.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use super::waiting::Sending;
use crate::codec::{Archive, Codec};
use crate::connector::BlockWriter;
use crate::error::Result;
use crate::region::{Letter, Patience, QueueSender, WaitPolicy};
use crate::store::Inner;

/// A producer of a [`Queue`](super::Queue): while there is one, the stream goes on.
///
/// It is its process's; in a forked child its methods are [`Error::NotOwner`](crate::Error::NotOwner), and its drop does
/// nothing. It may be shared by threads.
pub struct Sender<T: ?Sized, C: Codec<T> = Archive> {
    store: Arc<Inner>,
    pub(super) sender: QueueSender,
    codec: C,
    policy: WaitPolicy,
    marker: PhantomData<fn(*const T)>,
}

impl<T: ?Sized, C: Codec<T>> Sender<T, C> {
    pub(super) fn new(store: Arc<Inner>, sender: QueueSender, codec: C) -> Self {
        Self { store, sender, codec, policy: WaitPolicy::default(), marker: PhantomData }
    }

    /// The same, waiting for room in another way.
    #[must_use]
    pub fn wait_policy(self, policy: WaitPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Sends a message, waiting for room.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) when the queue was or is evicted, and as [`Store::put`](crate::Store::put).
    #[inline]
    pub fn send(&self, value: &T) -> Result<()> {
        self.send_for(value, &[], None)
    }

    /// Sends a message with at most 32 bytes beside it, which the receiver has [without looking](super::Message::metadata)
    /// at it.
    ///
    /// ```
    /// use inplace::{Error, RegionOptions, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("tagged").connector(ShmConnector::new(region)).open()?;
    /// let queue = store.queue_new::<u64>(8)?;
    /// let sender = queue.sender()?;
    /// sender.send_with(&7, b"urgent")?;
    /// assert_eq!(queue.receiver()?.recv()?.unwrap().metadata(), b"urgent");
    /// assert!(matches!(sender.send_with(&7, &[0; 33]), Err(Error::TooLarge { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) for more metadata, and as [`send`](Sender::send).
    pub fn send_with(&self, value: &T, metadata: &[u8]) -> Result<()> {
        self.send_for(value, metadata, None)
    }

    /// Sends a message if there is room.
    ///
    /// ```
    /// use inplace::{Error, RegionOptions, Store};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("full").connector(ShmConnector::new(region)).open()?;
    /// let sender = store.queue_new::<u64>(1)?.sender()?;
    /// sender.try_send(&1)?;
    /// assert!(matches!(sender.try_send(&2), Err(Error::Full { capacity: 1, .. })));
    /// # Ok::<(), Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Full`](crate::Error::Full), and as [`send`](Sender::send).
    pub fn try_send(&self, value: &T) -> Result<()> {
        self.send_for(value, &[], Some(Duration::ZERO))
    }

    /// Sends a message, waiting for room for so long.
    ///
    /// # Errors
    /// [`Error::TimedOut`](crate::Error::TimedOut), and as [`send`](Sender::send).
    pub fn send_timeout(&self, value: &T, timeout: Duration) -> Result<()> {
        self.send_for(value, &[], Some(timeout))
    }

    /// Sends a message without a thread that waits for room. No runtime is needed, and any will do.
    ///
    /// Dropped before it is ready, the future has sent nothing. Futures that wait for room are served in no particular order:
    /// who sends several messages in theirs awaits one after the other.
    ///
    /// # Errors
    /// Its outcome's are those of [`send`](Sender::send).
    pub fn send_async<'a>(&'a self, value: &'a T) -> Sending<'a, T, C> {
        Sending::new(self, value, &[])
    }

    /// [`send_with`](Sender::send_with) without a thread that waits for room.
    ///
    /// # Errors
    /// Its outcome's are those of [`send_with`](Sender::send_with).
    pub fn send_with_async<'a>(&'a self, value: &'a T, metadata: &'a [u8]) -> Sending<'a, T, C> {
        Sending::new(self, value, metadata)
    }

    /// Sends messages in their order, waiting for room; how many they were. After an error those before it are sent.
    ///
    /// # Errors
    /// As [`send`](Sender::send).
    pub fn send_batch<'a>(&self, values: impl IntoIterator<Item = &'a T>) -> Result<usize>
    where
        T: 'a,
    {
        let mut sent = 0;
        for value in values {
            self.send(value)?;
            sent += 1;
        }
        Ok(sent)
    }

    /// Stops producing; the last producer's end is the end of the stream. Dropping it does the same.
    pub fn close(self) {
        drop(self);
    }

    #[inline]
    pub(super) fn patience(&self, limit: Option<Duration>) -> Patience {
        Patience { policy: self.policy, limit }
    }

    #[inline(always)]
    pub(super) fn send_for(
        &self,
        value: &T,
        metadata: &[u8],
        limit: Option<Duration>,
    ) -> Result<()> {
        let patience = self.patience(limit);
        if C::CONTAINED.0 {
            let size = self.codec.size_hint(value);
            if self.sender.is_small(size) {
                let letter = Letter { size, may_be_inline: true, metadata };
                let mut encode = |out: &mut BlockWriter<'_>| self.codec.encode(value, out);
                return self.sender.send(letter, &patience, &mut encode);
            }
        }
        self.send_guessed(value, metadata, patience)
    }

    /// Sends a message that may be large, in a block of a size that is guessed well.
    #[inline(never)]
    fn send_guessed(&self, value: &T, metadata: &[u8], patience: Patience) -> Result<()> {
        self.store.encoded(self.codec, value, |size, fill| {
            let letter = Letter { size, may_be_inline: C::CONTAINED.0, metadata };
            self.sender.send(letter, &patience, &mut |out: &mut BlockWriter<'_>| fill(out))
        })
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Sender<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sender").field("policy", &self.policy).finish_non_exhaustive()
    }
}
