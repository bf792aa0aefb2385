//! Work for whoever is free.
//!
//! # Share work among processes
//!
//! Whoever knows the store and the name finds the queue. Each message is received by one consumer, in place; acknowledged, it
//! is gone. With the last producer the stream ends, for all consumers.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store, storable};
//!
//! #[storable]
//! struct Job {
//!     image: String,
//!     pixels: Vec<u8>,
//! }
//!
//! let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
//! let store = Store::builder("jobs").connector(ShmConnector::new(region)).open()?;
//!
//! let sender = store.queue::<Job>("jobs", 64)?.sender()?;
//! sender.send(&Job { image: "cat".into(), pixels: vec![7; 50_000] })?;
//! sender.close();
//!
//! let receiver = store.queue::<Job>("jobs", 64)?.receiver()?; // in any process
//! for job in &receiver {
//!     let job = job?;
//!     assert_eq!((job.image.as_str(), job.pixels.len()), ("cat", 50_000));
//!     job.ack()?; // only now: killed before, another has it
//! }
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Send what is in the region already
//!
//! What a process [owns](crate::Owned) is sent where it lies, under the key that it has: the queue owns it until somebody receives
//! it, also when the sender is killed. The receiver reads it in place, and acknowledges it, which evicts it; or adopts it, and is
//! its owner. An object that nobody owns is claimed first; to lend one that stays one's own, send a proxy of it.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
//! let store = Store::builder("moved").connector(ShmConnector::new(region)).open()?;
//! let queue = store.queue::<Vec<u8>>("frames", 64)?;
//!
//! let sender = queue.sender()?;
//! let frame = store.own(&vec![1_u8; 500_000])?;
//! let key = frame.key();
//! sender.send_owned(frame)?; // moved: it is not this process's any more
//! let found = store.proxy(&vec![2_u8; 500_000])?;
//! sender.send_owned(found.into_owned()?)?;
//! sender.close();
//!
//! let receiver = queue.receiver()?; // in any process
//! let message = receiver.recv()?.unwrap();
//! assert_eq!(message[499_999], 1);
//! let frame = receiver.adopt(message)?; // acknowledged, and not evicted
//! assert_eq!(frame.key(), key);
//! receiver.recv()?.unwrap().ack()?; // evicted
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Look at what fails again and again
//!
//! A message that is dropped is received again, and so is what a killed consumer held. After too many deliveries it is a dead
//! letter, which stays in the queue until somebody acknowledges it.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{QueueOptions, RegionOptions, Store};
//!
//! let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
//! let store = Store::builder("fails").connector(ShmConnector::new(region)).open()?;
//! let queue = store.queue_new_with::<String>(&QueueOptions::new(64).max_deliveries(3))?;
//! let sender = queue.sender()?;
//! sender.send_with(&"not a number".into(), b"from: test")?;
//! sender.close();
//!
//! let receiver = queue.receiver()?;
//! for message in &receiver {
//!     let message = message?;
//!     if message.parse::<u32>().is_ok() {
//!         message.ack()?;
//!     } // else dropped
//! }
//! for letter in receiver.dead_letters() {
//!     let letter = letter?;
//!     assert_eq!((letter.deliveries(), letter.metadata()), (3, &b"from: test"[..]));
//!     letter.ack()?;
//! }
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Answer within a microsecond
//!
//! A receiver that spins has a core of its own, and no wake-up to wait for. Small messages lie in the queue itself.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{QueueOptions, RegionOptions, Store, WaitPolicy};
//!
//! let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
//! let store = Store::builder("fast").connector(ShmConnector::new(region)).open()?;
//! let queue = store.queue_new_with::<[f32; 16]>(&QueueOptions::new(16).inline_bytes(64))?;
//! let receiver = queue.receiver()?.wait_policy(WaitPolicy::Spin);
//! queue.sender()?.send(&[0.5; 16])?;
//! let message = receiver.recv()?.expect("it was sent");
//! assert_eq!(message[15], 0.5);
//! message.ack()?;
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! # Send what is made in place
//!
//! A loan is memory in the queue, or in an object of its own if it is large, and takes room for its message. Where bytes come from a
//! device, a socket or a decoder, they need not be anywhere else before.
//!
//! ```
//! use inplace::codec::Raw;
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//! use std::io::Read;
//!
//! let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
//! let store = Store::builder("frames").connector(ShmConnector::new(region)).codec(Raw).open()?;
//! let queue = store.queue_new::<[u8]>(4)?;
//! let mut camera = std::io::repeat(7).take(600_000);
//!
//! let sender = queue.sender()?;
//! let mut loan = sender.loan(1 << 20)?;
//! let mut len = 0;
//! while let Ok(more @ 1..) = camera.read(&mut loan[len..]) {
//!     len += more;
//! }
//! loan.send_prefix(len)?;
//!
//! let frame = queue.receiver()?.recv()?.expect("it was sent");
//! assert_eq!(frame.len(), 600_000);
//! frame.ack()?;
//! # Ok::<(), inplace::Error>(())
//! ```
//!
//! Arrays of numbers have [`Sender::loan_array`](crate::Sender::loan_array).
//!
//! # Await messages
//!
//! Futures of the standard library, for any runtime or none. A future that loses a race, as in `select!`, has received nothing.
//!
//! ```
//! use inplace::connector::ShmConnector;
//! use inplace::{RegionOptions, Store};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), inplace::Error> {
//! let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
//! let store = Store::builder("awaited").connector(ShmConnector::new(region)).open()?;
//! let queue = store.queue_new::<u64>(4)?;
//! let (sender, receiver) = (queue.sender()?, queue.receiver()?);
//! let produce = async {
//!     for number in 1..=100 {
//!         sender.send_async(&number).await?; // waits for room
//!     }
//!     sender.close();
//!     Ok(())
//! };
//! let consume = async {
//!     let (mut sum, mut messages) = (0, receiver.iter());
//!     while let Some(message) = messages.next_async().await {
//!         let message = message?;
//!         sum += message.to_native();
//!         message.ack()?;
//!     }
//!     Ok(sum)
//! };
//! let (_, sum) = tokio::try_join!(produce, consume)?;
//! assert_eq!(sum, 5050);
//! # Ok(())
//! # }
//! ```
