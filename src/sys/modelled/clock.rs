//! A time at which everything happens: a deadline has passed from the beginning, or does not pass.

/// Later than some deadlines of a model, earlier than others.
pub(crate) fn now() -> u64 {
    1000
}
