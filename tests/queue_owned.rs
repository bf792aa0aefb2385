//! Objects that have an owner, as messages: what they promise, in processes, some of which are killed.

mod support;

use std::time::Duration;

use inplace::codec::Serde;
use inplace::{Deadline, Error, Key, Queue, QueueOptions, Region, RegionOptions, Store, Unsent};
use nix::sys::wait::WaitStatus;
use support::owners::{adopt, copy, left, over, region, resident, sent};
use support::{Name, Program, alone, eventually, hear, in_child, say, start_child};

const LARGE: usize = 20_000;

fn text(seed: char) -> String {
    seed.to_string().repeat(LARGE)
}

/// A region, a store and a queue in it.
fn scene(capacity: u32) -> (Region, Store, Queue<str>) {
    let region = region();
    let store = over(&region);
    let queue = store.queue_new_with(&QueueOptions::new(capacity).max_deliveries(2)).unwrap();
    (region, store, queue)
}

fn bytes_in_use(region: &Region) -> u64 {
    region.check().unwrap().bytes_in_use
}

#[test]
fn what_is_owned_is_sent_and_received_where_it_lies() {
    let _alone = alone();
    let (region, store, queue) = scene(4);
    let owned = store.own(&*text('a')).unwrap();
    let (key, place, proxy) = (owned.key(), owned.as_ptr(), owned.proxy());
    let before = bytes_in_use(&region);
    queue.sender().unwrap().send_owned_with(owned, b"beside").unwrap();
    assert_eq!(bytes_in_use(&region), before, "nothing was copied");
    assert_eq!(left(&region), 1);
    let receiver = queue.receiver().unwrap();
    let message = receiver.recv().unwrap().unwrap();
    assert_eq!((message.as_ptr(), message.metadata()), (place, &b"beside"[..]));
    assert_eq!(proxy.as_ptr(), place, "others find it as before");
    let mut owned = receiver.adopt(message).unwrap();
    assert_eq!((owned.key(), owned.as_ptr(), bytes_in_use(&region)), (key, place, before));
    owned.update("newer").unwrap();
    assert_eq!(store.proxy_from_key::<str>(key).as_str(), "newer");
    drop(owned);
    assert_eq!(left(&region), 0);
}

#[test]
fn what_is_acknowledged_is_evicted_and_its_memory_returns() {
    let _alone = alone();
    let (region, store, queue) = scene(1);
    let empty = bytes_in_use(&region);
    for _ in 0..50 {
        let owned = store.own(&*text('a')).unwrap();
        let key = owned.key();
        queue.sender().unwrap().try_send_owned(owned).unwrap();
        let message = queue.receiver().unwrap().recv().unwrap().unwrap();
        let view = store.get::<str>(key).unwrap().unwrap();
        message.ack().unwrap();
        assert!(!store.exists(key).unwrap());
        assert_eq!(*view, *text('a'), "a view stays");
        drop(view);
        assert_eq!((left(&region), bytes_in_use(&region)), (0, empty));
    }
}

#[test]
fn what_was_sent_stays_when_its_sender_is_killed() {
    let _alone = alone();
    let (region, store, queue) = scene(4);
    let sender = resident(
        || {
            let sender = queue.sender().unwrap();
            sender.send_owned(over(&region).own(&*text('a')).unwrap()).unwrap();
            std::mem::forget(sender);
        },
        || region.check().unwrap().queued == 1,
    );
    sender.kill();
    assert_eq!(left(&region), 1);
    let receiver = queue.receiver().unwrap();
    let owned = receiver.adopt(receiver.recv().unwrap().unwrap()).unwrap();
    assert_eq!(*owned, *text('a'));
    assert_eq!(left(&region), 1);
    assert!(receiver.recv().unwrap().is_none(), "the stream is over");
    let token = sent(owned.into_token().unwrap());
    assert_eq!(*adopt(&store, &token).unwrap(), *text('a'), "it is owned like any other");
}

#[test]
fn what_a_killed_receiver_held_is_received_again_and_what_it_adopted_goes() {
    let _alone = alone();
    let (region, store, queue) = scene(4);
    queue.sender().unwrap().send_owned(store.own("held").unwrap()).unwrap();
    let holder = resident(
        || std::mem::forget(queue.receiver().unwrap().recv().unwrap()),
        || region.check().unwrap().unacknowledged == 1,
    );
    holder.kill();
    assert_eq!(left(&region), 1);
    let adopter = resident(
        || {
            let receiver = queue.receiver().unwrap();
            let message = receiver.recv().unwrap().unwrap();
            assert_eq!(message.deliveries(), 2);
            std::mem::forget(receiver.adopt(message).unwrap());
            region.bind("adopted", store.put("a sign").unwrap()).unwrap();
        },
        || region.lookup("adopted").unwrap().is_some(),
    );
    assert!(region.evict(region.lookup("adopted").unwrap().unwrap()).unwrap());
    assert_eq!(left(&region), 1);
    adopter.kill();
    assert_eq!(left(&region), 0);
    assert!(queue.receiver().unwrap().try_recv().unwrap().is_none());
}

#[test]
fn a_message_that_is_given_back_is_received_again_and_then_a_dead_letter() {
    let _alone = alone();
    let (region, store, queue) = scene(4);
    let owned = store.own("returned").unwrap();
    let key = owned.key();
    queue.sender().unwrap().send_owned(owned).unwrap();
    let receiver = queue.receiver().unwrap();
    for delivery in 1..=2 {
        let message = receiver.recv().unwrap().unwrap();
        assert_eq!((message.as_str(), message.deliveries()), ("returned", delivery));
    }
    assert!(receiver.try_recv().unwrap().is_none());
    assert_eq!(left(&region), 1, "a dead letter keeps it");
    let letter = receiver.dead_letters().next().unwrap().unwrap();
    assert_eq!(receiver.adopt(letter).unwrap().key(), key);
    assert_eq!((left(&region), receiver.dead_letters().count()), (0, 0));
}

#[test]
fn what_a_queue_owns_goes_with_it() {
    let _alone = alone();
    let (region, store, queue) = scene(4);
    let sender = queue.sender().unwrap();
    sender.send_owned(store.own("one").unwrap()).unwrap();
    sender.send_owned(store.proxy("another").unwrap().into_owned().unwrap()).unwrap();
    assert_eq!(left(&region), 2);
    assert!(queue.evict().unwrap());
    let unsent = sender.send_owned(store.own("late").unwrap()).unwrap_err();
    assert!(matches!(unsent.error(), Error::NotFound { .. }));
    assert_eq!(left(&region), 3, "the sender has the queue still");
    drop(sender);
    assert_eq!(left(&region), 1);
    assert_eq!(unsent.into_owned().as_str(), "late");
    assert_eq!((left(&region), bytes_in_use(&region)), (0, 0));
}

#[test]
fn what_can_not_be_sent_comes_back_owned_as_before() {
    let _alone = alone();
    let (region, store, queue) = scene(1);
    let sender = queue.sender().unwrap();
    let refused = |unsent: Result<(), Unsent<str>>, is_it: fn(&Error) -> bool| {
        let unsent = unsent.unwrap_err();
        assert!(is_it(unsent.error()), "{unsent:?}");
        assert_eq!(unsent.to_string(), unsent.error().to_string());
        unsent.into_owned()
    };
    let owned = store.own("mine").unwrap();
    let owned = refused(sender.send_owned_with(owned, &[0; 33]), |error| {
        matches!(error, Error::TooLarge { len: 33, most: 32, .. })
    });
    sender.send("in the way").unwrap();
    let owned = refused(sender.try_send_owned(owned), |error| matches!(error, Error::Full { .. }));
    let owned = refused(sender.send_owned_timeout(owned, Duration::from_millis(1)), |error| {
        matches!(error, Error::TimedOut { .. })
    });
    assert_eq!((owned.as_str(), left(&region)), ("mine", 1));
    queue.receiver().unwrap().recv().unwrap().unwrap().ack().unwrap();
    let (_, _, elsewhere) = scene(1);
    let owned = refused(elsewhere.sender().unwrap().send_owned(owned), |error| {
        matches!(error, Error::WrongRegion { .. })
    });
    assert!(store.evict(owned.key()).unwrap());
    let owned = refused(sender.send_owned(owned), |e| matches!(e, Error::NotFound { .. }));
    assert_eq!(owned.as_str(), "mine", "its view stays");
    let error = sender.send_owned(owned).unwrap_err().into_error();
    assert!(matches!(error, Error::NotFound { .. }));
    sender.try_send_owned(store.own("next").unwrap()).expect("no envelope is lost");
}

#[test]
fn a_message_of_another_region_is_adopted_by_no_receiver_of_this_one_and_given_back() {
    let _alone = alone();
    let (_region, _store, queue) = scene(4);
    let (region, _there, elsewhere) = scene(4);
    let (sender, receiver) = (elsewhere.sender().unwrap(), elsewhere.receiver().unwrap());
    for message in ["small".to_owned(), "large ".repeat(1000)] {
        sender.send(&message).unwrap();
        let error = queue.receiver().unwrap().adopt(receiver.recv().unwrap().unwrap()).unwrap_err();
        assert!(matches!(error, Error::WrongRegion { .. }), "{error}");
        let again = receiver.recv().unwrap().unwrap();
        assert_eq!((again.as_str(), again.deliveries()), (&message[..], 2));
        drop(receiver.adopt(again).unwrap());
        assert_eq!(left(&region), 0);
    }
}

#[test]
fn a_forked_child_neither_sends_nor_adopts_what_is_its_parents() {
    let _alone = alone();
    let (region, store, queue) = scene(4);
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send_owned(store.own("received").unwrap()).unwrap();
    let owned = store.own("mine").unwrap();
    let message = receiver.recv().unwrap().unwrap();
    let code = in_child(|| {
        let [parents, of_another] = [copy(&owned), copy(&owned)];
        let unsent = sender.send_owned(parents).unwrap_err();
        assert!(matches!(unsent.error(), Error::NotOwner { .. }));
        let unsent = queue.sender().unwrap().send_owned(of_another).unwrap_err();
        assert!(matches!(unsent.error(), Error::NotOwner { .. }));
        assert!(matches!(receiver.adopt(copy(&message)), Err(Error::NotOwner { .. })));
        0
    });
    assert_eq!((code, left(&region)), (0, 2));
    assert_eq!(receiver.adopt(message).unwrap().as_str(), "received");
}

#[test]
fn nobody_owns_sets_or_adopts_by_a_token_what_is_in_a_queue() {
    let _alone = alone();
    let (region, store, queue) = scene(4);
    let _registered = store.register().unwrap();
    let used = sent(store.own("guarded").unwrap().into_token().unwrap());
    let owned = adopt(&store, &used).unwrap();
    let (key, cell) = (owned.key(), store.cell_from_key::<str>(owned.key()));
    queue.sender().unwrap().send_owned(owned).unwrap();
    let is_refused = || {
        let claimed = store.proxy_from_key::<str>(key).into_owned();
        assert!(matches!(claimed, Err(Error::NotOwner { .. })), "{claimed:?}");
        assert!(matches!(cell.set("other"), Err(Error::NotOwner { .. })));
        assert!(matches!(region.offer_object(key), Err(Error::NotOwner { .. })));
        assert!(matches!(region.unbind_from_process(key), Err(Error::NotOwner { .. })));
        assert!(!region.evict_bound(key).unwrap());
        let adopted = adopt(&store, &used);
        assert!(matches!(adopted, Err(Error::AlreadyAdopted { .. })), "{adopted:?}");
    };
    is_refused();
    let message = queue.receiver().unwrap().recv().unwrap().unwrap();
    is_refused();
    assert_eq!(message.as_str(), "guarded");
}

#[test]
fn what_somebody_evicted_in_the_queue_is_told_of_once() {
    let _alone = alone();
    let (region, store, queue) = scene(2);
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    let is_told_of = |key: Key| {
        sender.send("next").unwrap();
        assert_eq!(left(&region), 0, "that is nothing to blame");
        assert!(matches!(receiver.recv(), Err(Error::NotFound { key: found }) if found == key));
        let next = receiver.recv().unwrap().unwrap();
        assert_eq!(next.as_str(), "next");
        next.ack().unwrap();
        assert!(receiver.try_recv().unwrap().is_none());
    };
    let owned = store.own("evicted").unwrap();
    let key = owned.key();
    sender.send_owned(owned).unwrap();
    assert!(store.evict(key).unwrap());
    is_told_of(key);

    let owned = store.proxy("over").unwrap().into_owned().unwrap();
    let key = owned.key();
    sender.send_owned(owned).unwrap();
    assert!(region.set_deadline(key, Some(Deadline::after(Duration::ZERO))).unwrap());
    is_told_of(key);

    let owned = store.own("evicted").unwrap();
    let key = owned.key();
    sender.send_owned(owned).unwrap();
    let message = receiver.recv().unwrap().unwrap();
    assert!(store.evict(key).unwrap());
    assert_eq!(message.as_str(), "evicted", "who has received it has it");
    assert!(matches!(receiver.adopt(message), Err(Error::NotFound { .. })));
    assert_eq!((left(&region), receiver.try_recv().unwrap().is_none()), (0, true));
}

#[test]
fn what_nobody_owned_is_sent_by_whoever_owns_it_first() {
    let _alone = alone();
    let (region, store, queue) = scene(4);
    let proxy = store.proxy(&*text('p')).unwrap();
    queue.sender().unwrap().send_owned(proxy.clone().into_owned().unwrap()).unwrap();
    let receiver = queue.receiver().unwrap();
    let mut owned = receiver.adopt(receiver.recv().unwrap().unwrap()).unwrap();
    assert_eq!((owned.key(), owned.as_ptr()), (proxy.key(), proxy.as_ptr()));
    owned.update("of a cell").unwrap();
    assert_ne!(owned.key(), proxy.key(), "an object never changes");
    let shared = owned.into_shared().unwrap();
    assert!(store.evict(shared.key()).unwrap());
    assert_eq!(left(&region), 0);
}

#[test]
fn what_was_sent_by_value_is_adopted_with_a_copy_only_if_it_lies_in_the_queue() {
    let _alone = alone();
    let (region, store, queue) = scene(4);
    let receiver = queue.receiver().unwrap();
    let sender = queue.sender().unwrap();
    sender.send(&text('l')).unwrap();
    let message = receiver.recv().unwrap().unwrap();
    let (place, before) = (message.as_ptr(), bytes_in_use(&region));
    let large = receiver.adopt(message).unwrap();
    assert_eq!((large.as_ptr(), bytes_in_use(&region)), (place, before));
    assert!(!store.proxy_from_key::<str>(large.key()).is_empty(), "it has a key now");

    sender.send("small").unwrap();
    let small = receiver.adopt(receiver.recv().unwrap().unwrap()).unwrap();
    sender.send("over it").unwrap();
    assert_eq!(small.as_str(), "small");
    assert_eq!(left(&region), 2);
    let token = sent(large.into_token().unwrap());
    let mut large = adopt(&store, &token).unwrap();
    large.update("another").unwrap();
    drop((large, small));
    assert_eq!(left(&region), 0);
}

#[test]
fn values_that_are_made_anew_are_sent_and_adopted_as_well() {
    let _alone = alone();
    let (region, store, _queue) = scene(4);
    let store = store.with_codec(Serde);
    let queue = store.queue_new::<Vec<u32>>(2).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send_owned(store.own(&vec![1, 2, 3]).unwrap()).unwrap();
    sender.send(&vec![4]).unwrap();
    for expected in [vec![1, 2, 3], vec![4]] {
        let owned = receiver.adopt(receiver.recv().unwrap().unwrap()).unwrap();
        assert_eq!((&*owned, left(&region)), (&expected, 1));
    }
}

#[test]
fn what_somebody_evicted_in_the_queue_keeps_nothing_else_from_a_batch() {
    let _alone = alone();
    let (region, store, queue) = scene(3);
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    let owned = store.own("evicted").unwrap();
    let key = owned.key();
    sender.send("before").unwrap();
    sender.send_owned(owned).unwrap();
    sender.send("behind").unwrap();
    assert!(store.evict(key).unwrap());
    let batch = receiver.recv_batch(3).unwrap();
    let words: Vec<_> =
        batch.iter().map(|message| (message.as_str(), message.deliveries())).collect();
    assert_eq!(words, [("before", 1), ("behind", 1)]);
    batch.into_iter().for_each(|message| message.ack().unwrap());
    assert_eq!(left(&region), 0);
}

#[test]
fn room_for_what_is_owned_is_awaited_and_a_dropped_future_evicts_it() {
    let _alone = alone();
    let (region, store, queue) = scene(1);
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        sender.send_owned_async(store.own("first").unwrap()).await.unwrap();
        let second = sender.send_owned_async(store.own("second").unwrap());
        let received = async {
            let message = receiver.recv_async().await.unwrap().unwrap();
            message.ack().unwrap();
        };
        let (sent, ()) = tokio::join!(second, received);
        sent.unwrap();
        drop(sender.send_owned_async(store.own("third").unwrap()));
        assert!(queue.evict().unwrap());
        let unsent = sender.send_owned_async(store.own("fourth").unwrap()).await.unwrap_err();
        assert!(matches!(unsent.error(), Error::NotFound { .. }));
        assert_eq!(unsent.into_owned().as_str(), "fourth");
    });
    drop((sender, receiver));
    eventually("the queue is gone", || left(&region) == 0);
}

#[test]
fn of_what_many_send_each_is_owned_by_one_of_many_who_adopt() {
    let _alone = alone();
    let (region, _, queue) = scene(8);
    let senders: Vec<_> = (0..3_u32)
        .map(|seed| {
            let queue = &queue;
            let region = &region;
            start_child(move || {
                let (sender, store) = (queue.sender().unwrap(), over(region));
                for number in 0..40 {
                    let value = format!("{seed}/{number}");
                    sender.send_owned(store.own(&*value).unwrap()).unwrap();
                }
                0
            })
        })
        .collect();
    let receiver = queue.receiver().unwrap();
    let (mut owned, mut seen) = (Vec::new(), std::collections::BTreeSet::new());
    // The first comes before the end.
    let mut next = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    while let Some(message) = next {
        assert!(seen.insert(message.to_string()), "received twice");
        owned.push(receiver.adopt(message).unwrap());
        if seen.len() == 3 * 40 {
            break;
        }
        next = receiver.recv_timeout(Duration::from_secs(20)).unwrap();
    }
    for sender in senders {
        assert!(matches!(sender.wait(), WaitStatus::Exited(_, 0)));
    }
    assert_eq!((seen.len(), left(&region)), (120, 120), "they do not go with their senders");
    drop(owned);
    assert_eq!(left(&region), 0);
}

/// Not a test by itself: a program that never saw the store.
#[test]
fn program() {
    let Some((role, name)) = support::role() else { return };
    let store = Store::open(&name).unwrap();
    let queue = store.queue::<str>("goods", 4).unwrap();
    if role == "sender" {
        queue.sender().unwrap().send_owned(store.own(&*text('g')).unwrap()).unwrap();
        say("sent");
        hear();
    } else {
        let receiver = queue.receiver().unwrap();
        let owned = receiver.adopt(receiver.recv().unwrap().unwrap()).unwrap();
        say(owned.len());
        hear();
    }
}

#[test]
fn a_program_adopts_what_another_that_is_killed_has_sent() {
    let _alone = alone();
    let name = Name::new("queue-owned");
    let region = RegionOptions::new().capacity(4 << 20).open_or_create(&name).unwrap();
    let (sender, said) = Program::ready("sender", &name);
    assert_eq!((said.as_str(), left(&region)), ("sent", 1));
    sender.kill();
    let (receiver, said) = Program::ready("receiver", &name);
    assert_eq!((said, left(&region)), (LARGE.to_string(), 1));
    receiver.finish();
    assert_eq!(left(&region), 0, "its drop evicted it");
}
