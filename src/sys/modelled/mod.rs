//! What models have in place of a kernel.

pub(crate) mod clock;
pub(crate) mod futex;
pub(crate) mod lock;
