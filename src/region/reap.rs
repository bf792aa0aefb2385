//! Undoing what the dead left.

use crate::error::Result;
use crate::protocol::sweep;
use crate::region::attachment::Attachment;

/// Reaps every dead participant; returns how many.
pub(crate) fn reap_dead(attachment: &Attachment) -> Result<usize> {
    sweep::reap_dead(&attachment.segment, &attachment.local, &attachment.source())
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;

    use crate::layout::participant::{EntryWord, ParticipantId, Presence};
    use crate::participants::{self, Election};
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

    fn elect(region: &Region, dead: ParticipantId) -> Option<Election> {
        let attachment = region.attachment;
        participants::elect(&attachment.segment, &attachment.source(), dead).unwrap()
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
        let election = elect(&region, dead).unwrap();
        for number in descriptors(&region) {
            if !before.contains(&number) {
                nix::unistd::close(number).unwrap();
            }
        }
        assert!(elect(&region, dead).is_none());
        participants::vacate(&region.attachment.segment, election);
        assert_eq!(region.reap().unwrap(), 0);
    }
}
