//! Awaiting promised values, with a runtime and without: one thread of a process waits for all of them.

mod support;

use std::collections::BTreeMap;
use std::future::IntoFuture;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use inplace::connector::{
    Block, Connector, ConnectorConfig, Deferrable, Fill, LocalConnector, register_kind,
};
use inplace::{Error, Fingerprint, Future, Key, Promise, Store};
use nix::sys::wait::WaitStatus;
use support::futures::{
    Counting, Pipe, assert_clean, block_on, forbid_futex_waitv, store, threads_named,
};
use support::{alone, eventually, in_child, start_child, watch};

type Numbers = Vec<u64>;

const WAITER: &str = "inplace-waiter";

fn start(name: &str) -> (std::sync::MutexGuard<'static, ()>, Store, inplace::Registration) {
    watch();
    let alone = alone();
    eventually("threads of other tests end", || threads_named(WAITER) == 0);
    let (store, registration) = store(name);
    (alone, store, registration)
}

fn promises(store: &Store, count: usize) -> Vec<(Promise<Numbers>, Future<Numbers>)> {
    (0..count).map(|_| store.promise().unwrap()).collect()
}

fn set_all(promises: &[Promise<Numbers>]) {
    for (number, promise) in promises.iter().enumerate() {
        promise.set(&vec![number as u64]).unwrap();
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

#[test]
fn a_bare_executor_awaits_what_another_process_promised() {
    let (_alone, store, _registered) = start("async-bare");
    let (promise, future) = store.promise::<Numbers>().unwrap();
    let token = promise.into_token().unwrap();
    let child = start_child(|| {
        let promise = token.adopt().unwrap();
        std::thread::sleep(Duration::from_millis(30));
        promise.set(&vec![7]).map_or(1, |()| 0)
    });
    assert_eq!(block_on(&future).unwrap().as_slice(), [7]);
    assert_eq!(block_on(future).unwrap().as_slice(), [7], "there already");
    assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
    assert_clean(&store);
}

#[test]
fn a_thousand_futures_are_awaited_under_tokio_by_one_thread_which_then_ends() {
    let (_alone, store, _registered) = start("async-thousand");
    let (promises, futures): (Vec<_>, Vec<_>) = promises(&store, 1000).into_iter().unzip();
    let pipe = Pipe::new();
    let tokens: Vec<_> = promises.into_iter().map(|it| it.into_token().unwrap()).collect();
    let child = start_child(|| {
        let promises: Vec<_> = tokens.into_iter().map(|it| it.adopt().unwrap()).collect();
        pipe.send(&0_u8);
        std::thread::sleep(Duration::from_millis(300));
        set_all(&promises);
        0
    });
    let _: u8 = pipe.receive();
    runtime().block_on(async {
        let await_it = |(number, future): (usize, Future<Numbers>)| {
            tokio::spawn(async move {
                assert_eq!(future.await.unwrap().as_slice(), [number as u64]);
            })
        };
        let tasks: Vec<_> = futures.into_iter().enumerate().map(await_it).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(tasks.iter().all(|task| !task.is_finished()));
        assert_eq!(threads_named(WAITER), 1);
        for task in tasks {
            tokio::time::timeout(Duration::from_secs(20), task).await.unwrap().unwrap();
        }
    });
    assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
    eventually("without anything to watch the thread ends", || threads_named(WAITER) == 0);
    assert_clean(&store);
}

#[test]
fn a_killed_producer_ends_an_await_within_200_milliseconds() {
    let (_alone, store, _registered) = start("async-killed");
    let pipe = Pipe::new();
    let mut slowest = Duration::ZERO;
    for round in 0..6 {
        let child = start_child(|| {
            support::end_with_parent();
            let (promise, future) = store.promise::<Numbers>().unwrap();
            pipe.send(&future);
            std::thread::sleep(Duration::from_secs(100));
            drop(promise);
            0
        });
        let future: Future<Numbers> = pipe.receive();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| (block_on(&future).map(drop), Instant::now()));
            std::thread::sleep(Duration::from_millis(20 + 17 * round));
            let killed = Instant::now();
            child.kill();
            let (heard, at) = waiting.join().unwrap();
            assert!(matches!(heard, Err(Error::Broken { .. })), "{heard:?}");
            slowest = slowest.max(at - killed);
        });
        assert!(future.evict().unwrap());
    }
    println!("an await hears of a killed producer after {slowest:?} at most");
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
    assert_clean(&store);
}

#[test]
fn failed_cancelled_and_evicted_promises_end_an_await() {
    let (_alone, store, _registered) = start("async-outcomes");
    let outcomes: [fn(Promise<Numbers>); 3] =
        [|it| it.fail("why").unwrap(), drop, |it| _ = it.future().evict().unwrap()];
    let is_heard: [fn(&Error) -> bool; 3] = [
        |error| matches!(error, Error::Failed { message, .. } if message == "why"),
        |error| matches!(error, Error::Cancelled { .. }),
        |error| matches!(error, Error::NotFound { .. }),
    ];
    for (end, is_heard) in outcomes.into_iter().zip(is_heard) {
        let (promise, future) = store.promise::<Numbers>().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| block_on(future).map(drop));
            std::thread::sleep(Duration::from_millis(10));
            end(promise);
            let error = waiting.join().unwrap().unwrap_err();
            assert!(is_heard(&error), "{error:?}");
        });
    }
    assert_clean(&store);
}

#[test]
fn a_waker_is_called_for_its_own_promise_only_and_not_at_all_once_its_future_is_dropped() {
    let (_alone, store, _registered) = start("async-exact");
    // More than there are bells: some promises share one.
    let (promises, futures): (Vec<_>, Vec<_>) = promises(&store, 200).into_iter().unzip();
    let counters: Vec<Arc<Counting>> = (0..200).map(|_| Arc::default()).collect();
    let mut waiting: Vec<_> = futures.iter().map(|it| Some(it.into_future())).collect();
    for (waiting, counter) in waiting.iter_mut().zip(&counters) {
        let waker = Waker::from(counter.clone());
        let waiting = pin!(waiting.as_mut().unwrap());
        assert!(waiting.poll(&mut Context::from_waker(&waker)).is_pending());
    }
    waiting[1] = None;
    assert_eq!(Arc::strong_count(&counters[1]), 1, "nothing is left of it");
    for (set, promise) in promises.iter().enumerate() {
        promise.set(&vec![set as u64]).unwrap();
        if set != 1 {
            eventually("the waker is called", || counters[set].count() == 1);
        }
        let called: usize = counters.iter().map(|counter| counter.count()).sum();
        assert_eq!(called, if set == 0 { 1 } else { set }, "nobody else is");
    }
    std::thread::sleep(Duration::from_millis(20));
    assert!(counters.iter().all(|counter| counter.count() <= 1));
    assert_eq!(counters[1].count(), 0);
}

#[test]
fn while_it_waits_in_vain_the_thread_sleeps() {
    let (_alone, store, _registered) = start("async-idle");
    let (_promises, futures): (Vec<_>, Vec<_>) = promises(&store, 100).into_iter().unzip();
    let waker = Waker::from(Arc::new(Counting::default()));
    let mut waiting: Vec<_> = futures.iter().map(|it| it.into_future()).collect();
    for waiting in &mut waiting {
        assert!(pin!(waiting).poll(&mut Context::from_waker(&waker)).is_pending());
    }
    eventually("the thread is there", || threads_named(WAITER) == 1);
    // User and system time, in hundredths of a second.
    let used = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
        let texts = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
        let text = texts.into_iter().find(|text| text.contains(WAITER)).unwrap();
        let fields: Vec<_> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
        fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
    };
    let before = used();
    std::thread::sleep(Duration::from_secs(1));
    let spent = used() - before;
    assert!(spent <= 10, "{spent} hundredths of a second in one");
    drop(waiting);
}

#[test]
fn parent_and_child_each_await_what_was_pending_at_their_fork() {
    let (_alone, store, _registered) = start("async-fork");
    let (promise, future) = store.promise::<Numbers>().unwrap();
    let counter = Arc::new(Counting::default());
    let waker = Waker::from(counter.clone());
    let mut waiting = future.into_future();
    assert!(pin!(&mut waiting).poll(&mut Context::from_waker(&waker)).is_pending());
    let pipe = Pipe::new();
    let token = promise.into_token().unwrap();
    let mut inherited = Some(waiting);
    let child = start_child(|| {
        assert_eq!(threads_named(WAITER), 0);
        let waiting = inherited.take().unwrap();
        let other = store.promise::<Numbers>().unwrap();
        pipe.send(&0_u8);
        assert_eq!(block_on(waiting).unwrap().as_slice(), [5]);
        assert_eq!(threads_named(WAITER), 1);
        assert_eq!(counter.count(), 0, "the parent's waker is the parent's");
        other.0.set(&vec![6]).unwrap();
        assert_eq!(block_on(other.1).unwrap().as_slice(), [6]);
        0
    });
    let _: u8 = pipe.receive();
    std::thread::sleep(Duration::from_millis(20));
    token.adopt().unwrap().set(&vec![5]).unwrap();
    eventually("the parent's waker is called", || counter.count() == 1);
    assert_eq!(block_on(inherited.unwrap()).unwrap().as_slice(), [5]);
    assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
    assert_clean(&store);
}

#[test]
fn forks_in_the_middle_of_awaits_leave_children_that_can_await() {
    let (_alone, store, _registered) = start("async-forks");
    let is_done = std::sync::atomic::AtomicBool::new(false);
    let await_one = || {
        let (promise, future) = store.promise::<Numbers>().unwrap();
        let mut waiting = future.clone().into_future();
        let counter = Arc::new(Counting::default());
        let waker = Waker::from(counter.clone());
        assert!(pin!(&mut waiting).poll(&mut Context::from_waker(&waker)).is_pending());
        // No thread of the standard library's: a child may wait for a lock of its own in each, see docs/reliability.md.
        promise.set(&vec![1]).unwrap();
        eventually("the waker is called", || counter.count() == 1);
        assert_eq!(block_on(waiting).unwrap().as_slice(), [1]);
        assert!(future.evict().unwrap());
    };
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    await_one()
                }
            });
        }
        for _ in 0..20 {
            let code = in_child(|| {
                await_one();
                0
            });
            assert_eq!(code, 0);
        }
        is_done.store(true, Ordering::Relaxed);
    });
    assert_clean(&store);
}

#[test]
fn proxies_that_wait_for_promises_in_the_background_take_no_thread_each() {
    let (_alone, store, _registered) = start("async-proxies");
    let (promises, futures): (Vec<_>, Vec<_>) = promises(&store, 1000).into_iter().unzip();
    let coming: Vec<_> = futures.iter().map(|future| future.proxy().resolve_async()).collect();
    std::thread::sleep(Duration::from_millis(200));
    let threads = (threads_named(WAITER), threads_named("inplace-resolve"));
    assert!(threads.0 == 1 && threads.1 <= 16, "{threads:?}");
    set_all(&promises);
    for (number, coming) in coming.into_iter().enumerate() {
        let proxy =
            if number % 2 == 0 { coming.wait().unwrap() } else { block_on(coming).unwrap() };
        assert!(proxy.is_resolved() && proxy[0] == number as u64);
    }
    let (promise, future) = store.promise::<Numbers>().unwrap();
    let abandoned = future.proxy().resolve_async();
    std::thread::sleep(Duration::from_millis(10));
    drop(abandoned);
    let failing = future.proxy().resolve_async();
    promise.fail("no").unwrap();
    assert!(matches!(block_on(failing), Err(Error::Failed { .. })));
}

#[test]
fn of_proxies_that_wait_in_the_background_to_take_a_value_one_gets_it() {
    let (_alone, store, _registered) = start("async-takers");
    for by_await in [false, true] {
        let (promise, future) = store.promise::<Numbers>().unwrap();
        let take = || future.proxy().evict_on_resolve().unwrap().resolve_async();
        let coming: Vec<_> = (0..4).map(|_| take()).collect();
        std::thread::sleep(Duration::from_millis(5));
        promise.set(&vec![3]).unwrap();
        let heard = coming.into_iter().map(|it| if by_await { block_on(it) } else { it.wait() });
        let mut won = 0;
        for heard in heard {
            match heard {
                Ok(numbers) => won += numbers.len(),
                Err(error) => assert!(matches!(error, Error::NotFound { .. }), "{error}"),
            }
        }
        assert_eq!(won, 1);
        assert!(!future.evict().unwrap());
    }
    assert_clean(&store);
}

#[test]
fn more_bells_than_one_thread_can_listen_to_have_two_threads() {
    let (_alone, first, _registered) = start("async-many-1");
    let (second, third) = (store("async-many-2"), store("async-many-3"));
    // Sixteen slots have a bell.
    let pairs = [&first, &second.0, &third.0].map(|store| promises(store, 16 * 64));
    let (promises, futures): (Vec<_>, Vec<_>) = pairs.into_iter().flatten().unzip();
    runtime().block_on(async {
        let tasks: Vec<_> = futures.into_iter().map(|it| tokio::spawn(it.into_future())).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(threads_named(WAITER), 2, "3 × 64 bells, 127 for a thread");
        set_all(&promises);
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap().unwrap().as_slice(), [number as u64]);
        }
    });
}

#[test]
fn an_await_ends_with_its_region_and_holds_it_until_it_is_dropped() {
    let (_alone, _, _registered) = start("async-region");
    let name = support::Name::new("async-region");
    let store = Store::open(&name).unwrap();
    let (promise, future) = store.promise::<Numbers>().unwrap();
    let mut waiting = future.into_future();
    let waker = Waker::from(Arc::new(Counting::default()));
    assert!(pin!(&mut waiting).poll(&mut Context::from_waker(&waker)).is_pending());
    drop((promise, store));
    assert!(name.exists());
    drop(waiting);
    // The thread that waits may have the region in hand: it was woken by the end of the promise.
    eventually("the last one to leave takes the name along", || !name.exists());
}

#[test]
fn a_dictionary_of_this_process_calls_wakers_itself() {
    let (_alone, _, _registered) = start("async-dictionary");
    let store = Store::builder("async-local").connector(LocalConnector::new()).open().unwrap();
    let (promises, futures): (Vec<_>, Vec<_>) = promises(&store, 100).into_iter().unzip();
    runtime().block_on(async {
        let tasks: Vec<_> = futures.into_iter().map(|it| tokio::spawn(it.into_future())).collect();
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert_eq!(threads_named(WAITER), 0);
        set_all(&promises);
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap().unwrap().as_slice(), [number as u64]);
        }
    });
    let (promise, future) = store.promise::<Numbers>().unwrap();
    let counter = Arc::new(Counting::default());
    let waker = Waker::from(counter.clone());
    let mut dropped = future.into_future();
    assert!(pin!(&mut dropped).poll(&mut Context::from_waker(&waker)).is_pending());
    drop((dropped, waker));
    assert_eq!(Arc::strong_count(&counter), 1, "nothing is left of it");
    promise.set(&vec![1]).unwrap();
}

/// A connector that has promises and is told of nothing.
#[derive(Debug)]
struct Deaf(LocalConnector);

impl Connector for Deaf {
    fn put_with(&self, size: usize, type_: Fingerprint, fill: &mut Fill<'_>) -> Result<Key, Error> {
        self.0.put_with(size, type_, fill)
    }

    fn get(&self, key: Key) -> Result<Option<Block>, Error> {
        self.0.get(key)
    }

    fn take(&self, key: Key) -> Result<Option<Block>, Error> {
        self.0.take(key)
    }

    fn exists(&self, key: Key) -> Result<bool, Error> {
        self.0.exists(key)
    }

    fn evict(&self, key: Key) -> Result<bool, Error> {
        self.0.evict(key)
    }

    fn close(&self) -> Result<(), Error> {
        self.0.close()
    }

    fn config(&self) -> ConnectorConfig {
        self.0.config()
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        Some(self)
    }
}

impl Deferrable for Deaf {
    fn reserve(&self) -> Result<Key, Error> {
        self.0.reserve()
    }

    fn set_with(
        &self,
        key: Key,
        size: usize,
        type_: Fingerprint,
        fill: &mut Fill<'_>,
    ) -> Result<(), Error> {
        self.0.set_with(key, size, type_, fill)
    }

    fn fail(&self, key: Key) -> Result<(), Error> {
        self.0.fail(key)
    }

    fn wait(&self, key: Key, timeout: Option<Duration>) -> Result<Block, Error> {
        self.0.wait(key, timeout)
    }
}

#[test]
fn of_a_connector_that_is_told_of_nothing_promises_are_looked_at_from_time_to_time() {
    let (_alone, _, _registered) = start("async-deaf");
    register_kind("deaf", |_: &BTreeMap<_, _>| Ok(Arc::new(Deaf(LocalConnector::new())))).unwrap();
    let connector = Deaf(LocalConnector::new());
    let store = Store::builder("deaf").connector(connector).open().unwrap();
    type End = fn(Promise<Numbers>) -> Result<(), Error>;
    type IsHeard = fn(&Result<(), Error>) -> bool;
    let ends: [End; 3] = [|it| it.set(&vec![1]), |it| it.fail("why"), Promise::cancel];
    let is_heard: [IsHeard; 3] = [
        Result::is_ok,
        |heard| matches!(heard, Err(Error::Failed { message, .. }) if message == "why"),
        |heard| matches!(heard, Err(Error::Cancelled { .. })),
    ];
    for (end, is_heard) in ends.into_iter().zip(is_heard) {
        let (promise, future) = store.promise::<Numbers>().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| block_on(future).map(drop));
            std::thread::sleep(Duration::from_millis(30));
            end(promise).unwrap();
            let heard = waiting.join().unwrap();
            assert!(is_heard(&heard), "{heard:?}");
        });
    }
    let (promise, _future) = store.promise::<Numbers>().unwrap();
    assert!(matches!(promise.into_token(), Err(Error::Unsupported { .. })));
}

#[test]
fn where_the_kernel_cannot_wait_for_several_words_they_are_looked_at_from_time_to_time() {
    let (_alone, store, _registered) = start("async-old");
    let code = in_child(|| {
        forbid_futex_waitv();
        let (promises, futures): (Vec<_>, Vec<_>) = promises(&store, 100).into_iter().unzip();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                set_all(&promises);
            });
            for (number, future) in futures.into_iter().enumerate() {
                assert_eq!(block_on(future).unwrap().as_slice(), [number as u64]);
            }
        });
        0
    });
    assert_eq!(code, 0);
    assert_clean(&store);
}
