//! A victim is stopped at an instruction while a rival does something; then it goes on, or is killed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::script::Script;
use super::sweep::{Errand, Found};
use super::traced::{Arrival, Traced, Whom, begin, end};
use crate::support::shared::{Atomics, Shared};

/// Who sleeps longer beside a stopped process waits for it.
const WAITING: Duration = Duration::from_millis(500);

/// How long this thread has run or wanted to: that others have the processor is not waiting for the victim.
fn awake() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').take(2).filter_map(|number| number.trim().parse::<u64>().ok());
    Duration::from_nanos(nanos.sum())
}

struct Answer(AtomicU64);

// SAFETY: made of atomics only.
unsafe impl Atomics for Answer {}

/// A victim at work, or done.
pub struct Stopped {
    victim: Traced,
    answer: Shared<Answer>,
}

impl Stopped {
    /// Forks a victim and leads it to its place. In the child, `arrive` makes what `work` needs, and `work` says what came
    /// of it.
    pub fn at<V>(
        (script, errand): (&Script, Errand),
        arrive: impl FnOnce() -> V,
        work: impl FnOnce(&mut V) -> u64,
    ) -> (Self, Found) {
        let answer = Shared::<Answer>::new();
        let mut victim = Traced::start(Whom::Victim, || {
            let mut mine = std::mem::ManuallyDrop::new(arrive());
            begin();
            let said = work(&mut mine);
            answer.0.store(said, Ordering::SeqCst);
            end();
        });
        let arrival = match errand {
            Errand::Record => {
                victim.record(script, None);
                Arrival::There
            }
            Errand::Visit { place, exactly, .. } => victim.go_to(script, (place, exactly), None),
        };
        let found = if arrival == Arrival::There { Found::Inside } else { Found::Astray };
        (Self { victim, answer }, found)
    }

    /// What a rival does meanwhile, which must not wait.
    pub fn meanwhile<T>(&self, rival: impl FnOnce() -> T) -> T {
        let (start, awake_before) = (Instant::now(), awake());
        let answer = rival();
        let slept = start.elapsed().saturating_sub(awake() - awake_before);
        assert!(slept < WAITING, "the rival slept for {slept:?}: it waits for the victim");
        answer
    }

    /// The victim goes on to its end; what it says.
    pub fn go_on(&mut self) -> u64 {
        self.victim.finish();
        self.answer.0.load(Ordering::SeqCst)
    }

    /// Ends it.
    pub fn kill(self) {
        self.victim.kill();
    }
}
