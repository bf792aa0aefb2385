//! A full /dev/shm is an error that says what to do, never a SIGBUS, and never the end.

mod support;

use inplace::{Error, Fingerprint, Key, Region, RegionOptions};
use support::payload;
use support::random::Random;
use support::small_shm::{Filler, used, with_shm_of};

const MIB: u64 = 1 << 20;

/// A region that would take more than there is.
fn roomy(name: &str) -> Region {
    RegionOptions::new().capacity(64 * MIB).create(name).unwrap()
}

fn assert_clean(region: &Region) -> inplace::Report {
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{report}");
    report
}

/// Puts objects of one size until there is no room, and checks what is said then.
fn put_until_full(region: &Region, len: usize) -> Vec<(Key, u16)> {
    let mut keys = Vec::new();
    loop {
        let seed = keys.len() as u16;
        match region.put(&payload::make(seed, len)) {
            Ok(key) => keys.push((key, seed)),
            Err(error) => {
                assert_explains(&error, len as u64);
                return keys;
            }
        }
    }
}

#[track_caller]
fn assert_explains(error: &Error, len: u64) {
    let text = error.to_string();
    assert!(matches!(error, Error::OutOfSpace { requested, .. } if *requested == len), "{error:?}");
    for part in [&len.to_string(), "/dev/shm is full", "bytes free", "--shm-size", "remount,size"] {
        assert!(text.contains(part), "{text:?} does not say {part:?}");
    }
}

fn assert_all_there(region: &Region, keys: &[(Key, u16)]) {
    for &(key, seed) in keys {
        let view = region.get(key).unwrap().unwrap();
        assert_eq!(payload::blame(Some(seed), &view), None);
    }
}

fn evict_all(region: &Region, keys: Vec<(Key, u16)>) {
    keys.into_iter().for_each(|(key, _)| assert!(region.evict(key).unwrap()));
}

#[test]
fn objects_of_every_size_fill_it_stay_readable_and_make_room_again() {
    for size in [2 * MIB, 8 * MIB] {
        with_shm_of(size, || {
            let region = roomy("full");
            let (initial, mut most) = (used(), 0);
            // From large to small: what small objects take for the index does not come back.
            for len in [
                700_000, 200_000, 65_537, 65_536, 32_769, 32_768, 20_000, 10_000, 8192, 5000, 4096,
                1000, 100, 64, 1,
            ] {
                let mut keys = put_until_full(&region, len);
                let held: u64 = keys.len() as u64 * len as u64;
                assert!(
                    len < 1000 || held > size / 3,
                    "only {held} bytes of {size} could be put, {len} at a time"
                );
                assert_all_there(&region, &keys);
                assert_clean(&region);
                for round in 0..30 {
                    let (key, _) = keys.swap_remove(round * 7 % keys.len());
                    assert!(region.evict(key).unwrap());
                    let put = region.put(&payload::make(9, len));
                    keys.push((
                        put.unwrap_or_else(|error| {
                            panic!("{len} after an evict of as much: {error}")
                        }),
                        9,
                    ));
                }
                assert_all_there(&region, &keys);
                most = most.max(keys.len() as u64);
                evict_all(&region, keys);
                region.trim().unwrap();
                let report = assert_clean(&region);
                assert_eq!(
                    (report.objects, report.bytes_in_use, report.bytes_committed),
                    (0, 0, 0)
                );
                // What stays: a page of block words for each unit that ever was a slab, and the index.
                let (now, slabs, index) = (used(), size / 65_536 * 4096, most / 2047 * 400_000);
                assert!(now <= initial + slabs + index, "{initial} -> {now} after {len}");
            }
        });
    }
}

#[test]
fn a_size_that_filled_it_makes_room_for_every_other_size() {
    with_shm_of(4 * MIB, || {
        let region = roomy("mixed");
        let mut random = Random::new(Random::seed("mixed sizes"));
        for _ in 0..60 {
            let first = 1 + random.below(200_000) as usize;
            let keys = put_until_full(&region, first);
            assert!(!keys.is_empty(), "nothing of {first} bytes could be put into an empty region");
            assert_all_there(&region, &keys);
            evict_all(&region, keys);
        }
        assert_clean(&region);
    });
}

#[test]
fn loans_promises_names_and_batches_are_refused_or_done_whole() {
    with_shm_of(2 * MIB, || {
        let region = roomy("others");
        let promised = region.reserve().unwrap();
        let named = region.put(b"named before").unwrap();
        region.bind("before", named).unwrap();
        let big = put_until_full(&region, 65_536);
        let small = put_until_full(&region, 64);

        let error = region.loan(100_000, Fingerprint::BYTES).unwrap_err();
        assert_explains(&error, 100_000);
        assert_explains(&region.set(promised, &[1; 70_000]).unwrap_err(), 70_000);
        let items = [&[1_u8; 30_000][..], &[2; 60_000]];
        assert_explains(&region.put_batch(&items).unwrap_err(), 90_000);
        let mut calls = 0;
        let filled = region.put_with(10, Fingerprint::BYTES, &mut |out| {
            calls += 1;
            out.write(&[5; 150_000]);
            Ok(())
        });
        assert!(matches!(filled, Err(Error::OutOfSpace { .. })), "{filled:?}");
        assert_eq!(region.lookup("before").unwrap(), Some(named));
        assert!(!region.exists(promised).unwrap());
        assert!(matches!(
            region.wait(promised, Some(std::time::Duration::from_millis(5))),
            Err(Error::TimedOut { .. })
        ));
        assert_clean(&region);
        assert_all_there(&region, &big);
        assert_all_there(&region, &small);

        for (key, _) in &big[..2] {
            assert!(region.evict(*key).unwrap());
        }
        region.set(promised, &[1; 70_000]).unwrap();
        assert_eq!(region.wait(promised, None).unwrap().len(), 70_000);
        evict_all(&region, big[2..4].to_vec());
        let mut loan = region.loan(100_000, Fingerprint::BYTES).unwrap();
        payload::fill(3, &mut loan);
        let loaned = region.get(loan.publish().unwrap()).unwrap().unwrap();
        assert_eq!(payload::blame(Some(3), &loaned), None);
        assert_clean(&region);
    });
}

#[test]
fn an_index_that_can_not_grow_says_so_and_grows_when_there_is_room() {
    with_shm_of(MIB, || {
        let region = roomy("index");
        let filler = Filler::leaving(0);
        let mut keys = Vec::new();
        let error = loop {
            match region.put(b"") {
                Ok(key) => keys.push(key),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, Error::OutOfSpace { .. }), "{error}");
        assert_eq!(keys.len(), 2047, "the first chunk, without the slot that is never used");
        assert!(matches!(region.reserve(), Err(Error::OutOfSpace { .. })));
        assert!(region.evict(keys[77]).unwrap());
        region.reserve().unwrap();
        assert!(matches!(region.reserve(), Err(Error::OutOfSpace { .. })));
        assert_clean(&region);
        drop(filler);
        region.reserve().unwrap();
        assert_clean(&region);
    });
}

#[test]
fn an_index_grows_out_of_memory_that_evicted_objects_gave_back() {
    with_shm_of(2 * MIB, || {
        let region = roomy("index");
        let spans = put_until_full(&region, 65_536);
        let _filler = Filler::leaving(0);
        let slots = 2047 - spans.len();
        for _ in 0..slots {
            region.put(b"").unwrap();
        }
        assert!(matches!(region.reserve(), Err(Error::OutOfSpace { .. })));
        let count = spans.len();
        evict_all(&region, spans);
        for _ in 0..=count {
            region.reserve().expect("a chunk fits into what was evicted");
        }
        assert_clean(&region);
    });
}

#[test]
fn a_region_that_does_not_fit_is_an_error_and_leaves_nothing() {
    with_shm_of(MIB, || {
        for left in [0, 4096, 65_536, 300_000] {
            let filler = Filler::leaving(left);
            let before = used();
            for options in [RegionOptions::new(), RegionOptions::new().capacity(MIB)] {
                let error = options.create("unborn").unwrap_err();
                assert!(matches!(error, Error::OutOfSpace { .. }), "{left}: {error}");
                assert!(error.to_string().contains("/dev/shm"), "{error}");
            }
            let opened = RegionOptions::new().open_or_create("unborn").unwrap_err();
            assert!(matches!(opened, Error::OutOfSpace { .. }), "{opened}");
            assert_eq!(used(), before);
            assert_eq!(std::fs::read_dir("/dev/shm").unwrap().count(), 1, "only the filler");
            drop(filler);
            drop(RegionOptions::new().create("unborn").unwrap());
        }
    });
}

#[test]
fn attaching_forking_reaping_and_leaving_need_no_memory() {
    with_shm_of(2 * MIB, || {
        let region = roomy("attach");
        let keys = put_until_full(&region, 30_000);
        put_until_full(&region, 64);
        let _filler = Filler::leaving(0);
        let child = support::start_child(|| {
            let region = Region::attached(region.id()).unwrap().unwrap();
            let _views: Vec<_> =
                keys.iter().map(|(key, _)| region.get(*key).unwrap().unwrap()).collect();
            region.evict(keys[0].0).unwrap();
            std::mem::forget(region.put(b"?"));
            support::hear();
            0
        });
        std::thread::sleep(std::time::Duration::from_millis(50));
        child.kill();
        assert_eq!(region.reap().unwrap(), 1);
        assert_clean(&region);
        assert_all_there(&region, &keys[1..]);
    });
}
