//! What a process of the cast can be told to do, and what it answers.

use std::fmt;

use inplace::{Error, Report};
use serde::{Deserialize, Serialize};

/// The part of a key that tells objects of one region apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Id(pub u64);

impl Id {
    pub fn slot(self) -> u64 {
        self.0 & 0xff_ffff
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "slot {} generation {}", self.slot(), self.0 >> 24)
    }
}

/// Bytes that are told by what they are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    pub seed: u16,
    pub len: u32,
}

/// Seeds from here on are of values that a codec makes anew; the others are of bytes that are stored as they are.
pub const VALUE: u16 = 1 << 15;
/// What such a value begins with, before its length.
const OUTLINE: u32 = 8;

impl Content {
    /// A value made of so many bytes, and what is stored of it.
    pub fn value(seed: u16, payload: u32) -> Self {
        Self { seed: seed | VALUE, len: OUTLINE + varint(payload) + payload }
    }

    pub fn is_value(self) -> bool {
        self.seed >= VALUE
    }

    /// Bytes the value is made of.
    pub fn payload(self) -> u32 {
        self.len - lead(self.seed, self.len)
    }
}

/// Bytes of a length in postcard's numbers.
fn varint(len: u32) -> u32 {
    (u32::BITS - len.leading_zeros()).div_ceil(7).max(1)
}

/// Stored bytes that come before those a value is made of.
pub fn lead(seed: u16, len: u32) -> u32 {
    let fits = |digits: &u32| varint(len - OUTLINE - digits) == *digits;
    if seed < VALUE { 0 } else { OUTLINE + (1..5).find(fits).unwrap() }
}

/// How a store is asked for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    Get,
    Take,
    Resolve,
    ResolveAndEvict,
}

/// A number by which a process and the model know a view or a loan.
pub type Token = u32;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Order {
    Put(Content),
    PutBatch(Vec<Content>),
    /// The seed is what the bytes are compared with.
    Get {
        id: Id,
        seed: u16,
        keep: Token,
    },
    Take {
        id: Id,
        seed: u16,
        keep: Token,
    },
    Wait {
        id: Id,
        seed: u16,
        keep: Token,
        micros: u64,
    },
    DropView(Token),
    CloneView {
        view: Token,
        seed: u16,
        keep: Token,
    },
    Look {
        view: Token,
        seed: u16,
    },
    Exists(Id),
    Evict(Id),
    Reserve,
    Set(Id, Content),
    Fail(Id),
    Loan {
        content: Content,
        keep: Token,
    },
    /// The first bytes only, which are made anew then, unless the loan is another process's.
    Publish {
        loan: Token,
        prefix: Option<u32>,
        remake: Option<u16>,
    },
    DropLoan(Token),
    Bind(String, Id),
    Lookup(String),
    Unbind(String),
    StorePut(Content),
    /// As a value or as bytes, which may not be what it is.
    StoreGet {
        id: Id,
        seed: u16,
        as_value: bool,
        how: Access,
    },
    StoreEvict(Id),
    Trim,
    Check,
    Keys,
    Reap,
    /// A child takes the seat.
    Fork {
        seat: usize,
    },
    /// Another handle of the region, or the first.
    Open(String),
    /// Drops handle and loans; views stay.
    Close,
    /// Ends at once, without a word.
    Quit,
    /// Ends by `exit`, with everything it has, without a word.
    Exit,
}

/// What [`Report`] says that a model can say, too.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Summary {
    pub objects: u64,
    pub retired: u64,
    pub pending: u64,
    pub in_progress: u64,
    pub names: u64,
    pub pins: u64,
    pub participants: u64,
    pub bytes_in_use: u64,
    pub bytes_committed: u64,
    pub violations: Vec<String>,
}

impl From<Report> for Summary {
    fn from(report: Report) -> Self {
        Self {
            objects: report.objects,
            retired: report.retired,
            pending: report.pending,
            in_progress: report.in_progress,
            names: report.names,
            pins: report.pins,
            participants: report.participants,
            bytes_in_use: report.bytes_in_use,
            bytes_committed: report.bytes_committed,
            violations: report.violations,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    Done,
    Made(Vec<Id>),
    Listed(Vec<Id>),
    /// How many bytes were found, and what is wrong with them.
    Seen(Option<(u32, Option<String>)>),
    Yes(bool),
    Means(Option<Id>),
    Count(u64),
    Report(Summary),
    Forked(i32),
    Refused(Refusal),
    Panicked(String),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Refusal {
    OutOfSpace,
    OutOfSlots,
    OutOfParticipants,
    NotFound,
    AlreadySet,
    Broken,
    NotOwner,
    TimedOut,
    Severed,
    TypeMismatch,
    Other(String),
}

impl From<Error> for Reply {
    fn from(error: Error) -> Self {
        Self::Refused(match error {
            Error::OutOfSpace { .. } => Refusal::OutOfSpace,
            Error::OutOfSlots { .. } => Refusal::OutOfSlots,
            Error::OutOfParticipants { .. } => Refusal::OutOfParticipants,
            Error::NotFound { .. } => Refusal::NotFound,
            Error::AlreadySet { .. } => Refusal::AlreadySet,
            Error::Broken { .. } => Refusal::Broken,
            Error::NotOwner { .. } => Refusal::NotOwner,
            Error::TimedOut { .. } => Refusal::TimedOut,
            Error::TypeMismatch { .. } => Refusal::TypeMismatch,
            Error::Severed => Refusal::Severed,
            other => Refusal::Other(other.to_string()),
        })
    }
}
