//! Objects with an owner, sent to a queue, received and adopted by one who is killed at every instruction: see
//! `support::steps`.
#![cfg(target_arch = "x86_64")]

mod support;

use inplace::codec::Raw;
use inplace::{Message, Owned, Receiver, Sender};
use support::payload;
use support::steps::kill::{Case, Start};
use support::steps::peek::{ACKED, Peek, Word};
use support::steps::queues::*;
use support::steps::sweep::{Operation, sweep};
use support::steps::traced::left_by;

struct Victim {
    world: World,
    sender: Option<Sender<[u8], Raw>>,
    receiver: Option<Receiver<[u8], Raw>>,
    message: Option<Message<[u8], Raw>>,
    owned: Option<Owned<[u8], Raw>>,
}

fn arrive(world: World) -> Victim {
    Victim { world, sender: None, receiver: None, message: None, owned: None }
}

/// With what it owns, in a cell of its own.
fn arrive_as_owner(world: World) -> Victim {
    let owned = world.store.own(&payload::make(VICTIMS, LARGE)[..]).unwrap();
    let sender = world.queue.sender().unwrap();
    Victim { owned: Some(owned), sender: Some(sender), ..arrive(world) }
}

/// With an object that nobody owned before.
fn arrive_with_claimed(world: World) -> Victim {
    let proxy = world.store.proxy(&payload::make(VICTIMS, LARGE)[..]).unwrap();
    let sender = world.queue.sender().unwrap();
    Victim { owned: Some(proxy.into_owned().unwrap()), sender: Some(sender), ..arrive(world) }
}

/// With what somebody else has evicted.
fn arrive_with_evicted(world: World) -> Victim {
    let victim = arrive_as_owner(world);
    assert!(victim.world.store.evict(victim.owned.as_ref().unwrap().key()).unwrap());
    victim
}

fn arrive_receiving(world: World) -> Victim {
    let receiver = world.queue.receiver().unwrap();
    Victim { receiver: Some(receiver), ..arrive(world) }
}

fn arrive_with_message(world: World) -> Victim {
    let mut victim = arrive_receiving(world);
    recv(&mut victim);
    victim
}

fn arrive_with_gone(world: World) -> Victim {
    let victim = arrive_with_message(world);
    let keys = region(&victim.world.store).keys().unwrap();
    for key in keys.into_iter().filter(|key| *key != victim.world.queue.key()) {
        assert!(victim.world.store.evict(key).unwrap());
    }
    victim
}

fn send(victim: &mut Victim) {
    let owned = victim.owned.take().unwrap();
    // What was not sent is kept by who is about to end.
    let unsent = victim.sender.as_ref().unwrap().send_owned(owned).err();
    victim.owned = unsent.map(|unsent| unsent.into_owned());
}

fn send_in_vain(victim: &mut Victim) {
    let owned = victim.owned.take().unwrap();
    let unsent = victim.sender.as_ref().unwrap().try_send_owned(owned).err();
    victim.owned = unsent.map(|unsent| unsent.into_owned());
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

fn adopt(victim: &mut Victim) {
    let message = victim.message.take().unwrap();
    victim.owned = victim.receiver.as_ref().unwrap().adopt(message).ok();
}

fn evict(victim: &mut Victim) {
    let _ = victim.world.queue.evict();
}

fn reap(victim: &mut Victim) {
    let _ = region(&victim.world.store).reap();
}

/// A message that is what its sender owned.
fn holding_owned() -> World {
    let world = empty();
    let owned = world.store.own(&payload::make(OLD, LARGE)[..]).unwrap();
    world.queue.sender().unwrap().send_owned(owned).unwrap();
    world
}

fn holding_claimed() -> World {
    let world = empty();
    let proxy = world.store.proxy(&payload::make(OLD, LARGE)[..]).unwrap();
    world.queue.sender().unwrap().send_owned(proxy.into_owned().unwrap()).unwrap();
    world
}

/// Nothing is left but what is in the queue.
fn nothing_else_is_there(world: &World) {
    reaped(world);
    let region = region(&world.store);
    let report = region.check().unwrap();
    let messages = report.queued + report.dead_letters;
    assert!(report.objects + report.variables <= messages, "{report}");
    assert_eq!(report.objects + report.variables, report.bound, "{report}");
}

fn is_sent_or_gone(world: World) {
    nothing_else_is_there(&world);
    is_sent_or_not(world);
}

fn is_full_and_it_is_gone(world: World) {
    nothing_else_is_there(&world);
    is_full_or_sent(world);
}

fn is_there_or_gone(world: World) {
    nothing_else_is_there(&world);
    is_acknowledged_or_still_there(world);
}

/// A message of which its receiver is told that it is gone, or nothing.
fn is_told_of_or_over(world: World) {
    reaped(&world);
    let receiver = world.queue.receiver().unwrap();
    let _ = receiver.try_recv();
    assert!(receiver.try_recv().unwrap().is_none(), "it is told of once");
    drop(receiver);
    ends(world);
}

fn is_whole(world: World) {
    nothing_else_is_there(&world);
    is_still_there(world);
}

fn is_there_with_its_queue(world: World) {
    nothing_else_is_there(&world);
    if region(&world.store).exists(world.queue.key()).unwrap() {
        assert_eq!(drain(&world).olds, 1);
    }
    ends(world);
}

fn killed() -> Vec<Operation> {
    let at = |what, start: Start<World, Victim>, operate, holds| -> Case<World, Victim> {
        Case::new(what, start, operate, holds)
    };
    let cases = [
        at("send what is owned", (empty, arrive_as_owner), send, is_sent_or_gone),
        at("send what is owned, awaited", (empty, arrive_as_owner), send, is_sent_or_not)
            .before(wait_in_another),
        at("send what was claimed", (empty, arrive_with_claimed), send, is_sent_or_gone),
        at("send what is gone", (empty, arrive_with_evicted), send, is_sent_or_gone),
        at(
            "send what is owned, full",
            (full, arrive_as_owner),
            send_in_vain,
            is_full_and_it_is_gone,
        ),
        at("receive what was owned", (holding_owned, arrive_receiving), recv, is_whole),
        at("ack what was owned", (holding_owned, arrive_with_message), ack, is_there_or_gone),
        at("give back what was owned", (holding_owned, arrive_with_message), give_back, is_whole),
        at("adopt what was owned", (holding_owned, arrive_with_message), adopt, is_there_or_gone),
        at(
            "adopt what was claimed",
            (holding_claimed, arrive_with_message),
            adopt,
            is_there_or_gone,
        ),
        at("adopt what is gone", (holding_owned, arrive_with_gone), adopt, is_told_of_or_over),
        at("adopt a large message", (holding_large, arrive_with_message), adopt, is_there_or_gone),
        at("adopt a small message", (holding_small, arrive_with_message), adopt, is_there_or_gone),
        at("evict a queue that owns", (holding_owned, arrive), evict, is_there_with_its_queue),
    ];
    cases.into_iter().map(Case::operation).collect()
}

/// Acknowledged by a dead one, who was about to own it.
fn acknowledged() -> World {
    let world = holding_owned();
    let word = Peek::of(&region(&world.store)).envelope(world.queue.key(), 0);
    left_by(world, (word, |word| word.stage() == ACKED), (arrive_with_message, adopt))
}

/// Owned by a dead one, whose envelope names it still.
fn adopted() -> World {
    let world = holding_owned();
    let peek = Peek::of(&region(&world.store));
    let keys = region(&world.store).keys().unwrap();
    let key = keys.into_iter().find(|key| *key != world.queue.key()).unwrap();
    let is_bound = |word: Word| word.get() >> 12 & 0xfff != 0;
    left_by(world, (peek.slot(key), is_bound), (arrive_with_message, adopt))
}

/// Named by the envelope of a dead one, who owned it still or not any more.
fn named_by_the_dead() -> World {
    let world = empty();
    let object = Peek::of(&region(&world.store)).envelope(world.queue.key(), 0).next();
    left_by(world, (object, |word| word.get() != 0), (arrive_as_owner, send))
}

fn is_gone(world: World) {
    nothing_else_is_there(&world);
    is_over(world);
}

fn reaped_by_the_killed() -> Vec<Operation> {
    let at = |what, mess: fn() -> World, holds| -> Operation {
        let start: Start<World, Victim> = (mess, arrive);
        Case::new(what, start, reap, holds).operation()
    };
    vec![
        at("reap, an adoption after its first CAS", acknowledged, is_gone),
        at("reap, an adoption after its second CAS", adopted, is_gone),
        at("reap, a send whose envelope names it", named_by_the_dead, is_gone),
    ]
}

#[test]
fn killed_at_any_instruction_one_leaves_what_was_owned_to_one_owner_or_nothing_of_it() {
    sweep("owned messages", 8, &killed());
}

#[test]
fn killed_at_any_instruction_a_reaper_leaves_nothing_that_the_dead_owned() {
    sweep("reaped owned messages", 8, &reaped_by_the_killed());
}
