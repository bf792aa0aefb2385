//! Several connectors as one, of which only some can do what is asked: it is asked of one that can.

mod support;

use std::time::Duration;

use inplace::connector::{
    Connector, ConnectorConfig, Lasting, MemberConfig, Policy, ShmConfig, Tags,
};
use inplace::connector::{LocalConnector, MultiConnector};
use inplace::{Deadline, Error, Fingerprint, Key, Result, Store, Term};
use support::Name;
use support::futures::block_on;

const BYTES: Fingerprint = Fingerprint::BYTES;
const LONG: Duration = Duration::from_secs(600);

/// A directory that is removed in the end.
struct Directory(std::path::PathBuf);

impl Directory {
    fn new() -> Self {
        Self(std::env::temp_dir().join(&*Name::new("members")))
    }

    /// Asked first for whatever fits.
    fn first(&self) -> MemberConfig {
        let policy = Policy { priority: 9, ..Policy::default() };
        MemberConfig { connector: ConnectorConfig::file(self.0.to_str().unwrap()), policy }
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn region(name: &str, policy: Policy) -> MemberConfig {
    let (region, capacity) = (name.to_owned(), Some(1 << 20));
    let config = ShmConfig { region, capacity, max_objects: Some(200), ..ShmConfig::default() };
    MemberConfig { connector: ConnectorConfig::Shm(config), policy }
}

fn put_for(lasting: &dyn Lasting, (guess, len): (usize, usize), term: Term) -> Result<Key> {
    lasting.put_for(guess, (BYTES, term), &mut |out| {
        out.write(&vec![7; len]);
        Ok(())
    })
}

fn long() -> Term {
    Term::Until(Deadline::after(LONG))
}

#[test]
fn a_lease_goes_to_the_first_member_that_has_leases_and_has_room() {
    let (directory, name, last) = (Directory::new(), Name::new("members"), Name::new("last"));
    let local = MemberConfig::from(ConnectorConfig::local(&*last));
    let prior = Policy { priority: 1, ..Policy::default() };
    let members = [directory.first(), region(&name, prior), local.clone()];
    let all = ConnectorConfig::multi(members).connect().unwrap();
    let lasting = all.lasting().unwrap();
    assert!(!directory.0.exists() && !name.exists(), "asking what it has opens nothing");
    for term in [long(), Term::Process] {
        let small = put_for(lasting, (10, 10), term).unwrap();
        let large = put_for(lasting, (10, 2 << 20), term).unwrap();
        assert!(name.exists() && !directory.0.exists(), "who can not do it is not opened for it");
        let spill = local.connector.connect().unwrap();
        assert_eq!(Some(large.space()), spill.space(), "what is full leaves it to the next");
        assert_ne!(small.space(), large.space());
        for key in [small, large] {
            assert!(lasting.set_deadline(key, Some(Deadline::after(Duration::ZERO))).unwrap());
            assert!(!all.exists(key).unwrap());
        }
    }
    let plain = [all.put(b"plain"), put_for(lasting, (5, 5), Term::Unlimited)].map(Result::unwrap);
    assert_eq!(plain[0].space(), plain[1].space(), "what nothing ends goes where a put does");
    for outcome in [
        lasting.set_deadline(plain[0], None).map(drop),
        lasting.bind_to_process(plain[0]).map(drop),
        lasting.offer(plain[0]).map(drop),
        lasting.evict_bound(plain[0]).map(drop),
    ] {
        assert!(matches!(outcome, Err(Error::Unsupported { .. })), "{outcome:?}");
    }
}

#[test]
fn sizes_of_leased_objects_are_judged_by_what_is_written() {
    let (small, large) = (Name::new("small"), Name::new("large"));
    let to = |least, most| Policy { min_size: least, max_size: most, ..Policy::default() };
    let members =
        [region(&small, to(None, Some(1000))), region(&large, to(Some(1001), Some(50_000)))];
    let all = ConnectorConfig::multi(members).connect().unwrap();
    let lasting = all.lasting().unwrap();
    let spaces = [1, 2000].map(|len| all.put(&vec![0; len]).unwrap().space());
    for (guess, len) in [(0, 1000), (1001, 1000), (100_000, 1000), (1000, 1001), (0, 50_000)] {
        let key = put_for(lasting, (guess, len), long()).unwrap();
        assert_eq!(key.space(), spaces[usize::from(len > 1000)], "{len} bytes, guessed {guess}");
        assert_eq!(all.get(key).unwrap().unwrap().len(), len);
    }
    let error = put_for(lasting, (10, 50_001), long()).unwrap_err();
    assert!(matches!(error, Error::NoMember { members: 2, .. }), "{error}");
}

#[test]
fn what_no_member_that_fits_can_do_is_unsupported_and_says_so() {
    let (directory, name) = (Directory::new(), Name::new("members"));
    let little =
        Policy { max_size: Some(100), superset_tags: vec!["fast".into()], ..Policy::default() };
    let config = ConnectorConfig::multi([directory.first(), region(&name, little)]);
    let ConnectorConfig::Multi(config) = config else { unreachable!("that is what it is") };
    let all = MultiConnector::connect(&config).unwrap();
    let lasting = all.lasting().unwrap();
    let told = put_for(lasting, (10, 10), long()).unwrap_err();
    let expected = "no member with deadlines or owners among those whose policies fit";
    assert!(told.to_string().contains(expected), "{told}");
    let told = all.variables().unwrap().new_variable(BYTES).unwrap_err();
    let expected = "no member with variables among those whose policies fit";
    assert!(told.to_string().contains(expected), "{told}");
    let named = all.variables().unwrap().open_variable("state", BYTES).unwrap_err();
    assert_eq!(named.to_string(), told.to_string());
    let fast = all.tagged(Tags::superset(["fast"]));
    let key = put_for(fast.lasting().unwrap(), (10, 10), long()).unwrap();
    assert!(lasting.set_deadline(key, None).unwrap(), "a key is enough, whatever the tags");
    let error = put_for(fast.lasting().unwrap(), (10, 101), long()).unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }), "the directory takes that size: {error}");
    let cell = fast.variables().unwrap().new_variable(BYTES).unwrap();
    assert!(all.variables().unwrap().get_variable(cell, BYTES).unwrap().is_none());
    let slow = all.tagged(Tags::subset(["slow"]));
    for outcome in [
        slow.variables().unwrap().new_variable(BYTES),
        slow.variables().unwrap().open_variable("state", BYTES),
    ] {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::NoMember { members: 2, .. }), "{error}");
        assert!(error.to_string().contains("a variable"), "{error}");
    }
    let none = ConnectorConfig::multi([directory.first()]).connect().unwrap();
    assert!(none.lasting().is_none() && none.variables().is_none());
    let store = Store::builder("files").shared_connector(none).open().unwrap();
    for error in [store.own(&1_u64).unwrap_err(), store.cell::<u64>("state").unwrap_err()] {
        assert!(matches!(error, Error::Unsupported { connector: "multi", .. }), "{error}");
    }
}

#[test]
fn a_name_is_that_of_the_first_member_with_variables_however_full() {
    let (directory, name, next) = (Directory::new(), Name::new("members"), Name::new("next"));
    let prior = Policy { priority: 1, ..Policy::default() };
    let members = [directory.first(), region(&name, prior), region(&next, Policy::default())];
    let all = ConnectorConfig::multi(members).connect().unwrap();
    let variables = all.variables().unwrap();
    let state = variables.open_variable("state", BYTES).unwrap();
    let slots = std::iter::from_fn(|| {
        let key = variables.new_variable(BYTES).unwrap();
        (key.space() == state.space()).then_some(key)
    });
    let filled: Vec<Key> = slots.collect();
    assert!(filled.len() > 50, "new ones go on to the next");
    assert_eq!(variables.open_variable("state", BYTES).unwrap(), state);
    let error = variables.open_variable("another", BYTES).unwrap_err();
    assert!(matches!(error, Error::OutOfSlots { .. }), "{error}");
    // A name takes a slot, too.
    assert_eq!(all.evict_batch(&filled[..10]).unwrap(), 10);
    assert_eq!(variables.open_variable("another", BYTES).unwrap().space(), state.space());
}

#[test]
fn batches_find_each_key_at_its_member_and_nothing_is_taken_before_all_are_known() {
    let (directory, name) = (Directory::new(), Name::new("members"));
    let little = Policy { priority: 10, max_size: Some(100), ..Policy::default() };
    let all = ConnectorConfig::multi([directory.first(), region(&name, little)]).connect().unwrap();
    let items: Vec<Vec<u8>> = (0..20).map(|at| vec![at as u8; at * 10]).collect();
    let slices: Vec<&[u8]> = items.iter().map(Vec::as_slice).collect();
    let keys = all.put_batch(&slices).unwrap();
    assert_ne!(keys[0].space(), keys[19].space());
    assert!(all.evict(keys[3]).unwrap() && all.evict(keys[17]).unwrap());
    let there: Vec<bool> = (0..20).map(|at| at != 3 && at != 17).collect();
    assert_eq!(all.exists_batch(&keys).unwrap(), there);
    let mut foreign = keys.clone();
    foreign.push(LocalConnector::new().put(b"another's").unwrap());
    assert!(matches!(all.take_batch(&foreign), Err(Error::WrongRegion { .. })));
    assert_eq!(all.exists_batch(&keys).unwrap(), there, "nothing was taken");
    for (at, block) in all.take_batch(&keys).unwrap().into_iter().enumerate() {
        assert_eq!(block.map(|block| block.to_vec()), there[at].then(|| items[at].clone()));
    }
    assert_eq!(all.exists_batch(&keys).unwrap(), [false; 20]);
}

#[test]
fn a_store_over_several_has_cells_leases_owners_and_futures() {
    let (directory, name) = (Directory::new(), Name::new("members"));
    // The region takes what has no size yet first, and what is large not at all.
    let prior = Policy { priority: 10, max_size: Some(1000), ..Policy::default() };
    let all = ConnectorConfig::multi([directory.first(), region(&name, prior)]).connect().unwrap();
    let store = Store::builder("several").shared_connector(all).open().unwrap();
    let _registered = store.register().unwrap();
    let cell = store.cell::<u64>("count").unwrap();
    cell.set(&1).unwrap();
    assert_eq!(cell.update(|count| count.map_or(0, |count| count.to_native() + 1)).unwrap(), 2);
    let owned = store.own(&vec![1_u32, 2]).unwrap();
    let key = owned.key();
    drop(owned);
    assert!(!store.exists(key).unwrap());
    let (promise, future) = store.promise::<Vec<u64>>().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            promise.set(&vec![7]).unwrap();
        });
        assert_eq!(block_on(future).unwrap().as_slice(), [7]);
    });
    let (promise, future) = store.promise::<Vec<u64>>().unwrap();
    promise.cancel().unwrap();
    assert!(matches!(block_on(future), Err(Error::Cancelled { .. })));
}
