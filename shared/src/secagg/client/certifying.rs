//! M5 and M7 out, M6 in: one masked vector, one signed survivor set. Section 8.9 of `docs/protocol.md`. [core]

use super::breach::{Breach, check_enough, check_order, check_session};
use super::masking::Received;
use super::unmasking::Certified;
use crate::digest::Digest;
use crate::identity::IdentityKey;
use crate::message::{Certify, SurvivingUpdate, Survivors, UpdateHeader};
use crate::secagg::Witness;
use crate::secagg::transcript::{self, SignedUpdate};
use crate::tree_head::TreeHead;

/// The masks are made; the masked vector is committed next.
pub struct Masked {
    received: Received,
}

impl Masked {
    pub(super) fn new(received: Received) -> Self {
        Masked { received }
    }

    /// M5: signs the hash of the one masked vector and the ledger's head. Its COMMIT is durable, and in that head, before
    /// this is called.
    pub fn sign(self, hash: Digest, head: TreeHead, identity: &IdentityKey) -> (Uploaded, UpdateHeader) {
        let signature = transcript::sign_update(&self.received.transcript, &hash, &head, identity);
        let header = UpdateHeader { sid: self.received.facts.sid, hash, head, signature };
        (Uploaded { received: self.received, hash, head }, header)
    }
}

/// The masked vector may leave; the merchant waits for the survivors.
pub struct Uploaded {
    pub(super) received: Received,
    hash: Digest,
    head: TreeHead,
}

impl Uploaded {
    /// M6 in, M7 out: signs the survivors, once.
    ///
    /// # Errors
    /// [`Breach`]: a survivor outside U2, fewer than m_min, a signature not made under this client's own T1 and H(U2), the
    /// own hash missing or changed, a survivor whose ledger is not larger than `witness` saw it.
    pub fn certify(
        self,
        survivors: &Survivors,
        witness: &Witness,
        identity: &IdentityKey,
    ) -> Result<(Certified, Certify), Breach> {
        const MESSAGE: &str = "Survivors";
        let Uploaded { received, hash, head } = self;
        let (facts, updates) = (&received.facts, &survivors.updates);
        check_session(MESSAGE, facts.sid, survivors.sid)?;
        check_order(MESSAGE, updates.iter().map(|update| update.merchant), facts.secagg.merchants)?;
        check_enough(MESSAGE, facts.secagg.survivors_min, updates.len())?;
        let own = SignedUpdate { merchant: received.own, hash, head };
        if !updates.iter().any(|update| update.statement() == own) {
            return Err(Breach::Own { message: MESSAGE });
        }
        for update in updates {
            let merchant = || facts.name(update.merchant);
            let stranger = || Breach::Stranger { message: MESSAGE, merchant: merchant() };
            if received.members.binary_search(&update.merchant).is_err() {
                return Err(stranger());
            }
            let key = facts.identity(update.merchant).ok_or_else(stranger)?;
            transcript::verify_update(
                &received.transcript,
                &update.hash,
                &update.head,
                key,
                &update.signature,
            )
            .map_err(|source| Breach::Signature {
                message: MESSAGE,
                merchant: merchant(),
                source,
            })?;
            witness
                .check(update.merchant, &update.head)
                .map_err(|source| Breach::Ledger { merchant: merchant(), source })?;
        }
        let list: Vec<SignedUpdate> = updates.iter().map(SurvivingUpdate::statement).collect();
        let digest = transcript::survivors_digest(&received.transcript, &list);
        let signature = transcript::sign_survivors(&facts.sid, &digest, identity);
        let message = Certify { sid: facts.sid, signature };
        Ok((Certified::new(received, survivors.updates.clone(), digest), message))
    }
}
