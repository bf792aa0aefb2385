//! Messages that are made in place: what is lent, sent, given back, and left by the dead.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use inplace::codec::{Raw, Slice};
use inplace::connector::ShmConnector;
use inplace::{Error, MessageLoan, Region, RegionOptions, Store, storable};
use support::shared::{Atomics, Shared};
use support::{alone, end_with_parent, eventually, in_child, start_child, watch};

fn connector() -> ShmConnector {
    watch();
    let options = RegionOptions::new().capacity(32 << 20).max_objects(1000).max_participants(8);
    ShmConnector::new(options.anonymous().unwrap())
}

fn shm(name: &str) -> Store<Raw> {
    Store::builder(name).connector(connector()).codec(Raw).open().unwrap()
}

fn region_of<C>(store: &Store<C>) -> Region {
    store.connector().as_shm().unwrap().region().unwrap().clone()
}

fn assert_clean<C>(store: &Store<C>) {
    let region = region_of(store);
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.in_progress == 0 && report.objects == 0, "{report}");
}

/// Small enough to lie in the queue, and not.
const SIZES: [usize; 6] = [0, 1, 192, 193, 5000, 1 << 20];

#[test]
fn what_is_filled_in_place_arrives_as_it_is() {
    let _alone = alone();
    let store = shm("loans");
    let queue = store.queue_new::<[u8]>(2).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    for (round, size) in SIZES.into_iter().cycle().take(18).enumerate() {
        let mut loan = sender.loan(size).unwrap();
        assert_eq!(loan.len(), size);
        let pattern = |at: usize| (at * 7 + round) as u8;
        loan.iter_mut().enumerate().for_each(|(at, byte)| *byte = pattern(at));
        let sent = size / (1 + round % 2);
        match round % 3 {
            0 => loan.send_prefix(sent).unwrap(),
            1 => loan.send_with(b"about").unwrap(),
            _ => loan.send().unwrap(),
        }
        let message = receiver.recv().unwrap().unwrap();
        let expected = if round % 3 == 0 { sent } else { size };
        assert_eq!(message.len(), expected);
        assert!(message.iter().enumerate().all(|(at, byte)| *byte == pattern(at)));
        assert_eq!(message.metadata(), if round % 3 == 1 { &b"about"[..] } else { b"" });
        message.ack().unwrap();
    }
    assert_clean(&store);
}

#[test]
fn a_loan_takes_room_and_gives_it_back_unless_it_is_sent() {
    let _alone = alone();
    let store = shm("room");
    let queue = store.queue_new::<[u8]>(2).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    for size in SIZES {
        let [first, second] = [(); 2].map(|()| sender.loan(size).unwrap());
        assert!(matches!(sender.try_loan(1), Err(Error::Full { capacity: 2, .. })));
        assert!(matches!(sender.try_send(b"no"), Err(Error::Full { .. })));
        assert!(receiver.try_recv().unwrap().is_none(), "lent is not sent");
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(5));
                drop(first);
            });
            sender.loan(size).unwrap().send().unwrap();
        });
        assert!(matches!(second.send_with(&[0; 33]), Err(Error::TooLarge { .. })));
        sender.try_send(b"room again").unwrap();
        for expected in [size, 10] {
            let message = receiver.try_recv().unwrap().unwrap();
            assert_eq!(message.len(), expected);
            message.ack().unwrap();
        }
        assert_clean(&store);
    }
}

#[test]
fn loans_are_sent_by_other_threads_in_the_order_of_their_sends() {
    let _alone = alone();
    let store = shm("threads");
    let queue = store.queue_new::<[u8]>(4).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    let mut loans: Vec<MessageLoan<'_>> = (0..4).map(|_| sender.loan(300).unwrap()).collect();
    loans.iter_mut().zip(0..).for_each(|(loan, number)| loan.fill(number));
    std::thread::scope(|scope| {
        scope.spawn(|| loans.into_iter().rev().for_each(|loan| loan.send().unwrap()));
    });
    for number in (0..4).rev() {
        let message = receiver.recv().unwrap().unwrap();
        assert!(message.iter().all(|byte| *byte == number));
        message.ack().unwrap();
    }
    assert_clean(&store);
}

#[test]
fn arrays_are_made_in_place_with_their_shape() {
    let _alone = alone();
    let codec = Slice::<u32>::default();
    let store = Store::builder("arrays").connector(connector()).codec(codec).open().unwrap();
    let queue = store.queue_new::<[u32]>(2).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    for shape in [&[][..], &[0], &[5], &[100, 3], &[2, 3, 5, 7]] {
        let mut loan = sender.loan_array(shape).unwrap();
        assert_eq!(loan.len(), shape.iter().product::<usize>());
        loan.iter_mut().zip(10..).for_each(|(element, number)| *element = number);
        loan.send_with(b"array").unwrap();
        let array = receiver.recv().unwrap().unwrap();
        assert_eq!((array.shape(), array.metadata()), (shape, &b"array"[..]));
        assert!(array.iter().zip(10..).all(|(element, number)| *element == number));
        array.ack().unwrap();
    }
    assert!(matches!(sender.loan_array(&[1; 9]), Err(Error::Codec { .. })));
    assert!(matches!(sender.loan_array(&[usize::MAX, 2]), Err(Error::Codec { .. })));
    assert!(matches!(sender.loan_array(&[1 << 40]), Err(Error::OutOfSpace { .. })));
    assert_clean(&store);
}

#[storable]
struct Named {
    name: String,
}

#[test]
fn bytes_that_are_no_value_of_the_queues_type_are_an_error_of_the_receiver() {
    let _alone = alone();
    let store = Store::builder("wrong").connector(connector()).open().unwrap();
    let queue = store.queue_new::<Named>(2).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    let right = inplace::codec::to_vec(inplace::codec::Archive, &Named { name: "x".repeat(300) });
    let right = right.unwrap();
    let mut loan = sender.loan(right.len()).unwrap();
    loan.copy_from_slice(&right);
    loan.send().unwrap();
    let message = receiver.recv().unwrap().unwrap();
    assert_eq!(message.name.len(), 300);
    message.ack().unwrap();
    for size in [64, 512] {
        let mut loan = sender.loan(size).unwrap();
        loan.fill(0xfe); // not UTF-8
        loan.send().unwrap();
        assert!(receiver.recv().is_err());
    }
}

#[test]
fn a_forked_child_has_none_of_its_parents_loans() {
    let _alone = alone();
    let store = shm("forked");
    let queue = store.queue_new::<[u8]>(2).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    for size in [100, 5000] {
        let mut loan = sender.loan(size).unwrap();
        loan.fill(1);
        let code = in_child(|| {
            // SAFETY: the child ends without dropping the test's own, which is a copy.
            let inherited = unsafe { std::ptr::read(&raw const loan) };
            assert!(catch_unwind(AssertUnwindSafe(|| inherited[0])).is_err());
            assert!(matches!(inherited.send(), Err(Error::NotOwner { .. })));
            let mine = queue.sender().unwrap();
            drop(mine.loan(size).unwrap());
            0
        });
        assert_eq!(code, 0);
        loan[0] = 2;
        loan.send().unwrap();
        let message = receiver.recv().unwrap().unwrap();
        assert_eq!((message[0], message[1], message.len()), (2, 1, size));
        message.ack().unwrap();
    }
    assert_clean(&store);
}

struct Talk(AtomicU32);

// SAFETY: made of atomics only.
unsafe impl Atomics for Talk {}

#[test]
fn what_was_lent_to_a_killed_process_returns_and_what_it_sent_is_there() {
    let _alone = alone();
    let (store, talk) = (shm("killed"), Shared::<Talk>::new());
    let queue = store.queue_new::<[u8]>(4).unwrap();
    let receiver = queue.receiver().unwrap();
    let child = start_child(|| {
        end_with_parent();
        let sender = queue.sender().unwrap();
        for size in [100, 5000] {
            let mut loan = sender.loan(size).unwrap();
            loan.fill(9);
            loan.send().unwrap();
        }
        let _held = [sender.loan(100).unwrap(), sender.loan(5000).unwrap()];
        talk.0.store(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(100));
        0
    });
    eventually("it has lent", || talk.0.load(Ordering::SeqCst) == 1);
    child.kill();
    for size in [100, 5000] {
        let message = receiver.recv().unwrap().unwrap();
        assert!(message.len() == size && message.iter().all(|byte| *byte == 9));
        message.ack().unwrap();
    }
    assert!(receiver.recv().unwrap().is_none(), "the dead produces no more");
    let sender = queue.sender().unwrap();
    drop([(); 4].map(|()| sender.try_loan(10).expect("an envelope is lost")));
    assert_clean(&store);
}

#[test]
fn a_loan_of_a_queue_that_is_evicted_is_not_sent_and_goes() {
    let _alone = alone();
    let store = shm("gone");
    for size in [10, 5000] {
        let queue = store.queue_new::<[u8]>(1).unwrap();
        let sender = queue.sender().unwrap();
        let mut loan = sender.loan(size).unwrap();
        assert!(queue.evict().unwrap());
        loan.fill(1);
        assert!(matches!(loan.send(), Err(Error::NotFound { .. })));
        assert!(matches!(sender.loan(size), Err(Error::NotFound { .. })));
        drop(sender);
        let report = region_of(&store).check().unwrap();
        assert!(report.is_clean() && report.bytes_in_use == 0 && report.pins == 0, "{report}");
    }
}
