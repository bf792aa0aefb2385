//! A full shared memory spills to what comes after it, and the same proxy resolves in a process that never saw the store.

mod support;

use inplace::connector::{
    Connector, ConnectorConfig, FileConfig, MemberConfig, MultiConnector, Policy, ShmConfig, Tags,
};
use inplace::{Error, Proxy, Store};
use support::small_shm::with_shm_of;
use support::{Name, Program};

#[cfg(feature = "redis")]
#[path = "support/redis_server.rs"]
mod redis_server;

/// A directory that is removed in the end.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(&*Name::new("spill")))
    }

    fn config(&self) -> ConnectorConfig {
        ConnectorConfig::file(self.0.to_str().unwrap())
    }

    fn objects(&self) -> usize {
        std::fs::read_dir(self.0.join("objects")).map_or(0, Iterator::count)
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn region(name: &str, capacity: u64, max_objects: Option<u32>) -> MemberConfig {
    let (region, capacity) = (name.to_owned(), Some(capacity));
    MemberConfig {
        policy: Policy { priority: 1, ..Policy::default() },
        connector: ConnectorConfig::Shm(ShmConfig {
            region,
            capacity,
            max_objects,
            ..ShmConfig::default()
        }),
    }
}

/// Not a test by itself: what the other process runs.
#[test]
fn program() {
    let Some((role, sent)) = support::role() else { return };
    assert_eq!(role, "resolver");
    let proxies: Vec<Proxy<Vec<u64>>> = serde_json::from_str(&sent).unwrap();
    let sum = |proxy: &Proxy<Vec<u64>>| {
        proxy.resolve().map(|all| all.iter().map(|n| n.to_native()).sum())
    };
    let sums: Result<Vec<u64>, Error> = proxies.iter().map(sum).collect();
    support::say(sums.map_or_else(|error| error.to_string(), |sums| format!("{sums:?}")));
}

/// Puts values until one lands behind the region, and three more; resolves all of them elsewhere.
fn fill_over(config: ConnectorConfig, landed: &dyn Fn() -> usize) {
    let store = Store::builder("spill").connector_config(config).open().unwrap();
    let mut proxies = Vec::new();
    let mut after = 0;
    while after < 4 {
        assert!(proxies.len() < 1000, "nothing ever lands behind the region");
        let value = vec![proxies.len() as u64; 12_500];
        proxies.push(store.proxy(&value).unwrap());
        after += usize::from(landed() > 0);
    }
    assert!(proxies.len() > 5, "shared memory first");
    let spaces: std::collections::BTreeSet<u64> =
        proxies.iter().map(|proxy| proxy.key().space()).collect();
    assert_eq!(spaces.len(), 2);
    let sent = serde_json::to_string(&proxies).unwrap();
    let expected: Vec<u64> = (0..proxies.len() as u64).map(|n| n * 12_500).collect();
    assert_eq!(Program::start("resolver", &sent).says(), format!("{expected:?}"));
    for (at, proxy) in proxies.iter().enumerate() {
        assert!(proxy[0] == at as u64 && proxy[12_499] == at as u64, "here, too");
        assert!(store.evict(proxy.key()).unwrap());
    }
    assert_eq!(landed(), 0);
}

#[test]
fn what_a_region_has_no_room_for_lands_in_the_directory_and_resolves_elsewhere() {
    let (name, directory) = (Name::new("spill"), Directory::new());
    let config = ConnectorConfig::multi([region(&name, 1 << 20, None), directory.config().into()]);
    fill_over(config, &|| directory.objects());
}

#[test]
fn what_a_full_dev_shm_has_no_room_for_lands_in_the_directory_and_resolves_elsewhere() {
    let directory = Directory::new();
    with_shm_of(2 << 20, || {
        let config =
            ConnectorConfig::multi([region("small", 64 << 20, None), directory.config().into()]);
        fill_over(config, &|| directory.objects());
    });
}

#[test]
fn a_region_without_slots_spills_too_and_takes_again_what_it_has_room_for() {
    let (name, directory) = (Name::new("spill"), Directory::new());
    let members = [region(&name, 1 << 20, Some(10)), directory.config().into()];
    let connector = ConnectorConfig::multi(members).connect().unwrap();
    let keys: Vec<_> = (0..30).map(|_| connector.put(b"small").unwrap()).collect();
    assert!(directory.objects() >= 20);
    let blocks = connector.get_batch(&keys).unwrap();
    assert!(blocks.iter().flatten().all(|block| &**block == b"small") && blocks.len() == 30);
    drop(blocks);
    let batch = connector.put_batch(&[b"1", b"2", b"3"]).unwrap();
    assert_eq!(&*connector.get(batch[2]).unwrap().unwrap(), b"3");
    assert_eq!(connector.evict_batch(&keys).unwrap(), 30);
    assert_eq!(connector.put(b"again").unwrap().space(), keys[0].space());
}

#[cfg(feature = "redis")]
#[test]
fn what_a_region_has_no_room_for_lands_in_redis_and_resolves_elsewhere() {
    if !redis_server::is_installed() {
        return;
    }
    let (name, server) = (Name::new("spill"), redis_server::RedisServer::start(&[]));
    let redis = ConnectorConfig::redis(server.url());
    let config = ConnectorConfig::multi([region(&name, 1 << 20, None), redis.into()]);
    // The number of the space, the counter of ranges and the name of the type are there as well.
    let count = || server.ask("DBSIZE")[1..].parse::<usize>().unwrap().saturating_sub(3);
    fill_over(config, &count);
}

#[test]
fn a_put_that_fits_nowhere_says_what_the_first_lacked() {
    let (name, other) = (Name::new("spill"), Name::new("spill"));
    let all = ConnectorConfig::multi([region(&name, 1 << 20, None), region(&other, 1 << 20, None)]);
    let error = all.connect().unwrap().put(&vec![0; 2 << 20]).unwrap_err();
    assert!(matches!(error, Error::OutOfSpace { capacity, .. } if capacity == 1 << 20), "{error}");
}

#[test]
fn sizes_are_judged_by_what_is_written() {
    let (small, large) = (Directory::new(), Directory::new());
    let to = |least, most| Policy { min_size: least, max_size: most, ..Policy::default() };
    let members = [
        MemberConfig { connector: small.config(), policy: to(None, Some(1000)) },
        MemberConfig { connector: large.config(), policy: to(Some(1001), Some(50_000)) },
    ];
    let connector = ConnectorConfig::multi(members).connect().unwrap();
    let put = |guess: usize, len: usize| {
        connector.put_with(guess, inplace::Fingerprint::BYTES, &mut |out| {
            out.write(&vec![1; len]);
            Ok(())
        })
    };
    for (guess, len) in [(0, 1000), (1001, 1000), (100_000, 1000), (1000, 1001), (0, 50_000)] {
        let before = (small.objects(), large.objects());
        assert_eq!(connector.get(put(guess, len).unwrap()).unwrap().unwrap().len(), len);
        let is_small = usize::from(len <= 1000);
        let after = (before.0 + is_small, before.1 + 1 - is_small);
        assert_eq!((small.objects(), large.objects()), after, "{len} bytes, guessed {guess}");
    }
    let error = put(10, 50_001).unwrap_err();
    assert!(matches!(error, Error::NoMember { members: 2, .. }), "{error}");
    assert!(error.to_string().contains("50001 bytes"), "{error}");
    let batch: Vec<Vec<u8>> = [10, 20_000, 30].map(|len| vec![2; len]).into();
    let batch: Vec<&[u8]> = batch.iter().map(Vec::as_slice).collect();
    let keys = connector.put_batch(&batch).unwrap();
    assert_eq!((keys[0].space(), keys[2].space() == keys[1].space()), (keys[2].space(), false));
    let (before, too_large) = ((small.objects(), large.objects()), vec![3; 60_000]);
    assert!(connector.put_batch(&[b"fits", &too_large]).is_err());
    assert_eq!((small.objects(), large.objects()), before, "all or none");
}

#[test]
fn priorities_tags_and_hosts_decide() {
    let directories = [(); 4].map(|()| Directory::new());
    let policies = [
        Policy { priority: 5, superset_tags: vec!["archive".into()], ..Policy::default() },
        Policy { priority: 9, hosts: vec!["no-such-host-*".into()], ..Policy::default() },
        Policy {
            priority: 2,
            subset_tags: vec!["fast".into(), "near".into()],
            ..Policy::default()
        },
        Policy::default(),
    ];
    let members = directories.iter().zip(policies);
    let member =
        |(place, policy): (&Directory, Policy)| MemberConfig { connector: place.config(), policy };
    let ConnectorConfig::Multi(config) = ConnectorConfig::multi(members.map(member)) else {
        unreachable!()
    };
    let all = MultiConnector::connect(&config).unwrap();
    for (tags, expected) in [
        (Tags::default(), 2),
        (Tags::subset(["near"]), 2),
        (Tags::superset(["archive", "old"]), 0),
        (Tags::superset(["archive"]).and(Tags::subset(["fast", "near"])), 2),
    ] {
        let before = directories.each_ref().map(Directory::objects);
        all.tagged(tags.clone()).put(b"x").unwrap();
        let after = directories.each_ref().map(Directory::objects);
        let taker = (0..4).find(|at| after[*at] > before[*at]);
        assert_eq!(taker, Some(expected), "{tags:?}");
    }
    let error = all.tagged(Tags::subset(["durable"])).put(b"x").unwrap_err();
    assert!(
        matches!(error, Error::NoMember { .. }) && error.to_string().contains("durable"),
        "{error}"
    );
    assert!(!directories[1].0.exists(), "of another host");
    let in_store =
        Store::builder("tags").connector(all.tagged(Tags::subset(["near"]))).open().unwrap();
    assert_eq!(in_store.put(&1_u8).unwrap().space(), all.put(b"").unwrap().space());
}

#[test]
fn who_only_reads_makes_no_region_and_a_member_that_is_down_stops_only_what_needs_it() {
    let (name, directory) = (Name::new("spill"), Directory::new());
    let mut nowhere = directory.config();
    if let ConnectorConfig::File(FileConfig { directory, .. }) = &mut nowhere {
        *directory = "/proc/no-such-place".into();
    }
    let key = directory.config().connect().unwrap().put(b"there").unwrap();
    let last = Policy { priority: -1, ..Policy::default() };
    let down = MemberConfig { connector: nowhere, policy: last };
    let config =
        ConnectorConfig::multi([region(&name, 1 << 20, None), directory.config().into(), down]);
    let reader = config.connect().unwrap();
    assert_eq!(&*reader.get(key).unwrap().unwrap(), b"there");
    let promises = reader.deferrable().expect("a region and a directory have them");
    assert_eq!(&*promises.wait(key, None).unwrap(), b"there");
    assert!(!name.exists(), "a region was made to read");
    let put = reader.put(b"here").unwrap();
    assert!(name.exists() && reader.exists(put).unwrap());
    assert!(matches!(reader.put(&vec![0; 2 << 20]), Ok(key) if reader.exists(key).unwrap()));
}
