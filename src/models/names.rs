//! Bind, lookup, unbind: all names of a model are in one bucket.

use super::scene::{
    Deaths, HALF, Scene, Size, explore, explore_deaths, explore_handing_over, mortal, put,
    put_empty, spawn,
};
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{ObjectId, SlotWord};
use crate::sync::Ordering;

const SIZE: Size = Size { objects: 6, units: 3, participants: 2 };

/// Two objects without blocks.
fn objects(scene: &Scene) -> [ObjectId; 2] {
    [1, 2].map(|_| put_empty(&scene.actor(0)))
}

fn lookup(scene: &Scene, name: &str) -> Option<ObjectId> {
    scene.actor(0).lookup(name).unwrap()
}

#[test]
fn of_two_binds_of_one_name_the_later_stays() {
    explore("bind | bind", 2, || {
        let scene = Scene::new(SIZE);
        let [one, other] = objects(&scene);
        let binder = spawn(&scene, move |s| s.actor(1).bind("name", Some(one)).unwrap());
        let before_other = scene.actor(0).bind("name", Some(other)).unwrap();
        let before_one = binder.join().unwrap();
        match lookup(&scene, "name") {
            Some(last) if last == one => assert_eq!(before_one, Some(other)),
            Some(last) if last == other => assert_eq!(before_other, Some(one)),
            found => panic!("{found:?}"),
        }
        scene.assert_all_returns();
    });
}

#[test]
fn two_names_of_one_bucket_are_both_bound() {
    explore("bind a | bind b", 2, || {
        let scene = Scene::new(SIZE);
        let [one, other] = objects(&scene);
        let binder = spawn(&scene, move |s| s.actor(1).bind("a", Some(one)).unwrap());
        scene.actor(0).bind("b", Some(other)).unwrap();
        binder.join().unwrap();
        assert_eq!((lookup(&scene, "a"), lookup(&scene, "b")), (Some(one), Some(other)));
        assert_eq!(scene.actor(0).bind("a", None).unwrap(), Some(one));
        assert_eq!(scene.actor(0).bind("b", None).unwrap(), Some(other));
        scene.assert_all_returns();
    });
}

#[test]
fn a_lookup_finds_the_old_or_the_new_object_while_a_name_is_bound_anew() {
    explore("bind | lookup", 3, || {
        let scene = Scene::new(SIZE);
        let [one, other] = objects(&scene);
        scene.actor(0).bind("name", Some(one)).unwrap();
        let binder = spawn(&scene, move |s| s.actor(1).bind("name", Some(other)).unwrap());
        let found = lookup(&scene, "name");
        assert!(found == Some(one) || found == Some(other), "{found:?}");
        assert_eq!(binder.join().unwrap(), Some(one));
        assert_eq!(lookup(&scene, "name"), Some(other));
        scene.assert_all_returns();
    });
}

#[test]
fn a_name_is_found_with_what_its_binder_wrote() {
    explore_handing_over("bind a first name | lookup", 2, || {
        let scene = Scene::new(SIZE);
        let [one, _] = objects(&scene);
        let binder = spawn(&scene, move |s| s.actor(1).bind("name", Some(one)).unwrap());
        assert!(lookup(&scene, "name").is_none_or(|found| found == one));
        assert_eq!(binder.join().unwrap(), None);
        assert_eq!(lookup(&scene, "name"), Some(one));
        scene.assert_all_returns();
    });
}

#[test]
fn a_bucket_is_emptied_or_filled_again() {
    explore("unbind | bind another", 2, || {
        let scene = Scene::new(SIZE);
        let [one, other] = objects(&scene);
        scene.actor(0).bind("a", Some(one)).unwrap();
        let binder = spawn(&scene, move |s| s.actor(1).bind("b", Some(other)).unwrap());
        assert_eq!(scene.actor(0).bind("a", None).unwrap(), Some(one));
        binder.join().unwrap();
        assert_eq!((lookup(&scene, "a"), lookup(&scene, "b")), (None, Some(other)));
        scene.actor(0).bind("b", None).unwrap();
        scene.assert_all_returns();
    });
}

fn killed(name: &str, target: fn(ObjectId) -> Option<ObjectId>) {
    explore_deaths(name, move |changes, deaths| {
        let scene = Scene::new(SIZE);
        let [one, other] = objects(&scene);
        scene.actor(0).bind("name", Some(one)).unwrap();
        let died = Deaths::clone(deaths);
        let victim = spawn(&scene, move |scene| {
            mortal(scene, (1, changes), &died, |actor| drop(actor.bind("name", target(other))));
        });
        let meanwhile = lookup(&scene, "name");
        assert!(meanwhile == Some(one) || meanwhile == target(other), "{meanwhile:?}");
        victim.join().unwrap();
        scene.assert_settled();
        let found = lookup(&scene, "name");
        assert!(found == Some(one) || found == target(other), "{found:?}");
        scene.actor(0).bind("name", Some(one)).unwrap();
        assert_eq!(lookup(&scene, "name"), Some(one));
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_bind_a_binder_leaves_the_old_or_the_new_object() {
    killed("bind", Some);
}

#[test]
fn killed_in_unbind_a_binder_leaves_the_old_object_or_none() {
    killed("unbind", |_| None);
}

#[test]
fn killed_in_bind_while_another_binds_nothing_of_it_stays() {
    explore_deaths("bind | bind", |changes, deaths| {
        let scene = Scene::new(SIZE);
        let [one, other] = objects(&scene);
        let died = Deaths::clone(deaths);
        let victim = spawn(&scene, move |scene| {
            mortal(scene, (1, changes), &died, |actor| drop(actor.bind("b", Some(other))));
        });
        scene.actor(0).bind("a", Some(one)).unwrap();
        victim.join().unwrap();
        scene.reap();
        assert_eq!(lookup(&scene, "a"), Some(one));
        scene.actor(0).bind("a", None).unwrap();
        let _ = scene.actor(0).bind("b", None).unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_a_second_bind_while_another_ends_its_own_a_binder_leaves_nothing() {
    explore_deaths("bind | bind, bind", |changes, deaths| {
        let scene = Scene::new(SIZE);
        let [one, other] = objects(&scene);
        let died = Deaths::clone(deaths);
        let victim = spawn(&scene, move |scene| {
            mortal(scene, (1, changes), &died, |actor| {
                drop(actor.bind("name", Some(other)));
                drop(actor.bind("name", Some(other)));
            });
        });
        scene.actor(0).bind("name", Some(one)).unwrap();
        victim.join().unwrap();
        scene.assert_settled();
        let found = lookup(&scene, "name");
        assert!(found == Some(one) || found == Some(other), "{found:?}");
        scene.assert_all_returns();
    });
}

#[test]
fn what_a_killed_binder_left_is_finished_while_another_binds() {
    explore_deaths("bind, killed; reap | bind", |changes, deaths| {
        let scene = Scene::new(Size { participants: 3, ..SIZE });
        let [one, other] = objects(&scene);
        scene.actor(0).bind("name", Some(one)).unwrap();
        let is_killed =
            mortal(&scene, (2, changes), deaths, |actor| drop(actor.bind("name", Some(other))));
        if !is_killed {
            return;
        }
        // The reaper first: one preemption of it is enough then.
        let binder = spawn(&scene, move |s| s.actor(1).bind("name", Some(one)).unwrap());
        scene.reap();
        binder.join().unwrap();
        assert_eq!(lookup(&scene, "name"), Some(one));
        scene.assert_all_returns();
    });
}

#[test]
fn a_slot_of_a_dead_binder_that_another_binds_with_is_left_to_it() {
    explore_handing_over("reap a version | bind, bind in its slot", 2, || {
        let scene = Scene::new(Size { objects: 4, units: 2, participants: 3 });
        let [one, other] = objects(&scene);
        scene.actor(1).bind("name", Some(one)).unwrap();
        let bucket = scene.segment.name_bucket(0);
        let version = ObjectId(bucket.load(Ordering::SeqCst));
        drop(scene.member(1));
        let binder = spawn(&scene, move |s| {
            s.actor(2).bind("name", Some(other)).unwrap();
            s.actor(2).bind("name", Some(one)).unwrap();
        });
        let slot = scene.segment.slot(version.slot()).unwrap();
        scene.actor(0).reap_version(version.slot(), slot, ParticipantId::new(1));
        let current = bucket.load(Ordering::SeqCst);
        let word =
            scene.segment.slot(ObjectId(current).slot()).unwrap().word.load(Ordering::SeqCst);
        let is_current = |id| bucket.compare_exchange(id, id, Ordering::SeqCst, Ordering::SeqCst);
        assert!(SlotWord(word).is_ready(ObjectId(current)) || is_current(current).is_err());
        binder.join().unwrap();
        assert_eq!(lookup(&scene, "name"), Some(one));
        scene.assert_all_returns();
    });
}

#[test]
fn a_bound_object_that_is_evicted_is_not_found() {
    explore("lookup | evict", 3, || {
        let scene = Scene::new(SIZE);
        let [one, _] = objects(&scene);
        scene.actor(0).bind("name", Some(one)).unwrap();
        let evictor = spawn(&scene, move |s| assert!(s.actor(1).evict(one)));
        assert!(lookup(&scene, "name").is_none_or(|found| found == one));
        evictor.join().unwrap();
        assert_eq!(lookup(&scene, "name"), None);
        let next = put(&scene.actor(0), 8, HALF);
        assert_eq!(lookup(&scene, "name"), None, "{next:?}");
        scene.assert_all_returns();
    });
}
