//! Lazy references: resolving, evicting on resolve, the wire, the registry.

use std::collections::HashSet;
use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use inplace::codec::{Raw, Serde};
use inplace::connector::{ConnectorConfig, LocalConnector};
use inplace::proxy::{Access, ProxyRef, StoreRef};
use inplace::{Error, Key, Proxy, Store};

fn store(name: &str) -> Store {
    Store::builder(name).connector(LocalConnector::new()).open().unwrap()
}

#[test]
fn a_proxy_is_resolved_by_its_first_use() {
    let store = store("lazy");
    let proxy = store.proxy(&vec![1_u8, 2, 3]).unwrap();
    assert!(!proxy.is_resolved());
    assert!(format!("{proxy:?}").contains(&proxy.key().to_string()), "looking does not resolve");
    assert_eq!(proxy.len(), 3);
    assert!(proxy.is_resolved());
    store.evict(proxy.key()).unwrap();
    assert_eq!(proxy[2], 3, "resolved, it stays");
    let copy = proxy.clone();
    assert!(copy.is_resolved());
    assert_eq!(copy.into_view().unwrap().as_slice(), [1, 2, 3]);
}

#[test]
fn a_proxy_compares_hashes_and_prints_as_its_target() {
    let store = store("transparent");
    let [one, also_one, two] = [1_u32, 1, 2].map(|number| store.proxy(&number).unwrap());
    assert!(one == also_one && one < two && one.max(two.clone()) == two);
    assert_eq!(also_one.to_string(), "1");
    assert_eq!(format!("{also_one:?}"), format!("{:?}", *also_one));
    assert_eq!(HashSet::from([also_one, two, store.proxy(&1).unwrap()]).len(), 2);
}

#[test]
fn a_failed_resolve_names_its_cause_and_may_be_tried_again() {
    let store = store("failing");
    let proxy = store.proxy(&5_u64).unwrap();
    let wrong = store.proxy_from_key::<String>(proxy.key());
    assert!(matches!(wrong.resolve(), Err(Error::TypeMismatch { .. })));
    store.evict(proxy.key()).unwrap();
    assert!(matches!(proxy.resolve(), Err(Error::NotFound { .. })));
    let panic =
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| proxy.to_native())).unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("u64") && message.contains("is gone"), "{message}");
    assert!(matches!(proxy.into_view(), Err(Error::NotFound { .. })));
}

#[test]
fn a_batch_of_proxies_keeps_its_order() {
    let store = store("proxies");
    let proxies = store.proxy_batch(&[10_u16, 20, 30]).unwrap();
    let numbers: Vec<_> = proxies.iter().map(|proxy| proxy.to_native()).collect();
    assert_eq!(numbers, [10, 20, 30]);
}

#[test]
fn evicted_on_resolve_the_object_is_had_by_one_proxy_and_all_its_threads() {
    let store = store("evicting");
    for round in 0..100_u64 {
        let key = store.put(&round).unwrap();
        let proxies: Vec<Proxy<u64>> =
            (0..4).map(|_| store.proxy_from_key::<u64>(key).evict_on_resolve().unwrap()).collect();
        let outcomes: Vec<(usize, bool)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..12)
                .map(|at| {
                    let proxy = &proxies[at % 4];
                    scope.spawn(move || (at % 4, proxy.resolve().is_ok()))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winners: HashSet<_> =
            outcomes.iter().filter(|(_, won)| *won).map(|(at, _)| *at).collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        let of_winner = outcomes.iter().filter(|(at, _)| winners.contains(at));
        assert!(of_winner.clone().all(|(_, won)| *won), "{outcomes:?}");
        assert!(!store.exists(key).unwrap());
    }
}

#[test]
fn of_another_type_an_object_survives_evict_on_resolve() {
    let store = store("careful");
    let proxy =
        store.proxy_from_key::<String>(store.put(&1_u32).unwrap()).evict_on_resolve().unwrap();
    assert!(matches!(proxy.resolve(), Err(Error::TypeMismatch { .. })));
    assert!(store.exists(proxy.key()).unwrap());
}

#[test]
fn a_proxy_of_a_promise_waits_for_it() {
    let store = store("promised");
    let promises = store.connector().deferrable().unwrap();
    let key = promises.reserve().unwrap();
    let proxy = store.proxy_from_key::<[u8]>(key);
    assert!(matches!(proxy.resolve(), Err(Error::NotFound { .. })));
    let raw = store.with_codec(Raw).proxy_from_key::<[u8]>(key).wait_on_resolve();
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| assert_eq!(*raw, *b"kept"));
        std::thread::sleep(Duration::from_millis(5));
        let mut fill = |out: &mut inplace::connector::BlockWriter<'_>| {
            out.write(b"kept");
            Ok(())
        };
        promises.set_with(key, 4, inplace::Fingerprint::BYTES, &mut fill).unwrap();
        waiter.join().unwrap();
    });
}

#[test]
fn every_thread_of_a_race_sees_one_value_and_the_rest_is_dropped() {
    let store = Store::builder("racing")
        .connector(LocalConnector::new())
        .cache_size(0)
        .codec(Serde)
        .open()
        .unwrap();
    for _ in 0..50 {
        let proxy = store.proxy(&vec![1_u64, 2]).unwrap();
        let places: HashSet<usize> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..6)
                .map(|_| scope.spawn(|| std::ptr::from_ref(proxy.resolve().unwrap()).addr()))
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert_eq!(places.len(), 1);
    }
}

#[test]
fn a_proxy_dropped_gives_its_block_back() {
    let store = store("dropping");
    let proxy = store.proxy(&vec![0_u8; 100]).unwrap();
    let bytes = proxy.clone().into_view().unwrap().block().unwrap().as_ptr();
    let copies: Vec<_> = (0..3).map(|_| proxy.clone()).collect();
    copies.iter().for_each(|copy| assert_eq!(copy.len(), 100));
    assert_eq!(copies[0].clone().into_view().unwrap().block().unwrap().as_ptr(), bytes);
}

#[test]
fn on_the_wire_a_proxy_is_nineteen_bytes_and_its_stores_name() {
    let wire = ProxyRef {
        key: Key::new(u64::MAX, u64::MAX),
        access: Access::Take,
        store: StoreRef::Region("weather".into()),
    };
    let proxy = Proxy::<Vec<f64>>::from_ref(wire.clone());
    let sent = postcard::to_stdvec(&proxy).unwrap();
    assert_eq!(sent.len(), 19 + "weather".len());
    assert_eq!(postcard::from_bytes::<Proxy<Vec<f64>>>(&sent).unwrap().to_ref(), wire);
    let text = serde_json::to_string(&proxy).unwrap();
    assert_eq!(
        text,
        r#"{"key":"ffffffffffffffff-ffffffffffffffff","access":"take","store":{"region":"weather"}}"#
    );
    assert_eq!(serde_json::from_str::<Proxy<Vec<f64>>>(&text).unwrap().to_ref(), wire);
    assert!(serde_json::from_str::<Proxy<u8>>(&text.replace("take", "steal")).is_err());
}

#[test]
fn a_proxy_that_arrives_uses_the_registered_store_or_opens_its_own() {
    let store = store("arriving");
    let sent = serde_json::to_string(&store.proxy("hello").unwrap()).unwrap();
    assert!(Store::registered("arriving").is_none());
    let received: Proxy<str> = serde_json::from_str(&sent).unwrap();
    assert_eq!(received.as_str(), "hello");
    let opened = Store::registered("arriving").expect("the first use opened and registered it");
    assert_eq!(opened.config().connector, store.config().connector);
    opened.close().unwrap();
    assert!(Store::registered("arriving").is_none());
}

#[test]
fn a_store_of_the_same_name_but_another_configuration_is_refused() {
    let [one, other] = ["mine", "theirs"].map(|dictionary| {
        let connector = ConnectorConfig::local(dictionary);
        Store::builder("contested").connector_config(connector).open().unwrap()
    });
    let proxy = other.proxy(&1_u8).unwrap();
    let sent = postcard::to_stdvec(&proxy).unwrap();
    let guard = one.register().unwrap();
    let again = one.register().unwrap();
    let error = other.register().unwrap_err();
    assert!(matches!(&error, Error::StoreMismatch { .. }));
    assert!(error.to_string().contains("mine") && error.to_string().contains("theirs"), "{error}");
    let received: Proxy<u8> = postcard::from_bytes(&sent).unwrap();
    assert!(matches!(received.resolve(), Err(Error::StoreMismatch { .. })));
    assert_eq!(*proxy, 1, "who has the store needs no registry");
    drop(guard);
    assert!(Store::registered("contested").is_some(), "registered twice");
    drop(again);
    assert!(Store::registered("contested").is_none());
    let _guard = other.register().unwrap();
    assert_eq!(*received, 1);
}

#[test]
fn a_store_is_opened_once_by_many_first_uses() {
    let store = store("stampede");
    let sent = postcard::to_stdvec(&store.proxy(&9_u8).unwrap()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(*postcard::from_bytes::<Proxy<u8>>(&sent).unwrap(), 9));
        }
    });
    Store::registered("stampede").unwrap().close().unwrap();
}

#[inplace::storable]
struct Chain {
    label: String,
    next: Option<Proxy<Chain>>,
    raw: Arc<Proxy<[u8], Raw>>,
}

#[test]
fn proxies_nest_in_archived_types_and_may_be_of_the_type_itself() {
    let store = store("nested");
    let _registered = store.register().unwrap();
    let link = |label: &str, next| Chain {
        label: label.into(),
        next,
        raw: Arc::new(store.with_codec(Raw).proxy(label.as_bytes()).unwrap()),
    };
    let last = store.proxy(&link("last", None)).unwrap();
    let first = store.proxy(&link("first", Some(last.clone()))).unwrap();
    let next = first.next.as_ref().unwrap();
    assert_eq!(next.key(), last.key());
    let next = next.to_proxy();
    assert_eq!(next.label.as_str(), "last");
    assert_eq!(*next.raw.to_proxy(), *b"last");
    let owned = inplace::codec::Archive::to_owned::<Chain>(&first).unwrap();
    assert_eq!(owned.next.unwrap().key(), last.key());
}

#[test]
fn proxies_are_shared_between_threads_whatever_they_stand_for() {
    fn everywhere<T: Send + Sync>() {}
    everywhere::<Proxy<Vec<f64>>>();
    everywhere::<Proxy<std::rc::Rc<u8>>>();
    everywhere::<Proxy<[u8], Raw>>();
}

#[test]
fn resolved_in_the_background_a_proxy_is_waited_for_or_awaited() {
    struct Unpark(std::thread::Thread);
    impl std::task::Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let store = store("background");
    let proxy = store.proxy(&vec![5_u32; 10_000]).unwrap();
    let waited = proxy.clone().resolve_async().wait().unwrap();
    assert!(waited.is_resolved() && waited[9_999] == 5);

    let waker = Arc::new(Unpark(std::thread::current())).into();
    let mut context = Context::from_waker(&waker);
    let mut coming = std::pin::pin!(proxy.clone().resolve_async());
    let awaited = loop {
        match coming.as_mut().poll(&mut context) {
            Poll::Ready(proxy) => break proxy.unwrap(),
            Poll::Pending => std::thread::park(),
        }
    };
    assert!(awaited.is_resolved());

    let taken = proxy.clone().evict_on_resolve().unwrap().resolve_async().wait().unwrap();
    assert_eq!(taken.len(), 10_000);
    assert!(matches!(proxy.resolve_async().wait(), Err(Error::NotFound { .. })));
}
