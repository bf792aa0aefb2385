//! What every handle of a store shares, and each operation once, for whatever codec.

use std::marker::PhantomData;
use std::sync::Arc;

use crate::codec::Codec;
use crate::connector::{Block, BlockWriter, Connector, Fill, Lasting, Variables};
use crate::deadline::Term;
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::metrics::{Counter, Recorder};
use crate::proxy::StoreRef;
use crate::store::cache::Cache;
use crate::store::config::StoreConfig;
use crate::store::types::{Seen, TYPES, Types};
use crate::view::View;

/// Below this a block that proves too large is not worth encoding again.
pub(crate) const WASTE_MIN: usize = 4096;

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) config: StoreConfig,
    /// What proxies say of this store on the wire.
    pub(crate) reference: Arc<StoreRef>,
    pub(super) types: Types,
    /// Counts what is done with the store, where that is asked for.
    pub(super) recorder: Option<Box<Recorder>>,
    cache: Option<Cache>,
}

/// A cached value knows its codec: another one may make something else of the same bytes.
struct Made<C, V: ?Sized>(View<V>, PhantomData<C>);

impl<C, V: ?Sized> Clone for Made<C, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

/// Starts to count for a store, and, where it stands on shared memory, in there.
fn record(store: &str, connector: &dyn Connector) -> Result<Box<Recorder>> {
    if let Some(shm) = connector.as_shm() {
        shm.region()?.start_counting();
    }
    let failed = |error| Error::system("mapping memory to count in", error);
    Recorder::new(store, TYPES).map(Box::new).map_err(failed)
}

impl Inner {
    pub(crate) fn new(connector: Arc<dyn Connector>, config: StoreConfig) -> Result<Self> {
        let cache =
            (config.cache_size > 0).then(|| Cache::new(config.cache_size, config.cache_bytes));
        let reference = Arc::new(StoreRef::of(&config));
        let recorder = if config.metrics { Some(record(&config.name, &*connector)?) } else { None };
        Ok(Self { connector, config, reference, types: Types::new(), recorder, cache })
    }

    pub(crate) fn connect(config: StoreConfig) -> Result<Self> {
        config.validate()?;
        Self::new(config.connector.connect()?, config)
    }

    /// The store a proxy names, which is where its object is.
    pub(crate) fn connect_to(config: StoreConfig, key: Key) -> Result<Self> {
        config.validate()?;
        Self::new(config.connector.connect_to(key)?, config)
    }

    /// Puts a value; `written` becomes its length.
    #[inline]
    pub(super) fn write<C: Codec<T>, T: ?Sized>(
        &self,
        (codec, value): (C, &T),
        written: &mut usize,
    ) -> Result<Key> {
        let put = |size, fill: &mut Fill<'_>| self.connector.put_with(size, C::FINGERPRINT, fill);
        self.write_through((codec, value), written, &put)
    }

    /// Puts a value, and says what ends it; `written` becomes its length.
    pub(super) fn write_for<C: Codec<T>, T: ?Sized>(
        &self,
        (codec, value): (C, &T),
        term: Term,
        written: &mut usize,
    ) -> Result<Key> {
        let lasting = self.lasting()?;
        let kind = (C::FINGERPRINT, term);
        let put = |size, fill: &mut Fill<'_>| lasting.put_for(size, kind, fill);
        self.write_through((codec, value), written, &put)
    }

    /// What tells the connector how long objects stay.
    pub(crate) fn lasting(&self) -> Result<&dyn Lasting> {
        self.connector.lasting().ok_or_else(|| Error::Unsupported {
            connector: self.connector.config().kind(),
            operation: "deadlines, and no objects that go with a process",
        })
    }

    /// How many bytes the codec is likely to make of a value.
    pub(crate) fn guess<C: Codec<T>, T: ?Sized>(&self, codec: C, value: &T) -> usize {
        let hint = codec.size_hint(value);
        self.meet::<C, T>().map_or(hint, |seen| seen.guess(hint))
    }

    /// Remembers how many bytes the codec made of a value.
    pub(crate) fn wrote<C: Codec<T>, T: ?Sized>(&self, codec: C, value: &T, len: usize) {
        if let Some(seen) = self.meet::<C, T>() {
            seen.wrote(codec.size_hint(value), len);
        }
    }

    /// Has `put` store what the codec makes of a value, in a block of a size that is guessed well.
    pub(crate) fn encoded<C: Codec<T>, T: ?Sized, R>(
        &self,
        codec: C,
        value: &T,
        put: impl Fn(usize, &mut Fill<'_>) -> Result<R>,
    ) -> Result<R> {
        self.write_through((codec, value), &mut 0, &put)
    }

    #[inline(always)]
    pub(super) fn write_through<C: Codec<T>, T: ?Sized, R>(
        &self,
        (codec, value): (C, &T),
        written: &mut usize,
        put: &impl Fn(usize, &mut Fill<'_>) -> Result<R>,
    ) -> Result<R> {
        let seen = self.meet::<C, T>();
        let hint = codec.size_hint(value);
        let guess = seen.map_or(hint, |seen| seen.guess(hint));
        let mut is_wasteful = false;
        let first = put(guess, &mut |out| {
            codec.encode(value, out)?;
            *written = out.position();
            is_wasteful = guess > hint && guess > WASTE_MIN && *written < guess / 2;
            // The error makes the connector take back the block.
            if is_wasteful {
                Err(Error::Codec { codec: "store", what: "block too large".into() })
            } else {
                Ok(())
            }
        });
        let outcome = match first {
            Err(_) if is_wasteful => put(*written, &mut |out| codec.encode(value, out)),
            // There is no block as large as the guess, but perhaps one of the size the value has.
            Err(Error::OutOfSpace { .. }) if *written < guess => {
                if *written == 0 {
                    let mut counter = BlockWriter::new(&mut []);
                    codec.encode(value, &mut counter)?;
                    *written = counter.position();
                }
                put(*written, &mut |out| codec.encode(value, out))
            }
            outcome => outcome,
        };
        if let (Ok(_), Some(seen)) = (&outcome, seen) {
            seen.wrote(hint, *written);
        }
        outcome
    }

    /// Puts several values; `written` becomes their length together.
    pub(super) fn write_batch<C: Codec<T>, T: ?Sized>(
        &self,
        codec: C,
        values: &[&T],
        written: &mut usize,
    ) -> Result<Vec<Key>> {
        let seen = self.meet::<C, T>();
        // A block that proves too large would stay so: nothing large is claimed on the strength of the last object.
        let guess = |value: &&T| {
            let hint = codec.size_hint(value);
            seen.map_or(hint, |seen| seen.guess(hint).min(hint.max(WASTE_MIN)))
        };
        let sizes: Vec<usize> = values.iter().map(guess).collect();
        // The last length counts: where the guess was too small a value is encoded twice.
        let mut lens = vec![0; values.len()];
        let keys = self.connector.put_batch_with(&sizes, C::FINGERPRINT, &mut |at, out| {
            codec.encode(values[at], out)?;
            lens[at] = out.position();
            if let Some(seen) = seen {
                seen.wrote(codec.size_hint(values[at]), lens[at]);
            }
            Ok(())
        });
        *written = lens.iter().sum();
        keys
    }

    /// The type's entry in the table; its name goes to the connector the first time.
    #[inline]
    pub(crate) fn meet<C: Codec<T>, T: ?Sized>(&self) -> Option<&Seen> {
        self.place::<C, T>().map(|place| self.types.at(place))
    }

    /// Where that entry is.
    #[inline]
    pub(super) fn place<C: Codec<T>, T: ?Sized>(&self) -> Option<usize> {
        self.types
            .place(C::FINGERPRINT, || self.connector.register_type(C::FINGERPRINT, &C::type_name()))
    }

    /// The object if it is there. The connector is always asked first: it alone knows what was evicted.
    #[inline(always)]
    pub(super) fn look<C: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>> {
        // A block that is returned through memory costs as much as its pin: shared memory is asked inline.
        match self.connector.as_shm() {
            Some(shm) => self.found::<C, T>(key, shm.get(key)),
            None => self.get_elsewhere::<C, T>(key),
        }
    }

    #[inline(never)]
    fn get_elsewhere<C: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>> {
        self.found::<C, T>(key, self.connector.get(key))
    }

    #[inline(always)]
    fn found<C: Codec<T>, T: ?Sized>(
        &self,
        key: Key,
        found: Result<Option<Block>>,
    ) -> Result<Option<View<C::Target>>> {
        match found {
            Ok(Some(block)) => match self.view::<C, T>(key, block) {
                Ok(view) => Ok(Some(view)),
                Err(error) => Err(error),
            },
            Ok(None) => self.current::<C, T>(key),
            Err(error) => Err(error),
        }
    }

    /// The current version of the variable of that key, if there is one and it was set.
    #[cold]
    #[inline(never)]
    pub(crate) fn current<C: Codec<T>, T: ?Sized>(
        &self,
        key: Key,
    ) -> Result<Option<View<C::Target>>> {
        let Some(variables) = self.connector.variables() else { return Ok(None) };
        match variables.get_variable(key, C::FINGERPRINT) {
            Ok(Some(version)) => self.view::<C, T>(version.key, version.block).map(Some),
            // Of a member without variables.
            Ok(None) | Err(Error::NotFound { .. } | Error::Unsupported { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The connector's variables.
    pub(crate) fn variables(&self) -> Result<&dyn Variables> {
        self.connector.variables().ok_or_else(|| Error::Unsupported {
            connector: self.connector.config().kind(),
            operation: "variables",
        })
    }

    pub(crate) fn close(&self) -> Result<()> {
        if let Some(cache) = &self.cache {
            cache.clear();
        }
        self.connector.close()
    }

    pub(crate) fn forget(&self, key: Key) {
        if let Some(cache) = self.cache.as_ref().filter(|cache| cache.is_used()) {
            cache.remove(&key);
        }
    }

    #[inline(always)]
    pub(crate) fn view<C: Codec<T>, T: ?Sized>(
        &self,
        key: Key,
        block: Block,
    ) -> Result<View<C::Target>> {
        if block.fingerprint() != C::FINGERPRINT {
            return Err(self.mismatch::<C, T>(key, &block));
        }
        match &self.cache {
            Some(cache) if cache.is_used() => self.cached_view::<C, T>(cache, key, block),
            _ => self.decoded_view::<C, T>(key, block),
        }
    }

    #[inline(never)]
    fn cached_view<C: Codec<T>, T: ?Sized>(
        &self,
        cache: &Cache,
        key: Key,
        block: Block,
    ) -> Result<View<C::Target>> {
        if self.meet::<C, T>().is_some_and(Seen::is_made_anew)
            && let Some(made) = cache.get::<Made<C, C::Target>>(&key)
        {
            self.tally(Counter::CacheHits, 1);
            return Ok(made.0);
        }
        self.decoded_view::<C, T>(key, block)
    }

    #[inline(always)]
    fn decoded_view<C: Codec<T>, T: ?Sized>(
        &self,
        key: Key,
        block: Block,
    ) -> Result<View<C::Target>> {
        let encoded = block.len();
        let view = View::new(C::decode(block)?);
        if view.block().is_none() {
            self.keep::<C, T>(key, &view, encoded);
        }
        Ok(view)
    }

    #[cold]
    fn keep<C: Codec<T>, T: ?Sized>(&self, key: Key, view: &View<C::Target>, encoded: usize) {
        let (Some(cache), Some(seen)) = (&self.cache, self.meet::<C, T>()) else { return };
        seen.set_made_anew();
        self.tally(Counter::CacheMisses, 1);
        let bytes = encoded.max(view.made_bytes()) as u64;
        cache.insert(key, Made::<C, C::Target>(view.clone(), PhantomData), bytes);
    }

    #[cold]
    fn mismatch<C: Codec<T>, T: ?Sized>(&self, key: Key, block: &Block) -> Error {
        let found = block.fingerprint();
        if let Some(outcome) = Error::of_outcome(key, found, block) {
            return outcome;
        }
        let expected = C::type_name();
        Error::TypeMismatch { key, expected, found: self.describe(found) }
    }

    /// The name of a type, as far as it is known.
    pub(super) fn describe(&self, found: Fingerprint) -> String {
        match self.connector.describe(found) {
            Some(name) => name,
            None if found == Fingerprint::BYTES => "bytes".into(),
            None => format!("an unknown type ({found:?})"),
        }
    }
}
