//! Joining, leaving, electing, reaping, handing over at a fork.

use loom::sync::Arc;

use super::scene::{
    Deaths, HALF, Scene, Size, explore, explore_deaths, get, mortal, put, spawn, value_of,
};
use crate::layout::slot::{SlotWord, State};
use crate::participants;
use crate::sync::{AtomicU64, Ordering};

fn size(participants: u32) -> Size {
    Size { objects: 1, units: 1, participants }
}

fn join(scene: &Scene) -> Option<participants::Membership> {
    participants::join(&scene.segment, &scene.locks.source()).unwrap()
}

#[test]
fn two_who_join_get_entries_of_their_own() {
    explore("join | join", 3, || {
        let scene = Scene::empty(size(2));
        let other = spawn(&scene, join);
        let here = join(&scene);
        let there = other.join().unwrap();
        // Who meets the other's lock on the way may have to look again.
        let ids: Vec<_> = [&here, &there].into_iter().flatten().map(|m| m.id).collect();
        assert!(!ids.is_empty() && (ids.len() == 1 || ids[0] != ids[1]));
        [here, there].into_iter().flatten().for_each(|m| participants::leave(&scene.segment, m));
        assert_eq!(scene.reap(), 0);
    });
}

#[test]
fn of_two_who_join_one_gets_the_last_entry() {
    explore("join | join, one entry", 3, || {
        let scene = Scene::empty(size(1));
        let other = spawn(&scene, |s| join(s).is_some());
        let here = join(&scene).is_some();
        assert!(!(here && other.join().unwrap()) || scene.reap() == 0);
    });
}

#[test]
fn who_joins_while_an_object_is_evicted_gets_it_whole_or_not_at_all() {
    explore("join, get | evict, put", 3, || {
        let scene = Scene::empty(size(2));
        scene.admit();
        let id = put(&scene.actor(0), 7, HALF).unwrap();
        let joiner = spawn(&scene, move |s| {
            let member = join(s).unwrap();
            assert_eq!(member.id.index(), 1);
            assert!(matches!(get(&s.actor(1), id), None | Some(7)));
            member
        });
        assert!(scene.actor(0).evict(id));
        let next = put(&scene.actor(0), 8, HALF);
        let member = joiner.join().unwrap();
        assert!(next.is_none_or(|next| get(&scene.actor(0), next) == Some(8)));
        drop(member);
        scene.assert_all_returns();
    });
}

#[test]
fn who_leaves_is_never_taken_for_dead() {
    explore("put, leave | reap, reap", 3, || {
        let scene = Scene::new(size(2));
        let leaver = spawn(&scene, |s| {
            let id = put(&s.actor(1), 7, HALF);
            let member = s.member(1);
            s.actor(1).sweep(member.id);
            participants::leave(&s.segment, member);
            id
        });
        assert_eq!(scene.reap(), 0);
        let id = leaver.join().unwrap().unwrap();
        assert_eq!(get(&scene.actor(0), id), Some(7));
        scene.assert_all_returns();
    });
}

#[test]
fn who_takes_the_entry_of_one_who_left_is_not_reaped_for_him() {
    explore("leave, join, put | reap", 3, || {
        let scene = Scene::new(size(2));
        let other = spawn(&scene, |s| {
            participants::leave(&s.segment, s.member(1));
            let member = join(s);
            let writing = member.as_ref().map(|_| s.actor(1).start_writing(HALF).unwrap());
            let claim = writing.map(crate::protocol::write::Writing::into_claim);
            (member, claim)
        });
        assert_eq!(scene.reap(), 0);
        let (member, claim) = other.join().unwrap();
        if let Some(claim) = claim {
            let actor = scene.actor(1);
            let writing = crate::protocol::write::Writing::from_claim(actor, claim).unwrap();
            scene.actor(0).write_block(1, writing.block, &9_u64.to_le_bytes()).unwrap();
            let id = writing.publish(8, crate::fingerprint::Fingerprint::BYTES);
            assert_eq!(get(&scene.actor(0), id), Some(9));
        }
        drop(member);
        scene.assert_all_returns();
    });
}

#[test]
fn who_takes_the_entry_of_one_who_died_is_not_reaped_for_him() {
    explore("join, put | reap", 3, || {
        let scene = Scene::new(size(2));
        let claim = scene.actor(1).start_writing(HALF).unwrap().into_claim();
        drop((claim, scene.member(1)));
        let other = spawn(&scene, |s| {
            let member = join(s)?;
            let id = put(&s.actor(1), 7, HALF);
            Some((member, id))
        });
        scene.reap();
        let joined = other.join().unwrap();
        if let Some((_member, id)) = &joined {
            let id = id.expect("the entry is vacant when the slot is free");
            assert_eq!(get(&scene.actor(0), id), Some(7));
        }
        drop(joined);
        scene.assert_all_returns();
    });
}

#[test]
fn two_reapers_undo_once_what_the_dead_left() {
    explore("reap, put | reap, put", 2, || {
        let scene = Scene::new(Size { objects: 2, ..size(3) });
        let claim = scene.actor(2).start_writing(HALF).unwrap().into_claim();
        drop((claim, scene.member(2)));
        let other = spawn(&scene, |s| (s.reap(), put(&s.actor(1), 1, HALF)));
        let (here, mine) = (scene.reap(), put(&scene.actor(0), 2, HALF));
        let (there, theirs) = other.join().unwrap();
        assert_eq!(here + there, 1);
        assert!(mine.is_none_or(|id| get(&scene.actor(0), id) == Some(2)));
        assert!(theirs.is_none_or(|id| get(&scene.actor(0), id) == Some(1)));
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_reap_a_reaper_leaves_the_rest_to_the_next() {
    explore_deaths("reap", |changes, deaths| {
        let scene = Scene::new(Size { objects: 2, ..size(3) });
        let id = put(&scene.actor(0), 7, HALF).unwrap();
        scene.actor(2).pin(id).unwrap().unwrap().into_counted();
        let claim = scene.actor(2).start_writing(HALF).unwrap().into_claim();
        drop((claim, scene.member(2)));
        let died = Deaths::clone(deaths);
        let reaper = spawn(&scene, move |s| {
            mortal(s, (1, changes), &died, |_| {
                s.reap();
            });
        });
        assert!(scene.actor(0).evict(id));
        reaper.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_join_nobody_holds_an_entry() {
    explore_deaths("join", |changes, deaths| {
        let scene = Scene::empty(size(2));
        scene.admit();
        let died = Deaths::clone(deaths);
        let joiner = spawn(&scene, move |s| {
            let joined = crate::sync::modelled::control::die_after(changes, || join(s));
            died.fetch_add(u64::from(joined.is_none()), Ordering::Relaxed);
            drop(joined);
        });
        scene.reap();
        joiner.join().unwrap();
        scene.assert_all_returns();
        assert!(join(&scene).is_some());
    });
}

#[test]
fn views_are_counted_for_a_child_while_another_thread_drops_its_own() {
    explore("fork | drop | evict", 2, || {
        let scene = Scene::empty(size(3));
        scene.admit();
        scene.admit();
        let id = put(&scene.actor(0), 7, HALF).unwrap();
        scene.actor(0).pin(id).unwrap().unwrap().into_counted();
        let dropper = spawn(&scene, move |s| {
            let slot = s.segment.slot(id.slot()).unwrap();
            s.actor(0).unpin(id, slot).unwrap();
        });
        let evictor = spawn(&scene, move |s| assert!(s.actor(1).evict(id)));
        let embryo = participants::conceive(&scene.segment, &scene.locks.source()).unwrap();
        let embryo = embryo.unwrap();
        scene.actor(0).copy_pins_to(embryo.id);
        dropper.join().unwrap();
        evictor.join().unwrap();
        // The child may have been given a count too many; but without any, somebody has reclaimed.
        let slot = scene.segment.slot(id.slot()).unwrap();
        let is_retired = SlotWord(slot.word.load(Ordering::SeqCst)).is(State::Retired);
        assert!(!is_retired || crate::pins::is_pinned(&scene.segment, id.slot()));
        // Nobody was forked: the entry is reaped.
        embryo.release();
        scene.assert_all_returns();
    });
}

/// A parent gives a view back right after its fork, while somebody evicts the object. Scans go from the first entry to
/// the last, so it matters whose comes first.
fn handed_on(name: &str, [parent, child, evictor]: [u32; 3]) {
    explore(name, 2, move || {
        let scene = Scene::new(size(3));
        participants::leave(&scene.segment, scene.member(child as usize));
        let id = put(&scene.actor(evictor), 7, HALF).unwrap();
        let parents = scene.actor(parent).pin(id).unwrap().unwrap();
        let evicting = spawn(&scene, move |s| {
            assert!(s.actor(evictor).evict(id));
            put(&s.actor(evictor), 8, HALF)
        });
        let embryo = participants::conceive(&scene.segment, &scene.locks.source()).unwrap();
        let embryo = embryo.unwrap();
        assert_eq!(embryo.id.index(), child);
        scene.actor(parent).copy_pins_to(embryo.id);
        let membership = embryo.adopt(&scene.segment).unwrap();
        let slot = parents.slot;
        drop(parents);
        assert!(evicting.join().unwrap().is_none(), "the child's view is overwritten");
        scene.actor(child).unpin(id, slot).unwrap();
        drop(membership);
        scene.assert_all_returns();
    });
}

#[test]
fn a_child_keeps_what_its_parent_gives_back() {
    handed_on("fork, give back | evict, put", [0, 2, 1]);
}

#[test]
fn a_child_that_is_scanned_first_keeps_what_its_parent_gives_back() {
    handed_on("fork, give back | evict, put, child first", [1, 0, 2]);
}

#[test]
fn a_view_that_a_fork_copies_is_counted_for_the_child() {
    explore("get | gate, fork", 2, || {
        let scene = Scene::empty(size(2));
        scene.admit();
        let id = put(&scene.actor(0), 7, HALF).unwrap();
        // A word of the process's own memory, where another thread puts its view.
        let has_view = Arc::new(AtomicU64::new(0));
        let forker = spawn(&scene, {
            let has_view = Arc::clone(&has_view);
            move |s| {
                let gate = &s.actor(0).local.gate;
                gate.close();
                let embryo = participants::conceive(&s.segment, &s.locks.source()).unwrap();
                let child = embryo.unwrap();
                s.actor(0).copy_pins_to(child.id);
                let inherited = has_view.load(Ordering::SeqCst);
                let counted = s.segment.count(child.id, id.slot()).load(Ordering::SeqCst);
                assert!(u64::from(counted) >= inherited, "the child has a view that nobody counts");
                child.release();
                gate.open();
            }
        });
        // The reader first: one preemption of it in its pin, and one of the forker, are enough then.
        let pin = scene.actor(0).pin(id).unwrap().unwrap();
        assert_eq!(value_of(&pin), 7);
        has_view.store(1, Ordering::SeqCst);
        pin.into_counted();
        forker.join().unwrap();
        scene.actor(0).unpin(id, scene.segment.slot(id.slot()).unwrap()).unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn who_was_kept_waiting_by_a_fork_is_seen_by_who_evicts_then() {
    explore("get | gate, evict, put", 2, || {
        let scene = Scene::empty(size(2));
        scene.admit();
        scene.admit();
        let id = put(&scene.actor(0), 7, HALF).unwrap();
        let reader = spawn(&scene, move |s| {
            assert!(matches!(get(&s.actor(0), id), None | Some(7)));
        });
        let gate = &scene.actor(0).local.gate;
        gate.close();
        gate.open();
        assert!(scene.actor(1).evict(id));
        let next = put(&scene.actor(1), 8, HALF);
        reader.join().unwrap();
        assert!(next.is_none_or(|next| get(&scene.actor(1), next) == Some(8)));
        scene.assert_all_returns();
    });
}
