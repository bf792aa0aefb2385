//! Bonds and leases, step by step.

use super::{World, put};
use crate::actor::Actor;
use crate::deadline::{Deadline, Term};
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::layout::slot::{BOUND, EXPIRED, Link, OFFERED, ObjectId, Slot, SlotWord};
use crate::names;
use crate::protocol::check::Walk;
use crate::sync::Ordering;

fn put_for(actor: &Actor<'_>, term: Term) -> ObjectId {
    let kind = (Fingerprint::BYTES, term);
    let put = actor.put_with(5, kind, &mut |out| {
        out.write(b"bound");
        Ok(())
    });
    put.unwrap()
}

fn slot_of(world: &World, id: ObjectId) -> &Slot {
    world.segment.slot(id.slot()).unwrap()
}

#[test]
fn only_what_is_bound_to_the_dead_ends_with_it() {
    let world = World::new(8, 100);
    let (dead, reaper) = (world.actor(1), world.actor(0));
    let bound = [(); 3].map(|()| put_for(&dead, Term::Process));
    let (others, plain) = (put_for(&reaper, Term::Process), put(&dead, b"plain"));
    dead.lift_bond(bound[1]).unwrap();
    let offer = dead.offer_bond(bound[2]).unwrap();
    let lost = put_for(&dead, Term::Process);
    dead.offer_bond(lost).unwrap();
    reaper.adopt_bond(bound[2], offer).unwrap();
    // A version of something, whose binder is dead.
    let version = put(&dead, b"version");
    let word = &slot_of(&world, version).word;
    let found = SlotWord(word.load(Ordering::SeqCst));
    word.store(found.owned_by(dead.me).0, Ordering::SeqCst);
    let view = reaper.pin(bound[0]).unwrap().unwrap();
    reaper.sweep(dead.me);
    assert!(!reaper.exists(bound[0]) && !reaper.exists(lost));
    for stays in [bound[1], bound[2], others, plain, version] {
        assert!(reaper.exists(stays));
    }
    assert_eq!(view.bytes().unwrap(), b"bound");
    drop(view);
    let report = world.check();
    assert_eq!((report.objects, report.bound), (5, 2));
}

#[test]
fn a_version_is_neither_bound_nor_leased() {
    let world = World::new(8, 100);
    let actor = world.actor(0);
    let object = put(&actor, b"named");
    actor.bind("name", Some(object)).unwrap();
    let bucket = names::bucket_of("name");
    let word = world.segment.name_bucket(bucket).load(Ordering::SeqCst);
    let version = ObjectId::from_word(word).unwrap();
    assert!(matches!(actor.bind_to_me(version), Err(Error::NotFound { .. })));
    assert!(!actor.set_deadline(version, 1).unwrap());
    assert_eq!(actor.lookup("name").unwrap(), Some(object));
}

#[test]
fn a_bond_in_a_slot_of_an_earlier_version_is_not_taken_for_one() {
    let world = World::new(8, 100);
    let (dead, reaper) = (world.actor(1), world.actor(0));
    let id = put_for(&dead, Term::Process);
    let slot = slot_of(&world, id);
    // As a binder leaves them that was killed before its version was current.
    slot.link.store(Link::replacing(None).0, Ordering::SeqCst);
    slot.place.store(1, Ordering::SeqCst);
    reaper.reap_version(id.slot(), slot, dead.me);
    assert!(reaper.exists(id), "it may be adopted yet");
    reaper.sweep(dead.me);
    assert!(!reaper.exists(id));
}

#[test]
fn an_offer_is_good_once_and_only_for_what_was_offered() {
    let world = World::new(8, 100);
    let [sender, receiver, other] = [0, 1, 2].map(|p| world.actor(p));
    let id = put_for(&sender, Term::Process);
    assert!(matches!(receiver.adopt_bond(id, 0), Err(Error::AlreadyAdopted { .. })));
    let offer = sender.offer_bond(id).unwrap();
    for given_up in
        [sender.offer_bond(id).map(drop), sender.lift_bond(id), sender.bind_to_me(id).map(drop)]
    {
        assert!(matches!(given_up, Err(Error::NotOwner { .. })), "{given_up:?}");
    }
    assert!(!sender.evict_mine(id));
    assert!(matches!(receiver.adopt_bond(id, offer + 1), Err(Error::AlreadyAdopted { .. })));
    receiver.adopt_bond(id, offer).unwrap();
    assert!(matches!(other.adopt_bond(id, offer), Err(Error::AlreadyAdopted { .. })));
    let again = receiver.offer_bond(id).unwrap();
    assert_ne!(again, offer);
    assert!(matches!(other.adopt_bond(id, offer), Err(Error::AlreadyAdopted { .. })));
    sender.adopt_bond(id, again).unwrap();
    assert!(sender.evict_mine(id));
    // The slot's next object is offered under another number.
    let next = put_for(&sender, Term::Process);
    assert_eq!(next.slot(), id.slot());
    assert_ne!(sender.offer_bond(next).unwrap(), offer);
    assert_eq!(world.check().bound, 1);
}

#[test]
fn a_passed_deadline_can_be_moved_until_somebody_has_found_it_passed() {
    let world = World::new(8, 100);
    let (here, there) = (world.actor(0), world.actor(1));
    let id = put_for(&here, Term::Until(Deadline::from_nanos(1).unwrap()));
    let slot = slot_of(&world, id);
    // Nobody has looked.
    slot.deadline.store(0, Ordering::SeqCst);
    assert!(there.exists(id));
    slot.deadline.store(1, Ordering::SeqCst);
    assert!(there.pin(id).unwrap().is_none());
    assert!(!here.set_deadline(id, 0).unwrap());
    // Found passed by one who was killed before he evicted it.
    let left = put(&here, b"left");
    slot_of(&world, left).deadline.store(EXPIRED, Ordering::SeqCst);
    assert!(!here.set_deadline(left, 0).unwrap() && !there.exists(left));
    assert_eq!(world.check().objects, 0);
}

#[test]
fn a_walk_states_what_is_wrong_with_bonds_and_leases() {
    let world = World::new(8, 100);
    let actor = world.actor(0);
    let blamed = |is_alive: bool| {
        let report = Walk::over(actor, &|p| is_alive || p == actor.me);
        report.violations.into_iter().filter(|what| what.starts_with("slot")).collect::<Vec<_>>()
    };
    let orphan = put_for(&world.actor(1), Term::Process);
    assert!(blamed(true).is_empty());
    let found = blamed(false);
    assert!(found.len() == 1 && found[0].contains("bound to"), "{found:?}");
    assert!(actor.evict(orphan));
    let offered = put(&actor, b"offered");
    let word = &slot_of(&world, offered).word;
    let ready = SlotWord(word.load(Ordering::SeqCst));
    for (flags, what) in [(OFFERED, "offered"), (BOUND, "nobody")] {
        word.store(ready.with(flags).0, Ordering::SeqCst);
        let found = blamed(true);
        assert!(found.len() == 1 && found[0].contains(what), "{found:?}");
    }
    word.store(ready.0, Ordering::SeqCst);
    slot_of(&world, offered).deadline.store(EXPIRED, Ordering::SeqCst);
    assert!(blamed(true).is_empty(), "whoever found it may be stopped");
    let found = blamed(false);
    assert!(found.len() == 1 && found[0].contains("lease"), "{found:?}");
}
