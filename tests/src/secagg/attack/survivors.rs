//! M6: whose vectors are said to have come.

use std::collections::BTreeSet;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::Signature;
use guildhall_shared::message::{SurvivingUpdate, Survivors};
use guildhall_shared::secagg::transcript::Transcript;
use guildhall_shared::tree_head::TreeHead;

use super::front::Front;
use super::{Crafted, Reason};
use crate::secagg::draws::Draws;

/// What no M6 may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SurvivorsMove {
    /// Of another attempt or round.
    OtherSession,
    /// Out of order.
    Unsorted,
    /// One survivor twice.
    Repeated,
    /// m_min − 1 survivors.
    TooFew,
    /// Without the receiver.
    OwnMissing,
    /// Another hash for the receiver.
    OwnHashChanged,
    /// The receiver's own signature spoilt.
    OwnSignatureChanged,
    /// A member that never sent anything, with an invented signature.
    NeverSent,
    /// The same, signed by a colluder.
    NeverSentSignedByColluder,
    /// A member that sent, with another hash.
    HashChanged,
    /// One survivor's signature under another's name.
    SignatureOfAnother,
    /// A survivor's update of another attempt or round.
    Replayed,
    /// A member that masked for another U1 or U2.
    OtherTranscript,
    /// Somebody outside U2.
    Stranger,
}

impl SurvivorsMove {
    /// All.
    pub const ALL: &[SurvivorsMove] = &[
        SurvivorsMove::OtherSession,
        SurvivorsMove::Unsorted,
        SurvivorsMove::Repeated,
        SurvivorsMove::TooFew,
        SurvivorsMove::OwnMissing,
        SurvivorsMove::OwnHashChanged,
        SurvivorsMove::OwnSignatureChanged,
        SurvivorsMove::NeverSent,
        SurvivorsMove::NeverSentSignedByColluder,
        SurvivorsMove::HashChanged,
        SurvivorsMove::SignatureOfAnother,
        SurvivorsMove::Replayed,
        SurvivorsMove::OtherTranscript,
        SurvivorsMove::Stranger,
    ];
}

/// Survivors for one merchant, allowed or with one forbidden move; nothing where that is impossible here.
pub(super) fn craft(
    front: &Front<'_>,
    draws: &mut Draws,
    to: MerchantIndex,
    forbidden: Option<SurvivorsMove>,
    other: Option<&Front<'_>>,
) -> Option<Crafted<Survivors>> {
    let transcript = front.transcript(to)?;
    let alike = |merchant: &MerchantIndex| front.transcript(*merchant) == Some(transcript);
    let honest = front.keys.keys().copied().filter(alike);
    let members = &front.seen(to)?.members;
    let possible: BTreeSet<MerchantIndex> = honest.chain(front.colluding(members.iter().copied())).collect();
    let survivors = front.fit(draws, to, &possible)?;
    let update = |merchant: MerchantIndex| match front.update(merchant) {
        Some(update) => update,
        None => front.colluders.update(merchant, &transcript),
    };
    let updates = survivors.into_iter().map(update).collect();
    let mut message = Survivors { sid: front.sid(), updates };
    let Some(forbidden) = forbidden else { return Some(Crafted { message, expected: None }) };
    let place = Place { front, to, transcript, members };
    let expected = place.spoil(draws, forbidden, other, &mut message)?;
    Some(Crafted { message, expected: Some(expected) })
}

struct Place<'f, 'a> {
    front: &'f Front<'a>,
    to: MerchantIndex,
    transcript: Transcript,
    /// U2.
    members: &'f [MerchantIndex],
}

impl Place<'_, '_> {
    fn spoil(
        &self,
        draws: &mut Draws,
        forbidden: SurvivorsMove,
        other: Option<&Front<'_>>,
        message: &mut Survivors,
    ) -> Option<Reason> {
        let least = self.front.secagg().survivors_min as usize;
        let updates = &mut message.updates;
        match forbidden {
            SurvivorsMove::OtherSession => {
                message.sid = other?.sid();
                Some(Reason::Session)
            }
            SurvivorsMove::Unsorted => {
                updates.reverse();
                Some(Reason::Order)
            }
            SurvivorsMove::Repeated => {
                let twice = draws.below(updates.len());
                updates.insert(twice, updates[twice].clone());
                Some(Reason::Order)
            }
            SurvivorsMove::TooFew => {
                while updates.len() >= least {
                    let last = updates.iter().rposition(|update| update.merchant != self.to)?;
                    updates.remove(last);
                }
                Some(Reason::TooFew)
            }
            SurvivorsMove::OwnMissing => {
                updates.retain(|update| update.merchant != self.to);
                Some(if updates.len() < least { Reason::TooFew } else { Reason::Own })
            }
            SurvivorsMove::OwnHashChanged => {
                own(updates, self.to)?.hash.0[0] ^= 1;
                Some(Reason::Own)
            }
            SurvivorsMove::OwnSignatureChanged => {
                own(updates, self.to)?.signature.0[1][3] ^= 1;
                Some(Reason::Signature)
            }
            _ => self.spoil_others(draws, forbidden, other, updates),
        }
    }

    fn spoil_others(
        &self,
        draws: &mut Draws,
        forbidden: SurvivorsMove,
        other: Option<&Front<'_>>,
        updates: &mut Vec<SurvivingUpdate>,
    ) -> Option<Reason> {
        let honest: Vec<usize> = (0..updates.len())
            .filter(|place| {
                let merchant = updates[*place].merchant;
                merchant != self.to && !self.front.colluders.has(merchant)
            })
            .collect();
        match forbidden {
            SurvivorsMove::HashChanged => {
                updates[draws.pick_any(&honest)?].hash.0[9] ^= 4;
                Some(Reason::Signature)
            }
            SurvivorsMove::SignatureOfAnother => {
                let place = draws.pick_any(&honest)?;
                let from = (place + 1) % updates.len();
                let (hash, signature) = (updates[from].hash, updates[from].signature);
                updates[place].hash = hash;
                updates[place].signature = signature;
                Some(Reason::Signature)
            }
            SurvivorsMove::Replayed => {
                let place = draws.pick_any(&honest)?;
                updates[place] = other?.update(updates[place].merchant)?;
                Some(Reason::Signature)
            }
            SurvivorsMove::NeverSent | SurvivorsMove::NeverSentSignedByColluder => {
                let silent = |merchant: &&MerchantIndex| {
                    !self.front.colluders.has(**merchant) && self.front.update(**merchant).is_none()
                };
                let silent: Vec<MerchantIndex> = self.members.iter().filter(silent).copied().collect();
                let update = self.invented(draws, forbidden, silent.first().copied()?)?;
                add(updates, update);
                Some(Reason::Signature)
            }
            SurvivorsMove::OtherTranscript => {
                let update = |merchant: &MerchantIndex| self.front.update(*merchant);
                let others: Vec<SurvivingUpdate> = self
                    .members
                    .iter()
                    .filter(|merchant| self.front.transcript(**merchant) != Some(self.transcript))
                    .filter_map(update)
                    .collect();
                add(updates, others.first()?.clone());
                Some(Reason::Signature)
            }
            SurvivorsMove::Stranger => {
                let everybody = self.front.session.federation.merchants();
                let strangers: Vec<MerchantIndex> =
                    everybody.filter(|merchant| !self.members.contains(merchant)).collect();
                let stranger = draws.pick_any(&strangers)?;
                // Signed with its own key: even a true signature makes nobody a member.
                add(updates, self.front.colluders.update(stranger, &self.transcript));
                Some(Reason::Stranger)
            }
            _ => None,
        }
    }

    fn invented(
        &self,
        draws: &mut Draws,
        forbidden: SurvivorsMove,
        merchant: MerchantIndex,
    ) -> Option<SurvivingUpdate> {
        let hash = Digest(draws.bytes());
        if forbidden == SurvivorsMove::NeverSent {
            return Some(SurvivingUpdate {
                merchant,
                hash,
                head: TreeHead::EMPTY,
                signature: Signature([draws.bytes(), draws.bytes()]),
            });
        }
        let colluders: Vec<MerchantIndex> = self.front.colluders.members().iter().copied().collect();
        let by = draws.pick_any(&colluders)?;
        Some(self.front.colluders.update_as(by, merchant, &self.transcript, hash))
    }
}

fn own(updates: &mut [SurvivingUpdate], to: MerchantIndex) -> Option<&mut SurvivingUpdate> {
    updates.iter_mut().find(|update| update.merchant == to)
}

fn add(updates: &mut Vec<SurvivingUpdate>, update: SurvivingUpdate) {
    updates.retain(|other| other.merchant != update.merchant);
    updates.push(update);
    updates.sort_by_key(|update| update.merchant);
}
