//! Variables: what changes.

use std::time::Duration;

use inplace::connector::{Connector, Variables};
use inplace::{Error, Fingerprint, Key, Result};

use crate::processes::Other;
use crate::subject::Subject;
use crate::support;

const BYTES: Fingerprint = Fingerprint::BYTES;

fn set(variables: &dyn Variables, variable: (Key, Option<u64>), bytes: &[u8]) -> Result<u64> {
    variables.set_variable(variable, (bytes.len(), BYTES), &mut |out| {
        out.write(bytes);
        Ok(())
    })
}

fn number(bytes: &[u8]) -> u64 {
    u64::from_le_bytes(bytes.try_into().unwrap())
}

pub fn a_variable_holds_what_was_set_last(subject: &Subject) {
    let (Some(here), second) = (subject.connector.variables(), subject.second()) else { return };
    let there = second.variables().unwrap();
    let key = here.new_variable(BYTES).unwrap();
    assert!(there.get_variable(key, BYTES).unwrap().is_none());
    assert!(second.exists(key).unwrap() && second.get(key).unwrap().is_none());
    let mut seen = Vec::new();
    for (at, len) in [10, 0, 100_000, 1].into_iter().enumerate() {
        let writer = if at % 2 == 0 { here } else { there };
        assert_eq!(set(writer, (key, None), &vec![at as u8; len]).unwrap(), at as u64 + 1);
        for reader in [here, there] {
            let version = reader.get_variable(key, BYTES).unwrap().unwrap();
            assert_eq!(version.number, at as u64 + 1);
            assert!(*version.block == vec![at as u8; len]);
            seen.push(version);
        }
    }
    assert!(*seen[0].block == [0; 10] && seen[0].key != seen[7].key, "what was got stays");
    let other = Fingerprint::of("another type");
    match here.get_variable(key, other) {
        Err(Error::TypeMismatch { .. }) => {}
        // The block says what it is: a store goes by that.
        found => assert_eq!(found.unwrap().unwrap().block.fingerprint(), BYTES),
    }
    let outcome = there.set_variable((key, None), (0, other), &mut |_| Ok(()));
    assert!(matches!(outcome, Err(Error::TypeMismatch { .. })), "{outcome:?}");
    assert!(second.evict(key).unwrap() && !here.exists(key).unwrap());
    assert!(matches!(here.get_variable(key, BYTES), Err(Error::NotFound { .. })));
    assert!(matches!(set(here, (key, None), b"late"), Err(Error::NotFound { .. })));
}

pub fn a_set_that_expects_another_version_is_a_conflict(subject: &Subject) {
    let (Some(here), second) = (subject.connector.variables(), subject.second()) else { return };
    let there = second.variables().unwrap();
    let key = here.new_variable(BYTES).unwrap();
    let is_conflict = |outcome: Result<u64>, wanted, now| match outcome {
        Err(Error::Conflict { expected, found, .. }) => (expected, found) == (wanted, now),
        outcome => panic!("{outcome:?}"),
    };
    assert!(is_conflict(set(here, (key, Some(1)), b"too early"), 1, 0));
    assert_eq!(set(there, (key, Some(0)), b"first").unwrap(), 1);
    assert!(is_conflict(set(here, (key, Some(0)), b"second first"), 0, 1));
    assert_eq!(set(here, (key, Some(1)), b"second").unwrap(), 2);
    assert!(is_conflict(set(there, (key, Some(1)), b"late"), 1, 2));
    assert_eq!(&*there.get_variable(key, BYTES).unwrap().unwrap().block, b"second");
}

pub fn a_variable_of_a_process_is_handed_over_and_goes_with_its_owner(subject: &Subject) {
    let (Some(here), second) = (subject.connector.variables(), subject.second()) else { return };
    let (there, lasting) = (second.variables().unwrap(), subject.connector.lasting().unwrap());
    let key = here.new_bound_variable(BYTES).unwrap();
    assert_eq!(set(here, (key, None), b"first").unwrap(), 1);
    assert_eq!(set(there, (key, None), b"of the same process").unwrap(), 2);
    let version = there.get_variable(key, BYTES).unwrap().unwrap();
    assert!(matches!(lasting.bind_to_process(version.key), Err(Error::NotFound { .. })));
    let offer = lasting.offer(key).unwrap();
    assert!(matches!(set(there, (key, None), b"given up"), Err(Error::NotOwner { .. })));
    assert!(!lasting.evict_bound(key).unwrap());
    second.lasting().unwrap().adopt(key, offer).unwrap();
    assert!(matches!(lasting.adopt(key, offer), Err(Error::AlreadyAdopted { .. })));
    assert_eq!(set(here, (key, None), b"adopted").unwrap(), 3);
    if subject.reaches_processes {
        let code = support::in_child(|| {
            let is_refused = matches!(set(here, (key, None), b"x"), Err(Error::NotOwner { .. }));
            i32::from(!is_refused || lasting.evict_bound(key).unwrap())
        });
        assert_eq!(code, 0, "a child owns nothing of its parent's");
    }
    lasting.unbind_from_process(key).unwrap();
    assert!(matches!(lasting.offer(key), Err(Error::NotOwner { .. })));
    assert!(lasting.bind_to_process(key).unwrap() && !lasting.bind_to_process(key).unwrap());
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| there.wait_for_change(key, 3, None).map(|_| ()));
        std::thread::sleep(Duration::from_millis(5));
        assert!(lasting.evict_bound(key).unwrap() && !second.exists(key).unwrap());
        assert!(matches!(waiter.join().unwrap(), Err(Error::NotFound { .. })));
    });
    assert_eq!(*version.block, *b"of the same process");
    assert!(matches!(lasting.bind_to_process(key), Err(Error::NotFound { .. })));
}

pub fn of_many_threads_that_count_none_is_lost(subject: &Subject) {
    let (Some(here), second) = (subject.connector.variables(), subject.second()) else { return };
    let there = second.variables().unwrap();
    let key = here.new_variable(BYTES).unwrap();
    let count = |variables: &dyn Variables| loop {
        let current = variables.get_variable(key, BYTES).unwrap();
        let (version, value) =
            current.map_or((0, 0), |version| (version.number, number(&version.block)));
        match set(variables, (key, Some(version)), &(value + 1).to_le_bytes()) {
            Ok(_) => return,
            Err(Error::Conflict { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    };
    std::thread::scope(|scope| {
        for instance in [here, there, here, there] {
            scope.spawn(move || (0..50).for_each(|_| count(instance)));
        }
    });
    let version = there.get_variable(key, BYTES).unwrap().unwrap();
    assert_eq!((version.number, number(&version.block)), (200, 200));
}

pub fn whoever_waits_hears_of_a_change_and_of_an_evict(subject: &Subject) {
    let (Some(here), second) = (subject.connector.variables(), subject.second()) else { return };
    let there = second.variables().unwrap();
    let key = here.new_variable(BYTES).unwrap();
    let waited = there.wait_for_change(key, 0, Some(Duration::from_millis(5)));
    assert!(matches!(waited, Err(Error::TimedOut { .. })), "{waited:?}");
    for seen in 0..3 {
        std::thread::scope(|scope| {
            let waiters = [here, there].map(|instance| {
                scope.spawn(move || instance.wait_for_change(key, seen, None).unwrap())
            });
            std::thread::sleep(Duration::from_millis(10));
            set(here, (key, None), &seen.to_le_bytes()).unwrap();
            for waiter in waiters {
                let version = waiter.join().unwrap();
                assert_eq!((version.number, number(&version.block)), (seen + 1, seen));
            }
        });
    }
    assert_eq!(there.wait_for_change(key, 1, None).unwrap().number, 3, "the current one");
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| there.wait_for_change(key, 3, None));
        std::thread::sleep(Duration::from_millis(10));
        assert!(here.evict(key).unwrap());
        let heard = waiter.join().unwrap();
        assert!(matches!(heard, Err(Error::NotFound { .. })), "{heard:?}");
    });
}

pub fn a_name_leads_everybody_to_the_same_variable(subject: &Subject) {
    let (Some(here), second) = (subject.connector.variables(), subject.second()) else { return };
    let there = second.variables().unwrap();
    let keys = std::thread::scope(|scope| {
        let openers: Vec<_> = [here, there, here, there]
            .into_iter()
            .map(|instance| scope.spawn(move || instance.open_variable("state", BYTES).unwrap()))
            .collect();
        openers.into_iter().map(|opener| opener.join().unwrap()).collect::<Vec<_>>()
    });
    assert!(keys.iter().all(|key| *key == keys[0]), "{keys:?}");
    assert_ne!(here.open_variable("another", BYTES).unwrap(), keys[0]);
    let mistaken = there.open_variable("state", Fingerprint::of("another type"));
    assert!(matches!(mistaken, Err(Error::TypeMismatch { .. })), "{mistaken:?}");
    set(here, (keys[0], None), b"named").unwrap();
    let named = subject.second();
    let named = named.variables().unwrap();
    let key = named.open_variable("state", BYTES).unwrap();
    assert_eq!(&*named.get_variable(key, BYTES).unwrap().unwrap().block, b"named");
}

const TURNS: u64 = 20;

/// In the other process: sets in turn with this one, as the second.
pub fn set_in_turn(connector: &dyn Connector) {
    let variables = connector.variables().unwrap();
    let key = variables.open_variable("turns", BYTES).unwrap();
    for turn in 0..TURNS {
        let version = variables.wait_for_change(key, 2 * turn, None).unwrap();
        assert_eq!(version.number, 2 * turn + 1);
        let next = number(&version.block) + 1;
        set(variables, (key, Some(version.number)), &next.to_le_bytes()).unwrap();
    }
    support::say("done");
    support::hear();
}

pub fn another_process_sets_and_is_heard(subject: &Subject) {
    let Some(here) = subject.connector.variables().filter(|_| subject.reaches_processes) else {
        return;
    };
    let key = here.open_variable("turns", BYTES).unwrap();
    let mut other = Other::start("setter", subject, &[]);
    let mut value = 0_u64;
    for turn in 0..TURNS {
        set(here, (key, Some(2 * turn)), &value.to_le_bytes()).unwrap();
        let version = here.wait_for_change(key, 2 * turn + 1, None).unwrap();
        assert_eq!(version.number, 2 * turn + 2);
        assert_eq!(number(&version.block), value + 1);
        value += 2;
    }
    assert_eq!(other.program.says(), "done");
    other.program.kill();
    assert_eq!(set(here, (key, Some(2 * TURNS)), b"after the dead").unwrap(), 2 * TURNS + 1);
}
