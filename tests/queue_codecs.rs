//! Queues of codecs that keep what they should not, and of values that do not fit.

mod support;

use std::future::Future;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use inplace::codec::{Codec, Decoded, Raw};
use inplace::connector::{Block, BlockWriter, ShmConnector};
use inplace::{Error, Fingerprint, Key, RegionOptions, Store};
use support::watch;

fn shm(name: &str) -> Store {
    let connector = ShmConnector::new(RegionOptions::new().capacity(8 << 20).anonymous().unwrap());
    Store::builder(name).connector(connector).open().unwrap()
}

/// A codec of bytes that is written as they are, and decodes them in its own way.
macro_rules! bytes_but {
    ($codec:ident, { $($decode:tt)* }) => {
        impl Codec<[u8]> for $codec {
            type Target = [u8];
            const FINGERPRINT: Fingerprint = Fingerprint::BYTES;

            fn type_name() -> String {
                "bytes".into()
            }

            fn size_hint(&self, value: &[u8]) -> usize {
                value.len()
            }

            fn encode(&self, value: &[u8], out: &mut BlockWriter<'_>) -> inplace::Result<()> {
                out.write(value);
                Ok(())
            }

            $($decode)*
        }
    };
}

/// Keeps what it decodes for longer than anybody wants it to.
#[derive(Debug, Clone, Copy, Default)]
struct Keeping;

static KEPT: Mutex<Option<Block>> = Mutex::new(None);

bytes_but!(Keeping, {
    fn decode(block: Block) -> inplace::Result<Decoded<[u8]>> {
        *KEPT.lock().unwrap() = Some(block.clone());
        Decoded::project(block, |bytes| Ok(bytes))
    }
});

#[test]
fn what_a_codec_keeps_of_a_message_is_never_written_over() {
    watch();
    let store = shm("kept");
    let queue = store.with_codec(Raw).queue_new::<[u8]>(1).unwrap();
    let same = store.with_codec(Keeping).queue_from_key::<[u8]>(queue.key());
    let senders = [queue.sender().unwrap(), queue.sender().unwrap()];
    let (receiver, mine) = (same.receiver().unwrap(), same.sender().unwrap());
    for first in [true, false] {
        if first {
            senders[0].send(b"one").unwrap()
        } else {
            mine.send(b"one").unwrap()
        }
        receiver.recv().unwrap().unwrap().ack().unwrap();
        senders[1].send(b"two").unwrap();
        assert_eq!(**KEPT.lock().unwrap().as_ref().unwrap(), *b"one");
        receiver.recv().unwrap().unwrap().ack().unwrap();
    }
    *KEPT.lock().unwrap() = None;
}

#[test]
fn a_message_whose_value_does_not_encode_leaves_its_room() {
    watch();
    let store = shm("refused");
    let raw = store.with_codec(Raw);
    let queue = raw.queue_new::<[u8]>(1).unwrap();
    let sender = queue.sender().unwrap();
    assert!(sender.send(&vec![0; 100 << 20][..]).is_err(), "larger than the region");
    sender.send(b"fits").unwrap();
    assert_eq!(*queue.receiver().unwrap().recv().unwrap().unwrap(), *b"fits");
}

/// Bytes of which the first says what cannot be had.
#[derive(Debug, Clone, Copy, Default)]
struct Refusing;

bytes_but!(Refusing, {
    fn decode(block: Block) -> inplace::Result<Decoded<[u8]>> {
        let key = Key::new(1, 2);
        match block[0] {
            b'n' => Err(Error::NotFound { key }),
            b't' => Err(Error::TimedOut { key, waited: Duration::ZERO }),
            _ => Decoded::project(block, |bytes| Ok(bytes)),
        }
    }
});

#[test]
fn what_a_codec_does_not_find_is_an_error_of_its_message_and_of_a_batch() {
    watch();
    let queue = shm("refused").with_codec(Refusing).queue_new::<[u8]>(4).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send(b"good").unwrap();
    sender.send(b"nothing").unwrap();
    let error = receiver.recv_batch(2).unwrap_err();
    assert!(matches!(error, Error::NotFound { key } if key == Key::new(1, 2)), "{error}");
    let good = receiver.recv().unwrap().unwrap();
    assert_eq!((&*good, good.deliveries()), (&b"good"[..], 2), "given back with the batch");
    good.ack().unwrap();
    assert!(matches!(receiver.recv(), Err(Error::NotFound { .. })), "neither lost nor passed over");
}

#[test]
fn a_codec_that_has_no_time_is_no_reason_to_wait() {
    watch();
    let queue = shm("late").with_codec(Refusing).queue_new::<[u8]>(4).unwrap();
    let (sender, receiver) = (queue.sender().unwrap(), queue.receiver().unwrap());
    sender.send(b"time").unwrap();
    let future = std::pin::pin!(receiver.recv_async());
    let polled = future.poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(Error::TimedOut { .. }))));
}
