//! The region's file: opening, committing, writing, naming, mapping attributes.

use std::fs::File;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, RenameFlags, fallocate, renameat2};
use nix::sys::memfd::{MFdFlags, memfd_create};
use nix::sys::stat::fstat;

use crate::error::{Error, Result};

/// The inode lock serialises fallocate and pwrite of all processes, so none holds it for more than this many bytes.
const PIECE: u64 = 1 << 20;
const DIRECTORY: &str = "/dev/shm";

/// Where the segment of that name lies.
pub(crate) fn path_of(file_name: &str) -> PathBuf {
    Path::new(DIRECTORY).join(file_name)
}

/// Names of the segments that start with `prefix`.
pub(crate) fn names_with_prefix(prefix: &str) -> io::Result<Vec<String>> {
    let entries = std::fs::read_dir(DIRECTORY)?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    Ok(names.filter(|name| name.starts_with(prefix)).collect())
}

/// Opens a segment's file, never through a symbolic link and never waiting for a writer of a pipe.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options
        .read(true)
        .write(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)
}

/// A file without a name.
pub(crate) fn anonymous(len: u64) -> io::Result<File> {
    let file = File::from(memfd_create(c"inplace", MFdFlags::MFD_CLOEXEC)?);
    file.set_len(len)?;
    Ok(file)
}

/// Which file a descriptor or a name leads to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    pub(crate) fn of(file: BorrowedFd<'_>) -> io::Result<Self> {
        let status = fstat(file)?;
        Ok(Self { device: status.st_dev, inode: status.st_ino })
    }

    /// `None` when nothing of that name exists.
    pub(crate) fn at(path: &Path) -> io::Result<Option<Self>> {
        match std::fs::symlink_metadata(path) {
            Ok(status) => Ok(Some(Self { device: status.dev(), inode: status.ino() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether the descriptor still leads to this file: some libraries close every descriptor, and numbers are reused.
    pub(crate) fn is_of(self, file: BorrowedFd<'_>) -> bool {
        Self::of(file).is_ok_and(|found| found == self)
    }
}

/// A file that is closed in the end, unless its number has become somebody else's.
#[derive(Debug)]
pub(crate) struct KeptFile {
    file: ManuallyDrop<File>,
    id: FileId,
}

impl KeptFile {
    pub(crate) fn new(file: File) -> io::Result<Self> {
        Ok(Self { id: FileId::of(file.as_fd())?, file: ManuallyDrop::new(file) })
    }

    /// Whether the descriptor still leads to the file.
    pub(crate) fn is_ours(&self) -> bool {
        self.id.is_of(self.file.as_fd())
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn id(&self) -> FileId {
        self.id
    }
}

impl Drop for KeptFile {
    fn drop(&mut self) {
        if self.is_ours() {
            // SAFETY: dropped once, and not used afterwards.
            unsafe { ManuallyDrop::drop(&mut self.file) };
        }
    }
}

/// A second open file description of the same file, whose locks are its own. `path` helps where /proc is not mounted or
/// the descriptor was closed behind our back.
pub(crate) fn reopen(file: BorrowedFd<'_>, id: FileId, path: Option<&Path>) -> io::Result<File> {
    if id.is_of(file) {
        let through_proc = File::options()
            .read(true)
            .write(true)
            .custom_flags(libc::O_CLOEXEC)
            .open(format!("/proc/self/fd/{}", file.as_raw_fd()));
        match through_proc {
            Ok(opened) if id.is_of(opened.as_fd()) => return Ok(opened),
            Err(error) if path.is_none() => return Err(error),
            _ => {}
        }
    }
    let gone = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            "the region's descriptor was closed and its name is gone",
        )
    };
    let opened = open(path.ok_or_else(gone)?)?;
    if id.is_of(opened.as_fd()) { Ok(opened) } else { Err(gone()) }
}

/// Whether an error says that there is no memory left for the file.
pub(crate) fn is_out_of_space(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSPC | libc::ENOMEM | libc::EDQUOT))
}

/// Commits the pages of `offset..offset + len`.
///
/// # Errors
/// One that [`is_out_of_space`] when there is no memory for them; some may be committed then.
pub(crate) fn commit(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    in_pieces(offset, len, |at, piece| {
        retry(|| fallocate(file, FallocateFlags::empty(), at as libc::off_t, piece as libc::off_t))
    })
}

/// Gives the pages of `offset..offset + len` back; they read as zeros from now on.
pub(crate) fn punch(file: BorrowedFd<'_>, offset: u64, len: u64) -> io::Result<()> {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    in_pieces(offset, len, |at, piece| {
        retry(|| fallocate(file, flags, at as libc::off_t, piece as libc::off_t))
    })
}

/// Writes all of `bytes`, committing what they cover.
///
/// # Errors
/// One that [`is_out_of_space`] when there is no memory for them; some may be written then.
pub(crate) fn write_all_at(file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut at = 0;
    while at < bytes.len() {
        let piece = &bytes[at..bytes.len().min(at + PIECE as usize)];
        match nix::sys::uio::pwrite(file, piece, (offset + at as u64) as libc::off_t) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => at += written,
            Err(Errno::EINTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

fn in_pieces(
    offset: u64,
    len: u64,
    mut each: impl FnMut(u64, u64) -> nix::Result<()>,
) -> io::Result<()> {
    let end = offset + len;
    let mut at = offset;
    while at < end {
        let piece = PIECE.min(end - at);
        each(at, piece)?;
        at += piece;
    }
    Ok(())
}

fn retry(mut call: impl FnMut() -> nix::Result<()>) -> nix::Result<()> {
    loop {
        match call() {
            Err(Errno::EINTR) => {}
            outcome => return outcome,
        }
    }
}

/// Gives a file a name nobody else has.
///
/// # Errors
/// `EEXIST` when somebody has it, `ENOENT` when the old name is gone.
pub(crate) fn publish(from: &Path, to: &Path) -> io::Result<()> {
    Ok(renameat2(
        nix::fcntl::AT_FDCWD,
        from,
        nix::fcntl::AT_FDCWD,
        to,
        RenameFlags::RENAME_NOREPLACE,
    )?)
}

/// Removes a name. Returns false when it was gone already.
pub(crate) fn unlink(path: &Path) -> io::Result<bool> {
    match nix::unistd::unlink(path) {
        Ok(()) => Ok(true),
        Err(Errno::ENOENT) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// A number nobody guesses or draws twice.
pub(crate) fn random() -> io::Result<u64> {
    let mut bytes = [0; 8];
    // SAFETY: the buffer lives on this stack and the length is its own.
    match unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) } {
        8 => Ok(u64::from_le_bytes(bytes)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Keeps a mapping out of core dumps. An advice: failing costs nothing but dump size.
pub(crate) fn keep_out_of_dumps(start: *mut u8, len: usize) {
    let _advice = advise(start, len, libc::MADV_DONTDUMP);
}

/// Keeps a mapping out of forked children, also of those that no handler sees.
pub(crate) fn keep_out_of_children(start: *mut u8, len: usize) -> Result<()> {
    advise(start, len, libc::MADV_DONTFORK)
        .map_err(|error| Error::system("keeping a mapping from children", error))
}

/// Commits pages and maps them for writing, all at once.
///
/// # Errors
/// One that [`is_out_of_space`] when there is no memory for them; some may be committed then. Another one when the
/// system does not know how.
pub(crate) fn populate(start: *mut u8, len: usize) -> io::Result<()> {
    advise(start, len, libc::MADV_POPULATE_WRITE).map_err(|error| match error.raw_os_error() {
        // What would have been a SIGBUS.
        Some(libc::EFAULT) => io::Error::from_raw_os_error(libc::ENOSPC),
        _ => error,
    })
}

fn advise(start: *mut u8, len: usize, advice: i32) -> io::Result<()> {
    // SAFETY: these advices never change what the pages of this process hold; a wrong range is an error.
    match unsafe { libc::madvise(start.cast(), len, advice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Unmaps a range that its owner has forgotten about.
pub(crate) fn unmap(start: *mut u8, len: usize) {
    // SAFETY: the caller owned the mapping, and nobody looks at it any more.
    unsafe { libc::munmap(start.cast(), len) };
}

/// Makes a mapping of a region inaccessible, for good.
pub(crate) fn block_addresses(start: *mut u8, len: usize) -> Result<()> {
    block(start, len, libc::MAP_FIXED).map(|_| ())
}

/// Makes a range of addresses inaccessible where nothing is mapped.
///
/// # Errors
/// When something is.
pub(crate) fn block_free_addresses(start: *mut u8, len: usize) -> Result<()> {
    let got = block(start, len, libc::MAP_FIXED_NOREPLACE)?;
    if got == start {
        return Ok(());
    }
    unmap(got, len);
    let taken = io::Error::from_raw_os_error(libc::EEXIST);
    Err(Error::system("blocking inherited addresses", taken))
}

fn block(start: *mut u8, len: usize, placement: i32) -> Result<*mut u8> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | placement;
    // SAFETY: the range is one of the region's own mappings, or nothing is mapped there; whoever still reaches for it
    // must fault, which is what this is for.
    let mapped = unsafe { libc::mmap(start.cast(), len, libc::PROT_NONE, flags, -1, 0) };
    if mapped == libc::MAP_FAILED {
        return Err(Error::system("blocking inherited addresses", io::Error::last_os_error()));
    }
    Ok(mapped.cast())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn committed_bytes_have_blocks_and_punched_ones_have_none() {
        let file = anonymous(8 << 20).unwrap();
        commit(file.as_fd(), 4096, (3 << 20) + 5).unwrap();
        assert_eq!(file.metadata().unwrap().blocks() * 512, (3 << 20) + 4096);
        assert_eq!(file.metadata().unwrap().len(), 8 << 20);
        punch(file.as_fd(), 0, 8 << 20).unwrap();
        assert_eq!(file.metadata().unwrap().blocks(), 0);
    }

    #[test]
    fn long_writes_arrive_whole() {
        let file = anonymous(4 << 20).unwrap();
        let bytes: Vec<u8> = (0..(5 << 19) + 3).map(|i: u32| (i % 251) as u8).collect();
        write_all_at(file.as_fd(), &bytes, 777).unwrap();
        let mut back = vec![0; bytes.len()];
        file.read_exact_at(&mut back, 777).unwrap();
        assert_eq!(back, bytes);
    }

    #[test]
    fn a_reopened_file_is_the_same_file_and_a_reused_number_is_noticed() {
        let (file, other) = (anonymous(1).unwrap(), anonymous(1).unwrap());
        let id = FileId::of(file.as_fd()).unwrap();
        assert!(id.is_of(reopen(file.as_fd(), id, None).unwrap().as_fd()));
        assert!(!id.is_of(other.as_fd()));
        assert!(reopen(other.as_fd(), id, None).is_err());
    }
}
