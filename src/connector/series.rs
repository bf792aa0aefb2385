//! Numbers for objects, where no memory is shared: a process takes a range of them from whoever counts, and goes through
//! it alone. No number is ever given twice, also not by a process and the child it forked.

use crate::connector::one_at_a_time;
use crate::error::{Error, Result};
use crate::sync::{AtomicU64, Ordering};
use crate::sys::identity::Identity;

/// A range has as many numbers as these bits count.
const BITS: u32 = 24;
const LAST: u64 = (1 << BITS) - 1;
/// Ranges there are.
pub(super) const RANGES: u64 = 1 << (63 - BITS);

/// The range a number is of.
pub(super) fn range_of(number: u64) -> u64 {
    number >> BITS
}

/// One process's way through its ranges.
#[derive(Debug)]
pub(super) struct Series {
    /// Wiped in a child, which then takes a range of its own.
    identity: Identity,
    next: AtomicU64,
}

/// Where ranges come from.
pub(super) trait Ranges {
    /// What this process holds for as long as it has the range.
    type Held;

    /// A range that nobody had. Of several threads that take one at once, some drop theirs.
    fn take(&self) -> Result<(u64, Self::Held)>;

    /// Keeps what is held. Called in [`one_at_a_time`].
    fn keep(&self, need: Need, range: u64, held: Self::Held);
}

/// Why a range is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Need {
    /// The process has none: what was kept before is its parent's.
    First,
    /// The last one is used up.
    Another,
}

impl Series {
    pub(super) fn new() -> Result<Self> {
        let identity = Identity::new().map_err(|error| Error::system("mapping a page", error))?;
        Ok(Self { identity, next: AtomicU64::new(LAST) })
    }

    /// A number that nobody had.
    pub(super) fn next(&self, ranges: &impl Ranges) -> Result<u64> {
        loop {
            let next = self.next.load(Ordering::Relaxed);
            // A number counts if it is still the next one after it was seen that this process has a range: a child sets
            // `next` before it says that it has.
            if self.has_range() && next & LAST != LAST {
                let after = next + 1;
                let (success, failure) = (Ordering::Relaxed, Ordering::Relaxed);
                if self.next.compare_exchange(next, after, success, failure).is_ok() {
                    return Ok(next);
                }
                continue;
            }
            self.begin(ranges)?;
        }
    }

    /// Whether this process, and not only its parent, has a range.
    pub(super) fn has_range(&self) -> bool {
        self.identity.tag() != 0
    }

    #[cold]
    fn begin(&self, ranges: &impl Ranges) -> Result<()> {
        let (range, held) = ranges.take()?;
        let _turn = one_at_a_time();
        let need = if self.has_range() { Need::Another } else { Need::First };
        if need == Need::First || self.next.load(Ordering::Relaxed) & LAST == LAST {
            ranges.keep(need, range, held);
            self.next.store(range << BITS, Ordering::Relaxed);
            self.identity.assume(1, range);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, alarm, fork};

    use super::*;

    /// Counts from 5 on.
    struct Counter(AtomicU64);

    impl Ranges for Counter {
        type Held = ();

        fn take(&self) -> Result<(u64, ())> {
            Ok((self.0.fetch_add(1, Ordering::Relaxed), ()))
        }

        fn keep(&self, _: Need, _: u64, (): ()) {}
    }

    #[test]
    fn threads_that_use_up_ranges_never_get_a_number_twice() {
        let (series, ranges) = (Series::new().unwrap(), Counter(AtomicU64::new(5)));
        assert_eq!(series.next(&ranges).unwrap(), 5 << BITS);
        series.next.store((6 << BITS) - 1000, Ordering::Relaxed);
        let numbers = || (0..1000).map(|_| series.next(&ranges).unwrap()).collect::<Vec<_>>();
        let numbers: Vec<u64> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(numbers)).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(numbers.iter().collect::<HashSet<_>>().len(), 4000);
        let own = numbers.iter().filter(|number| range_of(**number) == 5).count();
        assert_eq!(own, 999, "the last number of a range is nobody's");
    }

    /// Knows who takes.
    struct Pids;

    impl Ranges for Pids {
        type Held = ();

        fn take(&self) -> Result<(u64, ())> {
            Ok((std::process::id().into(), ()))
        }

        fn keep(&self, need: Need, _: u64, (): ()) {
            assert_eq!(need, Need::First);
        }
    }

    #[test]
    fn a_child_takes_a_range_of_its_own() {
        let series = Series::new().unwrap();
        let mine = series.next(&Pids).unwrap();
        // SAFETY: the child uses memory that glibc keeps usable across a fork, and leaves by `_exit`.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                alarm::set(10);
                let range = series.next(&Pids).map(range_of).ok();
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(range != Some(std::process::id().into()))) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None).unwrap(), WaitStatus::Exited(child, 0));
            }
        }
        assert_eq!(series.next(&Pids).unwrap(), mine + 1);
    }
}
