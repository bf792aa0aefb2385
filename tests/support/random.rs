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
