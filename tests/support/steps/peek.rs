//! Where the words of a region lie in this process: to stop a victim just when it has written one of them.
//!
//! By the tables of docs/design.md, not by the code, which keeps its words to itself.

use inplace::{Key, Region};

/// An anonymous region, as this process and those it forks have it mapped.
#[derive(Clone, Copy)]
pub struct Peek {
    start: u64,
    units: u64,
    slots: u64,
    names: u64,
    data: u64,
}

/// States of slots, kinds of units, the presence of an entry.
pub const READY: u64 = 4;
pub const RETIRED: u64 = 6;
pub const RECLAIMING: u64 = 7;
pub const SLAB: u64 = 3;
pub const RETIRING: u64 = 4;
pub const SPAN: u64 = 5;
pub const TRIMMING: u64 = 6;
pub const EMBRYO: u64 = 1;

/// Stages of envelopes.
pub const TAKEN: u64 = 3;
pub const ACKED: u64 = 4;
pub const ABANDONED: u64 = 5;

fn page_up(offset: u64) -> u64 {
    offset.div_ceil(4096) * 4096
}

impl Peek {
    /// Of the only anonymous region.
    pub fn of(region: &Region) -> Self {
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        // Not the page that holds the life byte, which is mapped from the file's beginning, too.
        let whole = |line: &&str| line.contains("memfd:inplace") && line.contains(" rw-s 00000000");
        let line = maps.lines().find(whole).expect("an anonymous region");
        let start = u64::from_str_radix(line.split('-').next().unwrap(), 16).unwrap();
        let names = page_up(4096 + 64 * u64::from(region.max_participants())) + 8192;
        let units = page_up(names + 8192 + 256 * 64);
        let slots = units + page_up(8 * (region.capacity() >> 16));
        let participants = u64::from(region.max_participants());
        let chunks = u64::from(region.max_objects() + 1).div_ceil(2048);
        let words = slots + chunks * page_up(2048 * (64 + 2 * participants));
        let data = (words + (region.capacity() >> 16) * 4096).next_multiple_of(2 << 20);
        Self { start, units, slots, names, data }
    }

    fn word(&self, offset: u64) -> Word {
        Word(self.start + offset)
    }

    /// A slot's word; its state is in bits 8 to 11.
    pub fn slot(&self, key: Key) -> Word {
        self.word(self.slots + 64 * (key.object() & 0xff_ffff))
    }

    /// The state of an envelope of a queue for 5 to 8 messages and as many participants: its stage is in bits 0 to 3.
    pub fn envelope(&self, queue: Key, envelope: u64) -> Word {
        let block = Word(self.slot(queue).0 + 8).get() & ((1 << 38) - 1);
        self.word(self.data + block * 64 + 8 * (80 + 8 + 8 + 8 * envelope))
    }

    /// The word of the first position of a topic that waits for nobody, of as many participants.
    pub fn post(&self, topic: Key) -> Word {
        let block = Word(self.slot(topic).0 + 8).get() & ((1 << 38) - 1);
        self.word(self.data + block * 64 + 8 * (64 + 8))
    }

    /// What a variable names: the key's object of its current version.
    pub fn current(&self, variable: Key) -> Word {
        Word(self.slot(variable).0 + 8)
    }

    /// A unit's word; its kind is in bits 28 to 31.
    pub fn unit(&self, unit: u64) -> Word {
        self.word(self.units + 8 * unit)
    }

    /// The word of a name's bucket.
    pub fn bucket(&self, name: &str) -> Word {
        self.word(self.names + 8 * (inplace::Fingerprint::of(name).get() % 1024))
    }

    /// A participant's entry; its presence is in bits 0 to 7.
    pub fn entry(&self, participant: u64) -> Word {
        self.word(4096 + 64 * participant)
    }
}

/// A word of shared memory.
#[derive(Clone, Copy)]
pub struct Word(u64);

impl Word {
    pub fn address(self) -> u64 {
        self.0
    }

    /// The word behind it.
    pub fn next(self) -> Self {
        Self(self.0 + 8)
    }

    pub fn get(self) -> u64 {
        let word: *const std::sync::atomic::AtomicU64 =
            std::ptr::without_provenance(self.0 as usize);
        // SAFETY: an aligned word in the committed part of a region that is mapped, of which all is atomics.
        unsafe { &*word }.load(std::sync::atomic::Ordering::SeqCst)
    }

    pub fn state(self) -> u64 {
        self.get() >> 8 & 15
    }

    pub fn stage(self) -> u64 {
        self.get() & 15
    }

    pub fn kind(self) -> u64 {
        self.get() >> 28 & 15
    }

    pub fn presence(self) -> u64 {
        self.get() & 255
    }
}
