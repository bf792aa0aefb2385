//! The guide for those who come from ProxyStore: its snippets are run, and what its tables name is compiled.
#![doc = include_str!("../../docs/migrating.md")]
//!
//! # What the tables name
//!
//! ```no_run
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use inplace::codec::{Archive, Codec, Raw, Serde, to_vec};
//! use inplace::connector::*;
//! use inplace::metrics::StoreMetrics;
//! use inplace::*;
//!
//! # fn main() -> Result<()> {
//! // Store.
//! let builder = Store::builder("name").connector(LocalConnector::new()).cache_size(16).cache_bytes(64 << 20);
//! let store = builder.metrics(true).populate(true).codec(Archive).register().open()?;
//! let store = Store::from_config(store.config().clone())?;
//! let (value, values) = (vec![1_u8], [vec![1_u8], vec![2]]);
//! let key: Key = store.put(&value)?;
//! let keys: Vec<Key> = store.put_batch(&values)?;
//! store.put_as(Serde, &value)?;
//! store.put_batch_as(Serde, &values)?;
//! store.get::<Vec<u8>>(key)?;
//! store.get_as::<Serde, Vec<u8>>(key)?;
//! store.get_batch::<Vec<u8>>(&keys)?;
//! store.get_batch_as::<Serde, Vec<u8>>(&keys)?;
//! store.take::<Vec<u8>>(key)?;
//! store.take_as::<Serde, Vec<u8>>(key)?;
//! store.take_batch::<Vec<u8>>(&keys)?;
//! store.exists(key)?;
//! store.exists_batch(&keys)?;
//! store.evict(key)?;
//! store.evict_batch(&keys)?;
//! let once = ProxyOptions::new().evict_on_resolve().populate(true);
//! let proxy = store.proxy(&value)?;
//! store.proxy_as(Serde, &value)?;
//! store.proxy_with(&value, once)?;
//! store.proxy_batch(&values)?;
//! store.proxy_batch_with(&values, once)?;
//! store.proxy_batch_as(Serde, &values)?;
//! store.proxy_from_key::<Vec<u8>>(key);
//! store.proxies_from_keys::<Vec<u8>>(&keys);
//! store.proxy_from_key_with::<Vec<u8>>(key, once)?;
//! store.proxy_from_key_as::<Serde, Vec<u8>>(key);
//!
//! // Streams.
//! let mut producer = StreamProducer::<Vec<u8>, u32>::new(&store)
//!     .options(QueueOptions::new(8))
//!     .store_for("reports", &store)
//!     .batch_size(4)
//!     .keep(|metadata| *metadata > 0)
//!     .aggregate(|mut batch| batch.swap_remove(0));
//! producer.open("frames")?;
//! producer.send("frames", vec![1])?;
//! producer.send_with("frames", vec![1], 7)?;
//! producer.send_lasting("reports", vec![1], 7)?;
//! producer.flush()?;
//! producer.flush_channel("frames")?;
//! producer.close_channels(&["frames"])?;
//! producer.close()?;
//! let mut consumer = StreamConsumer::<Vec<u8>, u32>::new(&store).channel("frames")?.keep(|_| true);
//! consumer.next_timeout(Duration::from_secs(1))?;
//! let _ = consumer.next_async();
//! if let Some(item) = consumer.next_item()? {
//!     let _ = (item.resolve()?, item.metadata(), item.proxy());
//!     item.ack()?;
//! }
//!
//! // Proxy, registry, serializers.
//! let again: Proxy<Vec<u8>> = Proxy::from_ref(proxy.to_ref());
//! let _ = (again.is_resolved(), again.resolve()?, again.access(), Store::registered(again.store_ref().store()));
//! let own: Vec<u8> = Archive::to_owned::<Vec<u8>>(&again)?;
//! again.clone().into_view()?;
//! again.resolve_async().wait()?;
//! store.register()?.forever();
//! store.unregister();
//! Store::get_or_open(StoreConfig::from_toml(&store.config().to_toml())?)?;
//! store.with_codec(Serde).close()?;
//! let block = Block::from_heap(to_vec(Raw, &own[..])?.into(), Fingerprint::BYTES);
//! <Raw as Codec<[u8]>>::decode(block)?;
//!
//! // Connectors.
//! let file: Arc<dyn Connector> = ConnectorConfig::file("/var/tmp/objects").connect()?;
//! FileConnector::open("/var/tmp/objects")?.deferrable().expect("it has promises").reserve()?;
//! LocalConnector::named("name")?;
//! let policy = Policy { priority: 1, min_size: Some(1), max_size: Some(9), ..Policy::default() };
//! let several = MultiConnector::new().with(LocalConnector::new(), policy);
//! several.tagged(Tags::subset(["fast"]).and(Tags::superset(["small"])));
//!
//! // Futures.
//! let (promise, future) = store.promise::<Vec<u8>>()?;
//! promise.set(&value)?;
//! future.wait(Some(Duration::from_secs(1)))?;
//! let _ = (future.try_get()?.is_some(), future.proxy(), future.evict()?);
//! promise.into_token()?.adopt()?.fail("why")?;
//! store.with_codec(Serde).promise::<Vec<u8>>()?.0.cancel()?;
//!
//! // Lifetimes, ownership, arguments, cells.
//! let (scope, lease, process) = (store.scope(), store.lease(Duration::from_secs(1))?, store.process_lifetime()?);
//! scope.attach(key)?;
//! scope.attach_proxy(&proxy)?;
//! scope.put_batch(&values)?;
//! scope.proxy(&value)?;
//! lease.extend(Duration::from_secs(1))?;
//! lease.set_deadline(Deadline::after(Duration::from_secs(1)))?;
//! let _ = (lease.deadline()?.has_passed(), scope.end()?, lease.end()?);
//! process.detach(process.put(&value)?)?;
//! let mut owned = store.own(&value)?;
//! owned.update(&value)?;
//! let _ = (owned.borrow(), owned.proxy(), owned.try_clone()?);
//! owned.into_token()?.adopt()?.into_shared()?.into_owned()?;
//! store.auto(&value)?;
//! store.auto_above(9, &value)?;
//! store.auto_if(&value, |value| value.len() > 9)?;
//! let _: Auto<Vec<u8>> = Auto::inline(&value)?;
//! let cell = store.cell::<Vec<u8>>("name")?;
//! cell.set_if(cell.set(&value)?, &value)?;
//! cell.update(|_| value.clone())?;
//! cell.wait_for_change(1, None)?;
//!
//! // Metrics, regions.
//! let mut all = StoreMetrics::default();
//! all.merge(&store.metrics().expect("asked for"));
//! all.to_prometheus();
//! let region = RegionOptions::new().lifespan(Lifespan::Attached).anonymous()?;
//! let _ = (region.counters()?, region.usage()?, region.keys()?, region.check()?, region.reap()?);
//! let _reaper = region.reap_every(Duration::from_secs(1))?;
//! let loan = region.loan(1, Fingerprint::BYTES)?;
//! region.bind("name", loan.publish()?)?;
//! let _ = (region.lookup("name")?, region.unbind("name")?);
//! # let _ = file;
//! # Ok(())
//! # }
//! ```
