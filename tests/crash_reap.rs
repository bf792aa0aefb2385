//! A reaper killed at every instruction, whatever the dead left half done: see `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use std::time::Duration;

use inplace::{Error, Fingerprint, Key, Region, RegionOptions};
use support::steps::kill::{Case, assert_empties, assert_recovers, helper, keeper};
use support::steps::peek::{EMBRYO, Peek, READY, RECLAIMING, RETIRING, SLAB, SPAN, TRIMMING, Word};
use support::steps::sweep::{Operation, sweep};
use support::steps::traced::{Traced, Whom, await_sleep, begin, end};
use support::{Forked, payload};

/// What the survivor knows: an object and a name that leads to it, and a promise.
struct World {
    region: Region,
    object: Key,
    promise: Key,
    waiter: Option<Forked>,
}

const NAME: &str = "name";
const UNITS: u64 = 8;

fn world() -> World {
    let options = RegionOptions::new().capacity(UNITS << 16).max_objects(20).max_participants(6);
    let region = options.anonymous().unwrap();
    let object = region.put(&payload::make(1, 48)).unwrap();
    let promise = region.reserve().unwrap();
    region.bind(NAME, object).unwrap();
    World { region, object, promise, waiter: None }
}

/// One does something and dies.
fn dead(world: &World, work: impl FnOnce(&World)) {
    let code = support::in_child(|| {
        work(world);
        0
    });
    assert_eq!(code, 0);
}

/// One does something and is killed as soon as it has written a word like that.
fn killed(world: &World, (word, is_it): (Word, impl Fn(Word) -> bool), work: impl FnOnce(&World)) {
    let mut traced = Traced::start(Whom::Victim, || {
        begin();
        work(world);
        end();
    });
    traced.go_until(word, is_it);
    traced.kill();
}

fn end_here() -> ! {
    // SAFETY: ends the child in the middle of what it does.
    unsafe { libc::_exit(0) }
}

fn writing_a_cell() -> World {
    let world = world();
    dead(&world, |world| std::mem::forget(world.region.loan(48, Fingerprint::BYTES).unwrap()));
    world
}

/// A span of three units, of which one is committed.
fn writing_a_span() -> World {
    let world = world();
    let first = Peek::of(&world.region).unit(UNITS - 3);
    killed(&world, (first, |unit| unit.kind() == SPAN), |world| {
        let _ = world.region.put(&payload::make(2, 150_000));
    });
    world
}

fn filling() -> World {
    let world = world();
    dead(&world, |world| {
        let _ = world.region.set_with(world.promise, 48, Fingerprint::BYTES, &mut |_| end_here());
    });
    world
}

fn filling_a_span_of_its_own() -> World {
    let world = world();
    dead(&world, |world| {
        let promise = world.region.reserve().unwrap();
        let _ = world.region.set_with(promise, 70_000, Fingerprint::BYTES, &mut |_| end_here());
    });
    world
}

fn filling_what_is_evicted() -> World {
    let world = filling();
    assert!(world.region.evict(world.promise).unwrap());
    world
}

/// The keeper dies when somebody waits.
fn promising() -> World {
    let mut world = world();
    let keeper = keeper(|ready| {
        world.region.reserve().unwrap();
        let _ = ready();
    });
    let keys = world.region.keys().unwrap();
    let promise =
        keys.into_iter().find(|&key| key != world.promise && key != world.object).unwrap();
    world.waiter = Some(helper(|| {
        let end = world.region.wait(promise, None);
        i32::from(!matches!(end, Err(Error::Broken { .. } | Error::NotFound { .. })))
    }));
    await_sleep(world.waiter.as_ref().unwrap().0);
    keeper.kill();
    world
}

/// The last view of an object that is evicted.
fn looking() -> World {
    let world = world();
    let other = world.region.put(&payload::make(1, 70_000)).unwrap();
    dead(&world, |world| std::mem::forget(world.region.get(other).unwrap().unwrap()));
    assert!(world.region.evict(other).unwrap());
    world
}

fn reclaiming(len: usize) -> World {
    let world = world();
    let other = world.region.put(&payload::make(1, len)).unwrap();
    let slot = Peek::of(&world.region).slot(other);
    killed(&world, (slot, |slot| slot.state() == RECLAIMING), |world| {
        _ = world.region.evict(other)
    });
    world
}

fn reclaiming_a_cell() -> World {
    reclaiming(48)
}

fn reclaiming_a_span() -> World {
    reclaiming(70_000)
}

fn bind_another(world: &World) {
    let other = world.region.put(&payload::make(3, 48)).unwrap();
    world.region.bind(NAME, other).unwrap();
}

/// The bucket's new version is READY, and not yet current.
fn about_to_bind() -> World {
    let world = world();
    // What was given back last is used first.
    let [next, last] = [(); 2].map(|()| world.region.put(&[]).unwrap());
    [next, last].into_iter().for_each(|key| assert!(world.region.evict(key).unwrap()));
    let version = Peek::of(&world.region).slot(next);
    killed(&world, (version, |slot| slot.state() == READY), bind_another);
    assert_eq!(world.region.lookup(NAME).unwrap(), Some(world.object));
    world
}

/// The new version is current, the old one not yet evicted.
fn having_bound() -> World {
    let world = world();
    let bucket = Peek::of(&world.region).bucket(NAME);
    let before = bucket.get();
    killed(&world, (bucket, move |bucket| bucket.get() != before), bind_another);
    assert_ne!(world.region.lookup(NAME).unwrap(), Some(world.object));
    world
}

/// The last name is gone from the bucket, whose version without names is current.
fn unbinding() -> World {
    let world = world();
    let bucket = Peek::of(&world.region).bucket(NAME);
    let before = bucket.get();
    killed(&world, (bucket, move |bucket| bucket.get() != before), |world| {
        _ = world.region.unbind(NAME)
    });
    world
}

/// The bucket is empty, its last version not yet evicted.
fn having_unbound() -> World {
    let world = world();
    let bucket = Peek::of(&world.region).bucket(NAME);
    killed(&world, (bucket, |bucket| bucket.get() == 0), |world| _ = world.region.unbind(NAME));
    world
}

/// A slab that is empty.
fn retiring() -> World {
    let world = world();
    let other = world.region.put(&payload::make(1, 20_000)).unwrap();
    assert!(world.region.evict(other).unwrap());
    let peek = Peek::of(&world.region);
    let slab = (0..UNITS).rfind(|&unit| peek.unit(unit).kind() == SLAB);
    let unit = peek.unit(slab.unwrap());
    killed(&world, (unit, |unit| unit.kind() == RETIRING), |world| _ = world.region.trim());
    world
}

fn trimming() -> World {
    let world = world();
    let other = world.region.put(&payload::make(1, 40_000)).unwrap();
    assert!(world.region.evict(other).unwrap());
    let unit = Peek::of(&world.region).unit(UNITS - 1);
    killed(&world, (unit, |unit| unit.kind() == TRIMMING), |world| _ = world.region.trim());
    world
}

/// One who forks has taken an entry for the child.
fn forking() -> World {
    let world = world();
    let entry = Peek::of(&world.region).entry(2);
    killed(&world, (entry, |entry| entry.presence() == EMBRYO), |_| {
        support::start_child(|| 0);
    });
    world
}

/// A reaper that was killed itself: the first it reaped is VACANT, the second DYING.
fn reaping() -> World {
    let world = world();
    let peek = Peek::of(&world.region);
    for _ in 0..2 {
        dead(&world, |world| std::mem::forget(world.region.loan(48, Fingerprint::BYTES).unwrap()));
    }
    killed(&world, (peek.entry(2), |entry| entry.presence() == 3), |world| _ = world.region.reap());
    world
}

fn arrive(world: World) -> World {
    world
}

fn reap(reaper: &mut World) {
    let _ = reaper.region.reap();
}

/// The survivor's object, name and promise are as they were, unless the dead had changed them; all else is gone.
fn recovers(mut world: World) {
    assert!(world.region.reap().unwrap() <= 4);
    if let Some(waiter) = world.waiter.take() {
        let end = waiter.wait();
        assert!(
            matches!(end, nix::sys::wait::WaitStatus::Exited(_, 0)),
            "a waiter heard something wrong: {end:?}"
        );
    }
    let World { region, object, promise, .. } = &world;
    assert_recovers(region, 0..=1);
    let report = region.check().unwrap();
    assert_eq!((report.retired, report.pins), (0, 0), "{report}");
    assert_eq!(payload::blame(Some(1), &region.get(*object).unwrap().unwrap()), None);
    match region.lookup(NAME).unwrap() {
        Some(found) if found != *object => {
            assert_eq!(payload::blame(Some(3), &region.get(found).unwrap().unwrap()), None);
        }
        _ => {}
    }
    for key in region.keys().unwrap() {
        match region.wait(key, Some(Duration::ZERO)) {
            Err(Error::TimedOut { .. }) => {
                assert_eq!(key, *promise);
                region.set(key, &payload::make(2, 48)).unwrap();
            }
            Ok(_) | Err(Error::Broken { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert_empties(region, &[NAME]);
}

type Mess = fn() -> World;

fn operations() -> Vec<Operation> {
    let messes: [(&str, Mess); 17] = [
        ("reap, WRITING with a cell", writing_a_cell),
        ("reap, WRITING with a span, partly WARMING", writing_a_span),
        ("reap, FILLING", filling),
        ("reap, FILLING with a span, its own promise", filling_a_span_of_its_own),
        ("reap, FILLING, EVICTED", filling_what_is_evicted),
        ("reap, PENDING, awaited", promising),
        ("reap, RETIRED and pinned", looking),
        ("reap, RECLAIMING a cell", reclaiming_a_cell),
        ("reap, RECLAIMING a span", reclaiming_a_span),
        ("reap, a bind before its CAS", about_to_bind),
        ("reap, a bind after its CAS", having_bound),
        ("reap, an unbind after its first CAS", unbinding),
        ("reap, an unbind after its second CAS", having_unbound),
        ("reap, a unit RETIRING", retiring),
        ("reap, a unit TRIMMING", trimming),
        ("reap, an entry EMBRYO", forking),
        ("reap, an entry DYING", reaping),
    ];
    messes.map(|(what, mess)| Case::new(what, (mess, arrive), reap, recovers).operation()).into()
}

#[test]
fn killed_at_any_instruction_a_reaper_leaves_the_rest_to_the_next() {
    sweep("reap", 10, &operations());
}
