//! Adopting what another promised.

use loom::sync::Arc;

use super::{PAIR, THREE, abort, waiter};
use crate::error::{Error, Result};
use crate::layout::participant::ParticipantId;
use crate::layout::slot::{KeeperWord, ObjectId};
use crate::models::scene::{Deaths, Scene, explore, explore_deaths, mortal, set, spawn};

/// Adopts what participant `sender` offered, who was the first in its entry.
fn adopt(scene: &Scene, p: u32, (id, offered): (ObjectId, KeeperWord)) -> Result<()> {
    let sender = offered.keeper().expect("somebody offered it");
    scene.actor(p).adopt_promise(id, offered, || scene.is_still_alive((sender, 1)))
}

/// A promise of the last of three, and the offer of it.
fn offered() -> (Arc<Scene>, (ObjectId, KeeperWord)) {
    let scene = Scene::new(THREE);
    let id = scene.actor(2).reserve().unwrap();
    let offer = scene.actor(2).offer_promise(id).unwrap();
    (scene, (id, offer))
}

/// Who was told that it keeps the promise can set it; who was not leaves a promise that is broken.
fn assert_kept_or_broken(scene: &Scene, p: u32, (id, adopted): (ObjectId, Result<()>)) {
    match adopted {
        Ok(()) => {
            set(&scene.actor(p), id, 7).unwrap();
            assert_eq!(scene.wait(0, id), Some(7));
        }
        Err(Error::Broken { .. }) => assert_eq!(scene.wait(0, id), None),
        Err(error) => panic!("{error}"),
    }
    scene.assert_all_returns();
}

#[test]
fn of_two_who_adopt_a_promise_one_does() {
    explore("adopt | adopt", 3, || {
        let (scene, offer) = offered();
        let other = spawn(&scene, move |scene| adopt(scene, 1, offer));
        let here = adopt(&scene, 0, offer);
        let there = other.join().unwrap();
        assert!(here.is_ok() != there.is_ok());
        let lost = here.as_ref().err().or(there.as_ref().err()).unwrap();
        assert!(matches!(lost, Error::AlreadyAdopted { .. }), "{lost:?}");
        let keeper = if here.is_ok() { 0 } else { 1 };
        assert!(matches!(scene.actor(1 - keeper).fail(offer.0), Err(Error::NotOwner { .. })));
        scene.actor(keeper).fail(offer.0).unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn a_copy_of_an_offer_is_worth_nothing_once_the_promise_has_come_back() {
    explore("adopt, adopt back | adopt by a copy", 2, || {
        let (scene, offer) = offered();
        let other = spawn(&scene, move |scene| adopt(scene, 0, offer));
        let there = adopt(&scene, 1, offer);
        let back = there.and_then(|()| scene.actor(1).offer_promise(offer.0));
        let back = back.and_then(|back| adopt(&scene, 2, (offer.0, back)));
        let copy = other.join().unwrap();
        assert!(copy.is_ok() != back.is_ok());
        let keeper = if copy.is_ok() { 0 } else { 2 };
        scene.actor(keeper).fail(offer.0).unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn a_promise_adopted_while_its_sender_dies_is_kept_or_broken() {
    explore("adopt | sender dies, reap", 3, || {
        let (scene, offer) = offered();
        let adopter = spawn(&scene, move |scene| adopt(scene, 1, offer));
        drop(scene.member(2));
        assert_eq!(scene.reap(), 1);
        assert_kept_or_broken(&scene, 1, (offer.0, adopter.join().unwrap()));
    });
}

/// As `Region::wait` after a slice.
fn break_if_unkept(scene: &Scene, p: u32, id: ObjectId) {
    let slot = scene.segment.slot(id.slot()).unwrap();
    let is_alive = |p: ParticipantId| crate::participants::is_alive(&scene.locks.source(), p);
    let actor = scene.actor(p);
    if actor.is_unkept(slot, id, is_alive).unwrap() {
        actor.break_promise(id, slot);
    }
}

#[test]
fn a_waiter_does_not_break_what_was_adopted_from_who_died_since() {
    explore("adopt | wait, break | sender dies", 3, || {
        let (scene, offer) = offered();
        let adopter = spawn(&scene, move |scene| adopt(scene, 1, offer));
        let waiting = spawn(&scene, move |scene| break_if_unkept(scene, 0, offer.0));
        drop(scene.member(2));
        waiting.join().unwrap();
        assert_kept_or_broken(&scene, 1, (offer.0, adopter.join().unwrap()));
    });
}

#[test]
fn who_has_the_number_of_a_dead_sender_is_not_taken_for_it() {
    explore("adopt | wait, break | reap the sender, join", 2, || {
        let (scene, offer) = offered();
        drop(scene.member(2));
        let adopter = spawn(&scene, move |scene| adopt(scene, 1, offer));
        let waiting = spawn(&scene, move |scene| break_if_unkept(scene, 0, offer.0));
        assert_eq!(scene.reap(), 1);
        scene.admit();
        waiting.join().unwrap();
        assert_kept_or_broken(&scene, 1, (offer.0, adopter.join().unwrap()));
    });
}

#[test]
fn an_offer_of_one_promise_is_none_of_the_next_in_its_slot() {
    explore("adopt | evict, reserve", 3, || {
        let scene = Scene::new(PAIR);
        let id = scene.actor(0).reserve().unwrap();
        let offer = (id, scene.actor(0).offer_promise(id).unwrap());
        let adopter = spawn(&scene, move |scene| adopt(scene, 1, offer));
        assert!(scene.actor(0).evict(id));
        let next = scene.actor(0).reserve().unwrap();
        let adopted = adopter.join().unwrap();
        assert!(!matches!(adopted, Err(Error::AlreadySet { .. } | Error::Broken { .. })));
        scene.actor(0).fail(next).unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn a_promise_of_the_dead_adopted_while_another_gives_up_setting_it_is_broken() {
    explore("adopt from the dead | abort", 3, || {
        let (scene, offer) = offered();
        drop(scene.member(2));
        let aborter = spawn(&scene, move |scene| abort(scene, 0, offer.0));
        let adopted = adopt(&scene, 1, offer);
        aborter.join().unwrap();
        let refused = matches!(adopted, Err(Error::Broken { .. } | Error::AlreadySet { .. }));
        assert!(refused, "{adopted:?}");
        assert_eq!(scene.wait(0, offer.0), None);
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_an_adoption_an_adopter_leaves_the_promise_with_its_sender_or_broken() {
    explore_deaths("adopt", |changes, deaths| {
        let (scene, offer) = {
            let scene = Scene::new(THREE);
            let id = scene.actor(0).reserve().unwrap();
            let offer = scene.actor(0).offer_promise(id).unwrap();
            (scene, (id, offer))
        };
        let waiting = waiter(&scene, 1, offer.0);
        let victim = spawn(&scene, {
            let deaths = Deaths::clone(deaths);
            move |scene| mortal(scene, (2, changes), &deaths, |_| drop(adopt(scene, 2, offer)))
        });
        victim.join().unwrap();
        scene.reap();
        // Broken, if it was adopted.
        let _ = scene.actor(0).fail(offer.0);
        assert_eq!(waiting.join().unwrap(), None);
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_an_adoption_from_the_dead_an_adopter_leaves_a_broken_promise() {
    explore_deaths("adopt from the dead", |changes, deaths| {
        let scene = Scene::new(THREE);
        let id = scene.actor(1).reserve().unwrap();
        let offer = (id, scene.actor(1).offer_promise(id).unwrap());
        drop(scene.member(1));
        let waiting = waiter(&scene, 0, id);
        let victim = spawn(&scene, {
            let deaths = Deaths::clone(deaths);
            move |scene| mortal(scene, (2, changes), &deaths, |_| drop(adopt(scene, 2, offer)))
        });
        victim.join().unwrap();
        scene.reap();
        assert_eq!(waiting.join().unwrap(), None);
        scene.assert_all_returns();
    });
}
