//! Cells: values that change under any number of readers and writers, in any number of processes.

mod support;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use inplace::codec::{Raw, Serde};
use inplace::connector::{LocalConnector, ShmConnector};
use inplace::{Cell, Error, Key, Region, RegionOptions, Store, storable};
use support::watch;

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

/// The same promises hold in shared memory and in a dictionary.
fn everywhere(name: &str, holds: impl Fn(&Store)) {
    let _alone = alone();
    holds(&shm(name));
    holds(&Store::builder(name).connector(LocalConnector::new()).open().unwrap());
}

fn region_of(store: &Store) -> Region {
    store.connector().as_shm().unwrap().region().unwrap().clone()
}

#[test]
fn cells_are_shared_between_threads_whatever_they_hold() {
    fn everywhere<T: Send + Sync>() {}
    everywhere::<inplace::Cell<Vec<f64>>>();
    everywhere::<inplace::Cell<std::rc::Rc<u8>>>();
    everywhere::<inplace::Auto<std::rc::Rc<u8>>>();
}

#[test]
fn versions_count_up_from_one_and_old_views_stay_as_they_are() {
    everywhere("counting", |store| {
        let cell = store.cell_new::<Vec<u64>>().unwrap();
        assert!(cell.get().unwrap().is_none());
        assert_eq!(cell.version().unwrap(), 0);
        let mut views = Vec::new();
        for version in 1..=20 {
            assert_eq!(cell.set(&vec![version; 100]).unwrap(), version);
            assert_eq!(cell.version().unwrap(), version);
            views.push(cell.get_versioned().unwrap().unwrap());
        }
        for (at, view) in (1..).zip(&views) {
            assert_eq!(view.version, at);
            assert!(view.value.iter().all(|number| *number == at), "{at}");
        }
        assert!(store.exists(cell.key()).unwrap());
        assert!(cell.evict().unwrap() && !cell.evict().unwrap());
        assert!(!store.exists(cell.key()).unwrap());
        assert_eq!(views[19].value[99], 20);
    });
}

#[test]
fn what_was_evicted_is_not_found_and_gives_everything_back() {
    everywhere("evicting", |store| {
        let cell = store.cell::<String>("name").unwrap();
        cell.set(&"value".into()).unwrap();
        assert!(store.evict(cell.key()).unwrap(), "by its key, as an object");
        let key = cell.key();
        let gone = |error: Error| matches!(error, Error::NotFound { key: found } if found == key);
        assert!(gone(cell.get().unwrap_err()) && gone(cell.set(&String::new()).unwrap_err()));
        assert!(gone(cell.version().unwrap_err()));
        assert!(gone(cell.wait_for_change(0, None).unwrap_err()));
        let next = store.cell::<u8>("name").unwrap();
        assert_ne!(next.key(), cell.key(), "the name is free again");
        assert!(next.get().unwrap().is_none());
        next.evict().unwrap();
    });
    let store = shm("evicting");
    let cell = store.cell_new::<[u8]>().unwrap();
    cell.set(&[1; 100_000][..]).unwrap();
    cell.evict().unwrap();
    let report = region_of(&store).check().unwrap();
    assert!(report.is_clean() && report.bytes_in_use == 0 && report.variables == 0, "{report}");
    assert!(region_of(&store).keys().unwrap().is_empty());
}

#[test]
fn a_version_is_refused_as_another_type_and_so_is_a_name() {
    everywhere("typed", |store| {
        let cell = store.cell::<Vec<f64>>("numbers").unwrap();
        cell.set(&vec![0.5]).unwrap();
        let error = store.cell::<Vec<u64>>("numbers").unwrap_err().to_string();
        assert!(error.contains("Cell<Vec<u64>>") && error.contains("Cell<Vec<f64>>"), "{error}");
        let wrong = store.cell_from_key::<Vec<u64>>(cell.key());
        assert!(matches!(wrong.get(), Err(Error::TypeMismatch { .. })));
        assert!(matches!(wrong.set(&vec![1]), Err(Error::TypeMismatch { .. })));
        assert!(matches!(wrong.wait_for_change(0, None), Err(Error::TypeMismatch { .. })));
        let empty = store.cell_new::<u8>().unwrap();
        assert!(matches!(
            store.cell_from_key::<u16>(empty.key()).get(),
            Err(Error::TypeMismatch { .. })
        ));
        assert!(matches!(store.cell::<u8>(""), Err(Error::InvalidName { .. })));
        assert_eq!(*cell.get().unwrap().unwrap(), [0.5]);
    });
}

#[storable]
struct Report {
    title: String,
    progress: Cell<u64>,
    parts: Vec<Cell<[u8], Raw>>,
    next: Option<Cell<Report>>,
}

#[test]
fn cells_nest_in_archived_types_and_may_be_of_the_type_itself() {
    everywhere("nested", |store| {
        let _registered = store.register().unwrap();
        let progress = store.cell_new::<u64>().unwrap();
        let part = store.with_codec(Raw).cell_new::<[u8]>().unwrap();
        let report = |next| Report {
            title: "report".into(),
            progress: progress.clone(),
            parts: vec![part.clone()],
            next,
        };
        let next = store.cell_new::<Report>().unwrap();
        next.set(&report(Some(next.clone()))).unwrap();
        let found = store.get::<Report>(store.put(&report(Some(next.clone()))).unwrap()).unwrap();
        let found = found.unwrap();
        assert_eq!((found.title.as_str(), found.progress.key()), ("report", progress.key()));
        found.progress.to_cell().set(&5).unwrap();
        found.parts[0].to_cell().set(b"bytes").unwrap();
        assert_eq!(*progress.get().unwrap().unwrap(), 5);
        assert_eq!(*part.get().unwrap().unwrap(), *b"bytes");
        let deeper = found.next.as_ref().unwrap().to_cell().get().unwrap().unwrap();
        assert_eq!(deeper.next.as_ref().unwrap().key(), next.key());
        let owned = inplace::codec::Archive::to_owned::<Report>(&found).unwrap();
        assert!(owned.progress == progress && owned.parts[0] == part);
    });
}

#[test]
fn an_object_is_no_cell_and_the_key_of_a_cell_leads_to_its_value() {
    everywhere("kinds", |store| {
        let cell = store.cell_new::<u64>().unwrap();
        cell.set(&7).unwrap();
        let (early, late) = (store.proxy_from_key::<u64>(cell.key()), cell.key());
        assert_eq!(early.to_native(), 7);
        cell.set(&8).unwrap();
        assert_eq!((early.to_native(), *store.proxy_from_key::<u64>(late)), (7, 8.into()));
        assert_eq!(*store.get::<u64>(late).unwrap().unwrap(), 8);
        assert!(matches!(store.get::<u32>(late), Err(Error::TypeMismatch { .. })));
        assert_eq!(*store.wait::<u64>(late, None).unwrap(), 8);
        let both = store.get_batch::<u64>(&[late, store.put(&9_u64).unwrap()]).unwrap();
        assert_eq!(both.iter().flatten().map(|it| it.to_native()).collect::<Vec<_>>(), [8, 9]);
        assert_eq!(*store.take::<u64>(late).unwrap().unwrap(), 8);
        assert!(matches!(cell.get(), Err(Error::NotFound { .. })), "it was taken");
        assert!(store.get::<u64>(late).unwrap().is_none());
        assert!(store.get::<u64>(store.cell_new::<u64>().unwrap().key()).unwrap().is_none());
        let object = store.put(&7_u64).unwrap();
        let wrong = store.cell_from_key::<u64>(object);
        assert!(matches!(wrong.get(), Err(Error::NotFound { .. })));
        assert!(matches!(wrong.set(&8), Err(Error::NotFound { .. })));
        assert!(store.exists(object).unwrap());
    });
    let store = shm("kinds");
    let region = region_of(&store);
    region.bind("object", store.put(&1_u8).unwrap()).unwrap();
    let error = store.cell::<u8>("object").unwrap_err();
    assert!(matches!(&error, Error::TypeMismatch { .. }), "{error}");
    region.bind("promise", region.reserve().unwrap()).unwrap();
    assert!(store.cell::<u8>("promise").unwrap_err().to_string().contains("a promise"));
    let cell = store.cell::<u8>("cell").unwrap();
    assert_eq!(region.lookup("cell").unwrap(), Some(cell.key()));
    assert!(region.keys().unwrap().contains(&cell.key()));
    cell.set(&1).unwrap();
    let key = cell.get().unwrap().unwrap().block().unwrap().clone();
    assert_eq!(key.len(), 1);
    let version =
        store.connector().variables().unwrap().get_variable(cell.key(), key.fingerprint()).unwrap();
    let version = version.unwrap().key;
    assert!(region.get(version).unwrap().is_some());
    assert!(!region.evict(version).unwrap() && region.take(version).unwrap().is_none());
    assert_eq!(*cell.get().unwrap().unwrap(), 1, "nobody but the next version evicts it");
}

#[test]
fn set_if_refuses_to_lose_what_somebody_else_set() {
    everywhere("guarded", |store| {
        let cell = store.cell_new::<u64>().unwrap();
        assert_eq!(cell.set_if(0, &1).unwrap(), 1);
        let error = cell.set_if(0, &2).unwrap_err();
        assert!(matches!(error, Error::Conflict { expected: 0, found: 1, .. }), "{error}");
        assert_eq!(cell.set_if(1, &2).unwrap(), 2);
        assert_eq!(*cell.get().unwrap().unwrap(), 2);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..250 {
                        cell.update(|old| old.map_or(0, |old| old.to_native()) + 1).unwrap();
                    }
                });
            }
        });
        let end = cell.get_versioned().unwrap().unwrap();
        assert_eq!((end.value.to_native(), end.version), (1002, 1002));
    });
}

#[test]
fn any_codec_makes_cells_and_a_new_version_is_not_taken_from_the_cache() {
    everywhere("codecs", |store| {
        let raw = store.with_codec(Raw).cell_new::<[u8]>().unwrap();
        raw.set(b"bytes").unwrap();
        assert_eq!(*raw.get().unwrap().unwrap(), *b"bytes");
        let serde = store.with_codec(Serde).cell_new::<Vec<u32>>().unwrap();
        for round in 0..5 {
            serde.set(&vec![round; 3]).unwrap();
            for _ in 0..2 {
                assert_eq!(*serde.get().unwrap().unwrap(), vec![round; 3]);
            }
        }
    });
}

#[test]
fn of_many_who_open_a_name_at_once_all_have_the_same_cell() {
    everywhere("opening", |store| {
        for round in 0..50 {
            let name = format!("name {round}");
            let keys: Vec<Key> = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|_| scope.spawn(|| store.cell::<u8>(&name).unwrap().key()))
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
        }
    });
    let store = shm("opening");
    (0..10).for_each(|at| drop(store.cell::<u8>(&format!("name {}", at % 5)).unwrap()));
    let report = region_of(&store).check().unwrap();
    assert_eq!((report.variables, report.names), (5, 5), "the losers' are evicted: {report}");
}

#[test]
fn a_wait_ends_with_a_change_or_the_end_of_the_cell_or_its_time() {
    everywhere("waiting", |store| {
        let cell = store.cell_new::<u64>().unwrap();
        let timed_out = cell.wait_for_change(0, Some(Duration::from_millis(30))).unwrap_err();
        assert!(matches!(timed_out, Error::TimedOut { .. }), "{timed_out}");
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let mut seen = 0;
                while seen < 200 {
                    let next = cell.wait_for_change(seen, None).unwrap();
                    assert!(next.version > seen && *next.value == next.version);
                    seen = next.version;
                }
            });
            (1..=200).for_each(|number| assert_eq!(cell.set(&number).unwrap(), number));
            waiter.join().unwrap();
            let waiters: Vec<_> =
                (0..3).map(|_| scope.spawn(|| cell.wait_for_change(200, None))).collect();
            std::thread::sleep(Duration::from_millis(20));
            cell.evict().unwrap();
            for waiter in waiters {
                let outcome = waiter.join().unwrap();
                assert!(matches!(outcome, Err(Error::NotFound { .. })), "{outcome:?}");
            }
        });
    });
}
