//! Consuming.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::inlet::{Inlet, Packet, Source};
use super::item::{Batch, StreamItem, evict, stored};
use super::packet::{Entry, Metadata, Packing, Place, entries};
use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::region::{QueueOptions, TopicOptions};
use crate::store::Store;
use crate::topic::Start;

type Keep<M> = Box<dyn FnMut(&M) -> bool + Send>;
/// Of which inlet; `None`: the end.
type Found<T, M, C> = Option<(usize, Packet<T, M, C>)>;

/// Consumes what [`StreamProducer`](super::StreamProducer)s send through channels: objects in place, or proxies of them.
///
/// Of several consumers of a [channel](StreamConsumer::channel) each object has one, and if that is killed or drops it, another. Of a
/// [topic](StreamConsumer::topic) each of them has every object, in the same order.
///
/// The stream ends when every channel has ended: somebody has produced, nobody does any more, dead producers included, and
/// everything is received. A consumer of several channels is done with each when it ends, also if somebody produces there later, or
/// another consumer gives something back.
///
/// It is its process's; in a forked child its methods are [`Error::NotOwner`].
///
/// ```
/// use inplace::connector::ShmConnector;
/// use inplace::{RegionOptions, Store, StreamConsumer, StreamProducer};
///
/// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
/// let store = Store::builder("logs").connector(ShmConnector::new(region)).open()?;
/// let mut producer = StreamProducer::<String>::new(&store);
/// producer.send("news", "rain".into())?;
/// producer.send("gossip", "sun".into())?;
/// producer.close()?;
///
/// let consumer = StreamConsumer::<String>::new(&store).channel("news")?.channel("gossip")?;
/// let mut heard = Vec::new();
/// for item in consumer {
///     let item = item?;
///     heard.push(format!("{}: {}", item.channel(), *item));
///     item.ack()?;
/// }
/// heard.sort();
/// assert_eq!(heard, ["gossip: sun", "news: rain"]);
/// # Ok::<(), inplace::Error>(())
/// ```
pub struct StreamConsumer<T, M: Metadata = (), C: Codec<T> = Archive> {
    home: Store<C>,
    options: QueueOptions,
    topic_options: TopicOptions,
    keep: Option<Keep<M>>,
    inlets: Vec<Inlet<T, M, C>>,
    /// With which inlet to begin to look.
    turn: usize,
    current: Option<Current<T, M, C>>,
    is_over: bool,
}

/// A message whose objects were not all handed out yet.
struct Current<T, M: Metadata, C: Codec<T>> {
    /// Of which inlet.
    at: usize,
    batch: Arc<Batch<T, M, C>>,
    entries: VecDeque<Entry>,
}

impl<T, M: Metadata, C: Codec<T>> StreamConsumer<T, M, C> {
    /// A consumer of channels of a store in shared memory: of none as yet.
    #[must_use]
    pub fn new(store: &Store<C>) -> Self {
        Self {
            home: store.clone(),
            options: super::QUEUE_OPTIONS,
            topic_options: super::TOPIC_OPTIONS,
            keep: None,
            inlets: Vec::new(),
            turn: 0,
            current: None,
            is_over: false,
        }
    }

    /// The same for channels with these options, which are those of their producers as well.
    #[must_use]
    pub fn options(self, options: QueueOptions) -> Self {
        Self { options, ..self }
    }

    /// The same for topics with these options, which are those of their producers as well.
    #[must_use]
    pub fn topic_options(self, options: TopicOptions) -> Self {
        Self { topic_options: options, ..self }
    }

    /// The same, handing out only objects of whose metadata `keep` says so. What is not kept counts as consumed.
    #[must_use]
    pub fn keep(self, keep: impl FnMut(&M) -> bool + Send + 'static) -> Self {
        Self { keep: Some(Box::new(keep)), ..self }
    }

    /// The same, consuming from one channel more.
    ///
    /// # Errors
    /// As [`Store::queue`].
    pub fn channel(mut self, name: &str) -> Result<Self> {
        let home = self.home.with_codec(Packing(self.home.codec));
        let source = Source::Queue(home.queue_with(name, &self.options)?.receiver()?);
        self.inlets.push(Inlet::new(name, source));
        Ok(self)
    }

    /// The same, consuming from one [topic](super::StreamProducer::topic) more, from there on: every consumer has every object.
    ///
    /// Nothing is acknowledged: a message is received when it is taken, before its first object is handed out or passed over. A consumer that is slow
    /// loses messages, and [is told](StreamItem::missed) how many, unless the topic [holds its producers
    /// back](TopicOptions::hold_back). An object, or a whole message, that cannot be used is an error; the next call goes on behind
    /// it.
    ///
    /// ```
    /// use inplace::connector::ShmConnector;
    /// use inplace::{RegionOptions, Start, Store, StreamConsumer, StreamProducer, TopicOptions};
    ///
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("radio").connector(ShmConnector::new(region)).open()?;
    /// let options = TopicOptions::new(2); // the last two messages, and mostly one more
    /// let consumer = || StreamConsumer::<u64>::new(&store).topic_options(options);
    ///
    /// let mut slow = consumer().topic("songs", Start::Latest)?;
    /// let mut producer = StreamProducer::<u64>::new(&store).topic_options(options).topic("songs");
    /// (0..10).try_for_each(|song| producer.send("songs", song))?;
    /// producer.close()?;
    ///
    /// let first = slow.next_item()?.expect("the last ones are there");
    /// assert_eq!((first.to_native(), first.missed(), first.position()), (7, 7, Some(7)));
    /// assert_eq!(slow.missed(), 7);
    /// let late = consumer().topic("songs", Start::Oldest)?;
    /// assert_eq!(late.count(), 3);
    /// # Ok::<(), inplace::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`Store::topic`], and [`Error::TooManySubscribers`] where producers are held back for as many as they may be.
    pub fn topic(mut self, name: &str, start: Start) -> Result<Self> {
        let home = self.home.with_codec(Packing(self.home.codec));
        let topic = home.topic_with(name, &self.topic_options)?;
        self.inlets.push(Inlet::new(name, Source::Topic(topic.subscriber(start)?)));
        Ok(self)
    }

    /// How many messages of its topics it has lost since it began, because it was too slow, as far as it has looked; a message is a
    /// whole batch, of however many objects. What no object [tells](StreamItem::missed), because the stream ended before, is
    /// counted here as well.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.inlets.iter().map(Inlet::missed).sum()
    }

    /// The next object, waiting for it; `None` at the end of the stream, or without a channel.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a channel was or is evicted, [`Error::Codec`] for an object that is none: its message is given
    /// back, and is a dead letter in the end; of a topic it is passed over.
    pub fn next_item(&mut self) -> Result<Option<StreamItem<T, M, C>>> {
        self.next_within(None)
    }

    /// The next object, waiting for it for so long.
    ///
    /// # Errors
    /// [`Error::TimedOut`], with the key of a channel, and as [`next_item`](StreamConsumer::next_item).
    pub fn next_timeout(&mut self, timeout: Duration) -> Result<Option<StreamItem<T, M, C>>> {
        self.next_within(Some(timeout))
    }

    /// The next object, without a thread that waits for it. Dropped, the future has consumed nothing that it did not pass over.
    ///
    /// ```
    /// use inplace::connector::ShmConnector;
    /// use inplace::{RegionOptions, Store, StreamConsumer, StreamProducer};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let region = RegionOptions::new().capacity(1 << 22).anonymous()?;
    /// let store = Store::builder("soon").connector(ShmConnector::new(region)).open()?;
    /// let mut consumer = StreamConsumer::<u64>::new(&store).channel("numbers")?;
    /// StreamProducer::<u64>::new(&store).send("numbers", 7)?;
    /// let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    /// let item = runtime.block_on(consumer.next_async())?.expect("it was sent");
    /// assert_eq!(item.to_native(), 7);
    /// item.ack()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`next_item`](StreamConsumer::next_item).
    pub async fn next_async(&mut self) -> Result<Option<StreamItem<T, M, C>>> {
        loop {
            if let Some(item) = self.next_of_current()? {
                return Ok(Some(item));
            }
            let Some((at, packet)) = self.any().await? else { return Ok(None) };
            self.accept(at, packet)?;
        }
    }

    fn next_within(&mut self, limit: Option<Duration>) -> Result<Option<StreamItem<T, M, C>>> {
        let start = Instant::now();
        loop {
            if let Some(item) = self.next_of_current()? {
                return Ok(Some(item));
            }
            let left = limit.map(|limit| limit.saturating_sub(start.elapsed()));
            let found = match &mut self.inlets[..] {
                // Who waits for one sleeps on its own word.
                [one] if !one.has_ended => {
                    let packet = one.source.receive_within(left)?;
                    one.has_ended = packet.is_none();
                    packet.map(|packet| (0, packet))
                }
                _ => self.block_on_any(left)?,
            };
            let Some((at, packet)) = found else { return Ok(None) };
            self.accept(at, packet)?;
        }
    }

    /// A message of any channel; `None` when all have ended.
    async fn any(&mut self) -> Result<Found<T, M, C>> {
        let mut ended = Vec::new();
        let found = {
            let live = self.inlets.iter_mut().enumerate().filter(|(_, inlet)| !inlet.has_ended);
            let mut futures: Vec<_> =
                live.map(|(at, inlet)| (at, inlet.source.receive())).collect();
            let first = futures.iter().position(|(at, _)| *at >= self.turn);
            futures.rotate_left(first.unwrap_or(0));
            poll_fn(|context| poll_any(&mut futures, &mut ended, context)).await
        };
        ended.into_iter().for_each(|at| self.inlets[at].has_ended = true);
        let Some((at, packet)) = found else { return Ok(None) };
        // After an error, too: it is not to keep the others waiting.
        self.turn = at + 1;
        Ok(Some((at, packet?)))
    }

    fn block_on_any(&mut self, limit: Option<Duration>) -> Result<Found<T, M, C>> {
        if let Some(found) = block_on(self.any(), limit) {
            return found;
        }
        let waited = limit.unwrap_or_default();
        let key = self.inlets.first().map(|inlet| inlet.source.key());
        Err(key
            .map_or(Error::Closed { what: "stream".into() }, |key| Error::TimedOut { key, waited }))
    }

    fn accept(&mut self, at: usize, packet: Packet<T, M, C>) -> Result<()> {
        self.inlets[at].count(&packet);
        let entries = VecDeque::from(entries(packet.bytes())?);
        let batch = Arc::new(Batch::new(packet, entries.len())?);
        self.current = Some(Current { at, batch, entries });
        Ok(())
    }

    /// The next object of the message at hand that is to be handed out.
    fn next_of_current(&mut self) -> Result<Option<StreamItem<T, M, C>>> {
        while let Some(current) = &mut self.current {
            let inlet = &mut self.inlets[current.at];
            inlet.source.expect_mine(current.batch.packet())?;
            let Some(entry) = current.entries.pop_front() else {
                self.let_go()?;
                break;
            };
            let item = item_of(entry, &current.batch, inlet, self.keep.as_mut());
            let (is_last, batch) = (current.entries.is_empty(), &current.batch);
            match &item {
                // It goes back, with all of its message; what everybody has cannot.
                Err(_) if !batch.packet().is_shared() => self.current = None,
                Err(_) => {}
                Ok(None) => {
                    let batch = batch.clone();
                    if is_last {
                        self.current = None;
                    }
                    batch.consume_one()?;
                }
                // The item has the batch alone.
                Ok(Some(_)) if is_last => self.let_go()?,
                Ok(Some(_)) => {}
            }
            if let Some(item) = item? {
                return Ok(Some(item));
            }
        }
        Ok(None)
    }

    /// All of the message at hand was handed out.
    fn let_go(&mut self) -> Result<()> {
        self.current.take().map_or(Ok(()), |current| current.batch.let_go())
    }
}

/// An object that is to be handed out, if it is.
fn item_of<T, M: Metadata, C: Codec<T>>(
    entry: Entry,
    batch: &Arc<Batch<T, M, C>>,
    inlet: &mut Inlet<T, M, C>,
    keep: Option<&mut Keep<M>>,
) -> Result<Option<StreamItem<T, M, C>>> {
    let metadata = entry.metadata::<M>()?;
    let is_kept = keep.is_none_or(|keep| keep(&metadata));
    if is_consumed(&entry, is_kept, batch)? {
        return Ok(None);
    }
    let item = StreamItem::new(entry, metadata, (inlet.name.clone(), batch.clone()))?;
    Ok(Some(item.after_losing(inlet.tell())))
}

/// Whether nothing is to be done with an object: nobody wants it, or it was consumed when its message was received before.
fn is_consumed<T, M: Metadata, C: Codec<T>>(
    entry: &Entry,
    is_kept: bool,
    batch: &Batch<T, M, C>,
) -> Result<bool> {
    let Place::Stored(reference) = &entry.place else { return Ok(!is_kept) };
    if batch.packet().is_shared() {
        return Ok(!is_kept);
    }
    let (proxy, is_lasting) = stored::<T, C>(reference.clone());
    if is_lasting {
        return Ok(!is_kept);
    }
    if !is_kept {
        evict(&proxy)?;
        return Ok(true);
    }
    Ok(batch.packet().deliveries() > 1 && !proxy.store()?.exists(proxy.key())?)
}

/// The first message there is, in the order of the futures; which of them have ended is added to `ended`.
fn poll_any<P, F>(
    futures: &mut Vec<(usize, F)>,
    ended: &mut Vec<usize>,
    context: &mut Context<'_>,
) -> Poll<Option<(usize, Result<P>)>>
where
    F: Future<Output = Result<Option<P>>> + Unpin,
{
    let mut next = 0;
    while let Some((at, future)) = futures.get_mut(next) {
        let at = *at;
        match Pin::new(future).poll(context) {
            Poll::Pending => next += 1,
            Poll::Ready(Ok(Some(packet))) => return Poll::Ready(Some((at, Ok(packet)))),
            Poll::Ready(Ok(None)) => {
                drop(futures.remove(next));
                ended.push(at);
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Some((at, Err(error)))),
        }
    }
    if futures.is_empty() { Poll::Ready(None) } else { Poll::Pending }
}

/// What comes of a future that this thread waits for; `None`: nothing in that time.
fn block_on<F: Future>(future: F, limit: Option<Duration>) -> Option<F::Output> {
    let (start, mut future) = (Instant::now(), pin!(future));
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(found) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(found);
        }
        match limit.map(|limit| limit.saturating_sub(start.elapsed())) {
            None => std::thread::park(),
            Some(Duration::ZERO) => return None,
            Some(left) => std::thread::park_timeout(left),
        }
    }
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl<T, M: Metadata, C: Codec<T>> Iterator for StreamConsumer<T, M, C> {
    type Item = Result<StreamItem<T, M, C>>;

    /// As [`next_item`](StreamConsumer::next_item), until the end of the stream, or the first error.
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let next = self.next_item().transpose();
        self.is_over = !matches!(next, Some(Ok(_)));
        next
    }
}

impl<T, M: Metadata, C: Codec<T>> fmt::Debug for StreamConsumer<T, M, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channels = self.inlets.iter().map(|inlet| &inlet.name);
        f.debug_struct("StreamConsumer")
            .field("channels", &channels.collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
