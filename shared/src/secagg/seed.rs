//! All secrets of one attempt, from one fresh seed. [core]
//!
//! The caller draws 32 bytes from the operating system for every attempt and hands them over; everything secret in the
//! attempt is expanded from them, each part under a label of its own. 256 bits of entropy from end to end.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::agreement::SecretKey;

/// 32 fresh secret bytes for one attempt. Does not print, is not serialisable, is wiped on drop.
pub struct SessionSeed(Zeroizing<[u8; 32]>);

impl SessionSeed {
    /// From 32 bytes of the operating system's generator, never used before.
    pub fn from_entropy(entropy: [u8; 32]) -> Self {
        SessionSeed(Zeroizing::new(entropy))
    }

    fn expand(&self, label: &str) -> Zeroizing<[u8; 32]> {
        let mut part = Zeroizing::new([0; 32]);
        Hkdf::<Sha256>::new(None, &*self.0)
            .expand(label.as_bytes(), &mut *part)
            .expect("32 bytes are less than HKDF's limit of 255 blocks");
        part
    }

    /// The key that shares are encrypted to.
    pub fn encryption_key(&self) -> SecretKey {
        SecretKey::from_bytes(&self.expand("guildhall secagg encryption key v1"))
    }

    /// The key that pairwise masks are agreed with.
    pub fn mask_key(&self) -> SecretKey {
        SecretKey::from_bytes(&self.expand("guildhall secagg mask key v1"))
    }

    /// b, the seed of the own mask.
    pub fn self_mask_seed(&self) -> Zeroizing<[u8; 32]> {
        self.expand("guildhall secagg self-mask seed v1")
    }

    /// Uniform bytes for the draw of holders.
    pub fn holders(&self) -> ByteStream {
        ByteStream::new(&self.expand("guildhall secagg holders v1"))
    }

    /// Shamir coefficients: t − 1 vectors of 64 bytes, for mask key and seed together.
    pub fn coefficients(&self, threshold: usize) -> Zeroizing<Vec<[u8; 64]>> {
        let mut stream = ByteStream::new(&self.expand("guildhall secagg coefficients v1"));
        let mut coefficients = Zeroizing::new(vec![[0; 64]; threshold.saturating_sub(1)]);
        coefficients.iter_mut().for_each(|coefficient| stream.fill(coefficient));
        coefficients
    }
}

impl std::fmt::Debug for SessionSeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionSeed")
    }
}

/// An endless stream of uniform bytes: ChaCha20 (RFC 8439) with a zero nonce, from counter 0.
pub struct ByteStream(ChaCha20);

impl ByteStream {
    fn new(key: &Zeroizing<[u8; 32]>) -> Self {
        ByteStream(ChaCha20::new((&**key).into(), &[0; 12].into()))
    }

    /// The next bytes.
    pub fn fill(&mut self, out: &mut [u8]) {
        self.0.write_keystream(out);
    }

    /// A uniform number below `bound`, which is at least 1, by rejection: the next two bytes, little endian, until they are
    /// below the largest multiple of `bound` that is at most 2^16.
    pub fn below(&mut self, bound: u16) -> u16 {
        let limit = (1u32 << 16) / u32::from(bound) * u32::from(bound);
        loop {
            let mut bytes = [0; 2];
            self.fill(&mut bytes);
            let word = u16::from_le_bytes(bytes);
            if u32::from(word) < limit {
                return word % bound;
            }
        }
    }
}

#[cfg(test)]
mod tests;
