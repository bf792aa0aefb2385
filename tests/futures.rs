//! Promises and futures between processes: whoever waits hears what the producer did, whatever becomes of it.

mod support;

use std::time::{Duration, Instant};

use inplace::connector::LocalConnector;
use inplace::{Error, Future, Promise, PromiseToken, RegionOptions, Store};
use nix::sys::wait::WaitStatus;
use support::futures::{Pipe, assert_clean, region, store};
use support::{Forked, alone, start_child, watch};

type Numbers = Vec<u64>;

fn start(name: &str) -> (std::sync::MutexGuard<'static, ()>, Store, inplace::Registration) {
    watch();
    let alone = alone();
    let (store, registration) = store(name);
    (alone, store, registration)
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(100));
    }
}

fn assert_exits(children: impl IntoIterator<Item = Forked>) {
    for child in children {
        let end = child.wait();
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
    }
}

/// A child that promises, hands what it has to `then`, and stays until it is killed.
fn promiser(store: &Store, then: impl FnOnce(Promise<Numbers>, Future<Numbers>)) -> Forked {
    start_child(|| {
        support::end_with_parent();
        let (promise, future) = store.promise::<Numbers>().unwrap();
        then(promise, future);
        sleep_for_ever()
    })
}

/// A child that sends its promise, and what waits for it.
fn sender(store: &Store, pipe: &Pipe) -> (Forked, PromiseToken<Numbers>, Future<Numbers>) {
    let child = promiser(store, |promise, future| {
        pipe.send(&future);
        pipe.send(&promise.into_token().unwrap());
    });
    let (future, token) = (pipe.receive(), pipe.receive());
    (child, token, future)
}

#[test]
fn a_value_reaches_every_waiter_of_every_process() {
    let (_alone, store, _registered) = start("futures-everywhere");
    let (promise, future) = store.promise::<Numbers>().unwrap();
    let ready = Pipe::new();
    let wait = || {
        let sent = postcard::to_stdvec(&future).unwrap();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let future: Future<Numbers> = postcard::from_bytes(&sent).unwrap();
                    ready.send(&0_u8);
                    let view = future.wait(Some(Duration::from_secs(20))).unwrap();
                    assert_eq!(view.as_slice(), [7, 8]);
                });
            }
        });
        0
    };
    let children: Vec<_> = (0..4).map(|_| start_child(wait)).collect();
    (0..4 * 8).for_each(|_| _ = ready.receive::<u8>());
    promise.set(&vec![7, 8]).unwrap();
    assert_exits(children);
    assert_eq!(future.try_get().unwrap().unwrap().as_slice(), [7, 8]);
    assert!(matches!(promise.set(&vec![9]), Err(Error::AlreadySet { .. })));
    assert_clean(&store);
}

#[test]
fn failed_cancelled_and_dropped_promises_are_each_heard_as_what_they_are() {
    let (_alone, shm, _registered) = start("futures-outcomes");
    let local = Store::builder("futures-local").connector(LocalConnector::new()).open().unwrap();
    for store in [shm.clone(), local] {
        let (promise, future) = store.promise::<Numbers>().unwrap();
        assert!(future.try_get().unwrap().is_none());
        assert!(matches!(future.wait(Some(Duration::from_millis(5))), Err(Error::TimedOut { .. })));
        promise.fail("the disk is full").unwrap();
        let is_failed = |error: Error| matches!(&error, Error::Failed { message, .. } if message == "the disk is full");
        assert!(is_failed(future.wait(None).unwrap_err()));
        assert!(is_failed(future.try_get().unwrap_err()));
        assert!(is_failed(future.proxy().resolve().unwrap_err()));
        assert!(is_failed(store.get::<Numbers>(future.key()).unwrap_err()));
        assert!(!store.exists(future.key()).unwrap());
        assert!(future.evict().unwrap());

        let cancelled: [fn(Promise<Numbers>); 2] = [|it| it.cancel().unwrap(), drop];
        for cancel in cancelled {
            let (promise, future) = store.promise::<Numbers>().unwrap();
            cancel(promise);
            assert!(matches!(future.wait(None), Err(Error::Cancelled { .. })));
            assert!(matches!(future.proxy().resolve(), Err(Error::Cancelled { .. })));
            assert!(future.evict().unwrap());
        }
    }
    assert_clean(&shm);
    assert_eq!(region(&shm).check().unwrap().bytes_in_use, 0);
}

#[test]
fn a_killed_producer_is_heard_within_200_milliseconds() {
    let (_alone, store, _registered) = start("futures-killed");
    let pipe = Pipe::new();
    let mut slowest = Duration::ZERO;
    for round in 0..8 {
        let child = promiser(&store, |promise, future| {
            pipe.send(&future);
            std::mem::forget(promise);
        });
        let future: Future<Numbers> = pipe.receive();
        std::thread::scope(|scope| {
            let wait = || (future.wait(Some(Duration::from_secs(10))).map(drop), Instant::now());
            let waiting = scope.spawn(wait);
            std::thread::sleep(Duration::from_millis(13 * round));
            let killed = Instant::now();
            child.kill();
            let (heard, at) = waiting.join().unwrap();
            assert!(matches!(heard, Err(Error::Broken { .. })), "{heard:?}");
            slowest = slowest.max(at - killed);
        });
        assert!(future.evict().unwrap());
    }
    println!("a waiter hears of a killed producer after {slowest:?} at most");
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
    assert_clean(&store);
}

#[test]
fn a_promise_that_was_adopted_outlives_its_sender() {
    let (_alone, store, _registered) = start("futures-adopted");
    let (pipe, adopted, go_on) = (Pipe::new(), Pipe::new(), Pipe::new());
    for is_elsewhere in [false, true] {
        let (child, token, future) = sender(&store, &pipe);
        if is_elsewhere {
            let adopter = start_child(|| {
                let promise = token.adopt().unwrap();
                adopted.send(&0_u8);
                assert_eq!(go_on.receive::<u8>(), 1);
                promise.set(&vec![5]).unwrap();
                0
            });
            let _: u8 = adopted.receive();
            child.kill();
            region(&store).reap().unwrap();
            assert!(future.try_get().unwrap().is_none());
            go_on.send(&1_u8);
            assert_exits([adopter]);
        } else {
            let promise = token.adopt().unwrap();
            child.kill();
            region(&store).reap().unwrap();
            assert!(future.try_get().unwrap().is_none(), "its keeper lives");
            promise.set(&vec![5]).unwrap();
        }
        assert_eq!(future.wait(Some(Duration::from_secs(10))).unwrap().as_slice(), [5]);
        assert!(future.evict().unwrap());
    }
    assert_clean(&store);
}

#[test]
fn a_promise_breaks_with_who_adopted_it() {
    let (_alone, store, _registered) = start("futures-adopter-killed");
    let pipe = Pipe::new();
    let (promise, future) = store.promise::<Numbers>().unwrap();
    let token = promise.into_token().unwrap();
    let adopter = start_child(|| {
        std::mem::forget(token.adopt().unwrap());
        pipe.send(&0_u8);
        sleep_for_ever()
    });
    let _: u8 = pipe.receive();
    assert!(matches!(future.wait(Some(Duration::from_millis(20))), Err(Error::TimedOut { .. })));
    adopter.kill();
    assert!(matches!(future.wait(Some(Duration::from_secs(10))), Err(Error::Broken { .. })));
    assert_clean(&store);
}

#[test]
fn a_token_that_nobody_adopted_dies_with_its_sender() {
    let (_alone, store, _registered) = start("futures-lost");
    let pipe = Pipe::new();
    for is_reaped in [false, true] {
        let (child, token, future) = sender(&store, &pipe);
        child.kill();
        if is_reaped {
            assert_eq!(region(&store).reap().unwrap(), 1);
        }
        let refused = token.adopt().unwrap_err();
        assert!(matches!(refused, Error::Broken { .. }), "{refused:?}");
        assert!(matches!(future.wait(None), Err(Error::Broken { .. })));
        assert!(future.evict().unwrap());
        assert_clean(&store);
    }
}

#[test]
fn of_many_processes_with_copies_of_a_token_one_gets_the_promise() {
    let (_alone, store, _registered) = start("futures-copies");
    for _ in 0..10 {
        let (promise, future) = store.promise::<Numbers>().unwrap();
        let token = postcard::to_stdvec(&promise.into_token().unwrap()).unwrap();
        let adopt = |number: u64| {
            let token: PromiseToken<Numbers> = postcard::from_bytes(&token).unwrap();
            match token.adopt() {
                Ok(promise) => promise.set(&vec![number]).map_or(2, |()| 1),
                Err(Error::AlreadyAdopted { .. } | Error::AlreadySet { .. }) => 0,
                Err(error) => panic!("{error}"),
            }
        };
        let children: Vec<_> = (0..4).map(|number| start_child(|| adopt(number))).collect();
        let ends: Vec<_> = children.into_iter().map(Forked::wait).collect();
        let winners = ends.iter().filter(|end| matches!(end, WaitStatus::Exited(_, 1))).count();
        let losers = ends.iter().filter(|end| matches!(end, WaitStatus::Exited(_, 0))).count();
        assert_eq!((winners, losers), (1, 3), "{ends:?}");
        assert_eq!(future.wait(None).unwrap().len(), 1);
        assert!(future.evict().unwrap());
    }
    assert_clean(&store);
}

#[test]
fn a_token_is_good_once_even_when_the_promise_comes_back_to_its_sender() {
    let (_alone, store, _registered) = start("futures-stale");
    let (promise, future) = store.promise::<Numbers>().unwrap();
    let token = promise.into_token().unwrap();
    let stale = postcard::to_stdvec(&token).unwrap();
    let there_and_back = token.adopt().unwrap().into_token().unwrap().adopt().unwrap();
    let stale: PromiseToken<Numbers> = postcard::from_bytes(&stale).unwrap();
    assert!(matches!(stale.adopt(), Err(Error::AlreadyAdopted { .. })));
    there_and_back.set(&vec![3]).unwrap();
    assert_eq!(future.wait(None).unwrap().as_slice(), [3]);
}

#[test]
fn a_number_used_again_is_not_taken_for_who_sent_the_token() {
    watch();
    let _alone = alone();
    // One slot and two participants: whoever comes next has the number of the dead, and promises in the same slot.
    let options = RegionOptions::new().capacity(1 << 20).max_objects(1).max_participants(2);
    let region = options.anonymous().unwrap();
    let pipe = Pipe::new();
    let promise = || {
        start_child(|| {
            support::end_with_parent();
            let key = region.reserve().unwrap();
            pipe.send(&(key, region.offer_promise(key).unwrap()));
            sleep_for_ever()
        })
    };
    let first = promise();
    let (old, offer): (inplace::Key, inplace::connector::Offer) = pipe.receive();
    first.kill();
    assert_eq!(region.reap().unwrap(), 1);
    assert!(region.evict(old).unwrap());
    let second = promise();
    let (new, other): (inplace::Key, inplace::connector::Offer) = pipe.receive();
    assert_eq!(old.object() & 0xff_ffff, new.object() & 0xff_ffff, "the same slot");
    assert!(matches!(region.adopt_promise(old, offer), Err(Error::NotFound { .. })));
    assert!(matches!(region.adopt_promise(new, offer), Err(Error::AlreadyAdopted { .. })));
    region.adopt_promise(new, other).unwrap();
    second.kill();
    region.reap().unwrap();
    region.set(new, b"kept").unwrap();
    assert_eq!(&*region.wait(new, None).unwrap(), b"kept");
    assert!(region.evict(new).unwrap() && region.check().unwrap().is_clean());
}

#[test]
fn a_forked_childs_copy_of_a_promise_is_nobodys() {
    let (_alone, store, _registered) = start("futures-forked");
    type Use = fn(Promise<Numbers>) -> Result<(), Error>;
    let uses: [Use; 4] = [
        |copy| copy.set(&vec![1]),
        |copy| copy.fail("in the child"),
        Promise::cancel,
        |copy| copy.into_token().map(drop),
    ];
    for use_it in uses {
        let (promise, future) = store.promise::<Numbers>().unwrap();
        let mut promise = Some(promise);
        let child = start_child(|| {
            let outcome = use_it(promise.take().unwrap());
            i32::from(!matches!(outcome, Err(Error::NotOwner { token: "promise" })))
        });
        assert_exits([child]);
        assert!(future.try_get().unwrap().is_none(), "the child has dropped its copy");
        promise.unwrap().set(&vec![2]).unwrap();
        assert_eq!(future.wait(None).unwrap().as_slice(), [2]);
        assert!(future.evict().unwrap());
    }
    assert_clean(&store);
}

#[test]
fn a_proxy_handed_out_before_the_value_is_resolved_by_it_in_another_process() {
    let (_alone, store, _registered) = start("futures-proxy");
    let (promise, future) = store.promise::<Numbers>().unwrap();
    let (sent, ready) = (postcard::to_stdvec(&future.proxy()).unwrap(), Pipe::new());
    let child = start_child(|| {
        let proxy: inplace::Proxy<Numbers> = postcard::from_bytes(&sent).unwrap();
        ready.send(&0_u8);
        i32::from(proxy.iter().map(|number| number.to_native()).sum::<u64>() != 42)
    });
    let _: u8 = ready.receive();
    std::thread::sleep(Duration::from_millis(20));
    promise.set(&vec![40, 2]).unwrap();
    assert_exits([child]);
}

#[test]
fn who_waits_to_take_a_value_of_the_dead_hears_that_they_are() {
    let (_alone, store, _registered) = start("futures-taker");
    let pipe = Pipe::new();
    let child = promiser(&store, |promise, future| {
        pipe.send(&future.proxy().evict_on_resolve().unwrap());
        std::mem::forget(promise);
    });
    let proxy: inplace::Proxy<Numbers> = pipe.receive();
    assert_eq!(proxy.access(), inplace::proxy::Access::WaitAndTake);
    let coming = proxy.clone().resolve_async();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| proxy.resolve().map(drop));
        std::thread::sleep(Duration::from_millis(10));
        child.kill();
        assert!(matches!(waiting.join().unwrap(), Err(Error::Broken { .. })));
    });
    assert!(matches!(coming.wait(), Err(Error::Broken { .. })));
    assert!(store.evict(proxy.key()).unwrap());
    assert_clean(&store);
}

#[test]
fn who_evicts_a_future_is_heard_by_the_producer_and_by_whoever_waits() {
    let (_alone, store, _registered) = start("futures-evicted");
    let (promise, future) = store.promise::<Numbers>().unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| future.wait(None).map(drop));
        std::thread::sleep(Duration::from_millis(10));
        assert!(future.evict().unwrap());
        assert!(matches!(waiting.join().unwrap(), Err(Error::NotFound { .. })));
    });
    assert!(matches!(promise.set(&vec![1]), Err(Error::NotFound { .. })));
    drop(promise);
    assert_clean(&store);
}

#[test]
fn a_set_that_failed_leaves_the_promise_open_and_a_full_region_still_hears_of_a_failure() {
    watch();
    let _alone = alone();
    let region = RegionOptions::new().capacity(1 << 20).anonymous().unwrap();
    let connector = inplace::connector::ShmConnector::new(region.clone());
    let store = Store::builder("futures-full").connector(connector).open().unwrap();
    let filler = region.put(&vec![1; 1 << 20]).unwrap();
    let (promise, future) = store.promise::<Numbers>().unwrap();
    assert!(matches!(promise.set(&vec![1; 100]), Err(Error::OutOfSpace { .. })));
    assert!(future.try_get().unwrap().is_none());
    let (failing, failed) = store.promise::<Numbers>().unwrap();
    failing.fail("no room for this").unwrap();
    assert!(matches!(failed.wait(None), Err(Error::Failed { message, .. }) if message.is_empty()));
    assert!(region.evict(filler).unwrap());
    promise.set(&vec![1; 100]).unwrap();
    assert_eq!(future.wait(None).unwrap().len(), 100);
}

#[test]
fn a_promise_of_another_type_is_an_error_that_names_both() {
    let (_alone, store, _registered) = start("futures-types");
    let (promise, future) = store.promise::<Numbers>().unwrap();
    promise.set(&vec![1]).unwrap();
    let wrong = store.future::<Vec<f64>>(future.key());
    assert!(matches!(wrong.wait(None), Err(Error::TypeMismatch { .. })));
}

#[test]
fn promises_and_futures_are_shared_between_threads_whatever_they_stand_for() {
    fn everywhere<T: Send + Sync + Unpin>() {}
    everywhere::<Promise<std::rc::Rc<u8>>>();
    everywhere::<Future<std::rc::Rc<u8>>>();
    everywhere::<PromiseToken<std::cell::Cell<u8>>>();
    everywhere::<inplace::future::Waiting<Numbers>>();
}
