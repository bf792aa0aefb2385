//! Awaiting changes of cells, with a runtime and without: the thread that waits for promises waits for them, too.

mod support;

use std::future::{Future, IntoFuture};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use inplace::connector::LocalConnector;
use inplace::{Cell, Error, Store};
use nix::sys::wait::WaitStatus;
use support::futures::{Counting, assert_clean, block_on, region, store, threads_named};
use support::{alone, eventually, in_child, start_child, watch};

const WAITER: &str = "inplace-waiter";

fn start(name: &str) -> (std::sync::MutexGuard<'static, ()>, Store, inplace::Registration) {
    watch();
    let alone = alone();
    eventually("threads of other tests end", || threads_named(WAITER) == 0);
    let (store, registration) = store(name);
    (alone, store, registration)
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

#[test]
fn a_bare_executor_awaits_what_another_process_sets() {
    let (_alone, store, _registered) = start("async-cells-bare");
    let cell = store.cell_new::<u64>().unwrap();
    let child = start_child(|| {
        for value in 1..=3 {
            std::thread::sleep(Duration::from_millis(20));
            cell.set(&value).unwrap();
        }
        0
    });
    let mut seen = 0;
    while seen < 3 {
        let current = block_on(cell.changed(seen)).unwrap();
        assert!(current.version > seen && current.value.to_native() == current.version);
        seen = current.version;
    }
    assert_eq!(block_on(cell.changed(0)).unwrap().version, 3, "there already");
    assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
    assert_clean(&store);
}

#[test]
fn hundreds_of_cells_are_followed_under_tokio_by_one_thread_which_then_ends() {
    let (_alone, store, _registered) = start("async-cells-many");
    let cells: Vec<Cell<u64>> = (0..300).map(|_| store.cell_new().unwrap()).collect();
    runtime().block_on(async {
        let follow = |cell: Cell<u64>| async move {
            let mut seen = 0;
            while seen < 5 {
                let current = cell.changed(seen).await.unwrap();
                assert!(current.version > seen);
                seen = current.version;
            }
            cell.changed(seen).await.unwrap_err()
        };
        let followed: Vec<_> =
            cells.iter().map(|cell| tokio::spawn(follow(cell.clone()))).collect();
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert!((1..=2).contains(&threads_named(WAITER)), "{}", threads_named(WAITER));
        for value in 1..=5 {
            cells.iter().for_each(|cell| assert_eq!(cell.set(&value).unwrap(), value));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        cells.iter().for_each(|cell| assert!(cell.evict().unwrap()));
        for it in followed {
            assert!(matches!(it.await.unwrap(), Error::NotFound { .. }));
        }
    });
    eventually("the thread ends", || threads_named(WAITER) == 0);
    assert_clean(&store);
}

#[test]
fn a_change_is_heard_long_before_the_thread_would_look_again() {
    let (_alone, store, _registered) = start("async-cells-soon");
    let cell = store.cell_new::<u64>().unwrap();
    let mut waited: Vec<Duration> = (0..15)
        .map(|round| {
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| (block_on(cell.changed(round)), Instant::now()));
                std::thread::sleep(Duration::from_millis(15));
                let set = Instant::now();
                cell.set(&round).unwrap();
                let (heard, at) = waiter.join().unwrap();
                assert_eq!(heard.unwrap().version, round + 1);
                at.saturating_duration_since(set)
            })
        })
        .collect();
    waited.sort_unstable();
    assert!(waited[waited.len() / 2] < Duration::from_millis(40), "{waited:?}");
}

#[test]
fn the_end_of_a_killed_owner_ends_an_await() {
    let (_alone, store, _registered) = start("async-cells-killed");
    let region = region(&store);
    let child = start_child(|| {
        support::end_with_parent();
        std::mem::forget(store.own("mine").unwrap());
        loop {
            nix::unistd::pause();
        }
    });
    eventually("it is owned", || region.keys().unwrap().len() == 1);
    let cell = store.cell_from_key::<str>(region.keys().unwrap()[0]);
    eventually("it has a value", || cell.version().unwrap() == 1);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| block_on(cell.changed(1)));
        std::thread::sleep(Duration::from_millis(20));
        child.kill();
        assert!(matches!(waiter.join().unwrap(), Err(Error::NotFound { .. })));
    });
    assert_clean(&store);
}

#[test]
fn a_waker_is_called_for_its_own_cell_only_and_not_at_all_once_its_future_is_dropped() {
    let (_alone, shm, _registered) = start("async-cells-own");
    let local = Store::builder("async-cells").connector(LocalConnector::new()).open().unwrap();
    for store in [shm, local] {
        // In shared memory they have one bell.
        let [mine, other] = [(); 2].map(|()| store.cell_new::<u64>().unwrap());
        let counting = Arc::new(Counting::default());
        let waker = Waker::from(counting.clone());
        let mut context = Context::from_waker(&waker);
        let mut awaited = pin!(mine.changed(0).into_future());
        assert!(awaited.as_mut().poll(&mut context).is_pending());
        {
            let mut dropped = pin!(other.changed(0).into_future());
            assert!(dropped.as_mut().poll(&mut context).is_pending());
        }
        other.set(&1).unwrap();
        std::thread::sleep(Duration::from_millis(150));
        assert_eq!(counting.count(), 0);
        mine.set(&2).unwrap();
        eventually("its own is heard", || counting.count() == 1);
        assert!(awaited.as_mut().poll(&mut context).is_ready());
    }
}

#[test]
fn a_forked_child_awaits_what_was_pending_at_the_fork() {
    let (_alone, store, _registered) = start("async-cells-forked");
    let cell = store.cell_new::<u64>().unwrap();
    let mut awaited = Box::pin(cell.changed(0));
    let waker = Waker::from(Arc::new(Counting::default()));
    assert!(awaited.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    let code = in_child(|| {
        // The parent's set is heard here, by a thread of the child's own.
        let setter = start_child(|| {
            std::thread::sleep(Duration::from_millis(30));
            cell.set(&7).map_or(1, |_| 0)
        });
        let heard = block_on(awaited.as_mut()).unwrap();
        i32::from(heard.version != 1 || !matches!(setter.wait(), WaitStatus::Exited(_, 0)))
    });
    assert_eq!(code, 0);
    assert_eq!(block_on(awaited).unwrap().version, 1);
    assert_clean(&store);
}
