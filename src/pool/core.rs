//! What a pool, its tasks and its attendant share: where the results are promised, and whether it goes on.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::key::Key;
use crate::pool::board::Board;
use crate::pool::wire::Wire;
use crate::queue::region_of;
use crate::region::{Ledger, PromiseStage, Region};
use crate::store::Inner;
use crate::sync::unmodelled::{AtomicU32, AtomicU64, Ordering};

/// How long those who are just giving tasks their answers may take when the pool ends.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// Places of one ledger.
const PLACES: u32 = 256;

/// Where a promise stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Place {
    ledger: u32,
    place: u32,
}

/// Whether the pool goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(super) enum Phase {
    Running = 0,
    /// All tasks are done, and the workers are to end.
    Joining = 1,
    /// Workers are to be killed.
    Killing = 2,
}

#[derive(Debug)]
pub(super) struct Core {
    pub(super) store: Arc<Inner>,
    pub(super) region: Region,
    pub(super) board: Board,
    pub(super) wire: Wire,
    /// The process whose pool it is.
    pub(super) process: u32,
    phase: AtomicU32,
    /// How many tasks are not let go of.
    outstanding: AtomicU64,
    /// Bytes of the largest input so far.
    largest_input: AtomicU64,
    books: Mutex<Books>,
    /// Why there are no workers, and will be none.
    failure: Mutex<Option<String>>,
}

#[derive(Debug, Default)]
struct Books {
    ledgers: Vec<Arc<Ledger>>,
    free: Vec<Place>,
    held: HashMap<Place, Key>,
    /// Promises of tasks that were let go of to stay, which had no answer then.
    kept: Vec<Key>,
    /// How many of them there may be before those are forgotten that have one.
    most_kept: usize,
}

/// Between two looks at a promise that a dead process was just giving its value.
const SOON: Duration = Duration::from_millis(1);

/// Lets whoever reaps a while.
pub(super) fn await_reaper(region: &Region) -> Result<()> {
    if region.reap()? == 0 {
        std::thread::sleep(SOON);
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Core {
    pub(super) fn new(store: Arc<Inner>, workers: usize) -> Result<Self> {
        let region = region_of(&store)?.clone();
        let failed = |error| Error::system("making a worker pool's board", error);
        let core = Self {
            board: Board::new(workers).map_err(failed)?,
            wire: Wire::new().map_err(failed)?,
            store,
            region,
            process: std::process::id(),
            phase: AtomicU32::new(Phase::Running as u32),
            outstanding: AtomicU64::new(0),
            largest_input: AtomicU64::new(0),
            books: Mutex::default(),
            failure: Mutex::default(),
        };
        let (_, place) = core.free_place()?;
        lock(&core.books).free.push(place);
        Ok(core)
    }

    pub(super) fn phase(&self) -> Phase {
        match self.phase.load(Ordering::SeqCst) {
            0 => Phase::Running,
            1 => Phase::Joining,
            _ => Phase::Killing,
        }
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u32, Ordering::SeqCst);
    }

    pub(super) fn has_outstanding(&self) -> bool {
        self.outstanding.load(Ordering::Relaxed) != 0
    }

    pub(super) fn has_input(&self, bytes: u64) {
        if bytes > self.largest_input() {
            self.largest_input.fetch_max(bytes, Ordering::Relaxed);
        }
    }

    pub(super) fn largest_input(&self) -> u64 {
        self.largest_input.load(Ordering::Relaxed)
    }

    /// Says that there will be no workers; the first who does is right.
    pub(super) fn set_failure(&self, reason: String) {
        lock(&self.failure).get_or_insert(reason);
    }

    /// Refuses when there are no workers and will be none.
    pub(super) fn expect_workers(&self) -> Result<()> {
        match &*lock(&self.failure) {
            Some(reason) => Err(Error::NoWorkers { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn free_place(&self) -> Result<(Arc<Ledger>, Place)> {
        let mut books = lock(&self.books);
        if books.free.is_empty() {
            let ledger = books.ledgers.len() as u32;
            let made = self.region.new_ledger(PLACES)?;
            books.ledgers.push(Arc::new(made));
            // The first places are taken first: there the pages are.
            books.free.extend((0..PLACES).rev().map(|place| Place { ledger, place }));
        }
        let place = books.free.pop().expect("there is a free place: some were just made");
        Ok((books.ledgers[place.ledger as usize].clone(), place))
    }

    /// U1, U2: promises a result.
    pub(super) fn reserve(&self) -> Result<(Key, Place)> {
        loop {
            let (ledger, place) = self.free_place()?;
            match ledger.reserve(place.place) {
                Ok(Some(key)) => {
                    lock(&self.books).held.insert(place, key);
                    self.outstanding.fetch_add(1, Ordering::Relaxed);
                    return Ok((key, place));
                }
                // Somebody wrote into the ledger who should not: the place is not used any more.
                Ok(None) => {}
                Err(error) => {
                    lock(&self.books).free.push(place);
                    return Err(error);
                }
            }
        }
    }

    /// V1 to V3: lets go of a result, which goes or stays. Nothing in a forked child.
    pub(super) fn release(&self, place: Place, goes: bool) {
        // The lock may be held by a thread that a forked child has not.
        if self.process != std::process::id() {
            return;
        }
        let ledger = lock(&self.books).ledgers[place.ledger as usize].clone();
        ledger.release(place.place, goes);
        let mut books = lock(&self.books);
        let key = books.held.remove(&place).filter(|key| !goes && self.is_open(*key));
        if let Some(key) = key {
            if books.kept.len() >= books.most_kept {
                books.kept.retain(|key| self.is_open(*key));
                books.most_kept = (books.kept.len() * 2).max(PLACES as usize);
            }
            books.kept.push(key);
        }
        books.free.push(place);
        self.outstanding.fetch_sub(1, Ordering::Relaxed);
    }

    fn is_open(&self, key: Key) -> bool {
        !matches!(self.region.stage_of_promise(key), Ok(PromiseStage::Answered))
    }

    /// The promises of all tasks that have, or may have, no answer.
    fn promised(&self) -> Vec<Key> {
        let books = lock(&self.books);
        books.held.values().chain(&books.kept).copied().collect()
    }

    /// Has every task that has no result fail.
    pub(super) fn fail_all(&self, reason: &str) {
        self.answer_all(|key| self.region.fail_with(key, reason));
    }

    pub(super) fn cancel_all(&self) {
        self.answer_all(|key| self.region.cancel(key));
    }

    /// K3. Those that have an answer keep it.
    fn answer_all(&self, answer: impl Fn(Key) -> Result<()>) {
        let mut started = None;
        for key in self.promised() {
            while matches!(answer(key), Err(Error::AlreadySet { .. })) && self.is_open(key) {
                // Somebody is giving it one, or died at it.
                if started.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
                    let _ = self.region.forsake(key);
                    break;
                }
                let _ = await_reaper(&self.region);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::ShmConnector;
    use crate::fingerprint::Fingerprint;
    use crate::region::RegionOptions;
    use crate::store::Store;

    #[test]
    fn a_task_whose_answer_somebody_never_finishes_has_one_when_the_pool_ends() {
        let region = RegionOptions::new().capacity(1 << 22).anonymous().unwrap();
        let store = Store::builder("core").connector(ShmConnector::new(region.clone()));
        let core = Core::new(store.open().unwrap().inner, 0).unwrap();
        let keys = [(); 2].map(|()| core.reserve().unwrap());
        core.release(keys[1].1, false);
        let set = region.set_with(keys[0].0, 8, Fingerprint::BYTES, &mut |_| {
            core.cancel_all();
            Ok(())
        });
        assert!(matches!(set, Err(Error::Broken { .. })), "{set:?}");
        assert!(matches!(region.wait(keys[0].0, None), Err(Error::Broken { .. })));
        let kept = region.wait(keys[1].0, None);
        assert!(matches!(kept, Err(Error::Cancelled { .. })), "{kept:?}");
    }
}
