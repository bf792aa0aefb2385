//! Many tasks from an iterator, so many at a time.

use std::collections::VecDeque;
use std::fmt;
use std::iter::{Fuse, FusedIterator};

use super::WorkerPool;
use crate::codec::Codec;
use crate::error::{Error, Result};
use crate::pool::task::Task;
use crate::region::{Patience, WaitPolicy};
use crate::view::View;

/// Makes a task of an input.
type Submit<A, R, C, I> = fn(&WorkerPool<A, R, C>, &I) -> Result<Task<R, C>>;

/// Results of a [`WorkerPool`] for the inputs of an iterator, which is asked for another input when there is room for it.
///
/// Each result is evicted as it is returned: its memory is free when its view is dropped. An error is of the input in whose place
/// it stands, and the others go on. Dropped, it cancels what is not done.
///
/// Before it returns a result it asks for inputs until so many are [in flight](Map::in_flight), so the iterator must have them
/// without that result: where an input depends on the result before it, `in_flight(1)` asks for it only then.
///
/// Where shared memory is nearly full, an input waits until a result is taken: there is to be room for results as large as the
/// largest input, one per worker. A result that is larger, or whose room others take, waits for room for 5 s, and is an error
/// then, as is an input for which there is no room though nothing else is on its way.
#[must_use = "it does nothing unless it is iterated over"]
pub struct Map<'p, A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>, I: Iterator> {
    pool: &'p WorkerPool<A, R, C>,
    inputs: Fuse<I>,
    submit: Submit<A, R, C, I::Item>,
    /// For which there was no room.
    waiting: Option<I::Item>,
    running: VecDeque<Result<Task<R, C>>>,
    in_flight: usize,
    is_ordered: bool,
    is_over: bool,
    /// There was no room once.
    is_tight: bool,
    done: u64,
    submitted: u64,
    progress: Option<Box<dyn FnMut(u64, u64) + 'p>>,
}

impl<'p, A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>, I: Iterator> Map<'p, A, R, C, I> {
    pub(super) fn new(
        pool: &'p WorkerPool<A, R, C>,
        inputs: I,
        submit: Submit<A, R, C, I::Item>,
    ) -> Self {
        Self {
            pool,
            inputs: inputs.fuse(),
            submit,
            waiting: None,
            running: VecDeque::new(),
            in_flight: pool.in_flight,
            is_ordered: true,
            is_over: false,
            is_tight: false,
            done: 0,
            submitted: 0,
            progress: None,
        }
    }

    /// How many inputs are on their way at a time, with results that were not returned yet; 4 per worker unless told otherwise.
    pub fn in_flight(self, tasks: usize) -> Self {
        Self { in_flight: tasks.max(1), ..self }
    }

    /// Results in the order in which they come.
    pub fn unordered(self) -> Self {
        Self { is_ordered: false, ..self }
    }

    /// Calls this after every result, with how many there were, and how many inputs were submitted.
    ///
    /// ```
    /// # use inplace::{RegionOptions, Store, WorkerPool};
    /// # use inplace::connector::ShmConnector;
    /// # let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// # let store = Store::builder("progress").connector(ShmConnector::new(region)).open()?;
    /// # let pool = WorkerPool::<u64, u64>::fork(&store, 2, |n| Ok::<_, String>(n.to_native()))?;
    /// let mut last = 0;
    /// let results = pool.map(0..100_u64).progress(|done, submitted| {
    ///     assert!(done <= submitted);
    ///     last = done; // or draw a bar
    /// });
    /// assert_eq!(results.count(), 100);
    /// assert_eq!(last, 100);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    pub fn progress(self, progress: impl FnMut(u64, u64) + 'p) -> Self {
        Self { progress: Some(Box::new(progress)), ..self }
    }

    fn fill(&mut self) {
        while !self.is_over && self.running.len() < self.in_flight {
            if !self.running.is_empty() && !self.has_room() {
                return;
            }
            let Some(input) = self.waiting.take().or_else(|| self.inputs.next()) else { return };
            let submitted = (self.submit)(self.pool, &input);
            let is_full = matches!(
                submitted,
                Err(Error::OutOfSpace { .. } | Error::OutOfSlots { .. } | Error::Full { .. })
            );
            self.is_tight |= is_full;
            if is_full && !self.running.is_empty() {
                self.waiting = Some(input);
                return;
            }
            // Nothing will be done any more.
            self.is_over |= matches!(submitted, Err(Error::NoWorkers { .. }));
            self.submitted += 1;
            self.running.push_back(submitted);
        }
    }

    /// Whether another input leaves each worker room for a result of the size of the largest input: where inputs took all of it,
    /// no result could be stored.
    fn has_room(&self) -> bool {
        let (core, workers) = (&self.pool.core, self.pool.core.board.seats().max(1) as u64);
        let (input, capacity) = (core.largest_input(), core.region.capacity());
        let may_be_tight = input.saturating_mul(self.in_flight as u64 + workers) >= capacity / 2;
        !(self.is_tight || may_be_tight)
            || core.region.free_bytes() >= input.saturating_mul(workers + 1)
    }

    /// The next to be returned, waiting for it.
    fn await_next(&mut self) -> Result<Option<Result<Task<R, C>>>> {
        if self.is_ordered || self.running.is_empty() {
            return Ok(self.running.pop_front());
        }
        let patience = Patience { policy: WaitPolicy::default(), limit: None };
        let is_done = |task: &Result<Task<R, C>>| task.as_ref().map_or(true, Task::is_done);
        let look = || Ok(self.running.iter().position(is_done));
        let at = self.pool.tasks.wait_for_room(&patience, look)?;
        Ok(at.and_then(|at| self.running.remove(at)))
    }
}

impl<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>, I: Iterator> Iterator for Map<'_, A, R, C, I> {
    type Item = Result<View<<C as Codec<R>>::Target>>;

    fn next(&mut self) -> Option<Self::Item> {
        self.fill();
        let result = match self.await_next() {
            Ok(next) => next?.and_then(|task| task.wait(None)),
            Err(error) => {
                self.is_over = true;
                self.running.clear();
                Err(error)
            }
        };
        self.done += 1;
        if let Some(progress) = &mut self.progress {
            progress(self.done, self.submitted);
        }
        Some(result)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let here = self.running.len() + usize::from(self.waiting.is_some());
        let (least, most) = self.inputs.size_hint();
        let least = if self.is_over { self.running.len() } else { least.saturating_add(here) };
        (least, most.and_then(|most| most.checked_add(here)))
    }
}

impl<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>, I: Iterator> FusedIterator
    for Map<'_, A, R, C, I>
{
}

impl<A: ?Sized, R: ?Sized, C: Codec<A> + Codec<R>, I: Iterator> fmt::Debug for Map<'_, A, R, C, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Map")
            .field("done", &self.done)
            .field("submitted", &self.submitted)
            .field("in_flight", &self.in_flight)
            .finish_non_exhaustive()
    }
}
