//! Objects larger than 4 GiB, larger than 2 GiB through the codecs, and of the sizes where the allocator changes its mind.

mod support;

use std::time::Instant;

use inplace::codec::Slice;
use inplace::connector::{BlockWriter, ShmConnector};
use inplace::{Fingerprint, Region, RegionOptions, Store};
use support::{Name, payload, watch};

const GIB: usize = 1 << 30;
const MIB: usize = 1 << 20;
const KIB: usize = 1 << 10;

/// Bytes the system has left for shared memory.
fn available() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap();
    let line = text.lines().find(|line| line.starts_with("MemAvailable")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
}

fn has_memory(bytes: usize) -> bool {
    let enough = available() > bytes as u64 + 2 * GIB as u64;
    if !enough {
        eprintln!("SKIPPED: {bytes} bytes of memory are needed, {} are available", available());
    }
    enough
}

fn assert_ends(view: &[u8], len: usize, ends: [u8; 2]) {
    assert_eq!((view.len(), view[0], view[len - 1]), (len, ends[0], ends[1]));
    assert_eq!(view[len / 2], 0);
}

#[test]
fn objects_larger_than_four_gibibytes_are_lent_and_written_whole() {
    watch();
    let len = 4 * GIB + 64 * KIB + 5;
    if !has_memory(len) {
        return;
    }
    let region =
        RegionOptions::new().capacity((4 * GIB + MIB) as u64).max_objects(10).anonymous().unwrap();
    let start = Instant::now();
    let mut loan = region.loan(len, Fingerprint::BYTES).unwrap();
    assert_eq!(loan.len(), len);
    (loan[0], loan[len / 2], loan[len - 1]) = (3, 0, 4);
    let key = loan.publish().unwrap();
    println!("{len} bytes lent and published in {:?}", start.elapsed());
    assert_ends(&region.get(key).unwrap().unwrap(), len, [3, 4]);
    assert_eq!(region.check().unwrap().bytes_in_use, len.next_multiple_of(64 * KIB) as u64);
    assert!(region.put(&vec![1; 2 * MIB]).is_err(), "the rest of the capacity is smaller");
    assert!(region.evict(key).unwrap());

    let (start, piece) = (Instant::now(), vec![0; 64 * MIB]);
    let fill = &mut |out: &mut BlockWriter<'_>| {
        out.write(&[1]);
        while out.position() < len - 1 {
            out.write(&piece[..piece.len().min(len - 1 - out.position())]);
        }
        out.write(&[2]);
        Ok(())
    };
    let key = region.put_with(len, Fingerprint::BYTES, fill).unwrap();
    println!("{len} bytes written in {:?}", start.elapsed());
    assert_ends(&region.take(key).unwrap().unwrap(), len, [1, 2]);
    assert_eq!(region.trim().unwrap(), len.next_multiple_of(64 * KIB) as u64);
}

#[test]
fn an_object_larger_than_four_gibibytes_is_put_whole() {
    watch();
    let len = 4 * GIB + 5;
    if !has_memory(len) {
        return;
    }
    let region = RegionOptions::new().capacity(5 * GIB as u64).max_objects(10).anonymous().unwrap();
    // Zeros that take no memory until they are written.
    let mut bytes = vec![0_u8; len];
    (bytes[0], bytes[len - 1]) = (1, 2);
    let start = Instant::now();
    let key = region.put(&bytes).unwrap();
    println!("{len} bytes put in {:?}", start.elapsed());
    assert_ends(&region.get(key).unwrap().unwrap(), len, [1, 2]);
}

#[test]
fn a_slice_of_numbers_larger_than_two_gibibytes_keeps_its_length() {
    watch();
    let count = (2 * GIB + 64) / 8;
    if !has_memory(2 * GIB) {
        return;
    }
    let region = RegionOptions::new().capacity(3 * GIB as u64).max_objects(10).anonymous().unwrap();
    let store =
        Store::builder("large").connector(ShmConnector::new(region)).codec(Slice::<u64>::default());
    let store = store.open().unwrap();
    let mut numbers = vec![0_u64; count];
    (numbers[0], numbers[count - 1]) = (5, u64::MAX);
    let key = store.put(numbers.as_slice()).unwrap();
    drop(numbers);
    let view = store.get::<[u64]>(key).unwrap().unwrap();
    assert_eq!((view.len(), view.as_slice()[0], view.as_slice()[count - 1]), (count, 5, u64::MAX));
}

fn comes_back(region: &Region, len: usize) {
    let seed = (len % 60_000) as u16;
    let key = region.put(&payload::make(seed, len)).unwrap();
    let view = region.get(key).unwrap().unwrap();
    assert_eq!((view.len(), payload::blame(Some(seed), &view)), (len, None));
    let mut loan = region.loan(len, Fingerprint::BYTES).unwrap();
    payload::fill(seed, &mut loan);
    let lent = region.take(loan.publish().unwrap()).unwrap().unwrap();
    assert_eq!((lent.len(), payload::blame(Some(seed), &lent)), (len, None));
    assert!(region.evict(key).unwrap());
}

#[test]
fn sizes_around_every_boundary_come_back_whole() {
    let name = Name::new("boundaries");
    let region = RegionOptions::new().capacity(16 << 20).max_objects(100).create(&name).unwrap();
    let boundaries = [
        0,
        64,
        128,
        1024,
        4096,
        8192,
        9344,
        21_824,
        32 * KIB,
        64 * KIB,
        128 * KIB,
        1 << 20,
        2 << 20,
    ];
    for boundary in boundaries {
        for len in boundary.saturating_sub(2)..=boundary + 2 {
            comes_back(&region, len);
        }
    }
    comes_back(&region, 8 << 20);
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.bytes_in_use == 0, "{report}");
}

#[test]
fn an_object_as_large_as_the_region_fits_and_one_byte_more_does_not() {
    let name = Name::new("whole");
    let region = RegionOptions::new().capacity(4 << 20).max_objects(100).create(&name).unwrap();
    for _ in 0..3 {
        comes_back_alone(&region, 4 << 20);
        for len in [(4 << 20) + 1, usize::MAX, usize::MAX / 2, 1 << 40] {
            assert!(matches!(
                region.loan(len, Fingerprint::BYTES),
                Err(inplace::Error::OutOfSpace { requested, capacity, .. })
                    if requested == len as u64 && capacity == 4 << 20
            ));
        }
    }
}

fn comes_back_alone(region: &Region, len: usize) {
    let key = region.put(&payload::make(1, len)).unwrap();
    assert_eq!(payload::blame(Some(1), &region.take(key).unwrap().unwrap()), None);
}
