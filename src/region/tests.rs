//! Promises of the protocol steps, told within one process: several participants over one scratch region.

mod lasting;

use crate::actor::{Actor, Refusal};
use crate::deadline::Term;
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::layout::geometry::{Geometry, UNIT};
use crate::layout::participant::{EntryWord, ParticipantId, Presence};
use crate::layout::slot::{ObjectId, SlotWord, State};
use crate::local::Local;
use crate::protocol::check::{Report, Walk};
use crate::protocol::promise::Promised;
use crate::segment::Segment;
use crate::sync::Ordering;

#[test]
fn who_keeps_a_promise_can_forsake_it_while_another_gives_its_value() {
    let world = World::new(2, 8);
    let id = world.actor(0).reserve().unwrap();
    let set = world.actor(1).set_with(id, (8, Fingerprint::BYTES), &mut |out| {
        let refused = world.actor(2).forsake(id);
        assert!(matches!(refused, Err(Error::NotOwner { .. })), "{refused:?}");
        world.actor(0).forsake(id)?;
        world.actor(0).forsake(id)?;
        out.write(&[7; 8]);
        Ok(())
    });
    assert!(matches!(set, Err(Refusal::Error(Error::Broken { .. }))), "{set:?}");
    assert!(matches!(world.actor(1).look(id), Ok(Promised::Broken)));
    assert!(world.actor(0).evict(id));
}

struct World {
    segment: Segment,
    locals: Vec<Local>,
}

impl World {
    fn new(units: u64, objects: u32) -> Self {
        let geometry = Geometry::new(units * UNIT, objects, 4).unwrap();
        let segment = Segment::scratch(geometry);
        for p in 0..3 {
            segment
                .entry(ParticipantId::new(p))
                .word
                .store(EntryWord::new(1, Presence::Active).0, Ordering::SeqCst);
        }
        segment.header().participants_high.store(3, Ordering::SeqCst);
        let locals = (0..3).map(|_| Local::new(&geometry).unwrap()).collect();
        Self { segment, locals }
    }

    fn actor(&self, p: u32) -> Actor<'_> {
        Actor { segment: &self.segment, local: &self.locals[p as usize], me: ParticipantId::new(p) }
    }

    fn check(&self) -> Report {
        let report = Walk::over(self.actor(0), &|_| true);
        assert!(report.is_clean(), "{report}");
        report
    }
}

fn put(actor: &Actor<'_>, bytes: &[u8]) -> ObjectId {
    actor.put(bytes, Fingerprint::BYTES).unwrap()
}

fn read(actor: &Actor<'_>, id: ObjectId) -> Option<Vec<u8>> {
    actor.pin(id).unwrap().map(|pin| pin.bytes().unwrap().to_vec())
}

#[test]
fn every_size_comes_back_as_it_went_in_and_leaves_nothing_behind() {
    let world = World::new(64, 100);
    let (writer, reader) = (world.actor(0), world.actor(1));
    for len in [0, 1, 63, 64, 65, 1000, 4096, 32768, 32769, 65536, 65537, 1 << 20, (1 << 20) + 1] {
        let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + len) as u8).collect();
        let id = put(&writer, &bytes);
        assert_eq!(read(&reader, id).as_deref(), Some(&bytes[..]), "{len}");
        assert!(reader.evict(id) && !writer.evict(id));
        assert_eq!(read(&reader, id), None);
    }
    let report = world.check();
    assert_eq!((report.objects, report.bytes_in_use), (0, 0));
}

#[test]
fn a_pinned_object_survives_its_eviction_until_the_last_pin_goes() {
    let world = World::new(8, 100);
    let id = put(&world.actor(0), b"still here");
    let first = world.actor(1).pin(id).unwrap().unwrap();
    let second = world.actor(2).pin(id).unwrap().unwrap();
    assert!(world.actor(0).evict(id));
    assert!(world.actor(1).pin(id).unwrap().is_none());
    drop(first);
    assert_eq!(second.bytes().unwrap(), b"still here");
    assert_eq!(world.check().retired, 1);
    drop(second);
    assert_eq!(world.check().retired, 0);
}

#[test]
fn a_stale_key_never_finds_the_object_that_reuses_its_slot() {
    let world = World::new(8, 1);
    let old = put(&world.actor(0), b"old");
    world.actor(0).evict(old);
    let new = put(&world.actor(0), b"new");
    assert_eq!(old.slot(), new.slot());
    assert_eq!(read(&world.actor(0), old), None);
    assert!(!world.actor(0).evict(old));
    assert_eq!(read(&world.actor(0), new).unwrap(), b"new");
}

#[test]
fn a_full_data_area_refuses_and_works_again_after_an_eviction() {
    let world = World::new(4, 100);
    let actor = world.actor(0);
    let ids: Vec<_> = (0..4).map(|_| put(&actor, &[1; UNIT as usize])).collect();
    for len in [1, 64, UNIT as usize, 3 * UNIT as usize, 1 << 30] {
        let refused = actor.start_writing(len as u64);
        assert!(
            matches!(refused, Err(Refusal::NoSpace { by_system: false })),
            "{len}: {refused:?}"
        );
    }
    actor.evict(ids[2]);
    let small = put(&actor, b"fits");
    assert_eq!(read(&actor, small).unwrap(), b"fits");
    assert!(actor.start_writing(UNIT).is_err(), "the freed unit is a slab now");
    actor.evict(small);
    put(&actor, &[2; UNIT as usize]);
    world.check();
}

#[test]
fn every_slot_can_be_used_and_no_more() {
    let world = World::new(8, 3000);
    let ids: Vec<_> = (0..3000).map(|_| put(&world.actor(0), b"")).collect();
    assert!(matches!(world.actor(1).claim_slot(), Err(Refusal::NoSlot)));
    world.actor(1).evict(ids[1234]);
    put(&world.actor(2), b"again");
    assert_eq!(world.check().objects, 3000);
}

#[test]
fn memory_of_one_size_is_reused_for_another() {
    let world = World::new(16, 20_000);
    let actor = world.actor(0);
    for len in [64, 1024, 30_000, 100_000, 500_000, 64] {
        let mut ids = Vec::new();
        while let Ok(id) = actor.put(&vec![9; len], Fingerprint::BYTES) {
            ids.push(id);
        }
        let used: usize = ids.len() * len;
        assert!(used as u64 > 16 * UNIT * 7 / 10, "{len}: only {used} bytes");
        ids.into_iter().for_each(|id| assert!(actor.evict(id)));
        assert_eq!(world.check().bytes_in_use, 0);
    }
    actor.retire_empty_slabs();
    actor.trim_units(u64::MAX);
    assert_eq!(world.check().bytes_committed, 0);
}

#[test]
fn of_many_takers_exactly_one_gets_the_object() {
    let world = World::new(8, 100);
    for _ in 0..500 {
        let id = put(&world.actor(0), b"one");
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..3)
                .map(|p| {
                    let world = &world;
                    scope.spawn(move || usize::from(world.actor(p).take(id).unwrap().is_some()))
                })
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(taken, 1);
    }
    assert_eq!(world.check().bytes_in_use, 0);
}

#[test]
fn a_writer_that_gives_up_leaves_nothing_behind() {
    let world = World::new(8, 100);
    let actor = world.actor(0);
    for len in [0, 10, 100_000] {
        drop(actor.start_writing(len).unwrap());
        let refused = actor.put_with(len, (Fingerprint::BYTES, Term::Unlimited), &mut |_| {
            Err(Error::corrupt("codec says no"))
        });
        assert!(matches!(refused, Err(Refusal::Error(_))));
    }
    assert_eq!(world.check().bytes_in_use, 0);
}

#[test]
fn a_fill_that_needs_more_room_gets_exactly_what_it_counted() {
    let world = World::new(8, 100);
    let actor = world.actor(0);
    let mut calls = 0;
    let id = actor
        .put_with(10, (Fingerprint::BYTES, Term::Unlimited), &mut |out| {
            calls += 1;
            (0..1000u32).for_each(|i| out.write(&i.to_le_bytes()));
            Ok(())
        })
        .unwrap();
    assert_eq!((calls, read(&actor, id).unwrap().len()), (2, 4000));
}

#[test]
fn a_fill_of_fresh_memory_arrives_whole_in_whatever_pieces_it_is_written() {
    for piece in [1 << 10, 100_000, 262_144, 300_001, 1 << 20] {
        let world = World::new(64, 100);
        let actor = world.actor(0);
        let warm = put(&actor, &[1; 70_000]);
        actor.evict(warm);
        let bytes: Vec<u8> = (0..2_000_001u32).map(|i| (i % 251) as u8).collect();
        let mut fill = |out: &mut crate::connector::BlockWriter<'_>| {
            bytes.chunks(piece).for_each(|part| out.write(part));
            Ok(())
        };
        for guess in [2_000_001, 2_200_000, 100_000, 0] {
            let id =
                actor.put_with(guess, (Fingerprint::BYTES, Term::Unlimited), &mut fill).unwrap();
            assert!(
                read(&world.actor(1), id).unwrap() == bytes,
                "pieces of {piece}, guess {guess}"
            );
            actor.evict(id);
            actor.trim_units(1_000_000);
        }
        world.check();
    }
}

#[test]
fn a_promise_is_kept_once_and_pins_like_any_object() {
    let world = World::new(8, 100);
    let (maker, other) = (world.actor(0), world.actor(1));
    let id = maker.reserve().unwrap();
    assert!(matches!(other.look(id).unwrap(), Promised::Pending(..)));
    let set = |actor: &Actor<'_>| {
        actor.set_with(id, (0, Fingerprint::BYTES), &mut |out| {
            out.write(b"kept");
            Ok(())
        })
    };
    set(&other).unwrap();
    assert!(matches!(set(&maker), Err(Refusal::Error(Error::AlreadySet { .. }))));
    assert!(
        matches!(other.look(id).unwrap(), Promised::Value(pin) if pin.bytes().unwrap() == b"kept")
    );
    assert!(other.evict(id));
    assert!(matches!(other.look(id).unwrap(), Promised::Gone));
    world.check();
}

#[test]
fn a_failed_promise_is_broken_for_everyone_and_only_its_keeper_can_fail_it() {
    let world = World::new(8, 100);
    let id = world.actor(0).reserve().unwrap();
    assert!(matches!(world.actor(1).fail(id), Err(Error::NotOwner { .. })));
    world.actor(0).fail(id).unwrap();
    assert!(matches!(world.actor(1).look(id).unwrap(), Promised::Broken));
    assert!(world.actor(1).evict(id));
    world.check();
}

#[test]
fn an_aborted_set_leaves_the_promise_open() {
    let world = World::new(8, 100);
    let id = world.actor(0).reserve().unwrap();
    let refused =
        world.actor(1).set_with(id, (100, Fingerprint::BYTES), &mut |_| Err(Error::corrupt("no")));
    assert!(refused.is_err());
    assert!(matches!(world.actor(1).look(id).unwrap(), Promised::Pending(..)));
    world.check();
}

#[test]
fn what_a_dead_participant_was_doing_is_undone() {
    let world = World::new(32, 100);
    let (dead, reaper) = (world.actor(1), world.actor(0));
    let seen = put(&reaper, b"seen");
    std::mem::forget(dead.pin(seen).unwrap());
    std::mem::forget(dead.start_writing(100).unwrap());
    std::mem::forget(dead.start_writing(300_000).unwrap());
    let promised = dead.reserve().unwrap();
    let orphan = reaper.reserve().unwrap();
    let filling = dead.segment.slot(orphan.slot()).unwrap();
    let word =
        SlotWord(filling.word.load(Ordering::SeqCst)).with_state(State::Filling).owned_by(dead.me);
    filling.word.store(word.0, Ordering::SeqCst);
    reaper.evict(seen);
    reaper.sweep(dead.me);
    reaper.sweep(dead.me);
    assert!(matches!(reaper.look(promised).unwrap(), Promised::Broken));
    assert!(matches!(reaper.look(orphan).unwrap(), Promised::Pending(..)));
    let report = world.check();
    assert_eq!(
        (report.objects, report.pins, report.bytes_in_use, report.in_progress),
        (0, 0, 0, 0)
    );
}

#[test]
fn names_bind_rebind_and_unbind() {
    let world = World::new(8, 100);
    let actor = world.actor(0);
    let (first, second) = (put(&actor, b"1"), put(&actor, b"2"));
    assert_eq!(actor.lookup("model").unwrap(), None);
    assert_eq!(actor.bind("model", Some(first)).unwrap(), None);
    assert_eq!(world.actor(1).lookup("model").unwrap(), Some(first));
    assert_eq!(actor.bind("model", Some(second)).unwrap(), Some(first));
    assert_eq!(actor.lookup("model").unwrap(), Some(second));
    assert_eq!(actor.bind("model", None).unwrap(), Some(second));
    assert_eq!(actor.bind("model", None).unwrap(), None);
    assert_eq!(actor.lookup("model").unwrap(), None);
    actor.bind("gone", Some(first)).unwrap();
    actor.evict(first);
    assert_eq!(actor.lookup("gone").unwrap(), None, "a name never leads to an evicted object");
    assert!(actor.bind("gone", Some(first)).is_err());
    assert_eq!(world.check().names, 1);
    assert_eq!(actor.bind("gone", None).unwrap(), None);
    assert_eq!(world.check().names, 0, "unbinding also drops a name whose object is gone");
}

#[test]
fn unbound_names_and_names_of_evicted_objects_leave_nothing_behind() {
    let world = World::new(8, 100);
    let actor = world.actor(0);
    for round in 0..300 {
        let (id, name) = (put(&actor, b"object"), format!("name {round}"));
        actor.bind(&name, Some(id)).unwrap();
        if round % 2 == 0 {
            assert!(actor.evict(id));
            assert_eq!(actor.bind(&name, None).unwrap(), None);
        } else {
            assert_eq!(actor.bind(&name, None).unwrap(), Some(id));
            assert!(actor.evict(id));
        }
    }
    assert_eq!(world.check().bytes_in_use, 0);
    (0..100).for_each(|_| {
        put(&actor, b"");
    });
}

#[test]
fn concurrent_binds_of_one_bucket_lose_no_name() {
    let world = World::new(32, 1000);
    let names: Vec<String> = (0..60).map(|i| format!("name {i}")).collect();
    std::thread::scope(|scope| {
        for p in 0..3u32 {
            let (world, names) = (&world, &names);
            scope.spawn(move || {
                for name in names.iter().skip(p as usize).step_by(3) {
                    let id = put(&world.actor(p), name.as_bytes());
                    world.actor(p).bind(name, Some(id)).unwrap();
                }
            });
        }
    });
    for name in &names {
        let id = world.actor(0).lookup(name).unwrap().unwrap();
        assert_eq!(read(&world.actor(0), id).unwrap(), name.as_bytes());
    }
    world.check();
}

#[test]
fn threads_of_several_participants_put_pin_and_evict_without_losing_a_byte() {
    let world = World::new(64, 5000);
    std::thread::scope(|scope| {
        for p in 0..3u32 {
            for t in 0..2u64 {
                let world = &world;
                scope.spawn(move || churn(&world.actor(p), u64::from(p) * 2 + t + 1));
            }
        }
    });
    let report = world.check();
    assert_eq!((report.objects, report.retired, report.pins, report.bytes_in_use), (0, 0, 0, 0));
}

fn churn(actor: &Actor<'_>, seed: u64) {
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = move |below: u64| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % below
    };
    let mut held = Vec::new();
    for _ in 0..3000 {
        if held.len() < 12 && next(2) == 0 {
            let len = 1usize << next(18);
            let byte = next(256) as u8;
            if let Ok(id) = actor.put(&vec![byte; len], Fingerprint::BYTES) {
                held.push((id, byte, len));
            }
        } else if !held.is_empty() {
            let (id, byte, len) = held.swap_remove(next(held.len() as u64) as usize);
            let pin = actor.pin(id).unwrap().unwrap();
            assert!(
                pin.bytes().unwrap().iter().all(|&b| b == byte)
                    && pin.bytes().unwrap().len() == len
            );
            assert!(actor.evict(id));
        }
    }
    held.into_iter().for_each(|(id, ..)| assert!(actor.evict(id)));
}
