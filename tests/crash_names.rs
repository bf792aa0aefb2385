//! Names, killed at every instruction: see `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use inplace::{Fingerprint, Key, Region, RegionOptions};
use support::payload;
use support::steps::kill::{Case, assert_empties, assert_recovers};
use support::steps::sweep::{Operation, sweep};

const NAME: &str = "name";

/// A region, two objects, and what the name leads to.
struct World {
    region: Region,
    objects: [Key; 2],
    /// Another name of the same bucket.
    other: String,
}

fn neighbour(name: &str) -> String {
    let bucket = |name: &str| Fingerprint::of(name).get() % 1024;
    (0..).map(|n| format!("neighbour {n}")).find(|other| bucket(other) == bucket(name)).unwrap()
}

fn unbound() -> World {
    let options = RegionOptions::new().capacity(8 << 16).max_objects(20).max_participants(6);
    let region = options.anonymous().unwrap();
    let objects = [1, 2].map(|seed| region.put(&payload::make(seed, 48)).unwrap());
    World { region, objects, other: neighbour(NAME) }
}

fn bound() -> World {
    let world = unbound();
    world.region.bind(NAME, world.objects[0]).unwrap();
    world
}

fn bound_beside_another() -> World {
    let world = bound();
    world.region.bind(&world.other, world.objects[1]).unwrap();
    world
}

/// The neighbour's object is gone: its entry is dropped by the next bind.
fn bound_beside_a_stale_one() -> World {
    let world = bound();
    let gone = world.region.put(&[]).unwrap();
    world.region.bind(&world.other, gone).unwrap();
    assert!(world.region.evict(gone).unwrap());
    world
}

fn arrive(world: World) -> World {
    world
}

fn bind(victim: &mut World) {
    let _ = victim.region.bind(NAME, victim.objects[1]);
}

fn unbind(victim: &mut World) {
    let _ = victim.region.unbind(NAME);
}

fn lookup(victim: &mut World) {
    let _ = victim.region.lookup(NAME);
}

fn evict(victim: &mut World) {
    let _ = victim.region.evict(victim.objects[0]);
}

/// The name leads to one of these, and can be bound again; the other name is as it was; both objects are there.
fn leads_to(world: &World, allowed: &[Option<Key>]) {
    let World { region, objects, other } = world;
    let before = region.lookup(other).unwrap();
    let other_is_bound = before == Some(objects[1]);
    assert!(before.is_none() || other_is_bound);
    assert_recovers(region, 1..=1);
    let found = region.lookup(NAME).unwrap();
    assert!(allowed.contains(&found), "{found:?} of {allowed:?}");
    assert_eq!(region.lookup(other).unwrap(), before);
    let report = region.check().unwrap();
    let names = u64::from(found.is_some()) + u64::from(other_is_bound);
    assert!(names <= report.names && report.names <= names + 1, "{report}");
    assert_eq!((report.retired, report.pins), (0, 0), "{report}");
    assert_eq!(region.bind(NAME, objects[0]).unwrap(), found);
    assert_eq!(region.lookup(NAME).unwrap(), Some(objects[0]));
    assert_eq!(region.lookup(other).unwrap(), before);
    assert_empties(region, &[NAME, other]);
}

fn is_bound_or_not(world: World) {
    let [_, second] = world.objects;
    leads_to(&world, &[None, Some(second)]);
}

fn is_old_or_new(world: World) {
    let [first, second] = world.objects;
    leads_to(&world, &[Some(first), Some(second)]);
}

fn is_old_or_none(world: World) {
    let [first, _] = world.objects;
    leads_to(&world, &[Some(first), None]);
}

fn is_old(world: World) {
    let [first, _] = world.objects;
    leads_to(&world, &[Some(first)]);
}

/// The bound object was evicted, or not.
fn is_old_or_gone(world: World) {
    let World { region, objects: [first, second], other } = &world;
    assert_recovers(region, 1..=1);
    let is_there = region.exists(*first).unwrap();
    assert_eq!(region.lookup(NAME).unwrap(), is_there.then_some(*first));
    assert_eq!(region.bind(NAME, *second).unwrap(), is_there.then_some(*first));
    assert_empties(region, &[NAME, other]);
}

fn operations() -> Vec<Operation> {
    vec![
        Case::new("bind, first of its bucket", (unbound, arrive), bind, is_bound_or_not)
            .operation(),
        Case::new("bind, replacing", (bound, arrive), bind, is_old_or_new).operation(),
        Case::new(
            "bind, replacing, beside another",
            (bound_beside_another, arrive),
            bind,
            is_old_or_new,
        )
        .operation(),
        Case::new(
            "bind, replacing, beside a stale one",
            (bound_beside_a_stale_one, arrive),
            bind,
            is_old_or_new,
        )
        .operation(),
        Case::new("unbind, last of its bucket", (bound, arrive), unbind, is_old_or_none)
            .operation(),
        Case::new("unbind, beside another", (bound_beside_another, arrive), unbind, is_old_or_none)
            .operation(),
        Case::new("lookup", (bound_beside_another, arrive), lookup, is_old).operation(),
        Case::new("evict, bound", (bound, arrive), evict, is_old_or_gone).operation(),
    ]
}

#[test]
fn killed_at_any_instruction_of_a_bind_the_name_leads_to_the_old_or_to_the_new() {
    sweep("names", 10, &operations());
}
