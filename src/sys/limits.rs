//! What the system and the process's limits allow.

use std::io;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit};
use nix::sys::statvfs::statvfs;

use crate::error::{Error, Result};

/// Bytes of /dev/shm.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShmSpace {
    pub(crate) total: u64,
    pub(crate) available: u64,
}

pub(crate) fn shm_space() -> io::Result<ShmSpace> {
    let status = statvfs("/dev/shm")?;
    let block = status.fragment_size();
    Ok(ShmSpace { total: status.blocks() * block, available: status.blocks_available() * block })
}

/// Checks that a file of `file` bytes may be made and `addresses` more bytes of address space used. Growing a file
/// beyond its limit would be a signal, and mapping it beyond the other a bare "out of memory".
pub(crate) fn check(file: u64, addresses: u64) -> Result<()> {
    let read = |resource| {
        getrlimit(resource).map_err(|error| Error::system("reading resource limits", error))
    };
    let (size, _) = read(Resource::RLIMIT_FSIZE)?;
    if size != RLIM_INFINITY && size < file {
        return Err(Error::LimitTooLow {
            limit: "RLIMIT_FSIZE",
            found: size,
            needed: file,
            what: "the region's file",
        });
    }
    let (space, _) = read(Resource::RLIMIT_AS)?;
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

fn addresses_in_use() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages = pages.and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}
