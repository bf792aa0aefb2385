//! Values of types, through a store.

use std::hint::black_box;
use std::rc::Rc;

use inplace::{Key, ProxyOptions, Store};

use crate::harness::{Baseline, Case, Effort, Trial, time_each};
use crate::one_process::{MANY, SIZES, batch, memcpy, region};

pub(crate) fn cases(effort: &Effort) -> Vec<Case> {
    let mut cases = vec![
        Case::new(("put_small_typed", 64), "fetch_add", || put_small(&store(64))),
        Case::new(("get_small_typed", 64), "fetch_add", || get_small(&store(64))),
        Case::new(("put_small_counted", 64), "fetch_add", || put_small(&counted())),
        Case::new(("get_small_counted", 64), "fetch_add", || get_small(&counted())),
        Case::new(("deref", 64), "fetch_add", deref),
        Case::new(("put_typed", 64 << 20), "memcpy", || put(64 << 20)),
    ];
    let sizes = SIZES.into_iter().filter(|&bytes| bytes <= effort.largest);
    cases.extend(sizes.map(|bytes| Case::new(("put_typed", bytes), "memcpy", move || put(bytes))));
    let sizes = || SIZES.into_iter().filter(|&bytes| bytes <= effort.largest);
    cases.extend(sizes().map(|bytes| Case::new(("own", bytes), "put_typed", move || own(bytes))));
    cases.extend(
        sizes().map(|bytes| Case::new(("own_update", bytes), "put_typed", move || update(bytes))),
    );
    cases.extend(
        SIZES.map(|bytes| Case::new(("get_typed", bytes), "fetch_add", move || get(bytes))),
    );
    cases
}

/// 64 bytes, archived.
#[inplace::storable]
struct Sample {
    position: [f64; 3],
    velocity: [f64; 3],
    time: u64,
    channel: u32,
    flags: u32,
}

fn sample() -> Sample {
    Sample { position: [1.0, 2.0, 3.0], velocity: [0.1, 0.2, 0.3], time: 7, channel: 3, flags: 1 }
}

fn store(bytes: usize) -> Store {
    Store::builder("bench").connector(region(bytes)).open().expect("the region is there")
}

/// The same with metrics on.
fn counted() -> Store {
    let builder = Store::builder("counted").connector(region(64)).metrics(true);
    builder.open().expect("the region is there")
}

/// As many numbers as make an object of that size.
fn numbers(bytes: usize) -> Vec<f64> {
    (0..bytes / 8).map(|index| index as f64).collect()
}

fn put(bytes: usize) -> Trial {
    let (store, numbers, batch) = (store(bytes), numbers(bytes), batch(bytes));
    let copied =
        Rc::new(numbers.iter().flat_map(|number| number.to_ne_bytes()).collect::<Vec<u8>>());
    let mut keys = vec![Key::new(0, 0); batch];
    let subject = Box::new(move || {
        let time = time_each(batch, |index| {
            keys[index] = store.put(black_box(&numbers)).expect("there is room");
        });
        keys.iter().rev().for_each(|key| assert!(store.evict(*key).expect("attached")));
        time
    });
    Trial { subject, baseline: Baseline::Of(memcpy(copied, batch)) }
}

/// What an owner costs: a cell to be updated in, and a view.
fn own(bytes: usize) -> Trial {
    let (store, numbers, batch) = (store(bytes), numbers(bytes), batch(bytes));
    let mut owned = Vec::with_capacity(batch);
    let subject = Box::new(move || {
        let time = time_each(batch, |_| {
            owned.push(store.own(black_box(&numbers)).expect("there is room"));
        });
        while owned.pop().is_some() {}
        time
    });
    Trial { subject, baseline: Baseline::Of(put(bytes).subject) }
}

/// What replaces a value, and evicts the one before.
fn update(bytes: usize) -> Trial {
    let (store, numbers, batch) = (store(bytes), numbers(bytes), batch(bytes));
    let mut owned = store.own(&numbers).expect("there is room");
    // Two blocks in turn, each of which is first written through the descriptor, and mapped the second time.
    (0..4).for_each(|_| owned.update(&numbers).expect("there is room"));
    let subject = Box::new(move || {
        time_each(batch, |_| owned.update(black_box(&numbers)).expect("there is room"))
    });
    Trial { subject, baseline: Baseline::Of(put(bytes).subject) }
}

fn put_small(store: &Store) -> Trial {
    let (store, sample, batch) = (store.clone(), sample(), batch(64));
    let mut keys = vec![Key::new(0, 0); batch];
    let subject = Box::new(move || {
        let time = time_each(batch, |index| {
            keys[index] = store.put(black_box(&sample)).expect("there is room");
        });
        keys.iter().rev().for_each(|key| assert!(store.evict(*key).expect("attached")));
        time
    });
    Trial { subject, baseline: Baseline::FetchAdd }
}

fn get(bytes: usize) -> Trial {
    let store = store(bytes);
    let key = store.put(&numbers(bytes)).expect("there is room");
    let subject = Box::new(move || {
        time_each(MANY, |_| {
            let view =
                store.get::<Vec<f64>>(black_box(key)).expect("attached").expect("never evicted");
            black_box(&*view);
        })
    });
    Trial { subject, baseline: Baseline::FetchAdd }
}

fn get_small(store: &Store) -> Trial {
    let store = store.clone();
    let key = store.put(&sample()).expect("there is room");
    let subject = Box::new(move || {
        time_each(MANY, |_| {
            let view =
                store.get::<Sample>(black_box(key)).expect("attached").expect("never evicted");
            black_box(&*view);
        })
    });
    Trial { subject, baseline: Baseline::FetchAdd }
}

/// What using a proxy costs once it is resolved.
fn deref() -> Trial {
    let populated = ProxyOptions::new().populate(true);
    let proxy = store(64).proxy_with(&sample(), populated).expect("there is room");
    let subject = Box::new(move || {
        time_each(MANY, |_| {
            black_box(&**black_box(&proxy));
        })
    });
    Trial { subject, baseline: Baseline::FetchAdd }
}
