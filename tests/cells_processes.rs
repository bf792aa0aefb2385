//! Cells in several processes, some of which are killed.

mod support;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inplace::codec::Raw;
use inplace::connector::{Connector, ShmConnector};
use inplace::{Cell, Error, Region, RegionOptions, Store};
use nix::sys::wait::WaitStatus;
use support::random::Random;
use support::shared::{Atomics, Shared};
use support::{Forked, Name, Program, eventually, hear, payload, role, say, start_child, watch};

/// What the processes of a test tell one another.
struct Talk {
    stage: AtomicU32,
    ready: AtomicU32,
    count: AtomicU64,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Talk {}

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    watch();
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn region() -> Region {
    let options = RegionOptions::new().capacity(64 << 20).max_objects(10_000).max_participants(32);
    options.anonymous().unwrap()
}

fn shm(name: &str) -> Store {
    Store::builder(name).connector(ShmConnector::new(region())).open().unwrap()
}

fn region_of(store: &Store) -> Region {
    store.connector().as_shm().unwrap().region().unwrap().clone()
}

fn assert_clean(store: &Store) {
    let region = region_of(store);
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.in_progress == 0, "{report}");
}

fn join(children: Vec<Forked>) {
    for child in children {
        assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
    }
}

#[test]
fn a_waiter_in_another_process_is_woken_long_before_it_would_look_again() {
    let _alone = alone();
    let (store, talk) = (shm("woken"), Shared::<Talk>::new());
    let cell = store.cell_new::<u64>().unwrap();
    let child = start_child(|| {
        let mut seen = 0;
        while seen < 20 {
            seen = cell.wait_for_change(seen, None).unwrap().version;
            talk.count.store(seen, Ordering::SeqCst);
        }
        0
    });
    let mut slow = 0;
    for number in 1..=20 {
        std::thread::sleep(Duration::from_millis(5));
        let start = Instant::now();
        cell.set(&number).unwrap();
        eventually("it heard", || talk.count.load(Ordering::SeqCst) >= number);
        slow += u32::from(start.elapsed() > Duration::from_millis(60));
    }
    assert!(slow < 5, "{slow} of 20 wakes took longer than a look would");
    join(vec![child]);
    assert_clean(&store);
}

/// A value that says itself whether it is whole.
fn value(random: &mut Random) -> Vec<u8> {
    let len = [16, 200, 5000, 70_000][random.below(4) as usize];
    payload::make(random.draw() as u16, len)
}

#[test]
fn in_a_storm_of_killed_writers_readers_see_whole_values_and_no_version_goes_back() {
    let _alone = alone();
    payload::prepare();
    let (store, talk) = (shm("storm").with_codec(Raw), Shared::<Talk>::new());
    let cell = store.cell_new::<[u8]>().unwrap();
    let set_for_ever = |seed: u64| {
        let mut random = Random::new(seed);
        loop {
            let next = value(&mut random);
            match random.below(4) {
                0 => drop(cell.update(|_| &next[..])),
                _ => drop(cell.set(&next)),
            }
            talk.count.fetch_add(1, Ordering::Relaxed);
        }
    };
    let read_until_told = || {
        let mut seen = 0;
        while talk.stage.load(Ordering::SeqCst) == 0 {
            let Ok(next) = cell.wait_for_change(seen, Some(Duration::from_secs(10))) else {
                continue;
            };
            let Some(at_once) = cell.get_versioned().unwrap() else { return 1 };
            let fine = next.version > seen && at_once.version >= next.version;
            if !fine
                || [next.value, at_once.value].iter().any(|v| payload::blame(None, v).is_some())
            {
                return 2;
            }
            seen = at_once.version;
        }
        0
    };
    let readers: Vec<Forked> = (0..2).map(|_| start_child(read_until_told)).collect();
    let mut random = Random::new(99);
    let (mut kills, start) = (0, Instant::now());
    let mut writers: Vec<Forked> = (0..3).map(|seed| start_child(|| set_for_ever(seed))).collect();
    let mut last = 0;
    while kills < 150 && start.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_micros(random.below(4000)));
        writers.swap_remove(random.below(3) as usize).kill();
        kills += 1;
        writers.push(start_child(|| set_for_ever(1000 + kills)));
        let version = cell.version().unwrap();
        assert!(version >= last);
        last = version;
        if kills % 10 == 0 {
            store.connector().as_shm().unwrap().region().unwrap().reap().unwrap();
        }
    }
    writers.into_iter().for_each(Forked::kill);
    talk.stage.store(1, Ordering::SeqCst);
    cell.set(&payload::make(1, 16)).unwrap();
    join(readers);
    let end = cell.version().unwrap();
    let (sets, least) = (talk.count.load(Ordering::SeqCst), last);
    println!("{kills} kills, {sets} sets, version {end}");
    assert!(end > least && end >= sets, "every set that returned has counted");
    let region = store.connector().as_shm().unwrap().region().unwrap().clone();
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.in_progress == 0 && report.retired == 0, "{report}");
    assert_eq!((report.objects, report.variables, report.pins), (0, 1, 0), "{report}");
    cell.evict().unwrap();
    assert_eq!(region.check().unwrap().bytes_in_use, 0);
}

#[test]
fn a_writer_that_is_killed_or_stopped_keeps_no_waiter_from_the_next_value() {
    let _alone = alone();
    let (store, talk) = (shm("killed"), Shared::<Talk>::new());
    let cell = store.cell_new::<u64>().unwrap();
    for signal in [nix::sys::signal::SIGKILL, nix::sys::signal::SIGSTOP] {
        talk.ready.store(0, Ordering::SeqCst);
        let writer = start_child(|| {
            talk.ready.store(1, Ordering::SeqCst);
            loop {
                cell.set(&1).unwrap();
            }
        });
        eventually("the writer writes", || talk.ready.load(Ordering::SeqCst) == 1);
        std::thread::sleep(Duration::from_millis(3));
        nix::sys::signal::kill(writer.0, signal).unwrap();
        std::thread::sleep(Duration::from_millis(5));
        let seen = cell.version().unwrap();
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| cell.wait_for_change(seen, Some(Duration::from_secs(10))));
            std::thread::sleep(Duration::from_millis(10));
            let start = Instant::now();
            cell.set(&2).unwrap();
            assert_eq!(waiter.join().unwrap().unwrap().version, seen + 1);
            assert!(start.elapsed() < Duration::from_millis(500));
        });
        writer.kill();
    }
    assert_clean(&store);
}

#[test]
fn a_forked_child_goes_on_with_its_parents_cell_and_its_views() {
    let _alone = alone();
    let store = shm("forked");
    let cell = store.cell::<String>("text").unwrap();
    cell.set(&"parent's".into()).unwrap();
    let view = cell.get().unwrap().unwrap();
    let child = start_child(|| {
        assert_eq!(view.as_str(), "parent's");
        assert_eq!(cell.set(&"child's".into()).unwrap(), 2);
        assert_eq!(view.as_str(), "parent's");
        assert_eq!(
            store.cell::<String>("text").unwrap().get().unwrap().unwrap().as_str(),
            "child's"
        );
        0
    });
    join(vec![child]);
    assert_eq!(cell.get().unwrap().unwrap().as_str(), "child's");
    assert_eq!(view.as_str(), "parent's");
    drop(view);
    assert_clean(&store);
}

#[test]
fn who_forks_while_it_writes_a_value_goes_on_alone() {
    let _alone = alone();
    let connector = ShmConnector::new(region());
    let variables = connector.variables().unwrap();
    let key = variables.new_variable(inplace::Fingerprint::BYTES).unwrap();
    let mut child = None;
    let mut is_child = false;
    let outcome =
        variables.set_variable((key, None), (8, inplace::Fingerprint::BYTES), &mut |out| {
            // SAFETY: the child uses memory that glibc keeps usable across a fork, and leaves by `_exit`.
            match unsafe { nix::unistd::fork() }.unwrap() {
                nix::unistd::ForkResult::Parent { child: pid } => {
                    child = Some(pid);
                    out.write(b"parent's");
                }
                nix::unistd::ForkResult::Child => is_child = true,
            }
            Ok(())
        });
    if is_child {
        let fine = matches!(outcome, Err(Error::NotOwner { .. }))
            && variables
                .set_variable((key, None), (1, inplace::Fingerprint::BYTES), &mut |out| {
                    out.write(b"c");
                    Ok(())
                })
                .is_ok();
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(i32::from(!fine)) }
    }
    join(vec![Forked(child.unwrap())]);
    outcome.unwrap();
    let region = connector.region().unwrap();
    region.reap().unwrap();
    assert_eq!(
        variables.get_variable(key, inplace::Fingerprint::BYTES).unwrap().unwrap().number,
        2
    );
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.pins == 0 && report.in_progress == 0, "{report}");
}

/// Programs that never met: the cell is found by its name, or its handle came along.
#[test]
fn program() {
    let Some((role, name)) = role() else { return };
    match role.as_str() {
        "follow" => {
            let cell: Cell<String> = serde_json::from_str(&name).unwrap();
            let first = cell.wait_for_change(0, None).unwrap();
            say(first.value.as_str());
            let second = cell.wait_for_change(first.version, None).unwrap();
            say(second.value.as_str());
        }
        "by name" => {
            let store = Store::open(&name).unwrap();
            let cell = store.cell::<String>("text").unwrap();
            say(cell.get().unwrap().unwrap().as_str());
            cell.set(&"from afar".into()).unwrap();
            hear();
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_handle_that_was_sent_finds_its_store_and_a_name_its_cell() {
    let _alone = alone();
    let name = Name::new("cells");
    let store = Store::open(&name).unwrap();
    let cell = store.cell::<String>("text").unwrap();
    let sent = serde_json::to_string(&cell).unwrap();
    assert_eq!(postcard::to_stdvec(&cell).unwrap().len(), 19 + name.len());
    cell.set(&"first".into()).unwrap();
    let (mut follower, heard) = Program::ready("follow", &sent);
    assert_eq!(heard, "first");
    let (other, heard) = Program::ready("by name", &name);
    assert_eq!(heard, "first");
    assert_eq!(follower.says(), "from afar");
    assert_eq!(cell.get().unwrap().unwrap().as_str(), "from afar");
    other.finish();
    follower.finish();
}
