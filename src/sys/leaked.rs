//! A value on the heap that lives until its owner knows that nobody looks any more.

use std::ptr::NonNull;

/// Owns a value and hands out references without counting them.
#[derive(Debug)]
pub(crate) struct Leaked<T: 'static>(NonNull<T>);

// SAFETY: the owner may move to another thread if the value may, and hands out shared references there.
unsafe impl<T: Send + Sync> Send for Leaked<T> {}

impl<T> Leaked<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(value))))
    }

    #[inline]
    pub(crate) fn get(&self) -> &'static T {
        // SAFETY: alive until `reclaim`, whose caller promises that no reference is used then.
        unsafe { self.0.as_ref() }
    }

    /// Drops the value.
    ///
    /// # Safety
    /// No reference that [`get`](Self::get) handed out is used any more.
    pub(crate) unsafe fn reclaim(self) {
        // SAFETY: made by `new` from a box, and reclaimed once because it takes self.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
