//! What lies elsewhere in the block: text, collections, boxes and shared pointers.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ffi::CString;
use std::hash::{BuildHasher, Hash};
use std::rc::Rc;
use std::sync::Arc;

use crate::codec::Storable;
use crate::fingerprint::Fingerprint;

/// A fingerprint of something whose bytes say how many `E` it has: of elements that take no bytes they could say any number,
/// and a check would count them for ever.
const fn counting<E>(fingerprint: Fingerprint) -> Fingerprint {
    assert!(
        size_of::<E>() > 0,
        "elements that take no bytes cannot be archived: store their number"
    );
    fingerprint
}

// SAFETY: the name is this type's alone and it has no parts that could differ.
unsafe impl Storable for String {
    const FINGERPRINT: Fingerprint = Fingerprint::of_archived::<Self::Archived>("String");

    fn type_name() -> String {
        "String".into()
    }
}

// SAFETY: as for `String`.
unsafe impl Storable for CString {
    const FINGERPRINT: Fingerprint = Fingerprint::of_archived::<Self::Archived>("CString");

    fn type_name() -> String {
        "CString".into()
    }
}

// SAFETY: the name is this type's alone, and its element's fingerprint follows.
unsafe impl<T: Storable> Storable for Vec<T> {
    const FINGERPRINT: Fingerprint = counting::<T::Archived>(
        Fingerprint::of_archived::<Self::Archived>("Vec").with(T::FINGERPRINT),
    );

    fn type_name() -> String {
        format!("Vec<{}>", T::type_name())
    }
}

// SAFETY: its archived type is that of `Vec`.
unsafe impl<T: Storable> Storable for VecDeque<T> {
    const FINGERPRINT: Fingerprint = Vec::<T>::FINGERPRINT;

    fn type_name() -> String {
        Vec::<T>::type_name()
    }
}

macro_rules! pointer {
    ($($type:ident),*) => {$(
        // SAFETY: the name is this pointer's alone, and what it points to follows.
        unsafe impl<T: Storable> Storable for $type<T> {
            const FINGERPRINT: Fingerprint =
                Fingerprint::of_archived::<Self::Archived>(stringify!($type)).with(T::FINGERPRINT);

            fn type_name() -> String {
                format!("{}<{}>", stringify!($type), T::type_name())
            }
        }

        // SAFETY: the name is this pointer's alone, and what it points to follows.
        unsafe impl<T: Storable> Storable for $type<[T]> {
            const FINGERPRINT: Fingerprint = counting::<T::Archived>(
                Fingerprint::of_archived::<Self::Archived>(stringify!($type))
                    .with_str("slice")
                    .with(T::FINGERPRINT),
            );

            fn type_name() -> String {
                format!("{}<[{}]>", stringify!($type), T::type_name())
            }
        }

        // SAFETY: the name is this pointer's alone, and what it points to follows.
        unsafe impl Storable for $type<str> {
            const FINGERPRINT: Fingerprint =
                Fingerprint::of_archived::<Self::Archived>(stringify!($type)).with_str("str");

            fn type_name() -> String {
                concat!(stringify!($type), "<str>").into()
            }
        }
    )*};
}

pointer!(Box, Rc, Arc);

// SAFETY: the name is this type's alone, and its parts' fingerprints follow. The hasher takes no part: archived maps
// have their own.
unsafe impl<K, V, S> Storable for HashMap<K, V, S>
where
    K: Storable<Archived: Hash + Eq> + Hash + Eq,
    V: Storable,
    S: BuildHasher + Default + 'static,
{
    const FINGERPRINT: Fingerprint = counting::<(K::Archived, V::Archived)>(
        Fingerprint::of_archived::<Self::Archived>("HashMap")
            .with(K::FINGERPRINT)
            .with(V::FINGERPRINT),
    );

    fn type_name() -> String {
        format!("HashMap<{}, {}>", K::type_name(), V::type_name())
    }
}

// SAFETY: as for `HashMap`.
unsafe impl<K, S> Storable for HashSet<K, S>
where
    K: Storable<Archived: Hash + Eq> + Hash + Eq,
    S: BuildHasher + Default + 'static,
{
    const FINGERPRINT: Fingerprint = counting::<K::Archived>(
        Fingerprint::of_archived::<Self::Archived>("HashSet").with(K::FINGERPRINT),
    );

    fn type_name() -> String {
        format!("HashSet<{}>", K::type_name())
    }
}

// SAFETY: the name is this type's alone, and its parts' fingerprints follow.
unsafe impl<K: Storable<Archived: Ord> + Ord, V: Storable> Storable for BTreeMap<K, V> {
    const FINGERPRINT: Fingerprint = Fingerprint::of_archived::<Self::Archived>("BTreeMap")
        .with(K::FINGERPRINT)
        .with(V::FINGERPRINT);

    fn type_name() -> String {
        format!("BTreeMap<{}, {}>", K::type_name(), V::type_name())
    }
}

// SAFETY: the name is this type's alone, and its element's fingerprint follows.
unsafe impl<K: Storable<Archived: Ord> + Ord> Storable for BTreeSet<K> {
    const FINGERPRINT: Fingerprint =
        Fingerprint::of_archived::<Self::Archived>("BTreeSet").with(K::FINGERPRINT);

    fn type_name() -> String {
        format!("BTreeSet<{}>", K::type_name())
    }
}
