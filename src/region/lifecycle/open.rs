//! Attaching to a region that exists, and making way for a new one where all have crashed.

use std::fs::File;
use std::os::fd::AsFd;
use std::time::Instant;

use shared_memory::{ShmemConf, ShmemError};

use super::{ARRIVING, LEAVING, Outcome, busy, leads_to, take_door};
use crate::error::{Error, Result};
use crate::layout::geometry::Geometry;
use crate::participants::{self, Membership};
use crate::region::attachment::{Attachment, Facts};
use crate::region::lifecycle::create::system_error;
use crate::region::lifecycle::stamp::{self, Stamp};
use crate::region::name::RegionName;
use crate::region::options::{Lifespan, RegionOptions};
use crate::region::reap;
use crate::region::table::Table;
use crate::segment::{Backing, Segment};
use crate::sync::Ordering;
use crate::sys::file::{self, FileId};
use crate::sys::limits;
use crate::sys::lock::{Mode, Source, Transient};

pub(super) fn open(
    table: &mut Table,
    name: &RegionName,
    options: &RegionOptions,
) -> Result<Outcome> {
    let Some(file) = stamp::open(name)? else { return Ok(Outcome::Absent) };
    let id = FileId::of(file.as_fd())
        .map_err(|error| Error::system("looking at the region's file", error))?;
    if let Some(region) = table.reopen(id, options)? {
        return Ok(Outcome::Attached(region));
    }
    stamp::check_access(&file, name, options)?;
    let stamp = Stamp::read(&file, name)?;
    let (geometry, lifespan) = stamp.check(name)?;

    let path = name.path();
    let source = Source { file: file.as_fd(), id, path: Some(&path) };
    let door = open_door(&source)?;
    if !take_door(&door, Mode::Shared, ARRIVING)? {
        return Err(busy(name));
    }
    if !leads_to(&path, id)? {
        return Ok(Outcome::Again);
    }
    if lifespan == Lifespan::Attached && !participants::anybody_lives(&source, &geometry)? {
        drop(door);
        reset(&source, name, &geometry)?;
        return Ok(Outcome::Again);
    }
    options.check(name.as_str(), &geometry, lifespan)?;
    limits::check(geometry.total(), geometry.total() + geometry.capacity)?;
    let facts = Facts {
        name: name.as_str().to_owned(),
        path: Some(path.clone()),
        region: stamp.region,
        lifespan,
        file: id,
    };
    let Some(segment) = map(file, name, (&geometry, stamp.region))? else {
        return Ok(Outcome::Again);
    };
    let attachment = Attachment::new(segment, facts)?;
    let membership = join(&attachment)?;
    drop(door);
    table.admit(attachment, membership).map(Outcome::Attached)
}

fn open_door(source: &Source<'_>) -> Result<Transient> {
    Transient::open(source).map_err(|error| Error::system("opening the door", error))
}

/// Maps the region through its name. `None` when the name leads elsewhere by now.
fn map(
    file: File,
    name: &RegionName,
    (geometry, region): (&Geometry, u64),
) -> Result<Option<Segment>> {
    let shm = match ShmemConf::new().os_id(name.segment()).open() {
        Ok(mut shm) => {
            shm.set_owner(false);
            shm
        }
        Err(ShmemError::MapOpenFailed(errno)) if errno as i32 == libc::ENOENT => return Ok(None),
        Err(error) => return Err(Error::system("mapping the region", system_error(&error))),
    };
    if shm.len() as u64 != geometry.total() {
        return Ok(None);
    }
    let segment = Segment::new(file, Backing::Shm(shm), *geometry)?;
    Ok((segment.header().region_id.load(Ordering::Relaxed) == region).then_some(segment))
}

fn join(attachment: &Attachment) -> Result<Membership> {
    loop {
        if let Some(membership) = participants::join(&attachment.segment, &attachment.source())? {
            return Ok(membership);
        }
        if reap::reap_dead(attachment)? == 0 {
            let max_participants = attachment.segment.geometry().max_participants;
            return Err(Error::OutOfParticipants { max_participants });
        }
    }
}

/// Removes the name of a region that all its processes left by crashing.
fn reset(source: &Source<'_>, name: &RegionName, geometry: &Geometry) -> Result<()> {
    let (door, path, start) = (open_door(source)?, name.path(), Instant::now());
    while !take_door(&door, Mode::Exclusive, LEAVING)? {
        if participants::anybody_lives(source, geometry)? || !leads_to(&path, source.id)? {
            return Ok(());
        }
        if start.elapsed() > ARRIVING {
            return Err(busy(name));
        }
    }
    if !participants::anybody_lives(source, geometry)? && leads_to(&path, source.id)? {
        file::unlink(&path)
            .map_err(|error| Error::system("removing an abandoned region", error))?;
    }
    Ok(())
}

/// Where a new region is wanted: makes way if this one is abandoned. Returns whether to look again.
pub(super) fn reset_if_abandoned(name: &RegionName) -> Result<bool> {
    let Some(file) = stamp::open(name)? else { return Ok(true) };
    let Ok((geometry, Lifespan::Attached)) = Stamp::read(&file, name)?.check(name) else {
        return Ok(false);
    };
    let id = FileId::of(file.as_fd())
        .map_err(|error| Error::system("looking at the region's file", error))?;
    let path = name.path();
    let source = Source { file: file.as_fd(), id, path: Some(&path) };
    if participants::anybody_lives(&source, &geometry)? {
        return Ok(false);
    }
    reset(&source, name, &geometry)?;
    Ok(true)
}
