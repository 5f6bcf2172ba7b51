//! M8: who is said to have signed the survivors.

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::Signature;
use guildhall_shared::message::{Certificate, CertificateSignature};

use super::front::Front;
use super::{Crafted, Reason};
use crate::secagg::draws::Draws;

/// What no M8 may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CertificateMove {
    /// Of another attempt or round.
    OtherSession,
    /// Out of order.
    Unsorted,
    /// One signer twice.
    Repeated,
    /// t − 1 signatures.
    TooFew,
    /// A signer that is no survivor.
    Stranger,
    /// An invented signature.
    Forged,
    /// A colluder's signature in an honest survivor's name.
    SignedByColluder,
    /// An honest survivor's signature over other survivors.
    OverOtherSurvivors,
    /// An honest survivor's signature over its update.
    OverItsUpdate,
    /// An honest survivor's signature of another attempt or round.
    Replayed,
}

impl CertificateMove {
    /// All.
    pub const ALL: &[CertificateMove] = &[
        CertificateMove::OtherSession,
        CertificateMove::Unsorted,
        CertificateMove::Repeated,
        CertificateMove::TooFew,
        CertificateMove::Stranger,
        CertificateMove::Forged,
        CertificateMove::SignedByColluder,
        CertificateMove::OverOtherSurvivors,
        CertificateMove::OverItsUpdate,
        CertificateMove::Replayed,
    ];
}

/// A certificate for one merchant, allowed or with one forbidden move; nothing where that is impossible here.
///
/// Where too few signed, the rest is invented: then the first invented signature is what must be refused.
pub(super) fn craft(
    front: &Front<'_>,
    draws: &mut Draws,
    to: MerchantIndex,
    forbidden: Option<CertificateMove>,
    other: Option<&Front<'_>>,
) -> Option<Crafted<Certificate>> {
    let signed = front.seen(to)?.signed.as_ref()?;
    let mut signatures = Vec::new();
    let mut expected = None;
    let threshold = front.secagg().threshold as usize;
    let (valid, missing): (Vec<MerchantIndex>, Vec<MerchantIndex>) =
        signed.survivors.iter().partition(|survivor| signature(front, **survivor, &signed.digest).is_some());
    let some = draws.between(threshold.min(valid.len()), valid.len());
    let mut signers: Vec<MerchantIndex> = draws.subset(valid, some).into_iter().collect();
    signers.extend(missing.into_iter().take(threshold.saturating_sub(some)));
    signers.sort_unstable();
    for signer in signers {
        signatures.push(signature(front, signer, &signed.digest).unwrap_or_else(|| {
            expected = Some(Reason::Signature);
            CertificateSignature { merchant: signer, signature: Signature([draws.bytes(), draws.bytes()]) }
        }));
    }
    let mut message = Certificate { sid: front.sid(), signatures };
    if let Some(forbidden) = forbidden {
        expected = Some(spoil(front, draws, to, forbidden, other, &mut message)?);
    }
    Some(Crafted { message, expected })
}

/// A survivor's signature over a survivor set, if the adversary has it or can make it.
fn signature(front: &Front<'_>, survivor: MerchantIndex, digest: &Digest) -> Option<CertificateSignature> {
    if front.colluders.has(survivor) {
        return Some(front.colluders.certify(survivor, survivor, digest));
    }
    let signed = front.seen(survivor)?.signed.as_ref()?;
    let signature = *front.certify_signatures.get(&survivor)?;
    (signed.digest == *digest).then_some(CertificateSignature { merchant: survivor, signature })
}

fn spoil(
    front: &Front<'_>,
    draws: &mut Draws,
    to: MerchantIndex,
    forbidden: CertificateMove,
    other: Option<&Front<'_>>,
    message: &mut Certificate,
) -> Option<Reason> {
    let signed = front.seen(to)?.signed.as_ref()?;
    let threshold = front.secagg().threshold as usize;
    let signatures = &mut message.signatures;
    let honest: Vec<usize> =
        (0..signatures.len()).filter(|place| !front.colluders.has(signatures[*place].merchant)).collect();
    let colluders: Vec<MerchantIndex> = front.colluders.members().iter().copied().collect();
    let mut replace = |draws: &mut Draws, by: &dyn Fn(MerchantIndex) -> Option<Signature>| {
        let place = draws.pick_any(&honest)?;
        signatures[place].signature = by(signatures[place].merchant)?;
        Some(Reason::Signature)
    };
    match forbidden {
        CertificateMove::OtherSession => {
            message.sid = other?.sid();
            Some(Reason::Session)
        }
        CertificateMove::Unsorted => {
            signatures.reverse();
            Some(Reason::Order)
        }
        CertificateMove::Repeated => {
            signatures.insert(0, signatures[0].clone());
            Some(Reason::Order)
        }
        CertificateMove::TooFew => {
            signatures.truncate(threshold - 1);
            Some(Reason::TooFew)
        }
        CertificateMove::Stranger => {
            let everybody = front.session.federation.merchants();
            let strangers: Vec<MerchantIndex> =
                everybody.filter(|merchant| !signed.survivors.contains(merchant)).collect();
            let stranger = draws.pick_any(&strangers)?;
            // In front of every invented signature, so that it is met first; signed with its own key.
            signatures.retain(|one| one.merchant > stranger);
            signatures.insert(0, front.colluders.certify(stranger, stranger, &signed.digest));
            (signatures.len() >= threshold).then_some(Reason::Stranger)
        }
        CertificateMove::Forged => {
            let invented = Signature([draws.bytes(), draws.bytes()]);
            replace(draws, &|_| Some(invented))
        }
        CertificateMove::SignedByColluder => {
            let by = draws.pick_any(&colluders)?;
            replace(draws, &|merchant| Some(front.colluders.certify(by, merchant, &signed.digest).signature))
        }
        CertificateMove::OverOtherSurvivors => {
            let over_other = |merchant| {
                let other = front.seen(merchant)?.signed.as_ref()?;
                (other.digest != signed.digest).then(|| front.certify_signatures.get(&merchant).copied())?
            };
            let places: Vec<usize> = honest
                .iter()
                .copied()
                .filter(|place| over_other(signatures[*place].merchant).is_some())
                .collect();
            let place = draws.pick_any(&places)?;
            signatures[place].signature = over_other(signatures[place].merchant)?;
            Some(Reason::Signature)
        }
        CertificateMove::OverItsUpdate => replace(draws, &|merchant| Some(front.update(merchant)?.signature)),
        CertificateMove::Replayed => {
            replace(draws, &|merchant| other?.certify_signatures.get(&merchant).copied())
        }
    }
}
