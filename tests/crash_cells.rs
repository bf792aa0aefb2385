//! Operations on variables, killed at every instruction, and stopped there beside a rival: see `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use std::time::Duration;

use inplace::codec::Raw;
use inplace::connector::{Connector, ShmConnector, Variables};
use inplace::{Error, Fingerprint, Key, RegionOptions, Store};
use nix::sys::wait::WaitStatus;
use support::futures::block_on;
use support::steps::kill::{Case, Start, assert_empties, assert_recovers, helper};
use support::steps::peek::{Peek, RECLAIMING, RETIRED, Word};
use support::steps::script::Script;
use support::steps::stop::Stopped;
use support::steps::sweep::{Errand, Found, Operation, sweep};
use support::steps::traced::{await_sleep, left_by};
use support::{Forked, payload};

const BYTES: Fingerprint = Fingerprint::BYTES;
const NAME: &str = "name";
const OLD: u16 = 1;
const VICTIMS: u16 = 2;
const RIVALS: u16 = 3;

/// A region, and a variable in it.
struct World {
    shm: ShmConnector,
    key: Key,
    waiter: Option<Forked>,
}

struct Victim {
    shm: ShmConnector,
    key: Key,
    bytes: Vec<u8>,
}

/// Never set.
fn empty() -> World {
    let options = RegionOptions::new().capacity(8 << 16).max_objects(20).max_participants(6);
    let shm = ShmConnector::new(options.anonymous().unwrap());
    let warm = shm.put(&payload::make(OLD, 48)).unwrap();
    assert!(shm.evict(warm).unwrap());
    let key = shm.new_variable(BYTES).unwrap();
    World { shm, key, waiter: None }
}

/// Set twice.
fn full() -> World {
    let world = empty();
    for number in 1..=2 {
        assert_eq!(set(&world.shm, (world.key, None), OLD).unwrap(), number);
    }
    world
}

/// With a name.
fn named() -> World {
    let world = full();
    world.shm.region().unwrap().bind(NAME, world.key).unwrap();
    world
}

/// The slot of the old version stands before the variable's, that of the next one behind it.
fn amid_its_versions() -> World {
    let world = empty();
    let before: Vec<_> = (0..4).map(|_| world.shm.put(&[]).unwrap()).collect();
    let key = world.shm.new_variable(BYTES).unwrap();
    world.shm.evict(world.key).unwrap();
    world.shm.evict(before[0]).unwrap();
    assert_eq!(set(&world.shm, (key, None), OLD).unwrap(), 1);
    assert_eq!(set(&world.shm, (key, None), OLD).unwrap(), 2);
    before[1..].iter().for_each(|key| assert!(world.shm.evict(*key).unwrap()));
    World { key, ..world }
}

fn arrive(world: World) -> Victim {
    Victim { shm: world.shm, key: world.key, bytes: payload::make(VICTIMS, 48) }
}

fn set(shm: &ShmConnector, variable: (Key, Option<u64>), seed: u16) -> inplace::Result<u64> {
    write(shm, variable, &payload::make(seed, 48))
}

fn write(shm: &ShmConnector, variable: (Key, Option<u64>), bytes: &[u8]) -> inplace::Result<u64> {
    shm.set_variable(variable, (bytes.len(), BYTES), &mut |out| {
        out.write(bytes);
        Ok(())
    })
}

/// The seed of the value, and the number; `None` when it was never set or is gone.
fn read(shm: &ShmConnector, key: Key) -> Option<(u16, u64)> {
    match shm.get_variable(key, BYTES) {
        Ok(version) => version.map(|version| {
            assert_eq!(payload::blame(None, &version.block), None, "a value is torn");
            (u16::from_le_bytes([version.block[0], version.block[1]]), version.number)
        }),
        Err(Error::NotFound { .. }) => None,
        Err(error) => panic!("{error}"),
    }
}

fn set_it(victim: &mut Victim) {
    let _ = write(&victim.shm, (victim.key, None), &victim.bytes);
}

fn set_if_it_is_second(victim: &mut Victim) {
    let _ = write(&victim.shm, (victim.key, Some(2)), &victim.bytes);
}

/// Somebody sets it after the first look at its number.
fn set_if_in_vain(victim: &mut Victim) {
    let Victim { shm, key, bytes } = victim;
    let _ = shm.set_variable((*key, Some(2)), (48, BYTES), &mut |out| {
        out.write(bytes);
        write(shm, (*key, None), bytes).map(|_| ())
    });
}

fn set_after_too_small_a_guess(victim: &mut Victim) {
    let Victim { shm, key, bytes } = victim;
    let _ = shm.set_variable((*key, None), (8, BYTES), &mut |out| {
        out.write(bytes);
        Ok(())
    });
}

fn set_evicted_meanwhile(victim: &mut Victim) {
    let Victim { shm, key, bytes } = victim;
    let _ = shm.set_variable((*key, None), (48, BYTES), &mut |out| {
        out.write(bytes);
        shm.evict(*key).map(|_| ())
    });
}

fn read_it(victim: &mut Victim) {
    drop(victim.shm.get_variable(victim.key, BYTES));
}

fn evict(victim: &mut Victim) {
    let _ = victim.shm.evict(victim.key);
}

fn make(victim: &mut Victim) {
    let _ = victim.shm.new_variable(BYTES);
}

fn open(victim: &mut Victim) {
    let _ = victim.shm.open_variable(NAME, BYTES);
}

fn wait(victim: &mut Victim) {
    drop(victim.shm.wait_for_change(victim.key, 2, None));
}

fn wait_in_vain(victim: &mut Victim) {
    drop(victim.shm.wait_for_change(victim.key, 2, Some(Duration::from_millis(40))));
}

fn give(world: &World) {
    set(&world.shm, (world.key, None), RIVALS).unwrap();
}

fn wait_in_another(world: &mut World) {
    let waiter = helper(|| match world.shm.wait_for_change(world.key, 2, None) {
        Ok(version) => i32::from(payload::blame(None, &version.block).is_some()),
        Err(Error::NotFound { .. }) => 0,
        Err(_) => 2,
    });
    await_sleep(waiter.0);
    world.waiter = Some(waiter);
}

/// By the bell, as who awaits it does.
fn listen_in_another(world: &mut World) {
    let waiter = helper(|| {
        let connector = ShmConnector::new(world.shm.region().unwrap().clone());
        let store = Store::builder("listening").connector(connector).codec(Raw).open().unwrap();
        match block_on(store.cell_from_key::<[u8]>(world.key).changed(2)) {
            Ok(version) => i32::from(payload::blame(None, &version.value).is_some()),
            Err(Error::NotFound { .. }) => 0,
            Err(_) => 2,
        }
    });
    await_sleep(waiter.0);
    world.waiter = Some(waiter);
}

/// The variable is as it was or as it was to be, and can be set; whoever waits hears of it; nothing is left.
fn is_old_or_new(mut world: World) {
    // The victim, who may have been to reap another, and a waiter that has ended.
    assert!(world.shm.region().unwrap().reap().unwrap() <= 3);
    let World { shm, key, .. } = &world;
    if shm.exists(*key).unwrap() {
        let found = read(shm, *key);
        let expected =
            [None, Some((OLD, 2)), Some((VICTIMS, 1)), Some((VICTIMS, 3)), Some((RIVALS, 3))];
        assert!(expected.contains(&found), "{found:?}");
        let number = found.map_or(0, |(_, number)| number);
        assert_eq!(set(shm, (*key, Some(number)), RIVALS).unwrap(), number + 1);
        assert_eq!(read(shm, *key), Some((RIVALS, number + 1)));
    } else {
        assert!(matches!(set(shm, (*key, None), RIVALS), Err(Error::NotFound { .. })));
    }
    if let Some(waiter) = world.waiter.take() {
        let end = waiter.wait();
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "a waiter heard something wrong: {end:?}");
    }
    ends(&world);
}

/// The name leads to one variable, which whoever opens it has; the victim's own is gone, or has the name.
fn is_opened(world: World) {
    let region = world.shm.region().unwrap();
    region.reap().unwrap();
    let before = region.lookup(NAME).unwrap();
    let key = world.shm.open_variable(NAME, BYTES).unwrap();
    assert!(before.is_none_or(|before| before == key));
    assert_eq!(region.lookup(NAME).unwrap(), Some(key));
    let number = read(&world.shm, key).map_or(0, |(_, number)| number);
    assert_eq!(set(&world.shm, (key, None), RIVALS).unwrap(), number + 1);
    let variables = region.keys().unwrap();
    assert!(variables.iter().all(|found| [key, world.key].contains(found)), "{variables:?}");
    ends(&world);
}

fn ends(world: &World) {
    let region = world.shm.region().unwrap();
    assert_recovers(region, 0..=1);
    let report = region.check().unwrap();
    assert_eq!((report.objects, report.retired, report.pins), (0, 0, 0), "{report}");
    assert_empties(region, &[NAME]);
}

fn killed() -> Vec<Operation> {
    let (over_nothing, over_old): (Start<World, Victim>, Start<World, Victim>) =
        ((empty, arrive), (full, arrive));
    let case = |what, start, operate, holds| Case::new(what, start, operate, holds).operation();
    vec![
        case("new", over_old, make, is_old_or_new),
        case("set, over nothing", over_nothing, set_it, is_old_or_new),
        case("set, over an old one", over_old, set_it, is_old_or_new),
        case("set, amid its versions", (amid_its_versions, arrive), set_it, is_old_or_new),
        Case::new("set, awaited", over_old, set_it, is_old_or_new)
            .before(wait_in_another)
            .operation(),
        Case::new("set, listened for", over_old, set_it, is_old_or_new)
            .before(listen_in_another)
            .operation(),
        Case::new("evict, listened for", over_old, evict, is_old_or_new)
            .before(listen_in_another)
            .operation(),
        case("set, too small a guess", over_old, set_after_too_small_a_guess, is_old_or_new),
        case("set, evicted meanwhile", over_old, set_evicted_meanwhile, is_old_or_new),
        case("set if", over_old, set_if_it_is_second, is_old_or_new),
        case("set if, in vain", over_old, set_if_in_vain, is_old_or_new),
        case("read", over_old, read_it, is_old_or_new),
        case("evict, empty", over_nothing, evict, is_old_or_new),
        case("evict", over_old, evict, is_old_or_new),
        Case::new("evict, awaited", over_old, evict, is_old_or_new)
            .before(wait_in_another)
            .operation(),
        case("open, a new name", over_old, open, is_opened),
        case("open, a known name", (named, arrive), open, is_opened),
        Case::new("wait, woken", over_old, wait, is_old_or_new).woken_by(give).operation(),
        case("wait, in vain", over_old, wait_in_vain, is_old_or_new),
    ]
}

/// One does something with the variable and is killed as soon as it has written a word like that.
fn after(
    world: World,
    (word, is_it): (Word, impl Fn(Word) -> bool),
    work: fn(&mut Victim),
) -> World {
    left_by(world, (word, is_it), (arrive, work))
}

/// The new version is current, the old one is there, and nobody was told.
fn swapped() -> World {
    let mut world = amid_its_versions();
    wait_in_another(&mut world);
    let current = Peek::of(world.shm.region().unwrap()).current(world.key);
    let before = current.get();
    after(world, (current, move |current| current.get() != before), set_it)
}

/// And now it is evicted, too.
fn swapped_and_evicted() -> World {
    let world = swapped();
    assert!(world.shm.evict(world.key).unwrap());
    world
}

fn evicted_by(state: u64) -> World {
    let mut world = full();
    wait_in_another(&mut world);
    let slot = Peek::of(world.shm.region().unwrap()).slot(world.key);
    after(world, (slot, move |slot| slot.state() == state), evict)
}

fn retired() -> World {
    evicted_by(RETIRED)
}

fn reclaiming() -> World {
    evicted_by(RECLAIMING)
}

/// The name leads to a variable that its maker has not kept yet.
fn named_by_the_dead() -> World {
    let world = full();
    let bucket = Peek::of(world.shm.region().unwrap()).bucket(NAME);
    after(world, (bucket, |bucket| bucket.get() != 0), open)
}

fn reap(victim: &mut Victim) {
    let _ = victim.shm.region().unwrap().reap();
}

fn reaped() -> Vec<Operation> {
    let case =
        |what, mess: fn() -> World, holds| Case::new(what, (mess, arrive), reap, holds).operation();
    vec![
        case("reap, a set after its CAS", swapped, is_old_or_new),
        case("reap, the same of an evicted one", swapped_and_evicted, is_old_or_new),
        case("reap, an evict, RETIRED", retired, is_old_or_new),
        case("reap, an evict, RECLAIMING", reclaiming, is_old_or_new),
        case("reap, an open after its bind", named_by_the_dead, is_opened),
    ]
}

#[test]
fn killed_at_any_instruction_a_reaper_of_a_set_leaves_the_rest_to_the_next() {
    sweep("reaped cells", 5, &reaped());
}

#[test]
fn killed_at_any_instruction_one_leaves_the_old_version_or_the_new() {
    sweep("cells", 10, &killed());
}

/// What a rival does beside the stopped victim, which has set or is to set the variable that was set twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Rival {
    Set,
    Read,
    Evict,
    Open,
    Reap,
}

const RIVALRY: [Rival; 5] = [Rival::Set, Rival::Read, Rival::Evict, Rival::Open, Rival::Reap];

fn beside(rival: Rival, world: &World) {
    let World { shm, key, .. } = world;
    match rival {
        Rival::Set => {
            let number = set(shm, (*key, None), RIVALS).unwrap();
            assert!((3..=4).contains(&number));
            assert_eq!(read(shm, *key), Some((RIVALS, number)));
        }
        Rival::Read => {
            let found = read(shm, *key);
            assert!([Some((OLD, 2)), Some((VICTIMS, 3))].contains(&found), "{found:?}");
        }
        Rival::Evict => {
            assert!(shm.evict(*key).unwrap());
            assert_eq!(read(shm, *key), None);
            assert!(shm.region().unwrap().lookup(NAME).unwrap().is_none());
        }
        Rival::Open => assert_eq!(shm.open_variable(NAME, BYTES).unwrap(), *key),
        Rival::Reap => assert_eq!(shm.region().unwrap().reap().unwrap(), 0, "stopped is not dead"),
    }
    let report = shm.region().unwrap().check().unwrap();
    assert!(report.is_clean(), "{report}");
}

/// Stopped, with each rival; then it goes on, or is killed.
fn stopped() -> Operation {
    let play = |script: &Script, errand: Errand| -> Found {
        let variant = if let Errand::Visit { variant, .. } = errand { variant } else { 0 };
        let (rival, goes_on) = (RIVALRY[variant / 2], variant % 2 == 0);
        let world = named();
        let (mut stopped, found) = Stopped::at(
            (script, errand),
            // SAFETY: the victim ends without dropping the survivor's, which is a copy of its own, forked.
            || arrive(unsafe { std::ptr::read(&raw const world) }),
            |victim| write(&victim.shm, (victim.key, None), &victim.bytes).unwrap_or(99),
        );
        if found == Found::Inside {
            stopped.meanwhile(|| beside(rival, &world));
        }
        if goes_on {
            let number = stopped.go_on();
            let gone = !world.shm.exists(world.key).unwrap();
            let after = read(&world.shm, world.key);
            match rival {
                Rival::Evict => assert!(gone || found != Found::Inside),
                Rival::Set if found == Found::Inside => {
                    let expected = [Some((VICTIMS, 4)), Some((RIVALS, 4))];
                    assert!(expected.contains(&after) && number >= 3, "{after:?} {number}");
                    assert_eq!(after == expected[0], number == 4);
                }
                _ => assert_eq!((number, after), (3, Some((VICTIMS, 3)))),
            }
            let report = world.shm.region().unwrap().check().unwrap();
            assert!(
                report.is_clean() && report.in_progress == 0 && report.retired == 0,
                "{report}"
            );
        }
        stopped.kill();
        let region = world.shm.region().unwrap();
        region.reap().unwrap();
        if world.shm.exists(world.key).unwrap() {
            let number = read(&world.shm, world.key).unwrap().1;
            assert_eq!(set(&world.shm, (world.key, Some(number)), OLD).unwrap(), number + 1);
        }
        ends(&world);
        found
    };
    let what = "set, stopped beside a rival".into();
    Operation { what, variants: 2 * RIVALRY.len(), scene: Box::new(play) }
}

#[test]
fn stopped_at_any_instruction_of_a_set_it_keeps_no_one_and_loses_nothing() {
    sweep("stopped cells", 60, &[stopped()]);
}
