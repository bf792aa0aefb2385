//! Being told about forks, and about the end of the process.

use std::sync::Once;

use crate::error::{Error, Result};
use crate::sync::unmodelled::{AtomicU32, Ordering};

/// What is called around every `fork()`, whoever calls it: before it, after it in the parent, after it in the child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handlers {
    pub(crate) prepare: extern "C" fn(),
    pub(crate) parent: extern "C" fn(),
    pub(crate) child: extern "C" fn(),
    /// At the end of a process that returns from `main` or calls `exit`.
    pub(crate) exit: extern "C" fn(),
}

static INSTALL: Once = Once::new();
static FAILURE: AtomicU32 = AtomicU32::new(0);

/// Installs the handlers, once in the life of the process.
pub(crate) fn install(handlers: Handlers) -> Result<()> {
    INSTALL.call_once(|| {
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
    });
    match FAILURE.load(Ordering::Acquire) {
        0 => Ok(()),
        errno => Err(Error::system(
            "installing fork handlers",
            std::io::Error::from_raw_os_error(errno as i32),
        )),
    }
}
