//! Undoing what the dead left.

use crate::error::Result;
use crate::layout::participant::ParticipantId;
use crate::region::attachment::Attachment;

/// Reaps every dead participant; returns how many.
pub(crate) fn reap_dead(attachment: &Attachment) -> Result<usize> {
    let mut reaped = 0;
    for participant in attachment.segment.participants() {
        if let Some(election) = attachment.elect(participant)? {
            undo(attachment, election.participant())?;
            attachment.vacate(election);
            reaped += 1;
        }
    }
    Ok(reaped)
}

/// Undoes everything a participant left, except its entry. Acts under its id; also called by a process that leaves.
pub(crate) fn undo(attachment: &Attachment, participant: ParticipantId) -> Result<()> {
    attachment.actor_as(participant).sweep(participant);
    Ok(())
}
