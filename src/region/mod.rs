//! Regions.

pub(crate) mod bind;
pub(crate) mod check;
pub(crate) mod evict;
pub(crate) mod pin;
pub(crate) mod promise;
pub(crate) mod sweep;
pub(crate) mod write;

#[cfg(test)]
mod tests;
