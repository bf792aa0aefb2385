//! Leases and bonds of the members that have them.

use std::sync::OnceLock;

use super::MultiConnector;
use super::members::Part;
use crate::connector::{Connector, Fill, Lasting, one_at_a_time};
use crate::deadline::{Deadline, Term};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::sys::file;
use crate::sys::identity::Identity;

impl MultiConnector {
    fn lasting_of(&self, key: Key) -> Result<&dyn Lasting> {
        let lasting = self.members.of(key)?.lasting();
        lasting.ok_or(Error::Unsupported { connector: "key's", operation: "deadlines or owners" })
    }
}

impl Lasting for MultiConnector {
    fn put_for(
        &self,
        size: usize,
        (fingerprint, term): (Fingerprint, Term),
        fill: &mut Fill<'_>,
    ) -> Result<Key> {
        if term == Term::Unlimited {
            return self.put_with(size, fingerprint, fill);
        }
        let suitable = self.suitable_for(Part::Terms);
        self.fill_somewhere((&suitable, size), fill, &|connector, size, fill| match connector
            .lasting()
        {
            Some(lasting) => lasting.put_for(size, (fingerprint, term), fill),
            None => Err(Part::Terms.missing()),
        })
    }

    fn set_deadline(&self, key: Key, deadline: Option<Deadline>) -> Result<bool> {
        self.lasting_of(key)?.set_deadline(key, deadline)
    }

    fn bind_to_process(&self, key: Key) -> Result<bool> {
        self.lasting_of(key)?.bind_to_process(key)
    }

    fn unbind_from_process(&self, key: Key) -> Result<()> {
        self.lasting_of(key)?.unbind_from_process(key)
    }

    fn offer(&self, key: Key) -> Result<u64> {
        self.lasting_of(key)?.offer(key)
    }

    fn adopt(&self, key: Key, offer: u64) -> Result<()> {
        self.lasting_of(key)?.adopt(key, offer)
    }

    fn evict_bound(&self, key: Key) -> Result<bool> {
        self.lasting_of(key)?.evict_bound(key)
    }

    /// One that is drawn, for no member's is known to all: a child of a fork draws another.
    fn process(&self) -> Result<u64> {
        /// Used in [`one_at_a_time`] only, so that no fork finds it half set.
        static PROCESS: OnceLock<Identity> = OnceLock::new();
        self.members.check_open()?;
        let _turn = one_at_a_time();
        let process = match PROCESS.get() {
            Some(process) => process,
            None => {
                let new =
                    Identity::new().map_err(|error| Error::system("mapping a page", error))?;
                PROCESS.get_or_init(|| new)
            }
        };
        if process.tag() == 0 {
            let drawn = file::random().map_err(|error| Error::system("drawing a number", error))?;
            process.assume(1, drawn);
        }
        Ok(process.incarnation())
    }
}
