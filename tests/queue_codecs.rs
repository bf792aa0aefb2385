//! Queues of codecs that keep what they should not, and of values that do not fit.

mod support;

use std::sync::Mutex;

use inplace::codec::{Codec, Decoded, Raw};
use inplace::connector::{Block, BlockWriter, ShmConnector};
use inplace::{Fingerprint, RegionOptions, Store};
use support::watch;

fn shm(name: &str) -> Store {
    let connector = ShmConnector::new(RegionOptions::new().capacity(8 << 20).anonymous().unwrap());
    Store::builder(name).connector(connector).open().unwrap()
}

/// Keeps what it decodes for longer than anybody wants it to.
#[derive(Debug, Clone, Copy, Default)]
struct Keeping;

static KEPT: Mutex<Option<Block>> = Mutex::new(None);

impl Codec<[u8]> for Keeping {
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

    fn decode(block: Block) -> inplace::Result<Decoded<[u8]>> {
        *KEPT.lock().unwrap() = Some(block.clone());
        Decoded::project(block, |bytes| Ok(bytes))
    }
}

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
