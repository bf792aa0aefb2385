//! Bytes that say themselves what they should be.

use std::sync::OnceLock;

const PATTERNS: usize = 64;
const PATTERN: usize = 4096;

fn patterns() -> &'static [[u8; PATTERN]; PATTERNS] {
    static TABLE: OnceLock<Box<[[u8; PATTERN]; PATTERNS]>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut random = super::random::Random::new(7);
        let mut table = Box::new([[0; PATTERN]; PATTERNS]);
        table.iter_mut().flatten().for_each(|byte| *byte = random.draw() as u8);
        table
    })
}

/// Makes the table of patterns, before forking.
pub fn prepare() {
    patterns();
}

fn header(seed: u16, len: usize) -> [u8; 8] {
    ((len as u64) << 16 | u64::from(seed)).to_le_bytes()
}

/// Fills `bytes` with what `seed` says: seed and length at both ends, a pattern between.
pub fn fill(seed: u16, bytes: &mut [u8]) {
    let (pattern, len) = (&patterns()[usize::from(seed) % PATTERNS], bytes.len());
    for chunk in bytes.chunks_mut(PATTERN) {
        chunk.copy_from_slice(&pattern[..chunk.len()]);
    }
    if len >= 16 {
        bytes[..8].copy_from_slice(&header(seed, len));
        bytes[len - 8..].copy_from_slice(&header(!seed, len));
    }
}

pub fn make(seed: u16, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fill(seed, &mut bytes);
    bytes
}

/// What is wrong with bytes that should have been made from `seed`, or from whatever seed they name.
pub fn blame(seed: Option<u16>, bytes: &[u8]) -> Option<String> {
    let len = bytes.len();
    let Some((head, rest)) = bytes.split_first_chunk::<8>().filter(|_| len >= 16) else {
        let pattern = &patterns()[usize::from(seed?) % PATTERNS][..len];
        return (bytes != pattern).then(|| format!("{len} short bytes are not of seed {seed:?}"));
    };
    let named = u16::from_le_bytes([head[0], head[1]]);
    if seed.is_some_and(|seed| seed != named) {
        return Some(format!("bytes of seed {named} were found instead of seed {seed:?}"));
    }
    if *head != header(named, len) || rest[len - 16..] != header(!named, len) {
        return Some(format!(
            "{len} bytes of seed {named} have the ends {head:?} {:?}",
            &rest[len - 16..]
        ));
    }
    let pattern = &patterns()[usize::from(named) % PATTERNS];
    let inner = |at: usize| at.max(8)..(at + PATTERN).min(len - 8);
    let wrong = (0..len).step_by(PATTERN).find(|&at| {
        let range = inner(at);
        range.start < range.end && bytes[range.clone()] != pattern[range.start - at..range.end - at]
    });
    wrong.map(|at| format!("{len} bytes of seed {named} are wrong in the page at {at}"))
}
