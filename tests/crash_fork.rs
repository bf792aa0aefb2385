//! A fork, killed at every instruction of the parent's side and of the child's: see `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use inplace::{Fingerprint, Key, Pinned, Region, RegionOptions};
use support::payload;
use support::steps::kill::{Case, assert_empties, assert_recovers, await_orphans};
use support::steps::sweep::{Operation, region_name, sweep};

/// Two regions, an object in each.
struct World {
    regions: Vec<Region>,
    objects: Vec<Key>,
}

struct Victim {
    regions: Vec<Region>,
    views: Vec<Pinned>,
}

fn options() -> RegionOptions {
    RegionOptions::new().capacity(8 << 16).max_objects(20).max_participants(6)
}

fn world(regions: Vec<Region>) -> World {
    let objects = regions.iter().map(|region| region.put(&payload::make(1, 48)).unwrap());
    World { objects: objects.collect(), regions }
}

fn one() -> World {
    world(vec![options().anonymous().unwrap()])
}

fn two() -> World {
    world(vec![options().anonymous().unwrap(), options().create(&region_name()).unwrap()])
}

/// No entry is vacant until the dead are reaped.
fn crowded() -> World {
    let world = one();
    for _ in 0..4 {
        assert_eq!(support::in_child(|| 0), 0);
    }
    world
}

/// No entry is vacant.
fn full() -> World {
    world(vec![options().max_participants(2).anonymous().unwrap()])
}

fn arrive(world: World) -> Victim {
    let World { regions, objects } = world;
    let views =
        regions.iter().zip(&objects).map(|(region, &key)| region.get(key).unwrap().unwrap());
    Victim { views: views.collect(), regions }
}

/// With a loan and a promise, which the child does not inherit.
fn arrive_lending(world: World) -> Victim {
    let victim = arrive(world);
    let region = &victim.regions[0];
    region.reserve().unwrap();
    std::mem::forget(region.loan(100, Fingerprint::BYTES).unwrap());
    victim
}

/// The views are of objects that are evicted.
fn evict(world: &mut World) {
    for (region, &key) in world.regions.iter().zip(&world.objects) {
        assert!(region.evict(key).unwrap());
    }
}

/// What the child inherits it can read, and it can put; it ends attached.
fn works(victim: &Victim) -> bool {
    let is_whole = |view: &Pinned| payload::blame(Some(1), view).is_none();
    let can_put = |region: &Region| region.put(&payload::make(3, 48)).is_ok();
    victim.views.iter().all(is_whole) && victim.regions.iter().all(can_put)
}

fn fork(victim: &mut Victim) {
    // SAFETY: the child does its work and ends.
    if unsafe { libc::fork() } == 0 {
        let code = i32::from(!works(victim));
        // SAFETY: ends the child.
        unsafe { libc::_exit(code) }
    }
}

/// The child of a full region is severed.
fn fork_in_vain(victim: &mut Victim) {
    // SAFETY: the child looks and ends.
    if unsafe { libc::fork() } == 0 {
        let is_severed = matches!(victim.regions[0].put(b"x"), Err(inplace::Error::Severed));
        // SAFETY: ends the child.
        unsafe { libc::_exit(i32::from(!is_severed)) }
    }
}

/// The child is the victim; its parent waits until it is killed, too.
fn fork_and_stay(_: &mut Victim) {
    // SAFETY: the child goes on to the end of the operation and is killed there.
    if unsafe { libc::fork() } != 0 {
        loop {
            nix::unistd::pause();
        }
    }
}

fn recovers(world: World) {
    await_orphans();
    for (region, object) in world.regions.iter().zip(&world.objects) {
        assert_recovers(region, 1..=6);
        let report = region.check().unwrap();
        assert_eq!((report.retired, report.pins), (0, 0), "{report}");
        if let Some(view) = region.get(*object).unwrap() {
            assert_eq!(payload::blame(Some(1), &view), None);
        }
        let mut promises = region.keys().unwrap();
        promises.retain(|&key| !region.exists(key).unwrap());
        assert!(promises.iter().all(|&key| region.set(key, b"").is_err()), "nobody keeps them");
        assert_empties(region, &[]);
    }
}

fn operations() -> Vec<Operation> {
    vec![
        Case::new("fork, the parent", (one, arrive), fork, recovers).operation(),
        Case::new("fork, the parent, two regions", (two, arrive), fork, recovers).operation(),
        Case::new("fork, the parent, evicted views", (one, arrive), fork, recovers)
            .before(evict)
            .operation(),
        Case::new("fork, the parent, lending", (one, arrive_lending), fork, recovers).operation(),
        Case::new("fork, the parent, reaping", (crowded, arrive), fork, recovers).operation(),
        Case::new("fork, the parent, full", (full, arrive), fork_in_vain, recovers).operation(),
        Case::new("fork, the child", (one, arrive), fork_and_stay, recovers)
            .in_its_child()
            .operation(),
        Case::new("fork, the child, two regions", (two, arrive), fork_and_stay, recovers)
            .in_its_child()
            .operation(),
        Case::new("fork, the child, evicted views", (one, arrive), fork_and_stay, recovers)
            .before(evict)
            .in_its_child()
            .operation(),
        Case::new("fork, the child, lending", (one, arrive_lending), fork_and_stay, recovers)
            .in_its_child()
            .operation(),
        Case::new("fork, the child, full", (full, arrive), fork_and_stay, recovers)
            .in_its_child()
            .operation(),
    ]
}

#[test]
fn killed_at_any_instruction_of_a_fork_neither_side_leaves_an_entry_or_a_count() {
    sweep("fork", 10, &operations());
}
