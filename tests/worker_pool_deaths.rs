//! What becomes of a worker pool when one of its processes is killed or stopped; and pools whose workers are programs of
//! their own.

mod support;

use std::time::Duration;

use inplace::{Error, RegionOptions, Store, Worker, WorkerPool};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use support::pools::*;
use support::{Name, Program, alone, eventually, hear, say, start_child, watch};

type Squares = WorkerPool<u64, u64>;

/// Squares; 0 takes for ever.
fn squares(store: &Store, workers: usize) -> Squares {
    Squares::fork(store, workers, |n| match n.to_native() {
        0 => for_ever(),
        n => Ok::<_, String>(n * n),
    })
    .unwrap()
}

/// Who forked a process.
fn parent_of(process: u32) -> u32 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit(") ").next().unwrap().split(' ').nth(1).unwrap().parse().unwrap()
}

/// Whether it is there, and no zombie that waits for its parent.
fn lives(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.rsplit(") ").next().unwrap().starts_with('Z')
}

fn assert_gone(processes: &[u32]) {
    eventually("all of them have ended", || processes.iter().all(|process| !lives(*process)));
}

/// All workers of a pool that has that many, and their nursery.
fn family(pool: &Squares, workers: usize) -> Vec<u32> {
    eventually("all workers are there", || pool.workers().len() == workers);
    let mut family = pool.workers();
    family.push(parent_of(family[0]));
    family
}

/// A child makes a pool that is busy, tells who is in it, and ends as it is told.
fn orphaned(end: impl FnOnce(Squares) -> i32) {
    let (region, store) = world();
    let told = counts();
    let child = start_child(|| {
        let pool = squares(&store, 2);
        let family = family(&pool, 2);
        for (at, process) in family.iter().enumerate() {
            told.set(at, (*process).into());
        }
        // One has its result, two are being done, others wait; one result belongs to nobody yet.
        let done = pool.submit(&9).unwrap();
        assert_eq!(*done.wait(LIMIT).unwrap(), 81);
        let tasks: Vec<_> = (0..5).map(|_| pool.submit(&0).unwrap()).collect();
        std::mem::forget((done, tasks));
        std::thread::sleep(Duration::from_millis(20));
        end(pool)
    });
    child.wait();
    assert_gone(&[0, 1, 2].map(|at| told.get(at) as u32));
    assert_nothing_left(&region);
}

#[test]
fn a_pool_whose_process_is_killed_leaves_nothing() {
    let _alone = alone();
    orphaned(|_pool| kill_me());
}

#[test]
fn a_pool_whose_process_exits_without_a_word_leaves_nothing() {
    let _alone = alone();
    orphaned(|pool| {
        std::mem::forget(pool);
        std::process::exit(0)
    });
}

#[test]
fn a_pool_whose_process_is_killed_with_its_nursery_leaves_nothing() {
    let _alone = alone();
    orphaned(|pool| {
        signal(parent_of(pool.workers()[0]), Signal::SIGKILL);
        kill_me()
    });
}

#[test]
fn a_killed_nursery_is_replaced_with_its_workers() {
    let _alone = alone();
    let (region, store) = world();
    let pool = squares(&store, 2);
    let first = family(&pool, 2);
    let tasks: Vec<_> = (1..100).map(|n| pool.submit_timeout(&n, LIMIT.unwrap())).collect();
    signal(first[2], Signal::SIGKILL);
    for (n, task) in (1..100).zip(tasks) {
        assert_eq!(*task.unwrap().wait(LIMIT).unwrap(), n * n);
    }
    assert_eq!(*pool.submit(&5).unwrap().wait(LIMIT).unwrap(), 25);
    assert_gone(&first);
    eventually("the new ones are there", || pool.workers().len() == 2);
    assert!(pool.workers().iter().all(|worker| !first.contains(worker)));
    assert!(pool.deaths() >= 2);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn idle_workers_that_are_killed_are_replaced() {
    let _alone = alone();
    let (region, store) = world();
    let pool = squares(&store, 3);
    let first = family(&pool, 3);
    first[..3].iter().for_each(|worker| signal(*worker, Signal::SIGKILL));
    eventually("others are there", || {
        let now = pool.workers();
        now.len() == 3 && now.iter().all(|worker| !first.contains(worker))
    });
    assert_eq!(*pool.submit(&5).unwrap().wait(LIMIT).unwrap(), 25);
    assert_eq!(pool.deaths(), 3);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn a_pool_with_a_stopped_worker_or_nursery_is_killed_all_the_same() {
    let _alone = alone();
    let (region, store) = world();
    for stopped in [0, 1] {
        let pool = squares(&store, 1);
        let family = family(&pool, 1);
        let task = pool.submit(&0).unwrap();
        signal(family[stopped], Signal::SIGSTOP);
        pool.kill();
        assert!(matches!(task.wait(LIMIT), Err(Error::Cancelled { .. })));
        assert_gone(&family);
    }
    assert_nothing_left(&region);
}

#[test]
fn a_stopped_worker_keeps_its_task_and_the_others_do_theirs() {
    let _alone = alone();
    let (region, store) = world();
    let seen = counts();
    let pool = Squares::fork(&store, 2, |n| {
        seen.add(n.to_native() as usize);
        while *n == 1 && seen.get(7) == 0 {
            nap();
        }
        Ok::<_, String>(u64::from(std::process::id()))
    })
    .unwrap();
    let slow = pool.submit(&1).unwrap();
    eventually("it began", || seen.get(1) == 1);
    let other = pool.submit(&2).unwrap().wait(LIMIT).unwrap().to_native() as u32;
    let slow_one = pool.workers().into_iter().find(|worker| *worker != other).unwrap();
    signal(slow_one, Signal::SIGSTOP);
    assert!((0..50).all(|_| pool.submit(&2).unwrap().wait(LIMIT).is_ok()));
    assert!(matches!(slow.wait(Some(Duration::from_millis(300))), Err(Error::TimedOut { .. })));
    seen.add(7);
    signal(slow_one, Signal::SIGCONT);
    assert_eq!(*slow.wait(LIMIT).unwrap(), u64::from(slow_one));
    assert_eq!((seen.get(1), pool.deaths()), (1, 0), "nobody else did it");
    drop(slow);
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn a_pool_outlives_the_thread_that_made_it() {
    let _alone = alone();
    let (region, store) = world();
    let pool = std::thread::scope(|scope| scope.spawn(|| squares(&store, 1)).join().unwrap());
    std::thread::sleep(Duration::from_millis(50));
    let worker = pool.workers();
    assert_eq!(*pool.submit(&5).unwrap().wait(LIMIT).unwrap(), 25);
    assert_eq!((pool.workers(), pool.deaths()), (worker, 0));
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn children_of_others_are_theirs_and_an_ignored_sigchld_hurts_nobody() {
    let _alone = alone();
    let (region, store) = world();
    let own = start_child(|| 7);
    let pool = squares(&store, 2);
    pool.workers().into_iter().for_each(|worker| signal(worker, Signal::SIGKILL));
    assert_eq!(*pool.submit(&5).unwrap().wait(LIMIT).unwrap(), 25);
    pool.join().unwrap();
    assert!(matches!(own.wait(), WaitStatus::Exited(_, 7)), "nobody has waited for it");
    let ignoring = start_child(|| {
        // SAFETY: says what happens to this child.
        unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
        let pool =
            Squares::builder(&store).workers(1).attempts(1).fork(|(), n| match n.to_native() {
                0 => kill_me(),
                n => Ok::<_, String>(n),
            });
        let pool = pool.unwrap();
        let error = failed(pool.submit(&0).unwrap().wait(LIMIT).unwrap_err());
        assert!(error.contains("SIGKILL"), "{error}");
        assert_eq!(*pool.submit(&5).unwrap().wait(LIMIT).unwrap(), 5);
        pool.join().unwrap();
        0
    });
    assert!(matches!(waitpid(ignoring.0, None), Ok(WaitStatus::Exited(_, 0))));
    assert_nothing_left(&region);
}

#[test]
fn a_region_with_a_name_goes_with_the_last_of_a_killed_pools_processes() {
    let _alone = alone();
    watch();
    let name = Name::new("orphans");
    let child = start_child(|| {
        let pool = squares(&Store::open(&name).unwrap(), 2);
        assert_eq!(*pool.submit(&5).unwrap().wait(LIMIT).unwrap(), 25);
        kill_me()
    });
    child.wait();
    eventually("its file is gone", || !name.exists());
}

#[test]
fn the_name_of_a_killed_pool_is_free() {
    let _alone = alone();
    let (region, store) = world();
    let child = start_child(|| {
        let _pool = Squares::builder(&store).name("squares").attached().unwrap();
        kill_me()
    });
    child.wait();
    region.reap().unwrap();
    assert!(matches!(
        Worker::<u64, u64>::attach(&store, "squares"),
        Err(Error::InvalidName { .. })
    ));
    let pool = Squares::builder(&store).name("squares").attached().unwrap();
    let task = pool.submit(&6).unwrap();
    let worker = Worker::<u64, u64>::attach(&store, "squares").unwrap();
    let square = |n: &_| Ok::<_, String>(u64::from(*n) * u64::from(*n));
    assert!(worker.serve_one(LIMIT, square).unwrap());
    assert_eq!(*task.wait(LIMIT).unwrap(), 36);
    drop((worker, task));
    pool.join().unwrap();
    assert_nothing_left(&region);
}

// Programs of their own, which share a region with a name.

#[test]
fn program() {
    let Some((role, name)) = support::role() else { return };
    let store = Store::open(&name).unwrap();
    match role.as_str() {
        "square" => {
            let worker = Worker::<u64, u64>::attach(&store, "squares").unwrap();
            say("ready");
            let done = worker.run(|n| {
                if *n == 0 {
                    say("began");
                    for_ever();
                }
                Ok::<_, String>(n.to_native() * n.to_native())
            });
            say(done.unwrap());
        }
        "other" => {
            let worker = Worker::<str, u64>::attach(&store, "squares");
            assert!(matches!(worker, Err(Error::TypeMismatch { .. })));
            let worker = Worker::<u64, String>::attach(&store, "squares").unwrap();
            say("ready");
            worker.serve_one(None, |_| Ok::<_, String>(String::from("another type"))).unwrap();
            hear();
        }
        other => panic!("the role {other}"),
    }
}

fn named(hint: &str) -> (Name, inplace::Region, Store) {
    let name = Name::new(hint);
    let options = RegionOptions::new().capacity(1 << 24).max_participants(16);
    let region = options.create(&name).unwrap();
    let store = Store::open(&name).unwrap();
    (name, region, store)
}

#[test]
fn programs_that_attach_themselves_do_tasks_and_end_with_the_pool() {
    let _alone = alone();
    let (name, region, store) = named("attached");
    let pool = Squares::builder(&store).name("squares").attached().unwrap();
    let taken = Squares::builder(&store).name("squares").attached();
    assert!(matches!(taken, Err(Error::InvalidName { .. })));
    let mut programs: Vec<_> = (0..2).map(|_| Program::ready("square", &name).0).collect();
    let results = pool.map(1..=200_u64).map(|square| square.unwrap().to_native());
    assert!(results.eq((1..=200).map(|n| n * n)));
    pool.join().unwrap();
    let done: u64 = programs.iter_mut().map(|it| it.says().parse::<u64>().unwrap()).sum();
    assert_eq!(done, 200);
    programs.into_iter().for_each(Program::finish);
    assert!(region.lookup("squares").unwrap().is_none());
    assert_nothing_left(&region);
}

#[test]
fn what_a_killed_program_was_doing_is_done_by_another_or_fails_in_the_end() {
    let _alone = alone();
    let (name, region, store) = named("killed");
    let pool = Squares::builder(&store).name("squares").attempts(2).attached().unwrap();
    let hopeless = pool.submit(&0).unwrap();
    for _ in 0..2 {
        let (mut program, _) = Program::ready("square", &name);
        assert_eq!(program.says(), "began");
        program.kill();
    }
    let error = failed(hopeless.wait(LIMIT).unwrap_err());
    assert!(error.contains("2 times") && error.contains("attached itself"), "{error}");
    let (program, _) = Program::ready("square", &name);
    assert_eq!(*pool.submit(&5).unwrap().wait(LIMIT).unwrap(), 25);
    drop(hopeless);
    pool.kill();
    program.finish();
    assert_nothing_left(&region);
}

#[test]
fn what_a_program_is_still_doing_when_the_pool_ends_is_cancelled() {
    let _alone = alone();
    let (name, region, store) = named("holding");
    let pool = Squares::builder(&store).name("squares").attached().unwrap();
    let (mut program, _) = Program::ready("square", &name);
    let task = pool.submit(&0).unwrap().keep();
    assert_eq!(program.says(), "began");
    pool.kill();
    assert!(matches!(task.wait(LIMIT), Err(Error::Cancelled { .. })));
    task.evict().unwrap();
    program.kill();
    assert_nothing_left(&region);
}

#[test]
fn a_program_with_other_types_is_refused_or_its_results_are() {
    let _alone = alone();
    let (name, region, store) = named("types");
    let pool = Squares::builder(&store).name("squares").attached().unwrap();
    let (program, _) = Program::ready("other", &name);
    let task = pool.submit(&5).unwrap();
    let error = failed(task.wait(LIMIT).unwrap_err());
    assert!(error.contains("another type") && error.contains("String"), "{error}");
    drop(task);
    program.finish();
    pool.join().unwrap();
    assert_nothing_left(&region);
}

#[test]
fn forked_workers_and_programs_share_a_pool() {
    let _alone = alone();
    let (name, region, store) = named("mixed");
    let pool = Squares::builder(&store)
        .workers(1)
        .name("squares")
        .fork(|(), n| Ok::<_, String>(n.to_native() * n.to_native()))
        .unwrap();
    let (program, _) = Program::ready("square", &name);
    let results = pool.map_unordered(1..=300_u64).map(|square| square.unwrap().to_native());
    assert_eq!(results.sum::<u64>(), (1..=300).map(|n| n * n).sum::<u64>());
    let worker = pool.workers()[0];
    pool.join().unwrap();
    assert!(kill(Pid::from_raw(worker as i32), None).is_err());
    program.finish();
    watch();
    assert_nothing_left(&region);
}
