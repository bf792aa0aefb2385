//! A mutex that fork handlers can hold: taken before the fork, given back in parent and child.
//!
//! The state names its holder, so that a fork from a signal handler that interrupted the holder is recognised instead of
//! waiting for itself for ever.

use std::cell::{Cell, UnsafeCell};
use std::ops::{Deref, DerefMut};

use crate::sync::unmodelled::{AtomicBool, AtomicU32, Ordering};
use crate::sys::futex;

const CONTENDED: u32 = 1 << 31;
static NEXT_THREAD: AtomicU32 = AtomicU32::new(1);

thread_local! {
    static THREAD: Cell<u32> = const { Cell::new(0) };
}

/// A number for this thread; a forked child's thread keeps it.
fn this_thread() -> u32 {
    let known = THREAD.get();
    if known != 0 {
        return known;
    }
    let next = NEXT_THREAD.fetch_add(1, Ordering::Relaxed) & !CONTENDED;
    THREAD.set(next.max(1));
    next.max(1)
}

/// An in-process lock that a fork may hold.
#[derive(Debug)]
pub(crate) struct Latch<T> {
    /// 0, or the holding thread, with [`CONTENDED`] when somebody may sleep.
    state: AtomicU32,
    kept: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached only through the guard of the one holder.
unsafe impl<T: Send> Sync for Latch<T> {}

impl<T> Latch<T> {
    pub(crate) const fn new(value: T) -> Self {
        Self {
            state: AtomicU32::new(0),
            kept: AtomicBool::new(false),
            value: UnsafeCell::new(value),
        }
    }

    /// Waits for the lock. A thread that holds it already gets `None`.
    pub(crate) fn lock_unless_mine(&self) -> Option<Held<'_, T>> {
        let me = this_thread();
        if self.state.load(Ordering::Relaxed) & !CONTENDED == me {
            return None;
        }
        let mut claim = me;
        loop {
            match self.state.compare_exchange(0, claim, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Some(Held { latch: self }),
                Err(found) => {
                    let marked = found | CONTENDED;
                    if found == marked
                        || self
                            .state
                            .compare_exchange(found, marked, Ordering::Relaxed, Ordering::Relaxed)
                            .is_ok()
                    {
                        futex::wait_private(&self.state, marked);
                    }
                    // Another sleeper may be left behind by the wake that ended this sleep.
                    claim = me | CONTENDED;
                }
            }
        }
    }

    /// Waits for the lock.
    ///
    /// # Panics
    /// When this thread holds it already: in place of waiting for itself for ever.
    pub(crate) fn lock(&self) -> Held<'_, T> {
        self.lock_unless_mine()
            .expect("an operation was called from inside itself, as by a signal handler")
    }

    /// After a fork: the lock that was [kept](Held::keep) over it, in parent and child alike.
    pub(crate) fn kept(&self) -> Option<Held<'_, T>> {
        let mine = self.state.load(Ordering::Relaxed) & !CONTENDED == this_thread();
        // Made only then: dropped, it would give back what another holds.
        (mine && self.kept.swap(false, Ordering::Relaxed)).then(|| Held { latch: self })
    }
}

/// The lock, held.
#[derive(Debug)]
pub(crate) struct Held<'a, T> {
    latch: &'a Latch<T>,
}

impl<T> Held<'_, T> {
    /// Before a fork: stays held until [`Latch::kept`].
    pub(crate) fn keep(self) {
        self.latch.kept.store(true, Ordering::Relaxed);
        std::mem::forget(self);
    }
}

impl<T> Deref for Held<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.latch.value.get() }
    }
}

impl<T> DerefMut for Held<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held.
        unsafe { &mut *self.latch.value.get() }
    }
}

impl<T> Drop for Held<'_, T> {
    fn drop(&mut self) {
        if self.latch.state.swap(0, Ordering::Release) & CONTENDED != 0 {
            futex::wake_private(&self.latch.state, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_kept_nothing_gives_nothing_back() {
        let latch = Latch::new(7);
        let held = latch.lock();
        assert!(latch.kept().is_none(), "held, but not kept");
        std::thread::scope(|scope| {
            scope.spawn(|| assert!(latch.kept().is_none(), "another's"));
        });
        assert_ne!(latch.state.load(Ordering::Relaxed), 0, "held still");
        held.keep();
        assert_eq!(latch.kept().as_deref(), Some(&7));
        assert_eq!(latch.state.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn counts_of_many_threads_add_up_and_a_second_lock_by_the_holder_is_refused() {
        let latch = Latch::new(0_u64);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..20_000).for_each(|_| *latch.lock_unless_mine().unwrap() += 1));
            }
        });
        let held = latch.lock_unless_mine().unwrap();
        assert_eq!(*held, 80_000);
        assert!(latch.lock_unless_mine().is_none());
        held.keep();
        assert_eq!(*latch.kept().unwrap(), 80_000);
        assert!(latch.kept().is_none());
    }
}
