//! Those who look, and have another listen and look for them, as `region::watch` does: a ring that does not come is a deadlock.

use super::{Found, SIZE, add_producer, at, follow, join, leave, look, new, publish, try_receive};
use crate::actor::Actor;
use crate::layout::slot::ObjectId;
use crate::models::scene::{Scene, explore, spawn};
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::protocol::topic::{Cursor, Start};
use crate::sys::futex;

/// Receives.
fn receive(actor: &Actor<'_>, id: ObjectId, cursor: &mut Cursor) -> Found {
    let found = at(actor, id, |topic| {
        loop {
            match look(topic, cursor) {
                Found::Nothing => {}
                found => return found,
            }
            let (word, heard) = topic.listen(ChannelBell::Items);
            let is_silent = topic.is_silent(ChannelBell::Items, cursor.position);
            if is_silent.expect("nothing is corrupt") {
                futex::wait_low(word, heard, None);
            }
        }
    });
    found.unwrap_or(Found::Gone)
}

/// Publishes.
fn publish_awaiting(actor: &Actor<'_>, id: ObjectId) {
    while publish(actor, id).is_none() {
        at(actor, id, |topic| {
            let (word, heard) = topic.listen(ChannelBell::Room);
            if topic.is_silent(ChannelBell::Room, 0).expect("nothing is corrupt") {
                futex::wait_low(word, heard, None);
            }
        })
        .expect("it is there");
    }
}

#[test]
fn who_awaits_hears_of_a_message_and_of_the_end() {
    explore("publish, close | await, await", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 0);
        let mut cursor = join(&scene.actor(0), id, Start::Latest);
        add_producer(&scene, 1, id);
        let publisher = spawn(&scene, move |s| {
            let published = publish(&s.actor(1), id).unwrap();
            at(&s.actor(1), id, |topic| topic.remove_producer());
            published
        });
        let found = [0, 1].map(|_| receive(&scene.actor(0), id, &mut cursor));
        assert_eq!(found, [Found::Message(publisher.join().unwrap(), 0), Found::End]);
        scene.assert_all_returns();
    });
}

#[test]
fn who_awaits_hears_of_a_message_that_nothing_follows() {
    explore("publish | await", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 0);
        let mut cursor = join(&scene.actor(0), id, Start::Latest);
        let publisher = spawn(&scene, move |s| publish(&s.actor(1), id).unwrap());
        let found = receive(&scene.actor(0), id, &mut cursor);
        assert_eq!(found, Found::Message(publisher.join().unwrap(), 0));
        scene.assert_all_returns();
    });
}

#[test]
fn a_publisher_that_is_held_back_and_awaits_hears_of_room() {
    explore("publish, awaiting | receive, receive", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 1);
        let mut cursor = join(&scene.actor(0), id, Start::Latest);
        publish(&scene.actor(1), id).unwrap();
        let publisher = spawn(&scene, move |s| publish_awaiting(&s.actor(1), id));
        assert_eq!(follow(&scene, id, &mut cursor, 2).1, 0);
        publisher.join().unwrap();
        assert_eq!(try_receive(&scene.actor(0), id, &mut cursor), Found::Nothing);
        leave(&scene.actor(0), id, &cursor);
        scene.assert_all_returns();
    });
}

#[test]
fn a_publisher_that_awaits_hears_of_a_subscriber_that_leaves() {
    explore("publish, awaiting | leave", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 1);
        let cursor = join(&scene.actor(0), id, Start::Latest);
        publish(&scene.actor(1), id).unwrap();
        let publisher = spawn(&scene, move |s| publish_awaiting(&s.actor(1), id));
        leave(&scene.actor(0), id, &cursor);
        publisher.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn who_awaits_at_a_topic_that_is_evicted_hears_of_it() {
    explore("evict | await", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 0);
        let subscriber = spawn(&scene, move |s| {
            let cursor = at(&s.actor(1), id, |topic| topic.join(Start::Latest).unwrap());
            cursor.flatten().map(|mut cursor| receive(&s.actor(1), id, &mut cursor))
        });
        assert!(scene.actor(0).evict(id));
        assert!([None, Some(Found::Gone)].contains(&subscriber.join().unwrap()));
        scene.assert_all_returns();
    });
}
