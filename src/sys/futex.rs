//! Sleeping on a word of shared memory until another process changes it.

use std::ptr;
use std::time::Duration;

use crate::sync::{AtomicU32, AtomicU64, unmodelled};

/// Sleeps until somebody wakes the low half of a word, in any process, unless it no longer holds `expected`. Returns
/// false when the time is up; true may be spurious: look at the word again.
pub(crate) fn wait_low(word: &AtomicU64, expected: u32, timeout: Option<Duration>) -> bool {
    wait_at(ptr::from_ref(word).cast(), libc::FUTEX_WAIT, (expected, timeout))
}

/// Wakes at most `count` of those who sleep on the low half of a word, in any process.
pub(crate) fn wake_low(word: &AtomicU64, count: u32) {
    wake_at(ptr::from_ref(word).cast(), libc::FUTEX_WAKE, count);
}

/// [`wait_low`] for a whole word.
pub(crate) fn wait_word(word: &AtomicU32, expected: u32, timeout: Option<Duration>) -> bool {
    wait_at(ptr::from_ref(word).cast(), libc::FUTEX_WAIT, (expected, timeout))
}

/// Wakes everybody who sleeps on a whole word, in any process.
pub(crate) fn wake_word(word: &AtomicU32) {
    wake_at(ptr::from_ref(word).cast(), libc::FUTEX_WAKE, u32::MAX);
}

/// [`wait_low`] for a whole word that only this process uses.
pub(super) fn wait_private(word: &unmodelled::AtomicU32, expected: u32) {
    wait_at(
        ptr::from_ref(word).cast(),
        libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
        (expected, None),
    );
}

/// [`wake_low`] for a whole word that only this process uses.
pub(super) fn wake_private(word: &unmodelled::AtomicU32, count: u32) {
    wake_at(ptr::from_ref(word).cast(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, count);
}

fn wait_at(word: *const u32, operation: i32, (expected, timeout): (u32, Option<Duration>)) -> bool {
    let time = timeout.map(|timeout| libc::timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    });
    let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
    // SAFETY: the word comes from a reference and the kernel only compares it; the time is null or lives on this stack.
    let outcome = unsafe { libc::syscall(libc::SYS_futex, word, operation, expected, time) };
    outcome == 0 || std::io::Error::last_os_error().raw_os_error() != Some(libc::ETIMEDOUT)
}

fn wake_at(word: *const u32, operation: i32, count: u32) {
    let count = count.min(i32::MAX as u32);
    // SAFETY: the kernel uses the address only to find sleepers.
    unsafe { libc::syscall(libc::SYS_futex, word, operation, count) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::Ordering;

    #[test]
    fn a_changed_word_does_not_put_to_sleep_and_an_unchanged_one_times_out() {
        let word = AtomicU64::new(7);
        assert!(wait_low(&word, 8, Some(Duration::from_secs(60))));
        assert!(!wait_low(&word, 7, Some(Duration::from_millis(5))));
    }

    #[test]
    fn a_sleeper_on_the_low_half_is_woken() {
        let word = AtomicU64::new(3 << 32 | 1);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while word.load(Ordering::SeqCst) as u32 == 1 {
                    wait_low(&word, 1, Some(Duration::from_secs(10)));
                }
            });
            word.store(2, Ordering::SeqCst);
            wake_low(&word, u32::MAX);
        });
    }
}
