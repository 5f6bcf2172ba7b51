//! Between M4 and M5: the masks of this session. Section 7.8 of `docs/protocol.md`. [core]

use std::collections::BTreeSet;
use std::sync::Arc;

use super::breach::Breach;
use super::certifying::Masked;
use super::sharing::Sharing;
use crate::id::MerchantIndex;
use crate::ring::Sign;
use crate::secagg::agreement::{SharePair, self_mask};
use crate::secagg::mask::MaskSet;
use crate::secagg::transcript::{self, Transcript};
use crate::secagg::{Facts, SignedHead, graph};

/// What one dealer entrusted to this merchant.
pub(super) struct HeldShare {
    pub dealer: MerchantIndex,
    pub pair: SharePair,
}

/// The merchant holds its shares and can make its masks.
pub struct Masking {
    sharing: Sharing,
    received: Received,
    seen: Vec<SignedHead>,
}

/// What this merchant keeps until it unmasks.
pub(super) struct Received {
    pub(super) facts: Arc<Facts>,
    pub(super) own: MerchantIndex,
    /// T1 and H(U2).
    pub(super) transcript: Transcript,
    /// U2, ascending.
    pub(super) members: Vec<MerchantIndex>,
    /// By dealer, ascending.
    pub(super) held: Vec<HeldShare>,
}

impl Masking {
    pub(super) fn new(
        sharing: Sharing,
        members: Vec<MerchantIndex>,
        held: Vec<HeldShare>,
        seen: Vec<SignedHead>,
    ) -> Self {
        let facts = Arc::clone(&sharing.facts);
        let transcript = Transcript {
            sid: facts.sid,
            roster: sharing.roster,
            members: transcript::members_digest(&facts.sid, &members),
        };
        let received = Received { facts, own: sharing.own, transcript, members, held };
        Masking { sharing, received, seen }
    }

    /// The heads of this merchant's ledger that dealers saw, as each of them says in this attempt. A ledger that was put back
    /// to an older state shows here: the merchant compares before it trains. Their signatures are not checked yet: that is
    /// needed for those only that the ledger does not know.
    pub fn seen(&self) -> &[SignedHead] {
        &self.seen
    }

    /// The masks of this merchant's one vector, and the session without the keys that made them.
    ///
    /// y = x + e + PRG(b) + Σ_{v>u} PRG(k_uv) − Σ_{v<u} PRG(k_uv) over the peers v in U2.
    ///
    /// # Errors
    /// [`Breach::Key`] for a peer's mask key of small order.
    pub fn masks(self) -> Result<(MaskSet, Masked), Breach> {
        let Masking { sharing, received, .. } = self;
        let (facts, own) = (&received.facts, received.own);
        let members: BTreeSet<MerchantIndex> = received.members.iter().copied().collect();
        let dealers: Vec<MerchantIndex> = received.held.iter().map(|share| share.dealer).collect();
        let peers = graph::mask_peers(own, &sharing.holders, &dealers, &members);
        let mut masks = MaskSet::new(facts.sid, facts.secagg.generator);
        masks.push(self_mask(&sharing.seed.self_mask_seed(), &facts.sid, own), Sign::Add);
        for peer in peers {
            let Some(keys) = sharing.members.get(&peer) else { continue };
            let key = sharing
                .mask_key
                .pair_mask(&keys.mask_key, &received.transcript, own, peer)
                .map_err(|source| Breach::Key { merchant: facts.name(peer), source })?;
            masks.push(key, pair_sign(own, peer));
        }
        Ok((masks, Masked::new(received)))
    }
}

/// The sign of a pairwise mask in a merchant's own vector: the other side's is the opposite.
pub fn pair_sign(own: MerchantIndex, peer: MerchantIndex) -> Sign {
    if peer > own { Sign::Add } else { Sign::Subtract }
}
