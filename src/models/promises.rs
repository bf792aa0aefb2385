//! Reserve, set, fail, wait, evict; promises that change hands; listeners.

mod bells;
mod hands;

use loom::sync::Arc;
use loom::thread;

use super::scene::{
    Deaths, HALF, Scene, Size, explore, explore_deaths, explore_handing_over, get, mortal, put,
    set, spawn,
};
use crate::actor::Refusal;
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::layout::slot::{ObjectId, SlotWord, State};
use crate::sync::Ordering;

const PAIR: Size = Size { objects: 1, units: 1, participants: 2 };
const THREE: Size = Size { objects: 1, units: 1, participants: 3 };

fn promised(size: Size) -> (Arc<Scene>, ObjectId) {
    let scene = Scene::new(size);
    let id = scene.actor(0).reserve().unwrap();
    (scene, id)
}

fn waiter(scene: &Arc<Scene>, p: u32, id: ObjectId) -> thread::JoinHandle<Option<u64>> {
    let scene = Arc::clone(scene);
    thread::spawn(move || scene.wait(p, id))
}

#[test]
fn a_waiter_is_woken_by_the_value() {
    explore("wait | set", 3, || {
        let (scene, id) = promised(PAIR);
        let waiting = waiter(&scene, 1, id);
        set(&scene.actor(0), id, 7).unwrap();
        assert_eq!(waiting.join().unwrap(), Some(7));
        scene.assert_all_returns();
    });
}

#[test]
fn a_waiter_is_woken_by_a_failure() {
    explore("wait | fail", 3, || {
        let (scene, id) = promised(PAIR);
        let waiting = waiter(&scene, 1, id);
        scene.actor(0).fail(id).unwrap();
        assert_eq!(waiting.join().unwrap(), None);
        scene.assert_all_returns();
    });
}

#[test]
fn a_waiter_is_woken_by_an_evict() {
    explore("wait | evict", 3, || {
        let (scene, id) = promised(PAIR);
        let waiting = waiter(&scene, 1, id);
        assert!(scene.actor(0).evict(id));
        assert_eq!(waiting.join().unwrap(), None);
        scene.assert_all_returns();
    });
}

#[test]
fn two_waiters_are_woken_by_one_value() {
    explore("wait | wait | set", 2, || {
        let (scene, id) = promised(THREE);
        let waiting = [1, 2].map(|p| waiter(&scene, p, id));
        set(&scene.actor(0), id, 7).unwrap();
        waiting.into_iter().for_each(|w| assert_eq!(w.join().unwrap(), Some(7)));
        scene.assert_all_returns();
    });
}

#[test]
fn of_two_who_set_a_promise_one_does() {
    explore("set | set", 2, || {
        let (scene, id) = promised(PAIR);
        let other = thread::spawn({
            let scene = Arc::clone(&scene);
            move || set(&scene.actor(1), id, 8)
        });
        let here = set(&scene.actor(0), id, 7);
        let there = other.join().unwrap();
        assert!(here.is_ok() != there.is_ok());
        let lost = here.as_ref().err().or(there.as_ref().err()).unwrap();
        assert!(matches!(lost, Refusal::Error(Error::AlreadySet { .. })), "{lost:?}");
        let value = if here.is_ok() { 7 } else { 8 };
        assert_eq!(get(&scene.actor(0), id), Some(value));
        scene.assert_all_returns();
    });
}

#[test]
fn a_promise_evicted_while_it_is_set_is_gone() {
    explore("set | evict", 3, || {
        let (scene, id) = promised(PAIR);
        let setter = thread::spawn({
            let scene = Arc::clone(&scene);
            move || set(&scene.actor(1), id, 7)
        });
        assert!(scene.actor(0).evict(id));
        assert_eq!(get(&scene.actor(0), id), None);
        let set = setter.join().unwrap();
        let gone = |error: &Refusal| matches!(error, Refusal::Error(Error::NotFound { .. }));
        assert!(set.as_ref().err().is_none_or(gone), "{set:?}");
        assert_eq!(get(&scene.actor(0), id), None);
        scene.assert_all_returns();
    });
}

#[test]
fn a_waiter_hears_of_an_evict_while_the_value_is_written() {
    explore("wait | set | evict", 2, || {
        let (scene, id) = promised(THREE);
        let waiting = waiter(&scene, 1, id);
        let setter = thread::spawn({
            let scene = Arc::clone(&scene);
            move || drop(set(&scene.actor(2), id, 7))
        });
        assert!(scene.actor(0).evict(id));
        setter.join().unwrap();
        assert!(matches!(waiting.join().unwrap(), None | Some(7)));
        scene.assert_all_returns();
    });
}

/// Begins to set a promise, and gives up.
fn abort(scene: &Scene, p: u32, id: ObjectId) {
    let fill = &mut |_: &mut crate::writer::BlockWriter<'_>| Err(Error::corrupt("given up"));
    drop(scene.actor(p).set_with(id, (HALF, Fingerprint::BYTES), fill));
}

#[test]
fn a_failed_promise_seems_there_to_nobody_though_its_slot_is_used_again() {
    explore_handing_over("exists | evict, reserve, set", 2, || {
        let (scene, id) = promised(PAIR);
        let kind = (0, Fingerprint::CANCELLED);
        scene.actor(0).set_with(id, kind, &mut |_| Ok(())).unwrap();
        let other = spawn(&scene, move |s| s.actor(1).exists(id));
        scene.actor(0).evict(id);
        if let Ok(next) = scene.actor(0).reserve() {
            set(&scene.actor(0), next, 8).unwrap();
        }
        assert!(!other.join().unwrap());
        scene.assert_all_returns();
    });
    explore_handing_over("exists | evict, put", 3, || {
        let (scene, id) = promised(PAIR);
        // Why it fails is kept in place of a value.
        let kind = (0, Fingerprint::CANCELLED);
        scene.actor(0).set_with(id, kind, &mut |_| Ok(())).unwrap();
        let other = spawn(&scene, move |s| s.actor(1).exists(id));
        scene.actor(0).evict(id);
        let next = put(&scene.actor(0), 8, HALF);
        assert!(!other.join().unwrap());
        assert!(next.is_none_or(|next| scene.actor(0).exists(next)));
        scene.assert_all_returns();
    });
}

#[test]
fn a_promise_that_fails_is_there_at_no_instant() {
    explore_handing_over("exists | fail", 2, || {
        let (scene, id) = promised(PAIR);
        let other = spawn(&scene, move |s| s.actor(1).exists(id));
        let kind = (0, Fingerprint::CANCELLED);
        scene.actor(0).set_with(id, kind, &mut |_| Ok(())).unwrap();
        assert!(!other.join().unwrap());
        scene.assert_all_returns();
    });
}

#[test]
fn a_promise_given_up_while_its_keeper_is_reaped_is_broken() {
    explore("abort | keeper dies, reap | wait", 2, || {
        let scene = Scene::new(THREE);
        let id = scene.actor(2).reserve().unwrap();
        drop(scene.member(2));
        let aborter = thread::spawn({
            let scene = Arc::clone(&scene);
            move || abort(&scene, 1, id)
        });
        assert_eq!(scene.reap(), 1);
        aborter.join().unwrap();
        assert_eq!(scene.wait(0, id), None);
        scene.assert_all_returns();
    });
}

#[test]
fn a_promise_given_up_and_evicted_is_gone() {
    explore("abort | evict", 3, || {
        let (scene, id) = promised(PAIR);
        let aborter = thread::spawn({
            let scene = Arc::clone(&scene);
            move || abort(&scene, 1, id)
        });
        assert!(scene.actor(0).evict(id));
        aborter.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn a_waiter_breaks_the_promise_of_a_dead_keeper_while_it_is_reaped() {
    explore("wait, break | reap, put", 3, || {
        let scene = Scene::new(THREE);
        let id = scene.actor(2).reserve().unwrap();
        drop(scene.member(2));
        let waiting = thread::spawn({
            let scene = Arc::clone(&scene);
            move || {
                let slot = scene.segment.slot(id.slot()).unwrap();
                let is_alive = |p| crate::participants::is_alive(&scene.locks.source(), p);
                let actor = scene.actor(1);
                let unkept = actor.is_unkept(slot, id, is_alive).unwrap();
                unkept && actor.break_promise(id, slot)
            }
        });
        assert_eq!(scene.reap(), 1);
        assert!(scene.actor(0).evict(id));
        let next = put(&scene.actor(0), 8, HALF);
        waiting.join().unwrap();
        assert!(next.is_none_or(|next| get(&scene.actor(0), next) == Some(8)));
        scene.assert_all_returns();
    });
}

#[test]
fn a_waiter_that_is_late_breaks_no_later_promise() {
    explore("wait, break | evict, reserve", 3, || {
        let (scene, id) = promised(PAIR);
        let waiting = thread::spawn({
            let scene = Arc::clone(&scene);
            move || {
                let slot = scene.segment.slot(id.slot()).unwrap();
                scene.actor(1).break_promise(id, slot);
            }
        });
        let _ = scene.actor(0).evict(id);
        let next = scene.actor(0).reserve();
        waiting.join().unwrap();
        if let Ok(next) = next {
            set(&scene.actor(0), next, 7).unwrap();
            assert_eq!(get(&scene.actor(0), next), Some(7));
        }
        scene.assert_all_returns();
    });
}

#[test]
fn a_promise_that_is_just_made_is_not_broken_by_the_reaper_of_another() {
    explore_handing_over("reserve | another dies, reap", 2, || {
        let scene = Scene::new(THREE);
        drop(scene.member(2));
        let reaper = thread::spawn({
            let scene = Arc::clone(&scene);
            move || scene.reap()
        });
        let id = scene.actor(0).reserve().unwrap();
        reaper.join().unwrap();
        set(&scene.actor(0), id, 7).unwrap();
        assert_eq!(get(&scene.actor(0), id), Some(7));
        scene.assert_all_returns();
    });
}

/// A victim at work on a promise, with a waiter and a survivor who reaps until all is settled.
fn killed(name: &str, work: fn(&Scene, ObjectId)) {
    explore_deaths(name, move |changes, deaths| {
        let scene = Scene::new(THREE);
        let id = scene.actor(2).reserve().unwrap();
        let waiting = waiter(&scene, 1, id);
        let victim = thread::spawn({
            let (scene, deaths) = (Arc::clone(&scene), Deaths::clone(deaths));
            move || mortal(&scene, (2, changes), &deaths, |_| work(&scene, id))
        });
        victim.join().unwrap();
        scene.reap();
        assert!(matches!(waiting.join().unwrap(), None | Some(7)));
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_set_a_keeper_leaves_a_value_or_a_broken_promise() {
    killed("set", |scene, id| drop(set(&scene.actor(2), id, 7)));
}

#[test]
fn killed_in_fail_a_keeper_leaves_a_broken_promise() {
    killed("fail", |scene, id| drop(scene.actor(2).fail(id)));
}

#[test]
fn killed_in_an_abort_a_keeper_leaves_a_broken_promise() {
    killed("abort", |scene, id| abort(scene, 2, id));
}

#[test]
fn killed_in_evict_of_a_promise_an_evictor_leaves_no_sleeper() {
    killed("evict a promise", |scene, id| _ = scene.actor(2).evict(id));
}

#[test]
fn killed_in_reserve_a_keeper_leaves_nothing() {
    explore_deaths("reserve", |changes, deaths| {
        let scene = Scene::new(PAIR);
        // A slot that names a living keeper of an earlier promise.
        let earlier = scene.actor(0).reserve().unwrap();
        assert!(scene.actor(0).evict(earlier));
        let victim = thread::spawn({
            let (scene, deaths) = (Arc::clone(&scene), Deaths::clone(deaths));
            move || mortal(&scene, (1, changes), &deaths, |actor| drop(actor.reserve()))
        });
        let early = put(&scene.actor(0), 8, HALF);
        victim.join().unwrap();
        assert!(early.is_none_or(|id| get(&scene.actor(0), id) == Some(8)));
        scene.reap();
        let slot = scene.segment.slot(earlier.slot()).unwrap();
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        assert!(!word.is(State::Pending), "nobody alive knows the promise");
        scene.assert_all_returns();
    });
}
