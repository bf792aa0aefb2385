//! Topics among processes, some of which are killed or stopped.

mod support;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::time::{Duration, Instant};

use inplace::{Error, Start, Topic, TopicOptions};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::WaitStatus;
use support::shared::{Atomics, Shared};
use support::topics::*;
use support::{Forked, eventually, start_child};

/// What the processes of a test tell one another.
struct Talk {
    stage: AtomicU32,
    count: AtomicU64,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Talk {}

fn join(children: Vec<Forked>) {
    for child in children {
        let end = child.wait();
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
    }
}

/// Publishes so many numbers from a child.
fn publish(topic: &Topic<u64>, from: u64, count: u64) -> Forked {
    start_child(|| {
        let publisher = topic.publisher().unwrap();
        publish_all(&publisher, from..from + count);
        publisher.close();
        0
    })
}

#[test]
fn processes_that_publish_and_subscribe_receive_everything_when_they_are_waited_for() {
    let _alone = alone();
    let (store, talk) = (shm("processes"), Shared::<Talk>::new());
    let options = TopicOptions::new(16).hold_back(2);
    let topic = store.topic_with::<u64>("numbers", &options).unwrap();
    // Until all publishers are there, the stream must not end.
    let gate = topic.publisher().unwrap();
    let subscribers: Vec<_> = (0..2)
        .map(|_| {
            start_child(|| {
                let topic = store.topic_with::<u64>("numbers", &options).unwrap();
                let mut subscriber = topic.subscriber(Start::Latest).unwrap();
                talk.stage.fetch_add(1, Ordering::SeqCst);
                let mut found = numbers(&mut subscriber);
                found.sort_unstable();
                assert!(found.into_iter().eq(0..3000));
                0
            })
        })
        .collect();
    eventually("both are there", || talk.stage.load(Ordering::SeqCst) == 2);
    join((0..3).map(|p| publish(&topic, p * 1000, 1000)).collect());
    gate.close();
    join(subscribers);
    assert_clean(&store, 17);
    region_of(&store).unbind("numbers").unwrap();
    assert_all_goes(&store, &topic);
}

#[test]
fn the_stream_ends_when_the_last_publisher_is_closed_dropped_or_killed() {
    let _alone = alone();
    let (store, talk) = (shm("ends"), Shared::<Talk>::new());
    let topic = store.topic_new::<u64>(8).unwrap();
    let mut subscriber = topic.subscriber(Start::Latest).unwrap();
    let short = Duration::from_millis(20);
    assert!(matches!(subscriber.recv_timeout(short), Err(Error::TimedOut { .. })), "nobody yet");
    let (first, second) = (topic.publisher().unwrap(), topic.publisher().unwrap());
    first.publish(&1).unwrap();
    first.close();
    assert_eq!(subscriber.recv().unwrap().unwrap().to_native(), 1);
    assert!(matches!(subscriber.recv_timeout(short), Err(Error::TimedOut { .. })), "the second");
    drop(second);
    assert!(subscriber.recv().unwrap().is_none() && subscriber.has_ended().unwrap());
    let child = start_child(|| {
        let publisher = topic.publisher().unwrap();
        publisher.publish(&2).unwrap();
        talk.stage.store(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(60));
        drop(publisher);
        0
    });
    eventually("it publishes", || talk.stage.load(Ordering::SeqCst) == 1);
    assert!(!subscriber.has_ended().unwrap());
    assert_eq!(subscriber.recv().unwrap().unwrap().to_native(), 2);
    assert!(matches!(subscriber.recv_timeout(short), Err(Error::TimedOut { .. })), "it lives");
    child.kill();
    assert!(subscriber.recv().unwrap().is_none(), "the dead count as closed");
    assert_eq!(numbers(&mut topic.subscriber(Start::Oldest).unwrap()), [1, 2], "and stay");
    drop(subscriber);
    assert_clean(&store, 2);
    assert_all_goes(&store, &topic);
}

/// Subscribes, receives one, and waits to be killed, stopped meanwhile or not.
fn stuck(topic: &Topic<u64>, talk: &Shared<Talk>, is_stopped: bool) -> Forked {
    talk.stage.store(0, Ordering::SeqCst);
    let child = start_child(|| {
        let mut subscriber = topic.subscriber(Start::Oldest).unwrap();
        let _held = subscriber.recv().unwrap().unwrap();
        talk.stage.store(1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_secs(60));
        0
    });
    eventually("it has one", || talk.stage.load(Ordering::SeqCst) == 1);
    if is_stopped {
        kill(child.0, Signal::SIGSTOP).unwrap();
    }
    child
}

#[test]
fn a_stopped_subscriber_holds_up_only_those_who_are_held_back_and_a_dead_one_nobody() {
    let _alone = alone();
    let (store, talk) = (shm("stopped"), Shared::<Talk>::new());
    for options in [TopicOptions::new(4), TopicOptions::new(4).hold_back(2)] {
        let holds_back = options != TopicOptions::new(4);
        let topic = store.topic_new_with::<u64>(&options).unwrap();
        let publisher = topic.publisher().unwrap();
        publisher.publish(&0).unwrap();
        let child = stuck(&topic, &talk, true);
        let mut subscriber = topic.subscriber(Start::Latest).unwrap();
        let most = if holds_back { 5 } else { 100 };
        for number in 1..most {
            publisher.try_publish(&number).unwrap();
            assert_eq!(subscriber.recv().unwrap().unwrap().to_native(), number);
        }
        assert_eq!(region_of(&store).reap().unwrap(), 0, "stopped is not dead");
        assert!(region_of(&store).check().unwrap().is_clean());
        if holds_back {
            assert!(matches!(publisher.try_publish(&5), Err(Error::Full { .. })));
        }
        child.kill();
        // Nobody reaps but who waits.
        for number in most..most + 5 {
            publisher.publish(&number).unwrap();
            assert_eq!(subscriber.recv().unwrap().unwrap().to_native(), number);
        }
        drop((publisher, subscriber));
        assert_clean(&store, 5);
        assert_all_goes(&store, &topic);
    }
}

#[test]
fn the_place_of_a_killed_subscriber_is_another_s_at_once() {
    let _alone = alone();
    let (store, talk) = (shm("places"), Shared::<Talk>::new());
    let topic = store.topic_new_with::<u64>(&TopicOptions::new(4).hold_back(1)).unwrap();
    topic.publisher().unwrap().publish(&0).unwrap();
    let child = stuck(&topic, &talk, false);
    assert!(matches!(topic.subscriber(Start::Oldest), Err(Error::TooManySubscribers { .. })));
    child.kill();
    let mut subscriber = topic.subscriber(Start::Oldest).unwrap();
    assert_eq!(numbers(&mut subscriber), [0]);
    drop(subscriber);
    assert_clean(&store, 1);
    assert_all_goes(&store, &topic);
}

#[test]
fn a_dead_subscriber_holds_nobody_back_though_publishers_are_woken_all_the_time() {
    let _alone = alone();
    let (store, talk) = (shm("busy"), Shared::<Talk>::new());
    let topic = store.topic_new_with::<u64>(&TopicOptions::new(1).hold_back(3)).unwrap();
    let publisher = topic.publisher().unwrap().wait_policy(inplace::WaitPolicy::Park);
    publisher.publish(&0).unwrap();
    let child = stuck(&topic, &talk, false);
    publisher.publish(&1).unwrap();
    child.kill();
    let start = Instant::now();
    std::thread::scope(|scope| {
        let published = scope.spawn(|| publisher.publish_timeout(&2, Duration::from_secs(5)));
        while !published.is_finished() {
            // Who comes and goes rings for whoever waits for room.
            drop(topic.subscriber(Start::Latest).unwrap());
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(published.join().unwrap().expect("the dead were looked for"), 2);
        assert!(start.elapsed() < Duration::from_secs(3), "only when it gave up");
    });
    drop(publisher);
    assert_clean(&store, 2);
    assert_all_goes(&store, &topic);
}

#[test]
fn whoever_comes_while_another_reaps_finds_the_places_of_the_dead() {
    let _alone = alone();
    let (store, talk) = (shm("two_come"), Shared::<Talk>::new());
    let topic = store.topic_new_with::<u64>(&TopicOptions::new(4).hold_back(2)).unwrap();
    topic.publisher().unwrap().publish(&0).unwrap();
    // So many that it takes a while to look through them.
    let objects: Vec<_> = (0..5000_u64).map(|number| store.put(&number).unwrap()).collect();
    for _ in 0..10 {
        talk.stage.store(0, Ordering::SeqCst);
        let child = start_child(|| {
            let _both = [(); 2].map(|()| topic.subscriber(Start::Oldest).unwrap());
            talk.stage.store(1, Ordering::SeqCst);
            std::thread::sleep(Duration::from_secs(60));
            0
        });
        eventually("it has both places", || talk.stage.load(Ordering::SeqCst) == 1);
        child.kill();
        let start = Barrier::new(2);
        std::thread::scope(|scope| {
            let come = || {
                start.wait();
                let mine = topic.subscriber(Start::Oldest);
                start.wait();
                mine.expect("a place is free").position()
            };
            let both = [(); 2].map(|()| scope.spawn(come));
            assert_eq!(both.map(|one| one.join().unwrap()), [0; 2]);
        });
    }
    for object in objects {
        store.evict(object).unwrap();
    }
    assert_clean(&store, 1);
    assert_all_goes(&store, &topic);
}

#[test]
fn what_a_killed_publisher_published_is_received_once_and_whole_and_what_not_is_gone() {
    let _alone = alone();
    let (store, talk) = (shm("killed"), Shared::<Talk>::new());
    for options in [TopicOptions::new(1000), TopicOptions::new(3)] {
        let topic = store.topic_new_with::<Event>(&options).unwrap();
        let open = topic.publisher().unwrap();
        let mut subscriber = topic.subscriber(Start::Oldest).unwrap();
        let (mut next, mut count) = (0, 0);
        for round in 0..15 {
            talk.count.store(0, Ordering::SeqCst);
            let child = start_child(|| {
                let publisher = topic.publisher().unwrap();
                for number in 0.. {
                    let payload = vec![number as u8; (number % 3) as usize * 500];
                    let event = Event { publisher: round, number, payload };
                    publisher.publish(&event).unwrap();
                    talk.count.store(number + 1, Ordering::SeqCst);
                }
                0
            });
            eventually("it publishes", || talk.count.load(Ordering::SeqCst) > u64::from(round) % 5);
            child.kill();
            let mut last = 0;
            while let Some(message) = subscriber.try_recv().unwrap() {
                assert_eq!(message.position(), next + message.missed());
                next = message.position() + 1;
                let number = message.number.to_native();
                assert!(message.payload.iter().all(|byte| *byte == number as u8));
                (last, count) = (number + 1, count + 1);
            }
            let said = talk.count.load(Ordering::SeqCst);
            assert!(last == said || last == said + 1, "{last}, and said were {said}");
            let kept = next.min(u64::from(options.capacity()) + 1);
            region_of(&store).reap().unwrap();
            let report = region_of(&store).check().unwrap();
            assert!(report.is_clean() && report.in_progress == 0, "{report}");
            assert!((kept - 1..=kept).contains(&report.published), "{report}");
        }
        assert!(count >= 15);
        drop((open, subscriber));
        assert_all_goes(&store, &topic);
    }
}

#[test]
fn a_forked_child_has_neither_its_parent_s_publishers_nor_its_subscribers() {
    let _alone = alone();
    let store = shm("forked");
    let topic = store.topic_new_with::<u64>(&TopicOptions::new(4).hold_back(2)).unwrap();
    let publisher = topic.publisher().unwrap();
    let subscriber = Mutex::new(topic.subscriber(Start::Latest).unwrap());
    let child = start_child(|| {
        let mut parents = subscriber.lock().unwrap();
        assert!(matches!(parents.recv(), Err(Error::NotOwner { .. })));
        assert!(matches!(publisher.publish(&1), Err(Error::NotOwner { .. })));
        let mut mine = topic.subscriber(Start::Oldest).unwrap();
        topic.publisher().unwrap().publish(&7).unwrap();
        assert_eq!(mine.recv().unwrap().unwrap().to_native(), 7);
        0
    });
    join(vec![child]);
    let mut subscriber = subscriber.into_inner().unwrap();
    assert_eq!(subscriber.recv().unwrap().unwrap().to_native(), 7);
    assert!(!subscriber.has_ended().unwrap(), "the parent publishes on");
    drop((publisher, subscriber));
    assert_clean(&store, 1);
    assert_all_goes(&store, &topic);
}

#[test]
fn a_parked_subscriber_is_woken_long_before_it_would_look_again() {
    let _alone = alone();
    let (store, talk) = (shm("woken"), Shared::<Talk>::new());
    let topic = store.topic_new::<u64>(8).unwrap();
    let publisher = topic.publisher().unwrap();
    let child = start_child(|| {
        let mut subscriber =
            topic.subscriber(Start::Oldest).unwrap().wait_policy(inplace::WaitPolicy::Park);
        for message in &mut subscriber {
            talk.count.store(message.unwrap().to_native(), Ordering::SeqCst);
        }
        0
    });
    let mut slow = 0;
    for number in 1..=20 {
        std::thread::sleep(Duration::from_millis(5));
        let start = Instant::now();
        publisher.publish(&number).unwrap();
        eventually("it heard", || talk.count.load(Ordering::SeqCst) >= number);
        slow += u32::from(start.elapsed() > Duration::from_millis(60));
    }
    assert!(slow < 5, "{slow} of 20 wakes took longer than a look would");
    publisher.close();
    join(vec![child]);
    assert_clean(&store, 9);
}
