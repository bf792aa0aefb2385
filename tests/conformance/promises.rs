//! What only some connectors can do, and those alike.

use std::time::{Duration, Instant};

use inplace::connector::{Connector, Deferrable};
use inplace::{Error, Fingerprint, Key, Proxy, Store};

use crate::processes::Other;
use crate::subject::Subject;

pub fn set(connector: &dyn Deferrable, key: Key, bytes: &[u8]) -> inplace::Result<()> {
    connector.set_with(key, bytes.len(), Fingerprint::BYTES, &mut |out| {
        out.write(bytes);
        Ok(())
    })
}

pub fn a_promise_is_kept_once_and_wakes_who_waits(subject: &Subject) {
    let (Some(here), second) = (subject.connector.deferrable(), subject.second()) else { return };
    let there = second.deferrable().unwrap();
    let key = here.reserve().unwrap();
    assert!(second.get(key).unwrap().is_none() && second.take(key).unwrap().is_none());
    assert!(!here.exists(key).unwrap());
    let soon = Some(Duration::from_millis(1));
    assert!(matches!(there.wait(key, soon), Err(Error::TimedOut { .. })));
    std::thread::scope(|scope| {
        let waiters: Vec<_> = [here, there, here, there]
            .into_iter()
            .map(|instance| scope.spawn(move || instance.wait(key, None).unwrap()))
            .collect();
        std::thread::sleep(Duration::from_millis(5));
        set(here, key, b"at last").unwrap();
        for waiter in waiters {
            assert_eq!(&*waiter.join().unwrap(), b"at last");
        }
    });
    assert!(matches!(set(there, key, b"again"), Err(Error::AlreadySet { .. })));
    assert!(matches!(here.fail(key), Err(Error::AlreadySet { .. })));
    assert_eq!(&*second.take(key).unwrap().unwrap(), b"at last");
    assert!(matches!(there.wait(key, None), Err(Error::NotFound { .. })));
    assert!(matches!(set(here, key, b"late"), Err(Error::NotFound { .. })));
    let put = subject.connector.put(b"never promised").unwrap();
    assert_eq!(&*there.wait(put, None).unwrap(), b"never promised");
}

pub fn a_failed_or_evicted_promise_is_an_error_for_everyone(subject: &Subject) {
    let (Some(here), second) = (subject.connector.deferrable(), subject.second()) else { return };
    let there = second.deferrable().unwrap();
    let [failed, evicted] = [(); 2].map(|()| here.reserve().unwrap());
    std::thread::scope(|scope| {
        let waiters = [failed, evicted].map(|key| scope.spawn(move || there.wait(key, None)));
        std::thread::sleep(Duration::from_millis(5));
        here.fail(failed).unwrap();
        assert!(second.evict(evicted).unwrap());
        let [failed, evicted] = waiters.map(|waiter| waiter.join().unwrap().unwrap_err());
        assert!(matches!(failed, Error::Broken { .. }), "{failed}");
        assert!(matches!(evicted, Error::NotFound { .. }), "{evicted}");
    });
    assert!(second.get(failed).unwrap().is_none(), "only who waits hears of it");
    assert!(matches!(there.wait(failed, None), Err(Error::Broken { .. })));
    assert!(matches!(set(here, failed, b"late"), Err(Error::Broken { .. })));
    assert!(matches!(set(here, evicted, b"late"), Err(Error::NotFound { .. })));
    assert!(!second.evict(evicted).unwrap() && second.evict(failed).unwrap());
}

pub fn a_promise_that_is_set_and_evicted_at_once_is_gone(subject: &Subject) {
    let (Some(here), second) = (subject.connector.deferrable(), subject.second()) else { return };
    for round in 0..40 {
        let key = here.reserve().unwrap();
        let (sets, evicted) = std::thread::scope(|scope| {
            let setters: Vec<_> =
                (0..2).map(|_| scope.spawn(|| set(here, key, b"value"))).collect();
            if round % 2 == 0 {
                std::thread::yield_now();
            }
            let evicted = second.evict(key).unwrap();
            (setters.into_iter().map(|setter| setter.join().unwrap()).collect::<Vec<_>>(), evicted)
        });
        assert!(evicted, "a promise, or its value: one of them was there");
        assert!(second.get(key).unwrap().is_none(), "nothing comes after an evict: {sets:?}");
        assert!(sets.iter().filter(|outcome| outcome.is_ok()).count() <= 1, "{sets:?}");
        let expected = |outcome: &inplace::Result<()>| {
            matches!(outcome, Ok(()) | Err(Error::AlreadySet { .. } | Error::NotFound { .. }))
        };
        assert!(sets.iter().all(expected), "{sets:?}");
    }
}

pub fn a_dead_promiser_is_an_error_for_who_waits(subject: &Subject) {
    let Some(here) = subject.connector.deferrable().filter(|_| subject.reaches_processes) else {
        return;
    };
    let mut other = Other::start("promiser", subject, &[]);
    let [kept, owed]: [Key; 2] = std::array::from_fn(|_| other.key());
    other.program.tell("keep one");
    assert_eq!(&*here.wait(kept, Some(Duration::from_secs(20))).unwrap(), b"kept");
    assert!(matches!(
        here.wait(owed, Some(Duration::from_millis(50))),
        Err(Error::TimedOut { .. })
    ));
    let (error, after) = std::thread::scope(|scope| {
        let waiter = scope.spawn(|| (here.wait(owed, None).unwrap_err(), Instant::now()));
        std::thread::sleep(Duration::from_millis(20));
        let killed = Instant::now();
        other.program.kill();
        let (error, heard) = waiter.join().unwrap();
        (error, heard - killed)
    });
    assert!(matches!(error, Error::Broken { .. }), "{error}");
    assert!(after < Duration::from_secs(5), "{after:?}");
    assert!(matches!(set(here, owed, b"late"), Err(Error::Broken { .. })));
    assert_eq!(&*subject.connector.get(kept).unwrap().unwrap(), b"kept");
}

/// What a process or thread heard that resolved a proxy which waits and takes.
fn wait_and_take(proxy: &Proxy<Vec<u32>>) -> Result<usize, Error> {
    proxy.resolve().map(|numbers| numbers.len())
}

pub fn of_many_who_wait_for_a_value_to_take_it_one_gets_it(subject: &Subject) {
    if subject.connector.deferrable().is_none() {
        return;
    }
    let store = |connector: std::sync::Arc<dyn Connector>| {
        Store::builder("conformance").shared_connector(connector).open().unwrap()
    };
    let stores = [store(subject.connector.clone()), store(subject.second())];
    for round in 0..10 {
        let (promise, future) = stores[0].promise::<Vec<u32>>().unwrap();
        let takers: Vec<Proxy<Vec<u32>>> = (0..4)
            .map(|at| {
                stores[at % 2].future::<Vec<u32>>(future.key()).proxy().evict_on_resolve().unwrap()
            })
            .collect();
        let heard: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> =
                takers.iter().map(|taker| scope.spawn(|| wait_and_take(taker))).collect();
            std::thread::sleep(Duration::from_millis(round % 3));
            match round {
                8 => promise.fail("no numbers").unwrap(),
                9 => promise.cancel().unwrap(),
                _ => promise.set(&vec![7; 3000]).unwrap(),
            }
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let is_heard = |expected: fn(&Error) -> bool| {
            heard.iter().filter(|heard| heard.as_ref().is_err_and(expected)).count()
        };
        match round {
            8 => assert_eq!(is_heard(|error| matches!(error, Error::Failed { .. })), 4),
            9 => assert_eq!(is_heard(|error| matches!(error, Error::Cancelled { .. })), 4),
            _ => {
                assert_eq!(heard.iter().filter(|it| matches!(it, Ok(3000))).count(), 1);
                assert_eq!(is_heard(|error| matches!(error, Error::NotFound { .. })), 3);
                assert!(!future.evict().unwrap(), "it was taken");
            }
        }
        let evicted = future.evict().unwrap();
        assert_eq!(evicted, round >= 8, "why there is no value is taken by nobody");
    }
}

pub fn a_loan_is_an_object_when_it_is_published(subject: &Subject) {
    let Some(lender) = subject.connector.loaning() else { return };
    drop(lender.loan(1000, Fingerprint::BYTES).unwrap());
    let mut loan = lender.loan(3, Fingerprint::of("three")).unwrap();
    loan.copy_from_slice(b"abc");
    let key = loan.publish().unwrap();
    let block = subject.second().get(key).unwrap().unwrap();
    assert_eq!((&*block, block.fingerprint()), (&b"abc"[..], Fingerprint::of("three")));
}
