//! Promises of owned objects: one owner at every instant, whoever dies.

mod support;

use std::panic::{AssertUnwindSafe, catch_unwind};

use inplace::codec::{Codec, Serde};
use inplace::{Error, Key, OwnedToken, Proxy, RegionOptions, Store};
use nix::sys::wait::WaitStatus;
use support::owners::{adopt, copy, left, local, over, region, resident, sent};
use support::shared::Shared;
use support::{Forked, Name, Program, alone, hear, in_child, say, start_child};

#[test]
fn an_owner_uses_its_object_in_place_and_evicts_it_when_dropped() {
    let _alone = alone();
    for store in [over(&region()), local()] {
        let owned = store.own(&vec![1.5_f64, 2.5]).unwrap();
        let key = owned.key();
        assert_eq!(owned[1], 2.5);
        let proxy = owned.proxy();
        assert_eq!(proxy.len(), 2, "others look at it by its key");
        let borrowed = owned.borrow();
        drop(owned);
        assert!(!store.exists(key).unwrap());
        assert!(matches!(
            store.proxy_from_key::<Vec<f64>>(key).resolve(),
            Err(Error::NotFound { .. })
        ));
        assert_eq!(borrowed[0], 1.5, "a borrow lasts as long as it is needed");
    }
}

#[test]
fn memory_of_an_owned_object_returns_with_its_last_borrow() {
    let _alone = alone();
    let region = region();
    let owned = over(&region).own(&vec![7_u8; 5000]).unwrap();
    let borrowed = owned.borrow();
    assert!(owned.evict().unwrap());
    assert!(region.check().unwrap().bytes_in_use >= 5000);
    drop(borrowed);
    assert_eq!(region.check().unwrap().bytes_in_use, 0);
}

#[test]
fn an_owner_that_panics_evicts() {
    let _alone = alone();
    let region = region();
    let store = over(&region);
    let left_by = catch_unwind(AssertUnwindSafe(|| {
        let _owned = store.own("lost").unwrap();
        panic!("left");
    }));
    assert!(left_by.is_err());
    assert_eq!(left(&region), 0);
}

#[test]
fn an_owner_that_is_killed_leaves_nothing() {
    let _alone = alone();
    let region = region();
    let owner = resident(
        || {
            let store = over(&region);
            std::mem::forget((store.own("one").unwrap(), store.own("another").unwrap()));
        },
        || region.keys().unwrap().len() == 2,
    );
    assert_eq!(left(&region), 2);
    let view = over(&region).get::<str>(region.keys().unwrap()[0]).unwrap().unwrap();
    owner.kill();
    assert_eq!(left(&region), 0);
    assert!(!view.is_empty(), "a view stays");
}

#[test]
fn a_forked_child_reads_what_its_parent_owns_and_owns_nothing() {
    let _alone = alone();
    let region = region();
    let store = over(&region);
    let owned = [(); 5].map(|()| store.own("mine").unwrap());
    let code = in_child(|| {
        assert_eq!(owned[0].as_str(), "mine");
        let [mut first, second, third, fourth, fifth] = copy(&owned);
        let not_owner = |result: Result<(), Error>| matches!(result, Err(Error::NotOwner { .. }));
        assert!(not_owner(first.try_clone().map(drop)));
        assert!(not_owner(first.update("other")));
        drop(first);
        assert!(not_owner(second.into_token().map(drop)));
        assert!(not_owner(third.into_shared().map(drop)));
        assert!(not_owner(fourth.evict().map(drop)));
        drop(fifth);
        0
    });
    assert_eq!(code, 0);
    assert_eq!(left(&region), 5);
    for owned in owned {
        assert!(owned.evict().unwrap());
    }
}

#[test]
fn a_token_makes_another_process_the_owner_though_its_sender_is_killed() {
    let _alone = alone();
    let region = region();
    let store = over(&region);
    let (mut input, mut output) = std::io::pipe().unwrap();
    let sender = resident(
        || {
            use std::io::Write;
            let bytes = sent(over(&region).own("goods").unwrap().into_token().unwrap());
            output.write_all(&[bytes.len() as u8]).unwrap();
            output.write_all(&bytes).unwrap();
        },
        || !region.keys().unwrap().is_empty(),
    );
    use std::io::Read;
    let mut len = [0];
    input.read_exact(&mut len).unwrap();
    let mut bytes = vec![0; len[0] as usize];
    input.read_exact(&mut bytes).unwrap();
    let owned = adopt(&store, &bytes).unwrap();
    sender.kill();
    assert_eq!(left(&region), 1, "it does not go with its sender any more");
    assert_eq!(owned.as_str(), "goods");
    assert!(matches!(adopt(&store, &bytes), Err(Error::AlreadyAdopted { .. })));
    drop(owned);
    assert_eq!(left(&region), 0);
    assert!(matches!(adopt(&store, &bytes), Err(Error::NotFound { .. })));
}

#[test]
fn a_receiver_that_is_killed_leaves_nothing() {
    let _alone = alone();
    let region = region();
    let store = over(&region);
    let bytes = sent(store.own("goods").unwrap().into_token().unwrap());
    let key = region.keys().unwrap()[0];
    let adopted = std::cell::Cell::new(false);
    let receiver = resident(
        || {
            std::mem::forget(adopt(&store, &bytes).unwrap());
            region.bind("adopted", key).unwrap();
        },
        || {
            adopted.set(region.lookup("adopted").unwrap().is_some());
            adopted.get()
        },
    );
    assert_eq!(left(&region), 1);
    receiver.kill();
    assert_eq!(left(&region), 0);
    assert!(matches!(adopt(&store, &bytes), Err(Error::NotFound { .. })));
}

#[test]
fn a_token_that_is_never_adopted_ends_with_its_sender() {
    let _alone = alone();
    let region = region();
    let sender = resident(
        || std::mem::forget(sent(over(&region).own("lost").unwrap().into_token().unwrap())),
        || !region.keys().unwrap().is_empty(),
    );
    assert_eq!(left(&region), 1, "its sender still answers for it");
    sender.kill();
    assert_eq!(left(&region), 0);
}

#[test]
fn a_sender_may_adopt_its_own_token_and_a_used_one_is_refused_for_ever() {
    let _alone = alone();
    for store in [over(&region()), local()] {
        let _registered = store.register().unwrap();
        let first = sent(store.own("round").unwrap().into_token().unwrap());
        let owned = adopt(&store, &first).unwrap();
        assert!(matches!(adopt(&store, &first), Err(Error::AlreadyAdopted { .. })));
        let second = sent(owned.into_token().unwrap());
        let refused = adopt(&store, &first);
        assert!(matches!(refused, Err(Error::AlreadyAdopted { .. })), "it names an older offer");
        assert_eq!(adopt(&store, &second).unwrap().as_str(), "round");
    }
}

#[test]
fn a_token_of_the_dead_is_worth_nothing_to_whoever_has_their_number_now() {
    let _alone = alone();
    let region = region();
    let store = over(&region);
    let words = Shared::<Words>::new();
    let number = |at: usize| words.0[at].load(std::sync::atomic::Ordering::SeqCst);
    let tell = |at: usize| {
        let process = region.process().unwrap();
        words.0[at].store(process, std::sync::atomic::Ordering::SeqCst);
    };
    let (mut input, output) = std::io::pipe().unwrap();
    let sender = resident(
        || {
            use std::io::Write;
            let bytes = sent(over(&region).own("old").unwrap().into_token().unwrap());
            (&output).write_all(&[bytes.len() as u8]).unwrap();
            (&output).write_all(&bytes).unwrap();
            tell(0);
        },
        || number(0) != 0,
    );
    sender.kill();
    assert_eq!(left(&region), 0);
    let next = resident(
        || {
            std::mem::forget(over(&region).own("new").unwrap());
            tell(1);
        },
        || number(1) != 0,
    );
    assert_eq!(number(0) & 0xfff, number(1) & 0xfff, "the number is used again");
    assert_ne!(number(0), number(1));
    use std::io::Read;
    let mut len = [0];
    input.read_exact(&mut len).unwrap();
    let mut bytes = vec![0; len[0] as usize];
    input.read_exact(&mut bytes).unwrap();
    assert!(matches!(adopt(&store, &bytes), Err(Error::NotFound { .. })));
    // Nor does a forged one take what was never offered.
    let key = region.keys().unwrap()[0];
    for offer in 0..4 {
        assert!(matches!(region.adopt_object(key, offer), Err(Error::AlreadyAdopted { .. })));
    }
    assert_eq!(left(&region), 1);
    next.kill();
    assert_eq!(left(&region), 0);
}

struct Words([std::sync::atomic::AtomicU64; 2]);

// SAFETY: made of atomics only.
unsafe impl support::shared::Atomics for Words {}

#[test]
fn of_many_adopters_in_many_processes_one_becomes_the_owner() {
    let _alone = alone();
    let region = region();
    let store = over(&region);
    for round in 0..20 {
        let bytes = sent(store.own("contested").unwrap().into_token().unwrap());
        let adopters: Vec<_> = (0..4)
            .map(|_| {
                start_child(|| match adopt(&store, &bytes) {
                    // It dies as the owner, without a drop.
                    Ok(owned) => {
                        std::mem::forget(owned);
                        1
                    }
                    Err(Error::AlreadyAdopted { .. } | Error::NotFound { .. }) => 0,
                    Err(_) => 2,
                })
            })
            .collect();
        let ends: Vec<_> = adopters.into_iter().map(Forked::wait).collect();
        let codes = ends.iter().map(|end| match end {
            WaitStatus::Exited(_, code) => *code,
            other => panic!("{other:?}"),
        });
        assert_eq!(codes.sum::<i32>(), 1, "round {round}: {ends:?}");
        assert_eq!(left(&region), 0, "its owner is dead");
    }
}

#[test]
fn of_many_threads_that_adopt_one_becomes_the_owner() {
    let _alone = alone();
    for store in [over(&region()), local()] {
        let _registered = store.register().unwrap();
        for _ in 0..50 {
            let bytes = sent(store.own("contested").unwrap().into_token().unwrap());
            let owners: Vec<_> = std::thread::scope(|scope| {
                let try_it = || postcard::from_bytes::<OwnedToken<str>>(&bytes).unwrap().adopt();
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(try_it)).collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).collect()
            });
            let lost = owners.iter().filter_map(|owner| owner.as_ref().err());
            assert_eq!(lost.filter(|e| matches!(e, Error::AlreadyAdopted { .. })).count(), 3);
        }
    }
}

#[test]
fn a_token_of_another_type_is_refused_and_still_good_as_its_own() {
    let _alone = alone();
    let store = over(&region());
    let _registered = store.register().unwrap();
    let bytes = sent(store.own("text").unwrap().into_token().unwrap());
    let wrong: OwnedToken<Vec<u64>> = postcard::from_bytes(&bytes).unwrap();
    assert!(matches!(wrong.adopt(), Err(Error::TypeMismatch { .. })));
    assert_eq!(adopt(&store, &bytes).unwrap().as_str(), "text");
}

#[test]
fn a_shared_object_is_claimed_by_one_and_given_back_to_everybody() {
    let _alone = alone();
    for store in [over(&region()), local()] {
        let proxy = store.proxy("shared").unwrap();
        let owned = proxy.clone().into_owned().unwrap();
        let key = owned.key();
        assert!(matches!(owned.proxy().into_owned(), Err(Error::AlreadyOwned { .. })));
        let shared: Proxy<str> = owned.into_shared().unwrap();
        assert_eq!(shared.as_str(), "shared");
        assert!(store.exists(key).unwrap(), "it is nobody's, and stays");
        let taker = proxy.clone().evict_on_resolve().unwrap();
        assert!(matches!(taker.into_owned(), Err(Error::EvictedOnResolve { .. })));
        drop(proxy.into_owned().unwrap());
        assert!(!store.exists(key).unwrap());
    }
}

#[test]
fn what_another_process_owns_is_not_claimed() {
    let _alone = alone();
    let region = region();
    let store = over(&region);
    let proxy = store.proxy("contested").unwrap();
    let owner = resident(
        || std::mem::forget(proxy.clone().into_owned().unwrap()),
        || region.check().unwrap().bound == 1,
    );
    assert!(matches!(proxy.clone().into_owned(), Err(Error::NotOwner { .. })));
    assert!(matches!(region.offer_object(proxy.key()), Err(Error::NotOwner { .. })));
    assert!(matches!(region.unbind_from_process(proxy.key()), Err(Error::NotOwner { .. })));
    owner.kill();
    assert_eq!(left(&region), 0);
}

#[test]
fn a_clone_is_another_object_with_the_same_bytes() {
    let _alone = alone();
    fn cloned<C: Codec<Vec<u32>>>(store: &Store<C>) -> [Key; 2] {
        let owned = store.own(&vec![1, 2, 3]).unwrap();
        let clone = owned.try_clone().unwrap();
        let keys = [owned.key(), clone.key()];
        drop(owned);
        assert!(store.exists(keys[1]).unwrap() && !store.exists(keys[0]).unwrap());
        drop(clone.into_shared().unwrap());
        keys
    }
    for store in [over(&region()), local()] {
        let [old, new] = cloned(&store);
        assert_ne!(old, new);
        assert_eq!(store.get::<Vec<u32>>(new).unwrap().unwrap().len(), 3);
        let made_anew = store.with_codec(Serde);
        let [_, new] = cloned(&made_anew);
        assert_eq!(*made_anew.get::<Vec<u32>>(new).unwrap().unwrap(), [1, 2, 3]);
    }
}

#[test]
fn what_somebody_evicted_is_owned_by_nobody() {
    let _alone = alone();
    let store = over(&region());
    let owned = store.own("evicted").unwrap();
    assert!(store.evict(owned.key()).unwrap());
    assert_eq!(owned.as_str(), "evicted", "the owner's view stays");
    assert!(matches!(owned.into_token(), Err(Error::NotFound { .. })));
    let owned = store.own("evicted").unwrap();
    assert!(store.evict(owned.key()).unwrap());
    assert!(!owned.evict().unwrap());
}

/// Not a test by itself: a program that never saw the store.
#[test]
fn program() {
    let Some((role, name)) = support::role() else { return };
    match role.as_str() {
        "sender" => {
            let store = Store::open(&name).unwrap();
            let token = store.own("goods").unwrap().into_token().unwrap();
            say(serde_json::to_string(&token).unwrap());
            hear();
        }
        _ => {
            say("ready");
            let token: OwnedToken<str> = serde_json::from_str(&hear()).unwrap();
            let owned = token.adopt();
            say(owned.as_ref().map_or_else(|error| error.to_string(), |goods| goods.to_string()));
            hear();
        }
    }
}

#[test]
fn a_program_that_never_saw_the_store_becomes_the_owner() {
    let _alone = alone();
    let name = Name::new("owned");
    let region = RegionOptions::new().capacity(1 << 20).open_or_create(&name).unwrap();
    let (sender, token) = Program::ready("sender", &name);
    let (mut receiver, _) = Program::ready("receiver", &name);
    receiver.tell(&token);
    assert_eq!(receiver.says(), "goods");
    sender.kill();
    assert_eq!(left(&region), 1);
    let (mut late, _) = Program::ready("receiver", &name);
    late.tell(&token);
    assert!(late.says().contains("used up"));
    receiver.finish();
    assert_eq!(left(&region), 0, "its drop evicted it");
}
