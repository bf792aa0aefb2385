//! A few threads of this process that resolve what is wanted soon.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use crate::connector::hold_at_fork;
use crate::region::fork::Hook;
use crate::sync::unmodelled::{AtomicU32, Ordering};
use crate::sys::futex;
use crate::sys::latch::{Held, Latch};
use crate::sys::thread;

/// Threads at most: work may wait for a disk, a network, a region that somebody creates.
const THREADS_MAX: u32 = 16;
/// How long a thread without work stays.
const LINGER: Duration = Duration::from_secs(1);

static POOL: Latch<Pool> =
    Latch::new(Pool { process: 0, threads: 0, idle: 0, jobs: VecDeque::new() });
/// Changed whenever there is a job more.
static CALLS: AtomicU32 = AtomicU32::new(0);

type Job = Box<dyn FnOnce() + Send>;

struct Pool {
    /// Whose: a forked child has neither its parent's threads nor its work.
    process: u32,
    threads: u32,
    idle: u32,
    jobs: VecDeque<Job>,
}

/// Has a thread do the job soon. Where none can be had, it is dropped.
pub(super) fn run(job: impl FnOnce() + Send + 'static) {
    let mut pool = lock();
    pool.jobs.push_back(Box::new(job));
    CALLS.fetch_add(1, Ordering::Relaxed);
    let is_enough = pool.idle as usize >= pool.jobs.len() || pool.threads >= THREADS_MAX;
    if !is_enough {
        pool.threads += 1;
    }
    drop(pool);
    if is_enough {
        return futex::wake_private(&CALLS, 1);
    }
    if thread::start(c"inplace-resolve", work).is_err() {
        let mut pool = lock();
        pool.threads -= 1;
        // Another may still do it.
        let lost = if pool.threads == 0 { std::mem::take(&mut pool.jobs) } else { VecDeque::new() };
        drop(pool);
        drop(lost);
    }
}

fn work() {
    while let Some(job) = next() {
        // A job that panics tells whoever waits for it by its guards.
        let _ = catch_unwind(AssertUnwindSafe(job));
    }
}

/// The next job; `None` when there was none for a while, and the thread is to end.
fn next() -> Option<Job> {
    let mut is_late = false;
    loop {
        let mut pool = lock();
        if let Some(job) = pool.jobs.pop_front() {
            return Some(job);
        }
        if is_late {
            pool.threads -= 1;
            return None;
        }
        let seen = CALLS.load(Ordering::Relaxed);
        pool.idle += 1;
        drop(pool);
        futex::wait_private_until(&CALLS, seen, LINGER);
        lock().idle -= 1;
        is_late = CALLS.load(Ordering::Relaxed) == seen;
    }
}

fn lock() -> Held<'static, Pool> {
    static HOOK: Hook =
        Hook::new(|| POOL.lock_unless_mine().map(Held::keep).is_some(), || drop(POOL.kept()));
    hold_at_fork(&HOOK);
    let mut pool = POOL.lock();
    let process = std::process::id();
    if pool.process != process {
        // The parent's work tells the parent's wakers.
        std::mem::forget(std::mem::take(&mut pool.jobs));
        (pool.process, pool.threads, pool.idle) = (process, 0, 0);
    }
    pool
}
