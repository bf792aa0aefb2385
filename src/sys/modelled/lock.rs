//! Locks on bytes, held by descriptors: as the kernel's, each question or answer is one step that orders both sides.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use loom::sync::Mutex;

/// How a byte is locked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mode {
    Shared,
    Exclusive,
}

#[derive(Debug, Default)]
struct Held {
    /// By whom each byte is held alone.
    bytes: BTreeMap<u64, u64>,
    descriptions: u64,
}

/// A file, of which only its locks matter.
#[derive(Clone, Debug)]
pub(crate) struct LockedFile(Arc<Mutex<Held>>);

impl LockedFile {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(Held::default())))
    }

    pub(crate) fn source(&self) -> Source<'_> {
        Source { file: self }
    }

    fn with<T>(&self, f: impl FnOnce(&mut Held) -> T) -> T {
        f(&mut self.0.lock().expect("models do not panic here"))
    }

    fn first_held(&self, start: u64, len: u64, but: u64) -> Option<u64> {
        self.with(|held| {
            let range = held.bytes.range(start..start + len);
            range.filter(|&(_, &by)| by != but).map(|(&byte, _)| byte).next()
        })
    }
}

/// Where to open further descriptions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Source<'a> {
    file: &'a LockedFile,
}

impl Source<'_> {
    pub(crate) fn is_held(&self, byte: u64) -> io::Result<bool> {
        Ok(self.first_held(byte, 1)?.is_some())
    }

    pub(crate) fn first_held(&self, start: u64, len: u64) -> io::Result<Option<u64>> {
        Ok(self.file.first_held(start, len, 0))
    }
}

/// The first byte that another description holds.
pub(crate) fn first_held(file: &Transient, start: u64, len: u64) -> io::Result<Option<u64>> {
    Ok(file.file.first_held(start, len, file.number))
}

/// A description for locks that are held briefly.
#[derive(Debug)]
pub(crate) struct Transient {
    file: LockedFile,
    number: u64,
}

impl Transient {
    pub(crate) fn open(source: &Source<'_>) -> io::Result<Self> {
        let number = source.file.with(|held| {
            held.descriptions += 1;
            held.descriptions
        });
        Ok(Self { file: source.file.clone(), number })
    }

    pub(crate) fn open_for_fork(source: &Source<'_>) -> io::Result<Self> {
        Self::open(source)
    }

    pub(crate) fn as_fd(&self) -> &Self {
        self
    }

    pub(crate) fn try_lock(&self, byte: u64, _: Mode) -> io::Result<bool> {
        Ok(self.file.with(|held| *held.bytes.entry(byte).or_insert(self.number) == self.number))
    }

    pub(crate) fn close_after_fork(self) {}
}

impl Drop for Transient {
    fn drop(&mut self) {
        let number = self.number;
        self.file.with(|held| held.bytes.retain(|_, by| *by != number));
    }
}

/// A byte that is locked until this is dropped.
#[derive(Debug)]
pub(crate) struct HeldByte {
    _lock: Transient,
}

impl HeldByte {
    pub(crate) fn try_take(source: &Source<'_>, byte: u64) -> io::Result<Option<Self>> {
        let opened = Transient::open(source)?;
        Ok(opened.try_lock(byte, Mode::Exclusive)?.then_some(Self { _lock: opened }))
    }

    /// A mapping keeps the description: its locks change hands.
    pub(crate) fn keep(locked: &Transient) -> io::Result<Self> {
        let opened = Transient::open(&Source { file: &locked.file })?;
        locked.file.with(|held| {
            held.bytes.values_mut().filter(|by| **by == locked.number).for_each(|by| {
                *by = opened.number;
            });
        });
        Ok(Self { _lock: opened })
    }
}
