//! Payloads of every codec with hostile bytes: an error, or a value that can be walked; nothing panics, faults or hangs.

mod support;

#[path = "support/payloads.rs"]
mod payloads;
#[path = "support/survivors.rs"]
mod survivors;

use inplace::codec::{Archive, Codec, Serde, to_vec};
use inplace::connector::Block;
use payloads::{Json, List, Node};
use support::random::bytes;
use survivors::{seeds, survive};

#[test]
fn hostile_payloads_of_every_codec_are_errors_or_values() {
    survive(seeds(200), |seed| {
        for at in 0..100 {
            payloads::payload(&bytes(seed * 1000 + at, 60));
        }
    });
}

#[test]
fn every_truncated_payload_is_an_error_or_a_value() {
    survive(0..payloads::KINDS.into(), |kind| {
        let whole = payloads::valid(kind as u8);
        for len in 0..=whole.len() {
            payloads::resolve(kind as u8, &whole[..len]);
        }
    });
}

#[test]
fn every_single_wrong_bit_of_a_payload_is_an_error_or_a_value() {
    survive(0..payloads::KINDS.into(), |kind| {
        let mut value = payloads::valid(kind as u8);
        for bit in 0..value.len().min(1000) * 8 {
            value[bit / 8] ^= 1 << (bit % 8);
            payloads::resolve(kind as u8, &value);
            value[bit / 8] ^= 1 << (bit % 8);
        }
    });
}

/// Runs `f` with more stack than any value needs.
fn with_a_long_stack<T: Send + 'static>(f: impl FnOnce() -> T + Send + 'static) -> T {
    std::thread::Builder::new().stack_size(1 << 30).spawn(f).unwrap().join().unwrap()
}

fn nested_archive(depth: usize) -> Vec<u8> {
    with_a_long_stack(move || to_vec(Archive, &payloads::list(depth)).unwrap())
}

/// `Node`s, each in an option of the one before.
fn nested_serde(depth: usize) -> Vec<u8> {
    let mut bytes = payloads::valid(11)[..8].to_vec();
    bytes.extend([1, 1].repeat(depth));
    bytes.extend([1, 0]);
    bytes
}

fn is_read<C: Codec<T>, T>(bytes: &[u8]) -> bool {
    C::decode(Block::from_heap(bytes.into(), C::FINGERPRINT)).is_ok()
}

#[test]
fn values_nested_deeper_than_a_stack_is_long_are_errors() {
    survive(0..1, |_| {
        for depth in [300, 3000, 100_000] {
            assert!(!is_read::<Archive, List>(&nested_archive(depth)));
            assert!(!is_read::<Serde, Node>(&nested_serde(depth)));
        }
        let mut json = payloads::valid(10)[..8].to_vec();
        // A list of one list of one list …
        json.extend([3, 1].repeat(100_000));
        assert!(!is_read::<Serde, Json>(&json));
    });
}

#[test]
fn values_nested_as_deep_as_allowed_are_read_within_the_stack_of_a_thread() {
    survive(0..1, |_| {
        std::thread::spawn(|| {
            let (archive, serde) = (nested_archive(254), nested_serde(84));
            assert!(is_read::<Archive, List>(&archive) && is_read::<Serde, Node>(&serde));
            payloads::resolve(3, &archive);
            payloads::resolve(11, &serde);
        })
        .join()
        .unwrap();
    });
}

#[test]
fn sequences_of_nothing_that_never_end_are_errors_and_short_ones_are_read() {
    type Many = Vec<payloads::Nothing>;
    let many = |count: &[u8]| [&to_vec(Serde, &Many::new()).unwrap()[..8], count].concat();
    survive(0..1, |_| {
        assert!(is_read::<Serde, Many>(&many(&[0xff, 0x7f])));
        assert!(!is_read::<Serde, Many>(&many(&[
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f
        ])));
    });
}
