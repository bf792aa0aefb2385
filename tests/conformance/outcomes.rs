//! Promises that are not kept, and who is woken by them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::task::{Wake, Waker};
use std::time::Duration;

use inplace::connector::{Block, BlockWriter, Deferrable, Variables};
use inplace::{Error, Fingerprint, Key};

use crate::capabilities::is_told_of_promises;
use crate::processes::Other;
use crate::promises::set;
use crate::subject::Subject;
use crate::support::eventually;

/// Counts how often it is called.
#[derive(Default)]
struct Calls(AtomicUsize);

impl Wake for Calls {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

impl Calls {
    fn new() -> (Arc<Self>, Waker) {
        let calls = Arc::new(Self::default());
        (calls.clone(), calls.into())
    }

    fn count(&self) -> usize {
        self.0.load(Relaxed)
    }
}

/// Why there is no value: as a connector may say it.
fn outcome(waited: inplace::Result<Block>) -> (Fingerprint, String) {
    match waited {
        Ok(block) => (block.fingerprint(), String::from_utf8(block.to_vec()).unwrap()),
        Err(Error::Failed { message, .. }) => (Fingerprint::FAILED, message),
        Err(Error::Cancelled { .. }) => (Fingerprint::CANCELLED, String::new()),
        Err(error) => panic!("{error}"),
    }
}

pub fn a_promise_that_failed_says_why_and_a_cancelled_one_that_it_was(subject: &Subject) {
    let (Some(here), second) = (subject.connector.deferrable(), subject.second()) else { return };
    let there = second.deferrable().unwrap();
    let long = "no such file: ".repeat(9000);
    for text in ["", "no such file – “x”", &long] {
        let [failed, cancelled] = [(); 2].map(|()| here.reserve().unwrap());
        std::thread::scope(|scope| {
            let waiters = [failed, cancelled].map(|key| scope.spawn(move || there.wait(key, None)));
            std::thread::sleep(Duration::from_millis(5));
            here.fail_with(failed, text).unwrap();
            here.cancel(cancelled).unwrap();
            let heard = waiters.map(|waiter| outcome(waiter.join().unwrap()));
            assert_eq!(heard[0], (Fingerprint::FAILED, text.to_owned()));
            assert_eq!(heard[1], (Fingerprint::CANCELLED, String::new()));
        });
        for key in [failed, cancelled] {
            for instance in [here, there] {
                assert!(!instance.exists(key).unwrap(), "there is no value");
                assert_eq!(instance.exists_batch(&[key, key]).unwrap(), [false, false]);
                assert!(matches!(set(instance, key, b"late"), Err(Error::AlreadySet { .. })));
                assert!(matches!(instance.cancel(key), Err(Error::AlreadySet { .. })));
                let again = instance.fail_with(key, "again");
                assert!(matches!(again, Err(Error::AlreadySet { .. })), "{again:?}");
            }
        }
        assert_eq!(outcome(there.wait(failed, Some(Duration::ZERO))).1, text);
        assert!(second.evict(failed).unwrap() && here.evict(cancelled).unwrap());
        for key in [failed, cancelled] {
            assert!(matches!(there.wait(key, None), Err(Error::NotFound { .. })));
            assert!(matches!(here.fail_with(key, "late"), Err(Error::NotFound { .. })));
            assert!(matches!(here.cancel(key), Err(Error::NotFound { .. })));
        }
    }
    let broken = here.reserve().unwrap();
    here.fail(broken).unwrap();
    assert!(matches!(here.fail_with(broken, "late"), Err(Error::Broken { .. })));
}

pub fn whoever_watches_a_variable_is_woken_when_it_changes_or_ends(subject: &Subject) {
    let (Some(here), second) = (subject.connector.variables(), subject.second()) else { return };
    let there = second.variables().unwrap();
    let key = here.new_variable(Fingerprint::BYTES).unwrap();
    let change: [fn(&dyn Variables, Key); 3] = [
        |variables, key| {
            let fill = &mut |out: &mut BlockWriter<'_>| {
                out.write(b"value");
                Ok(())
            };
            variables.set_variable((key, None), (5, Fingerprint::BYTES), fill).unwrap();
        },
        |variables, key| {
            let nothing = (0, Fingerprint::BYTES);
            variables.set_variable((key, Some(1)), nothing, &mut |_| Ok(())).unwrap();
        },
        |variables, key| assert!(variables.evict(key).unwrap()),
    ];
    for (seen, change) in change.into_iter().enumerate() {
        let watched = [here, there].map(|instance| {
            let (calls, waker) = Calls::new();
            (calls, instance.watch_change(key, seen as u64, &waker).unwrap())
        });
        let (dropped, waker) = Calls::new();
        drop(here.watch_change(key, seen as u64, &waker).unwrap());
        std::thread::sleep(Duration::from_millis(20));
        let before = watched.each_ref().map(|(calls, _)| calls.count());
        change(there, key);
        eventually("both are woken", || {
            watched.iter().zip(before).all(|((calls, _), before)| calls.count() > before)
        });
        assert_eq!(dropped.count(), 0, "nobody is called once its watch is dropped");
        let (late, waker) = Calls::new();
        let _watch = here.watch_change(key, seen as u64, &waker).unwrap();
        eventually("it is so already", || late.count() > 0);
    }
}

type End = fn(&dyn Deferrable, Key);

pub fn whoever_watches_is_woken_when_there_is_something_to_hear(subject: &Subject) {
    let (Some(here), second) = (subject.connector.deferrable(), subject.second()) else { return };
    let there = second.deferrable().unwrap();
    let ends: [End; 5] = [
        |promises, key| set(promises, key, b"value").unwrap(),
        |promises, key| promises.fail(key).unwrap(),
        |promises, key| promises.fail_with(key, "why").unwrap(),
        |promises, key| promises.cancel(key).unwrap(),
        |promises, key| assert!(promises.evict(key).unwrap()),
    ];
    for end in ends {
        let key = here.reserve().unwrap();
        let watched = [here, there].map(|instance| {
            let (calls, waker) = Calls::new();
            (calls, instance.watch(key, &waker).unwrap())
        });
        std::thread::sleep(Duration::from_millis(40));
        if is_told_of_promises(&subject.config) {
            assert!(watched.iter().all(|(calls, _)| calls.count() == 0), "nothing to hear yet");
        }
        assert!(matches!(there.wait(key, Some(Duration::ZERO)), Err(Error::TimedOut { .. })));
        let before = watched.each_ref().map(|(calls, _)| calls.count());
        end(here, key);
        eventually("both are woken", || {
            watched.iter().zip(before).all(|((calls, _), before)| calls.count() > before)
        });
        let heard = there.wait(key, Some(Duration::ZERO));
        assert!(!matches!(heard, Err(Error::TimedOut { .. })), "{heard:?}");
    }
    if subject.reaches_processes {
        let mut other = Other::start("promiser", subject, &[]);
        let [_, owed]: [Key; 2] = std::array::from_fn(|_| other.key());
        let (calls, waker) = Calls::new();
        let _watch = here.watch(owed, &waker).unwrap();
        other.program.kill();
        let heard = || here.wait(owed, Some(Duration::ZERO));
        eventually("the death is heard of", || {
            calls.count() > 0 && !matches!(heard(), Err(Error::TimedOut { .. }))
        });
        assert!(matches!(heard(), Err(Error::Broken { .. })));
    }
}

pub fn a_watch_that_is_dropped_or_late_calls_as_it_should(subject: &Subject) {
    let Some(promises) = subject.connector.deferrable() else { return };
    let key = promises.reserve().unwrap();
    let (calls, waker) = Calls::new();
    drop(promises.watch(key, &waker).unwrap());
    std::thread::sleep(Duration::from_millis(30));
    let before = calls.count();
    set(promises, key, b"value").unwrap();
    std::thread::sleep(Duration::from_millis(60));
    assert_eq!(calls.count(), before, "dropped, it calls nobody");
    let put = subject.connector.put(b"never promised").unwrap();
    let gone = subject.connector.put(b"gone").unwrap();
    assert!(subject.connector.evict(gone).unwrap());
    for key in [key, put, gone] {
        let (calls, waker) = Calls::new();
        let _watch = promises.watch(key, &waker).unwrap();
        eventually("what is there already is told", || calls.count() > 0);
    }
}

pub fn of_several_who_adopt_a_promise_one_keeps_it(subject: &Subject) {
    let (Some(here), second) = (subject.connector.deferrable(), subject.second()) else { return };
    let there = second.deferrable().unwrap();
    let key = here.reserve().unwrap();
    let offer = match here.offer(key) {
        Err(Error::Unsupported { .. }) => return,
        offer => offer.unwrap(),
    };
    let adopted = std::thread::scope(|scope| {
        let adopters: Vec<_> = [here, there, here, there]
            .into_iter()
            .map(|instance| scope.spawn(move || instance.adopt(key, offer)))
            .collect();
        adopters.into_iter().map(|adopter| adopter.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(adopted.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{adopted:?}");
    let refused =
        |outcome: &inplace::Result<()>| matches!(outcome, Err(Error::AlreadyAdopted { .. }));
    assert_eq!(adopted.iter().filter(|outcome| refused(outcome)).count(), 3, "{adopted:?}");
    set(there, key, b"kept").unwrap();
    assert_eq!(&*here.wait(key, None).unwrap(), b"kept");
    assert!(matches!(here.offer(key), Err(Error::AlreadySet { .. })));
}
