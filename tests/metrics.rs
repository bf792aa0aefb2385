//! What a store counts of itself, and how it is shown.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use inplace::codec::{Raw, Serde};
use inplace::connector::{LocalConnector, ShmConnector};
use inplace::metrics::{Expose, Exposition, Family, Kind, Operation, StoreMetrics};
use inplace::{Error, Proxy, ProxyOptions, RegionOptions, Store};

mod support;
use support::in_child;

fn counted(name: &str) -> Store {
    let region = RegionOptions::new().capacity(4 << 20).anonymous().unwrap();
    Store::builder(name).connector(ShmConnector::new(region)).metrics(true).open().unwrap()
}

fn calls(metrics: &StoreMetrics) -> BTreeMap<Operation, (u64, u64, u64)> {
    let of = metrics.operations.iter();
    of.map(|found| (found.operation, (found.latency.count(), found.items, found.errors))).collect()
}

#[test]
fn nothing_is_counted_unless_it_is_asked_for() {
    let store = Store::builder("uncounted").connector(LocalConnector::new()).open().unwrap();
    let key = store.put(&1_u8).unwrap();
    assert!(store.get::<u8>(key).unwrap().is_some());
    assert!(store.metrics().is_none());
}

#[test]
fn every_operation_is_counted_under_its_name_with_its_objects_and_errors() {
    let store = counted("operations");
    let key = store.put(&1_u32).unwrap();
    let batch = store.put_batch(&[1_u32, 2, 3]).unwrap();
    assert!(store.get::<u32>(key).unwrap().is_some());
    assert!(store.get::<String>(key).is_err());
    assert_eq!(store.get_batch::<u32>(&batch).unwrap().len(), 3);
    assert!(store.exists(key).unwrap());
    assert_eq!(store.exists_batch(&batch).unwrap(), [true; 3]);
    let lazy = store.proxy_from_key::<u32>(key);
    assert_eq!(lazy.to_native(), 1);
    assert_eq!(lazy.to_native(), 1, "resolved: no operation");
    assert!(store.take::<u32>(key).unwrap().is_some());
    assert!(lazy.clone().into_view().is_ok());
    assert!(store.proxy_from_key::<u32>(key).resolve().is_err());
    assert_eq!(store.take_batch::<u32>(&batch[..2]).unwrap().len(), 2);
    assert!(store.evict(batch[2]).unwrap());
    assert_eq!(store.evict_batch(&batch).unwrap(), 0);

    let metrics = store.metrics().unwrap();
    let expected = [
        (Operation::Put, (1, 1, 0)),
        (Operation::PutBatch, (1, 3, 0)),
        (Operation::Get, (2, 2, 1)),
        (Operation::GetBatch, (1, 3, 0)),
        (Operation::Take, (1, 1, 0)),
        (Operation::TakeBatch, (1, 2, 0)),
        (Operation::Evict, (1, 1, 0)),
        (Operation::EvictBatch, (1, 3, 0)),
        (Operation::Exists, (1, 1, 0)),
        (Operation::ExistsBatch, (1, 3, 0)),
        (Operation::Resolve, (2, 2, 1)),
    ];
    assert_eq!(calls(&metrics), BTreeMap::from(expected));
    // Found: get, get of another type, three in a batch, resolve, take, two taken.
    assert_eq!((metrics.hits, metrics.misses), (9, 1));
    assert_eq!((metrics.bytes_put, metrics.bytes_got), (16, 36));
    assert_eq!(metrics.hit_rate(), Some(0.9));
    let [numbers] = &metrics.types[..] else { panic!("{:?}", metrics.types) };
    assert_eq!(numbers.name, "u32");
    assert_eq!((numbers.puts, numbers.bytes_put), (4, 16));
    assert_eq!((numbers.gets, numbers.bytes_got), (8, 32), "what was of another type is not got");
}

#[test]
fn a_promise_that_is_waited_for_counts_how_long() {
    let store = counted("waiting");
    let region = store.connector().as_shm().unwrap().region().unwrap().clone();
    let key = region.reserve().unwrap();
    let proxy = store.with_codec(Raw).proxy_from_key::<[u8]>(key).wait_on_resolve();
    std::thread::scope(|scope| {
        scope.spawn(|| assert_eq!(*proxy, *b"late"));
        std::thread::sleep(Duration::from_millis(30));
        region.set(key, b"late").unwrap();
    });
    let broken = region.reserve().unwrap();
    region.fail(broken).unwrap();
    let failed = store.with_codec(Raw).proxy_from_key::<[u8]>(broken).wait_on_resolve();
    assert!(matches!(failed.resolve(), Err(Error::Broken { .. })));
    let waited = store.wait_as::<Raw, [u8]>(key, None).unwrap();
    assert_eq!(*waited, *b"late");
    assert!(store.wait_as::<Raw, [u8]>(broken, Some(Duration::ZERO)).is_err());
    let metrics = store.metrics().unwrap();
    let wait = metrics.operation(Operation::Wait);
    assert_eq!((wait.latency.count(), wait.errors), (2, 1));
    let resolve = metrics.operation(Operation::Resolve);
    assert_eq!((resolve.latency.count(), resolve.errors), (2, 1));
    assert!(resolve.latency.max() >= Duration::from_millis(20), "{:?}", resolve.latency.max());
    assert_eq!((metrics.hits, metrics.misses), (2, 0), "broken is neither");
}

#[test]
fn latencies_are_those_a_clock_beside_them_shows() {
    let store = counted("clocked");
    let value = vec![0_u8; 1 << 20];
    let mut outside = Duration::ZERO;
    for _ in 0..50 {
        let begin = Instant::now();
        let key = store.put(&value).unwrap();
        outside += begin.elapsed();
        store.evict(key).unwrap();
    }
    let puts = store.metrics().unwrap().operation(Operation::Put).latency;
    assert_eq!(puts.count(), 50);
    assert!(puts.sum() <= outside && puts.sum() * 2 > outside, "{:?} {outside:?}", puts.sum());
    let quantiles = [puts.p50(), puts.p90(), puts.p99(), puts.p999(), puts.max()];
    assert!(quantiles.is_sorted(), "{quantiles:?}");
    assert!(puts.mean() <= puts.max() && puts.p50() > Duration::ZERO);
}

#[test]
fn values_made_anew_are_hits_and_misses_of_the_cache() {
    let store = counted("cached");
    let keys = store.put_batch_as(Serde, &[1_u64, 2]).unwrap();
    for _ in 0..4 {
        assert_eq!(*store.get_as::<Serde, u64>(keys[0]).unwrap().unwrap(), 1);
    }
    assert_eq!(*store.get_as::<Serde, u64>(keys[1]).unwrap().unwrap(), 2);
    let metrics = store.metrics().unwrap();
    assert_eq!((metrics.cache_hits, metrics.cache_misses), (3, 2));
    assert_eq!(metrics.cache_hit_rate(), Some(0.6));
    assert_eq!((metrics.hits, metrics.misses), (5, 0));
    let archived = counted("in place");
    let key = archived.put("in place").unwrap();
    assert!(archived.get::<str>(key).unwrap().is_some());
    assert_eq!(archived.metrics().unwrap().cache_hit_rate(), None, "nothing is made anew");
}

#[test]
fn a_populated_proxy_counts_one_object_found() {
    let store = counted("populated");
    let proxy = store.proxy_with("text", ProxyOptions::new().populate(true)).unwrap();
    assert_eq!(proxy.as_str(), "text");
    let metrics = store.metrics().unwrap();
    assert_eq!((metrics.hits, metrics.operation(Operation::Resolve).latency.count()), (1, 0));
}

#[test]
fn a_forked_child_counts_from_zero_and_the_sum_of_both_is_what_was_done() {
    let store = counted("forked");
    let key = store.put(&5_u64).unwrap();
    let mut pipe = [0; 2];
    // SAFETY: an array of two descriptors to fill.
    assert_eq!(unsafe { libc::pipe(pipe.as_mut_ptr()) }, 0);
    let code = in_child(|| {
        for _ in 0..3 {
            assert_eq!(store.get::<u64>(key).unwrap().unwrap().to_native(), 5);
        }
        let sent = postcard::to_stdvec(&store.metrics().unwrap()).unwrap();
        // SAFETY: writes bytes that live until the call returns.
        unsafe { libc::write(pipe[1], sent.as_ptr().cast(), sent.len()) };
        0
    });
    assert_eq!(code, 0);
    let mut received = vec![0; 1 << 16];
    // SAFETY: reads into bytes that live until the call returns.
    let len = unsafe { libc::read(pipe[0], received.as_mut_ptr().cast(), received.len()) };
    let theirs: StoreMetrics = postcard::from_bytes(&received[..len as usize]).unwrap();
    assert_eq!(calls(&theirs), BTreeMap::from([(Operation::Get, (3, 3, 0))]));
    assert_eq!((theirs.hits, theirs.bytes_put), (3, 0));

    let mut all = store.metrics().unwrap();
    assert_eq!(all.hits, 0, "the child's are not the parent's");
    all.merge(&theirs);
    assert_eq!((all.hits, all.bytes_put), (3, 8));
    let expected = [(Operation::Put, (1, 1, 0)), (Operation::Get, (3, 3, 0))];
    assert_eq!(calls(&all), BTreeMap::from(expected));
    assert_eq!((all.types.len(), all.types[0].puts, all.types[0].gets), (1, 1, 3));
}

#[test]
fn threads_count_beside_one_another_and_nothing_is_lost() {
    let store = counted("threads");
    let key = store.put(&1_u8).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..500 {
                    assert!(store.get::<u8>(key).unwrap().is_some());
                }
            });
        }
    });
    let metrics = store.metrics().unwrap();
    assert_eq!((metrics.hits, metrics.operation(Operation::Get).latency.count()), (3000, 3000));
}

/// A line of Prometheus's text format: name, labels, value.
fn sample(line: &str) -> (String, Vec<(String, String)>, f64) {
    let name_end = line.find(['{', ' ']).unwrap();
    let (name, mut rest) = line.split_at(name_end);
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    assert!(name.chars().all(is_name) && !name.starts_with(|c: char| c.is_ascii_digit()), "{line}");
    let mut labels = Vec::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap();
            assert!(label.chars().all(is_name), "{line}");
            let (mut value, mut chars) = (String::new(), after.char_indices());
            let end = loop {
                match chars.next().unwrap() {
                    (at, '"') => break at,
                    (_, '\\') => value.push(match chars.next().unwrap().1 {
                        'n' => '\n',
                        escaped @ ('\\' | '"') => escaped,
                        other => panic!("\\{other} in {line}"),
                    }),
                    (_, plain) => value.push(plain),
                }
            };
            labels.push((label.to_owned(), value));
            rest = &after[end + 1..];
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => break,
            }
        }
        rest = rest.strip_prefix('}').unwrap_or_else(|| panic!("{line}"));
    }
    let value = rest.strip_prefix(' ').unwrap();
    (name.to_owned(), labels, value.parse().unwrap_or_else(|_| panic!("{line}")))
}

type Samples = BTreeMap<(String, Vec<(String, String)>), f64>;

/// Parses an exposition as the format's grammar demands: each family once, with its type before its samples, no sample
/// twice, buckets that only grow.
fn parse(text: &str) -> Samples {
    let (mut seen, mut family, mut samples) = (BTreeSet::new(), None, Samples::new());
    assert!(text.is_empty() || text.ends_with('\n'));
    for line in text.lines() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            let name = help.split(' ').next().unwrap();
            assert!(seen.insert(name.to_owned()), "{name} comes twice");
        } else if let Some(kind) = line.strip_prefix("# TYPE ") {
            let (name, kind) = kind.split_once(' ').unwrap();
            assert!(seen.contains(name) && ["counter", "gauge", "histogram"].contains(&kind));
            assert!(kind != "counter" || name.ends_with("_total"), "{name}");
            family = Some((name.to_owned(), kind.to_owned()));
        } else {
            let (name, labels, value) = sample(line);
            let (family, kind) = family.as_ref().unwrap();
            let suffix = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line}"));
            let allowed: &[&str] =
                if kind == "histogram" { &["_bucket", "_sum", "_count"] } else { &[""] };
            assert!(allowed.contains(&suffix), "{line} in {family}");
            assert!(value >= 0.0);
            assert!(samples.insert((name, labels), value).is_none(), "{line} comes twice");
        }
    }
    samples
}

fn value(samples: &Samples, name: &str, labels: &[(&str, &str)]) -> f64 {
    let labels = labels.iter().map(|(label, value)| ((*label).into(), (*value).into())).collect();
    samples[&(name.to_owned(), labels)]
}

#[test]
fn the_text_is_what_prometheus_reads() {
    let name = "quote \" backslash \\ line\nend";
    let store = Store::builder(name).connector(LocalConnector::new()).metrics(true).open().unwrap();
    let keys = store.put_batch(&[1_u8, 2, 3]).unwrap();
    for key in &keys {
        assert!(store.get::<u8>(*key).unwrap().is_some());
    }
    let metrics = store.metrics().unwrap();
    let samples = parse(&metrics.to_prometheus());
    assert_eq!(value(&samples, "inplace_store_hits_total", &[("store", name)]), 3.0);
    assert_eq!(value(&samples, "inplace_store_put_bytes_total", &[("store", name)]), 3.0);
    let get = [("store", name), ("operation", "get")];
    assert_eq!(value(&samples, "inplace_store_operation_seconds_count", &get), 3.0);
    let sum = value(&samples, "inplace_store_operation_seconds_sum", &get);
    let expected = metrics.operation(Operation::Get).latency.sum().as_secs_f64();
    assert!((sum - expected).abs() < 1e-12);
    let batch = [("store", name), ("operation", "put_batch")];
    assert_eq!(value(&samples, "inplace_store_operation_items_total", &batch), 3.0);
    let typed = [("store", name), ("type", "u8")];
    assert_eq!(value(&samples, "inplace_store_type_puts_total", &typed), 3.0);

    let buckets: Vec<(f64, f64)> = samples
        .iter()
        .filter(|((name, labels), _)| {
            name == "inplace_store_operation_seconds_bucket"
                && labels.contains(&("operation".into(), "get".into()))
        })
        .map(|((_, labels), count)| {
            let bound = labels.iter().find(|(label, _)| label == "le").unwrap().1.as_str();
            (if bound == "+Inf" { f64::INFINITY } else { bound.parse().unwrap() }, *count)
        })
        .collect();
    let mut sorted = buckets.clone();
    sorted.sort_by(|a, b| a.0.total_cmp(&b.0));
    assert!(sorted.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1));
    assert_eq!(sorted.last(), Some(&(f64::INFINITY, 3.0)));
}

#[test]
fn several_stores_and_a_region_share_one_text_with_each_family_once() {
    struct Jobs;
    impl Expose for Jobs {
        fn expose(&self, to: &mut Exposition) {
            to.sample(Family::new("jobs", Kind::Gauge, "No \\ \n trouble."), &[], 2.5);
        }
    }
    let stores = [counted("one"), counted("two")];
    for store in &stores {
        store.put("text").unwrap();
    }
    let region = stores[0].connector().as_shm().unwrap().region().unwrap();
    let exposition = Exposition::new()
        .with(&stores[0].metrics().unwrap())
        .with(&stores[1].metrics().unwrap())
        .with(&region.metrics().unwrap())
        .with(&Jobs);
    let samples = parse(&exposition.to_string());
    for store in ["one", "two"] {
        let labels = [("store", store), ("operation", "put")];
        assert_eq!(value(&samples, "inplace_store_operation_seconds_count", &labels), 1.0);
    }
    assert_eq!(value(&samples, "inplace_region_objects", &[("region", "anonymous")]), 1.0);
    assert_eq!(value(&samples, "inplace_region_puts_total", &[("region", "anonymous")]), 1.0);
    assert_eq!(value(&samples, "jobs", &[]), 2.5);
    assert_eq!(Exposition::new().to_string(), "");
}

#[test]
fn a_closed_store_still_tells_what_it_counted() {
    let store = counted("closed");
    let proxy: Proxy<u8> = store.proxy(&1).unwrap();
    store.close().unwrap();
    assert!(store.put(&2_u8).is_err() && proxy.resolve().is_err());
    let metrics = store.metrics().unwrap();
    let expected = [(Operation::Put, (2, 2, 1)), (Operation::Resolve, (1, 1, 1))];
    assert_eq!(calls(&metrics), BTreeMap::from(expected));
    assert_eq!((metrics.hits, metrics.misses, metrics.hit_rate()), (0, 0, None));
}
