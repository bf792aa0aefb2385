//! The members, opened when they are needed.

use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use crate::connector::config::{ConnectorConfig, MemberConfig};
use crate::connector::policy::Policy;
use crate::connector::{Connector, one_at_a_time};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::sync::{AtomicBool, Ordering};
use crate::sys::identity;

#[derive(Default)]
pub(super) struct Members {
    /// In the order of their configuration.
    pub(super) all: Vec<Member>,
    pub(super) host: String,
    /// Names of types, for members that are opened later. Locked in [`one_at_a_time`] only.
    types: Mutex<Vec<(Fingerprint, String)>>,
    pub(super) closed: AtomicBool,
}

pub(super) struct Member {
    pub(super) connector: ConnectorConfig,
    pub(super) policy: Policy,
    pub(super) is_for_host: bool,
    /// Set in [`one_at_a_time`] only, so that no fork finds it half set.
    pub(super) opened: OnceLock<Arc<dyn Connector>>,
}

/// What only some connectors have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Promises,
    Loans,
    /// Leases or bonds: either may be missing.
    Terms,
    Variables,
}

impl Part {
    /// The error of several connectors of which none has it.
    pub(super) fn missing(self) -> Error {
        let operation = match self {
            Self::Promises => "member with promises among those whose policies fit",
            Self::Loans => "member with loans among those whose policies fit",
            Self::Terms => "member with deadlines or owners among those whose policies fit",
            Self::Variables => "member with variables among those whose policies fit",
        };
        Error::Unsupported { connector: "multi", operation }
    }
}

impl Member {
    /// Whether it has that. Only a connector of the program's own has to be opened to know.
    pub(super) fn has(&self, part: Part, members: &Members) -> Result<bool> {
        Ok(match &self.connector {
            ConnectorConfig::Shm(_) | ConnectorConfig::Local(_) => true,
            ConnectorConfig::File(_) => part == Part::Promises,
            ConnectorConfig::Redis(_) => part == Part::Terms,
            _ => {
                let connector = members.open(self)?;
                match part {
                    Part::Promises => connector.deferrable().is_some(),
                    Part::Loans => connector.loaning().is_some(),
                    Part::Terms => connector.lasting().is_some(),
                    Part::Variables => connector.variables().is_some(),
                }
            }
        })
    }

    pub(super) fn new(config: MemberConfig, host: &str) -> Self {
        let MemberConfig { connector, policy } = config;
        let is_for_host = policy.is_for_host(host);
        Self { connector, policy, is_for_host, opened: OnceLock::new() }
    }
}

impl Members {
    /// The members of that configuration, on this host.
    pub(super) fn new(members: impl IntoIterator<Item = MemberConfig>) -> Self {
        let host = identity::host();
        let all = members.into_iter().map(|member| Member::new(member, &host)).collect();
        Self { all, host, ..Self::default() }
    }

    /// Keeps the name of a type, also for members that are opened later.
    pub(super) fn register_type(&self, fingerprint: Fingerprint, name: &str) {
        {
            let _turn = one_at_a_time();
            let mut types = self.types.lock().unwrap_or_else(PoisonError::into_inner);
            if types.iter().all(|(known, _)| *known != fingerprint) {
                types.push((fingerprint, name.to_owned()));
            }
        }
        self.opened().for_each(|connector| connector.register_type(fingerprint, name));
    }

    pub(super) fn check_open(&self) -> Result<()> {
        if self.closed.load(Ordering::Relaxed) {
            return Err(Error::Closed { what: self.name() });
        }
        Ok(())
    }

    /// Whether any member of this host has that: one by whose keys it is asked for may be found by anybody.
    pub(super) fn have(&self, part: Part) -> bool {
        let here = |member: &&Member| member.is_for_host;
        self.all.iter().filter(here).any(|member| member.has(part, self).is_ok_and(|has| has))
    }

    fn name(&self) -> String {
        format!("the multi connector of {} members", self.all.len())
    }

    /// The member's connector: what is not there yet is created.
    pub(super) fn open<'a>(&self, member: &'a Member) -> Result<&'a Arc<dyn Connector>> {
        match member.opened.get() {
            Some(connector) => Ok(connector),
            None => Ok(self.install(member, member.connector.connect()?)),
        }
    }

    fn install<'a>(
        &self,
        member: &'a Member,
        connector: Arc<dyn Connector>,
    ) -> &'a Arc<dyn Connector> {
        let types = {
            let _turn = one_at_a_time();
            // Another thread may have been first: its connector stays.
            let _first = member.opened.set(connector.clone());
            self.types.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        for (fingerprint, name) in types {
            connector.register_type(fingerprint, &name);
        }
        member.opened.get_or_init(|| connector)
    }

    pub(super) fn opened(&self) -> impl Iterator<Item = &Arc<dyn Connector>> {
        self.all.iter().filter_map(|member| member.opened.get())
    }

    /// The connector of the key's object. Members that were not needed yet are opened for it, but nothing is created.
    pub(super) fn of(&self, key: Key) -> Result<&Arc<dyn Connector>> {
        self.check_open()?;
        for connector in self.opened() {
            if has(connector, key)? {
                return Ok(connector);
            }
        }
        let mut failure = None;
        for member in self.all.iter().filter(|member| member.is_for_host) {
            match self.open_for(member, key) {
                Ok(Some(connector)) if has(connector, key)? => return Ok(connector),
                Ok(_) | Err(Error::RegionNotFound { .. } | Error::DirectoryNotFound { .. }) => {}
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| Error::WrongRegion {
            key,
            expected: key.space(),
            found: self.opened().find_map(|connector| connector.space()).unwrap_or(0),
            name: self.name(),
        }))
    }

    /// The connector of a member that the key may be of. One that is not opened yet creates nothing.
    fn open_for<'a>(&self, member: &'a Member, key: Key) -> Result<Option<&'a Arc<dyn Connector>>> {
        if let Some(connector) = member.opened.get() {
            return Ok(Some(connector));
        }
        let connector = member.connector.connect_to(key)?;
        // A region that the key is of may be another one than the member's.
        let is_its_own = connector.config().is_same_place(&member.connector);
        Ok(is_its_own.then(|| self.install(member, connector)))
    }

    /// Positions of keys, by the connector they are of.
    pub(super) fn grouped<'a>(&'a self, keys: &[Key]) -> Result<Vec<Group<'a>>> {
        let mut groups: Vec<Group<'_>> = Vec::new();
        for (at, key) in keys.iter().enumerate() {
            let connector = self.of(*key)?;
            match groups.iter_mut().find(|(known, _)| Arc::ptr_eq(known, connector)) {
                Some((_, positions)) => positions.push(at),
                None => groups.push((connector, vec![at])),
            }
        }
        Ok(groups)
    }
}

/// A connector, and which of several keys are its own.
pub(super) type Group<'a> = (&'a Arc<dyn Connector>, Vec<usize>);

/// Whether the key is one of this connector's.
fn has(connector: &Arc<dyn Connector>, key: Key) -> Result<bool> {
    match connector.space() {
        Some(space) => Ok(space == key.space()),
        None => match connector.exists(key) {
            Ok(_) => Ok(true),
            Err(Error::WrongRegion { .. }) => Ok(false),
            Err(error) => Err(error),
        },
    }
}
