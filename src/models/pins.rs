//! Pin, unpin, evict, take, reclaim.

use loom::sync::Arc;
use loom::thread;

use super::scene::value_of;
use super::scene::{
    Deaths, HALF, Scene, Size, explore, explore_deaths, explore_handing_over, first, get, mortal,
    put,
};
use crate::actor::Actor;
use crate::layout::slot::ObjectId;

const SMALL: Size = Size { objects: 1, units: 1, participants: 2 };
const THREE: Size = Size { objects: 1, units: 1, participants: 3 };

#[test]
fn a_value_is_read_whole_or_not_at_all_while_it_is_published() {
    explore_handing_over("put | get", 3, || {
        let scene = Scene::new(SMALL);
        let writer = thread::spawn({
            let scene = Arc::clone(&scene);
            move || put(&scene.actor(1), 7, HALF)
        });
        assert!(matches!(get(&scene.actor(0), first()), None | Some(7)));
        writer.join().unwrap();
        assert_eq!(get(&scene.actor(0), first()), Some(7));
        scene.assert_all_returns();
    });
}

#[test]
fn a_block_is_reused_only_when_nobody_looks_at_it() {
    explore("get | evict, put", 3, || {
        let scene = Scene::new(SMALL);
        let id = put(&scene.actor(0), 7, HALF).unwrap();
        let evictor = thread::spawn({
            let scene = Arc::clone(&scene);
            move || {
                assert!(scene.actor(1).evict(id));
                put(&scene.actor(1), 8, HALF)
            }
        });
        assert!(matches!(get(&scene.actor(0), id), None | Some(7)));
        let next = evictor.join().unwrap();
        assert_eq!(get(&scene.actor(0), id), None);
        if let Some(next) = next {
            assert_eq!(get(&scene.actor(0), next), Some(8));
        }
        scene.assert_all_returns();
    });
}

#[test]
fn of_two_who_look_the_last_to_unpin_reclaims() {
    explore("get | get | evict", 2, || {
        let scene = Scene::new(THREE);
        let id = put(&scene.actor(0), 7, HALF).unwrap();
        let readers = [1, 2].map(|p| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || assert!(matches!(get(&scene.actor(p), id), None | Some(7))))
        });
        assert!(scene.actor(0).evict(id));
        readers.into_iter().for_each(|reader| reader.join().unwrap());
        scene.assert_all_returns();
    });
}

#[test]
fn a_view_that_was_there_before_the_evict_is_reclaimed_by_its_drop_or_by_the_evict() {
    explore("drop, drop | evict", 3, || {
        let scene = Scene::new(SMALL);
        let id = put(&scene.actor(0), 7, HALF).unwrap();
        let (actor, other) = (scene.actor(0), Arc::clone(&scene));
        let views = [actor.pin(id).unwrap().unwrap(), actor.pin(id).unwrap().unwrap()];
        let evictor = thread::spawn(move || assert!(other.actor(1).evict(id)));
        assert_eq!(views.each_ref().map(value_of), [7, 7]);
        drop(views);
        evictor.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn of_two_takers_and_an_evictor_one_has_the_object() {
    explore("take | take | evict", 2, || {
        let scene = Scene::new(THREE);
        let id = put(&scene.actor(0), 7, HALF).unwrap();
        let takers = [1, 2].map(|p| {
            let scene = Arc::clone(&scene);
            thread::spawn(move || u32::from(take(&scene.actor(p), id)))
        });
        let mut had = u32::from(scene.actor(0).evict(id));
        had += takers.into_iter().map(|taker| taker.join().unwrap()).sum::<u32>();
        assert_eq!(had, 1);
        scene.assert_all_returns();
    });
}

fn take(actor: &Actor<'_>, id: ObjectId) -> bool {
    let taken = actor.take(id).unwrap();
    taken.is_some_and(|pin| value_of(&pin) == 7)
}

#[test]
fn a_stale_key_never_opens_the_next_object() {
    explore("get stale | evict", 3, || {
        let scene = Scene::new(SMALL);
        let stale = put(&scene.actor(0), 7, HALF).unwrap();
        assert!(scene.actor(0).evict(stale));
        let id = put(&scene.actor(0), 8, HALF).unwrap();
        assert_eq!(id.slot(), stale.slot());
        let evictor = thread::spawn({
            let scene = Arc::clone(&scene);
            move || assert!(scene.actor(1).evict(id))
        });
        assert_eq!(get(&scene.actor(0), stale), None);
        evictor.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn what_a_dead_reader_held_is_reclaimed_by_its_reaper_or_by_who_evicts() {
    explore("reap a dead reader | evict", 2, || {
        let scene = Scene::new(THREE);
        let id = put(&scene.actor(0), 7, HALF).unwrap();
        scene.actor(2).pin(id).unwrap().unwrap().into_counted();
        drop(scene.member(2));
        let evictor = thread::spawn({
            let scene = Arc::clone(&scene);
            move || assert!(scene.actor(1).evict(id))
        });
        assert_eq!(scene.reap(), 1);
        evictor.join().unwrap();
        scene.assert_all_returns();
    });
}

/// An operation on an object by somebody who is killed in it, while somebody evicts the object, reaps and puts.
fn killed(name: &str, work: fn(&Actor<'_>, ObjectId)) {
    explore_deaths(name, move |changes, deaths| {
        let scene = Scene::new(SMALL);
        let id = put(&scene.actor(0), 7, HALF).unwrap();
        let victim = thread::spawn({
            let (scene, deaths) = (Arc::clone(&scene), Deaths::clone(deaths));
            move || mortal(&scene, (1, changes), &deaths, |actor| work(actor, id))
        });
        let _ = scene.actor(0).evict(id);
        scene.reap();
        let next = put(&scene.actor(0), 8, HALF);
        victim.join().unwrap();
        scene.reap();
        assert_eq!(get(&scene.actor(0), id), None);
        match next {
            Some(next) => assert_eq!(get(&scene.actor(0), next), Some(8)),
            None => assert!(put(&scene.actor(0), 9, HALF).is_some()),
        }
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_get_a_reader_keeps_nothing() {
    killed("get", |actor, id| _ = get(actor, id));
}

#[test]
fn killed_in_evict_an_evictor_keeps_nothing() {
    killed("evict", |actor, id| _ = actor.evict(id));
}

#[test]
fn killed_in_take_a_taker_keeps_nothing() {
    killed("take", |actor, id| _ = take(actor, id));
}
