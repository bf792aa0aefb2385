//! How nanoseconds are sorted: sixteen equal steps per power of two.

/// Steps per power of two, as a power of two.
const STEP_BITS: u32 = 4;
const STEPS: u64 = 1 << STEP_BITS;
/// From here on, about a minute, everything is in the last bucket.
const LAST_BIT: u32 = 36;

/// How many buckets there are.
pub(super) const BUCKETS: usize = (STEPS + (LAST_BIT - STEP_BITS) as u64 * STEPS) as usize;

/// The bucket of so many nanoseconds. A bucket's bound is in it, so that those of powers of two are what
/// [`bound`] says.
#[inline]
pub(super) fn bucket(nanoseconds: u64) -> usize {
    let below = nanoseconds.saturating_sub(1);
    if below < STEPS {
        return below as usize;
    }
    let bit = below.ilog2();
    let step = (below >> (bit - STEP_BITS)) & (STEPS - 1);
    let at = u64::from(bit - STEP_BITS + 1) * STEPS + step;
    (at as usize).min(BUCKETS - 1)
}

/// The largest number of nanoseconds in a bucket; there is none in the last.
pub(super) fn bound(bucket: usize) -> u64 {
    let (bucket, steps) = (bucket as u64, STEPS);
    if bucket as usize >= BUCKETS - 1 {
        return u64::MAX;
    }
    if bucket < steps {
        return bucket + 1;
    }
    let (octave, step) = (bucket / steps, bucket % steps);
    (steps + step + 1) << (octave - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_duration_is_within_the_bound_of_its_bucket_and_above_the_one_before() {
        let around = |power: u32| (1_u64 << power).saturating_sub(40)..=(1 << power) + 40;
        for nanoseconds in (0..=u64::from(u16::MAX)).chain((10..40).flat_map(around)) {
            let at = bucket(nanoseconds);
            assert!(nanoseconds <= bound(at), "{nanoseconds} in {at}");
            assert!(at == 0 || nanoseconds > bound(at - 1), "{nanoseconds} in {at}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn a_bound_is_at_most_a_sixteenth_above_the_one_before() {
        for at in 1..BUCKETS - 1 {
            let (low, high) = (bound(at - 1), bound(at));
            assert!(low < high && (high - low <= 1 || (high - low) * 16 <= low), "{low} {high}");
        }
    }

    #[test]
    fn powers_of_two_are_bounds() {
        for power in 0..LAST_BIT {
            assert_eq!(bound(bucket(1 << power)), 1 << power);
        }
    }
}
