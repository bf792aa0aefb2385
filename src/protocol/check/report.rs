//! What `check()` returns.

use std::fmt;

/// What a walk over a region found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Report {
    /// Objects that can be got, without the region's own.
    pub objects: u64,
    /// Objects among them, and variables, that go with a process.
    pub bound: u64,
    /// Objects among them that have a deadline.
    pub leased: u64,
    /// Objects that are evicted and still pinned.
    pub retired: u64,
    /// Objects that are promised.
    pub pending: u64,
    /// Slots in which a put, a set or an eviction is under way.
    pub in_progress: u64,
    /// Variables.
    pub variables: u64,
    /// Queues.
    pub queues: u64,
    /// Messages in them that wait to be received.
    pub queued: u64,
    /// Messages that were received, and not acknowledged.
    pub unacknowledged: u64,
    /// Messages that were received too often without that.
    pub dead_letters: u64,
    /// Topics.
    pub topics: u64,
    /// Messages in them.
    pub published: u64,
    /// Subscribers that their publishers wait for.
    pub subscribers: u64,
    /// Names that are bound.
    pub names: u64,
    /// Pins held by all participants together.
    pub pins: u64,
    /// Participants.
    pub participants: u64,
    /// Bytes that objects hold, rounded up to their blocks.
    pub bytes_in_use: u64,
    /// Bytes of the data area that are committed.
    pub bytes_committed: u64,
    /// Every broken invariant, in words.
    pub violations: Vec<String>,
}

impl Report {
    /// Whether nothing is broken.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} objects ({} bound, {} leased), {} retired, {} pending, {} in progress, {} variables, {} queues ({} queued, \
             {} unacknowledged, {} dead letters), {} topics ({} published, {} subscribers), {} names, {} pins, {} participants, {} of {} committed bytes in use",
            self.objects,
            self.bound,
            self.leased,
            self.retired,
            self.pending,
            self.in_progress,
            self.variables,
            self.queues,
            self.queued,
            self.unacknowledged,
            self.dead_letters,
            self.topics,
            self.published,
            self.subscribers,
            self.names,
            self.pins,
            self.participants,
            self.bytes_in_use,
            self.bytes_committed
        )?;
        self.violations.iter().try_for_each(|violation| write!(f, "\n  broken: {violation}"))
    }
}
