//! Stores of several processes, and words sent between them.

use std::io::{PipeReader, PipeWriter, Read, Write};

use inplace::connector::ShmConnector;
use inplace::{RegionOptions, Registration, Store};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A store over a region without a name, which forked children have, too.
pub fn store(name: &str) -> (Store, Registration) {
    let options = RegionOptions::new().capacity(32 << 20).max_objects(4000).max_participants(24);
    let region = options.anonymous().unwrap();
    let store = Store::builder(name).connector(ShmConnector::new(region)).open().unwrap();
    let registration = store.register().unwrap();
    (store, registration)
}

/// The region a store stands on.
pub fn region(store: &Store) -> inplace::Region {
    let key = store.put(&0_u8).unwrap();
    store.evict(key).unwrap();
    inplace::Region::attached(key.space()).unwrap().unwrap()
}

/// Everything is undone, and nothing is broken.
pub fn assert_clean(store: &Store) {
    let region = region(store);
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.in_progress == 0, "{report}");
}

/// Messages from one process to others.
pub struct Pipe {
    from: PipeReader,
    to: PipeWriter,
}

impl Pipe {
    pub fn new() -> Self {
        let (from, to) = std::io::pipe().unwrap();
        Self { from, to }
    }

    pub fn send(&self, what: &impl Serialize) {
        let bytes = postcard::to_stdvec(what).unwrap();
        (&self.to).write_all(&[&[bytes.len() as u8], &bytes[..]].concat()).unwrap();
    }

    pub fn receive<T: DeserializeOwned>(&self) -> T {
        let mut len = [0];
        (&self.from).read_exact(&mut len).unwrap();
        let mut bytes = vec![0; len[0].into()];
        (&self.from).read_exact(&mut bytes).unwrap();
        postcard::from_bytes(&bytes).unwrap()
    }
}

/// How many threads of this process have that name.
pub fn threads_named(name: &str) -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|found| found.trim_end() == name).count()
}
