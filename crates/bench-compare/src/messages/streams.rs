//! A pipe, and a Unix socket.

use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::marker::PhantomData;
use std::os::unix::net::UnixStream;

use crate::payload::{SMALL, fill, read};
use crate::play::{End, Peer, Plan};
use crate::race::{Crowd, Many};

/// Something that is written to at one end and read from at the other.
pub trait Stream {
    type From: Read;
    type To: Write;

    fn new() -> (Self::From, Self::To);
    fn again(from: &Self::From, to: &Self::To) -> (Self::From, Self::To);
}

pub struct Pipe;

impl Stream for Pipe {
    type From = PipeReader;
    type To = PipeWriter;

    fn new() -> (PipeReader, PipeWriter) {
        pipe().expect("a pipe")
    }

    fn again(from: &PipeReader, to: &PipeWriter) -> (PipeReader, PipeWriter) {
        (from.try_clone().expect("a descriptor"), to.try_clone().expect("a descriptor"))
    }
}

pub struct Unix;

impl Stream for Unix {
    type From = UnixStream;
    type To = UnixStream;

    fn new() -> (UnixStream, UnixStream) {
        UnixStream::pair().expect("a pair of sockets")
    }

    fn again(from: &UnixStream, to: &UnixStream) -> (UnixStream, UnixStream) {
        (from.try_clone().expect("a descriptor"), to.try_clone().expect("a descriptor"))
    }
}

/// A stream each way.
pub struct Streams<S: Stream> {
    ways: [(S::From, S::To); 2],
    bytes: usize,
}

struct StreamEnd<S: Stream> {
    from: S::From,
    to: S::To,
    buffer: Vec<u8>,
    _stream: PhantomData<S>,
}

impl<S: Stream> Peer for Streams<S> {
    fn new(plan: &Plan) -> Self {
        Self { ways: [0, 1].map(|_| S::new()), bytes: plan.bytes }
    }

    fn open(&self, is_first: bool) -> impl End {
        let [to, from] = if is_first { [0, 1] } else { [1, 0] };
        let (from, to) = S::again(&self.ways[from].0, &self.ways[to].1);
        StreamEnd::<S> { from, to, buffer: vec![0; self.bytes], _stream: PhantomData }
    }
}

impl<S: Stream> End for StreamEnd<S> {
    fn send(&mut self, first: u64) {
        fill(&mut self.buffer, first);
        self.to.write_all(&self.buffer).expect("it is written");
    }

    fn receive(&mut self) -> u64 {
        self.from.read_exact(&mut self.buffer).expect("it goes on");
        read(&self.buffer)
    }
}

/// One stream for a crowd: what is written and read at once stays together, for it is so small.
pub struct Shared<S: Stream>(S::From, S::To);

impl<S: Stream> Many for Shared<S> {
    fn new(_: Crowd) -> Self {
        let (from, to) = S::new();
        Self(from, to)
    }

    fn producer(&self) -> impl FnMut(&[u8; SMALL]) {
        let (_, mut to) = S::again(&self.0, &self.1);
        move |bytes| assert_eq!(to.write(bytes).expect("it is written"), SMALL)
    }

    fn consumer(&self) -> impl FnMut() -> u64 {
        let (mut from, _) = S::again(&self.0, &self.1);
        let mut bytes = [0; SMALL];
        move || {
            assert_eq!(from.read(&mut bytes).expect("it goes on"), SMALL);
            read(&bytes)
        }
    }
}
