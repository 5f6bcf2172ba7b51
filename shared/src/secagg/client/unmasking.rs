//! M8 in, M9 out: shares, only to the holder of a certificate. Sections 8.10 and 8.11 of `docs/protocol.md`. [core]

use super::breach::{Breach, check_enough, check_order, check_session};
use super::masking::Received;
use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::identity::IdentityKey;
use crate::message::{Certificate, RevealedShare, SurvivingUpdate, Unmask};
use crate::secagg::transcript;
use crate::secagg::{SignedHead, SurvivorCertificate};

/// The merchant signed its survivors and waits for the certificate that enough others signed the same.
pub struct Certified {
    received: Received,
    /// U3, ascending.
    survivors: Vec<SurvivingUpdate>,
    digest: Digest,
}

impl Certified {
    pub(super) fn new(received: Received, survivors: Vec<SurvivingUpdate>, digest: Digest) -> Self {
        Certified { received, survivors, digest }
    }

    /// U3, ascending.
    pub fn survivors(&self) -> impl Iterator<Item = MerchantIndex> {
        self.survivors.iter().map(|update| update.merchant)
    }

    /// The head of every survivor's ledger, as it signed it.
    pub fn heads(&self) -> impl Iterator<Item = (MerchantIndex, SignedHead)> {
        let transcript = self.received.transcript;
        self.survivors.iter().map(move |update| (update.merchant, SignedHead::of(&transcript, update)))
    }

    fn survived(&self, merchant: MerchantIndex) -> bool {
        self.survivors.binary_search_by_key(&merchant, |update| update.merchant).is_ok()
    }

    /// M8 in, M9 out: for each dealer one of its two shares, chosen by the certified U3. One shot: everything is wiped but
    /// the certificate, which goes to the ledger as evidence.
    ///
    /// # Errors
    /// [`Breach`]: fewer than t signatures, of others than survivors, or over another survivor set.
    pub fn unmask(
        self,
        certificate: &Certificate,
        identity: &IdentityKey,
    ) -> Result<(Unmask, SurvivorCertificate), Breach> {
        self.check(certificate)?;
        let (mut seeds, mut mask_keys) = (Vec::new(), Vec::new());
        for share in &self.received.held {
            let dealer = share.dealer;
            if self.survived(dealer) {
                seeds.push(RevealedShare { dealer, value: *share.pair.seed });
            } else {
                mask_keys.push(RevealedShare { dealer, value: *share.pair.mask_key });
            }
        }
        let sid = self.received.facts.sid;
        let signature = transcript::sign_unmask(&sid, &self.digest, &seeds, &mask_keys, identity);
        let evidence = SurvivorCertificate {
            transcript: self.received.transcript,
            updates: self.survivors.iter().map(SurvivingUpdate::statement).collect(),
            signatures: certificate.signatures.clone(),
        };
        Ok((Unmask { sid, seeds, mask_keys, signature }, evidence))
    }

    fn check(&self, certificate: &Certificate) -> Result<(), Breach> {
        const MESSAGE: &str = "Certificate";
        let (facts, signatures) = (&self.received.facts, &certificate.signatures);
        check_session(MESSAGE, facts.sid, certificate.sid)?;
        check_order(MESSAGE, signatures.iter().map(|one| one.merchant), facts.secagg.merchants)?;
        check_enough(MESSAGE, facts.secagg.threshold, signatures.len())?;
        for one in signatures {
            let merchant = || facts.name(one.merchant);
            let stranger = || Breach::Stranger { message: MESSAGE, merchant: merchant() };
            if !self.survived(one.merchant) {
                return Err(stranger());
            }
            let key = facts.identity(one.merchant).ok_or_else(stranger)?;
            transcript::verify_survivors(&facts.sid, &self.digest, key, &one.signature)
                .map_err(|source| Breach::Signature { message: MESSAGE, merchant: merchant(), source })?;
        }
        Ok(())
    }
}
