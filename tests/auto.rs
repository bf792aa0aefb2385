//! Arguments that go inline when they are small and by proxy when they are large.

mod support;

use std::collections::HashSet;

use inplace::codec::{Raw, Serde, Slice};
use inplace::connector::{LocalConnector, ShmConnector};
use inplace::{AUTO_THRESHOLD, Auto, Error, Proxy, RegionOptions, Store};
use serde::{Deserialize, Serialize};
use support::{Name, Program, role, say};

fn store(name: &str) -> Store {
    Store::builder(name).connector(LocalConnector::new()).register().open().unwrap()
}

#[inplace::storable]
#[derive(PartialEq)]
struct Job {
    name: String,
    matrix: Vec<f64>,
    wide: u128,
}

fn job(len: usize) -> Job {
    Job { name: format!("job of {len}"), matrix: vec![0.5; len], wide: 1 << 100 }
}

/// Neither knows nor cares.
fn work(job: &Auto<Job>) -> (String, f64, u128) {
    let sum = job.matrix.iter().map(|number| number.to_native()).sum();
    (job.name.to_string(), sum, job.wide.to_native())
}

fn sent<T: ?Sized, C: inplace::codec::Codec<T>>(auto: &Auto<T, C>) -> Auto<T, C> {
    postcard::from_bytes(&postcard::to_stdvec(auto).unwrap()).unwrap()
}

#[test]
fn a_function_works_alike_with_what_came_inline_and_what_came_by_proxy() {
    let store = store("alike");
    for (len, is_inline) in [(0, true), (10, true), (1000, false), (100_000, false), (3, true)] {
        let auto = store.auto(&job(len)).unwrap();
        let received = sent(&auto);
        for auto in [&auto, &received, &received.clone()] {
            assert_eq!(auto.is_inline(), is_inline, "{len}");
            assert_eq!(work(auto), (format!("job of {len}"), len as f64 / 2.0, 1 << 100));
            assert_eq!(auto.key().is_none(), is_inline);
        }
        if let Some(key) = auto.key() {
            assert!(store.evict(key).unwrap());
        }
    }
}

#[test]
fn the_threshold_counts_encoded_bytes_exactly_whatever_was_sent_before() {
    let store = store("threshold").with_codec(Raw);
    for round in 0..3 {
        for len in [0, 1, AUTO_THRESHOLD - 1, AUTO_THRESHOLD, AUTO_THRESHOLD + 1, 1 << 20] {
            let auto = store.auto(&vec![round; len][..]).unwrap();
            assert_eq!(auto.is_inline(), len <= AUTO_THRESHOLD, "{len}");
            assert_eq!(auto.len(), len);
        }
    }
    // The archive's guess is the last one's size: wrong both ways here.
    let archives = store.with_codec(inplace::codec::Archive);
    for len in [1, 100_000, 1, 1, 100_000, 100_000, 1] {
        let auto = archives.auto_above(1000, &vec![1_u8; len]).unwrap();
        assert_eq!(auto.is_inline(), len == 1, "{len}");
    }
    assert!(!store.auto_above(0, b"x".as_slice()).unwrap().is_inline());
    assert!(store.auto_above(usize::MAX, &[1; 100_000][..]).unwrap().is_inline());
}

#[test]
fn what_goes_inline_takes_nothing_of_the_store() {
    let region = RegionOptions::new().capacity(1 << 20).max_objects(100).anonymous().unwrap();
    let store =
        Store::builder("nothing").connector(ShmConnector::new(region.clone())).open().unwrap();
    let large = store.auto(&vec![1_u64; 2000]).unwrap();
    for _ in 0..300 {
        assert!(store.auto(&vec![1_u64; 2]).unwrap().is_inline());
    }
    assert_eq!(region.keys().unwrap(), [large.key().unwrap()]);
    store.evict(large.key().unwrap()).unwrap();
    drop(large);
    let report = region.check().unwrap();
    assert!(report.is_clean() && report.bytes_in_use == 0, "{report}");
}

#[test]
fn a_predicate_decides_instead_of_a_threshold() {
    let store = store("predicate");
    let is_large = |job: &Job| job.matrix.len() > 2;
    assert!(store.auto_if(&job(2), is_large).unwrap().is_inline());
    assert!(!store.auto_if(&job(3), is_large).unwrap().is_inline());
    assert!(Auto::<Job>::inline(&job(10_000)).unwrap().is_inline());
    let proxy: Proxy<Job> = store.proxy(&job(1)).unwrap();
    let auto = Auto::from(proxy.clone());
    assert_eq!((auto.is_inline(), auto.key()), (false, Some(proxy.key())));
    assert_eq!(auto.proxy().unwrap().key(), proxy.key());
}

#[test]
fn inline_bytes_are_aligned_wherever_they_arrive_in_a_message() {
    let store = store("aligned");
    for shift in 0..40 {
        let auto = store.auto(&job(7)).unwrap();
        let message = postcard::to_stdvec(&(vec![1_u8; shift], &auto, "after")).unwrap();
        let (_, received, after): (Vec<u8>, Auto<Job>, String) =
            postcard::from_bytes(&message).unwrap();
        assert_eq!((work(&received), &*after), (work(&auto), "after"));
        assert_eq!(std::ptr::from_ref(&received.wide).addr() % 16, 0);
    }
}

#[test]
fn text_formats_carry_them_too() {
    let store = store("text");
    for len in [1, 1000] {
        let auto = store.auto(&job(len)).unwrap();
        let text = serde_json::to_string(&auto).unwrap();
        let received: Auto<Job> = serde_json::from_str(&text).unwrap();
        assert_eq!((received.is_inline(), work(&received)), (auto.is_inline(), work(&auto)));
    }
    assert!(serde_json::from_str::<Auto<Job>>(r#"{"inline":[1,[256]]}"#).is_err());
    assert!(serde_json::from_str::<Auto<Job>>(r#"{"inline":[1,"text"]}"#).is_err());
}

#[test]
fn every_codec_goes_both_ways() {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    struct Plain(Vec<String>);

    let store = store("codecs");
    for len in [2, 2000] {
        let plain = Plain(vec!["text".into(); len]);
        let auto = store.with_codec(Serde).auto(&plain).unwrap();
        assert_eq!((&*sent(&auto), auto.is_inline()), (&plain, len == 2));
        let numbers = store.with_codec(Slice::<f32>::default()).auto(&vec![1.5; len]).unwrap();
        assert_eq!(sent(&numbers).iter().sum::<f32>(), 1.5 * len as f32);
        let bytes = store.with_codec(Raw).auto(&vec![7; len * 4][..]).unwrap();
        assert_eq!(*sent(&bytes), vec![7; len * 4][..]);
    }
}

#[test]
fn another_type_is_refused_on_both_ways() {
    let store = store("typed");
    let inline = postcard::to_stdvec(&store.auto(&vec![1.0_f64]).unwrap()).unwrap();
    let text = serde_json::to_string(&store.auto(&vec![1.0_f64]).unwrap()).unwrap();
    let wrong: [Auto<Vec<u64>>; 2] =
        [postcard::from_bytes(&inline).unwrap(), serde_json::from_str(&text).unwrap()];
    for wrong in wrong {
        let error = wrong.resolve().unwrap_err().to_string();
        assert!(error.contains("expected Vec<u64>, found Vec<f64>"), "{error}");
        let passed_on: Auto<Vec<f64>> =
            postcard::from_bytes(&postcard::to_stdvec(&wrong).unwrap()).unwrap();
        assert_eq!(passed_on[0], 1.0, "whoever expects what it is has it");
        assert!(wrong.clone().into_view().is_err());
        let used = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| wrong.len()));
        assert!(used.unwrap_err().downcast_ref::<String>().unwrap().contains("Vec<f64>"));
    }
    let proxied = postcard::to_stdvec(&store.auto_above(0, &vec![1.0_f64]).unwrap()).unwrap();
    let wrong: Auto<Vec<u64>> = postcard::from_bytes(&proxied).unwrap();
    assert!(matches!(wrong.resolve(), Err(Error::TypeMismatch { .. })));
    assert!(matches!(wrong.into_view(), Err(Error::TypeMismatch { .. })));
}

#[test]
fn hostile_bytes_are_errors() {
    let auto = Auto::<Job>::inline(&job(20)).unwrap();
    let whole = postcard::to_stdvec(&auto).unwrap();
    for len in 0..whole.len() {
        assert!(postcard::from_bytes::<Auto<Job>>(&whole[..len]).is_err(), "cut at {len}");
    }
    // A wrong byte is an error, or another value that can be looked at.
    let (mut refused, mut random) = (0, support::random::Random::new(5));
    for at in 0..whole.len() {
        for _ in 0..8 {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << random.below(8);
            match postcard::from_bytes::<Auto<Job>>(&bytes) {
                Ok(auto) if auto.resolve().is_err() => refused += 1,
                Ok(auto) => drop(work(&auto)),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 50, "{refused}");
    // A length that is only said.
    let mut lying = vec![0];
    lying.extend(postcard::to_stdvec(&1_u64).unwrap());
    lying.extend(postcard::to_stdvec(&(u64::MAX / 2)).unwrap());
    assert!(postcard::from_bytes::<Auto<Job>>(&lying).is_err());
    assert!(postcard::from_bytes::<Auto<Job>>(&[7, 1, 2, 3]).is_err());
}

#[test]
fn it_compares_hashes_and_prints_as_its_value() {
    let store = store("transparent");
    let [inline, proxied] = [usize::MAX, 0].map(|above| store.auto_above(above, &5_u32).unwrap());
    assert!(inline == proxied && inline.to_string() == "5");
    assert_eq!(HashSet::from([inline.clone(), proxied]).len(), 1);
    assert_eq!(format!("{inline:?}"), format!("{:?}", *inline));
    let unresolved = sent(&store.auto_above(0, &5_u32).unwrap());
    assert!(format!("{unresolved:?}").contains("Proxy"), "looking does not resolve");
    let view = inline.into_view().unwrap();
    assert_eq!(*view, 5);
}

#[test]
fn evicted_on_resolve_only_what_went_by_proxy_is_gone() {
    let store = store("evicting");
    let inline = sent(&store.auto(&1_u8).unwrap().evict_on_resolve().unwrap());
    assert_eq!(*inline, 1);
    let auto = store.auto_above(0, &1_u8).unwrap();
    let received = sent(&auto.clone().evict_on_resolve().unwrap());
    assert_eq!(*received, 1);
    assert!(!store.exists(auto.key().unwrap()).unwrap());
    assert!(matches!(auto.resolve(), Err(Error::NotFound { .. })));
}

#[test]
fn program() {
    let Some((role, sent)) = role() else { return };
    assert_eq!(role, "work");
    let job: Auto<Job> = serde_json::from_str(&sent).unwrap();
    let (name, sum, _) = work(&job);
    say(format!("{name}: {sum}, inline {}", job.is_inline()));
}

#[test]
fn a_program_that_never_saw_the_store_works_with_either() {
    let name = Name::new("auto");
    let store = Store::open(&name).unwrap();
    for (len, is_inline) in [(4, true), (4000, false)] {
        let sent = serde_json::to_string(&store.auto(&job(len)).unwrap()).unwrap();
        let (program, said) = Program::ready("work", &sent);
        assert_eq!(said, format!("job of {len}: {}, inline {is_inline}", len / 2));
        program.finish();
    }
}
