//! Hostile bytes, and everything that is done to a region that has them: for tests and fuzz targets alike.
#![allow(dead_code, reason = "every program uses a part of it")]

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::PathBuf;
use std::time::Duration;

use inplace::{Error, Fingerprint, Key, Lifespan, Pinned, Region, RegionOptions, Result};

/// A region whose parts lie where `docs/design.md` says for this geometry.
pub const CAPACITY: u64 = 1 << 20;
pub const OBJECTS: u32 = 1000;
pub const PARTICIPANTS: u32 = 4;

/// Where things lie in the file: offset, length, and what a word of it measures.
pub const HEADER: (u64, u64, u64) = (0, 384, 8);
pub const BOUNDS: (u64, u64, u64) = (64, 24, 4);
pub const ENTRIES: (u64, u64, u64) = (4096, 64 * 4, 8);
pub const HINTS: (u64, u64, u64) = (8192, 8192, 8);
pub const NAMES: (u64, u64, u64) = (16384, 8192, 8);
pub const TYPES: (u64, u64, u64) = (24576, 16384, 8);
pub const UNITS: (u64, u64, u64) = (40960, 8 * 16, 4);
pub const SLOTS: (u64, u64, u64) = (45056, 64 * 2048, 8);
pub const USED_SLOTS: (u64, u64, u64) = (45056, 64 * 40, 8);
pub const COUNTS: (u64, u64, u64) = (45056 + 131_072, 4096 * 4, 2);
pub const BLOCK_WORDS: (u64, u64, u64) = (192_512, 16 * 4096, 4);
pub const CONTROL: u64 = 2_097_152;

/// Every area of the control area.
pub const AREAS: [(u64, u64, u64); 10] =
    [BOUNDS, ENTRIES, HINTS, NAMES, TYPES, UNITS, SLOTS, USED_SLOTS, COUNTS, BLOCK_WORDS];

pub fn options() -> RegionOptions {
    RegionOptions::new().capacity(CAPACITY).max_objects(OBJECTS).max_participants(PARTICIPANTS)
}

/// Makes a region in which there is some of everything, and leaves it; what its keys are.
pub fn prepare(name: &str) -> Vec<Key> {
    let region = options().lifespan(Lifespan::Persistent).create(name).unwrap();
    let mut keys: Vec<Key> = [0, 1, 64, 65, 300, 5000, 32_768, 32_769, 70_000]
        .iter()
        .map(|&len| region.put(&vec![0xa5; len]).unwrap())
        .collect();
    keys.extend((0..12).map(|i| region.put(&[i; 40]).unwrap()));
    region.bind("one", keys[1]).unwrap();
    region.bind("two", keys[5]).unwrap();
    for key in keys.drain(10..14) {
        region.evict(key).unwrap();
    }
    keys.push(region.put_as(b"typed", Fingerprint::of("somebody's")).unwrap());
    keys
}

/// Bytes that decide what happens.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next bytes; zeros after the end.
    pub fn number<const N: usize>(&mut self) -> u64 {
        let (now, rest) = self.0.split_at(N.min(self.0.len()));
        self.0 = rest;
        now.iter().rev().fold(0, |number, &byte| number << 8 | u64::from(byte))
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.number::<2>() % limit
    }
}

/// A prepared region's file, to be written again and again.
pub struct Image {
    bytes: Vec<u8>,
    pub keys: Vec<Key>,
}

impl Image {
    pub fn new(name: &str) -> Self {
        let keys = prepare(name);
        let bytes = std::fs::read(path_of(name)).unwrap();
        Region::destroy(name).unwrap();
        Self { bytes, keys }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A file of that name with these bytes, all of it committed.
    pub fn write(&self, name: &str) -> File {
        write(name, &self.bytes)
    }
}

pub fn path_of(name: &str) -> PathBuf {
    PathBuf::from(format!("/dev/shm/inplace.{name}"))
}

/// A segment's file with these bytes.
pub fn write(name: &str, bytes: &[u8]) -> File {
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(true).mode(0o600);
    let file = options.open(path_of(name)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file
}

/// Opens a region; one that is not what it should be is refused, and its file left alone.
pub fn open(name: &str) -> Option<Region> {
    match Region::open(name) {
        Ok(region) => Some(region),
        Err(error) => {
            assert!(path_of(name).exists(), "a file that is not understood was removed: {error}");
            let says = matches!(
                error,
                Error::NotARegion { .. }
                    | Error::LayoutMismatch { .. }
                    | Error::Corrupt { .. }
                    | Error::OutOfParticipants { .. }
                    | Error::AccessDenied { .. }
            );
            assert!(says, "an unexpected error: {error}");
            None
        }
    }
}

/// Wrong words in the control area of a region, before or after it is opened, and operations on it, and what else a caller
/// does.
pub fn control(image: &Image, (name, bytes): (&str, &[u8]), also: impl FnOnce(&Region)) {
    let mut input = Input::new(bytes);
    let file = image.write(name);
    let attached = if input.below(4) == 0 { open(name) } else { None };
    for _ in 0..=input.below(12) {
        spoil(&file, &mut input);
    }
    let everything = input.below(4) == 0;
    let opened = if attached.is_some() { attached } else { open(name) };
    if let Some(region) = opened {
        let mut work = Work::on(&region, &image.keys);
        while !input.is_empty() {
            work.step(input.number::<1>(), input.number::<2>());
        }
        if everything {
            work.everything();
        }
        also(&region);
    }
    std::fs::remove_file(path_of(name)).unwrap();
}

/// A value that may be wrong in an interesting way.
fn value(input: &mut Input<'_>, old: u64) -> u64 {
    match input.below(8) {
        0 => 0,
        1 => u64::MAX,
        2 => old ^ 1 << input.below(64),
        3 => old.wrapping_add(1),
        4 => old.wrapping_sub(1),
        5 => input.below(2048) | input.below(16) << 8,
        6 => (input.below(4) << 62) | (input.number::<3>() << 38) | input.below(1 << 14),
        _ => input.number::<8>(),
    }
}

/// Overwrites one word of the control area.
pub fn spoil(file: &File, input: &mut Input<'_>) {
    let area = AREAS[input.below(AREAS.len() as u64) as usize];
    spoil_in(file, area, input);
}

/// Overwrites one word of an area.
pub fn spoil_in(file: &File, (start, len, word): (u64, u64, u64), input: &mut Input<'_>) {
    let at = start + input.below(len / word) * word;
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, at).unwrap();
    let new = value(input, u64::from_le_bytes(bytes)).to_le_bytes();
    file.write_all_at(&new[..word as usize], at).unwrap();
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
            | Error::OutOfParticipants { .. }
            | Error::TooManyViews { .. }
            | Error::AlreadySet { .. }
            | Error::Broken { .. }
            | Error::TimedOut { .. }
            | Error::NotOwner { .. }
            | Error::Severed,
        ) => None,
        Err(error) => panic!("an unexpected error: {error}"),
    }
}

/// What an operation sequence works with.
pub struct Work<'a> {
    region: &'a Region,
    keys: Vec<Key>,
    views: Vec<Pinned>,
}

/// What [`Work::step`] knows.
pub const STEPS: u64 = 18;

impl<'a> Work<'a> {
    pub fn on(region: &'a Region, keys: &[Key]) -> Self {
        // A header from elsewhere may be of another region.
        let mut keys: Vec<_> = keys.iter().map(|key| Key::new(region.id(), key.object())).collect();
        // A key is three numbers: region, slot, generation.
        keys.extend([0, 5, 50, 2047, 2048, 0xff_ffff].map(|slot| Key::new(region.id(), slot)));
        keys.push(Key::new(region.id(), u64::MAX));
        Self { region, keys, views: Vec::new() }
    }

    fn key(&self, at: u64) -> Key {
        self.keys[at as usize % self.keys.len()]
    }

    fn keep(&mut self, view: Option<Pinned>) {
        let Some(view) = view else { return };
        std::hint::black_box(view.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte)));
        if self.views.len() < 20 {
            self.views.push(view);
        }
    }

    fn put(&mut self, what: u64) {
        const SIZES: [usize; 8] = [0, 1, 64, 700, 9000, 33_000, 131_072, 2 << 20];
        let bytes = vec![1; SIZES[what as usize % SIZES.len()]];
        self.keys.extend(expected(self.region.put(&bytes)));
    }

    fn put_with(&mut self, what: u64) {
        let bytes = vec![2; what as usize % 70_000];
        let key = self.region.put_with(10, Fingerprint::of("filled"), &mut |out| {
            out.write(&bytes);
            Ok(())
        });
        self.keys.extend(expected(key));
    }

    fn loan(&mut self, what: u64) {
        if let Some(mut loan) =
            expected(self.region.loan(what as usize % 100_000, Fingerprint::BYTES))
        {
            loan.fill(3);
            if what.is_multiple_of(2) {
                self.keys.extend(expected(loan.publish()));
            }
        }
    }

    fn promise(&mut self, what: u64) {
        let Some(key) = expected(self.region.reserve()) else { return };
        match what % 4 {
            0 => drop(expected(self.region.fail(key))),
            1 => drop(expected(self.region.set(key, &vec![4; what as usize]))),
            _ => {}
        }
        self.keys.push(key);
    }

    fn wait(&mut self, key: Key) {
        let view = expected(self.region.wait(key, Some(Duration::from_millis(1))));
        self.keep(view);
    }

    /// One operation.
    pub fn step(&mut self, kind: u64, what: u64) {
        let (region, key) = (self.region, self.key(what));
        let name = ["one", "two", "three", "a name of some length"][what as usize % 4];
        match kind % STEPS {
            0 => {
                let found = expected(region.get(key)).flatten();
                self.keep(found);
            }
            1 => self.put(what),
            2 => {
                let taken = expected(region.take(key)).flatten();
                self.keep(taken);
            }
            3 => drop(expected(region.evict(key))),
            4 => self.promise(what),
            5 => self.wait(key),
            6 => drop(expected(region.set(key, b"late"))),
            7 => drop(expected(region.fail(key))),
            8 => drop(expected(region.bind(name, key))),
            9 => drop(expected(region.lookup(name))),
            10 => drop(expected(region.unbind(name))),
            11 => drop(expected(region.trim())),
            12 => drop(expected(region.reap())),
            // A walk sleeps where it finds something broken.
            13 if what.is_multiple_of(4) => {
                drop(expected(region.check()).map(|report| report.to_string()));
            }
            13 => drop(expected(region.exists(key))),
            14 => self.keys.extend(expected(region.keys()).into_iter().flatten().take(100)),
            15 => self.put_with(what),
            16 => self.loan(what),
            _ => drop(self.views.pop()),
        }
        if self.keys.len() > 500 {
            self.keys.drain(..250);
        }
    }

    /// Every operation, on every object.
    pub fn everything(&mut self) {
        for kind in [13, 14, 9] {
            self.step(kind, 0);
        }
        for kind in [0, 5, 6, 7, 1, 15, 16, 4, 8, 9, 10, 17, 2, 3] {
            for what in 0..self.keys.len().min(40) as u64 {
                self.step(kind, what);
            }
        }
        for kind in [11, 12, 13] {
            self.step(kind, 0);
        }
    }
}
