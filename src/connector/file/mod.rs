//! A directory that processes share: objects that need not fit into memory, or that stay over a reboot.

mod directory;
mod record;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::connector::config::{ConnectorConfig, FileConfig};
use crate::connector::heap::encoded;
use crate::connector::series::{self, Need, Ranges, Series};
use crate::connector::{Block, Connector, Deferrable, Fill, one_at_a_time};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::sync::{AtomicBool, Ordering};
use crate::sys::lock::{HeldByte, Mode};
use crate::sys::{disk, file, limits};

use directory::{Directory, SETTLING, leads_to, open_locks};
use record::{HEADER, Record, failed};

/// From so many bytes on a file is mapped rather than read, unless the configuration says otherwise.
const MAP_FROM: u64 = 64 << 10;
/// How long one who settles a promise may take: nobody does this long, unless stopped.
const SETTLING_MOST: Duration = Duration::from_secs(5);
/// Between two looks of one who waits: at first, and at most.
const LOOKS: [Duration; 2] = [Duration::from_micros(200), Duration::from_millis(10)];

/// Stores each object in a file of a directory, which may be a network's.
///
/// Every file is written whole under another name first, so it is there completely or not at all; large ones are mapped
/// when they are got, and what was got stays valid when the object is evicted. Objects stay until they are evicted: over
/// the end of every process, and over a reboot (with `fsync` also over one that nobody expected).
///
/// Promises are kept here too. Their producer is alive for as long as its process has this connector; who waits looks again
/// every 10 ms.
///
/// There are no leases: clocks that nobody can set begin anew with a reboot and are each host's own, which these objects are
/// not; by others an object could go early. No bonds, for what is found after a reboot has no process; and no variables.
///
/// On network file systems: renames are atomic and locks are needed, as NFS 4 has them; and an evict whose answer was lost
/// on the way may tell nobody that it was the one.
///
/// ```
/// use inplace::connector::{Connector, FileConnector};
///
/// let directory = std::env::temp_dir().join(format!("inplace-doc-{}", std::process::id()));
/// let files = FileConnector::open(&directory)?;
/// let key = files.put(b"bytes")?;
/// assert_eq!(&*files.get(key)?.unwrap(), b"bytes");
/// assert!(files.evict(key)?);
/// # drop(files);
/// # std::fs::remove_dir_all(directory).unwrap();
/// # Ok::<(), inplace::Error>(())
/// ```
pub struct FileConnector {
    directory: Directory,
    config: FileConfig,
    series: Series,
    /// The ranges that this process, or its parent, has. Locked in [`one_at_a_time`] only.
    ranges: Mutex<Vec<(u64, HeldByte)>>,
    closed: AtomicBool,
}

impl FileConnector {
    /// The directory at `path`, with every default; made when it does not exist.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let absolute = disk::absolute(path).map_err(|error| failed(path, error))?;
        Self::connect(&FileConfig { directory: text_of(&absolute)?, ..FileConfig::default() })
    }

    /// The directory of that configuration; made when it does not exist.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] when the directory is something else's, or its path is not absolute; [`Error::System`].
    pub fn connect(config: &FileConfig) -> Result<Self> {
        config.validate()?;
        let directory = Directory::open_or_create(Path::new(&config.directory), config.fsync)?;
        Self::over(directory, config)
    }

    /// The directory of that configuration, which is not made.
    pub(crate) fn connect_to(config: &FileConfig) -> Result<Self> {
        config.validate()?;
        match Directory::open(Path::new(&config.directory), config.fsync)? {
            Some(directory) => Self::over(directory, config),
            None => Err(Error::DirectoryNotFound { directory: config.directory.clone() }),
        }
    }

    fn over(directory: Directory, config: &FileConfig) -> Result<Self> {
        // Also has the fork handlers installed, which close descriptors of locks in children.
        drop(one_at_a_time());
        directory.sweep();
        let (config, closed) = (config.clone(), AtomicBool::new(false));
        Ok(Self { directory, config, series: Series::new()?, ranges: Mutex::default(), closed })
    }

    fn open_directory(&self) -> Result<&Directory> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::Closed {
                what: format!("the directory {:?}", self.config.directory),
            });
        }
        Ok(&self.directory)
    }

    fn owning(&self, key: Key) -> Result<&Directory> {
        let directory = self.open_directory()?;
        if key.space() == directory.space {
            return Ok(directory);
        }
        let (expected, found) = (key.space(), directory.space);
        Err(Error::WrongRegion { key, expected, found, name: self.config.directory.clone() })
    }

    fn new_key(&self) -> Result<Key> {
        let object = self.series.next(self)?;
        Ok(Key::new(self.directory.space, object))
    }

    /// Writes an object's file under a name that is not its own yet.
    fn draft(&self, key: Key, record: Record, bytes: &[u8]) -> Result<Draft> {
        let len = bytes.len() as u64;
        limits::check_file(len + HEADER as u64, "the object's file")?;
        // Two threads may be settling one promise: a draft has a number of its own.
        let draft = Draft { path: self.directory.draft(self.series.next(self)?), is_placed: false };
        let parts = [&record.header(key)[..], bytes];
        let mut written = disk::write_new(&draft.path, &parts, self.directory.fsync);
        if written.as_ref().is_err_and(file::is_out_of_space) {
            let _none = file::unlink(&draft.path);
            self.directory.sweep();
            written = disk::write_new(&draft.path, &parts, self.directory.fsync);
        }
        written.map_err(|error| self.directory.failed(&draft.path, len, error))?;
        Ok(draft)
    }

    /// The file has its object's name now.
    fn placed(&self, mut draft: Draft, len: usize) -> Result<()> {
        draft.is_placed = true;
        let failed = |error| self.directory.failed(&draft.path, len as u64, error);
        self.directory.sync_names().map_err(failed)
    }

    /// Writes a new object's file.
    fn add(&self, record: Record, bytes: &[u8]) -> Result<Key> {
        loop {
            let key = self.new_key()?;
            let draft = self.draft(key, record, bytes)?;
            let path = self.directory.object(key);
            let failed = |error| self.directory.failed(&path, bytes.len() as u64, error);
            if disk::publish(&draft.path, &path).map_err(failed)? {
                return self.placed(draft, bytes.len()).map(|()| key);
            }
        }
    }

    /// The object's file and what it says; `None` when there is none.
    fn look(&self, key: Key) -> Result<Option<(File, Record)>> {
        let path = self.owning(key)?.object(key);
        let opened = disk::open(&path).map_err(|error| failed(&path, error))?;
        let Some(mut file) = opened else { return Ok(None) };
        let record = Record::read(&mut file, &path, key)?;
        Ok(Some((file, record)))
    }

    /// The object's state, with its block if it has a value.
    fn value(&self, key: Key) -> Result<State> {
        match self.look(key)? {
            None => Ok(State::Absent),
            Some((file, Record::Value { fingerprint, len })) => {
                let map_from = self.config.map_from.unwrap_or(MAP_FROM);
                let path = self.directory.object(key);
                let block = record::block((file, &path), (fingerprint, len), map_from)?;
                Ok(State::Value(block))
            }
            Some((_, Record::Promise)) if self.is_promiser_alive(key)? => Ok(State::Promised),
            Some(_) => Ok(State::Broken),
        }
    }

    fn is_promiser_alive(&self, key: Key) -> Result<bool> {
        self.directory.lives(series::range_of(key.object()))
    }

    /// Removes an object's name; whether this was the one who did.
    fn unlink(&self, key: Key) -> Result<bool> {
        let path = self.directory.object(key);
        let unlinked = file::unlink(&path).map_err(|error| failed(&path, error))?;
        if unlinked {
            self.directory.sync_names().map_err(|error| failed(&path, error))?;
        }
        Ok(unlinked)
    }

    /// Does something to a promise while nobody else does: `None` when there is nothing any more, or no promise.
    fn settling<R>(&self, key: Key, settle: impl FnOnce(&Path) -> Result<R>) -> Result<Option<R>> {
        let path = self.owning(key)?.object(key);
        let failed = |error| failed(&path, error);
        let start = Instant::now();
        loop {
            let Some(opened) = open_locks(&path).map_err(failed)? else { return Ok(None) };
            if opened.try_lock(SETTLING, Mode::Exclusive).map_err(failed)? {
                // The file may have lost its name while it was being opened and locked.
                if !leads_to(&path, &opened).map_err(failed)? {
                    continue;
                }
                // A promise that is locked stays where it is: this opens the same file.
                return match self.look(key)? {
                    Some((_, Record::Promise)) => settle(&path).map(Some),
                    _ => Ok(None),
                };
            }
            drop(opened);
            if start.elapsed() >= SETTLING_MOST {
                return Err(Error::Busy { what: format!("the promise of {key}") });
            }
            std::thread::sleep(LOOKS[0]);
        }
    }

    /// Puts a record in the place of a promise.
    fn settle(&self, key: Key, record: Record, bytes: &[u8]) -> Result<()> {
        let draft = self.draft(key, record, bytes)?;
        let settled = self.settling(key, |path| {
            if !self.is_promiser_alive(key)? {
                return Err(Error::Broken { key });
            }
            disk::rename(&draft.path, path).map_err(|error| failed(path, error))
        });
        match settled? {
            Some(true) => self.placed(draft, bytes.len()),
            Some(false) => Err(Error::Damaged {
                key,
                place: draft.path.display().to_string(),
                found: "was removed while it was written".into(),
            }),
            None => match self.look(key)? {
                None => Err(Error::NotFound { key }),
                Some((_, Record::Value { .. })) => Err(Error::AlreadySet { key }),
                Some(_) => Err(Error::Broken { key }),
            },
        }
    }

    /// Refuses early what can not be settled any more.
    fn check_promised(&self, key: Key) -> Result<()> {
        match self.value(key)? {
            State::Promised => Ok(()),
            State::Value(_) => Err(Error::AlreadySet { key }),
            State::Absent => Err(Error::NotFound { key }),
            State::Broken => Err(Error::Broken { key }),
        }
    }
}

/// A file on its way to its object's name; dropped before, it goes.
struct Draft {
    path: PathBuf,
    is_placed: bool,
}

impl Drop for Draft {
    fn drop(&mut self) {
        if !self.is_placed {
            let _stays_for_who_sweeps = file::unlink(&self.path);
        }
    }
}

impl Ranges for FileConnector {
    type Held = HeldByte;

    fn take(&self) -> Result<(u64, HeldByte)> {
        self.directory.take_range()
    }

    fn keep(&self, need: Need, range: u64, held: HeldByte) {
        let mut ranges = self.ranges.lock().unwrap_or_else(PoisonError::into_inner);
        if need == Need::First {
            // What a child inherited is its parent's, and is not mapped here.
            ranges.drain(..).for_each(|(_, held)| held.forget());
        }
        ranges.push((range, held));
    }
}

enum State {
    Absent,
    Promised,
    Broken,
    Value(Block),
}

impl Connector for FileConnector {
    fn put_with(&self, size: usize, fingerprint: Fingerprint, fill: &mut Fill<'_>) -> Result<Key> {
        self.open_directory()?;
        let bytes = encoded(&[], size, fill)?;
        self.add(Record::Value { fingerprint, len: bytes.len() as u64 }, &bytes)
    }

    fn put(&self, bytes: &[u8]) -> Result<Key> {
        self.open_directory()?;
        let record = Record::Value { fingerprint: Fingerprint::BYTES, len: bytes.len() as u64 };
        self.add(record, bytes)
    }

    fn get(&self, key: Key) -> Result<Option<Block>> {
        match self.value(key)? {
            State::Value(block) => Ok(Some(block)),
            State::Absent | State::Promised | State::Broken => Ok(None),
        }
    }

    fn take(&self, key: Key) -> Result<Option<Block>> {
        match self.get(key)? {
            Some(block) if self.unlink(key)? => Ok(Some(block)),
            _ => Ok(None),
        }
    }

    fn exists(&self, key: Key) -> Result<bool> {
        Ok(match self.look(key)? {
            Some((_, Record::Value { fingerprint, .. })) => {
                !Fingerprint::is_outcome(fingerprint.get())
            }
            _ => false,
        })
    }

    fn evict(&self, key: Key) -> Result<bool> {
        match self.look(key) {
            Ok(None) => Ok(false),
            // Not while its value is coming: that would put the name back.
            Ok(Some((_, Record::Promise))) => match self.settling(key, |_| self.unlink(key))? {
                Some(unlinked) => Ok(unlinked),
                None => self.unlink(key),
            },
            Ok(Some(_)) | Err(Error::Damaged { .. }) => self.unlink(key),
            Err(error) => Err(error),
        }
    }

    fn close(&self) -> Result<()> {
        self.closed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn config(&self) -> ConnectorConfig {
        ConnectorConfig::File(self.config.clone())
    }

    fn space(&self) -> Option<u64> {
        Some(self.directory.space)
    }

    fn register_type(&self, fingerprint: Fingerprint, name: &str) {
        let _missing = self.directory.keep_type(fingerprint, name);
    }

    fn describe(&self, fingerprint: Fingerprint) -> Option<String> {
        self.directory.known_type(fingerprint)
    }

    fn deferrable(&self) -> Option<&dyn Deferrable> {
        Some(self)
    }
}

impl Deferrable for FileConnector {
    fn reserve(&self) -> Result<Key> {
        self.open_directory()?;
        self.add(Record::Promise, &[])
    }

    fn set_with(
        &self,
        key: Key,
        size: usize,
        fingerprint: Fingerprint,
        fill: &mut Fill<'_>,
    ) -> Result<()> {
        self.check_promised(key)?;
        let bytes = encoded(&[], size, fill)?;
        self.settle(key, Record::Value { fingerprint, len: bytes.len() as u64 }, &bytes)
    }

    fn fail(&self, key: Key) -> Result<()> {
        self.check_promised(key)?;
        self.settle(key, Record::Broken, &[])
    }

    fn wait(&self, key: Key, timeout: Option<Duration>) -> Result<Block> {
        let start = Instant::now();
        let mut pause = LOOKS[0];
        loop {
            match self.value(key)? {
                State::Value(block) => return Ok(block),
                State::Absent => return Err(Error::NotFound { key }),
                State::Broken => return Err(Error::Broken { key }),
                State::Promised => {}
            }
            let waited = start.elapsed();
            let left = timeout.map_or(pause, |timeout| timeout.saturating_sub(waited));
            if left.is_zero() {
                return Err(Error::TimedOut { key, waited });
            }
            std::thread::sleep(pause.min(left));
            pause = (pause * 2).min(LOOKS[1]);
        }
    }
}

impl Drop for FileConnector {
    fn drop(&mut self) {
        let is_own = self.series.has_range();
        let ranges = self.ranges.get_mut().unwrap_or_else(PoisonError::into_inner);
        for (range, held) in ranges.drain(..) {
            if is_own {
                self.directory.leave(range, held);
            } else {
                held.forget();
            }
        }
    }
}

impl fmt::Debug for FileConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileConnector")
            .field("directory", &self.config.directory)
            .finish_non_exhaustive()
    }
}

fn text_of(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| Error::InvalidConfig {
        what: "file.directory".into(),
        found: format!("{path:?}"),
        expected: "a path in UTF-8: a configuration is text".into(),
    })
}
