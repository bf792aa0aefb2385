//! Stores for tests of streams, and what is sent through them.

use std::path::PathBuf;

use inplace::codec::Codec;
use inplace::connector::{FileConnector, ShmConnector};
use inplace::{Metadata, Region, RegionOptions, Store, StreamConsumer, StreamItem, storable};

use crate::support::{Name, watch};

#[storable]
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub number: u64,
    pub pixels: Vec<u8>,
}

pub fn frame(number: u64, size: usize) -> Frame {
    Frame { number, pixels: vec![number as u8; size] }
}

pub fn shm<C: Copy>(name: &str, codec: C) -> Store<C> {
    watch();
    let options = RegionOptions::new().capacity(64 << 20).max_objects(10_000).max_participants(16);
    let connector = ShmConnector::new(options.anonymous().unwrap());
    Store::builder(name).connector(connector).codec(codec).open().unwrap()
}

pub fn region_of<C>(store: &Store<C>) -> Region {
    store.connector().as_shm().unwrap().region().unwrap().clone()
}

/// Nothing is broken, and nothing is left but the channels.
pub fn assert_clean<C>(store: &Store<C>) {
    let region = region_of(store);
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.in_progress == 0, "{report}");
    assert_eq!((report.objects, report.queued, report.unacknowledged), (0, 0, 0), "{report}");
}

/// Everything to the end, acknowledged: the values that `look` makes.
pub fn all<T, M: Metadata, C: Codec<T>, R>(
    consumer: &mut StreamConsumer<T, M, C>,
    look: impl Fn(&StreamItem<T, M, C>) -> R,
) -> Vec<R> {
    let mut seen = Vec::new();
    while let Some(item) = consumer.next_item().unwrap() {
        seen.push(look(&item));
        item.ack().unwrap();
    }
    seen
}

/// A directory that is removed in the end, and a store there.
pub struct Files(PathBuf, pub Store);

impl Files {
    pub fn new(hint: &str) -> Self {
        let path = std::env::temp_dir().join(&*Name::new(hint));
        let files = FileConnector::open(&path).unwrap();
        let store = Store::builder(hint).connector(files).open().unwrap();
        Self(path, store)
    }

    pub fn objects(&self) -> usize {
        std::fs::read_dir(self.0.join("objects")).unwrap().count()
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
