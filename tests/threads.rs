//! Many threads of one process at everything at once: for the thread sanitizer (`tests/tsan.sh`), and for its results.

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::Duration;

use inplace::codec::Serde;
use inplace::{
    Error, Fingerprint, Key, Pinned, Proxy, Region, RegionOptions, Store, View, storable,
};
use support::random::Random;
use support::{Name, payload};

const THREADS: u64 = 4;

/// How many rounds each thread makes: `INPLACE_THREAD_ROUNDS`, or as many as a run of all tests can afford.
fn rounds() -> u64 {
    std::env::var("INPLACE_THREAD_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000)
}

fn region(name: &str) -> Region {
    let options = RegionOptions::new().capacity(16 << 20).max_objects(4000).max_participants(8);
    options.create(name).unwrap()
}

/// Runs `work` in some threads, each with its number. Joined one by one: the sanitizer sees a join, and not the end of a scope.
fn in_threads(work: impl Fn(u64) + Clone + Send + 'static) {
    let start = |number| {
        let work = work.clone();
        thread::spawn(move || work(number))
    };
    let threads: Vec<_> = (0..THREADS).map(start).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn is_clean(region: &Region) {
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.pins == 0, "{report}");
}

/// Keys that any thread may get, take or evict.
struct Shelf(Vec<AtomicU64>);

impl Shelf {
    fn new(places: usize) -> Self {
        Self((0..places).map(|_| AtomicU64::new(0)).collect())
    }

    fn place(&self, random: &mut Random) -> &AtomicU64 {
        &self.0[random.below(self.0.len() as u64) as usize]
    }

    fn key(&self, region: &Region, random: &mut Random) -> Key {
        Key::new(region.id(), self.place(random).load(Ordering::Relaxed))
    }
}

fn is_whole(view: &Pinned) {
    assert_eq!(payload::blame(None, view), None);
}

#[test]
fn objects_put_pinned_taken_and_evicted_by_many_threads_are_whole() {
    let name = Name::new("threads-objects");
    let region = region(&name);
    payload::prepare();
    let shelf = Arc::new(Shelf::new(64));
    let seed = Random::seed("threads");
    in_threads({
        let region = region.clone();
        move |number| {
            let mut random = Random::new(seed + number);
            let mut held: Vec<Pinned> = Vec::new();
            for _ in 0..rounds() {
                match random.below(6) {
                    0 | 1 => {
                        let len = [16, 60, 900, 20_000, 70_000][random.below(5) as usize];
                        let made = payload::make(random.draw() as u16, len);
                        let key = region.put(&made).unwrap();
                        let old = shelf.place(&mut random).swap(key.object(), Ordering::Relaxed);
                        region.evict(Key::new(region.id(), old)).unwrap();
                    }
                    2 => {
                        region.evict(shelf.key(&region, &mut random)).unwrap();
                    }
                    3 => {
                        region
                            .take(shelf.key(&region, &mut random))
                            .unwrap()
                            .iter()
                            .for_each(is_whole);
                    }
                    4 => held.truncate(3),
                    _ => held.extend(region.get(shelf.key(&region, &mut random)).unwrap()),
                }
                held.iter().for_each(is_whole);
            }
        }
    });
    for key in region.keys().unwrap() {
        region.evict(key).unwrap();
    }
    is_clean(&region);
}

#[test]
fn views_that_travel_between_threads_stay_whole_and_are_given_back_by_whoever_drops_them() {
    let name = Name::new("threads-views");
    let region = region(&name);
    payload::prepare();
    let ends: Vec<(Sender<Pinned>, Receiver<Pinned>)> = (0..THREADS).map(|_| channel()).collect();
    let (senders, receivers): (Vec<_>, Vec<_>) = ends.into_iter().unzip();
    let threads: Vec<_> = receivers
        .into_iter()
        .zip(0..)
        .map(|(receiver, number)| {
            let (region, senders) = (region.clone(), senders.clone());
            thread::spawn(move || {
                let mut random = Random::new(number);
                for _ in 0..rounds() {
                    let key = region.put(&payload::make(random.draw() as u16, 300)).unwrap();
                    let view = region.get(key).unwrap().unwrap();
                    region.evict(key).unwrap();
                    let other = random.below(THREADS) as usize;
                    // Whoever is done hears no more.
                    let _ = senders[other].send(view.clone());
                    receiver.try_iter().for_each(|view| is_whole(&view));
                    is_whole(&view);
                }
            })
        })
        .collect();
    drop(senders);
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    is_clean(&region);
}

#[test]
fn promises_kept_broken_and_evicted_by_other_threads_end_every_wait() {
    let name = Name::new("threads-promises");
    let region = region(&name);
    for round in 0..rounds() / 10 {
        let key = region.reserve().unwrap();
        in_threads({
            let region = region.clone();
            move |number| match (number, round % 3) {
                (0, 0) => region.set(key, b"kept").unwrap(),
                (0, 1) => region.fail(key).unwrap(),
                (0, _) => assert!(region.evict(key).unwrap()),
                _ => match region.wait(key, Some(Duration::from_secs(30))) {
                    Ok(view) => assert_eq!((&*view, round % 3), (&b"kept"[..], 0)),
                    Err(Error::Broken { .. }) => assert_eq!(round % 3, 1),
                    Err(Error::NotFound { .. }) => assert_eq!(round % 3, 2),
                    Err(error) => panic!("{error}"),
                },
            }
        });
        region.evict(key).unwrap();
    }
    is_clean(&region);
}

#[test]
fn names_bound_by_many_threads_lead_to_the_last_object_bound() {
    let name = Name::new("threads-names");
    let region = region(&name);
    in_threads({
        let region = region.clone();
        move |number| {
            let mine = format!("name {number}");
            for round in 0..rounds() / 4 {
                let key = region.put(&round.to_le_bytes()).unwrap();
                region.bind(&mine, key).unwrap();
                region.bind("everybody's", key).unwrap();
                assert_eq!(region.lookup(&mine).unwrap(), Some(key));
                let _whose = region.lookup("everybody's").unwrap();
                if round.is_multiple_of(3) {
                    assert_eq!(region.unbind(&mine).unwrap(), Some(key));
                }
                region.evict(key).unwrap();
            }
        }
    });
    is_clean(&region);
}

#[test]
fn a_region_closed_while_views_live_ends_with_the_last_of_them() {
    for round in 0..rounds() / 20 {
        let name = Name::new("threads-closing");
        let opened = region(&name);
        let key = opened.put(b"in place").unwrap();
        let view = opened.get(key).unwrap().unwrap();
        let threads: Vec<_> = (0..THREADS)
            .map(|number| {
                let (handle, view) = (opened.clone(), view.clone());
                thread::spawn(move || {
                    if (round + number).is_multiple_of(2) {
                        drop(handle);
                        assert_eq!(&*view, b"in place");
                    } else {
                        drop(view);
                        let _again = handle.get(key).unwrap().unwrap();
                        drop(handle);
                    }
                })
            })
            .collect();
        drop((opened, view));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert!(!name.exists(), "the last view did not leave");
    }
}

#[storable]
struct Model {
    name: String,
    weights: Vec<u32>,
}

#[test]
fn stores_proxies_and_caches_shared_by_threads_find_every_value() {
    let name = Name::new("threads-store");
    let store = Store::open(&name).unwrap();
    let _registered = store.register().unwrap();
    in_threads({
        let store = store.clone();
        move |number| {
            let made_anew = store.with_codec(Serde);
            for round in 0..rounds() / 8 {
                let weights: Vec<u32> = (0..round as u32 % 50).collect();
                let model = Model { name: format!("{number}"), weights };
                let proxy: Proxy<Model> = store.proxy(&model).unwrap();
                let sent = postcard::to_stdvec(&proxy).unwrap();
                let ahead: Proxy<Model> = postcard::from_bytes(&sent).unwrap();
                let resolver = thread::spawn(move || ahead.weights.len());
                assert_eq!(proxy.name.as_str(), model.name);
                assert_eq!(resolver.join().unwrap(), model.weights.len());
                let key = made_anew.put(&(round, "text".to_owned())).unwrap();
                let value: View<(u64, String)> = made_anew.get(key).unwrap().unwrap();
                assert_eq!(made_anew.get::<(u64, String)>(key).unwrap().unwrap().0, value.0);
                store.evict(key).unwrap();
                store.evict(proxy.key()).unwrap();
            }
        }
    });
}

#[test]
fn a_proxy_taken_by_many_threads_is_had_by_all_of_them_and_then_gone() {
    let name = Name::new("threads-take");
    let store = Store::open(&name).unwrap();
    for _ in 0..rounds() / 20 {
        let proxy = Arc::new(store.proxy(&vec![7_u32; 100]).unwrap().evict_on_resolve().unwrap());
        in_threads({
            let proxy = proxy.clone();
            move |_| assert_eq!(proxy.resolve().unwrap()[99], 7)
        });
        assert!(!store.exists(proxy.key()).unwrap());
    }
}

#[test]
fn handles_opened_and_dropped_by_many_threads_are_of_one_participant() {
    let name = Name::new("threads-handles");
    let kept = region(&name);
    let key = kept.put_as(b"kept", Fingerprint::of("kept")).unwrap();
    let path = name.0.clone();
    in_threads(move |_| {
        for _ in 0..rounds() / 8 {
            let opened = Region::open(&path).unwrap();
            let view = opened.get(key).unwrap().unwrap();
            drop(opened);
            assert_eq!(&*view, b"kept");
        }
    });
    let report = kept.check().unwrap();
    assert_eq!((report.participants, report.pins), (1, 0), "{report}");
}
