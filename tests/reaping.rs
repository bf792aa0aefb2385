//! What the dead leave is undone by whoever comes next, also when that one dies; who is only stopped delays nobody.

mod support;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inplace::{Error, Fingerprint, Key, Region, RegionOptions};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use support::random::Random;
use support::shared::{Atomics, Shared};
use support::{Forked, eventually, payload, start_child, watch};

const CAPACITY: usize = 32 << 20;

struct Talk {
    ready: AtomicU32,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Talk {}

fn start() -> (MutexGuard<'static, ()>, Region, Shared<Talk>) {
    static ALONE: Mutex<()> = Mutex::new(());
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    watch();
    let options =
        RegionOptions::new().capacity(CAPACITY as u64).max_objects(5000).max_participants(8);
    (alone, options.anonymous().unwrap(), Shared::new())
}

fn here(region: &Region) -> Region {
    Region::attached(region.id()).unwrap().unwrap()
}

/// A child that does something, keeps what that returned, and waits to be killed.
fn keeper<T>(region: &Region, talk: Shared<Talk>, f: impl FnOnce(&Region) -> T) -> Forked {
    talk.ready.store(0, Ordering::SeqCst);
    let child = start_child(|| {
        let region = here(region);
        let _kept = f(&region);
        talk.ready.store(1, Ordering::SeqCst);
        loop {
            std::thread::sleep(Duration::from_secs(100));
        }
    });
    eventually("the child has what it wants", || talk.ready.load(Ordering::SeqCst) == 1);
    child
}

fn assert_empty(region: &Region) {
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{report}");
    let left = (report.objects, report.retired, report.pending, report.in_progress, report.pins);
    assert_eq!(
        (left, report.bytes_in_use, report.participants),
        ((0, 0, 0, 0, 0), 0, 1),
        "{report}"
    );
}

fn evict_all(region: &Region) {
    region.keys().unwrap().into_iter().for_each(|key| assert!(region.evict(key).unwrap()));
}

#[test]
fn all_memory_of_a_killed_process_is_there_for_the_next_put() {
    let (_alone, region, talk) = start();
    let whole = vec![1; CAPACITY];
    let mut slowest = Duration::ZERO;
    for round in 0..10 {
        let child = keeper(&region, talk, |region| {
            let loans: Vec<_> = match round % 3 {
                0 => vec![CAPACITY],
                1 => vec![1 << 20; 32],
                _ => vec![1000; 4000],
            };
            loans
                .into_iter()
                .map(|len| region.loan(len, Fingerprint::BYTES).unwrap())
                .collect::<Vec<_>>()
        });
        assert!(matches!(region.put(&whole), Err(Error::OutOfSpace { .. })));
        kill(child.0, Signal::SIGKILL).unwrap();
        let killed = Instant::now();
        let key = loop {
            match region.put(&whole) {
                Ok(key) => break key,
                Err(Error::OutOfSpace { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        };
        slowest = slowest.max(killed.elapsed());
        child.wait();
        assert!(region.evict(key).unwrap());
        assert_empty(&region);
    }
    println!(
        "32 MiB of a killed process were used again after {slowest:?} at most, their copying included"
    );
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
}

#[test]
fn evicted_objects_that_only_the_dead_had_pinned_are_reclaimed() {
    let (_alone, region, talk) = start();
    let keys: Vec<Key> =
        (0..100).map(|i| region.put(&payload::make(i, 100_000)).unwrap()).collect();
    let child = keeper(&region, talk, |region| {
        keys.iter().map(|&key| region.get(key).unwrap().unwrap()).collect::<Vec<_>>()
    });
    evict_all(&region);
    let report = region.check().unwrap();
    assert_eq!((report.objects, report.retired, report.pins), (0, 100, 100), "{report}");
    child.kill();
    assert_eq!(region.reap().unwrap(), 1);
    assert_empty(&region);
}

/// A process's unfinished business of every kind.
fn make_a_mess(region: &Region, seed: u64) -> impl Sized + use<> {
    let mut random = Random::new(seed);
    let mut loans = Vec::new();
    let mut views = Vec::new();
    for round in 0..60 {
        loans.extend(region.loan(random.below(200_000) as usize, Fingerprint::BYTES));
        if let Ok(key) = region.put(&payload::make(3, random.below(3000) as usize)) {
            views.extend(region.get(key).unwrap());
            if round % 2 == 0 {
                region.evict(key).unwrap();
            }
        }
        let _ = region.reserve();
    }
    (loans, views)
}

#[test]
fn a_reaper_killed_at_any_moment_leaves_the_rest_to_the_next() {
    let (_alone, region, talk) = start();
    let mut random = Random::new(Random::seed("killed reapers"));
    let (mut rounds, mut killed_reapers, start) = (0, 0, Instant::now());
    while start.elapsed() < Duration::from_secs(2) {
        let seed = random.draw();
        let child = keeper(&region, talk, |region| make_a_mess(region, seed));
        child.kill();
        for _ in 0..3 {
            let reaper = start_child(|| i32::from(here(&region).reap().is_err()));
            let limit = [100, 1000, 5000][random.below(3) as usize];
            std::thread::sleep(random.micros(limit));
            let _ = kill(reaper.0, Signal::SIGKILL);
            let ended = reaper.wait();
            killed_reapers += u32::from(matches!(ended, nix::sys::wait::WaitStatus::Signaled(..)));
        }
        region.reap().unwrap();
        let report = region.check().unwrap();
        assert!(report.is_clean(), "{report}");
        assert_eq!(
            (report.in_progress, report.retired, report.pins, report.participants),
            (0, 0, 0, 1),
            "{report}"
        );
        evict_all(&region);
        assert_empty(&region);
        rounds += 1;
    }
    println!("{rounds} messes, {killed_reapers} reapers killed before they were done");
    assert!(killed_reapers > 10);
}

/// Everything a process may want to do, each within a time limit.
fn do_everything(region: &Region, pinned: &[Key], slowest: &mut Duration) {
    let mut timed = |what: &str, f: &mut dyn FnMut()| {
        let start = Instant::now();
        f();
        let took = start.elapsed();
        *slowest = (*slowest).max(took);
        assert!(took < Duration::from_secs(1), "{what} took {took:?} beside a stopped process");
    };
    for len in [0, 100, 5000, 40_000, 1 << 20] {
        let mut key = None;
        timed("put", &mut || key = Some(region.put(&payload::make(9, len)).unwrap()));
        let key = key.unwrap();
        timed("get", &mut || {
            assert_eq!(payload::blame(Some(9), &region.get(key).unwrap().unwrap()), None)
        });
        timed("bind", &mut || {
            region.bind("a name", key).unwrap();
        });
        timed("lookup", &mut || assert_eq!(region.lookup("a name").unwrap(), Some(key)));
        timed("unbind", &mut || {
            region.unbind("a name").unwrap();
        });
        timed("take", &mut || drop(region.take(key).unwrap().unwrap()));
    }
    timed("promise", &mut || {
        let key = region.reserve().unwrap();
        region.set(key, &[1; 70_000]).unwrap();
        assert_eq!(region.wait(key, None).unwrap().len(), 70_000);
        region.evict(key).unwrap();
    });
    timed("loan", &mut || drop(region.loan(300_000, Fingerprint::BYTES).unwrap()));
    timed("reap", &mut || assert_eq!(region.reap().unwrap(), 0));
    timed("trim", &mut || {
        region.trim().unwrap();
    });
    for &key in pinned {
        timed("evict", &mut || {
            region.evict(key).unwrap();
        });
    }
}

/// What a process that will be stopped does all the time.
fn churn(region: &Region, seed: u64) -> ! {
    let mut random = Random::new(seed);
    loop {
        let len = [100, 5000, 40_000, 500_000, 4 << 20][random.below(5) as usize];
        let Ok(key) = region.put(&payload::make(1, random.below(len) as usize)) else { continue };
        let view = region.get(key).unwrap();
        let _ = region.bind(&format!("churned {}", random.below(3)), key);
        if random.one_in(3) {
            let _ = region.trim();
        }
        if let Ok(promise) = region.reserve() {
            let _ = region.set(promise, b"x");
            let _ = region.evict(promise);
        }
        drop(view);
        let _ = region.evict(key);
    }
}

fn stop(child: &Forked) {
    kill(child.0, Signal::SIGSTOP).unwrap();
    waitpid(child.0, Some(WaitPidFlag::WUNTRACED)).unwrap();
}

#[test]
fn a_process_stopped_at_any_moment_delays_no_operation_of_another() {
    let (_alone, region, talk) = start();
    let mut random = Random::new(Random::seed("stopped processes"));
    let (mut slowest, mut rounds, start) = (Duration::ZERO, 0, Instant::now());
    while start.elapsed() < Duration::from_secs(3) {
        let seeds = [random.draw(), random.draw()];
        let children = seeds.map(|seed| start_child(|| churn(&here(&region), seed)));
        for _ in 0..5 {
            std::thread::sleep(random.micros(8000));
            children.iter().for_each(stop);
            do_everything(&region, &[], &mut slowest);
            children.iter().for_each(|child| kill(child.0, Signal::SIGCONT).unwrap());
            rounds += 1;
        }
        children.into_iter().for_each(Forked::kill);
        assert_eq!(region.reap().unwrap(), 2);
        for name in 0..3 {
            region.unbind(&format!("churned {name}")).unwrap();
        }
        evict_all(&region);
        assert_empty(&region);
    }
    let _ = talk;
    println!(
        "{rounds} times two processes were stopped; the slowest operation of another took {slowest:?}"
    );
}

#[test]
fn a_stopped_holder_of_pins_and_loans_delays_only_the_reuse_of_their_memory() {
    let (_alone, region, talk) = start();
    let keys: Vec<Key> = (0..20).map(|i| region.put(&payload::make(i, 50_000)).unwrap()).collect();
    let child = keeper(&region, talk, |region| {
        let views: Vec<_> = keys.iter().map(|&key| region.get(key).unwrap().unwrap()).collect();
        (views, make_a_mess(region, 1))
    });
    stop(&child);
    let mut slowest = Duration::ZERO;
    do_everything(&region, &keys, &mut slowest);
    assert!(
        keys.iter().all(|&key| !region.exists(key).unwrap() && region.get(key).unwrap().is_none())
    );
    assert!(region.check().unwrap().is_clean());
    println!("beside a stopped holder of pins and loans the slowest operation took {slowest:?}");
    child.kill();
    assert_eq!(region.reap().unwrap(), 1);
    evict_all(&region);
    assert_empty(&region);
}

#[test]
fn a_reaper_stopped_at_any_moment_delays_no_operation_and_is_followed_by_another_when_it_dies() {
    let (_alone, region, talk) = start();
    let mut random = Random::new(Random::seed("stopped reapers"));
    let mut slowest = Duration::ZERO;
    for _ in 0..40 {
        let seed = random.draw();
        let dead = keeper(&region, talk, |region| make_a_mess(region, seed));
        dead.kill();
        let reaper = start_child(|| i32::from(here(&region).reap().is_err()));
        std::thread::sleep(random.micros(3000));
        // It may be done already.
        let _ = kill(reaper.0, Signal::SIGSTOP);
        waitpid(reaper.0, Some(WaitPidFlag::WUNTRACED | WaitPidFlag::WNOWAIT)).ok();
        let before = region.keys().unwrap();
        let key = region.put(b"meanwhile").unwrap();
        let start = Instant::now();
        assert_eq!(&*region.take(key).unwrap().unwrap(), b"meanwhile");
        let _ = (region.reap().unwrap(), region.trim().unwrap());
        for key in before {
            region.evict(key).unwrap();
        }
        slowest = slowest.max(start.elapsed());
        let _ = kill(reaper.0, Signal::SIGKILL);
        reaper.wait();
        region.reap().unwrap();
        evict_all(&region);
        assert_empty(&region);
    }
    println!(
        "beside stopped reapers a take, a reap, a trim and all evictions together took {slowest:?} at most"
    );
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}
