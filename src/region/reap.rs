//! Undoing what the dead left.

use crate::error::Result;
use crate::protocol::sweep;
use crate::region::attachment::Attachment;

/// Reaps every dead participant; returns how many.
pub(crate) fn reap_dead(attachment: &Attachment) -> Result<usize> {
    sweep::reap_dead(&attachment.segment, &attachment.local, &attachment.source())
}
