//! Topics: what they promise, in threads.

mod support;

use std::sync::Mutex;
use std::time::Duration;

use inplace::codec::{Codec, Decoded, Raw, Serde};
use inplace::connector::{Block, BlockWriter, LocalConnector};
use inplace::{Error, Fingerprint, Start, Store, Subscriber, Topic, TopicOptions, WaitPolicy};
use support::topics::*;

#[test]
fn every_subscriber_receives_every_message_whole_and_in_order() {
    let _alone = alone();
    let store = shm("sizes");
    let topic = store.topic_new::<Event>(4).unwrap();
    let publisher = topic.publisher().unwrap();
    let mut subscribers = [(); 3].map(|()| topic.subscriber(Start::Latest).unwrap());
    for (number, size) in [0, 1, 100, 1000, 100_000, 1_000_000, 3].into_iter().enumerate() {
        let event =
            Event { publisher: 1, number: number as u64, payload: vec![number as u8; size] };
        let position = publisher.publish_with(&event, &vec![number as u8; 5 * number]).unwrap();
        assert_eq!(position, number as u64);
        for subscriber in &mut subscribers {
            let message = subscriber.recv().unwrap().unwrap();
            assert_eq!((message.position(), message.missed()), (position, 0));
            assert_eq!(message.number, position);
            assert_eq!(message.payload.as_slice(), event.payload);
            assert_eq!(message.metadata(), vec![number as u8; 5 * number]);
            assert!(subscriber.try_recv().unwrap().is_none() && !subscriber.has_ended().unwrap());
        }
    }
    drop((publisher, subscribers));
    assert_clean(&store, 5);
    assert_all_goes(&store, &topic);
}

#[test]
fn late_joiners_begin_with_the_oldest_after_the_latest_or_anywhere() {
    let _alone = alone();
    let store = shm("late");
    let topic = store.topic_new::<u64>(4).unwrap();
    let publisher = topic.publisher().unwrap();
    let empty = [Start::Oldest, Start::Latest, Start::At(0), Start::At(3)];
    let mut early = empty.map(|start| topic.subscriber(start).unwrap());
    publish_all(&publisher, 100..103);
    let starts =
        [Start::Oldest, Start::Latest, Start::At(0), Start::At(2), Start::At(3), Start::At(5)];
    let mut late = starts.map(|start| topic.subscriber(start).unwrap());
    publish_all(&publisher, 103..106);
    let mut later = starts.map(|start| topic.subscriber(start).unwrap());
    publisher.close();
    let found = early.each_mut().map(all);
    let kept = [(101, 1, 1), (102, 2, 0), (103, 3, 0), (104, 4, 0), (105, 5, 0)];
    assert_eq!(found, [&kept[..], &kept, &kept, &kept[2..]]);
    let found = late.each_mut().map(all);
    assert_eq!(found, [&kept[..], &kept[2..], &kept, &kept[1..], &kept[2..], &kept[4..]]);
    let found = later.each_mut().map(all);
    let oldest = [&[(101, 1, 0)], &kept[1..]].concat();
    assert_eq!(found, [&oldest[..], &[], &kept, &kept[1..], &kept[2..], &kept[4..]]);
    let far = topic.subscriber(Start::At(1 << 52)).unwrap_err();
    assert!(matches!(far, Error::InvalidConfig { .. }), "{far}");
}

#[test]
fn a_slow_subscriber_loses_the_oldest_and_knows_exactly_how_many() {
    let _alone = alone();
    let store = shm("slow");
    for capacity in [1, 2, 7] {
        let topic = store.topic_new::<u64>(capacity).unwrap();
        let publisher = topic.publisher().unwrap();
        let mut subscriber = topic.subscriber(Start::Latest).unwrap();
        let kept = u64::from(capacity) + 1;
        let mut wanted = 0;
        for burst in [1, kept, kept + 1, 3 * kept, 1, 40] {
            publish_all(&publisher, 0..burst);
            let next = wanted + burst;
            let first = next - burst.min(kept);
            for number in first..next {
                let message = subscriber.try_recv().unwrap().unwrap();
                let missed = if number == first { first - wanted } else { 0 };
                assert_eq!((message.position(), message.missed()), (number, missed));
            }
            assert!(subscriber.try_recv().unwrap().is_none());
            wanted = next;
        }
        drop((publisher, subscriber));
        assert_clean(&store, kept);
        assert_all_goes(&store, &topic);
    }
}

#[test]
fn publishers_that_are_held_back_wait_until_everybody_has_received() {
    let _alone = alone();
    let store = shm("held");
    let topic = store.topic_new_with::<u64>(&TopicOptions::new(2).hold_back(2)).unwrap();
    let publisher = topic.publisher().unwrap();
    for number in 0..10 {
        publisher.try_publish(&number).expect("nobody is waited for");
    }
    let mut slow = topic.subscriber(Start::Oldest).unwrap();
    assert!(matches!(publisher.try_publish(&10), Err(Error::Full { capacity: 2, .. })));
    let mut fast = topic.subscriber(Start::Latest).unwrap();
    let third = topic.subscriber(Start::Latest).unwrap_err();
    assert!(matches!(third, Error::TooManySubscribers { most: 2, .. }), "{third}");
    let timeout = Duration::from_millis(20);
    let late = publisher.publish_timeout(&10, timeout).unwrap_err();
    assert!(matches!(late, Error::TimedOut { .. }), "{late}");
    assert_eq!(slow.recv().unwrap().unwrap().to_native(), 8);
    publisher.try_publish(&10).unwrap();
    assert_eq!(fast.recv().unwrap().unwrap().to_native(), 10);
    assert!(publisher.try_publish(&11).is_err(), "the fast one does not help");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| publisher.publish(&11).unwrap());
        std::thread::sleep(Duration::from_millis(30));
        assert!(!waiting.is_finished());
        assert_eq!(slow.recv().unwrap().unwrap().to_native(), 9);
        assert_eq!(waiting.join().unwrap(), 11);
        let waiting = scope.spawn(|| publisher.publish(&12).unwrap());
        std::thread::sleep(Duration::from_millis(10));
        drop(slow);
        assert_eq!(waiting.join().unwrap(), 12);
    });
    publisher.close();
    assert_eq!(all(&mut fast), [(11, 11, 0), (12, 12, 0)]);
    drop(fast);
    assert_clean(&store, 3);
    assert_all_goes(&store, &topic);
}

#[test]
fn what_was_received_stays_when_the_topic_has_dropped_it() {
    let _alone = alone();
    let store = shm("kept");
    let topic = store.topic_new::<Event>(1).unwrap();
    let publisher = topic.publisher().unwrap();
    let mut subscriber = topic.subscriber(Start::Latest).unwrap();
    let event = |number: u64| Event { publisher: 0, number, payload: vec![number as u8; 5000] };
    publisher.publish(&event(1)).unwrap();
    let held = subscriber.recv().unwrap().unwrap();
    for number in 2..50 {
        publisher.publish(&event(number)).unwrap();
        assert_eq!(subscriber.recv().unwrap().unwrap().number, number);
    }
    let again = held.clone();
    assert!(topic.evict().unwrap());
    assert!(matches!(subscriber.recv(), Err(Error::NotFound { .. })));
    assert!(matches!(publisher.publish(&event(2)), Err(Error::NotFound { .. })));
    drop((subscriber, publisher));
    let code = support::in_child(|| i32::from(held.payload.as_slice() != vec![1; 5000]));
    assert_eq!(code, 0, "a child has its parent's views");
    drop(held);
    assert_eq!(again.into_view().payload.as_slice(), vec![1; 5000]);
    region_of(&store).reap().unwrap();
    let report = region_of(&store).check().unwrap();
    assert!(report.is_clean() && report.bytes_in_use == 0, "{report}");
}

#[test]
fn of_too_many_bytes_the_oldest_messages_are_dropped() {
    let _alone = alone();
    let store = shm("bytes");
    let options = TopicOptions::new(64).max_bytes(5000);
    let topic = store.topic_new_with::<Event>(&options).unwrap();
    let event = |number: u64, size| Event { publisher: 0, number, payload: vec![7; size] };
    let publishers = [(); 2].map(|()| topic.publisher().unwrap());
    let mut subscriber = topic.subscriber(Start::Oldest).unwrap();
    for number in 0..20 {
        publishers[(number % 2) as usize].publish(&event(number, 900)).unwrap();
    }
    assert_clean(&store, 5);
    let first = subscriber.recv().unwrap().unwrap();
    assert_eq!((first.position(), first.missed()), (15, 15));
    drop(first);
    publishers[0].publish(&event(20, 100_000)).unwrap();
    assert_clean(&store, 1);
    let last = subscriber.recv().unwrap().unwrap();
    assert_eq!((last.position(), last.missed(), last.payload.len()), (20, 4, 100_000));
    drop(last);
    for number in 21..24 {
        publishers[1].publish(&event(number, 10)).unwrap();
    }
    assert_eq!(topic.subscriber(Start::Oldest).unwrap().position(), 21);
    drop((subscriber, publishers));
    assert_clean(&store, 3);
    assert_all_goes(&store, &topic);
}

#[test]
fn nobody_receives_what_is_too_old_but_who_is_waited_for() {
    let _alone = alone();
    let store = shm("age");
    let options = TopicOptions::new(64).max_age(Duration::from_millis(300));
    for options in [options, options.hold_back(4)] {
        let is_waited_for = options != options.hold_back(0);
        let topic = store.topic_new_with::<u64>(&options).unwrap();
        let publisher = topic.publisher().unwrap();
        let mut subscriber = topic.subscriber(Start::Oldest).unwrap();
        publish_all(&publisher, 0..5);
        assert_eq!(subscriber.recv().unwrap().unwrap().position(), 0);
        std::thread::sleep(Duration::from_millis(400));
        let mut late = topic.subscriber(Start::Oldest).unwrap();
        if is_waited_for {
            assert_eq!(topic.trim().unwrap(), 0, "the late one wants all of them");
            let second = subscriber.recv().unwrap().unwrap();
            assert_eq!((second.position(), second.missed()), (1, 0));
            drop((late, second));
            assert_eq!(topic.trim().unwrap(), 1, "the first is gone since the late one came");
            publisher.publish(&5).unwrap();
            assert_eq!(numbers_now(&mut subscriber), [2, 3, 4, 5]);
        } else {
            assert_eq!((late.position(), late.missed()), (5, 0), "what is too old is not there");
            assert!(late.try_recv().unwrap().is_none());
            drop(late);
            publisher.publish(&5).unwrap();
            let next = subscriber.recv().unwrap().unwrap();
            assert_eq!((next.position(), next.missed()), (5, 4));
            drop(next);
        }
        drop((publisher, subscriber));
        std::thread::sleep(Duration::from_millis(400));
        topic.trim().unwrap();
        assert_clean(&store, 0);
        assert_all_goes(&store, &topic);
    }
}

fn numbers_now(subscriber: &mut Subscriber<u64>) -> Vec<u64> {
    std::iter::from_fn(|| Some(subscriber.try_recv().unwrap()?.to_native())).collect()
}

#[test]
fn threads_that_publish_and_subscribe_lose_nothing_that_is_not_counted() {
    let _alone = alone();
    let store = shm("threads");
    const EACH: u64 = 700;
    for options in [TopicOptions::new(16), TopicOptions::new(16).hold_back(3)] {
        let topic = store.topic_new_with::<Event>(&options).unwrap();
        let publishers: Vec<_> = (0..3).map(|_| topic.publisher().unwrap()).collect();
        let subscribers = [(); 3].map(|()| topic.subscriber(Start::At(0)).unwrap());
        let received = std::thread::scope(|scope| {
            for (which, publisher) in publishers.into_iter().enumerate() {
                scope.spawn(move || {
                    for number in 0..EACH {
                        let payload = vec![number as u8; if number % 7 == 0 { 1000 } else { 9 }];
                        let event = Event { publisher: which as u32, number, payload };
                        publisher.publish(&event).unwrap();
                    }
                });
            }
            let follow = |mut subscriber: Subscriber<Event>| {
                let (mut last, mut missed, mut count) = ([None; 3], 0, 0);
                for message in &mut subscriber {
                    let message = message.unwrap();
                    missed += message.missed();
                    count += 1;
                    assert_eq!(message.position() + 1, count + missed);
                    let number = message.number.to_native();
                    assert!(message.payload.iter().all(|byte| *byte == number as u8));
                    let before = &mut last[message.publisher.to_native() as usize];
                    assert!(*before < Some(number), "in the order of each publisher");
                    *before = Some(number);
                }
                assert_eq!(count + missed + subscriber.missed(), 3 * EACH);
                missed
            };
            let threads = subscribers.map(|subscriber| scope.spawn(move || follow(subscriber)));
            threads.map(|thread| thread.join().unwrap())
        });
        assert!(options == TopicOptions::new(16) || received == [0; 3], "{received:?}");
        assert_clean(&store, 17);
        assert_all_goes(&store, &topic);
    }
}

#[test]
fn whoever_waits_hears_of_the_end_of_the_topic() {
    let _alone = alone();
    let store = shm("destroyed");
    for policy in [WaitPolicy::Park, WaitPolicy::Spin, WaitPolicy::default()] {
        let options = TopicOptions::new(1).hold_back(2);
        let full = store.topic_new_with::<u64>(&options).unwrap();
        let empty = store.topic_new::<u64>(1).unwrap();
        let _slow = full.subscriber(Start::Latest).unwrap();
        full.publisher().unwrap().publish(&1).unwrap();
        std::thread::scope(|scope| {
            let publisher = scope.spawn(|| {
                let publisher = full.publisher().unwrap().wait_policy(policy);
                assert!(matches!(publisher.publish(&2), Err(Error::NotFound { .. })));
            });
            let subscriber = scope.spawn(|| {
                let mut subscriber = empty.subscriber(Start::Oldest).unwrap().wait_policy(policy);
                assert!(matches!(subscriber.recv(), Err(Error::NotFound { .. })));
            });
            std::thread::sleep(Duration::from_millis(20));
            assert!(full.evict().unwrap() && empty.evict().unwrap());
            publisher.join().unwrap();
            subscriber.join().unwrap();
        });
        assert!(matches!(full.publisher(), Err(Error::NotFound { .. })));
    }
    let report = region_of(&store).check().unwrap();
    assert!(report.is_clean() && report.bytes_in_use == 0 && report.pins == 0, "{report}");
}

#[test]
fn a_name_leads_to_one_topic_with_its_options_until_it_is_evicted() {
    let _alone = alone();
    let store = shm("names");
    let topic = store.topic::<u64>("t", 8).unwrap();
    assert_eq!(store.topic::<u64>("t", 8).unwrap(), topic);
    store.queue::<u64>("q", 8).unwrap();
    store.cell::<u64>("c").unwrap();
    let refused = |error: Error, part: &str| {
        let text = error.to_string();
        assert!(text.contains(part), "{text}");
    };
    refused(store.topic::<u64>("q", 8).unwrap_err(), "holds Queue<u64>, not Topic<u64>");
    refused(store.topic::<u64>("c", 8).unwrap_err(), "holds Cell<u64>, not Topic<u64>");
    refused(store.queue::<u64>("t", 8).unwrap_err(), "holds Topic<u64>, not Queue<u64>");
    refused(store.cell::<u64>("t").unwrap_err(), "holds Topic<u64>, not Cell<u64>");
    refused(store.topic::<String>("t", 8).unwrap_err(), "holds Topic<u64>");
    refused(store.topic::<u64>("t", 4).unwrap_err(), "capacity of the topic \"t\" is 4");
    let other = TopicOptions::new(8).hold_back(3);
    refused(store.topic_with::<u64>("t", &other).unwrap_err(), "hold_back of the topic \"t\" is 3");
    let other = TopicOptions::new(8).max_bytes(3);
    refused(store.topic_with::<u64>("t", &other).unwrap_err(), "max_bytes of the topic");
    refused(store.topic_new::<u64>(0).unwrap_err(), "capacity is 0");
    let queue = store.queue_from_key::<u64>(topic.key());
    refused(queue.sender().unwrap_err(), "holds Topic<u64>, not Queue<u64>");
    assert!(topic.evict().unwrap());
    let next = store.topic::<String>("t", 4).unwrap();
    assert_ne!(next.key(), topic.key());
    let local = Store::builder("local").connector(LocalConnector::new()).open().unwrap();
    assert!(matches!(local.topic::<u64>("t", 8), Err(Error::Unsupported { .. })));
}

#[test]
fn a_handle_goes_through_serde_and_any_codec_goes_through_a_topic() {
    let _alone = alone();
    let store = shm("sent");
    let registered = store.clone().register().unwrap();
    let topic = store.topic_new::<u64>(4).unwrap();
    let bytes = postcard::to_stdvec(&topic).unwrap();
    let elsewhere: Topic<u64> = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(elsewhere, topic);
    elsewhere.publisher().unwrap().publish(&9).unwrap();
    assert_eq!(numbers(&mut topic.subscriber(Start::Oldest).unwrap()), [9]);
    drop((elsewhere, registered));
    let words = store.with_codec(Serde).topic_new::<Vec<String>>(4).unwrap();
    let mut subscriber = words.subscriber(Start::Latest).unwrap();
    words.publisher().unwrap().publish_with(&vec!["one".into()], b"m").unwrap();
    let message = subscriber.recv().unwrap().unwrap();
    assert_eq!((message.as_slice(), message.metadata()), (&["one".to_owned()][..], &b"m"[..]));
}

/// Does something while it encodes, and reads nothing that is empty.
#[derive(Debug, Clone, Copy, Default)]
struct Picky;

type Hook = Box<dyn Fn() + Send>;
static WHILE_ENCODING: Mutex<Option<Hook>> = Mutex::new(None);

impl Codec<[u8]> for Picky {
    type Target = [u8];
    const FINGERPRINT: Fingerprint = Fingerprint::BYTES;

    fn type_name() -> String {
        "bytes".into()
    }

    fn size_hint(&self, value: &[u8]) -> usize {
        value.len()
    }

    fn encode(&self, value: &[u8], out: &mut BlockWriter<'_>) -> inplace::Result<()> {
        if let Some(hook) = &*WHILE_ENCODING.lock().unwrap() {
            hook();
        }
        out.write(value);
        Ok(())
    }

    fn decode(block: Block) -> inplace::Result<Decoded<[u8]>> {
        Decoded::project(block, |bytes| {
            let refused = Error::Codec { codec: "picky", what: "nothing to read".into() };
            if bytes.is_empty() { Err(refused) } else { Ok(bytes) }
        })
    }
}

#[test]
fn losses_before_a_message_that_cannot_be_read_are_told_with_the_next_one() {
    let _alone = alone();
    let store = shm("unreadable");
    let topic = store.with_codec(Picky).topic_new::<[u8]>(2).unwrap();
    let publisher = topic.publisher().unwrap();
    let mut subscriber = topic.subscriber(Start::Latest).unwrap();
    for message in [&b"1"[..], b"2", b"", b"4", b"5"] {
        publisher.publish(message).unwrap();
    }
    assert!(matches!(subscriber.try_recv(), Err(Error::Codec { .. })));
    assert_eq!((subscriber.position(), subscriber.missed()), (3, 2));
    let next = subscriber.try_recv().unwrap().unwrap();
    assert_eq!((&*next, next.position(), next.missed()), (&b"4"[..], 3, 2));
    let last = subscriber.try_recv().unwrap().unwrap();
    assert_eq!((last.position(), last.missed(), subscriber.missed()), (4, 0, 0));
}

#[test]
fn a_publisher_that_gives_up_says_how_long_it_was_to_wait_though_it_found_room_once() {
    let _alone = alone();
    let store = shm("room_lost");
    let options = TopicOptions::new(1).hold_back(1);
    let topic = store.with_codec(Raw).topic_new_with::<[u8]>(&options).unwrap();
    let late = store.with_codec(Picky).topic_from_key::<[u8]>(topic.key()).publisher().unwrap();
    let mut subscriber = topic.subscriber(Start::Latest).unwrap();
    let first = topic.publisher().unwrap();
    first.publish(b"1").unwrap();
    *WHILE_ENCODING.lock().unwrap() = Some(Box::new(move || drop(first.try_publish(b"2"))));
    let timeout = Duration::from_millis(300);
    let error = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| late.publish_timeout(b"3", timeout).unwrap_err());
        std::thread::sleep(Duration::from_millis(60));
        assert_eq!(&*subscriber.recv().unwrap().unwrap(), b"1");
        waiting.join().unwrap()
    });
    *WHILE_ENCODING.lock().unwrap() = None;
    assert!(matches!(error, Error::TimedOut { waited, .. } if waited == timeout), "{error:?}");
    assert_eq!(&*subscriber.recv().unwrap().unwrap(), b"2");
    assert!(subscriber.try_recv().unwrap().is_none());
}
