//! What was received of a topic.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Deref;

use super::subscriber::Subscriber;
use crate::codec::{Archive, Codec};
use crate::connector::Block;
use crate::error::Result;
use crate::region::ReceivedPost;
use crate::view::View;

/// A message of a [`Topic`](super::Topic): derefs to it, in place. It stays as it is for as long as this lives, also when the topic has
/// dropped it, and takes no room there.
///
/// It may be sent to other threads, and is inherited by `fork`, as a [`View`] is.
pub struct Published<T: ?Sized, C: Codec<T> = Archive> {
    view: View<C::Target>,
    position: u64,
    missed: u64,
    metadata: [u8; 32],
    metadata_len: usize,
}

impl<T: ?Sized, C: Codec<T>> Published<T, C> {
    #[inline]
    pub(super) fn new(received: ReceivedPost) -> Result<Self> {
        let mut metadata = [0; 32];
        let found = received.metadata();
        metadata[..found.len()].copy_from_slice(found);
        let metadata_len = found.len();
        let ReceivedPost { pinned, position, missed, .. } = received;
        let view = View::new(C::decode(pinned.into())?);
        Ok(Self { view, position, missed, metadata, metadata_len })
    }

    /// The how-manieth message of the topic it is, from 0.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// How many messages the subscriber lost just before this one, because it was too slow.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// What was [published with it](super::Publisher::publish_with).
    #[must_use]
    pub fn metadata(&self) -> &[u8] {
        &self.metadata[..self.metadata_len]
    }

    /// Its bytes.
    pub(crate) fn block(&self) -> Option<&Block> {
        self.view.block()
    }

    /// The message alone.
    #[must_use]
    pub fn into_view(self) -> View<C::Target> {
        self.view
    }
}

impl<T: ?Sized, C: Codec<T>> Deref for Published<T, C> {
    type Target = C::Target;

    #[inline]
    fn deref(&self) -> &C::Target {
        &self.view
    }
}

impl<T: ?Sized, C: Codec<T>> Clone for Published<T, C> {
    fn clone(&self) -> Self {
        Self { view: self.view.clone(), ..*self }
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Published<T, C>
where
    C::Target: fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// Messages of a [`Subscriber`] until the end of the stream.
#[derive(Debug)]
pub struct Posts<'a, T: ?Sized, C: Codec<T> = Archive> {
    subscriber: &'a mut Subscriber<T, C>,
    is_over: bool,
}

impl<'a, T: ?Sized, C: Codec<T>> Posts<'a, T, C> {
    pub(super) fn new(subscriber: &'a mut Subscriber<T, C>) -> Self {
        Self { subscriber, is_over: false }
    }
}

impl<T: ?Sized, C: Codec<T>> Posts<'_, T, C> {
    /// The next one, without a thread that waits for it: see [`Subscriber::recv_async`].
    pub async fn next_async(&mut self) -> Option<Result<Published<T, C>>> {
        if self.is_over {
            return None;
        }
        let next = self.subscriber.recv_async().await;
        self.went_on(next)
    }

    fn went_on(
        &mut self,
        next: Result<Option<Published<T, C>>>,
    ) -> Option<Result<Published<T, C>>> {
        let next = next.transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl<T: ?Sized, C: Codec<T>> Iterator for Posts<'_, T, C> {
    type Item = Result<Published<T, C>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.subscriber.recv();
        self.went_on(next)
    }
}

impl<T: ?Sized, C: Codec<T>> FusedIterator for Posts<'_, T, C> {}
