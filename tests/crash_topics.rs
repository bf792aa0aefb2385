//! Operations on topics, killed at every instruction: see `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use inplace::codec::Raw;
use inplace::{Published, Publisher, Start, Store, Subscriber, WaitPolicy};
use support::payload;
use support::steps::kill::{Case, keeper};
use support::steps::never::{Never, never_encode};
use support::steps::peek::{Peek, READY, RETIRED};
use support::steps::sweep::{Operation, sweep};
use support::steps::topics::*;
use support::steps::traced::left_by;

type Arrive = fn(World) -> Victim;

struct Victim {
    store: Store<Raw>,
    topic: Bytes,
    publisher: Option<Publisher<[u8], Raw>>,
    subscriber: Option<Subscriber<[u8], Raw>>,
    message: Option<Published<[u8], Raw>>,
    bytes: Vec<u8>,
}

fn arrive(world: World) -> Victim {
    let World { store, topic, .. } = world;
    let bytes = payload::make(VICTIMS, LEN);
    Victim { store, topic, publisher: None, subscriber: None, message: None, bytes }
}

fn arrive_publishing(world: World) -> Victim {
    let victim = arrive(world);
    let publisher = victim.topic.publisher().unwrap().wait_policy(WaitPolicy::Park);
    Victim { publisher: Some(publisher), ..victim }
}

fn arrive_from(world: World, start: Start) -> Victim {
    let victim = arrive(world);
    let subscriber = victim.topic.subscriber(start).unwrap().wait_policy(WaitPolicy::Park);
    Victim { subscriber: Some(subscriber), ..victim }
}

fn arrive_subscribed(world: World) -> Victim {
    arrive_from(world, Start::Oldest)
}

/// What it wants is gone.
fn arrive_late(world: World) -> Victim {
    arrive_from(world, Start::At(0))
}

fn make(victim: &mut Victim) {
    let _ = victim.store.topic_new_with::<[u8]>(&held_back());
}

fn open(victim: &mut Victim) {
    let _ = victim.store.topic_with::<[u8]>(NAME, &losing());
}

fn begin_to_publish(victim: &mut Victim) {
    victim.publisher = victim.topic.publisher().ok();
}

fn publish_one(victim: &mut Victim) {
    let _ = victim.publisher.as_ref().unwrap().publish_with(&victim.bytes, b"metadata");
}

fn publish_in_vain(victim: &mut Victim) {
    let _ = victim.publisher.as_ref().unwrap().try_publish(&victim.bytes);
}

fn close(victim: &mut Victim) {
    drop(victim.publisher.take());
}

fn subscribe(victim: &mut Victim) {
    victim.subscriber = victim.topic.subscriber(Start::Oldest).ok();
}

fn recv(victim: &mut Victim) {
    victim.message = victim.subscriber.as_mut().unwrap().recv().unwrap_or_default();
}

fn leave(victim: &mut Victim) {
    drop(victim.subscriber.take());
}

fn trim(victim: &mut Victim) {
    let _ = victim.topic.trim();
}

fn evict(victim: &mut Victim) {
    let _ = victim.topic.evict();
}

fn reap(victim: &mut Victim) {
    let _ = region(&victim.store).reap();
}

fn killed() -> Vec<Operation> {
    let at = |what, start: (fn() -> World, Arrive), operate, holds| -> Case<World, Victim> {
        Case::new(what, start, operate, holds)
    };
    let cases = [
        at("new", (empty, arrive), make, is_published_or_not),
        at("open, a new name", (empty, arrive), open, is_opened),
        at("open, a known name", (named, arrive), open, is_opened),
        at("produce", (holding, arrive), begin_to_publish, is_still_there),
        at("publish", (empty, arrive_publishing), publish_one, is_published_or_not),
        at("publish, replacing", (holding, arrive_publishing), publish_one, is_published_or_not),
        at("publish, awaited", (empty, arrive_publishing), publish_one, is_published_or_not)
            .before(wait_in_another),
        at(
            "publish, too much",
            (limited, arrive_publishing),
            publish_one,
            is_published_or_not_or_too_much,
        ),
        at(
            "publish, nobody is waited for",
            (holding_held_back, arrive_publishing),
            publish_one,
            is_published_or_not,
        ),
        at("publish, held back", (blocked, arrive_publishing), publish_in_vain, is_still_there),
        at("publish, waiting", (blocked, arrive_publishing), publish_one, is_published_or_not)
            .woken_by(let_go),
        at("close", (empty, arrive_publishing), close, ends_at_last),
        at("close, awaited", (empty, arrive_publishing), close, ends_at_last)
            .before(wait_for_the_end),
        at("subscribe", (holding, arrive), subscribe, is_still_there),
        at("subscribe, waited for", (holding_held_back, arrive), subscribe, is_still_there),
        at("receive", (holding, arrive_subscribed), recv, is_still_there),
        at("receive, some are lost", (holding_more, arrive_late), recv, is_still_there),
        at("receive, too old", (too_old, arrive_late), recv, is_too_old),
        at("receive, waiting", (empty, arrive_subscribed), recv, is_published_or_not)
            .woken_by(give),
        at("receive, waited for", (holding_held_back, arrive_subscribed), recv, is_still_there),
        at(
            "receive, a publisher waits",
            (holding_held_back, arrive_subscribed),
            recv,
            is_still_there,
        )
        .before(publish_in_another),
        at("leave", (holding, arrive_subscribed), leave, is_still_there),
        at(
            "leave, a publisher waits",
            (holding_held_back, arrive_subscribed),
            leave,
            is_still_there,
        )
        .before(publish_in_another),
        at("trim", (too_old, arrive), trim, is_too_old),
        at("evict", (holding, arrive), evict, is_whole_or_gone),
        at("evict, awaited", (empty, arrive), evict, is_published_or_not).before(wait_in_another),
        at("evict, a publisher waits", (blocked, arrive), evict, is_still_there)
            .before(publish_in_another),
    ];
    cases.into_iter().map(Case::operation).collect()
}

/// Evicted by a dead one.
fn retired() -> World {
    let world = holding();
    let word = Peek::of(&region(&world.store)).slot(world.topic.key());
    left_by(world, (word, |word| word.state() == RETIRED), (arrive, evict))
}

/// Written by a dead one, and not published: in the slot that is claimed next.
fn unpublished() -> World {
    let world = holding_held_back();
    let next = world.store.put(&payload::make(OLD, LEN)[..]).unwrap();
    let word = Peek::of(&region(&world.store)).slot(next);
    assert!(world.store.evict(next).unwrap());
    left_by(world, (word, |word| word.state() == READY), (arrive_publishing, publish_one))
}

/// Published by a dead one, who told nobody.
fn published() -> World {
    let world = empty();
    let word = Peek::of(&region(&world.store)).post(world.topic.key());
    left_by(world, (word, |word| word.get() != 0), (arrive_publishing, publish_one))
}

/// A dead one has published one message, has received it and looks at it, and was about to publish another.
fn busy() -> World {
    let world = empty_held_back();
    let dead = keeper(|stay| {
        let topic = world.store.with_codec(Never).topic_from_key::<[u8]>(world.topic.key());
        let publisher = topic.publisher().unwrap();
        let mut subscriber = topic.subscriber(Start::Latest).unwrap();
        publisher.publish(&payload::make(VICTIMS, LEN)).unwrap();
        let message = subscriber.recv().unwrap().unwrap();
        never_encode(stay);
        let _ = publisher.publish(&payload::make(VICTIMS, LEN));
        drop((message, subscriber));
    });
    dead.kill();
    world
}

fn reaped_by_the_killed() -> Vec<Operation> {
    let at = |what, mess: fn() -> World, holds| -> Operation {
        Case::new(what, (mess, arrive as Arrive), reap, holds).operation()
    };
    vec![
        at("reap, a message that is not published", unpublished, is_still_there),
        at("reap, a message that was just published", published, is_as_the_dead_left_it),
        at("reap, one who publishes and has received", busy, is_as_the_dead_left_it),
        at("reap, an evict, RETIRED", retired, is_whole_or_gone),
    ]
}

#[test]
fn killed_at_any_instruction_one_leaves_the_topic_and_every_message_whole() {
    sweep("topics", 8, &killed());
}

#[test]
fn killed_at_any_instruction_a_reaper_of_a_topic_leaves_the_rest_to_the_next() {
    sweep("reaped topics", 8, &reaped_by_the_killed());
}
