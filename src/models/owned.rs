//! Variables that are bound: set by their owner, handed over, evicted with it.

use super::lifetimes::{loses_it_to_no_used_token, takes_no_used_token_for_a_later_one};
use super::scene::{Deaths, Scene, Size, explore, explore_deaths, mortal, spawn};
use super::variables::{new, number, read, set, try_set, wait};
use crate::actor::{Actor, Refusal};
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::layout::slot::{KeeperWord, ObjectId};

fn size(participants: u32) -> Size {
    Size { objects: 4, units: 2, participants }
}

/// A variable that is bound to the participant, with a version.
pub(super) fn own(actor: &Actor<'_>, value: u64) -> ObjectId {
    let id = own_unset(actor);
    assert_eq!(set(actor, id, value), Some(1));
    id
}

/// Gives it a value, if it may; the number.
fn update(actor: &Actor<'_>, id: ObjectId, value: u64) -> Option<u64> {
    unless_refused(try_set(actor, (id, None), value))
}

/// Without a block, which leaves more accesses to the protocol itself.
pub(super) fn update_empty(actor: &Actor<'_>, id: ObjectId) -> Option<u64> {
    unless_refused(actor.set_variable((id, None), (0, Fingerprint::BYTES), &mut |_| Ok(())))
}

fn unless_refused(set: Result<u64, Refusal>) -> Option<u64> {
    match set {
        Ok(number) => Some(number),
        Err(Refusal::Error(Error::NotOwner { .. } | Error::NotFound { .. })) => None,
        Err(refusal) => panic!("{refusal:?}"),
    }
}

/// A variable that is bound to the participant, with a version without a block.
pub(super) fn own_empty(actor: &Actor<'_>) -> ObjectId {
    let id = own_unset(actor);
    assert_eq!(update_empty(actor, id), Some(1));
    id
}

fn is_refused(result: &crate::error::Result<()>) -> bool {
    matches!(result, Err(Error::AlreadyAdopted { .. } | Error::NotFound { .. }))
}

#[test]
fn of_two_who_adopt_a_variable_one_sets_it() {
    explore("adopt, set | adopt, set", 2, || {
        let scene = Scene::new(size(3));
        let id = own_empty(&scene.actor(2));
        let offer = scene.actor(2).offer_bond(id).unwrap();
        assert_eq!(update_empty(&scene.actor(2), id), None, "it was given up");
        let adopt_and_set = move |actor: &Actor<'_>| {
            let adopted = actor.adopt_bond(id, offer);
            assert!(adopted.is_ok() || is_refused(&adopted));
            (adopted.is_ok(), update_empty(actor, id))
        };
        let other = spawn(&scene, move |s| adopt_and_set(&s.actor(1)));
        let mut both = [adopt_and_set(&scene.actor(0)), other.join().unwrap()];
        both.sort_unstable();
        assert_eq!(both, [(false, None), (true, Some(2))]);
        assert_eq!(number(&scene.actor(2), id), Some(2));
        scene.assert_all_returns();
    });
}

/// A variable that is bound to the participant, and was never set.
fn own_unset(actor: &Actor<'_>) -> ObjectId {
    actor.new_bound_variable(Fingerprint::BYTES).expect("a slot is free")
}

#[test]
fn an_owner_who_has_a_variable_back_loses_it_to_no_used_token() {
    let name = "adopt a variable, with a used token | adopt, offer, adopt";
    loses_it_to_no_used_token(name, own_unset);
}

#[test]
fn a_used_token_of_a_variable_is_not_taken_for_a_later_one() {
    let name = "adopt a variable, twice, with a used token | offer";
    takes_no_used_token_for_a_later_one(name, own_unset);
}

#[test]
fn what_the_next_owner_has_set_no_earlier_one_overwrites() {
    explore("set | offer, adopt elsewhere, set", 1, || {
        let scene = Scene::new(size(2));
        let id = own_empty(&scene.actor(0));
        // Another thread of the owner.
        let setter = spawn(&scene, move |s| update_empty(&s.actor(0), id));
        let offer = scene.actor(0).offer_bond(id).unwrap();
        scene.actor(1).adopt_bond(id, offer).unwrap();
        let mine = update_empty(&scene.actor(1), id).unwrap();
        let theirs = setter.join().unwrap();
        assert!(theirs.is_none_or(|theirs| theirs < mine));
        assert_eq!(number(&scene.actor(0), id), Some(mine));
        scene.assert_all_returns();
    });
}

#[test]
fn who_does_not_own_a_variable_has_not_set_it_when_its_owner_evicts_it() {
    explore("set | evict mine", 2, || {
        let scene = Scene::new(size(2));
        let id = own_empty(&scene.actor(1));
        let setter = spawn(&scene, move |s| update_empty(&s.actor(0), id));
        assert!(scene.actor(1).evict_mine(id));
        assert_eq!(setter.join().unwrap(), None);
        scene.assert_all_returns();
    });
}

#[test]
fn what_was_bound_and_set_nobody_who_came_before_overwrites() {
    explore("set | bind elsewhere, set", 2, || {
        let scene = Scene::new(size(2));
        let id = new(&scene);
        let setter = spawn(&scene, move |s| update_empty(&s.actor(0), id));
        scene.actor(1).bind_to_me(id).unwrap();
        let mine = update_empty(&scene.actor(1), id).unwrap();
        let theirs = setter.join().unwrap();
        assert!(theirs.is_none_or(|theirs| theirs < mine));
        assert_eq!(number(&scene.actor(0), id), Some(mine));
        scene.assert_all_returns();
    });
}

#[test]
fn what_is_adopted_while_its_sender_is_reaped_keeps_its_version_or_was_never_adopted() {
    explore("adopt | sender is dead, reap", 2, || {
        let scene = Scene::new(size(3));
        let id = own(&scene.actor(2), 7);
        let offer = scene.actor(2).offer_bond(id).unwrap();
        drop(scene.member(2));
        let adopter = spawn(&scene, move |s| s.actor(1).adopt_bond(id, offer));
        scene.reap();
        let adopted = adopter.join().unwrap();
        assert!(adopted.is_ok() || is_refused(&adopted));
        assert_eq!(read(&scene.actor(0), id), adopted.is_ok().then_some((7, 1)));
        assert_eq!(scene.actor(1).evict_mine(id), adopted.is_ok());
        scene.assert_all_returns();
    });
}

#[test]
fn whoever_waits_for_an_owned_variable_hears_of_its_end() {
    explore("evict mine, pinned | wait", 2, || {
        let scene = Scene::new(size(2));
        let id = own(&scene.actor(0), 7);
        let setters = scene.actor(0).pin_variable(id).unwrap().expect("it is there");
        let waiter = spawn(&scene, move |s| wait(s, 1, id, 1));
        assert!(scene.actor(0).evict_mine(id));
        assert_eq!(waiter.join().unwrap(), None);
        drop(setters);
        scene.assert_all_returns();
    });
}

#[test]
fn whoever_waits_for_a_variable_of_the_dead_hears_of_its_end() {
    explore("owner is dead, reap | wait", 2, || {
        let scene = Scene::new(size(3));
        let id = own(&scene.actor(2), 7);
        drop(scene.member(2));
        let waiter = spawn(&scene, move |s| wait(s, 1, id, 1));
        scene.reap();
        assert_eq!(waiter.join().unwrap(), None);
        scene.assert_all_returns();
    });
}

/// Bound to 1, which is at work and may die; what is not lifted or adopted by 0 goes with it.
fn killed(name: &str, work: fn(&Actor<'_>, ObjectId)) {
    explore_deaths(name, move |changes, deaths| {
        let scene = Scene::new(size(2));
        let id = own(&scene.actor(1), 7);
        // The number of its first offer, in a slot that was never used.
        let first = 1 << KeeperWord::HANDS_SHIFT;
        let victim = spawn(&scene, {
            let deaths = Deaths::clone(deaths);
            move |s| mortal(s, (1, changes), &deaths, |actor| work(actor, id))
        });
        let found = read(&scene.actor(0), id);
        assert!(found.is_none_or(|found| [(7, 1), (8, 2)].contains(&found)), "{found:?}");
        let adopted = scene.actor(0).adopt_bond(id, first);
        assert!(adopted.is_ok() || is_refused(&adopted));
        victim.join().unwrap();
        scene.reap();
        let left = read(&scene.actor(0), id);
        assert!(adopted.is_err() || left.is_some(), "it was adopted");
        assert!(left.is_none() || update(&scene.actor(0), id, 9).is_some(), "it is nobody else's");
        scene.assert_all_returns();
    });
}

#[test]
fn killed_when_it_updates_an_owner_leaves_nothing() {
    killed("update", |actor, id| _ = update(actor, id, 8));
}

#[test]
fn killed_when_it_offers_an_owner_leaves_nothing_or_what_was_adopted() {
    killed("offer", |actor, id| drop(actor.offer_bond(id)));
}

#[test]
fn killed_when_it_lifts_its_bond_an_owner_leaves_nothing_or_everybodys() {
    killed("lift", |actor, id| drop(actor.lift_bond(id)));
}

#[test]
fn killed_when_it_evicts_its_own_an_owner_leaves_nothing() {
    killed("evict mine", |actor, id| _ = actor.evict_mine(id));
}

#[test]
fn killed_when_it_makes_one_a_process_leaves_nothing() {
    explore_deaths("own", |changes, deaths| {
        let scene = Scene::new(size(2));
        mortal(&scene, (1, changes), deaths, |actor| {
            if let Ok(id) = actor.new_bound_variable(Fingerprint::BYTES) {
                update(actor, id, 8);
            }
        });
        scene.reap();
        assert_eq!(read(&scene.actor(0), super::scene::first()), None);
        scene.assert_all_returns();
    });
}
