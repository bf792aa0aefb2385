//! The `#[storable]` attribute of inplace.
