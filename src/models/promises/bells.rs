//! Listening to bells.

use loom::sync::Arc;
use loom::thread;

use super::{PAIR, THREE, promised};
use crate::layout::slot::ObjectId;
use crate::models::scene::{Deaths, Scene, Size, explore, explore_deaths, mortal, set, spawn};
use crate::protocol::bell::{bell_of, listen};

fn listener(scene: &Arc<Scene>, p: u32, id: ObjectId) -> thread::JoinHandle<Option<u64>> {
    spawn(scene, move |scene| scene.listen(p, id))
}

#[test]
fn a_listener_is_woken_by_the_value() {
    explore("listen | set", 3, || {
        let (scene, id) = promised(PAIR);
        let listening = listener(&scene, 1, id);
        set(&scene.actor(0), id, 7).unwrap();
        assert_eq!(listening.join().unwrap(), Some(7));
        scene.assert_all_returns();
    });
}

#[test]
fn a_listener_is_woken_by_a_failure_and_by_an_evict() {
    explore("listen | fail", 3, || {
        let (scene, id) = promised(PAIR);
        let listening = listener(&scene, 1, id);
        scene.actor(0).fail(id).unwrap();
        assert_eq!(listening.join().unwrap(), None);
        scene.assert_all_returns();
    });
    explore("listen | evict", 3, || {
        let (scene, id) = promised(PAIR);
        let listening = listener(&scene, 1, id);
        assert!(scene.actor(0).evict(id));
        assert_eq!(listening.join().unwrap(), None);
        scene.assert_all_returns();
    });
}

/// A listener that has listened before finds WAITERS in the word. When another promise has rung the bell since, there is no
/// LISTENERS in that.
fn listened_to() -> (Arc<Scene>, ObjectId) {
    let scene = Scene::new(Size { objects: 2, ..PAIR });
    let ids = [(); 2].map(|()| scene.actor(0).reserve().unwrap());
    listen(&scene.segment.header().bells[bell_of(ids[0].slot())]);
    assert!(ids.iter().all(|&id| scene.actor(1).is_pending(id)));
    scene.actor(0).fail(ids[1]).unwrap();
    (scene, ids[0])
}

#[test]
fn a_listener_that_listens_again_is_woken() {
    explore("listen again | fail", 3, || {
        let (scene, id) = listened_to();
        let listening = listener(&scene, 1, id);
        scene.actor(0).fail(id).unwrap();
        assert_eq!(listening.join().unwrap(), None);
        scene.assert_all_returns();
    });
}

#[test]
fn two_listeners_at_one_bell_are_both_woken() {
    explore("listen | listen | fail", 2, || {
        let (scene, id) = promised(THREE);
        let listening = [1, 2].map(|p| listener(&scene, p, id));
        scene.actor(0).fail(id).unwrap();
        listening.into_iter().for_each(|it| assert_eq!(it.join().unwrap(), None));
        scene.assert_all_returns();
    });
}

#[test]
fn a_listener_of_two_promises_hears_of_both() {
    explore("listen to two | fail | fail", 2, || {
        let scene = Scene::new(Size { objects: 2, ..THREE });
        let ids = [0, 1].map(|p| scene.actor(p).reserve().unwrap());
        let listening = spawn(&scene, move |scene| ids.map(|id| scene.listen(2, id)));
        let failing = spawn(&scene, move |scene| scene.actor(1).fail(ids[1]).unwrap());
        scene.actor(0).fail(ids[0]).unwrap();
        failing.join().unwrap();
        assert_eq!(listening.join().unwrap(), [None, None]);
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_set_a_keeper_leaves_no_listener_asleep() {
    explore_deaths("set, listened to", |changes, deaths| {
        let scene = Scene::new(THREE);
        let id = scene.actor(2).reserve().unwrap();
        let listening = listener(&scene, 1, id);
        let victim = spawn(&scene, {
            let deaths = Deaths::clone(deaths);
            move |scene| {
                mortal(scene, (2, changes), &deaths, |actor| drop(set(actor, id, 7)));
            }
        });
        victim.join().unwrap();
        scene.reap();
        assert!(matches!(listening.join().unwrap(), None | Some(7)));
        scene.assert_all_returns();
    });
}
