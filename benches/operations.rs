//! One process's operations as criterion sees them: `cargo bench --bench operations`.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use inplace::codec::Serde;
use inplace::connector::ShmConnector;
use inplace::{Lifespan, Region, RegionOptions, Store, storable};

const SIZES: [usize; 4] = [64, 4 << 10, 64 << 10, 1 << 20];

#[storable]
struct Small {
    id: u64,
    position: [f64; 3],
    name: String,
}

fn small() -> Small {
    Small { id: 7, position: [1.0, 2.0, 3.0], name: "about 64 bytes in all".into() }
}

fn region() -> Region {
    let options = RegionOptions::new().capacity(1 << 30).lifespan(Lifespan::Anonymous);
    options.create("operations").expect("an anonymous region of 1 GiB of address space")
}

fn bytes(criterion: &mut Criterion) {
    let region = region();
    for size in SIZES {
        let bytes = vec![7_u8; size];
        let mut group = criterion.benchmark_group("bytes");
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_with_input(BenchmarkId::new("put and evict", size), &bytes, |bench, bytes| {
            bench.iter(|| {
                let key = region.put(black_box(bytes)).unwrap();
                region.evict(key).unwrap()
            });
        });
        let key = region.put(&bytes).unwrap();
        group.bench_function(BenchmarkId::new("get", size), |bench| {
            bench.iter(|| drop(black_box(region.get(black_box(key)).unwrap())));
        });
        group.bench_function(BenchmarkId::new("take", size), |bench| {
            let put = || region.put(&bytes).unwrap();
            bench.iter_batched(
                put,
                |key| region.take(key).unwrap().is_some(),
                BatchSize::LargeInput,
            );
        });
        group.bench_function(BenchmarkId::new("evict", size), |bench| {
            let put = || region.put(&bytes).unwrap();
            bench.iter_batched(put, |key| region.evict(key).unwrap(), BatchSize::LargeInput);
        });
        group.finish();
        region.evict(key).unwrap();
    }
    let key = region.put(b"pinned once more").unwrap();
    let view = region.get(key).unwrap().expect("just put");
    criterion.bench_function("pin once more", |bench| bench.iter(|| drop(black_box(view.clone()))));
}

fn values(criterion: &mut Criterion) {
    let store = Store::builder("operations").connector(ShmConnector::new(region())).open().unwrap();
    let value = small();
    criterion.bench_function("typed: put and evict", |bench| {
        bench.iter(|| {
            let key = store.put(black_box(&value)).unwrap();
            store.evict(key).unwrap()
        });
    });
    let key = store.put(&value).unwrap();
    criterion.bench_function("typed: get", |bench| {
        bench.iter(|| store.get::<Small>(black_box(key)).unwrap().expect("there").id.to_native());
    });
    let proxy = store.proxy(&value).unwrap();
    criterion.bench_function("typed: resolved proxy", |bench| {
        bench.iter(|| black_box(&proxy).position[0].to_native());
    });
    let decoded = store.put_as(Serde, &vec![String::from("decoded"); 100]).unwrap();
    criterion.bench_function("decoded value: cache hit", |bench| {
        bench.iter(|| {
            store.get_as::<Serde, Vec<String>>(black_box(decoded)).unwrap().expect("there").len()
        });
    });
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(600))
        .configure_from_args();
    bytes(&mut criterion);
    values(&mut criterion);
    criterion.final_summary();
}
