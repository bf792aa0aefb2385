//! Random operations. Who does them and on what are numbers that are counted round what there is when it is their turn,
//! so that a sequence keeps its sense when parts of it are taken out.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::cast::SEATS;

/// Counted round the living processes; 0 is the test process.
pub type Who = u8;
/// Counted round the keys given out, the lively first.
pub type Which = u8;

#[derive(Clone, Debug)]
pub enum Op {
    Put(Who, u32),
    PutBatch(Who, Vec<u32>),
    Get(Who, Which),
    DropView(Who, Which),
    CloneView(Who, Which),
    Look(Who, Which),
    Exists(Who, Which),
    Evict(Who, Which),
    Take(Who, Which),
    Reserve(Who),
    Set(Who, Which, u32),
    Fail(Who, Which),
    Wait(Who, Which, u64),
    Loan(Who, u32),
    Publish(Who, Which, Option<u32>),
    DropLoan(Who, Which),
    Bind(Who, Which, Which),
    Lookup(Who, Which),
    Unbind(Who, Which),
    /// As a value that is made anew, or as bytes.
    StorePut(Who, u32, bool),
    /// In one of four ways.
    StoreGet(Who, Which, usize),
    StoreEvict(Who, Which),
    Trim(Who),
    Reap(Who),
    /// What a process sees of the whole.
    Survey(Who),
    Fork(Who),
    /// A process that finds the region by its name.
    Arrive,
    Open(Who),
    Close(Who),
    /// Views, loans and handle are given back, then the process ends.
    Leave(Who),
    Exit(Who),
    Kill(Who),
}

/// A region, and what happens to it.
#[derive(Clone, Debug)]
pub struct Case {
    pub participants: usize,
    pub is_named: bool,
    pub ops: Vec<Op>,
}

/// Borders of size classes, of cells and spans, of units, and of the capacity, which is 131072.
const SIZES: [u32; 26] = [
    0, 1, 15, 63, 64, 65, 1024, 1025, 4096, 4097, 9344, 9345, 16384, 21824, 21825, 32767, 32768,
    32769, 65535, 65536, 65537, 131_071, 131_072, 131_073, 200_000, 1_000_000,
];

fn size() -> impl Strategy<Value = u32> {
    prop_oneof![
        3 => select(&SIZES[..8]),
        4 => select(&SIZES[8..18]),
        2 => select(&SIZES[18..22]),
        1 => select(&SIZES[22..]),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let (who, which) = (|| 0..SEATS as Who, any::<Which>);
    let objects = prop_oneof![
        12 => (who(), size()).prop_map(|(w, s)| Op::Put(w, s)),
        3 => (who(), vec(size(), 0..5)).prop_map(|(w, s)| Op::PutBatch(w, s)),
        10 => (who(), which()).prop_map(|(w, k)| Op::Get(w, k)),
        9 => (who(), which()).prop_map(|(w, k)| Op::DropView(w, k)),
        3 => (who(), which()).prop_map(|(w, k)| Op::CloneView(w, k)),
        2 => (who(), which()).prop_map(|(w, k)| Op::Look(w, k)),
        1 => (who(), which()).prop_map(|(w, k)| Op::Exists(w, k)),
        8 => (who(), which()).prop_map(|(w, k)| Op::Evict(w, k)),
        4 => (who(), which()).prop_map(|(w, k)| Op::Take(w, k)),
    ];
    let tokens = prop_oneof![
        4 => who().prop_map(Op::Reserve),
        4 => (who(), which(), size()).prop_map(|(w, k, s)| Op::Set(w, k, s)),
        1 => (who(), which()).prop_map(|(w, k)| Op::Fail(w, k)),
        3 => (who(), which(), select(&[0, 200][..])).prop_map(|(w, k, t)| Op::Wait(w, k, t)),
        4 => (who(), size()).prop_map(|(w, s)| Op::Loan(w, s)),
        4 => (who(), which(), proptest::option::of(size())).prop_map(|(w, k, s)| Op::Publish(w, k, s)),
        2 => (who(), which()).prop_map(|(w, k)| Op::DropLoan(w, k)),
        8 => (who(), which(), which()).prop_map(|(w, n, k)| Op::Bind(w, n, k)),
        2 => (who(), which()).prop_map(|(w, n)| Op::Lookup(w, n)),
        4 => (who(), which()).prop_map(|(w, n)| Op::Unbind(w, n)),
        2 => who().prop_map(Op::Trim),
        1 => who().prop_map(Op::Reap),
        1 => who().prop_map(Op::Survey),
    ];
    let stores = prop_oneof![
        4 => (who(), size(), any::<bool>()).prop_map(|(w, s, v)| Op::StorePut(w, s, v)),
        6 => (who(), which(), select(&[0, 0, 0, 1, 2, 2, 3][..])).prop_map(|(w, k, h)| Op::StoreGet(w, k, h)),
        1 => (who(), which()).prop_map(|(w, k)| Op::StoreEvict(w, k)),
    ];
    let processes = prop_oneof![
        6 => who().prop_map(Op::Fork),
        4 => Just(Op::Arrive),
        2 => who().prop_map(Op::Open),
        2 => who().prop_map(Op::Close),
        2 => who().prop_map(Op::Leave),
        1 => who().prop_map(Op::Exit),
        4 => who().prop_map(Op::Kill),
    ];
    prop_oneof![10 => objects, 7 => tokens, 4 => stores, 4 => processes]
}

pub fn case(longest: usize) -> impl Strategy<Value = Case> {
    (2..=3_usize, any::<bool>(), vec(op(), 1..=longest))
        .prop_map(|(participants, is_named, ops)| Case { participants, is_named, ops })
}
