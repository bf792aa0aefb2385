//! Variables: set, read, wait, evict, open by name.

mod bells;

use super::scene::{
    Deaths, HALF, Scene, Size, explore, explore_deaths, explore_handing_over, mortal, spawn,
    value_of,
};
use crate::actor::{Actor, Refusal};
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{ObjectId, SlotWord};
use crate::protocol::variable::{Awaited, Current};
use crate::sync::Ordering;
use crate::sys::futex;

const SIZE: Size = Size { objects: 6, units: 3, participants: 2 };
const BYTES: Fingerprint = Fingerprint::BYTES;

pub(super) fn new(scene: &Scene) -> ObjectId {
    scene.actor(0).new_variable(BYTES).expect("a slot is free")
}

/// A variable with a version.
fn new_with(scene: &Scene, value: u64) -> ObjectId {
    let id = new(scene);
    assert_eq!(set(&scene.actor(0), id, value), Some(1));
    id
}

/// Gives it a value in a block of half a unit; `None` when the variable is gone.
pub(super) fn set(actor: &Actor<'_>, id: ObjectId, value: u64) -> Option<u64> {
    match try_set(actor, (id, None), value) {
        Ok(number) => Some(number),
        Err(Refusal::Error(Error::NotFound { .. })) => None,
        Err(refusal) => panic!("{refusal:?}"),
    }
}

pub(super) fn try_set(
    actor: &Actor<'_>,
    variable: (ObjectId, Option<u64>),
    value: u64,
) -> Result<u64, Refusal> {
    actor.set_variable(variable, (HALF, BYTES), &mut |out| {
        out.write(&value.to_le_bytes());
        Ok(())
    })
}

/// Gives it a value without a block, which leaves more accesses to the protocol itself.
fn set_empty(actor: &Actor<'_>, id: ObjectId) -> Option<u64> {
    match actor.set_variable((id, None), (0, BYTES), &mut |_| Ok(())) {
        Ok(number) => Some(number),
        Err(Refusal::Error(Error::NotFound { .. })) => None,
        Err(refusal) => panic!("{refusal:?}"),
    }
}

/// The current version's number; `None` when the variable is gone or empty.
pub(super) fn number(actor: &Actor<'_>, id: ObjectId) -> Option<u64> {
    match actor.read_variable(id).expect("nothing is corrupt") {
        Current::Version(version) => Some(version.number),
        Current::Gone | Current::Empty => None,
    }
}

/// The value and its number; `None` when the variable is gone or empty.
pub(super) fn read(actor: &Actor<'_>, id: ObjectId) -> Option<(u64, u64)> {
    match actor.read_variable(id).expect("nothing is corrupt") {
        Current::Version(version) => Some((value_of(&version.pin), version.number)),
        Current::Gone | Current::Empty => None,
    }
}

/// Waits as `Region::wait_for_change` does, but that nothing is lost in a slice: a wake that does not come is a deadlock.
pub(super) fn wait(scene: &Scene, p: u32, id: ObjectId, seen: u64) -> Option<u64> {
    loop {
        match scene.actor(p).look_for_change(id, seen).expect("nothing is corrupt") {
            Awaited::Version(version) => return Some(value_of(&version.pin)),
            Awaited::Gone => return None,
            Awaited::Unchanged(slot, change) => {
                futex::wait_low(&slot.extra, change, None);
            }
        }
    }
}

#[test]
fn a_reaper_of_a_promise_that_comes_too_late_leaves_a_version_its_number() {
    explore("reap a keeper | break, evict, set in its slot", 1, || {
        let scene = Scene::new(Size { participants: 3, ..SIZE });
        let promise = scene.actor(2).reserve().unwrap();
        let keeper = scene.actor(2).me;
        let id = new(&scene);
        // The next one's number looks like the keeper of a promise in a slot that was never used.
        let next = u64::from(keeper.tag());
        (1..next).for_each(|number| assert_eq!(set_empty(&scene.actor(0), id), Some(number)));
        drop(scene.member(2));
        let setter = spawn(&scene, move |s| {
            let slot = s.segment.slot(promise.slot()).unwrap();
            s.actor(1).break_promise(promise, slot);
            s.actor(1).evict(promise);
            set_empty(&s.actor(1), id)
        });
        scene.reap();
        assert_eq!(setter.join().unwrap(), Some(next));
        assert_eq!(number(&scene.actor(0), id), Some(next));
        scene.assert_all_returns();
    });
}

#[test]
fn a_slot_of_a_dead_setter_that_another_sets_with_is_left_to_it() {
    explore_handing_over("reap a version | set, set in its slot", 2, || {
        let scene = Scene::new(Size { participants: 3, ..SIZE });
        let id = new(&scene);
        set_empty(&scene.actor(1), id).unwrap();
        let current = &scene.segment.slot(id.slot()).unwrap().block;
        let version = ObjectId(current.load(Ordering::SeqCst));
        drop(scene.member(1));
        let setter = spawn(&scene, move |s| {
            let numbers = [(); 2].map(|()| set_empty(&s.actor(2), id));
            assert!(numbers.iter().all(Option::is_some));
        });
        let slot = scene.segment.slot(version.slot()).unwrap();
        scene.actor(0).reap_version(version.slot(), slot, ParticipantId::new(1));
        let word = current.load(Ordering::SeqCst);
        let slot = scene.segment.slot(ObjectId(word).slot()).unwrap();
        let is_there = SlotWord(slot.word.load(Ordering::SeqCst)).is_ready(ObjectId(word));
        let is_current = |id| current.compare_exchange(id, id, Ordering::SeqCst, Ordering::SeqCst);
        assert!(is_there || is_current(word).is_err(), "the current version is not evicted");
        setter.join().unwrap();
        assert!(number(&scene.actor(0), id).is_some());
        scene.assert_all_returns();
    });
}

#[test]
fn of_two_sets_both_count_and_the_later_stays() {
    explore("set | set", 2, || {
        let scene = Scene::new(SIZE);
        let id = new_with(&scene, 7);
        let setter = spawn(&scene, move |s| set(&s.actor(1), id, 1).unwrap());
        let (mine, theirs) = (set(&scene.actor(0), id, 2).unwrap(), setter.join().unwrap());
        let expected = if mine > theirs { (2, mine) } else { (1, theirs) };
        assert_eq!(read(&scene.actor(0), id), Some(expected));
        assert_eq!(mine + theirs, 5);
        scene.assert_all_returns();
    });
}

#[test]
fn a_reader_has_the_old_or_the_new_version_with_its_number() {
    explore("set | read, read", 2, || {
        let scene = Scene::new(SIZE);
        let id = new_with(&scene, 7);
        let setter = spawn(&scene, move |s| set(&s.actor(1), id, 8).unwrap());
        let [first, second] = [0, 1].map(|_| read(&scene.actor(0), id).unwrap());
        assert!([first, second].iter().all(|found| [(7, 1), (8, 2)].contains(found)), "{first:?}");
        assert!(first.1 <= second.1, "no version goes back");
        assert_eq!(setter.join().unwrap(), 2);
        assert_eq!(read(&scene.actor(0), id), Some((8, 2)));
        scene.assert_all_returns();
    });
}

#[test]
fn of_two_who_replace_one_version_one_hears_of_the_other() {
    explore("set if | set if", 2, || {
        let scene = Scene::new(SIZE);
        let id = new_with(&scene, 7);
        let replace = move |actor: &Actor<'_>, value| match try_set(actor, (id, Some(1)), value) {
            Ok(number) => number == 2,
            Err(Refusal::Error(Error::Conflict { expected: 1, found: 2, .. })) => false,
            Err(refusal) => panic!("{refusal:?}"),
        };
        let setter = spawn(&scene, move |s| replace(&s.actor(1), 1));
        let mine = replace(&scene.actor(0), 2);
        assert_ne!(mine, setter.join().unwrap());
        assert_eq!(read(&scene.actor(0), id), Some((if mine { 2 } else { 1 }, 2)));
        scene.assert_all_returns();
    });
}

#[test]
fn an_evicted_variable_takes_its_version_with_it_whoever_sets_it() {
    explore("set | evict", 2, || {
        let scene = Scene::new(SIZE);
        let id = new_with(&scene, 7);
        let setter = spawn(&scene, move |s| set(&s.actor(1), id, 8));
        assert!(scene.actor(0).evict(id));
        assert_eq!(read(&scene.actor(0), id), None);
        setter.join().unwrap();
        assert_eq!(read(&scene.actor(0), id), None);
        scene.assert_all_returns();
    });
}

#[test]
fn a_reader_of_a_slot_that_is_used_again_has_nothing_of_the_next() {
    explore("evict, put | read", 2, || {
        let scene = Scene::new(SIZE);
        let id = new_with(&scene, 7);
        let evictor = spawn(&scene, move |s| {
            assert!(s.actor(1).evict(id));
            let next = new(s);
            set(&s.actor(1), next, 9);
        });
        assert!(read(&scene.actor(0), id).is_none_or(|found| found == (7, 1)));
        evictor.join().unwrap();
        assert_eq!(read(&scene.actor(0), id), None);
        scene.assert_settled();
    });
}

#[test]
fn a_variable_whose_slot_is_used_again_is_gone_and_never_of_another_type() {
    explore_handing_over("look at the type | evict, another in its slot", 2, || {
        let scene = Scene::new(Size { objects: 1, units: 1, participants: 2 });
        let id = new(&scene);
        let looking = spawn(&scene, move |s| s.actor(1).expect_type(id, BYTES));
        assert!(scene.actor(0).evict(id));
        assert!(scene.actor(0).new_variable(Fingerprint::CANCELLED).is_ok());
        assert!(matches!(looking.join().unwrap(), Ok(()) | Err(Error::NotFound { .. })));
    });
}

#[test]
fn a_waiter_is_woken_by_a_set() {
    explore("set | wait", 2, || {
        let scene = Scene::new(SIZE);
        let id = new_with(&scene, 7);
        let setter = spawn(&scene, move |s| set(&s.actor(1), id, 8));
        assert_eq!(wait(&scene, 0, id, 1), Some(8));
        setter.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn a_waiter_is_woken_by_the_end_of_the_variable() {
    explore("evict | wait", 2, || {
        let scene = Scene::new(SIZE);
        let id = new_with(&scene, 7);
        let evictor = spawn(&scene, move |s| assert!(s.actor(1).evict(id)));
        assert_eq!(wait(&scene, 0, id, 1), None);
        evictor.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn a_waiter_hears_of_the_end_of_a_variable_that_somebody_is_setting() {
    explore("evict, pinned | wait", 2, || {
        let scene = Scene::new(SIZE);
        let id = new_with(&scene, 7);
        let setters = scene.actor(0).pin_variable(id).unwrap().expect("it is there");
        let waiter = spawn(&scene, move |s| wait(s, 1, id, 1));
        assert!(scene.actor(0).evict(id));
        assert_eq!(waiter.join().unwrap(), None);
        drop(setters);
        scene.assert_all_returns();
    });
}

#[test]
fn of_two_who_open_a_name_both_have_the_same_variable() {
    explore("open | open", 1, || {
        let scene = Scene::new(SIZE);
        let opener = spawn(&scene, |s| s.actor(1).open_variable("name", BYTES).unwrap());
        let mine = scene.actor(0).open_variable("name", BYTES).unwrap();
        assert_eq!(mine, opener.join().unwrap());
        assert_eq!(set(&scene.actor(0), mine, 1), Some(1));
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_a_set_a_setter_leaves_the_old_or_the_new_version() {
    explore_deaths("set | read", |changes, deaths| {
        let scene = Scene::new(SIZE);
        let id = new_with(&scene, 7);
        let died = Deaths::clone(deaths);
        let victim = spawn(&scene, move |scene| {
            mortal(scene, (1, changes), &died, |actor| {
                let _ = set(actor, id, 8);
            });
        });
        let found = read(&scene.actor(0), id).unwrap();
        victim.join().unwrap();
        scene.assert_settled();
        let later = read(&scene.actor(0), id).unwrap();
        assert!([(7, 1), (8, 2)].contains(&found) && later.1 >= found.1, "{found:?} {later:?}");
        assert_eq!(set(&scene.actor(0), id, 9), Some(later.1 + 1));
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_a_set_while_another_sets_nothing_of_it_stays() {
    explore_deaths("set | set", |changes, deaths| {
        let scene = Scene::new(SIZE);
        let id = new_with(&scene, 7);
        // The victim first: one preemption of it lets the other set in the middle.
        let other = spawn(&scene, move |scene| set(&scene.actor(0), id, 9).unwrap());
        mortal(&scene, (1, changes), deaths, |actor| {
            let _ = set(actor, id, 8);
        });
        let theirs = other.join().unwrap();
        scene.assert_settled();
        let found = read(&scene.actor(0), id).unwrap();
        assert!(found == (9, theirs) || found == (8, theirs + 1), "{found:?}");
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_a_set_of_a_variable_that_is_evicted_a_setter_leaves_nothing() {
    explore_deaths("set | evict", |changes, deaths| {
        let scene = Scene::new(SIZE);
        let id = new_with(&scene, 7);
        let evictor = spawn(&scene, move |scene| assert!(scene.actor(0).evict(id)));
        mortal(&scene, (1, changes), deaths, |actor| {
            let _ = set(actor, id, 8);
        });
        evictor.join().unwrap();
        scene.assert_all_returns();
    });
}

fn finished_beside(name: &str, evicts: bool) {
    explore_deaths(name, move |changes, deaths| {
        // No slot more than are needed: all of them are swept.
        let objects = if evicts { 3 } else { 4 };
        let scene = Scene::new(Size { objects, units: 1, participants: 3 });
        let id = new(&scene);
        set_empty(&scene.actor(0), id);
        let is_killed = mortal(&scene, (2, changes), deaths, |actor| {
            let _ = set_empty(actor, id);
        });
        let dead = ParticipantId::new(2);
        let is_pinned = |index| scene.segment.count(dead, index).load(Ordering::SeqCst) > 0;
        // Killed before it has the variable, it has done nothing to it.
        if !is_killed || !(1..scene.segment.committed_slots()).any(is_pinned) {
            return;
        }
        let other = spawn(&scene, move |s| {
            let actor = s.actor(1);
            if evicts {
                assert!(actor.evict(id));
            } else {
                assert!(set_empty(&actor, id) > Some(1));
            }
        });
        scene.reap();
        other.join().unwrap();
        let found = number(&scene.actor(0), id);
        assert!(if evicts { found.is_none() } else { found > Some(1) }, "{found:?}");
        scene.assert_all_returns();
    });
}

#[test]
fn what_a_killed_setter_left_is_finished_while_another_sets() {
    finished_beside("set, killed; reap | set", false);
}

#[test]
fn what_a_killed_setter_left_is_finished_while_another_evicts() {
    finished_beside("set, killed; reap | evict", true);
}

#[test]
fn a_setter_killed_before_it_tells_anybody_leaves_no_waiter_asleep() {
    explore_deaths("set, killed; reap, or set | wait", |changes, deaths| {
        let scene = Scene::new(Size { participants: 3, ..SIZE });
        let id = new_with(&scene, 7);
        let waiter = spawn(&scene, move |s| wait(s, 1, id, 1));
        mortal(&scene, (2, changes), deaths, |actor| {
            let _ = set(actor, id, 8);
        });
        scene.reap();
        if read(&scene.actor(0), id) == Some((7, 1)) {
            set(&scene.actor(0), id, 9).unwrap();
        }
        assert!([Some(8), Some(9)].contains(&waiter.join().unwrap()));
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_an_evict_one_leaves_the_variable_or_nothing() {
    explore_deaths("evict, killed; reap | read", |changes, deaths| {
        let scene = Scene::new(SIZE);
        let id = new_with(&scene, 7);
        let died = Deaths::clone(deaths);
        let victim = spawn(&scene, move |scene| {
            mortal(scene, (1, changes), &died, |actor| {
                let _ = actor.evict(id);
            });
        });
        let found = read(&scene.actor(0), id);
        assert!(found.is_none_or(|found| found == (7, 1)));
        victim.join().unwrap();
        scene.assert_settled();
        assert!(found.is_some() || read(&scene.actor(0), id).is_none(), "gone, it stays gone");
        scene.assert_all_returns();
    });
}

#[test]
fn killed_when_it_opens_a_name_one_leaves_a_variable_to_others_only() {
    explore_deaths("open, killed; reap, or open", |changes, deaths| {
        for reaped_first in [false, true] {
            let scene = Scene::new(Size { objects: 4, ..SIZE });
            mortal(&scene, (1, changes), deaths, |actor| {
                let _ = actor.open_variable("name", BYTES);
            });
            if reaped_first {
                scene.reap();
            }
            let opened = scene.actor(0).open_variable("name", BYTES).unwrap();
            scene.assert_settled();
            assert_eq!(scene.actor(0).lookup("name").unwrap(), Some(opened));
            assert_eq!(set_empty(&scene.actor(0), opened), Some(1));
            scene.assert_all_returns();
        }
    });
}

#[test]
fn a_variable_whose_maker_is_dead_is_set_and_stays_or_is_gone() {
    explore_deaths("open, killed; reap | set", |changes, deaths| {
        let scene = Scene::new(Size { objects: 4, units: 1, participants: 3 });
        mortal(&scene, (2, changes), deaths, |actor| {
            let _ = actor.open_variable("name", BYTES);
        });
        let Some(id) = scene.actor(0).lookup("name").unwrap() else { return };
        let setter = spawn(&scene, move |s| set_empty(&s.actor(1), id));
        scene.reap();
        let is_set = setter.join().unwrap();
        scene.assert_settled();
        assert_eq!(number(&scene.actor(0), id), is_set);
        assert_eq!(scene.actor(0).lookup("name").unwrap(), is_set.map(|_| id));
        scene.assert_all_returns();
    });
}
