//! Many threads, two instances.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use inplace::connector::{Block, Connector, ConnectorConfig, FileConnector, MultiConnector};

use crate::bytes::pattern;
use crate::subject::Subject;
use crate::support::random::Random;

pub fn connectors_are_shared_between_threads(subject: &Subject) {
    fn everywhere<T: Send + Sync + 'static>() {}
    everywhere::<Block>();
    everywhere::<Box<dyn Connector>>();
    everywhere::<ConnectorConfig>();
    everywhere::<(FileConnector, MultiConnector)>();
    let key = subject.connector.put(b"here").unwrap();
    let connector = subject.connector.clone();
    let block = std::thread::spawn(move || connector.get(key)).join().unwrap().unwrap().unwrap();
    assert_eq!(&*block, b"here");
}

pub fn of_many_threads_one_evicts_and_one_takes(subject: &Subject) {
    let second = subject.second();
    for round in 0..30 {
        let len = if round % 3 == 0 { 70_000 } else { 20 };
        let bytes = pattern(round, len);
        let key = subject.connector.put(&bytes).unwrap();
        let won = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for thread in 0..6 {
                let instance = if thread % 2 == 0 { &subject.connector } else { &second };
                let (won, bytes) = (&won, &bytes);
                scope.spawn(move || {
                    let is_mine = if (thread + round) % 3 == 0 {
                        instance.evict(key).unwrap()
                    } else {
                        let taken = instance.take(key).unwrap();
                        taken.inspect(|block| assert!(**block == **bytes)).is_some()
                    };
                    won.fetch_add(usize::from(is_mine), Relaxed);
                });
            }
        });
        assert_eq!(won.into_inner(), 1);
        assert!(!second.exists(key).unwrap());
    }
}

pub fn threads_that_do_everything_at_once_see_whole_objects(subject: &Subject) {
    let second = subject.second();
    let there = Mutex::new(HashMap::new());
    std::thread::scope(|scope| {
        for thread in 0..4_usize {
            let instance = if thread % 2 == 0 { &subject.connector } else { &second };
            let there = &there;
            scope.spawn(move || {
                let mut random = Random::new(thread as u64 + 1);
                for step in 0..60 {
                    let len = [3, 500, 5000, 90_000][random.below(4) as usize];
                    let key = instance.put(&pattern(step, len)).unwrap();
                    there.lock().unwrap().insert(key, (step, len));
                    let some = there.lock().unwrap().iter().next().map(|(key, what)| (*key, *what));
                    let Some((key, (seed, len))) = some else { continue };
                    if random.below(2) == 0 {
                        if let Some(block) = instance.get(key).unwrap() {
                            assert!(*block == *pattern(seed, len));
                        }
                    } else if instance.evict(key).unwrap() {
                        assert!(there.lock().unwrap().remove(&key).is_some(), "evicted twice");
                    }
                }
            });
        }
    });
    for (key, (seed, len)) in there.into_inner().unwrap() {
        assert!(*subject.connector.get(key).unwrap().unwrap() == *pattern(seed, len));
        assert!(second.evict(key).unwrap());
    }
}
