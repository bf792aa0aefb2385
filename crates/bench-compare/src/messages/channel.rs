//! ipc-channel: bytes, or memory of their own that is sent along.

use ipc_channel::ipc::{
    IpcBytesReceiver, IpcBytesSender, IpcReceiver, IpcSender, IpcSharedMemory, bytes_channel,
    channel,
};

use crate::payload::{SMALL, fill, read};
use crate::play::{End, Peer, Plan};
use crate::race::{Crowd, Many};

/// A channel each way.
pub struct Bytes {
    channels: [(IpcBytesSender, IpcBytesReceiver); 2],
    bytes: usize,
}

struct BytesEnd<'a> {
    sender: &'a IpcBytesSender,
    receiver: &'a IpcBytesReceiver,
    buffer: Vec<u8>,
}

impl Peer for Bytes {
    fn new(plan: &Plan) -> Self {
        let channels = [0, 1].map(|_| bytes_channel().expect("a channel"));
        Self { channels, bytes: plan.bytes }
    }

    fn open(&self, is_first: bool) -> impl End {
        let [to, from] = if is_first { [0, 1] } else { [1, 0] };
        let (sender, receiver) = (&self.channels[to].0, &self.channels[from].1);
        BytesEnd { sender, receiver, buffer: vec![0; self.bytes] }
    }
}

impl End for BytesEnd<'_> {
    fn send(&mut self, first: u64) {
        fill(&mut self.buffer, first);
        self.sender.send(&self.buffer).expect("it is sent");
    }

    fn receive(&mut self) -> u64 {
        read(&self.receiver.recv().expect("it goes on"))
    }
}

/// A channel each way, of pieces of shared memory.
pub struct Memory {
    channels: [(IpcSender<IpcSharedMemory>, IpcReceiver<IpcSharedMemory>); 2],
    bytes: usize,
}

struct MemoryEnd<'a> {
    sender: &'a IpcSender<IpcSharedMemory>,
    receiver: &'a IpcReceiver<IpcSharedMemory>,
    buffer: Vec<u8>,
}

impl Peer for Memory {
    fn new(plan: &Plan) -> Self {
        let channels = [0, 1].map(|_| channel().expect("a channel"));
        Self { channels, bytes: plan.bytes }
    }

    fn open(&self, is_first: bool) -> impl End {
        let [to, from] = if is_first { [0, 1] } else { [1, 0] };
        let (sender, receiver) = (&self.channels[to].0, &self.channels[from].1);
        MemoryEnd { sender, receiver, buffer: vec![0; self.bytes] }
    }
}

impl End for MemoryEnd<'_> {
    fn send(&mut self, first: u64) {
        fill(&mut self.buffer, first);
        self.sender.send(IpcSharedMemory::from_bytes(&self.buffer)).expect("it is sent");
    }

    fn receive(&mut self) -> u64 {
        read(&self.receiver.recv().expect("it goes on"))
    }
}

/// Many senders, one receiver.
pub struct ManyToOne(IpcBytesSender, IpcBytesReceiver);

impl Many for ManyToOne {
    fn new(crowd: Crowd) -> Self {
        assert_eq!(crowd.consumers, 1);
        let (sender, receiver) = bytes_channel().expect("a channel");
        Self(sender, receiver)
    }

    fn producer(&self) -> impl FnMut(&[u8; SMALL]) {
        |bytes| self.0.send(bytes).expect("it is sent")
    }

    fn consumer(&self) -> impl FnMut() -> u64 {
        || read(&self.1.recv().expect("it goes on"))
    }
}
