//! What a file says it is, read through its descriptor: nothing is mapped before all of it is believed.

use std::fs::File;
use std::io;
use std::mem::offset_of;
use std::os::unix::fs::{FileExt, MetadataExt};

use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::layout::geometry::{Geometry, PAGE};
use crate::layout::header::{Header, LAYOUT_VERSION, MAGIC, layout_fingerprint};
use crate::region::name::RegionName;
use crate::region::options::{Lifespan, RegionOptions};
use crate::sync::Ordering;
use crate::sys::file;

/// Opens the file of that name. `None` when there is none.
pub(super) fn open(name: &RegionName) -> Result<Option<File>> {
    let not_a_region =
        |found: &str| Error::NotARegion { name: name.as_str().to_owned(), found: found.to_owned() };
    let file = match file::open(&name.path()) {
        Ok(file) => file,
        Err(error) => {
            return match error.raw_os_error() {
                Some(libc::ENOENT) => Ok(None),
                Some(libc::EACCES | libc::EPERM) => Err(denied(name, error.to_string())),
                Some(libc::ELOOP) => Err(not_a_region("it is a symbolic link")),
                Some(libc::EISDIR) => Err(not_a_region("it is a directory")),
                Some(libc::ENXIO) => Err(not_a_region("it is not a regular file")),
                _ => Err(Error::system("opening the region's file", error)),
            };
        }
    };
    match file.metadata() {
        Ok(status) if status.is_file() => Ok(Some(file)),
        Ok(_) => Err(not_a_region("it is not a regular file")),
        Err(error) => Err(Error::system("looking at the region's file", error)),
    }
}

fn denied(name: &RegionName, reason: String) -> Error {
    Error::AccessDenied { name: name.as_str().to_owned(), reason }
}

/// Requires the expected owner, and a mode that is no wider than expected.
pub(super) fn check_access(file: &File, name: &RegionName, options: &RegionOptions) -> Result<()> {
    let expected = options.chosen_mode()?;
    if options.allows_wider_access() {
        return Ok(());
    }
    let status =
        file.metadata().map_err(|error| Error::system("looking at the region's file", error))?;
    let (owner, me) = (status.uid(), nix::unistd::geteuid().as_raw());
    if owner != me {
        let reason = format!(
            "its file belongs to user {owner}, expected {me}; allow wider access if you trust that user, or choose \
             another name"
        );
        return Err(denied(name, reason));
    }
    let mode = status.mode() & 0o777;
    if mode & !expected != 0 {
        let reason = format!(
            "its file has mode {mode:04o}, expected {expected:04o} at most; allow wider access if everybody who may \
             write it is trusted, or chmod it"
        );
        return Err(denied(name, reason));
    }
    Ok(())
}

/// The constant part of a header that was proven to be one of ours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamp {
    version: u32,
    fingerprint: u64,
    numbers: (u64, u32, u32),
    lifespan: u32,
    size: u64,
    pub(super) region: u64,
    seal: u64,
    bounds: Bounds,
}

/// What only grows, and never has less than creation commits.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    chunks: u32,
    frontier: u32,
    participants_high: u32,
}

impl Stamp {
    /// # Errors
    /// [`Error::NotARegion`] when the file is too small or its magic number is another.
    pub(super) fn read(file: &File, name: &RegionName) -> Result<Self> {
        let not_a_region = |found| Err(Error::NotARegion { name: name.as_str().to_owned(), found });
        let failed = |error: io::Error| Error::system("reading the region's header", error);
        let size = file.metadata().map_err(failed)?.len();
        if size < PAGE {
            return not_a_region(format!(
                "its file has {size} bytes, a region has at least {PAGE}"
            ));
        }
        let mut bytes = [0; size_of::<Header>()];
        file.read_exact_at(&mut bytes, 0).map_err(failed)?;
        let long = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let short = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| bytes[at + i]));
        let magic = long(offset_of!(Header, magic));
        if magic != MAGIC {
            return not_a_region(format!(
                "its file starts with {magic:#018x}, a region with {MAGIC:#018x}"
            ));
        }
        Ok(Self {
            version: short(offset_of!(Header, layout_version)),
            fingerprint: long(offset_of!(Header, layout_fingerprint)),
            numbers: (
                long(offset_of!(Header, capacity)),
                short(offset_of!(Header, max_objects)),
                short(offset_of!(Header, max_participants)),
            ),
            lifespan: short(offset_of!(Header, lifespan)),
            size,
            region: long(offset_of!(Header, region_id)),
            seal: long(offset_of!(Header, seal)),
            bounds: Bounds {
                chunks: short(offset_of!(Header, chunks)),
                frontier: short(offset_of!(Header, frontier)),
                participants_high: short(offset_of!(Header, participants_high)),
            },
        })
    }

    /// Proves the rest: made by a build with this layout, a possible geometry, and as long as that demands.
    pub(super) fn check(&self, name: &RegionName) -> Result<(Geometry, Lifespan)> {
        let differs = |what, expected: String, found: String| {
            Err(Error::LayoutMismatch { name: name.as_str().to_owned(), what, expected, found })
        };
        if self.version != LAYOUT_VERSION {
            return differs("layout version", LAYOUT_VERSION.to_string(), self.version.to_string());
        }
        if self.fingerprint != layout_fingerprint() {
            let (expected, found) = (layout_fingerprint(), self.fingerprint);
            return differs(
                "layout fingerprint",
                format!("{expected:016x}"),
                format!("{found:016x}"),
            );
        }
        let not_a_region = |found| Error::NotARegion { name: name.as_str().to_owned(), found };
        let (capacity, objects, participants) = self.numbers;
        let geometry = Geometry::new(capacity, objects, participants).map_err(|error| {
            not_a_region(format!("its header holds an impossible geometry ({error})"))
        })?;
        let lifespan = Lifespan::from_word(self.lifespan)
            .filter(|&lifespan| lifespan != Lifespan::Anonymous)
            .ok_or_else(|| {
                not_a_region(format!("its header holds {} as its life span", self.lifespan))
            })?;
        if geometry.capacity != capacity || self.region == 0 {
            return Err(not_a_region("its header was never finished".to_owned()));
        }
        if self.size != geometry.total() {
            return differs("file size", geometry.total().to_string(), self.size.to_string());
        }
        let seal = seal((&geometry, self.lifespan), self.region);
        if self.seal != seal {
            let found = self.seal;
            return Err(not_a_region(format!(
                "its seal is {found:016x}, of this header {seal:016x}"
            )));
        }
        self.bounds.check(&geometry).map_err(not_a_region)?;
        Ok((geometry, lifespan))
    }
}

impl Bounds {
    /// # Errors
    /// What is found and what is possible.
    fn check(&self, geometry: &Geometry) -> Result<(), String> {
        let (chunks, units) = (geometry.chunks(), geometry.units());
        let bounds = [
            ("index chunks", self.chunks, 1, chunks),
            ("unit table entries", self.frontier, geometry.initial_frontier(), units),
            ("participants", self.participants_high, 1, geometry.max_participants.into()),
        ];
        for (what, found, least, most) in bounds {
            if !(least..=most).contains(&u64::from(found)) {
                return Err(format!(
                    "its header counts {found} {what} in use, possible are {least} to {most}"
                ));
            }
        }
        Ok(())
    }
}

/// What the constant part of a header adds up to.
fn seal((geometry, lifespan): (&Geometry, u32), region: u64) -> u64 {
    let layout = Fingerprint::of("inplace::seal")
        .with_u64(LAYOUT_VERSION.into())
        .with_u64(layout_fingerprint());
    let numbers = [
        geometry.capacity,
        geometry.max_objects.into(),
        geometry.max_participants.into(),
        lifespan.into(),
        region,
    ];
    numbers.into_iter().fold(layout, Fingerprint::with_u64).get()
}

/// Writes the constant part of a new region's header.
pub(super) fn write(header: &Header, (geometry, lifespan): (&Geometry, Lifespan), region: u64) {
    header.magic.store(MAGIC, Ordering::Relaxed);
    header.layout_version.store(LAYOUT_VERSION, Ordering::Relaxed);
    header.lifespan.store(lifespan.to_word(), Ordering::Relaxed);
    header.layout_fingerprint.store(layout_fingerprint(), Ordering::Relaxed);
    header.region_id.store(region, Ordering::Relaxed);
    header.capacity.store(geometry.capacity, Ordering::Relaxed);
    header.max_objects.store(geometry.max_objects, Ordering::Relaxed);
    header.max_participants.store(geometry.max_participants, Ordering::Relaxed);
    header.seal.store(seal((geometry, lifespan.to_word()), region), Ordering::Relaxed);
    header.created_at.store(crate::participants::now(), Ordering::Relaxed);
    header.creator.store(std::process::id().into(), Ordering::Relaxed);
}
