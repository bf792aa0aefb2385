//! Operations on promises, killed at every instruction: see `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use std::time::Duration;

use inplace::codec::Raw;
use inplace::connector::{BlockWriter, Offer, ShmConnector};
use inplace::{Error, Fingerprint, Key, Promise, Region, RegionOptions, Store};
use nix::sys::wait::WaitStatus;
use support::shared::{Atomics, Shared};
use support::steps::kill::{Case, Start, assert_empties, assert_recovers, helper, keeper};
use support::steps::sweep::{Operation, sweep};
use support::steps::traced::await_sleep;
use support::{Forked, payload};

/// A region, and a promise in it.
struct World {
    region: Region,
    promise: Key,
    /// What names the promise of another process.
    offer: Option<Offer>,
    /// Who keeps the promise, or is about to keep it.
    another: Option<Forked>,
    /// Who waits for it.
    waiter: Option<Forked>,
}

struct Victim {
    region: Region,
    promise: Key,
    offer: Option<Offer>,
    typed: Option<Promise<[u8], Raw>>,
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
    World { region, promise, offer: None, another: None, waiter: None }
}

/// Another process promises, and dies.
fn promised_by_the_dead() -> World {
    let region = region();
    assert_eq!(support::in_child(|| region.reserve().map_or(1, |_| 0)), 0);
    let promise = region.keys().unwrap()[0];
    World { region, promise, offer: None, another: None, waiter: None }
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
    let World { region, promise, offer, .. } = world;
    Victim { region, promise, offer, typed: None, bytes: payload::make(2, 48) }
}

/// What one process tells the other of its promise.
#[derive(Default)]
struct Told(std::sync::atomic::AtomicU64, std::sync::atomic::AtomicU64);

// SAFETY: made of atomics only.
unsafe impl Atomics for Told {}

/// Another process promises, and offers the promise.
fn offered() -> World {
    let (region, told) = (region(), Shared::<Told>::new());
    let sender = keeper(|ready| {
        let offer = region.offer_promise(region.reserve().unwrap()).unwrap();
        told.0.store(offer.keeping(), std::sync::atomic::Ordering::SeqCst);
        told.1.store(offer.incarnation(), std::sync::atomic::Ordering::SeqCst);
        let _ = ready();
    });
    let read = |word: &std::sync::atomic::AtomicU64| word.load(std::sync::atomic::Ordering::SeqCst);
    let offer = Some(Offer::new(read(&told.0), read(&told.1)));
    let promise = region.keys().unwrap()[0];
    World { region, promise, offer, another: Some(sender), waiter: None }
}

/// And dies.
fn offered_by_the_dead() -> World {
    let mut world = offered();
    world.another.take().unwrap().kill();
    world
}

fn adopt(victim: &mut Victim) {
    let _ = victim.region.adopt_promise(victim.promise, victim.offer.unwrap());
}

fn offer(victim: &mut Victim) {
    let _ = victim.region.offer_promise(victim.promise);
}

fn fail_with_a_reason(victim: &mut Victim) {
    let _ = victim.region.fail_with(victim.promise, "why");
}

fn cancel(victim: &mut Victim) {
    let _ = victim.region.cancel(victim.promise);
}

/// The victim promises through a store.
fn promise_typed_and_arrive(world: World) -> Victim {
    let connector = ShmConnector::new(world.region.clone());
    let store = Store::builder("crash").connector(connector).codec(Raw).open().unwrap();
    let (promise, _) = store.promise::<[u8]>().unwrap();
    Victim { promise: promise.key(), typed: Some(promise), ..arrive(world) }
}

fn set_typed(victim: &mut Victim) {
    let _ = victim.typed.as_ref().unwrap().set(&victim.bytes);
}

fn drop_typed(victim: &mut Victim) {
    drop(victim.typed.take());
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
    let Victim { region, promise, bytes, .. } = victim;
    let _ = region.set_with(*promise, 8, Fingerprint::BYTES, &mut |out| {
        out.write(bytes);
        Ok(())
    });
}

/// Copying a span would be a step per byte: only its start is written.
fn set_a_span(victim: &mut Victim) {
    let Victim { region, promise, bytes, .. } = victim;
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
    let Victim { region, promise, bytes, .. } = victim;
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
    assert!(world.region.reap().unwrap() <= 3);
    for key in world.region.keys().unwrap() {
        match world.region.wait(key, Some(Duration::ZERO)) {
            Ok(view) => assert_eq!(payload::blame(Some(2), &view), None),
            Err(Error::Broken { .. }) => {
                assert!(!world.region.exists(key).unwrap());
                assert!(matches!(world.region.set(key, b"late"), Err(Error::Broken { .. })));
            }
            Err(Error::Failed { .. } | Error::Cancelled { .. }) => {
                assert!(!world.region.exists(key).unwrap() && world.region.evict(key).unwrap());
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
        Err(Error::Failed { .. } | Error::Cancelled { .. }) => 0,
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

fn owners() -> Vec<Operation> {
    let own: Start<World, Victim> = (unpromised, promise_and_arrive);
    let typed: Start<World, Victim> = (unpromised, promise_typed_and_arrive);
    let offered: Start<World, Victim> = (offered, arrive);
    let by_the_dead: Start<World, Victim> = (offered_by_the_dead, arrive);
    vec![
        Case::new("offer", own, offer, is_settled).operation(),
        Case::new("adopt", offered, adopt, is_settled).operation(),
        Case::new("adopt, awaited", offered, adopt, is_settled).before(wait_in_another).operation(),
        Case::new("adopt, from the dead", by_the_dead, adopt, is_settled).operation(),
        Case::new("fail, with a reason", own, fail_with_a_reason, is_settled).operation(),
        Case::new("cancel, awaited", own, cancel, is_settled).before(await_the_victims).operation(),
        Case::new("set, typed, awaited", typed, set_typed, is_settled)
            .before(await_the_victims)
            .operation(),
        Case::new("drop of a promise", typed, drop_typed, is_settled).operation(),
    ]
}

#[test]
fn killed_at_any_instruction_of_an_operation_on_promises_no_one_waits_in_vain() {
    let operations: Vec<_> = makers().into_iter().chain(seekers()).chain(owners()).collect();
    sweep("promises", 10, &operations);
}
