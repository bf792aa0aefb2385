//! Locks on single bytes of a region's file, owned by open file descriptions.
//!
//! Two kinds. A [`HeldByte`] says "this process lives": it hangs on a mapping, so it goes when the address space goes and
//! no closing of descriptors ends it. A [`Transient`] is held on a descriptor while something short is done; a forked
//! child inherits that descriptor and would keep the lock alive, so every one is registered and the child closes it.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::ptr::NonNull;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};

use crate::sync::unmodelled::{AtomicI32, Ordering};
use crate::sys::file::{self, FileId};
use crate::sys::latch::Latch;

/// How a byte is locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    /// With others who read.
    Shared,
    /// Alone.
    Exclusive,
}

fn record(kind: i32, start: u64, len: u64) -> libc::flock {
    libc::flock {
        l_type: kind as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: start as libc::off_t,
        l_len: len as libc::off_t,
        l_pid: 0,
    }
}

fn try_lock(file: BorrowedFd<'_>, byte: u64, mode: Mode) -> io::Result<bool> {
    let kind = if mode == Mode::Exclusive { libc::F_WRLCK } else { libc::F_RDLCK };
    match fcntl(file, FcntlArg::F_OFD_SETLK(&record(kind, byte, 1))) {
        Ok(_) => Ok(true),
        Err(Errno::EAGAIN | Errno::EACCES) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// The first byte of `start..start + len` that another open file description holds exclusively or shared.
pub(crate) fn first_held(file: BorrowedFd<'_>, start: u64, len: u64) -> io::Result<Option<u64>> {
    let mut found = record(libc::F_WRLCK, start, len);
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut found))?;
    if found.l_type == libc::F_UNLCK as libc::c_short {
        Ok(None)
    } else {
        Ok(Some((found.l_start as u64).max(start)))
    }
}

/// Where to open further descriptions of a region's file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    pub(crate) file: BorrowedFd<'a>,
    pub(crate) id: FileId,
    /// Where the file's name was; none for anonymous ones.
    pub(crate) path: Option<&'a Path>,
}

impl Source<'_> {
    /// Whether somebody holds the byte, asked without taking it.
    pub(crate) fn is_held(&self, byte: u64) -> io::Result<bool> {
        Ok(self.first_held(byte, 1)?.is_some())
    }

    /// [`first_held`], even when our own descriptor was closed behind our back.
    pub(crate) fn first_held(&self, start: u64, len: u64) -> io::Result<Option<u64>> {
        if self.id.is_of(self.file) {
            return first_held(self.file, start, len);
        }
        let reopened = Transient::open(self)?;
        first_held(reopened.file.as_fd(), start, len)
    }
}

const REGISTERED: usize = 256;
static REGISTRY: [AtomicI32; REGISTERED] = [const { AtomicI32::new(-1) }; REGISTERED];
/// Held while a descriptor is opened and registered, or closed and forgotten; a fork waits for it.
static REGISTERING: Latch<()> = Latch::new(());

/// A descriptor for locks that are held briefly. Dropping it releases them.
#[derive(Debug)]
pub(crate) struct Transient {
    file: ManuallyDrop<File>,
    place: usize,
}

impl Transient {
    pub(crate) fn open(source: &Source<'_>) -> io::Result<Self> {
        let busy = || io::Error::from_raw_os_error(libc::EBUSY);
        let _registering = REGISTERING.lock_unless_mine().ok_or_else(busy)?;
        Self::register(file::reopen(source.file, source.id, source.path)?)
    }

    /// [`open`](Self::open) while [`hold_registry`] is in force: in the prepare handler of a fork.
    pub(crate) fn open_for_fork(source: &Source<'_>) -> io::Result<Self> {
        Self::register(file::reopen(source.file, source.id, source.path)?)
    }

    /// A file that has no mapping yet, opened by name.
    pub(crate) fn open_path(path: &Path) -> io::Result<Self> {
        let busy = || io::Error::from_raw_os_error(libc::EBUSY);
        let _registering = REGISTERING.lock_unless_mine().ok_or_else(busy)?;
        Self::register(file::open(path)?)
    }

    fn register(file: File) -> io::Result<Self> {
        let free = |place: &AtomicI32| place.load(Ordering::Relaxed) < 0;
        let place = REGISTRY
            .iter()
            .position(free)
            .ok_or_else(|| io::Error::from_raw_os_error(libc::EMFILE))?;
        REGISTRY[place].store(file.as_raw_fd(), Ordering::Relaxed);
        Ok(Self { file: ManuallyDrop::new(file), place })
    }

    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    pub(crate) fn try_lock(&self, byte: u64, mode: Mode) -> io::Result<bool> {
        try_lock(self.as_fd(), byte, mode)
    }

    /// In the parent's and the prepare handler, where the registry is held.
    pub(crate) fn close_after_fork(mut self) {
        self.close();
        std::mem::forget(self);
    }

    fn close(&mut self) {
        let number = self.file.as_raw_fd();
        // A forked child has closed the descriptor already, and the number may be another file's.
        if REGISTRY[self.place]
            .compare_exchange(number, -1, Ordering::Relaxed, Ordering::Relaxed)
            .is_ok()
        {
            // SAFETY: closed once, because the registry named it and does no longer; not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

impl Drop for Transient {
    fn drop(&mut self) {
        let _registering = REGISTERING.lock_unless_mine();
        self.close();
    }
}

/// Prepare handler: no descriptor is opened or closed until [`release_registry`]. Returns false when the fork comes from
/// inside such an opening, by a signal handler.
pub(crate) fn hold_registry() -> bool {
    REGISTERING.lock_unless_mine().map(|held| held.keep()).is_some()
}

/// Parent's and child's handler: the end of [`hold_registry`].
pub(crate) fn release_registry() {
    drop(REGISTERING.kept());
}

/// Child's handler: closes every inherited lock descriptor, so that the locks end with their owners.
pub(crate) fn close_inherited() {
    for place in &REGISTRY {
        let number = place.swap(-1, Ordering::Relaxed);
        if number >= 0 {
            // SAFETY: the descriptor was registered by a `Transient`, which sees that it is no longer and leaves it.
            unsafe { libc::close(number) };
        }
    }
}

const PAGE: usize = 4096;

/// A byte that is locked for as long as this process's address space lives, or until this is dropped: not inherited by
/// any kind of clone, untouched by the closing of descriptors, released by exit, kill and exec.
#[derive(Debug)]
pub(crate) struct HeldByte {
    page: NonNull<libc::c_void>,
}

// SAFETY: an inaccessible mapping may be unmapped from any thread.
unsafe impl Send for HeldByte {}
// SAFETY: nothing is reached through it.
unsafe impl Sync for HeldByte {}

impl HeldByte {
    /// `None` when somebody holds it.
    pub(crate) fn try_take(source: &Source<'_>, byte: u64) -> io::Result<Option<Self>> {
        let opened = Transient::open(source)?;
        if !opened.try_lock(byte, Mode::Exclusive)? {
            return Ok(None);
        }
        Self::keep(&opened).map(Some)
    }

    /// Makes the locks of a descriptor outlive it.
    pub(crate) fn keep(locked: &Transient) -> io::Result<Self> {
        let number = locked.as_fd().as_raw_fd();
        // SAFETY: a fresh mapping without access, wherever the system wants it.
        let page = unsafe {
            libc::mmap(std::ptr::null_mut(), PAGE, libc::PROT_NONE, libc::MAP_SHARED, number, 0)
        };
        let mapped = NonNull::new(page).filter(|_| page != libc::MAP_FAILED);
        let held = Self { page: mapped.ok_or_else(io::Error::last_os_error)? };
        // SAFETY: the page was just mapped; the advice keeps it, and with it the lock, out of children.
        match unsafe { libc::madvise(page, PAGE, libc::MADV_DONTFORK) } {
            0 => Ok(held),
            _ => Err(io::Error::last_os_error()),
        }
    }

    /// In a forked child, which did not inherit the page: nothing is there to unmap.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for HeldByte {
    fn drop(&mut self) {
        // SAFETY: mapped by `keep` with this length; nobody reaches through it.
        unsafe { libc::munmap(self.page.as_ptr(), PAGE) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::{Signal, kill};
    use nix::sys::wait::waitpid;
    use nix::unistd::{ForkResult, fork};

    fn source(file: &File) -> Source<'_> {
        Source { file: file.as_fd(), id: FileId::of(file.as_fd()).unwrap(), path: None }
    }

    #[test]
    fn a_held_byte_outlives_its_descriptor_and_ends_with_its_drop() {
        let file = file::anonymous(4096).unwrap();
        let held = HeldByte::try_take(&source(&file), 7).unwrap().unwrap();
        assert!(source(&file).is_held(7).unwrap());
        assert_eq!(source(&file).first_held(1, 100).unwrap(), Some(7));
        assert!(HeldByte::try_take(&source(&file), 7).unwrap().is_none());
        drop(held);
        assert!(!source(&file).is_held(7).unwrap());
    }

    #[test]
    fn a_held_byte_is_not_inherited_and_is_released_by_a_kill() {
        let file = file::anonymous(4096).unwrap();
        let (told, tell) = nix::unistd::pipe().unwrap();
        // SAFETY: the child makes system calls only and never returns.
        let child = match unsafe { fork() }.unwrap() {
            ForkResult::Child => {
                let _held = HeldByte::try_take(&source(&file), 9);
                let _ = nix::unistd::write(&tell, b"x");
                loop {
                    nix::unistd::pause();
                }
            }
            ForkResult::Parent { child } => child,
        };
        nix::unistd::read(&told, &mut [0]).unwrap();
        assert!(source(&file).is_held(9).unwrap());
        kill(child, Signal::SIGKILL).unwrap();
        waitpid(child, None).unwrap();
        assert!(!source(&file).is_held(9).unwrap());

        let held = HeldByte::try_take(&source(&file), 9).unwrap().unwrap();
        // SAFETY: the child only waits.
        let child = match unsafe { fork() }.unwrap() {
            ForkResult::Child => loop {
                nix::unistd::pause();
            },
            ForkResult::Parent { child } => child,
        };
        drop(held);
        assert!(!source(&file).is_held(9).unwrap());
        kill(child, Signal::SIGKILL).unwrap();
        waitpid(child, None).unwrap();
    }
}
