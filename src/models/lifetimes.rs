//! Bonds: bind, lift, offer, adopt, end; and leases: expire, extend, get.

use loom::sync::Arc;

use super::scene::{
    Deaths, HALF, Scene, Size, explore, explore_deaths, explore_handing_over, get, mortal, put,
    put_empty, spawn,
};
use crate::actor::Actor;
use crate::deadline::{Deadline, Term};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::layout::slot::{KeeperWord, Link, ObjectId, SlotWord};
use crate::participants;
use crate::sync::Ordering;

/// Before and after the time at which everything happens.
const PASSED: u64 = 999;
const TO_COME: u64 = 1001;

fn size(participants: u32) -> Size {
    Size { objects: 1, units: 1, participants }
}

/// Puts an object that goes with the participant, if there is a slot.
fn try_put_bound(actor: &Actor<'_>) -> Option<ObjectId> {
    let kind = (Fingerprint::BYTES, Term::Process);
    actor.put_with(0, kind, &mut |_| Ok(())).ok()
}

fn put_bound(actor: &Actor<'_>) -> ObjectId {
    try_put_bound(actor).expect("a slot is free")
}

fn word_of(scene: &Scene, id: ObjectId) -> SlotWord {
    SlotWord(scene.segment.slot(id.slot()).unwrap().word.load(Ordering::SeqCst))
}

/// Whether an adopter heard what one who came too late may hear.
fn is_refused(result: &Result<()>) -> bool {
    matches!(result, Err(Error::AlreadyAdopted { .. } | Error::NotFound { .. }))
}

#[test]
fn of_two_adopters_one_becomes_the_owner() {
    explore("adopt | adopt", 3, || {
        let scene = Scene::new(size(3));
        let id = put_bound(&scene.actor(2));
        let offer = scene.actor(2).offer_bond(id).unwrap();
        let other = spawn(&scene, move |s| s.actor(1).adopt_bond(id, offer));
        let here = scene.actor(0).adopt_bond(id, offer);
        let there = other.join().unwrap();
        assert!(here.is_ok() != there.is_ok());
        assert!(is_refused(if here.is_ok() { &there } else { &here }));
        let owner = scene.actor(u32::from(there.is_ok()));
        assert!(word_of(&scene, id).is_bound_to(owner.me));
        assert!(!scene.actor(u32::from(here.is_ok())).evict_mine(id) && owner.evict_mine(id));
        scene.assert_all_returns();
    });
}

#[test]
fn an_offer_that_comes_too_late_takes_no_promise_from_its_keeper() {
    explore("offer | evict, reserve", 2, || {
        let scene = Scene::new(size(2));
        let id = put_bound(&scene.actor(0));
        let late = spawn(&scene, move |s| drop(s.actor(0).offer_bond(id)));
        assert!(scene.actor(1).evict(id));
        let promise = scene.actor(1).reserve();
        late.join().unwrap();
        if let Ok(promise) = promise {
            let slot = scene.segment.slot(promise.slot()).unwrap();
            let kept = KeeperWord(slot.extra.load(Ordering::SeqCst));
            assert!(kept.is_kept_by(scene.actor(1).me), "{kept:?}");
        }
        scene.assert_all_returns();
    });
}

#[test]
fn what_is_adopted_while_its_sender_is_reaped_stays_or_was_never_adopted() {
    explore("adopt | sender is dead, reap", 3, || {
        let scene = Scene::new(size(3));
        let id = put_bound(&scene.actor(2));
        let offer = scene.actor(2).offer_bond(id).unwrap();
        // As an earlier version left them.
        let slot = scene.segment.slot(id.slot()).unwrap();
        slot.link.store(Link::replacing(None).0, Ordering::SeqCst);
        slot.place.store(1, Ordering::SeqCst);
        drop(scene.member(2));
        let adopter = spawn(&scene, move |s| s.actor(1).adopt_bond(id, offer));
        scene.reap();
        let adopted = adopter.join().unwrap();
        assert!(adopted.is_ok() || is_refused(&adopted));
        assert_eq!(scene.actor(0).exists(id), adopted.is_ok());
        assert_eq!(scene.actor(1).evict_mine(id), adopted.is_ok());
        scene.assert_all_returns();
    });
}

#[test]
fn a_late_adopter_takes_nothing_of_whoever_has_the_senders_number_now() {
    explore("adopt | sender is dead, reap, join, put bound", 3, || {
        let scene = Scene::new(size(3));
        let id = put_bound(&scene.actor(2));
        let offer = scene.actor(2).offer_bond(id).unwrap();
        drop(scene.member(2));
        let adopter = spawn(&scene, move |s| s.actor(1).adopt_bond(id, offer));
        scene.reap();
        let next = participants::join(&scene.segment, &scene.locks.source()).unwrap();
        let own = next.as_ref().and_then(|next| {
            assert_eq!(next.id.index(), 2);
            try_put_bound(&scene.actor(2))
        });
        let adopted = adopter.join().unwrap();
        assert!(adopted.is_ok() || is_refused(&adopted));
        if let Some(own) = own {
            assert!(adopted.is_err(), "there is one slot");
            assert!(word_of(&scene, own).is_bound_to(scene.actor(2).me));
            assert!(scene.actor(2).evict_mine(own));
        }
        drop(next);
        scene.assert_all_returns();
    });
}

pub(super) fn loses_it_to_no_used_token(name: &str, own: fn(&Actor<'_>) -> ObjectId) {
    explore_handing_over(name, 3, move || {
        let scene = Scene::new(size(3));
        let id = own(&scene.actor(2));
        let first = scene.actor(2).offer_bond(id).unwrap();
        let late = spawn(&scene, move |s| s.actor(1).adopt_bond(id, first));
        // It goes round, and comes back to who offered it first.
        let back = scene.actor(0).adopt_bond(id, first).and_then(|()| {
            let second = scene.actor(0).offer_bond(id)?;
            scene.actor(2).adopt_bond(id, second)
        });
        let late = late.join().unwrap();
        assert!(back.is_ok() || is_refused(&back));
        let owner = word_of(&scene, id);
        assert!(owner.is_bound_to(scene.actor(2).me) || owner.is_bound_to(scene.actor(1).me));
        assert_eq!(owner.is_bound_to(scene.actor(2).me), back.is_ok());
        assert_eq!(late.is_ok(), back.is_err(), "nobody loses what he was given");
        scene.assert_all_returns();
    });
}

#[test]
fn an_owner_who_has_it_back_loses_it_to_no_used_token() {
    loses_it_to_no_used_token("adopt, with a used token | adopt, offer, adopt", put_bound);
}

pub(super) fn takes_no_used_token_for_a_later_one(name: &str, own: fn(&Actor<'_>) -> ObjectId) {
    explore_handing_over(name, 3, move || {
        let scene = Scene::new(size(2));
        let id = own(&scene.actor(0));
        let first = scene.actor(0).offer_bond(id).unwrap();
        scene.actor(0).adopt_bond(id, first).unwrap();
        let late = spawn(&scene, move |s| s.actor(1).adopt_bond(id, first));
        let second = scene.actor(0).offer_bond(id).unwrap();
        assert!(is_refused(&late.join().unwrap()), "its number is used up");
        scene.actor(1).adopt_bond(id, second).unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn a_used_token_is_not_taken_for_a_later_one_once_it_was_refused() {
    takes_no_used_token_for_a_later_one("adopt, twice, with a used token | offer", put_bound);
}

#[test]
fn an_owner_that_evicts_while_another_adopts_does_one_of_both() {
    explore("adopt | evict", 3, || {
        let scene = Scene::new(size(3));
        let id = put_bound(&scene.actor(0));
        let offer = scene.actor(0).offer_bond(id).unwrap();
        let adopter = spawn(&scene, move |s| s.actor(1).adopt_bond(id, offer));
        assert!(!scene.actor(0).evict_mine(id), "it was given up");
        assert!(scene.actor(0).evict(id), "by its key anybody may");
        let adopted = adopter.join().unwrap();
        assert!(adopted.is_ok() || is_refused(&adopted));
        assert!(!scene.actor(1).exists(id));
        scene.assert_all_returns();
    });
}

#[test]
fn what_its_owner_evicts_is_read_whole_or_not_at_all() {
    explore("get | evict, put", 3, || {
        let scene = Scene::new(size(2));
        let id = put(&scene.actor(0), 7, HALF).unwrap();
        assert!(scene.actor(0).bind_to_me(id).unwrap());
        let reader = spawn(&scene, move |s| get(&s.actor(1), id));
        assert!(scene.actor(0).evict_mine(id));
        let _next = put(&scene.actor(0), 8, HALF);
        assert!(matches!(reader.join().unwrap(), None | Some(7)));
        scene.assert_all_returns();
    });
}

#[test]
fn of_two_who_bind_an_object_one_does() {
    explore("bind | bind", 3, || {
        let scene = Scene::new(size(2));
        let id = put_empty(&scene.actor(0));
        let other = spawn(&scene, move |s| s.actor(1).bind_to_me(id));
        let here = scene.actor(0).bind_to_me(id);
        let there = other.join().unwrap();
        assert!(here.is_ok() != there.is_ok());
        let owner = scene.actor(u32::from(there.is_ok()));
        owner.lift_bond(id).unwrap();
        assert_eq!(word_of(&scene, id).owner(), None);
        scene.assert_all_returns();
    });
}

/// Bound to 1, which is at work and may die; what is not lifted or adopted by 0 goes with it.
fn killed(name: &str, work: fn(&Actor<'_>, ObjectId)) {
    explore_deaths(name, move |changes, deaths| {
        let scene = Scene::new(size(2));
        let id = put_bound(&scene.actor(1));
        let victim = spawn(&scene, {
            let deaths = Deaths::clone(deaths);
            move |s| mortal(s, (1, changes), &deaths, |actor| work(actor, id))
        });
        let early = scene.actor(0).adopt_bond(id, 1 << KeeperWord::HANDS_SHIFT);
        assert!(early.is_ok() || is_refused(&early));
        victim.join().unwrap();
        scene.reap();
        let left = word_of(&scene, id);
        let is_there = scene.actor(0).exists(id);
        assert!(!is_there || left.owner().is_none() || left.is_bound_to(scene.actor(0).me));
        assert!(early.is_err() || is_there, "it was adopted");
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_an_offer_a_sender_leaves_nothing_or_what_was_adopted() {
    killed("offer", |actor, id| drop(actor.offer_bond(id)));
}

#[test]
fn killed_when_it_lifts_its_bond_an_owner_leaves_nothing_or_everybodys() {
    killed("lift", |actor, id| drop(actor.lift_bond(id)));
}

#[test]
fn killed_in_an_adoption_a_receiver_leaves_nothing_or_what_its_sender_answers_for() {
    explore_deaths("adopt", |changes, deaths| {
        let scene = Scene::new(size(3));
        let id = put_bound(&scene.actor(2));
        let offer = scene.actor(2).offer_bond(id).unwrap();
        let victim = spawn(&scene, {
            let deaths = Deaths::clone(deaths);
            move |s| mortal(s, (1, changes), &deaths, |actor| drop(actor.adopt_bond(id, offer)))
        });
        let here = scene.actor(0).adopt_bond(id, offer);
        victim.join().unwrap();
        scene.reap();
        let again = scene.actor(0).adopt_bond(id, offer);
        assert!(here.is_ok() || again.is_ok() || !scene.actor(0).exists(id));
        assert!(!(here.is_ok() && again.is_ok()));
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_a_bound_put_a_process_leaves_nothing() {
    explore_deaths("put bound", |changes, deaths| {
        let scene = Scene::new(size(2));
        let victim = spawn(&scene, {
            let deaths = Deaths::clone(deaths);
            move |s| mortal(s, (1, changes), &deaths, |actor| _ = try_put_bound(actor))
        });
        let early = put(&scene.actor(0), 8, HALF);
        victim.join().unwrap();
        assert!(early.is_none_or(|id| get(&scene.actor(0), id) == Some(8)));
        scene.reap();
        assert!(!scene.actor(0).exists(super::scene::first()) || early.is_some());
        scene.assert_all_returns();
    });
}

fn leased(scene: &Arc<Scene>, p: u32, deadline: u64) -> ObjectId {
    let actor = scene.actor(p);
    let id = put(&actor, 7, HALF).unwrap();
    let slot = scene.segment.slot(id.slot()).unwrap();
    slot.deadline.store(deadline, Ordering::SeqCst);
    id
}

fn put_for(actor: &Actor<'_>, term: Term) -> Option<ObjectId> {
    let mut fill = |out: &mut crate::writer::BlockWriter<'_>| {
        out.write(&7_u64.to_le_bytes());
        Ok(())
    };
    actor.put_with(HALF, (Fingerprint::BYTES, term), &mut fill).ok()
}

#[test]
fn whoever_hears_that_a_lease_is_over_hears_it_for_good() {
    explore("get, get | get, exists", 3, || {
        let scene = Scene::new(size(2));
        let id = leased(&scene, 0, PASSED);
        let other = spawn(&scene, move |s| {
            assert_eq!(get(&s.actor(1), id), None);
            assert!(!s.actor(1).set_deadline(id, TO_COME).unwrap());
            assert!(!s.actor(1).evict(id));
        });
        assert_eq!(get(&scene.actor(0), id), None);
        assert!(!scene.actor(0).exists(id));
        other.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn what_was_extended_in_time_does_not_expire() {
    explore("extend, get | expire | get", 2, || {
        let scene = Scene::new(size(3));
        let id = leased(&scene, 0, PASSED);
        let slot = scene.segment.slot(id.slot()).unwrap();
        let sweeper = spawn(&scene, |s| s.actor(1).expire_all());
        let reader = spawn(&scene, move |s| get(&s.actor(2), id));
        // The time passes only now: whoever has not looked at the clock may still extend it.
        let extended =
            slot.deadline.compare_exchange(PASSED, TO_COME, Ordering::SeqCst, Ordering::SeqCst);
        let expired = sweeper.join().unwrap();
        let read = reader.join().unwrap();
        assert_eq!(extended.is_ok(), scene.actor(0).exists(id));
        if extended.is_ok() {
            assert_eq!((expired, get(&scene.actor(0), id)), (0, Some(7)));
        } else {
            assert_eq!(read, None);
        }
        scene.assert_all_returns();
    });
}

#[test]
fn an_expirer_that_is_late_ends_no_later_lease() {
    explore_handing_over("expire | evict, put, extend", 2, || {
        let scene = Scene::new(size(2));
        let id = leased(&scene, 0, PASSED);
        let sweeper = spawn(&scene, |s| s.actor(1).expire_all());
        let _ = scene.actor(0).evict(id);
        // The slot may not be free yet: who expires has it.
        let next = put(&scene.actor(0), 8, HALF);
        let kept = next.map(|next| scene.actor(0).set_deadline(next, TO_COME).unwrap());
        sweeper.join().unwrap();
        if let Some(next) = next {
            assert_eq!((kept, get(&scene.actor(0), next)), (Some(true), Some(8)));
        }
        scene.assert_all_returns();
    });
}

#[test]
fn an_object_whose_lease_is_over_seems_there_to_nobody_though_its_slot_is_used_again() {
    let terms = [Term::Unlimited, Term::Until(Deadline::from_nanos(TO_COME).unwrap())];
    for (term, name) in terms.into_iter().zip(["exists | get, put", "exists | get, put for a time"])
    {
        explore_handing_over(name, 2, move || {
            let scene = Scene::new(size(2));
            let id = leased(&scene, 0, PASSED);
            let other = spawn(&scene, move |s| s.actor(1).exists(id));
            assert_eq!(get(&scene.actor(0), id), None);
            let next = put_for(&scene.actor(0), term);
            assert!(!other.join().unwrap());
            assert!(next.is_none_or(|next| get(&scene.actor(0), next) == Some(7)));
            scene.assert_all_returns();
        });
    }
}

#[test]
fn a_lease_that_begins_with_its_object_is_seen_with_it() {
    explore_handing_over("put for a time | get", 3, || {
        let scene = Scene::new(size(2));
        let reader = spawn(&scene, |s| get(&s.actor(1), super::scene::first()));
        let actor = scene.actor(0);
        put_for(&actor, Term::Until(Deadline::from_nanos(PASSED).unwrap())).unwrap();
        assert_eq!(reader.join().unwrap(), None, "it was over from the beginning");
        assert_eq!(get(&actor, super::scene::first()), None);
        scene.assert_all_returns();
    });
}

/// An object whose lease is over, and one at work on it who may die.
fn killed_at_a_lease(name: &str, work: fn(&Actor<'_>, ObjectId)) {
    explore_deaths(name, move |changes, deaths| {
        let scene = Scene::new(size(2));
        let id = leased(&scene, 0, PASSED);
        let victim = spawn(&scene, {
            let deaths = Deaths::clone(deaths);
            move |s| mortal(s, (1, changes), &deaths, |actor| work(actor, id))
        });
        assert_eq!(get(&scene.actor(0), id), None);
        victim.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn killed_when_it_expires_a_lease_a_process_leaves_nothing() {
    killed_at_a_lease("expire", |actor, _| _ = actor.expire_all());
}

#[test]
fn killed_when_it_extends_a_lease_a_process_leaves_nothing() {
    killed_at_a_lease("extend", |actor, id| _ = actor.set_deadline(id, TO_COME));
}

#[test]
fn killed_in_a_sweep_a_process_leaves_its_leases_to_the_reaper() {
    explore_deaths("expire, nobody looks", |changes, deaths| {
        let scene = Scene::new(size(2));
        leased(&scene, 0, PASSED);
        let victim = spawn(&scene, {
            let deaths = Deaths::clone(deaths);
            move |s| mortal(s, (1, changes), &deaths, |actor| _ = actor.expire_all())
        });
        victim.join().unwrap();
        // Dead in any case, and its reaper looks at every slot.
        scene.reap();
        assert_eq!(put(&scene.actor(0), 8, HALF).map(|id| get(&scene.actor(0), id)), Some(Some(8)));
        scene.assert_all_returns();
    });
}
