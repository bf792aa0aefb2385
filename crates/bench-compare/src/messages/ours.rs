//! Inplace's queue.

use inplace::codec::{Codec, Decoded, Raw};
use inplace::connector::{Block, BlockWriter, ShmConnector};
use inplace::{
    Fingerprint, Queue, QueueOptions, Receiver, RegionOptions, Sender, Store, WaitPolicy,
};

use crate::payload::{LARGE, SMALL, fill, read};
use crate::play::{End, Peer, Plan};
use crate::race::{Crowd, Many};

/// A large message that is made while it is sent, from its first number. No codec but Inplace's own has the memory itself: this
/// one writes through so many bytes that stay in the nearest cache.
#[derive(Clone, Copy, Default)]
struct Made;

const PART: usize = 4 << 10;

impl Codec<u64> for Made {
    type Target = [u8];
    const FINGERPRINT: Fingerprint = Fingerprint::of("messages::made");

    fn type_name() -> String {
        "numbers".into()
    }

    fn size_hint(&self, _: &u64) -> usize {
        LARGE
    }

    fn encode(&self, first: &u64, out: &mut BlockWriter<'_>) -> inplace::Result<()> {
        let mut part = [0; PART];
        for at in (0..LARGE).step_by(PART) {
            fill(&mut part, first + at as u64 / 8);
            out.write(&part);
        }
        Ok(())
    }

    fn decode(block: Block) -> inplace::Result<Decoded<[u8]>> {
        Decoded::project(block, |bytes| Ok(bytes))
    }
}

fn store<C: Copy + Default + Send + Sync + 'static>(codec: C) -> Store<C> {
    let region = RegionOptions::new().capacity(64 << 20).anonymous().expect("shared memory");
    let connector = ShmConnector::new(region);
    Store::builder("messages").connector(connector).codec(codec).open().expect("a store")
}

fn policy(plan: &Plan) -> WaitPolicy {
    if plan.parked { WaitPolicy::Park } else { WaitPolicy::Spin }
}

/// A queue each way.
struct Pair<T: ?Sized, C: Codec<T>> {
    queues: [Queue<T, C>; 2],
    policy: WaitPolicy,
    _store: Store<C>,
}

impl<T: ?Sized, C: Codec<T>> Pair<T, C> {
    fn new(plan: &Plan) -> Self {
        let store = store(C::default());
        let inline = if plan.inline { SMALL as u32 } else { 0 };
        let options = QueueOptions::new(64).inline_bytes(inline);
        let queues = [0, 1].map(|_| store.queue_new_with(&options).expect("a queue"));
        Self { queues, policy: policy(plan), _store: store }
    }

    fn open(&self, is_first: bool) -> (Sender<T, C>, Receiver<T, C>) {
        let [to, from] = if is_first { [0, 1] } else { [1, 0] };
        let sender = self.queues[to].sender().expect("it is there").wait_policy(self.policy);
        let receiver = self.queues[from].receiver().expect("it is there").wait_policy(self.policy);
        (sender, receiver)
    }
}

/// Sends from a buffer.
pub struct Copied {
    pair: Pair<[u8], Raw>,
    bytes: usize,
}

struct CopiedEnd {
    sender: Sender<[u8], Raw>,
    receiver: Receiver<[u8], Raw>,
    buffer: Vec<u8>,
}

impl Peer for Copied {
    fn new(plan: &Plan) -> Self {
        Self { pair: Pair::new(plan), bytes: plan.bytes }
    }

    fn open(&self, is_first: bool) -> impl End {
        let (sender, receiver) = self.pair.open(is_first);
        CopiedEnd { sender, receiver, buffer: vec![0; self.bytes] }
    }
}

impl End for CopiedEnd {
    #[inline]
    fn send(&mut self, first: u64) {
        fill(&mut self.buffer, first);
        self.sender.send(&self.buffer).expect("there is room");
    }

    #[inline]
    fn receive(&mut self) -> u64 {
        let message = self.receiver.recv().expect("it is there").expect("it goes on");
        let first = read(&message);
        message.ack().expect("it is mine");
        first
    }
}

/// Makes what it sends where it is sent from.
pub struct InPlace(Pair<u64, Made>);

struct InPlaceEnd {
    sender: Sender<u64, Made>,
    receiver: Receiver<u64, Made>,
}

impl Peer for InPlace {
    fn new(plan: &Plan) -> Self {
        assert!(plan.bytes == LARGE && plan.in_place);
        Self(Pair::new(plan))
    }

    fn open(&self, is_first: bool) -> impl End {
        let (sender, receiver) = self.0.open(is_first);
        InPlaceEnd { sender, receiver }
    }
}

impl End for InPlaceEnd {
    fn send(&mut self, first: u64) {
        self.sender.send(&first).expect("there is room");
    }

    fn receive(&mut self) -> u64 {
        let message = self.receiver.recv().expect("it is there").expect("it goes on");
        let first = read(&message);
        message.ack().expect("it is mine");
        first
    }
}

/// One queue for a crowd, with the default way of waiting.
pub struct One {
    queue: Queue<[u8], Raw>,
    _store: Store<Raw>,
}

impl Many for One {
    fn new(_: Crowd) -> Self {
        let store = store(Raw);
        let options = QueueOptions::new(1024).inline_bytes(SMALL as u32);
        let queue = store.queue_new_with(&options).expect("a queue");
        Self { queue, _store: store }
    }

    fn producer(&self) -> impl FnMut(&[u8; SMALL]) {
        let sender = self.queue.sender().expect("it is there");
        move |bytes| sender.send(bytes).expect("the queue is there")
    }

    fn consumer(&self) -> impl FnMut() -> u64 {
        let receiver = self.queue.receiver().expect("it is there");
        move || {
            let message = receiver.recv().expect("it is there").expect("it goes on");
            let first = read(&message);
            message.ack().expect("it is mine");
            first
        }
    }
}
