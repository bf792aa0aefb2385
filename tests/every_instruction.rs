//! A process killed after any instruction of an operation leaves a region that its survivor can clean up completely.
//!
//! `INPLACE_STEPS` says how many places of each operation are tried (5, for a step takes some ten microseconds),
//! `INPLACE_SEED` which; `INPLACE_STEPS=all` tries every instruction.
#![allow(
    clippy::disallowed_types,
    reason = "tests share plain atomics with the children they fork"
)]

mod support;

use std::sync::atomic::{AtomicU32, Ordering};

use inplace::{Key, Region, RegionOptions};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::{WaitStatus, waitpid};
use support::random::Random;
use support::shared::{Atomics, Shared};
use support::{payload, start_child, watch_for};

/// The victim says when its operation starts and when it is over.
struct Stage(AtomicU32);

// SAFETY: made of atomics only.
unsafe impl Atomics for Stage {}

impl Stage {
    fn set(&self, stage: u32) {
        self.0.store(stage, Ordering::SeqCst);
    }

    fn is(&self, stage: u32) -> bool {
        self.0.load(Ordering::SeqCst) == stage
    }
}

/// What a victim does, given bytes, an object that is there and a promise of the survivor's.
type Operation = fn(&Region, &[u8], (Key, Key));

/// An operation, its bytes, and whether it finds memory warm. Copying is one step per byte, writing to cold memory is one
/// system call: large objects are put cold.
#[derive(Clone, Copy)]
struct Case {
    what: &'static str,
    len: usize,
    is_warm: bool,
    operation: Operation,
}

fn region() -> Region {
    watch_for(300);
    payload::prepare();
    RegionOptions::new().capacity(2 << 20).max_objects(100).max_participants(4).anonymous().unwrap()
}

/// Runs the operation in a victim that is killed after `steps` instructions; `false`: it was over before.
fn kill_after(region: &Region, keys: (Key, Key), case: Case, steps: u64) -> (bool, u64) {
    let bytes = payload::make(1, case.len);
    let stage = Shared::<Stage>::new();
    let victim = start_child(|| {
        let region = Region::attached(region.id()).unwrap().unwrap();
        ptrace::traceme().unwrap();
        nix::sys::signal::raise(Signal::SIGSTOP).unwrap();
        stage.set(1);
        (case.operation)(&region, &bytes, keys);
        stage.set(2);
        // SAFETY: ends the child, which leaves as if killed.
        unsafe { libc::_exit(0) }
    });
    assert!(matches!(waitpid(victim.0, None).unwrap(), WaitStatus::Stopped(_, Signal::SIGSTOP)));
    let mut taken = 0;
    let mut is_inside = false;
    while taken < steps && !stage.is(2) {
        ptrace::step(victim.0, None).unwrap();
        match waitpid(victim.0, None).unwrap() {
            WaitStatus::Stopped(_, Signal::SIGTRAP) => {}
            other => panic!("a victim ended by itself: {other:?}"),
        }
        is_inside |= stage.is(1);
        taken += u64::from(is_inside);
    }
    let is_over = stage.is(2);
    victim.kill();
    (!is_over, taken)
}

/// The survivor reaps, finds everything in order, works, and gets everything back.
fn assert_survives(region: &Region, what: &str, steps: u64) {
    let context = format!("{what}, killed after {steps} instructions");
    assert_eq!(region.reap().unwrap(), 1, "{context}");
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{context}: {report}");
    let unfinished = (report.in_progress, report.retired, report.pins, report.participants);
    assert_eq!(unfinished, (0, 0, 0, 1), "{context}: {report}");
    let key = region.put(&payload::make(4, 70_000)).unwrap();
    assert_eq!(payload::blame(Some(4), &region.take(key).unwrap().unwrap()), None, "{context}");
    region.unbind("name").unwrap();
    for key in region.keys().unwrap() {
        if let Some(view) = region.get(key).unwrap() {
            assert_eq!(payload::blame(Some(1), &view), None, "{context}: a value is torn");
        }
        assert!(region.evict(key).unwrap());
    }
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.bytes_in_use == 0, "{context}: {report}");
    let whole = region.put(&vec![1; 2 << 20]).expect("all memory is there again");
    assert!(region.evict(whole).unwrap());
}

fn prepare(region: &Region, case: Case) -> (Key, Key) {
    let object = region.put(&payload::make(1, 1000)).unwrap();
    let promise = region.reserve().unwrap();
    region.bind("name", object).unwrap();
    if !case.is_warm {
        region.trim().unwrap();
    }
    (object, promise)
}

fn try_places(case: Case) {
    let (region, what) = (region(), case.what);
    let mut random = Random::new(Random::seed(what));
    let mut length = 0;
    // The first time the index, tables and slabs are new; the second is like all that follow.
    for _ in 0..2 {
        length = kill_after(&region, prepare(&region, case), case, u64::MAX).1;
        assert_survives(&region, what, length);
    }
    let chosen = std::env::var("INPLACE_STEPS").unwrap_or_else(|_| "5".into());
    let places: Vec<u64> = match chosen.parse::<u64>() {
        Ok(count) => (0..count).map(|_| 1 + random.below(length)).collect(),
        Err(_) => (1..=length).collect(),
    };
    let mut killed = 0;
    for &steps in &places {
        let (inside, _) = kill_after(&region, prepare(&region, case), case, steps);
        killed += u64::from(inside);
        assert_survives(&region, what, steps);
    }
    println!("{what}: {length} instructions, killed at {killed} of them");
    assert!(killed > 0);
}

#[test]
fn killed_at_any_instruction_operations_leave_nothing_half_done() {
    let case = |what, len, is_warm, operation| Case { what, len, is_warm, operation };
    let put: Operation = |region, bytes, _| drop(region.put(bytes));
    let cases = [
        case("small put", 100, true, put),
        case("small put into cold memory", 100, false, put),
        case("large put into cold memory", 150_000, false, put),
        case("evict", 0, true, |region, _, (object, _)| _ = region.evict(object)),
        case("get and drop", 0, true, |region, _, (object, _)| drop(region.get(object))),
        case("take", 0, true, |region, _, (object, _)| drop(region.take(object))),
        case("bind", 0, true, |region, _, (object, _)| drop(region.bind("name", object))),
        case("unbind", 0, true, |region, _, _| drop(region.unbind("name"))),
        case("set", 100, true, |region, bytes, (_, promise)| drop(region.set(promise, bytes))),
        case("fail", 0, true, |region, _, _| {
            drop(region.reserve().and_then(|promise| region.fail(promise)));
        }),
        case("trim", 0, true, |region, _, _| drop(region.trim())),
        case("loan", 100, true, |region, bytes, _| {
            drop(region.loan(bytes.len(), inplace::Fingerprint::BYTES));
        }),
    ];
    cases.into_iter().for_each(try_places);
}
