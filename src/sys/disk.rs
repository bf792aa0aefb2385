//! Files of a directory that processes share: written whole, named by rename, gone by unlink.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::AtFlags;
use nix::sys::statvfs::statvfs;

use crate::sys::file;

/// Bytes of a file system, as an ordinary user sees them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DiskSpace {
    pub(crate) total: u64,
    pub(crate) available: u64,
}

pub(crate) fn space(directory: &Path) -> io::Result<DiskSpace> {
    let status = statvfs(directory)?;
    let block = status.fragment_size();
    Ok(DiskSpace { total: status.blocks() * block, available: status.blocks_available() * block })
}

/// Makes a directory, and those above it; one that is there is fine.
pub(crate) fn make_directory(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Removes a directory with the files in it.
pub(crate) fn remove_directory(path: &Path) -> io::Result<()> {
    fs::remove_dir_all(path)
}

/// Names of what a directory holds, in no order.
pub(crate) fn names(directory: &Path) -> io::Result<Vec<String>> {
    let entries = fs::read_dir(directory)?;
    Ok(entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect())
}

/// Writes a file that must not exist yet; `durable` waits until the disk has it.
pub(crate) fn write_new(path: &Path, parts: &[&[u8]], durable: bool) -> io::Result<()> {
    let mut options = File::options();
    let flags = libc::O_NOFOLLOW | libc::O_CLOEXEC;
    let mut file = options.write(true).create_new(true).custom_flags(flags).open(path)?;
    parts.iter().try_for_each(|part| file.write_all(part))?;
    if durable { file.sync_all() } else { Ok(()) }
}

/// Makes an empty file, unless there is one of that name.
pub(crate) fn touch(path: &Path) -> io::Result<()> {
    File::options().write(true).create(true).truncate(false).open(path).map(|_| ())
}

/// Opens a file for reading; `None` when there is none.
pub(crate) fn open(path: &Path) -> io::Result<Option<File>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;
    match File::options().read(true).custom_flags(flags).open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads a small file, at most `most` bytes of it; `None` when there is none.
pub(crate) fn read_small(path: &Path, most: u64) -> io::Result<Option<Vec<u8>>> {
    let Some(file) = open(path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}

/// Reads a whole file that someone named.
#[cfg(feature = "redis-tls")]
pub(crate) fn read_whole(path: &Path) -> io::Result<Vec<u8>> {
    fs::read(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

/// Gives a file a name nobody has, and takes its old one. `false` when somebody has it.
pub(crate) fn publish(from: &Path, to: &Path) -> io::Result<bool> {
    match file::publish(from, to) {
        Ok(()) => Ok(true),
        Err(error) => match error.raw_os_error() {
            Some(libc::EEXIST) => Ok(false),
            // File systems that do not know this rename, as those of a network, know links.
            Some(libc::EINVAL | libc::ENOSYS | libc::EOPNOTSUPP) => link(from, to),
            _ => Err(error),
        },
    }
}

fn link(from: &Path, to: &Path) -> io::Result<bool> {
    let here = nix::fcntl::AT_FDCWD;
    match nix::unistd::linkat(here, from, here, to, AtFlags::empty()) {
        Ok(()) => file::unlink(from).map(|_| true),
        Err(Errno::EEXIST) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

/// Renames, over what has the new name already. `false` when the old name is gone.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    match fs::rename(from, to) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Waits until the disk has the names of a directory.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// A path from the root, for processes with other working directories.
pub(crate) fn absolute(path: &Path) -> io::Result<std::path::PathBuf> {
    std::path::absolute(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_is_taken_stays_whose_it_is_by_rename_and_by_link() {
        let directory = std::env::temp_dir().join(format!("inplace-disk-{}", std::process::id()));
        make_directory(&directory).unwrap();
        let [one, two, taken] = ["one", "two", "taken"].map(|name| directory.join(name));
        write_new(&one, &[b"fi", b"rst"], true).unwrap();
        assert!(write_new(&one, &[b"again"], false).is_err());
        write_new(&two, &[b"second"], false).unwrap();
        assert!(publish(&one, &taken).unwrap());
        assert!(!publish(&two, &taken).unwrap());
        assert!(!link(&two, &taken).unwrap());
        assert_eq!(read_small(&taken, 100).unwrap().unwrap(), b"first");
        assert!(link(&two, &one).unwrap());
        assert_eq!(read_small(&one, 3).unwrap().unwrap(), b"sec");
        assert_eq!(read_small(&two, 3).unwrap(), None);
        assert!(!rename(&two, &taken).unwrap());
        remove_directory(&directory).unwrap();
    }
}
