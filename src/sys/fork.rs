//! Being told about forks, and about the end of the process.

use crate::error::{Error, Result};
use std::ptr;

use crate::sync::unmodelled::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};

/// What is called around every `fork()`, whoever calls it: before it, after it in the parent, after it in the child.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handlers {
    pub(crate) prepare: extern "C" fn(),
    pub(crate) parent: extern "C" fn(),
    pub(crate) child: extern "C" fn(),
    /// At the end of a process that returns from `main` or calls `exit`.
    pub(crate) exit: extern "C" fn(),
}

/// A lock that no other thread may hold at a fork.
#[derive(Debug)]
pub(crate) struct Hook {
    /// Takes it; `false` when this thread holds it, or a part of it, already.
    pub(crate) lock: fn() -> bool,
    /// Gives back what was taken, in parent and child; also when only a part was.
    pub(crate) unlock: fn(),
    is_added: AtomicBool,
}

impl Hook {
    pub(crate) const fn new(lock: fn() -> bool, unlock: fn()) -> Self {
        Self { lock, unlock, is_added: AtomicBool::new(false) }
    }

    #[inline]
    pub(crate) fn is_added(&self) -> bool {
        self.is_added.load(Ordering::Relaxed)
    }

    /// Has it among [`hooks`] from now on; the later it was added, the later it comes there. Without a lock: a child that
    /// is forked meanwhile adds it, or finds it added.
    pub(crate) fn add(&'static self) {
        let this = ptr::from_ref(self).cast_mut();
        let is_mine = |place: &AtomicPtr<Self>| {
            // The Acquire of `hooks` reads a hook that its Release shows.
            let outcome =
                place.compare_exchange(ptr::null_mut(), this, Ordering::Release, Ordering::Relaxed);
            outcome.is_ok() || outcome == Err(this)
        };
        let is_added = HOOKS.iter().any(is_mine);
        debug_assert!(is_added, "more locks than places");
        self.is_added.store(true, Ordering::Relaxed);
    }
}

const PLACES: usize = 16;
static HOOKS: [AtomicPtr<Hook>; PLACES] = [const { AtomicPtr::new(ptr::null_mut()) }; PLACES];

/// Every hook that was added, in the order they were.
pub(crate) fn hooks() -> [Option<&'static Hook>; PLACES] {
    // SAFETY: null, or made from a reference that lives as long as the program.
    HOOKS.each_ref().map(|place| unsafe { place.load(Ordering::Acquire).as_ref() })
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
