//! Leaving: the entry first, then the name if nobody stays, then the mappings.

use super::{LEAVING, leads_to, take_door};
use crate::error::{Error, Result};
use crate::participants;
use crate::region::attachment::Attachment;
use crate::region::options::Lifespan;
use crate::region::table::{self, Member};
use crate::sys::file;
use crate::sys::lock::{Mode, Transient};

/// Detaches a member that has neither handles nor pins, and that no thread looks at any more.
pub(in crate::region) fn finish(member: Member) {
    let (leaked, membership) = member.into_parts();
    let attachment = leaked.get();
    attachment.actor_as(membership.id).sweep(membership.id);
    participants::leave(&attachment.segment, membership);
    attachment.identity.sever();
    let _left_to_the_next_to_arrive = remove_if_last(attachment);
    // SAFETY: no handle exists and the row is empty, so no view exists; the table, which is locked, does not name the
    // attachment any more; threads that dropped their last view of it have been waited for. A `Pursuit` only compares.
    unsafe { leaked.reclaim() };
}

/// Removes the name when nobody else stays attached.
fn remove_if_last(attachment: &Attachment) -> Result<()> {
    let facts = &attachment.facts;
    let (Some(path), Lifespan::Attached) = (&facts.path, facts.lifespan) else { return Ok(()) };
    let source = attachment.source();
    let door =
        Transient::open(&source).map_err(|error| Error::system("opening the door", error))?;
    // Who holds the door is arriving, and will be the last to leave; or is stopped, and the next to arrive resets.
    if take_door(&door, Mode::Exclusive, LEAVING)?
        && !participants::anybody_stays(&attachment.segment, &source)?
        && leads_to(path, facts.file)?
    {
        file::unlink(path).map_err(|error| Error::system("removing the region's name", error))?;
    }
    Ok(())
}

/// At the end of the process: what still holds handles, in statics or on other threads, keeps its mappings and entries
/// until the process is gone, but keeps no region in /dev/shm.
pub(in crate::region) extern "C" fn leave_all_at_exit() {
    let Ok(table) = table::lock() else { return };
    for member in table.members.iter().filter(|member| !member.attachment().is_severed()) {
        let attachment = member.attachment();
        attachment.actor_as(member.membership.id).evict_all_bound(member.membership.id);
        participants::announce_end(
            &attachment.segment,
            member.membership.id,
            member.membership.incarnation,
        );
        let _left_to_the_next_to_arrive = remove_if_last(attachment);
    }
}
