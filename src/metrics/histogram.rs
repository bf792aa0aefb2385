//! A histogram of latencies, taken at one moment.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::metrics::buckets::bound;

/// How long the calls of an operation took. Merges with others, and travels through serde.
///
/// ```
/// use std::time::Duration;
/// use inplace::metrics::Histogram;
///
/// let mut all = Histogram::default();
/// for microseconds in 1..=1000 {
///     all.record(Duration::from_micros(microseconds));
/// }
/// assert_eq!((all.count(), all.max()), (1000, Duration::from_millis(1)));
/// let p99 = all.p99().as_micros();
/// assert!((990..=1000).contains(&p99), "{p99}");
///
/// all.merge(&all.clone());
/// assert_eq!(all.count(), 2000);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Histogram {
    /// Buckets that are not empty, by their place.
    buckets: BTreeMap<u16, u64>,
    nanoseconds: u64,
    longest: u64,
}

impl Histogram {
    pub(super) fn from_parts(
        buckets: impl Iterator<Item = (u16, u64)>,
        nanoseconds: u64,
        longest: u64,
    ) -> Self {
        Self { buckets: buckets.filter(|(_, count)| *count > 0).collect(), nanoseconds, longest }
    }

    /// Adds one call.
    pub fn record(&mut self, latency: Duration) {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        *self.buckets.entry(super::buckets::bucket(nanoseconds) as u16).or_default() += 1;
        self.nanoseconds = self.nanoseconds.saturating_add(nanoseconds);
        self.longest = self.longest.max(nanoseconds);
    }

    /// Adds what another one has counted.
    pub fn merge(&mut self, other: &Self) {
        for (bucket, count) in &other.buckets {
            let sum = self.buckets.entry(*bucket).or_default();
            *sum = sum.saturating_add(*count);
        }
        self.nanoseconds = self.nanoseconds.saturating_add(other.nanoseconds);
        self.longest = self.longest.max(other.longest);
    }

    /// How many calls there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// How many calls took at most so long. Exact at powers of two of nanoseconds; else the bucket that reaches beyond
    /// is left out.
    #[must_use]
    pub fn count_within(&self, latency: Duration) -> u64 {
        let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        let within = self.buckets.iter().filter(|(at, _)| bound(usize::from(**at)) <= nanoseconds);
        within.fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// What all calls took together.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds)
    }

    /// What a call took on average; zero without any.
    #[must_use]
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.checked_div(self.count()).unwrap_or(0))
    }

    /// The longest call.
    #[must_use]
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.longest)
    }

    /// What so large a part of the calls did not exceed: 0.5 is the median. At most a sixteenth too high; zero without
    /// any call.
    #[must_use]
    pub fn quantile(&self, part: f64) -> Duration {
        let wanted = ((part.clamp(0.0, 1.0) * self.count() as f64).ceil() as u64).max(1);
        let mut seen = 0_u64;
        for (at, count) in &self.buckets {
            seen = seen.saturating_add(*count);
            if seen >= wanted {
                return Duration::from_nanos(bound(usize::from(*at)).min(self.longest));
            }
        }
        self.max()
    }

    /// The median.
    #[must_use]
    pub fn p50(&self) -> Duration {
        self.quantile(0.5)
    }

    /// What 90 of 100 calls did not exceed.
    #[must_use]
    pub fn p90(&self) -> Duration {
        self.quantile(0.9)
    }

    /// What 99 of 100 calls did not exceed.
    #[must_use]
    pub fn p99(&self) -> Duration {
        self.quantile(0.99)
    }

    /// What 999 of 1000 calls did not exceed.
    #[must_use]
    pub fn p999(&self) -> Duration {
        self.quantile(0.999)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(latencies: impl IntoIterator<Item = u64>) -> Histogram {
        let mut histogram = Histogram::default();
        latencies.into_iter().for_each(|ns| histogram.record(Duration::from_nanos(ns)));
        histogram
    }

    #[test]
    fn quantiles_are_those_of_the_sorted_list_to_a_sixteenth() {
        let mut latencies: Vec<u64> = (0..5000_u64).map(|i| i * i % 700_001 + 1).collect();
        let histogram = of(latencies.iter().copied());
        latencies.sort_unstable();
        for part in [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = latencies[((part * 5000.0_f64).ceil() as usize).max(1) - 1];
            let found = histogram.quantile(part).as_nanos() as u64;
            assert!(found >= exact && found - exact <= exact / 16 + 1, "{part}: {exact} {found}");
        }
        assert_eq!(histogram.quantile(2.0), histogram.max());
        assert_eq!(histogram.sum().as_nanos() as u64, latencies.iter().sum::<u64>());
    }

    #[test]
    fn merged_in_any_order_it_is_the_histogram_of_all() {
        let (few, many) = (of([1, 17, u64::MAX]), of((0..100).map(|i| i * 1000)));
        let (mut one, mut other) = (few.clone(), many.clone());
        one.merge(&many);
        other.merge(&few);
        assert_eq!(one, other);
        assert_eq!(one.count(), 103);
        assert_eq!(one.max(), Duration::from_nanos(u64::MAX));
        let wire = postcard::to_stdvec(&one).unwrap();
        assert_eq!(postcard::from_bytes::<Histogram>(&wire).unwrap(), one);
    }

    #[test]
    fn an_empty_one_is_all_zeros() {
        let empty = Histogram::default();
        assert_eq!((empty.count(), empty.p50(), empty.mean()), (0, Duration::ZERO, Duration::ZERO));
    }

    #[test]
    fn counts_within_a_power_of_two_are_exact() {
        let histogram = of(1..=4096);
        for power in 0..=12 {
            assert_eq!(histogram.count_within(Duration::from_nanos(1 << power)), 1 << power);
        }
    }
}
