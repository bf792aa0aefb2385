//! A /dev/shm of a chosen size, for one forked child alone.

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

/// Runs `f` in a forked child that has a /dev/shm of `bytes` for itself. `false`, and a note, where mounting is not
/// permitted.
pub fn with_shm_of(bytes: u64, f: impl FnOnce()) -> bool {
    const NOT_PERMITTED: i32 = 77;
    let code = super::in_child(|| {
        if let Err(errno) = mount_own(bytes) {
            eprintln!("mounting a /dev/shm of its own: {errno}");
            return NOT_PERMITTED;
        }
        f();
        let left: Vec<_> =
            std::fs::read_dir("/dev/shm").unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "left in /dev/shm: {left:?}");
        0
    });
    if code == NOT_PERMITTED {
        eprintln!(
            "SKIPPED: a test of a full /dev/shm needs the right to mount one (root in a user or mount namespace)"
        );
        return false;
    }
    assert_eq!(code, 0);
    true
}

fn mount_own(bytes: u64) -> nix::Result<()> {
    let none: Option<&str> = None;
    unshare(CloneFlags::CLONE_NEWNS)?;
    mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
    mount(
        Some("tmpfs"),
        "/dev/shm",
        Some("tmpfs"),
        MsFlags::empty(),
        Some(format!("size={bytes}").as_str()),
    )
}

/// Bytes of /dev/shm that are used.
pub fn used() -> u64 {
    let status = nix::sys::statvfs::statvfs("/dev/shm").unwrap();
    (status.blocks() - status.blocks_free()) * status.fragment_size()
}

/// Takes all but `left` bytes of /dev/shm, until dropped.
pub struct Filler(std::path::PathBuf);

impl Filler {
    pub fn leaving(left: u64) -> Self {
        use std::os::fd::AsRawFd;
        let path = std::path::PathBuf::from("/dev/shm/filler");
        let file = std::fs::File::create(&path).unwrap();
        let status = nix::sys::statvfs::statvfs("/dev/shm").unwrap();
        let free = status.blocks_available() * status.fragment_size();
        let len = free.saturating_sub(left) as libc::off_t;
        // SAFETY: the descriptor is open.
        let taken = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len.max(1)) };
        assert_eq!(taken, 0, "{}", std::io::Error::last_os_error());
        Self(path)
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}
