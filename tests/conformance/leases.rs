//! Objects that go at a time.

use std::time::Duration;

use inplace::connector::{Connector, Lasting};
use inplace::{Deadline, Fingerprint, Key, Term};

use crate::processes::Other;
use crate::subject::Subject;
use crate::support::{self, eventually};

const LONG: Duration = Duration::from_secs(600);
/// How much later than its deadline an object may be seen to go, on a machine that is busy.
const LATE: Duration = Duration::from_secs(2);

pub fn put(lasting: &dyn Lasting, bytes: &[u8], term: Term) -> Key {
    let mut fill = |out: &mut inplace::connector::BlockWriter<'_>| {
        out.write(bytes);
        Ok(())
    };
    lasting.put_for(bytes.len(), (Fingerprint::BYTES, term), &mut fill).unwrap()
}

fn after(time: Duration) -> Deadline {
    Deadline::after(time)
}

/// Waits until an object is gone, which is not before its time and not much later.
fn assert_ends(connector: &dyn Connector, key: Key, deadline: Deadline) {
    loop {
        let latest_has_passed = deadline.later_by(LATE).has_passed();
        if !connector.exists(key).unwrap() {
            assert!(deadline.has_passed(), "gone {:?} early", deadline.remaining());
            return;
        }
        assert!(!latest_has_passed, "still there");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn a_lease_ends_on_time_for_every_instance(subject: &Subject) {
    let (Some(here), second) = (subject.connector.lasting(), subject.second()) else { return };
    for len in [0, 200, 100_000] {
        let deadline = after(Duration::from_millis(300));
        let key = put(here, &vec![7; len], Term::Until(deadline));
        let block = second.get(key).unwrap();
        assert!(block.as_ref().map_or(deadline.has_passed(), |block| **block == vec![7; len]));
        assert_ends(if len == 200 { &*second } else { here }, key, deadline);
        for instance in [&*subject.connector, &*second] {
            assert!(instance.get(key).unwrap().is_none() && instance.take(key).unwrap().is_none());
            assert!(!instance.exists(key).unwrap() && !instance.evict(key).unwrap());
            assert_eq!(instance.exists_batch(&[key]).unwrap(), [false]);
        }
        assert!(block.is_none_or(|block| *block == vec![7; len]), "what was got stays");
    }
}

pub fn a_lease_that_is_extended_or_taken_away_ends_then_or_never(subject: &Subject) {
    let (Some(here), second) = (subject.connector.lasting(), subject.second()) else { return };
    let there = second.lasting().unwrap();
    let first = after(Duration::from_millis(500));
    let [extended, freed] = [(); 2].map(|()| put(here, b"leased", Term::Until(first)));
    let [plain, unlimited] = [here.put(b"plain").unwrap(), put(here, b"kept", Term::Unlimited)];
    assert!(there.set_deadline(extended, Some(after(LONG))).unwrap());
    assert!(here.set_deadline(freed, None).unwrap());
    assert!(there.set_deadline(freed, None).unwrap(), "it is there");
    std::thread::sleep(first.remaining() + Duration::from_millis(50));
    for key in [extended, freed, plain, unlimited] {
        assert!(here.exists(key).unwrap() && second.get(key).unwrap().is_some());
    }
    let soon = after(Duration::from_millis(100));
    for key in [extended, freed, plain] {
        assert!(there.set_deadline(key, Some(soon)).unwrap(), "also for what had none");
        assert_ends(here, key, soon);
    }
    assert!(here.exists(unlimited).unwrap());
}

pub fn what_is_over_can_not_be_extended(subject: &Subject) {
    let (Some(here), second) = (subject.connector.lasting(), subject.second()) else { return };
    let past = after(Duration::ZERO);
    let over = put(here, b"too late", Term::Until(past));
    let ended = here.put(b"ended").unwrap();
    assert!(here.set_deadline(ended, Some(past)).unwrap());
    let evicted = put(here, b"evicted", Term::Until(after(LONG)));
    assert!(second.evict(evicted).unwrap());
    for key in [over, ended, evicted] {
        for deadline in [Some(after(LONG)), None] {
            assert!(!second.lasting().unwrap().set_deadline(key, deadline).unwrap());
        }
        assert!(second.get(key).unwrap().is_none() && !here.exists(key).unwrap());
        assert!(!here.evict(key).unwrap());
    }
}

/// In the other process.
pub fn lease(connector: &dyn Connector) {
    let lasting = connector.lasting().unwrap();
    for time in [Duration::from_secs(2), LONG] {
        let deadline = after(time);
        support::say(put(lasting, b"of the dead", Term::Until(deadline)));
        support::say(serde_json::to_string(&deadline).unwrap());
    }
    support::hear();
}

pub fn a_lease_holds_and_ends_when_its_creator_is_dead(subject: &Subject) {
    let Some(here) = subject.connector.lasting().filter(|_| subject.reaches_processes) else {
        return;
    };
    // Who has a region open keeps it when others die.
    let kept = subject.connector.put(b"kept").unwrap();
    let mut other = Other::start("lessor", subject, &[]);
    let [(short, end), (long, _)]: [(Key, Deadline); 2] = std::array::from_fn(|_| {
        (other.key(), serde_json::from_str(&other.program.says()).unwrap())
    });
    other.program.kill();
    assert!(subject.second().exists(long).unwrap(), "one who comes sees to the dead");
    assert_ends(here, short, end);
    assert_eq!(&*here.get(long).unwrap().unwrap(), b"of the dead");
    assert!(here.set_deadline(long, Some(after(Duration::ZERO))).unwrap());
    eventually("it ends", || !here.exists(long).unwrap());
    assert!(here.exists(kept).unwrap());
}
