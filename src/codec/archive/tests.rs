use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::codec::testing::{block, encoded, stored};
use crate::key::Key;
use crate::storable;

fn view<T: Storable>(value: &T) -> Decoded<T::Archived> {
    <Archive as Codec<T>>::decode(stored(Archive, value)).unwrap()
}

#[track_caller]
fn comes_back<T: Storable + PartialEq + std::fmt::Debug>(value: T) {
    assert_eq!(Archive::to_owned::<T>(&view(&value)).unwrap(), value);
}

fn refused<T: Storable>(bytes: &[u8]) -> String {
    match <Archive as Codec<T>>::decode(block(bytes, T::FINGERPRINT)) {
        Err(Error::Codec { codec: "archive", what }) => what,
        Err(error) => panic!("not a codec error: {error}"),
        Ok(_) => panic!("accepted"),
    }
}

#[storable(derive(Debug, PartialEq))]
#[derive(Debug, Clone, PartialEq)]
struct Sample {
    channel: u16,
    label: String,
    values: Vec<f64>,
}

#[storable]
#[derive(Debug, Clone, Copy, PartialEq)]
struct Unit;

#[storable]
#[derive(Debug, Clone, PartialEq)]
struct Wrapper(u32, Option<Box<str>>);

#[storable]
#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Empty,
    Circle(f64),
    Polygon { points: Vec<(f64, f64)>, closed: bool },
}

#[storable]
#[derive(Debug, Clone, PartialEq)]
struct Pair<A, B, const N: usize> {
    first: A,
    rest: Vec<B>,
    fixed: [A; N],
}

#[storable]
#[derive(Debug, Clone, PartialEq)]
struct Table<K: std::hash::Hash + Eq, V> {
    rows: HashMap<K, V>,
}

#[storable]
#[derive(Debug, Clone, PartialEq)]
struct Tree {
    name: String,
    children: Vec<Tree>,
    twin: Option<Box<Self>>,
    by_name: BTreeMap<String, Tree>,
}

#[storable]
#[derive(Debug, Clone, PartialEq)]
struct List<T> {
    value: T,
    next: Option<Box<List<T>>>,
}

#[storable]
#[derive(Debug, Clone, PartialEq)]
struct Folder {
    files: Vec<File>,
}

#[storable]
#[derive(Debug, Clone, PartialEq)]
struct File {
    name: String,
    #[storable(opaque)]
    parents: Vec<Folder>,
}

fn sample() -> Sample {
    Sample {
        channel: 3,
        label: "a label longer than eight bytes".into(),
        values: vec![0.5, -1.0, f64::MAX],
    }
}

fn tree(depth: usize) -> Tree {
    let child = || tree(depth - 1);
    Tree {
        name: format!("at depth {depth}, told at length"),
        children: if depth > 0 { vec![child(), child()] } else { Vec::new() },
        twin: (depth > 1).then(|| Box::new(child())),
        by_name: if depth > 0 { [("only".to_string(), child())].into() } else { BTreeMap::new() },
    }
}

#[test]
fn structs_are_used_in_place_and_come_back() {
    let view = view(&sample());
    assert_eq!(view.channel, 3);
    assert_eq!(view.values[2], f64::MAX);
    comes_back(sample());
    comes_back(Wrapper(7, Some("text".into())));
    comes_back(Unit);
}

#[test]
fn enums_come_back_whatever_their_variant() {
    comes_back(Shape::Empty);
    comes_back(Shape::Circle(2.0));
    comes_back(Shape::Polygon { points: vec![(0.0, 1.0), (2.0, 3.0)], closed: true });
}

#[test]
fn generic_types_come_back() {
    comes_back(Pair::<u8, String, 2> {
        first: 1,
        rest: vec!["x".into(), "y".repeat(50)],
        fixed: [3, 4],
    });
    comes_back(Table::<String, Vec<u8>> { rows: [("key".to_string(), vec![1, 2])].into() });
}

#[test]
fn types_that_hold_themselves_come_back() {
    comes_back(tree(4));
    let chain = (0..50).fold(None, |next, value: u16| Some(Box::new(List { value, next })));
    comes_back(*chain.unwrap());
    comes_back(Folder {
        files: vec![File { name: "f".into(), parents: vec![Folder { files: Vec::new() }] }],
    });
}

#[test]
fn what_the_standard_library_offers_comes_back() {
    comes_back(());
    comes_back((1_u8, -2_i16, 3_u32, -4_i64, 5_u128, 'x', true, 0.5_f32));
    comes_back([[1_u64; 3]; 2]);
    comes_back(String::new());
    comes_back("a string that does not fit within its own pointer".to_string());
    comes_back(vec![Some(Ok::<u8, String>(1)), Some(Err("no".into())), None]);
    comes_back(Vec::<f64>::new());
    comes_back([(1_u8, "one".to_string())].into_iter().collect::<HashMap<_, _>>());
    comes_back((0..1000_u32).collect::<HashSet<_>>());
    comes_back((0..1000_u32).map(|n| (n, n.to_string())).collect::<BTreeMap<_, _>>());
    comes_back((0..100_i8).collect::<BTreeSet<_>>());
    comes_back(Duration::from_millis(1500));
    comes_back(Key::new(7, 8));
    comes_back(std::num::NonZeroU32::new(5));
    comes_back((1_u32..5, 'a'..='z', usize::MAX, isize::MIN));
    comes_back((Arc::<str>::from("shared"), Rc::<[u8]>::from([1, 2]), Box::<[u16]>::from([3])));
    comes_back(std::collections::VecDeque::from([1_u8, 2]));
    comes_back(std::net::IpAddr::from([127, 0, 0, 1]));
}

#[test]
fn a_pointer_shared_twice_is_stored_once() {
    let shared = Arc::new(vec![1_u8; 1000]);
    let bytes = encoded(Archive, &vec![Arc::clone(&shared), Arc::clone(&shared), shared]);
    assert!(bytes.len() < 1200, "{} bytes", bytes.len());
}

#[test]
fn strings_and_slices_are_stored_as_what_owns_them() {
    let text = "text that is longer than what fits within a pointer";
    assert_eq!(encoded(Archive, text), encoded(Archive, &text.to_string()));
    assert_eq!(<Archive as Codec<str>>::FINGERPRINT, String::FINGERPRINT);
    let numbers = [1.0, 2.0];
    assert_eq!(encoded(Archive, &numbers[..]), encoded(Archive, &numbers.to_vec()));
    assert_eq!(<Archive as Codec<[f64]>>::FINGERPRINT, <Vec<f64>>::FINGERPRINT);
    let view = <Archive as Codec<[f64]>>::decode(stored(Archive, &numbers[..])).unwrap();
    assert_eq!(view.as_slice(), numbers);
}

#[test]
fn a_vec_of_floats_is_never_read_as_integers() {
    assert_ne!(<Vec<f64>>::FINGERPRINT, <Vec<u64>>::FINGERPRINT);
    assert_ne!(<Vec<f64>>::FINGERPRINT, <Vec<f32>>::FINGERPRINT);
    assert_ne!(<Vec<f64>>::FINGERPRINT, <Vec<Option<f64>>>::FINGERPRINT);
}

#[test]
fn the_same_definition_elsewhere_has_the_same_fingerprint() {
    #[allow(dead_code, reason = "only its fingerprint is looked at")]
    mod elsewhere {
        use std::collections::BTreeMap;

        /// Documentation, visibility and derives make no difference.
        #[crate::storable(derive(Debug))]
        pub(super) struct Sample {
            pub(super) channel: u16,
            label: String,
            /// Nor do paths.
            values: std::vec::Vec<f64>,
        }

        /// In a type that holds itself paths do.
        #[crate::storable]
        pub(super) struct Tree {
            pub(super) name: String,
            children: Vec<Tree>,
            twin: Option<Box<Self>>,
            by_name: BTreeMap<String, Tree>,
        }
    }
    assert_eq!(Sample::FINGERPRINT, elsewhere::Sample::FINGERPRINT);
    assert_eq!(Tree::FINGERPRINT, elsewhere::Tree::FINGERPRINT);
}

#[test]
fn another_name_field_order_or_type_is_another_fingerprint() {
    macro_rules! sample {
        ($module:ident $name:ident { $($body:tt)* }) => {
            #[allow(dead_code, reason = "only its fingerprint is looked at")]
            mod $module {
                #[crate::storable]
                pub(super) struct $name { $($body)* }
            }
            assert_ne!(Sample::FINGERPRINT, $module::$name::FINGERPRINT);
        };
    }
    sample!(a Another { channel: u16, label: String, values: Vec<f64> });
    sample!(b Sample { channel: u16, label: String, value: Vec<f64> });
    sample!(c Sample { channel: u16, values: Vec<f64>, label: String });
    sample!(d Sample { channel: i16, label: String, values: Vec<f64> });
    sample!(e Sample { channel: u16, label: String, values: Vec<f64>, more: () });
}

#[test]
fn parameters_take_part_in_fingerprint_and_name() {
    type Small = Pair<u8, u16, 1>;
    assert_ne!(Small::FINGERPRINT, Pair::<u8, u16, 2>::FINGERPRINT);
    assert_ne!(Small::FINGERPRINT, Pair::<u8, i16, 1>::FINGERPRINT);
    assert_ne!(List::<u8>::FINGERPRINT, List::<i8>::FINGERPRINT);
    assert_eq!(Small::type_name(), "Pair<u8, u16, 1>");
    assert_eq!(
        <HashMap<String, Vec<Small>>>::type_name(),
        "HashMap<String, Vec<Pair<u8, u16, 1>>>"
    );
}

#[test]
fn enum_variants_and_discriminants_take_part() {
    mod other {
        #[crate::storable]
        #[allow(dead_code, reason = "only its fingerprint is looked at")]
        pub(super) enum Level {
            Low = 1,
            High,
        }
    }
    #[storable]
    #[allow(dead_code, reason = "only its fingerprint is looked at")]
    enum Level {
        Low = 1,
        High = 3,
    }
    assert_ne!(Level::FINGERPRINT, other::Level::FINGERPRINT);
}

#[test]
fn truncated_bytes_are_an_error_and_never_a_panic() {
    let bytes = encoded(Archive, &tree(3));
    for len in 0..bytes.len() {
        let block = block(&bytes[..len], Tree::FINGERPRINT);
        // A shorter archive may by chance end in what looks like a root; it must then be sound to use.
        if let Ok(view) = <Archive as Codec<Tree>>::decode(block) {
            Archive::to_owned::<Tree>(&view).unwrap();
        }
    }
    assert!(refused::<Tree>(&[]).contains("too few"));
    assert!(refused::<Sample>(&encoded(Archive, &sample())[8..]).contains("overran"));
}

#[test]
fn damaged_bytes_are_an_error_or_a_sound_value() {
    let bytes = encoded(Archive, &tree(2));
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xFF] {
            let mut bytes = bytes.clone();
            bytes[at] ^= flip;
            if let Ok(view) = <Archive as Codec<Tree>>::decode(block(&bytes, Tree::FINGERPRINT)) {
                Archive::to_owned::<Tree>(&view).unwrap();
            }
        }
    }
}

#[test]
fn an_error_says_what_is_wrong_with_the_bytes() {
    let mut bytes = encoded(Archive, &true);
    bytes[0] = 2;
    assert!(refused::<bool>(&bytes).contains("bool"), "{}", refused::<bool>(&bytes));
}

#[test]
fn nothing_takes_no_bytes() {
    assert_eq!(encoded(Archive, &()).len(), 0);
    assert_eq!(encoded(Archive, &Unit).len(), 0);
    view(&Unit);
    assert_eq!(view(&[0_u64; 0]).len(), 0);
}

#[test]
fn numbers_are_copied_in_one_piece() {
    let numbers = vec![0.25_f64; 1000];
    let bytes = encoded(Archive, &numbers);
    assert_eq!(bytes.len(), 8000 + size_of::<ArchivedVec<f64>>());
    assert_eq!(&bytes[..8000], bytemuck::cast_slice::<f64, u8>(&numbers));
}

#[test]
fn writing_goes_on_where_the_block_stands() {
    let mut cells = [MaybeUninit::uninit(); 64];
    let mut out = BlockWriter::new(&mut cells);
    out.write(b"x");
    Archive.encode(&7_u64, &mut out).unwrap();
    assert_eq!(out.position(), 16);
}

#[test]
fn cyclic_pointers_are_an_error() {
    #[storable]
    struct Knot {
        #[storable(opaque)]
        ends: std::sync::Weak<Knot>,
    }
    let knot = Arc::new_cyclic(|ends| Knot { ends: ends.clone() });
    let error = Archive.encode(&knot, &mut BlockWriter::new(&mut [])).unwrap_err();
    assert!(error.to_string().contains("cyclic"), "{error}");
}
