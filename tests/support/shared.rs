//! Memory a test shares with the children it forks, apart from any region.

use std::ops::Deref;

/// A `T` of zeros in a shared anonymous mapping; inherited by forks, never unmapped.
#[derive(Debug)]
pub struct Shared<T: 'static>(&'static T);

/// Types of which all zeros are a value, and which many processes may use at once.
///
/// # Safety
/// Made of atomics only.
pub unsafe trait Atomics: Sync {}

impl<T: Atomics> Shared<T> {
    pub fn new() -> Self {
        // SAFETY: a fresh mapping wherever the system wants it; page-aligned and zero, which is a `T` by its trait.
        unsafe {
            let start = libc::mmap(
                std::ptr::null_mut(),
                size_of::<T>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            );
            assert_ne!(start, libc::MAP_FAILED);
            Self(&*start.cast::<T>())
        }
    }
}

impl<T> Shared<T> {
    /// The value, for longer than this handle.
    pub fn get(self) -> &'static T {
        self.0
    }
}

impl<T> Clone for Shared<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Shared<T> {}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0
    }
}
