//! Who this process is in a region, on a page that every kind of fork wipes; and which host it is on.

use std::io;
use std::ptr::NonNull;

use crate::sync::{AtomicU32, AtomicU64, Ordering};
use crate::sys::wiped;

/// This host's name, as the system knows it.
pub(crate) fn host() -> String {
    let name = nix::sys::utsname::uname();
    name.map_or_else(|_| String::new(), |name| name.nodename().to_string_lossy().into_owned())
}

#[repr(C)]
struct Words {
    tag: AtomicU32,
    spare: AtomicU32,
    incarnation: AtomicU64,
}

const PAGE: usize = 4096;

/// A private page with `MADV_WIPEONFORK`. Zero means severed: whoever is cloned without the fork handlers, or when no
/// entry was left, reads it and keeps its hands off shared memory.
#[derive(Debug)]
pub(crate) struct Identity {
    words: NonNull<Words>,
}

// SAFETY: the page holds atomics only.
unsafe impl Send for Identity {}
// SAFETY: the page holds atomics only.
unsafe impl Sync for Identity {}

impl Identity {
    /// Nobody, until it is assumed.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { words: wiped::map(PAGE)?.cast() })
    }

    #[inline]
    fn words(&self) -> &Words {
        // SAFETY: the page lives as long as self, is zeroed by the system, and holds atomics.
        unsafe { self.words.as_ref() }
    }

    /// Participant id + 1, or 0: severed.
    #[inline]
    pub(crate) fn tag(&self) -> u32 {
        self.words().tag.load(Ordering::Relaxed)
    }

    /// How often the participant entry had been used: with the tag, no two processes ever have the same.
    #[inline]
    pub(crate) fn incarnation(&self) -> u64 {
        self.words().incarnation.load(Ordering::Relaxed)
    }

    pub(crate) fn assume(&self, tag: u32, incarnation: u64) {
        self.words().incarnation.store(incarnation, Ordering::Relaxed);
        self.words().tag.store(tag, Ordering::Release);
    }

    pub(crate) fn sever(&self) {
        self.words().tag.store(0, Ordering::Release);
    }
}

impl Drop for Identity {
    fn drop(&mut self) {
        // SAFETY: mapped by `new` with this length; references end with self.
        unsafe { libc::munmap(self.words.as_ptr().cast(), PAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::wait::{WaitStatus, waitpid};
    use nix::unistd::{ForkResult, fork};

    #[test]
    fn a_child_of_any_fork_is_nobody_until_it_is_told_otherwise() {
        let identity = Identity::new().unwrap();
        identity.assume(5, 77);
        // SAFETY: the child only reads a page and exits.
        match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let code = i32::from(identity.tag() != 0 || identity.incarnation() != 0);
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(code) }
            }
            ForkResult::Parent { child } => {
                assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)))
            }
        }
        assert_eq!((identity.tag(), identity.incarnation()), (5, 77));
    }
}
