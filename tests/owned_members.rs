//! Owned objects of several connectors as one: each is where there is room for it, and stays there.

mod support;

use inplace::connector::{LocalConnector, MultiConnector, Policy, ShmConnector};
use inplace::{Error, Region, RegionOptions, Store};
use support::owners::{adopt, left};
use support::{Name, alone, watch};

fn region(capacity: u64) -> Region {
    watch();
    RegionOptions::new().capacity(capacity).max_objects(50).anonymous().unwrap()
}

/// Small regions, the first of which is preferred and takes objects of so many bytes.
fn scene(most: Option<u64>) -> ([Region; 2], Store) {
    // Two anonymous ones would be the same place.
    let named = RegionOptions::new().capacity(4 << 20).max_objects(50);
    let regions = [region(1 << 20), named.open_or_create(&Name::new("members")).unwrap()];
    let [first, second] = regions.clone().map(ShmConnector::new);
    let policy = Policy { max_size: most, priority: 1, ..Policy::default() };
    let all = MultiConnector::new().with(first, policy).with(second, Policy::default());
    let name = format!("members-{:x}", regions[0].id());
    (regions, Store::builder(name).connector(all).open().unwrap())
}

fn text(len: usize) -> String {
    "x".repeat(len)
}

#[test]
fn what_the_first_has_no_room_for_is_owned_in_the_next() {
    let _alone = alone();
    let ([first, second], store) = scene(None);
    let filler = first.put(&vec![0; 900_000]).unwrap();
    let mut owned = store.own(&*text(500_000)).unwrap();
    assert_eq!(owned.key().space(), second.id());
    assert_eq!(left(&second), 1);
    owned.update(&text(600_000)).unwrap();
    assert_eq!((owned.len(), owned.key().space()), (600_000, second.id()));
    let report = first.check().unwrap();
    assert_eq!((report.variables, report.objects), (0, 1), "nothing is left of the attempt");
    assert!(first.evict(filler).unwrap());
    let here = store.own(&*text(500_000)).unwrap();
    assert_eq!(here.key().space(), first.id(), "there is room again");
    drop((owned, here));
    assert_eq!((left(&first), left(&second)), (0, 0));
}

#[test]
fn what_the_first_has_no_slot_for_is_owned_in_the_next() {
    let _alone = alone();
    let ([first, second], store) = scene(None);
    // An owned object needs two.
    let filled = [(); 49].map(|()| first.put(b"small").unwrap());
    let owned = store.own("small").unwrap();
    assert_eq!(owned.key().space(), second.id());
    let report = first.check().unwrap();
    assert_eq!((report.variables, report.objects), (0, filled.len() as u64));
}

#[test]
fn a_policy_chooses_by_the_size_when_it_is_made_and_when_it_is_cloned() {
    let _alone = alone();
    let ([first, second], store) = scene(Some(1000));
    let mut small = store.own(&*text(500)).unwrap();
    let large = store.own(&*text(2000)).unwrap();
    assert_eq!([small.key().space(), large.key().space()], [first.id(), second.id()]);
    let key = small.key();
    small.update(&text(2000)).unwrap();
    assert_eq!((small.key(), small.len()), (key, 2000), "it stays, and so does its key");
    assert_eq!(store.proxy_from_key::<str>(key).len(), 2000);
    let clone = small.try_clone().unwrap();
    assert_eq!((clone.key().space(), clone.len()), (second.id(), 2000));
}

#[test]
fn an_update_that_its_member_has_no_room_for_is_refused_and_owning_it_anew_moves_it() {
    let _alone = alone();
    let ([first, second], store) = scene(None);
    let mut owned = store.own(&*text(400_000)).unwrap();
    let (key, proxy) = (owned.key(), owned.proxy());
    assert_eq!(key.space(), first.id());
    let refused = owned.update(&text(900_000));
    assert!(matches!(refused, Err(Error::OutOfSpace { .. })), "{refused:?}");
    assert_eq!((owned.len(), owned.key(), proxy.len()), (400_000, key, 400_000));
    owned = store.own(&*text(900_000)).unwrap();
    assert_eq!((owned.len(), owned.key().space()), (900_000, second.id()));
    assert!(!store.exists(key).unwrap(), "its first owner is gone");
    assert_eq!((left(&first), left(&second)), (0, 1));
}

#[test]
fn what_was_claimed_moves_with_its_first_update() {
    let _alone = alone();
    let ([first, second], store) = scene(None);
    let mut owned = store.proxy(&*text(400_000)).unwrap().into_owned().unwrap();
    assert_eq!(owned.key().space(), first.id());
    owned.update(&text(900_000)).unwrap();
    assert_eq!((owned.key().space(), owned.len()), (second.id(), 900_000));
    assert_eq!((left(&first), left(&second)), (0, 1));
}

#[test]
fn what_is_in_any_member_is_handed_over() {
    let _alone = alone();
    let ([first, second], store) = scene(Some(1000));
    let _registered = store.register().unwrap();
    for (len, region) in [(500, &first), (2000, &second)] {
        let token = store.own(&*text(len)).unwrap().into_token().unwrap();
        let token = postcard::to_stdvec(&token).unwrap();
        let mut owned = adopt(&store, &token).unwrap();
        owned.update("newer").unwrap();
        assert_eq!((owned.key().space(), owned.as_str()), (region.id(), "newer"));
        assert!(matches!(adopt(&store, &token), Err(Error::AlreadyAdopted { .. })));
    }
    assert_eq!((left(&first), left(&second)), (0, 0));
}

#[test]
fn what_no_member_takes_is_an_error_that_says_so() {
    let _alone = alone();
    watch();
    let only_small = Policy { max_size: Some(1000), ..Policy::default() };
    let all = MultiConnector::new().with(LocalConnector::new(), only_small);
    let store = Store::builder("only-small").connector(all).open().unwrap();
    let refused = store.own(&*text(2000)).unwrap_err();
    assert!(matches!(refused, Error::NoMember { .. }), "{refused:?}");
    assert!(refused.to_string().contains("an object of 2016 bytes"), "{refused}");
    assert_eq!(store.own("small").unwrap().as_str(), "small");
}
