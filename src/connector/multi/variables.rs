//! Variables of the members that have them.

use std::task::Waker;
use std::time::Duration;

use super::MultiConnector;
use super::members::Part;
use crate::connector::{Fill, Variables, Version, Watch};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;

impl MultiConnector {
    fn variables_of(&self, key: Key) -> Result<&dyn Variables> {
        let variables = self.members.of(key)?.variables();
        variables.ok_or(Error::Unsupported { connector: "key's", operation: "variables" })
    }
}

impl Variables for MultiConnector {
    fn new_variable(&self, fingerprint: Fingerprint) -> Result<Key> {
        self.make_somewhere(Part::Variables, None, |connector| match connector.variables() {
            Some(variables) => variables.new_variable(fingerprint),
            None => Err(Part::Variables.missing()),
        })
    }

    fn new_bound_variable(&self, fingerprint: Fingerprint) -> Result<Key> {
        self.make_somewhere(Part::Variables, None, |connector| match connector.variables() {
            Some(variables) => variables.new_bound_variable(fingerprint),
            None => Err(Part::Variables.missing()),
        })
    }

    fn put_bound_variable(
        &self,
        (size, fingerprint): (usize, Fingerprint),
        fill: &mut Fill<'_>,
    ) -> Result<Key> {
        let suitable = self.suitable_for(Part::Variables);
        self.fill_somewhere((&suitable, size), fill, &|connector, size, fill| match connector
            .variables()
        {
            Some(variables) => variables.put_bound_variable((size, fingerprint), fill),
            None => Err(Part::Variables.missing()),
        })
    }

    /// Of the first suitable member that has variables, also when it is full or can not be opened: in another one, others
    /// who are luckier would not find it.
    fn open_variable(&self, name: &str, fingerprint: Fingerprint) -> Result<Key> {
        self.members.check_open()?;
        let suitable = self.suitable();
        for member in &suitable {
            if member.has(Part::Variables, &self.members)?
                && let Some(variables) = self.members.open(member)?.variables()
            {
                return variables.open_variable(name, fingerprint);
            }
        }
        Err(match suitable.is_empty() {
            true => self.no_member(None, Part::Variables),
            false => Part::Variables.missing(),
        })
    }

    fn set_variable(
        &self,
        variable: (Key, Option<u64>),
        encoded: (usize, Fingerprint),
        fill: &mut Fill<'_>,
    ) -> Result<u64> {
        self.variables_of(variable.0)?.set_variable(variable, encoded, fill)
    }

    fn get_variable(&self, key: Key, fingerprint: Fingerprint) -> Result<Option<Version>> {
        self.variables_of(key)?.get_variable(key, fingerprint)
    }

    fn wait_for_change(&self, key: Key, seen: u64, timeout: Option<Duration>) -> Result<Version> {
        self.variables_of(key)?.wait_for_change(key, seen, timeout)
    }

    fn watch_change(&self, key: Key, seen: u64, waker: &Waker) -> Result<Watch> {
        self.variables_of(key)?.watch_change(key, seen, waker)
    }
}
