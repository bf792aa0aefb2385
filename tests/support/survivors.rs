//! Children that try what should not hurt: a panic, a fault or a hang of any is a failure that names its seed.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::wait::WaitStatus;

use crate::support::random::Random;
use crate::support::shared::{Atomics, Shared};
use crate::support::{alone, start_child, watch_for};

struct Progress {
    seed: AtomicU64,
}

// SAFETY: made of atomics only.
unsafe impl Atomics for Progress {}

/// Seeds one child tries: what a region that can not be left keeps in a process is not worth more.
const BATCH: u64 = 20;
/// Seconds one seed may take.
const PATIENCE: u32 = 60;

/// The seeds to try: as many as a run of all tests can afford, or `INPLACE_HOSTILE_SEEDS`.
pub fn seeds(affordable: u64) -> Range<u64> {
    let chosen = std::env::var("INPLACE_HOSTILE_SEEDS").ok().and_then(|text| text.parse().ok());
    let first = Random::seed("hostile");
    first..first + chosen.unwrap_or(affordable)
}

/// Runs `work` in children for every seed.
pub fn survive(seeds: Range<u64>, work: impl Fn(u64)) {
    let failures = endings(seeds, work, |_| false);
    assert!(failures.is_empty(), "{failures:?}");
}

/// Runs `work` in children for every seed; how it ended for those that did neither return nor end as is `forgiven`.
pub fn endings(
    seeds: Range<u64>,
    work: impl Fn(u64),
    forgiven: impl Fn(&WaitStatus) -> bool,
) -> Vec<(u64, WaitStatus)> {
    let _alone = alone();
    let progress = Shared::<Progress>::new();
    let (mut next, mut failures) = (seeds.start, Vec::new());
    while next < seeds.end && failures.len() < 5 {
        watch_for(BATCH as u32 * PATIENCE);
        let batch = next..seeds.end.min(next + BATCH);
        let child = start_child(|| {
            for seed in batch.clone() {
                watch_for(PATIENCE);
                progress.seed.store(seed, Ordering::SeqCst);
                work(seed);
            }
            0
        });
        let (status, seed) = (child.wait(), progress.seed.load(Ordering::SeqCst));
        next = if status_is_good(&status) { batch.end } else { seed + 1 };
        if !status_is_good(&status) && !forgiven(&status) {
            failures.push((seed, status));
        }
    }
    failures
}

fn status_is_good(status: &WaitStatus) -> bool {
    matches!(status, WaitStatus::Exited(_, 0))
}
