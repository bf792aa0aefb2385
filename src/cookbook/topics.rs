//! Broadcast: every subscriber has every message.
//!
//! # Tell everybody
//!
//! Whoever knows the store and the name finds the topic. Each subscriber receives every message, in place, from where it begins;
//! with the last publisher the stream ends, for all of them.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Start, Store, storable};
//!
//! #[storable]
//! struct Weights {
//!     epoch: u32,
//!     values: Vec<f32>,
//! }
//!
//! let region = RegionOptions::new().capacity(1 << 24).anonymous()?;
//! let store = Store::builder("training").connector(ShmConnector::new(region)).open()?;
//! let topic = store.topic::<Weights>("weights", 4)?;
//! let mut workers = [topic.subscriber(Start::Latest)?, topic.subscriber(Start::Latest)?]; // in any processes
//!
//! let publisher = topic.publisher()?;
//! publisher.publish(&Weights { epoch: 1, values: vec![0.5; 100_000] })?;
//! publisher.close();
//!
//! for worker in &mut workers {
//!     for weights in worker {
//!         let weights = weights?; // the same bytes for all of them
//!         assert_eq!((weights.epoch, weights.values.len()), (1.into(), 100_000));
//!     }
//! }
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Follow the newest, and know what was missed
//!
//! Nobody waits for a subscriber that is slow: it goes on with the oldest message that is still kept.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Start, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
//! let store = Store::builder("frames").connector(ShmConnector::new(region)).open()?;
//! let frames = store.topic_new::<u64>(1)?; // the last one, and the one before it
//! let (publisher, mut viewer) = (frames.publisher()?, frames.subscriber(Start::Latest)?);
//! (0..100).try_for_each(|frame| publisher.publish(&frame).map(drop))?;
//! let frame = viewer.recv()?.expect("there is one");
//! assert_eq!((*frame, frame.missed()), (98.into(), 98));
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Lose nothing
//!
//! A topic that holds its publishers back makes them wait for the slowest of so many subscribers. One that is killed is not waited
//! for; one that is stopped is.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Start, Store, TopicOptions};
//! use std::time::Duration;
//!
//! let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
//! let store = Store::builder("ledger").connector(ShmConnector::new(region)).open()?;
//! let entries = store.topic_with::<String>("entries", &TopicOptions::new(2).hold_back(8))?;
//! let mut auditor = entries.subscriber(Start::Oldest)?;
//! let publisher = entries.publisher()?;
//! publisher.publish(&"one".into())?;
//! publisher.publish(&"two".into())?;
//! assert!(publisher.publish_timeout(&"three".into(), Duration::from_millis(1)).is_err());
//! assert_eq!(auditor.recv()?.unwrap().as_str(), "one");
//! publisher.publish(&"three".into())?;
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Go on where another stopped
//!
//! The position of a message is the same for everybody, and tells a later subscriber where to begin.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Start, Store, TopicOptions};
//! use std::time::Duration;
//!
//! let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
//! let store = Store::builder("log").connector(ShmConnector::new(region)).open()?;
//! let options = TopicOptions::new(10_000).max_bytes(1 << 20).max_age(Duration::from_secs(600));
//! let log = store.topic_with::<String>("log", &options)?;
//! let publisher = log.publisher()?;
//! publisher.publish_with(&"started".into(), b"info")?;
//! publisher.publish_with(&"disk full".into(), b"error")?;
//!
//! let first = log.subscriber(Start::Oldest)?.recv()?.unwrap();
//! let mut next = log.subscriber(Start::At(first.position() + 1))?;
//! assert_eq!(next.recv()?.unwrap().metadata(), b"error");
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Await
//!
//! Tasks of any runtime, or of none, receive and publish without a thread each: a future that is dropped has done neither.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Start, Store, TopicOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
//! let store = Store::builder("ticks").connector(ShmConnector::new(region)).open()?;
//! let ticks = store.topic_new_with::<u64>(&TopicOptions::new(4).hold_back(2))?;
//! let publisher = ticks.publisher()?;
//! let subscribers = [ticks.subscriber(Start::Latest)?, ticks.subscriber(Start::Latest)?];
//!
//! let runtime = tokio::runtime::Builder::new_current_thread().build()?;
//! runtime.block_on(async {
//!     let tasks = subscribers.map(|mut subscriber| {
//!         tokio::spawn(async move {
//!             let (mut sum, mut posts) = (0, subscriber.iter());
//!             while let Some(tick) = posts.next_async().await {
//!                 sum += tick?.to_native();
//!             }
//!             Ok::<u64, inplace::Error>(sum)
//!         })
//!     });
//!     for tick in 1..=100 {
//!         publisher.publish_async(&tick).await?; // waits for the slower of the two
//!     }
//!     publisher.close();
//!     for task in tasks {
//!         assert_eq!(task.await??, 5050);
//!     }
//!     Ok::<(), Box<dyn std::error::Error>>(())
//! })?;
//! # Ok(())
//! # }
//! ```
