//! What an adversary can work out from all messages of a session, its colluders' secrets and all revealed shares.
//!
//! The judge of every attack. It reconstructs every secret it has shares enough for, strips every mask whose key it can
//! derive, and lists which sums of honest inputs come free of masks. It checks itself: each such sum must be the true one.

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{Shares, Unmask};
use guildhall_shared::ring::{RingVector, Sign};
use guildhall_shared::secagg::agreement::{SecretKey, self_mask};
use guildhall_shared::secagg::client::pair_sign;
use guildhall_shared::secagg::mask::{MaskKey, MaskSet};
use guildhall_shared::secagg::transcript::{self, Secret, Transcript};
use guildhall_shared::secagg::{Facts, Graph, shamir};

use super::colluders::{Colluders, View};
use super::federation::Session;
use super::merchant::Upload;

/// The survivors a merchant signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// U3, ascending.
    pub survivors: Vec<MerchantIndex>,
    /// What the signature is over.
    pub digest: Digest,
}

/// What the adversary told one honest merchant and got from it.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// M2.
    pub view: Option<View>,
    /// M3.
    pub shares: Option<Shares>,
    /// U2.
    pub members: Vec<MerchantIndex>,
    /// Whose shares it got.
    pub dealers: Vec<MerchantIndex>,
    /// M5.
    pub upload: Option<Upload>,
    /// M7.
    pub signed: Option<Signed>,
    /// M9.
    pub unmask: Option<Unmask>,
}

impl Seen {
    /// T1 and H(U2), once it masked.
    pub fn transcript(&self, sid: &Digest) -> Option<Transcript> {
        let roster = self.view.as_ref()?.roster;
        (!self.members.is_empty()).then(|| Transcript {
            sid: *sid,
            roster,
            members: transcript::members_digest(sid, &self.members),
        })
    }

    /// A holder's point in this merchant's sharing.
    fn point(&self, graph: Graph, holder: MerchantIndex) -> Option<u8> {
        let place = match graph {
            Graph::Complete => self.view.as_ref()?.place(holder)?,
            Graph::Sparse { .. } => {
                self.shares.as_ref()?.shares.iter().position(|share| share.peer == holder)?
            }
        };
        u8::try_from(place + 1).ok()
    }

    /// Whom it masks with.
    fn mask_peers(&self, own: MerchantIndex) -> BTreeSet<MerchantIndex> {
        let holders = self.shares.iter().flat_map(|shares| &shares.shares).map(|share| share.peer);
        let peers = holders.chain(self.dealers.iter().copied());
        peers.filter(|peer| *peer != own && self.members.contains(peer)).collect()
    }
}

/// What an attack came to.
#[derive(Clone, Debug, Default)]
pub struct Judgement {
    /// Survivor sets with a certificate.
    pub certified: BTreeMap<Digest, Vec<MerchantIndex>>,
    /// Honest dealers whose mask key is known.
    pub keys: BTreeSet<MerchantIndex>,
    /// Honest dealers whose self-mask seed is known.
    pub seeds: BTreeSet<MerchantIndex>,
    /// Groups of honest merchants of whose inputs the sum is known, and of no smaller part of them.
    pub sums: Vec<BTreeSet<MerchantIndex>>,
    /// Honest merchants whose input is what remains of their vector when every mask is off that can be taken off.
    pub recovered: Vec<MerchantIndex>,
    /// Honest vectors that were in the adversary's hands.
    pub vectors: usize,
}

impl Judgement {
    /// Honest dealers whose key and seed are both known.
    pub fn both_kinds(&self) -> BTreeSet<MerchantIndex> {
        self.keys.intersection(&self.seeds).copied().collect()
    }
}

/// Everything told and got in one session.
pub struct Knowledge<'a> {
    session: &'a Session<'a>,
    /// By honest merchant.
    pub seen: BTreeMap<MerchantIndex, Seen>,
}

/// A merchant's vector with every mask off that can be taken off.
struct Stripped {
    vector: Vec<i64>,
    self_masked: bool,
    /// Honest peers whose pairwise mask is still on it.
    left: BTreeSet<MerchantIndex>,
}

type Secrets = BTreeMap<MerchantIndex, [u8; 32]>;

impl<'a> Knowledge<'a> {
    /// Nothing yet.
    pub fn new(session: &'a Session<'a>) -> Self {
        Knowledge { session, seen: BTreeMap::new() }
    }

    fn facts(&self) -> &Facts {
        self.session.facts()
    }

    /// Works out everything.
    ///
    /// # Panics
    /// When a reconstruction misses its commitment or a sum without masks is not the true one: the judge is wrong then.
    pub fn judge(&self, colluders: &Colluders<'_>) -> Judgement {
        let (mut keys, mut seeds) = (Secrets::new(), Secrets::new());
        for (dealer, seen) in &self.seen {
            let key = self.secret(colluders, *dealer, seen, Secret::MaskKey);
            let seed = self.secret(colluders, *dealer, seen, Secret::Seed);
            keys.extend(key.map(|key| (*dealer, key)));
            seeds.extend(seed.map(|seed| (*dealer, seed)));
        }
        let mut stripped = BTreeMap::new();
        for (merchant, seen) in &self.seen {
            if let Some(one) = self.strip(colluders, *merchant, seen, &keys, &seeds) {
                stripped.insert(*merchant, one);
            }
        }
        let sums = self.free_sums(&stripped);
        let bare = |(merchant, one): (&MerchantIndex, &Stripped)| {
            (one.vector == self.session.federation.input(*merchant)).then_some(*merchant)
        };
        let recovered = stripped.iter().filter_map(bare).collect();
        let certified = self.certified(colluders);
        let dealers = |secrets: Secrets| secrets.into_keys().collect();
        let (keys, seeds) = (dealers(keys), dealers(seeds));
        Judgement { certified, keys, seeds, sums, recovered, vectors: stripped.len() }
    }

    fn certified(&self, colluders: &Colluders<'_>) -> BTreeMap<Digest, Vec<MerchantIndex>> {
        let signed: Vec<&Signed> = self.seen.values().filter_map(|seen| seen.signed.as_ref()).collect();
        let mut certified = BTreeMap::new();
        for one in &signed {
            let honest = signed.iter().filter(|other| other.digest == one.digest).count();
            let colluding = one.survivors.iter().filter(|survivor| colluders.has(**survivor)).count();
            if honest + colluding >= self.facts().secagg.threshold as usize {
                certified.insert(one.digest, one.survivors.clone());
            }
        }
        certified
    }

    /// One secret of an honest dealer, from the colluders' shares and the revealed ones.
    fn secret(
        &self,
        colluders: &Colluders<'_>,
        dealer: MerchantIndex,
        seen: &Seen,
        secret: Secret,
    ) -> Option<[u8; 32]> {
        let points = self.points(colluders, dealer, seen, secret)?;
        let threshold = self.facts().secagg.share_threshold();
        if points.len() < threshold {
            return None;
        }
        let enough: Vec<(u8, [u8; 32])> = points.into_iter().take(threshold).collect();
        let value = *shamir::reconstruct(&enough);
        let right = match secret {
            Secret::MaskKey => {
                let public = seen.view.as_ref()?.keys(dealer)?.mask_key;
                SecretKey::from_bytes(&value.into()).public() == public
            }
            Secret::Seed => {
                let commitment = seen.shares.as_ref()?.commitment;
                transcript::seed_commitment(&self.facts().sid, dealer, &value) == commitment
            }
        };
        assert!(right, "enough shares of honest {dealer} do not give its secret: the judge is wrong");
        Some(value)
    }

    fn points(
        &self,
        colluders: &Colluders<'_>,
        dealer: MerchantIndex,
        seen: &Seen,
        secret: Secret,
    ) -> Option<BTreeMap<u8, [u8; 32]>> {
        let (view, shares) = (seen.view.as_ref()?, seen.shares.as_ref()?);
        let graph = self.facts().secagg.graph;
        let mut points = BTreeMap::new();
        for share in shares.shares.iter().filter(|share| colluders.has(share.peer)) {
            let pair = colluders.open(share.peer, dealer, view, share);
            if let (Some(point), Some(pair)) = (seen.point(graph, share.peer), pair) {
                let value = if secret == Secret::Seed { pair.seed } else { pair.mask_key };
                points.insert(point, *value);
            }
        }
        for (responder, answer) in &self.seen {
            let Some(unmask) = &answer.unmask else { continue };
            let revealed = if secret == Secret::Seed { &unmask.seeds } else { &unmask.mask_keys };
            let share = revealed.iter().find(|share| share.dealer == dealer);
            if let (Some(point), Some(share)) = (seen.point(graph, *responder), share) {
                points.insert(point, share.value);
            }
        }
        Some(points)
    }

    fn strip(
        &self,
        colluders: &Colluders<'_>,
        own: MerchantIndex,
        seen: &Seen,
        keys: &Secrets,
        seeds: &Secrets,
    ) -> Option<Stripped> {
        let facts = self.facts();
        let (upload, view, transcript) =
            (seen.upload.as_ref()?, seen.view.as_ref()?, seen.transcript(&facts.sid)?);
        let mut vector = RingVector::zero(facts.ring, facts.dimension);
        vector.add_bytes(&upload.words).expect("merchants send vectors of the right length");
        let mut masks = MaskSet::new(facts.sid, facts.secagg.generator);
        if let Some(seed) = seeds.get(&own) {
            masks.push(self_mask(seed, &facts.sid, own), Sign::Subtract);
        }
        let mut left = BTreeSet::new();
        for peer in seen.mask_peers(own) {
            match pair_mask(colluders, keys, view, &transcript, own, peer) {
                Some(mask) => masks.push(mask, pair_sign(own, peer).opposite()),
                None => {
                    left.insert(peer);
                }
            }
        }
        masks.apply(&mut vector);
        Some(Stripped { vector: vector.centred(), self_masked: !seeds.contains_key(&own), left })
    }

    /// Groups whose remaining masks cancel among themselves.
    fn free_sums(&self, stripped: &BTreeMap<MerchantIndex, Stripped>) -> Vec<BTreeSet<MerchantIndex>> {
        let sid = self.facts().sid;
        let transcript =
            |merchant: &MerchantIndex| self.seen.get(merchant).and_then(|seen| seen.transcript(&sid));
        let mut open: BTreeSet<MerchantIndex> = stripped.keys().copied().collect();
        let mut sums = Vec::new();
        while let Some(start) = open.pop_first() {
            let (mut group, mut border, mut free) = (BTreeSet::new(), vec![start], true);
            while let Some(next) = border.pop() {
                if !group.insert(next) {
                    continue;
                }
                open.remove(&next);
                let one = &stripped[&next];
                free &= !one.self_masked;
                for peer in &one.left {
                    let cancels = stripped.get(peer).is_some_and(|other| other.left.contains(&next))
                        && transcript(peer) == transcript(&next);
                    free &= cancels;
                    if cancels {
                        border.push(*peer);
                    }
                }
            }
            if free {
                self.check_sum(&group, stripped);
                sums.push(group);
            }
        }
        sums
    }

    fn check_sum(&self, group: &BTreeSet<MerchantIndex>, stripped: &BTreeMap<MerchantIndex, Stripped>) {
        let facts = self.facts();
        let mut sum = RingVector::zero(facts.ring, facts.dimension);
        for merchant in group {
            let words = RingVector::from_integers(facts.ring, &stripped[merchant].vector).to_bytes();
            sum.add_bytes(&words).expect("of the same length");
        }
        let expected = self.session.federation.plain_sum(group.iter().copied());
        assert_eq!(sum.centred(), expected, "a sum without masks is not the true one: the judge is wrong");
    }
}

fn pair_mask(
    colluders: &Colluders<'_>,
    keys: &Secrets,
    view: &View,
    transcript: &Transcript,
    own: MerchantIndex,
    peer: MerchantIndex,
) -> Option<MaskKey> {
    let public = |merchant| view.keys(merchant).map(|keys| keys.mask_key);
    let (own_key, peer_key) = (public(own)?, public(peer)?);
    let known =
        |merchant: MerchantIndex| keys.get(&merchant).map(|key| SecretKey::from_bytes(&(*key).into()));
    if let Some(secret) = known(own) {
        return secret.pair_mask(&peer_key, transcript, own, peer).ok();
    }
    let secret = known(peer).or_else(|| colluders.mask_secret(peer, &peer_key))?;
    secret.pair_mask(&own_key, transcript, own, peer).ok()
}
