//! Making a region under a name nobody looks for, and giving it its own when it is whole.

use std::fs::{File, Permissions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use memmap2::MmapOptions;
use shared_memory::{ShmemConf, ShmemError};

use super::Outcome;
use crate::error::{Error, Result};
use crate::layout::geometry::Geometry;
use crate::participants;
use crate::region::attachment::{Attachment, Facts};
use crate::region::lifecycle::stamp;
use crate::region::name::{self, RegionName};
use crate::region::options::{Lifespan, RegionOptions};
use crate::region::table::Table;
use crate::segment::{Backing, Segment};
use crate::sys::file::{self, FileId};
use crate::sys::limits;
use crate::sys::lock::{HeldByte, Source};

/// A file that is removed again unless it becomes a region.
struct Temporary {
    path: Option<PathBuf>,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            let _left_to_a_sweeper = file::unlink(path);
        }
    }
}

struct Made {
    file: File,
    backing: Backing,
    id: FileId,
}

pub(super) fn create(
    table: &mut Table,
    name: &RegionName,
    options: &RegionOptions,
) -> Result<Outcome> {
    let (geometry, mode) = (options.geometry()?, options.chosen_mode()?);
    limits::check(geometry.total(), geometry.total() + geometry.capacity)?;
    if options.chosen_lifespan() == Lifespan::Anonymous {
        let made = make_anonymous(&geometry)?;
        let life = participants::found(&source(&made, None))?;
        let life =
            life.ok_or_else(|| Error::corrupt("somebody holds a lock in a new anonymous file"))?;
        return furnish(made, (name, None), (&geometry, Lifespan::Anonymous), life)
            .and_then(|(attachment, membership)| table.admit(attachment, membership))
            .map(Outcome::Attached);
    }
    let path = name.path();
    let found =
        FileId::at(&path).map_err(|error| Error::system("looking up the region's name", error))?;
    if found.is_some() {
        return Ok(Outcome::Exists);
    }
    let number = file::random().map_err(|error| Error::system("drawing a random number", error))?;
    let draft = name::temporary(number);
    let mut temporary = Temporary { path: Some(file::path_of(&draft)) };
    let Some(made) = make(&draft, &geometry)? else { return Ok(Outcome::Again) };
    let Some(life) = participants::found(&source(&made, temporary.path.as_deref()))? else {
        return Ok(Outcome::Again);
    };
    made.file
        .set_permissions(Permissions::from_mode(mode))
        .map_err(|error| Error::system("setting the mode of the region's file", error))?;
    let names = (name, Some(path.clone()));
    let (attachment, membership) =
        furnish(made, names, (&geometry, options.chosen_lifespan()), life)?;
    match file::publish(&file::path_of(&draft), &path) {
        Ok(()) => {
            temporary.path = None;
            table.admit(attachment, membership).map(Outcome::Attached)
        }
        Err(error) => match error.raw_os_error() {
            Some(libc::EEXIST) => Ok(Outcome::Exists),
            Some(libc::ENOENT) => Ok(Outcome::Again),
            _ => Err(Error::system("giving the region its name", error)),
        },
    }
}

fn source<'a>(made: &'a Made, path: Option<&'a Path>) -> Source<'a> {
    Source { file: made.file.as_fd(), id: made.id, path }
}

fn identify(file: &File) -> Result<FileId> {
    FileId::of(file.as_fd()).map_err(|error| Error::system("looking at the region's file", error))
}

fn make_anonymous(geometry: &Geometry) -> Result<Made> {
    let failed = |error| Error::system("creating an anonymous file", error);
    let file = file::anonymous(geometry.total()).map_err(failed)?;
    let map = MmapOptions::new().map_raw(&file).map_err(failed)?;
    Ok(Made { id: identify(&file)?, backing: Backing::Memfd(map), file })
}

/// `None` when a sweeper was faster.
fn make(draft: &str, geometry: &Geometry) -> Result<Option<Made>> {
    let shm = ShmemConf::new().os_id(format!("/{draft}")).size(geometry.total() as usize).create();
    let mut shm =
        shm.map_err(|error| Error::system("creating shared memory", system_error(&error)))?;
    shm.set_owner(false);
    match file::open(&file::path_of(draft)) {
        Ok(file) => Ok(Some(Made { id: identify(&file)?, backing: Backing::Shm(shm), file })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::system("opening a new region's file", error)),
    }
}

/// The system's error inside one of `shared_memory`.
pub(super) fn system_error(error: &ShmemError) -> io::Error {
    match error {
        ShmemError::MapCreateFailed(errno)
        | ShmemError::MapOpenFailed(errno)
        | ShmemError::UnknownOsError(errno) => io::Error::from_raw_os_error(*errno as i32),
        other => io::Error::other(other.to_string()),
    }
}

/// Commits and fills what every region has from the start, and takes its first entry.
fn furnish(
    made: Made,
    (name, path): (&RegionName, Option<PathBuf>),
    (geometry, lifespan): (&Geometry, Lifespan),
    life: HeldByte,
) -> Result<(Attachment, participants::Membership)> {
    let mut region = 0;
    while region == 0 {
        region = file::random().map_err(|error| Error::system("drawing a random number", error))?;
    }
    let facts = Facts { name: name.as_str().to_owned(), path, region, lifespan, file: made.id };
    let segment = Segment::new(made.file, made.backing, *geometry)?;
    segment.commit_initial().map_err(|error| not_committed(error, geometry))?;
    stamp::write(segment.header(), (geometry, lifespan), region);
    let membership = participants::occupy_first(&segment, life)?;
    Ok((Attachment::new(segment, facts)?, membership))
}

fn not_committed(error: io::Error, geometry: &Geometry) -> Error {
    if !file::is_out_of_space(&error) {
        return Error::system("committing a new region's first pages", error);
    }
    let left = limits::shm_space().map_or(0, |space| space.available);
    Error::OutOfSpace {
        requested: geometry.initial_commit(),
        in_use: 0,
        capacity: geometry.capacity,
        remedy: format!("/dev/shm has {left} bytes left: remove files there, or make it larger"),
    }
}
