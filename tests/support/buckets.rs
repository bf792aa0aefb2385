//! Objects that say they hold the names of a bucket, with hostile bytes.
#![allow(dead_code, reason = "every program uses a part of it")]

use std::os::unix::fs::FileExt;

use inplace::{Error, Fingerprint, Key, Lifespan, Region, RegionOptions};

const NAMES: u64 = 16384;
const BUCKETS: u64 = 1024;

/// A region whose bucket of the name `name` is whatever bytes somebody put.
pub struct Buckets {
    region: Region,
    file: std::fs::File,
    at: u64,
}

impl Buckets {
    pub fn new(region: &str) -> Self {
        let options = RegionOptions::new().capacity(4 << 20).max_objects(1000);
        let options = options.max_participants(4).lifespan(Lifespan::Persistent);
        let opened = options.create(region).unwrap();
        let path = format!("/dev/shm/inplace.{region}");
        let file = std::fs::File::options().read(true).write(true).open(&path).unwrap();
        let at = NAMES + Fingerprint::of("name").get() % BUCKETS * 8;
        Self { region: opened, file, at }
    }

    fn point_to(&self, object: u64) {
        self.file.write_all_at(&object.to_le_bytes(), self.at).unwrap();
    }

    fn try_all(&self, target: Key) {
        let corrupt = |error: &Error| {
            matches!(
                error,
                Error::Corrupt { .. } | Error::NotFound { .. } | Error::OutOfSpace { .. }
            )
        };
        for outcome in [
            self.region.lookup("name"),
            self.region.bind("name", target),
            self.region.lookup("name"),
            self.region.unbind("name"),
        ] {
            assert!(outcome.as_ref().err().is_none_or(corrupt), "{outcome:?}");
        }
        assert!(self.region.check().is_ok());
    }

    /// The bucket names an object with these bytes, and then things that are no object.
    pub fn hold(&self, bytes: &[u8]) {
        let target = self.region.put(b"target").unwrap();
        let held = self.region.put_as(bytes, Fingerprint::of("inplace::names")).unwrap();
        self.point_to(held.object());
        self.try_all(target);
        let made_up = bytes.first_chunk::<8>().map_or(1, |bytes| u64::from_le_bytes(*bytes));
        self.point_to(made_up);
        self.try_all(target);
        self.point_to(0);
        for key in self.region.keys().unwrap().into_iter().chain([held]) {
            self.region.evict(key).unwrap();
        }
    }
}

/// The bytes of a bucket with these names.
pub fn bytes_of(names: &[(&str, u64)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, object) in names {
        bytes.extend((name.len() as u32).to_le_bytes());
        bytes.extend(object.to_le_bytes());
        bytes.extend(name.as_bytes());
    }
    bytes
}
