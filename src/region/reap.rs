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

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::layout::participant::{EntryWord, Presence};
    use crate::region::{Region, RegionOptions};
    use crate::sync::Ordering;

    /// The numbers of this process's descriptors of the region's file.
    fn descriptors(region: &Region) -> Vec<i32> {
        let own = region.attachment.segment.descriptor().as_raw_fd();
        let file = |number: i32| {
            let status = std::fs::metadata(format!("/proc/self/fd/{number}")).ok()?;
            Some((status.dev(), status.ino()))
        };
        let numbers = std::fs::read_dir("/proc/self/fd").unwrap();
        let numbers = numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        numbers.filter(|&number| file(number) == file(own)).collect()
    }

    #[test]
    fn closing_every_descriptor_does_not_let_a_second_reaper_in() {
        let options = RegionOptions::new().capacity(1 << 20).max_participants(4);
        let region = options.anonymous().unwrap();
        let dead = ParticipantId::new(1);
        let entry = region.attachment.segment.entry(dead);
        entry.word.store(EntryWord::new(1, Presence::Active).0, Ordering::SeqCst);
        region.attachment.segment.header().participants_high.store(2, Ordering::SeqCst);
        let before = descriptors(&region);
        let election = region.attachment.elect(dead).unwrap().unwrap();
        for number in descriptors(&region) {
            if !before.contains(&number) {
                nix::unistd::close(number).unwrap();
            }
        }
        assert!(region.attachment.elect(dead).unwrap().is_none());
        region.attachment.vacate(election);
        assert_eq!(region.reap().unwrap(), 0);
    }
}
