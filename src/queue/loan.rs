//! Messages that are made in place.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

use super::sender::Sender;
use crate::codec::{ARRAY_HEADER, Array, Codec, Element, Slice, array_len, shape_array};
use crate::error::Result;
use crate::region::{Letter, QueueLoan};

/// Memory of a message that is not sent yet, with room for it in the queue; dropped unsent, both are given back.
///
/// A token of its process: in a forked child its drop does nothing, [`send`](MessageLoan::send) is
/// [`Error::NotOwner`](crate::Error::NotOwner), and touching its bytes panics.
#[must_use = "a loan that is not sent goes back"]
pub struct MessageLoan<'a> {
    loan: QueueLoan<'a>,
}

impl MessageLoan<'_> {
    /// Sends the message.
    ///
    /// # Errors
    /// [`Error::NotFound`](crate::Error::NotFound) when the queue was evicted, [`Error::NotOwner`](crate::Error::NotOwner) in a
    /// forked child.
    pub fn send(self) -> Result<()> {
        self.loan.send(usize::MAX, &[])
    }

    /// The same, but the message is only the first `len` bytes.
    ///
    /// # Errors
    /// As [`send`](MessageLoan::send).
    pub fn send_prefix(self, len: usize) -> Result<()> {
        self.loan.send(len, &[])
    }

    /// Sends the message with at most 32 bytes beside it.
    ///
    /// # Errors
    /// [`Error::TooLarge`](crate::Error::TooLarge) for more metadata, and as [`send`](MessageLoan::send).
    pub fn send_with(self, metadata: &[u8]) -> Result<()> {
        self.loan.send(usize::MAX, metadata)
    }
}

impl<T: ?Sized, C: Codec<T>> Sender<T, C> {
    /// Lends memory for a message of `len` bytes, to be filled in place and sent without a copy; waits for room. Its content is
    /// whatever was there before. A message of another codec than [`Raw`](crate::codec::Raw) is filled with what the codec
    /// encodes, which the receiver checks.
    ///
    /// ```
    /// use inplace::codec::Raw;
    /// use inplace::connector::ShmConnector;
    /// use inplace::{RegionOptions, Store};
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("lent").connector(ShmConnector::new(region)).codec(Raw).open()?;
    /// let queue = store.queue_new::<[u8]>(8)?;
    /// let sender = queue.sender()?;
    /// let mut loan = sender.loan(1 << 20)?;
    /// loan.fill(7); // a camera, a socket, a decoder writes here
    /// loan.send()?;
    /// assert_eq!(queue.receiver()?.recv()?.unwrap()[1_000_000], 7);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// In a full queue it waits for room: for ever, where it is this thread that holds the messages and loans which fill it.
    ///
    /// # Errors
    /// [`Error::OutOfSpace`](crate::Error::OutOfSpace), [`Error::OutOfSlots`](crate::Error::OutOfSlots), and as
    /// [`send`](Sender::send).
    pub fn loan(&self, len: usize) -> Result<MessageLoan<'_>> {
        self.loan_for(len, None)
    }

    /// The same if there is room.
    ///
    /// # Errors
    /// [`Error::Full`](crate::Error::Full), and as [`loan`](Sender::loan).
    pub fn try_loan(&self, len: usize) -> Result<MessageLoan<'_>> {
        self.loan_for(len, Some(Duration::ZERO))
    }

    fn loan_for(&self, len: usize, limit: Option<Duration>) -> Result<MessageLoan<'_>> {
        let letter = Letter { size: len, may_be_inline: C::CONTAINED.0, metadata: &[] };
        let loan = self.sender.loan(letter, &self.patience(limit))?;
        Ok(MessageLoan { loan })
    }
}

/// An array that is not sent yet: derefs to its elements. See [`Sender::loan_array`].
#[must_use = "a loan that is not sent goes back"]
pub struct ArrayLoan<'a, E> {
    loan: MessageLoan<'a>,
    count: usize,
    marker: PhantomData<E>,
}

impl<T: ?Sized, E: Element> Sender<T, Slice<E>>
where
    Slice<E>: Codec<T, Target = Array<E>>,
{
    /// Lends memory for an array of a shape, to be filled in place and sent without a copy; waits for room. Its elements are
    /// whatever was there before.
    ///
    /// ```
    /// use inplace::codec::Slice;
    /// use inplace::connector::ShmConnector;
    /// use inplace::{RegionOptions, Store};
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("tensors")
    ///     .connector(ShmConnector::new(region))
    ///     .codec(Slice::<f32>::default())
    ///     .open()?;
    /// let queue = store.queue_new::<[f32]>(8)?;
    /// let sender = queue.sender()?;
    /// let mut image = sender.loan_array(&[480, 640])?;
    /// image.fill(0.5);
    /// image.send()?;
    /// let message = queue.receiver()?.recv()?.unwrap();
    /// assert_eq!((message.shape(), message.at(&[479, 639])), (&[480, 640][..], Some(&0.5)));
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Codec`](crate::Error::Codec) for more than 8 dimensions, and as [`loan`](Sender::loan).
    pub fn loan_array(&self, shape: &[usize]) -> Result<ArrayLoan<'_, E>> {
        let (len, count) = array_len::<E>(shape)?;
        let mut loan = self.loan(len)?;
        shape_array(shape, &mut loan);
        Ok(ArrayLoan { loan, count, marker: PhantomData })
    }
}

impl<E> ArrayLoan<'_, E> {
    /// Sends the array.
    ///
    /// # Errors
    /// As [`MessageLoan::send`].
    pub fn send(self) -> Result<()> {
        self.loan.send()
    }

    /// Sends the array with at most 32 bytes beside it.
    ///
    /// # Errors
    /// As [`MessageLoan::send_with`].
    pub fn send_with(self, metadata: &[u8]) -> Result<()> {
        self.loan.send_with(metadata)
    }
}

impl<E: Element> Deref for ArrayLoan<'_, E> {
    type Target = [E];

    fn deref(&self) -> &[E] {
        bytemuck::cast_slice(&self.loan[ARRAY_HEADER..][..self.count * size_of::<E>()])
    }
}

impl<E: Element> DerefMut for ArrayLoan<'_, E> {
    fn deref_mut(&mut self) -> &mut [E] {
        let bytes = self.count * size_of::<E>();
        bytemuck::cast_slice_mut(&mut self.loan[ARRAY_HEADER..][..bytes])
    }
}

impl Deref for MessageLoan<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.loan
    }
}

impl DerefMut for MessageLoan<'_> {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.loan
    }
}

impl fmt::Debug for MessageLoan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.loan.fmt(f)
    }
}

impl<E> fmt::Debug for ArrayLoan<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArrayLoan").field("elements", &self.count).finish_non_exhaustive()
    }
}
