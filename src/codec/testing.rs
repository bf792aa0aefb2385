//! What the codecs' tests share.

use std::mem::MaybeUninit;
use std::sync::Arc;

use crate::codec::Codec;
use crate::connector::{Block, BlockWriter};
use crate::fingerprint::Fingerprint;

/// The bytes `codec` makes of `value`, counted first and then written into a block of exactly that size.
pub(crate) fn encoded<T: ?Sized, C: Codec<T>>(codec: C, value: &T) -> Vec<u8> {
    let mut counter = BlockWriter::new(&mut []);
    codec.encode(value, &mut counter).unwrap();
    let mut cells = vec![MaybeUninit::new(0xEE); counter.position()];
    let mut out = BlockWriter::new(&mut cells);
    codec.encode(value, &mut out).unwrap();
    assert!(out.fits(), "the counted size is the size needed");
    assert_eq!(out.position(), cells.len(), "and no larger");
    // SAFETY: every cell started initialised.
    cells.iter().map(|cell| unsafe { cell.assume_init() }).collect()
}

/// A block of `bytes`.
pub(crate) fn block(bytes: &[u8], fingerprint: Fingerprint) -> Block {
    Block::from_heap(Arc::from(bytes), fingerprint)
}

/// `value` encoded into a block.
pub(crate) fn stored<T: ?Sized, C: Codec<T>>(codec: C, value: &T) -> Block {
    block(&encoded(codec, value), C::FINGERPRINT)
}
