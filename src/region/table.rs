//! The regions this process is attached to, one entry each, however many handles and views there are.

use crate::error::{Error, Result};
use crate::participants::{Embryo, Membership};
use crate::region::Region;
use crate::region::attachment::{Attachment, Pursuit};
use crate::region::flight;
use crate::region::lifecycle::detach;
use crate::region::options::RegionOptions;
use crate::sys::file::FileId;
use crate::sys::latch::{Held, Latch};
use crate::sys::leaked::Leaked;

/// One attached region.
#[derive(Debug)]
pub(crate) struct Member {
    attachment: Leaked<Attachment>,
    pub(super) membership: Membership,
    /// Only during a fork: the child's entry.
    pub(super) embryo: Option<Embryo>,
}

impl Member {
    pub(super) fn attachment(&self) -> &'static Attachment {
        self.attachment.get()
    }

    /// Takes the member apart when it is detached.
    pub(super) fn into_parts(self) -> (Leaked<Attachment>, Membership) {
        (self.attachment, self.membership)
    }
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Table {
    pub(super) members: Vec<Member>,
}

static TABLE: Latch<Table> = Latch::new(Table { members: Vec::new() });

/// Waits for the table.
///
/// # Errors
/// When this thread holds it already: a signal handler interrupted an attach or detach.
pub(super) fn lock() -> Result<Held<'static, Table>> {
    let busy = || Error::Busy {
        what: "the table of open regions, by an operation this one interrupted,".into(),
    };
    TABLE.lock_unless_mine().ok_or_else(busy)
}

/// After a fork: the table that was kept over it.
pub(super) fn kept() -> Option<Held<'static, Table>> {
    TABLE.kept()
}

impl Table {
    /// Another handle of a region that is open already; of one that is closing, too.
    pub(super) fn reopen(&self, file: FileId, options: &RegionOptions) -> Result<Option<Region>> {
        let open = |member: &&Member| {
            let attachment = member.attachment();
            attachment.facts.file == file && !attachment.is_severed()
        };
        let Some(member) = self.members.iter().find(open) else { return Ok(None) };
        let attachment = member.attachment();
        options.check(
            &attachment.facts.name,
            attachment.segment.geometry(),
            attachment.facts.lifespan,
        )?;
        attachment.revive();
        Ok(Some(Region { attachment }))
    }

    /// Another handle of a region this process is attached to, by the region's id.
    pub(super) fn find(&self, region: u64) -> Option<Region> {
        let is_it = |attachment: &&'static Attachment| {
            attachment.facts.region == region && !attachment.is_severed()
        };
        let attachment = self.members.iter().map(Member::attachment).find(is_it)?;
        attachment.revive();
        Some(Region { attachment })
    }

    /// Another handle of a region this process has handles of, by the region's id.
    pub(super) fn find_open(&self, region: u64) -> Option<Region> {
        let is_it = |attachment: &&'static Attachment| attachment.facts.region == region;
        let attachment = self.members.iter().map(Member::attachment).find(is_it)?;
        // Made only then: dropped, it would count down a handle that is not counted.
        (!attachment.is_severed() && attachment.add_handle()).then(|| Region { attachment })
    }

    /// The first handle of a region just joined.
    pub(super) fn admit(
        &mut self,
        attachment: Attachment,
        membership: Membership,
    ) -> Result<Region> {
        attachment.identity.assume(membership.id.tag(), membership.incarnation);
        attachment.revive();
        let attachment = Leaked::new(attachment);
        let region = Region { attachment: attachment.get() };
        self.members.push(Member { attachment, membership, embryo: None });
        Ok(region)
    }

    fn position(&self, attachment: usize) -> Option<usize> {
        self.members.iter().position(|member| member.attachment().address() == attachment)
    }

    fn close(&mut self, at: usize, from: u32) {
        let attachment = self.members[at].attachment();
        let Ok(me) = attachment.me() else { return };
        attachment.start_closing();
        if !attachment.await_next(me, from) && flight::wait_for_others() {
            detach::finish(self.members.swap_remove(at));
        }
    }
}

/// The last handle is gone, or was: detaches, or leaves it to the last view. Takes the attachment's address only: others
/// may have opened and closed the region since the handle was counted down, and then it is gone.
#[cold]
pub(super) fn last_handle_dropped(attachment: usize) {
    let Ok(mut table) = lock() else { return };
    if let Some(at) = table.position(attachment)
        && !table.members[at].attachment().has_handles()
    {
        table.close(at, 1);
    }
}

impl Pursuit {
    /// Looks for the next pin of the closing attachment, and detaches when there is none. Not to be called in flight.
    #[cold]
    pub(crate) fn go_on(self) {
        let Ok(mut table) = lock() else { return };
        let Some(at) = table.position(self.attachment) else { return };
        if table.members[at].attachment().is_pursued_from(self.slot) {
            table.close(at, self.slot);
        }
    }
}
