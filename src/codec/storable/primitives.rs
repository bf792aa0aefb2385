//! What is stored within its own bytes: numbers, and products and sums of other types.

use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::num::{
    NonZeroI8, NonZeroI16, NonZeroI32, NonZeroI64, NonZeroI128, NonZeroIsize, NonZeroU8,
    NonZeroU16, NonZeroU32, NonZeroU64, NonZeroU128, NonZeroUsize,
};
use std::ops::{Bound, Range, RangeFrom, RangeFull, RangeInclusive, RangeTo, RangeToInclusive};
use std::time::Duration;

use crate::codec::Storable;
use crate::fingerprint::Fingerprint;
use crate::key::Key;

macro_rules! plain {
    ($($type:ty: $name:literal),* $(,)?) => {$(
        // SAFETY: the name is this type's alone and it has no parts that could differ.
        unsafe impl Storable for $type {
            const FINGERPRINT: Fingerprint = Fingerprint::of_archived::<Self::Archived>($name);

            fn type_name() -> String {
                $name.into()
            }
        }
    )*};
}

plain!(
    (): "()", bool: "bool", char: "char", f32: "f32", f64: "f64",
    u8: "u8", u16: "u16", u32: "u32", u64: "u64", u128: "u128", usize: "usize",
    i8: "i8", i16: "i16", i32: "i32", i64: "i64", i128: "i128", isize: "isize",
    NonZeroU8: "NonZeroU8", NonZeroU16: "NonZeroU16", NonZeroU32: "NonZeroU32", NonZeroU64: "NonZeroU64",
    NonZeroU128: "NonZeroU128", NonZeroUsize: "NonZeroUsize",
    NonZeroI8: "NonZeroI8", NonZeroI16: "NonZeroI16", NonZeroI32: "NonZeroI32", NonZeroI64: "NonZeroI64",
    NonZeroI128: "NonZeroI128", NonZeroIsize: "NonZeroIsize",
    Duration: "Duration", Key: "inplace::Key", RangeFull: "RangeFull",
    Ipv4Addr: "Ipv4Addr", Ipv6Addr: "Ipv6Addr", IpAddr: "IpAddr",
    SocketAddrV4: "SocketAddrV4", SocketAddrV6: "SocketAddrV6", SocketAddr: "SocketAddr",
);

macro_rules! generic {
    ($($type:ident<$($part:ident),+>),* $(,)?) => {$(
        // SAFETY: the name is this type's alone, and its parts' fingerprints follow.
        unsafe impl<$($part: Storable),+> Storable for $type<$($part),+> {
            const FINGERPRINT: Fingerprint =
                Fingerprint::of_archived::<Self::Archived>(stringify!($type))$(.with($part::FINGERPRINT))+;

            fn type_name() -> String {
                format!("{}<{}>", stringify!($type), [$($part::type_name()),+].join(", "))
            }
        }
    )*};
}

generic!(
    Option<T>, Result<T, E>, Range<T>, RangeInclusive<T>, RangeFrom<T>, RangeTo<T>, RangeToInclusive<T>, Bound<T>,
);

// SAFETY: an empty type; its parameter takes part so that markers tell types apart.
unsafe impl<T: Storable + Send + Sync> Storable for PhantomData<T> {
    const FINGERPRINT: Fingerprint =
        Fingerprint::of_archived::<Self::Archived>("PhantomData").with(T::FINGERPRINT);

    fn type_name() -> String {
        format!("PhantomData<{}>", T::type_name())
    }
}

// SAFETY: the length and the element's fingerprint say everything about an array.
unsafe impl<T: Storable, const N: usize> Storable for [T; N] {
    const FINGERPRINT: Fingerprint =
        Fingerprint::of_archived::<Self::Archived>("array").with_u64(N as u64).with(T::FINGERPRINT);

    fn type_name() -> String {
        format!("[{}; {N}]", T::type_name())
    }
}

macro_rules! tuple {
    ($($part:ident)+) => {
        // SAFETY: the fields' fingerprints follow in order.
        unsafe impl<$($part: Storable),+> Storable for ($($part,)+) {
            const FINGERPRINT: Fingerprint =
                Fingerprint::of_archived::<Self::Archived>("tuple")$(.with($part::FINGERPRINT))+;

            fn type_name() -> String {
                format!("({},)", [$($part::type_name()),+].join(", "))
            }
        }
    };
}

tuple!(A);
tuple!(A B);
tuple!(A B C);
tuple!(A B C D);
tuple!(A B C D E);
tuple!(A B C D E F);
tuple!(A B C D E F G);
tuple!(A B C D E F G H);
tuple!(A B C D E F G H I);
tuple!(A B C D E F G H I J);
tuple!(A B C D E F G H I J K);
tuple!(A B C D E F G H I J K L);
