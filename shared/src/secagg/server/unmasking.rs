//! M9 in, the sum out: enough shares take the masks off the sum, and off nothing else. Sections 8.11 and 8.12 of
//! `docs/protocol.md`. [core]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::collecting::Collecting;
use super::fault::{Fault, check_session};
use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::message::{DealtShare, RevealedShare, Shares, Unmask};
use crate::ring::{RingVector, Sign};
use crate::secagg::agreement::{SecretKey, self_mask};
use crate::secagg::client::pair_sign;
use crate::secagg::mask::MaskSet;
use crate::secagg::transcript::{self, Secret};
use crate::secagg::{Facts, Graph, shamir};

/// What a merchant did that the server can prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misdeed {
    /// It revealed a share that is not the one the dealer published the hash of.
    WrongShare,
    /// Its shares, all as published, do not add up to the secret it committed itself to.
    BadDealing,
}

/// Who, and what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Culprit {
    /// Who.
    pub merchant: MerchantIndex,
    /// What.
    pub misdeed: Misdeed,
}

/// The sum is not unmasked: there is no result, never a wrong one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnmaskError {
    /// Too few good shares of one dealer's secret.
    #[error("expected at least {expected} good shares of merchant {dealer}, found {found}")]
    TooFewShares {
        /// The dealer's name.
        dealer: String,
        /// Fewest.
        expected: u32,
        /// Found.
        found: u32,
    },
    /// The sum was handed out before.
    #[error("expected one unmasking of this attempt, found a second")]
    Finished,
    /// A dealer's shares do not give what it committed itself to.
    #[error("merchant {dealer} dealt shares of something else than it committed itself to")]
    Dealer {
        /// The dealer's name.
        dealer: String,
    },
}

/// The sum without masks.
#[derive(Clone, Debug, PartialEq)]
pub struct Unmasked {
    /// Σ (x + e) over U3.
    pub sum: RingVector,
    /// U3, ascending.
    pub survivors: BTreeSet<MerchantIndex>,
}

/// Shares of the secrets that take the masks off come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Unmasking {
    collected: Collecting,
    /// The masked sum, until it is unmasked.
    sum: Option<RingVector>,
    survivors: Digest,
    answered: BTreeSet<MerchantIndex>,
    /// Good shares by dealer: (point, share), of its seed if it survived, else of its mask key.
    good: BTreeMap<MerchantIndex, BTreeMap<u8, RevealedShare>>,
    culprits: BTreeSet<Culprit>,
}

impl Unmasking {
    pub(super) fn new(mut collected: Collecting, survivors: Digest) -> Self {
        let sum = Some(collected.take_sum());
        let good = collected.members().map(|dealer| (dealer, BTreeMap::new())).collect();
        Unmasking { collected, sum, survivors, answered: BTreeSet::new(), good, culprits: BTreeSet::new() }
    }

    /// U3.
    pub fn survivors(&self) -> impl Iterator<Item = MerchantIndex> {
        self.collected.contributors()
    }

    /// Who answered.
    pub fn answered(&self) -> &BTreeSet<MerchantIndex> {
        &self.answered
    }

    /// Whoever provably misbehaved so far.
    pub fn culprits(&self) -> &BTreeSet<Culprit> {
        &self.culprits
    }

    /// Takes an M9. Shares that are not as published are left out, and their responder is a culprit.
    ///
    /// # Errors
    /// [`Fault`]; nothing changed.
    pub fn receive(&mut self, from: MerchantIndex, message: &Unmask) -> Result<(), Fault> {
        let facts = self.collected.facts();
        let stranger = Fault::Stranger { expected: "sent an update in time" };
        let survivor = self.collected.updates.contains_key(&from);
        let identity = facts.identity(from).filter(|_| survivor).ok_or(stranger)?;
        check_session(facts.sid, message.sid)?;
        if self.answered.contains(&from) {
            return Err(Fault::Repeated { message: "Unmask" });
        }
        let Unmask { seeds, mask_keys, signature, .. } = message;
        self.check_dealers(from, seeds, mask_keys)?;
        transcript::verify_unmask(&facts.sid, &self.survivors, seeds, mask_keys, identity, signature)?;
        let of = |secret| move |share| (secret, share);
        let all: Vec<(Secret, &RevealedShare)> =
            seeds.iter().map(of(Secret::Seed)).chain(mask_keys.iter().map(of(Secret::MaskKey))).collect();
        for (secret, share) in all {
            self.take_share(from, secret, share);
        }
        self.answered.insert(from);
        Ok(())
    }

    /// Exactly one share of every dealer that chose the responder, of the secret the survivors ask for.
    fn check_dealers(
        &self,
        from: MerchantIndex,
        seeds: &[RevealedShare],
        mask_keys: &[RevealedShare],
    ) -> Result<(), Fault> {
        let listed = |shares: &[RevealedShare]| shares.iter().map(|share| share.dealer).collect::<Vec<_>>();
        let expected = |survived: bool| -> Vec<MerchantIndex> {
            let dealers = self.collected.members().filter(|dealer| self.place(*dealer, from).is_some());
            dealers.filter(|dealer| self.collected.updates.contains_key(dealer) == survived).collect()
        };
        if listed(seeds) != expected(true) {
            return Err(Fault::Dealers("the seeds are not those of the survivors"));
        }
        if listed(mask_keys) != expected(false) {
            return Err(Fault::Dealers("the mask keys are not those of the dropped"));
        }
        Ok(())
    }

    /// The holder's place among a dealer's holders.
    fn place(&self, dealer: MerchantIndex, holder: MerchantIndex) -> Option<usize> {
        match self.collected.facts().secagg.graph {
            Graph::Complete => self.collected.sharing.members().position(|member| member == holder),
            Graph::Sparse { .. } => {
                self.dealt(dealer)?.shares.binary_search_by_key(&holder, |share| share.peer).ok()
            }
        }
    }

    fn dealt(&self, dealer: MerchantIndex) -> Option<&Shares> {
        self.collected.sharing.dealt.get(&dealer)
    }

    fn take_share(&mut self, from: MerchantIndex, secret: Secret, share: &RevealedShare) {
        let (Some(place), Some(dealt)) = (self.place(share.dealer, from), self.dealt(share.dealer)) else {
            return;
        };
        let published = if share.dealer == from {
            dealt.own
        } else {
            let found = dealt.shares.binary_search_by_key(&from, |share| share.peer).ok();
            found.and_then(|place| dealt.shares.get(place)).map(|share: &DealtShare| share.hashes)
        };
        let sid = self.collected.facts().sid;
        let found = transcript::share_hash(&sid, share.dealer, from, secret, &share.value);
        let expected = published.map(|hashes| match secret {
            Secret::Seed => hashes.seed,
            Secret::MaskKey => hashes.mask_key,
        });
        if expected != Some(found) {
            self.culprits.insert(Culprit { merchant: from, misdeed: Misdeed::WrongShare });
            return;
        }
        // Points are places from 1; there are at most 255 of them.
        let point = place as u8 + 1;
        self.good.entry(share.dealer).or_default().insert(point, share.clone());
    }

    /// Whether there are enough good shares of everything that is needed.
    pub fn is_complete(&self) -> bool {
        let threshold = self.collected.facts().secagg.share_threshold();
        self.good.values().all(|shares| shares.len() >= threshold)
    }

    /// Takes the masks off the sum.
    ///
    /// # Errors
    /// [`UnmaskError`], with everything known about who is to blame in [`Unmasking::culprits`].
    pub fn finish(&mut self) -> Result<Unmasked, UnmaskError> {
        let facts = Arc::clone(self.collected.facts());
        let mut masks = MaskSet::new(facts.sid, facts.secagg.generator);
        let survivors: BTreeSet<MerchantIndex> = self.collected.contributors().collect();
        let members: Vec<MerchantIndex> = self.collected.members().collect();
        for dealer in members {
            let secret = self.reconstruct(&facts, dealer)?;
            let proved = if survivors.contains(&dealer) {
                self.push_self_mask(&facts, dealer, &secret, &mut masks)
            } else {
                self.push_pair_masks(dealer, &secret, &survivors, &mut masks)
            };
            if !proved {
                self.culprits.insert(Culprit { merchant: dealer, misdeed: Misdeed::BadDealing });
                return Err(UnmaskError::Dealer { dealer: facts.name(dealer) });
            }
        }
        let mut sum = self.sum.take().ok_or(UnmaskError::Finished)?;
        masks.apply(&mut sum);
        Ok(Unmasked { sum, survivors })
    }

    fn reconstruct(&self, facts: &Facts, dealer: MerchantIndex) -> Result<Zeroizing<[u8; 32]>, UnmaskError> {
        let threshold = facts.secagg.share_threshold();
        let shares = self.good.get(&dealer).into_iter().flatten();
        let points: Vec<(u8, [u8; 32])> =
            shares.take(threshold).map(|(x, share)| (*x, share.value)).collect();
        if points.len() < threshold {
            return Err(UnmaskError::TooFewShares {
                dealer: facts.name(dealer),
                expected: threshold as u32,
                found: points.len() as u32,
            });
        }
        Ok(shamir::reconstruct(&points))
    }

    /// Whether the seed is the committed one; then its mask comes off.
    fn push_self_mask(
        &self,
        facts: &Facts,
        dealer: MerchantIndex,
        seed: &Zeroizing<[u8; 32]>,
        masks: &mut MaskSet,
    ) -> bool {
        let commitment = transcript::seed_commitment(&facts.sid, dealer, seed);
        if self.dealt(dealer).map(|dealt| dealt.commitment) != Some(commitment) {
            return false;
        }
        masks.push(self_mask(seed, &facts.sid, dealer), Sign::Subtract);
        true
    }

    /// Whether the key is the advertised one; then the masks it shares with survivors come off.
    fn push_pair_masks(
        &self,
        dealer: MerchantIndex,
        secret: &Zeroizing<[u8; 32]>,
        survivors: &BTreeSet<MerchantIndex>,
        masks: &mut MaskSet,
    ) -> bool {
        let key = SecretKey::from_bytes(secret);
        let advertised = &self.collected.sharing.members;
        if advertised.get(&dealer).map(|keys| keys.mask_key) != Some(key.public()) {
            return false;
        }
        for survivor in survivors.iter().filter(|survivor| self.are_peers(dealer, **survivor)) {
            let Some(keys) = advertised.get(survivor) else { return false };
            let Ok(mask) = key.pair_mask(&keys.mask_key, &self.collected.transcript, dealer, *survivor)
            else {
                return false;
            };
            masks.push(mask, pair_sign(*survivor, dealer).opposite());
        }
        true
    }

    fn are_peers(&self, one: MerchantIndex, other: MerchantIndex) -> bool {
        match self.collected.facts().secagg.graph {
            Graph::Complete => true,
            Graph::Sparse { .. } => self.place(one, other).is_some() || self.place(other, one).is_some(),
        }
    }
}
