//! Awaiting messages of topics, and publishing to those that hold back, with a runtime and without: the thread that waits for promises
//! waits for them, too.

mod support;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use inplace::{Error, Published, Start, Store, Subscriber, Topic, TopicOptions};
use nix::sys::wait::WaitStatus;
use support::futures::{
    Counting, WAITER, assert_clean, block_on, forbid_futex_waitv, region, runtime, start_channel,
    threads_named,
};
use support::{end_with_parent, eventually, in_child, start_child};

/// A topic that keeps so many, and waits for so many subscribers.
fn topic(store: &Store, capacity: u32, subscribers: u32) -> Topic<u64> {
    store.topic_new_with(&TopicOptions::new(capacity).hold_back(subscribers)).unwrap()
}

/// Evicts a topic, after which nothing is left.
fn assert_ends(store: &Store, topic: &Topic<u64>) {
    assert!(topic.evict().unwrap());
    region(store).reap().unwrap();
    // The thread that waits may be about to let go of it.
    eventually("the topic is gone", || region(store).check().unwrap().bytes_in_use == 0);
    assert_clean(store);
}

/// One poll; 0 is the end.
fn poll<F: Future<Output = inplace::Result<Option<Published<u64>>>>>(
    future: Pin<&mut F>,
    waker: &Waker,
) -> Poll<u64> {
    let outcome = future.poll(&mut Context::from_waker(waker));
    outcome.map(|outcome| outcome.unwrap().map_or(0, |message| message.to_native()))
}

fn poll_publish<F: Future<Output = inplace::Result<u64>>>(
    future: Pin<&mut F>,
    waker: &Waker,
) -> Poll<u64> {
    future.poll(&mut Context::from_waker(waker)).map(Result::unwrap)
}

/// Everything to the end: the messages, and how many were missed before each.
async fn follow(subscriber: &mut Subscriber<u64>) -> Vec<(u64, u64)> {
    let (mut seen, mut posts) = (Vec::new(), subscriber.iter());
    while let Some(message) = posts.next_async().await {
        let message = message.unwrap();
        seen.push((message.to_native(), message.missed()));
    }
    assert!(posts.next_async().await.is_none(), "it is over for good");
    seen
}

async fn numbers(subscriber: &mut Subscriber<u64>) -> Vec<u64> {
    follow(subscriber).await.into_iter().map(|(number, _)| number).collect()
}

#[test]
fn a_bare_executor_awaits_what_another_process_publishes_and_the_end() {
    let (_alone, store, _registered) = start_channel("async-topics-bare");
    let topic = topic(&store, 2, 1);
    let mut subscriber = topic.subscriber(Start::Latest).unwrap();
    let child = start_child(|| {
        let publisher = topic.publisher().unwrap();
        for number in 1..=20 {
            if number % 5 == 0 {
                std::thread::sleep(Duration::from_millis(10));
            }
            let position =
                block_on(publisher.publish_with_async(&number, &[number as u8])).unwrap();
            assert_eq!(position, number - 1);
        }
        0
    });
    let first = block_on(subscriber.recv_async()).unwrap().unwrap();
    assert_eq!((first.to_native(), first.metadata()), (1, &[1][..]));
    assert_eq!(block_on(numbers(&mut subscriber)), (2..=20).collect::<Vec<_>>());
    assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
    drop((first, subscriber));
    assert_ends(&store, &topic);
}

#[test]
fn tasks_of_two_processes_each_receive_everything_and_one_thread_waits_for_all() {
    let (_alone, store, _registered) = start_channel("async-topics-tasks");
    let topic = topic(&store, 4, 5);
    const EACH: u64 = 200;
    let gate = topic.publisher().unwrap();
    let publish = |from: u64| {
        let publisher = topic.publisher().unwrap();
        async move {
            for number in from..from + EACH {
                publisher.publish_async(&number).await.unwrap();
            }
        }
    };
    let subscribers = [(); 5].map(|()| topic.subscriber(Start::Latest).unwrap());
    let child = start_child(|| {
        end_with_parent();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async { tokio::join!(publish(0), publish(1000), publish(2000)) });
        0
    });
    let seen = runtime().block_on(async {
        let follow = |mut subscriber| tokio::spawn(async move { numbers(&mut subscriber).await });
        let subscribers = subscribers.map(follow);
        let publishers: Vec<_> = (3..6).map(|n| tokio::spawn(publish(1000 * n))).collect();
        for publisher in publishers {
            publisher.await.unwrap();
        }
        assert!(threads_named(WAITER) <= 1, "{}", threads_named(WAITER));
        assert!(matches!(child.wait(), WaitStatus::Exited(_, 0)));
        gate.close();
        let mut seen = Vec::new();
        for subscriber in subscribers {
            seen.push(subscriber.await.unwrap());
        }
        seen
    });
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "all have the same order");
    for publisher in 0..6 {
        let mine = seen[0].iter().copied().filter(|number| number / 1000 == publisher);
        let all = 1000 * publisher..1000 * publisher + EACH;
        assert_eq!(mine.collect::<Vec<_>>(), all.collect::<Vec<_>>());
    }
    assert_ends(&store, &topic);
    eventually("the thread ends", || threads_named(WAITER) == 0);
}

#[test]
fn a_dropped_future_has_received_nothing_and_takes_nobodys_wake_up_along() {
    let (_alone, store, _registered) = start_channel("async-topics-dropped");
    let topic = topic(&store, 4, 3);
    let publisher = topic.publisher().unwrap();
    let mut subscribers = [(); 3].map(|()| topic.subscriber(Start::Latest).unwrap());
    for round in 1..=20 {
        let [first, second, third] = &mut subscribers;
        let counters: [Arc<Counting>; 3] = Default::default();
        let [dropped, woken, last] = counters.each_ref().map(|it| Waker::from(it.clone()));
        let mut other = pin!(third.recv_async());
        {
            let mut early = pin!(first.recv_async());
            assert!(poll(early.as_mut(), &dropped).is_pending());
        }
        let mut late = Box::pin(second.recv_async());
        assert!(poll(late.as_mut(), &woken).is_pending());
        assert!(poll(other.as_mut(), &last).is_pending());
        publisher.publish(&round).unwrap();
        eventually("both are woken", || counters[1].count() == 1 && counters[2].count() == 1);
        // Woken, and dropped without having looked.
        drop(late);
        assert_eq!(poll(other.as_mut(), &last), Poll::Ready(round));
        assert_eq!(counters[0].count(), 0, "dropped before");
        assert_eq!(block_on(first.recv_async()).unwrap().unwrap().to_native(), round);
        assert_eq!(block_on(second.recv_async()).unwrap().unwrap().to_native(), round);
    }
    drop((publisher, subscribers));
    assert_ends(&store, &topic);
}

#[test]
fn a_dropped_publish_has_published_nothing() {
    let (_alone, store, _registered) = start_channel("async-topics-room");
    let topic = topic(&store, 1, 1);
    let publisher = topic.publisher().unwrap();
    let mut subscriber = topic.subscriber(Start::Latest).unwrap();
    publisher.publish(&1).unwrap();
    let counters: [Arc<Counting>; 2] = Default::default();
    let [first, second] = counters.each_ref().map(|it| Waker::from(it.clone()));
    let mut dropped = Box::pin(publisher.publish_async(&2));
    let mut publishing = pin!(publisher.publish_async(&3));
    assert!(poll_publish(dropped.as_mut(), &first).is_pending());
    assert!(poll_publish(publishing.as_mut(), &second).is_pending());
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!((counters[0].count(), counters[1].count()), (0, 0), "nobody has received");
    assert_eq!(subscriber.recv().unwrap().unwrap().to_native(), 1);
    eventually("both hear of room", || counters.iter().all(|counter| counter.count() == 1));
    drop(dropped);
    assert_eq!(poll_publish(publishing.as_mut(), &second), Poll::Ready(1));
    // Who leaves holds back nobody.
    let mut publishing = pin!(publisher.publish_async(&4));
    assert!(poll_publish(publishing.as_mut(), &second).is_pending());
    let before = counters[1].count();
    drop(subscriber);
    eventually("it hears of that", || counters[1].count() > before);
    assert_eq!(poll_publish(publishing.as_mut(), &second), Poll::Ready(2));
    let mut late = topic.subscriber(Start::Oldest).unwrap();
    publisher.close();
    assert_eq!(block_on(numbers(&mut late)), [4]);
    drop(late);
    assert_ends(&store, &topic);
}

#[test]
fn where_nobody_is_waited_for_publishing_is_ready_at_once_and_losses_are_told() {
    let (_alone, store, _registered) = start_channel("async-topics-losses");
    let topic = topic(&store, 2, 0);
    let publisher = topic.publisher().unwrap();
    let mut subscriber = topic.subscriber(Start::Latest).unwrap();
    let waker = Waker::from(Arc::new(Counting::default()));
    {
        let mut pending = pin!(subscriber.recv_async());
        assert!(poll(pending.as_mut(), &waker).is_pending());
    }
    for number in 0..10 {
        let mut publishing = pin!(publisher.publish_async(&number));
        assert_eq!(poll_publish(publishing.as_mut(), &waker), Poll::Ready(number));
    }
    publisher.close();
    assert_eq!(block_on(follow(&mut subscriber)), [(7, 7), (8, 0), (9, 0)]);
    assert_eq!(subscriber.missed(), 0, "it was told");
    drop(subscriber);
    assert_ends(&store, &topic);
}

#[test]
fn a_waker_is_called_for_its_own_topic_only_and_only_when_there_is_something() {
    let (_alone, store, _registered) = start_channel("async-topics-own");
    let [mine, other] = [(); 2].map(|()| topic(&store, 4, 0));
    let [mut my_subscriber, mut its_subscriber] =
        [&mine, &other].map(|topic| topic.subscriber(Start::Latest).unwrap());
    let [my_publisher, its_publisher] = [&mine, &other].map(|topic| topic.publisher().unwrap());
    let counters: [Arc<Counting>; 2] = Default::default();
    let [my_waker, its_waker] = counters.each_ref().map(|it| Waker::from(it.clone()));
    let mut my_future = pin!(my_subscriber.recv_async());
    assert!(poll(my_future.as_mut(), &my_waker).is_pending());
    for number in 1..=50 {
        let mut its_future = pin!(its_subscriber.recv_async());
        assert!(poll(its_future.as_mut(), &its_waker).is_pending());
        its_publisher.publish(&number).unwrap();
        eventually("it is called", || counters[1].count() == number as usize);
        assert_eq!(poll(its_future.as_mut(), &its_waker), Poll::Ready(number));
    }
    assert_eq!(counters[0].count(), 0, "nothing was published there");
    // One who publishes, and ends, while another goes on: no news.
    drop(mine.publisher().unwrap());
    // Nor is a subscriber that comes and goes.
    drop(mine.subscriber(Start::Latest).unwrap());
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(counters[0].count(), 0);
    my_publisher.publish(&7).unwrap();
    eventually("its own is heard", || counters[0].count() == 1);
    assert_eq!(poll(my_future.as_mut(), &my_waker), Poll::Ready(7));
}

#[test]
fn a_message_is_heard_of_long_before_the_thread_would_look_again() {
    let (_alone, store, _registered) = start_channel("async-topics-soon");
    let topic = topic(&store, 4, 0);
    let publisher = topic.publisher().unwrap();
    let mut subscriber = topic.subscriber(Start::Latest).unwrap();
    let mut round = |number| {
        std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let message = block_on(subscriber.recv_async()).unwrap().unwrap();
                assert_eq!(message.to_native(), number);
                Instant::now()
            });
            std::thread::sleep(Duration::from_millis(15));
            let published = Instant::now();
            publisher.publish(&number).unwrap();
            waiter.join().unwrap().saturating_duration_since(published)
        })
    };
    let mut waited: Vec<Duration> = (1..=15).map(&mut round).collect();
    waited.sort_unstable();
    assert!(waited[waited.len() / 2] < Duration::from_millis(40), "{waited:?}");
}

struct Talk(AtomicU64);

// SAFETY: made of atomics only.
unsafe impl support::shared::Atomics for Talk {}

#[test]
fn a_killed_publisher_ends_the_stream_within_200_milliseconds_for_every_subscriber() {
    let (_alone, store, _registered) = start_channel("async-topics-killed");
    let talk = support::shared::Shared::<Talk>::new();
    let mut slowest = Duration::ZERO;
    for round in 1..=5 {
        let topic = topic(&store, 4, 2);
        let subscribers = [(); 2].map(|()| topic.subscriber(Start::Latest).unwrap());
        let child = start_child(|| {
            end_with_parent();
            let publisher = topic.publisher().unwrap();
            publisher.publish(&1).unwrap();
            talk.0.store(round, Ordering::SeqCst);
            std::thread::sleep(Duration::from_secs(100));
            drop(publisher);
            0
        });
        eventually("it publishes", || talk.0.load(Ordering::SeqCst) == round);
        std::thread::scope(|scope| {
            let wait = |mut subscriber: Subscriber<u64>| {
                scope.spawn(move || (block_on(numbers(&mut subscriber)), Instant::now()))
            };
            let waiting = subscribers.map(wait);
            std::thread::sleep(Duration::from_millis(20 + 17 * round));
            let killed = Instant::now();
            child.kill();
            for waiting in waiting {
                let (numbers, at) = waiting.join().unwrap();
                assert_eq!(numbers, [1]);
                slowest = slowest.max(at - killed);
            }
        });
        assert_ends(&store, &topic);
    }
    println!("an await hears of the end by a kill after {slowest:?} at most");
    assert!(slowest < Duration::from_millis(200), "{slowest:?}");
}

#[test]
fn a_killed_subscriber_is_not_awaited() {
    let (_alone, store, _registered) = start_channel("async-topics-held");
    let talk = support::shared::Shared::<Talk>::new();
    let topic = topic(&store, 1, 1);
    let publisher = topic.publisher().unwrap();
    let child = start_child(|| {
        end_with_parent();
        let _subscriber = topic.subscriber(Start::Latest).unwrap();
        talk.0.store(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(100));
        0
    });
    eventually("it subscribes", || talk.0.load(Ordering::SeqCst) == 1);
    publisher.publish(&1).unwrap();
    std::thread::scope(|scope| {
        let publishing =
            scope.spawn(|| (block_on(publisher.publish_async(&2)).unwrap(), Instant::now()));
        std::thread::sleep(Duration::from_millis(30));
        assert!(!publishing.is_finished());
        let killed = Instant::now();
        child.kill();
        let (position, at) = publishing.join().unwrap();
        assert_eq!(position, 1);
        assert!(at - killed < Duration::from_millis(200), "{:?}", at - killed);
    });
    publisher.close();
    assert_ends(&store, &topic);
}

#[test]
fn an_evicted_topic_ends_awaits_on_either_side() {
    let (_alone, store, _registered) = start_channel("async-topics-evicted");
    for bound in [false, true] {
        let options = TopicOptions::new(1).hold_back(1);
        let make = |name: &str| match bound {
            true => store.topic_with::<u64>(name, &options).unwrap(),
            false => store.topic_new_with::<u64>(&options).unwrap(),
        };
        let (empty, full) = (make("empty"), make("full"));
        let slow = full.subscriber(Start::Latest).unwrap();
        full.publisher().unwrap().publish(&1).unwrap();
        std::thread::scope(|scope| {
            let receiving = scope.spawn(|| {
                let mut subscriber = empty.subscriber(Start::Latest).unwrap();
                block_on(subscriber.recv_async()).map(drop)
            });
            let publishing = scope.spawn(|| {
                let publisher = full.publisher().unwrap();
                block_on(publisher.publish_async(&2))
            });
            std::thread::sleep(Duration::from_millis(20));
            assert!(!receiving.is_finished() && !publishing.is_finished());
            assert!(empty.evict().unwrap() && full.evict().unwrap());
            assert!(matches!(receiving.join().unwrap(), Err(Error::NotFound { .. })));
            assert!(matches!(publishing.join().unwrap(), Err(Error::NotFound { .. })));
        });
        drop(slow);
        eventually("both are gone", || region(&store).check().unwrap().pins == 0);
        assert_clean(&store);
    }
}

#[test]
fn what_is_too_old_when_it_is_looked_at_is_lost_and_the_next_is_awaited() {
    let (_alone, store, _registered) = start_channel("async-topics-old");
    let options = TopicOptions::new(8).max_age(Duration::from_millis(30));
    let topic = store.topic_new_with::<u64>(&options).unwrap();
    let publisher = topic.publisher().unwrap();
    let mut subscriber = topic.subscriber(Start::Latest).unwrap();
    publisher.publish(&1).unwrap();
    std::thread::sleep(Duration::from_millis(50));
    let counter = Arc::new(Counting::default());
    let waker = Waker::from(counter.clone());
    let mut pending = pin!(subscriber.recv_async());
    assert!(poll(pending.as_mut(), &waker).is_pending());
    std::thread::sleep(Duration::from_millis(150));
    assert_eq!(counter.count(), 0, "there is nothing to look at");
    publisher.publish(&2).unwrap();
    eventually("it is called", || counter.count() == 1);
    let Poll::Ready(found) = pending.as_mut().poll(&mut Context::from_waker(&waker)) else {
        panic!("it is there");
    };
    let message = found.unwrap().unwrap();
    assert_eq!((message.to_native(), message.missed()), (2, 1));
}

#[test]
fn a_forked_child_does_not_await_with_its_parents_handles_and_does_with_its_own() {
    let (_alone, store, _registered) = start_channel("async-topics-forked");
    let topic = topic(&store, 4, 3);
    let publisher = topic.publisher().unwrap();
    let mut subscriber = topic.subscriber(Start::Latest).unwrap();
    let counter = Arc::new(Counting::default());
    let waker = Waker::from(counter.clone());
    let mut pending = Box::pin(subscriber.recv_async());
    assert!(poll(pending.as_mut(), &waker).is_pending());
    let code = in_child(|| {
        assert!(matches!(block_on(pending.as_mut()), Err(Error::NotOwner { .. })));
        assert!(matches!(block_on(publisher.publish_async(&1)), Err(Error::NotOwner { .. })));
        let (mut mine, topic) = (topic.subscriber(Start::Latest).unwrap(), topic.clone());
        let other = start_child(|| {
            std::thread::sleep(Duration::from_millis(30));
            let publisher = topic.publisher().unwrap();
            block_on(publisher.publish_async(&8)).map_or(1, |_| 0)
        });
        let heard = block_on(mine.recv_async()).unwrap().unwrap();
        assert!(matches!(other.wait(), WaitStatus::Exited(_, 0)));
        assert_eq!(heard.to_native(), 8);
        0
    });
    assert_eq!(code, 0);
    eventually("the parent's waker is called", || counter.count() == 1);
    assert_eq!(poll(pending.as_mut(), &waker), Poll::Ready(8));
    drop(pending);
    drop((publisher, subscriber));
    assert_ends(&store, &topic);
}

#[test]
fn where_the_kernel_cannot_wait_for_several_words_topics_are_looked_at_from_time_to_time() {
    let (_alone, store, _registered) = start_channel("async-topics-old-kernel");
    let code = in_child(|| {
        forbid_futex_waitv();
        let topic = topic(&store, 1, 1);
        let publisher = topic.publisher().unwrap();
        let mut subscriber = topic.subscriber(Start::Latest).unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in 0..20 {
                    std::thread::sleep(Duration::from_millis(2));
                    block_on(publisher.publish_async(&number)).unwrap();
                }
                publisher.close();
            });
            assert_eq!(block_on(numbers(&mut subscriber)), (0..20).collect::<Vec<_>>());
        });
        0
    });
    assert_eq!(code, 0);
    region(&store).reap().unwrap();
}
