//! Which shoppers enter a round: an independent, keyed coin for each. [core]
//!
//! # Privacy
//! The coin of a shopper depends on its own key, the merchant's secret, and public facts about the round; never on
//! another shopper and never on a count. Everybody whose coin falls enters: there is no truncation to a maximum, which
//! would let one shopper push another out. A merchant who alone knows the key can repeat its coins, nobody else can.

use guildhall_shared::digest::Digest;
use guildhall_shared::id::RoundId;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use zeroize::ZeroizeOnDrop;

use crate::data::observations::ShopperKey;

const LABEL: &[u8] = b"guildhall participation v1";

/// The merchant's secret that its shoppers' coins are drawn with. Never leaves the merchant.
#[derive(Clone, ZeroizeOnDrop)]
pub struct ParticipationKey([u8; 32]);

impl ParticipationKey {
    /// Wraps 32 secret bytes, drawn once from the operating system.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        ParticipationKey(bytes)
    }
}

/// The coins of one round.
pub struct Participation {
    keyed: Hmac<Sha256>,
    rate: f64,
}

impl Participation {
    /// Coins that fall with probability `rate`: 1 or more lets everybody in, 0, less or NaN nobody.
    pub fn new(key: &ParticipationKey, job: Digest, round: RoundId, rate: f64) -> Self {
        let mut keyed = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes keys of every length");
        keyed.update(LABEL);
        keyed.update(&job.0);
        keyed.update(&round.round.to_le_bytes());
        keyed.update(&round.attempt.to_le_bytes());
        Participation { keyed, rate }
    }

    /// Whether this shopper enters the round.
    pub fn enters(&self, shopper: ShopperKey) -> bool {
        if self.rate >= 1.0 {
            return true;
        }
        let mut mac = self.keyed.clone();
        mac.update(&shopper.0);
        let tag = mac.finalize().into_bytes();
        let mut word = [0u8; 8];
        word.copy_from_slice(&tag[..8]);
        // The upper 53 bits are an exact number in [0, 1).
        ((u64::from_le_bytes(word) >> 11) as f64) / ((1u64 << 53) as f64) < self.rate
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn coins(secret: u8, job: &str, round: u32, attempt: u32, rate: f64) -> Vec<bool> {
        let key = ParticipationKey::from_bytes([secret; 32]);
        let round = RoundId { round, attempt };
        let coins = Participation::new(&key, Digest::of(job, &[]), round, rate);
        (0..20_000u64).map(|u| coins.enters(ShopperKey(u128::from(u).to_le_bytes()))).collect()
    }

    #[test]
    fn the_rate_is_kept() {
        // Binomial(20000, 0.3): standard deviation 64.8; six of them are passed by chance once in 5·10^8.
        let entered = coins(1, "job", 0, 0, 0.3).iter().filter(|x| **x).count() as f64;
        assert!((entered - 6000.0).abs() < 6.0 * 64.8, "{entered}");
    }

    #[test]
    fn everybody_and_nobody() {
        assert!(coins(1, "job", 0, 0, 1.0).iter().all(|x| *x));
        assert!(!coins(1, "job", 0, 0, 0.0).iter().any(|x| *x));
        assert!(!coins(1, "job", 0, 0, f64::NAN).iter().any(|x| *x));
    }

    #[test]
    fn coins_repeat_and_are_independent_of_each_of_their_inputs() {
        let first = coins(1, "job", 3, 0, 0.5);
        assert_eq!(first, coins(1, "job", 3, 0, 0.5));
        for other in [
            coins(2, "job", 3, 0, 0.5),
            coins(1, "jo", 3, 0, 0.5),
            coins(1, "job", 4, 0, 0.5),
            coins(1, "job", 3, 1, 0.5),
        ] {
            // Agreement of independent fair coins: mean 10000, standard deviation 70.7.
            let agree = first.iter().zip(&other).filter(|(a, b)| a == b).count() as f64;
            assert!((agree - 10_000.0).abs() < 6.0 * 70.7, "{agree}");
        }
    }

    #[test]
    fn a_greater_rate_only_adds_shoppers() {
        let (few, many) = (coins(1, "job", 0, 0, 0.2), coins(1, "job", 0, 0, 0.6));
        assert!(few.iter().zip(&many).all(|(few, many)| !few || *many));
    }
}
