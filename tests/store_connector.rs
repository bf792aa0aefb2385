//! Bytes by key, as every connector keeps them; here the local one.

use std::time::Duration;

use inplace::connector::{Connector, ConnectorConfig, Deferrable, Loaning, LocalConnector};
use inplace::{Error, Fingerprint, Key};

fn set(connector: &dyn Connector, key: Key, bytes: &[u8]) -> inplace::Result<()> {
    let deferrable = connector.deferrable().expect("has promises");
    deferrable.set_with(key, bytes.len(), Fingerprint::BYTES, &mut |out| {
        out.write(bytes);
        Ok(())
    })
}

#[test]
fn blocks_start_at_64_bytes_and_outlive_the_evict() {
    let local = LocalConnector::new();
    let keys = local.put_batch(&[b"", b"x", &[7; 1000]]).unwrap();
    let blocks = local.get_batch(&keys).unwrap();
    assert_eq!(local.evict_batch(&keys).unwrap(), 3);
    for (block, expected) in blocks.into_iter().zip([&b""[..], b"x", &[7; 1000]]) {
        let block = block.unwrap();
        assert_eq!(block.as_ptr().addr() % 64, 0);
        assert_eq!(&*block, expected);
        assert_eq!(block.fingerprint(), Fingerprint::BYTES);
    }
}

#[test]
fn a_promise_is_kept_once_and_wakes_who_waits() {
    let local = LocalConnector::new();
    let key = local.reserve().unwrap();
    assert!(local.get(key).unwrap().is_none() && !local.exists(key).unwrap());
    assert!(matches!(local.wait(key, Some(Duration::from_millis(1))), Err(Error::TimedOut { .. })));
    std::thread::scope(|scope| {
        let waiters: Vec<_> =
            (0..4).map(|_| scope.spawn(|| local.wait(key, None).unwrap())).collect();
        std::thread::sleep(Duration::from_millis(5));
        set(&local, key, b"at last").unwrap();
        waiters.into_iter().for_each(|waiter| assert_eq!(&*waiter.join().unwrap(), b"at last"));
    });
    assert!(matches!(set(&local, key, b"again"), Err(Error::AlreadySet { .. })));
    assert!(matches!(local.fail(key), Err(Error::AlreadySet { .. })));
    assert_eq!(&*local.wait(key, None).unwrap(), b"at last");
}

#[test]
fn a_failed_or_evicted_promise_is_an_error_for_everyone() {
    let local = LocalConnector::new();
    let [failed, evicted] = [(); 2].map(|()| local.reserve().unwrap());
    std::thread::scope(|scope| {
        let waiters = [failed, evicted].map(|key| {
            scope.spawn({
                let local = &local;
                move || local.wait(key, None)
            })
        });
        std::thread::sleep(Duration::from_millis(5));
        local.fail(failed).unwrap();
        assert!(local.evict(evicted).unwrap());
        let [failed, evicted] = waiters.map(|waiter| waiter.join().unwrap().unwrap_err());
        assert!(
            matches!(failed, Error::Broken { .. }) && matches!(evicted, Error::NotFound { .. })
        );
    });
    assert!(local.get(failed).unwrap().is_none(), "only who waits hears of it");
    assert!(matches!(set(&local, failed, b"late"), Err(Error::Broken { .. })));
    assert!(matches!(set(&local, evicted, b"late"), Err(Error::NotFound { .. })));
}

#[test]
fn a_loan_is_seen_by_nobody_until_it_is_published() {
    let local = LocalConnector::new();
    let lender: &dyn Connector = &local;
    let before = local.put(b"").unwrap().object();
    let mut loan = lender.loaning().unwrap().loan(3, Fingerprint::of("three")).unwrap();
    assert!(!local.exists(Key::new(1, before + 1)).unwrap_or(false));
    loan.copy_from_slice(b"abc");
    let key = loan.publish().unwrap();
    let block = local.get(key).unwrap().unwrap();
    assert_eq!((&*block, block.fingerprint()), (&b"abc"[..], Fingerprint::of("three")));
    drop(local.loan(1 << 20, Fingerprint::BYTES).unwrap());
}

#[test]
fn a_configuration_leads_to_the_same_dictionary_while_it_lives() {
    let local = LocalConnector::new();
    let key = local.put(b"here").unwrap();
    let config = local.config();
    let again = config.connect().unwrap();
    assert_eq!(&*again.get(key).unwrap().unwrap(), b"here");
    again.close().unwrap();
    again.close().unwrap();
    assert!(matches!(again.get(key), Err(Error::Closed { .. })));
    assert!(local.exists(key).unwrap(), "closing one handle leaves the other");
    drop((local, again));
    let anew = config.connect().unwrap();
    assert!(matches!(anew.get(key), Err(Error::WrongRegion { .. })));
    assert!(matches!(ConnectorConfig::local("a/b").connect(), Err(Error::InvalidName { .. })));
}
