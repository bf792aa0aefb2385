//! Streams: objects through named channels, in batches, filtered, aggregated; in the message, or by proxy.

mod consumer;
mod item;
mod packet;
mod producer;

pub use consumer::StreamConsumer;
pub use item::StreamItem;
pub use packet::Metadata;
pub use producer::StreamProducer;

use crate::region::QueueOptions;

/// How channels are made unless told otherwise.
const OPTIONS: QueueOptions = QueueOptions::new(256);
