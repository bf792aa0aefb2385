//! A second process that does its half of what is measured.

use std::sync::atomic::{AtomicU64, Ordering};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, Pid, fork, getppid};

use crate::shared::{Shared, spin_while};

/// What the two tell each other; every word on cache lines of its own.
pub(crate) struct Mailbox {
    shared: Shared,
}

impl Mailbox {
    pub(crate) fn new() -> Self {
        Self { shared: Shared::new(4096) }
    }

    fn command(&self) -> &AtomicU64 {
        self.shared.word(0)
    }

    fn answer(&self) -> &AtomicU64 {
        self.shared.word(1)
    }

    fn parameter(&self) -> &AtomicU64 {
        self.shared.word(2)
    }

    /// Messages to the partner.
    pub(crate) fn there(&self) -> &AtomicU64 {
        self.shared.word(3)
    }

    /// Messages from the partner.
    pub(crate) fn back(&self) -> &AtomicU64 {
        self.shared.word(4)
    }
}

/// A forked process that serves commands, and dies with this value or this process.
pub(crate) struct Partner {
    child: Pid,
    mailbox: Mailbox,
}

impl Partner {
    /// Forks a process that calls `serve` with each command's number, waiting for the next in between.
    pub(crate) fn spawn(mut serve: impl FnMut(&Mailbox, u64)) -> Self {
        let mailbox = Mailbox::new();
        let child = spawn(|| {
            let mut last = 0;
            loop {
                last = spin_while(mailbox.command(), last);
                mailbox.answer().store(last, Ordering::Release);
                serve(&mailbox, mailbox.parameter().load(Ordering::Relaxed));
            }
        });
        Self { child, mailbox }
    }

    pub(crate) fn mailbox(&self) -> &Mailbox {
        &self.mailbox
    }

    /// Gives a command and returns as soon as the partner has begun to follow it.
    pub(crate) fn start(&self, parameter: u64) {
        self.mailbox.parameter().store(parameter, Ordering::Relaxed);
        let command = self.mailbox.command().fetch_add(1, Ordering::AcqRel) + 1;
        while self.mailbox.answer().load(Ordering::Acquire) != command {
            assert!(is_running(self.child), "the partner process has died");
            std::hint::spin_loop();
        }
    }
}

impl Drop for Partner {
    fn drop(&mut self) {
        end(self.child);
    }
}

/// Processes that are attached to the region and do nothing.
pub(crate) struct Idlers(Vec<Pid>);

impl Idlers {
    pub(crate) fn spawn(count: usize) -> Self {
        Self((0..count).map(|_| spawn(nix::unistd::pause)).collect())
    }
}

impl Drop for Idlers {
    fn drop(&mut self) {
        self.0.iter().copied().for_each(end);
    }
}

/// Forks a child that runs `work` and ends.
fn spawn(work: impl FnOnce()) -> Pid {
    let parent = nix::unistd::getpid();
    // SAFETY: this program has one thread, so the child may do whatever the parent may.
    match unsafe { fork() }.expect("fork") {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            // SAFETY: asks to be killed when the parent ends; touches no memory.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            if getppid() == parent {
                // A panic is printed, and must not run the parent's frames.
                let _printed = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            }
            // SAFETY: ends the child without what the parent would do at its exit.
            unsafe { libc::_exit(0) }
        }
    }
}

fn is_running(child: Pid) -> bool {
    use nix::sys::wait::{WaitPidFlag, WaitStatus};
    matches!(waitpid(child, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive))
}

fn end(child: Pid) {
    let _may_be_dead = kill(child, Signal::SIGKILL);
    let _may_be_reaped = waitpid(child, None);
}
