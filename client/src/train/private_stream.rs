//! Randomness that belongs to one shopper: which values are hidden from it, which items it is shown as counterexamples. [core]
//!
//! # Privacy
//! A shopper's stream depends on its own key, the merchant's secret and public facts about the round; never on another
//! shopper, so whoever else is there, it draws the same.

use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit as _, StreamCipher as _};
use guildhall_shared::id::RoundId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::data::observations::ShopperKey;
use crate::model::sequence::real::Real;

const LABEL: &[u8] = b"guildhall shopper stream v1";
/// Bytes drawn from the cipher at a time.
const BUFFER: usize = 256;

/// The streams of one round.
#[derive(Clone)]
pub(super) struct PrivateStreams {
    keyed: Hmac<Sha256>,
}

impl PrivateStreams {
    pub(super) fn new(secret: &[u8; 32], round: RoundId) -> Self {
        let mut keyed = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of every length");
        keyed.update(LABEL);
        keyed.update(&round.round.to_le_bytes());
        keyed.update(&round.attempt.to_le_bytes());
        PrivateStreams { keyed }
    }

    pub(super) fn of(&self, shopper: ShopperKey) -> ShopperStream {
        let mut mac = self.keyed.clone();
        mac.update(&shopper.0);
        let key: [u8; 32] = mac.finalize().into_bytes().into();
        ShopperStream {
            cipher: ChaCha20::new((&key).into(), &[0; 12].into()),
            buffer: [0; BUFFER],
            used: BUFFER,
        }
    }
}

/// An endless stream of uniform bits: ChaCha20 (RFC 8439) with a zero nonce, from block 0.
pub(super) struct ShopperStream {
    cipher: ChaCha20,
    buffer: [u8; BUFFER],
    used: usize,
}

impl ShopperStream {
    pub(super) fn word(&mut self) -> u32 {
        if self.used + 4 > BUFFER {
            // A stream ends after 2^38 bytes, which no shopper draws; zeros would follow, and no panic.
            self.buffer.fill(0);
            let _ = self.cipher.try_apply_keystream(&mut self.buffer);
            self.used = 0;
        }
        let mut word = [0; 4];
        word.copy_from_slice(&self.buffer[self.used..self.used + 4]);
        self.used += 4;
        u32::from_le_bytes(word)
    }

    /// A uniform number below `end`, by rejection.
    pub(super) fn below(&mut self, end: u32) -> u32 {
        let end = end.max(1);
        let limit = u32::MAX - (u32::MAX % end + 1) % end;
        loop {
            let word = self.word();
            if word <= limit {
                return word % end;
            }
        }
    }

    /// Writes 0 for what is hidden and 1/(1 − share) for what is not.
    pub(super) fn hide<T: Real>(&mut self, share: f64, out: &mut [T]) {
        let kept = T::from_f64(1.0 / (1.0 - share));
        out.iter_mut().for_each(|x| *x = if self.happens(share) { T::zero() } else { kept });
    }

    /// Whether an event of this probability happens.
    pub(super) fn happens(&mut self, probability: f64) -> bool {
        f64::from(self.word()) < probability * f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(secret: u8, round: u32, attempt: u32, shopper: u8) -> ShopperStream {
        PrivateStreams::new(&[secret; 32], RoundId { round, attempt }).of(ShopperKey([shopper; 16]))
    }

    #[test]
    fn a_stream_repeats_and_depends_on_each_of_its_inputs() {
        let words = |mut stream: ShopperStream| (0..200).map(|_| stream.word()).collect::<Vec<_>>();
        let first = words(stream(1, 2, 3, 4));
        assert_eq!(first, words(stream(1, 2, 3, 4)));
        for other in [stream(2, 2, 3, 4), stream(1, 3, 3, 4), stream(1, 2, 4, 4), stream(1, 2, 3, 5)] {
            // 200 pairs of words: one is equal by chance once in 2·10^7.
            assert!(first.iter().zip(words(other)).all(|(a, b)| *a != b));
        }
    }

    #[test]
    fn numbers_are_uniform_below_their_end() {
        let mut stream = stream(1, 0, 0, 0);
        let mut counts = [0u32; 7];
        (0..70_000).for_each(|_| counts[stream.below(7) as usize] += 1);
        // Binomial(70000, 1/7): standard deviation 92.6; six of them are passed by chance once in 5·10^8.
        assert!(counts.iter().all(|n| n.abs_diff(10_000) < 556), "{counts:?}");
        assert_eq!((stream.below(1), stream.below(0)), (0, 0));
    }

    #[test]
    fn events_happen_as_often_as_they_should() {
        let mut stream = stream(1, 0, 0, 0);
        let count = (0..40_000).filter(|_| stream.happens(0.2)).count();
        // Binomial(40000, 0.2): standard deviation 80; six of them are passed by chance once in 5·10^8.
        assert!(count.abs_diff(8_000) < 480, "{count}");
        assert!((0..1000).all(|_| !stream.happens(0.0)));
    }
}
