//! Promises of scopes, leases and process lifetimes.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use inplace::codec::Archive;
use inplace::connector::{LocalConnector, ShmConnector};
use inplace::{Deadline, Error, Fingerprint, Key, Lease, Region, RegionOptions, Store, Term};
use support::{Forked, alone, eventually, in_child, start_child};

const SOON: Duration = Duration::from_millis(60);
const LATE: Duration = Duration::from_secs(3600);

fn region() -> Region {
    support::watch();
    RegionOptions::new().capacity(1 << 20).max_participants(8).anonymous().unwrap()
}

fn over(region: &Region) -> Store {
    Store::builder("lifetimes").connector(ShmConnector::new(region.clone())).open().unwrap()
}

fn store() -> Store {
    over(&region())
}

fn local() -> Store {
    support::watch();
    Store::builder("lifetimes").connector(LocalConnector::new()).open().unwrap()
}

/// A child of `region` that does something, says so by the key it binds to a name, and stays until it is killed.
fn resident(region: &Region, work: impl FnOnce(&Store) -> Key) -> (Forked, Key) {
    let child = start_child(|| {
        let store = over(region);
        let key = work(&store);
        region.bind("made", key).unwrap();
        loop {
            nix::unistd::pause();
        }
    });
    eventually("the child is there", || region.lookup("made").unwrap().is_some());
    (child, region.unbind("made").unwrap().unwrap())
}

fn bytes_in_use(region: &Region) -> u64 {
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{report}");
    report.bytes_in_use
}

#[test]
fn a_scope_evicts_keys_and_proxies_when_it_ends_and_views_of_them_stay() {
    let _alone = alone();
    for store in [store(), local()] {
        let scope = store.scope();
        let elsewhere = store.put(&1_u32).unwrap();
        let proxy = store.proxy(&2_u32).unwrap();
        scope.attach(elsewhere).unwrap();
        scope.attach_proxy(&proxy).unwrap();
        let here = scope.put(&3_u32).unwrap();
        let lazy = scope.proxy(&4_u32).unwrap();
        let batch = scope.put_batch(&[5_u32, 6]).unwrap();
        let view = store.get::<u32>(elsewhere).unwrap().unwrap();
        assert!(store.evict(here).unwrap());
        let other = store.put(&7_u32).unwrap();
        assert_eq!(scope.end().unwrap(), 5, "one was evicted before");
        for key in [elsewhere, proxy.key(), here, lazy.key(), batch[0], batch[1]] {
            assert!(!store.exists(key).unwrap());
        }
        assert!(matches!(lazy.resolve(), Err(Error::NotFound { .. })));
        assert_eq!(view.to_native(), 1);
        assert!(store.exists(other).unwrap(), "it was never attached");
    }
}

#[test]
fn a_scope_evicts_when_it_is_left_by_a_panic() {
    let _alone = alone();
    let store = store();
    let mut key = None;
    let left = catch_unwind(AssertUnwindSafe(|| {
        let scope = store.scope();
        key = Some(scope.put(&1_u32).unwrap());
        assert!(store.exists(key.unwrap()).unwrap());
        panic!("left");
    }));
    assert!(left.is_err());
    assert!(!store.exists(key.unwrap()).unwrap());
}

#[test]
fn a_scope_says_at_once_that_a_key_is_of_another_store_and_at_its_end_what_went_wrong() {
    let _alone = alone();
    let (here, other) = (local(), local());
    let foreign = other.put(&1_u32).unwrap();
    let scope = here.scope();
    assert!(matches!(scope.attach(foreign), Err(Error::WrongRegion { .. })));
    scope.put(&2_u32).unwrap();
    here.close().unwrap();
    assert!(matches!(scope.end(), Err(Error::Closed { .. })));
}

#[test]
fn a_forked_child_ends_no_scope_of_its_parent() {
    let _alone = alone();
    let store = store();
    let scope = store.scope();
    let key = scope.put(&1_u32).unwrap();
    let code = in_child(|| {
        assert!(matches!(scope.put(&2_u32), Err(Error::NotOwner { .. })));
        assert!(matches!(scope.attach(key), Err(Error::NotOwner { .. })));
        // SAFETY: a copy of what the parent has, dropped once in this process, which then ends without dropping it.
        drop(unsafe { std::ptr::read(&raw const scope) });
        i32::from(!store.exists(key).unwrap())
    });
    assert_eq!(code, 0);
    assert!(store.exists(key).unwrap());
    assert_eq!(scope.end().unwrap(), 1);
}

/// Nobody gets it, whatever they ask, and nothing says that it is there.
fn assert_gone(store: &Store, key: Key) {
    assert!(store.get::<u32>(key).unwrap().is_none());
    assert!(!store.exists(key).unwrap());
    assert!(store.take::<u32>(key).unwrap().is_none());
    assert!(!store.evict(key).unwrap());
    let wait = store.connector().deferrable().unwrap().wait(key, Some(Duration::ZERO));
    assert!(matches!(wait, Err(Error::NotFound { .. })), "{wait:?}");
}

#[test]
fn from_its_deadline_on_nobody_gets_an_object_whatever_they_ask() {
    let _alone = alone();
    for store in [store(), local()] {
        let lease = store.lease(SOON).unwrap();
        let keys = lease.put_batch(&[1_u32; 6]).unwrap();
        let view = store.get::<u32>(keys[0]).unwrap().unwrap();
        let proxy = lease.proxy(&2_u32).unwrap();
        let remaining = lease.deadline().unwrap().remaining();
        assert!(remaining > Duration::ZERO && remaining <= SOON, "{remaining:?}");
        std::thread::sleep(remaining);
        assert_gone(&store, keys[0]);
        // Each question by itself, first.
        assert!(!store.exists(keys[1]).unwrap());
        assert!(store.take::<u32>(keys[2]).unwrap().is_none());
        assert!(!store.evict(keys[3]).unwrap());
        assert!(store.get_batch::<u32>(&keys[4..]).unwrap().iter().all(Option::is_none));
        assert!(matches!(proxy.resolve(), Err(Error::NotFound { .. })));
        assert_eq!(view.to_native(), 1, "a view stays");
    }
}

#[test]
fn a_name_leads_to_no_object_whose_lease_is_over() {
    let _alone = alone();
    let region = region();
    let store = over(&region);
    let lease = store.lease(SOON).unwrap();
    let (named, other) = (lease.put(&1_u32).unwrap(), lease.put(&2_u32).unwrap());
    region.bind("leased", named).unwrap();
    assert_eq!(region.lookup("leased").unwrap(), Some(named));
    std::thread::sleep(SOON);
    assert_eq!(region.lookup("leased").unwrap(), None);
    assert!(matches!(region.bind("late", other), Err(Error::NotFound { .. })));
    assert_eq!(region.keys().unwrap(), []);
    assert!(matches!(region.bind_to_process(other), Err(Error::NotFound { .. })));
}

#[test]
fn a_lease_ends_though_its_process_was_killed_and_its_memory_returns() {
    let _alone = alone();
    let region = region();
    let (child, key) =
        resident(&region, |store| store.lease(4 * SOON).unwrap().put("leased").unwrap());
    let deadline = region.deadline(key).unwrap().unwrap();
    child.kill();
    assert_eq!(region.reap().unwrap(), 1);
    assert_eq!(over(&region).get::<str>(key).unwrap().unwrap().as_str(), "leased");
    assert!(bytes_in_use(&region) > 0);
    std::thread::sleep(deadline.remaining());
    assert!(!region.exists(key).unwrap());
    assert_eq!(bytes_in_use(&region), 0, "who found it over has given its memory back");
}

#[test]
fn a_dead_processes_lease_is_extended_by_another() {
    let _alone = alone();
    let region = region();
    let store = over(&region);
    let (child, key) = resident(&region, |store| store.lease(SOON).unwrap().put(&1_u32).unwrap());
    child.kill();
    let lease = store.lease(LATE).unwrap();
    lease.attach(key).unwrap();
    std::thread::sleep(SOON);
    region.reap().unwrap();
    assert!(store.exists(key).unwrap());
    assert_eq!(lease.end().unwrap(), 1);
    assert!(!store.exists(key).unwrap());
}

#[test]
fn an_extended_lease_holds_everything_that_was_not_evicted_before() {
    let _alone = alone();
    for store in [store(), local()] {
        let lease = store.lease(SOON).unwrap();
        let elsewhere = store.proxy(&1_u32).unwrap();
        lease.attach_proxy(&elsewhere).unwrap();
        let (kept, evicted) = (lease.put(&2_u32).unwrap(), lease.put(&3_u32).unwrap());
        assert!(store.evict(evicted).unwrap());
        let before = lease.deadline().unwrap();
        assert_eq!(lease.extend(LATE).unwrap(), 2);
        assert_eq!(lease.deadline().unwrap(), before.later_by(LATE));
        std::thread::sleep(SOON);
        assert!(store.exists(kept).unwrap() && store.exists(elsewhere.key()).unwrap());
        assert_eq!(lease.set_deadline(Deadline::after(Duration::ZERO)).unwrap(), 2);
        assert!(!store.exists(kept).unwrap() && !store.exists(elsewhere.key()).unwrap());
        assert!(matches!(lease.attach(kept), Err(Error::LeaseOver { .. })));
        assert!(matches!(lease.put(&4_u32), Err(Error::LeaseOver { .. })));
        assert!(matches!(lease.extend(LATE), Err(Error::LeaseOver { .. })));
        let late = store.lease(LATE).unwrap();
        assert!(matches!(late.attach(kept), Err(Error::NotFound { .. })));
    }
}

#[test]
fn dropping_a_lease_evicts_nothing_before_its_time() {
    let _alone = alone();
    let store = store();
    let key = store.lease(SOON).unwrap().put(&1_u32).unwrap();
    assert!(store.exists(key).unwrap());
    std::thread::sleep(SOON);
    assert!(!store.exists(key).unwrap());
}

#[test]
fn a_slot_that_is_used_again_keeps_no_deadline_of_its_last_object() {
    let _alone = alone();
    let options = RegionOptions::new().capacity(1 << 20).max_objects(1);
    let region = options.anonymous().unwrap();
    let store = over(&region);
    let leased = store.lease(SOON).unwrap().put(&1_u32).unwrap();
    assert!(store.evict(leased).unwrap());
    let plain = store.put(&2_u32).unwrap();
    std::thread::sleep(SOON);
    region.reap().unwrap();
    assert!(store.exists(plain).unwrap());
    assert!(store.evict(plain).unwrap());
    let promised = region.reserve().unwrap();
    region.set(promised, b"late").unwrap();
    assert_eq!(region.deadline(promised).unwrap(), None);
}

fn put_leased(region: &Region, len: usize) -> Result<Key, Error> {
    let kind = (Fingerprint::BYTES, Term::Until(Deadline::after(SOON)));
    region.put_for(len, kind, &mut |out| {
        out.write(&vec![7; len]);
        Ok(())
    })
}

#[test]
fn slots_and_space_of_outlived_leases_are_there_when_they_are_needed() {
    let _alone = alone();
    for (len, objects) in [(1000, 8), (100_000, 1000)] {
        let options = RegionOptions::new().capacity(1 << 20).max_objects(objects);
        let region = options.anonymous().unwrap();
        let mut leased = 0;
        while put_leased(&region, len).is_ok() {
            leased += 1;
        }
        assert!(leased >= 8, "{leased}");
        std::thread::sleep(SOON);
        // Nobody has looked at any of them.
        let keys: Vec<_> = (0..leased).map(|_| region.put(&vec![1; len]).unwrap()).collect();
        assert!(keys.iter().all(|&key| region.exists(key).unwrap()));
        let report = region.check().unwrap();
        assert!(report.is_clean() && report.leased == 0, "{report}");
    }
}

#[test]
fn the_background_reaper_gives_outlived_objects_back() {
    let _alone = alone();
    let region = region();
    let _reaper = region.reap_every(Duration::from_millis(5)).unwrap();
    put_leased(&region, 1000).unwrap();
    assert!(bytes_in_use(&region) > 0);
    eventually("its memory is back", || bytes_in_use(&region) == 0);
}

#[test]
fn after_an_extension_nobody_hears_before_its_time_that_it_is_over() {
    let _alone = alone();
    use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
    let region = region();
    let short = Duration::from_millis(2);
    let (promised, current, is_done) =
        (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let start = std::time::Instant::now();
    let (mut extended, mut lost) = (0, 0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(SeqCst) {
                    let until = promised.load(SeqCst);
                    let key = Key::new(region.id(), current.load(SeqCst));
                    let is_gone = region.get(key).unwrap().is_none();
                    let now = start.elapsed().as_nanos() as u64;
                    let is_the_same = promised.load(SeqCst) == until;
                    assert!(!is_gone || !is_the_same || now >= until, "{now} {until}");
                }
            });
        }
        while start.elapsed() < Duration::from_millis(400) {
            promised.store(0, SeqCst);
            current.store(put_leased(&region, 100).unwrap().object(), SeqCst);
            let key = Key::new(region.id(), current.load(SeqCst));
            loop {
                // The promise is taken back before a new one is made, so that who hears "gone" meanwhile is right.
                promised.store(0, SeqCst);
                let until = (start.elapsed() + short).as_nanos() as u64;
                if !region.set_deadline(key, Some(Deadline::after(short))).unwrap() {
                    lost += 1;
                    break;
                }
                promised.store(until, SeqCst);
                extended += 1;
                let pause = if extended % 3 == 0 { short } else { short / 3 };
                std::thread::sleep(pause);
            }
        }
        is_done.store(true, SeqCst);
    });
    assert!(extended > 20 && lost > 2, "{extended} extensions, {lost} lost");
    assert!(region.check().unwrap().is_clean());
}

#[test]
fn a_forked_child_has_no_part_in_a_lease() {
    let _alone = alone();
    let store = store();
    let lease = store.lease(LATE).unwrap();
    let key = lease.put(&1_u32).unwrap();
    let code = in_child(|| {
        assert!(matches!(lease.extend(LATE), Err(Error::NotOwner { .. })));
        let own: Lease<Archive> = store.lease(LATE).unwrap();
        own.attach(key).unwrap();
        i32::from(!store.exists(key).unwrap())
    });
    assert_eq!(code, 0);
    assert_eq!(lease.end().unwrap(), 1);
}

#[test]
fn what_is_bound_to_a_process_is_evicted_after_a_kill() {
    let _alone = alone();
    let region = region();
    let (child, key) = resident(&region, |store| {
        let lifetime = store.process_lifetime().unwrap();
        let attached = store.proxy("bound").unwrap();
        lifetime.attach_proxy(&attached).unwrap();
        lifetime.attach(attached.key()).unwrap();
        lifetime.put("bound from the first instant").unwrap();
        let detached = lifetime.put("everybody's").unwrap();
        lifetime.detach(detached).unwrap();
        attached.key()
    });
    let view = over(&region).get::<str>(key).unwrap().unwrap();
    let report = region.check().unwrap();
    assert_eq!((report.objects, report.bound), (3, 2), "{report}");
    let others = over(&region).process_lifetime().unwrap();
    assert!(matches!(others.attach(key), Err(Error::NotOwner { .. })));
    assert!(matches!(others.detach(key), Err(Error::NotOwner { .. })));
    child.kill();
    assert_eq!(region.reap().unwrap(), 1);
    assert!(!region.exists(key).unwrap());
    assert_eq!(view.as_str(), "bound");
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!((report.objects, report.bound), (1, 0), "{report}");
}

#[test]
fn what_is_bound_to_a_process_is_evicted_when_it_exits() {
    let _alone = alone();
    let region = region();
    let child = start_child(|| {
        let key = over(&region).process_lifetime().unwrap().put(&1_u32).unwrap();
        region.bind("made", key).unwrap();
        // SAFETY: no other thread of this process uses what is taken down at exit.
        unsafe { libc::exit(0) }
    });
    child.wait();
    assert_eq!(region.lookup("made").unwrap(), None, "before anybody reaped");
    assert_eq!(region.reap().unwrap(), 1);
    assert!(region.check().unwrap().is_clean());
}

#[test]
fn what_is_bound_to_a_process_is_evicted_when_it_closes_the_region() {
    let _alone = alone();
    let name = support::Name::new("closing");
    let region = RegionOptions::new().capacity(1 << 20).open_or_create(&name).unwrap();
    let code = in_child(|| {
        let other = over(&Region::open(&name).unwrap());
        let key = other.process_lifetime().unwrap().put(&1_u32).unwrap();
        region.bind("made", key).unwrap();
        drop(other);
        // SAFETY: the last handle of this process, a copy of its parent's, whose process ends without dropping it.
        drop(unsafe { std::ptr::read(&raw const region) });
        0
    });
    assert_eq!(code, 0);
    assert_eq!(region.lookup("made").unwrap(), None);
    assert!(region.check().unwrap().is_clean());
}

#[test]
fn a_forked_child_does_not_own_what_is_bound_to_its_parent() {
    let _alone = alone();
    let region = region();
    let store = over(&region);
    let lifetime = store.process_lifetime().unwrap();
    let key = lifetime.put(&1_u32).unwrap();
    let code = in_child(|| {
        assert!(matches!(lifetime.detach(key), Err(Error::NotOwner { .. })));
        assert!(matches!(lifetime.attach(key), Err(Error::NotOwner { .. })));
        assert!(!region.evict_bound(key).unwrap());
        lifetime.put(&2_u32).unwrap();
        i32::from(!store.exists(key).unwrap())
    });
    assert_eq!(code, 0);
    assert_eq!(region.reap().unwrap(), 1);
    assert_eq!(region.keys().unwrap(), [key], "the child's own is gone with it");
}

#[test]
fn a_lifetime_refuses_a_proxy_that_evicts_when_it_is_resolved() {
    let _alone = alone();
    let store = store();
    let taker = store.proxy(&1_u32).unwrap().evict_on_resolve().unwrap();
    let (scope, lease) = (store.scope(), store.lease(LATE).unwrap());
    let process = store.process_lifetime().unwrap();
    for refused in
        [scope.attach_proxy(&taker), lease.attach_proxy(&taker), process.attach_proxy(&taker)]
    {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::EvictedOnResolve { .. }), "{error}");
        assert!(error.to_string().contains("choose one"), "{error}");
    }
    drop((scope, lease));
    assert_eq!(taker.resolve().unwrap().to_native(), 1, "it was not attached");
    for proxy in [store.scope().proxy(&2_u32).unwrap(), process.proxy(&2_u32).unwrap()] {
        let refused = proxy.clone().evict_on_resolve().unwrap_err();
        assert!(matches!(refused, Error::EvictedOnResolve { .. }), "{refused}");
    }
}

#[test]
fn a_bond_of_a_dictionary_is_the_processes_own() {
    let _alone = alone();
    let store = local();
    let lifetime = store.process_lifetime().unwrap();
    let key = lifetime.put(&1_u32).unwrap();
    assert!(matches!(lifetime.detach(store.put(&2_u32).unwrap()), Err(Error::NotOwner { .. })));
    lifetime.attach(key).unwrap();
    lifetime.detach(key).unwrap();
    assert!(store.exists(key).unwrap());
}
