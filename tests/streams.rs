//! Streams: what producers and consumers promise, over several channels, in one process and in several, some of which are killed.

mod support;

#[path = "support/streams.rs"]
mod streams;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use inplace::codec::{Archive, Codec, Raw, Serde, Slice};
use inplace::{Error, QueueOptions, Store, StreamConsumer, StreamProducer};
use nix::sys::wait::WaitStatus;
use serde::{Deserialize, Serialize};
use streams::{Files, Frame, all, assert_clean, frame, region_of, shm};
use support::futures::block_on;
use support::shared::{Atomics, Shared};
use support::{alone, end_with_parent, eventually, in_child, start_child};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct About {
    camera: String,
    exposure: f32,
}

#[test]
fn objects_of_any_size_arrive_in_batches_in_order_with_what_was_said_of_them() {
    let _alone = alone();
    let store = shm("sizes", Archive);
    for batch_size in [1, 3, 7] {
        let mut producer = StreamProducer::<Frame, About>::new(&store)
            .batch_size(batch_size)
            .store_for("x", &store);
        let about = |number: u64| About { camera: format!("c{number}"), exposure: number as f32 };
        let sizes = [0, 1, 63, 64, 65, 5000, 100_000, 3];
        for (number, size) in (0..).zip(sizes) {
            producer.send_with("frames", frame(number, size), about(number)).unwrap();
        }
        producer.close().unwrap();
        let mut consumer = StreamConsumer::<Frame, About>::new(&store).channel("frames").unwrap();
        let seen = all(&mut consumer, |item| {
            assert_eq!((item.channel(), item.deliveries()), ("frames", 1));
            assert!(item.proxy().is_none());
            assert_eq!(*item.metadata(), about(item.number.to_native()));
            assert!(item.pixels.iter().all(|pixel| u64::from(*pixel) == item.number));
            item.pixels.len()
        });
        assert_eq!(seen, sizes);
        assert!(consumer.next_item().unwrap().is_none(), "it is over for good");
        assert_clean(&store);
    }
}

/// Three to a message, of every size class of alignment.
fn with_codec<T: Clone, C: Codec<T>>(codec: C, values: &[T], is_same: impl Fn(&C::Target, &T)) {
    for inline in [0, 4096] {
        let store = shm("codecs", codec);
        let options = QueueOptions::new(8).inline_bytes(inline);
        let mut producer = StreamProducer::<T, (), C>::new(&store).options(options).batch_size(3);
        values.iter().for_each(|value| producer.send("values", value.clone()).unwrap());
        producer.close().unwrap();
        let consumer = StreamConsumer::<T, (), C>::new(&store).options(options);
        let mut held: Vec<_> = consumer.channel("values").unwrap().map(Result::unwrap).collect();
        assert_eq!(held.len(), values.len());
        held.iter().zip(values).for_each(|(item, value)| is_same(item, value));
        held.drain(..).for_each(|item| item.ack().unwrap());
        drop(held);
        assert_clean(&store);
    }
}

#[test]
fn streams_carry_what_each_codec_makes() {
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
fn what_the_producer_or_the_consumer_does_not_keep_is_not_handed_out() {
    let _alone = alone();
    let (store, files) = (shm("filters", Archive), Files::new("filters"));
    let mut producer = StreamProducer::<Frame, u64>::new(&store)
        .batch_size(4)
        .keep(|number| number % 3 != 0)
        .store_for("files", &files.1);
    for number in 0..20 {
        producer.send_with("here", frame(number, 10), number).unwrap();
        producer.send_with("files", frame(number, 10), number).unwrap();
    }
    producer.close().unwrap();
    let kept: Vec<u64> = (0..20).filter(|number| number % 3 != 0).collect();
    assert_eq!(files.objects(), kept.len());
    let consumer = StreamConsumer::<Frame, u64>::new(&store).keep(|number| number % 2 == 0);
    let mut consumer = consumer.channel("here").unwrap().channel("files").unwrap();
    let mut seen = all(&mut consumer, |item| (*item.metadata(), item.number.to_native()));
    seen.sort_unstable();
    let twice = kept.iter().filter(|number| **number % 2 == 0).flat_map(|&it| [(it, it); 2]);
    assert_eq!(seen, twice.collect::<Vec<_>>());
    assert_eq!(files.objects(), 0, "what nobody wanted is evicted, too");
    assert_clean(&store);
}

#[test]
fn a_batch_becomes_what_is_made_of_it_when_it_is_full_or_flushed() {
    let _alone = alone();
    let store = shm("sums", Archive);
    let mut producer =
        StreamProducer::<u64, Vec<u64>>::new(&store).batch_size(4).aggregate(|batch| {
            let sum = batch.iter().map(|(number, _)| number).sum();
            (sum, batch.into_iter().flat_map(|(_, numbers)| numbers).collect())
        });
    let mut consumer = StreamConsumer::<u64, Vec<u64>>::new(&store).channel("sums").unwrap();
    (1..=6).for_each(|number| producer.send_with("sums", number, vec![number]).unwrap());
    let mut next = |timeout| {
        consumer.next_timeout(timeout).map(|item| {
            let item = item.unwrap();
            let found = (item.to_native(), item.metadata().clone());
            item.ack().unwrap();
            found
        })
    };
    let soon = Duration::from_millis(10);
    assert_eq!(next(soon).unwrap(), (10, vec![1, 2, 3, 4]));
    assert!(matches!(next(soon), Err(Error::TimedOut { .. })), "not full");
    producer.flush_channel("sums").unwrap();
    producer.flush().unwrap();
    assert_eq!(next(soon).unwrap(), (11, vec![5, 6]));
    producer.send_with("sums", 7, vec![]).unwrap();
    producer.close().unwrap();
    assert_eq!(next(soon).unwrap(), (7, vec![]), "of one, too");
    assert!(consumer.next_item().unwrap().is_none());
    assert_clean(&store);
}

#[test]
fn objects_in_a_store_of_their_own_come_as_proxies_and_go_when_they_are_consumed_or_stay() {
    let _alone = alone();
    let (store, files) = (shm("proxies", Archive), Files::new("proxies"));
    let mut producer =
        StreamProducer::<Frame, u64>::new(&store).batch_size(2).store_for("files", &files.1);
    for number in [0, 2] {
        producer.send_with("files", frame(number, 1000), number).unwrap();
        producer.send_lasting("files", frame(number + 1, 1000), number + 1).unwrap();
    }
    let refused = producer.send_lasting("here", frame(9, 1), 9).unwrap_err();
    assert!(matches!(refused, Error::InvalidConfig { .. }), "{refused}");
    producer.close().unwrap();
    assert_eq!(files.objects(), 4);
    let mut consumer = StreamConsumer::<Frame, u64>::new(&store).channel("files").unwrap();
    for number in 0..4 {
        let item = consumer.next_item().unwrap().unwrap();
        let proxy = item.proxy().unwrap().to_ref();
        assert!(!item.proxy().unwrap().is_resolved(), "nobody looked at it");
        assert_eq!(
            (*item.metadata(), item.resolve().unwrap().number.to_native()),
            (number, number)
        );
        item.ack().unwrap();
        let proxy = inplace::Proxy::<Frame>::from_ref(proxy);
        assert_eq!(proxy.resolve().is_ok(), number % 2 == 1);
    }
    assert_eq!(files.objects(), 2);
    assert!(consumer.next_item().unwrap().is_none());
    assert_clean(&store);
}

#[test]
fn what_cannot_be_sent_leaves_nothing_in_its_store_and_stays_in_the_batch() {
    let _alone = alone();
    let (store, files) = (shm("refused", Archive), Files::new("refused"));
    let mut producer = StreamProducer::<Frame>::new(&store).store_for("files", &files.1);
    producer.open("files").unwrap();
    let key = region_of(&store).lookup("files").unwrap().unwrap();
    assert!(store.evict(key).unwrap());
    for _ in 0..2 {
        let refused = producer.send("files", frame(1, 10)).unwrap_err();
        assert!(matches!(refused, Error::NotFound { .. }), "{refused}");
        assert_eq!(files.objects(), 0);
    }
    assert!(matches!(producer.flush(), Err(Error::NotFound { .. })));
    assert!(matches!(producer.close(), Err(Error::NotFound { .. })));
    assert_clean(&store);
}

#[test]
fn a_channel_ends_when_every_producer_has_closed_it_and_the_stream_when_every_channel_has() {
    let _alone = alone();
    let store = shm("ends", Archive);
    let mut consumer = StreamConsumer::<u64>::new(&store);
    assert!(consumer.next_item().unwrap().is_none(), "of no channel");
    consumer = consumer.channel("a").unwrap().channel("b").unwrap();
    let soon = Duration::from_millis(10);
    assert!(matches!(consumer.next_timeout(soon), Err(Error::TimedOut { .. })), "nobody yet");
    let [mut first, mut second] =
        [(); 2].map(|()| StreamProducer::<u64>::new(&store).batch_size(9));
    first.send("a", 1).unwrap();
    first.open("b").unwrap();
    second.open("a").unwrap();
    first.close_channels(&["a"]).unwrap();
    let closed = first.send("a", 2).unwrap_err();
    assert!(matches!(&closed, Error::Closed { what } if what.contains("\"a\"")), "{closed}");
    let item = consumer.next_timeout(soon).unwrap().unwrap();
    assert_eq!((item.to_native(), item.channel()), (1, "a"));
    item.ack().unwrap();
    second.send("a", 3).unwrap();
    // Dropped, it sends what is left.
    drop(second);
    assert_eq!(consumer.next_timeout(soon).unwrap().map(|item| item.to_native()), Some(3));
    assert_eq!(all(&mut consumer_of(&store, "a"), |item| item.to_native()), [3], "given back");
    assert!(matches!(consumer.next_timeout(soon), Err(Error::TimedOut { .. })), "b goes on");
    let start = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_millis(20));
            first.close().unwrap();
        });
        assert!(consumer.next_item().unwrap().is_none());
    });
    assert!(start.elapsed() >= Duration::from_millis(20));
    assert_clean(&store);
}

fn consumer_of(store: &Store, channel: &str) -> StreamConsumer<u64> {
    StreamConsumer::new(store).channel(channel).unwrap()
}

#[test]
fn a_message_is_received_again_unless_all_of_its_objects_are_acknowledged() {
    let _alone = alone();
    let (store, files) = (shm("again", Archive), Files::new("again"));
    let mut producer =
        StreamProducer::<u64>::new(&store).batch_size(3).store_for("files", &files.1);
    for number in 0..6 {
        producer.send("here", number).unwrap();
        producer.send("files", number).unwrap();
    }
    producer.close().unwrap();
    let mut consumer = consumer_of(&store, "here");
    let mut items: Vec<_> = (0..4).map(|_| consumer.next_item().unwrap().unwrap()).collect();
    // One of the first message is dropped, and the rest of the second with the consumer.
    drop(items.remove(1));
    items.into_iter().for_each(|item| item.ack().unwrap());
    drop(consumer);
    let seen = all(&mut consumer_of(&store, "here"), |item| (item.to_native(), item.deliveries()));
    assert_eq!(seen, (0..6).map(|number| (number, 2)).collect::<Vec<_>>());
    // What is evicted one by one is not consumed again.
    let mut consumer = consumer_of(&store, "files");
    consumer.next_item().unwrap().unwrap().ack().unwrap();
    drop(consumer);
    let seen = all(&mut consumer_of(&store, "files"), |item| (item.to_native(), item.deliveries()));
    assert_eq!(seen, [(1, 2), (2, 2), (3, 1), (4, 1), (5, 1)]);
    assert_eq!(files.objects(), 0);
    assert_clean(&store);
}

const CONSUMER: u64 = 1;
const PRODUCER: u64 = 2;

struct Talk {
    stage: AtomicU64,
    counts: [AtomicU64; 600],
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Talk {}

#[test]
fn of_several_processes_some_of_which_are_killed_every_object_is_consumed_and_the_stream_ends() {
    let _alone = alone();
    let (store, talk) = (shm("killed", Archive), Shared::<Talk>::new());
    let channels = ["a", "b"];
    let mut gate = StreamProducer::<Frame, u64>::new(&store);
    channels.iter().for_each(|channel| gate.open(channel).unwrap());
    let consume = |dies: bool| {
        start_child(|| {
            end_with_parent();
            let consumer = StreamConsumer::<Frame, u64>::new(&store);
            let consumer = consumer.channel("a").unwrap().channel("b").unwrap();
            for (seen, item) in consumer.enumerate() {
                let item = item.unwrap();
                assert_eq!(*item.metadata(), item.number);
                if dies && seen == 20 {
                    talk.stage.fetch_or(CONSUMER, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_secs(3600));
                }
                talk.counts[item.number.to_native() as usize].fetch_add(1, Ordering::SeqCst);
                item.ack().unwrap();
            }
            0
        })
    };
    let produce = |from: u64, dies: bool| {
        start_child(|| {
            end_with_parent();
            let mut producer = StreamProducer::<Frame, u64>::new(&store).batch_size(5);
            for number in from..from + 200 {
                let size = if number % 3 == 0 { 2000 } else { 20 };
                let channel = channels[number as usize % 2];
                producer.send_with(channel, frame(number, size), number).unwrap();
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
    let dying = [consume(true), produce(0, true)];
    eventually("it has its objects, before others take them all", || has_come(CONSUMER));
    let living = [consume(false), consume(false), produce(200, false), produce(400, false)];
    eventually("a producer has sent all of its own", || has_come(PRODUCER));
    dying.into_iter().for_each(|child| child.kill());
    gate.close().unwrap();
    for child in living {
        let end = child.wait();
        assert!(matches!(end, WaitStatus::Exited(_, 0)), "{end:?}");
    }
    let counts = talk.counts.iter().map(|count| count.load(Ordering::SeqCst));
    let twice = counts.inspect(|count| assert!((1..=2).contains(count), "{count}"));
    // What the dead had acknowledged of the message at hand, and a neighbour.
    assert!(twice.filter(|count| *count == 2).count() < 5);
    assert_clean(&store);
}

#[test]
fn a_consumer_that_is_awaited_hears_of_every_channel() {
    let _alone = alone();
    let store = shm("awaited", Archive);
    let names: Vec<String> = (0..5).map(|number| format!("channel {number}")).collect();
    let mut consumer = StreamConsumer::<u64, u64>::new(&store);
    for name in &names {
        consumer = consumer.channel(name).unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut producer = StreamProducer::<u64, u64>::new(&store).batch_size(2);
            names.iter().for_each(|name| producer.open(name).unwrap());
            for number in 0..100 {
                let channel = &names[number as usize * 7 % 5];
                producer.send_with(channel, number, number).unwrap();
                if number % 20 == 0 {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            producer.close().unwrap();
        });
        let mut seen = BTreeMap::<String, Vec<u64>>::new();
        while let Some(item) = block_on(consumer.next_async()).unwrap() {
            seen.entry(item.channel().into()).or_default().push(item.to_native());
            item.ack().unwrap();
        }
        assert_eq!(seen.values().map(Vec::len).collect::<Vec<_>>(), [20; 5]);
        assert!(seen.values().all(|numbers| numbers.is_sorted()));
    });
    assert_clean(&store);
}

#[test]
fn a_stream_of_another_type_is_refused_and_metadata_of_another_type_is_an_error() {
    let _alone = alone();
    let store = shm("types", Archive);
    let mut producer = StreamProducer::<u64, u64>::new(&store);
    producer.send("numbers", 1).unwrap();
    producer.close().unwrap();
    let refused = StreamConsumer::<String, u64>::new(&store).channel("numbers").unwrap_err();
    assert!(matches!(refused, Error::TypeMismatch { .. }), "{refused}");
    assert!(store.queue::<u64>("numbers", 256).is_err(), "a queue is no stream");
    let mut wrong = StreamConsumer::<u64, String>::new(&store).channel("numbers").unwrap();
    assert!(matches!(wrong.next_item(), Err(Error::Codec { .. })));
    drop(wrong);
    let mut right = StreamConsumer::<u64, u64>::new(&store).channel("numbers").unwrap();
    assert_eq!(all(&mut right, |item| item.deliveries()), [2], "nothing is lost by it");
    assert_clean(&store);
}

#[test]
fn a_producer_that_is_dropped_waits_for_nobody() {
    let _alone = alone();
    let store = shm("full", Archive);
    let options = QueueOptions::new(1);
    let mut producer = StreamProducer::<u64>::new(&store).options(options);
    producer.send("small", 1).unwrap();
    let mut late = StreamProducer::<u64>::new(&store).options(options).batch_size(2);
    late.send("small", 2).unwrap();
    let start = Instant::now();
    drop(late);
    assert!(start.elapsed() < Duration::from_secs(1));
    producer.close().unwrap();
    let consumer = StreamConsumer::<u64>::new(&store).options(options);
    let mut consumer = consumer.channel("small").unwrap();
    assert_eq!(all(&mut consumer, |item| item.to_native()), [1]);
    assert_clean(&store);
}

#[test]
fn a_forked_child_has_none_of_its_parents_streams() {
    let _alone = alone();
    let store = shm("forked", Archive);
    let mut producer = StreamProducer::<u64>::new(&store).batch_size(2);
    let mut consumer = consumer_of(&store, "numbers");
    (0..3).for_each(|number| producer.send("numbers", number).unwrap());
    let held = consumer.next_item().unwrap().unwrap();
    let code = in_child(|| {
        assert!(matches!(producer.flush(), Err(Error::NotOwner { .. })));
        assert!(matches!(consumer.next_item(), Err(Error::NotOwner { .. })));
        assert!(matches!(held.resolve(), Err(Error::NotOwner { .. })));
        // SAFETY: the child ends without dropping the test's own, which is a copy.
        let inherited = unsafe { std::ptr::read(&raw const held) };
        assert!(matches!(inherited.ack(), Err(Error::NotOwner { .. })));
        0
    });
    assert_eq!(code, 0);
    assert_eq!(held.to_native(), 0);
    held.ack().unwrap();
    producer.close().unwrap();
    assert_eq!(all(&mut consumer, |item| item.to_native()), [1, 2]);
    assert_clean(&store);
}

#[test]
fn a_channel_that_is_gone_keeps_no_other_waiting() {
    let _alone = alone();
    let store = shm("one-gone", Archive);
    let mut producer = StreamProducer::<u64>::new(&store);
    let mut consumer =
        StreamConsumer::<u64>::new(&store).channel("gone").unwrap().channel("goes-on").unwrap();
    let key = region_of(&store).lookup("gone").unwrap().unwrap();
    assert!(store.evict(key).unwrap());
    for number in 1..=3 {
        producer.send("goes-on", number).unwrap();
    }
    let (mut errors, mut numbers) = (0, Vec::new());
    while numbers.len() < 3 && errors < 9 {
        match consumer.next_timeout(Duration::from_millis(10)) {
            Ok(item) => {
                let item = item.unwrap();
                numbers.push(item.to_native());
                item.ack().unwrap();
            }
            Err(Error::NotFound { .. }) => errors += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(numbers, [1, 2, 3]);
    assert!(errors > 0, "it is told of");
    drop(consumer);
    producer.close().unwrap();
    assert_clean(&store);
}
