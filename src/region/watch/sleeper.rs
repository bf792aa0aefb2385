//! The thread that sleeps on the bells, and calls who has something to hear.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::region::watch::roster::{Errand, Round, Sleep, Work, lock};
use crate::sync::unmodelled::{AtomicBool, Ordering};
use crate::sys::{futex, thread};

/// How often bells are looked at where the kernel cannot wait for several words.
const POLL: Duration = Duration::from_millis(1);

/// Set once the kernel has said so.
static HAS_TO_POLL: AtomicBool = AtomicBool::new(false);

impl Errand {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Nothing => Ok(()),
            Self::Wake(control) => {
                futex::wake_private(control, 1);
                Ok(())
            }
            Self::Start(at) => start(at),
        }
    }
}

fn start(at: usize) -> Result<()> {
    thread::start(c"inplace-waiter", move || run(at)).map_err(|error| {
        let deserted = lock().desert(at);
        deserted.carry_out();
        Error::system("starting the thread that waits for promises", error)
    })
}

fn run(at: usize) {
    loop {
        let round = lock().round(at);
        match round {
            Round::Work(work) => work.carry_out(),
            Round::Sleep(sleep) => sleep.until_woken(),
            Round::End => return,
        }
    }
}

impl Work {
    fn carry_out(self) {
        self.wakers.into_iter().for_each(|waker| call(|| waker.wake()));
        let wake = |timer: Arc<Waker>| {
            call(move || {
                timer.wake_by_ref();
                drop(timer);
            });
        };
        self.timers.into_iter().for_each(wake);
        for (region, promises) in &self.attend {
            // What fails now is tried again after the next slice.
            let _ = region.attachment.attend(promises);
        }
    }
}

/// A waker that panics, or what goes with it, is its future's affair; so is what it panicked with.
fn call(waker: impl FnOnce()) {
    if let Err(cause) = catch_unwind(AssertUnwindSafe(waker)) {
        std::mem::forget(cause);
    }
}

impl Sleep {
    fn until_woken(self) {
        if !HAS_TO_POLL.load(Ordering::Relaxed) {
            if futex::wait_any(&self.words, self.limit) {
                return;
            }
            HAS_TO_POLL.store(true, Ordering::Relaxed);
        }
        let only_control = self.words.len() == 1;
        let limit = if only_control { self.limit } else { self.limit.min(POLL) };
        futex::wait_private_until(self.control, self.expected, limit);
    }
}
