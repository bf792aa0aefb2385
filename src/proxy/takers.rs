//! Who of this process may still win the race to take an object.

use std::time::Duration;

use crossbeam::utils::Backoff;

use crate::sync::{AtomicU64, Ordering};

/// A count of threads, with the process they are of: `process 32 | count 32`. A forked child has none of its parent's
/// threads, so a count that was inherited is none.
#[derive(Debug)]
pub(super) struct Takers(AtomicU64);

/// Counted until it is dropped, also by a panic.
pub(super) struct Taking<'a> {
    takers: &'a AtomicU64,
    process: u64,
}

impl Takers {
    pub(super) fn none() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn enter(&self) -> Taking<'_> {
        let process = process();
        let mut found = self.0.load(Ordering::SeqCst);
        loop {
            let entered = count(found, process).map_or(process | 1, |count| process | (count + 1));
            match self.0.compare_exchange_weak(found, entered, Ordering::SeqCst, Ordering::SeqCst) {
                Ok(_) => return Taking { takers: &self.0, process },
                Err(other) => found = other,
            }
        }
    }

    /// Waits for every taker to have won or lost, or until `is_decided`. Called by one who lost, and is not counted.
    pub(super) fn wait_while_any(&self, is_decided: impl Fn() -> bool) {
        let (process, backoff) = (process(), Backoff::new());
        while !is_decided()
            && count(self.0.load(Ordering::SeqCst), process).is_some_and(|count| count > 0)
        {
            if backoff.is_completed() {
                std::thread::sleep(Duration::from_micros(50));
            } else {
                backoff.snooze();
            }
        }
    }
}

impl Drop for Taking<'_> {
    fn drop(&mut self) {
        if count(self.takers.load(Ordering::SeqCst), self.process).is_some_and(|count| count > 0) {
            self.takers.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

fn process() -> u64 {
    u64::from(std::process::id()) << 32
}

fn count(word: u64, process: u64) -> Option<u64> {
    let count = word & u64::from(u32::MAX);
    (word - count == process).then_some(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takers_of_another_process_do_not_count() {
        let takers = Takers(AtomicU64::new((process() - (1 << 32)) | 7));
        takers.wait_while_any(|| false);
        let first = takers.enter();
        let second = takers.enter();
        assert_eq!(count(takers.0.load(Ordering::SeqCst), process()), Some(2));
        drop((first, second));
        takers.wait_while_any(|| false);
    }
}
