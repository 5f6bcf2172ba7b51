//! M3 out, M4 in: own secrets dealt, others' shares received. Sections 8.7 and 8.8 of `docs/protocol.md`. [core]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use zeroize::Zeroizing;

use super::advertising::Advertised;
use super::breach::{Breach, check_enough, check_order, check_session};
use super::masking::{HeldShare, Masking};
use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::identity::{IdentityKey, Signature};
use crate::message::{DealtShare, ForwardedShares, MemberKeys, ShareHashes, Shares};
use crate::secagg::agreement::{AgreementError, Route, SecretKey, SharePair};
use crate::secagg::seed::SessionSeed;
use crate::secagg::transcript::{self, Secret};
use crate::secagg::{Facts, Graph, SignedHead, Witness, graph, shamir};

/// The merchant dealt its shares and waits for those of the others.
pub struct Sharing {
    pub(super) facts: Arc<Facts>,
    pub(super) own: MerchantIndex,
    pub(super) seed: SessionSeed,
    encryption_key: SecretKey,
    pub(super) mask_key: SecretKey,
    /// U1.
    pub(super) members: BTreeMap<MerchantIndex, MemberKeys>,
    /// T1.
    pub(super) roster: Digest,
    /// Who holds this merchant's shares; in the complete graph itself too.
    pub(super) holders: Vec<MerchantIndex>,
    /// The share kept in the complete graph.
    own_share: Option<HeldShare>,
}

impl Sharing {
    pub(super) fn deal(
        advertised: Advertised,
        members: &[MemberKeys],
        witness: &Witness,
        identity: &IdentityKey,
    ) -> Result<(Self, Shares), Breach> {
        let Advertised { facts, own, seed, encryption_key, mask_key, .. } = advertised;
        let roster = transcript::roster_digest(&facts.sid, members);
        let listed: Vec<MerchantIndex> = members.iter().map(|member| member.merchant).collect();
        let members = members.iter().map(|member| (member.merchant, member.clone())).collect();
        let holders = graph::holders(facts.secagg.graph, &listed, own, &mut seed.holders());
        let mut sharing =
            Sharing { facts, own, seed, encryption_key, mask_key, members, roster, holders, own_share: None };
        sharing.check_holders_keys()?;
        let message = sharing.shares(witness, identity)?;
        Ok((sharing, message))
    }

    /// Nothing is encrypted to a key that its holder did not sign. The other members need no look: keys of those who deal to
    /// this merchant are in the T1 that they sign with their shares, and no other key is ever used. In the complete graph
    /// the holders are everybody.
    fn check_holders_keys(&self) -> Result<(), Breach> {
        let facts = &self.facts;
        for holder in &self.holders {
            let merchant = || facts.name(*holder);
            let stranger = || Breach::Stranger { message: "RoundRoster", merchant: merchant() };
            let member = self.members.get(holder).ok_or_else(stranger)?;
            let key = facts.identity(*holder).ok_or_else(stranger)?;
            transcript::verify_advertise(facts, member, key).map_err(|source| Breach::Signature {
                message: "RoundRoster",
                merchant: merchant(),
                source,
            })?;
        }
        Ok(())
    }

    /// M3: both secrets split as one, so that they share their points.
    fn shares(&mut self, witness: &Witness, identity: &IdentityKey) -> Result<Shares, Breach> {
        let facts = Arc::clone(&self.facts);
        let self_mask_seed = self.seed.self_mask_seed();
        let commitment = transcript::seed_commitment(&facts.sid, self.own, &self_mask_seed);
        let mut secret = Zeroizing::new([0; 64]);
        secret[..32].copy_from_slice(&*self.mask_key.to_secret());
        secret[32..].copy_from_slice(&*self_mask_seed);
        let coefficients = self.seed.coefficients(facts.secagg.share_threshold());
        let points = shamir::split(&secret, self.holders.len(), &coefficients);
        let (mut own_hashes, mut dealt) = (None, Vec::with_capacity(points.len()));
        for (holder, point) in self.holders.iter().copied().zip(&points) {
            let pair = halves(point);
            let hashes = hashes(&facts.sid, self.own, holder, &pair);
            if holder == self.own {
                own_hashes = Some(hashes);
                self.own_share = Some(HeldShare { dealer: holder, pair });
                continue;
            }
            dealt.push(self.seal(holder, &pair, hashes, witness.newest(holder), identity)?);
        }
        Ok(transcript::sign_shares(&facts.sid, &self.roster, commitment, own_hashes, dealt, identity))
    }

    fn seal(
        &self,
        holder: MerchantIndex,
        pair: &SharePair,
        hashes: ShareHashes,
        seen: Option<SignedHead>,
        identity: &IdentityKey,
    ) -> Result<DealtShare, Breach> {
        let facts = &self.facts;
        let route = Route { sid: &facts.sid, roster: &self.roster, dealer: self.own, holder };
        let key = self
            .share_key(holder, &route)
            .map_err(|source| Breach::Key { merchant: facts.name(holder), source })?;
        let sealed = key.seal(&route, pair);
        let signature = Signature([[0; 32]; 2]);
        let unsigned = DealtShare { peer: holder, sealed, hashes, seen, signature };
        Ok(transcript::sign_dealt_share(&facts.sid, &self.roster, self.own, unsigned, identity))
    }

    fn share_key(
        &self,
        peer: MerchantIndex,
        route: &Route<'_>,
    ) -> Result<crate::secagg::agreement::ShareKey, AgreementError> {
        // Members are checked before anything is dealt or opened; an unknown one has no key to agree with.
        let peer = self.members.get(&peer).ok_or(AgreementError::Sealed)?;
        self.encryption_key.share_key(&peer.encryption_key, route)
    }

    /// M4 in: who dealt, and the shares for this merchant, with what each dealer saw of its ledger. In the complete graph at
    /// least C + 1 merchants deal to it, so one of them at least is honest.
    ///
    /// # Errors
    /// [`Breach`]: a member that did not advertise, too few members, shares missing, changed or for somebody else. One that
    /// names a dealer carries a complaint to send.
    pub fn receive(mut self, forwarded: &ForwardedShares, identity: &IdentityKey) -> Result<Masking, Breach> {
        const MESSAGE: &str = "ForwardedShares";
        let facts = Arc::clone(&self.facts);
        check_session(MESSAGE, facts.sid, forwarded.sid)?;
        check_order(MESSAGE, forwarded.members.iter().copied(), facts.secagg.merchants)?;
        check_order(MESSAGE, forwarded.shares.iter().map(|share| share.peer), facts.secagg.merchants)?;
        check_enough(MESSAGE, facts.secagg.survivors_min, forwarded.members.len())?;
        let members: BTreeSet<MerchantIndex> = forwarded.members.iter().copied().collect();
        if let Some(stranger) = members.iter().find(|member| !self.members.contains_key(member)) {
            return Err(Breach::Stranger { message: MESSAGE, merchant: facts.name(*stranger) });
        }
        if !members.contains(&self.own) {
            return Err(Breach::Own { message: MESSAGE });
        }
        self.check_dealers(forwarded, &members)?;
        let mut held = Vec::with_capacity(forwarded.shares.len() + 1);
        for share in &forwarded.shares {
            held.push(self.open(share, identity)?);
        }
        held.extend(self.own_share.take());
        held.sort_by_key(|share| share.dealer);
        let seen = forwarded.shares.iter().filter_map(|share| share.seen).collect();
        Ok(Masking::new(self, forwarded.members.clone(), held, seen))
    }

    fn check_dealers(
        &self,
        forwarded: &ForwardedShares,
        members: &BTreeSet<MerchantIndex>,
    ) -> Result<(), Breach> {
        let outside = |share: &&DealtShare| share.peer == self.own || !members.contains(&share.peer);
        if let Some(share) = forwarded.shares.iter().find(outside) {
            let merchant = self.facts.name(share.peer);
            return Err(Breach::Stranger { message: "ForwardedShares", merchant });
        }
        match self.facts.secagg.graph {
            Graph::Complete if forwarded.shares.len() + 1 != members.len() => Err(Breach::Dealers {
                expected: members.len() as u32 - 1,
                found: forwarded.shares.len() as u32,
            }),
            Graph::Complete => Ok(()),
            Graph::Sparse { share_threshold, .. } => {
                let found = self.holders.iter().filter(|holder| members.contains(holder)).count() as u32;
                if found >= share_threshold {
                    Ok(())
                } else {
                    Err(Breach::Holders { expected: share_threshold, found })
                }
            }
        }
    }

    fn open(&self, share: &DealtShare, identity: &IdentityKey) -> Result<HeldShare, Breach> {
        let (facts, dealer) = (&self.facts, share.peer);
        let unusable = |reason| {
            let complaint = Box::new(transcript::sign_complaint(facts.sid, dealer, identity));
            Breach::Share { merchant: facts.name(dealer), reason, complaint }
        };
        let key = facts.identity(dealer).ok_or_else(|| unusable("it is not in the roster"))?;
        transcript::verify_dealt_share(&facts.sid, &self.roster, dealer, self.own, share, key)
            .map_err(|_| unusable("its signature does not verify"))?;
        let route = Route { sid: &facts.sid, roster: &self.roster, dealer, holder: self.own };
        let pair = self
            .share_key(dealer, &route)
            .and_then(|key| key.open(&route, &share.sealed))
            .map_err(|_| unusable("they do not decrypt"))?;
        if hashes(&facts.sid, dealer, self.own, &pair) != share.hashes {
            return Err(unusable("they are not those it published the hashes of"));
        }
        Ok(HeldShare { dealer, pair })
    }
}

fn halves(point: &Zeroizing<[u8; 64]>) -> SharePair {
    let mut pair = SharePair { mask_key: Zeroizing::new([0; 32]), seed: Zeroizing::new([0; 32]) };
    pair.mask_key.copy_from_slice(&point[..32]);
    pair.seed.copy_from_slice(&point[32..]);
    pair
}

fn hashes(sid: &Digest, dealer: MerchantIndex, holder: MerchantIndex, pair: &SharePair) -> ShareHashes {
    ShareHashes {
        mask_key: transcript::share_hash(sid, dealer, holder, Secret::MaskKey, &pair.mask_key),
        seed: transcript::share_hash(sid, dealer, holder, Secret::Seed, &pair.seed),
    }
}
