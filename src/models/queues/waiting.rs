//! Those who wait at a queue: whoever changes what they wait for wakes them.

use super::{
    BYTES, Found, SIZE, THREE, add_producer, at, new, receive, receive_by_another, send,
    try_receive,
};
use crate::layout::queue::Shape;
use crate::models::scene::{HALF, Scene, explore, explore_handing_over, spawn};
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::protocol::queue::{Guess, Queue};
use crate::sync::unmodelled::AtomicU64;
use crate::sys::futex;

#[test]
fn of_two_who_wait_each_has_one_of_two_messages() {
    explore("send, send | receive | receive", 2, || {
        let scene = Scene::new(THREE);
        let id = new(&scene, 2);
        let receive_as =
            |p: u32| spawn(&scene, move |s| receive(&s.actor(p), id, &AtomicU64::new(0)));
        let receivers = [1, 2].map(receive_as);
        assert!([1, 2].iter().all(|value| send(&scene.actor(0), id, *value)));
        let found = receivers.map(|receiver| receiver.join().unwrap());
        let (one, two) = (Found::Message(1, 1), Found::Message(2, 1));
        assert!([[one, two], [two, one]].contains(&found), "{found:?}");
        scene.assert_all_returns();
    });
}

#[test]
fn a_sender_of_a_full_queue_is_woken_by_an_acknowledgement() {
    explore("acknowledge | send, waiting", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        assert!(send(&scene.actor(0), id, 1));
        let sender = spawn(&scene, move |s| {
            at(&s.actor(1), id, |queue| {
                loop {
                    let (word, heard) = queue.listen(ChannelBell::Room);
                    if let Some(envelope) = queue.own_envelope(0) {
                        return envelope.send(0, &2_u64.to_le_bytes(), &Guess::default()).unwrap();
                    }
                    futex::wait_low(word, heard, None);
                }
            });
        });
        assert_eq!(try_receive(&scene.actor(0), id), Found::Message(1, 1));
        sender.join().unwrap();
        assert_eq!(try_receive(&scene.actor(0), id), Found::Message(2, 1));
        scene.assert_all_returns();
    });
}

#[test]
fn an_envelope_that_is_given_up_goes_to_who_waits_for_one_and_leaves_nothing() {
    explore("own, fill, give up | send when there is room", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        let waiting = spawn(&scene, move |s| {
            at(&s.actor(1), id, |queue| {
                loop {
                    let (word, heard) = queue.listen(ChannelBell::Room);
                    match queue.own_envelope(0) {
                        Some(envelope) => {
                            return envelope.send(0, &5_u64.to_le_bytes(), &Guess::default());
                        }
                        None => futex::wait_low(word, heard, None),
                    };
                }
            })
        });
        at(&scene.actor(0), id, |queue| {
            let envelope = queue.own_envelope(0)?;
            envelope.fill_object(0, &mut |_| Ok(())).expect("a slot is free");
            Some(())
        });
        assert!(matches!(waiting.join().unwrap(), Some(Ok(()))));
        assert_eq!(try_receive(&scene.actor(0), id), Found::Message(5, 1));
        scene.assert_all_returns();
    });
}

#[test]
fn what_is_given_back_wakes_a_receiver_who_has_it() {
    explore("give back | receive", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        assert!(send(&scene.actor(0), id, 1));
        let taken = at(&scene.actor(0), id, |queue| queue.receive(&AtomicU64::new(0)).unwrap());
        let receiver = spawn(&scene, move |s| receive(&s.actor(1), id, &AtomicU64::new(0)));
        let taken = taken.unwrap().expect("it was sent");
        assert_eq!(at(&scene.actor(0), id, |queue| queue.give_back(&taken)), Some(true));
        assert_eq!(receiver.join().unwrap(), Found::Message(1, 2));
        scene.assert_all_returns();
    });
}

#[test]
fn what_is_given_back_during_a_look_is_found_by_the_next() {
    explore("give back | receive, who knows of none", 2, || {
        let scene = Scene::new(SIZE);
        let shape = Shape::new(1, HALF as u32, SIZE.participants, 0);
        let id = scene.actor(0).new_queue(BYTES, shape).expect("there is room");
        assert!(send(&scene.actor(0), id, 1));
        let take = |queue: &Queue<'_>| queue.receive(&AtomicU64::new(0)).unwrap().unwrap();
        let taken = at(&scene.actor(0), id, |queue| {
            assert!(queue.give_back(&take(queue)));
            take(queue)
        });
        let receiver = spawn(&scene, move |s| receive(&s.actor(1), id, &AtomicU64::new(0)));
        let taken = taken.expect("it is there");
        assert_eq!(at(&scene.actor(0), id, |queue| queue.give_back(&taken)), Some(true));
        assert_eq!(receiver.join().unwrap(), Found::Message(1, 3));
        scene.assert_all_returns();
    });
}

#[test]
fn one_who_has_another_listen_for_it_hears_of_the_message_and_of_the_end() {
    explore("send, close | look, listen, look …", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        add_producer(&scene, 1, id);
        let sender = spawn(&scene, move |s| {
            send(&s.actor(1), id, 1);
            at(&s.actor(1), id, |queue| queue.remove_producer());
        });
        let seen = AtomicU64::new(0);
        let found = [0, 1].map(|_| receive_by_another(&scene, 0, id, &seen));
        assert_eq!(found, [Found::Message(1, 1), Found::End]);
        sender.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn a_receiver_that_sleeps_when_its_queue_is_evicted_is_woken() {
    explore_handing_over("evict, pinned | receive", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        let pinned = scene.actor(0).pin_queue(id).unwrap().expect("it is there");
        let receiver = spawn(&scene, move |s| receive(&s.actor(1), id, &AtomicU64::new(0)));
        assert!(scene.actor(0).evict(id));
        assert_eq!(receiver.join().unwrap(), Found::Gone);
        drop(pinned);
        scene.assert_all_returns();
    });
}

#[test]
fn one_who_has_another_listen_for_it_hears_of_a_message() {
    explore("send | receive by another", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        let waiter = spawn(&scene, move |s| receive_by_another(s, 1, id, &AtomicU64::new(0)));
        assert!(send(&scene.actor(0), id, 1));
        assert_eq!(waiter.join().unwrap(), Found::Message(1, 1));
        scene.assert_all_returns();
    });
}

#[test]
fn one_who_has_another_listen_for_it_hears_of_an_evict() {
    explore("evict | receive by another", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        let waiter = spawn(&scene, move |s| receive_by_another(s, 1, id, &AtomicU64::new(0)));
        assert!(scene.actor(0).evict(id));
        assert_eq!(waiter.join().unwrap(), Found::Gone);
        scene.assert_all_returns();
    });
}
