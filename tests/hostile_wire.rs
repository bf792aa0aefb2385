//! What arrives as text, in postcard's form or as the names of a bucket, with hostile bytes: an error, or it means something.

mod support;

#[path = "support/buckets.rs"]
mod buckets;
#[path = "support/survivors.rs"]
mod survivors;
#[path = "support/wire.rs"]
mod wire;

use buckets::{Buckets, bytes_of};
use support::Name;
use support::random::{Random, bytes};
use survivors::{seeds, survive};

/// One of some right ones, with some bytes changed, cut out or doubled.
fn mutated(right: &[Vec<u8>], seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = right[random.below(right.len() as u64) as usize].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len().max(1) as u64) as usize;
        match random.below(4) {
            _ if bytes.is_empty() => {}
            0 => bytes[at] = random.draw() as u8,
            1 => bytes[at] ^= 1 << random.below(8),
            2 => drop(bytes.drain(at..(at + 3).min(bytes.len()))),
            _ => bytes.extend_from_within(at..),
        }
    }
    bytes
}

#[test]
fn keys_proxies_and_configurations_of_hostile_bytes_are_errors_or_come_back() {
    let right = wire::right();
    right.iter().for_each(|bytes| wire::all(bytes));
    survive(seeds(60), |seed| {
        for at in 0..100 {
            wire::all(&mutated(&right, seed * 1000 + at));
            wire::all(&bytes(seed * 1000 + at, 60));
        }
    });
}

#[test]
fn a_bucket_of_hostile_bytes_is_corrupt_or_holds_names() {
    let right = [
        bytes_of(&[("name", 1 << 24 | 1)]),
        bytes_of(&[("a", 1), ("name", 5), ("größe", 0)]),
        bytes_of(&[("", 0), ("name", u64::MAX), ("name", 3)]),
    ];
    let seeds = seeds(40);
    survive(seeds, |seed| {
        let name = Name::new("buckets");
        let buckets = Buckets::new(&name);
        buckets.hold(&bytes(seed, 60));
        (0..20).for_each(|at| buckets.hold(&mutated(&right, seed * 1000 + at)));
    });
}

#[test]
fn a_bucket_that_says_a_name_is_longer_than_it_is_takes_no_memory_for_it() {
    let name = Name::new("long");
    let buckets = Buckets::new(&name);
    let mut lying = bytes_of(&[("name", 7)]);
    lying[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    buckets.hold(&lying);
}

#[test]
fn a_key_with_a_sign_for_a_digit_is_refused() {
    assert!("0000000000001234-+00000000000abcd".parse::<inplace::Key>().is_err());
    wire::all(b"+000000000001234-000000000000abcd");
}
