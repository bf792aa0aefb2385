//! What a store offers beyond one put and one get: batches of everything, codecs per call, populated proxies, codecs of a
//! program's own, the registry.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use inplace::codec::{Archive, Codec, Decoded, Raw, Serde, Slice, to_vec};
use inplace::connector::{
    Block, BlockWriter, Connector, ConnectorConfig, LocalConnector, ShmConnector,
};
use inplace::proxy::Access;
use inplace::{
    Error, Fingerprint, Key, Proxy, ProxyOptions, RegionOptions, Result, Store, StoreConfig,
};

fn local(name: &str) -> Store {
    Store::builder(name).connector(LocalConnector::new()).open().unwrap()
}

fn shm(name: &str) -> Store {
    let region = RegionOptions::new().capacity(4 << 20).anonymous().unwrap();
    Store::builder(name).connector(ShmConnector::new(region)).open().unwrap()
}

/// The same promises over a dictionary and over shared memory.
fn on_both(name: &str, promise: impl Fn(&Store)) {
    promise(&local(name));
    promise(&shm(name));
}

#[test]
fn every_operation_has_a_batch_in_the_order_of_its_keys() {
    on_both("batches", |store| {
        let keys = store.put_batch(&[10_u32, 20, 30, 40]).unwrap();
        assert_eq!(store.exists_batch(&keys).unwrap(), [true; 4]);
        let values = |found: Vec<Option<inplace::View<_>>>| -> Vec<Option<u32>> {
            let value = |view: &inplace::View<inplace::rkyv::rend::u32_le>| view.to_native();
            found.iter().map(|view| view.as_ref().map(value)).collect()
        };
        assert_eq!(values(store.get_batch::<u32>(&keys).unwrap()), [10, 20, 30, 40].map(Some));

        let taken = store.take_batch::<u32>(&[keys[3], keys[1], keys[1]]).unwrap();
        assert_eq!(values(taken), [Some(40), Some(20), None], "of one key, one is taken");
        assert_eq!(store.exists_batch(&keys).unwrap(), [true, false, true, false]);
        assert_eq!(
            values(store.get_batch::<u32>(&keys).unwrap()),
            [Some(10), None, Some(30), None]
        );

        let proxies: Vec<Proxy<u32>> = store.proxies_from_keys(&[keys[2], keys[0]]);
        assert_eq!(proxies.iter().map(|proxy| proxy.to_native()).collect::<Vec<_>>(), [30, 10]);
        assert_eq!(store.evict_batch(&keys).unwrap(), 2);
        assert_eq!(store.exists_batch(&keys).unwrap(), [false; 4]);

        assert!(store.put_batch::<u32>([]).unwrap().is_empty());
        assert!(store.take_batch::<u32>(&[]).unwrap().is_empty());
    });
}

#[test]
fn a_batch_with_an_object_of_another_type_takes_none() {
    on_both("careful", |store| {
        let keys = [store.put(&1_u32).unwrap(), store.put("text").unwrap()];
        assert!(matches!(store.take_batch::<u32>(&keys), Err(Error::TypeMismatch { .. })));
        assert_eq!(store.exists_batch(&keys).unwrap(), [true, true]);
    });
}

#[test]
fn a_key_of_another_store_is_an_error_for_every_batch() {
    let (store, other) = (shm("ours"), shm("theirs"));
    let keys = [store.put(&1_u8).unwrap(), other.put(&1_u8).unwrap()];
    let is_foreign = |error| matches!(error, Error::WrongRegion { .. });
    assert!(is_foreign(store.exists_batch(&keys).unwrap_err()));
    assert!(is_foreign(store.get_batch::<u8>(&keys).unwrap_err()));
    assert!(is_foreign(store.take_batch::<u8>(&keys).unwrap_err()));
    assert!(store.exists(keys[0]).unwrap(), "nothing was taken");
    assert!(is_foreign(store.evict_batch(&keys).unwrap_err()));
    assert!(!store.exists(keys[0]).unwrap(), "evicting goes on after an error");
}

#[test]
fn of_many_who_take_the_same_batch_each_object_goes_to_one() {
    let store = shm("contested");
    for _ in 0..50 {
        let keys = store.put_batch(&[1_u64, 2, 3, 4, 5]).unwrap();
        let taken: usize = std::thread::scope(|scope| {
            let takers: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        store.take_batch::<u64>(&keys).unwrap().into_iter().flatten().count()
                    })
                })
                .collect();
            takers.into_iter().map(|taker| taker.join().unwrap()).sum()
        });
        assert_eq!(taken, keys.len());
    }
}

#[test]
fn every_operation_takes_another_codec_for_one_call() {
    on_both("per-call", |store| {
        let key = store.put_as(Serde, &vec![1_u8]).unwrap();
        assert_eq!(*store.get_as::<Serde, Vec<u8>>(key).unwrap().unwrap(), [1]);
        assert_eq!(*store.proxy_from_key_as::<Serde, Vec<u8>>(key), [1]);
        assert!(matches!(store.take::<Vec<u8>>(key), Err(Error::TypeMismatch { .. })));
        assert_eq!(*store.take_as::<Serde, Vec<u8>>(key).unwrap().unwrap(), [1]);

        let texts: [&[u8]; 2] = [b"one", b"two"];
        let keys = store.put_batch_as(Raw, texts).unwrap();
        let got = store.get_batch_as::<Raw, [u8]>(&keys).unwrap();
        assert!(got.iter().zip(texts).all(|(view, text)| **view.as_ref().unwrap() == *text));
        assert!(store.take_batch_as::<Serde, u8>(&keys).is_err());
        assert_eq!(store.take_batch_as::<Raw, [u8]>(&keys).unwrap().len(), 2);

        let numbers = store.proxy_as(Slice::<f32>::default(), [0.5_f32, 1.5].as_slice()).unwrap();
        assert_eq!(numbers.iter().sum::<f32>(), 2.0);
        let both = store.proxy_batch_as(Serde, &[Some(1_i8), None]).unwrap();
        assert_eq!((*both[0], *both[1]), (Some(1), None));
    });
}

/// Text, and how often it was decoded.
#[derive(Debug, Clone, Copy, Default)]
struct Counting;

static DECODED: AtomicUsize = AtomicUsize::new(0);

impl Codec<str> for Counting {
    type Target = [u8];
    const FINGERPRINT: Fingerprint = Fingerprint::of("counting");

    fn type_name() -> String {
        "counted text".into()
    }

    fn size_hint(&self, value: &str) -> usize {
        value.len()
    }

    fn encode(&self, value: &str, out: &mut BlockWriter<'_>) -> Result<()> {
        out.write(value.as_bytes());
        Ok(())
    }

    fn decode(block: Block) -> Result<Decoded<[u8]>> {
        DECODED.fetch_add(1, Relaxed);
        if *block == *b"unreadable" {
            return Err(Error::Codec { codec: "counting", what: "unreadable".into() });
        }
        Decoded::project(block, |bytes| Ok(bytes))
    }
}

#[test]
fn a_populated_proxy_is_read_once_when_it_is_made_and_then_no_more() {
    on_both("populated", |store| {
        let store = store.with_codec(Counting);
        let before = DECODED.load(Relaxed);
        let proxy = store.proxy_with("text", ProxyOptions::new().populate(true)).unwrap();
        assert!(proxy.is_resolved());
        assert_eq!(DECODED.load(Relaxed) - before, 1);
        for _ in 0..3 {
            assert_eq!(*proxy, *b"text");
            assert_eq!(*proxy.clone(), *b"text");
        }
        assert_eq!(DECODED.load(Relaxed) - before, 1);
        assert!(!store.proxy("lazy").unwrap().is_resolved());
        assert_eq!(DECODED.load(Relaxed) - before, 1, "a lazy one is not read");

        let sent = serde_json::to_string(&proxy).unwrap();
        let received: Proxy<str, Counting> = serde_json::from_str(&sent).unwrap();
        assert!(!received.is_resolved(), "where it arrives it is lazy");

        let failed = store.proxy_with("unreadable", ProxyOptions::new().populate(true));
        assert!(matches!(failed, Err(Error::Codec { .. })));
    });
    let store = shm("populated in vain");
    let counting = store.with_codec(Counting);
    let values = ["readable", "unreadable"];
    assert!(counting.proxy_batch_with(values, ProxyOptions::new().populate(true)).is_err());
    let region = store.connector().as_shm().unwrap().region().unwrap().clone();
    assert_eq!(region.keys().unwrap(), [], "what nobody was told of is not left behind");
}

#[test]
fn an_archive_that_populated_a_proxy_is_checked_for_the_whole_process() {
    let store = shm("checked");
    let populate = ProxyOptions::new().populate(true);
    let proxy = store.proxy_with(&vec!["a".to_owned()], populate).unwrap();
    let block = store.connector().get(proxy.key()).unwrap().unwrap();
    assert!(block.is_checked(), "later gets read it without a check");
    let lazy = store.proxy(&vec!["b".to_owned()]).unwrap();
    assert!(!store.connector().get(lazy.key()).unwrap().unwrap().is_checked());
}

#[test]
fn populated_or_not_what_resolving_does_is_left_to_whoever_gets_the_proxy() {
    on_both("populated-once", |store| {
        let options = ProxyOptions::new().evict_on_resolve().populate(true);
        let proxy = store.proxy_with(&5_u64, options).unwrap();
        assert_eq!((proxy.access(), proxy.to_native()), (Access::Take, 5));
        assert!(store.exists(proxy.key()).unwrap(), "here it was only looked at");
        let sent = store.proxy_from_key::<u64>(proxy.key()).evict_on_resolve().unwrap();
        assert_eq!(sent.to_native(), 5);
        assert!(!store.exists(proxy.key()).unwrap());
        assert_eq!(proxy.to_native(), 5, "and stays in view");
        let gone = store.proxy_from_key_with::<u64>(proxy.key(), options);
        assert!(matches!(gone, Err(Error::NotFound { .. })));
    });
}

#[test]
fn a_store_may_populate_its_proxies_unless_one_says_otherwise() {
    let builder = Store::builder("populating").connector(LocalConnector::new());
    let store = builder.populate(true).open().unwrap();
    assert!(store.proxy("text").unwrap().is_resolved());
    assert!(store.proxy_batch(["a", "b"]).unwrap().iter().all(Proxy::is_resolved));
    assert!(store.proxy_as(Serde, &1_u8).unwrap().is_resolved());
    let lazy = store.proxy_with("text", ProxyOptions::new().populate(false)).unwrap();
    assert!(!lazy.is_resolved());
    assert!(store.config().to_toml().contains("populate = true"));
}

/// Run lengths around another codec: what a program's own codec that packs looks like.
#[derive(Debug, Clone, Copy, Default)]
struct Packed<C>(std::marker::PhantomData<fn() -> C>);

impl<T: ?Sized, C: Codec<T>> Codec<T> for Packed<C> {
    type Target = C::Target;
    const FINGERPRINT: Fingerprint = C::FINGERPRINT.with_str("packed");

    fn type_name() -> String {
        format!("Packed<{}>", C::type_name())
    }

    fn size_hint(&self, _: &T) -> usize {
        64
    }

    fn encode(&self, value: &T, out: &mut BlockWriter<'_>) -> Result<()> {
        for run in to_vec(C::default(), value)?.chunk_by(|a, b| a == b) {
            for part in run.chunks(255) {
                out.write(&[part.len() as u8, part[0]]);
            }
        }
        Ok(())
    }

    fn decode(block: Block) -> Result<Decoded<C::Target>> {
        let runs = block.chunks_exact(2);
        let plain: Vec<u8> =
            runs.flat_map(|run| std::iter::repeat_n(run[1], run[0].into())).collect();
        C::decode(Block::from_heap(plain.into(), C::FINGERPRINT)).map(Decoded::made_anew)
    }
}

#[test]
fn a_codec_around_another_packs_what_that_one_writes_and_is_unpacked_once_per_process() {
    on_both("packed", |store| {
        let value = vec![0_u64; 10_000];
        let key = store.put_as(Packed::<Archive>::default(), &value).unwrap();
        let bytes = store.connector().get(key).unwrap().unwrap().len();
        assert!(bytes < 8 * value.len() / 2, "{bytes}");
        let get = || store.get_as::<Packed<Archive>, Vec<u64>>(key).unwrap().unwrap();
        let first = get();
        assert!(first.iter().all(|number| *number == 0) && first.len() == value.len());
        assert!(first.block().is_none(), "its bytes are not the object's");
        assert!(std::ptr::eq(&*first, &*get()), "unpacked once");
        assert!(matches!(store.get::<Vec<u64>>(key), Err(Error::TypeMismatch { .. })));
        store.evict(key).unwrap();
        assert!(store.get_as::<Packed<Archive>, Vec<u64>>(key).unwrap().is_none());
        assert_eq!(first[9_999], 0);
    });
}

#[test]
fn what_a_packed_object_takes_when_it_is_unpacked_counts_for_the_cache() {
    let store = Store::builder("unpacked")
        .connector(LocalConnector::new())
        .cache_bytes(1000)
        .codec(Packed::<Raw>::default())
        .open()
        .unwrap();
    let key = store.put([0_u8; 100_000].as_slice()).unwrap();
    assert!(store.connector().get(key).unwrap().unwrap().len() < 1000);
    let get = || store.get::<[u8]>(key).unwrap().unwrap();
    assert!(!std::ptr::eq(&*get(), &*get()), "too large to keep");
}

fn configured(name: &str, dictionary: &str) -> StoreConfig {
    StoreConfig { connector: ConnectorConfig::local(dictionary), ..StoreConfig::new(name) }
}

#[test]
fn a_worker_opens_the_store_of_its_configuration_once() {
    let config = configured("worker", "worker");
    let stores: Vec<Store> = std::thread::scope(|scope| {
        let open = || Store::get_or_open(config.clone()).unwrap();
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(open)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let same = |store: &Store| Arc::ptr_eq(store.connector(), stores[0].connector());
    assert!(stores.iter().all(same), "one connector for all");
    let found = Store::registered("worker").unwrap();
    assert!(Arc::ptr_eq(found.connector(), stores[0].connector()));
    let other = Store::get_or_open(configured("worker", "elsewhere"));
    assert!(matches!(other, Err(Error::StoreMismatch { .. })));
    found.close().unwrap();
    assert!(Store::registered("worker").is_none());
}

#[test]
fn every_option_takes_part_when_configurations_are_compared() {
    let config = configured("strict", "strict");
    let store = Store::from_config(config.clone()).unwrap();
    let guard = store.register().unwrap();
    for other in [
        StoreConfig { cache_size: 3, ..config.clone() },
        StoreConfig { cache_bytes: 3, ..config.clone() },
        StoreConfig { metrics: true, ..config.clone() },
        StoreConfig { populate: true, ..config.clone() },
        configured("strict", "another"),
    ] {
        let error = Store::from_config(other).unwrap().register().unwrap_err();
        assert!(matches!(error, Error::StoreMismatch { .. }), "{error}");
    }
    let same = Store::from_config(config).unwrap();
    drop(same.register().unwrap());
    assert!(Store::registered("strict").is_some(), "the first guard still holds");
    drop(guard);
    assert!(Store::registered("strict").is_none());
}

#[test]
fn a_store_leaves_the_registry_and_goes_on() {
    let store = Store::builder("leaving").connector(LocalConnector::new());
    let store = store.register().open().unwrap();
    let key = store.put(&1_u8).unwrap();
    assert!(store.unregister());
    assert!(!store.unregister(), "it was the last time");
    assert!(Store::registered("leaving").is_none());
    assert_eq!(*store.get::<u8>(key).unwrap().unwrap(), 1);
}

#[test]
fn a_guard_that_outlives_a_close_leaves_a_later_store_of_that_name_alone() {
    let config = configured("later", "later");
    let first = Store::from_config(config.clone()).unwrap();
    let guard = first.register().unwrap();
    first.close().unwrap();
    let second = Store::from_config(config).unwrap();
    let _second = second.register().unwrap();
    drop(guard);
    assert!(Store::registered("later").is_some());
}

#[test]
fn toml_says_all_there_is_to_say_of_a_store() {
    let text = "name = \"said\"\ncache_size = 3\ncache_bytes = 4096\nmetrics = true\npopulate = true\n\
                [connector.local]\nname = \"said\"\n";
    let store = Store::from_toml(text).unwrap();
    assert_eq!(StoreConfig::from_toml(&store.config().to_toml()).unwrap(), *store.config());
    let key = store.put("by TOML").unwrap();
    let again = Store::from_toml(text).unwrap();
    assert_eq!(again.get::<str>(key).unwrap().unwrap().as_str(), "by TOML");
    assert_eq!(again.metrics().unwrap().hits, 1);
    assert!(again.proxy("x").unwrap().is_resolved());
    for wrong in ["metrics = 1", "populate = \"yes\"", "metric = true"] {
        let error = Store::from_toml(&format!("name = \"said\"\n{wrong}\n")).unwrap_err();
        assert!(matches!(error, Error::ConfigText(_)), "{wrong}: {error}");
    }
}

#[test]
fn a_key_that_was_never_given_is_nothing_to_every_operation() {
    on_both("unknown", |store| {
        let given = store.put(&1_u8).unwrap();
        let never = Key::new(given.space(), given.object() + (7 << 24));
        assert!(!store.exists(never).unwrap() && !store.evict(never).unwrap());
        assert!(store.get::<u8>(never).unwrap().is_none());
        assert!(store.take_batch::<u8>(&[never, given]).unwrap()[0].is_none());
    });
}

#[test]
fn a_types_name_is_told_also_by_who_gets_it_before_it_puts_one() {
    let connector = Arc::new(LocalConnector::new());
    let store = Store::builder("names").shared_connector(connector.clone()).open().unwrap();
    let made = store.put_as(Serde, &1_u8).unwrap();
    assert_eq!(*store.get_as::<Serde, u8>(made).unwrap().unwrap(), 1, "the cache is in use");
    let nameless = connector
        .put_with(4, <Archive as Codec<u32>>::FINGERPRINT, &mut |out| {
            out.write(&5_u32.to_le_bytes());
            Ok(())
        })
        .unwrap();
    assert_eq!(store.get::<u32>(nameless).unwrap().unwrap().to_native(), 5);
    let error = store.get::<String>(nameless).unwrap_err();
    assert!(matches!(&error, Error::TypeMismatch { found, .. } if found == "u32"), "{error}");
}

#[test]
fn nothing_of_a_batch_is_seen_before_all_of_it_is_written_and_nothing_is_left_of_one_that_fails() {
    let region = RegionOptions::new().capacity(4 << 20).anonymous().unwrap();
    let shm = ShmConnector::new(region.clone());
    let put = |fails_at: usize| {
        shm.put_batch_with(&[10, 1, 100_000, 0], Fingerprint::BYTES, &mut |at, out| {
            assert_eq!(region.keys().unwrap(), [], "while {at} is written");
            if at == fails_at {
                return Err(Error::Codec { codec: "none", what: "given up".into() });
            }
            out.write(&vec![at as u8; [10, 5000, 100_000, 0][at]]);
            Ok(())
        })
    };
    assert!(matches!(put(3), Err(Error::Codec { .. })));
    let usage = region.usage().unwrap();
    assert_eq!((usage.objects, usage.bytes_in_use), (0, 0));
    let keys = put(4).unwrap();
    let lens: Vec<usize> =
        shm.get_batch(&keys).unwrap().iter().map(|block| block.as_ref().unwrap().len()).collect();
    assert_eq!(lens, [10, 5000, 100_000, 0]);
    let too_much = shm.put_batch_with(&[3 << 20, 3 << 20], Fingerprint::BYTES, &mut |_, out| {
        out.write(&[1]);
        Ok(())
    });
    assert!(matches!(too_much, Err(Error::OutOfSpace { .. })), "{too_much:?}");
    assert_eq!(region.keys().unwrap().len(), keys.len());
    assert!(region.check().unwrap().is_clean());
}
