//! Events of `tracing`, with the cargo feature of that name; nothing without it.

use std::time::Duration;

use crate::error::Error;
use crate::key::Key;
use crate::metrics::Operation;

/// Whether anybody wants to know of operations.
#[cfg(feature = "tracing")]
#[inline(always)]
pub(super) fn is_on() -> bool {
    ::tracing::enabled!(target: "inplace", ::tracing::Level::TRACE)
}

#[cfg(not(feature = "tracing"))]
#[inline(always)]
pub(super) const fn is_on() -> bool {
    false
}

/// Tells of one operation on objects of a store.
#[cfg(feature = "tracing")]
#[cold]
pub(super) fn event(
    (store, operation): (&str, Operation),
    (key, items): (Option<Key>, usize),
    elapsed: Duration,
    error: Option<&Error>,
) {
    let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
    ::tracing::trace!(
        target: "inplace",
        store,
        operation = operation.as_str(),
        key = key.map(::tracing::field::display),
        items,
        nanoseconds,
        error = error.map(::tracing::field::display),
    );
}

#[cfg(not(feature = "tracing"))]
pub(super) const fn event(
    _: (&str, Operation),
    _: (Option<Key>, usize),
    _: Duration,
    _: Option<&Error>,
) {
}
