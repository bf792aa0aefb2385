//! Wrong bytes in the control area of a region: every operation ends, with a result or an error, and nothing faults.

mod support;

#[path = "support/hostile.rs"]
mod hostile;

use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicU64, Ordering};

use hostile::{Image, Work};
use nix::sys::wait::WaitStatus;
use support::random::Random;
use support::shared::{Atomics, Shared};
use support::{Name, alone, start_child, watch, watch_for};

struct Progress {
    seed: AtomicU64,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Progress {}

/// Seeds one child tries: what a closing region leaves in a process is not worth more.
const BATCH: u64 = 20;

/// How many seeds are tried: `INPLACE_HOSTILE_SEEDS`, or as many as a run of all tests can afford.
fn seeds(affordable: u64) -> std::ops::Range<u64> {
    let chosen = std::env::var("INPLACE_HOSTILE_SEEDS").ok().and_then(|text| text.parse().ok());
    let first = Random::seed("hostile");
    first..first + chosen.unwrap_or(affordable)
}

/// Runs `work` in children for every seed; a panic, a fault or a hang of any is a failure.
fn survive(seeds: std::ops::Range<u64>, work: impl Fn(u64)) {
    let _alone = alone();
    let progress = Shared::<Progress>::new();
    let (mut next, mut failures) = (seeds.start, Vec::new());
    while next < seeds.end && failures.len() < 5 {
        watch();
        let batch = next..seeds.end.min(next + BATCH);
        let child = start_child(|| {
            for seed in batch.clone() {
                watch_for(20);
                progress.seed.store(seed, Ordering::SeqCst);
                work(seed);
            }
            0
        });
        next = match child.wait() {
            WaitStatus::Exited(_, 0) => batch.end,
            other => {
                let seed = progress.seed.load(Ordering::SeqCst);
                failures.push((seed, other));
                seed + 1
            }
        };
    }
    assert!(failures.is_empty(), "{failures:?}");
}

fn bytes(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let len = 40 + random.below(400);
    (0..len).map(|_| random.draw() as u8).collect()
}

#[test]
fn wrong_words_in_the_control_area_end_in_results_or_errors() {
    let name = Name::new("words");
    let image = Image::new(&name);
    survive(seeds(400), |seed| hostile::control(&image, &name, &bytes(seed)));
}

/// Opens a region in which some bytes were overwritten, and does everything to it.
fn survive_with(words: &[(u64, u64)]) {
    let name = Name::new("word");
    let image = Image::new(&name);
    let file = image.write(&name);
    let region = hostile::open(&name).unwrap();
    for (at, word) in words {
        file.write_all_at(&(*word as u32).to_le_bytes(), *at).unwrap();
    }
    survive(0..1, |_| Work::on(&region, &image.keys).everything());
}

#[test]
fn bounds_that_say_less_than_creation_commits_neither_divide_by_zero_nor_grow_for_ever() {
    let (chunks, frontier) = (64, 72);
    survive_with(&[(chunks, 0)]);
    survive_with(&[(frontier, 0)]);
    survive_with(&[(chunks, 0), (frontier, 5)]);
}

#[test]
fn a_count_that_is_as_high_as_can_be_refuses_a_pin_and_does_not_count_for_ever() {
    let (row, slots) = (45_056 + 64 * 2048, 40);
    survive_with(&(0..slots).map(|slot| (row + 4 * slot, u64::MAX)).collect::<Vec<_>>());
}

#[test]
fn a_walk_over_a_region_where_all_is_broken_ends_soon() {
    let (words, units) = (192_512, 40_960);
    let slab_of_single_granules = 3 << 28;
    let tables = (0..16).map(|unit| (units + 8 * unit, slab_of_single_granules));
    let flags = (0..16).map(|unit| (units + 8 * unit + 4, 2));
    let cells = (0..16 * 1024).map(|cell| (words + 4 * cell, cell + 1));
    survive_with(&tables.chain(flags).chain(cells).collect::<Vec<_>>());
}

#[test]
fn spans_that_say_they_are_huge_take_no_memory_to_walk() {
    let slots = 45_056;
    // The upper half of a block reference: a span of as many units as there can be.
    let huge = (0..500).map(|slot| (slots + 64 * slot + 12, 0xbfff_ffc0));
    let ready = (0..500).map(|slot| (slots + 64 * slot, 4 << 8));
    survive_with(&huge.chain(ready).collect::<Vec<_>>());
}
