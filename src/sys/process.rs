//! Children: forking them, waiting for those and no others, and what they hear of their parent.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// What a child's code is that panicked where nobody caught it.
const PANICKED: i32 = 101;

/// How a child ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
    /// Somebody else has waited for it, or nobody was to.
    Unknown,
}

/// Forks a child that does its work, and ends with the code it returns: without destructors, exit handlers, and whatever
/// else the program has. Its number.
///
/// The child has this thread alone. Locks that other threads hold just then stay held in it.
pub(crate) fn fork(work: impl FnOnce() -> i32) -> io::Result<u32> {
    // SAFETY: the child runs `work` and ends; this crate's fork handlers make its own locks usable there, glibc's do so with
    // malloc's, and what other locks `work` takes is said to be its author's business.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let code = catch_unwind(AssertUnwindSafe(work)).unwrap_or(PANICKED);
            exit_now(code)
        }
        child => Ok(child as u32),
    }
}

/// Ends this process at once.
pub(crate) fn exit_now(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

/// How a child of this process ended; `None`: it has not. No other child is waited for.
pub(crate) fn ended(child: u32) -> Option<End> {
    let mut status = 0;
    loop {
        // SAFETY: writes the status to this stack.
        let waited = unsafe { libc::waitpid(child as i32, &raw mut status, libc::WNOHANG) };
        match waited {
            0 => return None,
            -1 if io::Error::last_os_error().raw_os_error() == Some(libc::EINTR) => {}
            -1 => return Some(End::Unknown),
            _ if libc::WIFSIGNALED(status) => return Some(End::Signal(libc::WTERMSIG(status))),
            _ => return Some(End::Code(libc::WEXITSTATUS(status))),
        }
    }
}

/// Kills a child of this process that nobody has waited for yet.
pub(crate) fn kill(child: u32) {
    // SAFETY: a system call on a number.
    unsafe { libc::kill(child as i32, libc::SIGKILL) };
}

/// The same, of one that somebody else may have waited for: where there is a descriptor of it, nobody else is killed.
pub(crate) fn kill_watched(child: u32, watch: Option<&OwnedFd>) {
    let Some(watch) = watch else { return kill(child) };
    let (fd, info) = (watch.as_raw_fd(), std::ptr::null::<libc::siginfo_t>());
    // SAFETY: a system call on a descriptor that is open; it reads nothing.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, libc::SIGKILL, info, 0) };
}

/// The process that forked this one, or who took its place.
pub(crate) fn parent() -> u32 {
    // SAFETY: asks for a number.
    unsafe { libc::getppid() as u32 }
}

/// Has this process killed when the thread ends that forked it.
pub(crate) fn die_with_parent() {
    // SAFETY: says what happens to this process.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// The name of this process, at most 15 bytes.
pub(crate) fn set_name(name: &'static std::ffi::CStr) {
    // SAFETY: the system copies the name.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
}

/// Has children waited for as usual, and the terminal's interrupt left to the parent.
pub(crate) fn leave_interrupts_to_parent() {
    // SAFETY: says what happens to this process; no handler is installed.
    unsafe {
        libc::signal(libc::SIGCHLD, libc::SIG_DFL);
        libc::signal(libc::SIGINT, libc::SIG_IGN);
    }
}

/// A descriptor that can be read once a process has ended; `None` where the system has none (before 5.3).
pub(crate) fn watch(process: u32) -> Option<OwnedFd> {
    // SAFETY: a system call on numbers; what it returns is nobody else's.
    unsafe {
        let descriptor = libc::syscall(libc::SYS_pidfd_open, process as libc::pid_t, 0);
        (descriptor >= 0).then(|| OwnedFd::from_raw_fd(descriptor as i32))
    }
}

/// Sleeps until any of the descriptors can be read, or the time is up.
pub(crate) fn wait_readable(descriptors: &[BorrowedFd<'_>], limit: Duration) {
    let poll = |descriptor: &BorrowedFd<'_>| libc::pollfd {
        fd: descriptor.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    let mut polled: Vec<_> = descriptors.iter().map(poll).collect();
    let millis = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the array lives here and has that many entries.
    unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, millis) };
}

/// The name of a signal, for people.
pub(crate) fn signal_name(signal: i32) -> String {
    nix::sys::signal::Signal::try_from(signal)
        .map_or_else(|_| "unnamed".into(), |signal| signal.as_str().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    fn wait(child: u32) -> End {
        let watch = watch(child);
        loop {
            if let Some(end) = ended(child) {
                return end;
            }
            let fds: Vec<_> = watch.iter().map(AsFd::as_fd).collect();
            wait_readable(&fds, Duration::from_millis(20));
        }
    }

    #[test]
    fn a_child_ends_with_its_code_a_panic_or_a_signal() {
        assert_eq!(wait(fork(|| 7).unwrap()), End::Code(7));
        // Without the hook, whose lock another thread may have held at the fork.
        let quiet = || std::panic::resume_unwind(Box::new("as it may"));
        assert_eq!(wait(fork(quiet).unwrap()), End::Code(PANICKED));
        let sleeper = fork(|| {
            std::thread::sleep(Duration::from_secs(60));
            0
        });
        let sleeper = sleeper.unwrap();
        assert_eq!(ended(sleeper), None);
        let watched = watch(sleeper);
        kill_watched(sleeper, watched.as_ref());
        assert_eq!(wait(sleeper), End::Signal(libc::SIGKILL));
        assert_eq!(ended(sleeper), Some(End::Unknown), "it was waited for");
        assert_eq!(signal_name(libc::SIGKILL), "SIGKILL");
    }
}
