//! Streams: objects through named channels, queues or topics, in batches, filtered, aggregated; in the message, or by proxy.

mod consumer;
mod inlet;
mod item;
mod packet;
mod producer;

pub use consumer::StreamConsumer;
pub use item::StreamItem;
pub use packet::Metadata;
pub use producer::StreamProducer;

use crate::region::{QueueOptions, TopicOptions};

/// How channels are made unless told otherwise.
const QUEUE_OPTIONS: QueueOptions = QueueOptions::new(256);
const TOPIC_OPTIONS: TopicOptions = TopicOptions::new(256);
