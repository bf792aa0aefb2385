//! Codecs of a program's own: one that stores bytes as they are, and one that compresses what another codec makes.
//!
//! ```text
//! cargo run --release --example codecs
//! ```

use std::marker::PhantomData;
use std::time::{Duration, Instant};

use inplace::codec::{Archive, Codec, Decoded, Serde, to_vec};
use inplace::connector::{Block, BlockWriter};
use inplace::{Error, Fingerprint, Result, Store, storable};

/// The identity: text that is JSON already goes in and comes out as it is, in place.
#[derive(Debug, Clone, Copy, Default)]
struct Json;

impl Codec<str> for Json {
    type Target = str;
    const FINGERPRINT: Fingerprint = Fingerprint::of("example::json");

    fn type_name() -> String {
        "JSON text".into()
    }

    fn size_hint(&self, value: &str) -> usize {
        value.len()
    }

    fn encode(&self, value: &str, out: &mut BlockWriter<'_>) -> Result<()> {
        out.write(value.as_bytes());
        Ok(())
    }

    fn decode(block: Block) -> Result<Decoded<str>> {
        // Every use looks at the bytes again. A codec whose check is dear could look once and return `Decoded::owned`.
        Decoded::project(block, |bytes| {
            std::str::from_utf8(bytes)
                .map_err(|error| Error::Codec { codec: "json", what: error.to_string() })
        })
    }
}

/// LZ4 around another codec. What is resolved is what the other one makes, of bytes on the heap; the store keeps them for
/// the next get.
#[derive(Debug, Clone, Copy)]
struct Lz4<C>(PhantomData<fn() -> C>);

impl<C> Default for Lz4<C> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: ?Sized, C: Codec<T>> Codec<T> for Lz4<C> {
    type Target = C::Target;
    /// Compressed or not, it must not be taken for the other.
    const FINGERPRINT: Fingerprint = C::FINGERPRINT.with_str("example::lz4");

    fn type_name() -> String {
        format!("Lz4<{}>", C::type_name())
    }

    /// Half of it, at first: the store learns how much it is from what it has put.
    fn size_hint(&self, value: &T) -> usize {
        C::default().size_hint(value) / 2
    }

    fn encode(&self, value: &T, out: &mut BlockWriter<'_>) -> Result<()> {
        let plain = to_vec(C::default(), value)?;
        out.write(&lz4_flex::compress_prepend_size(&plain));
        Ok(())
    }

    fn decode(block: Block) -> Result<Decoded<C::Target>> {
        let failed = |error: lz4_flex::block::DecompressError| Error::Codec {
            codec: "lz4",
            what: error.to_string(),
        };
        // Bytes are not trusted: the length they claim is believed only as far as LZ4 can compress.
        let (length, compressed) = lz4_flex::block::uncompressed_size(&block).map_err(failed)?;
        if length > compressed.len().saturating_mul(255) {
            return Err(Error::Codec { codec: "lz4", what: format!("{length} bytes are claimed") });
        }
        let plain = lz4_flex::decompress(compressed, length).map_err(failed)?;
        C::decode(Block::from_heap(plain.into(), C::FINGERPRINT)).map(Decoded::made_anew)
    }
}

#[storable]
struct Report {
    title: String,
    lines: Vec<String>,
}

fn main() -> Result<()> {
    let store = Store::builder("codecs").metrics(true).open()?;

    let json = store.proxy_as(Json, r#"{"answer": 42}"#)?;
    println!("{} comes back as {}", json.key(), &*json);

    let lines = (0..20_000).map(|line| format!("line {line} says what line {} said", line / 2));
    let report = Report { title: "repetitive".into(), lines: lines.collect() };
    let plain = store.put(&report)?;
    let small = store.put_as(Lz4::<Archive>::default(), &report)?;
    for (key, how) in [(plain, "archived"), (small, "archived and compressed")] {
        let bytes = store.connector().get(key)?.map_or(0, |block| block.len());
        println!("{how}: {bytes} bytes in shared memory");
    }

    let get = || -> Result<Duration> {
        let begin = Instant::now();
        let view =
            store.get_as::<Lz4<Archive>, Report>(small)?.ok_or(Error::NotFound { key: small })?;
        assert!(view.title == "repetitive" && view.lines.len() == report.lines.len());
        Ok(begin.elapsed())
    };
    println!("decompressed in {:?}, and kept: then {:?}", get()?, get()?);
    assert!(store.get::<Report>(small).is_err(), "compressed is another type");

    // It goes around any codec.
    let words: Vec<String> = "to be or not to be".split(' ').map(str::to_owned).collect();
    let wrapped = store.proxy_as(Lz4::<Serde>::default(), &words)?;
    assert_eq!(*wrapped, words);

    if let Some(metrics) = store.metrics() {
        println!("cache: {} hits, {} misses", metrics.cache_hits, metrics.cache_misses);
    }
    store.close()
}
