//! Filling a claimed block, parts of which may not be committed yet.
//!
//! Cold units of a span are written through the descriptor: that commits them, reports a full tmpfs as an error, and
//! costs half of a page fault per page. Warm ones are copied into. Only when all bytes are there do the cold units
//! change from WARMING(me) to SPAN(slot).

use std::ops::Range;

use super::units::{change, unit_offset};
use crate::actor::{Actor, Refusal};
use crate::error::Error;
use crate::layout::block::{Block, BlockRef};
use crate::layout::geometry::UNIT;
use crate::layout::unit::{Unit, UnitWord};
use crate::sync::Ordering;
use crate::writer::{BlockWriter, Fill, Sink};

/// Bytes that are gathered before they are written through the descriptor.
const STAGE: usize = 256 * 1024;

impl Actor<'_> {
    /// Writes a claimed block's bytes.
    #[inline]
    pub(crate) fn write_block(
        &self,
        slot: u32,
        block: BlockRef,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        match block.get() {
            Some(Block::Span { first, count }) => {
                self.write_span_at((first, count), 0, bytes)?;
                self.settle_span(slot, (first, count), bytes.len() as u64)
            }
            _ => {
                self.copy_in(block, 0, bytes);
                Ok(())
            }
        }
    }

    /// Lets `fill` write into a claimed block; how much it wrote, or wanted to write.
    pub(crate) fn fill_block(
        &self,
        slot: u32,
        block: BlockRef,
        fill: &mut Fill<'_>,
    ) -> Result<u64, Refusal> {
        if let Some(Block::Span { first, count }) = block.get()
            && (first..first + count).any(|unit| self.is_warming(unit))
        {
            return self.fill_cold_span(slot, (first, count), fill);
        }
        // SAFETY: the block is claimed by this participant for the slot, committed, and no other reference exists.
        let room = unsafe { self.segment.claimed(block, block.size()) };
        let mut writer = BlockWriter::new(room);
        self.run(fill, &mut writer)?;
        Ok(writer.position() as u64)
    }

    /// Lets `fill` write into a part of a block that is committed and this participant's; how much it wrote, or wanted to
    /// write.
    #[inline]
    pub(crate) fn fill_part<F>(
        &self,
        block: BlockRef,
        part: (u64, u64),
        fill: &mut F,
    ) -> Result<usize, Error>
    where
        F: FnMut(&mut BlockWriter<'_>) -> Result<(), Error> + ?Sized,
    {
        // SAFETY: the part is the caller's, committed, and no other reference exists.
        let room = unsafe { self.segment.claimed_part(block, part) };
        let mut writer = BlockWriter::new(room);
        self.run(fill, &mut writer)?;
        Ok(writer.position())
    }

    /// Calls user code. A child that it forks and that comes back from it owns nothing of what was begun.
    #[inline]
    fn run<F>(&self, fill: &mut F, writer: &mut BlockWriter<'_>) -> Result<(), Error>
    where
        F: FnMut(&mut BlockWriter<'_>) -> Result<(), Error> + ?Sized,
    {
        let forks = self.forks();
        fill(writer)?;
        if self.forks() == forks {
            return Ok(());
        }
        Err(Error::NotOwner { token: "block" })
    }

    fn fill_cold_span(
        &self,
        slot: u32,
        span: (u32, u32),
        fill: &mut Fill<'_>,
    ) -> Result<u64, Refusal> {
        let capacity = u64::from(span.1) * UNIT;
        let mut cold = ColdSpan { actor: *self, span, written: 0, stage: Vec::new(), failed: None };
        let mut writer = BlockWriter::through(&mut cold, capacity as usize);
        self.run(fill, &mut writer)?;
        let wanted = writer.position() as u64;
        cold.flush();
        if let Some(refusal) = cold.failed {
            return Err(refusal);
        }
        if wanted <= capacity {
            // What arrived, which is less than wanted when `fill` put another writer in the place of this one.
            self.settle_span(slot, span, cold.written)?;
        }
        Ok(wanted)
    }

    /// Commits and maps what of a claimed block is not committed, so that it can be written in place.
    pub(crate) fn commit_block(&self, slot: u32, block: BlockRef) -> Result<(), Refusal> {
        let Some(Block::Span { first, count }) = block.get() else { return Ok(()) };
        if (first..first + count).any(|unit| self.is_warming(unit)) {
            self.segment.commit_mapped(unit_offset(first), u64::from(count) * UNIT)?;
        }
        self.settle_span(slot, (first, count), u64::from(count) * UNIT)
    }

    #[inline]
    fn copy_in(&self, block: BlockRef, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        // SAFETY: the caller has claimed the block, whose units in this range are committed, and holds no reference.
        let claimed = unsafe { self.segment.claimed(block, end as u64) };
        claimed[at..].write_copy_of_slice(bytes);
    }

    /// Whether the unit is being committed, for a span that this participant claimed.
    fn is_warming(&self, unit: u32) -> bool {
        let warming = UnitWord::new(Unit::Warming(self.me)).0;
        self.segment.unit(unit).is_some_and(|entry| entry.word.load(Ordering::Relaxed) == warming)
    }

    /// The units from `start` on that are all committed or all not.
    fn run_from(&self, start: u32, end: u32) -> (Range<u32>, bool) {
        let is_cold = self.is_warming(start);
        let stop = (start + 1..end).find(|&unit| self.is_warming(unit) != is_cold).unwrap_or(end);
        (start..stop, is_cold)
    }

    /// Writes bytes `at` an offset of a claimed span.
    fn write_span_at(
        &self,
        (first, count): (u32, u32),
        at: u64,
        bytes: &[u8],
    ) -> Result<(), Refusal> {
        let (mut at, mut rest) = (at, bytes);
        while !rest.is_empty() {
            let (run, is_cold) = self.run_from(first + (at / UNIT) as u32, first + count);
            let until = u64::from(run.end - first) * UNIT;
            let (part, after) = rest.split_at(rest.len().min((until - at) as usize));
            if is_cold {
                self.segment.write_data(unit_offset(first) + at, part)?;
            } else {
                self.copy_in(BlockRef::span(first, count), at as usize, part);
            }
            (at, rest) = (until, after);
        }
        Ok(())
    }

    /// Commits what behind the first `written` bytes of a claimed span is not committed; all its units are SPAN(slot)
    /// then.
    fn settle_span(
        &self,
        slot: u32,
        (first, count): (u32, u32),
        written: u64,
    ) -> Result<(), Refusal> {
        let (mut start, end) = (first, first + count);
        while start < end {
            let (run, is_cold) = self.run_from(start, end);
            if is_cold {
                let (offset, stop) = (unit_offset(run.start), unit_offset(run.end));
                let bare = (unit_offset(first) + written).clamp(offset, stop);
                if bare < stop {
                    self.segment.commit_data(bare, stop - bare)?;
                }
                for entry in run.clone().filter_map(|unit| self.segment.unit(unit)) {
                    change(entry, Unit::Warming(self.me), Unit::Span(slot));
                }
            }
            start = run.end;
        }
        Ok(())
    }
}

/// A span some of whose units are not committed, being written from its start.
struct ColdSpan<'a> {
    actor: Actor<'a>,
    span: (u32, u32),
    written: u64,
    stage: Vec<u8>,
    failed: Option<Refusal>,
}

impl ColdSpan<'_> {
    fn flush(&mut self) {
        let stage = std::mem::take(&mut self.stage);
        self.write(&stage);
        self.stage = stage;
        self.stage.clear();
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.failed = self.actor.write_span_at(self.span, self.written, bytes).err();
        }
        self.written += bytes.len() as u64;
    }
}

impl Sink for ColdSpan<'_> {
    fn append(&mut self, bytes: &[u8]) {
        if bytes.len() >= STAGE || self.stage.len() + bytes.len() > STAGE {
            self.flush();
        }
        if bytes.len() >= STAGE {
            self.write(bytes);
        } else {
            self.stage.extend_from_slice(bytes);
        }
    }
}
