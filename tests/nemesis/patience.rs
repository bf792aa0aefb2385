//! How long operations take that nobody has a right to delay.
//!
//! Counted is the time in which the process was not stopped itself, without what its thread waited for a processor: on a
//! machine with more runnable threads than processors that is the scheduler's doing.

use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use super::board::Counts;
use super::history::{Verdict, blame};

/// An operation that takes longer was delayed by another process, on a machine that has not more to do than it can.
pub const LIMIT: Duration = Duration::from_secs(2);

/// How many times as long things may take where many threads share a processor: who holds a lock in the kernel, or is
/// about to die, may be waiting for one. 1 up to four threads each.
pub fn patience_of_the_machine() -> f64 {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = load.split(' ').next().and_then(|text| text.parse().ok()).unwrap_or(0.0);
    let processors = std::thread::available_parallelism().map_or(1.0, |n| n.get() as f64);
    (load / processors / 4.0).max(1.0)
}

/// [`LIMIT`] on this machine now.
pub fn limit() -> Duration {
    LIMIT.mul_f64(patience_of_the_machine())
}

/// After so many operations it is asked again how long the thread has waited so far.
const FRESH: u32 = 64;

pub struct Patience {
    started: Instant,
    stops: u32,
    waited: Duration,
    age: u32,
    /// What the operation was told to wait at most.
    pub allowed: Duration,
}

/// How long this thread has been runnable and not running, ever. Zero where the system does not say.
pub fn waited_for_a_processor() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = text.split_whitespace().nth(1).and_then(|text| text.parse().ok());
    Duration::from_nanos(nanos.unwrap_or(0))
}

/// `took`: from start to end; `waited`: of it for a processor, or a little more; `limit`: `None` if it was stopped.
pub fn judge(took: Duration, waited: Duration, limit: Option<Duration>) -> Verdict {
    let own = took.saturating_sub(waited);
    blame(limit.is_some_and(|limit| own >= limit), || {
        format!("an operation took {took:?}, of which it waited {waited:?} for a processor")
    })
}

impl Patience {
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
            stops: 0,
            waited: Duration::ZERO,
            age: FRESH,
            allowed: Duration::ZERO,
        }
    }

    /// `stops`: how often the process was stopped or continued so far.
    pub fn start(&mut self, stops: u32) {
        self.age += 1;
        if self.age > FRESH {
            (self.age, self.waited) = (0, waited_for_a_processor());
        }
        (self.stops, self.allowed) = (stops, Duration::ZERO);
        self.started = Instant::now();
    }

    /// `action`: what it was, for the record of the slowest.
    pub fn end(&mut self, stops: u32, action: usize, counts: &Counts) -> Verdict {
        let took = self.started.elapsed().saturating_sub(self.allowed);
        if took.as_nanos() as u64 <= counts.slowest.load(SeqCst) >> 8 && took < LIMIT {
            return Ok(());
        }
        let waited = waited_for_a_processor().saturating_sub(self.waited);
        self.age = FRESH;
        let is_stopped = stops != self.stops || !stops.is_multiple_of(2);
        if !is_stopped {
            let own = took.saturating_sub(waited);
            counts.slowest.fetch_max((own.as_nanos() as u64) << 8 | action as u64, SeqCst);
        }
        judge(took, waited, (!is_stopped).then(limit))
    }
}
