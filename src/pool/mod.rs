//! Worker pools: processes that do tasks, each task's result in place, whoever is killed.

mod attendant;
mod board;
mod builder;
mod core;
mod map;
mod nursery;
mod order;
mod panics;
mod task;
mod wire;
mod worker;

pub use builder::PoolBuilder;
pub use map::Map;
pub use task::{Task, TaskWaiting};
pub use worker::Worker;

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::pool::attendant::{Attending, discard_all, fail_all};
use crate::pool::core::{Core, PATIENCE, Phase, await_reaper};
use crate::pool::order::Order;
use crate::pool::wire::Report;
use crate::proxy::Proxy;
use crate::region::{Letter, Patience, QueueReceiver, QueueSender, WaitPolicy};
use crate::store::Store;

/// Worker processes, to which this process gives tasks: an input each, for which there is a result, in place.
///
/// Inputs and results go through shared memory: each is encoded once, where it is used. A task whose worker is killed is done
/// by another, which is started in its place; after too many [attempts](PoolBuilder::attempts) its result is an error that names
/// the signal. A handler may so run more than once for an input; its result is there once.
///
/// Inputs are evicted when their tasks are done, results when their [`Task`] is dropped, or [`Map`] has returned them; with the
/// pool's process everything goes, however it ends, but for objects that others made: what a proxy names that
/// [evicts](Proxy::evict_on_resolve) it stays when the pool's process is killed before the task is done.
///
/// [`join`](WorkerPool::join) waits for all tasks; dropping it kills the workers. Its process may have threads, which may share
/// it: workers are forked by a process of their own that is forked when the pool is made. What locks other threads of the
/// program hold just then stay held in the workers for ever, so make pools early. Workers inherit what is open; they end without
/// handlers of `atexit`, and a text that they print is lost from its last line break on. What a handler panics with is heard, and
/// not printed: the first pool wraps the program's panic hook for that.
///
/// ```
/// use inplace::{Error, RegionOptions, Store, WorkerPool};
/// use inplace::connector::ShmConnector;
///
/// let region = RegionOptions::new().capacity(1 << 24).anonymous()?;
/// let store = Store::builder("sums").connector(ShmConnector::new(region)).open()?;
/// let pool = WorkerPool::<Vec<f64>, f64>::fork(&store, 2, |numbers| {
///     if numbers.is_empty() { Err("no numbers") } else { Ok(numbers.iter().map(|n| n.to_native()).sum::<f64>()) }
/// })?;
///
/// let task = pool.submit(&vec![0.5; 100_000])?;
/// assert_eq!(*task.wait(None)?, 50_000.0); // or `task.await?`
///
/// let error = pool.submit(&vec![])?.wait(None).unwrap_err();
/// assert!(matches!(error, Error::Failed { message, .. } if message == "no numbers"));
///
/// for (n, sum) in pool.map((0..100).map(|n| vec![1.0; n])).enumerate().skip(1) {
///     assert_eq!(*sum?, n as f64);
/// }
/// pool.join()?;
/// # Ok::<(), Error>(())
/// ```
pub struct WorkerPool<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R> = Archive> {
    store: Store<C>,
    core: Arc<Core>,
    tasks: Arc<QueueReceiver>,
    /// `None`: no more tasks.
    sender: Option<QueueSender>,
    attending: Option<Attending>,
    /// To which the tasks are bound.
    name: Option<String>,
    in_flight: usize,
    marker: PhantomData<fn(*const A, *const R)>,
}

impl<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>> WorkerPool<A, R, C> {
    /// A pool of so many workers, which call the handler for each task.
    ///
    /// # Errors
    /// As [`PoolBuilder::fork`].
    pub fn fork<O, E>(
        store: &Store<C>,
        workers: usize,
        handler: impl Fn(&<C as Codec<A>>::Target) -> Result<O, E> + Send + Sync + 'static,
    ) -> Result<Self>
    where
        A: 'static,
        R: 'static,
        O: Borrow<R>,
        E: fmt::Display,
    {
        Self::builder(store).workers(workers).fork(move |(): &mut (), input| handler(input))
    }

    /// Options for a pool that has its tasks in the store.
    #[must_use]
    pub fn builder(store: &Store<C>) -> PoolBuilder<A, R, C> {
        PoolBuilder::new(store)
    }

    /// Gives the workers a task, waiting for room.
    ///
    /// # Errors
    /// [`Error::NoWorkers`] when no worker can be started, [`Error::NotOwner`] in a forked child, and as [`Store::put`].
    pub fn submit(&self, input: &A) -> Result<Task<R, C>> {
        self.submit_for(input, None)
    }

    /// Gives the workers a task if there is room.
    ///
    /// # Errors
    /// [`Error::Full`], and as [`submit`](WorkerPool::submit).
    pub fn try_submit(&self, input: &A) -> Result<Task<R, C>> {
        self.submit_for(input, Some(Duration::ZERO))
    }

    /// Gives the workers a task, waiting for room for so long.
    ///
    /// # Errors
    /// [`Error::TimedOut`], and as [`submit`](WorkerPool::submit).
    pub fn submit_timeout(&self, input: &A, timeout: Duration) -> Result<Task<R, C>> {
        self.submit_for(input, Some(timeout))
    }

    fn submit_for(&self, input: &A, limit: Option<Duration>) -> Result<Task<R, C>> {
        let patience = Patience { policy: WaitPolicy::default(), limit };
        let may_be_inline = <C as Codec<A>>::CONTAINED.0;
        self.submit_with(false, |sender, metadata| {
            self.store.inner.encoded::<C, A, ()>(self.store.codec, input, |size, fill| {
                sender.send(Letter { size, may_be_inline, metadata }, &patience, &mut |out| {
                    fill(out)?;
                    self.core.has_input(out.position() as u64);
                    Ok(())
                })
            })
        })
    }

    /// Gives the workers a task whose input is an object that is there, or will be: the result of another task, say. It stays where
    /// it is, unless the proxy [evicts it](Proxy::evict_on_resolve): then it goes when the task is done.
    ///
    /// ```
    /// # use inplace::{RegionOptions, Store, WorkerPool};
    /// # use inplace::connector::ShmConnector;
    /// # let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// # let store = Store::builder("chained").connector(ShmConnector::new(region)).open()?;
    /// let pool = WorkerPool::<u64, u64>::fork(&store, 2, |n| Ok::<_, String>(n.to_native() * 10))?;
    /// let first = pool.submit(&1)?;
    /// let second = pool.submit_proxy(&first.proxy())?; // waits for the first
    /// assert_eq!(*second.wait(None)?, 100);
    ///
    /// let once = store.proxy::<u64>(&7)?.evict_on_resolve()?;
    /// assert_eq!(*pool.submit_proxy(&once)?.wait(None)?, 70);
    /// pool.join()?;
    /// assert!(!store.exists(once.key())?);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`submit`](WorkerPool::submit).
    pub fn submit_proxy(&self, input: &Proxy<A, C>) -> Result<Task<R, C>> {
        let failed = |error: postcard::Error| Error::Codec {
            codec: "postcard",
            what: format!("a proxy can not be written: {error}"),
        };
        let wire = postcard::to_stdvec(&input.to_ref()).map_err(failed)?;
        let patience = Patience { policy: WaitPolicy::default(), limit: None };
        self.submit_with(true, |sender, metadata| {
            let letter = Letter { size: wire.len(), may_be_inline: true, metadata };
            sender.send(letter, &patience, &mut |out| {
                out.write(&wire);
                Ok(())
            })
        })
    }

    /// U1 to U3.
    fn submit_with(
        &self,
        is_proxy: bool,
        send: impl FnOnce(&QueueSender, &[u8]) -> Result<()>,
    ) -> Result<Task<R, C>> {
        let sender = self.sender()?;
        self.core.expect_workers()?;
        let (key, place) = self.core.reserve()?;
        let task = Task::new(self.core.clone(), self.store.future(key), place);
        let result = <C as Codec<R>>::FINGERPRINT.get();
        let order = Order { promise: key.object(), result, is_proxy };
        send(sender, &order.to_bytes())?;
        if let Err(Error::NoWorkers { reason }) = self.core.expect_workers() {
            // Whoever found that out may have failed all tasks but this one, which takes the room of others who wait for some.
            fail_all(&self.tasks, &self.core, &reason);
        }
        Ok(task)
    }

    fn sender(&self) -> Result<&QueueSender> {
        if self.core.process != std::process::id() {
            return Err(Error::NotOwner { token: "worker pool" });
        }
        self.sender.as_ref().ok_or_else(|| Error::Closed { what: "the worker pool".into() })
    }

    /// The results for all inputs, in their order.
    ///
    /// ```
    /// # use inplace::{RegionOptions, Store, WorkerPool};
    /// # use inplace::connector::ShmConnector;
    /// # let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// # let store = Store::builder("mapped").connector(ShmConnector::new(region)).open()?;
    /// let pool = WorkerPool::<str, u64>::fork(&store, 2, |word| Ok::<_, String>(word.len() as u64))?;
    /// let lengths = pool.map(["one", "three"]).map(|length| length.map(|length| length.to_native()));
    /// assert_eq!(lengths.collect::<Result<Vec<_>, _>>()?, [3, 5]);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    pub fn map<I>(&self, inputs: I) -> Map<'_, A, R, C, I::IntoIter>
    where
        I: IntoIterator<Item: Borrow<A>>,
    {
        Map::new(self, inputs.into_iter(), |pool, input| pool.submit(input.borrow()))
    }

    /// The results for all inputs, as they come.
    pub fn map_unordered<I>(&self, inputs: I) -> Map<'_, A, R, C, I::IntoIter>
    where
        I: IntoIterator<Item: Borrow<A>>,
    {
        self.map(inputs).unordered()
    }

    /// [`map`](WorkerPool::map) over objects that are there, as [`submit_proxy`](WorkerPool::submit_proxy) is.
    pub fn map_proxies<I>(&self, inputs: I) -> Map<'_, A, R, C, I::IntoIter>
    where
        I: IntoIterator<Item: Borrow<Proxy<A, C>>>,
    {
        Map::new(self, inputs.into_iter(), |pool, input| pool.submit_proxy(input.borrow()))
    }

    /// The workers' processes that are there just now: those of its own.
    #[must_use]
    pub fn workers(&self) -> Vec<u32> {
        let board = &self.core.board;
        (0..board.seats()).map(|seat| board.pid(seat)).filter(|pid| *pid != 0).collect()
    }

    /// How many workers died and were, or are to be, replaced.
    #[must_use]
    pub fn deaths(&self) -> u64 {
        self.core.board.deaths()
    }

    /// Waits until all tasks are done, and the workers have ended.
    ///
    /// # Errors
    /// [`Error::NoWorkers`] when nobody was left to do the tasks.
    pub fn join(mut self) -> Result<()> {
        if self.core.process != std::process::id() {
            return Err(Error::NotOwner { token: "worker pool" });
        }
        self.sender = None;
        let patience = Patience { policy: WaitPolicy::Park, limit: None };
        let look = || {
            let is_over = self.core.expect_workers().is_err() || !self.tasks.is_in_use()?;
            Ok(is_over.then_some(()))
        };
        let awaited = self.tasks.wait_for_room(&patience, look);
        if awaited.is_ok() {
            self.end(Phase::Joining);
        }
        awaited.and(self.core.expect_workers())
    }

    /// Kills the workers, and waits for their ends: tasks that are not done are [`Error::Cancelled`]. Dropping the pool does
    /// the same.
    pub fn kill(self) {
        drop(self);
    }

    fn end(&mut self, phase: Phase) {
        self.sender = None;
        if let Some(attending) = self.attending.take() {
            self.core.set_phase(phase);
            if phase == Phase::Killing {
                self.core.wire.order_end();
            }
            self.core.wire.report(&Report::Look);
            attending.await_end();
        }
        // What can not be done now, whoever reaps this process does.
        let _ = self.core.region.reap();
        self.core.cancel_all();
        discard_all(&self.tasks, &self.core);
        // What somebody had who is not reaped yet comes back.
        let started = Instant::now();
        while self.tasks.is_held_by_dead().unwrap_or(false) && started.elapsed() < PATIENCE {
            let _ = await_reaper(&self.core.region);
            discard_all(&self.tasks, &self.core);
        }
    }

    fn leave(&self) {
        let (region, tasks) = (&self.core.region, self.tasks.key());
        if let Some(name) = &self.name
            && region.lookup(name).is_ok_and(|bound| bound == Some(tasks))
        {
            let _ = region.unbind(name);
        }
        let _ = region.evict(tasks);
    }
}

impl<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>> Drop for WorkerPool<A, R, C> {
    fn drop(&mut self) {
        // A forked child has a copy, and none of its threads.
        if self.core.process == std::process::id() {
            self.end(Phase::Killing);
            self.leave();
        }
    }
}

impl<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>> fmt::Debug for WorkerPool<A, R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerPool")
            .field("workers", &self.workers())
            .field("deaths", &self.deaths())
            .finish_non_exhaustive()
    }
}
