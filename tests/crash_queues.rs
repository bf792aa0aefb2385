//! Operations on queues, killed at every instruction: see `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use inplace::codec::{Codec, Decoded, Raw};
use inplace::connector::{Block, BlockWriter, ShmConnector};
use inplace::{
    Error, Fingerprint, Message, Queue, QueueOptions, Receiver, Region, RegionOptions, Sender,
    Store, WaitPolicy,
};
use nix::sys::wait::WaitStatus;
use support::steps::kill::{Case, Start, assert_empties, assert_recovers, helper, keeper};
use support::steps::peek::{ABANDONED, ACKED, Peek, RETIRED, TAKEN, Word};
use support::steps::sweep::{Operation, sweep};
use support::steps::traced::{Traced, Whom, await_sleep, begin, end};
use support::{Forked, payload};

const NAME: &str = "name";
const OLD: u16 = 1;
const VICTIMS: u16 = 2;
const RIVALS: u16 = 3;
const CAPACITY: u32 = 5;
const SMALL: usize = 48;
/// More than lies in the queue itself.
const LARGE: usize = 300;

type Bytes = Queue<[u8], Raw>;

/// A region, and a queue in it.
struct World {
    store: Store<Raw>,
    queue: Bytes,
    /// Who waits, and what he hears of, if not of what the victim does.
    waiter: Option<(Forked, fn(&World))>,
}

struct Victim {
    store: Store<Raw>,
    queue: Bytes,
    sender: Option<Sender<[u8], Raw>>,
    receiver: Option<Receiver<[u8], Raw>>,
    message: Option<Message<[u8], Raw>>,
    small: Vec<u8>,
    large: Vec<u8>,
}

fn region(store: &Store<Raw>) -> Region {
    store.connector().as_shm().unwrap().region().unwrap().clone()
}

fn options() -> QueueOptions {
    QueueOptions::new(CAPACITY).inline_bytes(64).max_deliveries(2)
}

fn empty() -> World {
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

fn holding(len: usize) -> World {
    let world = empty();
    world.queue.sender().unwrap().send(&payload::make(OLD, len)).unwrap();
    world
}

fn holding_small() -> World {
    holding(SMALL)
}

fn holding_large() -> World {
    holding(LARGE)
}

/// No room for another.
fn full() -> World {
    let world = empty();
    let sender = world.queue.sender().unwrap();
    (0..CAPACITY).for_each(|_| sender.send(&payload::make(OLD, SMALL)).unwrap());
    drop(sender);
    world
}

/// Small and large messages.
fn mixed() -> World {
    let world = empty();
    let sender = world.queue.sender().unwrap();
    for len in [LARGE, SMALL, LARGE] {
        sender.send(&payload::make(OLD, len)).unwrap();
    }
    drop(sender);
    world
}

fn named() -> World {
    let world = empty();
    world.store.queue_with::<[u8]>(NAME, &options()).unwrap();
    world
}

fn arrive(world: World) -> Victim {
    let World { store, queue, .. } = world;
    let (small, large) = (payload::make(VICTIMS, SMALL), payload::make(VICTIMS, LARGE));
    Victim { store, queue, sender: None, receiver: None, message: None, small, large }
}

fn arrive_sending(world: World) -> Victim {
    let victim = arrive(world);
    Victim { sender: Some(victim.queue.sender().unwrap()), ..victim }
}

fn arrive_receiving(world: World) -> Victim {
    let victim = arrive(world);
    let receiver = victim.queue.receiver().unwrap().wait_policy(WaitPolicy::Park);
    Victim { receiver: Some(receiver), ..victim }
}

fn arrive_with_message(world: World) -> Victim {
    let mut victim = arrive_receiving(world);
    recv(&mut victim);
    victim
}

/// With a message that it is the second to receive.
fn arrive_with_last_delivery(world: World) -> Victim {
    let mut victim = arrive_with_message(world);
    drop(victim.message.take());
    recv(&mut victim);
    victim
}

fn make(victim: &mut Victim) {
    let _ = victim.store.queue_new_with::<[u8]>(&options());
}

/// In units of its own.
fn make_large(victim: &mut Victim) {
    let _ = victim.store.queue_new_with::<[u8]>(&options().inline_bytes(16384));
}

fn open(victim: &mut Victim) {
    let _ = victim.store.queue_with::<[u8]>(NAME, &options());
}

fn produce(victim: &mut Victim) {
    victim.sender = victim.queue.sender().ok();
}

fn consume(victim: &mut Victim) {
    victim.receiver = victim.queue.receiver().ok();
}

fn send_small(victim: &mut Victim) {
    let _ = victim.sender.as_ref().unwrap().send_with(&victim.small, b"metadata");
}

fn send_large(victim: &mut Victim) {
    let _ = victim.sender.as_ref().unwrap().send(&victim.large);
}

fn send_in_vain(victim: &mut Victim) {
    let _ = victim.sender.as_ref().unwrap().try_send(&victim.small);
}

fn close(victim: &mut Victim) {
    drop(victim.sender.take());
}

fn recv(victim: &mut Victim) {
    victim.message = victim.receiver.as_ref().unwrap().recv().unwrap_or_default();
}

fn ack(victim: &mut Victim) {
    let _ = victim.message.take().unwrap().ack();
}

fn give_back(victim: &mut Victim) {
    drop(victim.message.take());
}

fn read_letter(victim: &mut Victim) {
    drop(victim.receiver.as_ref().unwrap().dead_letters().next());
}

fn evict(victim: &mut Victim) {
    let _ = victim.queue.evict();
}

fn reap(victim: &mut Victim) {
    let _ = region(&victim.store).reap();
}

/// Sends something, unless there is no queue any more.
fn give(world: &World) {
    if let Ok(sender) = world.queue.sender() {
        sender.try_send(&payload::make(RIVALS, SMALL)).unwrap();
    }
}

fn make_room(world: &World) {
    if let Ok(receiver) = world.queue.receiver() {
        receiver.recv().unwrap().unwrap().ack().unwrap();
    }
}

/// Another waits for one message, or the end.
fn wait_in_another(world: &mut World) {
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
fn wait_for_the_end(world: &mut World) {
    let waiter = helper(|| {
        let receiver = world.queue.receiver().unwrap().wait_policy(WaitPolicy::Park);
        i32::from(!matches!(receiver.recv(), Ok(None)))
    });
    await_sleep(waiter.0);
    world.waiter = Some((waiter, |_| ()));
}

/// Another waits for room.
fn send_in_another(world: &mut World) {
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

/// How often a message of each seed is received, with all of its deliveries; dead letters count as well.
#[derive(Debug, Default)]
struct Drained {
    olds: u32,
    victims: u32,
    rivals: u32,
    letters: u32,
}

fn drain(world: &World) -> Drained {
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
fn ends(mut world: World) {
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

fn reaped(world: &World) {
    let region = region(&world.store);
    region.reap().unwrap();
    // Who waits may end between the two.
    if world.waiter.is_none() {
        let report = region.check().unwrap();
        assert!(report.is_clean(), "{report}");
    }
}

fn is_sent_or_not(world: World) {
    reaped(&world);
    if world.waiter.is_none() {
        let drained = drain(&world);
        assert!(drained.victims <= 1 && drained.olds == 0, "{drained:?}");
    }
    ends(world);
}

/// Nothing that was in the queue is lost or doubled.
fn is_still_there(world: World) {
    reaped(&world);
    let drained = drain(&world);
    assert_eq!(drained.olds, 1, "{drained:?}");
    ends(world);
}

fn is_acknowledged_or_still_there(world: World) {
    reaped(&world);
    if world.waiter.is_none() {
        let drained = drain(&world);
        assert!(drained.olds <= 1, "{drained:?}");
    }
    ends(world);
}

/// What was there of the full queue is there, but for the one that made room; and the victim's, or not.
fn is_full_or_sent(world: World) {
    reaped(&world);
    let drained = drain(&world);
    assert!((CAPACITY - 1..=CAPACITY).contains(&drained.olds), "{drained:?}");
    assert!(drained.victims <= 1, "{drained:?}");
    ends(world);
}

fn ends_at_last(world: World) {
    reaped(&world);
    if world.waiter.is_none() {
        assert!(world.queue.receiver().unwrap().has_ended().unwrap());
    }
    ends(world);
}

/// The whole queue is there, or nothing of it.
fn is_whole_or_gone(world: World) {
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
fn is_opened(world: World) {
    reaped(&world);
    let region = region(&world.store);
    let before = region.lookup(NAME).unwrap();
    let queue = world.store.queue_with::<[u8]>(NAME, &options()).unwrap();
    assert!(before.is_none_or(|before| before == queue.key()));
    let keys = region.keys().unwrap();
    assert!(keys.iter().all(|key| [queue.key(), world.queue.key()].contains(key)), "{keys:?}");
    ends(world);
}

fn killed() -> Vec<Operation> {
    let at = |what, start: Start<World, Victim>, operate, holds| -> Case<World, Victim> {
        Case::new(what, start, operate, holds)
    };
    let cases = [
        at("new", (empty, arrive), make, is_sent_or_not),
        at("new, of units", (empty, arrive), make_large, is_sent_or_not),
        at("open, a new name", (empty, arrive), open, is_opened),
        at("open, a known name", (named, arrive), open, is_opened),
        at("produce", (holding_small, arrive), produce, is_still_there),
        at("consume", (holding_small, arrive), consume, is_still_there),
        at("send", (empty, arrive_sending), send_small, is_sent_or_not),
        at("send an object", (empty, arrive_sending), send_large, is_sent_or_not),
        at("send, awaited", (empty, arrive_sending), send_small, is_sent_or_not)
            .before(wait_in_another),
        at("send, full", (full, arrive_sending), send_in_vain, is_full_or_sent),
        at("send, waiting for room", (full, arrive_sending), send_small, is_full_or_sent)
            .woken_by(make_room),
        at("receive", (holding_small, arrive_receiving), recv, is_still_there),
        at("receive an object", (holding_large, arrive_receiving), recv, is_still_there),
        at("receive, waiting", (empty, arrive_receiving), recv, is_sent_or_not).woken_by(give),
        at("ack", (holding_small, arrive_with_message), ack, is_acknowledged_or_still_there),
        at(
            "ack an object",
            (holding_large, arrive_with_message),
            ack,
            is_acknowledged_or_still_there,
        ),
        at("ack, awaited", (full, arrive_with_message), ack, is_acknowledged_or_still_there)
            .before(send_in_another),
        at("give back", (holding_small, arrive_with_message), give_back, is_still_there),
        at("give back an object", (holding_large, arrive_with_message), give_back, is_still_there),
        at(
            "give back, awaited",
            (holding_small, arrive_with_message),
            give_back,
            is_acknowledged_or_still_there,
        )
        .before(wait_in_another),
        at(
            "give back, too often",
            (holding_large, arrive_with_last_delivery),
            give_back,
            is_still_there,
        ),
        at("read a dead letter", (letter, arrive_receiving), read_letter, is_still_there),
        at("close", (empty, arrive_sending), close, ends_at_last),
        at("close, awaited", (empty, arrive_sending), close, ends_at_last).before(wait_for_the_end),
        at("evict", (mixed, arrive), evict, is_whole_or_gone),
        at("evict, awaited", (empty, arrive), evict, is_sent_or_not).before(wait_in_another),
        at("evict, a sender waits", (full, arrive), evict, is_acknowledged_or_still_there)
            .before(send_in_another),
    ];
    cases.into_iter().map(Case::operation).collect()
}

/// A message that was given back too often.
fn letter() -> World {
    let world = holding_large();
    let receiver = world.queue.receiver().unwrap();
    (0..2).for_each(|_| drop(receiver.try_recv().unwrap().unwrap()));
    assert_eq!(region(&world.store).check().unwrap().dead_letters, 1);
    drop(receiver);
    world
}

/// Does something and is killed as soon as it has written a word like that.
fn left_by(
    world: World,
    (word, is_it): (Word, impl Fn(Word) -> bool),
    (come, work): (fn(World) -> Victim, fn(&mut Victim)),
) -> World {
    let mut traced = Traced::start(Whom::Victim, || {
        // SAFETY: the victim ends without dropping the survivor's, which is a copy of its own, forked.
        let world = unsafe { std::ptr::read(&raw const world) };
        let mut mine = std::mem::ManuallyDrop::new(come(world));
        begin();
        work(&mut mine);
        end();
    });
    traced.step_until(word, is_it);
    traced.kill();
    world
}

fn envelope(world: &World) -> Word {
    Peek::of(&region(&world.store)).envelope(world.queue.key(), 0)
}

/// Received by a dead one.
fn taken() -> World {
    let world = holding_large();
    let word = envelope(&world);
    left_by(world, (word, |word| word.stage() == TAKEN), (arrive_receiving, recv))
}

/// Acknowledged by a dead one, who has evicted nothing.
fn acknowledged() -> World {
    let world = holding_large();
    let word = envelope(&world);
    left_by(world, (word, |word| word.stage() == ACKED), (arrive_with_message, ack))
}

/// Given back by a dead one, who told nobody; somebody sleeps.
fn given_back() -> World {
    let world = holding_large();
    let word = envelope(&world);
    left_by(world, (word, |word| word.stage() == ABANDONED), (arrive_with_message, give_back))
}

/// Evicted by a dead one.
fn retired() -> World {
    let world = mixed();
    let word = Peek::of(&region(&world.store)).slot(world.queue.key());
    left_by(world, (word, |word| word.state() == RETIRED), (arrive, evict))
}

/// Encodes for ever.
#[derive(Debug, Clone, Copy, Default)]
struct Never;

impl Codec<[u8]> for Never {
    type Target = [u8];
    const FINGERPRINT: Fingerprint = Fingerprint::BYTES;

    fn type_name() -> String {
        "bytes".into()
    }

    fn size_hint(&self, value: &[u8]) -> usize {
        value.len()
    }

    fn encode(&self, value: &[u8], out: &mut BlockWriter<'_>) -> inplace::Result<()> {
        out.write(value);
        STAY.with(|stay| match stay.take() {
            Some(stay) => stay(),
            None => Ok(()),
        })
    }

    fn decode(block: Block) -> inplace::Result<Decoded<[u8]>> {
        Decoded::project(block, |bytes| Ok(bytes))
    }
}

thread_local! {
    static STAY: std::cell::Cell<Option<&'static dyn Fn() -> inplace::Result<()>>> =
        const { std::cell::Cell::new(None) };
}

/// A dead one has sent one message, has received another, and was about to send a third, an object.
fn busy() -> World {
    let world = holding_small();
    let dead = keeper(|stay| {
        let queue = world.store.with_codec(Never).queue_from_key::<[u8]>(world.queue.key());
        let receiver = queue.receiver().unwrap();
        let message = receiver.recv().unwrap().unwrap();
        let sender = queue.sender().unwrap();
        sender.send(&payload::make(VICTIMS, LARGE)).unwrap();
        // SAFETY: it never returns, and is called in this frame only.
        let stay: &'static dyn Fn() -> inplace::Result<()> = unsafe { std::mem::transmute(stay) };
        STAY.set(Some(stay));
        let _ = sender.send(&payload::make(VICTIMS, LARGE));
        drop(message);
    });
    dead.kill();
    world
}

fn is_as_the_dead_left_it(world: World) {
    reaped(&world);
    let drained = drain(&world);
    assert_eq!((drained.olds, drained.victims), (1, 1), "{drained:?}");
    ends(world);
}

fn is_over(world: World) {
    reaped(&world);
    assert_eq!(drain(&world).olds, 0);
    ends(world);
}

fn reaped_by_the_killed() -> Vec<Operation> {
    let at = |what, mess: fn() -> World, holds| -> Operation {
        Case::new(what, (mess, arrive as fn(World) -> Victim), reap, holds).operation()
    };
    vec![
        at("reap, a receive after its CAS", taken, is_still_there),
        at("reap, an ack after its first CAS", acknowledged, is_over),
        at("reap, a return after its CAS", given_back, is_still_there),
        at("reap, an evict, RETIRED", retired, is_whole_or_gone),
        at("reap, one who sends and has received", busy, is_as_the_dead_left_it),
    ]
}

#[test]
fn killed_at_any_instruction_one_leaves_the_queue_and_every_message_whole() {
    sweep("queues", 8, &killed());
}

#[test]
fn killed_at_any_instruction_a_reaper_of_a_queue_leaves_the_rest_to_the_next() {
    sweep("reaped queues", 8, &reaped_by_the_killed());
}
