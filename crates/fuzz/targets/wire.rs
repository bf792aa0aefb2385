//! Keys, proxies and configurations as they arrive.
#![no_main]

#[path = "../../../tests/support/wire.rs"]
mod wire;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| wire::all(bytes));
