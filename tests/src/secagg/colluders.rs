//! Merchants on the adversary's side: their secrets, and what can be signed with them.

use std::collections::BTreeSet;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::Signature;
use guildhall_shared::message::{CertificateSignature, DealtShare, MemberKeys, ShareHashes, SurvivingUpdate};
use guildhall_shared::secagg::Facts;
use guildhall_shared::secagg::agreement::{AgreementKey, Route, SecretKey, SharePair};
use guildhall_shared::secagg::transcript::{self, Secret, Transcript};
use guildhall_shared::tree_head::TreeHead;

use super::federation::Session;

/// U1 as one merchant sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// Everybody's keys, ascending.
    pub members: Vec<MemberKeys>,
    /// T1.
    pub roster: Digest,
}

impl View {
    /// With its digest.
    pub fn new(sid: &Digest, members: Vec<MemberKeys>) -> Self {
        let roster = transcript::roster_digest(sid, &members);
        View { members, roster }
    }

    /// A member's keys.
    pub fn keys(&self, merchant: MerchantIndex) -> Option<&MemberKeys> {
        self.members.iter().find(|member| member.merchant == merchant)
    }

    /// A member's place, ascending from 0.
    pub fn place(&self, merchant: MerchantIndex) -> Option<usize> {
        self.members.iter().position(|member| member.merchant == merchant)
    }
}

/// What the adversary makes of a share it deals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dealing {
    /// Usable.
    Good,
    /// The ciphertext is not of what the hashes say.
    WrongHashes,
    /// The ciphertext does not open.
    WrongCiphertext,
}

/// The colluding merchants of one session.
pub struct Colluders<'a> {
    session: &'a Session<'a>,
    members: BTreeSet<MerchantIndex>,
}

impl<'a> Colluders<'a> {
    /// These.
    pub fn new(session: &'a Session<'a>, members: BTreeSet<MerchantIndex>) -> Self {
        Colluders { session, members }
    }

    /// Who they are.
    pub fn members(&self) -> &BTreeSet<MerchantIndex> {
        &self.members
    }

    /// Whether a merchant is one.
    pub fn has(&self, merchant: MerchantIndex) -> bool {
        self.members.contains(&merchant)
    }

    fn sid(&self) -> &Digest {
        &self.session.facts().sid
    }

    /// M1 with a colluder's own keys, for whoever derives these facts.
    pub fn advertise(&self, colluder: MerchantIndex, facts: &Facts) -> MemberKeys {
        let seed = self.session.seed(colluder);
        self.advertise_keys(colluder, facts, seed.encryption_key().public(), seed.mask_key().public())
    }

    /// M1 with any keys.
    pub fn advertise_keys(
        &self,
        colluder: MerchantIndex,
        facts: &Facts,
        encryption_key: AgreementKey,
        mask_key: AgreementKey,
    ) -> MemberKeys {
        let identity = self.session.federation.identity(colluder);
        let message = transcript::sign_advertise(facts, encryption_key, mask_key, identity);
        MemberKeys { merchant: colluder, encryption_key, mask_key, signature: message.signature }
    }

    /// A share for one holder. Whether all of them lie on one polynomial, no holder can see.
    pub fn deal(
        &self,
        colluder: MerchantIndex,
        view: &View,
        holder: MerchantIndex,
        dealing: Dealing,
    ) -> Option<DealtShare> {
        let (sid, roster) = (self.sid(), &view.roster);
        let value =
            |what| Digest::of(what, &[&roster.0, &colluder.0.to_le_bytes(), &holder.0.to_le_bytes()]).0;
        let pair =
            SharePair { mask_key: value("share of a key").into(), seed: value("share of a seed").into() };
        let route = Route { sid, roster, dealer: colluder, holder };
        let key = self.session.seed(colluder).encryption_key();
        let mut sealed = key.share_key(&view.keys(holder)?.encryption_key, &route).ok()?.seal(&route, &pair);
        let hash = |secret, value| transcript::share_hash(sid, colluder, holder, secret, value);
        let mut hashes = ShareHashes {
            mask_key: hash(Secret::MaskKey, &pair.mask_key),
            seed: hash(Secret::Seed, &pair.seed),
        };
        match dealing {
            Dealing::Good => {}
            Dealing::WrongHashes => hashes.seed = hash(Secret::MaskKey, &pair.seed),
            Dealing::WrongCiphertext => sealed.seed[7] ^= 1,
        }
        let identity = self.session.federation.identity(colluder);
        let (seen, signature) = (None, Signature([[0; 32]; 2]));
        let unsigned = DealtShare { peer: holder, sealed, hashes, seen, signature };
        let signed = transcript::sign_dealt_share(sid, roster, colluder, unsigned, identity);
        Some(DealtShare { peer: colluder, ..signed })
    }

    /// What a dealer dealt to a colluder.
    pub fn open(
        &self,
        holder: MerchantIndex,
        dealer: MerchantIndex,
        view: &View,
        share: &DealtShare,
    ) -> Option<SharePair> {
        let route = Route { sid: self.sid(), roster: &view.roster, dealer, holder };
        let key = self.session.seed(holder).encryption_key();
        key.share_key(&view.keys(dealer)?.encryption_key, &route).ok()?.open(&route, &share.sealed).ok()
    }

    /// The secret of a mask key, if it is a colluder's.
    pub fn mask_secret(&self, merchant: MerchantIndex, key: &AgreementKey) -> Option<SecretKey> {
        let secret = self.has(merchant).then(|| self.session.seed(merchant).mask_key())?;
        (secret.public() == *key).then_some(secret)
    }

    /// M5 of a colluder, under anybody's transcript.
    pub fn update(&self, colluder: MerchantIndex, transcript: &Transcript) -> SurvivingUpdate {
        let hash = Digest::of("a colluder's vector", &[&colluder.0.to_le_bytes()]);
        self.update_as(colluder, colluder, transcript, hash)
    }

    /// M5 in the name of another, signed by a colluder.
    pub fn update_as(
        &self,
        colluder: MerchantIndex,
        merchant: MerchantIndex,
        transcript: &Transcript,
        hash: Digest,
    ) -> SurvivingUpdate {
        let identity = self.session.federation.identity(colluder);
        let head = TreeHead::EMPTY;
        let signature = transcript::sign_update(transcript, &hash, &head, identity);
        SurvivingUpdate { merchant, hash, head, signature }
    }

    /// M7 of a colluder, over anything, in anybody's name.
    pub fn certify(
        &self,
        colluder: MerchantIndex,
        merchant: MerchantIndex,
        survivors: &Digest,
    ) -> CertificateSignature {
        let identity = self.session.federation.identity(colluder);
        let signature = transcript::sign_survivors(self.sid(), survivors, identity);
        CertificateSignature { merchant, signature }
    }
}
