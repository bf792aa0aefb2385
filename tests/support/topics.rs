//! A topic, and what must hold of it in the end.

use std::sync::{Mutex, MutexGuard, PoisonError};

use inplace::codec::{Archive, Codec};
use inplace::connector::ShmConnector;
use inplace::{Publisher, Region, RegionOptions, Store, Subscriber, Topic, storable};

use super::watch;

#[storable]
#[derive(Debug, PartialEq)]
pub struct Event {
    pub publisher: u32,
    pub number: u64,
    pub payload: Vec<u8>,
}

pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    watch();
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

pub fn shm(name: &str) -> Store {
    let options = RegionOptions::new().capacity(64 << 20).max_objects(10_000).max_participants(32);
    let connector = ShmConnector::new(options.anonymous().unwrap());
    Store::builder(name).connector(connector).open().unwrap()
}

pub fn region_of(store: &Store) -> Region {
    store.connector().as_shm().unwrap().region().unwrap().clone()
}

/// Nothing is broken, nobody is waited for, and there are so many messages.
pub fn assert_clean(store: &Store, published: u64) {
    let region = region_of(store);
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.in_progress == 0, "{report}");
    assert_eq!((report.objects, report.retired, report.subscribers), (0, 0, 0), "{report}");
    assert_eq!(report.published, published, "{report}");
}

/// Evicts it; nothing of it is left.
pub fn assert_all_goes<T: ?Sized>(store: &Store, topic: &Topic<T>)
where
    Archive: Codec<T>,
{
    assert!(topic.evict().unwrap() && !topic.evict().unwrap());
    let report = region_of(store).check().unwrap();
    assert!(report.is_clean() && report.bytes_in_use == 0 && report.pins == 0, "{report}");
}

pub fn publish_all(publisher: &Publisher<u64>, numbers: std::ops::Range<u64>) {
    for number in numbers {
        publisher.publish(&number).unwrap();
    }
}

/// Number, position, and how many were missed, of everything until the end.
pub fn all(subscriber: &mut Subscriber<u64>) -> Vec<(u64, u64, u64)> {
    let take = |message: inplace::Result<inplace::Published<u64>>| {
        let message = message.unwrap();
        (message.to_native(), message.position(), message.missed())
    };
    subscriber.iter().map(take).collect()
}

pub fn numbers(subscriber: &mut Subscriber<u64>) -> Vec<u64> {
    all(subscriber).into_iter().map(|(number, ..)| number).collect()
}
