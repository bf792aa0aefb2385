//! Queues: what they promise, in threads and in processes, some of which are killed.

mod support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use inplace::connector::{LocalConnector, ShmConnector};
use inplace::{
    Error, Queue, QueueOptions, Receiver, Region, RegionOptions, Store, WaitPolicy, storable,
};
use nix::sys::wait::WaitStatus;
use support::shared::{Atomics, Shared};
use support::{Forked, eventually, start_child, watch};

/// What the processes of a test tell one another.
struct Talk {
    stage: AtomicU32,
    count: AtomicU64,
    sum: AtomicU64,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Talk {}

#[storable]
#[derive(Debug, PartialEq)]
struct Job {
    producer: u32,
    number: u64,
    payload: Vec<u8>,
}

fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    watch();
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn shm(name: &str) -> Store {
    let options = RegionOptions::new().capacity(64 << 20).max_objects(10_000).max_participants(32);
    let connector = ShmConnector::new(options.anonymous().unwrap());
    Store::builder(name).connector(connector).open().unwrap()
}

fn region_of(store: &Store) -> Region {
    store.connector().as_shm().unwrap().region().unwrap().clone()
}

/// Nothing is broken, and no message has left anything but in the queues.
fn assert_clean(store: &Store) {
    let region = region_of(store);
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.in_progress == 0, "{report}");
    assert_eq!((report.objects, report.unacknowledged), (0, 0), "{report}");
}

fn join(children: Vec<Forked>) {
    for child in children {
        let end = child.wait();
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
    }
}

fn numbers(receiver: &Receiver<u64>) -> Vec<u64> {
    let take = |message: inplace::Result<inplace::Message<u64>>| {
        let message = message.unwrap();
        let number = message.to_native();
        message.ack().unwrap();
        number
    };
    receiver.iter().map(take).collect()
}

#[test]
fn messages_arrive_whole_and_in_order_small_ones_and_large_ones() {
    let _alone = alone();
    let store = shm("sizes");
    let queue = store.queue_new::<Job>(4).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    let sizes = [0, 1, 100, 192, 193, 2, 1000, 100_000, 1_000_000, 3, 4];
    for (number, size) in sizes.into_iter().enumerate() {
        let job = Job { producer: 1, number: number as u64, payload: vec![number as u8; size] };
        sender.send_with(&job, &[number as u8; 5]).unwrap();
        let message = receiver.recv().unwrap().unwrap();
        assert_eq!((message.producer, message.number), (1.into(), (number as u64).into()));
        assert_eq!(message.payload.as_slice(), job.payload);
        assert_eq!((message.metadata(), message.deliveries()), (&[number as u8; 5][..], 1));
        message.ack().unwrap();
    }
    assert!(receiver.try_recv().unwrap().is_none() && !receiver.has_ended().unwrap());
    assert_clean(&store);
    drop((sender, receiver));
    assert!(queue.evict().unwrap() && !queue.evict().unwrap());
    assert_eq!(region_of(&store).check().unwrap().bytes_in_use, 0);
}

#[test]
fn a_full_queue_makes_its_senders_wait_until_somebody_acknowledges() {
    let _alone = alone();
    let store = shm("full");
    let queue = store.queue_new::<u64>(2).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.try_send(&1).unwrap();
    sender.try_send(&2).unwrap();
    assert!(matches!(sender.try_send(&3), Err(Error::Full { capacity: 2, .. })));
    let timeout = Duration::from_millis(20);
    assert!(matches!(sender.send_timeout(&3, timeout), Err(Error::TimedOut { .. })));
    let held = receiver.recv().unwrap().unwrap();
    assert!(sender.try_send(&3).is_err(), "received is not acknowledged");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(30));
            held.ack().unwrap();
        });
        let start = Instant::now();
        sender.send(&3).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(20));
    });
    sender.close();
    assert_eq!(numbers(&receiver), [2, 3]);
    assert_clean(&store);
}

#[test]
fn what_is_dropped_is_received_again_before_all_others_and_in_the_end_a_dead_letter() {
    let _alone = alone();
    let store = shm("again");
    let options = QueueOptions::new(8).max_deliveries(3);
    for inline in [0, 192] {
        let queue = store.queue_new_with::<u64>(&options.inline_bytes(inline)).unwrap();
        let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        sender.send_batch(&[1, 2]).unwrap();
        for deliveries in 1..=3 {
            let message = receiver.recv().unwrap().unwrap();
            assert_eq!((message.to_native(), message.deliveries()), (1, deliveries));
        }
        sender.close();
        assert_eq!(numbers(&receiver), [2], "the first is a dead letter");
        let kept = |receiver: &Receiver<u64>| receiver.dead_letters().count();
        assert_eq!((kept(&receiver), kept(&receiver)), (1, 1), "looked at, it stays one");
        assert_eq!(region_of(&store).check().unwrap().dead_letters, 1);
        let letter = receiver.dead_letters().next().unwrap().unwrap();
        assert_eq!((letter.to_native(), letter.deliveries()), (1, 3));
        letter.ack().unwrap();
        assert_eq!(kept(&receiver), 0);
        assert_clean(&store);
        assert!(queue.evict().unwrap());
    }
}

#[test]
fn threads_that_send_and_receive_lose_and_double_nothing_and_keep_the_order_of_each_sender() {
    let _alone = alone();
    let store = shm("threads");
    let queue = store.queue_new::<Job>(8).unwrap();
    const EACH: u64 = 500;
    let senders: Vec<_> = (0..3).map(|_| queue.sender().unwrap()).collect();
    let received = std::thread::scope(|scope| {
        for (producer, sender) in senders.into_iter().enumerate() {
            scope.spawn(move || {
                for number in 0..EACH {
                    let payload = vec![number as u8; if number % 7 == 0 { 1000 } else { 9 }];
                    sender.send(&Job { producer: producer as u32, number, payload }).unwrap();
                }
            });
        }
        let consume = || {
            let receiver = queue.receiver().unwrap();
            let mut seen = Vec::new();
            for message in &receiver {
                let message = message.unwrap();
                let number = message.number.to_native();
                assert!(message.payload.iter().all(|byte| *byte == number as u8));
                seen.push((message.producer.to_native(), number));
                message.ack().unwrap();
            }
            seen
        };
        let consumers: Vec<_> = (0..2).map(|_| scope.spawn(consume)).collect();
        consumers.into_iter().map(|consumer| consumer.join().unwrap()).collect::<Vec<_>>()
    });
    let mut counts = BTreeMap::new();
    for seen in &received {
        for producer in 0..3 {
            let of_one: Vec<_> = seen.iter().filter(|(p, _)| *p == producer).collect();
            assert!(of_one.is_sorted(), "one receiver, one sender: in order");
        }
        seen.iter().for_each(|job| *counts.entry(*job).or_insert(0) += 1);
    }
    assert_eq!(counts.len() as u64, 3 * EACH);
    assert!(counts.values().all(|count| *count == 1));
    assert_clean(&store);
}

/// Sends so many numbers from a child, each once.
fn produce(queue: &Queue<u64>, from: u64, count: u64) -> Forked {
    start_child(|| {
        let sender = queue.sender().unwrap();
        (from..from + count).for_each(|number| sender.send(&number).unwrap());
        sender.close();
        0
    })
}

#[test]
fn processes_that_send_and_receive_lose_and_double_nothing() {
    let _alone = alone();
    let (store, talk) = (shm("processes"), Shared::<Talk>::new());
    let queue = store.queue::<u64>("numbers", 16).unwrap();
    // Until all producers are there, the stream must not end.
    let gate = queue.sender().unwrap();
    let consumers: Vec<_> = (0..2)
        .map(|_| {
            start_child(|| {
                let queue = store.queue::<u64>("numbers", 16).unwrap();
                for number in numbers(&queue.receiver().unwrap()) {
                    talk.count.fetch_add(1, Ordering::SeqCst);
                    talk.sum.fetch_add(number, Ordering::SeqCst);
                }
                0
            })
        })
        .collect();
    let producers = (0..3).map(|p| produce(&queue, p * 1000, 1000)).collect();
    join(producers);
    gate.close();
    join(consumers);
    assert_eq!(talk.count.load(Ordering::SeqCst), 3000);
    assert_eq!(talk.sum.load(Ordering::SeqCst), (0..3000).sum::<u64>());
    assert_clean(&store);
}

#[test]
fn the_stream_ends_when_the_last_producer_is_closed_dropped_or_killed() {
    let _alone = alone();
    let (store, talk) = (shm("ends"), Shared::<Talk>::new());
    let queue = store.queue_new::<u64>(8).unwrap();
    let receiver = queue.receiver().unwrap();
    let short = Duration::from_millis(20);
    assert!(matches!(receiver.recv_timeout(short), Err(Error::TimedOut { .. })), "nobody yet");
    let (first, second) = (queue.sender().unwrap(), queue.sender().unwrap());
    first.send(&1).unwrap();
    first.close();
    assert_eq!(receiver.recv().unwrap().unwrap().to_native(), 1);
    receiver.recv().unwrap().unwrap().ack().unwrap();
    assert!(matches!(receiver.recv_timeout(short), Err(Error::TimedOut { .. })), "the second");
    drop(second);
    assert!(receiver.recv().unwrap().is_none() && receiver.has_ended().unwrap());
    let child = start_child(|| {
        let sender = queue.sender().unwrap();
        sender.send(&2).unwrap();
        talk.stage.store(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(60));
        drop(sender);
        0
    });
    eventually("it produces", || talk.stage.load(Ordering::SeqCst) == 1);
    receiver.recv().unwrap().unwrap().ack().unwrap();
    assert!(matches!(receiver.recv_timeout(short), Err(Error::TimedOut { .. })), "it lives");
    child.kill();
    assert!(receiver.recv().unwrap().is_none(), "the dead count as closed");
    assert_clean(&store);
}

#[test]
fn a_message_of_a_killed_consumer_is_received_by_another() {
    let _alone = alone();
    let (store, talk) = (shm("redelivered"), Shared::<Talk>::new());
    for inline in [0, 192] {
        let options = QueueOptions::new(8).inline_bytes(inline);
        let queue = store.queue_new_with::<u64>(&options).unwrap();
        let sender = queue.sender().unwrap();
        sender.send_batch(&[1, 2, 3]).unwrap();
        talk.stage.store(0, Ordering::SeqCst);
        let child = start_child(|| {
            let receiver = queue.receiver().unwrap();
            receiver.recv().unwrap().unwrap().ack().unwrap();
            let _held = receiver.recv().unwrap().unwrap();
            talk.stage.store(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_secs(60));
            0
        });
        eventually("it has one", || talk.stage.load(Ordering::SeqCst) == 1);
        let receiver = queue.receiver().unwrap();
        let third = receiver.recv().unwrap().unwrap();
        assert_eq!(third.to_native(), 3);
        child.kill();
        // Nobody reaps but the waiter itself.
        let second = receiver.recv().unwrap().unwrap();
        assert_eq!((second.to_native(), second.deliveries()), (2, 2));
        second.ack().unwrap();
        third.ack().unwrap();
        assert_clean(&store);
        drop((sender, receiver));
        assert!(queue.evict().unwrap());
    }
}

#[test]
fn a_stopped_consumer_keeps_its_message_and_holds_up_nobody() {
    let _alone = alone();
    let (store, talk) = (shm("stopped"), Shared::<Talk>::new());
    let queue = store.queue_new::<u64>(2).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send(&1).unwrap();
    let child = start_child(|| {
        let receiver = queue.receiver().unwrap();
        let _held = receiver.recv().unwrap().unwrap();
        talk.stage.store(1, Ordering::SeqCst);
        nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP).unwrap();
        0
    });
    eventually("it has one", || talk.stage.load(Ordering::SeqCst) == 1);
    for number in 2..=100 {
        sender.try_send(&number).unwrap();
        let message = receiver.try_recv().unwrap().unwrap();
        assert_eq!((message.to_native(), message.deliveries()), (number, 1));
        message.ack().unwrap();
    }
    assert_eq!(region_of(&store).reap().unwrap(), 0, "stopped is not dead");
    let report = region_of(&store).check().unwrap();
    assert!(report.is_clean() && report.unacknowledged == 1, "{report}");
    child.kill();
    sender.close();
    assert_eq!(numbers(&receiver), [1]);
    assert_clean(&store);
}

#[test]
fn whoever_waits_hears_of_the_end_of_the_queue_and_its_messages_go() {
    let _alone = alone();
    let store = shm("destroyed");
    for policy in [WaitPolicy::Park, WaitPolicy::Spin, WaitPolicy::default()] {
        let full = store.queue_new::<Job>(1).unwrap();
        let empty = store.queue_new::<Job>(1).unwrap();
        let job = Job { producer: 0, number: 0, payload: vec![7; 5000] };
        full.sender().unwrap().send(&job).unwrap();
        let sender = full.sender().unwrap().wait_policy(policy);
        let receiver = empty.receiver().unwrap().wait_policy(policy);
        std::thread::scope(|scope| {
            let sending =
                scope.spawn(|| assert!(matches!(sender.send(&job), Err(Error::NotFound { .. }))));
            let receiving =
                scope.spawn(|| assert!(matches!(receiver.recv(), Err(Error::NotFound { .. }))));
            std::thread::sleep(Duration::from_millis(20));
            assert!(full.evict().unwrap() && empty.evict().unwrap());
            sending.join().unwrap();
            receiving.join().unwrap();
        });
        drop((sender, receiver));
        assert!(matches!(full.sender(), Err(Error::NotFound { .. })));
        let report = region_of(&store).check().unwrap();
        assert!(report.is_clean() && report.bytes_in_use == 0 && report.pins == 0, "{report}");
    }
}

#[test]
fn a_message_that_was_received_stays_when_its_queue_is_gone() {
    let _alone = alone();
    let store = shm("survives");
    for size in [10, 5000] {
        let queue = store.queue_new::<Job>(2).unwrap();
        let job = Job { producer: 3, number: 0, payload: vec![7; size] };
        queue.sender().unwrap().send(&job).unwrap();
        let message = queue.receiver().unwrap().recv().unwrap().unwrap();
        assert!(queue.evict().unwrap());
        assert_eq!(message.payload.as_slice(), job.payload);
        message.ack().unwrap();
        let report = region_of(&store).check().unwrap();
        assert!(report.is_clean() && report.bytes_in_use == 0 && report.pins == 0, "{report}");
    }
}

#[test]
fn a_forked_child_has_nothing_of_its_parents_but_the_queue() {
    let _alone = alone();
    let store = shm("forked");
    let queue = store.queue_new::<u64>(8).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send_batch(&[1, 2]).unwrap();
    let message = receiver.recv().unwrap().unwrap();
    let child = start_child(|| {
        assert!(matches!(sender.send(&3), Err(Error::NotOwner { .. })));
        assert!(matches!(receiver.recv(), Err(Error::NotOwner { .. })));
        // SAFETY: the child ends without dropping the test's own, which is a copy.
        let inherited = unsafe { std::ptr::read(&raw const message) };
        assert!(matches!(inherited.ack(), Err(Error::NotOwner { .. })));
        let mine = queue.receiver().unwrap().recv().unwrap().unwrap();
        assert_eq!(mine.to_native(), 2);
        mine.ack().unwrap();
        queue.sender().unwrap().send(&3).unwrap();
        0
    });
    join(vec![child]);
    assert_eq!((message.to_native(), message.deliveries()), (1, 1));
    message.ack().unwrap();
    let message = receiver.recv().unwrap().unwrap();
    assert_eq!(message.to_native(), 3);
    drop(message);
    region_of(&store).reap().unwrap();
    let report = region_of(&store).check().unwrap();
    assert!(report.is_clean(), "{report}");
}

#[test]
fn a_handle_that_is_sent_leads_to_the_same_queue() {
    let _alone = alone();
    let store = shm("sent");
    let registered = store.register().unwrap();
    let queue = store.queue_new::<u64>(8).unwrap();
    let bytes = postcard::to_stdvec(&queue).unwrap();
    let elsewhere: Queue<u64> = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(elsewhere, queue);
    elsewhere.sender().unwrap().send(&5).unwrap();
    assert_eq!(numbers(&queue.receiver().unwrap()), [5]);
    drop(registered);
}

#[test]
fn names_lead_to_one_queue_of_one_type_and_shape_and_to_no_cell() {
    let _alone = alone();
    let store = shm("names");
    let queue = store.queue::<u64>("q", 8).unwrap();
    assert_eq!(store.queue::<u64>("q", 8).unwrap(), queue);
    store.cell::<u64>("c").unwrap().set(&1).unwrap();
    let refused = |error: Error, what: &str| {
        assert!(error.to_string().contains(what), "{error}");
    };
    refused(store.queue::<u64>("c", 8).unwrap_err(), "holds Cell<u64>, not Queue<u64>");
    refused(store.cell::<u64>("q").unwrap_err(), "holds Queue<u64>, not Cell<u64>");
    refused(store.queue::<String>("q", 8).unwrap_err(), "holds Queue<u64>");
    refused(store.queue::<u64>("q", 4).unwrap_err(), "capacity of the queue \"q\" is 4");
    refused(store.queue_new::<u64>(0).unwrap_err(), "capacity is 0");
    assert!(queue.evict().unwrap());
    let next = store.queue::<String>("q", 4).unwrap();
    assert_ne!(next.key(), queue.key());
    let local = Store::builder("local").connector(LocalConnector::new()).open().unwrap();
    assert!(matches!(local.queue::<u64>("q", 8), Err(Error::Unsupported { .. })));
}

#[test]
fn a_parked_receiver_is_woken_long_before_it_would_look_again() {
    let _alone = alone();
    let (store, talk) = (shm("woken"), Shared::<Talk>::new());
    let queue = store.queue_new::<u64>(8).unwrap();
    let sender = queue.sender().unwrap();
    let child = start_child(|| {
        let receiver = queue.receiver().unwrap().wait_policy(WaitPolicy::Park);
        for message in &receiver {
            let message = message.unwrap();
            talk.count.store(message.to_native(), Ordering::SeqCst);
            message.ack().unwrap();
        }
        0
    });
    let mut slow = 0;
    for number in 1..=20 {
        std::thread::sleep(Duration::from_millis(5));
        let start = Instant::now();
        sender.send(&number).unwrap();
        eventually("it heard", || talk.count.load(Ordering::SeqCst) >= number);
        slow += u32::from(start.elapsed() > Duration::from_millis(60));
    }
    assert!(slow < 5, "{slow} of 20 wakes took longer than a look would");
    sender.close();
    join(vec![child]);
    assert_clean(&store);
}
