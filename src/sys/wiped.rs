//! Private memory that every kind of fork wipes: a child finds zeros, whichever way it came to be.

use std::io;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::sync::AtomicU64;

const PAGE: usize = 4096;

/// Maps zeroed private pages with `MADV_WIPEONFORK`; they take memory when they are first written.
pub(super) fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    let (protection, flags) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
    // SAFETY: a fresh anonymous mapping, wherever the system wants it.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if start == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the pages were just mapped and are private and anonymous, as the advice demands.
    if unsafe { libc::madvise(start, bytes, libc::MADV_WIPEONFORK) } != 0 {
        let error = io::Error::last_os_error();
        // SAFETY: mapped above, and nobody has seen it.
        unsafe { libc::munmap(start, bytes) };
        return Err(error);
    }
    NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)
}

/// Words of one process: zero at first, and zero again in a forked child.
#[derive(Debug)]
pub(crate) struct WipedWords {
    first: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the pages hold atomics only.
unsafe impl Send for WipedWords {}
// SAFETY: the pages hold atomics only.
unsafe impl Sync for WipedWords {}

impl WipedWords {
    /// So many zeroed words, at the start of a page.
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        Ok(Self { first: map(Self::bytes(len))?.cast(), len })
    }

    fn bytes(len: usize) -> usize {
        (len * size_of::<AtomicU64>()).next_multiple_of(PAGE)
    }
}

impl Deref for WipedWords {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the pages live as long as self, are zeroed by the system, and are accessed as atomics only.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl Drop for WipedWords {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; references end with self.
        unsafe { libc::munmap(self.first.as_ptr().cast(), Self::bytes(self.len)) };
    }
}

#[cfg(test)]
mod tests {
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    use super::*;
    use crate::sync::Ordering;

    #[test]
    fn a_child_starts_from_zero_and_the_parent_goes_on() {
        let words = WipedWords::new(1000).unwrap();
        assert!(words.iter().all(|word| word.load(Ordering::Relaxed) == 0));
        words[999].store(7, Ordering::Relaxed);
        // SAFETY: the child uses pages of its own and ends.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let before = words[999].fetch_add(1, Ordering::Relaxed);
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(before as i32) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)))
            }
        }
        assert_eq!(words[999].load(Ordering::Relaxed), 7);
    }
}
