//! The random bits: ChaCha20 (RFC 8439) under the seed as key. [core]

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use zeroize::Zeroizing;

use crate::SamplerError;

/// 32 fresh secret bytes. Does not print, is not serialisable, cannot be copied, is wiped on drop.
pub struct Seed(Zeroizing<[u8; 32]>);

impl Seed {
    /// From 32 bytes of the operating system's generator, never used before.
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        Seed(Zeroizing::new(entropy))
    }

    fn stream(&self, number: u8) -> ChaCha20 {
        let mut nonce = [0; 12];
        nonce[0] = number;
        ChaCha20::new((&*self.0).into(), &nonce.into())
    }
}

/// The attempts' own bytes: nonce 0, from block 0.
pub(crate) struct Attempts(ChaCha20);

impl Attempts {
    pub(crate) fn new(seed: &Seed) -> Self {
        Attempts(seed.stream(0))
    }

    pub(crate) fn fill(&mut self, bytes: &mut [u8]) -> Result<(), SamplerError> {
        self.0.try_write_keystream(bytes).map_err(|_| SamplerError::StreamExhausted)
    }
}

/// Further words of 64 bits, little endian, for the few attempts that need some: nonce 1, from block 0.
pub(crate) struct FurtherWords(ChaCha20);

impl FurtherWords {
    pub(crate) fn new(seed: &Seed) -> Self {
        FurtherWords(seed.stream(1))
    }

    pub(crate) fn next(&mut self) -> Result<u64, SamplerError> {
        let mut word = Zeroizing::new([0; 8]);
        self.0.try_write_keystream(&mut *word).map_err(|_| SamplerError::StreamExhausted)?;
        Ok(u64::from_le_bytes(*word))
    }
}

#[cfg(test)]
impl FurtherWords {
    pub(crate) fn stream(&self) -> &ChaCha20 {
        &self.0
    }
}
