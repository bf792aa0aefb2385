//! Where everything lies in a region: a pure value, computed from three numbers.

use crate::error::{Error, Result};
use crate::layout::hint::HintStack;
use crate::layout::participant::ParticipantEntry;
use crate::layout::slot::Slot;
use crate::layout::types::{TYPE_ENTRIES, TypeEntry};
use crate::layout::unit::UnitEntry;

pub(crate) const PAGE: u64 = 4096;
/// The allocator's grain in bytes.
pub(crate) const UNIT: u64 = 64 * 1024;
/// What blocks are aligned to and measured in, in bytes.
pub(crate) const GRANULE: u64 = 64;
pub(crate) const GRANULES_PER_UNIT: u64 = UNIT / GRANULE;
pub(crate) const CHUNK_SLOTS: u64 = if cfg!(loom) { 2 } else { 2048 };
pub(crate) const NAME_BUCKETS: u64 = if cfg!(loom) { 1 } else { 1024 };
pub(crate) const HINT_STACKS: u64 = 64;
/// Bytes of block words one unit can need: a u32 for each of its granules.
pub(crate) const BLOCK_WORDS_PAGE: u64 = GRANULES_PER_UNIT * 4;
pub(crate) const MAX_SLOTS: u64 = 1 << 24;
pub(crate) const MAX_PARTICIPANTS: u32 = 4095;
pub(crate) const MAX_CAPACITY: u64 = 1 << 40;
const DATA_ALIGN: u64 = 2 * 1024 * 1024;
/// What creation may commit at most, so that a small /dev/shm is not eaten by an empty region.
pub(crate) const MAX_INITIAL_COMMIT: u64 = 16 * 1024 * 1024;

/// The three numbers a region is made of; every offset follows from them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Geometry {
    /// Bytes of the data area, a multiple of [`UNIT`].
    pub(crate) capacity: u64,
    pub(crate) max_objects: u32,
    pub(crate) max_participants: u32,
}

const fn round_up(value: u64, grain: u64) -> u64 {
    value.div_ceil(grain) * grain
}

fn refuse(what: &str, found: impl ToString, expected: impl Into<String>) -> Error {
    Error::InvalidConfig { what: what.into(), found: found.to_string(), expected: expected.into() }
}

impl Geometry {
    /// Checks the three numbers; `capacity` is rounded up to whole units.
    pub(crate) fn new(capacity: u64, max_objects: u32, max_participants: u32) -> Result<Self> {
        if capacity == 0 || capacity > MAX_CAPACITY {
            return Err(refuse("capacity", capacity, format!("1 to {MAX_CAPACITY} bytes")));
        }
        if max_objects == 0 || u64::from(max_objects) >= MAX_SLOTS {
            return Err(refuse("max_objects", max_objects, format!("1 to {}", MAX_SLOTS - 1)));
        }
        if max_participants == 0 || max_participants > MAX_PARTICIPANTS {
            return Err(refuse(
                "max_participants",
                max_participants,
                format!("1 to {MAX_PARTICIPANTS}"),
            ));
        }
        let geometry = Self { capacity: round_up(capacity, UNIT), max_objects, max_participants };
        let commit = geometry.initial_commit();
        if commit > MAX_INITIAL_COMMIT {
            let chunk = geometry.chunk_stride();
            return Err(refuse(
                "max_participants",
                max_participants,
                format!(
                    "a number whose first index chunk fits: 2048 slots × (64 + 2 × {max_participants} participants) = \
                     {chunk} bytes, and creation may commit {MAX_INITIAL_COMMIT} at most"
                ),
            ));
        }
        Ok(geometry)
    }

    pub(crate) const fn units(&self) -> u64 {
        self.capacity / UNIT
    }

    /// Chunks of the index when fully grown; slot 0 is never used.
    pub(crate) const fn chunks(&self) -> u64 {
        (self.max_objects as u64 + 1).div_ceil(CHUNK_SLOTS)
    }

    /// Slots that may be claimed are `1..slot_limit`.
    pub(crate) const fn slot_limit(&self) -> u64 {
        self.max_objects as u64 + 1
    }

    pub(crate) const fn participants_offset(&self) -> u64 {
        PAGE
    }

    pub(crate) const fn hints_offset(&self) -> u64 {
        round_up(
            self.participants_offset()
                + self.max_participants as u64 * size_of::<ParticipantEntry>() as u64,
            PAGE,
        )
    }

    pub(crate) const fn names_offset(&self) -> u64 {
        self.hints_offset() + HINT_STACKS * size_of::<HintStack>() as u64
    }

    pub(crate) const fn types_offset(&self) -> u64 {
        self.names_offset() + NAME_BUCKETS * 8
    }

    pub(crate) const fn units_offset(&self) -> u64 {
        round_up(self.types_offset() + TYPE_ENTRIES * size_of::<TypeEntry>() as u64, PAGE)
    }

    /// Bytes of the unit table below unit `limit`, whole pages.
    pub(crate) const fn units_bytes(&self, limit: u64) -> u64 {
        round_up(limit * size_of::<UnitEntry>() as u64, PAGE)
    }

    pub(crate) const fn index_offset(&self) -> u64 {
        self.units_offset() + self.units_bytes(self.units())
    }

    /// Bytes of one participant's counts for one chunk.
    pub(crate) const fn row_bytes(&self) -> u64 {
        CHUNK_SLOTS * 2
    }

    pub(crate) const fn chunk_stride(&self) -> u64 {
        CHUNK_SLOTS * size_of::<Slot>() as u64 + self.max_participants as u64 * self.row_bytes()
    }

    pub(crate) const fn chunk_offset(&self, chunk: u64) -> u64 {
        self.index_offset() + chunk * self.chunk_stride()
    }

    pub(crate) const fn block_words_offset(&self) -> u64 {
        self.chunk_offset(self.chunks())
    }

    pub(crate) const fn data_offset(&self) -> u64 {
        round_up(self.block_words_offset() + self.units() * BLOCK_WORDS_PAGE, DATA_ALIGN)
    }

    /// Bytes of the whole file, sparse.
    pub(crate) const fn total(&self) -> u64 {
        self.data_offset() + self.capacity
    }

    /// Units whose table is committed when the region is created.
    pub(crate) const fn initial_frontier(&self) -> u64 {
        let page = PAGE / size_of::<UnitEntry>() as u64;
        if self.units() < page { self.units() } else { page }
    }

    /// Bytes creation commits: everything before the unit table, its first page, the first chunk.
    pub(crate) const fn initial_commit(&self) -> u64 {
        self.units_offset() + self.units_bytes(self.initial_frontier()) + self.chunk_stride()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_geometry_commits_well_under_a_mebibyte() {
        let geometry = Geometry::new(64 << 20, 1 << 20, 64).unwrap();
        assert!(geometry.initial_commit() < 512 * 1024, "{}", geometry.initial_commit());
    }

    #[test]
    fn areas_follow_one_another_without_overlap_in_every_geometry() {
        for (capacity, objects, participants) in [
            (1, 1, 1),
            (UNIT, 2047, 1),
            (64 << 20, 2048, 64),
            (1 << 40, (1 << 24) - 1, 100),
            (65537, 5, 3000),
        ] {
            let g = Geometry::new(capacity, objects, participants).unwrap();
            let offsets = [
                PAGE,
                g.hints_offset(),
                g.names_offset(),
                g.types_offset(),
                g.units_offset(),
                g.index_offset(),
                g.block_words_offset(),
                g.data_offset(),
                g.total(),
            ];
            assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "{offsets:?}");
            assert!(g.index_offset().is_multiple_of(PAGE) && g.data_offset().is_multiple_of(UNIT));
            assert!(g.capacity >= capacity && g.capacity - capacity < UNIT);
        }
    }

    #[test]
    fn absurd_numbers_are_refused_with_the_allowed_range() {
        for (capacity, objects, participants) in [
            (0, 1, 1),
            (u64::MAX, 1, 1),
            (1, 0, 1),
            (1, u32::MAX, 1),
            (1, 1, 0),
            (1, 1, 4096),
            (1, 1, 4095),
        ] {
            let error = Geometry::new(capacity, objects, participants).unwrap_err();
            assert!(matches!(error, Error::InvalidConfig { .. }), "{error}");
        }
    }
}
