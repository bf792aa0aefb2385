//! Writes what the fuzzers start from: values and texts that are right.

#[path = "../../../tests/support/buckets.rs"]
mod buckets;
#[path = "../../../tests/support/hostile.rs"]
mod hostile;
#[path = "../../../tests/support/payloads.rs"]
mod payloads;
#[path = "../../../tests/support/wire.rs"]
mod wire;

use std::path::Path;

// Everything here is built with counters, and libFuzzer has what they call.
libfuzzer_sys::fuzz_target!(|_bytes: &[u8]| {});

fn write(corpus: &Path, target: &str, seeds: impl IntoIterator<Item = Vec<u8>>) {
    let folder = corpus.join(target);
    std::fs::create_dir_all(&folder).unwrap();
    for (at, seed) in seeds.into_iter().enumerate() {
        std::fs::write(folder.join(format!("seed-{at}")), seed).unwrap();
    }
}

fn main() {
    let corpus = std::env::args().nth(1).expect("the folder of the corpus");
    let corpus = Path::new(&corpus);
    let name = format!("fuzz-seeds-{}", std::process::id());
    let image = hostile::Image::new(&name);
    let header = |how: u8| [&[how], &image.bytes()[..384]].concat();
    write(corpus, "file", [header(0), [&[1, 0, 0, 0], &image.bytes()[..384]].concat(), header(2)]);
    write(
        corpus,
        "control",
        (0..20).map(|step| vec![1, step, 3, step, 0, 7, step, 4, 0, step, 1, 2]),
    );
    let with_kind = |kind| [&[kind, 0], &payloads::valid(kind)[..]].concat();
    write(corpus, "payload", (0..payloads::KINDS).map(with_kind));
    write(corpus, "wire", wire::right());
    let names = [vec![("name", 1 << 24 | 1)], vec![("a", 1), ("name", 5), ("größe", 0)]];
    write(corpus, "names", names.iter().map(|names| buckets::bytes_of(names)));
}
