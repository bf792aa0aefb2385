//! Several processes.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use inplace::connector::{Connector, ConnectorConfig};
use inplace::{Error, Key, Proxy, Store};
use serde::{Deserialize, Serialize};

use crate::bytes::pattern;
use crate::promises::set;
use crate::subject::Subject;
use crate::support::{self, Program};
use crate::{cells, leases, owners};

/// What another process is told when it starts.
#[derive(Serialize, Deserialize)]
struct Told {
    config: ConnectorConfig,
    keys: Vec<Key>,
    proxy: Option<String>,
}

/// Another process with the same connector.
pub struct Other {
    pub program: Program,
}

impl Other {
    pub fn start(role: &str, subject: &Subject, keys: &[Key]) -> Self {
        Self::told(
            role,
            Told { config: subject.connector.config(), keys: keys.to_vec(), proxy: None },
        )
    }

    fn told(role: &str, told: Told) -> Self {
        Self { program: Program::start(role, &serde_json::to_string(&told).unwrap()) }
    }

    pub fn key(&mut self) -> Key {
        self.program.says().parse().unwrap()
    }
}

/// In the other process.
pub fn play(role: &str, told: &str) {
    let told: Told = serde_json::from_str(told).unwrap();
    let connector = || told.config.connect().unwrap();
    match role {
        "reader" => read(&*connector(), &told.keys),
        "taker" => take(&*connector(), &told.keys),
        "resolver" => resolve(&told.proxy.unwrap()),
        "putter" => put_for_ever(&*connector()),
        "promiser" => promise(&*connector()),
        "lessor" => leases::lease(&*connector()),
        "owner" => owners::own(&*connector()),
        "heir" => owners::adopt(&*connector(), told.keys[0]),
        "setter" => cells::set_in_turn(&*connector()),
        _ => panic!("{role}"),
    }
}

fn read(connector: &dyn Connector, keys: &[Key]) {
    for (seed, key) in keys.iter().enumerate() {
        let block = connector.get(*key).unwrap().unwrap();
        assert!(*block == *pattern(seed, block.len()), "{key}");
    }
    let own = [10, 100_000].map(|len| connector.put(&pattern(0, len)).unwrap());
    own.iter().for_each(support::say);
    support::hear();
    assert!(connector.get(keys[0]).unwrap().is_none(), "evicted by the other");
    assert!(own.iter().all(|key| !connector.exists(*key).unwrap()));
}

fn take(connector: &dyn Connector, keys: &[Key]) {
    support::say("ready");
    support::hear();
    let mut won = 0;
    for (at, key) in keys.iter().enumerate() {
        won += usize::from(match at % 2 {
            0 => connector.evict(*key).unwrap(),
            _ => connector.take(*key).unwrap().is_some_and(|block| *block == *pattern(at, 200)),
        });
    }
    support::say(won);
}

fn resolve(proxy: &str) {
    let proxy: Proxy<Vec<u32>> = serde_json::from_str(proxy).unwrap();
    if proxy.access().waits() {
        support::say("waiting");
    }
    match proxy.resolve() {
        Ok(numbers) => support::say(numbers.iter().map(|n| u64::from(n.to_native())).sum::<u64>()),
        Err(Error::NotFound { .. }) => support::say("gone"),
        Err(error) => support::say(error),
    }
}

fn put_for_ever(connector: &dyn Connector) {
    let mut last = None;
    loop {
        let key = connector.put(&pattern(5, 40_000)).unwrap();
        support::say(key);
        if let Some(last) = last.replace(key) {
            assert!(connector.evict(last).unwrap());
        }
    }
}

fn promise(connector: &dyn Connector) {
    let promises = connector.deferrable().unwrap();
    let [kept, owed] = [(); 2].map(|()| promises.reserve().unwrap());
    [kept, owed].iter().for_each(support::say);
    support::hear();
    set(promises, kept, b"kept").unwrap();
    support::hear();
}

pub fn another_process_gets_what_was_put_here_and_puts_what_is_got_here(subject: &Subject) {
    if !subject.reaches_processes {
        return;
    }
    let connector = &subject.connector;
    let sizes = [0, 1, 5000, 100_000, 3 << 20];
    let put = |(seed, len): (usize, &usize)| connector.put(&pattern(seed, *len)).unwrap();
    let keys: Vec<Key> = sizes.iter().enumerate().map(put).collect();
    let mut other = Other::start("reader", subject, &keys);
    for len in [10, 100_000] {
        let key = other.key();
        let block = connector.take(key).unwrap().unwrap();
        assert!(*block == *pattern(0, len));
    }
    assert!(connector.evict(keys[0]).unwrap());
    other.program.tell("look again");
    other.program.finish();
}

pub fn of_many_processes_one_evicts_and_one_takes(subject: &Subject) {
    if !subject.reaches_processes {
        return;
    }
    let put = |at| subject.connector.put(&pattern(at, 200)).unwrap();
    let keys: Vec<Key> = (0..60).map(put).collect();
    let mut others: Vec<_> = (0..3).map(|_| Other::start("taker", subject, &keys)).collect();
    others.iter_mut().for_each(|other| assert_eq!(other.program.says(), "ready"));
    others.iter_mut().for_each(|other| other.program.tell("go"));
    let here: usize =
        keys.iter().map(|key| usize::from(subject.connector.evict(*key).unwrap())).sum();
    let there: usize = others
        .into_iter()
        .map(|mut other| {
            let won: usize = other.program.says().parse().unwrap();
            other.program.finish();
            won
        })
        .sum();
    assert_eq!(here + there, keys.len());
}

pub fn a_proxy_resolves_in_a_process_that_never_saw_its_store(subject: &Subject) {
    if !subject.reaches_processes {
        return;
    }
    let store =
        Store::builder("conformance").shared_connector(subject.connector.clone()).open().unwrap();
    for len in [3, 100_000, 1_000_000] {
        let values = vec![2_u32; len];
        let proxy = store.proxy(&values).unwrap();
        let told = |proxy: &Proxy<Vec<u32>>| Told {
            config: subject.config.clone(),
            keys: Vec::new(),
            proxy: Some(serde_json::to_string(proxy).unwrap()),
        };
        let mut other = Other::told("resolver", told(&proxy));
        assert_eq!(other.program.says(), (2 * len).to_string());
        let taking = proxy.clone().evict_on_resolve().unwrap();
        assert_eq!(Other::told("resolver", told(&taking)).program.says(), (2 * len).to_string());
        assert_eq!(Other::told("resolver", told(&proxy)).program.says(), "gone");
        assert!(!store.exists(proxy.key()).unwrap());
    }
}

pub fn of_many_processes_that_wait_for_a_value_to_take_it_one_gets_it(subject: &Subject) {
    if !subject.reaches_processes || subject.connector.deferrable().is_none() {
        return;
    }
    let store =
        Store::builder("conformance").shared_connector(subject.connector.clone()).open().unwrap();
    for is_kept in [true, false] {
        let (promise, future) = store.promise::<Vec<u32>>().unwrap();
        let taker = serde_json::to_string(&future.proxy().evict_on_resolve().unwrap()).unwrap();
        let mut others: Vec<_> = (0..3)
            .map(|_| {
                let config = subject.config.clone();
                let proxy = Some(taker.clone());
                Other::told("resolver", Told { config, keys: Vec::new(), proxy })
            })
            .collect();
        others.iter_mut().for_each(|other| assert_eq!(other.program.says(), "waiting"));
        std::thread::sleep(Duration::from_millis(20));
        if is_kept {
            promise.set(&vec![2; 50_000]).unwrap();
        } else {
            promise.fail("none today").unwrap();
        }
        let mut heard: Vec<_> =
            others.iter_mut().map(|other| other.program.says().to_string()).collect();
        heard.sort();
        if is_kept {
            assert_eq!(heard, ["100000", "gone", "gone"]);
        } else {
            assert!(heard.iter().all(|heard| heard.contains("none today")), "{heard:?}");
        }
        assert_eq!(future.evict().unwrap(), !is_kept);
    }
}

pub fn a_killed_process_leaves_what_it_put_and_nothing_else(subject: &Subject) {
    if !subject.reaches_processes {
        return;
    }
    // Who has a region open keeps it when others die.
    let kept = subject.connector.put(b"kept").unwrap();
    for round in 0..6 {
        let mut other = Other::start("putter", subject, &[]);
        let key = other.key();
        std::thread::sleep(Duration::from_millis(round * 7));
        other.program.kill();
        let _perhaps_evicted = subject.connector.evict(key).unwrap();
        // Another one arrives, and sees to what the dead one left half done.
        let second = subject.second();
        let key = second.put(&pattern(9, 40_000)).unwrap();
        assert!(*subject.connector.get(key).unwrap().unwrap() == *pattern(9, 40_000));
        assert!(second.evict(key).unwrap());
    }
    assert!(subject.connector.evict(kept).unwrap());
    if let Some(count) = &subject.count {
        // Of each killed one at most two objects: the one it told of last, and one that it could not tell of any more.
        assert!(count() <= 2 * 6, "{} objects are left", count());
    }
}

pub fn a_forked_child_goes_on_with_its_parents_connector(subject: &Subject) {
    if !subject.reaches_processes {
        return;
    }
    let connector = &subject.connector;
    let before = [200, 100_000].map(|len| connector.put(&pattern(1, len)).unwrap());
    let held = connector.get(before[1]).unwrap().unwrap();
    let (from_child, to_parent) = std::io::pipe().unwrap();
    for _ in 0..5 {
        let (mut from_child, mut to_parent) =
            (from_child.try_clone().unwrap(), to_parent.try_clone().unwrap());
        let child = support::start_child(move || {
            use std::io::Write;
            assert!(*got(connector, before[0]) == *pattern(1, 200));
            for seed in 0..20 {
                let key = connector.put(&pattern(seed, 300)).unwrap();
                assert!(*got(connector, key) == *pattern(seed, 300));
                writeln!(to_parent, "{key}").unwrap();
            }
            0
        });
        // Both at once: neither disturbs the other's connections, numbers or locks.
        let own: Vec<Key> =
            (0..20).map(|seed| connector.put(&pattern(seed, 300)).unwrap()).collect();
        let pid = child.0;
        assert_eq!(child.wait(), nix::sys::wait::WaitStatus::Exited(pid, 0));
        let mut told = vec![0; 20 * 34];
        std::io::Read::read_exact(&mut from_child, &mut told).unwrap();
        let theirs = String::from_utf8(told).unwrap();
        for (seed, key) in theirs.lines().enumerate() {
            let key: Key = key.parse().unwrap();
            assert!(!own.contains(&key) && *got(connector, key) == *pattern(seed, 300));
            assert!(connector.evict(key).unwrap());
        }
        for (seed, key) in own.into_iter().enumerate() {
            assert!(*connector.take(key).unwrap().unwrap() == *pattern(seed, 300));
        }
    }
    assert!(*held == *pattern(1, 100_000));
}

pub fn forks_in_the_midst_of_threads_disturb_nobody(subject: &Subject) {
    if !subject.reaches_processes {
        return;
    }
    let connector = &subject.connector;
    let done = AtomicBool::new(false);
    let work = |seed: usize| {
        for len in [50, 70_000] {
            let key = connector.put(&pattern(seed, len)).unwrap();
            assert!(*got(connector, key) == *pattern(seed, len));
            assert!(connector.evict(key).unwrap() && connector.get(key).unwrap().is_none());
        }
    };
    std::thread::scope(|scope| {
        for seed in 0..3 {
            let (done, work) = (&done, &work);
            scope.spawn(move || {
                while !done.load(Relaxed) {
                    work(seed);
                }
            });
        }
        for seed in 0..12 {
            let child = support::start_child(|| {
                work(seed);
                0
            });
            let pid = child.0;
            assert_eq!(child.wait(), nix::sys::wait::WaitStatus::Exited(pid, 0));
        }
        done.store(true, Relaxed);
    });
    work(9);
}

fn got(connector: &std::sync::Arc<dyn Connector>, key: Key) -> inplace::connector::Block {
    connector.get(key).unwrap().unwrap()
}
