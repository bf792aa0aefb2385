//! Threads that a forked child can start.
//!
//! Those of the standard library take a lock of its own where they start and end. No fork holds it: a child that is forked
//! meanwhile waits for it in every thread it starts, for ever.

use std::ffi::{CStr, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// As much as the standard library gives its own.
const STACK: usize = 2 << 20;

struct Start {
    name: &'static CStr,
    work: Box<dyn FnOnce() + Send>,
}

/// Starts a thread that nobody joins. If the work panics, the thread ends. A name has 15 bytes at most.
pub(crate) fn start(name: &'static CStr, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    start_with((name, STACK), work)
}

/// The same, with so large a stack.
pub(crate) fn start_with(
    (name, stack): (&'static CStr, usize),
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let start = Box::into_raw(Box::new(Start { name, work: Box::new(work) }));
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut thread = MaybeUninit::<libc::pthread_t>::uninit();
    // SAFETY: the attributes are used after they were made and before they are destroyed; `run` gets what it expects.
    let error = unsafe {
        let made = libc::pthread_attr_init(attributes.as_mut_ptr());
        if made != 0 {
            made
        } else {
            libc::pthread_attr_setdetachstate(
                attributes.as_mut_ptr(),
                libc::PTHREAD_CREATE_DETACHED,
            );
            libc::pthread_attr_setstacksize(attributes.as_mut_ptr(), stack);
            let (to, start) = (thread.as_mut_ptr(), start.cast());
            let started = libc::pthread_create(to, attributes.as_ptr(), run, start);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            started
        }
    };
    if error != 0 {
        // SAFETY: no thread was started that would take it.
        drop(unsafe { Box::from_raw(start) });
        return Err(io::Error::from_raw_os_error(error));
    }
    Ok(())
}

extern "C" fn run(start: *mut c_void) -> *mut c_void {
    // SAFETY: `start` gave it to this thread.
    let Start { name, work } = *unsafe { Box::from_raw(start.cast::<Start>()) };
    // SAFETY: names this thread.
    unsafe { libc::pthread_setname_np(libc::pthread_self(), name.as_ptr()) };
    let _ = catch_unwind(AssertUnwindSafe(work));
    std::ptr::null_mut()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    #[test]
    fn work_is_done_under_its_name_and_may_panic() {
        let (sender, receiver) = mpsc::channel();
        let panicking = sender.clone();
        start(c"sys-panics", move || {
            let _sent_when_dropped = panicking;
            panic!("as it may");
        })
        .unwrap();
        start(c"sys-thread", move || {
            let comm = std::fs::read_to_string("/proc/thread-self/comm").unwrap();
            sender.send(comm).unwrap();
        })
        .unwrap();
        let limit = Duration::from_secs(20);
        assert_eq!(receiver.recv_timeout(limit).unwrap().trim(), "sys-thread");
        assert!(receiver.recv_timeout(limit).is_err(), "both have ended");
    }
}
