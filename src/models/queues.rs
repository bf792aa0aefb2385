//! Queues: send, receive, acknowledge, give back, close, evict, reap.

mod deaths;
mod owned;
mod waiting;

use super::scene::{HALF, Scene, Size, explore, explore_handing_over, spawn};
use crate::actor::Actor;
use crate::fingerprint::Fingerprint;
use crate::layout::queue::Shape;
use crate::layout::slot::ObjectId;
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::protocol::queue::{Contents, Guess, Queue, Taken};
use crate::sync::unmodelled::AtomicU64;
use crate::sys::futex;

const SIZE: Size = Size { objects: 4, units: 2, participants: 2 };
const THREE: Size = Size { participants: 3, ..SIZE };
const BYTES: Fingerprint = Fingerprint::BYTES;

/// A queue for one message, or for two; in a unit of its own.
fn new(scene: &Scene, capacity: u32) -> ObjectId {
    let shape = Shape::new(capacity, HALF as u32 / capacity, SIZE.participants + 1, 2);
    scene.actor(0).new_queue(BYTES, shape).expect("there is room")
}

/// Works at a queue that is there.
fn at<T>(actor: &Actor<'_>, id: ObjectId, work: impl FnOnce(&Queue<'_>) -> T) -> Option<T> {
    let (_pin, queue) = actor.pin_queue(id).expect("nothing is corrupt")?;
    Some(work(&queue))
}

/// Sends a number; `false`: there is no room, or no queue.
fn send(actor: &Actor<'_>, id: ObjectId, value: u64) -> bool {
    send_guessing(actor, id, value, &Guess::default())
}

fn send_guessing(actor: &Actor<'_>, id: ObjectId, value: u64, guess: &Guess) -> bool {
    let sent = at(actor, id, |queue| {
        let Some(envelope) = queue.own_envelope(0) else { return false };
        envelope.send(0, &value.to_le_bytes(), guess).expect("nothing is corrupt");
        queue.ring(ChannelBell::Items);
        true
    });
    sent == Some(true)
}

/// Sends a number with an object.
fn send_object(actor: &Actor<'_>, id: ObjectId, value: u64) {
    at(actor, id, |queue| {
        let envelope = queue.own_envelope(0).expect("there is room");
        envelope.fill_object(0, &mut |_| Ok(())).expect("a slot is free");
        envelope.send(0, &value.to_le_bytes(), &Guess::default()).expect("nothing is corrupt");
        queue.ring(ChannelBell::Items);
    });
}

/// The same with an object that was there before it was written.
fn send_lent(actor: &Actor<'_>, id: ObjectId, value: u64) {
    at(actor, id, |queue| {
        let envelope = queue.own_envelope(0).expect("there is room");
        let writing = envelope.lend_object(0).expect("a slot is free");
        envelope.publish(writing, 0);
        envelope.send(0, &value.to_le_bytes(), &Guess::default()).expect("nothing is corrupt");
        queue.ring(ChannelBell::Items);
    });
}

fn value(queue: &Queue<'_>, taken: &Taken) -> u64 {
    let (bytes, len) = queue.metadata(taken);
    assert_eq!(len, 8, "a message is whole");
    u64::from_le_bytes(bytes[..8].try_into().expect("eight bytes"))
}

/// What a receiver found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    /// A number, and how often it was delivered.
    Message(u64, u8),
    End,
    Nothing,
    Gone,
}

/// Looks once, as `region::queues` does; what is received is acknowledged or given back.
fn look(queue: &Queue<'_>, seen: &AtomicU64, acknowledges: bool) -> Found {
    if !queue.is_there() {
        return Found::Gone;
    }
    let (taken, has_ended) = match queue.receive(seen).expect("nothing is corrupt") {
        None if queue.has_no_producer() => {
            (queue.receive_whatever_is_there().expect("nothing is corrupt"), true)
        }
        taken => (taken, false),
    };
    let Some(taken) = taken else {
        return if has_ended { Found::End } else { Found::Nothing };
    };
    let found = Found::Message(value(queue, &taken), taken.word.deliveries());
    if acknowledges {
        assert!(queue.acknowledge(&taken));
    } else {
        assert!(queue.give_back(&taken));
    }
    found
}

fn try_receive(actor: &Actor<'_>, id: ObjectId) -> Found {
    at(actor, id, |queue| look(queue, &AtomicU64::new(0), true)).unwrap_or(Found::Gone)
}

/// Waits, but that nothing is lost in a slice: a wake that does not come is a deadlock.
fn receive(actor: &Actor<'_>, id: ObjectId, seen: &AtomicU64) -> Found {
    let found = at(actor, id, |queue| {
        loop {
            let (word, heard) = queue.listen(ChannelBell::Items);
            match look(queue, seen, true) {
                Found::Nothing => futex::wait_low(word, heard, None),
                found => return found,
            };
        }
    });
    found.unwrap_or(Found::Gone)
}

/// The same for one who looks, and has another listen and look for it.
fn receive_by_another(scene: &Scene, p: u32, id: ObjectId, seen: &AtomicU64) -> Found {
    let source = scene.locks.source();
    let found = at(&scene.actor(p), id, |queue| {
        loop {
            match look(queue, seen, true) {
                Found::Nothing => {}
                found => return found,
            }
            let (word, heard) = queue.listen(ChannelBell::Items);
            let known = seen.load(crate::sync::unmodelled::Ordering::Relaxed);
            if queue.is_silent(ChannelBell::Items, known, &source).expect("nothing is corrupt") {
                futex::wait_low(word, heard, None);
            }
        }
    });
    found.unwrap_or(Found::Gone)
}

fn add_producer(scene: &Scene, p: u32, id: ObjectId) {
    at(&scene.actor(p), id, |queue| queue.add_producer()).expect("it is there");
}

#[test]
fn what_one_sends_another_receives_in_order_and_whole() {
    explore("send, send | receive, receive", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 2);
        let sender = spawn(&scene, move |s| {
            assert!(send(&s.actor(1), id, 1) && send(&s.actor(1), id, 2));
        });
        let seen = AtomicU64::new(0);
        let found = [0, 1].map(|_| receive(&scene.actor(0), id, &seen));
        assert_eq!(found, [Found::Message(1, 1), Found::Message(2, 1)]);
        sender.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn what_is_received_is_whole() {
    explore_handing_over("send | receive once", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        let sender = spawn(&scene, move |s| assert!(send(&s.actor(1), id, 1)));
        let found = try_receive(&scene.actor(0), id);
        assert!([Found::Message(1, 1), Found::Nothing].contains(&found), "{found:?}");
        sender.join().unwrap();
        scene.assert_all_returns();
    });
}

/// What was sent, as 1, 2, 3 … if it was, is received once, and delivered once.
fn assert_each_once(others: &[(bool, Found)], found: &[Found]) {
    let all = || others.iter().map(|it| &it.1).chain(found);
    for (value, (is_sent, _)) in (1..).zip(others) {
        let once = all().filter(|it| **it == Found::Message(value, 1)).count();
        let ever = all().filter(|it| matches!(it, Found::Message(v, _) if *v == value)).count();
        assert_eq!((once, ever), (usize::from(*is_sent), once), "{value}: {others:?} {found:?}");
    }
}

/// Head, tail and ring word have gone on by two rounds when somebody who knows of neither comes.
fn comes_two_rounds_later(name: &str, late: fn(&Actor<'_>, ObjectId) -> Found) {
    explore_handing_over(name, 2, move || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        let two_rounds = spawn(&scene, move |s| {
            [1, 2].map(|value| (send(&s.actor(1), id, value), try_receive(&s.actor(1), id)))
        });
        let late = late(&scene.actor(0), id);
        let two_rounds = two_rounds.join().unwrap();
        assert_each_once(&two_rounds, &[late, try_receive(&scene.actor(0), id)]);
        scene.assert_all_returns();
    });
}

#[test]
fn a_receiver_that_comes_two_rounds_later_finds_a_message_or_nothing() {
    comes_two_rounds_later("send and receive, twice | receive", try_receive);
}

#[test]
fn a_receiver_that_comes_when_versions_begin_again_takes_nothing_that_was_not_sent() {
    explore_handing_over("receive | receive, three times send and receive, own", 1, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        assert!(send(&scene.actor(1), id, 1));
        let others = spawn(&scene, move |s| {
            let mut found = vec![(true, try_receive(&s.actor(1), id))];
            let round = |value| (send(&s.actor(1), id, value), try_receive(&s.actor(1), id));
            found.extend([2, 3, 4].map(round));
            // Its version is the first one's again, as far as the ring tells them apart.
            at(&s.actor(1), id, |queue| queue.own_envelope(0).map(std::mem::forget));
            found
        });
        let late = try_receive(&scene.actor(0), id);
        let others = others.join().unwrap();
        assert_each_once(&others, &[late, try_receive(&scene.actor(0), id)]);
        // What is owned goes with its owner.
        drop(scene.member(1));
        scene.assert_all_returns();
    });
}

#[test]
fn a_sender_that_comes_two_rounds_later_sends_or_finds_no_room() {
    comes_two_rounds_later("send and receive, twice | send", |actor, id| {
        let _is_sent = send(actor, id, 3);
        Found::Nothing
    });
}

#[test]
fn a_sender_that_is_overtaken_by_a_whole_round_sends_after_all() {
    explore("send | send and receive, three times", 1, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 2);
        let round = move |actor: &Actor<'_>, value| {
            assert!(send(actor, id, value), "an envelope is empty");
            try_receive(actor, id)
        };
        // What it guesses is of a position that is over: so it looks.
        let guess = Guess::default();
        assert!(send_guessing(&scene.actor(0), id, 8, &guess));
        assert_eq!(try_receive(&scene.actor(0), id), Found::Message(8, 1));
        assert_eq!(round(&scene.actor(1), 9), Found::Message(9, 1));
        let overtaker = spawn(&scene, move |s| [1, 2, 3].map(|value| round(&s.actor(1), value)));
        assert!(send_guessing(&scene.actor(0), id, 4, &guess));
        let mut found = Vec::from(overtaker.join().unwrap());
        found.extend([(); 2].map(|()| try_receive(&scene.actor(0), id)));
        let sent = [1, 2, 3, 4].map(|value| Found::Message(value, 1));
        assert!(sent.iter().all(|message| found.contains(message)), "{found:?}");
        scene.assert_all_returns();
    });
}

#[test]
fn of_two_senders_both_send_and_nothing_is_lost() {
    explore("send | send", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 2);
        let sender = spawn(&scene, move |s| assert!(send(&s.actor(1), id, 1)));
        assert!(send(&scene.actor(0), id, 2));
        sender.join().unwrap();
        let found = [0, 1, 2].map(|_| try_receive(&scene.actor(0), id));
        let (one, two) = (Found::Message(1, 1), Found::Message(2, 1));
        assert!([[one, two], [two, one]].contains(&[found[0], found[1]]), "{found:?}");
        assert_eq!(found[2], Found::Nothing);
        scene.assert_all_returns();
    });
}

#[test]
fn one_who_guesses_what_another_has_written_over_loses_nothing() {
    explore("send by a guess | send", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 2);
        let guess = Guess::default();
        assert!(send_guessing(&scene.actor(0), id, 1, &guess));
        assert_eq!(try_receive(&scene.actor(0), id), Found::Message(1, 1));
        let sender = spawn(&scene, move |s| assert!(send(&s.actor(1), id, 2)));
        assert!(send_guessing(&scene.actor(0), id, 3, &guess));
        sender.join().unwrap();
        let found = [0, 1, 2].map(|_| try_receive(&scene.actor(0), id));
        let (two, three) = (Found::Message(2, 1), Found::Message(3, 1));
        assert!([[two, three], [three, two]].contains(&[found[0], found[1]]), "{found:?}");
        assert_eq!(found[2], Found::Nothing);
        scene.assert_all_returns();
    });
}

#[test]
fn of_two_receivers_one_has_the_message() {
    explore("receive | receive", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 2);
        assert!(send(&scene.actor(0), id, 1));
        let receiver = spawn(&scene, move |s| try_receive(&s.actor(1), id));
        let mine = try_receive(&scene.actor(0), id);
        let found = [mine, receiver.join().unwrap()];
        let (message, nothing) = (Found::Message(1, 1), Found::Nothing);
        assert!([[message, nothing], [nothing, message]].contains(&found), "{found:?}");
        scene.assert_all_returns();
    });
}

#[test]
fn the_end_of_the_last_producer_ends_the_stream_after_its_message() {
    explore("send, close | receive, receive", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        add_producer(&scene, 1, id);
        let sender = spawn(&scene, move |s| {
            send(&s.actor(1), id, 1);
            at(&s.actor(1), id, |queue| queue.remove_producer());
        });
        let seen = AtomicU64::new(0);
        let found = [0, 1].map(|_| receive(&scene.actor(0), id, &seen));
        assert_eq!(found, [Found::Message(1, 1), Found::End]);
        sender.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn a_receiver_of_an_evicted_queue_hears_of_it_and_its_message_goes() {
    explore("evict | receive", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        let receiver = spawn(&scene, move |s| receive(&s.actor(1), id, &AtomicU64::new(0)));
        assert!(scene.actor(0).evict(id));
        assert_eq!(receiver.join().unwrap(), Found::Gone);
        scene.assert_all_returns();
    });
}

#[test]
fn a_stream_that_is_handed_from_producer_to_producer_has_no_end_between() {
    explore("is it over? | produce, close another", 3, || {
        let scene = Scene::new(THREE);
        let id = new(&scene, 1);
        add_producer(&scene, 2, id);
        let heir = spawn(&scene, move |s| {
            add_producer(s, 1, id);
            at(&s.actor(2), id, |queue| queue.remove_producer()).expect("it is there");
        });
        let is_over = at(&scene.actor(0), id, |queue| queue.has_no_producer());
        assert_eq!(is_over, Some(false));
        heir.join().unwrap();
    });
}

#[test]
fn a_message_sent_to_a_queue_that_is_evicted_goes_with_it() {
    explore("evict | send an object", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        let sender = spawn(&scene, move |s| send_object(&s.actor(1), id, 1));
        assert!(scene.actor(0).evict(id));
        sender.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn an_object_of_a_message_is_there_for_who_receives_it() {
    explore("send an object | receive", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        let sender = spawn(&scene, move |s| send_object(&s.actor(1), id, 1));
        at(&scene.actor(0), id, |queue| {
            if let Some(taken) = queue.receive(&AtomicU64::new(0)).unwrap() {
                let Ok(Contents::Object(object)) = queue.contents(&taken) else {
                    panic!("it has an object")
                };
                drop(scene.actor(0).pin(object).unwrap().expect("it is there"));
                assert!(queue.acknowledge(&taken));
                assert!(scene.actor(0).pin(object).unwrap().is_none());
            }
        });
        sender.join().unwrap();
        scene.assert_all_returns();
    });
}
