//! Memory that a process and the children it forks have in common.

use std::io;
use std::ops::Deref;
use std::ptr::NonNull;

use crate::sync::unmodelled::AtomicU64;

/// Words that are zero at first, and the same words in every child that is forked later.
#[derive(Debug)]
pub(crate) struct InheritedWords {
    first: NonNull<AtomicU64>,
    len: usize,
}

// SAFETY: the pages hold atomics only.
unsafe impl Send for InheritedWords {}
// SAFETY: the pages hold atomics only.
unsafe impl Sync for InheritedWords {}

impl InheritedWords {
    pub(crate) fn new(len: usize) -> io::Result<Self> {
        let (protection, flags) =
            (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        let bytes = Self::bytes(len);
        // SAFETY: a fresh mapping, wherever the system wants it.
        let start = unsafe { libc::mmap(std::ptr::null_mut(), bytes, protection, flags, -1, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let first = NonNull::new(start.cast()).ok_or_else(io::Error::last_os_error)?;
        Ok(Self { first, len })
    }

    fn bytes(len: usize) -> usize {
        (len * size_of::<AtomicU64>()).max(1)
    }
}

impl Deref for InheritedWords {
    type Target = [AtomicU64];

    fn deref(&self) -> &[AtomicU64] {
        // SAFETY: the pages live as long as self, are zeroed by the system, and are accessed as atomics only.
        unsafe { std::slice::from_raw_parts(self.first.as_ptr(), self.len) }
    }
}

impl Drop for InheritedWords {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; references end with self.
        unsafe { libc::munmap(self.first.as_ptr().cast(), Self::bytes(self.len)) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::unmodelled::Ordering;
    use crate::sys::process;

    #[test]
    fn what_a_child_writes_its_parent_reads() {
        let words = InheritedWords::new(3).unwrap();
        let write = || {
            words[2].store(7, Ordering::SeqCst);
            0
        };
        let child = process::fork(write).unwrap();
        while process::ended(child).is_none() {
            std::thread::yield_now();
        }
        assert_eq!([0, 1, 2].map(|at| words[at].load(Ordering::SeqCst)), [0, 0, 7]);
    }
}
