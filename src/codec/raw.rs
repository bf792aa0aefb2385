//! Bytes as they are.

use crate::codec::{Codec, Contained, Decoded};
use crate::connector::{Block, BlockWriter};
use crate::error::Result;
use crate::fingerprint::Fingerprint;

/// The identity codec: bytes in, the same bytes in place out. For data that is serialized already.
///
/// ```
/// use inplace::codec::{Codec, Raw};
/// use inplace::connector::Block;
/// use inplace::Fingerprint;
///
/// let block = Block::from_heap(b"\x89PNG"[..].into(), Fingerprint::BYTES);
/// let bytes = <Raw as Codec<[u8]>>::decode(block).unwrap();
/// assert_eq!(*bytes, b"\x89PNG"[..]);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw;

macro_rules! bytes {
    ($($bytes:ty),*) => {$(
        impl Codec<$bytes> for Raw {
            type Target = [u8];
            const FINGERPRINT: Fingerprint = Fingerprint::BYTES;
            const CONTAINED: Contained = Contained(true);

            fn type_name() -> String {
                "bytes".into()
            }

            #[inline]
            fn size_hint(&self, value: &$bytes) -> usize {
                value.len()
            }

            #[inline]
            fn encode(&self, value: &$bytes, out: &mut BlockWriter<'_>) -> Result<()> {
                out.write(value);
                Ok(())
            }

            #[inline]
            fn decode(block: Block) -> Result<Decoded<[u8]>> {
                Decoded::project(block, |bytes| Ok(bytes))
            }
        }
    )*};
}

bytes!([u8], Vec<u8>, bytes::Bytes);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::testing::stored;

    #[test]
    fn bytes_come_back_as_they_were() {
        for bytes in [&b""[..], b"x", &[7; 10_000]] {
            let view = <Raw as Codec<[u8]>>::decode(stored(Raw, bytes)).unwrap();
            assert_eq!(&*view, bytes);
        }
    }

    #[test]
    fn vectors_and_slices_of_bytes_are_one_type() {
        let view = <Raw as Codec<[u8]>>::decode(stored(Raw, &vec![1_u8, 2])).unwrap();
        assert_eq!(*view, [1, 2]);
    }
}
