//! Waiting for a change without a thread.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::cell::{Cell, Versioned};
use crate::codec::{Archive, Codec};
use crate::error::Result;
use crate::store::Listening;

/// Waits for a newer version of a cell: what [`Cell::changed`] returns. Its outcome, and its errors, are those of
/// [`Cell::wait_for_change`]. Dropped, it waits no more, and nothing is left of it.
#[must_use = "futures do nothing unless they are awaited"]
pub struct Changed<T: ?Sized, C: Codec<T> = Archive> {
    cell: Cell<T, C>,
    seen: u64,
    listening: Listening,
}

impl<T: ?Sized, C: Codec<T>> Changed<T, C> {
    pub(super) fn new(cell: Cell<T, C>, seen: u64) -> Self {
        Self { cell, seen, listening: Listening::default() }
    }
}

// Nothing in it is ever pinned.
impl<T: ?Sized, C: Codec<T>> Unpin for Changed<T, C> {}

impl<T: ?Sized, C: Codec<T>> Future for Changed<T, C> {
    type Output = Result<Versioned<C::Target>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { cell, seen, listening } = self.get_mut();
        let (waker, seen) = (context.waker(), *seen);
        let outcome = cell.wait_for_change(seen, Some(Duration::ZERO));
        listening.poll(outcome, waker, || {
            cell.store()?.variables()?.watch_change(cell.key(), seen, waker)
        })
    }
}

impl<T: ?Sized, C: Codec<T>> fmt::Debug for Changed<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Changed").field("key", &self.cell.key()).field("seen", &self.seen).finish()
    }
}
