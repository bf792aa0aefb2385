//! The protocols under loom: the code itself, over modelled words, in every interleaving a memory model allows.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" CARGO_TARGET_DIR=target/loom cargo test --release --lib models -- --nocapture
//! ```
//!
//! Threads of a model are processes, each with its own [`Local`](crate::local::Local), unless it says otherwise.

mod arena;
mod lifetimes;
mod members;
mod names;
mod owned;
mod pins;
mod pools;
mod promises;
mod queues;
mod scene;
mod topics;
mod variables;
