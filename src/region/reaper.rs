//! Reaping in the background, for those who ask for it.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::region::{Region, table};
use crate::sync::unmodelled::{AtomicU32, Ordering};
use crate::sys::{futex, thread};

/// Reaps in the background until it is dropped. A forked child does not inherit it.
#[derive(Debug)]
#[must_use = "dropped, it stops"]
pub struct Reaper {
    is_stopped: Arc<AtomicU32>,
}

impl Region {
    /// Starts a thread that looks for dead processes every `interval` and undoes what they left half done.
    ///
    /// Nobody needs it: operations reap when something runs short, waiters while they wait, and so does every process
    /// that attaches. It makes memory of the dead usable before somebody misses it. The thread holds no handle of the
    /// region between its looks, and ends when the region is closed or the [`Reaper`] is dropped.
    ///
    /// ```
    /// use inplace::RegionOptions;
    /// use std::time::Duration;
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let _reaper = region.reap_every(Duration::from_millis(100))?;
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for an interval of zero, [`Error::System`] when no thread can be started.
    pub fn reap_every(&self, interval: Duration) -> Result<Reaper> {
        if interval.is_zero() {
            let expected = "more than zero".into();
            return Err(Error::InvalidConfig {
                what: "reaping interval".into(),
                found: "zero".into(),
                expected,
            });
        }
        let (id, is_stopped) = (self.id(), Arc::new(AtomicU32::new(0)));
        let stopped = is_stopped.clone();
        let run = move || {
            while stopped.load(Ordering::Relaxed) == 0 && reap_once(id) {
                futex::wait_private_until(&stopped, 0, interval);
            }
        };
        thread::start(c"inplace-reaper", run)
            .map_err(|error| Error::system("starting the reaping thread", error))?;
        Ok(Reaper { is_stopped })
    }
}

/// `false`: this process has no handle of the region any more.
fn reap_once(id: u64) -> bool {
    let Ok(Some(region)) = table::lock().map(|table| table.find_open(id)) else { return false };
    // What cannot be reaped now is tried again.
    let _ = region.reap();
    true
}

impl Drop for Reaper {
    fn drop(&mut self) {
        self.is_stopped.store(1, Ordering::Relaxed);
        futex::wake_private(&self.is_stopped, 1);
    }
}
