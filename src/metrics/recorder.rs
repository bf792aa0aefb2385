//! Where a store counts: one shard for most threads, in memory that a fork wipes.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use crate::metrics::buckets::{BUCKETS, bucket};
use crate::metrics::{Histogram, Operation, OperationMetrics};
use crate::sync::unmodelled::AtomicU32;
use crate::sync::{AtomicU64, Ordering};
use crate::sys::wiped::WipedWords;

const SHARDS_MAX: usize = 16;

/// Behind the buckets of an operation.
const SUM: usize = BUCKETS;
const LONGEST: usize = BUCKETS + 1;
const ERRORS: usize = BUCKETS + 2;
/// Objects beyond one per call; of an empty batch there is one less.
const ITEMS: usize = BUCKETS + 3;
/// Words per operation: whole cache lines.
const OPERATION: usize = (BUCKETS + 4).next_multiple_of(8);

const COUNTERS: usize = OPERATION * Operation::ALL.len();
const TYPES: usize = COUNTERS + 8;
const PER_TYPE: usize = 4;

/// What a store counts beside its operations.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Counter {
    Hits,
    Misses,
    CacheHits,
    CacheMisses,
    BytesPut,
    BytesGot,
}

impl Counter {
    #[cfg(feature = "metrics")]
    pub(super) const ALL: [Self; 6] = [
        Self::Hits,
        Self::Misses,
        Self::CacheHits,
        Self::CacheMisses,
        Self::BytesPut,
        Self::BytesGot,
    ];
}

/// What a store counts of each type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum TypeCounter {
    Puts,
    BytesPut,
    Gets,
    BytesGot,
}

/// Counts the operations of one store in this process. Nobody waits; what is read while others count is of no one moment.
#[derive(Debug)]
pub(crate) struct Recorder {
    words: WipedWords,
    shards: usize,
    shard: usize,
    types: usize,
    #[cfg(feature = "metrics")]
    facade: super::facade::Facade,
}

impl Recorder {
    /// Counts nothing yet. `types` is how many types are told apart.
    pub(crate) fn new(store: &str, types: usize) -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = cores.clamp(1, SHARDS_MAX).next_power_of_two();
        // Shards share no page, and so no line.
        let shard = (TYPES + types * PER_TYPE).next_multiple_of(512);
        let _named_by_the_facade = store;
        Ok(Self {
            words: WipedWords::new(shards * shard)?,
            shards,
            shard,
            types,
            #[cfg(feature = "metrics")]
            facade: super::facade::Facade::new(store),
        })
    }

    /// One call of an operation on so many objects.
    pub(crate) fn record(
        &self,
        operation: Operation,
        elapsed: Duration,
        (items, is_error): (u64, bool),
    ) {
        let nanoseconds = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let start = self.mine() + operation as usize * OPERATION;
        self.add_at(start + bucket(nanoseconds), 1);
        self.add_at(start + SUM, nanoseconds);
        if items != 1 {
            // Of most calls there is one, which their number tells.
            self.add_at(start + ITEMS, items.wrapping_sub(1));
        }
        if is_error {
            self.add_at(start + ERRORS, 1);
        }
        let longest = &self.words[start + LONGEST];
        if longest.load(Ordering::Relaxed) < nanoseconds {
            longest.fetch_max(nanoseconds, Ordering::Relaxed);
        }
        #[cfg(feature = "metrics")]
        self.facade.record(operation, elapsed, (items, is_error));
    }

    pub(crate) fn add(&self, counter: Counter, by: u64) {
        self.add_at(self.mine() + COUNTERS + counter as usize, by);
        #[cfg(feature = "metrics")]
        self.facade.add(counter, by);
    }

    /// Counts for the type at a place of the store's table; none for one that found no place.
    pub(crate) fn add_to_type(&self, place: usize, counter: TypeCounter, by: u64) {
        if place < self.types {
            self.add_at(self.mine() + TYPES + place * PER_TYPE + counter as usize, by);
        }
    }

    pub(crate) fn operations(&self) -> Vec<OperationMetrics> {
        let counted = Operation::ALL.into_iter().map(|operation| self.operation(operation));
        counted.filter(|operation| operation.latency.count() > 0).collect()
    }

    fn operation(&self, operation: Operation) -> OperationMetrics {
        let start = operation as usize * OPERATION;
        let buckets = (0..BUCKETS).map(|at| (at as u16, self.sum(start + at)));
        let longest = self.each(start + LONGEST).max().unwrap_or(0);
        let latency = Histogram::from_parts(buckets, self.sum(start + SUM), longest);
        OperationMetrics {
            operation,
            items: latency.count().wrapping_add(self.sum(start + ITEMS)),
            errors: self.sum(start + ERRORS),
            latency,
        }
    }

    pub(crate) fn total(&self, counter: Counter) -> u64 {
        self.sum(COUNTERS + counter as usize)
    }

    /// What was counted of the type at a place of the store's table.
    pub(crate) fn type_total(&self, place: usize, counter: TypeCounter) -> u64 {
        self.sum(TYPES + place * PER_TYPE + counter as usize)
    }

    #[inline]
    fn add_at(&self, at: usize, by: u64) {
        self.words[at].fetch_add(by, Ordering::Relaxed);
    }

    fn sum(&self, at: usize) -> u64 {
        self.each(at).fold(0, u64::wrapping_add)
    }

    fn each(&self, at: usize) -> impl Iterator<Item = u64> {
        let word = move |shard| &self.words[shard * self.shard + at];
        (0..self.shards).map(word).map(|word: &AtomicU64| word.load(Ordering::Relaxed))
    }

    /// Where this thread's shard starts.
    #[inline]
    fn mine(&self) -> usize {
        thread_number() as usize % self.shards * self.shard
    }
}

/// Numbers of threads, in the order of their first count.
fn thread_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local! {
        static NUMBER: Cell<Option<u32>> = const { Cell::new(None) };
    }
    // A thread at its end, whose locals are gone, counts in the first shard.
    let number = NUMBER.try_with(|number| {
        number.get().unwrap_or_else(|| {
            let mine = NEXT.fetch_add(1, Ordering::Relaxed);
            number.set(Some(mine));
            mine
        })
    });
    number.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_lost_between_threads() {
        let recorder = Recorder::new("threads", 2).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..8_u64 {
                let recorder = &recorder;
                scope.spawn(move || {
                    for call in 0..1000 {
                        let elapsed = Duration::from_nanos(thread * 1000 + call);
                        recorder.record(Operation::Get, elapsed, (2, call % 10 == 0));
                        recorder.add(Counter::Hits, 3);
                        recorder.add_to_type(1, TypeCounter::Gets, 1);
                        recorder.add_to_type(2, TypeCounter::Gets, 1);
                    }
                });
            }
        });
        let [gets] = recorder.operations().try_into().unwrap();
        assert_eq!((gets.operation, gets.latency.count()), (Operation::Get, 8000));
        assert_eq!((gets.items, gets.errors), (16_000, 800));
        assert_eq!(gets.latency.max(), Duration::from_nanos(7999));
        assert_eq!(gets.latency.sum(), Duration::from_nanos((0..8000).sum()));
        assert_eq!(recorder.total(Counter::Hits), 24_000);
        assert_eq!(recorder.type_total(1, TypeCounter::Gets), 8000);
        assert_eq!(recorder.type_total(0, TypeCounter::Gets), 0);
    }
}
