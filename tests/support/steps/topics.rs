//! A region with a topic in it, what others do there meanwhile, and what must hold of it in the end.

use std::cell::Cell;
use std::time::Duration;

use inplace::codec::Raw;
use inplace::connector::ShmConnector;
use inplace::{
    Error, Region, RegionOptions, Start, Store, Subscriber, Topic, TopicOptions, WaitPolicy,
};
use nix::sys::wait::WaitStatus;

use super::kill::{assert_empties, assert_recovers, helper};
use super::traced::await_sleep;
use crate::support::{Forked, payload};

pub const NAME: &str = "name";
pub const OLD: u16 = 1;
pub const VICTIMS: u16 = 2;
pub const RIVALS: u16 = 3;
pub const CAPACITY: u64 = 2;
pub const LEN: usize = 300;

pub type Bytes = Topic<[u8], Raw>;
pub type Satisfy = fn(&World);

/// A region, and a topic in it.
pub struct World {
    pub store: Store<Raw>,
    pub topic: Bytes,
    /// How many were published, and how many of them can be received at most.
    pub published: u64,
    pub reach: u64,
    /// Who is waited for, and receives nothing.
    pub slow: Cell<Option<Subscriber<[u8], Raw>>>,
    /// Who waits, and what he hears of, if not of what the victim does.
    pub waiter: Option<(Forked, Satisfy)>,
}

pub fn region(store: &Store<Raw>) -> Region {
    store.connector().as_shm().unwrap().region().unwrap().clone()
}

/// Nobody is waited for.
pub fn losing() -> TopicOptions {
    TopicOptions::new(CAPACITY as u32)
}

pub fn held_back() -> TopicOptions {
    losing().hold_back(2)
}

fn with(options: TopicOptions, count: u64) -> World {
    let options_of_region =
        RegionOptions::new().capacity(8 << 16).max_objects(20).max_participants(6);
    let shm = ShmConnector::new(options_of_region.anonymous().unwrap());
    let store = Store::builder("scene").connector(shm).codec(Raw).open().unwrap();
    // Warm, so that the victim meets what is usual.
    let warm = store.put(&payload::make(OLD, LEN)[..]).unwrap();
    assert!(store.evict(warm).unwrap());
    let topic = store.topic_new_with(&options).unwrap();
    // Who is waited for begins with nothing that may be replaced just now.
    let reach = if options == held_back() { CAPACITY } else { CAPACITY + 1 };
    let slow = Cell::new(None);
    let world = World { store, topic, published: count, reach, slow, waiter: None };
    (0..count).for_each(|_| publish(&world, OLD));
    world
}

pub fn publish(world: &World, seed: u16) {
    let publisher = world.topic.publisher().unwrap();
    publisher.publish(&payload::make(seed, LEN)).unwrap();
}

pub fn empty() -> World {
    with(losing(), 0)
}

/// The next replaces one.
pub fn holding() -> World {
    with(losing(), CAPACITY + 1)
}

pub fn empty_held_back() -> World {
    with(held_back(), 0)
}

pub fn holding_held_back() -> World {
    with(held_back(), CAPACITY + 1)
}

/// Some were replaced.
pub fn holding_more() -> World {
    with(losing(), CAPACITY + 4)
}

/// Publishers wait for one who receives nothing.
pub fn blocked() -> World {
    let world = empty_held_back();
    world.slow.set(Some(world.topic.subscriber(Start::Latest).unwrap()));
    (0..CAPACITY).for_each(|_| publish(&world, OLD));
    World { published: CAPACITY, ..world }
}

pub fn let_go(world: &World) {
    drop(world.slow.take());
}

/// What the topic has is not to be kept any more.
pub fn too_old() -> World {
    let world = with(losing().max_age(Duration::from_millis(1)), 2);
    std::thread::sleep(Duration::from_millis(2));
    world
}

/// The next is too much.
pub fn limited() -> World {
    with(losing().max_bytes(2 * LEN as u64 + 50), 2)
}

pub fn named() -> World {
    let world = empty();
    world.store.topic_with::<[u8]>(NAME, &losing()).unwrap();
    world
}

/// Publishes something, unless there is no topic any more, or somebody is waited for.
pub fn give(world: &World) {
    if let Ok(publisher) = world.topic.publisher() {
        let _ = publisher.try_publish(&payload::make(RIVALS, LEN));
    }
}

/// Another waits for one message, or the end.
pub fn wait_in_another(world: &mut World) {
    let waiter = helper(|| {
        // Without it the stream may have ended already.
        let _open = world.topic.publisher().unwrap();
        let subscriber = world.topic.subscriber(Start::Latest).unwrap();
        let mut subscriber = subscriber.wait_policy(WaitPolicy::Park);
        match subscriber.recv() {
            Ok(Some(message)) => i32::from(payload::blame(None, &message).is_some()),
            Err(Error::NotFound { .. }) => 0,
            Ok(None) => 2,
            Err(_) => 3,
        }
    });
    await_sleep(waiter.0);
    world.waiter = Some((waiter, give));
}

/// Another waits for the end, which comes with the victim's.
pub fn wait_for_the_end(world: &mut World) {
    let waiter = helper(|| {
        let subscriber = world.topic.subscriber(Start::Latest).unwrap();
        i32::from(!matches!(subscriber.wait_policy(WaitPolicy::Park).recv(), Ok(None)))
    });
    await_sleep(waiter.0);
    world.waiter = Some((waiter, |_| ()));
}

/// Another is held back by the victim, who has everything to receive.
pub fn publish_in_another(world: &mut World) {
    let waiter = helper(|| {
        let publisher = world.topic.publisher().unwrap().wait_policy(WaitPolicy::Park);
        match publisher.publish(&payload::make(RIVALS, LEN)) {
            Ok(_) | Err(Error::NotFound { .. }) => 0,
            Err(_) => 2,
        }
    });
    await_sleep(waiter.0);
    world.waiter = Some((waiter, |_| ()));
}

/// What is there.
#[derive(Debug, Default, PartialEq)]
pub struct Kept {
    pub olds: u64,
    pub victims: u64,
    pub rivals: u64,
    /// Lost since the beginning.
    pub missed: u64,
}

/// Whether everything is received in order, and what was lost is counted.
pub fn look(world: &World) -> Kept {
    let mut kept = Kept::default();
    let mut subscriber = world.topic.subscriber(Start::At(0)).unwrap();
    let mut next = 0;
    while let Some(message) = subscriber.try_recv().unwrap() {
        assert_eq!(payload::blame(None, &message), None, "a message is torn");
        assert_eq!(message.position(), next + message.missed(), "lost without a count");
        next = message.position() + 1;
        kept.missed += message.missed();
        match u16::from_le_bytes([message[0], message[1]]) {
            OLD => kept.olds += 1,
            VICTIMS => kept.victims += 1,
            _ => kept.rivals += 1,
        }
    }
    assert_eq!(subscriber.position(), next + subscriber.missed());
    kept.missed += subscriber.missed();
    kept
}

/// Whoever waits hears of it; then the topic goes on, and nothing is left.
pub fn ends(mut world: World) {
    if let Some((waiter, satisfy)) = world.waiter.take() {
        satisfy(&world);
        let end = waiter.wait();
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "a waiter heard something else: {end:?}");
    }
    let region = region(&world.store);
    region.reap().unwrap();
    if region.exists(world.topic.key()).unwrap() {
        let before = look(&world);
        let published = before.missed + before.olds + before.victims + before.rivals;
        (0..=CAPACITY).for_each(|_| publish(&world, RIVALS));
        let found = look(&world);
        assert_eq!((found.olds, found.victims), (0, 0), "{found:?}");
        assert_eq!(found.missed + found.rivals, published + CAPACITY + 1, "{found:?}");
        let subscriber = world.topic.subscriber(Start::Latest).unwrap();
        assert!(subscriber.has_ended().unwrap(), "the dead still publish");
    }
    assert_recovers(&region, 0..=1);
    let report = region.check().unwrap();
    assert_eq!((report.objects, report.retired, report.pins), (0, 0, 0), "{report}");
    assert_empties(&region, &[NAME]);
}

pub fn reaped(world: &World) {
    let_go(world);
    let region = region(&world.store);
    region.reap().unwrap();
    // Who waits may end between the two.
    if world.waiter.is_none() {
        let report = region.check().unwrap();
        assert!(report.is_clean() && report.in_progress == 0, "{report}");
        assert_eq!(report.subscribers, 0, "{report}");
    }
}

/// Either the victim's is published as the next, and has replaced the oldest; or all are there but for the one that it
/// was about to replace.
pub fn is_published_or_not(world: World) {
    reaped(&world);
    if world.waiter.is_none() {
        let kept = look(&world);
        let published = world.published + kept.victims;
        assert!(kept.victims <= 1, "{kept:?}");
        assert_eq!(kept.missed + kept.olds + kept.victims, published, "{kept:?}");
        let most = published.min(world.reach);
        let least = if kept.victims == 0 { published.min(CAPACITY) } else { most };
        assert!((least..=most).contains(&(kept.olds + kept.victims)), "{kept:?}");
    }
    ends(world);
}

/// The same, where one has to go for it.
pub fn is_published_or_not_or_too_much(world: World) {
    reaped(&world);
    let kept = look(&world);
    assert_eq!(kept.missed + kept.olds, 2, "{kept:?}");
    assert!(kept.victims <= 1 && kept.olds >= 1, "{kept:?}");
    ends(world);
}

/// Nothing of what was published is lost but by what another published since.
pub fn is_still_there(world: World) {
    reaped(&world);
    if world.waiter.is_none() {
        let kept = look(&world);
        assert_eq!(kept.olds + kept.missed, world.published, "{kept:?}");
        assert_eq!(kept.olds, world.published.min(world.reach), "{kept:?}");
    }
    ends(world);
}

/// Nobody receives what is too old, and everybody knows.
pub fn is_too_old(world: World) {
    reaped(&world);
    assert_eq!(look(&world), Kept { missed: world.published, ..Kept::default() });
    ends(world);
}

pub fn ends_at_last(world: World) {
    reaped(&world);
    if world.waiter.is_none() {
        assert!(world.topic.subscriber(Start::Latest).unwrap().has_ended().unwrap());
    }
    ends(world);
}

/// The whole topic is there, or nothing of it.
pub fn is_whole_or_gone(world: World) {
    reaped(&world);
    if !region(&world.store).exists(world.topic.key()).unwrap() {
        assert!(matches!(world.topic.publisher(), Err(Error::NotFound { .. })));
    } else if world.waiter.is_none() {
        assert_eq!(look(&world).olds, CAPACITY + 1);
    }
    ends(world);
}

/// The name leads to one topic; the victim's own is gone, or has the name.
pub fn is_opened(world: World) {
    reaped(&world);
    let region = region(&world.store);
    let before = region.lookup(NAME).unwrap();
    let topic = world.store.topic_with::<[u8]>(NAME, &losing()).unwrap();
    assert!(before.is_none_or(|before| before == topic.key()));
    let keys = region.keys().unwrap();
    assert!(keys.iter().all(|key| [topic.key(), world.topic.key()].contains(key)), "{keys:?}");
    ends(world);
}

/// What the dead published is there, and nothing else of it.
pub fn is_as_the_dead_left_it(world: World) {
    reaped(&world);
    assert_eq!(look(&world), Kept { victims: 1, ..Kept::default() });
    ends(world);
}
