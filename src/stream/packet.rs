//! What streams send: objects, or where they are, and what is said of each, in one message.
//!
//! ```text
//! object, object, …, each at a multiple of 64 · directory: an `Entry` each, in postcard · its length, eight bytes
//! ```

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::codec::{Codec, Contained, Decoded, Serde, to_vec};
use crate::connector::{Block, BlockWriter};
use crate::error::{Error, Result};
use crate::fingerprint::Fingerprint;
use crate::proxy::ProxyRef;

/// What may be said of an object of a stream.
pub trait Metadata: Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<M: Serialize + DeserializeOwned + Send + Sync + 'static> Metadata for M {}

/// An object that is to be sent.
pub(super) struct Outgoing<T, M> {
    pub(super) value: T,
    pub(super) metadata: M,
    /// It stays when it has been consumed.
    pub(super) is_lasting: bool,
    /// Where it is, if it is not in the message.
    pub(super) stored: Option<ProxyRef>,
}

/// One object of a message.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    pub(super) place: Place,
    /// As [`Serde`] encodes it.
    metadata: Vec<u8>,
}

/// Where it is.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Place {
    /// In the message.
    Here { at: u64, len: u64 },
    /// In a store; who takes it when it is resolved evicts it when it is consumed.
    Stored(ProxyRef),
}

impl Entry {
    pub(super) fn metadata<M: Metadata>(&self) -> Result<Decoded<M>> {
        let block = Block::from_heap(self.metadata[..].into(), Fingerprint::of("metadata"));
        <Serde as Codec<M>>::decode(block)
    }
}

/// The codec of a stream whose objects are of another one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Packing<C>(pub(super) C);

/// Bytes of the directory's length.
const TRAILER: usize = size_of::<u64>();
const ALIGN: usize = 64;

impl<T, M: Metadata, C: Codec<T>> Codec<[Outgoing<T, M>]> for Packing<C> {
    type Target = [u8];
    const FINGERPRINT: Fingerprint = Fingerprint::of("inplace::stream").with(C::FINGERPRINT);
    // What lies in a queue itself is looked at only while the message is held: see `Batch`.
    const CONTAINED: Contained = Contained(true);

    fn type_name() -> String {
        format!("stream of {}", C::type_name())
    }

    fn size_hint(&self, items: &[Outgoing<T, M>]) -> usize {
        let here = items.iter().filter(|item| item.stored.is_none());
        let objects = here.map(|item| self.0.size_hint(&item.value).saturating_add(ALIGN));
        objects.fold(ALIGN * items.len(), usize::saturating_add)
    }

    fn encode(&self, items: &[Outgoing<T, M>], out: &mut BlockWriter<'_>) -> Result<()> {
        let mut directory = Vec::with_capacity(items.len());
        for item in items {
            let place = match &item.stored {
                Some(stored) => Place::Stored(stored.clone()),
                None => {
                    out.write(&[0; ALIGN][..out.position().wrapping_neg() % ALIGN]);
                    let at = out.position();
                    let mut part = out.part();
                    self.0.encode(&item.value, &mut part)?;
                    let len = part.position();
                    out.advance_to(at.saturating_add(len));
                    Place::Here { at: at as u64, len: len as u64 }
                }
            };
            directory.push(Entry { place, metadata: to_vec(Serde, &item.metadata)? });
        }
        let directory = postcard::to_stdvec(&directory).map_err(failed)?;
        out.write(&directory);
        out.write(&(directory.len() as u64).to_le_bytes());
        Ok(())
    }

    fn decode(block: Block) -> Result<Decoded<[u8]>> {
        Decoded::project(block, |bytes| Ok(bytes))
    }
}

/// The directory of a message.
pub(super) fn entries(packet: &[u8]) -> Result<Vec<Entry>> {
    let (rest, len) = packet.split_last_chunk::<TRAILER>().ok_or_else(|| not_one(packet))?;
    let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| not_one(packet))?;
    let start = rest.len().checked_sub(len).ok_or_else(|| not_one(packet))?;
    postcard::from_bytes(&rest[start..]).map_err(failed)
}

#[cold]
fn not_one(packet: &[u8]) -> Error {
    let what = format!("{} bytes are no message of a stream", packet.len());
    Error::Codec { codec: "stream", what }
}

#[cold]
fn failed(error: postcard::Error) -> Error {
    Error::Codec { codec: "stream", what: error.to_string() }
}
