//! Operations on promises, killed at every instruction: see `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use std::time::Duration;

use inplace::connector::BlockWriter;
use inplace::{Error, Fingerprint, Key, Region, RegionOptions};
use nix::sys::wait::WaitStatus;
use support::steps::kill::{Case, Start, assert_empties, assert_recovers, helper, keeper};
use support::steps::sweep::{Operation, sweep};
use support::steps::traced::await_sleep;
use support::{Forked, payload};

/// A region, and a promise in it.
struct World {
    region: Region,
    promise: Key,
    /// Who keeps the promise, or is about to keep it.
    another: Option<Forked>,
    /// Who waits for it.
    waiter: Option<Forked>,
}

struct Victim {
    region: Region,
    promise: Key,
    bytes: Vec<u8>,
}

fn region() -> Region {
    let options = RegionOptions::new().capacity(8 << 16).max_objects(20).max_participants(6);
    let region = options.anonymous().unwrap();
    let warm = region.put(&payload::make(1, 48)).unwrap();
    assert!(region.evict(warm).unwrap());
    region
}

/// The survivor promises.
fn promised() -> World {
    let region = region();
    let promise = region.reserve().unwrap();
    World { region, promise, another: None, waiter: None }
}

/// Another process promises, and dies.
fn promised_by_the_dead() -> World {
    let region = region();
    assert_eq!(support::in_child(|| region.reserve().map_or(1, |_| 0)), 0);
    let promise = region.keys().unwrap()[0];
    World { region, promise, another: None, waiter: None }
}

/// Another process is writing the value, and goes no further.
fn being_filled() -> World {
    let world = promised();
    let filler = keeper(|ready| {
        let _ = world.region.set_with(world.promise, 48, Fingerprint::BYTES, &mut |_| ready());
    });
    World { another: Some(filler), ..world }
}

fn arrive(world: World) -> Victim {
    Victim { region: world.region, promise: world.promise, bytes: payload::make(2, 48) }
}

/// The victim promises, and waiters wait for that.
fn promise_and_arrive(world: World) -> Victim {
    let victim = arrive(world);
    Victim { promise: victim.region.reserve().unwrap(), ..victim }
}

fn reserve(victim: &mut Victim) {
    let _ = victim.region.reserve();
}

fn set(victim: &mut Victim) {
    let _ = victim.region.set(victim.promise, &victim.bytes);
}

fn set_after_too_small_a_guess(victim: &mut Victim) {
    let Victim { region, promise, bytes } = victim;
    let _ = region.set_with(*promise, 8, Fingerprint::BYTES, &mut |out| {
        out.write(bytes);
        Ok(())
    });
}

/// Copying a span would be a step per byte: only its start is written.
fn set_a_span(victim: &mut Victim) {
    let Victim { region, promise, bytes } = victim;
    let _ = region.set_with(*promise, 150_000, Fingerprint::BYTES, &mut |out| {
        out.write(bytes);
        Ok(())
    });
}

fn set_given_up(victim: &mut Victim) {
    let mut fill = |_: &mut BlockWriter<'_>| Err(Error::Severed);
    let _ = victim.region.set_with(victim.promise, 48, Fingerprint::BYTES, &mut fill);
}

/// The keeper died before, and is reaped while the value is written, which then does not come.
fn set_given_up_alone(victim: &mut Victim) {
    let Victim { region, promise, .. } = victim;
    let _ = region.set_with(*promise, 48, Fingerprint::BYTES, &mut |_| {
        region.reap()?;
        Err(Error::Severed)
    });
}

fn set_of_an_evicted(victim: &mut Victim) {
    let Victim { region, promise, bytes } = victim;
    let _ = region.set_with(*promise, 48, Fingerprint::BYTES, &mut |out| {
        region.evict(*promise)?;
        out.write(bytes);
        Ok(())
    });
}

fn fail(victim: &mut Victim) {
    let _ = victim.region.fail(victim.promise);
}

fn evict(victim: &mut Victim) {
    let _ = victim.region.evict(victim.promise);
}

fn wait(victim: &mut Victim) {
    drop(victim.region.wait(victim.promise, None));
}

fn look(victim: &mut Victim) {
    drop(victim.region.wait(victim.promise, Some(Duration::ZERO)));
}

fn wait_briefly(victim: &mut Victim) {
    drop(victim.region.wait(victim.promise, Some(Duration::from_millis(40))));
}

fn give(world: &World) {
    world.region.set(world.promise, &payload::make(2, 48)).unwrap();
}

/// Each promise is kept, broken, or still to be kept by the survivor; then whoever waits hears of it.
fn is_settled(mut world: World) {
    if let Some(another) = world.another.take() {
        another.kill();
    }
    // Whoever waits may have reaped before.
    assert!(world.region.reap().unwrap() <= 2);
    for key in world.region.keys().unwrap() {
        match world.region.wait(key, Some(Duration::ZERO)) {
            Ok(view) => assert_eq!(payload::blame(Some(2), &view), None),
            Err(Error::Broken { .. }) => {
                assert!(!world.region.exists(key).unwrap());
                assert!(matches!(world.region.set(key, b"late"), Err(Error::Broken { .. })));
            }
            Err(Error::TimedOut { .. }) => {
                assert_eq!(key, world.promise, "nobody alive keeps it");
                world.region.set(key, &payload::make(2, 48)).unwrap();
            }
            Err(error) => panic!("{error}"),
        }
    }
    if let Some(waiter) = world.waiter.take() {
        assert!(
            matches!(waiter.wait(), WaitStatus::Exited(_, 0)),
            "a waiter heard something wrong"
        );
    }
    assert_recovers(&world.region, 0..=1);
    assert_empties(&world.region, &[]);
}

/// Nothing is promised yet.
fn unpromised() -> World {
    let world = promised();
    assert!(world.region.evict(world.promise).unwrap());
    world
}

/// The victim has promised; another process waits.
fn await_the_victims(world: &mut World) {
    world.promise = world.region.keys().unwrap()[0];
    wait_in_another(world);
}

fn wait_in_another(world: &mut World) {
    let waiter = helper(|| match world.region.wait(world.promise, None) {
        Ok(view) => i32::from(payload::blame(Some(2), &view).is_some()),
        Err(Error::Broken { .. } | Error::NotFound { .. }) => 0,
        Err(_) => 2,
    });
    await_sleep(waiter.0);
    world.waiter = Some(waiter);
}

fn makers() -> Vec<Operation> {
    let plain: Start<World, Victim> = (promised, arrive);
    vec![
        Case::new("reserve", (unpromised, arrive), reserve, is_settled).operation(),
        Case::new("set, small", plain, set, is_settled).operation(),
        Case::new("set, three units, cold", plain, set_a_span, is_settled).operation(),
        Case::new("set, awaited", plain, set, is_settled).before(wait_in_another).operation(),
        Case::new("set, of one's own", (unpromised, promise_and_arrive), set, is_settled)
            .operation(),
        Case::new("set, too small a guess", plain, set_after_too_small_a_guess, is_settled)
            .operation(),
        Case::new("set, given up", plain, set_given_up, is_settled).operation(),
        Case::new(
            "set, given up, its keeper dead",
            (promised_by_the_dead, arrive),
            set_given_up_alone,
            is_settled,
        )
        .operation(),
        Case::new("set, evicted meanwhile", plain, set_of_an_evicted, is_settled).operation(),
        Case::new("fail", (unpromised, promise_and_arrive), fail, is_settled).operation(),
        Case::new("fail, awaited", (unpromised, promise_and_arrive), fail, is_settled)
            .before(await_the_victims)
            .operation(),
    ]
}

fn seekers() -> Vec<Operation> {
    let plain: Start<World, Victim> = (promised, arrive);
    vec![
        Case::new("evict, promised", plain, evict, is_settled).operation(),
        Case::new("evict, promised, awaited", plain, evict, is_settled)
            .before(wait_in_another)
            .operation(),
        Case::new("evict, being written", (being_filled, arrive), evict, is_settled).operation(),
        Case::new("wait, woken", plain, wait, is_settled).woken_by(give).operation(),
        Case::new("wait, value there", plain, wait, is_settled)
            .before(|world| give(world))
            .operation(),
        Case::new("wait, looking only", plain, look, is_settled).operation(),
        Case::new("wait, in vain", plain, wait_briefly, is_settled).operation(),
        Case::new("wait, for the dead", (promised_by_the_dead, arrive), wait_briefly, is_settled)
            .operation(),
    ]
}

#[test]
fn killed_at_any_instruction_of_an_operation_on_promises_no_one_waits_in_vain() {
    let operations: Vec<_> = makers().into_iter().chain(seekers()).collect();
    sweep("promises", 10, &operations);
}
