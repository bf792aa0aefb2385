//! What the system and the process's limits allow.

use std::io;
use std::path::Path;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};

use crate::error::{Error, Result};
use crate::sys::disk::{self, DiskSpace};

/// Bytes of /dev/shm.
pub(crate) fn shm_space() -> io::Result<DiskSpace> {
    disk::space(Path::new("/dev/shm"))
}

/// Checks that a file of `file` bytes may be made and `addresses` more bytes of address space used. Mapping it
/// beyond that limit would be a bare "out of memory".
pub(crate) fn check(file: u64, addresses: u64) -> Result<()> {
    check_file(file, "the region's file")?;
    let space = limit(Resource::RLIMIT_AS)?;
    if space == RLIM_INFINITY {
        return Ok(());
    }
    let needed = addresses.saturating_add(addresses_in_use());
    if space < needed {
        return Err(Error::LimitTooLow {
            limit: "RLIMIT_AS",
            found: space,
            needed,
            what: "mapping the region, which takes address space and no memory",
        });
    }
    Ok(())
}

/// Checks that a file of so many bytes may be made: growing one beyond its limit would be a signal.
pub(crate) fn check_file(needed: u64, what: &'static str) -> Result<()> {
    let size = limit(Resource::RLIMIT_FSIZE)?;
    if size != RLIM_INFINITY && size < needed {
        return Err(Error::LimitTooLow { limit: "RLIMIT_FSIZE", found: size, needed, what });
    }
    Ok(())
}

/// As much stack as a program's first thread has, or what that is by default.
pub(crate) fn stack() -> usize {
    const USUAL: u64 = 8 << 20;
    let stack = limit(Resource::RLIMIT_STACK).ok().filter(|stack| *stack != RLIM_INFINITY);
    stack.unwrap_or(USUAL).max(USUAL) as usize
}

fn limit(resource: Resource) -> Result<u64> {
    let limits = getrlimit(resource);
    limits.map(|(soft, _)| soft).map_err(|error| Error::system("reading resource limits", error))
}

fn addresses_in_use() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
