//! What is sent: numbers that follow each other, from one that tells messages apart.

pub const SMALL: usize = 64;
pub const LARGE: usize = 1 << 20;

/// Writes the whole message.
#[inline]
pub fn fill(bytes: &mut [u8], first: u64) {
    for (at, word) in bytes.chunks_exact_mut(8).enumerate() {
        word.copy_from_slice(&first.wrapping_add(at as u64).to_le_bytes());
    }
}

/// Reads the whole message; its first number.
#[inline]
pub fn read(bytes: &[u8]) -> u64 {
    let number = |word: &[u8]| u64::from_le_bytes(word.try_into().expect("eight bytes"));
    let (words, count) = (bytes.chunks_exact(8), bytes.len() as u64 / 8);
    let first = number(&bytes[..8]);
    let sum = words.map(number).fold(0, u64::wrapping_add);
    assert_eq!(sum, first.wrapping_mul(count).wrapping_add(count * (count - 1) / 2));
    first
}
