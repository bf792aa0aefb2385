//! The same, with whoever is at work killed, and reaped.

use loom::sync::Arc;

use super::{
    Found, SIZE, add_producer, at, follow, join, leave, new, publish, try_receive, wait_for_room,
};
use crate::layout::slot::ObjectId;
use crate::models::scene::{Deaths, Scene, Size, explore_deaths, mortal, spawn};
use crate::protocol::topic::{Start, Window};

const THREE: Size = Size { objects: 4, units: 2, participants: 3 };

fn reap_all(scene: &Scene) {
    scene.reap();
}

/// The position at which what was written before is published, waiting, while another does something.
fn publish_beside(scene: &Arc<Scene>, id: ObjectId, work: fn(&Scene)) -> u64 {
    let published = at(&scene.actor(0), id, |topic| {
        let message = topic.write_message(0, &mut |_| Ok(())).expect("a slot is free");
        let other = spawn(scene, work);
        let (position, _) = wait_for_room(topic, message);
        other.join().unwrap();
        position
    });
    published.expect("it is there")
}

#[test]
fn killed_in_a_publication_one_has_published_or_not() {
    explore_deaths("publish, killed | receive; reap", |accesses, deaths| {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 0);
        let _before = [0, 1].map(|_| publish(&scene.actor(0), id).unwrap());
        let mut cursor = join(&scene.actor(0), id, Start::At(1));
        let died = Deaths::clone(deaths);
        let victim = spawn(&scene, move |scene| {
            mortal(scene, (1, accesses), &died, |actor| {
                let _ = publish(actor, id);
            });
        });
        // It is about to replace the message before this.
        let first = try_receive(&scene.actor(0), id, &mut cursor);
        assert!(matches!(first, Found::Message((1, _), 0)), "{first:?}");
        let second = try_receive(&scene.actor(0), id, &mut cursor);
        victim.join().unwrap();
        scene.assert_settled();
        let third = try_receive(&scene.actor(0), id, &mut cursor);
        let is_received = |found| matches!(found, Found::Message((2, _), 0));
        assert!(!is_received(second) || third == Found::Nothing, "{second:?} {third:?}");
        let next = publish(&scene.actor(0), id).unwrap();
        assert_eq!(next.0, if is_received(second) || is_received(third) { 3 } else { 2 });
        assert_eq!(try_receive(&scene.actor(0), id, &mut cursor), Found::Message(next, 0));
        scene.assert_all_returns();
    });
}

#[test]
fn a_publisher_that_is_killed_beside_another_leaves_the_stream_whole() {
    explore_deaths("publish, killed | publish; reap", |accesses, deaths| {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 0);
        let mut cursor = join(&scene.actor(0), id, Start::Latest);
        let died = Deaths::clone(deaths);
        let victim = spawn(&scene, move |scene| {
            mortal(scene, (1, accesses), &died, |actor| {
                let _ = publish(actor, id);
            });
        });
        let mine = publish(&scene.actor(0), id).unwrap();
        victim.join().unwrap();
        scene.assert_settled();
        let next = publish(&scene.actor(0), id).unwrap();
        let (seen, _) = follow(&scene, id, &mut cursor, next.0 + 1);
        assert!(next.0 - mine.0 <= 2 && seen.last() == Some(&next), "{seen:?}");
        assert!(!seen.iter().any(|at| at.0 == mine.0 && *at != mine));
        scene.assert_all_returns();
    });
}

#[test]
fn a_killed_subscriber_is_not_waited_for_any_more() {
    explore_deaths("join, receive, killed; reap | publish", |accesses, deaths| {
        let scene = Scene::new(THREE);
        let id = new(&scene, 1, 1);
        publish(&scene.actor(0), id).unwrap();
        mortal(&scene, (2, accesses), deaths, |actor| {
            let mut cursor = join(actor, id, Start::Oldest);
            let _ = try_receive(actor, id, &mut cursor);
        });
        assert_eq!(publish_beside(&scene, id, reap_all), 1);
        scene.assert_all_returns();
    });
}

#[test]
fn killed_when_it_leaves_a_subscriber_is_not_waited_for() {
    explore_deaths("leave, killed; reap | publish", |accesses, deaths| {
        let scene = Scene::new(THREE);
        let id = new(&scene, 1, 1);
        let cursor = join(&scene.actor(2), id, Start::Latest);
        publish(&scene.actor(0), id).unwrap();
        mortal(&scene, (2, accesses), deaths, |actor| leave(actor, id, &cursor));
        assert_eq!(publish_beside(&scene, id, reap_all), 1);
        scene.assert_all_returns();
    });
}

#[test]
fn killed_when_it_drops_messages_one_leaves_the_rest_to_the_next() {
    explore_deaths("drop, killed | receive; reap", |accesses, deaths| {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 2, 0);
        let published = [0, 1].map(|_| publish(&scene.actor(0), id).unwrap());
        let mut cursor = join(&scene.actor(0), id, Start::At(0));
        let died = Deaths::clone(deaths);
        let victim = spawn(&scene, move |scene| {
            mortal(scene, (1, accesses), &died, |actor| {
                at(actor, id, |topic| topic.drop_at(0).is_some());
            });
        });
        let (seen, lost) = follow(&scene, id, &mut cursor, 2);
        assert_eq!(seen, published[lost as usize..]);
        victim.join().unwrap();
        scene.assert_settled();
        let dropped = at(&scene.actor(0), id, |topic| {
            topic.drop_at(0).is_some() && topic.drop_oldest(&mut Window::default()).unwrap() == 0
        });
        assert_eq!(dropped, Some(true));
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_reap_a_reaper_of_a_topic_leaves_the_rest_to_the_next() {
    explore_deaths("reap, killed; reap", |accesses, deaths| {
        let scene = Scene::new(THREE);
        let id = new(&scene, 1, 1);
        add_producer(&scene, 2, id);
        let published = publish(&scene.actor(2), id).unwrap();
        let _ = join(&scene.actor(2), id, Start::Latest);
        at(&scene.actor(2), id, |topic| {
            std::mem::forget(topic.write_message(0, &mut |_| Ok(())).expect("a slot is free"));
        });
        drop(scene.member(2));
        mortal(&scene, (1, accesses), deaths, |_| {
            scene.reap();
        });
        scene.assert_settled();
        let mut cursor = join(&scene.actor(0), id, Start::At(0));
        let found = [0, 1].map(|_| try_receive(&scene.actor(0), id, &mut cursor));
        assert_eq!(found, [Found::Message(published, 0), Found::End]);
        leave(&scene.actor(0), id, &cursor);
        scene.assert_all_returns();
    });
}

#[test]
fn killed_in_an_evict_one_leaves_the_topic_with_its_message_or_nothing() {
    explore_deaths("evict, killed; reap | receive", |accesses, deaths| {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 0);
        let message = publish(&scene.actor(0), id).unwrap();
        let mut cursor = join(&scene.actor(0), id, Start::At(0));
        let died = Deaths::clone(deaths);
        let victim = spawn(&scene, move |scene| {
            mortal(scene, (1, accesses), &died, |actor| {
                let _ = actor.evict(id);
            });
        });
        let found = try_receive(&scene.actor(0), id, &mut cursor);
        assert!([Found::Message(message, 0), Found::Gone].contains(&found), "{found:?}");
        victim.join().unwrap();
        scene.assert_all_returns();
    });
}
