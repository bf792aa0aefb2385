//! A codec that is in the middle of a value when its process is killed.

use inplace::Fingerprint;
use inplace::codec::{Codec, Decoded};
use inplace::connector::{Block, BlockWriter};

/// That of bytes; what is encoded after [`never_encode`] is never done.
#[derive(Debug, Clone, Copy, Default)]
pub struct Never;

impl Codec<[u8]> for Never {
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
        STAY.with(|stay| match stay.take() {
            Some(stay) => stay(),
            None => Ok(()),
        })
    }

    fn decode(block: Block) -> inplace::Result<Decoded<[u8]>> {
        Decoded::project(block, |bytes| Ok(bytes))
    }
}

thread_local! {
    static STAY: std::cell::Cell<Option<&'static dyn Fn() -> inplace::Result<()>>> =
        const { std::cell::Cell::new(None) };
}

/// The next value that this thread encodes with [`Never`] is written, and then it stays there.
pub fn never_encode(stay: &dyn Fn() -> inplace::Result<()>) {
    // SAFETY: it is called once, by who stays in the frame it lives in until it is killed.
    let stay: &'static dyn Fn() -> inplace::Result<()> = unsafe { std::mem::transmute(stay) };
    STAY.set(Some(stay));
}
