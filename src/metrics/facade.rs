//! The same figures for whatever recorder the program has installed behind the `metrics` facade.

use std::time::Duration;

use ::metrics::{counter, histogram};

use crate::metrics::store::{COUNTERS, ERRORS, ITEMS, LATENCY};
use crate::metrics::{Counter, Operation};

/// Handles of the recorder that was installed when the store was opened.
pub(super) struct Facade {
    operations: [Handles; Operation::ALL.len()],
    counters: [::metrics::Counter; Counter::ALL.len()],
}

struct Handles {
    seconds: ::metrics::Histogram,
    items: ::metrics::Counter,
    errors: ::metrics::Counter,
}

impl Facade {
    pub(super) fn new(store: &str) -> Self {
        let handles = |operation: Operation| {
            let labels = [
                ::metrics::Label::new("store", store.to_owned()),
                ::metrics::Label::new("operation", operation.as_str()),
            ];
            Handles {
                seconds: histogram!(LATENCY, labels.iter()),
                items: counter!(ITEMS, labels.iter()),
                errors: counter!(ERRORS, labels.iter()),
            }
        };
        let total = |counter: Counter| {
            let labels = [::metrics::Label::new("store", store.to_owned())];
            counter!(COUNTERS[counter as usize].0, labels.iter())
        };
        Self { operations: Operation::ALL.map(handles), counters: Counter::ALL.map(total) }
    }

    pub(super) fn record(
        &self,
        operation: Operation,
        elapsed: Duration,
        (items, is_error): (u64, bool),
    ) {
        let handles = &self.operations[operation as usize];
        handles.seconds.record(elapsed.as_secs_f64());
        handles.items.increment(items);
        if is_error {
            handles.errors.increment(1);
        }
    }

    pub(super) fn add(&self, counter: Counter, by: u64) {
        self.counters[counter as usize].increment(by);
    }
}

impl std::fmt::Debug for Facade {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facade").finish_non_exhaustive()
    }
}
