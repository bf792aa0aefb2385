//! A task that was submitted, and has its result.

use std::fmt;
use std::future::{Future as StdFuture, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::codec::{Archive, Codec};
use crate::error::Result;
use crate::future::{Future, Waiting};
use crate::key::Key;
use crate::pool::core::{Core, Place};
use crate::proxy::Proxy;
use crate::region::PromiseStage;
use crate::view::View;

/// A task of a [`WorkerPool`](crate::WorkerPool): wait for its result, or `.await` it.
///
/// It has the result: dropped, it evicts it, and views of it stay. A task that is dropped before a worker began with it is not
/// done at all. [`keep`](Task::keep) gives the result to whoever wants it.
///
/// | the worker | whoever waits hears |
/// |---|---|
/// | returned a value | the value |
/// | returned an error | [`Error::Failed`](crate::Error::Failed), with its text |
/// | panicked | [`Error::Failed`](crate::Error::Failed), with what it said, and where |
/// | was killed, every time it was tried | [`Error::Failed`](crate::Error::Failed), with the signal |
/// | had not done it when the pool ended | [`Error::Cancelled`](crate::Error::Cancelled) |
/// | was just storing its result then, and did not in a second | [`Error::Broken`](crate::Error::Broken) |
///
/// It is its process's: a forked child can wait for it, and its drop there does nothing.
#[must_use = "dropped, the task is not done, or its result is evicted"]
pub struct Task<R: ?Sized, C: Codec<R> = Archive> {
    future: Future<R, C>,
    /// `None`: somebody else has the result.
    place: Option<Place>,
    core: Arc<Core>,
}

impl<R: ?Sized, C: Codec<R>> Task<R, C> {
    pub(super) fn new(core: Arc<Core>, future: Future<R, C>, place: Place) -> Self {
        Self { future, place: Some(place), core }
    }

    /// The key of the result.
    #[must_use]
    pub fn key(&self) -> Key {
        self.future.key()
    }

    /// Waits for the result; `None` waits without limit.
    ///
    /// # Errors
    /// [`Error::TimedOut`](crate::Error::TimedOut), and what the [worker did](Task) instead of returning a value.
    pub fn wait(&self, timeout: Option<Duration>) -> Result<View<C::Target>> {
        self.future.wait(timeout)
    }

    /// The result if it is there.
    ///
    /// # Errors
    /// What the [worker did](Task) instead of returning a value.
    pub fn try_get(&self) -> Result<Option<View<C::Target>>> {
        self.future.try_get()
    }

    /// Whether there is a result, or an error.
    #[must_use]
    pub fn is_done(&self) -> bool {
        let stage = self.core.region.stage_of_promise(self.key());
        !matches!(stage, Ok(PromiseStage::Open | PromiseStage::Filling))
    }

    /// A proxy of the result, which may be there or not: using it waits. It may be the input of another task. The result stays
    /// for as long as this lives.
    #[must_use]
    pub fn proxy(&self) -> Proxy<R, C> {
        self.future.proxy()
    }

    /// The result is evicted no more: whoever wants it waits for it, and evicts it when it is not needed any more. The task is
    /// done in any case, unless the pool ends before: whoever waits hears that, too.
    ///
    /// ```
    /// use inplace::{RegionOptions, Store, WorkerPool};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("kept").connector(ShmConnector::new(region)).open()?;
    /// let pool = WorkerPool::<u64, u64>::fork(&store, 1, |n| Ok::<_, String>(n.to_native() + 1))?;
    /// let future = pool.submit(&1)?.keep();
    /// pool.join()?;
    /// assert_eq!(*future.wait(None)?, 2);
    /// future.evict()?;
    /// # Ok::<(), inplace::Error>(())
    /// ```
    pub fn keep(mut self) -> Future<R, C> {
        if let Some(place) = self.place.take() {
            self.core.release(place, false);
        }
        self.future.clone()
    }
}

impl<R: ?Sized, C: Codec<R>> Drop for Task<R, C> {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.core.release(place, true);
        }
    }
}

/// Waits for the result of a task: what `.await` makes of a [`Task`]. Dropped, it drops the task.
#[must_use = "futures do nothing unless they are awaited"]
pub struct TaskWaiting<R: ?Sized, C: Codec<R> = Archive> {
    waiting: Waiting<R, C>,
    _task: Task<R, C>,
}

impl<R: ?Sized + 'static, C: Codec<R>> IntoFuture for Task<R, C> {
    type Output = Result<View<C::Target>>;
    type IntoFuture = TaskWaiting<R, C>;

    fn into_future(self) -> TaskWaiting<R, C> {
        TaskWaiting { waiting: (&self.future).into_future(), _task: self }
    }
}

impl<R: ?Sized + 'static, C: Codec<R>> IntoFuture for &Task<R, C> {
    type Output = Result<View<C::Target>>;
    type IntoFuture = Waiting<R, C>;

    fn into_future(self) -> Waiting<R, C> {
        (&self.future).into_future()
    }
}

// Nothing in it is ever pinned.
impl<R: ?Sized, C: Codec<R>> Unpin for TaskWaiting<R, C> {}

impl<R: ?Sized, C: Codec<R>> StdFuture for TaskWaiting<R, C> {
    type Output = Result<View<C::Target>>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.get_mut().waiting).poll(context)
    }
}

impl<R: ?Sized, C: Codec<R>> fmt::Debug for Task<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Task").field("key", &self.key()).finish_non_exhaustive()
    }
}

impl<R: ?Sized, C: Codec<R>> fmt::Debug for TaskWaiting<R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskWaiting").field("key", &self._task.key()).finish_non_exhaustive()
    }
}
