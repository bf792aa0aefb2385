//! Leases, which the server ends.

use super::RedisConnector;
use super::value::{millis_left, value_of};
use crate::connector::{Fill, Lasting};
use crate::deadline::{Deadline, Term};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;

impl RedisConnector {
    /// What needs to know who lives.
    fn no_owners<T>(&self) -> Result<T> {
        self.check_open()?;
        Err(Error::Unsupported {
            connector: "redis",
            operation: "objects that go with a process: a server does not know who lives",
        })
    }
}

impl Lasting for RedisConnector {
    fn put_for(
        &self,
        size: usize,
        (fingerprint, term): (Fingerprint, Term),
        fill: &mut Fill<'_>,
    ) -> Result<Key> {
        let until = match term {
            Term::Unlimited => None,
            Term::Until(deadline) => Some(deadline),
            Term::Process => return self.no_owners(),
        };
        self.check_open()?;
        let value = value_of(size, fingerprint, fill)?;
        if until.is_some_and(Deadline::has_passed) {
            return self.new_key();
        }
        Ok(self.add(std::slice::from_ref(&value), until)?[0])
    }

    fn set_deadline(&self, key: Key, deadline: Option<Deadline>) -> Result<bool> {
        self.check_own(key)?;
        let place = self.place_of(key);
        self.again(&mut |link| match deadline {
            // Asked anew, less is left.
            Some(deadline) => {
                link.ask(redis::cmd("PEXPIRE").arg(&place).arg(millis_left(deadline)))
            }
            // `PERSIST` says the same of an object without a lease as of none.
            None => Ok(link.ask(redis::cmd("PERSIST").arg(&place))?
                || link.ask(redis::cmd("EXISTS").arg(&place))?),
        })
    }

    fn bind_to_process(&self, _: Key) -> Result<bool> {
        self.no_owners()
    }

    fn unbind_from_process(&self, _: Key) -> Result<()> {
        self.no_owners()
    }

    fn offer(&self, _: Key) -> Result<u64> {
        self.no_owners()
    }

    fn adopt(&self, _: Key, _: u64) -> Result<()> {
        self.no_owners()
    }

    fn evict_bound(&self, _: Key) -> Result<bool> {
        self.no_owners()
    }

    fn process(&self) -> Result<u64> {
        self.no_owners()
    }
}
