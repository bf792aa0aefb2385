//! Typed values over a connector: put, get, take, evict, codecs, cache, configuration.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use inplace::codec::{Codec, Decoded, Raw, Serde};
use inplace::connector::{Block, BlockWriter, LocalConnector};
use inplace::{Error, Fingerprint, Key, Result, Store, StoreConfig};

fn store(name: &str) -> Store {
    Store::builder(name).connector(LocalConnector::new()).open().unwrap()
}

#[test]
fn what_was_put_is_got_in_place_until_it_is_evicted() {
    let store = store("in-place");
    let key = store.put(&vec![1.0, 2.0, 3.0]).unwrap();
    let view = store.get::<Vec<f64>>(key).unwrap().unwrap();
    assert_eq!(view.as_slice(), [1.0, 2.0, 3.0]);
    let block = view.block().expect("in place").as_ptr_range();
    assert!(block.contains(&view.as_ptr().cast()));
    assert!(store.exists(key).unwrap());
    assert!(store.evict(key).unwrap());
    assert!(!store.exists(key).unwrap());
    assert!(store.get::<Vec<f64>>(key).unwrap().is_none());
    assert!(!store.evict(key).unwrap(), "evicting a missing object is silent");
    assert_eq!(view.as_slice(), [1.0, 2.0, 3.0], "a view outlives the evict");
}

#[test]
fn unsized_values_are_put_without_a_copy_first() {
    let store = store("unsized");
    let text = store.put("plain text").unwrap();
    assert_eq!(store.get::<str>(text).unwrap().unwrap().as_str(), "plain text");
    let numbers = store.put([1_u16, 2].as_slice()).unwrap();
    assert_eq!(store.get::<[u16]>(numbers).unwrap().unwrap().len(), 2);
}

#[test]
fn a_wrong_type_is_an_error_that_names_both() {
    let store = store("types");
    let key = store.put(&vec![1.0_f64]).unwrap();
    let error = store.get::<Vec<u64>>(key).unwrap_err();
    let Error::TypeMismatch { expected, found, .. } = &error else { panic!("{error}") };
    assert!(expected.contains("u64") && found.contains("f64"), "{error}");
    let raw = store.connector().put(b"raw").unwrap();
    assert!(
        matches!(store.get::<String>(raw), Err(Error::TypeMismatch { found, .. }) if found == "bytes")
    );
    assert!(matches!(store.take::<Vec<u64>>(key), Err(Error::TypeMismatch { .. })));
    assert!(store.exists(key).unwrap(), "taken as the wrong type, it is not lost");
}

#[test]
fn a_key_of_another_connector_is_an_error_not_an_absence() {
    let (one, other) = (store("one"), store("other"));
    let key = one.put(&7_u32).unwrap();
    for result in
        [other.get::<u32>(key).map(drop), other.exists(key).map(drop), other.evict(key).map(drop)]
    {
        assert!(matches!(result, Err(Error::WrongRegion { .. })), "{result:?}");
    }
    let stale = Key::new(key.space(), key.object() + 1000);
    assert!(one.get::<u32>(stale).unwrap().is_none());
}

#[test]
fn of_many_takers_one_gets_the_object() {
    let store = store("takers");
    for round in 0..50_u64 {
        let key = store.put(&round).unwrap();
        let take = || store.take::<u64>(key).unwrap();
        let taken: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6).map(|_| scope.spawn(take)).collect();
            threads.into_iter().filter_map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].to_native(), round);
    }
}

#[test]
fn a_batch_keeps_its_order() {
    let store = store("batch");
    let values = ["one".to_owned(), "two".to_owned(), "three".to_owned()];
    let keys = store.put_batch(&values).unwrap();
    let gone = store.put("gone").unwrap();
    store.evict(gone).unwrap();
    let views = store.get_batch::<String>(&[keys[2], gone, keys[0]]).unwrap();
    let texts: Vec<_> = views.iter().map(|view| view.as_ref().map(|text| text.as_str())).collect();
    assert_eq!(texts, [Some("three"), None, Some("one")]);
    assert_eq!(store.evict_batch(&keys).unwrap(), 3);
    assert_eq!(store.evict_batch(&keys).unwrap(), 0);
}

#[derive(Debug, Clone, Copy, Default)]
struct Small;

impl Codec<[u8]> for Small {
    type Target = [u8];
    const FINGERPRINT: Fingerprint = Fingerprint::of("test::small");

    fn type_name() -> String {
        "small bytes".into()
    }

    fn size_hint(&self, _: &[u8]) -> usize {
        0
    }

    fn encode(&self, value: &[u8], out: &mut BlockWriter<'_>) -> Result<()> {
        ENCODED.fetch_add(1, Relaxed);
        if value.is_empty() {
            return Err(Error::Codec { codec: "small", what: "empty".into() });
        }
        out.write(value);
        Ok(())
    }

    fn decode(block: Block) -> Result<Decoded<[u8]>> {
        Decoded::project(block, |bytes| Ok(bytes))
    }
}

static ENCODED: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

#[test]
fn a_codec_that_guesses_badly_is_called_once_again_and_a_failed_batch_leaves_nothing() {
    let store =
        Store::builder("guesses").connector(LocalConnector::new()).codec(Small).open().unwrap();
    let encodings = |len: usize| {
        let before = ENCODED.load(Relaxed);
        let key = store.put(vec![7; len].as_slice()).unwrap();
        assert_eq!(*store.get::<[u8]>(key).unwrap().unwrap(), *vec![7; len]);
        ENCODED.load(Relaxed) - before
    };
    assert_eq!(encodings(100_000), 2, "nothing is known yet");
    assert_eq!(encodings(100_000), 1);
    assert_eq!(encodings(99_000), 1);
    assert_eq!(encodings(10), 2, "no block of 100 kB for ten bytes");
    assert_eq!(encodings(10), 1);

    let first = store.put(b"first".as_slice()).unwrap();
    let values: [&[u8]; 3] = [b"a", b"b", b""];
    assert!(matches!(store.put_batch(values), Err(Error::Codec { .. })));
    let put = |at: u64| Key::new(first.space(), first.object() + at);
    assert!(store.exists(first).unwrap());
    assert!(!store.exists(put(1)).unwrap() && !store.exists(put(2)).unwrap());
}

#[test]
fn raw_bytes_come_back_as_bytes_without_a_copy() {
    let store = store("raw");
    let key = store.put_as(Raw, b"already serialized".as_slice()).unwrap();
    let view = store.get_as::<Raw, [u8]>(key).unwrap().unwrap();
    let place = view.as_ptr();
    let bytes = Bytes::from(view);
    assert_eq!(bytes.as_ptr(), place);
    assert_eq!(bytes.slice(8..), "serialized");
    let block = store.connector().get(key).unwrap().unwrap();
    assert_eq!(Bytes::from(block).as_ptr(), place);
    assert!(matches!(store.get::<String>(key), Err(Error::TypeMismatch { .. })));
}

#[test]
fn values_made_anew_are_kept_but_never_after_an_evict() {
    let local = Arc::new(LocalConnector::new());
    let open =
        || Store::builder("cached").shared_connector(local.clone()).codec(Serde).open().unwrap();
    let (store, elsewhere) = (open(), open());
    let key = store.put(&vec!["x".to_owned()]).unwrap();
    let get = |store: &Store<Serde>| store.get::<Vec<String>>(key).unwrap();
    let first = get(&store).unwrap();
    assert!(first.block().is_none());
    assert!(std::ptr::eq(&*first, &*get(&store).unwrap()), "kept");
    assert!(!std::ptr::eq(&*first, &*get(&elsewhere).unwrap()), "each store has its own");
    elsewhere.evict(key).unwrap();
    assert!(get(&store).is_none());
    assert_eq!(*first, ["x"]);
}

#[test]
fn a_cache_of_no_entries_or_bytes_keeps_nothing() {
    for (size, bytes) in [(0, 1 << 20), (16, 0)] {
        let connector = LocalConnector::new();
        let builder = Store::builder("uncached").connector(connector).codec(Serde);
        let store = builder.cache_size(size).cache_bytes(bytes).open().unwrap();
        let key = store.put(&5_u32).unwrap();
        let get = || store.get::<u32>(key).unwrap().unwrap();
        assert!(!std::ptr::eq(&*get(), &*get()), "{size} {bytes}");
    }
}

#[test]
fn absurd_options_are_refused() {
    let builder = || Store::builder("options").connector(LocalConnector::new());
    assert!(matches!(builder().cache_size(usize::MAX).open(), Err(Error::InvalidConfig { .. })));
    assert!(matches!(builder().cache_bytes(u64::MAX).open(), Err(Error::InvalidConfig { .. })));
    for name in ["", "a/b", "."] {
        let result = Store::builder(name).connector(LocalConnector::new()).open();
        assert!(matches!(result, Err(Error::InvalidName { .. })), "{name:?}");
    }
    for text in ["cache_size = -1", "cache_bytes = -1", "cash_size = 1", "connector = 5"] {
        let result = Store::from_toml(&format!("name = \"options\"\n{text}\n"));
        assert!(matches!(result, Err(Error::ConfigText(_))), "{text}");
    }
}

#[test]
fn a_configuration_in_toml_opens_the_same_objects() {
    let store =
        Store::builder("configured").connector(LocalConnector::new()).cache_size(3).open().unwrap();
    let key = store.put(&11_u64).unwrap();
    let text = store.config().to_toml();
    let again = Store::from_toml(&text).unwrap();
    assert_eq!(again.config(), store.config());
    assert_eq!(again.get::<u64>(key).unwrap().unwrap().to_native(), 11);
    let wire = postcard::to_stdvec(store.config()).unwrap();
    assert_eq!(postcard::from_bytes::<StoreConfig>(&wire).unwrap(), *store.config());
}

#[test]
fn a_closed_store_says_so_and_may_be_closed_again() {
    let store = store("closed");
    let key = store.put(&1_u8).unwrap();
    let view = store.get::<u8>(key).unwrap().unwrap();
    store.close().unwrap();
    store.close().unwrap();
    assert!(matches!(store.get::<u8>(key), Err(Error::Closed { .. })));
    assert!(matches!(store.put(&1_u8), Err(Error::Closed { .. })));
    assert_eq!(*view, 1);
}

#[test]
fn views_are_shared_between_threads_and_print_and_compare_as_what_they_show() {
    fn everywhere<T: Send + Sync + 'static>(value: T) -> T {
        value
    }
    let store = everywhere(store("views"));
    let [low, high] = [3_u32, 9].map(|number| {
        let key = store.put(&number).unwrap();
        everywhere(store.get::<u32>(key).unwrap().unwrap())
    });
    assert!(low < high && low == low.clone() && low != high);
    assert_eq!((format!("{low:?}"), format!("{high}")), (format!("{:?}", *low), "9".to_owned()));
    assert!(std::collections::HashSet::from([low, high.clone()]).contains(&high));
}
