//! One thread, one process, two instances.

use inplace::connector::{Block, BlockWriter, ConnectorConfig};
use inplace::{Error, Fingerprint, Key, Store};

use crate::subject::Subject;

/// Bytes that say where they are.
pub fn pattern(seed: usize, len: usize) -> Vec<u8> {
    (0..len).map(|at| (at.wrapping_mul(31) ^ seed ^ (at >> 8)) as u8).collect()
}

pub fn bytes_of_every_size_come_back(subject: &Subject) {
    let connector = &subject.connector;
    let second = subject.second();
    let sizes = [0, 1, 7, 63, 64, 65, 4095, 4096, 65_535, 65_536, 65_537, 300_001, 8 << 20];
    for (seed, len) in sizes.into_iter().enumerate() {
        let bytes = pattern(seed, len);
        let key = connector.put(&bytes).unwrap();
        for instance in [connector, &second] {
            let block = instance.get(key).unwrap().unwrap();
            assert!(*block == *bytes, "{len} bytes are others");
            assert_eq!(block.as_ptr().addr() % 64, 0, "{len}");
            assert_eq!(block.fingerprint(), Fingerprint::BYTES);
            assert!(instance.exists(key).unwrap());
        }
        assert!(connector.evict(key).unwrap());
    }
}

pub fn a_wrong_guess_of_the_size_does_no_harm(subject: &Subject) {
    let fingerprint = Fingerprint::of("guessed");
    for (guess, len) in [(0, 100), (1, 100_000), (100_000, 1), (500, 500), (64, 65), (65, 64)] {
        let bytes = pattern(guess, len);
        let mut fill = |out: &mut BlockWriter<'_>| {
            bytes.chunks(77).for_each(|part| out.write(part));
            Ok(())
        };
        let key = subject.connector.put_with(guess, fingerprint, &mut fill).unwrap();
        let block = subject.connector.get(key).unwrap().unwrap();
        assert!(*block == *bytes, "{len} bytes, guessed {guess}");
        assert_eq!(block.fingerprint(), fingerprint);
    }
    let refused = || Error::Codec { codec: "test", what: "no".into() };
    let outcome = subject.connector.put_with(10, fingerprint, &mut |_| Err(refused()));
    assert!(matches!(outcome, Err(Error::Codec { codec: "test", .. })), "{outcome:?}");
}

pub fn every_put_makes_another_object(subject: &Subject) {
    let keys: Vec<Key> = (0..50).map(|_| subject.connector.put(b"same").unwrap()).collect();
    let mut distinct = keys.clone();
    distinct.sort();
    distinct.dedup();
    assert_eq!(distinct.len(), keys.len());
    assert!(subject.connector.evict(keys[7]).unwrap());
    for (at, key) in keys.iter().enumerate() {
        assert_eq!(subject.connector.exists(*key).unwrap(), at != 7);
    }
    let again: Vec<Key> = (0..50).map(|_| subject.connector.put(b"other").unwrap()).collect();
    assert!(again.iter().all(|key| !keys.contains(key)), "a key is never given twice");
}

pub fn a_batch_keeps_its_order(subject: &Subject) {
    let items: Vec<Vec<u8>> = (0..40).map(|seed| pattern(seed, seed * seed * 37)).collect();
    let slices: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    let keys = subject.connector.put_batch(&slices).unwrap();
    assert_eq!(keys.len(), items.len());
    let second = subject.second();
    let shuffled: Vec<Key> = (0..keys.len()).map(|at| keys[at * 7 % keys.len()]).collect();
    let blocks = second.get_batch(&shuffled).unwrap();
    for (at, block) in blocks.into_iter().enumerate() {
        assert!(*block.unwrap() == *items[at * 7 % keys.len()], "{at}");
    }
    assert!(second.evict(keys[3]).unwrap());
    assert!(subject.connector.get_batch(&keys[2..5]).unwrap()[1].is_none());
    assert_eq!(subject.connector.evict_batch(&keys).unwrap(), keys.len() - 1);
    assert_eq!(subject.connector.evict_batch(&keys).unwrap(), 0);
    assert!(subject.connector.put_batch(&[]).unwrap().is_empty());
    assert!(subject.connector.get_batch(&[]).unwrap().is_empty());
}

pub fn a_batch_that_fails_leaves_nothing(subject: &Subject) {
    let before = subject.count.as_ref().map(|count| count());
    let mut fill = |at: usize, out: &mut BlockWriter<'_>| {
        if at == 3 {
            return Err(Error::Codec { codec: "test", what: "the fourth".into() });
        }
        out.write(&[at as u8; 100]);
        Ok(())
    };
    let outcome = subject.connector.put_batch_with(&[100; 5], Fingerprint::BYTES, &mut fill);
    assert!(matches!(outcome, Err(Error::Codec { codec: "test", .. })), "{outcome:?}");
    assert_eq!(subject.count.as_ref().map(|count| count()), before);
}

fn is_foreign<T: std::fmt::Debug>(outcome: inplace::Result<T>) -> bool {
    matches!(outcome, Err(Error::WrongRegion { .. }))
}

pub fn keys_of_nothing_are_none_and_keys_of_others_an_error(subject: &Subject) {
    let connector = &subject.connector;
    let own = connector.put(b"own").unwrap();
    let unknown = Key::new(own.space(), own.object() ^ 0x3fff_f000);
    assert!(connector.get(unknown).unwrap().is_none());
    assert!(connector.take(unknown).unwrap().is_none());
    assert!(!connector.exists(unknown).unwrap() && !connector.evict(unknown).unwrap());
    let foreign = Key::new(own.space() ^ 0xabcd, own.object());
    assert!(is_foreign(connector.get(foreign)) && is_foreign(connector.take(foreign)));
    assert!(is_foreign(connector.exists(foreign)) && is_foreign(connector.evict(foreign)));
    assert!(is_foreign(connector.get_batch(&[own, foreign])));
    let doomed = [connector.put(b"1").unwrap(), foreign, connector.put(b"2").unwrap()];
    assert!(is_foreign(connector.evict_batch(&doomed)));
    assert!(!connector.exists(doomed[0]).unwrap() && !connector.exists(doomed[2]).unwrap());
    assert!(connector.exists(own).unwrap());
    let told = connector.get(foreign).unwrap_err().to_string();
    assert!(told.contains(&format!("{:016x}", foreign.space())), "{told}");
}

pub fn an_evicted_object_is_gone_for_every_instance(subject: &Subject) {
    let (connector, second) = (&subject.connector, subject.second());
    for len in [0, 10, 100_000] {
        let key = connector.put(&pattern(1, len)).unwrap();
        assert!(second.exists(key).unwrap());
        assert!(second.evict(key).unwrap());
        for instance in [connector, &second] {
            assert!(!instance.exists(key).unwrap() && !instance.evict(key).unwrap());
            assert!(instance.get(key).unwrap().is_none() && instance.take(key).unwrap().is_none());
        }
    }
}

pub fn a_taken_object_is_gone_and_its_bytes_stay(subject: &Subject) {
    let (connector, second) = (&subject.connector, subject.second());
    for len in [0, 10, 100_000] {
        let key = connector.put(&pattern(2, len)).unwrap();
        let block = second.take(key).unwrap().unwrap();
        assert!(connector.take(key).unwrap().is_none() && second.get(key).unwrap().is_none());
        assert!(*block == *pattern(2, len));
    }
}

pub fn blocks_outlive_evict_close_and_connector(subject: &Subject) {
    let second = subject.second();
    let keys = [100, 100_000].map(|len| subject.connector.put(&pattern(3, len)).unwrap());
    let blocks: Vec<Block> = keys.iter().map(|key| second.get(*key).unwrap().unwrap()).collect();
    assert_eq!(subject.connector.evict_batch(&keys).unwrap(), 2);
    second.close().unwrap();
    drop(second);
    // What comes into the memory they had must not be seen through them.
    for _ in 0..20 {
        subject.connector.put(&[0xee; 100]).unwrap();
        subject.connector.put(&[0xee; 100_000]).unwrap();
    }
    for (block, len) in blocks.iter().zip([100, 100_000]) {
        assert!(**block == *pattern(3, len));
        let part = bytes::Bytes::from(block.clone()).slice(len - 1..);
        assert_eq!(part[0], pattern(3, len)[len - 1]);
    }
}

pub fn a_closed_connector_is_an_error_and_closes_again(subject: &Subject) {
    let second = subject.second();
    let key = second.put(b"there").unwrap();
    second.close().unwrap();
    second.close().unwrap();
    let closed = |outcome: inplace::Result<()>| matches!(outcome, Err(Error::Closed { .. }));
    assert!(closed(second.put(b"late").map(drop)) && closed(second.get(key).map(drop)));
    assert!(closed(second.take(key).map(drop)) && closed(second.exists(key).map(drop)));
    assert!(closed(second.evict(key).map(drop)) && closed(second.get_batch(&[key]).map(drop)));
    assert!(closed(second.put_batch(&[b"1", b"2"]).map(drop)));
    assert!(closed(second.evict_batch(&[key]).map(drop)));
    if let Some(deferrable) = second.deferrable() {
        assert!(
            closed(deferrable.reserve().map(drop)) && closed(deferrable.wait(key, None).map(drop))
        );
    }
    if let Some(loaning) = second.loaning() {
        assert!(closed(loaning.loan(1, Fingerprint::BYTES).map(drop)));
    }
    assert_eq!(&*subject.connector.get(key).unwrap().unwrap(), b"there", "others go on");
}

pub fn a_configuration_survives_text_and_bytes_and_leads_to_the_same_objects(subject: &Subject) {
    let config = subject.connector.config();
    assert!(config.is_same_place(&subject.config) && subject.config.is_same_place(&config));
    let text = config.to_toml();
    assert_eq!(ConnectorConfig::from_toml(&text).unwrap(), config, "{text}");
    let bytes = postcard::to_stdvec(&config).unwrap();
    assert_eq!(postcard::from_bytes::<ConnectorConfig>(&bytes).unwrap(), config);
    let json = serde_json::to_string(&config).unwrap();
    assert_eq!(serde_json::from_str::<ConnectorConfig>(&json).unwrap(), config);
    config.validate().unwrap();
    assert!(!config.is_same_place(&ConnectorConfig::local("elsewhere")));
    let again = ConnectorConfig::from_toml(&text).unwrap().connect().unwrap();
    let keys = [subject.connector.put(b"one").unwrap(), again.put(b"two").unwrap()];
    assert_eq!(&*again.get(keys[0]).unwrap().unwrap(), b"one");
    assert_eq!(&*subject.connector.get(keys[1]).unwrap().unwrap(), b"two");
}

pub fn a_value_is_not_read_as_another_type(subject: &Subject) {
    let store = |connector| Store::builder("types").shared_connector(connector).open().unwrap();
    let (here, there) = (store(subject.connector.clone()), store(subject.second()));
    let key = here.put(&vec![0.5_f64, 1.5]).unwrap();
    assert_eq!(there.get::<Vec<f64>>(key).unwrap().unwrap()[1], 1.5);
    let error = there.get::<Vec<u32>>(key).unwrap_err();
    assert!(matches!(error, Error::TypeMismatch { .. }), "{error}");
    assert!(error.to_string().contains("u32"), "{error}");
    assert!(matches!(there.take::<String>(key), Err(Error::TypeMismatch { .. })));
    assert!(here.exists(key).unwrap(), "a failed take takes nothing");
    let describes = subject.connector.describe(Fingerprint::of("unheard of"));
    assert_eq!(describes, None);
    if here
        .connector()
        .describe(there.connector().get(key).unwrap().unwrap().fingerprint())
        .is_some()
    {
        assert!(error.to_string().contains("f64"), "{error}");
    }
}
