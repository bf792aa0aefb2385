//! Variables of a dictionary.

use std::task::Waker;
use std::thread::Thread;
use std::time::{Duration, Instant};

use super::bond::Bond;
use super::{Dictionary, Entry, Listener, LocalConnector, WAIT_SLICE};
use crate::connector::{Block, Fill, Variables, Version, Watch};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::key::Key;
use crate::names;
use crate::sync::Ordering;

/// What a dictionary has under the key of a variable.
pub(super) struct Variable {
    fingerprint: Fingerprint,
    current: Option<Version>,
    waiters: Vec<Thread>,
    pub(super) listeners: Vec<Listener>,
    pub(super) bond: Bond,
}

impl Variable {
    fn new(fingerprint: Fingerprint, bond: Bond) -> Self {
        Self { fingerprint, current: None, waiters: Vec::new(), listeners: Vec::new(), bond }
    }

    fn number(&self) -> u64 {
        self.current.as_ref().map_or(0, |version| version.number)
    }

    /// Wakes everybody who waits for a change, or for the end of it.
    pub(super) fn wake(self) {
        wake(self.waiters, self.listeners);
    }
}

fn wake(waiters: Vec<Thread>, listeners: Vec<Listener>) {
    waiters.iter().for_each(Thread::unpark);
    listeners.into_iter().for_each(Listener::wake);
}

impl Dictionary {
    /// Looks at a variable or changes it. `use_it` runs no code of a user, and gives back what is to be dropped.
    fn with_variable<R>(
        &self,
        key: Key,
        use_it: impl FnOnce(&mut Variable) -> Result<R>,
    ) -> Result<R> {
        self.with(key.object(), |shard| match shard.get_mut(&key.object()) {
            Some(Entry::Variable(variable)) => use_it(variable),
            _ => Err(Error::NotFound { key }),
        })
    }

    fn name_type(&self, fingerprint: Fingerprint) -> String {
        match self.types.lock().get(&fingerprint) {
            Some(name) => name.clone(),
            None if fingerprint == Fingerprint::BYTES => "bytes".into(),
            None => format!("an unknown type ({fingerprint:?})"),
        }
    }

    fn expect_type(&self, key: Key, expected: Fingerprint) -> Result<()> {
        let found = self.with_variable(key, |variable| Ok(variable.fingerprint))?;
        if found == expected {
            return Ok(());
        }
        let [expected, found] =
            [expected, found].map(|which| format!("Cell<{}>", self.name_type(which)));
        Err(Error::TypeMismatch { key, expected, found })
    }
}

impl Variables for LocalConnector {
    fn new_variable(&self, fingerprint: Fingerprint) -> Result<Key> {
        Ok(self.open()?.add(Entry::Variable(Variable::new(fingerprint, Bond::NONE))))
    }

    fn new_bound_variable(&self, fingerprint: Fingerprint) -> Result<Key> {
        Ok(self.open()?.add(Entry::Variable(Variable::new(fingerprint, Bond::MINE))))
    }

    fn open_variable(&self, name: &str, fingerprint: Fingerprint) -> Result<Key> {
        names::check(name)?;
        let dictionary = self.open()?;
        let mut names = dictionary.names.lock();
        let bound = names.get(name).map(|object| Key::new(dictionary.space, *object));
        let found = bound.filter(|key| dictionary.with_variable(*key, |_| Ok(())).is_ok());
        let key = match found {
            Some(key) => key,
            None => {
                let key = self.new_variable(fingerprint)?;
                names.insert(name.to_owned(), key.object());
                key
            }
        };
        drop(names);
        dictionary.expect_type(key, fingerprint)?;
        Ok(key)
    }

    fn set_variable(
        &self,
        (key, wanted): (Key, Option<u64>),
        (size, fingerprint): (usize, Fingerprint),
        fill: &mut Fill<'_>,
    ) -> Result<u64> {
        let dictionary = self.owning(key)?;
        dictionary.expect_type(key, fingerprint)?;
        let block = Block::filled(size, fingerprint, fill)?;
        let object = dictionary.next.fetch_add(1, Ordering::Relaxed);
        let (number, replaced, told) = dictionary.with_variable(key, |variable| {
            let found = variable.number();
            if let Some(expected) = wanted.filter(|wanted| *wanted != found) {
                return Err(Error::Conflict { key, expected, found });
            }
            if variable.bond.is_offered() {
                return Err(Error::NotOwner { token: "cell" });
            }
            let number = found + 1;
            let version = Version { key: Key::new(dictionary.space, object), number, block };
            let replaced = variable.current.replace(version);
            let told = (&mut variable.waiters, &mut variable.listeners);
            Ok((number, replaced, (std::mem::take(told.0), std::mem::take(told.1))))
        })?;
        drop(replaced);
        wake(told.0, told.1);
        Ok(number)
    }

    fn get_variable(&self, key: Key, fingerprint: Fingerprint) -> Result<Option<Version>> {
        let dictionary = self.owning(key)?;
        dictionary.expect_type(key, fingerprint)?;
        dictionary.with_variable(key, |variable| Ok(variable.current.clone()))
    }

    fn wait_for_change(&self, key: Key, seen: u64, timeout: Option<Duration>) -> Result<Version> {
        let dictionary = self.owning(key)?;
        let begin = Instant::now();
        loop {
            let newer = dictionary.with_variable(key, |variable| {
                if variable.number() > seen {
                    return Ok(variable.current.clone());
                }
                let me = std::thread::current();
                if variable.waiters.iter().all(|waiter| waiter.id() != me.id()) {
                    variable.waiters.push(me);
                }
                Ok(None)
            })?;
            if let Some(version) = newer {
                return Ok(version);
            }
            let waited = begin.elapsed();
            let left = timeout.map_or(WAIT_SLICE, |timeout| timeout.saturating_sub(waited));
            if left.is_zero() {
                return Err(Error::TimedOut { key, waited });
            }
            std::thread::park_timeout(left.min(WAIT_SLICE));
        }
    }

    fn watch_change(&self, key: Key, seen: u64, waker: &Waker) -> Result<Watch> {
        self.list(key, waker, |dictionary, listener| {
            dictionary.with_variable(key, |variable| {
                if variable.number() <= seen {
                    variable.listeners.extend(listener.take());
                }
                Ok(())
            })
        })
    }
}
