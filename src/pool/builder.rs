//! What a pool is to be like.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use super::WorkerPool;
use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::pool::attendant::Attendant;
use crate::pool::board::Stage;
use crate::pool::core::Core;
use crate::pool::nursery::Life;
use crate::pool::panics;
use crate::pool::wire::{Report, cut};
use crate::pool::worker::{Served, Worker};
use crate::queue::region_of;
use crate::region::{QueueOptions, Region};
use crate::store::Store;
use crate::sys::process;

const ATTEMPTS: u8 = 3;
/// The least that may wait, unless told otherwise.
const QUEUE: u32 = 64;
const MAX_WORKERS: usize = 1000;

/// How a [`WorkerPool`] is to be; see [`WorkerPool::builder`].
pub struct PoolBuilder<A: ?Sized, R: ?Sized, C = Archive, S = ()> {
    store: Store<C>,
    options: Options,
    init: Arc<dyn Fn(usize) -> S + Send + Sync>,
    marker: PhantomData<fn(*const A, *const R)>,
}

#[derive(Clone, Debug)]
struct Options {
    workers: Option<usize>,
    name: Option<String>,
    attempts: u8,
    queue: Option<u32>,
}

impl<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>> PoolBuilder<A, R, C> {
    pub(super) fn new(store: &Store<C>) -> Self {
        let options = Options { workers: None, name: None, attempts: ATTEMPTS, queue: None };
        Self { store: store.clone(), options, init: Arc::new(|_| ()), marker: PhantomData }
    }
}

impl<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>, S: 'static> PoolBuilder<A, R, C, S> {
    /// How many workers are forked; as many as there are processors unless told otherwise, or fewer where the store's region has
    /// no room for as many processes (`max_participants`). Each is one of its participants, and there is one more.
    #[must_use]
    pub fn workers(mut self, workers: usize) -> Self {
        self.options.workers = Some(workers);
        self
    }

    /// The name by which other programs [attach](Worker::attach) themselves, bound in the store's region for as long as the pool
    /// is there.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.name = Some(name.into());
        self
    }

    /// How often a task is tried whose worker is killed; 0: for ever. 3 unless told otherwise. What a handler answers with an
    /// error, or a panic, is not tried again.
    #[must_use]
    pub fn attempts(mut self, attempts: u8) -> Self {
        self.options.attempts = attempts;
        self
    }

    /// For how many tasks there is room, waiting and being done: who submits more waits. 64, or 8 per worker if that is more,
    /// unless told otherwise. Their inputs are in shared memory.
    #[must_use]
    pub fn queue(mut self, tasks: u32) -> Self {
        self.options.queue = Some(tasks);
        self
    }

    /// What each worker makes when it starts, from its number, and its handler gets with each task; made anew after the handler
    /// panicked. A worker that panics here is started again, up to ten times in a row; then there is one worker less, and without any
    /// every task fails.
    ///
    /// ```
    /// use inplace::{RegionOptions, Store, WorkerPool};
    /// use inplace::connector::ShmConnector;
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("initialised").connector(ShmConnector::new(region)).open()?;
    /// let pool = WorkerPool::<u64, u64>::builder(&store)
    ///     .workers(1)
    ///     .init(|number| vec![number as u64; 3]) // a model, a connection, a buffer
    ///     .fork(|state, n| {
    ///         state.push(n.to_native());
    ///         Ok::<_, String>(state.len() as u64)
    ///     })?;
    /// assert_eq!(*pool.submit(&7)?.wait(None)?, 4);
    /// assert_eq!(*pool.submit(&7)?.wait(None)?, 5);
    /// pool.join()?;
    /// # Ok::<(), inplace::Error>(())
    /// ```
    #[must_use]
    pub fn init<T: 'static>(
        self,
        init: impl Fn(usize) -> T + Send + Sync + 'static,
    ) -> PoolBuilder<A, R, C, T> {
        let Self { store, options, .. } = self;
        PoolBuilder { store, options, init: Arc::new(init), marker: PhantomData }
    }

    /// Makes the pool, and forks its workers, which call the handler for each task: what it returns is the result, or why there
    /// is none.
    ///
    /// The workers have what this process has now: the handler, and all it captures. What locks other threads hold just now, stay
    /// held in them: make pools early.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`], also for more workers than may take part in the region, [`Error::InvalidName`] when the name is taken, [`Error::Unsupported`] where the store is not in
    /// shared memory, [`Error::System`] when nothing can be forked, and as [`Store::put`].
    pub fn fork<O, E>(
        self,
        handler: impl Fn(&mut S, &<C as Codec<A>>::Target) -> Result<O, E> + Send + Sync + 'static,
    ) -> Result<WorkerPool<A, R, C>>
    where
        A: 'static,
        R: 'static,
        O: Borrow<R>,
        E: fmt::Display,
    {
        let workers = number_of_workers(region_of(&self.store.inner)?, self.options.workers)?;
        let (store, init) = (self.store.clone(), self.init);
        let life = move |tasks: Key| -> Life {
            Arc::new(move |core, seat| {
                let worker = Worker::<A, R, C>::at(&store, tasks, Some((core.clone(), seat)));
                match worker.and_then(|worker| live(&worker, || init(seat), &handler)) {
                    Ok(()) => 0,
                    Err(error) => {
                        core.wire.report(&Report::Unready(cut(error.to_string())));
                        1
                    }
                }
            })
        };
        make(&self.store, &self.options, workers, Some(life))
    }

    /// Makes a pool without workers of its own: programs that [attach](Worker::attach) themselves do its tasks.
    ///
    /// # Errors
    /// As [`fork`](PoolBuilder::fork).
    pub fn attached(self) -> Result<WorkerPool<A, R, C>> {
        make(&self.store, &self.options, 0, None::<fn(Key) -> Life>)
    }
}

/// What a forked worker does until there are no more tasks.
fn live<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>, S, O: Borrow<R>, E: fmt::Display>(
    worker: &Worker<A, R, C>,
    init: impl Fn() -> S,
    handler: &impl Fn(&mut S, &<C as Codec<A>>::Target) -> Result<O, E>,
) -> Result<()> {
    let nursery = process::parent();
    let mut state = Some(init());
    worker.is_in(Stage::Ready);
    loop {
        // A handler that changes its user is told of no death any more.
        if process::parent() != nursery {
            return Ok(());
        }
        let run = |input: &_| handler(state.as_mut().expect("there is one between tasks"), input);
        match worker.serve(None, run)? {
            Served::Well => worker.is_in(Stage::Proven),
            Served::Nothing => {}
            Served::Panicking => {
                // What it holds, the next one may need.
                drop(state.take());
                state = Some(init());
                worker.is_in(Stage::Proven);
            }
            Served::End => break,
        }
    }
    // However its state ends, its work is done.
    worker.is_in(Stage::Ended);
    Ok(())
}

/// So many as are wanted, if the region has room for them and the nursery.
fn number_of_workers(region: &Region, wanted: Option<usize>) -> Result<usize> {
    region.reap()?;
    let usage = region.usage()?;
    let room = usage.max_participants.saturating_sub(usage.participants + 1) as usize;
    let wanted = wanted.unwrap_or_else(|| {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        processors.min(room).clamp(1, MAX_WORKERS)
    });
    let refused = |expected: String| Error::InvalidConfig {
        what: "the number of a pool's workers".into(),
        found: wanted.to_string(),
        expected,
    };
    if !(1..=MAX_WORKERS).contains(&wanted) {
        let instead = "use `attached` for a pool without workers of its own";
        return Err(refused(format!("1 to {MAX_WORKERS}; {instead}")));
    }
    if wanted > room {
        let (most, there) = (usage.max_participants, usage.participants);
        return Err(refused(format!(
            "at most {room}: of the region's {most} participants {there} are there, and the pool is one more beside its \
             workers; make the region with a larger max_participants"
        )));
    }
    Ok(wanted)
}

fn make<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>>(
    store: &Store<C>,
    options: &Options,
    workers: usize,
    life: Option<impl FnOnce(Key) -> Life>,
) -> Result<WorkerPool<A, R, C>> {
    let region = region_of(&store.inner)?;
    let fingerprint = <C as Codec<A>>::FINGERPRINT;
    let _ = store.inner.meet::<C, A>();
    let _ = store.inner.meet::<C, R>();
    if let Some(name) = &options.name {
        expect_free(region, name)?;
    }
    let room = options.queue.unwrap_or_else(|| QUEUE.max(workers as u32 * 8));
    let queue = QueueOptions::new(room).max_deliveries(options.attempts);
    let tasks = region.new_bound_queue(fingerprint, &queue)?;
    let core = Core::new(store.inner.clone(), workers);
    let made = core.and_then(|core| {
        let sender = region.queue_sender(tasks, fingerprint)?;
        let receiver = Arc::new(region.queue_receiver(tasks, fingerprint)?);
        Ok((Arc::new(core), sender, receiver))
    });
    let (core, sender, receiver) = made.inspect_err(|_| {
        let _ = region.evict(tasks);
    })?;
    let mut pool = WorkerPool {
        store: store.clone(),
        core: core.clone(),
        tasks: receiver.clone(),
        sender: Some(sender),
        attending: None,
        name: None,
        in_flight: (workers * 4).max(4),
        marker: PhantomData,
    };
    if let Some(name) = &options.name {
        region.bind(name, tasks)?;
        pool.name = Some(name.clone());
    }
    // Not in a child: a thread of this process may hold the lock of hooks just when it is forked.
    panics::listen();
    // From here on a pool that fails ends as any other.
    pool.attending = Some(Attendant::new(core, receiver, life.map(|life| life(tasks)))?.start()?);
    Ok(pool)
}

fn expect_free(region: &Region, name: &str) -> Result<()> {
    if region.lookup(name)?.is_none() {
        return Ok(());
    }
    let reason = "another pool has it, or something else is bound to it; choose another".into();
    Err(Error::InvalidName { what: "worker pool", name: name.to_owned(), reason })
}

impl<A: ?Sized, R: ?Sized, C, S> fmt::Debug for PoolBuilder<A, R, C, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PoolBuilder").field("options", &self.options).finish_non_exhaustive()
    }
}
