//! One bed for all sleepers of a model, and one for those who sleep on bells: a wake wakes everybody in one, which those of
//! other words take for a spurious one.

use std::time::Duration;

use loom::sync::{Condvar, Mutex};

use crate::sync::modelled::{control, full_fence};
use crate::sync::{AtomicU32, AtomicU64, Ordering};

#[derive(Debug)]
struct Bed {
    woken: Mutex<u64>,
    bell: Condvar,
}

impl Bed {
    fn new() -> Self {
        Self { woken: Mutex::new(0), bell: Condvar::new() }
    }

    fn wake(&self) {
        if control::dies() {
            return;
        }
        *self.woken.lock().expect("models do not panic here") += 1;
        self.bell.notify_all();
        control::note_change();
    }

    fn sleep_while(&self, is_expected: impl FnOnce() -> bool) {
        let woken = self.woken.lock().expect("models do not panic here");
        // The kernel has a full barrier before it looks: the word may be another than tells who wakes that somebody sleeps.
        full_fence();
        if is_expected() {
            drop(self.bell.wait(woken));
        }
    }
}

loom::lazy_static! {
    static ref BED: Bed = Bed::new();
    /// Those who sleep on bells are not woken by who wakes the words of slots only.
    static ref LISTENERS: Bed = Bed::new();
}

/// Sleeps until woken, unless the low half of the word no longer holds `expected`; without a limit, so that a wake that
/// is lost is a deadlock.
pub(crate) fn wait_low(word: &AtomicU64, expected: u32, _: Option<Duration>) -> bool {
    BED.sleep_while(|| word.load(Ordering::Relaxed) as u32 == expected);
    true
}

/// Wakes everybody but those who sleep on bells.
pub(crate) fn wake_low(_: &AtomicU64, _: u32) {
    BED.wake();
}

/// [`wait_low`] on a bell.
pub(crate) fn wait(bell: &AtomicU32, expected: u32) {
    LISTENERS.sleep_while(|| bell.load(Ordering::Relaxed) == expected);
}

/// Wakes everybody who sleeps on a bell.
pub(crate) fn wake(_: &AtomicU32, _: u32) {
    LISTENERS.wake();
}
