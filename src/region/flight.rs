//! Which threads are just now looking at mapped words without holding a handle.
//!
//! Dropping the last view of a region that is being closed lets the region be unmapped, by any thread. A thread that
//! has just given back another pin may still look at the slot's word. So it says so in a flag of its own before it gives
//! the pin back, and whoever unmaps waits until every other thread's flag has been seen down: the release of the pin
//! orders the raised flag before the unmapper's look at the counts.

use std::cell::Cell;
use std::time::Duration;

use crossbeam::utils::{Backoff, CachePadded};

use crate::sync::unmodelled::{AtomicBool, AtomicU32, Ordering};
use crate::sys::latch::Latch;

#[derive(Debug, Default)]
struct Flag {
    /// How deep in: a signal handler may drop a view while its thread does.
    depth: CachePadded<AtomicU32>,
    /// Whether a living thread has it.
    taken: AtomicBool,
}

type Flags = Vec<&'static Flag>;

/// Every flag there ever was; flags of ended threads are used again.
static FLAGS: Latch<Flags> = Latch::new(Vec::new());

thread_local! {
    static MINE: Cell<Option<&'static Flag>> = const { Cell::new(None) };
    static RETURN: Return = const { Return };
}

/// Gives the thread's flag back at its end.
struct Return;

impl Drop for Return {
    fn drop(&mut self) {
        if let Some(flag) = MINE.take() {
            flag.taken.store(false, Ordering::Release);
        }
    }
}

/// The flag is up until this is dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    flag: Option<&'static Flag>,
}

/// Raises this thread's flag.
#[inline]
pub(crate) fn enter() -> Flight {
    let flag = MINE.get().or_else(take_flag);
    if let Some(flag) = flag {
        flag.depth.store(flag.depth.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
    Flight { flag }
}

impl Drop for Flight {
    #[inline]
    fn drop(&mut self) {
        if let Some(flag) = self.flag {
            flag.depth
                .store(flag.depth.load(Ordering::Relaxed).saturating_sub(1), Ordering::Release);
        }
    }
}

#[cold]
fn take_flag() -> Option<&'static Flag> {
    let mut flags = FLAGS.lock_unless_mine()?;
    let unused = |flag: &&&'static Flag| {
        flag.taken.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_ok()
    };
    let known = flags.iter().find(unused).copied();
    let flag = known.unwrap_or_else(|| {
        let flag: &'static Flag = Box::leak(Box::default());
        flag.taken.store(true, Ordering::Relaxed);
        flags.push(flag);
        flag
    });
    MINE.set(Some(flag));
    // A thread that is already ending has no end to give the flag back at: it keeps it.
    let _registered = RETURN.try_with(|_| ());
    Some(flag)
}

/// Whether this thread's own flag is up: somebody interrupted it in the middle.
pub(crate) fn is_interrupted() -> bool {
    MINE.get().is_some_and(|flag| flag.depth.load(Ordering::Relaxed) != 0)
}

/// Waits until every other thread's flag has been seen down. `false`: this thread was interrupted in the middle, and can
/// not wait for itself.
pub(crate) fn wait_for_others() -> bool {
    if is_interrupted() {
        return false;
    }
    let Some(flags) = FLAGS.lock_unless_mine().map(|flags| flags.clone()) else { return false };
    let mine = MINE.get();
    for flag in flags.into_iter().filter(|flag| !mine.is_some_and(|mine| std::ptr::eq(mine, *flag)))
    {
        let backoff = Backoff::new();
        while flag.depth.load(Ordering::Acquire) != 0 {
            if backoff.is_completed() {
                std::thread::sleep(Duration::from_micros(50));
            } else {
                backoff.snooze();
            }
        }
    }
    true
}

/// Before a fork: nobody adds a flag until [`release`]. Returns false when the fork interrupts somebody who does.
pub(crate) fn hold() -> bool {
    FLAGS.lock_unless_mine().map(|held| held.keep()).is_some()
}

/// After a fork.
pub(crate) fn release() {
    drop(FLAGS.kept());
}

/// In a forked child, before [`release`]: the other threads do not exist here.
pub(crate) fn forget_others() {
    let Some(flags) = FLAGS.kept() else { return };
    let mine = MINE.get();
    for flag in flags.iter().filter(|flag| !mine.is_some_and(|mine| std::ptr::eq(mine, **flag))) {
        flag.depth.store(0, Ordering::Relaxed);
        flag.taken.store(false, Ordering::Relaxed);
    }
    flags.keep();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_lasts_until_the_other_thread_has_landed() {
        let landed = AtomicBool::new(false);
        let (tell, told) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let flight = enter();
                tell.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(30));
                landed.store(true, Ordering::SeqCst);
                drop(flight);
            });
            told.recv().unwrap();
            drop(enter());
            assert!(wait_for_others());
            assert!(landed.load(Ordering::SeqCst));
        });
        assert!(!is_interrupted());
        let _inside = enter();
        assert!(!wait_for_others());
    }
}
