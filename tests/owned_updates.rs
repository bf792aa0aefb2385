//! Promises of owned objects that change: whoever was given a proxy finds the newest value, and nobody but the owner makes one.

mod support;

use inplace::{Error, Proxy};
use nix::sys::wait::WaitStatus;
use support::owners::{adopt, left, local, over, region, resident, sent};
use support::{alone, start_child};

#[test]
fn an_update_is_found_by_whoever_was_given_a_proxy_before_and_old_views_stay() {
    let _alone = alone();
    for store in [over(&region()), local()] {
        let _registered = store.register().unwrap();
        let mut owned = store.own(&vec![1_u32]).unwrap();
        let (key, before, resolved) = (owned.key(), owned.borrow(), owned.proxy());
        assert_eq!(resolved.len(), 1);
        let (proxy, message) = (owned.proxy(), postcard::to_stdvec(&owned.proxy()).unwrap());
        let follower = store.cell_from_key::<Vec<u32>>(key);
        for len in 2..5 {
            owned.update(&vec![7; len]).unwrap();
            assert_eq!((before.len(), owned.len(), owned.key()), (1, len, key));
            let sent: Proxy<Vec<u32>> = postcard::from_bytes(&message).unwrap();
            assert_eq!(
                (sent.len(), store.get::<Vec<u32>>(key).unwrap().unwrap().len()),
                (len, len)
            );
            let newest = follower.wait_for_change(len as u64 - 1, None).unwrap();
            assert_eq!((newest.value.len(), newest.version), (len, len as u64));
        }
        assert_eq!((proxy.len(), resolved.len()), (4, 1), "resolved once, a proxy stays so");
        drop(owned);
        assert!(!store.exists(key).unwrap());
        assert!(matches!(follower.wait_for_change(9, None), Err(Error::NotFound { .. })));
    }
}

#[test]
fn an_update_that_fails_changes_nothing() {
    let _alone = alone();
    let region = region();
    let store = over(&region);
    let mut owned = store.own(&vec![1_u32, 2]).unwrap();
    let too_large = owned.update(&vec![0; 1 << 20]);
    assert!(matches!(too_large, Err(Error::OutOfSpace { .. })), "{too_large:?}");
    assert_eq!((owned.len(), owned.proxy().len()), (2, 2), "it is owned as before");
    assert!(store.evict(owned.key()).unwrap());
    assert!(matches!(owned.update(&vec![3]), Err(Error::NotFound { .. })));
    assert_eq!(owned.len(), 2);
    drop(owned);
    assert!(matches!(store.own(&vec![0_u32; 1 << 20]), Err(Error::OutOfSpace { .. })));
    assert_eq!(left(&region), 0);
}

#[test]
fn an_update_is_found_in_another_process_and_nobody_but_the_owner_makes_one() {
    let _alone = alone();
    let region = region();
    let store = over(&region);
    let mut owned = store.own("old").unwrap();
    let (proxy, cell) = (owned.proxy(), store.cell_from_key::<str>(owned.key()));
    let child = start_child(|| {
        let is_refused = matches!(cell.set("child's"), Err(Error::NotOwner { .. }));
        let newest = cell.wait_for_change(1, None).unwrap();
        i32::from(!(is_refused && newest.value.as_str() == "new" && proxy.as_str() == "new"))
    });
    std::thread::sleep(std::time::Duration::from_millis(20));
    owned.update("new").unwrap();
    assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
    assert_eq!(cell.set("by another handle of its process").unwrap(), 3);
    // Handed over, it is its next owner's alone.
    let bytes = sent(owned.into_token().unwrap());
    assert!(matches!(cell.set("late"), Err(Error::NotOwner { .. })));
    let heir = resident(
        || {
            let mut owned = adopt(&store, &bytes).unwrap();
            assert!(owned.as_str().starts_with("by another"));
            owned.update("heir's").unwrap();
            std::mem::forget(owned);
        },
        || cell.version().unwrap() == 4,
    );
    assert!(matches!(cell.set("late"), Err(Error::NotOwner { .. })));
    assert_eq!(store.proxy_from_key::<str>(cell.key()).as_str(), "heir's");
    heir.kill();
    assert_eq!(left(&region), 0);
    assert!(matches!(cell.get(), Err(Error::NotFound { .. })));
}

#[test]
fn what_was_shared_everybody_may_set_until_somebody_owns_it() {
    let _alone = alone();
    for store in [over(&region()), local()] {
        let shared = store.own("mine").unwrap().into_shared().unwrap();
        let cell = store.cell_from_key::<str>(shared.key());
        assert_eq!(cell.set("anybody's").unwrap(), 2);
        assert_eq!(shared.as_str(), "anybody's");
        cell.set("later").unwrap();
        let mut owned = shared.into_owned().unwrap();
        assert_eq!(owned.as_str(), "later", "though its proxy was resolved before");
        owned.update("mine again").unwrap();
        assert_eq!(cell.get().unwrap().unwrap().as_str(), "mine again");
        let copy = owned.try_clone().unwrap();
        owned.update("another").unwrap();
        assert_eq!(copy.proxy().as_str(), "mine again");
    }
}

#[test]
fn what_was_claimed_never_changes_and_its_first_update_makes_a_cell_of_its_own() {
    let _alone = alone();
    for store in [over(&region()), local()] {
        let proxy = store.proxy("an object").unwrap();
        let mut owned = proxy.clone().into_owned().unwrap();
        owned.update("a cell").unwrap();
        assert_ne!(owned.key(), proxy.key());
        assert!(matches!(proxy.resolve(), Err(Error::NotFound { .. })));
        let (key, later) = (owned.key(), owned.proxy());
        owned.update("changed").unwrap();
        assert_eq!((owned.key(), later.as_str()), (key, "changed"));
    }
}
