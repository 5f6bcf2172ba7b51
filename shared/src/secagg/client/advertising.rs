//! M1 out, M2 in: fresh keys against everybody's. Sections 8.5 and 8.6 of `docs/protocol.md`. [core]

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Sharing;
use super::breach::{Breach, check_enough, check_order, check_session};
use crate::id::MerchantIndex;
use crate::identity::IdentityKey;
use crate::message::{Advertise, MemberKeys, RoundRoster, Shares};
use crate::secagg::seed::SessionSeed;
use crate::secagg::{Facts, Witness, agreement::SecretKey, transcript};

/// The merchant advertised its keys and waits for everybody's.
pub struct Advertised {
    pub(super) facts: Arc<Facts>,
    pub(super) own: MerchantIndex,
    pub(super) seed: SessionSeed,
    pub(super) encryption_key: SecretKey,
    pub(super) mask_key: SecretKey,
    entry: MemberKeys,
}

/// M1: two fresh keys, signed. The reservation of the round's charge is durable before this is called.
pub fn advertise(
    facts: Arc<Facts>,
    own: MerchantIndex,
    seed: SessionSeed,
    identity: &IdentityKey,
) -> (Advertised, Advertise) {
    let (encryption_key, mask_key) = (seed.encryption_key(), seed.mask_key());
    let message = transcript::sign_advertise(&facts, encryption_key.public(), mask_key.public(), identity);
    let entry = MemberKeys {
        merchant: own,
        encryption_key: message.encryption_key,
        mask_key: message.mask_key,
        signature: message.signature,
    };
    (Advertised { facts, own, seed, encryption_key, mask_key, entry }, message)
}

impl Advertised {
    /// M2 in, M3 out: checks everybody's keys and deals shares of the own secrets. Every holder is told what `witness` saw of
    /// its ledger.
    ///
    /// # Errors
    /// [`Breach`]: too few, unknown, unsigned, repeated or small-order keys, another model or other parameters, the own
    /// entry missing or changed.
    pub fn share(
        self,
        roster: &RoundRoster,
        witness: &Witness,
        identity: &IdentityKey,
    ) -> Result<(Sharing, Shares), Breach> {
        self.check(roster)?;
        Sharing::deal(self, &roster.members, witness, identity)
    }

    fn check(&self, roster: &RoundRoster) -> Result<(), Breach> {
        const MESSAGE: &str = "RoundRoster";
        let (facts, members) = (&self.facts, &roster.members);
        check_session(MESSAGE, facts.sid, roster.sid)?;
        check_order(MESSAGE, members.iter().map(|member| member.merchant), facts.secagg.merchants)?;
        check_enough(MESSAGE, facts.secagg.survivors_min, members.len())?;
        if !members.contains(&self.entry) {
            return Err(Breach::Own { message: MESSAGE });
        }
        let mut keys = BTreeSet::new();
        for member in members {
            let merchant = || facts.name(member.merchant);
            if !keys.insert(member.encryption_key) || !keys.insert(member.mask_key) {
                return Err(Breach::DuplicateKey { merchant: merchant() });
            }
            if facts.identity(member.merchant).is_none() {
                return Err(Breach::Stranger { message: MESSAGE, merchant: merchant() });
            }
        }
        Ok(())
    }
}
