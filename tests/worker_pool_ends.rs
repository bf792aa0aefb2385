//! How worker pools end, fail and fill up: everybody who waits hears of it.

mod support;

use std::time::{Duration, Instant};

use inplace::connector::ShmConnector;
use inplace::{Error, QueueOptions, RegionOptions, Store, Worker, WorkerPool};
use nix::sys::signal::Signal;
use support::pools::*;
use support::{alone, eventually, start_child};

type Numbers = WorkerPool<u64, u64>;

/// Says its number, or takes for ever.
fn numbers(store: &Store, workers: usize) -> Numbers {
    Numbers::fork(store, workers, |n| match n.to_native() {
        0 => for_ever(),
        n => Ok::<_, String>(n),
    })
    .unwrap()
}

#[test]
fn a_state_that_dies_at_its_end_keeps_nobody_from_joining() {
    struct Bad(bool);
    impl Drop for Bad {
        fn drop(&mut self) {
            if self.0 {
                kill_me();
            }
            panic!("teardown");
        }
    }
    let _alone = alone();
    let (region, store) = world();
    for is_killed in [false, true] {
        let pool = Numbers::builder(&store)
            .workers(2)
            .init(move |_| Bad(is_killed))
            .fork(|_, n| Ok::<_, String>(n.to_native()))
            .unwrap();
        assert_eq!(*pool.submit(&1).unwrap().wait(LIMIT).unwrap(), 1);
        pool.join().unwrap();
    }
    assert_nothing_left(&region);
}

#[test]
fn workers_that_die_before_they_did_anything_are_no_fork_bomb() {
    let _alone = alone();
    let (region, store) = world();
    let forked = counts();
    let pool = Numbers::builder(&store)
        .workers(1)
        .init(move |_| {
            forked.add(0);
            let soon = libc::timeval { tv_sec: 0, tv_usec: 1000 };
            let never = libc::timeval { tv_sec: 0, tv_usec: 0 };
            let once = libc::itimerval { it_interval: never, it_value: soon };
            // SAFETY: has this child killed after a millisecond; the time is read from this stack.
            unsafe {
                libc::signal(libc::SIGALRM, libc::SIG_DFL);
                libc::setitimer(libc::ITIMER_REAL, &raw const once, std::ptr::null_mut());
            }
        })
        .fork(|(), n| Ok::<_, String>(n.to_native()))
        .unwrap();
    std::thread::sleep(Duration::from_millis(600));
    pool.kill();
    assert!((3..=12).contains(&forked.get(0)), "{} workers were forked", forked.get(0));
    assert_nothing_left(&region);
}

#[test]
fn a_pool_one_of_whose_seats_is_given_up_is_joined_when_the_others_are_done() {
    let _alone = alone();
    let (region, store) = world();
    let forked = counts();
    let pool = Numbers::builder(&store)
        .workers(2)
        .init(move |number| {
            if number == 1 {
                forked.add(0);
                panic!("no");
            }
        })
        .fork(|(), n| Ok::<_, String>(n.to_native()))
        .unwrap();
    eventually("it was tried often enough", || forked.get(0) == 10);
    for n in 1..10 {
        assert_eq!(*pool.submit(&n).unwrap().wait(LIMIT).unwrap(), n);
    }
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn there_are_no_more_workers_than_may_take_part_in_the_region() {
    let _alone = alone();
    support::watch();
    let region = RegionOptions::new().capacity(1 << 22).max_participants(3).anonymous().unwrap();
    let store = Store::builder("few").connector(ShmConnector::new(region.clone())).open().unwrap();
    let refused = Numbers::fork(&store, 2, |n| Ok::<_, String>(n.to_native()));
    let Err(Error::InvalidConfig { found, expected, .. }) = refused else { panic!("{refused:?}") };
    assert!(found == "2" && expected.contains("at most 1"), "{found} {expected}");
    let pool = Numbers::builder(&store).fork(|(), n| Ok::<_, String>(n.to_native())).unwrap();
    assert_eq!(*pool.submit(&7).unwrap().wait(LIMIT).unwrap(), 7);
    eventually("there are as many as there is room for", || pool.workers().len() == 1);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn a_result_that_somebody_owns_outlives_its_task_also_in_a_queue() {
    let _alone = alone();
    let (region, store) = world();
    let pool = numbers(&store, 1);
    let own = |n: u64| {
        let task = pool.submit(&n).unwrap();
        assert_eq!(*task.wait(LIMIT).unwrap(), n);
        let owned = task.proxy().into_owned().unwrap();
        (task, owned)
    };
    let (task, owned) = own(5);
    drop(task);
    assert_eq!(*owned, 5);
    let queue = store.queue_new::<u64>(2).unwrap();
    let (task, sent) = own(6);
    queue.sender().unwrap().send_owned(sent).unwrap();
    drop(task);
    let message = queue.receiver().unwrap().recv().unwrap().unwrap();
    assert_eq!(*message, 6);
    message.ack().unwrap();
    pool.join().unwrap();
    drop(owned);
    assert!(queue.evict().unwrap());
    assert_nothing_left(&region);
}

#[test]
fn a_task_that_is_kept_hears_how_its_pool_ended() {
    let _alone = alone();
    let (region, store) = world();
    let pool = numbers(&store, 1);
    let done = pool.submit(&5).unwrap().keep();
    assert_eq!(*done.wait(LIMIT).unwrap(), 5);
    let tasks: Vec<_> = (0..3).map(|_| pool.submit(&0).unwrap().keep()).collect();
    std::thread::sleep(Duration::from_millis(20));
    pool.kill();
    for task in &tasks {
        let heard = task.wait(LIMIT).unwrap_err();
        assert!(matches!(heard, Error::Cancelled { .. }), "{heard}");
        task.evict().unwrap();
    }
    assert_eq!(*done.wait(LIMIT).unwrap(), 5, "what is done, is");
    done.evict().unwrap();

    let hopeless = Numbers::builder(&store).workers(1).init(|_| -> () { panic!("no model") });
    let pool = hopeless.fork(|(), n| Ok::<_, String>(n.to_native())).unwrap();
    let task = pool.submit(&1).unwrap().keep();
    assert!(failed(task.wait(LIMIT).unwrap_err()).contains("no model"));
    task.evict().unwrap();
    pool.kill();
    assert_nothing_left(&region);
}

#[test]
fn who_waits_for_room_hears_that_there_are_no_workers() {
    let _alone = alone();
    let (region, store) = world();
    let pool = Numbers::builder(&store)
        .workers(1)
        .queue(1)
        .init(|_| -> () { panic!("no model") })
        .fork(|(), n| Ok::<_, String>(n.to_native()))
        .unwrap();
    std::thread::scope(|scope| {
        for n in 0..24 {
            let pool = &pool;
            scope.spawn(move || match pool.submit(&n) {
                Ok(task) => assert!(failed(task.wait(LIMIT).unwrap_err()).contains("no model")),
                Err(error) => assert!(matches!(error, Error::NoWorkers { .. }), "{error}"),
            });
        }
    });
    pool.kill();
    assert_nothing_left(&region);
}

#[test]
fn the_input_of_a_dead_letter_goes_with_a_killed_pool() {
    let _alone = alone();
    let (region, store) = world();
    let began = counts();
    let pool = Numbers::builder(&store)
        .workers(1)
        .attempts(1)
        .fork(move |(), _| -> Result<u64, String> {
            began.add(0);
            for_ever()
        })
        .unwrap();
    let input = store.proxy::<u64>(&7).unwrap().evict_on_resolve().unwrap();
    let task = pool.submit_proxy(&input).unwrap();
    eventually("it began", || began.get(0) == 1);
    pool.kill();
    assert!(matches!(task.wait(LIMIT), Err(Error::Cancelled { .. })));
    assert!(!store.exists(input.key()).unwrap());
    drop((task, input));
    assert_nothing_left(&region);
}

#[test]
fn a_map_leaves_room_for_its_results() {
    let _alone = alone();
    support::watch();
    let region = RegionOptions::new().capacity(1 << 25).anonymous().unwrap();
    let store = Store::builder("full").connector(ShmConnector::new(region.clone())).open().unwrap();
    let pool =
        WorkerPool::<[u8], Vec<u8>>::fork(&store, 2, |n| Ok::<_, String>(n.to_vec())).unwrap();
    let inputs = (0..20_u8).map(|n| vec![n; 4 << 20]);
    let start = Instant::now();
    for (n, result) in pool.map(inputs).enumerate() {
        assert_eq!(result.unwrap()[1000], n as u8);
    }
    assert!(start.elapsed() < Duration::from_secs(5), "nobody waits until it gives up");
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn a_result_waits_for_the_room_that_others_give_back() {
    let _alone = alone();
    support::watch();
    let region = RegionOptions::new().capacity(1 << 24).anonymous().unwrap();
    let store = Store::builder("late").connector(ShmConnector::new(region.clone())).open().unwrap();
    let pool = WorkerPool::<u64, Vec<u8>>::fork(&store, 1, |n| {
        Ok::<_, String>(vec![1; n.to_native() as usize])
    })
    .unwrap();
    let filler = store.put(&vec![0_u8; 12 << 20]).unwrap();
    let task = pool.submit(&(8 << 20)).unwrap();
    let early = task.wait(Some(Duration::from_millis(200)));
    assert!(matches!(early, Err(Error::TimedOut { .. })), "{early:?}");
    store.evict(filler).unwrap();
    assert_eq!(task.wait(LIMIT).unwrap().len(), 8 << 20);
    drop((early, task));
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn a_map_returns_a_result_before_it_asks_for_the_input_that_needs_it() {
    let _alone = alone();
    let (region, store) = world();
    let pool = numbers(&store, 1);
    let (sender, inputs) = std::sync::mpsc::channel::<u64>();
    sender.send(1).unwrap();
    let mut results = pool.map(inputs).in_flight(1);
    for n in 1..5 {
        assert_eq!(*results.next().unwrap().unwrap(), n);
        sender.send(n + 1).unwrap();
    }
    drop((results, sender));
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn a_state_is_gone_before_the_next_one_is_made() {
    struct Only(&'static Counts);
    impl Drop for Only {
        fn drop(&mut self) {
            self.0.set(0, 0);
        }
    }
    let _alone = alone();
    let (region, store) = world();
    let taken = counts();
    let pool = Numbers::builder(&store)
        .workers(1)
        .init(move |_| {
            assert_eq!(taken.add(0), 0, "there is one of it");
            Only(taken)
        })
        .fork(|_, n| if *n == 0 { panic!("zero") } else { Ok::<_, String>(n.to_native()) })
        .unwrap();
    for n in [1, 0, 2, 0, 3] {
        assert_eq!(pool.submit(&n).unwrap().wait(LIMIT).is_ok(), n != 0);
    }
    assert_eq!(pool.deaths(), 0);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

/// How often the threads of that name gave up the processor.
fn naps(name: &str) -> u64 {
    let of = |task: std::io::Result<std::fs::DirEntry>| {
        let path = task.unwrap().path();
        let is_it = std::fs::read_to_string(path.join("comm")).unwrap().trim() == name;
        let status = std::fs::read_to_string(path.join("status")).unwrap();
        let line = status.lines().find(|line| line.starts_with("voluntary")).unwrap();
        if is_it { line.split_whitespace().nth(1).unwrap().parse().unwrap() } else { 0 }
    };
    std::fs::read_dir("/proc/self/task").unwrap().map(of).sum()
}

#[test]
fn a_pool_that_has_failed_sleeps() {
    let _alone = alone();
    let (region, store) = world();
    let child = start_child(|| {
        // SAFETY: says what happens to this child.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let pool = Numbers::builder(&store).workers(1).init(|_| -> () { panic!("no") });
        let pool = pool.fork(|(), n| Ok::<_, String>(n.to_native())).unwrap();
        eventually("it failed", || pool.submit(&1).is_err());
        std::thread::sleep(Duration::from_millis(100));
        let before = naps("inplace-pool");
        std::thread::sleep(Duration::from_secs(1));
        assert!(naps("inplace-pool") - before < 40);
        drop(pool);
        0
    });
    assert!(matches!(child.wait(), nix::sys::wait::WaitStatus::Exited(_, 0)));
    assert_nothing_left(&region);
}

/// Takes about a kilobyte of stack for each.
fn deep(n: u64) -> u64 {
    let room = std::hint::black_box([n; 128]);
    if n == 0 { 0 } else { room[3].min(1) + deep(n - 1) }
}

#[test]
fn workers_of_a_replaced_nursery_have_as_much_stack_as_others() {
    let _alone = alone();
    let (region, store) = world();
    let made = std::thread::Builder::new()
        .stack_size(8 << 20)
        .spawn(move || Numbers::fork(&store, 1, |n| Ok::<_, String>(deep(n.to_native()))).unwrap());
    let pool = made.unwrap().join().unwrap();
    assert_eq!(*pool.submit(&2000).unwrap().wait(LIMIT).unwrap(), 2000);
    let first = pool.workers()[0];
    let stat = std::fs::read_to_string(format!("/proc/{first}/stat")).unwrap();
    let nursery = stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    signal(nursery, Signal::SIGKILL);
    eventually("another is there", || {
        pool.workers().first().is_some_and(|worker| *worker != first)
    });
    assert_eq!(*pool.submit(&2000).unwrap().wait(LIMIT).unwrap(), 2000);
    assert_eq!(pool.deaths(), 1);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn a_message_of_another_harms_no_pool() {
    let _alone = alone();
    let (region, store) = world();
    let pool = Numbers::builder(&store)
        .name("shared")
        .workers(1)
        .fork(|(), n| Ok::<_, String>(n.to_native()))
        .unwrap();
    let options = QueueOptions::new(64).max_deliveries(3);
    let tasks = store.queue_with::<u64>("shared", &options).unwrap();
    let stranger = tasks.sender().unwrap();
    (0..3).for_each(|n| stranger.send(&n).unwrap());
    drop(stranger);
    assert_eq!(*pool.submit(&7).unwrap().wait(LIMIT).unwrap(), 7);
    assert_eq!(pool.deaths(), 0);
    drop(tasks);
    let start = Instant::now();
    pool.join().unwrap();
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_nothing_left(&region);
}

#[test]
fn who_attached_itself_does_no_message_of_another() {
    let _alone = alone();
    let (region, store) = world();
    let pool = Numbers::builder(&store).name("shared").attached().unwrap();
    let options = QueueOptions::new(64).max_deliveries(3);
    let tasks = store.queue_with::<u64>("shared", &options).unwrap();
    tasks.sender().unwrap().send(&9).unwrap();
    let task = pool.submit(&7).unwrap();
    let worker = Worker::<u64, u64>::attach(&store, "shared").unwrap();
    let serve = |n: &_| Ok::<_, String>(u64::from(*n));
    while worker.serve_one(Some(Duration::ZERO), serve).unwrap() {}
    assert_eq!(*task.wait(LIMIT).unwrap(), 7);
    drop((task, worker, tasks));
    pool.join().unwrap();
    assert_nothing_left(&region);
}
