//! A long map over a worker pool whose workers, and now and then the nursery, are killed all the time: each result once, in
//! its place, and nothing left.
//!
//! For longer: `INPLACE_STORM_TASKS=2000000 cargo test --release --test pool_storm -- --nocapture`; `INPLACE_SEED` says which
//! storm.

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use inplace::WorkerPool;
use nix::sys::signal::Signal;
use support::pools::*;
use support::random::Random;
use support::{alone, watch_for};

fn tasks() -> u64 {
    let tasks = std::env::var("INPLACE_STORM_TASKS");
    tasks.map_or(100_000, |tasks| tasks.parse().expect("INPLACE_STORM_TASKS is a number"))
}

/// What a task is to make of its number: now and then more than lies in a message, or in a slab.
fn input(n: u64) -> Vec<u64> {
    let len = match n % 1000 {
        999 => 20_000,
        n if n % 50 == 49 => 500,
        n => n % 8,
    };
    (n..=n + len).collect()
}

fn answer(input: impl Iterator<Item = u64>) -> Vec<u64> {
    input.map(|n| n.wrapping_mul(n)).collect()
}

/// Kills until it is told that all is over; how many workers, and how many nurseries.
fn kill_at_random(pool: &Storm, (is_over, random): (&AtomicBool, &mut Random)) -> (u64, u64) {
    let mut killed = (0, 0);
    while !is_over.load(Ordering::SeqCst) {
        std::thread::sleep(Duration::from_micros(200 + random.below(8000)));
        let workers = pool.workers();
        let Some(worker) = workers.get(random.below(workers.len().max(1) as u64) as usize) else {
            continue;
        };
        if random.one_in(40) {
            let Some(nursery) = parent_of(*worker) else { continue };
            // Its workers may be orphans by now.
            if nursery > 1 && nursery != std::process::id() && is_nursery(nursery) {
                signal(nursery, Signal::SIGKILL);
                killed.1 += 1;
            }
        } else if is_worker(*worker) {
            signal(*worker, Signal::SIGKILL);
            killed.0 += 1;
        }
    }
    killed
}

fn parent_of(process: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit(") ").next()?.split(' ').nth(1)?.parse().ok()
}

fn is_named(process: u32, name: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|comm| comm.trim() == name)
}

fn is_nursery(process: u32) -> bool {
    is_named(process, "inplace-nursery")
}

fn is_worker(process: u32) -> bool {
    is_named(process, "inplace-worker")
}

type Storm = WorkerPool<Vec<u64>, Vec<u64>>;

#[test]
fn a_storm_of_killed_workers_loses_no_result_and_leaves_nothing() {
    let _alone = alone();
    let (region, store) = world();
    let (tasks, seed) = (tasks(), Random::seed("pool storm"));
    watch_for(300 + tasks as u32 / 1000);
    let runs = counts();
    let pool = Storm::builder(&store)
        .workers(4)
        .attempts(0)
        .fork(move |(), numbers| {
            runs.add(0);
            // Long enough to be killed at it.
            if numbers.len() > 7 {
                std::thread::sleep(Duration::from_micros(200));
            }
            Ok::<_, String>(answer(numbers.iter().map(|n| n.to_native())))
        })
        .unwrap();
    let (is_over, start) = (AtomicBool::new(false), Instant::now());
    let returned = AtomicU64::new(0);
    let killed = std::thread::scope(|scope| {
        let killer = scope.spawn(|| kill_at_random(&pool, (&is_over, &mut Random::new(seed))));
        for (n, result) in pool.map((0..tasks / 2).map(input)).enumerate() {
            assert_is_answer(n as u64, &result.unwrap());
            returned.fetch_add(1, Ordering::Relaxed);
        }
        let mut seen = vec![0_u8; tasks as usize];
        for result in pool.map_unordered((tasks / 2..tasks).map(input)).in_flight(32) {
            let result = result.unwrap();
            let n = result[0].to_native().isqrt();
            assert_is_answer(n, &result);
            seen[n as usize] += 1;
        }
        assert!(seen[tasks as usize / 2..].iter().all(|seen| *seen == 1), "each one once");
        is_over.store(true, Ordering::SeqCst);
        killer.join().unwrap()
    });
    assert_eq!(returned.load(Ordering::Relaxed), tasks / 2);
    let (elapsed, deaths, runs) = (start.elapsed(), pool.deaths(), runs.get(0));
    println!(
        "{tasks} tasks in {elapsed:.1?}: {} workers and {} nurseries killed, {deaths} deaths; {} runs more than tasks",
        killed.0,
        killed.1,
        runs as i64 - tasks as i64
    );
    assert!(killed.0 > 50 && deaths > 50, "no storm");
    pool.join().unwrap();
    assert_nothing_left(&region);
}

fn assert_is_answer(n: u64, result: &[inplace::rkyv::primitive::ArchivedU64]) {
    let wanted = answer(input(n).into_iter());
    assert!(result.iter().map(|n| n.to_native()).eq(wanted), "of task {n}");
}
