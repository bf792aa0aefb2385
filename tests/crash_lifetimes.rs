//! Bonds and leases, killed at every instruction: see `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use std::time::Duration;

use inplace::codec::Raw;
use inplace::connector::ShmConnector;
use inplace::{Deadline, Fingerprint, Key, Owned, OwnedToken, Region, RegionOptions, Store, Term};
use support::payload;
use support::steps::kill::{Case, assert_empties, assert_recovers};
use support::steps::sweep::{Operation, sweep};

const LATE: Duration = Duration::from_secs(3600);
const LATER: Duration = Duration::from_secs(7200);

/// A region, an object in it, and how it is bound or offered.
struct World {
    region: Region,
    object: Key,
    offer: u64,
    /// Where an owned object's token is, and what it is.
    store: Store<Raw>,
    token: Option<OwnedToken<[u8], Raw>>,
}

struct Victim {
    region: Region,
    object: Key,
    offer: u64,
    bytes: Vec<u8>,
    deadline: Deadline,
    store: Store<Raw>,
    token: Option<OwnedToken<[u8], Raw>>,
    owned: Option<Owned<[u8], Raw>>,
}

fn put(region: &Region, term: Term) -> Key {
    let bytes = payload::make(1, 1000);
    let put = region.put_for(bytes.len(), (Fingerprint::BYTES, term), &mut |out| {
        out.write(&bytes);
        Ok(())
    });
    put.unwrap()
}

fn world(term: Term) -> World {
    let options = RegionOptions::new().capacity(8 << 16).max_objects(20).max_participants(6);
    let region = options.anonymous().unwrap();
    let warm = region.put(&payload::make(1, 48)).unwrap();
    assert!(region.evict(warm).unwrap());
    let object = put(&region, term);
    let connector = ShmConnector::new(region.clone());
    let store = Store::builder("scene").connector(connector).codec(Raw).open().unwrap();
    World { region, object, offer: 0, store, token: None }
}

fn plain() -> World {
    world(Term::Unlimited)
}

fn leased() -> World {
    world(Term::Until(Deadline::after(LATE)))
}

fn overdue() -> World {
    world(Term::Until(Deadline::after(Duration::ZERO)))
}

fn offered() -> World {
    let world = world(Term::Process);
    let offer = world.region.offer_object(world.object).unwrap();
    World { offer, ..world }
}

/// Whoever offered it is dead, and not reaped.
fn offered_by_the_dead() -> World {
    let world = plain();
    let code = support::in_child(|| {
        world.region.bind_to_process(world.object).unwrap();
        world.region.offer_object(world.object).unwrap() as i32
    });
    World { offer: code as u64, ..world }
}

/// Whoever it is bound to is dead, and not reaped.
fn bound_to_the_dead() -> World {
    let world = plain();
    let code = support::in_child(|| i32::from(world.region.bind_to_process(world.object).is_err()));
    assert_eq!(code, 0);
    world
}

/// Whoever owned it is dead, and not reaped; it was updated.
fn owned_by_the_dead() -> World {
    let world = plain();
    assert!(world.region.evict(world.object).unwrap());
    let code = support::in_child(|| {
        let mut owned = world.store.own(&payload::make(1, 1000)[..]).unwrap();
        owned.update(&payload::make(1, 48)).unwrap();
        std::mem::forget(owned);
        0
    });
    assert_eq!(code, 0);
    World { object: world.region.keys().unwrap()[0], ..world }
}

/// The survivor shared what it owned.
fn shared() -> World {
    let world = plain();
    assert!(world.region.evict(world.object).unwrap());
    let owned = world.store.own(&payload::make(1, 1000)[..]).unwrap();
    World { object: owned.into_shared().unwrap().key(), ..world }
}

/// The survivor owned it, and sends a token.
fn sent() -> World {
    let world = plain();
    assert!(world.region.evict(world.object).unwrap());
    let token = world.store.own(&payload::make(1, 1000)[..]).unwrap().into_token().unwrap();
    World { object: token.key(), token: Some(token), ..world }
}

fn arrive(World { region, object, offer, store, token }: World) -> Victim {
    let (bytes, deadline) = (payload::make(1, 48), Deadline::after(LATER));
    Victim { region, object, offer, bytes, deadline, store, token, owned: None }
}

/// The victim owns what it found.
fn arrive_and_bind(world: World) -> Victim {
    world.region.bind_to_process(world.object).unwrap();
    arrive(world)
}

fn arrive_as_owner(world: World) -> Victim {
    assert!(world.region.evict(world.object).unwrap());
    let owned = world.store.own(&payload::make(1, 1000)[..]).unwrap();
    Victim { owned: Some(owned), ..arrive(world) }
}

impl Victim {
    fn put_for(&self, term: Term) {
        let _ = self.region.put_for(48, (Fingerprint::BYTES, term), &mut |out| {
            out.write(&self.bytes);
            Ok(())
        });
    }
}

fn put_bound(victim: &mut Victim) {
    victim.put_for(Term::Process);
}

fn put_leased(victim: &mut Victim) {
    victim.put_for(Term::Until(victim.deadline));
}

fn bind(victim: &mut Victim) {
    let _ = victim.region.bind_to_process(victim.object);
}

fn lift(victim: &mut Victim) {
    let _ = victim.region.unbind_from_process(victim.object);
}

fn offer(victim: &mut Victim) {
    let _ = victim.region.offer_object(victim.object);
}

fn offer_and_adopt(victim: &mut Victim) {
    let Ok(offer) = victim.region.offer_object(victim.object) else { return };
    let _ = victim.region.adopt_object(victim.object, offer);
}

fn adopt(victim: &mut Victim) {
    let _ = victim.region.adopt_object(victim.object, victim.offer);
}

fn evict_bound(victim: &mut Victim) {
    let _ = victim.region.evict_bound(victim.object);
}

fn own(victim: &mut Victim) {
    victim.owned = victim.store.own(&victim.bytes[..]).ok();
}

fn into_token(victim: &mut Victim) {
    victim.token = victim.owned.take().and_then(|owned| owned.into_token().ok());
}

fn adopt_token(victim: &mut Victim) {
    victim.owned = victim.token.take().and_then(|token| token.adopt().ok());
}

fn drop_owned(victim: &mut Victim) {
    victim.owned = None;
}

fn update(victim: &mut Victim) {
    let Victim { owned, bytes, .. } = victim;
    let _ = owned.as_mut().map(|owned| owned.update(&bytes[..]));
}

fn adopt_and_update(victim: &mut Victim) {
    adopt_token(victim);
    update(victim);
}

fn claim(victim: &mut Victim) {
    let proxy = victim.store.proxy_from_key::<[u8]>(victim.object);
    victim.owned = proxy.into_owned().ok();
}

fn claim_and_update(victim: &mut Victim) {
    claim(victim);
    update(victim);
}

fn share(victim: &mut Victim) {
    drop(victim.owned.take().map(Owned::into_shared));
}

fn get(victim: &mut Victim) {
    drop(victim.region.get(victim.object));
}

fn exists(victim: &mut Victim) {
    let _ = victim.region.exists(victim.object);
}

fn reap(victim: &mut Victim) {
    let _ = victim.region.reap();
}

fn extend(victim: &mut Victim) {
    let _ = victim.region.set_deadline(victim.object, Some(victim.deadline));
}

/// Bound to the dead or not at all: nothing but the object is left, which is everybody's.
fn all_is_gone_but_the_object(world: World) {
    assert_recovers(&world.region, 1..=2);
    assert_eq!(world.region.keys().unwrap(), [world.object]);
    assert_empties(&world.region, &[]);
}

fn nothing_is_left(world: World) {
    assert_recovers(&world.region, 0..=2);
    assert_eq!(world.region.keys().unwrap(), []);
    assert!(!world.region.exists(world.object).unwrap());
    assert_empties(&world.region, &[]);
}

/// Everybody's or gone, but bound to nobody.
fn gone_or_everybodys(world: World) {
    assert_recovers(&world.region, 1..=1);
    let report = world.region.check().unwrap();
    assert!(report.bound == 0 && report.objects <= 1, "{report}");
    assert_empties(&world.region, &[]);
}

/// Adopted by the victim, it is gone with it; else the survivor has its offer still.
fn gone_or_still_offered(world: World) {
    assert_recovers(&world.region, 1..=1);
    let is_there = world.region.exists(world.object).unwrap();
    let adopted = match world.token {
        Some(token) => token.adopt().map(drop).is_ok(),
        None => world.region.adopt_object(world.object, world.offer).is_ok(),
    };
    assert_eq!(adopted, is_there);
    assert_empties(&world.region, &[]);
}

/// The object, and what was put for a time, stay until then.
fn at_most_one_more_with_its_deadline(world: World) {
    assert_recovers(&world.region, 1..=1);
    let mut keys = world.region.keys().unwrap();
    keys.retain(|&key| key != world.object);
    assert!(keys.len() <= 1, "{keys:?}");
    for key in keys {
        assert!(world.region.deadline(key).unwrap().is_some_and(|end| end.remaining() > LATE));
        assert_eq!(payload::blame(Some(1), &world.region.get(key).unwrap().unwrap()), None);
    }
    assert_empties(&world.region, &[]);
}

/// It has the old deadline or the new one.
fn leased_still(world: World) {
    assert_recovers(&world.region, 1..=1);
    let end = world.region.deadline(world.object).unwrap().expect("it has one").remaining();
    assert!(end > LATE - Duration::from_secs(100) && end <= LATER, "{end:?}");
    assert!(!(LATE..LATER - Duration::from_secs(100)).contains(&end), "{end:?}");
    assert_empties(&world.region, &[]);
}

fn bonds() -> Vec<Operation> {
    let gone = all_is_gone_but_the_object as fn(World);
    vec![
        Case::new("put, bound", (plain, arrive), put_bound, gone).operation(),
        Case::new("bind", (plain, arrive), bind, gone_or_everybodys).operation(),
        Case::new("lift", (plain, arrive_and_bind), lift, gone_or_everybodys).operation(),
        Case::new("offer", (plain, arrive_and_bind), offer, nothing_is_left).operation(),
        Case::new("offer, adopt", (plain, arrive_and_bind), offer_and_adopt, nothing_is_left)
            .operation(),
        Case::new("adopt", (offered, arrive), adopt, gone_or_still_offered).operation(),
        Case::new("adopt, from the dead", (offered_by_the_dead, arrive), adopt, nothing_is_left)
            .operation(),
        Case::new("reap, an owner", (bound_to_the_dead, arrive), reap, nothing_is_left).operation(),
        Case::new("reap, who offered", (offered_by_the_dead, arrive), reap, nothing_is_left)
            .operation(),
        Case::new("evict, bound", (plain, arrive_and_bind), evict_bound, nothing_is_left)
            .operation(),
        Case::new("own", (plain, arrive), own, gone).operation(),
        Case::new("into_token", (plain, arrive_as_owner), into_token, nothing_is_left).operation(),
        Case::new("adopt a token", (sent, arrive), adopt_token, gone_or_still_offered).operation(),
        Case::new("drop an owned", (plain, arrive_as_owner), drop_owned, nothing_is_left)
            .operation(),
        Case::new("update", (plain, arrive_as_owner), update, nothing_is_left).operation(),
        Case::new("adopt, update", (sent, arrive), adopt_and_update, gone_or_still_offered)
            .operation(),
        Case::new("claim", (shared, arrive), claim, gone_or_everybodys).operation(),
        Case::new("claim, update an object", (plain, arrive), claim_and_update, gone_or_everybodys)
            .operation(),
        Case::new("reap, an owner of a cell", (owned_by_the_dead, arrive), reap, nothing_is_left)
            .operation(),
        Case::new("into_shared", (plain, arrive_as_owner), share, gone_or_everybodys).operation(),
    ]
}

fn leases() -> Vec<Operation> {
    vec![
        Case::new("put, leased", (plain, arrive), put_leased, at_most_one_more_with_its_deadline)
            .operation(),
        Case::new("extend", (leased, arrive), extend, leased_still).operation(),
        Case::new("extend, too late", (overdue, arrive), extend, nothing_is_left).operation(),
        Case::new("get, expiring", (overdue, arrive), get, nothing_is_left).operation(),
        Case::new("exists, expiring", (overdue, arrive), exists, nothing_is_left).operation(),
        Case::new("reap, expiring", (overdue, arrive), reap, nothing_is_left).operation(),
    ]
}

#[test]
fn killed_at_any_instruction_of_a_bond_or_a_lease_nothing_is_left_that_nobody_answers_for() {
    let operations: Vec<_> = bonds().into_iter().chain(leases()).collect();
    sweep("lifetimes", 10, &operations);
}
