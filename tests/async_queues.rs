//! Awaiting messages and room in queues, with a runtime and without: the thread that waits for promises waits for them, too.

mod support;

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use inplace::{Error, Queue, QueueOptions, Receiver, Store};
use nix::sys::wait::WaitStatus;
use support::futures::{
    Counting, WAITER, assert_clean, block_on, forbid_futex_waitv, region, runtime, start_channel,
    threads_named,
};
use support::{end_with_parent, eventually, in_child, start_child};

/// Evicts a queue, after which nothing is left.
fn assert_ends(store: &Store, queue: &Queue<u64>) {
    assert!(queue.evict().unwrap());
    region(store).reap().unwrap();
    // The thread that waits may be about to let go of it.
    eventually("the queue is gone", || region(store).check().unwrap().bytes_in_use == 0);
    assert_clean(store);
}

/// One poll; a message is acknowledged, and 0 is the end.
fn poll<F: Future<Output = inplace::Result<Option<inplace::Message<u64>>>>>(
    future: std::pin::Pin<&mut F>,
    waker: &Waker,
) -> Poll<u64> {
    future.poll(&mut Context::from_waker(waker)).map(|outcome| {
        outcome.unwrap().map_or(0, |message| {
            let number = message.to_native();
            message.ack().unwrap();
            number
        })
    })
}

async fn numbers(receiver: &Receiver<u64>) -> Vec<u64> {
    let (mut numbers, mut messages) = (Vec::new(), receiver.iter());
    while let Some(message) = messages.next_async().await {
        let message = message.unwrap();
        numbers.push(message.to_native());
        message.ack().unwrap();
    }
    assert!(messages.next_async().await.is_none(), "it is over for good");
    numbers
}

#[test]
fn a_bare_executor_awaits_what_another_process_sends_and_the_end() {
    let (_alone, store, _registered) = start_channel("async-queues-bare");
    let queue = store.queue_new::<u64>(2).unwrap();
    let receiver = queue.receiver().unwrap();
    let child = start_child(|| {
        let sender = queue.sender().unwrap();
        for number in 1..=20 {
            if number % 5 == 0 {
                std::thread::sleep(Duration::from_millis(10));
            }
            block_on(sender.send_with_async(&number, &[number as u8])).unwrap();
        }
        0
    });
    let first = block_on(receiver.recv_async()).unwrap().unwrap();
    assert_eq!((first.to_native(), first.metadata()), (1, &[1][..]));
    first.ack().unwrap();
    assert_eq!(block_on(numbers(&receiver)), (2..=20).collect::<Vec<_>>());
    assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
    drop(receiver);
    assert_ends(&store, &queue);
}

#[test]
fn tasks_of_two_processes_lose_and_double_nothing_and_one_thread_waits_for_all() {
    let (_alone, store, _registered) = start_channel("async-queues-tasks");
    let queue = store.queue_new::<u64>(4).unwrap();
    const EACH: u64 = 200;
    let gate = queue.sender().unwrap();
    let produce = |from: u64| {
        let sender = queue.sender().unwrap();
        async move {
            for number in from..from + EACH {
                sender.send_async(&number).await.unwrap();
            }
        }
    };
    let child = start_child(|| {
        end_with_parent();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { tokio::join!(produce(0), produce(1000), produce(2000)) });
        0
    });
    let seen = runtime().block_on(async {
        let consume = |_| {
            let receiver = queue.receiver().unwrap();
            tokio::spawn(async move { numbers(&receiver).await })
        };
        let consumers: Vec<_> = (0..5).map(consume).collect();
        let producers: Vec<_> = (3..6).map(|n| tokio::spawn(produce(1000 * n))).collect();
        for producer in producers {
            producer.await.unwrap();
        }
        assert!(threads_named(WAITER) <= 1, "{}", threads_named(WAITER));
        assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
        gate.close();
        let mut seen = Vec::new();
        for consumer in consumers {
            let mine = consumer.await.unwrap();
            for producer in 0..6 {
                assert!(mine.iter().filter(|it| **it / 1000 == producer).is_sorted());
            }
            seen.extend(mine);
        }
        seen
    });
    let mut seen = seen;
    seen.sort_unstable();
    let all: Vec<_> = (0..6).flat_map(|n| 1000 * n..1000 * n + EACH).collect();
    assert_eq!(seen, all);
    assert_ends(&store, &queue);
    eventually("the thread ends", || threads_named(WAITER) == 0);
}

#[test]
fn a_dropped_future_has_received_nothing_and_takes_nobodys_wake_up_along() {
    let (_alone, store, _registered) = start_channel("async-queues-dropped");
    let queue = store.queue_new::<u64>(4).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    for round in 1..=20 {
        let counters: [Arc<Counting>; 3] = Default::default();
        let [dropped, woken, last] = counters.each_ref().map(|it| Waker::from(it.clone()));
        let mut other = pin!(receiver.recv_async());
        {
            let mut early = pin!(receiver.recv_async());
            assert!(poll(early.as_mut(), &dropped).is_pending());
        }
        let mut late = Box::pin(receiver.recv_async());
        assert!(poll(late.as_mut(), &woken).is_pending());
        assert!(poll(other.as_mut(), &last).is_pending());
        sender.send(&round).unwrap();
        eventually("both are woken", || counters[1].count() == 1 && counters[2].count() == 1);
        // Woken, and dropped without having looked.
        drop(late);
        assert_eq!(poll(other.as_mut(), &last), Poll::Ready(round));
        assert_eq!(counters[0].count(), 0, "dropped before");
        assert!(receiver.try_recv().unwrap().is_none());
    }
    drop((sender, receiver));
    assert_ends(&store, &queue);
}

#[test]
fn a_dropped_send_has_sent_nothing_and_leaves_the_room_to_others() {
    let (_alone, store, _registered) = start_channel("async-queues-room");
    let queue = store.queue_new::<u64>(1).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send(&1).unwrap();
    let counters: [Arc<Counting>; 2] = Default::default();
    let [first, second] = counters.each_ref().map(|it| Waker::from(it.clone()));
    let mut dropped = Box::pin(sender.send_async(&2));
    let mut sending = pin!(sender.send_async(&3));
    assert!(dropped.as_mut().poll(&mut Context::from_waker(&first)).is_pending());
    assert!(sending.as_mut().poll(&mut Context::from_waker(&second)).is_pending());
    let held = receiver.recv().unwrap().unwrap();
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!((counters[0].count(), counters[1].count()), (0, 0), "received is not acknowledged");
    held.ack().unwrap();
    eventually("both hear of room", || counters.iter().all(|counter| counter.count() == 1));
    drop(dropped);
    assert!(sending.as_mut().poll(&mut Context::from_waker(&second)).is_ready());
    assert_eq!(block_on(receiver.recv_async()).unwrap().unwrap().to_native(), 3);
    sender.close();
    assert_eq!(block_on(numbers(&receiver)), [3], "given back above");
    drop(receiver);
    assert_ends(&store, &queue);
}

#[test]
fn a_waker_is_called_for_its_own_queue_only_and_only_when_there_is_something() {
    let (_alone, store, _registered) = start_channel("async-queues-own");
    let [mine, other] = [(); 2].map(|()| store.queue_new::<u64>(4).unwrap());
    let receivers = [&mine, &other].map(|queue| queue.receiver().unwrap());
    let senders = [&mine, &other].map(|queue| queue.sender().unwrap());
    let counters: [Arc<Counting>; 2] = Default::default();
    let [my_waker, its_waker] = counters.each_ref().map(|it| Waker::from(it.clone()));
    let mut my_future = pin!(receivers[0].recv_async());
    let mut its_future = pin!(receivers[1].recv_async());
    assert!(poll(my_future.as_mut(), &my_waker).is_pending());
    assert!(poll(its_future.as_mut(), &its_waker).is_pending());
    // Somebody else has it before anybody looks, or not.
    for number in 1..=50 {
        senders[1].send(&number).unwrap();
        drop(receivers[1].try_recv().unwrap());
        receivers[1].try_recv().unwrap().unwrap().ack().unwrap();
        if poll(its_future.as_mut(), &its_waker).is_ready() {
            its_future.set(receivers[1].recv_async());
        }
    }
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(counters[0].count(), 0, "nothing was sent there");
    // One who produces, and ends, while another goes on: no news.
    drop(mine.sender().unwrap());
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(counters[0].count(), 0);
    senders[0].send(&7).unwrap();
    eventually("its own is heard", || counters[0].count() == 1);
    assert_eq!(poll(my_future.as_mut(), &my_waker), Poll::Ready(7));
    drop((receivers, senders));
}

#[test]
fn a_message_is_heard_of_long_before_the_thread_would_look_again() {
    let (_alone, store, _registered) = start_channel("async-queues-soon");
    let queue = store.queue_new::<u64>(4).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    let mut waited: Vec<Duration> = (1..=15)
        .map(|round| {
            std::thread::scope(|scope| {
                let waiter = scope.spawn(|| {
                    let message = block_on(receiver.recv_async()).unwrap().unwrap();
                    let heard = Instant::now();
                    assert_eq!(message.to_native(), round);
                    message.ack().unwrap();
                    heard
                });
                std::thread::sleep(Duration::from_millis(15));
                let sent = Instant::now();
                sender.send(&round).unwrap();
                waiter.join().unwrap().saturating_duration_since(sent)
            })
        })
        .collect();
    waited.sort_unstable();
    assert!(waited[waited.len() / 2] < Duration::from_millis(40), "{waited:?}");
}

#[test]
fn a_killed_producer_ends_the_stream_within_200_milliseconds() {
    let (_alone, store, _registered) = start_channel("async-queues-killed");
    let talk = support::shared::Shared::<Talk>::new();
    let mut slowest = Duration::ZERO;
    for round in 1..=5 {
        let queue = store.queue_new::<u64>(4).unwrap();
        let receiver = queue.receiver().unwrap();
        let child = start_child(|| {
            end_with_parent();
            let sender = queue.sender().unwrap();
            sender.send(&1).unwrap();
            talk.0.store(round, Ordering::SeqCst);
            std::thread::sleep(Duration::from_secs(100));
            drop(sender);
            0
        });
        eventually("it produces", || talk.0.load(Ordering::SeqCst) == round);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| (block_on(numbers(&receiver)), Instant::now()));
            std::thread::sleep(Duration::from_millis(20 + 17 * round));
            let killed = Instant::now();
            child.kill();
            let (numbers, at) = waiting.join().unwrap();
            assert_eq!(numbers, [1]);
            slowest = slowest.max(at - killed);
        });
        drop(receiver);
        assert_ends(&store, &queue);
    }
    println!("an await hears of the end by a kill after {slowest:?} at most");
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
}

struct Talk(AtomicU64);

// SAFETY: made of atomics only.
unsafe impl support::shared::Atomics for Talk {}

#[test]
fn what_a_killed_consumer_held_is_received_by_one_who_awaits() {
    let (_alone, store, _registered) = start_channel("async-queues-held");
    let talk = support::shared::Shared::<Talk>::new();
    let queue = store.queue_new::<u64>(1).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send(&5).unwrap();
    let child = start_child(|| {
        end_with_parent();
        let receiver = queue.receiver().unwrap();
        let _held = receiver.recv().unwrap().unwrap();
        talk.0.store(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(100));
        0
    });
    eventually("it has one", || talk.0.load(Ordering::SeqCst) == 1);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let message = block_on(receiver.recv_async()).unwrap().unwrap();
            assert_eq!((message.to_native(), message.deliveries()), (5, 2));
            message.ack().unwrap();
        });
        let sending = scope.spawn(|| block_on(sender.send_async(&6)).unwrap());
        std::thread::sleep(Duration::from_millis(30));
        child.kill();
        waiting.join().unwrap();
        sending.join().unwrap();
    });
    sender.close();
    assert_eq!(block_on(numbers(&receiver)), [6]);
    drop(receiver);
    assert_ends(&store, &queue);
}

#[test]
fn an_evicted_queue_ends_awaits_on_either_side() {
    let (_alone, store, _registered) = start_channel("async-queues-evicted");
    for bound in [false, true] {
        let make = |name: &str| match bound {
            true => store.queue_with::<u64>(name, &QueueOptions::new(1)).unwrap(),
            false => store.queue_new::<u64>(1).unwrap(),
        };
        let (empty, full) = (make("empty"), make("full"));
        full.sender().unwrap().send(&1).unwrap();
        std::thread::scope(|scope| {
            let receiving = scope.spawn(|| {
                let receiver = empty.receiver().unwrap();
                block_on(receiver.recv_async()).map(drop)
            });
            let sending = scope.spawn(|| {
                let sender = full.sender().unwrap();
                block_on(sender.send_async(&2))
            });
            std::thread::sleep(Duration::from_millis(20));
            assert!(empty.evict().unwrap() && full.evict().unwrap());
            assert!(matches!(receiving.join().unwrap(), Err(Error::NotFound { .. })));
            assert!(matches!(sending.join().unwrap(), Err(Error::NotFound { .. })));
        });
        eventually("both are gone", || region(&store).check().unwrap().pins == 0);
        assert_clean(&store);
    }
}

#[test]
fn more_queues_than_one_thread_can_listen_to_have_two_threads() {
    let (_alone, store, _registered) = start_channel("async-queues-many");
    let queues: Vec<Queue<u64>> = (0..150).map(|_| store.queue_new(1).unwrap()).collect();
    runtime().block_on(async {
        let listen = |queue: &Queue<u64>| {
            let receiver = queue.receiver().unwrap();
            tokio::spawn(async move { receiver.recv_async().await.unwrap().unwrap().to_native() })
        };
        let tasks: Vec<_> = queues.iter().map(listen).collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(threads_named(WAITER), 2, "150 bells, 127 for a thread");
        for (number, queue) in queues.iter().enumerate() {
            queue.sender().unwrap().send_async(&(number as u64)).await.unwrap();
        }
        for (number, task) in tasks.into_iter().enumerate() {
            assert_eq!(task.await.unwrap(), number as u64);
        }
    });
}

#[test]
fn a_forked_child_does_not_await_with_its_parents_handles_and_does_with_its_own() {
    let (_alone, store, _registered) = start_channel("async-queues-forked");
    let queue = store.queue_new::<u64>(4).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    let counter = Arc::new(Counting::default());
    let waker = Waker::from(counter.clone());
    let mut pending = Box::pin(receiver.recv_async());
    assert!(poll(pending.as_mut(), &waker).is_pending());
    let code = in_child(|| {
        assert!(matches!(block_on(pending.as_mut()), Err(Error::NotOwner { .. })));
        assert!(matches!(block_on(sender.send_async(&1)), Err(Error::NotOwner { .. })));
        let (mine, queue) = (queue.receiver().unwrap(), queue.clone());
        let other = start_child(|| {
            std::thread::sleep(Duration::from_millis(30));
            let sender = queue.sender().unwrap();
            block_on(sender.send_async(&8)).map_or(1, |()| 0)
        });
        let heard = block_on(mine.recv_async()).unwrap().unwrap();
        assert!(matches!(other.wait(), WaitStatus::Exited(_, 0)));
        assert_eq!(heard.to_native(), 8);
        heard.ack().unwrap();
        0
    });
    assert_eq!(code, 0);
    // The parent's future has heard of it as well, perhaps, and found nothing.
    assert!(poll(pending.as_mut(), &waker).is_pending());
    let before = counter.count();
    sender.send(&9).unwrap();
    eventually("the parent's waker is called", || counter.count() > before);
    assert_eq!(poll(pending.as_mut(), &waker), Poll::Ready(9));
    drop(pending);
    drop((sender, receiver));
    assert_ends(&store, &queue);
}

#[test]
fn where_the_kernel_cannot_wait_for_several_words_queues_are_looked_at_from_time_to_time() {
    let (_alone, store, _registered) = start_channel("async-queues-old");
    let code = in_child(|| {
        forbid_futex_waitv();
        let queue = store.queue_new::<u64>(1).unwrap();
        let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..20 {
                    std::thread::sleep(Duration::from_millis(2));
                    block_on(sender.send_async(&number)).unwrap();
                }
                sender.close();
            });
            assert_eq!(block_on(numbers(&receiver)), (0..20).collect::<Vec<_>>());
        });
        0
    });
    assert_eq!(code, 0);
    region(&store).reap().unwrap();
}
