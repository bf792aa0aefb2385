//! Wrong words in a queue and wrong bytes in its messages: every operation ends, with a result or an error, and nothing faults.

mod support;

#[path = "support/survivors.rs"]
mod survivors;

use std::fs::File;
use std::future::Future;
use std::os::unix::fs::FileExt;
use std::pin::pin;
use std::task::{Context, Waker};
use std::time::Duration;

use inplace::codec::Raw;
use inplace::connector::ShmConnector;
use inplace::{
    Error, Message, Queue, QueueOptions, Receiver, Region, RegionOptions, Result, Sender, Store,
    StreamConsumer, StreamProducer,
};
use support::random::Random;
use support::{Name, path_of};
use survivors::{seeds, survive};

const CAPACITY: u64 = 1 << 20;
/// Envelopes, words of the ring, inline bytes, deliveries, participants: how the block of the queue begins.
const HEAD: [u64; 5] = [13, 16, 128, 3, 4];

fn options() -> QueueOptions {
    QueueOptions::new(HEAD[0] as u32).inline_bytes(HEAD[2] as u32).max_deliveries(HEAD[3] as u8)
}

/// Errors that say that what was asked can not be; any other would be a defect of the test or of the crate.
fn expected<T>(outcome: Result<T>) -> Option<T> {
    match outcome {
        Ok(value) => Some(value),
        Err(
            Error::Corrupt { .. }
            | Error::NotFound { .. }
            | Error::OutOfSpace { .. }
            | Error::OutOfSlots { .. }
            | Error::TooManyViews { .. }
            | Error::TimedOut { .. }
            | Error::NotOwner { .. }
            | Error::Full { .. }
            | Error::Codec { .. }
            // Its first word may say that it is a topic.
            | Error::TypeMismatch { .. },
        ) => None,
        Err(error) => panic!("an unexpected error: {error}"),
    }
}

fn store(name: &str) -> Store<Raw> {
    let options = RegionOptions::new().capacity(CAPACITY).max_objects(1000).max_participants(4);
    let shm = ShmConnector::new(options.create(name).unwrap());
    Store::builder(name).connector(shm).codec(Raw).open().unwrap()
}

fn region_of<C>(store: &Store<C>) -> Region {
    store.connector().as_shm().unwrap().region().unwrap().clone()
}

/// Where the queue's block begins in the file.
fn find_queue(file: &File) -> u64 {
    let start = file.metadata().unwrap().len() - CAPACITY;
    let mut data = vec![0; CAPACITY as usize];
    file.read_exact_at(&mut data, start).unwrap();
    let head: Vec<u8> = HEAD.iter().flat_map(|word| word.to_le_bytes()).collect();
    let at = (0..data.len()).step_by(64).find(|at| data[*at..].starts_with(&head));
    start + at.expect("the queue is somewhere") as u64
}

/// Overwrites a word of the queue, or of its messages.
fn spoil(file: &File, queue: u64, random: &mut Random) {
    let words = 80 + 8 + HEAD[1] + 8 * HEAD[0] + HEAD[0] * HEAD[2] / 8;
    // Words of the head, the ring and the envelopes more often than what lies in messages.
    let word = match random.below(4) {
        0 => random.below(88),
        1 => 88 + random.below(HEAD[1]),
        2 => 88 + HEAD[1] + random.below(8 * HEAD[0]),
        _ => random.below(words),
    };
    let at = queue + 8 * word;
    let mut old = [0; 8];
    file.read_exact_at(&mut old, at).unwrap();
    let old = u64::from_le_bytes(old);
    let new = match random.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => old ^ 1 << random.below(64),
        3 => old.wrapping_add(1),
        4 => old.wrapping_sub(1),
        // An envelope in any stage, of anybody; a word of the ring of any round.
        5 => random.below(4) << 24 | random.below(8) << 16 | random.below(6) << 4 | random.below(8),
        6 => random.below(4) << 42 | random.below(4) << 20 | random.below(15),
        _ => random.draw(),
    };
    file.write_all_at(&new.to_le_bytes(), at).unwrap();
}

struct Work<'a> {
    store: &'a Store<Raw>,
    queue: Queue<[u8], Raw>,
    sender: Sender<[u8], Raw>,
    receiver: Receiver<[u8], Raw>,
    held: Vec<Message<[u8], Raw>>,
}

impl<'a> Work<'a> {
    fn on(store: &'a Store<Raw>, queue: Queue<[u8], Raw>) -> Self {
        let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
        Self { store, queue, sender, receiver, held: Vec::new() }
    }

    fn hold(&mut self, message: Option<Message<[u8], Raw>>) {
        let Some(message) = message else { return };
        let sum = message.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
        std::hint::black_box((sum, message.metadata().len(), message.deliveries()));
        self.held.push(message);
    }

    fn step(&mut self, kind: u64, what: u64) {
        let bytes = vec![what as u8; [0, 20, 128, 129, 5000][what as usize % 5]];
        match kind {
            0 => drop(expected(self.sender.try_send(&bytes))),
            1 => drop(expected(self.sender.send_timeout(&bytes, Duration::from_millis(1)))),
            2 => {
                if let Some(mut loan) = expected(self.sender.try_loan(bytes.len())) {
                    loan.copy_from_slice(&bytes);
                    if what.is_multiple_of(2) {
                        expected(loan.send_with(b"lent"));
                    }
                }
            }
            3 | 4 => {
                let found = expected(self.receiver.try_recv()).flatten();
                self.hold(found);
            }
            5 => {
                let found = expected(self.receiver.recv_timeout(Duration::from_millis(1)));
                self.hold(found.flatten());
            }
            6 => drop(self.held.pop().map(|message| expected(message.ack()))),
            7 => drop(self.held.pop()),
            8 => drop(expected(self.receiver.has_ended())),
            9 => {
                let letters: Vec<_> = self.receiver.dead_letters().take(20).collect();
                letters.into_iter().for_each(|letter| self.hold(expected(letter)));
            }
            10 => {
                let mut context = Context::from_waker(Waker::noop());
                let mut receiving = pin!(self.receiver.recv_async());
                let mut sending = pin!(self.sender.send_async(&bytes));
                let _ =
                    (sending.as_mut().poll(&mut context), receiving.as_mut().poll(&mut context));
            }
            11 => drop(expected(self.queue.sender())),
            12 => drop(expected(self.queue.receiver())),
            13 => drop(expected(region_of(self.store).reap())),
            _ => drop(expected(region_of(self.store).check()).map(|report| report.to_string())),
        }
    }

    fn end(self) {
        let Self { store, queue, sender, receiver, held, .. } = self;
        drop((sender, held, receiver));
        expected(queue.evict());
        drop(expected(region_of(store).check()).map(|report| report.to_string()));
    }
}

#[test]
fn wrong_words_in_a_queue_end_in_results_or_errors() {
    survive(seeds(200), |seed| {
        let name = Name::new("queue-words");
        let mut random = Random::new(seed);
        let store = store(&name);
        let mut work = Work::on(&store, store.queue_new_with(&options()).unwrap());
        for step in 0..random.below(30) {
            work.step([0, 3, 2, 6, 0, 7][step as usize % 6], random.draw());
        }
        let file = File::options().read(true).write(true).open(path_of(&name)).unwrap();
        let queue = find_queue(&file);
        for _ in 0..=random.below(4) {
            for _ in 0..=random.below(6) {
                spoil(&file, queue, &mut random);
            }
            for _ in 0..random.below(40) {
                // A walk over the region sleeps where it finds something broken.
                work.step(random.below(14), random.draw());
            }
        }
        work.end();
        drop(store);
    });
}

#[test]
fn what_is_owned_and_cannot_be_sent_into_a_corrupt_queue_is_owned_as_before() {
    support::watch();
    let name = Name::new("corrupt-owned");
    let store = store(&name);
    let queue = store.queue_new_with::<[u8]>(&options()).unwrap();
    let file = File::options().read(true).write(true).open(path_of(&name)).unwrap();
    let tail = find_queue(&file) + 8 * 16;
    file.write_all_at(&(1_u64 << 10).to_le_bytes(), tail).unwrap();
    let unsent = queue.sender().unwrap().send_owned(store.own(&b"mine"[..]).unwrap()).unwrap_err();
    assert!(matches!(unsent.error(), Error::Corrupt { .. }), "{unsent}");
    let mut owned = unsent.into_owned();
    owned.update(&b"still"[..]).unwrap();
    assert_eq!(owned[..], b"still"[..]);
    let key = owned.key();
    drop(owned);
    assert!(!store.exists(key).unwrap());
}

#[test]
fn wrong_bytes_in_the_messages_of_a_stream_end_in_objects_or_errors() {
    survive(seeds(200), |seed| {
        let name = Name::new("stream-bytes");
        let mut random = Random::new(seed);
        let store = store(&name).with_codec(inplace::codec::Archive);
        let mut producer = StreamProducer::<Vec<String>, String>::new(&store)
            .options(options())
            .batch_size(2)
            .store_for("stored", &store);
        for number in 0..10 {
            let channel = if number % 4 == 3 { "stored" } else { "here" };
            let value = vec!["x".repeat(random.below(40) as usize); 2];
            producer.send_with(channel, value, format!("number {number}")).unwrap();
        }
        producer.close().unwrap();
        let consumer = StreamConsumer::<Vec<String>, String>::new(&store).options(options());
        let mut consumer = consumer.channel("here").unwrap().channel("stored").unwrap();
        let file = File::options().read(true).write(true).open(path_of(&name)).unwrap();
        let queue = find_queue(&file);
        for _ in 0..=random.below(8) {
            // In an inline message: its objects, its directory.
            let at = queue + 8 * (88 + HEAD[1] + 8 * HEAD[0]) + random.below(5 * HEAD[2]);
            file.write_all_at(&[random.draw() as u8], at).unwrap();
        }
        for _ in 0..60 {
            let item = expected(consumer.next_timeout(Duration::from_millis(1))).flatten();
            let Some(item) = item else { continue };
            if let Some(strings) = expected(item.resolve()) {
                std::hint::black_box(strings.iter().map(|string| string.len()).sum::<usize>());
            }
            std::hint::black_box(item.metadata().len());
            if random.below(4) != 0 {
                expected(item.ack());
            }
        }
        drop((consumer, store));
    });
}
