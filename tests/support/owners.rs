//! Stores of owned objects, in this process and in others.

use inplace::connector::{Connector, LocalConnector, ShmConnector};
use inplace::{Error, Owned, OwnedToken, Region, RegionOptions, Store};

use super::{Forked, eventually, start_child, watch};

pub fn region() -> Region {
    watch();
    RegionOptions::new().capacity(1 << 20).max_participants(8).anonymous().unwrap()
}

pub fn over(region: &Region) -> Store {
    // By the region: other tests of this process register theirs.
    let name = format!("owned-{:x}", region.id());
    Store::builder(name).connector(ShmConnector::new(region.clone())).open().unwrap()
}

pub fn local() -> Store {
    watch();
    let connector = LocalConnector::new();
    let name = connector.config().to_toml();
    let name = name.split('"').nth(1).unwrap().to_owned();
    Store::builder(name).connector(connector).open().unwrap()
}

/// Objects that are left, when everybody who is dead was reaped.
pub fn left(region: &Region) -> u64 {
    region.reap().unwrap();
    let report = region.check().unwrap();
    assert!(report.is_clean(), "{report}");
    assert_eq!(report.objects + report.variables, report.bound, "{report}");
    report.bound
}

/// A copy of what the parent has, in a forked child, which may drop it once.
pub fn copy<T>(parents: &T) -> T {
    // SAFETY: the child ends without dropping the original, and drops the copy at most once.
    unsafe { std::ptr::read(parents) }
}

/// A child that stays until it is killed; the parent goes on when `is_there`.
pub fn resident(work: impl FnOnce(), is_there: impl FnMut() -> bool) -> Forked {
    let child = start_child(|| {
        work();
        loop {
            nix::unistd::pause();
        }
    });
    eventually("the child is there", is_there);
    child
}

/// What a token is on its way, and the token again.
pub fn sent(token: OwnedToken<str>) -> Vec<u8> {
    let bytes = postcard::to_stdvec(&token).unwrap();
    assert!(bytes.len() < 200, "{} bytes", bytes.len());
    bytes
}

/// Adopts what was sent, in a process that has the store already.
pub fn adopt(store: &Store, bytes: &[u8]) -> Result<Owned<str>, Error> {
    let _registered = store.register().unwrap();
    postcard::from_bytes::<OwnedToken<str>>(bytes).unwrap().adopt()
}
