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

/// Wakes at most `count` of those who sleep on a word, in any process.
pub(crate) fn wake(word: &AtomicU32, count: u32) {
    wake_at(ptr::from_ref(word).cast(), libc::FUTEX_WAKE, count);
}

/// [`wait_low`] for a whole word that only this process uses, without a limit.
pub(super) fn wait_private(word: &unmodelled::AtomicU32, expected: u32) {
    wait_at(
        ptr::from_ref(word).cast(),
        libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG,
        (expected, None),
    );
}

/// [`wake_low`] for a whole word that only this process uses.
pub(crate) fn wake_private(word: &unmodelled::AtomicU32, count: u32) {
    wake_at(ptr::from_ref(word).cast(), libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG, count);
}

/// Sleeps until a word that only this process uses is woken, or the time is up, unless it no longer holds `expected`.
pub(crate) fn wait_private_until(word: &unmodelled::AtomicU32, expected: u32, limit: Duration) {
    let operation = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
    wait_at(ptr::from_ref(word).cast(), operation, (expected, Some(limit)));
}

/// How many words [`wait_any`] takes.
pub(crate) const ANY_MAX: usize = 128;

/// A word to sleep on among others. It is named by its address: should it no longer be mapped when the sleep begins, there
/// is none.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Awaited {
    expected: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}

const SIZE_U32: u32 = 2;

impl Awaited {
    /// A word of shared memory.
    pub(crate) fn shared(word: &AtomicU32, expected: u32) -> Self {
        Self::at(ptr::from_ref(word).addr(), (expected, SIZE_U32))
    }

    /// The low half of a word of shared memory.
    pub(crate) fn low(word: &AtomicU64, expected: u32) -> Self {
        Self::at(ptr::from_ref(word).addr(), (expected, SIZE_U32))
    }

    /// A word that only this process uses.
    pub(crate) fn private(word: &unmodelled::AtomicU32, expected: u32) -> Self {
        let flags = SIZE_U32 | libc::FUTEX_PRIVATE_FLAG as u32;
        Self::at(ptr::from_ref(word).addr(), (expected, flags))
    }

    fn at(address: usize, (expected, flags): (u32, u32)) -> Self {
        Self { expected: expected.into(), address: address as u64, flags, reserved: 0 }
    }
}

/// Sleeps until any of at most [`ANY_MAX`] words is woken or holds something else, or the time is up; may end for nothing.
/// `false`: the kernel cannot (before 5.16, or a filter forbids it).
pub(crate) fn wait_any(words: &[Awaited], limit: Duration) -> bool {
    let mut end = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: writes the time to this stack.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut end) };
    let nanos = end.tv_nsec + libc::c_long::from(limit.subsec_nanos());
    end.tv_sec += libc::time_t::try_from(limit.as_secs()).unwrap_or(0) + nanos / 1_000_000_000;
    end.tv_nsec = nanos % 1_000_000_000;
    let (count, clock) = (words.len(), libc::CLOCK_MONOTONIC);
    let (no_flags, end) = (0_u32, ptr::from_ref(&end));
    // SAFETY: the kernel reads the array and the time, which live here, and compares the words, whose addresses it checks.
    let outcome = unsafe {
        libc::syscall(libc::SYS_futex_waitv, words.as_ptr(), count, no_flags, end, clock)
    };
    let error = || std::io::Error::last_os_error().raw_os_error();
    let passing = [libc::EAGAIN, libc::EINTR, libc::EFAULT, libc::ETIMEDOUT, libc::ENOMEM];
    outcome >= 0 || error().is_some_and(|errno| passing.contains(&errno))
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
    fn a_sleeper_on_several_words_is_woken_by_any_of_them() {
        let words: [AtomicU32; 3] = Default::default();
        let own = unmodelled::AtomicU32::new(0);
        let sleep = |limit| {
            let mut awaited: Vec<_> = words.iter().map(|word| Awaited::shared(word, 0)).collect();
            awaited.push(Awaited::private(&own, 0));
            wait_any(&awaited, limit)
        };
        if !sleep(Duration::from_millis(1)) {
            return println!("this kernel has no futex_waitv");
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while words[2].load(Ordering::SeqCst) == 0 {
                    sleep(Duration::from_secs(10));
                }
            });
            words[2].store(1, Ordering::SeqCst);
            wake(&words[2], u32::MAX);
        });
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
