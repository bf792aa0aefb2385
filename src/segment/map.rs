//! Mapping, committing, unmapping.

use std::fs::File;
use std::io;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, PoisonError};

use memmap2::{MmapOptions, MmapRaw};
use shared_memory::Shmem;

use super::mapped::{Offsets, Segment, raw};
use crate::error::{Error, Result};
use crate::layout::geometry::{Geometry, PAGE};
use crate::sync::unmodelled::{AtomicPtr, AtomicU32, Ordering};
use crate::sys::file::{self, KeptFile};

/// The read-write mapping of a whole region.
pub(crate) enum Backing {
    /// A POSIX shared-memory segment; never its owner, whose drop would unlink it, even from a forked child.
    Shm(Shmem),
    /// An anonymous file, for forked families.
    Memfd(MmapRaw),
}

impl std::fmt::Debug for Backing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Shm(_) => "Shm",
            Self::Memfd(_) => "Memfd",
        })
    }
}

impl Backing {
    fn start(&self) -> (*mut u8, usize) {
        match self {
            Self::Shm(shm) => (shm.as_ptr(), shm.len()),
            Self::Memfd(map) => (map.as_mut_ptr(), map.len()),
        }
    }
}

/// What is given back when the segment is unmapped.
#[derive(Debug)]
pub(super) struct Maps {
    backing: Option<Backing>,
    _views: MmapRaw,
    /// A forked child's own mapping of the data area.
    moved: Option<MmapRaw>,
    file: KeptFile,
}

impl Drop for Maps {
    fn drop(&mut self) {
        // The drop of `Shmem` closes a descriptor. If ours was closed behind our back, so was that one, and its number
        // may be somebody else's file by now.
        if !self.file.is_ours()
            && let Some(Backing::Shm(shm)) = self.backing.take()
        {
            file::unmap(shm.as_ptr(), shm.len());
            std::mem::forget(shm);
        }
    }
}

// SAFETY: mappings may be unmapped from any thread.
unsafe impl Send for Maps {}

impl Segment {
    /// Takes over a region that is mapped read-write as `backing` and open as `file`.
    pub(crate) fn new(file: File, backing: Backing, geometry: Geometry) -> Result<Self> {
        let (control, len) = backing.start();
        if (len as u64) < geometry.total() {
            return Err(Error::corrupt(format!(
                "the file has {len} bytes, its geometry needs {}",
                geometry.total()
            )));
        }
        let views = MmapOptions::new()
            .offset(geometry.data_offset())
            .len(geometry.capacity as usize)
            .map_raw_read_only(&file)
            .map_err(|error| Error::system("mapping the data area read-only", error))?;
        // SAFETY: the data area lies inside the mapping, whose length was just compared with the geometry.
        let data = unsafe { control.add(geometry.data_offset() as usize) };
        file::keep_out_of_dumps(data, geometry.capacity as usize);
        file::keep_out_of_dumps(views.as_mut_ptr(), geometry.capacity as usize);
        file::keep_out_of_children(data, geometry.capacity as usize)?;
        let descriptor = raw(&file);
        let file = KeptFile::new(file)
            .map_err(|error| Error::system("looking at the region's file", error))?;
        Ok(Self {
            geometry,
            offsets: Offsets::of(&geometry),
            control,
            data: AtomicPtr::new(data),
            views: views.as_ptr(),
            descriptor,
            file: file.id(),
            seen_slots: AtomicU32::new(0),
            seen_units: AtomicU32::new(0),
            maps: Mutex::new(Some(Maps {
                backing: Some(backing),
                _views: views,
                moved: None,
                file,
            })),
        })
    }

    /// Commits the pages of `offset..offset + len`, so that touching them can not fault.
    ///
    /// # Errors
    /// `ENOSPC` or `ENOMEM` when there is no memory for them.
    pub(crate) fn commit(&self, offset: u64, len: u64) -> io::Result<()> {
        let start = offset / PAGE * PAGE;
        file::commit(self.own_descriptor()?, start, offset + len - start)
    }

    /// Commits what every region has from the start, and sets the bounds that say so. For the creator, before anybody
    /// else sees the region.
    pub(crate) fn commit_initial(&self) -> io::Result<()> {
        let (units, chunk) = (self.geometry.initial_frontier(), self.geometry.chunk_offset(0));
        self.commit(0, self.geometry.units_offset() + self.geometry.units_bytes(units))?;
        self.commit(chunk, self.geometry.chunk_stride())?;
        self.initialise_bounds();
        Ok(())
    }

    /// The descriptor, if it is still ours: some libraries close every descriptor, and the next file gets the number.
    fn own_descriptor(&self) -> io::Result<BorrowedFd<'_>> {
        let descriptor = self.descriptor();
        if self.file.is_of(descriptor) {
            Ok(descriptor)
        } else {
            Err(io::Error::from_raw_os_error(libc::EBADF))
        }
    }

    /// Gives the pages of a part of the data area back to the system; they read as zeros when committed again.
    pub(crate) fn punch_data(&self, offset: u64, len: u64) -> io::Result<()> {
        file::punch(self.own_descriptor()?, self.geometry.data_offset() + offset, len)
    }

    /// Commits a part of the data area.
    pub(crate) fn commit_data(&self, offset: u64, len: u64) -> io::Result<()> {
        self.commit(self.geometry.data_offset() + offset, len)
    }

    /// Writes `bytes` into the data area through the descriptor, which commits what it touches.
    pub(crate) fn write_data(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        file::write_all_at(self.own_descriptor()?, bytes, self.geometry.data_offset() + offset)
    }

    /// Commits a part of the data area and maps its pages for writing, all at once.
    pub(crate) fn commit_mapped(&self, offset: u64, len: u64) -> io::Result<()> {
        let data = self.data.load(Ordering::Relaxed);
        // SAFETY: callers pass a part of the data area.
        match file::populate(unsafe { data.add(offset as usize) }, len as usize) {
            Err(error) if !file::is_out_of_space(&error) => self.commit_data(offset, len),
            outcome => outcome,
        }
    }

    /// In a forked child: makes the addresses of the parent's writable data area, which the child did not inherit,
    /// inaccessible, so that a half-written loan of the parent faults instead of writing. For all regions before anything
    /// else is mapped, which would get such addresses.
    ///
    /// # Errors
    /// When something is mapped there already: by somebody else's fork handler.
    pub(crate) fn block_parents_data(&self) -> Result<()> {
        let len = self.geometry.capacity as usize;
        file::block_free_addresses(self.data.load(Ordering::Relaxed), len)
    }

    /// In a forked child: maps the data area for writing, elsewhere.
    pub(crate) fn remap_data_for_child(&self) -> Result<()> {
        let mut maps = self.maps.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(maps) = maps.as_mut() else { return Ok(()) };
        let len = self.geometry.capacity as usize;
        self.own_descriptor()
            .map_err(|error| Error::system("mapping the data area in a forked child", error))?;
        let moved = MmapOptions::new()
            .offset(self.geometry.data_offset())
            .len(len)
            .map_raw(maps.file.file())
            .map_err(|error| Error::system("mapping the data area in a forked child", error))?;
        file::keep_out_of_dumps(moved.as_mut_ptr(), len);
        file::keep_out_of_children(moved.as_mut_ptr(), len)?;
        self.data.store(moved.as_mut_ptr(), Ordering::Relaxed);
        if let Some(parents) = maps.moved.replace(moved) {
            std::mem::forget(parents);
        }
        Ok(())
    }

    /// In a child that is not attached: makes everything else that it inherited inaccessible.
    pub(crate) fn block_for_severed_child(&self) -> Result<()> {
        file::block_addresses(self.control, self.geometry.data_offset() as usize)?;
        file::block_addresses(self.views.cast_mut(), self.geometry.capacity as usize)
    }

    /// A region of its own in an anonymous file, for tests of the structures.
    #[cfg(test)]
    pub(crate) fn scratch(geometry: Geometry) -> Self {
        use nix::sys::memfd::{MFdFlags, memfd_create};
        let file = File::from(memfd_create(c"scratch", MFdFlags::MFD_CLOEXEC).unwrap());
        file.set_len(geometry.total()).unwrap();
        let map = MmapOptions::new().map_raw(&file).unwrap();
        let segment = Self::new(file, Backing::Memfd(map), geometry).unwrap();
        segment.commit_initial().unwrap();
        segment
    }
}
