//! The participant table: who is attached.

use std::fmt;

use crate::sync::AtomicU64;

/// A participant's place in the table.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ParticipantId(u16);

impl ParticipantId {
    #[inline]
    pub(crate) const fn new(index: u32) -> Self {
        Self((index & 0xfff) as u16)
    }

    #[inline]
    pub(crate) const fn index(self) -> u32 {
        self.0 as u32
    }

    /// How words name the participant: 0 is nobody.
    #[inline]
    pub(crate) const fn tag(self) -> u32 {
        self.0 as u32 + 1
    }

    #[inline]
    pub(crate) const fn from_tag(tag: u32) -> Option<Self> {
        if tag == 0 { None } else { Some(Self::new(tag - 1)) }
    }
}

impl fmt::Debug for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "participant {}", self.0)
    }
}

/// One entry of the participant table. Whether it is alive says the lock on its byte, never these words.
#[repr(C, align(64))]
#[derive(Debug, Default)]
pub(crate) struct ParticipantEntry {
    /// An [`EntryWord`].
    pub(crate) word: AtomicU64,
    /// For people only.
    pub(crate) pid: AtomicU64,
    /// Nanoseconds since the epoch, for people only.
    pub(crate) attached_at: AtomicU64,
    /// What its processes have put, one after another, where they count: objects and bytes. Never set back.
    pub(crate) puts: AtomicU64,
    pub(crate) put_bytes: AtomicU64,
    /// Objects they found, and did not find.
    pub(crate) gets: AtomicU64,
    pub(crate) misses: AtomicU64,
    /// Objects they evicted.
    pub(crate) evictions: AtomicU64,
}

/// What an entry is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Presence {
    /// Nobody's; its counts are all zero.
    Vacant = 0,
    /// A fork prepared it for a child that has not adopted it yet.
    Embryo = 1,
    /// A process is attached, or was and died.
    Active = 2,
    /// Somebody undoes what its dead process left.
    Dying = 3,
    /// Its process is about to end and does not keep the region alive; dead when its byte is free.
    Leaving = 4,
}

/// `incarnation 56 | presence 8`. All zeros is a vacant entry that was never used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntryWord(pub(crate) u64);

impl EntryWord {
    pub(crate) const fn new(incarnation: u64, presence: Presence) -> Self {
        Self((incarnation << 8) | presence as u64)
    }

    pub(crate) const fn incarnation(self) -> u64 {
        self.0 >> 8
    }

    /// `None` for a value no participant writes.
    pub(crate) const fn presence(self) -> Option<Presence> {
        Some(match self.0 & 0xff {
            0 => Presence::Vacant,
            1 => Presence::Embryo,
            2 => Presence::Active,
            3 => Presence::Dying,
            4 => Presence::Leaving,
            _ => return None,
        })
    }
}

impl fmt::Debug for EntryWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EntryWord")
            .field("incarnation", &self.incarnation())
            .field("presence", &self.presence())
            .finish()
    }
}
