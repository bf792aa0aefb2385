//! Any bytes under the right fingerprint, for every codec.
#![no_main]

#[path = "../../../tests/support/payloads.rs"]
mod payloads;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| payloads::payload(bytes));
