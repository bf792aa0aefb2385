//! Recipes: what people want to do, and the few lines that do it. Every one is compiled and run by the tests.
//!
//! | for | see |
//! |---|---|
//! | values by reference: sending, populating, taking once, resolving ahead | [`proxies`] |
//! | values by key: put, get, take, evict, and finding what was left behind | [`keys`] |
//! | many at once | [`batches`] |
//! | arguments that are small or large | [`arguments`] |
//! | promised values: set, fail, hand over, wait, await | [`futures`] |
//! | evicting at the end of a scope, at a time, with the process | [`lifetimes`] |
//! | one owner, who hands the object over | [`owned`] |
//! | values that change | [`cells`] |
//! | work for whoever is free | [`queues`] |
//! | every message to every subscriber | [`topics`] |
//! | streams: several channels, batches, filters, aggregation, proxies | [`streams`] |
//! | worker processes: futures, maps, retries, programs that attach themselves | [`pools`] |
//! | choosing a codec, and writing one | [`codecs`] |
//! | opening stores: options, TOML, the registry | [`stores`] |
//! | counting, and showing it to Prometheus | [`metrics`] |
//! | names, loans, promises, forks: shared memory itself | [`regions`] |
//! | choosing a connector, and writing one | [`connectors`] |
//! | disks, other hosts, several places as one | [`tiers`] |
//!
//! Most recipes stand on an anonymous region, which only the process and its children see. With
//! [`Store::open`](crate::Store::open) and a name instead, any process of the host takes part.

pub mod arguments;
pub mod batches;
pub mod cells;
pub mod codecs;
pub mod connectors;
pub mod futures;
pub mod keys;
pub mod lifetimes;
pub mod metrics;
#[cfg(doctest)]
pub mod migrating;
pub mod owned;
pub mod pools;
pub mod proxies;
pub mod queues;
pub mod regions;
pub mod stores;
pub mod streams;
pub mod tiers;
pub mod topics;
