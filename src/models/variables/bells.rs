//! Listening for changes.

use super::{SIZE, new, number, set_empty};
use crate::layout::slot::ObjectId;
use crate::models::scene::{Scene, Size, explore, explore_deaths, mortal, spawn};
use crate::protocol::bell::{bell_of, listen};
use crate::sys::futex;

/// Waits as the thread of `region::watch` does, for one variable: a ring that does not come is a deadlock.
fn listen_for(scene: &Scene, p: u32, id: ObjectId, seen: u64) -> Option<u64> {
    let bell = &scene.segment.header().bells[bell_of(id.slot())];
    let actor = scene.actor(p);
    loop {
        let heard = listen(bell);
        if !actor.is_unchanged(id, seen) {
            return number(&actor, id);
        }
        futex::wait(bell, heard);
    }
}

#[test]
fn who_listens_for_a_change_hears_the_bell_of_a_set() {
    explore("set | listen", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene);
        let listener = spawn(&scene, move |s| listen_for(s, 1, id, 0));
        assert_eq!(set_empty(&scene.actor(0), id), Some(1));
        assert_eq!(listener.join().unwrap(), Some(1));
        scene.assert_all_returns();
    });
}

#[test]
fn who_listens_for_a_change_hears_of_the_end_of_a_variable_that_somebody_is_setting() {
    explore("evict, pinned | listen", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene);
        let setters = scene.actor(0).pin_variable(id).unwrap().expect("it is there");
        let listener = spawn(&scene, move |s| listen_for(s, 1, id, 0));
        assert!(scene.actor(0).evict(id));
        assert_eq!(listener.join().unwrap(), None);
        drop(setters);
        scene.assert_all_returns();
    });
}

#[test]
fn a_setter_killed_before_it_rings_leaves_nobody_asleep_who_listens() {
    explore_deaths("set, killed; reap, or set | listen", |changes, deaths| {
        let scene = Scene::new(Size { participants: 3, ..SIZE });
        let id = new(&scene);
        let listener = spawn(&scene, move |s| listen_for(s, 1, id, 0));
        mortal(&scene, (2, changes), deaths, |actor| {
            let _ = set_empty(actor, id);
        });
        scene.reap();
        if number(&scene.actor(0), id).is_none() {
            set_empty(&scene.actor(0), id).unwrap();
        }
        assert_eq!(listener.join().unwrap(), Some(1));
        scene.assert_all_returns();
    });
}
