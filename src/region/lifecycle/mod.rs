//! How regions come to be, are found, and go.
//!
//! Everybody comes and goes through the *door*, byte 0 of the file's locks: who attaches holds it shared until its entry
//! stands, who removes the name holds it alone. So nobody attaches to a file whose name is just being removed, and two
//! last leavers can not both take the other for staying.

mod create;
pub(super) mod detach;
mod open;
mod stamp;

use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};
use crate::participants::{self, DOOR};
use crate::region::Region;
use crate::region::name::{self, RegionName};
use crate::region::options::{Lifespan, RegionOptions};
use crate::region::table::Table;
use crate::region::{fork, reap, table};
use crate::sys::file::{self, FileId};
use crate::sys::lock::{Mode, Source, Transient};

/// How long one who leaves waits at the door for those who arrive.
const LEAVING: Duration = Duration::from_millis(50);
/// How long one who arrives waits for those who leave; nobody holds the door this long unless stopped.
const ARRIVING: Duration = Duration::from_millis(500);
/// How long names may change hands under somebody's eyes.
const PATIENCE: Duration = Duration::from_secs(10);

fn busy(name: &RegionName) -> Error {
    Error::Busy { what: format!("the door of region {:?}", name.as_str()) }
}

/// Takes the door, or gives up after a while.
fn take_door(door: &Transient, mode: Mode, patience: Duration) -> Result<bool> {
    let start = Instant::now();
    loop {
        if door.try_lock(DOOR, mode).map_err(|error| Error::system("locking the door", error))? {
            return Ok(true);
        }
        if start.elapsed() >= patience {
            return Ok(false);
        }
        std::thread::sleep(Duration::from_micros(500));
    }
}

fn leads_to(path: &Path, file: FileId) -> Result<bool> {
    let found =
        FileId::at(path).map_err(|error| Error::system("looking up the region's name", error))?;
    Ok(found == Some(file))
}

/// Removes files whose creator died before they became regions. One that lives and loses its file starts again.
fn sweep() {
    for name in name::temporaries().unwrap_or_default() {
        let _kept_for_the_next = sweep_one(&file::path_of(&name));
    }
}

fn sweep_one(path: &Path) -> Result<()> {
    let failed = |error| Error::system("looking at a temporary file", error);
    let opened = Transient::open_path(path).map_err(failed)?;
    let id = FileId::of(opened.as_fd()).map_err(failed)?;
    let source = Source { file: opened.as_fd(), id, path: Some(path) };
    if !participants::founder_lives(&source)? && leads_to(path, id)? {
        file::unlink(path).map_err(failed)?;
    }
    Ok(())
}

/// What an attempt to attach came to.
#[derive(Debug)]
enum Outcome {
    Attached(Region),
    /// Nothing has the name.
    Absent,
    /// Something has the name.
    Exists,
    /// Somebody else was faster: look again.
    Again,
}

impl RegionOptions {
    /// Creates a region that must not exist yet.
    ///
    /// # Errors
    /// [`Error::RegionExists`] when it does; [`Error::OutOfSpace`], [`Error::LimitTooLow`] or [`Error::InvalidConfig`]
    /// when the system or the numbers do not allow it.
    pub fn create(&self, name: &str) -> Result<Region> {
        self.attach(name, |table, name| match create::create(table, name, self)? {
            Outcome::Exists if open::reset_if_abandoned(name)? => Ok(Outcome::Again),
            Outcome::Exists => Err(Error::RegionExists { name: name.as_str().to_owned() }),
            outcome => Ok(outcome),
        })
    }

    /// Opens a region that exists.
    ///
    /// # Errors
    /// [`Error::RegionNotFound`] when it does not; [`Error::LayoutMismatch`] when it has another geometry than was set
    /// explicitly, or was made by a build with another layout; [`Error::AccessDenied`], [`Error::NotARegion`],
    /// [`Error::OutOfParticipants`], [`Error::Busy`].
    pub fn open(&self, name: &str) -> Result<Region> {
        self.attach(name, |table, name| match open::open(table, name, self)? {
            Outcome::Absent => Err(Error::RegionNotFound { name: name.as_str().to_owned() }),
            outcome => Ok(outcome),
        })
    }

    /// Creates a region without a name, for this process and the children it forks: nothing is ever left in /dev/shm.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn anonymous(self) -> Result<Region> {
        self.lifespan(Lifespan::Anonymous).create("anonymous")
    }

    /// Opens a region, and creates it when it does not exist.
    ///
    /// # Errors
    /// Those of [`create`](Self::create) and [`open`](Self::open), except that it exists or does not.
    pub fn open_or_create(&self, name: &str) -> Result<Region> {
        if self.chosen_lifespan() == Lifespan::Anonymous {
            return self.create(name);
        }
        self.attach(name, |table, name| match open::open(table, name, self)? {
            Outcome::Absent => create::create(table, name, self),
            outcome => Ok(outcome),
        })
    }

    fn attach(
        &self,
        name: &str,
        step: impl FnMut(&mut Table, &RegionName) -> Result<Outcome>,
    ) -> Result<Region> {
        let region = attach(name, step)?;
        if self.is_counted() {
            region.attachment.start_counting();
        }
        Ok(region)
    }
}

fn attach(
    name: &str,
    mut step: impl FnMut(&mut Table, &RegionName) -> Result<Outcome>,
) -> Result<Region> {
    let name = RegionName::new(name)?;
    // Before the table is locked: a fork must not find it held by a thread the child does not have.
    fork::install()?;
    let start = Instant::now();
    let region = loop {
        let mut table = table::lock()?;
        sweep();
        if let Outcome::Attached(region) = step(&mut table, &name)? {
            break region;
        }
        drop(table);
        if start.elapsed() > PATIENCE {
            return Err(busy(&name));
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    // Whoever could not be reaped now is reaped when his memory is needed.
    let _reaped = reap::reap_dead(region.attachment);
    Ok(region)
}

/// Removes a region's name, whoever is attached.
pub(super) fn destroy(name: &str) -> Result<()> {
    let name = RegionName::new(name)?;
    let path = name.path();
    sweep();
    let Some(opened) = stamp::open(&name)? else {
        return Err(Error::RegionNotFound { name: name.as_str().to_owned() });
    };
    stamp::Stamp::read(&opened, &name)?;
    let id = FileId::of(opened.as_fd())
        .map_err(|error| Error::system("looking at the region's file", error))?;
    let source = Source { file: opened.as_fd(), id, path: Some(&path) };
    let door =
        Transient::open(&source).map_err(|error| Error::system("opening the door", error))?;
    if !take_door(&door, Mode::Exclusive, ARRIVING)? {
        return Err(busy(&name));
    }
    if leads_to(&path, id)? {
        file::unlink(&path).map_err(|error| Error::system("removing the region's name", error))?;
    }
    Ok(())
}
