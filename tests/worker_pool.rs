//! Promises of worker pools: a result for each task, whoever is killed, and nothing left.

mod support;

use std::time::{Duration, Instant};

use inplace::codec::{Raw, Slice};
use inplace::connector::{LocalConnector, ShmConnector};
use inplace::{Error, RegionOptions, Store, Worker, WorkerPool};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use support::pools::*;
use support::{alone, eventually, start_child, watch};

type Failure = Box<dyn std::error::Error>;

#[test]
fn tasks_of_any_size_have_their_results_and_nothing_is_left() {
    let _alone = alone();
    let (region, store) = world();
    let pool = WorkerPool::<Vec<u64>, Vec<u64>>::fork(&store, 2, |input| {
        Ok::<_, String>(input.iter().map(|n| n.to_native() * 2).collect::<Vec<_>>())
    })
    .unwrap();
    for len in [0, 1, 20, 1000, 200_000] {
        let input: Vec<u64> = (0..len).collect();
        let task = pool.submit(&input).unwrap();
        let view = task.wait(LIMIT).unwrap();
        assert!(task.is_done() && task.try_get().unwrap().is_some());
        drop(task);
        assert!(view.iter().map(|n| n.to_native()).eq((0..len).map(|n| n * 2)));
    }
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn other_codecs_give_what_they_borrow() {
    let _alone = alone();
    let (region, store) = world();
    let raw = store.with_codec(Raw);
    let pool = WorkerPool::<[u8], [u8], _>::fork(&raw, 1, |input| {
        Ok::<_, String>(input.iter().rev().copied().collect::<Vec<u8>>())
    })
    .unwrap();
    assert_eq!(*pool.submit(b"abc").unwrap().wait(LIMIT).unwrap(), *b"cba");
    pool.join().unwrap();
    let slices = store.with_codec(Slice::<f32>::default());
    let pool = WorkerPool::<[f32], [f32], _>::fork(&slices, 1, |input| {
        Ok::<_, String>(input.iter().map(|n| n + 1.0).collect::<Vec<f32>>())
    })
    .unwrap();
    assert_eq!(pool.submit(&[1.0; 1000]).unwrap().wait(LIMIT).unwrap()[999], 2.0);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn an_error_and_a_panic_are_heard_with_their_words_and_the_worker_goes_on() {
    let _alone = alone();
    let (region, store) = world();
    let pool = WorkerPool::<str, u64>::fork(&store, 1, |input| match input.as_str() {
        "fail" => Err(format!("no {input}ure was expected")),
        "panic" => panic!("at the {}", "disco"),
        _ => Ok(u64::from(std::process::id())),
    })
    .unwrap();
    let before = pool.submit("ask").unwrap().wait(LIMIT).unwrap().to_native();
    let error = failed(pool.submit("fail").unwrap().wait(LIMIT).unwrap_err());
    assert_eq!(error, "no failure was expected");
    let error = failed(pool.submit("panic").unwrap().wait(LIMIT).unwrap_err());
    assert!(error.starts_with("panicked at tests/worker_pool.rs:"), "{error}");
    assert!(error.ends_with(": at the disco"), "{error}");
    let after = pool.submit("ask").unwrap().wait(LIMIT).unwrap().to_native();
    assert_eq!((before, pool.deaths()), (after, 0), "the same worker");
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn a_task_that_is_killed_is_tried_again_by_a_new_worker() {
    let _alone = alone();
    let (region, store) = world();
    let tries = counts();
    let pool = WorkerPool::<u64, u64>::fork(&store, 1, |input| {
        if tries.add(0) < 2 {
            kill_me();
        }
        Ok::<_, String>(input.to_native() + 1)
    })
    .unwrap();
    let task = pool.submit(&41).unwrap();
    assert_eq!(*task.wait(LIMIT).unwrap(), 42);
    assert_eq!((tries.get(0), pool.deaths()), (3, 2));
    drop(task);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn a_task_that_is_killed_every_time_is_an_error_that_names_the_signal() {
    let _alone = alone();
    let (region, store) = world();
    let pool = WorkerPool::<u64, u64>::builder(&store)
        .workers(2)
        .attempts(2)
        .fork(|(), input| match input.to_native() {
            0 => kill_me(),
            1 => std::process::abort(),
            2 => std::process::exit(0),
            n => Ok::<_, String>(n),
        })
        .unwrap();
    let tasks: Vec<_> = (0..6).map(|n| pool.submit(&n).unwrap()).collect();
    let errors: Vec<_> =
        tasks[..3].iter().map(|task| failed(task.wait(LIMIT).unwrap_err())).collect();
    for (error, how) in
        errors.iter().zip(["signal 9 (SIGKILL)", "6 (SIGABRT)", "ended with code 0"])
    {
        assert!(error.contains(how) && error.contains("2 times"), "{error}");
    }
    for (n, task) in tasks.iter().enumerate().skip(3) {
        assert_eq!(*task.wait(LIMIT).unwrap(), n as u64);
    }
    drop(tasks);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn a_map_has_every_result_in_order_whoever_is_killed() {
    let _alone = alone();
    let (region, store) = world();
    let tries = counts();
    let pool = WorkerPool::<u64, u64>::builder(&store)
        .workers(3)
        .attempts(0)
        .fork(|(), input| {
            if tries.add(0) % 100 == 7 {
                kill_me();
            }
            Ok::<_, String>(input.to_native() * 3)
        })
        .unwrap();
    let (mut last, mut calls) = ((0, 0), 0);
    let results: Vec<u64> = pool
        .map(0..1000_u64)
        .progress(|done, submitted| (last, calls) = ((done, submitted), calls + 1))
        .map(|result| result.unwrap().to_native())
        .collect();
    assert!(results.into_iter().eq((0..1000).map(|n| n * 3)));
    assert_eq!((last, calls), ((1000, 1000), 1000));
    assert!(pool.deaths() >= 9, "{} deaths", pool.deaths());
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn an_unordered_map_is_not_held_up_by_a_slow_task() {
    let _alone = alone();
    let (region, store) = world();
    let pool = WorkerPool::<u64, u64>::fork(&store, 2, |input| {
        if *input == 0 {
            std::thread::sleep(Duration::from_millis(300));
        }
        Ok::<_, String>(input.to_native())
    })
    .unwrap();
    let results: Vec<u64> =
        pool.map_unordered(0..5_u64).map(|result| result.unwrap().to_native()).collect();
    assert_eq!(results.len(), 5);
    assert_eq!(results[4], 0, "the slow one comes last: {results:?}");
    let mut sorted = results;
    sorted.sort_unstable();
    assert_eq!(sorted, [0, 1, 2, 3, 4]);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn a_map_asks_for_no_more_inputs_than_are_on_their_way_and_dropped_it_cancels() {
    let _alone = alone();
    let (region, store) = world();
    let pool = WorkerPool::<u64, u64>::fork(&store, 1, |n| Ok::<_, String>(n.to_native())).unwrap();
    let asked = std::cell::Cell::new(0);
    let endless = std::iter::from_fn(|| {
        asked.set(asked.get() + 1);
        Some(asked.get())
    });
    let mut results = pool.map(endless).in_flight(5);
    for n in 1..=20 {
        assert_eq!(*results.next().unwrap().unwrap(), n);
        assert_eq!(asked.get(), n + 4);
    }
    drop(results);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn a_map_through_little_memory_waits_for_its_own_results() {
    let _alone = alone();
    watch();
    let region = RegionOptions::new().capacity(1 << 22).max_objects(2000).anonymous().unwrap();
    let store =
        Store::builder("small").connector(ShmConnector::new(region.clone())).open().unwrap();
    let pool =
        WorkerPool::<[u8], u64>::fork(&store, 2, |bytes| Ok::<_, String>(bytes.len() as u64))
            .unwrap();
    let results = pool.map((0..40).map(|_| vec![7_u8; 1 << 20])).in_flight(16);
    assert_eq!(results.map(|len| len.unwrap().to_native()).sum::<u64>(), 40 << 20);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn an_input_goes_by_proxy_and_is_evicted_when_it_was_used_if_it_says_so() {
    let _alone = alone();
    let (region, store) = world();
    let tries = counts();
    let pool = WorkerPool::<[u64], u64>::fork(&store, 1, |input| {
        if tries.add(0) == 0 {
            kill_me();
        }
        Ok::<_, String>(input.iter().map(|n| n.to_native()).sum::<u64>())
    })
    .unwrap();
    let stays = store.proxy(&[1, 2, 3][..]).unwrap();
    let goes = store.proxy(&[4, 5][..]).unwrap().evict_on_resolve().unwrap();
    let (key, kept) = (goes.key(), stays.key());
    assert_eq!(*pool.submit_proxy(&goes).unwrap().wait(LIMIT).unwrap(), 9, "tried twice");
    let sums = pool.map_proxies([&stays, &stays]);
    assert!(sums.map(|sum| sum.unwrap().to_native()).eq([6, 6]));
    let gone = store.proxy_from_key::<[u64]>(key);
    let error = failed(pool.submit_proxy(&gone).unwrap().wait(LIMIT).unwrap_err());
    assert!(error.contains("input") && error.contains("gone"), "{error}");
    pool.join().unwrap();
    assert!(!store.exists(key).unwrap() && store.exists(kept).unwrap());
    store.evict(kept).unwrap();
    drop((stays, goes));
    assert_nothing_left(&region);
}

#[test]
fn results_are_awaited_and_are_inputs_of_other_tasks() {
    let _alone = alone();
    let (region, store) = world();
    let pool =
        WorkerPool::<u64, u64>::fork(&store, 2, |n| Ok::<_, String>(n.to_native() + 1)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let first = pool.submit(&1).unwrap();
        let second = pool.submit_proxy(&first.proxy()).unwrap();
        assert_eq!(*(&second).await.unwrap(), 3);
        assert_eq!(*second.await.unwrap(), 3);
        let tasks: Vec<_> = (0..50).map(|n| pool.submit(&n).unwrap()).collect();
        for (n, task) in tasks.into_iter().enumerate() {
            assert_eq!(*task.await.unwrap(), n as u64 + 1);
        }
    });
    let kept = pool.submit(&7).unwrap().keep();
    pool.join().unwrap();
    assert_eq!(*kept.wait(LIMIT).unwrap(), 8);
    assert!(kept.evict().unwrap());
    assert_nothing_left(&region);
}

#[test]
fn a_full_pool_makes_who_submits_wait_and_refuses_who_does_not() {
    let _alone = alone();
    let (region, store) = world();
    let gate = counts();
    let pool = WorkerPool::<u64, u64>::builder(&store)
        .workers(1)
        .queue(2)
        .fork(move |(), n| {
            while gate.get(0) == 0 {
                nap();
            }
            Ok::<_, String>(n.to_native())
        })
        .unwrap();
    let tasks = [pool.submit(&1).unwrap(), pool.submit(&2).unwrap()];
    assert!(matches!(pool.try_submit(&3), Err(Error::Full { capacity: 2, .. })));
    let limit = Duration::from_millis(30);
    assert!(matches!(pool.submit_timeout(&3, limit), Err(Error::TimedOut { .. })));
    gate.add(0);
    let third = pool.submit(&3).unwrap();
    assert_eq!(*third.wait(LIMIT).unwrap(), 3);
    drop((tasks, third));
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn each_worker_makes_its_state_once_and_anew_after_a_panic() {
    let _alone = alone();
    let (region, store) = world();
    let made = counts();
    let pool = WorkerPool::<u64, u64>::builder(&store)
        .workers(2)
        .init(move |number| {
            made.add(number);
            number as u64 * 1000
        })
        .fork(|state, n| {
            assert!(*n != 7, "seven");
            *state += 1;
            Ok::<_, String>(*state)
        })
        .unwrap();
    for result in pool.map(vec![1; 200]) {
        let state = result.unwrap().to_native();
        assert!((1..=200).contains(&(state % 1000)), "{state}");
    }
    assert!(made.get(0) + made.get(1) <= 2);
    assert!(failed(pool.submit(&7).unwrap().wait(LIMIT).unwrap_err()).ends_with("seven"));
    pool.join().unwrap();
    assert_eq!(made.get(0) + made.get(1), 3);
    assert_nothing_left(&region);
}

#[test]
fn workers_that_never_start_are_no_fork_bomb_and_every_task_hears_why() {
    let _alone = alone();
    let (region, store) = world();
    let forked = counts();
    let pool = WorkerPool::<u64, u64>::builder(&store)
        .workers(2)
        .init(move |_| -> () {
            forked.add(0);
            panic!("no model");
        })
        .fork(|(), n| Ok::<_, String>(n.to_native()))
        .unwrap();
    let task = pool.submit(&1).unwrap();
    let error = failed(task.wait(LIMIT).unwrap_err());
    assert!(error.contains("no model") && error.contains("worker_pool.rs"), "{error}");
    eventually("who submits hears it, too", || {
        matches!(pool.submit(&2), Err(Error::NoWorkers { .. }))
    });
    assert!(forked.get(0) <= 20, "{} workers were forked", forked.get(0));
    assert!(matches!(pool.map(0..10_u64).last(), Some(Err(Error::NoWorkers { .. }))));
    drop(task);
    assert!(matches!(pool.join(), Err(Error::NoWorkers { .. })));
    assert_nothing_left(&region);
}

#[test]
fn a_region_without_an_entry_for_a_worker_says_so() {
    let _alone = alone();
    watch();
    let region = RegionOptions::new().capacity(1 << 22).max_participants(2).anonymous().unwrap();
    let store = Store::builder("few").connector(ShmConnector::new(region.clone())).open().unwrap();
    let refused = WorkerPool::<u64, u64>::fork(&store, 1, |n| Ok::<_, String>(n.to_native()));
    let Err(Error::InvalidConfig { expected, .. }) = refused else { panic!("{refused:?}") };
    assert!(expected.contains("at most 0") && expected.contains("participant"), "{expected}");
    assert_nothing_left(&region);
}

#[test]
fn a_killed_pool_cancels_what_is_not_done_and_a_joined_one_has_done_it() {
    let _alone = alone();
    let (region, store) = world();
    let pool = WorkerPool::<u64, u64>::fork(&store, 2, |n| match n.to_native() {
        0 => for_ever(),
        n => Ok::<_, String>(n),
    })
    .unwrap();
    let done = pool.submit(&5).unwrap();
    assert_eq!(*done.wait(LIMIT).unwrap(), 5);
    let tasks: Vec<_> = (0..10).map(|_| pool.submit(&0).unwrap()).collect();
    let workers = pool.workers();
    let start = Instant::now();
    pool.kill();
    assert!(start.elapsed() < Duration::from_secs(4));
    for worker in workers {
        assert!(kill(Pid::from_raw(worker as i32), None).is_err(), "{worker} is there still");
    }
    for task in &tasks {
        assert!(matches!(task.wait(LIMIT), Err(Error::Cancelled { .. })));
    }
    assert_eq!(*done.wait(LIMIT).unwrap(), 5, "what is done, is");
    drop((tasks, done));
    assert_nothing_left(&region);

    let pool = WorkerPool::<u64, u64>::fork(&store, 2, |n| Ok::<_, String>(n.to_native())).unwrap();
    let tasks: Vec<_> = (0..50).map(|n| pool.submit(&n).unwrap()).collect();
    pool.join().unwrap();
    assert!(tasks.iter().all(|task| task.is_done()));
    drop(tasks);
    assert_nothing_left(&region);
}

#[test]
fn a_task_that_is_dropped_before_it_began_is_not_done() {
    let _alone = alone();
    let (region, store) = world();
    let seen = counts();
    let pool = WorkerPool::<u64, u64>::fork(&store, 1, move |n| {
        seen.add(n.to_native() as usize);
        while seen.get(7) == 0 {
            nap();
        }
        Ok::<_, String>(0)
    })
    .unwrap();
    let first = pool.submit(&0).unwrap();
    eventually("the first is being done", || seen.get(0) == 1);
    drop(pool.submit(&1).unwrap());
    let last = pool.submit(&2).unwrap();
    seen.add(7);
    last.wait(LIMIT).unwrap();
    drop((first, last));
    pool.join().unwrap();
    assert_eq!([0, 1, 2].map(|at| seen.get(at)), [1, 0, 1]);
    assert_nothing_left(&region);
}

#[test]
fn threads_share_a_pool_and_a_pool_is_made_beside_threads() {
    let _alone = alone();
    let (region, store) = world();
    let stop = counts();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while stop.get(0) == 0 {
                drop(vec![String::from("allocates"); 100]);
            }
        });
        let pool = WorkerPool::<u64, u64>::fork(&store, 2, |n| Ok::<_, String>(n.to_native() * 2));
        let pool = pool.unwrap();
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let pool = &pool;
                scope.spawn(move || {
                    let inputs = thread * 100..thread * 100 + 100;
                    let results = pool.map_unordered(inputs.clone());
                    let sum: u64 = results.map(|result| result.unwrap().to_native()).sum();
                    assert_eq!(sum, inputs.sum::<u64>() * 2);
                });
            }
        });
        pool.join().unwrap();
        stop.add(0);
    });
    assert_nothing_left(&region);
}

#[test]
fn a_forked_child_has_no_pool() {
    let _alone = alone();
    let (region, store) = world();
    let pool = WorkerPool::<u64, u64>::fork(&store, 1, |n| Ok::<_, String>(n.to_native())).unwrap();
    let task = pool.submit(&3).unwrap();
    let child = start_child(|| {
        // SAFETY: the child has copies of its own.
        let (pool, task) = unsafe { (std::ptr::read(&pool), std::ptr::read(&task)) };
        let refused = matches!(pool.submit(&1), Err(Error::NotOwner { .. }));
        let waits = task.wait(LIMIT).is_ok_and(|view| *view == 3);
        drop((task, pool));
        i32::from(!refused || !waits)
    });
    assert!(matches!(child.wait(), nix::sys::wait::WaitStatus::Exited(_, 0)));
    assert_eq!(*task.wait(LIMIT).unwrap(), 3, "it is its parent's still");
    assert_eq!(*pool.submit(&4).unwrap().wait(LIMIT).unwrap(), 4);
    drop(task);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn where_there_is_no_shared_memory_and_without_workers_there_is_no_pool() -> Result<(), Failure> {
    let _alone = alone();
    let local = Store::builder("local").connector(LocalConnector::new()).open()?;
    let pool = WorkerPool::<u64, u64>::fork(&local, 1, |n| Ok::<_, String>(n.to_native()));
    assert!(matches!(pool, Err(Error::Unsupported { .. })));
    let (region, store) = world();
    let pool = WorkerPool::<u64, u64>::fork(&store, 0, |n| Ok::<_, String>(n.to_native()));
    assert!(matches!(pool, Err(Error::InvalidConfig { .. })));
    assert!(matches!(Worker::<u64, u64>::attach(&store, "none"), Err(Error::InvalidName { .. })));
    assert_nothing_left(&region);
    Ok(())
}
