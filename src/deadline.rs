//! How long objects stay when nobody evicts them.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::layout::slot::EXPIRED;
use crate::sys::clock;

/// A point in time at which a lease ends, the same in every process of the host.
///
/// It is a time of CLOCK_BOOTTIME: nobody can set that clock, and it goes on while the host sleeps, so an hour is an hour.
/// (Processes in different *time namespaces* do not agree on it.)
///
/// ```
/// use std::time::Duration;
/// use inplace::Deadline;
///
/// let deadline = Deadline::after(Duration::from_secs(60));
/// assert!(!deadline.has_passed());
/// assert!(deadline.remaining() <= Duration::from_secs(60));
/// assert!(deadline < deadline.later_by(Duration::from_secs(1)));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Deadline {
    /// Nanoseconds of CLOCK_BOOTTIME, as they stand in a slot: neither 0 nor [`EXPIRED`].
    nanos: u64,
}

impl Deadline {
    /// So long from now. What does not fit into 584 years ends then.
    #[must_use]
    pub fn after(time: Duration) -> Self {
        Self::at(clock::now()).later_by(time)
    }

    /// So much later.
    #[must_use]
    pub fn later_by(self, time: Duration) -> Self {
        Self::at(self.nanos.saturating_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)))
    }

    fn at(nanos: u64) -> Self {
        Self { nanos: nanos.clamp(1, EXPIRED - 1) }
    }

    /// As it stands in a slot.
    pub(crate) fn nanos(self) -> u64 {
        // It may have come over a wire.
        self.nanos.clamp(1, EXPIRED - 1)
    }

    /// What stands in a slot.
    pub(crate) fn from_nanos(nanos: u64) -> Option<Self> {
        (nanos != 0).then_some(Self { nanos })
    }

    /// Whether it is over.
    #[must_use]
    pub fn has_passed(self) -> bool {
        self.nanos <= clock::now()
    }

    /// How long ago it was; zero when it has not passed.
    pub(crate) fn elapsed(self) -> Duration {
        Duration::from_nanos(clock::now().saturating_sub(self.nanos))
    }

    /// How long it is until then; zero when it has passed.
    #[must_use]
    pub fn remaining(self) -> Duration {
        Duration::from_nanos(self.nanos.saturating_sub(clock::now()))
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deadline(in {:?})", self.remaining())
    }
}

/// What ends an object that nobody evicts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum Term {
    /// Nothing: it stays until it is evicted, or its region goes.
    #[default]
    Unlimited,
    /// That time, whoever is alive then.
    Until(Deadline),
    /// The end of the process that puts it, however that ends. A forked child does not have its parent's.
    Process,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_never_one_of_the_two_values_that_are_none() {
        for time in [Duration::ZERO, Duration::MAX] {
            assert!(![0, EXPIRED].contains(&Deadline::after(time).nanos()));
        }
        assert!(Deadline::after(Duration::ZERO).has_passed());
        assert!(!Deadline::after(Duration::MAX).has_passed());
        let sent: Deadline =
            postcard::from_bytes(&postcard::to_stdvec(&u64::MAX).unwrap()).unwrap();
        assert_eq!(sent.nanos(), EXPIRED - 1);
    }
}
