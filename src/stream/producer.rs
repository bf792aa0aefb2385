//! Producing.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::packet::{Metadata, Outgoing, Packing};
use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::proxy::{Access, Proxy, ProxyOptions, ProxyRef};
use crate::queue::Sender;
use crate::region::{QueueOptions, TopicOptions};
use crate::store::Store;
use crate::topic::Publisher;

type Keep<M> = Box<dyn FnMut(&M) -> bool + Send>;
type Aggregate<T, M> = Box<dyn FnMut(Vec<(T, M)>) -> (T, M) + Send>;

/// Sends objects through named channels to [`StreamConsumer`](super::StreamConsumer)s: in batches, filtered, aggregated, in the
/// message or in a store of their own.
///
/// A channel is a [`Queue`](crate::Queue) of the store: each object is consumed once, by whoever is free. Or it is a
/// [topic](StreamProducer::topic): every consumer has each object. The stream of a channel goes on while any producer has it open.
/// Objects go with the message, which the consumers read in place; or into the [store of the channel](StreamProducer::store_for),
/// by proxy.
///
/// It is its process's. Dropped, it sends what is left of its batches if there is room; [`close`](StreamProducer::close) waits for
/// room, and says what failed.
///
/// ```
/// use inplace::connector::ShmConnector;
/// use inplace::{RegionOptions, Store, StreamConsumer, StreamProducer};
///
/// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
/// let store = Store::builder("sensors").connector(ShmConnector::new(region)).open()?;
///
/// let mut producer = StreamProducer::<Vec<f64>, u32>::new(&store).batch_size(2).keep(|sensor| *sensor != 13);
/// for sensor in 12..15 {
///     producer.send_with("readings", vec![0.5; 100], sensor)?;
/// }
/// producer.close()?;
///
/// let mut consumer = StreamConsumer::<Vec<f64>, u32>::new(&store).channel("readings")?;
/// let mut sensors = Vec::new();
/// while let Some(item) = consumer.next_item()? {
///     assert_eq!(item[99], 0.5);
///     sensors.push(*item.metadata());
///     item.ack()?;
/// }
/// assert_eq!(sensors, [12, 14]);
/// # Ok::<(), inplace::Error>(())
/// ```
pub struct StreamProducer<T, M: Metadata = (), C: Codec<T> = Archive> {
    home: Store<C>,
    options: QueueOptions,
    topic_options: TopicOptions,
    topics: BTreeSet<String>,
    batch_size: usize,
    keep: Option<Keep<M>>,
    aggregate: Option<Aggregate<T, M>>,
    channels: BTreeMap<String, Channel<T, M, C>>,
    stores: BTreeMap<String, Store<C>>,
    process: u32,
}

struct Channel<T, M: Metadata, C: Codec<T>> {
    /// `None`: it was closed.
    outlet: Option<Outlet<T, M, C>>,
    batch: Vec<Outgoing<T, M>>,
    /// The first of the batch is what was made of one that could not be sent.
    is_aggregated: bool,
}

impl<T, M: Metadata, C: Codec<T>> Channel<T, M, C> {
    fn new(outlet: Option<Outlet<T, M, C>>) -> Self {
        Self { outlet, batch: Vec::new(), is_aggregated: false }
    }

    /// Makes one object of the batch.
    fn aggregate(&mut self, aggregate: &mut Aggregate<T, M>) {
        if self.is_aggregated && self.batch.len() == 1 {
            return;
        }
        // It may panic.
        self.is_aggregated = false;
        let is_lasting = self.batch.iter().all(|item| item.is_lasting);
        let objects = self.batch.drain(..).map(|item| (item.value, item.metadata)).collect();
        let (value, metadata) = aggregate(objects);
        self.batch.push(Outgoing { value, metadata, is_lasting, stored: None });
        self.is_aggregated = true;
    }
}

/// What messages go into.
enum Outlet<T, M: Metadata, C: Codec<T>> {
    Queue(Sender<[Outgoing<T, M>], Packing<C>>),
    Topic(Publisher<[Outgoing<T, M>], Packing<C>>),
}

impl<T, M: Metadata, C: Codec<T>> Outlet<T, M, C> {
    fn send(&self, batch: &[Outgoing<T, M>], waits: bool) -> Result<()> {
        match self {
            Self::Queue(sender) if waits => sender.send(batch),
            Self::Queue(sender) => sender.try_send(batch),
            Self::Topic(publisher) if waits => publisher.publish(batch).map(drop),
            Self::Topic(publisher) => publisher.try_publish(batch).map(drop),
        }
    }
}

impl<T, M: Metadata, C: Codec<T>> StreamProducer<T, M, C> {
    /// A producer for channels of a store in shared memory.
    #[must_use]
    pub fn new(store: &Store<C>) -> Self {
        Self {
            home: store.clone(),
            options: super::QUEUE_OPTIONS,
            topic_options: super::TOPIC_OPTIONS,
            topics: BTreeSet::new(),
            batch_size: 1,
            keep: None,
            aggregate: None,
            channels: BTreeMap::new(),
            stores: BTreeMap::new(),
            process: std::process::id(),
        }
    }

    /// The same for channels with these options, which are those of their consumers as well. Their capacity is in messages.
    #[must_use]
    pub fn options(mut self, options: QueueOptions) -> Self {
        self.options = options;
        self
    }

    /// The same for [topics](StreamProducer::topic) with these options, which are those of their consumers as well. Their capacity is
    /// in messages.
    #[must_use]
    pub fn topic_options(mut self, options: TopicOptions) -> Self {
        self.topic_options = options;
        self
    }

    /// The same, with a channel that is a [`Topic`](crate::Topic): every [consumer](super::StreamConsumer::topic) has each of its
    /// objects, and those that come later what is kept.
    ///
    /// Unless told otherwise by [options](StreamProducer::topic_options), nobody waits for slow consumers: they lose messages, each a
    /// whole batch, and are told how many. To be said before the channel is opened.
    ///
    /// ```
    /// use inplace::connector::ShmConnector;
    /// use inplace::{RegionOptions, Start, Store, StreamConsumer, StreamProducer};
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("weather").connector(ShmConnector::new(region)).open()?;
    /// let mut producer = StreamProducer::<String>::new(&store).topic("news").batch_size(2);
    /// for news in ["rain", "sun", "snow"] {
    ///     producer.send("news", news.into())?;
    /// }
    /// producer.close()?;
    /// for _ in 0..2 {
    ///     let consumer = StreamConsumer::<String>::new(&store).topic("news", Start::Oldest)?;
    ///     let heard = consumer.map(|item| item.map(|item| item.to_string()));
    ///     assert_eq!(heard.collect::<Result<Vec<_>, _>>()?, ["rain", "sun", "snow"]);
    /// }
    /// # Ok::<(), inplace::Error>(())
    /// ```
    #[must_use]
    pub fn topic(mut self, channel: &str) -> Self {
        self.topics.insert(channel.into());
        self
    }

    /// The same, sending so many objects in a message; 0 is 1.
    #[must_use]
    pub fn batch_size(mut self, objects: usize) -> Self {
        self.batch_size = objects.max(1);
        self
    }

    /// The same, sending only objects of whose metadata `keep` says so. What is not kept is dropped before it is in a batch.
    #[must_use]
    pub fn keep(mut self, keep: impl FnMut(&M) -> bool + Send + 'static) -> Self {
        self.keep = Some(Box::new(keep));
        self
    }

    /// The same, sending instead of each batch the one object that `aggregate` makes of it.
    ///
    /// ```
    /// use inplace::connector::ShmConnector;
    /// use inplace::{RegionOptions, Store, StreamConsumer, StreamProducer};
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("sums").connector(ShmConnector::new(region)).open()?;
    /// let mut producer = StreamProducer::<u64>::new(&store)
    ///     .batch_size(10)
    ///     .aggregate(|batch| (batch.into_iter().map(|(number, ())| number).sum(), ()));
    /// (0..20).try_for_each(|number| producer.send("sums", number))?;
    /// producer.close()?;
    /// let mut consumer = StreamConsumer::<u64>::new(&store).channel("sums")?;
    /// let first = consumer.next_item()?.unwrap();
    /// assert_eq!(first.to_native(), 45);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    #[must_use]
    pub fn aggregate(
        mut self,
        aggregate: impl FnMut(Vec<(T, M)>) -> (T, M) + Send + 'static,
    ) -> Self {
        self.aggregate = Some(Box::new(aggregate));
        self
    }

    /// The same, putting objects of a channel into a store, of any connector, and sending proxies of them. Consumers evict them one by one;
    /// those that were [sent to stay](StreamProducer::send_lasting) somebody else has to. A producer that is killed between
    /// putting an object and sending its proxy leaves it.
    ///
    /// Through a [topic](StreamProducer::topic) objects can only be sent to stay: no consumer knows who else is yet to have them.
    #[must_use]
    pub fn store_for(mut self, channel: &str, store: &Store<C>) -> Self {
        self.stores.insert(channel.into(), store.clone());
        self
    }

    /// Opens a channel, which the first send does else: its stream does not end before this producer closes it.
    ///
    /// # Errors
    /// As [`Store::queue`] or [`Store::topic`], and [`Error::Closed`] when it was closed.
    pub fn open(&mut self, channel: &str) -> Result<()> {
        self.channel(channel).map(drop)
    }

    fn channel(&mut self, name: &str) -> Result<&mut Channel<T, M, C>> {
        if !self.channels.contains_key(name) {
            let home = self.home.with_codec(Packing(self.home.codec));
            let outlet = if self.topics.contains(name) {
                Outlet::Topic(home.topic_with(name, &self.topic_options)?.publisher()?)
            } else {
                Outlet::Queue(home.queue_with(name, &self.options)?.sender()?)
            };
            self.channels.insert(name.into(), Channel::new(Some(outlet)));
        }
        match self.channels.get_mut(name) {
            Some(channel) if channel.outlet.is_some() => Ok(channel),
            _ => Err(Error::Closed { what: format!("channel {name:?} of this producer") }),
        }
    }

    /// Sends an object with the metadata's default; see [`send_with`](StreamProducer::send_with).
    ///
    /// # Errors
    /// As [`send_with`](StreamProducer::send_with).
    pub fn send(&mut self, channel: &str, value: T) -> Result<()>
    where
        M: Default,
    {
        self.send_with(channel, value, M::default())
    }

    /// Sends an object, and what is said of it, waiting for room when a batch is full: for ever, where nobody but this thread
    /// consumes the channel, or where it holds the items that fill it.
    ///
    /// # Errors
    /// [`Error::Closed`] when the channel was closed, [`Error::NotFound`] when it was evicted, [`Error::InvalidConfig`] for a
    /// [topic](StreamProducer::topic) with a [store](StreamProducer::store_for), and as [`Store::put`]. What could not be sent stays
    /// in the batch, for [`flush`](StreamProducer::flush).
    pub fn send_with(&mut self, channel: &str, value: T, metadata: M) -> Result<()> {
        if self.topics.contains(channel) && self.stores.contains_key(channel) {
            return Err(Error::InvalidConfig {
                what: format!("an object of a store, sent through topic {channel:?}"),
                found: "to be evicted when it is consumed, as every consumer would".into(),
                expected: "`send_lasting`, after which whoever knows when evicts it".into(),
            });
        }
        self.push(channel, Outgoing { value, metadata, is_lasting: false, stored: None })
    }

    /// Sends an object that stays in its store when it has been consumed.
    ///
    /// # Errors
    /// [`Error::InvalidConfig`] for a channel without a [store](StreamProducer::store_for): what is in a message goes with it.
    /// And as [`send_with`](StreamProducer::send_with).
    pub fn send_lasting(&mut self, channel: &str, value: T, metadata: M) -> Result<()> {
        if !self.stores.contains_key(channel) {
            return Err(Error::InvalidConfig {
                what: format!("an object sent to stay through channel {channel:?}"),
                found: "in its message".into(),
                expected: "a store for the channel, by `store_for`".into(),
            });
        }
        self.push(channel, Outgoing { value, metadata, is_lasting: true, stored: None })
    }

    fn push(&mut self, channel: &str, item: Outgoing<T, M>) -> Result<()> {
        let is_kept = self.keep.as_mut().is_none_or(|keep| keep(&item.metadata));
        let batch_size = self.batch_size;
        let opened = self.channel(channel)?;
        if is_kept {
            opened.batch.push(item);
        }
        if opened.batch.len() >= batch_size { self.flush_for(channel, true) } else { Ok(()) }
    }

    /// Sends what is in the batch of a channel.
    ///
    /// # Errors
    /// As [`send_with`](StreamProducer::send_with).
    pub fn flush_channel(&mut self, channel: &str) -> Result<()> {
        self.flush_for(channel, true)
    }

    /// Sends what is in the batches of all channels.
    ///
    /// # Errors
    /// As [`send_with`](StreamProducer::send_with), of the first channel that fails; the others are tried all the same.
    pub fn flush(&mut self) -> Result<()> {
        let names: Vec<String> = self.channels.keys().cloned().collect();
        let flushed = names.iter().map(|name| self.flush_for(name, true));
        flushed.fold(Ok(()), Result::and)
    }

    fn flush_for(&mut self, name: &str, waits: bool) -> Result<()> {
        let store = self.stores.get(name);
        let Some(channel) = self.channels.get_mut(name) else { return Ok(()) };
        if channel.batch.is_empty() {
            return Ok(());
        }
        if let Some(aggregate) = &mut self.aggregate {
            channel.aggregate(aggregate);
        }
        let Channel { outlet: Some(outlet), batch, is_aggregated } = channel else { return Ok(()) };
        let is_topic = self.topics.contains(name);
        let put = store.map_or(Ok(()), |store| put_all(store, batch, is_topic));
        let sent = put.and_then(|()| outlet.send(batch, waits));
        match sent {
            Ok(()) => {
                batch.clear();
                *is_aggregated = false;
            }
            Err(_) => batch.iter_mut().for_each(|item| take_back::<T, C>(item.stored.take())),
        }
        sent
    }

    /// Sends what is left for these channels, and ends them for this producer: the last one's end is the end of the stream.
    ///
    /// # Errors
    /// As [`send_with`](StreamProducer::send_with); those before the one that failed are closed.
    pub fn close_channels(&mut self, channels: &[&str]) -> Result<()> {
        for name in channels {
            self.flush_for(name, true)?;
            self.channels.insert((*name).into(), Channel::new(None));
        }
        Ok(())
    }

    /// Sends what is left, and ends all channels for this producer.
    ///
    /// # Errors
    /// As [`flush`](StreamProducer::flush): what could not be sent is lost, and the channels are closed.
    pub fn close(mut self) -> Result<()> {
        let flushed = self.flush();
        // It was tried.
        self.channels.clear();
        flushed
    }
}

/// Puts the objects of a batch into a store. Through a topic those that are to go when they are consumed lie in their message:
/// they were sent before there was a store.
fn put_all<T, M, C: Codec<T>>(
    store: &Store<C>,
    batch: &mut [Outgoing<T, M>],
    is_topic: bool,
) -> Result<()> {
    for item in batch.iter_mut().filter(|item| item.is_lasting || !is_topic) {
        // A panic left it there.
        take_back::<T, C>(item.stored.take());
        let proxy = store.proxy_with(&item.value, ProxyOptions::new().populate(false))?;
        let access = if item.is_lasting { Access::Get } else { Access::Take };
        item.stored = Some(ProxyRef { access, ..proxy.to_ref() });
    }
    Ok(())
}

fn take_back<T, C: Codec<T>>(stored: Option<ProxyRef>) {
    let evict = |reference| {
        let proxy = Proxy::<T, C>::from_ref(reference);
        // What cannot be evicted now nobody has the key of.
        let _ = proxy.store().and_then(|store| store.evict(proxy.key()));
    };
    stored.into_iter().for_each(evict);
}

impl<T, M: Metadata, C: Codec<T>> Drop for StreamProducer<T, M, C> {
    fn drop(&mut self) {
        // Nothing of a parent's, and nothing that a panic left half done.
        if self.process != std::process::id() || std::thread::panicking() {
            return;
        }
        let names: Vec<String> = self.channels.keys().cloned().collect();
        names.iter().for_each(|name| _ = self.flush_for(name, false));
    }
}

impl<T, M: Metadata, C: Codec<T>> fmt::Debug for StreamProducer<T, M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamProducer")
            .field("channels", &self.channels.keys())
            .field("batch_size", &self.batch_size)
            .finish_non_exhaustive()
    }
}
