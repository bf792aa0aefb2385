//! Doing tasks.

use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::pool::board::Stage;
use crate::pool::core::{Core, await_reaper};
use crate::pool::order::{Order, home_of};
use crate::pool::panics;
use crate::proxy::Proxy;
use crate::queue::{block_of, region_of};
use crate::region::{
    Delivery, Patience, PromiseStage, QueueReceiver, Received, Region, WaitPolicy,
};
use crate::store::{Inner, Store};
use crate::view::View;

/// How long a result waits for room, and between two attempts.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

/// A program that does the tasks of another process's [`WorkerPool`](crate::WorkerPool), which has a
/// [name](crate::PoolBuilder::name).
///
/// When it is killed, its task is done by another; nobody starts it again.
///
/// ```
/// use inplace::{RegionOptions, Store, Worker, WorkerPool};
/// use inplace::connector::ShmConnector;
///
/// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
/// let store = Store::builder("squares").connector(ShmConnector::new(region)).open()?;
/// let pool = WorkerPool::<u64, u64>::builder(&store).name("squares").attached()?;
/// let task = pool.submit(&7)?;
///
/// // In another program:
/// let worker = Worker::<u64, u64>::attach(&store, "squares")?;
/// while worker.serve_one(Some(std::time::Duration::ZERO), |n| Ok::<_, String>(n.to_native() * n.to_native()))? {
///     # break;
/// }
/// // or `worker.run(…)`, until the pool ends
///
/// assert_eq!(*task.wait(None)?, 49);
/// # Ok::<(), inplace::Error>(())
/// ```
pub struct Worker<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R> = Archive> {
    store: Arc<Inner>,
    region: Region,
    tasks: QueueReceiver,
    policy: WaitPolicy,
    /// Of one that was forked by a pool: where it says what it is at.
    seat: Option<(Arc<Core>, usize)>,
    codec: C,
    marker: PhantomData<fn(*const A, *const R)>,
}

/// What a task comes to.
enum Answer {
    /// The promise has it.
    Given,
    /// There is no value.
    Failed(String),
    /// The same, and whatever the handler works with may be half done.
    Panicked(String),
}

/// How a task was served.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Served {
    Well,
    /// The handler panicked.
    Panicking,
    /// There are no more tasks.
    End,
    /// There was none in the time there is.
    Nothing,
}

impl<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>> Worker<A, R, C> {
    /// Takes part in the work of the pool of that name, in the region of the store.
    ///
    /// # Errors
    /// [`Error::InvalidName`] when no pool has the name, [`Error::TypeMismatch`] when its inputs are of another type,
    /// [`Error::Unsupported`] where the store is not in shared memory.
    pub fn attach(store: &Store<C>, name: &str) -> Result<Self> {
        let tasks = region_of(&store.inner)?.lookup(name)?.ok_or_else(|| Error::InvalidName {
            what: "worker pool",
            name: name.to_owned(),
            reason: "no pool has it; start the pool first, with this name and in this region"
                .into(),
        })?;
        panics::listen();
        Self::at(store, tasks, None)
    }

    pub(super) fn at(
        store: &Store<C>,
        tasks: Key,
        seat: Option<(Arc<Core>, usize)>,
    ) -> Result<Self> {
        let region = region_of(&store.inner)?.clone();
        let _ = store.inner.meet::<C, A>();
        let _ = store.inner.meet::<C, R>();
        let tasks = region.queue_receiver(tasks, <C as Codec<A>>::FINGERPRINT)?;
        let (store, codec, policy) = (store.inner.clone(), store.codec, WaitPolicy::default());
        Ok(Self { store, region, tasks, policy, seat, codec, marker: PhantomData })
    }

    /// Waits for tasks in another way.
    #[must_use]
    pub fn wait_policy(self, policy: WaitPolicy) -> Self {
        Self { policy, ..self }
    }

    /// Does tasks until the pool ends; how many. What the handler returns is the result, or why there is none; after it
    /// panicked, it is called again.
    ///
    /// # Errors
    /// What keeps it from receiving tasks. That the pool is gone is none.
    pub fn run<O, E>(
        self,
        mut handler: impl FnMut(&<C as Codec<A>>::Target) -> Result<O, E>,
    ) -> Result<u64>
    where
        O: Borrow<R>,
        E: fmt::Display,
    {
        let mut done = 0;
        while self.serve_one(None, &mut handler)? {
            done += 1;
        }
        Ok(done)
    }

    /// Does one task, waiting for it for so long; `false`: there was none, or the pool has ended.
    ///
    /// # Errors
    /// As [`run`](Worker::run).
    pub fn serve_one<O, E>(
        &self,
        timeout: Option<Duration>,
        handler: impl FnMut(&<C as Codec<A>>::Target) -> Result<O, E>,
    ) -> Result<bool>
    where
        O: Borrow<R>,
        E: fmt::Display,
    {
        Ok(matches!(self.serve(timeout, handler)?, Served::Well | Served::Panicking))
    }

    pub(super) fn serve<O, E>(
        &self,
        timeout: Option<Duration>,
        handler: impl FnMut(&<C as Codec<A>>::Target) -> Result<O, E>,
    ) -> Result<Served>
    where
        O: Borrow<R>,
        E: fmt::Display,
    {
        let patience = Patience { policy: self.policy, limit: timeout };
        match self.tasks.receive(&patience) {
            Ok(Received::Message(delivery)) => self.do_task(delivery, handler),
            Ok(Received::End) | Err(Error::NotFound { .. }) => Ok(Served::End),
            Ok(Received::Nothing) => Ok(Served::Nothing),
            Err(error) => Err(error),
        }
    }

    /// W2 to W8.
    fn do_task<O, E>(
        &self,
        delivery: Delivery,
        handler: impl FnMut(&<C as Codec<A>>::Target) -> Result<O, E>,
    ) -> Result<Served>
    where
        O: Borrow<R>,
        E: fmt::Display,
    {
        let Ok(order) = Order::of(&delivery) else {
            // Somebody sent it who had no business here.
            return delivery.acknowledge().map(|()| Served::Well);
        };
        self.is_at(order.promise);
        let key = order.key(&self.region);
        let mut served = Served::Well;
        if is_open(&self.region, key)? {
            let why = match self.answer((&delivery, order), key, handler) {
                Answer::Given => None,
                Answer::Failed(why) => Some(why),
                Answer::Panicked(why) => {
                    served = Served::Panicking;
                    Some(why)
                }
            };
            if let Some(why) = why {
                give(&self.region, key, || self.region.fail_for_keeper(key, &why))?;
            }
        }
        order.evict_input(&delivery, &self.store);
        let acknowledged = delivery.acknowledge();
        self.is_at(0);
        acknowledged.map(|()| served)
    }

    fn is_at(&self, task: u64) {
        if let Some((core, seat)) = &self.seat {
            core.board.set_task(*seat, task);
        }
    }

    pub(super) fn is_in(&self, stage: Stage) {
        if let Some((core, seat)) = &self.seat {
            core.board.set_stage(*seat, stage);
        }
    }

    /// W4 and W5. All of it may be code of a user: handler, codecs, `Display`, drops.
    fn answer<O, E>(
        &self,
        (delivery, order): (&Delivery, Order),
        key: Key,
        mut handler: impl FnMut(&<C as Codec<A>>::Target) -> Result<O, E>,
    ) -> Answer
    where
        O: Borrow<R>,
        E: fmt::Display,
    {
        let expected = <C as Codec<R>>::FINGERPRINT.get();
        if order.result != expected {
            let (name, wanted) = (<C as Codec<R>>::type_name(), order.result);
            return Answer::Failed(format!(
                "its worker makes {name} (fingerprint {expected:016x}), and the pool wants another type ({wanted:016x})"
            ));
        }
        let work = || -> Result<(), String> {
            let run =
                |input: &<C as Codec<A>>::Target| handler(input).map_err(|error| error.to_string());
            let result = self.with_input((delivery, order), run)?;
            let set = || self.store.set::<C, R>(self.codec, key, result.borrow());
            give(&self.region, key, || await_room(&self.region, set))
                .map_err(|error| format!("its result can not be stored: {error}"))
        };
        match panics::catch(work) {
            Ok(Ok(())) => Answer::Given,
            Ok(Err(why)) => Answer::Failed(why),
            Err(why) => Answer::Panicked(why),
        }
    }

    fn with_input<O>(
        &self,
        (delivery, order): (&Delivery, Order),
        work: impl FnOnce(&<C as Codec<A>>::Target) -> Result<O, String>,
    ) -> Result<O, String> {
        let unread = |error: Error| format!("its input can not be had: {error}");
        if order.is_proxy {
            let (wire, _) = Order::proxy(delivery).map_err(unread)?;
            let store = home_of(&wire, &self.store).map_err(unread)?;
            let proxy = Proxy::<A, C>::with_access(wire.key, wire.access, store);
            return work(proxy.resolve().map_err(unread)?);
        }
        let decode = || {
            let block = block_of::<A, C>(delivery.bytes()?);
            <C as Codec<A>>::decode(block).map(View::new)
        };
        let input = decode().map_err(unread)?;
        work(&input)
    }
}

/// W3: whether a task of this process's has no result. What a dead worker was about to give, its reaper takes back first.
pub(super) fn is_open(region: &Region, key: Key) -> Result<bool> {
    loop {
        match region.stage_of_promise(key)? {
            PromiseStage::Open => return Ok(true),
            PromiseStage::Answered => return Ok(false),
            PromiseStage::Filling => await_reaper(region)?,
        }
    }
}

/// Tries for a while what there is no room for: others give theirs back.
fn await_room(region: &Region, set: impl Fn() -> Result<()>) -> Result<()> {
    let mut started = None;
    loop {
        match set() {
            Err(Error::OutOfSpace { .. } | Error::OutOfSlots { .. })
                if started.get_or_insert_with(Instant::now).elapsed() < PATIENCE =>
            {
                if region.reap()? == 0 {
                    std::thread::sleep(PAUSE);
                }
            }
            outcome => return outcome,
        }
    }
}

/// W5: gives the answer, unless nobody wants it, or there is one.
fn give(region: &Region, key: Key, set: impl Fn() -> Result<()>) -> Result<()> {
    loop {
        match set() {
            Err(Error::AlreadySet { .. })
                if region.stage_of_promise(key)? != PromiseStage::Answered =>
            {
                await_reaper(region)?;
            }
            Err(Error::AlreadySet { .. } | Error::NotFound { .. } | Error::Broken { .. }) => {
                return Ok(());
            }
            outcome => return outcome,
        }
    }
}

impl<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>> fmt::Debug for Worker<A, R, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker").field("tasks", &self.tasks.key()).finish_non_exhaustive()
    }
}
