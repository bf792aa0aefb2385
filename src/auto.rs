//! Arguments that travel inline when they are small and by proxy when they are large.

use std::cell::Cell as Flag;
use std::fmt;
use std::ops::Deref;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::{Archive, Codec};
use crate::connector::{Block, BlockWriter, HeapBytes};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::proxy::{Proxy, ProxyRef};
use crate::store::{Inner, Store};
use crate::view::{View, forward_to_target};

/// Stands for a value that is sent: in its own bytes where that is cheaper, else as a [`Proxy`] of an object in a store.
///
/// It derefs to the same archived form either way, so a function that is given one neither knows nor cares which it was:
/// inline bytes are checked when they arrive, and read where they are; a proxy is resolved by its first use.
///
/// ```
/// use inplace::{Auto, Store};
/// use inplace::connector::LocalConnector;
///
/// fn mean(samples: &Auto<Vec<f64>>) -> f64 {
///     samples.iter().map(|sample| sample.to_native()).sum::<f64>() / samples.len() as f64
/// }
///
/// let store = Store::builder("auto").connector(LocalConnector::new()).register().open()?;
/// for (count, is_inline) in [(3, true), (100_000, false)] {
///     let sent = postcard::to_stdvec(&store.auto(&vec![0.5; count])?)?;
///     let received: Auto<Vec<f64>> = postcard::from_bytes(&sent)?;
///     assert_eq!((mean(&received), received.is_inline()), (0.5, is_inline));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
/// As [`Proxy`] does, where it came by proxy and its object can not be had. [`resolve`](Auto::resolve) returns why.
pub struct Auto<T: ?Sized, C: Codec<T> = Archive>(Repr<T, C>);

enum Repr<T: ?Sized, C: Codec<T>> {
    /// The encoded bytes, and the value in them or made of them.
    Inline(Block, View<C::Target>),
    Proxy(Proxy<T, C>),
    /// Bytes that arrived, and the name of their type, which is another.
    Foreign(Block, String),
}

/// Of the name that is sent, so many bytes.
const NAME_MAX: usize = 56;

/// Values of more bytes than this go by proxy, unless it is said otherwise. Up to it, sending the bytes through a pipe,
/// copying and checking them costs the same as putting, resolving and evicting an object, within a few percent, and takes
/// nothing of the store; from twice as many on it costs more (`cargo bench --bench auto`).
pub const AUTO_THRESHOLD: usize = 4096;

impl<C> Store<C> {
    /// The value for sending: inline if the codec makes [`AUTO_THRESHOLD`] bytes of it or fewer, else put and by proxy.
    ///
    /// # Errors
    /// As [`put`](Store::put), when it goes by proxy; what the codec says.
    pub fn auto<T: ?Sized>(&self, value: &T) -> Result<Auto<T, C>>
    where
        C: Codec<T>,
    {
        self.auto_above(AUTO_THRESHOLD, value)
    }

    /// [`auto`](Store::auto) with a threshold: inline is what needs so many bytes or fewer.
    ///
    /// ```
    /// use inplace::Store;
    /// use inplace::connector::LocalConnector;
    ///
    /// let store = Store::builder("above").connector(LocalConnector::new()).open()?;
    /// let text = "a text of some length";
    /// assert!(!store.auto_above(0, text)?.is_inline());
    /// assert!(store.auto_above(usize::MAX, text)?.is_inline());
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`auto`](Store::auto).
    pub fn auto_above<T: ?Sized>(&self, threshold: usize, value: &T) -> Result<Auto<T, C>>
    where
        C: Codec<T>,
    {
        // Whichever way is more likely is tried first, so that most values are encoded once.
        if self.inner.guess(self.codec, value) > threshold {
            let put = put_if_larger(&self.inner, self.codec, (threshold, value))?;
            return put.map_or_else(
                || Auto::inline_with(self.codec, value),
                |key| Ok(self.by_proxy(key)),
            );
        }
        match inline_if_smaller(&self.inner, self.codec, (threshold, value))? {
            Some(block) => Auto::from_block(block),
            None => self.put(value).map(|key| self.by_proxy(key)),
        }
    }

    /// [`auto`](Store::auto) by a predicate: by proxy is what `is_large` says.
    ///
    /// ```
    /// use inplace::Store;
    /// use inplace::connector::LocalConnector;
    ///
    /// let store = Store::builder("rows").connector(LocalConnector::new()).open()?;
    /// let rows = vec![1_u8; 100];
    /// assert!(!store.auto_if(&rows, |rows| rows.len() >= 100)?.is_inline());
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`auto`](Store::auto).
    pub fn auto_if<T: ?Sized>(
        &self,
        value: &T,
        is_large: impl FnOnce(&T) -> bool,
    ) -> Result<Auto<T, C>>
    where
        C: Codec<T>,
    {
        if is_large(value) {
            return self.put(value).map(|key| self.by_proxy(key));
        }
        Auto::inline_with(self.codec, value)
    }

    fn by_proxy<T: ?Sized>(&self, key: Key) -> Auto<T, C>
    where
        C: Codec<T>,
    {
        Auto(Repr::Proxy(self.proxy_from_key(key)))
    }
}

/// Puts a value unless it needs `threshold` bytes or fewer.
fn put_if_larger<C: Codec<T>, T: ?Sized>(
    store: &Inner,
    codec: C,
    (threshold, value): (usize, &T),
) -> Result<Option<Key>> {
    let is_small = Flag::new(false);
    let outcome = store.encoded(codec, value, |size, fill| {
        store.connector.put_with(size, C::FINGERPRINT, &mut |out| {
            fill(out)?;
            is_small.set(out.position() <= threshold);
            // The error makes the connector take back the block.
            if is_small.get() {
                return Err(Error::Codec {
                    codec: CODEC,
                    what: "small enough to go inline".into(),
                });
            }
            Ok(())
        })
    });
    match outcome {
        Err(_) if is_small.get() => Ok(None),
        outcome => outcome.map(Some),
    }
}

/// A value's bytes unless there are more than `threshold`.
fn inline_if_smaller<C: Codec<T>, T: ?Sized>(
    store: &Inner,
    codec: C,
    (threshold, value): (usize, &T),
) -> Result<Option<Block>> {
    let size = store.guess(codec, value).min(threshold);
    let is_large = Flag::new(false);
    let outcome = Block::filled(size, C::FINGERPRINT, &mut |out| {
        codec.encode(value, out)?;
        is_large.set(out.position() > threshold);
        if is_large.get() {
            return Err(Error::Codec { codec: CODEC, what: "too large to go inline".into() });
        }
        Ok(())
    });
    match outcome {
        Err(_) if is_large.get() => Ok(None),
        Ok(block) => {
            store.wrote(codec, value, block.len());
            Ok(Some(block))
        }
        Err(error) => Err(error),
    }
}

const CODEC: &str = "auto";

impl<T: ?Sized, C: Codec<T>> Auto<T, C> {
    /// The value inline, whatever its size: for where there is no store.
    ///
    /// ```
    /// use inplace::Auto;
    ///
    /// let auto = Auto::<str>::inline("no store needed")?;
    /// assert_eq!(auto.as_str(), "no store needed");
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// What the codec says.
    pub fn inline(value: &T) -> Result<Self> {
        Self::inline_with(C::default(), value)
    }

    fn inline_with(codec: C, value: &T) -> Result<Self> {
        let size = codec.size_hint(value);
        let encode = &mut |out: &mut BlockWriter<'_>| codec.encode(value, out);
        Self::from_block(Block::filled(size, C::FINGERPRINT, encode)?)
    }

    fn from_block(block: Block) -> Result<Self> {
        let view = View::new(C::decode(block.clone())?);
        Ok(Self(Repr::Inline(block, view)))
    }

    /// Whether it has its value with it.
    #[must_use]
    pub fn is_inline(&self) -> bool {
        !matches!(self.0, Repr::Proxy(_))
    }

    /// The object's key, if it goes by proxy: for evicting it when it is no longer needed.
    #[must_use]
    pub fn key(&self) -> Option<Key> {
        self.proxy().map(Proxy::key)
    }

    /// The proxy it goes by, if it does.
    #[must_use]
    pub fn proxy(&self) -> Option<&Proxy<T, C>> {
        match &self.0 {
            Repr::Inline(..) | Repr::Foreign(..) => None,
            Repr::Proxy(proxy) => Some(proxy),
        }
    }

    /// Evicts the object when it is resolved, if it goes by proxy: for a value that one receiver uses once.
    ///
    /// # Errors
    /// As [`Proxy::evict_on_resolve`].
    pub fn evict_on_resolve(self) -> Result<Self> {
        Ok(match self.0 {
            Repr::Proxy(proxy) => Self(Repr::Proxy(proxy.evict_on_resolve()?)),
            inline => Self(inline),
        })
    }

    /// The value, or why it cannot be had.
    ///
    /// # Errors
    /// As [`Proxy::resolve`]; where it is inline, [`Error::Codec`] when it was sent as another type.
    #[inline]
    pub fn resolve(&self) -> Result<&C::Target> {
        match &self.0 {
            Repr::Inline(_, view) => Ok(view),
            Repr::Proxy(proxy) => proxy.resolve(),
            Repr::Foreign(_, found) => Err(foreign(C::type_name(), found)),
        }
    }

    /// The value as a view that outlives this.
    ///
    /// # Errors
    /// As [`resolve`](Auto::resolve).
    pub fn into_view(self) -> Result<View<C::Target>> {
        match self.0 {
            Repr::Inline(_, view) => Ok(view),
            Repr::Proxy(proxy) => proxy.into_view(),
            Repr::Foreign(_, found) => Err(foreign(C::type_name(), &found)),
        }
    }
}

impl<T: ?Sized, C: Codec<T>> Deref for Auto<T, C> {
    type Target = C::Target;

    #[inline]
    fn deref(&self) -> &C::Target {
        match &self.0 {
            Repr::Inline(_, view) => view,
            Repr::Proxy(proxy) => proxy,
            Repr::Foreign(_, found) => panic!("{}", foreign(C::type_name(), found)),
        }
    }
}

#[cold]
fn foreign(expected: String, found: &str) -> Error {
    Error::Codec { codec: CODEC, what: format!("expected {expected}, found {found}") }
}

impl<T: ?Sized, C: Codec<T>> AsRef<C::Target> for Auto<T, C> {
    fn as_ref(&self) -> &C::Target {
        self
    }
}

impl<T: ?Sized, C: Codec<T>> From<Proxy<T, C>> for Auto<T, C> {
    fn from(proxy: Proxy<T, C>) -> Self {
        Self(Repr::Proxy(proxy))
    }
}

impl<T: ?Sized, C: Codec<T>> Clone for Auto<T, C> {
    /// The same bytes, or another proxy of the same object.
    fn clone(&self) -> Self {
        Self(match &self.0 {
            Repr::Inline(block, view) => Repr::Inline(block.clone(), view.clone()),
            Repr::Proxy(proxy) => Repr::Proxy(proxy.clone()),
            Repr::Foreign(block, found) => Repr::Foreign(block.clone(), found.clone()),
        })
    }
}

forward_to_target!([T: ?Sized, C: Codec<T>] Auto<T, C>, C::Target);

impl<T: ?Sized, C: Codec<T, Target: fmt::Debug>> fmt::Debug for Auto<T, C> {
    /// The value, if it is here: looking at it does not resolve it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Inline(_, view) => view.fmt(f),
            Repr::Proxy(proxy) => proxy.fmt(f),
            Repr::Foreign(_, found) => f.debug_tuple("Foreign").field(found).finish(),
        }
    }
}

impl<T: ?Sized, C: Codec<T, Target: fmt::Display>> fmt::Display for Auto<T, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// What is sent. `I`: the bytes as they are sent, or as they arrived.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wire<I> {
    /// What type the bytes are, its name for who expects another, and they.
    Inline(Fingerprint, String, I),
    Proxy(ProxyRef),
}

/// A type's name, no longer than is sent.
fn cut(mut name: String) -> String {
    name.truncate(name.floor_char_boundary(NAME_MAX));
    name
}

struct Sent<'a>(&'a [u8]);

impl Serialize for Sent<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(self.0)
    }
}

/// Bytes that arrived, wherever they did.
struct Arrived(HeapBytes);

impl<'de> Deserialize<'de> for Arrived {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl<'de> Visitor<'de> for Bytes {
            type Value = Arrived;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a value")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Arrived, E> {
                Ok(Arrived(HeapBytes::copied(bytes)))
            }

            /// Text formats know no bytes. A length that is only said takes no memory.
            fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<Arrived, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = from.next_element()? {
                    bytes.push(byte);
                }
                Ok(Arrived(HeapBytes::copied(&bytes)))
            }
        }

        from.deserialize_bytes(Bytes)
    }
}

impl<T: ?Sized, C: Codec<T>> Serialize for Auto<T, C> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Repr::Inline(block, _) => {
                Wire::Inline(C::FINGERPRINT, cut(C::type_name()), Sent(block))
            }
            Repr::Proxy(proxy) => Wire::Proxy(proxy.to_ref()),
            Repr::Foreign(block, found) => {
                Wire::Inline(block.fingerprint(), found.clone(), Sent(block))
            }
        }
        .serialize(to)
    }
}

impl<'de, T: ?Sized, C: Codec<T>> Deserialize<'de> for Auto<T, C> {
    /// Inline bytes are copied to where they are aligned, and checked: a `T` that is damaged is an error. What was sent as
    /// another type is an error when it is used, which names both whatever the format's errors can say.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Wire::<Arrived>::deserialize(from)? {
            Wire::Inline(fingerprint, name, Arrived(bytes)) => {
                let block = Block::heap(bytes, fingerprint);
                if fingerprint == C::FINGERPRINT {
                    return Self::from_block(block).map_err(D::Error::custom);
                }
                Ok(Self(Repr::Foreign(block, cut(name))))
            }
            Wire::Proxy(reference) => Ok(Self(Repr::Proxy(Proxy::from_ref(reference)))),
        }
    }
}
