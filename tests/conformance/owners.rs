//! Objects that go with a process, and change hands.

use std::sync::Arc;
use std::time::Duration;

use inplace::connector::{Connector, Lasting};
use inplace::{Error, Key, Term};

use crate::leases::put;
use crate::processes::Other;
use crate::subject::Subject;
use crate::support::{self, eventually};

/// The connector's bonds, if it has them: a server has leases alone.
fn bonds(connector: &dyn Connector) -> Option<&dyn Lasting> {
    let lasting = connector.lasting()?;
    match lasting.process() {
        Err(Error::Unsupported { .. }) => None,
        process => process.map(|_| lasting).ok(),
    }
}

/// Another instance, which sees to what the dead left when it opens what it needs to put something.
fn one_who_comes(subject: &Subject) -> Arc<dyn Connector> {
    let second = subject.second();
    let key = second.put(b"here").unwrap();
    assert!(second.evict(key).unwrap());
    second
}

/// In the other process: one object that is bound when it is put, one later, one never, one no longer.
pub fn own(connector: &dyn Connector) {
    let lasting = connector.lasting().unwrap();
    let keys = [Term::Process, Term::Unlimited, Term::Unlimited, Term::Process]
        .map(|term| put(lasting, b"owned", term));
    lasting.bind_to_process(keys[1]).unwrap();
    lasting.unbind_from_process(keys[3]).unwrap();
    keys.iter().for_each(support::say);
    support::hear();
}

pub fn an_object_that_is_bound_goes_with_its_process_and_no_other_does(subject: &Subject) {
    let Some(here) = bonds(&*subject.connector).filter(|_| subject.reaches_processes) else {
        return;
    };
    let own = put(here, b"own", Term::Process);
    for is_killed in [true, false] {
        let mut other = Other::start("owner", subject, &[]);
        let keys: [Key; 4] = std::array::from_fn(|_| other.key());
        assert_eq!(here.exists_batch(&keys).unwrap(), [true; 4]);
        assert!(matches!(here.bind_to_process(keys[0]), Err(Error::NotOwner { .. })));
        assert!(!here.evict_bound(keys[0]).unwrap());
        match is_killed {
            true => other.program.kill(),
            false => other.program.finish(),
        }
        for bound in &keys[..2] {
            eventually("it goes", || !one_who_comes(subject).exists(*bound).unwrap());
            assert!(here.get(*bound).unwrap().is_none());
        }
        assert_eq!(here.exists_batch(&keys[2..]).unwrap(), [true; 2], "these are everybody's");
    }
    assert!(here.exists(own).unwrap() && here.evict_bound(own).unwrap());
}

pub fn an_object_has_one_owner(subject: &Subject) {
    let (Some(here), second) = (bonds(&*subject.connector), subject.second()) else { return };
    let key = here.put(b"everybody's").unwrap();
    let is_refused = |outcome| matches!(outcome, Err(Error::NotOwner { .. }));
    assert!(is_refused(here.unbind_from_process(key)) && is_refused(here.offer(key).map(drop)));
    assert!(!here.evict_bound(key).unwrap() && second.exists(key).unwrap());
    here.bind_to_process(key).unwrap();
    here.bind_to_process(key).unwrap();
    here.unbind_from_process(key).unwrap();
    assert!(is_refused(here.unbind_from_process(key)));
    here.bind_to_process(key).unwrap();
    let process = here.process().unwrap();
    assert_eq!(here.process().unwrap(), process);
    if subject.reaches_processes {
        let child = support::in_child(|| {
            let is_another = here.process().unwrap() != process;
            let is_parents = is_refused(here.bind_to_process(key).map(drop));
            i32::from(!(is_another && is_parents && !here.evict_bound(key).unwrap()))
        });
        assert_eq!(child, 0, "a child is another process, and owns nothing of its parent's");
    }
    assert!(here.evict_bound(key).unwrap() && !second.exists(key).unwrap());
    assert!(!here.evict_bound(key).unwrap());
    for outcome in [here.bind_to_process(key).map(drop), here.unbind_from_process(key)] {
        assert!(matches!(outcome, Err(Error::NotFound { .. })), "{outcome:?}");
    }
}

pub fn an_owner_hands_over_to_one_of_many(subject: &Subject) {
    let (Some(here), second) = (bonds(&*subject.connector), subject.second()) else { return };
    let there = second.lasting().unwrap();
    let key = put(here, b"handed over", Term::Process);
    let stale = here.offer(key).unwrap();
    here.adopt(key, stale).unwrap();
    let offer = here.offer(key).unwrap();
    assert_ne!(offer, stale);
    assert!(!here.evict_bound(key).unwrap(), "it is on its way");
    assert!(matches!(there.adopt(key, stale), Err(Error::AlreadyAdopted { .. })));
    let adopted = std::thread::scope(|scope| {
        let adopters: Vec<_> = [here, there, here, there]
            .into_iter()
            .map(|instance| scope.spawn(move || instance.adopt(key, offer)))
            .collect();
        adopters.into_iter().map(|adopter| adopter.join().unwrap()).collect::<Vec<_>>()
    });
    assert_eq!(adopted.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{adopted:?}");
    let is_late =
        |outcome: &inplace::Result<()>| matches!(outcome, Err(Error::AlreadyAdopted { .. }));
    assert_eq!(adopted.iter().filter(|outcome| is_late(outcome)).count(), 3, "{adopted:?}");
    assert_eq!(&*second.get(key).unwrap().unwrap(), b"handed over");
    assert!(there.evict_bound(key).unwrap());
}

/// In the other process.
pub fn adopt(connector: &dyn Connector, key: Key) {
    let lasting = connector.lasting().unwrap();
    support::say("ready");
    lasting.adopt(key, support::hear().parse().unwrap()).unwrap();
    support::say("adopted");
    support::hear();
}

pub fn what_was_handed_over_ends_with_its_new_owner(subject: &Subject) {
    let Some(here) = bonds(&*subject.connector).filter(|_| subject.reaches_processes) else {
        return;
    };
    let key = put(here, b"handed over", Term::Process);
    let mut heir = Other::start("heir", subject, &[key]);
    assert_eq!(heir.program.says(), "ready");
    heir.program.tell(&here.offer(key).unwrap().to_string());
    assert_eq!(heir.program.says(), "adopted");
    assert!(!here.evict_bound(key).unwrap() && here.exists(key).unwrap());
    assert!(matches!(here.bind_to_process(key), Err(Error::NotOwner { .. })));
    std::thread::sleep(Duration::from_millis(20));
    assert_eq!(&*here.get(key).unwrap().unwrap(), b"handed over");
    heir.program.kill();
    eventually("it goes with the heir", || !one_who_comes(subject).exists(key).unwrap());
}
