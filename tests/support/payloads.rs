//! Payloads of every codec with hostile bytes: decoded and walked entirely, they are values or errors.
#![allow(dead_code, reason = "every program uses a part of it")]

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ffi::CString;
use std::fmt::Debug;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::ops::{Bound, Range};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use inplace::codec::{Archive, Codec, NdSlice, Raw, Serde, Slice, to_vec};
use inplace::connector::Block;
use inplace::{Error, Key, Proxy, Storable, storable};
use serde::{Deserialize, Serialize};

#[storable(derive(Debug))]
#[derive(Debug)]
pub struct Sample {
    channel: u16,
    label: String,
    values: Vec<f64>,
    boxed: Option<Box<str>>,
    number: NonZeroU32,
    letter: char,
    flag: bool,
}

#[storable(derive(Debug))]
#[derive(Debug)]
pub enum Shape {
    Empty,
    Circle(f64),
    Polygon { points: Vec<(f64, f64)>, closed: bool },
    Named(String, Option<Box<u32>>),
}

#[storable(derive(Debug))]
#[derive(Debug)]
pub struct Tree {
    pub name: String,
    pub children: Vec<Tree>,
    pub by_name: BTreeMap<String, Tree>,
}

#[storable(derive(Debug))]
#[derive(Debug)]
pub struct List {
    pub value: u8,
    pub next: Option<Box<List>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Node {
    pub value: u8,
    pub next: Option<Box<Node>>,
}

#[derive(Debug, Serialize, Deserialize)]
pub enum Json {
    Null,
    Flag(bool),
    Text(String),
    List(Vec<Json>),
    Map(BTreeMap<String, Json>),
    Pair { left: Box<Json>, right: Box<Json> },
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Nothing;

/// Decodes bytes as what a codec makes of `T`, and walks all of it.
fn decoded<C: Codec<T>, T: ?Sized>(bytes: &[u8], walk: impl Fn(&C::Target)) {
    match C::decode(Block::from_heap(bytes.into(), C::FINGERPRINT)) {
        Ok(value) => walk(&value),
        Err(Error::Codec { .. }) => {}
        Err(error) => panic!("an unexpected error: {error}"),
    }
}

fn shown<V: Debug + ?Sized>(value: &V) {
    std::hint::black_box(format!("{value:?}").len());
}

/// As an archive: read in place, and as a value of its own.
pub fn archive<T: Storable<Archived: Debug> + Debug>(bytes: &[u8]) {
    decoded::<Archive, T>(bytes, |archived| {
        shown(archived);
        if let Ok(value) = Archive::to_owned::<T>(archived) {
            shown(&value);
        }
    });
}

pub fn serde<T>(bytes: &[u8])
where
    T: Serialize + for<'de> Deserialize<'de> + Send + Sync + Debug + 'static,
{
    decoded::<Serde, T>(bytes, shown);
}

/// Hash tables are also asked for what they have and have not.
fn maps(bytes: &[u8]) {
    decoded::<Archive, HashMap<String, u32>>(bytes, |map| {
        shown(map);
        for key in ["", "a", "seven", "no such key"] {
            std::hint::black_box(map.get(key));
        }
    });
    decoded::<Archive, HashSet<u64>>(bytes, shown);
    decoded::<Archive, BTreeMap<String, u32>>(bytes, |map| {
        shown(map);
        for key in ["", "a", "seven", "no such key"] {
            std::hint::black_box(map.get(key));
        }
    });
}

type Leaves =
    (IpAddr, Duration, Bound<u32>, Range<u64>, Result<u8, String>, CString, Key, [u16; 3]);
type Shared = (Vec<Arc<str>>, Rc<Vec<u8>>, Option<Rc<Vec<u8>>>);

fn slices(bytes: &[u8]) {
    decoded::<Slice<f64>, [f64]>(bytes, shown);
    decoded::<Slice<u8>, [u8]>(bytes, |array| {
        shown(array);
        std::hint::black_box(array.at(&[1, 2, 3]));
    });
    decoded::<Slice<[f32; 3]>, [[f32; 3]]>(bytes, shown);
    decoded::<Raw, [u8]>(bytes, |bytes| shown(&bytes));
}

fn sample() -> Sample {
    Sample {
        channel: 7,
        label: "a label of some length".into(),
        values: vec![1.5; 5],
        boxed: Some("boxed".into()),
        number: NonZeroU32::MIN,
        letter: 'ß',
        flag: true,
    }
}

pub fn list(depth: usize) -> List {
    let mut list = List { value: 0, next: None };
    for _ in 0..depth {
        list = List { value: 1, next: Some(Box::new(list)) };
    }
    list
}

fn tree(depth: u32) -> Tree {
    let below = |count| (0..count).map(|_| tree(depth - 1)).collect::<Vec<_>>();
    let children = if depth == 0 { vec![] } else { below(2) };
    let named = if depth == 0 { vec![] } else { below(3) };
    let by_name = named.into_iter().enumerate().map(|(i, tree)| (format!("child {i}"), tree));
    Tree { name: "a tree with a long name".into(), children, by_name: by_name.collect() }
}

fn shared() -> Shared {
    let one: Arc<str> = "shared text".into();
    let bytes = Rc::new(vec![1, 2, 3]);
    (vec![one.clone(), one], bytes.clone(), Some(bytes))
}

fn leaves() -> Leaves {
    (
        IpAddr::from([127, 0, 0, 1]),
        Duration::from_millis(1500),
        Bound::Excluded(7),
        3..9,
        Err("an error".into()),
        c"text".into(),
        Key::new(1, 2),
        [1, 2, 3],
    )
}

fn json() -> Json {
    let pair = Json::Pair { left: Box::new(Json::Null), right: Box::new(Json::Flag(true)) };
    let list = Json::List(vec![pair, Json::Text("text".into())]);
    Json::Map([("one".to_owned(), list), ("two".to_owned(), Json::Null)].into())
}

fn encoded<C: Codec<T>, T: ?Sized>(codec: C, value: &T) -> Vec<u8> {
    to_vec(codec, value).unwrap()
}

/// How many kinds [`valid`] and [`resolve`] know.
pub const KINDS: u8 = 14;

/// Bytes that are a value of that kind.
pub fn valid(kind: u8) -> Vec<u8> {
    let table: HashMap<String, u32> = (0..20).map(|i| (format!("key {i}"), i)).collect();
    match kind % KINDS {
        0 => encoded(Archive, &sample()),
        1 => encoded(
            Archive,
            &vec![
                Shape::Empty,
                Shape::Circle(1.0),
                Shape::Polygon { points: vec![(1.0, 2.0); 3], closed: true },
                Shape::Named("name".into(), Some(Box::new(5))),
            ],
        ),
        2 => encoded(Archive, &tree(2)),
        3 => encoded(Archive, &list(20)),
        4 => encoded(Archive, &table),
        5 => encoded(Archive, &table.into_iter().collect::<BTreeMap<_, _>>()),
        6 => encoded(Archive, &leaves()),
        7 => encoded(Archive, &shared()),
        8 => encoded(Archive, &vec![Some("text".to_owned()), None]),
        9 => encoded(Slice::<f64>::default(), &NdSlice::new(&[2, 3], &[1.0; 6]).unwrap()),
        10 => encoded(Serde, &json()),
        11 => encoded(Serde, &Node { value: 1, next: None }),
        12 => encoded(Serde, &(vec![Nothing, Nothing], vec![((), 1_u8)], "text".to_owned())),
        _ => encoded(Archive, &(1..40).map(|i| i.to_string()).collect::<BTreeSet<String>>()),
    }
}

/// Resolves bytes as a value of that kind.
pub fn resolve(kind: u8, bytes: &[u8]) {
    match kind % KINDS {
        0 => archive::<Sample>(bytes),
        1 => archive::<Vec<Shape>>(bytes),
        2 => archive::<Tree>(bytes),
        3 => archive::<List>(bytes),
        4 | 5 => maps(bytes),
        6 => archive::<Leaves>(bytes),
        7 => archive::<Shared>(bytes),
        8 => {
            archive::<Vec<Option<String>>>(bytes);
            decoded::<Archive, Vec<Proxy<Vec<u32>>>>(bytes, shown);
        }
        9 => slices(bytes),
        10 => serde::<Json>(bytes),
        11 => serde::<Node>(bytes),
        12 => serde::<(Vec<Nothing>, Vec<((), u8)>, String)>(bytes),
        _ => decoded::<Archive, BTreeSet<String>>(bytes, shown),
    }
}

/// Bytes that say what kind, and are resolved as they are, or overwrite some of a valid value's.
pub fn payload(bytes: &[u8]) {
    let Some((&[kind, how], rest)) = bytes.split_first_chunk::<2>() else { return };
    if how.is_multiple_of(4) {
        // A value of serde starts with an outline, which nobody would guess.
        let outline = &valid(kind)[..8];
        let is_serde = (10..=12).contains(&(kind % KINDS));
        let whole = [if is_serde { outline } else { &[] }, rest].concat();
        return resolve(kind, &whole);
    }
    let mut value = valid(kind);
    for patch in rest.chunks_exact(4) {
        let at = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % value.len();
        match patch[2] % 4 {
            0 => value[at] ^= 1 << (patch[3] % 8),
            1 => value[at] = patch[3],
            2 => value[at..].iter_mut().take(8).for_each(|byte| *byte = patch[3]),
            _ => value[at] = value[at].wrapping_add(patch[3]),
        }
    }
    resolve(kind, &value);
    value.truncate(value.len() - usize::from(how) % value.len());
    resolve(kind, &value);
}
