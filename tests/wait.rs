//! Promises across processes: whoever waits gets the value, or learns at once that there will be none.

mod support;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inplace::{Error, Fingerprint, Key, Region, RegionOptions};
use support::shared::{Atomics, Shared};
use support::{Forked, eventually, payload, start_child, watch};

/// What the processes of a test tell one another.
struct Talk {
    key: AtomicU64,
    stage: AtomicU32,
    waiting: AtomicU32,
    done: AtomicU32,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Talk {}

impl Talk {
    fn say(&self, stage: u32) {
        self.stage.store(stage, Ordering::SeqCst);
    }

    fn hear(&self, stage: u32) {
        eventually("another process says its word", || self.stage.load(Ordering::SeqCst) >= stage);
    }
}

fn start() -> (MutexGuard<'static, ()>, Region, Shared<Talk>) {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    watch();
    let options = RegionOptions::new().capacity(8 << 20).max_objects(1000).max_participants(32);
    (alone, options.anonymous().unwrap(), Shared::new())
}

fn here(region: &Region) -> Region {
    Region::attached(region.id()).unwrap().unwrap()
}

/// A child that promises an object, says which, does `then`, and waits to be killed.
fn promiser(region: &Region, talk: Shared<Talk>, then: impl FnOnce(&Region, Key)) -> Forked {
    let child = start_child(|| {
        let region = here(region);
        let key = region.reserve().unwrap();
        talk.key.store(key.object(), Ordering::SeqCst);
        talk.say(1);
        then(&region, key);
        sleep_for_ever()
    });
    talk.hear(1);
    child
}

fn sleep_for_ever() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(100));
    }
}

fn key_of(region: &Region, talk: Shared<Talk>) -> Key {
    Key::new(region.id(), talk.key.load(Ordering::SeqCst))
}

/// Children that wait for the object, and note when they had an answer that `is_expected`.
fn waiters(
    region: &Region,
    talk: Shared<Talk>,
    (processes, threads): (usize, usize),
    is_expected: fn(Result<Vec<u8>, Error>) -> bool,
) -> Vec<Forked> {
    let key = key_of(region, talk);
    let wait = move |region: &Region| {
        talk.waiting.fetch_add(1, Ordering::SeqCst);
        let answer = region.wait(key, Some(Duration::from_secs(20)));
        if is_expected(answer.map(|view| view.to_vec())) {
            talk.done.fetch_add(1, Ordering::SeqCst);
        }
    };
    let start = |_| {
        start_child(|| {
            let region = here(region);
            std::thread::scope(|scope| {
                (0..threads).for_each(|_| drop(scope.spawn(|| wait(&region))))
            });
            0
        })
    };
    let children = (0..processes).map(start).collect();
    eventually("all wait", || talk.waiting.load(Ordering::SeqCst) as usize == processes * threads);
    std::thread::sleep(Duration::from_millis(20));
    children
}

fn join(children: Vec<Forked>) {
    for child in children {
        assert!(matches!(child.wait(), nix::sys::wait::WaitStatus::Exited(_, 0)));
    }
}

fn assert_clean(region: &Region) {
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.in_progress == 0, "{report}");
}

#[test]
fn a_killed_promiser_breaks_its_promise_within_200_milliseconds() {
    let (_alone, region, talk) = start();
    let mut slowest = Duration::ZERO;
    for round in 0..10_u64 {
        talk.say(0);
        let child = promiser(&region, talk, |_, _| ());
        let key = key_of(&region, talk);
        std::thread::scope(|scope| {
            let waiter =
                scope.spawn(|| (region.wait(key, Some(Duration::from_secs(10))), Instant::now()));
            std::thread::sleep(Duration::from_millis(11 * round));
            let killed = Instant::now();
            child.kill();
            let (answer, at) = waiter.join().unwrap();
            assert!(matches!(answer, Err(Error::Broken { .. })), "{answer:?}");
            slowest = slowest.max(at - killed);
        });
        assert!(
            matches!(region.wait(key, None), Err(Error::Broken { .. })),
            "broken for everyone, at once"
        );
        assert!(region.evict(key).unwrap());
    }
    println!("a waiter learns of its promiser's death after {slowest:?} at most");
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
    assert_clean(&region);
}

#[test]
fn a_promise_whose_setter_was_killed_while_filling_can_still_be_set_as_long_as_its_keeper_lives() {
    let (_alone, region, talk) = start();
    for len in [100_usize, 300_000] {
        talk.say(0);
        let key = region.reserve().unwrap();
        talk.key.store(key.object(), Ordering::SeqCst);
        let setter = start_child(|| {
            let fill = &mut |out: &mut inplace::connector::BlockWriter<'_>| {
                out.write(&vec![0xBB; len / 2]);
                talk.say(1);
                sleep_for_ever()
            };
            here(&region).set_with(key, len, Fingerprint::BYTES, fill).unwrap();
            0
        });
        talk.hear(1);
        assert!(matches!(region.set(key, b"too late"), Err(Error::AlreadySet { .. })));
        let waiter = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| region.wait(key, Some(Duration::from_secs(10))).unwrap());
            std::thread::sleep(Duration::from_millis(30));
            setter.kill();
            assert_eq!(region.reap().unwrap(), 1);
            assert!(matches!(
                region.wait(key, Some(Duration::from_millis(1))),
                Err(Error::TimedOut { .. })
            ));
            region.set(key, &payload::make(5, len)).unwrap();
            waiter.join().unwrap()
        });
        assert_eq!(payload::blame(Some(5), &waiter), None);
        drop(waiter);
        assert!(region.evict(key).unwrap());
        assert_clean(&region);
        assert_eq!(region.check().unwrap().bytes_in_use, 0);
    }
}

#[test]
fn a_promise_is_broken_when_the_setter_dies_after_the_keeper() {
    let (_alone, region, talk) = start();
    let keeper = promiser(&region, talk, |_, _| ());
    let key = key_of(&region, talk);
    let setter = start_child(|| {
        let fill = &mut |_: &mut inplace::connector::BlockWriter<'_>| {
            talk.say(2);
            sleep_for_ever()
        };
        here(&region).set_with(key, 50_000, Fingerprint::BYTES, fill).unwrap();
        0
    });
    talk.hear(2);
    keeper.kill();
    assert_eq!(region.reap().unwrap(), 1);
    let waited = region.wait(key, Some(Duration::from_millis(5)));
    assert!(
        matches!(waited, Err(Error::TimedOut { .. })),
        "the setter may still bring it: {waited:?}"
    );
    setter.kill();
    let start = Instant::now();
    assert!(matches!(region.wait(key, None), Err(Error::Broken { .. })));
    assert!(start.elapsed() < Duration::from_millis(200), "{:?}", start.elapsed());
    assert_clean(&region);
}

#[test]
fn a_setter_that_gives_up_after_its_keeper_died_breaks_the_promise() {
    let (_alone, region, talk) = start();
    let keeper = promiser(&region, talk, |_, _| ());
    let key = key_of(&region, talk);
    let mut keeper = Some(keeper);
    let refused = region.set_with(key, 10, Fingerprint::BYTES, &mut |_| {
        keeper.take().unwrap().kill();
        assert_eq!(region.reap().unwrap(), 1);
        Err(Error::Codec { codec: "test", what: "no value".into() })
    });
    assert!(matches!(refused, Err(Error::Codec { .. })));
    assert!(matches!(region.wait(key, None), Err(Error::Broken { .. })));
    assert_clean(&region);
}

#[test]
fn a_value_set_by_another_process_outlives_its_promiser() {
    let (_alone, region, talk) = start();
    let keeper = promiser(&region, talk, |_, _| ());
    let key = key_of(&region, talk);
    region.set(key, b"kept").unwrap();
    keeper.kill();
    assert_clean(&region);
    assert_eq!(&*region.wait(key, None).unwrap(), b"kept");
}

#[test]
fn every_waiter_in_every_process_wakes_on_set_fail_and_evict() {
    let (_alone, region, talk) = start();
    type Act = fn(&Region, Key);
    type IsExpected = fn(Result<Vec<u8>, Error>) -> bool;
    let cases: [(&str, Act, IsExpected); 3] = [
        (
            "set",
            |region, key| region.set(key, b"value").unwrap(),
            |answer| answer.unwrap() == b"value",
        ),
        (
            "fail",
            |region, key| region.fail(key).unwrap(),
            |answer| matches!(answer, Err(Error::Broken { .. })),
        ),
        (
            "evict",
            |region, key| assert!(region.evict(key).unwrap()),
            |answer| matches!(answer, Err(Error::NotFound { .. })),
        ),
    ];
    for (what, act, is_expected) in cases {
        talk.waiting.store(0, Ordering::SeqCst);
        talk.done.store(0, Ordering::SeqCst);
        let key = region.reserve().unwrap();
        talk.key.store(key.object(), Ordering::SeqCst);
        let children = waiters(&region, talk, (6, 8), is_expected);
        let acted = Instant::now();
        act(&region, key);
        eventually(what, || talk.done.load(Ordering::SeqCst) == 48);
        println!("48 waiters in 6 processes woke {:?} after {what}", acted.elapsed());
        join(children);
        region.evict(key).unwrap();
        assert_clean(&region);
    }
}

#[test]
fn waiters_of_a_value_being_written_learn_of_its_eviction_before_the_writer_is_done() {
    let (_alone, region, _) = start();
    let key = region.reserve().unwrap();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| region.wait(key, Some(Duration::from_secs(10))));
        std::thread::sleep(Duration::from_millis(10));
        let mut waiter = Some(waiter);
        let late = region.set_with(key, 5, Fingerprint::BYTES, &mut |out| {
            out.write(b"late!");
            assert!(region.evict(key).unwrap());
            let answer = waiter.take().unwrap().join().unwrap();
            assert!(matches!(answer, Err(Error::NotFound { .. })), "{answer:?}");
            Ok(())
        });
        assert!(
            matches!(late, Err(Error::NotFound { .. })),
            "the writer learns that it wrote in vain: {late:?}"
        );
    });
    assert_clean(&region);
    assert_eq!(region.check().unwrap().bytes_in_use, 0);
}

#[test]
fn a_timeout_is_kept_and_a_value_that_is_there_needs_no_waiting() {
    let (_alone, region, _) = start();
    let key = region.reserve().unwrap();
    for millis in [0, 1, 30, 250] {
        let (limit, start) = (Duration::from_millis(millis), Instant::now());
        let answer = region.wait(key, Some(limit));
        let took = start.elapsed();
        assert!(
            matches!(answer, Err(Error::TimedOut { waited, .. }) if waited >= limit),
            "{answer:?}"
        );
        assert!(
            took >= limit && took < limit + Duration::from_millis(100),
            "{took:?} instead of {limit:?}"
        );
    }
    region.set(key, b"there").unwrap();
    assert_eq!(&*region.wait(key, Some(Duration::ZERO)).unwrap(), b"there");
    region.evict(key).unwrap();
    assert!(matches!(region.wait(key, None), Err(Error::NotFound { .. })));
}

#[test]
fn a_forked_child_can_set_what_its_parent_promised_but_not_fail_it() {
    let (_alone, region, _) = start();
    let key = region.reserve().unwrap();
    let code = support::in_child(|| {
        let region = here(&region);
        let refused = region.fail(key);
        assert!(matches!(refused, Err(Error::NotOwner { .. })), "{refused:?}");
        region.set(key, b"by the child").unwrap();
        0
    });
    assert_eq!(code, 0);
    assert_eq!(&*region.wait(key, None).unwrap(), b"by the child");
}

#[test]
fn a_stopped_promiser_is_waited_for_and_not_declared_dead() {
    let (_alone, region, talk) = start();
    let child = promiser(&region, talk, |region, key| {
        talk.hear(2);
        region.set(key, b"after a pause").unwrap();
    });
    let key = key_of(&region, talk);
    nix::sys::signal::kill(child.0, nix::sys::signal::Signal::SIGSTOP).unwrap();
    let answer = region.wait(key, Some(Duration::from_millis(350)));
    assert!(matches!(answer, Err(Error::TimedOut { .. })), "{answer:?}");
    nix::sys::signal::kill(child.0, nix::sys::signal::Signal::SIGCONT).unwrap();
    talk.say(2);
    assert_eq!(&*region.wait(key, None).unwrap(), b"after a pause");
    child.kill();
    assert_clean(&region);
}

#[test]
fn a_stopped_reaper_keeps_nobody_waiting_for_a_promise_of_the_dead() {
    let (_alone, _, talk) = start();
    let name = support::Name::new("stopped-reaper");
    let options = RegionOptions::new().capacity(8 << 20).max_objects(1000);
    let region = options.create(&name).unwrap();
    let child = promiser(&region, talk, |_, _| ());
    // As one who was elected to reap the child, and was stopped.
    let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
    assert_eq!(support::lock(&file, libc::F_WRLCK, 8192 + 1), 0);
    child.kill();
    let key = key_of(&region, talk);
    let answer = region.wait(key, Some(Duration::from_secs(5)));
    assert!(matches!(answer, Err(Error::Broken { .. })), "{answer:?}");
    assert_eq!(region.reap().unwrap(), 0);
    drop(file);
    assert_eq!(region.reap().unwrap(), 1);
    assert!(region.evict(key).unwrap());
    assert_clean(&region);
}

#[test]
fn a_stopped_reaper_keeps_nobody_waiting_for_a_value_its_writer_died_over() {
    let (_alone, _, talk) = start();
    let name = support::Name::new("stopped-reaper-filling");
    let options = RegionOptions::new().capacity(8 << 20).max_objects(1000);
    let region = options.create(&name).unwrap();
    let child = promiser(&region, talk, |region, key| {
        let never = &mut |_: &mut inplace::connector::BlockWriter<'_>| {
            talk.say(3);
            talk.hear(4);
            Ok(())
        };
        region.set_with(key, 100, inplace::Fingerprint::BYTES, never).unwrap();
    });
    let key = key_of(&region, talk);
    talk.hear(3);
    let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
    assert_eq!(support::lock(&file, libc::F_WRLCK, 8192 + 1), 0);
    child.kill();
    let answer = region.wait(key, Some(Duration::from_secs(5)));
    assert!(matches!(answer, Err(Error::Broken { .. })), "{answer:?}");
    drop(file);
    assert_eq!(region.reap().unwrap(), 1);
    assert!(region.evict(key).unwrap());
    assert_clean(&region);
}

#[test]
fn who_was_told_that_a_promise_broke_never_finds_its_value_later() {
    let (_alone, _, talk) = start();
    let name = support::Name::new("broken-for-good");
    let options = RegionOptions::new().capacity(8 << 20).max_objects(1000);
    let region = options.create(&name).unwrap();
    let keeper = promiser(&region, talk, |_, _| ());
    let key = key_of(&region, talk);
    let writer = start_child(|| {
        let never = &mut |_: &mut inplace::connector::BlockWriter<'_>| {
            talk.say(3);
            sleep_for_ever()
        };
        here(&region).set_with(key, 100, Fingerprint::BYTES, never).unwrap();
        sleep_for_ever()
    });
    talk.hear(3);
    // As those who were elected to reap the two, and were stopped.
    let elected = |participant: i64| {
        let file = std::fs::File::options().read(true).write(true).open(name.path()).unwrap();
        assert_eq!(support::lock(&file, libc::F_WRLCK, 8192 + participant), 0);
        file
    };
    let (keepers, writers) = (elected(1), elected(2));
    keeper.kill();
    writer.kill();
    let is_broken = |answer: Result<(), Error>| {
        assert!(matches!(answer, Err(Error::Broken { .. })), "{answer:?}");
    };
    let wait = || region.wait(key, Some(Duration::from_secs(5))).map(drop);
    is_broken(wait());
    is_broken(region.set(key, b"late"));
    drop(writers);
    assert_eq!(region.reap().unwrap(), 1);
    is_broken(region.set(key, b"late"));
    is_broken(wait());
    drop(keepers);
    assert_eq!(region.reap().unwrap(), 1);
    assert!(region.evict(key).unwrap());
    assert_clean(&region);
}

#[test]
fn evicted_while_its_value_is_written_an_object_is_gone_for_everybody_at_once() {
    let (_alone, region, _) = start();
    let key = region.reserve().unwrap();
    region.bind("name", key).unwrap();
    let is_gone = |outcome| matches!(outcome, Err(Error::NotFound { .. }));
    let set = region.set_with(key, 4, Fingerprint::BYTES, &mut |out| {
        out.write(b"late");
        assert!(region.evict(key).unwrap() && !region.evict(key).unwrap());
        assert_eq!(region.lookup("name").unwrap(), None);
        assert_eq!(region.keys().unwrap(), []);
        assert!(is_gone(region.set(key, b"other")));
        assert!(is_gone(region.fail(key)));
        assert!(is_gone(region.bind("name", key).map(drop)));
        assert!(is_gone(region.wait(key, Some(Duration::ZERO)).map(drop)));
        Ok(())
    });
    assert!(is_gone(set));
}
