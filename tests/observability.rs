//! What other programs' tools are told: the `metrics` facade and `tracing`, each with the cargo feature of its name.
//!
//! ```text
//! cargo test --features metrics,tracing --test observability
//! ```
#![cfg(all(feature = "metrics", feature = "tracing"))]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex};

use inplace::Store;
use inplace::connector::LocalConnector;
use metrics::{
    Counter, CounterFn, Gauge, Histogram, HistogramFn, Key, KeyName, Metadata, Recorder,
    SharedString, Unit,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Subscriber};

/// Sums by name and labels.
#[derive(Clone, Default)]
struct Sums(Arc<Mutex<BTreeMap<String, f64>>>);

struct Sum(Sums, String);

impl Sum {
    fn add(&self, by: f64) {
        *self.0.0.lock().unwrap().entry(self.1.clone()).or_default() += by;
    }
}

impl CounterFn for Sum {
    fn increment(&self, value: u64) {
        self.add(value as f64);
    }

    fn absolute(&self, _: u64) {
        unreachable!("counters are only incremented");
    }
}

impl HistogramFn for Sum {
    fn record(&self, value: f64) {
        assert!((0.0..10.0).contains(&value), "seconds");
        self.add(1.0);
    }
}

impl Sums {
    fn of(&self, key: &Key) -> Arc<Sum> {
        let labels: Vec<_> =
            key.labels().map(|label| format!("{}={}", label.key(), label.value())).collect();
        Arc::new(Sum(self.clone(), format!("{} {}", key.name(), labels.join(" "))))
    }

    fn get(&self, key: &str) -> Option<f64> {
        self.0.lock().unwrap().get(key).copied()
    }
}

impl Recorder for Sums {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        Counter::from_arc(self.of(key))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::from_arc(self.of(key))
    }
}

#[test]
fn the_facades_recorder_hears_of_every_operation_of_a_counted_store() {
    let sums = Sums::default();
    let open = |name: &str, counted| {
        let builder = Store::builder(name).connector(LocalConnector::new());
        builder.metrics(counted).open().unwrap()
    };
    metrics::with_local_recorder(&sums, || {
        let (counted, uncounted) = (open("counted", true), open("uncounted", false));
        for store in [&counted, &uncounted] {
            let keys = store.put_batch(&[1_u32, 2]).unwrap();
            assert!(store.get::<u32>(keys[0]).unwrap().is_some());
            assert!(store.get::<String>(keys[0]).is_err());
            store.evict(keys[0]).unwrap();
            assert!(store.get::<u32>(keys[0]).unwrap().is_none());
        }
    });
    let of = |name: &str, operation: &str| {
        sums.get(&format!("inplace_store_{name} store=counted operation={operation}"))
    };
    assert_eq!(of("operation_seconds", "get"), Some(3.0), "calls");
    assert_eq!(of("operation_errors_total", "get"), Some(1.0));
    assert_eq!(of("operation_items_total", "put_batch"), Some(2.0));
    assert_eq!(sums.get("inplace_store_hits_total store=counted"), Some(2.0));
    assert_eq!(sums.get("inplace_store_misses_total store=counted"), Some(1.0));
    assert_eq!(sums.get("inplace_store_put_bytes_total store=counted"), Some(8.0));
    let of_the_other = |key: &String| key.contains("uncounted");
    assert!(!sums.0.lock().unwrap().keys().any(of_the_other));
}

/// Fields of the events it was sent.
#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<BTreeMap<&'static str, String>>>>);

impl Subscriber for Heard {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "inplace" && *metadata.level() <= Level::TRACE
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        struct Fields(BTreeMap<&'static str, String>);
        impl Visit for Fields {
            fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
                self.0.insert(field.name(), format!("{value:?}").trim_matches('"').to_owned());
            }
        }
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }

    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[test]
fn a_subscriber_hears_of_every_operation_with_its_key_and_its_error() {
    let heard = Heard::default();
    let key = tracing::subscriber::with_default(heard.clone(), || {
        let store = Store::builder("traced").connector(LocalConnector::new()).open().unwrap();
        let key = store.put(&1_u32).unwrap();
        assert!(store.get::<String>(key).is_err());
        assert_eq!(store.proxy_from_key::<u32>(key).to_native(), 1);
        assert_eq!(store.evict_batch(&[key, key]).unwrap(), 1);
        key.to_string()
    });
    let events = heard.0.lock().unwrap();
    let told: Vec<_> = events
        .iter()
        .map(|event| {
            assert_eq!(event["store"], "traced");
            assert!(event["nanoseconds"].parse::<u64>().is_ok(), "{event:?}");
            let key = event.get("key").map_or("", String::as_str);
            (event["operation"].as_str(), key, event["items"].as_str())
        })
        .collect();
    let key = key.as_str();
    let expected =
        [("put", "", "1"), ("get", key, "1"), ("resolve", key, "1"), ("evict_batch", "", "2")];
    assert_eq!(told, expected);
    assert!(events[1]["error"].contains("u32") && !events[2].contains_key("error"));
}
