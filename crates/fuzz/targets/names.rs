//! Any bytes as the object that holds the names of a bucket.
#![no_main]

#[path = "../../../tests/support/buckets.rs"]
mod buckets;

use std::sync::OnceLock;

use buckets::Buckets;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    static BUCKETS: OnceLock<(String, Buckets)> = OnceLock::new();
    let (_, buckets) = BUCKETS.get_or_init(|| {
        let name = format!("fuzz-names-{}", std::process::id());
        (name.clone(), Buckets::new(&name))
    });
    buckets.hold(bytes);
});
