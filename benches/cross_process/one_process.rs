//! Operations timed in one process, some of them with others attached or at work.

use std::fs::File;
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use inplace::connector::{Connector, ShmConnector};
use inplace::{Key, Region, RegionOptions};

use crate::harness::{Baseline, Case, Effort, Sampler, Trial, fetch_add, time_each};
use crate::partner::{Idlers, Partner};
use crate::shared::{Shared, memory_file, spin_while};

pub(crate) const SIZES: [usize; 6] = [64, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 256 << 20];
/// Operations of a few nanoseconds in one sample.
pub(crate) const MANY: usize = 1000;
/// As `pwrite` is best used: the inode's lock is not held for longer.
const PIECE: usize = 1 << 20;

pub(crate) fn cases(effort: &Effort) -> Vec<Case> {
    let sizes = || SIZES.into_iter().filter(|&bytes| bytes <= effort.largest);
    let mut cases = vec![
        Case::new(("fetch_add", 8), "fetch_add", || Trial {
            subject: fetch_add(),
            baseline: Baseline::FetchAdd,
        }),
        Case::new(("evict_16", 64), "fetch_add", || evict(64, 16)),
    ];
    cases.extend(sizes().map(|bytes| Case::new(("put", bytes), "memcpy", move || put(bytes))));
    cases.extend(
        sizes().map(|bytes| Case::new(("put_evict", bytes), "memcpy", move || put_evict(bytes))),
    );
    cases.extend(
        sizes().map(|bytes| Case::new(("put_fresh", bytes), "pwrite", move || put_fresh(bytes))),
    );
    cases.extend(SIZES.map(|bytes| Case::new(("get", bytes), "fetch_add", move || get(bytes))));
    cases.extend(sizes().map(|bytes| Case::new(("take", bytes), "fetch_add", move || take(bytes))));
    cases.extend(
        sizes().map(|bytes| Case::new(("evict", bytes), "fetch_add", move || evict(bytes, 0))),
    );
    let few = [64, 1 << 20, 256 << 20];
    cases.extend(few.map(|bytes| Case::new(("get_2", bytes), "get", move || get_2(bytes))));
    cases
}

/// How many objects of a size one sample puts: enough for the clock, few enough to stay in caches.
pub(crate) fn batch(bytes: usize) -> usize {
    (256 << 10 >> bytes.ilog2()).clamp(1, 32)
}

/// Room for a few objects of that size.
pub(crate) fn region(bytes: usize) -> ShmConnector {
    let capacity = (bytes as u64).next_multiple_of(1 << 20) * 3 + (64 << 20);
    let options = RegionOptions::new().capacity(capacity).max_objects(1 << 16);
    ShmConnector::new(options.anonymous().expect("there is memory"))
}

pub(crate) fn source(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|index| index as u8).collect()
}

/// Copies of the source into shared memory, each batch into the same places.
pub(crate) fn memcpy(source: Rc<Vec<u8>>, batch: usize) -> Sampler {
    let shared = Shared::new(source.len() * batch);
    Box::new(move || {
        time_each(batch, |index| shared.copy_in(index * source.len(), black_box(source.as_slice())))
    })
}

fn evict_all(region: &ShmConnector, keys: &[Key]) {
    for key in keys.iter().rev() {
        assert!(region.evict(*key).expect("attached"));
    }
}

fn put(bytes: usize) -> Trial {
    let (region, source, batch) = (region(bytes), Rc::new(source(bytes)), batch(bytes));
    let mut keys = vec![Key::new(0, 0); batch];
    let baseline = Baseline::Of(memcpy(source.clone(), batch));
    let subject = Box::new(move || {
        let time = time_each(batch, |index| {
            keys[index] = region.put(black_box(&source)).expect("there is room");
        });
        evict_all(&region, &keys);
        time
    });
    Trial { subject, baseline }
}

fn put_evict(bytes: usize) -> Trial {
    let (region, source) = (region(bytes), Rc::new(source(bytes)));
    let count = if bytes < 1 << 16 { 10 * batch(bytes) } else { batch(bytes) };
    let baseline = Baseline::Of({
        let (shared, source) = (Shared::new(bytes), source.clone());
        Box::new(move || time_each(count, |_| shared.copy_in(0, black_box(source.as_slice()))))
    });
    let subject = Box::new(move || {
        time_each(count, |_| {
            let key = region.put(black_box(&source)).expect("there is room");
            black_box(region.evict(key).expect("attached"));
        })
    });
    Trial { subject, baseline }
}

fn put_fresh(bytes: usize) -> Trial {
    let count = (1 << 20 >> bytes.ilog2()).clamp(1, 2048);
    let (region, source) = (region(bytes * count), Rc::new(source(bytes)));
    let mut keys = vec![Key::new(0, 0); count];
    let baseline = Baseline::Of({
        let (file, source) = (memory_file(), source.clone());
        Box::new(move || {
            let time = time_each(count, |index| write(&file, index * source.len(), &source));
            file.set_len(0).expect("a memory file shrinks");
            time
        })
    });
    let subject = Box::new(move || {
        let time = time_each(count, |index| {
            keys[index] = region.put(black_box(&source)).expect("there is room");
        });
        evict_all(&region, &keys);
        region.region().and_then(Region::trim).expect("attached");
        time
    });
    Trial { subject, baseline }
}

fn write(file: &File, at: usize, bytes: &[u8]) {
    for (index, piece) in bytes.chunks(PIECE).enumerate() {
        file.write_all_at(piece, (at + index * PIECE) as u64).expect("there is memory");
    }
}

/// Gets and drops, over and over.
fn gets(region: Rc<ShmConnector>, key: Key) -> Sampler {
    Box::new(move || {
        time_each(MANY, |_| {
            let block = region.get(black_box(key)).expect("attached").expect("never evicted");
            black_box(&*block);
        })
    })
}

fn get(bytes: usize) -> Trial {
    let region = Rc::new(region(bytes));
    let key = region.put(&source(bytes)).expect("there is room");
    Trial { subject: gets(region, key), baseline: Baseline::FetchAdd }
}

/// The same object from two processes at once.
fn get_2(bytes: usize) -> Trial {
    let region = Rc::new(region(bytes));
    let key = region.put(&source(bytes)).expect("there is room");
    let partner = Partner::spawn({
        let region = region.clone();
        move |mailbox, _| {
            let before = mailbox.there().load(Ordering::Acquire);
            mailbox.back().fetch_add(1, Ordering::AcqRel);
            while mailbox.there().load(Ordering::Acquire) == before {
                for _ in 0..100 {
                    black_box(
                        region.get(black_box(key)).expect("attached").expect("never evicted"),
                    );
                }
            }
            mailbox.back().fetch_add(1, Ordering::AcqRel);
        }
    });
    let alone = gets(region.clone(), key);
    let baseline = Baseline::Of(Box::new(alone));
    let mut both = gets(region, key);
    let subject = Box::new(move || {
        let (there, back) = (partner.mailbox().there(), partner.mailbox().back());
        let idle = back.load(Ordering::Acquire);
        partner.start(0);
        spin_while(back, idle);
        let time = both();
        there.fetch_add(1, Ordering::AcqRel);
        spin_while(back, idle + 1);
        time
    });
    Trial { subject, baseline }
}

fn take(bytes: usize) -> Trial {
    let (region, source, batch) = (region(bytes), source(bytes), batch(bytes));
    let mut keys = vec![Key::new(0, 0); batch];
    let subject = Box::new(move || {
        keys.fill_with(|| region.put(&source).expect("there is room"));
        time_each(batch, |index| {
            black_box(region.take(keys[batch - 1 - index]).expect("attached").expect("is there"));
        })
    });
    Trial { subject, baseline: Baseline::FetchAdd }
}

/// With so many other processes attached.
fn evict(bytes: usize, others: usize) -> Trial {
    let (region, source, batch) = (region(bytes), source(bytes), batch(bytes));
    let idlers = Idlers::spawn(others);
    let mut keys = vec![Key::new(0, 0); batch];
    let subject = Box::new(move || {
        let _attached = &idlers;
        keys.fill_with(|| region.put(&source).expect("there is room"));
        time_each(batch, |index| {
            black_box(region.evict(keys[batch - 1 - index]).expect("attached"));
        })
    });
    Trial { subject, baseline: Baseline::FetchAdd }
}
