use std::collections::BTreeMap;

use super::*;
use crate::codec::testing::{block, encoded, stored};

#[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
struct Job {
    name: String,
    steps: Vec<Step>,
    limits: BTreeMap<String, Option<f64>>,
}

#[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
enum Step {
    Wait,
    Run { command: String },
}

#[derive(Debug, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
struct Renamed {
    name: String,
    stages: Vec<Step>,
}

fn job() -> Job {
    Job {
        name: "build".into(),
        steps: vec![Step::Wait, Step::Run { command: "make".into() }],
        limits: [("hours".to_string(), Some(1.5)), ("cores".to_string(), None)].into(),
    }
}

fn get<T>(block: Block) -> Result<Decoded<T>>
where
    T: Serialize + DeserializeOwned + Send + Sync + 'static,
{
    <Serde as Codec<T>>::decode(block)
}

#[test]
fn values_come_back() {
    assert_eq!(*get::<Job>(stored(Serde, &job())).unwrap(), job());
    assert_eq!(*get::<()>(stored(Serde, &())).unwrap(), ());
    assert_eq!(*get::<Option<u8>>(stored(Serde, &None::<u8>)).unwrap(), None);
}

#[test]
fn another_type_is_an_error_that_names_it() {
    let error = get::<Renamed>(stored(Serde, &job())).unwrap_err().to_string();
    assert!(error.contains("another type") && error.contains("Renamed"), "{error}");
    assert!(get::<Vec<u64>>(stored(Serde, &vec![1.0_f64])).is_err());
    assert!(get::<Vec<u64>>(stored(Serde, &Vec::<f64>::new())).is_err());
    assert!(get::<BTreeMap<u8, u8>>(stored(Serde, &BTreeMap::<u16, u8>::new())).is_err());
}

#[test]
fn truncated_bytes_are_an_error_and_never_a_panic() {
    let bytes = encoded(Serde, &job());
    for len in 0..bytes.len() {
        assert!(get::<Job>(block(&bytes[..len], Fingerprint::BYTES)).is_err());
    }
}

#[test]
fn bytes_after_the_value_are_an_error() {
    let mut bytes = encoded(Serde, &7_u32);
    bytes.push(0);
    assert!(
        get::<u32>(block(&bytes, Fingerprint::BYTES))
            .unwrap_err()
            .to_string()
            .contains("left over")
    );
}
