//! Streams of objects: from several producers to whoever is free, through channels that have names.
//!
//! # Send objects with what is said of them
//!
//! Metadata is any serde type. Filters, on either side, look at it alone; what a consumer does not keep counts as consumed.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store, StreamConsumer, StreamProducer, storable};
//! use serde::{Deserialize, Serialize};
//!
//! #[storable]
//! struct Frame {
//!     pixels: Vec<u8>,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! struct Shot {
//!     camera: u32,
//!     is_sharp: bool,
//! }
//!
//! let region = RegionOptions::new().capacity(1 << 24).anonymous()?;
//! let store = Store::builder("cameras").connector(ShmConnector::new(region)).open()?;
//!
//! let mut producer = StreamProducer::<Frame, Shot>::new(&store).keep(|shot| shot.is_sharp);
//! for camera in 0..4 {
//!     let frame = Frame { pixels: vec![camera as u8; 100_000] };
//!     producer.send_with("frames", frame, Shot { camera, is_sharp: camera != 2 })?;
//! }
//! producer.close()?; // the last producer's end is the end of the stream
//!
//! let consumer = StreamConsumer::<Frame, Shot>::new(&store).keep(|shot| shot.camera > 0);
//! let mut seen = Vec::new();
//! for item in consumer.channel("frames")? { // in any process
//!     let item = item?;
//!     assert_eq!(u32::from(item.pixels[99_999]), item.metadata().camera); // in place
//!     seen.push(item.metadata().camera);
//!     item.ack()?; // only now: killed before, another has it
//! }
//! assert_eq!(seen, [1, 3]);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Send many small objects at a time
//!
//! A batch is one message. It is sent when it is full, flushed, or its channel is closed; an aggregate makes one object of it.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store, StreamConsumer, StreamProducer};
//!
//! let region = RegionOptions::new().capacity(1 << 24).anonymous()?;
//! let store = Store::builder("readings").connector(ShmConnector::new(region)).open()?;
//! let mut every = StreamProducer::<f64>::new(&store).batch_size(100);
//! let mut mean = StreamProducer::<f64>::new(&store).batch_size(100).aggregate(|batch| {
//!     let count = batch.len() as f64;
//!     (batch.into_iter().map(|(reading, ())| reading).sum::<f64>() / count, ())
//! });
//! for number in 0..200 {
//!     every.send("every", number.into())?;
//!     mean.send("mean", number.into())?;
//! }
//! every.close()?;
//! mean.close()?;
//! for (channel, expected) in [("every", 200), ("mean", 2)] {
//!     let mut consumer = StreamConsumer::<f64>::new(&store).channel(channel)?;
//!     let mut count = 0;
//!     while let Some(item) = consumer.next_item()? {
//!         count += 1;
//!         item.ack()?; // with the last of a message, the message
//!     }
//!     assert_eq!(count, expected);
//! }
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Keep the objects elsewhere
//!
//! With a store of their own, objects go there, and the stream carries proxies: a consumer that only passes them on never looks. Acknowledged,
//! they are evicted, unless they were sent to stay.
//!
//! ```
//! use inplace::connector::{LocalConnector, ShmConnector};
//! use inplace::{RegionOptions, Store, StreamConsumer, StreamProducer};
//!
//! let region = RegionOptions::new().capacity(1 << 24).anonymous()?;
//! let store = Store::builder("events").connector(ShmConnector::new(region)).open()?;
//! let archive = Store::builder("archive").connector(LocalConnector::new()).open()?; // or a directory, or Redis
//! let registered = archive.register()?;
//!
//! let mut producer = StreamProducer::<String>::new(&store).store_for("reports", &archive);
//! producer.send("reports", "read me once".into())?;
//! producer.send_lasting("reports", "keep me".into(), ())?;
//! producer.close()?;
//!
//! let mut kept = Vec::new();
//! for item in StreamConsumer::<String>::new(&store).channel("reports")? {
//!     let item = item?;
//!     let proxy = item.proxy().expect("it is in a store").to_ref();
//!     item.ack()?;
//!     kept.extend(archive.exists(proxy.key)?.then_some(proxy));
//! }
//! assert_eq!(kept.len(), 1);
//! # drop(registered);
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Consume several channels
//!
//! One consumer takes from all of its channels in turn, and ends when the last of them has.
//! [`next_async`](crate::StreamConsumer::next_async) is the same in a task.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store, StreamConsumer, StreamProducer};
//!
//! let region = RegionOptions::new().capacity(1 << 24).anonymous()?;
//! let store = Store::builder("orders").connector(ShmConnector::new(region)).open()?;
//! let mut consumer = StreamConsumer::<u64>::new(&store).channel("urgent")?.channel("usual")?;
//! let mut producer = StreamProducer::<u64>::new(&store);
//! (0..3).try_for_each(|order| producer.send("usual", order))?;
//! producer.send("urgent", 99)?;
//! producer.close_channels(&["urgent", "usual"])?;
//! let mut urgent = 0;
//! while let Some(item) = consumer.next_item()? {
//!     urgent += u32::from(item.channel() == "urgent");
//!     item.ack()?;
//! }
//! assert_eq!(urgent, 1);
//! # Ok::<(), inplace::Error>(())
//! ```
