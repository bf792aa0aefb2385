//! Being told about forks, and about the end of the process.

use crate::error::{Error, Result};
use crate::sync::unmodelled::{AtomicU32, AtomicU64, Ordering};

/// What is called around every `fork()`, whoever calls it: before it, after it in the parent, after it in the child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handlers {
    pub(crate) prepare: extern "C" fn(),
    pub(crate) parent: extern "C" fn(),
    pub(crate) child: extern "C" fn(),
    /// At the end of a process that returns from `main` or calls `exit`.
    pub(crate) exit: extern "C" fn(),
}

/// 0, [`INSTALLED`], or the process of which a thread is installing: a child that is forked just then has not that thread, and
/// would wait for it for ever.
static STATE: AtomicU64 = AtomicU64::new(0);
const INSTALLED: u64 = u64::MAX;
static FAILURE: AtomicU32 = AtomicU32::new(0);

/// Installs the handlers, once in the life of the process.
pub(crate) fn install(handlers: Handlers) -> Result<()> {
    let me = u64::from(std::process::id());
    loop {
        let found = STATE.load(Ordering::Acquire);
        if found == INSTALLED {
            break;
        }
        if found == me {
            std::thread::yield_now();
        } else if STATE.compare_exchange(found, me, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            // SAFETY: the functions live as long as the program and take no arguments.
            let outcome = unsafe {
                libc::atexit(handlers.exit);
                libc::pthread_atfork(
                    Some(handlers.prepare),
                    Some(handlers.parent),
                    Some(handlers.child),
                )
            };
            FAILURE.store(outcome as u32, Ordering::Release);
            are_installed();
        }
    }
    match FAILURE.load(Ordering::Acquire) {
        0 => Ok(()),
        errno => Err(Error::system(
            "installing fork handlers",
            std::io::Error::from_raw_os_error(errno as i32),
        )),
    }
}

/// Said by whoever installed the handlers, and by the first of them: a child is not to install them once more.
pub(crate) fn are_installed() {
    STATE.store(INSTALLED, Ordering::Release);
}
