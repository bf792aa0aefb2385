//! One bed for all sleepers of a model: a wake wakes everybody, which those of other words take for a spurious one.

use std::time::Duration;

use loom::sync::{Condvar, Mutex};

use crate::sync::modelled::control;
use crate::sync::{AtomicU32, AtomicU64, Ordering};

#[derive(Debug)]
struct Bed {
    woken: Mutex<u64>,
    bell: Condvar,
}

loom::lazy_static! {
    static ref BED: Bed = Bed { woken: Mutex::new(0), bell: Condvar::new() };
}

/// Sleeps until woken, unless the low half of the word no longer holds `expected`; without a limit, so that a wake that
/// is lost is a deadlock.
pub(crate) fn wait_low(word: &AtomicU64, expected: u32, _: Option<Duration>) -> bool {
    sleep_while(|| word.load(Ordering::Relaxed) as u32 == expected)
}

/// [`wait_low`] for a whole word, which is another one than tells who wakes that somebody sleeps: the kernel has a full
/// barrier before it looks.
pub(crate) fn wait_word(word: &AtomicU32, expected: u32, _: Option<Duration>) -> bool {
    sleep_while(|| word.load(Ordering::SeqCst) == expected)
}

fn sleep_while(is_as_expected: impl Fn() -> bool) -> bool {
    let woken = BED.woken.lock().expect("models do not panic here");
    if is_as_expected() {
        drop(BED.bell.wait(woken));
    }
    true
}

/// Wakes everybody.
pub(crate) fn wake_low(_: &AtomicU64, _: u32) {
    wake_everybody();
}

/// [`wake_low`] for a whole word.
pub(crate) fn wake_word(_: &AtomicU32) {
    wake_everybody();
}

fn wake_everybody() {
    if control::dies() {
        return;
    }
    *BED.woken.lock().expect("models do not panic here") += 1;
    BED.bell.notify_all();
}
