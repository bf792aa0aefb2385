//! Wrong bytes in the block of a topic, and in the slots of its messages: every operation ends, with a result or an error.

mod support;

#[path = "support/hostile.rs"]
mod hostile;
#[path = "support/survivors.rs"]
mod survivors;

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use hostile::{CONTROL, Input, SLOTS};
use inplace::connector::ShmConnector;
use inplace::{
    Error, Lifespan, Result, Start, Store, StreamConsumer, StreamProducer, Topic, TopicOptions,
};
use support::Name;
use support::random::{Random, bytes};
use survivors::{seeds, survive};

/// Words of a topic's block, as `docs/design.md` says.
const TAIL: u64 = 16;
const CURSORS: u64 = 64 + 8;
const CAPACITY: u32 = 4;
/// Where the slot of an object has its length.
const SLOT_LEN: u64 = 16;

/// A topic in which there are five messages, and its file.
struct Victim {
    name: Name,
    store: Store,
    topic: Topic<u64>,
    file: File,
    block: u64,
    ring: u64,
}

impl Victim {
    fn new(hold_back: u32) -> Self {
        let name = Name::new("topic");
        let options = hostile::options().lifespan(Lifespan::Persistent);
        let region = options.create(&name).unwrap();
        let store = Store::builder("t").connector(ShmConnector::new(region)).open().unwrap();
        let limits = TopicOptions::new(CAPACITY).hold_back(hold_back).max_bytes(1 << 20);
        let topic = store.topic_new_with::<u64>(&limits.max_age(Duration::from_secs(60))).unwrap();
        let publisher = topic.publisher().unwrap();
        (0..5).for_each(|number| assert_eq!(publisher.publish(&number).unwrap(), number));
        let file = File::options().read(true).write(true).open(hostile::path_of(&name)).unwrap();
        let ring = CURSORS + 8 * u64::from(hold_back);
        let mut victim = Self { name, store, topic, file, block: 0, ring };
        let slot = victim.topic.key().object() & 0xff_ffff;
        let block = victim.read(SLOTS.0 + 64 * slot + 8);
        victim.block = CONTROL + 64 * (block & ((1 << 38) - 1));
        assert_eq!(victim.read(victim.at(TAIL)), 5, "the block is not where it is looked for");
        victim
    }

    fn at(&self, word: u64) -> u64 {
        self.block + 8 * word
    }

    fn read(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, at).unwrap();
        u64::from_le_bytes(bytes)
    }

    fn write(&self, at: u64, word: u64) {
        self.file.write_all_at(&word.to_le_bytes(), at).unwrap();
    }

    /// Everything that can be done to a topic.
    fn everything(&self) {
        let starts = [Start::Oldest, Start::Latest, Start::At(0), Start::At(3), Start::At(1 << 40)];
        for start in starts {
            let Some(mut subscriber) = ends(self.topic.subscriber(start)) else { continue };
            let publisher = ends(self.topic.publisher());
            for number in 0..8 {
                if let Some(publisher) = &publisher {
                    ends(publisher.try_publish(&number));
                }
                ends(subscriber.try_recv());
                ends(subscriber.has_ended());
            }
        }
        ends(self.topic.trim());
        let region = self.store.connector().as_shm().unwrap().region().unwrap();
        ends(region.reap());
        ends(region.check());
        ends(self.topic.evict());
    }
}

/// What came of an operation, which may find that something is wrong.
fn ends<T>(outcome: Result<T>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(
            Error::Corrupt { .. }
            | Error::NotFound { .. }
            | Error::Full { .. }
            | Error::TypeMismatch { .. }
            | Error::TooManySubscribers { .. }
            | Error::TooManyViews { .. }
            | Error::OutOfSpace { .. }
            | Error::OutOfSlots { .. },
        ) => None,
        Err(error) => panic!("an unexpected error: {error}"),
    }
}

#[test]
fn a_ring_word_of_another_place_or_beyond_the_tail_is_corrupt_and_hangs_nobody() {
    survive(0..1, |_| {
        for hold_back in [0, 2] {
            for position in [1, 3, 4, 5000, 1 << 39] {
                let victim = Victim::new(hold_back);
                // Of position 1, which nobody has replaced.
                let at = victim.at(victim.ring + 1);
                let slot = victim.read(at) & 0xff_ffff;
                let mut subscriber = victim.topic.subscriber(Start::At(1)).unwrap();
                victim.write(at, (1 + position) << 24 | slot);
                let found = subscriber.try_recv();
                assert!(matches!(found, Err(Error::Corrupt { .. })), "{position}: {found:?}");
                assert_eq!((subscriber.position(), subscriber.missed()), (1, 0));
                drop(subscriber);
                victim.everything();
            }
        }
    });
}

#[test]
fn a_tail_beyond_all_positions_is_corrupt_and_takes_no_place_of_a_subscriber() {
    survive(0..1, |_| {
        for tail in [u64::MAX, 1 << 63, 1 << 52, (1 << 52) - 1] {
            let victim = Victim::new(2);
            let mut subscriber = victim.topic.subscriber(Start::Latest).unwrap();
            let publisher = victim.topic.publisher().unwrap();
            victim.write(victim.at(TAIL), tail);
            assert!(matches!(publisher.try_publish(&1), Err(Error::Corrupt { .. })));
            assert!(matches!(victim.topic.subscriber(Start::Latest), Err(Error::Corrupt { .. })));
            assert!(matches!(subscriber.try_recv(), Err(Error::Corrupt { .. })));
            assert!(matches!(victim.topic.trim(), Err(Error::Corrupt { .. })));
            victim.write(victim.at(TAIL), 5);
            let second = victim.topic.subscriber(Start::Latest).expect("a place is free");
            drop((publisher, subscriber, second));
            victim.everything();
        }
    });
}

#[test]
fn a_message_that_says_it_is_longer_than_its_block_holds_nothing_up() {
    survive(0..1, |_| {
        let victim = Victim::new(0);
        let mut subscriber = victim.topic.subscriber(Start::Oldest).unwrap();
        let first = victim.read(victim.at(victim.ring)) & 0xff_ffff;
        let second = victim.read(victim.at(victim.ring + 1)) & 0xff_ffff;
        for slot in [first, second] {
            victim.write(SLOTS.0 + 64 * slot + SLOT_LEN, u64::MAX);
        }
        assert_eq!(victim.topic.trim().unwrap(), 2, "what does not say how old it is goes");
        let third = subscriber.try_recv().unwrap().unwrap();
        assert_eq!((third.position(), third.missed()), (2, 2));
        let slot = victim.read(victim.at(victim.ring + 3)) & 0xff_ffff;
        victim.write(SLOTS.0 + 64 * slot + SLOT_LEN, u64::MAX);
        assert!(matches!(subscriber.try_recv(), Err(Error::Corrupt { .. })));
        assert_eq!(subscriber.try_recv().unwrap().unwrap().position(), 4, "it goes on");
        drop((subscriber, third));
        victim.everything();
    });
}

#[test]
fn wrong_bytes_in_the_messages_of_a_stream_end_in_objects_or_errors_and_it_goes_on() {
    survive(seeds(40), |seed| {
        let mut random = Random::new(seed);
        let name = Name::new("stream-topic");
        let region = hostile::options().lifespan(Lifespan::Persistent).create(&name).unwrap();
        let store = Store::builder("t").connector(ShmConnector::new(region)).open().unwrap();
        let mark = format!("mark of seed {seed}");
        let mut producer =
            StreamProducer::<Vec<String>, String>::new(&store).topic("spoiled").batch_size(3);
        for number in 0..9 {
            let value = vec!["x".repeat(random.below(40) as usize); 2];
            producer.send_with("spoiled", value, format!("{mark} {number}")).unwrap();
        }
        producer.close().unwrap();
        let consumer = StreamConsumer::<Vec<String>, String>::new(&store);
        let mut consumer = consumer.topic("spoiled", Start::Oldest).unwrap();
        // In the second message: its objects, and the directory.
        let file = File::options().read(true).write(true).open(hostile::path_of(&name)).unwrap();
        let mut control = vec![0; file.metadata().unwrap().len() as usize];
        file.read_exact_at(&mut control, 0).unwrap();
        let said = format!("{mark} 5");
        let found = control.windows(said.len()).position(|bytes| bytes == said.as_bytes());
        let found = found.expect("it is in the file") as u64;
        // Behind it there are the directory's length, and what the topic says of the message.
        let (start, end) = (found - 190, found + said.len() as u64 + 8 + 16);
        for _ in 0..=random.below(8) {
            let at = start + random.below(end - start);
            file.write_all_at(&[random.draw() as u8], at).unwrap();
        }
        let (mut seen, mut calls) = (Vec::new(), 0);
        loop {
            calls += 1;
            match consumer.next_timeout(Duration::from_secs(10)) {
                Ok(None) => break,
                Ok(Some(item)) => {
                    let strings = item.resolve().unwrap();
                    std::hint::black_box(strings.iter().map(|it| it.len()).sum::<usize>());
                    seen.push(item.metadata().clone());
                    item.ack().unwrap();
                }
                Err(Error::Codec { .. } | Error::Corrupt { .. }) => {}
                Err(error) => panic!("an unexpected error: {error}"),
            }
            assert!(calls < 100_000, "it does not end");
        }
        for number in [0, 1, 2, 6, 7, 8] {
            let is_it = |it: &&String| **it == format!("{mark} {number}");
            assert_eq!(seen.iter().filter(is_it).count(), 1, "{number}: {seen:?}");
        }
        assert_eq!(consumer.missed(), 0);
    });
}

#[test]
fn wrong_words_in_the_block_of_a_topic_end_in_results_or_errors() {
    survive(seeds(40), |seed| {
        let bytes = bytes(seed, 200);
        let mut input = Input::new(&bytes);
        let victim = Victim::new([0, 2][input.below(2) as usize]);
        let words = victim.ring + u64::from(CAPACITY) + 1;
        for _ in 0..=input.below(6) {
            let area = match input.below(3) {
                0 => (victim.block, 8 * words, 8),
                1 => (victim.at(CURSORS), 8 * (words - CURSORS), 8),
                _ => (victim.at(TAIL), 16, 8),
            };
            hostile::spoil_in(&victim.file, area, &mut input);
        }
        victim.everything();
        let _ = &victim.name;
    });
}
