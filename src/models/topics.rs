//! Topics: publish, join, receive, leave, drop, close, evict.

mod awaiting;
mod killed;

use super::scene::{HALF, Scene, Size, explore, explore_handing_over, put, set, spawn};
use crate::actor::Actor;
use crate::fingerprint::Fingerprint;
use crate::layout::slot::{MESSAGE, ObjectId, Place, SlotWord, State, VERSION};
use crate::layout::topic::TopicShape;
use crate::protocol::channel::{AtChannel, ChannelBell};
use crate::protocol::topic::{Cursor, Start, Topic, Unpublished};
use crate::sync::Ordering;
use crate::sys::futex;

const SIZE: Size = Size { objects: 6, units: 2, participants: 2 };
const BYTES: Fingerprint = Fingerprint::BYTES;

/// A topic that keeps so many messages, and waits for so many subscribers. Its messages have no block: what they say is their
/// position.
fn new(scene: &Scene, capacity: u32, cursors: u32) -> ObjectId {
    let shape = TopicShape {
        capacity,
        cursors,
        participants: SIZE.participants + 1,
        max_bytes: 0,
        max_age: 0,
    };
    scene.actor(0).new_topic(BYTES, shape).expect("there is room")
}

/// Works at a topic that is there.
fn at<T>(actor: &Actor<'_>, id: ObjectId, work: impl FnOnce(&Topic<'_>) -> T) -> Option<T> {
    let (_pin, topic) = actor.pin_topic(id).expect("nothing is corrupt")?;
    Some(work(&topic))
}

/// A position, and the message that was published at it.
type At = (u64, ObjectId);

/// Publishes, if nobody has to be waited for.
fn publish(actor: &Actor<'_>, id: ObjectId) -> Option<At> {
    let published = at(actor, id, |topic| {
        let message = topic.write_message(0, &mut |_| Ok(())).expect("a slot is free");
        let position = message.try_publish().expect("nothing is corrupt")?;
        let published = (position, message.id);
        message.announce();
        Some(published)
    });
    published.flatten()
}

/// The same, waiting, but that nothing is lost in a slice: a wake that does not come is a deadlock.
fn publish_waiting(actor: &Actor<'_>, id: ObjectId) -> At {
    let published = at(actor, id, |topic| {
        let message = topic.write_message(0, &mut |_| Ok(())).expect("a slot is free");
        wait_for_room(topic, message)
    });
    published.expect("it is there")
}

fn wait_for_room(topic: &Topic<'_>, message: Unpublished<'_>) -> At {
    loop {
        let (word, heard) = topic.listen(ChannelBell::Room);
        if let Some(position) = message.try_publish().expect("nothing is corrupt") {
            let published = (position, message.id);
            message.announce();
            return published;
        }
        futex::wait_low(word, heard, None);
    }
}

/// What a subscriber found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    /// Where, which, and how many were lost before it.
    Message(At, u64),
    End,
    Nothing,
    Gone,
}

/// Looks once, as `region::topics` does.
fn look(topic: &Topic<'_>, cursor: &mut Cursor) -> Found {
    if !topic.is_there() {
        return Found::Gone;
    }
    let mut receive = || topic.receive(cursor).expect("nothing is corrupt");
    let (post, has_ended) = match receive() {
        None if topic.has_no_producer() => (receive(), true),
        post => (post, false),
    };
    match post {
        Some(post) => Found::Message((post.position, post.pin.id), post.missed),
        None if has_ended => Found::End,
        None => Found::Nothing,
    }
}

fn try_receive(actor: &Actor<'_>, id: ObjectId, cursor: &mut Cursor) -> Found {
    at(actor, id, |topic| look(topic, cursor)).unwrap_or(Found::Gone)
}

/// Waits, as above.
fn receive(actor: &Actor<'_>, id: ObjectId, cursor: &mut Cursor) -> Found {
    let found = at(actor, id, |topic| {
        loop {
            let (word, heard) = topic.listen(ChannelBell::Items);
            match look(topic, cursor) {
                Found::Nothing => futex::wait_low(word, heard, None),
                found => return found,
            };
        }
    });
    found.unwrap_or(Found::Gone)
}

fn join(actor: &Actor<'_>, id: ObjectId, start: Start) -> Cursor {
    let cursor = at(actor, id, |topic| topic.join(start).expect("nothing is corrupt"));
    cursor.expect("it is there").expect("a cursor is free")
}

fn leave(actor: &Actor<'_>, id: ObjectId, cursor: &Cursor) {
    at(actor, id, |topic| topic.leave(cursor)).expect("it is there");
}

fn add_producer(scene: &Scene, p: u32, id: ObjectId) {
    at(&scene.actor(p), id, |topic| topic.add_producer()).expect("it is there");
}

/// Everything up to a position is received once, as what was published there, or counted as lost; how many were.
fn follow(scene: &Scene, id: ObjectId, cursor: &mut Cursor, until: u64) -> (Vec<At>, u64) {
    let (mut seen, mut lost, mut next) = (Vec::new(), 0, cursor.position);
    while next < until {
        let Found::Message(message, missed) = receive(&scene.actor(0), id, cursor) else {
            panic!("it is there")
        };
        assert_eq!(message.0, next + missed, "neither doubled nor lost without a count");
        next = message.0 + 1;
        lost += missed;
        seen.push(message);
    }
    (seen, lost)
}

#[test]
fn of_two_publishers_both_publish_and_a_subscriber_receives_both() {
    explore("publish | publish", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 2, 0);
        let mut cursor = join(&scene.actor(0), id, Start::Latest);
        let other = spawn(&scene, move |s| publish(&s.actor(1), id).unwrap());
        let mine = publish(&scene.actor(0), id).unwrap();
        let mut published = [mine, other.join().unwrap()];
        published.sort_unstable_by_key(|at| at.0);
        assert_eq!(published.map(|at| at.0), [0, 1]);
        let found = [0, 1, 2].map(|_| try_receive(&scene.actor(0), id, &mut cursor));
        let [one, two] = published.map(|at| Found::Message(at, 0));
        assert_eq!(found, [one, two, Found::Nothing]);
        scene.assert_all_returns();
    });
}

#[test]
fn a_subscriber_receives_what_was_published_or_knows_how_many_it_lost() {
    explore("publish, publish, publish | receive", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 0);
        let mut cursor = join(&scene.actor(0), id, Start::At(0));
        let publisher = spawn(&scene, move |s| {
            [0, 1, 2].map(|_| publish(&s.actor(1), id).expect("nobody is waited for"))
        });
        let (seen, _) = follow(&scene, id, &mut cursor, 3);
        let published = publisher.join().unwrap();
        assert!(seen.iter().all(|at| published.contains(at)), "{seen:?} {published:?}");
        assert_eq!(seen.last(), published.last());
        scene.assert_all_returns();
    });
}

#[test]
fn two_publishers_that_replace_a_message_leave_nothing_of_it() {
    explore("publish | publish, each replaces", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 0);
        let _before = [0, 1].map(|_| publish(&scene.actor(0), id).unwrap());
        at(&scene.actor(0), id, |topic| {
            let message = topic.write_message(0, &mut |_| Ok(())).expect("a slot is free");
            let other = spawn(&scene, move |s| publish(&s.actor(1), id).unwrap());
            let mine = message.try_publish().unwrap().expect("nobody is waited for");
            message.announce();
            assert_eq!(mine + other.join().unwrap().0, 5);
        });
        scene.assert_all_returns();
    });
}

#[test]
fn a_publisher_that_is_held_back_is_woken_by_who_receives_and_nothing_is_lost() {
    explore("publish, publish, waiting | receive, receive", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 1);
        let mut cursor = join(&scene.actor(0), id, Start::Latest);
        let publisher = spawn(&scene, move |s| [0, 1].map(|_| publish_waiting(&s.actor(1), id)));
        let (seen, lost) = follow(&scene, id, &mut cursor, 2);
        assert_eq!((seen, lost), (publisher.join().unwrap().to_vec(), 0));
        leave(&scene.actor(0), id, &cursor);
        scene.assert_all_returns();
    });
}

#[test]
fn who_leaves_is_not_waited_for_any_more() {
    explore("publish, waiting | leave", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 1);
        let cursor = join(&scene.actor(0), id, Start::Latest);
        assert!(publish(&scene.actor(0), id).is_some() && publish(&scene.actor(0), id).is_none());
        let publisher = spawn(&scene, move |s| publish_waiting(&s.actor(1), id).0);
        leave(&scene.actor(0), id, &cursor);
        assert_eq!(publisher.join().unwrap(), 1);
        scene.assert_all_returns();
    });
}

/// Joins while another publishes and is held back.
fn joined(start: Start) {
    explore(&format!("publish, publish, waiting | join {start:?}, receive"), 2, move || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 1);
        publish(&scene.actor(1), id).unwrap();
        let publisher = spawn(&scene, move |s| [0, 1].map(|_| publish_waiting(&s.actor(1), id)));
        let mut cursor = join(&scene.actor(0), id, start);
        let (seen, lost) = follow(&scene, id, &mut cursor, 3);
        let published = publisher.join().unwrap();
        assert_eq!(lost, 0);
        assert!(seen.iter().all(|at| at.0 == 0 || published.contains(at)));
        leave(&scene.actor(0), id, &cursor);
        scene.assert_all_returns();
    });
}

#[test]
fn who_joins_at_the_oldest_while_others_publish_loses_nothing_from_there_on() {
    joined(Start::Oldest);
}

#[test]
fn who_joins_after_the_latest_while_others_publish_loses_nothing_from_there_on() {
    joined(Start::Latest);
}

#[test]
fn two_who_join_have_cursors_of_their_own() {
    explore("join | join", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 1);
        let join = move |actor: &Actor<'_>| {
            at(actor, id, |topic| topic.join(Start::Latest).unwrap()).expect("it is there")
        };
        let other =
            spawn(&scene, move |s| join(&s.actor(1)).map(|cursor| leave(&s.actor(1), id, &cursor)));
        let mine = join(&scene.actor(0));
        let mine_is_there = mine.map(|cursor| leave(&scene.actor(0), id, &cursor)).is_some();
        assert!(mine_is_there | other.join().unwrap().is_some());
        scene.assert_all_returns();
    });
}

#[test]
fn what_is_dropped_while_it_is_received_is_received_or_counted_as_lost() {
    explore("drop, drop | receive", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 2, 0);
        let published = [0, 1].map(|_| publish(&scene.actor(0), id).unwrap());
        let mut cursor = join(&scene.actor(0), id, Start::At(0));
        let dropper = spawn(&scene, move |s| {
            at(&s.actor(1), id, |topic| assert!(topic.drop_at(0).is_some())).expect("it is there");
        });
        let (seen, lost) = follow(&scene, id, &mut cursor, 2);
        assert_eq!(seen, published[lost as usize..]);
        dropper.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn a_message_in_the_slot_of_one_that_was_dropped_is_received_at_its_own_position() {
    explore("publish where another was | receive that", 2, || {
        let scene = Scene::new(Size { objects: 2, ..SIZE });
        let id = new(&scene, 2, 0);
        let mut cursor = join(&scene.actor(0), id, Start::At(0));
        publish(&scene.actor(0), id).unwrap();
        at(&scene.actor(0), id, |topic| topic.drop_at(0));
        let publisher = spawn(&scene, move |s| publish(&s.actor(1), id).unwrap());
        let found = try_receive(&scene.actor(0), id, &mut cursor);
        let published = publisher.join().unwrap();
        assert!([Found::Message(published, 1), Found::Nothing].contains(&found), "{found:?}");
        assert_eq!(published.0, 1);
        scene.assert_all_returns();
    });
}

/// A message of that position in a topic that is not there: a model has one channel.
fn publish_elsewhere(actor: &Actor<'_>, elsewhere: ObjectId, position: u64) {
    let writing = actor.start_writing(0).expect("a slot is free");
    let claimed = &writing.claimed;
    claimed.slot.place.store(Place::Variable(elsewhere).to_word(), Ordering::Relaxed);
    claimed.slot.set_number(position);
    let word = SlotWord::new(claimed.word.generation(), State::Ready).with(VERSION | MESSAGE);
    writing.publish_as(word, 0, BYTES);
}

#[test]
fn a_message_of_another_topic_in_the_slot_of_one_that_was_dropped_is_not_received() {
    explore("publish elsewhere where another was | receive that", 2, || {
        let scene = Scene::new(Size { objects: 2, ..SIZE });
        let id = new(&scene, 2, 0);
        let mut cursor = join(&scene.actor(0), id, Start::At(0));
        publish(&scene.actor(0), id).unwrap();
        at(&scene.actor(0), id, |topic| topic.drop_at(0));
        let elsewhere = ObjectId::new(id.slot(), id.generation() + 1);
        let publisher = spawn(&scene, move |s| publish_elsewhere(&s.actor(1), elsewhere, 0));
        let found = try_receive(&scene.actor(0), id, &mut cursor);
        publisher.join().unwrap();
        assert_eq!(found, Found::Nothing);
    });
}

#[test]
fn what_is_in_the_slot_of_one_that_was_dropped_stays_though_that_is_dropped_again() {
    explore("drop | drop, put where it was", 2, || {
        let scene = Scene::new(Size { objects: 2, ..SIZE });
        let id = new(&scene, 2, 0);
        publish(&scene.actor(0), id).unwrap();
        let drop_it = move |actor: &Actor<'_>| at(actor, id, |topic| topic.drop_at(0));
        let dropper = spawn(&scene, move |s| drop_it(&s.actor(1)));
        drop_it(&scene.actor(0));
        // `None`: the other is just freeing the slot.
        let next = put(&scene.actor(0), 8, HALF);
        dropper.join().unwrap();
        assert!(next.is_none_or(|next| scene.actor(0).exists(next)));
        scene.assert_all_returns();
    });
}

#[test]
fn a_position_to_come_is_not_taken_for_one_that_is_cut_to_the_same() {
    explore("subscribe eight positions later", 1, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 0);
        publish(&scene.actor(0), id).unwrap();
        let mut cursor = join(&scene.actor(0), id, Start::At(8));
        assert_eq!(try_receive(&scene.actor(0), id, &mut cursor), Found::Nothing);
        let last = (1..=8).map(|_| publish(&scene.actor(0), id).unwrap()).last();
        let found = try_receive(&scene.actor(0), id, &mut cursor);
        assert_eq!(found, Found::Message(last.unwrap(), 0));
        scene.assert_all_returns();
    });
}

#[test]
fn a_message_that_is_gone_has_no_length_though_its_slot_is_used_again() {
    type Use = fn(&Actor<'_>);
    let uses: [(&str, Use); 2] = [
        ("length | drop, put", |actor| _ = put(actor, 8, HALF)),
        ("length | drop, reserve, set", |actor| {
            let promise = actor.reserve().expect("a slot is free");
            set(actor, promise, 8).expect("there is room");
        }),
    ];
    for (name, use_again) in uses {
        explore_handing_over(name, 2, move || {
            let scene = Scene::new(Size { objects: 2, ..SIZE });
            let id = new(&scene, 1, 0);
            publish(&scene.actor(0), id).unwrap();
            let other = spawn(&scene, move |s| at(&s.actor(1), id, |topic| topic.length(0)));
            at(&scene.actor(0), id, |topic| topic.drop_at(0));
            use_again(&scene.actor(0));
            assert_eq!(other.join().unwrap(), Some(0), "it has no bytes");
            scene.assert_all_returns();
        });
    }
}

#[test]
fn nothing_is_dropped_that_who_joins_meanwhile_has_begun_to_receive() {
    explore("drop, drop | join the oldest, receive", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 2, 1);
        let published = [0, 1].map(|_| publish(&scene.actor(0), id).unwrap());
        let dropper = spawn(&scene, move |s| {
            let drop_both = |topic: &Topic<'_>| topic.drop_at(0).and(topic.drop_at(1)).is_some();
            at(&s.actor(1), id, drop_both).expect("it is there");
        });
        let mut cursor = join(&scene.actor(0), id, Start::Oldest);
        let found = [0, 1].map(|_| try_receive(&scene.actor(0), id, &mut cursor));
        let [one, two] = published.map(|at| Found::Message(at, 0));
        let none = Found::Nothing;
        assert!([[one, two], [two, none], [none, none]].contains(&found), "{found:?}");
        leave(&scene.actor(0), id, &cursor);
        dropper.join().unwrap();
        scene.assert_all_returns();
    });
}

#[test]
fn the_end_of_the_last_publisher_ends_the_stream_after_its_message() {
    explore("publish, close | receive, receive", 2, || {
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
fn a_subscriber_of_an_evicted_topic_hears_of_it_and_its_messages_go() {
    explore("evict | receive", 2, || {
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

#[test]
fn a_message_published_to_a_topic_that_is_evicted_goes_with_it() {
    explore("evict | publish", 2, || {
        let scene = Scene::new(SIZE);
        let id = new(&scene, 1, 0);
        publish(&scene.actor(0), id).unwrap();
        let publisher = spawn(&scene, move |s| publish(&s.actor(1), id));
        assert!(scene.actor(0).evict(id));
        let _ = publisher.join().unwrap();
        scene.assert_all_returns();
    });
}
