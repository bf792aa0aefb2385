//! A region with a queue in it, what others do there meanwhile, and what must hold of it in the end.

use inplace::codec::Raw;
use inplace::connector::ShmConnector;
use inplace::{Error, Message, Queue, QueueOptions, Region, RegionOptions, Store, WaitPolicy};
use nix::sys::wait::WaitStatus;

use super::kill::{assert_empties, assert_recovers, helper};
use super::traced::await_sleep;
use crate::support::{Forked, payload};

pub const NAME: &str = "name";
pub const OLD: u16 = 1;
pub const VICTIMS: u16 = 2;
pub const RIVALS: u16 = 3;
/// As many as the ring has words: what is sent to a full queue overwrites the word that was received last.
pub const CAPACITY: u32 = 8;
pub const SMALL: usize = 48;
/// More than lies in the queue itself.
pub const LARGE: usize = 300;

pub type Bytes = Queue<[u8], Raw>;
pub type Satisfy = fn(&World);

/// A region, and a queue in it.
pub struct World {
    pub store: Store<Raw>,
    pub queue: Bytes,
    /// Who waits, and what he hears of, if not of what the victim does.
    pub waiter: Option<(Forked, Satisfy)>,
}

pub fn region(store: &Store<Raw>) -> Region {
    store.connector().as_shm().unwrap().region().unwrap().clone()
}

pub fn options() -> QueueOptions {
    QueueOptions::new(CAPACITY).inline_bytes(64).max_deliveries(2)
}

pub fn empty() -> World {
    let options_of_region =
        RegionOptions::new().capacity(8 << 16).max_objects(20).max_participants(6);
    let shm = ShmConnector::new(options_of_region.anonymous().unwrap());
    let store = Store::builder("scene").connector(shm).codec(Raw).open().unwrap();
    // Warm, so that the victim meets what is usual.
    let warm = store.put(&payload::make(OLD, LARGE)[..]).unwrap();
    assert!(store.evict(warm).unwrap());
    let queue = store.queue_new_with(&options()).unwrap();
    World { store, queue, waiter: None }
}

pub fn holding(len: usize) -> World {
    let world = empty();
    world.queue.sender().unwrap().send(&payload::make(OLD, len)).unwrap();
    world
}

pub fn holding_small() -> World {
    holding(SMALL)
}

pub fn holding_large() -> World {
    holding(LARGE)
}

/// No room for another.
pub fn full() -> World {
    let world = empty();
    let sender = world.queue.sender().unwrap();
    (0..CAPACITY).for_each(|_| sender.send(&payload::make(OLD, SMALL)).unwrap());
    drop(sender);
    world
}

/// Small and large messages.
pub fn mixed() -> World {
    let world = empty();
    let sender = world.queue.sender().unwrap();
    for len in [LARGE, SMALL, LARGE] {
        sender.send(&payload::make(OLD, len)).unwrap();
    }
    drop(sender);
    world
}

pub fn named() -> World {
    let world = empty();
    world.store.queue_with::<[u8]>(NAME, &options()).unwrap();
    world
}

/// Sends something, unless there is no queue any more.
pub fn give(world: &World) {
    if let Ok(sender) = world.queue.sender() {
        sender.try_send(&payload::make(RIVALS, SMALL)).unwrap();
    }
}

pub fn make_room(world: &World) {
    if let Ok(receiver) = world.queue.receiver() {
        receiver.recv().unwrap().unwrap().ack().unwrap();
    }
}

/// Another waits for one message, or the end.
pub fn wait_in_another(world: &mut World) {
    let waiter = helper(|| {
        // Without it the stream may have ended already.
        let _open = world.queue.sender().unwrap();
        let receiver = world.queue.receiver().unwrap().wait_policy(WaitPolicy::Park);
        match receiver.recv() {
            Ok(Some(message)) => {
                let is_whole = payload::blame(None, &message).is_none();
                message.ack().unwrap();
                i32::from(!is_whole)
            }
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
        let receiver = world.queue.receiver().unwrap().wait_policy(WaitPolicy::Park);
        i32::from(!matches!(receiver.recv(), Ok(None)))
    });
    await_sleep(waiter.0);
    world.waiter = Some((waiter, |_| ()));
}

/// Another waits for room.
pub fn send_in_another(world: &mut World) {
    let waiter = helper(|| {
        let sender = world.queue.sender().unwrap().wait_policy(WaitPolicy::Park);
        match sender.send(&payload::make(RIVALS, SMALL)) {
            Ok(()) | Err(Error::NotFound { .. }) => 0,
            Err(_) => 2,
        }
    });
    await_sleep(waiter.0);
    world.waiter = Some((waiter, make_room));
}

/// A message that was given back too often.
pub fn letter() -> World {
    let world = holding_large();
    let receiver = world.queue.receiver().unwrap();
    (0..2).for_each(|_| drop(receiver.try_recv().unwrap().unwrap()));
    assert_eq!(region(&world.store).check().unwrap().dead_letters, 1);
    drop(receiver);
    world
}

/// How often a message of each seed is received, with all of its deliveries; dead letters count as well.
#[derive(Debug, Default)]
pub struct Drained {
    pub olds: u32,
    pub victims: u32,
    pub rivals: u32,
    pub letters: u32,
}

pub fn drain(world: &World) -> Drained {
    let receiver = world.queue.receiver().unwrap();
    let mut drained = Drained::default();
    let mut count = |message: Message<[u8], Raw>| {
        assert_eq!(payload::blame(None, &message), None, "a message is torn");
        match u16::from_le_bytes([message[0], message[1]]) {
            OLD => drained.olds += 1,
            VICTIMS => drained.victims += 1,
            _ => drained.rivals += 1,
        }
        message.ack().unwrap();
    };
    while let Some(message) = receiver.try_recv().unwrap() {
        count(message);
    }
    let mut letters = 0;
    for letter in receiver.dead_letters() {
        count(letter.unwrap());
        letters += 1;
    }
    drained.letters = letters;
    drained
}

/// Whoever waits hears of it; then so many can be sent again, and nothing is left.
pub fn ends(mut world: World) {
    if let Some((waiter, satisfy)) = world.waiter.take() {
        satisfy(&world);
        let end = waiter.wait();
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "a waiter heard something else: {end:?}");
    }
    let region = region(&world.store);
    region.reap().unwrap();
    if region.exists(world.queue.key()).unwrap() {
        drain(&world);
        let sender = world.queue.sender().unwrap();
        for _ in 0..CAPACITY {
            sender.try_send(&payload::make(RIVALS, SMALL)).expect("an envelope is lost");
        }
        assert!(matches!(sender.try_send(&[]), Err(Error::Full { .. })));
        drop(sender);
        assert_eq!(drain(&world).rivals, CAPACITY);
        assert!(world.queue.receiver().unwrap().has_ended().unwrap(), "the dead still produce");
    }
    assert_recovers(&region, 0..=1);
    let report = region.check().unwrap();
    assert_eq!((report.objects, report.retired, report.pins), (0, 0, 0), "{report}");
    assert_empties(&region, &[NAME]);
}

pub fn reaped(world: &World) {
    let region = region(&world.store);
    region.reap().unwrap();
    // Who waits may end between the two.
    if world.waiter.is_none() {
        let report = region.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

pub fn is_sent_or_not(world: World) {
    reaped(&world);
    if world.waiter.is_none() {
        let drained = drain(&world);
        assert!(drained.victims <= 1 && drained.olds == 0, "{drained:?}");
    }
    ends(world);
}

/// Nothing that was in the queue is lost or doubled.
pub fn is_still_there(world: World) {
    reaped(&world);
    let drained = drain(&world);
    assert_eq!(drained.olds, 1, "{drained:?}");
    ends(world);
}

pub fn is_acknowledged_or_still_there(world: World) {
    reaped(&world);
    if world.waiter.is_none() {
        let drained = drain(&world);
        assert!(drained.olds <= 1, "{drained:?}");
    }
    ends(world);
}

/// What was there of the full queue is there, but for the one that made room; and the victim's, or not.
pub fn is_full_or_sent(world: World) {
    reaped(&world);
    let drained = drain(&world);
    assert!((CAPACITY - 1..=CAPACITY).contains(&drained.olds), "{drained:?}");
    assert!(drained.victims <= 1, "{drained:?}");
    ends(world);
}

pub fn ends_at_last(world: World) {
    reaped(&world);
    if world.waiter.is_none() {
        assert!(world.queue.receiver().unwrap().has_ended().unwrap());
    }
    ends(world);
}

/// The whole queue is there, or nothing of it.
pub fn is_whole_or_gone(world: World) {
    reaped(&world);
    if region(&world.store).exists(world.queue.key()).unwrap() {
        if world.waiter.is_none() {
            assert_eq!(drain(&world).olds, 3);
        }
    } else {
        assert!(matches!(world.queue.sender(), Err(Error::NotFound { .. })));
    }
    ends(world);
}

/// The name leads to one queue; the victim's own is gone, or has the name.
pub fn is_opened(world: World) {
    reaped(&world);
    let region = region(&world.store);
    let before = region.lookup(NAME).unwrap();
    let queue = world.store.queue_with::<[u8]>(NAME, &options()).unwrap();
    assert!(before.is_none_or(|before| before == queue.key()));
    let keys = region.keys().unwrap();
    assert!(keys.iter().all(|key| [queue.key(), world.queue.key()].contains(key)), "{keys:?}");
    ends(world);
}

pub fn is_as_the_dead_left_it(world: World) {
    reaped(&world);
    let drained = drain(&world);
    assert_eq!((drained.olds, drained.victims), (1, 1), "{drained:?}");
    ends(world);
}

pub fn is_over(world: World) {
    reaped(&world);
    assert_eq!(drain(&world).olds, 0);
    ends(world);
}
