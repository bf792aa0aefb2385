//! What all processes of a region did together, counted in the region, and how much of it is in use.

use inplace::connector::ShmConnector;
use inplace::{Error, Key, Lifespan, Region, RegionCounters, RegionOptions, Store};

mod support;
use support::{Name, Program, alone, end_with_parent, hear, in_child, role, say, start_child};

fn options() -> RegionOptions {
    RegionOptions::new().capacity(4 << 20).max_objects(4000).max_participants(8)
}

fn figures(region: &Region) -> [u64; 5] {
    let RegionCounters { puts, put_bytes, gets, misses, evictions, .. } =
        region.counters().unwrap();
    [puts, put_bytes, gets, misses, evictions]
}

/// Not a test by itself: a process that works until it is killed.
#[test]
fn program() {
    let Some((_, name)) = role() else { return };
    let region = options().metrics(true).open(&name).unwrap();
    for _ in 0..1000 {
        let key = region.put(&[1; 10]).unwrap();
        drop(region.get(key).unwrap().unwrap());
        assert!(region.evict(key).unwrap());
        assert!(region.get(key).unwrap().is_none());
    }
    say("done");
    hear();
}

#[test]
fn what_a_killed_process_counted_stays_and_who_follows_it_counts_on() {
    let _alone = alone();
    let name = Name::new("killed");
    let region = options().create(&name).unwrap();
    for round in 1..=3 {
        let (program, said) = Program::ready("works", &name);
        assert_eq!(said, "done");
        program.kill();
        let done = 1000 * round;
        assert_eq!(figures(&region), [done, 10 * done, done, done, done], "round {round}");
        assert_eq!(region.reap().unwrap(), 1, "its entry is the next one's");
        assert_eq!(figures(&region), [done, 10 * done, done, done, done], "reaped, round {round}");
        let report = region.check().unwrap();
        assert!(report.violations.is_empty(), "{report:?}");
        assert_eq!(region.usage().unwrap().participants, 1);
    }
}

#[test]
fn who_does_not_ask_for_it_counts_nothing() {
    let _alone = alone();
    let region = options().anonymous().unwrap();
    let key = region.put(b"unseen").unwrap();
    assert!(region.get(key).unwrap().is_some() && region.evict(key).unwrap());
    assert_eq!(region.counters().unwrap(), RegionCounters::default());
}

#[test]
fn every_way_to_put_get_and_evict_is_counted() {
    let _alone = alone();
    let region = options().metrics(true).anonymous().unwrap();
    let fingerprint = inplace::Fingerprint::BYTES;
    let put = region.put(&[0; 1]).unwrap();
    let batch = region.put_batch(&[&[0; 2], &[0; 4]]).unwrap();
    let mut fill = |out: &mut inplace::connector::BlockWriter<'_>| {
        out.write(&[0; 8]);
        Ok(())
    };
    region.put_with(100, fingerprint, &mut fill).unwrap();
    let lent = region.loan(64, fingerprint).unwrap().publish_prefix(16).unwrap();
    drop(region.loan(32, fingerprint).unwrap());
    let promised = region.reserve().unwrap();
    assert_eq!(figures(&region), [5, 31, 0, 0, 0], "what is lent or promised is not put yet");
    region.set(promised, &[0; 32]).unwrap();
    assert_eq!(figures(&region), [6, 63, 0, 0, 0]);

    drop((region.get(put).unwrap(), region.wait(promised, None).unwrap()));
    assert_eq!(figures(&region), [6, 63, 2, 0, 0]);
    drop(region.take(lent).unwrap().unwrap());
    assert!(region.take(lent).unwrap().is_none() && !region.evict(lent).unwrap());
    assert!(region.get(lent).unwrap().is_none());
    assert!(matches!(region.wait(lent, None), Err(Error::NotFound { .. })));
    assert_eq!(figures(&region), [6, 63, 3, 3, 1]);
    assert!(region.evict(batch[0]).unwrap() && region.evict(promised).unwrap());
    assert_eq!(figures(&region), [6, 63, 3, 3, 3]);
    assert!(region.get(Key::new(1, 1)).is_err());
    assert_eq!(figures(&region), [6, 63, 3, 3, 3], "a key of elsewhere is no miss");
}

#[test]
fn a_forked_child_counts_in_an_entry_of_its_own() {
    let _alone = alone();
    let region = options().metrics(true).anonymous().unwrap();
    let key = region.put(&[0; 100]).unwrap();
    let children: Vec<_> = (0..3)
        .map(|_| {
            start_child(|| {
                end_with_parent();
                for _ in 0..500 {
                    drop(region.get(key).unwrap().unwrap());
                }
                region.put(&[0; 7]).unwrap();
                // Ends without leaving: its entry has to be reaped.
                0
            })
        })
        .collect();
    for _ in 0..500 {
        drop(region.get(key).unwrap().unwrap());
    }
    for child in children {
        child.wait();
    }
    assert_eq!(figures(&region), [4, 121, 2000, 0, 0]);
    region.reap().unwrap();
    assert_eq!(figures(&region), [4, 121, 2000, 0, 0]);
    assert!(region.check().unwrap().violations.is_empty());
}

#[test]
fn all_handles_of_a_process_count_once_one_asks_for_it() {
    let _alone = alone();
    let name = Name::new("handles");
    let silent = options().create(&name).unwrap();
    silent.put(b"before").unwrap();
    assert_eq!(figures(&silent)[0], 0);
    let counting = options().metrics(true).open(&name).unwrap();
    silent.put(b"after").unwrap();
    counting.put(b"after").unwrap();
    assert_eq!(figures(&silent), [2, 10, 0, 0, 0]);
    assert_eq!(figures(&counting), figures(&silent));
}

#[test]
fn a_store_that_is_counted_counts_in_its_region_too() {
    let _alone = alone();
    let name = Name::new("store");
    let region = options().lifespan(Lifespan::Attached).create(&name).unwrap();
    let store = Store::builder("counted").connector(ShmConnector::new(region.clone()));
    let store = store.metrics(true).open().unwrap();
    let keys = store.put_batch(&[1_u64, 2, 3]).unwrap();
    assert!(store.take::<u64>(keys[0]).unwrap().is_some());
    assert!(store.take::<u64>(keys[0]).unwrap().is_none());
    assert_eq!(store.evict_batch(&keys).unwrap(), 2);
    assert_eq!(figures(&region), [3, 24, 1, 1, 3]);
}

#[test]
fn usage_is_what_objects_hold_and_returns_with_them() {
    let _alone = alone();
    let region = options().anonymous().unwrap();
    let empty = region.usage().unwrap();
    assert_eq!((empty.objects, empty.bytes_in_use), (0, 0));
    assert_eq!((empty.capacity, empty.max_objects, empty.max_participants), (4 << 20, 4000, 8));
    let small = region.put(&[1; 65]).unwrap();
    let large = region.put(&vec![1; 200_000]).unwrap();
    let promised = region.reserve().unwrap();
    let used = region.usage().unwrap();
    assert_eq!((used.objects, used.bytes_in_use), (3, 128 + 4 * 65_536));
    assert!(used.bytes_committed >= used.bytes_in_use && used.bytes_committed <= used.capacity);
    let view = region.get(large).unwrap().unwrap();
    for key in [small, large, promised] {
        assert!(region.evict(key).unwrap());
    }
    assert_eq!(region.usage().unwrap().objects, 1, "evicted, but in view");
    drop(view);
    let after = region.usage().unwrap();
    assert_eq!((after.objects, after.bytes_in_use), (0, 0));
    assert_eq!(after.bytes_committed, used.bytes_committed, "kept for the next");
    region.trim().unwrap();
    assert_eq!(region.usage().unwrap().bytes_committed, 0);
}

#[test]
fn names_are_no_objects_and_reports_agree() {
    let _alone = alone();
    let region = options().metrics(true).anonymous().unwrap();
    let key = region.put(b"named").unwrap();
    region.bind("name", key).unwrap();
    let (usage, report) = (region.usage().unwrap(), region.check().unwrap());
    assert_eq!((usage.objects, report.objects), (1, 1));
    assert_eq!(usage.bytes_in_use, report.bytes_in_use);
    assert_eq!(usage.bytes_committed, report.bytes_committed);
    assert_eq!(figures(&region), [1, 5, 0, 0, 0], "and binding is no put");
}

#[test]
fn in_a_severed_child_figures_are_an_error() {
    let _alone = alone();
    let region = options().max_participants(1).metrics(true).anonymous().unwrap();
    let code = in_child(|| {
        let severed = |outcome: Result<(), Error>| matches!(outcome, Err(Error::Severed));
        let all = severed(region.counters().map(drop))
            && severed(region.usage().map(drop))
            && severed(region.metrics().map(drop));
        i32::from(!all)
    });
    assert_eq!(code, 0);
}
