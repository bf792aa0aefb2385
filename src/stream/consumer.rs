//! Consuming.

use std::collections::VecDeque;
use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use super::item::{Batch, StreamItem, evict, stored};
use super::packet::{Entry, Metadata, Outgoing, Packing, Place, entries};
use crate::codec::{Archive, Codec};
use crate::error::{Error, Result};
use crate::key::Key;
use crate::queue::{Message, Receiver};
use crate::region::QueueOptions;
use crate::store::Store;

type Keep<M> = Box<dyn FnMut(&M) -> bool + Send>;
type Packet<T, M, C> = Message<[Outgoing<T, M>], Packing<C>>;
/// Of which inlet; `None`: the end.
type Found<T, M, C> = Option<(usize, Packet<T, M, C>)>;

/// Consumes what [`StreamProducer`](super::StreamProducer)s send through channels: objects in place, or proxies of them.
///
/// Of several consumers of a channel each object has one, and if that is killed or drops it, another. The stream ends when every
/// channel has ended: somebody has produced, nobody does any more, dead producers included, and everything is received. A consumer
/// of several channels is done with each when it ends, also if somebody produces there later, or another consumer gives something
/// back.
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
    keep: Option<Keep<M>>,
    inlets: Vec<Inlet<T, M, C>>,
    /// With which inlet to begin to look.
    turn: usize,
    current: Option<Current<T, M, C>>,
    is_over: bool,
}

/// Where messages come from.
struct Inlet<T, M: Metadata, C: Codec<T>> {
    name: Arc<str>,
    source: Source<T, M, C>,
    has_ended: bool,
}

enum Source<T, M: Metadata, C: Codec<T>> {
    Queue(Receiver<[Outgoing<T, M>], Packing<C>>),
}

/// A message whose objects were not all handed out yet.
struct Current<T, M: Metadata, C: Codec<T>> {
    name: Arc<str>,
    batch: Arc<Batch<T, M, C>>,
    entries: VecDeque<Entry>,
}

impl<T, M: Metadata, C: Codec<T>> Source<T, M, C> {
    fn receive(&self) -> impl Future<Output = Result<Option<Packet<T, M, C>>>> + Unpin + '_ {
        match self {
            Self::Queue(receiver) => receiver.recv_async(),
        }
    }

    fn key(&self) -> Key {
        match self {
            Self::Queue(receiver) => receiver.key(),
        }
    }

    /// Waits for so long in this thread; `TimedOut` after that.
    fn receive_within(&self, limit: Option<Duration>) -> Result<Option<Packet<T, M, C>>> {
        match (self, limit) {
            (Self::Queue(receiver), None) => receiver.recv(),
            (Self::Queue(receiver), Some(limit)) => receiver.recv_timeout(limit),
        }
    }
}

impl<T, M: Metadata, C: Codec<T>> StreamConsumer<T, M, C> {
    /// A consumer of channels of a store in shared memory: of none as yet.
    #[must_use]
    pub fn new(store: &Store<C>) -> Self {
        Self {
            home: store.clone(),
            options: super::OPTIONS,
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
        self.inlets.push(Inlet { name: name.into(), source, has_ended: false });
        Ok(self)
    }

    /// The next object, waiting for it; `None` at the end of the stream, or without a channel.
    ///
    /// # Errors
    /// [`Error::NotFound`] when a channel was or is evicted, [`Error::Codec`] for an object that is none: its message is given
    /// back, and is a dead letter in the end.
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

    /// The next object, without a thread that waits for it. Dropped, the future has consumed nothing.
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
        let (turn, count) = (self.turn, self.inlets.len());
        let mut ended = Vec::new();
        let found = {
            let live = (0..count).map(|at| (turn + at) % count);
            let live = live.filter(|&at| !self.inlets[at].has_ended);
            let receive = |at: usize| (at, self.inlets[at].source.receive());
            let mut futures: Vec<_> = live.map(receive).collect();
            poll_fn(|context| poll_any(&mut futures, &mut ended, context)).await
        };
        ended.into_iter().for_each(|at| self.inlets[at].has_ended = true);
        if let Ok(Some((at, _))) = &found {
            self.turn = at + 1;
        }
        found
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
        let entries = VecDeque::from(entries(&packet)?);
        let batch = Arc::new(Batch::new(packet, entries.len())?);
        self.current = Some(Current { name: self.inlets[at].name.clone(), batch, entries });
        Ok(())
    }

    /// The next object of the message at hand that is to be handed out.
    fn next_of_current(&mut self) -> Result<Option<StreamItem<T, M, C>>> {
        // What fails goes back, with all of its message.
        while let Some(mut current) = self.current.take() {
            current.batch.expect_mine()?;
            let Some(entry) = current.entries.pop_front() else {
                current.batch.let_go()?;
                break;
            };
            let metadata = entry.metadata::<M>()?;
            let is_kept = self.keep.as_mut().is_none_or(|keep| keep(&metadata));
            let is_over = is_consumed(&entry, is_kept, &current.batch)?;
            let item = match is_over {
                true => None,
                false => {
                    let from = (current.name.clone(), current.batch.clone());
                    Some(StreamItem::new(entry, metadata, from)?)
                }
            };
            match (current.entries.is_empty(), is_over) {
                (true, true) => current.batch.consume_one()?,
                // The item has the batch alone.
                (true, false) => current.batch.let_go()?,
                (false, is_over) => {
                    if is_over {
                        current.batch.clone().consume_one()?;
                    }
                    self.current = Some(current);
                }
            }
            if item.is_some() {
                return Ok(item);
            }
        }
        Ok(None)
    }
}

/// Whether nothing is to be done with an object: nobody wants it, or it was consumed when its message was received before.
fn is_consumed<T, M: Metadata, C: Codec<T>>(
    entry: &Entry,
    is_kept: bool,
    batch: &Batch<T, M, C>,
) -> Result<bool> {
    let Place::Stored(reference) = &entry.place else { return Ok(!is_kept) };
    let (proxy, is_lasting) = stored::<T, C>(reference.clone());
    if is_lasting {
        return Ok(!is_kept);
    }
    if !is_kept {
        evict(&proxy)?;
        return Ok(true);
    }
    Ok(batch.is_redelivered() && !proxy.store()?.exists(proxy.key())?)
}

/// The first message there is, in the order of the futures; which of them have ended is added to `ended`.
fn poll_any<P, F>(
    futures: &mut Vec<(usize, F)>,
    ended: &mut Vec<usize>,
    context: &mut Context<'_>,
) -> Poll<Result<Option<(usize, P)>>>
where
    F: Future<Output = Result<Option<P>>> + Unpin,
{
    let mut next = 0;
    while let Some((at, future)) = futures.get_mut(next) {
        let at = *at;
        match Pin::new(future).poll(context) {
            Poll::Pending => next += 1,
            Poll::Ready(Ok(Some(packet))) => return Poll::Ready(Ok(Some((at, packet)))),
            Poll::Ready(Ok(None)) => {
                drop(futures.remove(next));
                ended.push(at);
            }
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
        }
    }
    if futures.is_empty() { Poll::Ready(Ok(None)) } else { Poll::Pending }
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
