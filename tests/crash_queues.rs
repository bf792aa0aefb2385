//! Operations on queues, killed at every instruction: see `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use inplace::codec::Raw;
use inplace::{Message, Receiver, Sender, Store, WaitPolicy};
use support::payload;
use support::steps::kill::{Case, Start, keeper};
use support::steps::never::{Never, never_encode};
use support::steps::peek::{ABANDONED, ACKED, Peek, RETIRED, TAKEN, Word};
use support::steps::queues::*;
use support::steps::sweep::{Operation, sweep};
use support::steps::traced::left_by;

type Arrive = fn(World) -> Victim;

struct Victim {
    store: Store<Raw>,
    queue: Bytes,
    sender: Option<Sender<[u8], Raw>>,
    receiver: Option<Receiver<[u8], Raw>>,
    message: Option<Message<[u8], Raw>>,
    small: Vec<u8>,
    large: Vec<u8>,
}

fn arrive(world: World) -> Victim {
    let World { store, queue, .. } = world;
    let (small, large) = (payload::make(VICTIMS, SMALL), payload::make(VICTIMS, LARGE));
    Victim { store, queue, sender: None, receiver: None, message: None, small, large }
}

fn arrive_sending(world: World) -> Victim {
    let victim = arrive(world);
    // One that spins first takes as many rounds as there is time for.
    let sender = victim.queue.sender().unwrap().wait_policy(WaitPolicy::Park);
    Victim { sender: Some(sender), ..victim }
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

/// Made in place.
fn lend(victim: &mut Victim, bytes: fn(&Victim) -> &[u8]) {
    let bytes = bytes(victim);
    if let Ok(mut loan) = victim.sender.as_ref().unwrap().loan(bytes.len()) {
        loan.copy_from_slice(bytes);
        let _ = loan.send_with(b"metadata");
    }
}

fn lend_small(victim: &mut Victim) {
    lend(victim, |victim| &victim.small);
}

fn lend_large(victim: &mut Victim) {
    lend(victim, |victim| &victim.large);
}

fn lend_in_vain(victim: &mut Victim) {
    drop(victim.sender.as_ref().unwrap().loan(LARGE));
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
        at("lend and send", (empty, arrive_sending), lend_small, is_sent_or_not),
        at("lend and send an object", (empty, arrive_sending), lend_large, is_sent_or_not),
        at("lend, and drop it", (holding_small, arrive_sending), lend_in_vain, is_still_there),
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

/// A dead one has sent one message, has received another, and was about to send a third, an object.
fn busy() -> World {
    let world = holding_small();
    let dead = keeper(|stay| {
        let queue = world.store.with_codec(Never).queue_from_key::<[u8]>(world.queue.key());
        let receiver = queue.receiver().unwrap();
        let message = receiver.recv().unwrap().unwrap();
        let sender = queue.sender().unwrap();
        sender.send(&payload::make(VICTIMS, LARGE)).unwrap();
        never_encode(stay);
        let _ = sender.send(&payload::make(VICTIMS, LARGE));
        drop(message);
    });
    dead.kill();
    world
}

fn reaped_by_the_killed() -> Vec<Operation> {
    let at = |what, mess: fn() -> World, holds| -> Operation {
        Case::new(what, (mess, arrive as Arrive), reap, holds).operation()
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
