//! Random numbers that can be drawn once more: by a seed that is printed.

use std::time::Duration;

/// xorshift64*.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// The seed of `INPLACE_SEED`, or one nobody chose; printed, so that a failure can be repeated.
    pub fn seed(what: &str) -> u64 {
        let chosen = std::env::var("INPLACE_SEED").ok().and_then(|text| text.parse().ok());
        let seed = chosen.unwrap_or_else(|| {
            std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 & 0xffff_ffff
        });
        println!("{what}: INPLACE_SEED={seed}");
        seed
    }

    pub fn draw(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    /// Numbers of their own, for one draw of these: however many are drawn there, these go on the same.
    pub fn split(&mut self) -> Self {
        Self::new(self.draw())
    }

    /// The seed of the `number`th of those who share a seed.
    pub fn derive(seed: u64, number: u64) -> u64 {
        let mut mixed =
            seed.wrapping_add(number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw() % limit
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    pub fn micros(&mut self, limit: u64) -> Duration {
        Duration::from_micros(self.below(limit))
    }
}

/// Bytes that nobody chose.
pub fn bytes(seed: u64, most: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let len = random.below(most + 1);
    (0..len).map(|_| random.draw() as u8).collect()
}
