//! What every handle of a store shares, and each operation once, for whatever codec.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::Codec;
use crate::connector::{Block, BlockWriter, Connector, Fill, Variables};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::proxy::StoreRef;
use crate::store::cache::Cache;
use crate::store::config::StoreConfig;
use crate::store::types::{Seen, Types};
use crate::view::View;

/// Below this a block that proves too large is not worth encoding again.
const WASTE_MIN: usize = 4096;

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) config: StoreConfig,
    /// What proxies say of this store on the wire.
    pub(crate) reference: Arc<StoreRef>,
    types: Types,
    cache: Option<Cache>,
}

/// A cached value knows its codec: another one may make something else of the same bytes.
struct Made<C, V: ?Sized>(View<V>, PhantomData<C>);

impl<C, V: ?Sized> Clone for Made<C, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone(), PhantomData)
    }
}

impl Inner {
    pub(crate) fn new(connector: Arc<dyn Connector>, config: StoreConfig) -> Self {
        let cache =
            (config.cache_size > 0).then(|| Cache::new(config.cache_size, config.cache_bytes));
        let reference = Arc::new(StoreRef::of(&config));
        Self { connector, config, reference, types: Types::new(), cache }
    }

    pub(crate) fn connect(config: StoreConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self::new(config.connector.connect()?, config))
    }

    /// The store a proxy names, which is where its object is.
    pub(crate) fn connect_to(config: StoreConfig, key: Key) -> Result<Self> {
        config.validate()?;
        Ok(Self::new(config.connector.connect_to(key)?, config))
    }

    pub(crate) fn put<C: Codec<T>, T: ?Sized>(&self, codec: C, value: &T) -> Result<Key> {
        self.encoded(codec, value, |size, fill| self.connector.put_with(size, C::FINGERPRINT, fill))
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

    /// Has `store` store what the codec makes of a value, in a block of a size that is guessed well.
    pub(crate) fn encoded<C: Codec<T>, T: ?Sized, R>(
        &self,
        codec: C,
        value: &T,
        store: impl Fn(usize, &mut Fill<'_>) -> Result<R>,
    ) -> Result<R> {
        let exactly = |size| store(size, &mut |out| codec.encode(value, out));
        let seen = self.meet::<C, T>();
        let hint = codec.size_hint(value);
        let guess = seen.map_or(hint, |seen| seen.guess(hint));
        let mut written = 0;
        let mut is_wasteful = false;
        let first = store(guess, &mut |out| {
            codec.encode(value, out)?;
            written = out.position();
            is_wasteful = guess > hint && guess > WASTE_MIN && written < guess / 2;
            // The error makes the connector take back the block.
            if is_wasteful {
                Err(Error::Codec { codec: "store", what: "block too large".into() })
            } else {
                Ok(())
            }
        });
        let outcome = match first {
            Err(_) if is_wasteful => exactly(written),
            // There is no block as large as the guess, but perhaps one of the size the value has.
            Err(Error::OutOfSpace { .. }) if written < guess => {
                if written == 0 {
                    let mut counter = BlockWriter::new(&mut []);
                    codec.encode(value, &mut counter)?;
                    written = counter.position();
                }
                exactly(written)
            }
            outcome => outcome,
        };
        if let (Ok(_), Some(seen)) = (&outcome, seen) {
            seen.wrote(hint, written);
        }
        outcome
    }

    pub(crate) fn put_batch<C: Codec<T>, T: ?Sized>(
        &self,
        codec: C,
        values: &[&T],
    ) -> Result<Vec<Key>> {
        let seen = self.meet::<C, T>();
        // A block that proves too large would stay so: nothing large is claimed on the strength of the last object.
        let guess = |value: &&T| {
            let hint = codec.size_hint(value);
            seen.map_or(hint, |seen| seen.guess(hint).min(hint.max(WASTE_MIN)))
        };
        let sizes: Vec<usize> = values.iter().map(guess).collect();
        self.connector.put_batch_with(&sizes, C::FINGERPRINT, &mut |at, out| {
            codec.encode(values[at], out)?;
            if let Some(seen) = seen {
                seen.wrote(codec.size_hint(values[at]), out.position());
            }
            Ok(())
        })
    }

    /// The type's entry in the table; its name goes to the connector the first time.
    #[inline]
    pub(crate) fn meet<C: Codec<T>, T: ?Sized>(&self) -> Option<&Seen> {
        self.types
            .entry(C::FINGERPRINT, || self.connector.register_type(C::FINGERPRINT, &C::type_name()))
    }

    /// The object if it is there. The connector is always asked first: it alone knows what was evicted.
    #[inline(always)]
    pub(crate) fn get<C: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>> {
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
            Ok(None) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The object once its promise is kept, or at once if it was never promised.
    pub(crate) fn wait<C: Codec<T>, T: ?Sized>(
        &self,
        key: Key,
        timeout: Option<Duration>,
    ) -> Result<View<C::Target>> {
        let block = match self.connector.deferrable() {
            Some(deferrable) => deferrable.wait(key, timeout)?,
            None => self.connector.get(key)?.ok_or(Error::NotFound { key })?,
        };
        self.view::<C, T>(key, block)
    }

    /// Evicts the object and returns it, to one of any number of takers. It is read first: an object of another type,
    /// or one that cannot be decoded, is not lost to a failed attempt.
    pub(crate) fn take<C: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>> {
        match self.get::<C, T>(key)? {
            Some(view) if self.evict(key)? => Ok(Some(view)),
            _ => Ok(None),
        }
    }

    pub(crate) fn get_batch<C: Codec<T>, T: ?Sized>(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<View<C::Target>>>> {
        let blocks = self.connector.get_batch(keys)?;
        let view = |(key, block): (&Key, Option<Block>)| {
            block.map(|block| self.view::<C, T>(*key, block)).transpose()
        };
        keys.iter().zip(blocks).map(view).collect()
    }

    pub(crate) fn evict(&self, key: Key) -> Result<bool> {
        self.forget(key);
        self.connector.evict(key)
    }

    pub(crate) fn evict_batch(&self, keys: &[Key]) -> Result<usize> {
        keys.iter().for_each(|key| self.forget(*key));
        self.connector.evict_batch(keys)
    }

    /// The connector's variables.
    pub(crate) fn variables(&self) -> Result<&dyn Variables> {
        let missing = Error::Unsupported { connector: "store's", operation: "variables" };
        self.connector.variables().ok_or(missing)
    }

    pub(crate) fn close(&self) -> Result<()> {
        if let Some(cache) = &self.cache {
            cache.clear();
        }
        self.connector.close()
    }

    fn forget(&self, key: Key) {
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
            return Err(self.mismatch::<C, T>(key, block.fingerprint()));
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
        if self.types.entry(C::FINGERPRINT, || ()).is_some_and(Seen::is_made_anew)
            && let Some(made) = cache.get::<Made<C, C::Target>>(&key)
        {
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
        let bytes = encoded.max(size_of_val(&**view)) as u64;
        cache.insert(key, Made::<C, C::Target>(view.clone(), PhantomData), bytes);
    }

    #[cold]
    fn mismatch<C: Codec<T>, T: ?Sized>(&self, key: Key, found: Fingerprint) -> Error {
        let expected = C::type_name();
        let found = match self.connector.describe(found) {
            Some(name) => name,
            None if found == Fingerprint::BYTES => "bytes".into(),
            None => format!("an unknown type ({found:?})"),
        };
        Error::TypeMismatch { key, expected, found }
    }
}
