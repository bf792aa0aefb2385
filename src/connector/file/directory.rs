//! The directory: who counts its objects, who lives, and what the dead left.
//!
//! ```text
//! space              text: the version, and the number that says whose keys these are
//! objects/<object>   a file per object, named when it is complete
//! drafts/<range>.<number>   a file that is being written
//! ranges/<range>     locked by the process that has the range, for as long as it lives
//! next-<space>/<n>   one empty file: its name is the next range. Who renames it to n + 1 has n
//! types/<fingerprint>   the name of a type
//! ```

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::connector::file::record::failed;
use crate::connector::series::{RANGES, range_of};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::sys::disk;
use crate::sys::file::{self, FileId};
use crate::sys::lock::{self, HeldByte, Mode, Transient};

/// The byte of a range's file that its process holds.
const LIFE: u64 = 0;
/// The byte of a promise's file that is held while it is settled.
pub(super) const SETTLING: u64 = 0;
const SPACE: &str = "inplace directory 1, space ";
const NAME_MOST: u64 = 4096;
/// How often names are looked at again that change hands meanwhile.
const TRIES: u32 = 10_000;

/// A directory that is one.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
    pub(super) space: u64,
    /// Whether the disk has to have a file before its object is there.
    pub(super) fsync: bool,
}

impl Directory {
    /// The directory at `path`; made when nothing is there.
    pub(super) fn open_or_create(path: &Path, fsync: bool) -> Result<Self> {
        for _ in 0..TRIES {
            if let Some(directory) = Self::open(path, fsync)? {
                return Ok(directory);
            }
            // Another one may have been faster, and removed what this one was making.
            if let Err(error) = create(path)
                && Self::open(path, fsync)?.is_none()
            {
                return Err(failed(path, error));
            }
        }
        Err(Error::Busy { what: format!("the directory {}", path.display()) })
    }

    /// The directory at `path`, if it is one already.
    pub(super) fn open(path: &Path, fsync: bool) -> Result<Option<Self>> {
        let place = path.join("space");
        let read = disk::read_small(&place, 100).map_err(|error| failed(&place, error))?;
        let Some(text) = read else { return Ok(None) };
        let number = std::str::from_utf8(&text).ok().and_then(|text| {
            let digits = text.strip_prefix(SPACE)?.strip_suffix('\n')?;
            u64::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 16)
        });
        let foreign = || Error::InvalidConfig {
            what: "file.directory".into(),
            found: format!("{}, whose file `space` is of something else", path.display()),
            expected: "a directory of its own, made by a FileConnector of this version".into(),
        };
        Ok(Some(Self { path: path.to_owned(), space: number.ok_or_else(foreign)?, fsync }))
    }

    pub(super) fn object(&self, key: Key) -> PathBuf {
        self.path.join(format!("objects/{:016x}", key.object()))
    }

    pub(super) fn draft(&self, number: u64) -> PathBuf {
        self.path.join(format!("drafts/{:010x}.{number:016x}", range_of(number)))
    }

    pub(super) fn type_name(&self, fingerprint: Fingerprint) -> PathBuf {
        self.path.join(format!("types/{:016x}", fingerprint.get()))
    }

    fn range(&self, range: u64) -> PathBuf {
        self.path.join(format!("ranges/{range:010x}"))
    }

    /// Takes the next range, and says that this process has it.
    pub(super) fn take_range(&self) -> Result<(u64, HeldByte)> {
        let range = self.next_range()?;
        let path = self.range(range);
        let held = self.hold(&path).map_err(|error| failed(&path, error))?;
        Ok((range, held))
    }

    fn next_range(&self) -> Result<u64> {
        let counter = self.path.join(counter(self.space));
        let failed = |error| failed(&counter, error);
        for _ in 0..TRIES {
            let names = disk::names(&counter).map_err(failed)?;
            let numbers = names.iter().filter_map(|name| u64::from_str_radix(name, 16).ok());
            // A name that is just changing may be seen twice, or not at all.
            let Some(range) = numbers.max() else { continue };
            if range >= RANGES {
                return Err(Error::OutOfSlots { max_objects: u32::MAX });
            }
            let [from, to] = [range, range + 1].map(|n| counter.join(format!("{n:010x}")));
            if disk::rename(&from, &to).map_err(failed)? {
                return Ok(range);
            }
        }
        Err(Error::Busy { what: format!("the counter {}", counter.display()) })
    }

    /// Locks a new range's file. One who sweeps may take it for a dead one's before it is locked.
    fn hold(&self, path: &Path) -> std::io::Result<HeldByte> {
        loop {
            disk::touch(path)?;
            let Some(opened) = open_locks(path)? else { continue };
            if opened.try_lock(LIFE, Mode::Exclusive)? && leads_to(path, &opened)? {
                return HeldByte::keep(&opened);
            }
            drop(opened);
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    /// Whether the process that has the range lives.
    pub(super) fn lives(&self, range: u64) -> Result<bool> {
        let path = self.range(range);
        let look = || -> std::io::Result<bool> {
            let Some(opened) = disk::open(&path)? else { return Ok(false) };
            Ok(lock::first_held(opened.as_fd(), LIFE, 1)?.is_some())
        };
        look().map_err(|error| failed(&path, error))
    }

    /// Says that this process has the range no longer.
    pub(super) fn leave(&self, range: u64, held: HeldByte) {
        drop(held);
        let _kept_for_who_sweeps = file::unlink(&self.range(range));
    }

    /// Removes what dead processes were writing, and says that they are dead. What fails stays for the next.
    pub(super) fn sweep(&self) {
        let drafts = disk::names(&self.path.join("drafts")).unwrap_or_default();
        for name in disk::names(&self.path.join("ranges")).unwrap_or_default() {
            let _stays = self.sweep_range(&name);
        }
        for draft in &drafts {
            // Listed before: whoever has its range now had it then.
            let range = draft.split('.').next().unwrap_or_default();
            if !self.path.join("ranges").join(range).exists() {
                let _stays = file::unlink(&self.path.join("drafts").join(draft));
            }
        }
        let own = counter(self.space);
        for name in disk::names(&self.path).unwrap_or_default() {
            if name.starts_with("next-") && name != own {
                let _stays = disk::remove_directory(&self.path.join(name));
            }
        }
    }

    fn sweep_range(&self, name: &str) -> std::io::Result<()> {
        let path = self.path.join("ranges").join(name);
        let Some(opened) = open_locks(&path)? else { return Ok(()) };
        // Locked while its name goes: who is just taking the range sees that it has lost its file.
        if opened.try_lock(LIFE, Mode::Exclusive)? && leads_to(&path, &opened)? {
            file::unlink(&path)?;
        }
        Ok(())
    }

    /// Waits until the disk has the objects' names, if that was asked for.
    pub(super) fn sync_names(&self) -> std::io::Result<()> {
        if self.fsync { disk::sync_directory(&self.path.join("objects")) } else { Ok(()) }
    }

    /// Keeps the name of a type, for errors: whatever fails, it is missing there.
    pub(super) fn keep_type(&self, fingerprint: Fingerprint, name: &str) -> std::io::Result<()> {
        let path = self.type_name(fingerprint);
        if path.exists() {
            return Ok(());
        }
        // Whoever sweeps may take it for a dead one's: then the next one who meets the type keeps its name.
        let draft = self.path.join(format!("drafts/type-{:016x}", file::random()?));
        disk::write_new(&draft, &[name.as_bytes()], false)?;
        if !disk::publish(&draft, &path)? {
            file::unlink(&draft)?;
        }
        Ok(())
    }

    pub(super) fn known_type(&self, fingerprint: Fingerprint) -> Option<String> {
        let name = disk::read_small(&self.type_name(fingerprint), NAME_MOST).ok()??;
        Some(String::from_utf8_lossy(&name).into_owned())
    }

    /// A failure that may be a lack of room.
    pub(super) fn failed(&self, path: &Path, requested: u64, error: std::io::Error) -> Error {
        if !file::is_out_of_space(&error) {
            return failed(path, error);
        }
        let space = disk::space(&self.path);
        let (capacity, available) = space.map_or((0, 0), |space| (space.total, space.available));
        let full = match error.raw_os_error() {
            Some(libc::EDQUOT) => "the quota of this user is used up",
            _ => "the file system is full",
        };
        let remedy = format!(
            "{full} where {} is, {available} bytes free: evict objects, remove other files, or choose another directory",
            self.path.display()
        );
        Error::OutOfSpace {
            requested,
            in_use: capacity.saturating_sub(available),
            capacity,
            remedy,
        }
    }
}

/// Makes the directory's parts, and last what says that it is one. Whoever is second finds the first one's.
fn create(path: &Path) -> std::io::Result<()> {
    for part in ["objects", "drafts", "ranges", "types"] {
        disk::make_directory(&path.join(part))?;
    }
    let space = file::random()?.max(1);
    let counter = path.join(counter(space));
    disk::make_directory(&counter)?;
    disk::touch(&counter.join(format!("{:010x}", 1)))?;
    let draft = path.join("drafts").join(format!("space-{space:016x}"));
    disk::write_new(&draft, &[format!("{SPACE}{space:016x}\n").as_bytes()], true)?;
    if !disk::publish(&draft, &path.join("space"))? {
        // Or whoever sweeps does it.
        let _stays = file::unlink(&draft);
        let _stays = disk::remove_directory(&counter);
    }
    disk::sync_directory(path)
}

fn counter(space: u64) -> String {
    format!("next-{space:016x}")
}

/// A descriptor for locks on a file; `None` when there is no such file.
pub(super) fn open_locks(path: &Path) -> std::io::Result<Option<Transient>> {
    match Transient::open_path(path) {
        Ok(opened) => Ok(Some(opened)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the name still leads to the file.
pub(super) fn leads_to(path: &Path, opened: &Transient) -> std::io::Result<bool> {
    Ok(FileId::at(path)? == Some(FileId::of(opened.as_fd())?))
}
