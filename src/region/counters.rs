//! What a region's processes did together, and how much of it is in use.
//!
//! Each process counts in its own entry of the participant table, and nobody ever sets that back: who takes the entry next
//! counts on. So the sum over all entries is what was done with the region, also by processes that are gone, however they
//! went.

use serde::{Deserialize, Serialize};

use crate::arena::Usage;
use crate::error::Result;
use crate::layout::participant::{EntryWord, ParticipantEntry, ParticipantId, Presence};
use crate::layout::slot::{ObjectId, SlotWord, State, VERSION};
use crate::metrics::{Expose, Exposition, Family, Kind};
use crate::region::Region;
use crate::sync::Ordering;

/// What is counted one by one.
#[derive(Clone, Copy)]
pub(super) enum Counted {
    Get,
    Miss,
    Eviction,
}

impl Region {
    #[inline(always)]
    pub(super) fn count(&self, counted: Counted) {
        if self.attachment.is_counted() {
            self.count_one(counted);
        }
    }

    #[cold]
    fn count_one(&self, counted: Counted) {
        let Some(entry) = self.own_entry() else { return };
        let counter = match counted {
            Counted::Get => &entry.gets,
            Counted::Miss => &entry.misses,
            Counted::Eviction => &entry.evictions,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    #[inline(always)]
    pub(super) fn count_put(&self, id: ObjectId) {
        if self.attachment.is_counted() {
            self.count_bytes(id);
        }
    }

    #[cold]
    fn count_bytes(&self, id: ObjectId) {
        let (Some(entry), Some(slot)) = (self.own_entry(), self.attachment.segment.slot(id.slot()))
        else {
            return;
        };
        entry.puts.fetch_add(1, Ordering::Relaxed);
        entry.put_bytes.fetch_add(slot.len.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    fn own_entry(&self) -> Option<&'static ParticipantEntry> {
        Some(self.attachment.segment.entry(self.attachment.me_unless_severed()?))
    }

    /// Counts from now on what this process does.
    pub(crate) fn start_counting(&self) {
        self.attachment.start_counting();
    }

    /// What all processes did with the region since it was created, as far as they counted: see
    /// [`RegionOptions::metrics`](crate::RegionOptions::metrics). Those that are gone are in it, also when they were killed.
    ///
    /// ```
    /// use inplace::RegionOptions;
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).metrics(true).anonymous()?;
    /// let key = region.put(b"bytes")?;
    /// assert!(region.take(key)?.is_some() && region.get(key)?.is_none());
    /// let counted = region.counters()?;
    /// assert_eq!((counted.puts, counted.put_bytes), (1, 5));
    /// assert_eq!((counted.gets, counted.misses, counted.evictions), (1, 1, 1));
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Severed`](crate::Error::Severed).
    pub fn counters(&self) -> Result<RegionCounters> {
        self.attachment.me()?;
        let mut all = RegionCounters::default();
        for entry in self.entries() {
            for (sum, counter) in [
                (&mut all.puts, &entry.puts),
                (&mut all.put_bytes, &entry.put_bytes),
                (&mut all.gets, &entry.gets),
                (&mut all.misses, &entry.misses),
                (&mut all.evictions, &entry.evictions),
            ] {
                *sum = sum.wrapping_add(counter.load(Ordering::Relaxed));
            }
        }
        Ok(all)
    }

    /// About how many bytes are free. Walks every unit.
    pub(crate) fn free_bytes(&self) -> u64 {
        self.capacity().saturating_sub(Usage::of(&self.attachment.segment).in_use)
    }

    /// How much of the region is in use. Walks every slot and unit: for reports, not for every operation.
    ///
    /// ```
    /// use inplace::RegionOptions;
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let _key = region.put(&[7; 100])?;
    /// let usage = region.usage()?;
    /// assert_eq!((usage.objects, usage.bytes_in_use, usage.capacity), (1, 128, 1 << 20));
    /// assert!(usage.bytes_in_use <= usage.bytes_committed && usage.participants == 1);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Severed`](crate::Error::Severed).
    pub fn usage(&self) -> Result<RegionUsage> {
        self.attachment.me()?;
        let segment = &self.attachment.segment;
        let is_object = |index: &u32| {
            segment.slot(*index).is_some_and(|slot| {
                let word = SlotWord(slot.word.load(Ordering::SeqCst));
                let holds = matches!(word.state(), Some(state) if state != State::Free);
                holds && !word.has(VERSION)
            })
        };
        let is_attached = |entry: &&ParticipantEntry| {
            EntryWord(entry.word.load(Ordering::SeqCst)).presence() != Some(Presence::Vacant)
        };
        let usage = Usage::of(segment);
        Ok(RegionUsage {
            objects: (1..segment.committed_slots()).filter(is_object).count() as u64,
            max_objects: self.max_objects().into(),
            bytes_in_use: usage.in_use,
            bytes_committed: usage.committed,
            capacity: self.capacity(),
            participants: self.entries().filter(is_attached).count() as u64,
            max_participants: self.max_participants().into(),
        })
    }

    /// [`usage`](Self::usage) and [`counters`](Self::counters) with the region's name, to be shown.
    ///
    /// # Errors
    /// [`Error::Severed`](crate::Error::Severed).
    pub fn metrics(&self) -> Result<RegionMetrics> {
        let (usage, counters) = (self.usage()?, self.counters()?);
        Ok(RegionMetrics { region: self.name().to_owned(), usage, counters })
    }

    fn entries(&self) -> impl Iterator<Item = &ParticipantEntry> {
        let segment = &self.attachment.segment;
        (0..self.max_participants()).map(|index| segment.entry(ParticipantId::new(index)))
    }
}

/// What all processes did with a region, as far as they counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegionCounters {
    /// Objects that were put, promised ones when they got their value.
    pub puts: u64,
    /// Their bytes.
    pub put_bytes: u64,
    /// Objects that were found.
    pub gets: u64,
    /// Objects that were not there.
    pub misses: u64,
    /// Objects that were evicted or taken; not those of processes that died.
    pub evictions: u64,
}

/// How much of a region is in use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegionUsage {
    /// Objects: there, promised, being written, or evicted and still in view.
    pub objects: u64,
    /// How many there can be.
    pub max_objects: u64,
    /// Bytes that objects hold, rounded up to their blocks, the region's own with them.
    pub bytes_in_use: u64,
    /// Bytes of memory that were taken from the system for objects.
    pub bytes_committed: u64,
    /// How many bytes there can be.
    pub capacity: u64,
    /// Processes that are attached, or died and are not reaped yet.
    pub participants: u64,
    /// How many there can be.
    pub max_participants: u64,
}

/// What a region has to show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegionMetrics {
    /// The region's name.
    pub region: String,
    /// How much of it is in use.
    pub usage: RegionUsage,
    /// What was done with it.
    pub counters: RegionCounters,
}

impl RegionMetrics {
    /// The figures in Prometheus's text format. For those of several regions and stores together use [`Exposition`].
    ///
    /// ```
    /// use inplace::RegionOptions;
    ///
    /// let region = RegionOptions::new().capacity(1 << 20).anonymous()?;
    /// let text = region.metrics()?.to_prometheus();
    /// assert!(text.contains("inplace_region_capacity_bytes{region=\"anonymous\"} 1048576\n"));
    /// # Ok::<(), inplace::Error>(())
    /// ```
    #[must_use]
    pub fn to_prometheus(&self) -> String {
        Exposition::new().with(self).to_string()
    }
}

impl Expose for RegionMetrics {
    fn expose(&self, to: &mut Exposition) {
        let (usage, counters) = (&self.usage, &self.counters);
        for (name, text, value) in [
            ("inplace_region_objects", "Objects.", usage.objects),
            ("inplace_region_max_objects", "Objects at most.", usage.max_objects),
            ("inplace_region_in_use_bytes", "Bytes that objects hold.", usage.bytes_in_use),
            ("inplace_region_committed_bytes", "Bytes taken for objects.", usage.bytes_committed),
            ("inplace_region_capacity_bytes", "Bytes for objects at most.", usage.capacity),
            ("inplace_region_participants", "Processes attached.", usage.participants),
            (
                "inplace_region_max_participants",
                "Processes attached at most.",
                usage.max_participants,
            ),
        ] {
            let family = Family::new(name, Kind::Gauge, text);
            to.sample(family, &[("region", &self.region)], value as f64);
        }
        for (name, text, value) in [
            ("inplace_region_puts_total", "Objects put.", counters.puts),
            ("inplace_region_put_bytes_total", "Their bytes.", counters.put_bytes),
            ("inplace_region_gets_total", "Objects found.", counters.gets),
            ("inplace_region_misses_total", "Objects not found.", counters.misses),
            ("inplace_region_evictions_total", "Objects evicted.", counters.evictions),
        ] {
            let family = Family::new(name, Kind::Counter, text);
            to.sample(family, &[("region", &self.region)], value as f64);
        }
    }
}
