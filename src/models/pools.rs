//! Worker pools: promises that a ledger names, and tasks that are done once more.

use super::scene::{Deaths, HALF, Scene, Size, explore, explore_deaths, get, mortal, set, spawn};
use crate::actor::{Actor, Refusal};
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::layout::queue::Shape;
use crate::layout::slot::{ObjectId, SlotWord, State};
use crate::protocol::promise::PromiseStage;
use crate::protocol::queue::{Guess, Queue};
use crate::sync::Ordering;
use crate::sync::unmodelled::AtomicU64;

const PAIR: Size = Size { objects: 2, units: 2, participants: 2 };
const THREE: Size = Size { objects: 2, units: 2, participants: 3 };
const BYTES: Fingerprint = Fingerprint::BYTES;

/// A queue of one envelope, which goes with a participant; in half a unit.
fn bound(actor: &Actor<'_>) -> ObjectId {
    actor.new_bound_queue(BYTES, Shape::new(1, HALF as u32 / 2, 4, 0)).expect("there is room")
}

fn at<T>(actor: &Actor<'_>, id: ObjectId, work: impl FnOnce(&Queue<'_>) -> T) -> Option<T> {
    let (_pin, queue) = actor.pin_queue(id).expect("nothing is corrupt")?;
    Some(work(&queue))
}

/// The second object of a region.
fn second() -> ObjectId {
    ObjectId::new(2, 0)
}

/// Nobody has to evict anything.
fn assert_nothing_is_left(scene: &Scene) {
    scene.assert_settled();
    for index in 1..scene.segment.committed_slots() {
        let Some(slot) = scene.segment.slot(index) else { continue };
        let word = SlotWord(slot.word.load(Ordering::SeqCst));
        assert!(word.is(State::Free), "slot {index}: {word:?}");
    }
    scene.assert_all_returns();
}

/// A task: receives it and gives its promise an answer without a block, unless it has one, as `pool::worker` does.
fn serve(actor: &Actor<'_>, tasks: ObjectId, promise: ObjectId) {
    let set = || actor.set_with(promise, (0, BYTES), &mut |_| Ok(()));
    at(actor, tasks, |queue| {
        let received = queue.receive(&AtomicU64::new(0)).expect("nothing is corrupt");
        let Some(taken) = received else { return };
        loop {
            match actor.stage_of_promise(promise) {
                PromiseStage::Answered => break,
                // The dead one's: its reaper is about to undo it.
                PromiseStage::Filling => loom::thread::yield_now(),
                PromiseStage::Open => match set() {
                    Err(Refusal::Error(Error::AlreadySet { .. })) => {}
                    Ok(()) | Err(Refusal::Error(_)) => break,
                    Err(refusal) => panic!("{refusal:?}"),
                },
            }
        }
        assert!(queue.acknowledge(&taken));
    });
}

#[test]
fn a_pools_process_that_is_killed_leaves_no_promise_and_no_result() {
    explore_deaths("reserve in a ledger, release | set", |changes, deaths: &Deaths| {
        let scene = Scene::new(PAIR);
        let ledger = bound(&scene.actor(1));
        let died = deaths.clone();
        let pool = spawn(&scene, move |s| {
            mortal(s, (1, changes), &died, |actor| {
                at(actor, ledger, |queue| {
                    let id = queue.reserve_in(0).expect("a slot is free");
                    assert_eq!(id, Some(second()));
                    queue.release(0, true);
                });
            });
        });
        let set = set(&scene.actor(0), second(), 7);
        assert!(matches!(
            set,
            Ok(()) | Err(Refusal::Error(Error::NotFound { .. } | Error::Broken { .. }))
        ));
        pool.join().unwrap();
        assert_nothing_is_left(&scene);
    });
}

#[test]
fn what_a_ledger_lets_go_of_stays_and_what_it_names_goes() {
    explore_deaths("reserve in a ledger, set, keep", |changes, deaths: &Deaths| {
        let scene = Scene::new(PAIR);
        let ledger = bound(&scene.actor(1));
        let kept = std::sync::Arc::new(AtomicU64::new(0));
        let (died, says) = (deaths.clone(), kept.clone());
        let pool = spawn(&scene, move |s| {
            mortal(s, (1, changes), &died, |actor| {
                at(actor, ledger, |queue| {
                    let id = queue.reserve_in(0).expect("a slot is free").expect("it is free");
                    set(actor, id, 7).expect("nobody else does");
                    queue.release(0, false);
                    says.store(1, crate::sync::unmodelled::Ordering::SeqCst);
                });
            });
        });
        pool.join().unwrap();
        scene.reap();
        if kept.load(crate::sync::unmodelled::Ordering::SeqCst) == 1 {
            assert_eq!(get(&scene.actor(0), second()), Some(7));
        }
        scene.actor(0).evict(second());
        assert_nothing_is_left(&scene);
    });
}

#[test]
fn what_somebody_owns_by_then_stays_when_a_ledger_is_done_with_it() {
    explore("release | own", 2, || {
        let scene = Scene::new(PAIR);
        let ledger = bound(&scene.actor(0));
        let id = at(&scene.actor(0), ledger, |queue| {
            queue.reserve_in(0).expect("a slot is free").expect("it is free")
        });
        let id = id.expect("the ledger is there");
        set(&scene.actor(0), id, 7).expect("nobody else does");
        let other = spawn(&scene, move |s| s.actor(1).bind_to_me(id).is_ok_and(|is_mine| is_mine));
        at(&scene.actor(0), ledger, |queue| queue.release(0, true));
        let expected = other.join().unwrap().then_some(7);
        assert_eq!(get(&scene.actor(0), id), expected, "owned, or gone");
        scene.assert_all_returns();
    });
}

#[test]
fn what_a_ledger_is_done_with_goes() {
    explore("reserve in a ledger, release | get", 2, || {
        let scene = Scene::new(PAIR);
        let ledger = bound(&scene.actor(0));
        let other = spawn(&scene, |s| get(&s.actor(1), second()));
        at(&scene.actor(0), ledger, |queue| {
            let id = queue.reserve_in(0).expect("a slot is free").expect("it is free");
            set(&scene.actor(0), id, 7).expect("nobody else does");
            queue.release(0, true);
        });
        assert!([None, Some(7)].contains(&other.join().unwrap()));
        assert_eq!(get(&scene.actor(0), second()), None);
        scene.assert_all_returns();
    });
}

#[test]
fn a_task_of_a_killed_worker_is_done_by_another_while_the_dead_is_reaped() {
    explore_deaths("serve, killed; reap | serve", |changes, deaths: &Deaths| {
        let scene = Scene::new(THREE);
        let tasks = bound(&scene.actor(0));
        let promise = scene.actor(0).reserve().expect("a slot is free");
        at(&scene.actor(0), tasks, |queue| {
            let envelope = queue.own_envelope(0).expect("it is empty");
            envelope.send(0, &[], &Guess::default()).expect("nothing is corrupt");
        });
        let died = deaths.clone();
        let killed = spawn(&scene, move |s| {
            mortal(s, (1, changes), &died, |actor| serve(actor, tasks, promise));
        });
        killed.join().unwrap();
        let other = spawn(&scene, move |s| serve(&s.actor(2), tasks, promise));
        scene.reap();
        other.join().unwrap();
        serve(&scene.actor(0), tasks, promise);
        assert!(scene.actor(0).exists(promise), "the task is lost");
        at(&scene.actor(0), tasks, |queue| assert!(!queue.is_in_use(), "it is there still"));
        assert!(scene.actor(0).evict(promise));
        scene.assert_all_returns();
    });
}

#[test]
fn a_promise_that_its_keeper_forsakes_has_an_answer_whoever_is_killed_giving_one() {
    explore_deaths("forsake | set, killed; reap", |changes, deaths: &Deaths| {
        let scene = Scene::new(THREE);
        let promise = scene.actor(0).reserve().expect("a slot is free");
        let died = deaths.clone();
        let setter = spawn(&scene, move |s| {
            mortal(s, (1, changes), &died, |actor| drop(set(actor, promise, 7)));
        });
        let outcome = scene.actor(0).forsake(promise);
        assert!(outcome.is_ok(), "{outcome:?}");
        assert_eq!(scene.actor(0).stage_of_promise(promise), PromiseStage::Answered);
        setter.join().unwrap();
        scene.reap();
        assert_eq!(scene.actor(0).stage_of_promise(promise), PromiseStage::Answered);
        scene.actor(0).evict(promise);
        assert_nothing_is_left(&scene);
    });
}

#[test]
fn who_waits_hears_that_a_promise_is_forsaken_while_it_is_set() {
    explore("wait | forsake | set", 2, || {
        let scene = Scene::new(THREE);
        let promise = scene.actor(0).reserve().expect("a slot is free");
        let waiting = spawn(&scene, move |s| s.wait(1, promise));
        let setter = spawn(&scene, move |s| set(&s.actor(2), promise, 7).is_ok());
        scene.actor(0).forsake(promise).expect("it is kept here");
        let expected = setter.join().unwrap().then_some(7);
        assert_eq!(waiting.join().unwrap(), expected);
        scene.actor(0).evict(promise);
        assert_nothing_is_left(&scene);
    });
}
