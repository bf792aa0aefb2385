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
//!
//! # Send to every consumer
//!
//! Through a topic each consumer has every object, and acknowledges nothing. One that is too slow is told how many messages, that is
//! batches, it missed; or the topic holds its producers back, and nobody misses any.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Start, Store, StreamConsumer, StreamProducer, TopicOptions};
//!
//! let region = RegionOptions::new().capacity(1 << 24).anonymous()?;
//! let store = Store::builder("lidar").connector(ShmConnector::new(region)).open()?;
//! let options = TopicOptions::new(4);
//!
//! let consumer = || StreamConsumer::<Vec<f32>, u32>::new(&store).topic_options(options);
//! let mut display = consumer().topic("scans", Start::Latest)?; // in any processes
//! let recorder = consumer().keep(|sensor| *sensor == 1).topic("scans", Start::Latest)?;
//!
//! let mut producer =
//!     StreamProducer::<Vec<f32>, u32>::new(&store).topic_options(options).topic("scans").batch_size(2);
//! for scan in 0..6 {
//!     producer.send_with("scans", vec![0.5; 10_000], scan % 2)?;
//! }
//! let before = display.next_item()?.expect("the display follows");
//! for scan in 0..20 {
//!     producer.send_with("scans", vec![0.5; 10_000], scan % 2)?;
//! }
//! producer.close()?;
//!
//! let rest = display.by_ref().map(|item| item.map(|item| item.missed()));
//! let missed: u64 = rest.sum::<Result<u64, _>>()?;
//! assert_eq!((missed, display.missed()), (7, 7)); // of 13 messages the first, and the last five, are there
//! assert_eq!(before[9_999], 0.5); // as it was, though the topic has dropped it
//! assert_eq!(recorder.count(), 5); // of each message one
//! # Ok::<(), inplace::Error>(())
//! ```
