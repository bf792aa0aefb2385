//! The operations of a store, counted where that is asked for. Where it is not, put and get have one branch more.

use std::time::{Duration, Instant};

use crate::codec::Codec;
use crate::connector::{Block, Fill};
use crate::deadline::Term;
use crate::error::{Error, Result};
use crate::key::Key;
use crate::metrics::{Counter, Operation, StoreMetrics, TypeCounter, TypeMetrics};
use crate::store::inner::Inner;
use crate::store::trace;
use crate::view::View;

/// One call of an operation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call {
    operation: Operation,
    /// Of one object, where it is known before.
    key: Option<Key>,
    items: usize,
}

impl Call {
    pub(crate) fn one(operation: Operation, key: Key) -> Self {
        Self { operation, key: Some(key), items: 1 }
    }

    fn batch(operation: Operation, items: usize) -> Self {
        Self { operation, key: None, items }
    }
}

impl Inner {
    pub(crate) fn put<C: Codec<T>, T: ?Sized>(&self, codec: C, value: &T) -> Result<Key> {
        let mut written = 0;
        if !self.is_observed() {
            return self.write((codec, value), &mut written);
        }
        let call = Call { operation: Operation::Put, key: None, items: 1 };
        let key = self.observed(call, || self.write((codec, value), &mut written))?;
        self.tally_put::<C, T>(1, written);
        Ok(key)
    }

    /// Has `put` store a value, as [`encoded`](Self::encoded) does: a put of its own kind.
    pub(crate) fn put_by<C: Codec<T>, T: ?Sized>(
        &self,
        codec: C,
        value: &T,
        put: &impl Fn(usize, &mut Fill<'_>) -> Result<Key>,
    ) -> Result<Key> {
        let mut written = 0;
        let call = Call { operation: Operation::Put, key: None, items: 1 };
        let key = self.observe(call, || self.write_through((codec, value), &mut written, put))?;
        self.tally_put::<C, T>(1, written);
        Ok(key)
    }

    /// Puts a value, and says what ends it.
    pub(crate) fn put_for<C: Codec<T>, T: ?Sized>(
        &self,
        codec: C,
        value: &T,
        term: Term,
    ) -> Result<Key> {
        let mut written = 0;
        let call = Call { operation: Operation::Put, key: None, items: 1 };
        let key = self.observe(call, || self.write_for((codec, value), term, &mut written))?;
        self.tally_put::<C, T>(1, written);
        Ok(key)
    }

    pub(crate) fn put_batch<C: Codec<T>, T: ?Sized>(
        &self,
        codec: C,
        values: &[&T],
    ) -> Result<Vec<Key>> {
        let mut written = 0;
        let call = Call::batch(Operation::PutBatch, values.len());
        let keys = self.observe(call, || self.write_batch(codec, values, &mut written))?;
        self.tally_put::<C, T>(keys.len(), written);
        Ok(keys)
    }

    /// The object if it is there.
    #[inline(always)]
    pub(crate) fn get<C: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>> {
        if self.is_observed() { self.get_observed::<C, T>(key) } else { self.look::<C, T>(key) }
    }

    #[inline(never)]
    fn get_observed<C: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>> {
        self.observed(Call::one(Operation::Get, key), || self.find::<C, T>(key))
    }

    pub(crate) fn get_batch<C: Codec<T>, T: ?Sized>(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<View<C::Target>>>> {
        let call = Call::batch(Operation::GetBatch, keys.len());
        self.observe(call, || self.find_batch::<C, T>(keys))
    }

    /// Evicts the object and returns it, to one of any number of takers.
    pub(crate) fn take<C: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>> {
        self.observe(Call::one(Operation::Take, key), || self.find_to_take::<C, T>(key))
    }

    /// Takes every object. All are read first: one that cannot be read leaves all where they are.
    pub(crate) fn take_batch<C: Codec<T>, T: ?Sized>(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<View<C::Target>>>> {
        self.observe(Call::batch(Operation::TakeBatch, keys.len()), || {
            let found = self.find_batch::<C, T>(keys)?;
            let take = |(view, key): (Option<View<C::Target>>, &Key)| match view {
                Some(view) if self.forget_and_evict(*key)? => Ok(Some(view)),
                _ => Ok(None),
            };
            found.into_iter().zip(keys).map(take).collect()
        })
    }

    /// The object once its promise is kept, or at once if it was never promised.
    pub(crate) fn wait<C: Codec<T>, T: ?Sized>(
        &self,
        key: Key,
        timeout: Option<Duration>,
    ) -> Result<View<C::Target>> {
        let call = Call::one(Operation::Wait, key);
        self.observe(call, || self.find_promised::<C, T>(key, timeout))
    }

    pub(crate) fn exists(&self, key: Key) -> Result<bool> {
        self.observe(Call::one(Operation::Exists, key), || self.connector.exists(key))
    }

    pub(crate) fn exists_batch(&self, keys: &[Key]) -> Result<Vec<bool>> {
        let call = Call::batch(Operation::ExistsBatch, keys.len());
        self.observe(call, || self.connector.exists_batch(keys))
    }

    pub(crate) fn evict(&self, key: Key) -> Result<bool> {
        self.observe(Call::one(Operation::Evict, key), || self.forget_and_evict(key))
    }

    pub(crate) fn evict_batch(&self, keys: &[Key]) -> Result<usize> {
        self.observe(Call::batch(Operation::EvictBatch, keys.len()), || {
            keys.iter().for_each(|key| self.forget(*key));
            self.connector.evict_batch(keys)
        })
    }

    /// [`evict`](Self::evict) within another operation.
    pub(crate) fn forget_and_evict(&self, key: Key) -> Result<bool> {
        self.forget(key);
        self.connector.evict(key)
    }

    /// [`get`](Self::get) within another operation.
    pub(crate) fn find<C: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>> {
        match self.connector.get(key)? {
            Some(block) => self.found_block::<C, T>(key, block).map(Some),
            None => self.find_current::<C, T>(key),
        }
    }

    fn found_block<C: Codec<T>, T: ?Sized>(
        &self,
        key: Key,
        block: Block,
    ) -> Result<View<C::Target>> {
        self.tally_found::<C, T>(Some(&block));
        self.view::<C, T>(key, block)
    }

    /// [`current`](Self::current) where there is no object.
    #[cold]
    fn find_current<C: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>> {
        let current = self.current::<C, T>(key)?;
        match current.as_ref().map(View::block) {
            Some(Some(block)) => self.tally_found::<C, T>(Some(block)),
            Some(None) => {}
            None => self.tally_found::<C, T>(None),
        }
        Ok(current)
    }

    fn find_batch<C: Codec<T>, T: ?Sized>(
        &self,
        keys: &[Key],
    ) -> Result<Vec<Option<View<C::Target>>>> {
        let blocks = self.connector.get_batch(keys)?;
        let view = |(key, block): (&Key, Option<Block>)| match block {
            Some(block) => self.found_block::<C, T>(*key, block).map(Some),
            None => self.find_current::<C, T>(*key),
        };
        keys.iter().zip(blocks).map(view).collect()
    }

    /// [`take`](Self::take) within another operation. The object is read first: one of another type, or one that cannot be
    /// decoded, is not lost to a failed attempt.
    fn find_to_take<C: Codec<T>, T: ?Sized>(&self, key: Key) -> Result<Option<View<C::Target>>> {
        match self.find::<C, T>(key)? {
            Some(view) if self.forget_and_evict(key)? => Ok(Some(view)),
            _ => Ok(None),
        }
    }

    /// [`wait`](Self::wait) within another operation.
    pub(crate) fn find_promised<C: Codec<T>, T: ?Sized>(
        &self,
        key: Key,
        timeout: Option<Duration>,
    ) -> Result<View<C::Target>> {
        let found = match self.connector.deferrable() {
            Some(deferrable) => deferrable.wait(key, timeout),
            None => self.connector.get(key)?.ok_or(Error::NotFound { key }),
        };
        match found {
            Ok(block) => self.found_block::<C, T>(key, block),
            Err(gone @ Error::NotFound { .. }) => self.find_current::<C, T>(key)?.ok_or(gone),
            Err(error) => Err(error),
        }
    }

    #[inline(always)]
    fn is_observed(&self) -> bool {
        self.recorder.is_some() || trace::is_on()
    }

    /// Runs one operation.
    #[inline(always)]
    pub(crate) fn observe<R>(&self, call: Call, run: impl FnOnce() -> Result<R>) -> Result<R> {
        if self.is_observed() { self.observed(call, run) } else { run() }
    }

    #[inline(never)]
    fn observed<R>(&self, call: Call, run: impl FnOnce() -> Result<R>) -> Result<R> {
        let begin = Instant::now();
        let outcome = run();
        let elapsed = begin.elapsed();
        if let Some(recorder) = &self.recorder {
            recorder.record(call.operation, elapsed, (call.items as u64, outcome.is_err()));
        }
        if trace::is_on() {
            let Call { operation, key, items } = call;
            let error = outcome.as_ref().err();
            trace::event((&self.config.name, operation), (key, items), elapsed, error);
        }
        outcome
    }

    pub(super) fn tally(&self, counter: Counter, by: u64) {
        if let Some(recorder) = &self.recorder {
            recorder.add(counter, by);
        }
    }

    fn tally_put<C: Codec<T>, T: ?Sized>(&self, objects: usize, bytes: usize) {
        let Some(recorder) = &self.recorder else { return };
        recorder.add(Counter::BytesPut, bytes as u64);
        if let Some(place) = self.place::<C, T>() {
            recorder.add_to_type(place, TypeCounter::Puts, objects as u64);
            recorder.add_to_type(place, TypeCounter::BytesPut, bytes as u64);
        }
    }

    fn tally_found<C: Codec<T>, T: ?Sized>(&self, found: Option<&Block>) {
        let Some(recorder) = &self.recorder else { return };
        let Some(block) = found else { return recorder.add(Counter::Misses, 1) };
        let bytes = block.len() as u64;
        recorder.add(Counter::Hits, 1);
        recorder.add(Counter::BytesGot, bytes);
        if block.fingerprint() == C::FINGERPRINT
            && let Some(place) = self.place::<C, T>()
        {
            recorder.add_to_type(place, TypeCounter::Gets, 1);
            recorder.add_to_type(place, TypeCounter::BytesGot, bytes);
        }
    }

    /// What was counted so far, where it is.
    pub(crate) fn metrics(&self) -> Option<StoreMetrics> {
        let recorder = self.recorder.as_ref()?;
        let total = |counter| recorder.total(counter);
        let types = self.types.met().filter_map(|(place, fingerprint)| {
            let total = |counter| recorder.type_total(place, counter);
            let puts = (total(TypeCounter::Puts), total(TypeCounter::BytesPut));
            let gets = (total(TypeCounter::Gets), total(TypeCounter::BytesGot));
            let used = puts.0 > 0 || gets.0 > 0;
            used.then(|| TypeMetrics::of(self.describe(fingerprint), puts, gets))
        });
        let mut metrics = StoreMetrics::of(&self.config.name);
        metrics.operations = recorder.operations();
        metrics.hits = total(Counter::Hits);
        metrics.misses = total(Counter::Misses);
        metrics.cache_hits = total(Counter::CacheHits);
        metrics.cache_misses = total(Counter::CacheMisses);
        metrics.bytes_put = total(Counter::BytesPut);
        metrics.bytes_got = total(Counter::BytesGot);
        metrics.types = types.collect();
        Some(metrics)
    }
}
