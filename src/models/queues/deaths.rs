//! Senders, receivers and others at a queue, killed.

use super::{
    BYTES, Found, SIZE, THREE, add_producer, at, look, new, receive, receive_by_another, send,
    send_lent, send_object, try_receive,
};
use crate::actor::Actor;
use crate::layout::queue::Shape;
use crate::layout::slot::ObjectId;
use crate::models::scene::{Deaths, HALF, Scene, Size, explore_deaths, first, mortal, spawn};
use crate::protocol::channel::AtChannel;
use crate::sync::unmodelled::AtomicU64;

#[test]
fn killed_in_a_send_a_sender_has_sent_its_message_or_not() {
    type Send = fn(&Actor<'_>, ObjectId, u64);
    let small: Send = |actor, id, value| _ = send(actor, id, value);
    let sends: [(&str, Send); 3] = [
        ("send | receive", small),
        ("send an object | receive", send_object),
        ("lend and send an object | receive", send_lent),
    ];
    for (name, send_it) in sends {
        let model = move |changes: u32, deaths: &Deaths| {
            let scene = Scene::new(SIZE);
            let id = new(&scene, 1);
            // The ring has named the envelope before.
            assert!(send(&scene.actor(0), id, 9));
            assert_eq!(try_receive(&scene.actor(0), id), Found::Message(9, 1));
            add_producer(&scene, 1, id);
            let died = Deaths::clone(deaths);
            let victim = spawn(&scene, move |scene| {
                mortal(scene, (1, changes), &died, |actor| send_it(actor, id, 1))
            });
            let first = try_receive(&scene.actor(0), id);
            let is_killed = victim.join().unwrap();
            // Alive or not, it leaves.
            scene.assert_settled();
            let second = try_receive(&scene.actor(0), id);
            let (message, end) = (Found::Message(1, 1), Found::End);
            let found = [first, second];
            let is_received = [[Found::Nothing, message], [message, end]].contains(&found);
            let is_not_sent = is_killed && found == [Found::Nothing, end];
            assert!(is_received || is_not_sent, "killed in the send: {is_killed}, {found:?}");
            assert_eq!(try_receive(&scene.actor(0), id), end);
            assert!(send(&scene.actor(0), id, 2), "there is room again");
            scene.assert_all_returns();
        };
        explore_deaths(name, model);
    }
}

#[test]
fn killed_with_a_message_a_receiver_leaves_it_to_another_or_has_acknowledged_it() {
    for has_object in [false, true] {
        let name = if has_object { "receive an object" } else { "receive" };
        let model = move |changes: u32, deaths: &Deaths| {
            let scene = Scene::new(SIZE);
            let id = new(&scene, 1);
            if has_object {
                send_object(&scene.actor(0), id, 1);
            } else {
                send(&scene.actor(0), id, 1);
            }
            let died = Deaths::clone(deaths);
            let victim = spawn(&scene, move |scene| {
                mortal(scene, (1, changes), &died, |actor| {
                    let _ = try_receive(actor, id);
                });
            });
            let first = try_receive(&scene.actor(0), id);
            victim.join().unwrap();
            scene.assert_settled();
            let second = try_receive(&scene.actor(0), id);
            match (first, second) {
                (Found::Message(1, 1), Found::Nothing)
                | (Found::Nothing, Found::Message(1, 1 | 2) | Found::Nothing) => {}
                other => panic!("{other:?}"),
            }
            assert!(send(&scene.actor(0), id, 2), "there is room again");
            assert_eq!(
                try_receive(&scene.actor(0), id),
                Found::Message(2, 1),
                "the head is helped"
            );
            scene.assert_all_returns();
        };
        explore_deaths(name, model);
    }
}

/// Nobody looks at the head before what was given back is received, and its word in the ring overwritten.
#[test]
fn a_head_that_a_killed_receiver_left_behind_goes_on_when_its_word_is_overwritten() {
    explore_deaths("receive, killed; reap, receive, send, receive", |changes, deaths| {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 2);
        assert!([1, 2].iter().all(|&value| send(&scene.actor(0), id, value)));
        mortal(&scene, (1, changes), deaths, |actor| {
            let _ = try_receive(actor, id);
        });
        scene.assert_settled();
        let first = try_receive(&scene.actor(0), id);
        assert!(send(&scene.actor(0), id, 3), "there is room again");
        let found = [(); 3].map(|()| try_receive(&scene.actor(0), id));
        let (two, three) = (Found::Message(2, 1), Found::Message(3, 1));
        match first {
            Found::Message(1, 1 | 2) => assert_eq!(found, [two, three, Found::Nothing]),
            _ => {
                assert_eq!(first, two, "the dead has acknowledged the other");
                assert_eq!(found, [three, Found::Nothing, Found::Nothing]);
            }
        }
        scene.assert_all_returns();
    });
}

#[test]
fn a_message_whose_receiver_is_killed_wakes_one_who_waits() {
    explore_deaths("receive, killed; reap, or send | receive", |changes, deaths| {
        let scene = Scene::new(THREE);
        let id = new(&scene, 2);
        send(&scene.actor(0), id, 1);
        mortal(&scene, (2, changes), deaths, |actor| {
            let _ = try_receive(actor, id);
        });
        let receiver = spawn(&scene, move |s| receive(&s.actor(1), id, &AtomicU64::new(0)));
        scene.reap();
        // Acknowledged before: then another.
        assert!(send(&scene.actor(0), id, 2));
        assert!(matches!(
            receiver.join().unwrap(),
            Found::Message(1, 1 | 2) | Found::Message(2, 1)
        ));
        scene.assert_all_returns();
    });
}

#[test]
fn the_end_of_a_killed_producer_wakes_one_who_waits_for_more() {
    explore_deaths("send, killed; reap | receive until the end", |changes, deaths| {
        let scene = Scene::new(THREE);
        let id = new(&scene, 1);
        add_producer(&scene, 2, id);
        mortal(&scene, (2, changes), deaths, |actor| {
            let _ = send(actor, id, 1);
        });
        let receiver = spawn(&scene, move |s| {
            let seen = AtomicU64::new(0);
            match receive(&s.actor(1), id, &seen) {
                Found::Message(1, 1) => receive(&s.actor(1), id, &seen),
                found => found,
            }
        });
        scene.reap();
        assert_eq!(receiver.join().unwrap(), Found::End);
        scene.assert_all_returns();
    });
}

#[test]
fn killed_when_it_gives_a_message_back_one_leaves_it_to_others() {
    explore_deaths("give back, killed; reap | receive", |changes, deaths| {
        let scene = Scene::new(THREE);
        let id = new(&scene, 1);
        send(&scene.actor(0), id, 1);
        let receiver = spawn(&scene, move |s| receive(&s.actor(1), id, &AtomicU64::new(0)));
        mortal(&scene, (2, changes), deaths, |actor| {
            at(actor, id, |queue| look(queue, &AtomicU64::new(0), false));
        });
        scene.reap();
        assert!(matches!(receiver.join().unwrap(), Found::Message(1, 1 | 2)));
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_an_evict_one_leaves_the_queue_with_its_message_or_nothing() {
    explore_deaths("evict, killed; reap | receive", |changes, deaths| {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        send_object(&scene.actor(0), id, 1);
        let died = Deaths::clone(deaths);
        let victim = spawn(&scene, move |scene| {
            mortal(scene, (1, changes), &died, |actor| {
                let _ = actor.evict(id);
            });
        });
        let found = try_receive(&scene.actor(0), id);
        assert!([Found::Message(1, 1), Found::Gone].contains(&found), "{found:?}");
        victim.join().unwrap();
        scene.assert_all_returns();
    });
}

/// A queue that has no name yet goes with its maker; somebody found it all the same.
#[test]
fn killed_when_it_opens_a_queue_one_leaves_nobody_asleep_there() {
    explore_deaths("open a new name, killed; reap, send | receive", |changes, deaths| {
        let scene = Scene::new(Size { objects: 3, ..THREE });
        let id = first();
        mortal(&scene, (2, changes), deaths, |actor| {
            let shape = Shape::new(1, HALF as u32, 4, 2);
            let _ = actor.open_queue("name", BYTES, shape);
        });
        let receiver = spawn(&scene, move |s| receive(&s.actor(1), id, &AtomicU64::new(0)));
        scene.reap();
        let is_there = send(&scene.actor(0), id, 1);
        let found = receiver.join().unwrap();
        assert!(found == Found::Gone || is_there && found == Found::Message(1, 1), "{found:?}");
    });
}

#[test]
fn what_came_back_is_found_before_the_end_though_nobody_said_so() {
    explore_deaths("give back, killed | receive", |changes, deaths| {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1);
        add_producer(&scene, 0, id);
        assert!(send(&scene.actor(0), id, 1));
        at(&scene.actor(0), id, |queue| queue.remove_producer()).expect("it is there");
        mortal(&scene, (1, changes), deaths, |actor| {
            at(actor, id, |queue| look(queue, &AtomicU64::new(0), false));
        });
        let found = try_receive(&scene.actor(0), id);
        let source = scene.locks.source();
        let is_held = at(&scene.actor(0), id, |queue| queue.is_held_by_dead(&source).unwrap());
        match found {
            Found::Message(1, 1 | 2) => {}
            Found::End => assert_eq!(is_held, Some(true), "it comes when the dead is reaped"),
            other => panic!("{other:?}"),
        }
        scene.assert_all_returns();
    });
}

#[test]
fn who_has_another_listen_hears_of_the_end_of_a_queue_whose_evictor_is_killed() {
    explore_deaths("evict, killed; reap, or evict | receive by another", |changes, deaths| {
        let scene = Scene::new(THREE);
        let id = new(&scene, 1);
        let waiter = spawn(&scene, move |s| receive_by_another(s, 1, id, &AtomicU64::new(0)));
        mortal(&scene, (2, changes), deaths, |actor| {
            let _ = actor.evict(id);
        });
        scene.reap();
        let _ = scene.actor(0).evict(id);
        assert_eq!(waiter.join().unwrap(), Found::Gone);
        scene.assert_all_returns();
    });
}
