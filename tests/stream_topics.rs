//! Streams through topics: what producers and consumers promise, of whom each has everything.

mod support;

#[path = "support/streams.rs"]
mod streams;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use inplace::codec::{Archive, Codec, Raw, Serde, Slice};
use inplace::{Error, Start, Store, StreamConsumer, StreamProducer, TopicOptions};
use nix::sys::wait::WaitStatus;
use streams::{Files, Frame, all, assert_clean, frame, region_of, shm};
use support::futures::block_on;
use support::shared::{Atomics, Shared};
use support::{alone, end_with_parent, eventually, in_child, start_child};

const SOON: Duration = Duration::from_millis(10);

/// Evicts topics, after which nothing is left.
fn assert_ends<C>(store: &Store<C>, topics: &[&str]) {
    for name in topics {
        let key = region_of(store).lookup(name).unwrap().unwrap();
        assert!(region_of(store).evict(key).unwrap());
    }
    assert_clean(store);
}

fn numbers(store: &Store, options: TopicOptions, start: Start) -> StreamConsumer<u64, u64> {
    let consumer = StreamConsumer::new(store).topic_options(options);
    consumer.topic("numbers", start).unwrap()
}

fn producer(store: &Store, options: TopicOptions) -> StreamProducer<u64, u64> {
    StreamProducer::new(store).topic_options(options).topic("numbers")
}

/// What a consumer has next: the object, and how many messages were missed before it.
fn next(consumer: &mut StreamConsumer<u64, u64>) -> Option<(u64, u64)> {
    let item = consumer.next_timeout(SOON).unwrap()?;
    assert_eq!(*item.metadata(), item.to_native());
    Some((item.to_native(), item.missed()))
}

#[test]
fn every_consumer_has_every_object_of_any_size_in_order_with_what_was_said_of_it() {
    let _alone = alone();
    let store = shm("all", Archive);
    for batch_size in [1, 3, 7] {
        let consume = || StreamConsumer::<Frame, String>::new(&store);
        let mut consumers = [(); 3].map(|()| consume().topic("frames", Start::Latest).unwrap());
        let mut producer =
            StreamProducer::<Frame, String>::new(&store).topic("frames").batch_size(batch_size);
        let sizes = [0, 1, 63, 64, 65, 5000, 100_000, 3];
        for (number, size) in (0..).zip(sizes) {
            producer.send_with("frames", frame(number, size), format!("no {number}")).unwrap();
        }
        producer.close().unwrap();
        for consumer in &mut consumers {
            let mut positions = Vec::new();
            let mut seen = Vec::new();
            while let Some(item) = consumer.next_item().unwrap() {
                assert_eq!((item.channel(), item.deliveries(), item.missed()), ("frames", 1, 0));
                assert!(item.proxy().is_none());
                assert_eq!(*item.metadata(), format!("no {}", item.number));
                assert!(item.pixels.iter().all(|pixel| u64::from(*pixel) == item.number));
                positions.push(item.position().unwrap());
                seen.push(item.pixels.len());
                if seen.len() % 2 == 0 {
                    item.ack().unwrap();
                }
            }
            assert_eq!(seen, sizes, "nothing comes of acknowledging");
            let batches = positions.iter().map(|position| position - positions[0]);
            let expected = (0..8).map(|number| number / batch_size as u64);
            assert!(batches.eq(expected), "{positions:?}");
            assert!(consumer.next_item().unwrap().is_none(), "it is over for good");
            assert_eq!(consumer.missed(), 0);
        }
        drop(consumers);
        assert_ends(&store, &["frames"]);
    }
}

/// Three to a message, looked at when the topic has dropped them.
fn with_codec<T: Clone, C: Codec<T>>(codec: C, values: &[T], is_same: impl Fn(&C::Target, &T)) {
    let store = shm("codecs", codec);
    let mut producer = StreamProducer::<T, (), C>::new(&store).topic("values").batch_size(3);
    values.iter().for_each(|value| producer.send("values", value.clone()).unwrap());
    producer.close().unwrap();
    let consumer = StreamConsumer::<T, (), C>::new(&store).topic("values", Start::Oldest);
    let held: Vec<_> = consumer.unwrap().map(Result::unwrap).collect();
    assert_eq!(held.len(), values.len());
    assert!(region_of(&store).evict(region_of(&store).lookup("values").unwrap().unwrap()).unwrap());
    held.iter().zip(values).for_each(|(item, value)| is_same(item, value));
    drop(held);
    assert_clean(&store);
}

#[test]
fn topics_carry_what_each_codec_makes_and_items_outlive_them() {
    let _alone = alone();
    with_codec(Archive, &["a".to_string(), "b".repeat(100), "c".into()], |found, value| {
        assert_eq!(found.as_str(), value);
    });
    with_codec(Slice::<f64>::default(), &[vec![1.0; 3], vec![], vec![2.0; 70]], |found, value| {
        assert_eq!(found.as_slice(), value);
    });
    with_codec(Raw, &[vec![1_u8; 5], vec![2; 300], vec![]], |found, value| {
        assert_eq!(found, value.as_slice());
    });
    with_codec(Serde, &[(1_u32, "one".to_string()), (2, "two".into())], |found, value| {
        assert_eq!(found, value);
    });
}

#[test]
fn what_one_consumer_does_not_keep_others_have_and_a_batch_becomes_what_is_made_of_it() {
    let _alone = alone();
    let (store, options) = (shm("filters", Archive), TopicOptions::new(64));
    let mut even = numbers(&store, options, Start::Latest).keep(|number| number % 2 == 0);
    let mut every = numbers(&store, options, Start::Latest);
    let mut sent = producer(&store, options).batch_size(4).keep(|number| number % 5 != 0);
    (0..20).for_each(|number| sent.send_with("numbers", number, number).unwrap());
    sent.close().unwrap();
    let kept = (0..20).filter(|number| number % 5 != 0);
    assert_eq!(all(&mut every, |item| item.to_native()), kept.clone().collect::<Vec<_>>());
    let kept = kept.filter(|number| number % 2 == 0);
    assert_eq!(all(&mut even, |item| item.to_native()), kept.collect::<Vec<_>>());
    let sum = |batch: Vec<(u64, u64)>| {
        let sum = batch.iter().map(|(number, _)| number).sum();
        (sum, sum)
    };
    let mut late = [(); 2].map(|()| numbers(&store, options, Start::Latest));
    let mut sums = producer(&store, options).batch_size(4).aggregate(sum);
    (1..=6).for_each(|number| sums.send_with("numbers", number, number).unwrap());
    sums.close().unwrap();
    late.iter_mut().for_each(|it| assert_eq!(all(it, |item| item.to_native()), [10, 11]));
    drop((even, every, late));
    assert_ends(&store, &["numbers"]);
}

#[test]
fn who_comes_late_begins_where_it_says() {
    let _alone = alone();
    let (store, options) = (shm("late", Archive), TopicOptions::new(4));
    let mut producer = producer(&store, options).batch_size(2);
    let mut send = |number| producer.send_with("numbers", number, number).unwrap();
    (0..6).for_each(&mut send);
    let mut oldest = numbers(&store, options, Start::Oldest);
    let mut latest = numbers(&store, options, Start::Latest);
    let second = oldest.next_item().unwrap().unwrap();
    assert_eq!(second.position(), Some(0));
    let mut behind = numbers(&store, options, Start::At(second.position().unwrap() + 1));
    let mut to_come = numbers(&store, options, Start::At(4));
    drop(second);
    (6..10).for_each(&mut send);
    assert_eq!([1, 2, 3].map(|_| next(&mut oldest)), [1, 2, 3].map(|number| Some((number, 0))));
    assert_eq!(next(&mut latest), Some((6, 0)));
    assert_eq!(next(&mut behind), Some((2, 0)));
    assert_eq!(next(&mut to_come), Some((8, 0)));
    (10..16).for_each(&mut send);
    let mut gone = numbers(&store, options, Start::At(1));
    let (found, missed) = next(&mut gone).unwrap();
    assert_eq!(
        (found, missed),
        (2 * (1 + missed), missed),
        "what it asked for and is gone, it missed"
    );
    assert!((2..=3).contains(&missed), "{missed}");
    producer.close().unwrap();
    let mut after = numbers(&store, options, Start::Oldest);
    assert_eq!(
        all(&mut after, |item| item.to_native()).last(),
        Some(&15),
        "the end is not the last word"
    );
    drop((oldest, latest, behind, to_come, gone, after));
    assert_ends(&store, &["numbers"]);
}

#[test]
fn losses_are_counted_in_messages_and_told_once_with_the_next_object_that_is_handed_out() {
    let _alone = alone();
    let (store, options) = (shm("losses", Archive), TopicOptions::new(2));
    let mut consumer = numbers(&store, options, Start::Latest);
    // Of each message the first is not wanted, and of the message at 7 nothing.
    let mut picky =
        numbers(&store, options, Start::Latest).keep(|number| number % 3 != 0 && number / 3 != 7);
    let mut producer = producer(&store, options).batch_size(3);
    let mut send = |numbers: std::ops::Range<u64>| {
        numbers.for_each(|number| producer.send_with("numbers", number, number).unwrap());
    };
    send(0..30);
    // Ten messages, of which the last three are there.
    let seen = [(); 4].map(|()| next(&mut consumer).unwrap());
    assert_eq!(seen, [(21, 7), (22, 0), (23, 0), (24, 0)]);
    assert_eq!(consumer.missed(), 7);
    assert_eq!(next(&mut picky), Some((25, 7)), "told with the first that is wanted");
    send(30..60);
    // The message at hand is there, also when the topic has dropped it.
    assert_eq!([(); 2].map(|()| next(&mut consumer).unwrap()), [(25, 0), (26, 0)]);
    let seen = [(); 2].map(|()| next(&mut consumer).unwrap());
    assert_eq!(seen, [(51, 8), (52, 0)], "messages 9 to 16");
    assert_eq!(consumer.missed(), 15);
    producer.close().unwrap();
    assert_eq!(all(&mut consumer, |item| (item.to_native(), item.missed())).len(), 7);
    assert_eq!(consumer.missed(), 15, "and no more");
    drop((consumer, picky));
    assert_ends(&store, &["numbers"]);
}

#[test]
fn losses_that_no_object_follows_are_in_the_sum() {
    let _alone = alone();
    let store = shm("old", Archive);
    let options = TopicOptions::new(8).max_age(Duration::from_millis(20));
    let mut consumer = numbers(&store, options, Start::Latest);
    let mut producer = producer(&store, options).batch_size(2);
    (0..7).for_each(|number| producer.send_with("numbers", number, number).unwrap());
    producer.close().unwrap();
    std::thread::sleep(Duration::from_millis(40));
    assert!(consumer.next_item().unwrap().is_none(), "all of it is too old");
    assert_eq!(consumer.missed(), 4, "three batches, and what was left");
    drop(consumer);
    assert_ends(&store, &["numbers"]);
}

#[test]
fn a_topic_that_holds_back_loses_nothing_and_takes_no_more_consumers_than_it_waits_for() {
    let _alone = alone();
    let (store, options) = (shm("held", Archive), TopicOptions::new(2).hold_back(2));
    let mut slow = numbers(&store, options, Start::Latest);
    let fast = numbers(&store, options, Start::Latest);
    let refused = StreamConsumer::<u64, u64>::new(&store).topic_options(options);
    let refused = refused.topic("numbers", Start::Latest).unwrap_err();
    assert!(matches!(refused, Error::TooManySubscribers { .. }), "{refused}");
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| {
            let mut producer = producer(&store, options).batch_size(3);
            (0..100).for_each(|number| producer.send_with("numbers", number, number).unwrap());
            producer.close().unwrap();
        });
        let fast = scope.spawn(|| fast.map(|item| item.unwrap().to_native()).collect::<Vec<_>>());
        std::thread::sleep(Duration::from_millis(50));
        assert!(!producing.is_finished() && !fast.is_finished(), "the slow one has nothing yet");
        let seen = all(&mut slow, |item| (item.to_native(), item.missed()));
        assert_eq!(seen, (0..100).map(|number| (number, 0)).collect::<Vec<_>>());
        assert_eq!(fast.join().unwrap(), (0..100).collect::<Vec<_>>());
    });
    // Dropped, a producer waits for nobody.
    let mut late = producer(&store, options);
    (0..2).for_each(|number| late.send_with("numbers", number, number).unwrap());
    let mut late = late.batch_size(2);
    late.send_with("numbers", 2, 2).unwrap();
    drop(late);
    drop(slow);
    assert_ends(&store, &["numbers"]);
}

#[test]
fn a_consumer_of_queues_and_topics_has_all_of_them_awaited_or_not() {
    let _alone = alone();
    for is_awaited in [false, true] {
        let store = shm("mixed", Archive);
        let consume = || {
            let consumer = StreamConsumer::<u64, u64>::new(&store);
            let consumer = consumer.channel("jobs").unwrap().topic("news", Start::Latest).unwrap();
            consumer.topic("gossip", Start::Latest).unwrap()
        };
        let consumers = [consume(), consume()];
        let seen = std::thread::scope(|scope| {
            let consume = |mut consumer: StreamConsumer<u64, u64>| {
                scope.spawn(move || {
                    let mut seen = BTreeMap::<String, Vec<u64>>::new();
                    loop {
                        let item = match is_awaited {
                            true => block_on(consumer.next_async()),
                            false => consumer.next_item(),
                        };
                        let Some(item) = item.unwrap() else { return seen };
                        assert_eq!(item.position().is_none(), item.channel() == "jobs");
                        seen.entry(item.channel().into()).or_default().push(item.to_native());
                        item.ack().unwrap();
                    }
                })
            };
            let consuming = consumers.map(consume);
            let producer = StreamProducer::<u64, u64>::new(&store).topic("news").topic("gossip");
            let mut producer = producer.batch_size(2);
            let channels = ["news", "jobs", "gossip"];
            channels.iter().for_each(|channel| producer.open(channel).unwrap());
            for number in 0..150 {
                producer.send_with(channels[number as usize % 3], number, number).unwrap();
                if number % 30 == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            producer.close().unwrap();
            consuming.map(|it| it.join().unwrap())
        });
        let every_third = |rest| (0..150).filter(move |number| number % 3 == rest);
        for (name, rest) in [("news", 0), ("gossip", 2)] {
            assert!(seen.iter().all(|seen| seen[name].iter().copied().eq(every_third(rest))));
        }
        let jobs = seen.iter().filter_map(|seen| seen.get("jobs")).flatten();
        let mut jobs: Vec<u64> = jobs.copied().collect();
        jobs.sort_unstable();
        assert!(jobs.into_iter().eq(every_third(1)));
        assert_ends(&store, &["news", "gossip"]);
    }
}

#[test]
fn objects_of_a_store_can_only_be_sent_to_stay_and_no_consumer_evicts_them() {
    let _alone = alone();
    let (store, files) = (shm("stored", Archive), Files::new("stored-topics"));
    let producer = StreamProducer::<Frame, u64>::new(&store).topic("files").batch_size(2);
    let mut producer = producer.store_for("files", &files.1);
    let refused = producer.send_with("files", frame(9, 1), 9).unwrap_err();
    assert!(matches!(&refused, Error::InvalidConfig { .. }), "{refused}");
    assert!(refused.to_string().contains("send_lasting"), "{refused}");
    for number in 0..4 {
        producer.send_lasting("files", frame(number, 1000), number).unwrap();
    }
    producer.close().unwrap();
    for keeps in [3, 4] {
        let consumer = StreamConsumer::<Frame, u64>::new(&store).keep(move |it| *it < keeps);
        let mut consumer = consumer.topic("files", Start::Oldest).unwrap();
        let seen = all(&mut consumer, |item| {
            assert!(!item.proxy().unwrap().is_resolved(), "nobody looked at it");
            item.number.to_native()
        });
        assert_eq!(seen, (0..keeps).collect::<Vec<_>>());
        assert_eq!(files.objects(), 4);
    }
    assert_ends(&store, &["files"]);
}

const CONSUMER: u64 = 1;
const PRODUCER: u64 = 2;

struct Talk {
    stage: AtomicU64,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Talk {}

#[test]
fn of_several_processes_some_of_which_are_killed_every_consumer_left_has_everything_and_an_end() {
    let _alone = alone();
    let (store, talk) = (shm("killed", Archive), Shared::<Talk>::new());
    let options = TopicOptions::new(4).hold_back(4);
    let mut gate = producer(&store, options);
    gate.open("numbers").unwrap();
    let consume = |dies: bool| {
        start_child(|| {
            end_with_parent();
            let consumer = numbers(&store, options, Start::Latest);
            talk.stage.fetch_add(1 << 8, Ordering::SeqCst);
            let mut seen = Vec::new();
            for item in consumer {
                seen.push(item.unwrap().to_native());
                if dies && seen.len() == 20 {
                    talk.stage.fetch_or(CONSUMER, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_secs(3600));
                }
            }
            for from in [0, 200, 400] {
                let of_one = seen.iter().copied().filter(|it| (from..from + 200).contains(it));
                assert!(of_one.eq(from..from + 200));
            }
            0
        })
    };
    let produce = |from: u64, dies: bool| {
        start_child(|| {
            end_with_parent();
            let mut producer = producer(&store, options).batch_size(5);
            for number in from..from + 200 {
                producer.send_with("numbers", number, number).unwrap();
            }
            producer.flush().unwrap();
            if dies {
                talk.stage.fetch_or(PRODUCER, Ordering::SeqCst);
                std::thread::sleep(Duration::from_secs(3600));
            }
            producer.close().unwrap();
            0
        })
    };
    let has_come = |who| talk.stage.load(Ordering::SeqCst) & who == who;
    let consumers = [consume(false), consume(false), consume(true)];
    eventually("all are there", || talk.stage.load(Ordering::SeqCst) >> 8 == 3);
    let (dying, living) = (produce(0, true), [produce(200, false), produce(400, false)]);
    let [first, second, dying_consumer] = consumers;
    eventually("one has its objects, and holds back everybody", || has_come(CONSUMER));
    dying_consumer.kill();
    eventually("a producer has sent all of its own", || has_come(PRODUCER));
    dying.kill();
    gate.close().unwrap();
    for child in living.into_iter().chain([first, second]) {
        let end = child.wait();
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
    }
    assert_ends(&store, &["numbers"]);
}

#[test]
fn a_channel_is_a_queue_or_a_topic_with_the_same_options_on_both_sides() {
    let _alone = alone();
    let (store, options) = (shm("kinds", Archive), TopicOptions::new(4));
    let mut topic = producer(&store, options);
    topic.open("numbers").unwrap();
    let refused = StreamConsumer::<u64, u64>::new(&store).channel("numbers").unwrap_err();
    assert!(matches!(refused, Error::TypeMismatch { .. }), "{refused}");
    let refused = StreamProducer::<u64, u64>::new(&store).open("numbers").unwrap_err();
    assert!(matches!(refused, Error::TypeMismatch { .. }), "{refused}");
    let refused = StreamConsumer::<u64, u64>::new(&store).topic("numbers", Start::Latest);
    assert!(matches!(refused.unwrap_err(), Error::InvalidConfig { .. }));
    let of_strings = StreamConsumer::<String, u64>::new(&store).topic_options(options);
    let refused = of_strings.topic("numbers", Start::Latest).unwrap_err();
    assert!(matches!(refused, Error::TypeMismatch { .. }), "{refused}");
    topic.close().unwrap();
    assert_ends(&store, &["numbers"]);
}

#[test]
fn an_object_that_cannot_be_used_is_an_error_behind_which_it_goes_on() {
    let _alone = alone();
    let (store, options) = (shm("unusable", Archive), TopicOptions::new(2));
    let consumer = StreamConsumer::<u64, String>::new(&store).topic_options(options);
    let mut wrong = consumer.topic("numbers", Start::Latest).unwrap();
    let mut producer = producer(&store, options).batch_size(2);
    (0..12).for_each(|number| producer.send_with("numbers", number, u64::MAX - number).unwrap());
    producer.close().unwrap();
    for object in 0..6 {
        assert!(matches!(wrong.next_item(), Err(Error::Codec { .. })), "{object}");
        assert_eq!(wrong.missed(), 3, "an error is no loss");
    }
    assert!(wrong.next_item().unwrap().is_none());
    drop(wrong);
    assert_ends(&store, &["numbers"]);
}

#[test]
fn a_forked_child_has_what_was_handed_out_and_none_of_its_parents_streams() {
    let _alone = alone();
    let (store, options) = (shm("forked", Archive), TopicOptions::new(8));
    let mut consumer = numbers(&store, options, Start::Latest);
    let mut producer = producer(&store, options).batch_size(2);
    (0..4).for_each(|number| producer.send_with("numbers", number, number).unwrap());
    let held = consumer.next_item().unwrap().unwrap();
    let code = in_child(|| {
        assert!(matches!(producer.send_with("numbers", 9, 9), Ok(())), "it is in no message yet");
        assert!(matches!(producer.flush(), Err(Error::NotOwner { .. })));
        assert!(matches!(consumer.next_item(), Err(Error::NotOwner { .. })));
        assert_eq!(*held.resolve().unwrap(), 0);
        // SAFETY: the child ends without dropping the test's own, which is a copy.
        unsafe { std::ptr::read(&raw const held) }.ack().unwrap();
        0
    });
    assert_eq!(code, 0);
    assert_eq!(held.to_native(), 0);
    producer.close().unwrap();
    assert_eq!(all(&mut consumer, |item| item.to_native()), [1, 2, 3]);
    drop((held, consumer));
    assert_ends(&store, &["numbers"]);
}

#[test]
fn an_evicted_topic_is_not_found_by_either_side() {
    let _alone = alone();
    let (store, options) = (shm("evicted", Archive), TopicOptions::new(8));
    let mut consumer = numbers(&store, options, Start::Latest);
    let mut producer = producer(&store, options);
    producer.open("numbers").unwrap();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| consumer.next_item().map(drop));
        std::thread::sleep(SOON);
        let key = region_of(&store).lookup("numbers").unwrap().unwrap();
        assert!(store.evict(key).unwrap());
        assert!(matches!(waiting.join().unwrap(), Err(Error::NotFound { .. })));
    });
    let refused = producer.send_with("numbers", 1, 1).unwrap_err();
    assert!(matches!(refused, Error::NotFound { .. }), "{refused}");
    assert!(matches!(producer.close(), Err(Error::NotFound { .. })));
    drop(consumer);
    assert_clean(&store);
}
