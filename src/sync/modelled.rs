//! Atomics for loom, in which an ordering can be weakened at one place, and a participant can die before any access.
//!
//! loom takes a SeqCst access for an acquiring or releasing one, and knows the total order of fences only. So a SeqCst
//! access is given a fence: after it if it writes, or before it if it reads. Either is how compilers make such an access
//! of weaker ones, and either orders a write before a later read of another word on both sides of a protocol. Every model
//! is explored both ways: only [`Fences::AfterWrites`] shows that a write need be SeqCst, only
//! [`Fences::BeforeReads`] that a read need be.

use std::panic::Location;

/// What the kernel knows: asking is a step to explore, and no access of a participant.
pub(crate) use loom::sync::atomic::AtomicBool as KernelFlag;
pub(crate) use loom::sync::atomic::Ordering;

pub(crate) mod control;

use control::{Access, Plan};

/// Where SeqCst accesses get their fence.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fences {
    AfterWrites,
    BeforeReads,
    /// For models that need no total order: a fence also does what a Release should.
    Nowhere,
}

fn fence(wanted: bool) {
    if wanted {
        loom::sync::atomic::fence(Ordering::SeqCst);
    }
}

/// What the kernel does, whatever fences a model explores.
pub(crate) fn full_fence() {
    loom::sync::atomic::fence(Ordering::SeqCst);
}

/// What every access of a word comes through. loom remembers the last access of a word alone, and takes two reads for
/// independent; so of a read here, and a read and a write there, it would not try the write first. Turns all depend on
/// one another. They order nothing.
#[derive(Debug, Default)]
struct Turn(loom::sync::atomic::AtomicU8);

impl Turn {
    fn take(&self) {
        self.0.fetch_or(0, Ordering::Relaxed);
    }
}

macro_rules! atomic {
    ($name:ident, $value:ty, $($method:ident),*) => {
        #[derive(Debug)]
        pub(crate) struct $name {
            word: loom::sync::atomic::$name,
            turn: Turn,
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(0)
            }
        }

        impl $name {
            pub(crate) fn new(value: $value) -> Self {
                Self { word: loom::sync::atomic::$name::new(value), turn: Turn::default() }
            }

            #[track_caller]
            pub(crate) fn load(&self, ordering: Ordering) -> $value {
                let Some(plan) = control::plan(Access::Read, ordering, Location::caller()) else {
                    return 0;
                };
                fence(plan.before);
                self.turn.take();
                self.word.load(plan.ordering)
            }

            #[track_caller]
            pub(crate) fn store(&self, value: $value, ordering: Ordering) {
                let plan = control::plan(Access::Write, ordering, Location::caller());
                let Some(plan) = plan else { return };
                self.turn.take();
                self.word.store(value, plan.ordering);
                fence(plan.after);
                control::note_change();
            }

            #[track_caller]
            pub(crate) fn compare_exchange(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                let plan = control::plan(Access::Update, success, Location::caller());
                let Some(plan) = plan else { return Ok(current) };
                fence(plan.before);
                self.turn.take();
                let outcome =
                    self.word.compare_exchange(current, new, plan.ordering, plan.failure(failure));
                fence(plan.after);
                if outcome.is_ok() {
                    control::note_change();
                }
                outcome
            }

            #[track_caller]
            pub(crate) fn compare_exchange_weak(
                &self,
                current: $value,
                new: $value,
                success: Ordering,
                failure: Ordering,
            ) -> Result<$value, $value> {
                self.compare_exchange(current, new, success, failure)
            }

            $(
                #[track_caller]
                pub(crate) fn $method(&self, value: $value, ordering: Ordering) -> $value {
                    let plan = control::plan(Access::Update, ordering, Location::caller());
                    let Some(Plan { before, ordering, after }) = plan else { return 0 };
                    fence(before);
                    self.turn.take();
                    let found = self.word.$method(value, ordering);
                    fence(after);
                    control::note_change();
                    found
                }
            )*
        }
    };
}

atomic!(AtomicU16, u16, fetch_add, fetch_sub);
atomic!(AtomicU32, u32, fetch_add, fetch_sub, fetch_or, fetch_and, fetch_max);
atomic!(AtomicU64, u64, fetch_add, fetch_sub, fetch_or, fetch_max, swap);

/// Gives way to whoever is waited for.
pub(crate) fn pause(_: &crossbeam::utils::Backoff) {
    loom::thread::yield_now();
}
