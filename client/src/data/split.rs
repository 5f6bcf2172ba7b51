//! Who is drawn for what: hashes of a shopper's key, never of what the shopper did. [core]

use guildhall_shared::digest::Digest;
use guildhall_shared::id::Name;

use super::observations::ShopperKey;

/// Whether a shopper's training rows also serve for tuning local baselines: a fifth of the shoppers.
pub fn validates(shopper: ShopperKey) -> bool {
    first_word(&Digest::of("guildhall validation v1", &[&shopper.0])).is_multiple_of(5)
}

/// Whether a merchant knows a shopper when it knows only a share of them. Independent between merchants and between draws;
/// a greater share of the same draw knows the same shoppers and more.
pub fn is_known(shopper: ShopperKey, merchant: &Name, share: f64, draw: u64) -> bool {
    let digest = Digest::of(
        "guildhall known shoppers v1",
        &[merchant.as_str().as_bytes(), &draw.to_le_bytes(), &shopper.0],
    );
    // 53 bits of the digest as a number in [0, 1).
    ((first_word(&digest) >> 11) as f64) / ((1u64 << 53) as f64) < share
}

/// Which of `merchants` merchants has a shopper, where a simulation deals shoppers out.
pub fn merchant(shopper: ShopperKey, merchants: u32) -> u32 {
    (first_word(&Digest::of("guildhall merchant of a shopper v1", &[&shopper.0]))
        % u64::from(merchants.max(1))) as u32
}

fn first_word(digest: &Digest) -> u64 {
    digest.0[..8].iter().fold(0, |word, byte| (word << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shoppers() -> impl Iterator<Item = ShopperKey> {
        (0..10_000).map(ShopperKey::of_row)
    }

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    #[test]
    fn a_fifth_validates() {
        // Fixed hashes: the count never changes. 5 standard deviations of a fair draw are 200.
        let count = shoppers().filter(|s| validates(*s)).count();
        assert!((1_800..=2_200).contains(&count), "{count}");
    }

    #[test]
    fn shares_grow_and_draws_differ() {
        let known = |merchant: &str, share, draw| -> Vec<ShopperKey> {
            shoppers().filter(|s| is_known(*s, &name(merchant), share, draw)).collect()
        };
        let tenth = known("grocery", 0.1, 0);
        assert!((850..=1_150).contains(&tenth.len()), "{}", tenth.len());
        let third = known("grocery", 0.3, 0);
        assert!(tenth.iter().all(|s| third.contains(s)));
        // Independent draws share a tenth of a tenth.
        for other in [known("grocery", 0.1, 1), known("deli", 0.1, 0)] {
            let both = tenth.iter().filter(|s| other.contains(s)).count();
            assert!((50..=150).contains(&both), "{both}");
        }
        assert_eq!(known("grocery", 1.0, 5).len(), 10_000);
        assert!(known("grocery", 0.0, 5).is_empty());
    }
}
