//! What a store has counted, taken at one moment.

use serde::{Deserialize, Serialize};

use crate::metrics::exposition::{Expose, Exposition, Family, Kind};
use crate::metrics::{Histogram, Operation};

/// What a store has counted in one process. Merges with those of other processes, and travels through serde.
///
/// Objects found and not found are counted one by one, also those of a batch, and by whichever operation: get, take,
/// resolve, wait.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StoreMetrics {
    /// The store's name.
    pub store: String,
    /// Each operation that was called.
    pub operations: Vec<OperationMetrics>,
    /// Objects that were found.
    pub hits: u64,
    /// Objects that were not there.
    pub misses: u64,
    /// Values that a codec makes anew, and that the cache had.
    pub cache_hits: u64,
    /// Values that a codec had to make anew.
    pub cache_misses: u64,
    /// Bytes of objects that were put.
    pub bytes_put: u64,
    /// Bytes of objects that were found.
    pub bytes_got: u64,
    /// Each type that was put or found.
    pub types: Vec<TypeMetrics>,
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OperationMetrics {
    /// Which.
    pub operation: Operation,
    /// How many objects it was called for: as many as calls, but for batches.
    pub items: u64,
    /// How many calls were errors.
    pub errors: u64,
    /// How long the calls took, errors too; their number is its [`count`](Histogram::count).
    pub latency: Histogram,
}

/// The objects of one type. All values of [`Serde`](crate::codec::Serde) are of one type here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TypeMetrics {
    /// The type's name; its fingerprint where no process told the name.
    pub name: String,
    /// Objects that were put.
    pub puts: u64,
    /// Their bytes.
    pub bytes_put: u64,
    /// Objects that were found.
    pub gets: u64,
    /// Their bytes.
    pub bytes_got: u64,
}

impl StoreMetrics {
    pub(crate) fn of(store: &str) -> Self {
        Self { store: store.to_owned(), ..Self::default() }
    }

    /// An operation; all zeros when it was never called.
    #[must_use]
    pub fn operation(&self, operation: Operation) -> OperationMetrics {
        let found = self.operations.iter().find(|found| found.operation == operation);
        found.cloned().unwrap_or_else(|| OperationMetrics {
            operation,
            items: 0,
            errors: 0,
            latency: Histogram::default(),
        })
    }

    /// The part of the objects asked for that was there, if any was asked for.
    #[must_use]
    pub fn hit_rate(&self) -> Option<f64> {
        rate(self.hits, self.misses)
    }

    /// The part of the values made anew that the cache had, if there were any.
    #[must_use]
    pub fn cache_hit_rate(&self) -> Option<f64> {
        rate(self.cache_hits, self.cache_misses)
    }

    /// Adds what another process, or another store, has counted.
    ///
    /// ```
    /// use inplace::Store;
    /// use inplace::connector::LocalConnector;
    /// use inplace::metrics::StoreMetrics;
    ///
    /// let store = Store::builder("merged").connector(LocalConnector::new()).metrics(true).open()?;
    /// store.put("here")?;
    /// let mut all = store.metrics().expect("asked for");
    /// let from_elsewhere = serde_json::to_string(&all).unwrap();
    /// all.merge(&serde_json::from_str::<StoreMetrics>(&from_elsewhere).unwrap());
    /// assert_eq!(all.types[0].puts, 2);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    pub fn merge(&mut self, other: &Self) {
        for theirs in &other.operations {
            match self.operations.iter_mut().find(|mine| mine.operation == theirs.operation) {
                Some(mine) => {
                    mine.items = mine.items.saturating_add(theirs.items);
                    mine.errors = mine.errors.saturating_add(theirs.errors);
                    mine.latency.merge(&theirs.latency);
                }
                None => self.operations.push(theirs.clone()),
            }
        }
        self.operations.sort_by_key(|operation| operation.operation);
        for (mine, theirs) in [
            (&mut self.hits, other.hits),
            (&mut self.misses, other.misses),
            (&mut self.cache_hits, other.cache_hits),
            (&mut self.cache_misses, other.cache_misses),
            (&mut self.bytes_put, other.bytes_put),
            (&mut self.bytes_got, other.bytes_got),
        ] {
            *mine = mine.saturating_add(theirs);
        }
        for theirs in &other.types {
            match self.types.iter_mut().find(|mine| mine.name == theirs.name) {
                Some(mine) => mine.merge(theirs),
                None => self.types.push(theirs.clone()),
            }
        }
    }

    /// The figures in Prometheus's text format. For those of several stores and regions together use [`Exposition`].
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        Exposition::new().with(self).to_string()
    }
}

impl TypeMetrics {
    pub(crate) fn of(name: String, puts: (u64, u64), gets: (u64, u64)) -> Self {
        Self { name, puts: puts.0, bytes_put: puts.1, gets: gets.0, bytes_got: gets.1 }
    }

    fn merge(&mut self, other: &Self) {
        self.puts = self.puts.saturating_add(other.puts);
        self.bytes_put = self.bytes_put.saturating_add(other.bytes_put);
        self.gets = self.gets.saturating_add(other.gets);
        self.bytes_got = self.bytes_got.saturating_add(other.bytes_got);
    }
}

fn rate(yes: u64, no: u64) -> Option<f64> {
    let all = yes.saturating_add(no);
    (all > 0).then(|| yes as f64 / all as f64)
}

pub(super) const LATENCY: &str = "inplace_store_operation_seconds";
pub(super) const ITEMS: &str = "inplace_store_operation_items_total";
pub(super) const ERRORS: &str = "inplace_store_operation_errors_total";
/// In the order of the recorder's counters.
pub(super) const COUNTERS: [(&str, &str); 6] = [
    ("inplace_store_hits_total", "Objects that were found."),
    ("inplace_store_misses_total", "Objects that were not there."),
    ("inplace_store_cache_hits_total", "Values made anew that the cache had."),
    ("inplace_store_cache_misses_total", "Values that had to be made anew."),
    ("inplace_store_put_bytes_total", "Bytes of objects that were put."),
    ("inplace_store_got_bytes_total", "Bytes of objects that were found."),
];

impl Expose for StoreMetrics {
    fn expose(&self, to: &mut Exposition) {
        let store = self.store.as_str();
        for found in &self.operations {
            let labels = [("store", store), ("operation", found.operation.as_str())];
            let latency = Family::new(LATENCY, Kind::Histogram, "How long calls took.");
            to.histogram(latency, &labels, &found.latency);
            let items = Family::new(ITEMS, Kind::Counter, "Objects that calls were for.");
            to.sample(items, &labels, found.items as f64);
            let errors = Family::new(ERRORS, Kind::Counter, "Calls that were errors.");
            to.sample(errors, &labels, found.errors as f64);
        }
        let totals = [
            self.hits,
            self.misses,
            self.cache_hits,
            self.cache_misses,
            self.bytes_put,
            self.bytes_got,
        ];
        for ((name, text), total) in COUNTERS.into_iter().zip(totals) {
            to.sample(Family::new(name, Kind::Counter, text), &[("store", store)], total as f64);
        }
        for found in &self.types {
            let labels = [("store", store), ("type", found.name.as_str())];
            for (name, text, total) in [
                ("inplace_store_type_puts_total", "Objects put of a type.", found.puts),
                ("inplace_store_type_put_bytes_total", "Their bytes.", found.bytes_put),
                ("inplace_store_type_gets_total", "Objects found of a type.", found.gets),
                ("inplace_store_type_got_bytes_total", "Their bytes.", found.bytes_got),
            ] {
                to.sample(Family::new(name, Kind::Counter, text), &labels, total as f64);
            }
        }
    }
}
