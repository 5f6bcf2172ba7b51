//! M4: U2, and what its members dealt.

use std::collections::BTreeSet;

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{DealtShare, ForwardedShares};
use guildhall_shared::secagg::Graph;

use super::front::Front;
use super::roster::UNUSABLE_KEYS;
use super::{Crafted, Reason};
use crate::secagg::colluders::{Dealing, View};
use crate::secagg::draws::Draws;

/// What no M4 may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SharesMove {
    /// Of another attempt or round.
    OtherSession,
    /// Members out of order.
    Unsorted,
    /// One dealer's share twice.
    Repeated,
    /// m_min − 1 members.
    TooFew,
    /// Without the receiver.
    OwnMissing,
    /// A member that did not advertise.
    Stranger,
    /// A share of somebody outside U2.
    ShareOfStranger,
    /// A share of the receiver's own.
    ShareOfOwn,
    /// A member's share missing.
    Withheld,
    /// A share for another holder.
    OfAnotherHolder,
    /// The ciphertexts of two dealers swapped.
    CiphertextsSwapped,
    /// One bit of an honest dealer's ciphertext changed.
    CiphertextChanged,
    /// A colluder deals what does not open.
    DealtUnreadable,
    /// A colluder deals what is not what it published the hashes of.
    DealtOtherHashes,
    /// An honest dealer's share of another attempt or round.
    Replayed,
    /// An honest dealer's share under another U1.
    OfAnotherRoster,
    /// U2 without enough of the receiver's own holders.
    HoldersGone,
}

impl SharesMove {
    /// All.
    pub const ALL: &[SharesMove] = &[
        SharesMove::OtherSession,
        SharesMove::Unsorted,
        SharesMove::Repeated,
        SharesMove::TooFew,
        SharesMove::OwnMissing,
        SharesMove::Stranger,
        SharesMove::ShareOfStranger,
        SharesMove::ShareOfOwn,
        SharesMove::Withheld,
        SharesMove::OfAnotherHolder,
        SharesMove::CiphertextsSwapped,
        SharesMove::CiphertextChanged,
        SharesMove::DealtUnreadable,
        SharesMove::DealtOtherHashes,
        SharesMove::Replayed,
        SharesMove::OfAnotherRoster,
        SharesMove::HoldersGone,
    ];
}

/// What an honest dealer dealt to a holder, as forwarded.
fn dealt(front: &Front<'_>, dealer: MerchantIndex, holder: MerchantIndex) -> Option<DealtShare> {
    let shares = &front.seen(dealer)?.shares.as_ref()?.shares;
    let share = shares.iter().find(|share| share.peer == holder)?;
    Some(DealtShare { peer: dealer, ..share.clone() })
}

/// Honest merchants that dealt under the same U1, and the colluders in it.
fn possible(front: &Front<'_>, view: &View) -> BTreeSet<MerchantIndex> {
    let under =
        |merchant: &MerchantIndex| front.view(*merchant).is_some_and(|other| other.roster == view.roster);
    let honest = front.keys.keys().copied().filter(under);
    let members = view.members.iter().map(|member| member.merchant);
    honest.chain(front.colluding(members)).collect()
}

/// Shares for one merchant, allowed or with one forbidden move; nothing where that is impossible here.
pub(super) fn craft(
    front: &Front<'_>,
    draws: &mut Draws,
    to: MerchantIndex,
    forbidden: Option<SharesMove>,
    other: Option<&Front<'_>>,
) -> Option<Crafted<ForwardedShares>> {
    let view = front.view(to)?;
    let possible = possible(front, view);
    let mut members = front.fit(draws, to, &possible)?;
    if forbidden == Some(SharesMove::HoldersGone) {
        members = without_holders(front, to, &possible)?;
    }
    let mut shares = Vec::new();
    for dealer in members.iter().copied().filter(|dealer| *dealer != to) {
        if front.colluders.has(dealer) {
            // In the sparse graph colluders choose their holders at will.
            if front.secagg().graph == Graph::Complete || draws.percent(50) {
                shares.push(front.colluders.deal(dealer, view, to, Dealing::Good)?);
            }
        } else {
            shares.extend(dealt(front, dealer, to));
        }
    }
    let members = members.into_iter().collect();
    let mut message = ForwardedShares { sid: front.sid(), members, shares };
    let mut reason = expected(front, to, view, &message);
    if let Some(forbidden) = forbidden {
        let spoilt = spoil(front, draws, to, forbidden, other, &mut message)?;
        // A merchant counts its own holders before it opens shares; a dealer that was added may be one of them.
        let expected = expected(front, to, view, &message);
        let late = matches!(spoilt, None | Some(Reason::Share));
        reason = if late && expected == Some(Reason::Holders) { expected } else { spoilt.or(expected) };
    }
    Some(Crafted { message, expected: reason })
}

/// What an otherwise allowed M4 meets: own holders that are missing, a colluder's unusable mask key.
fn expected(front: &Front<'_>, to: MerchantIndex, view: &View, message: &ForwardedShares) -> Option<Reason> {
    if let Graph::Sparse { share_threshold, .. } = front.secagg().graph
        && holders(front, to).intersection(&message.members.iter().copied().collect()).count()
            < share_threshold as usize
    {
        return Some(Reason::Holders);
    }
    let unusable = |member: &MerchantIndex| {
        view.keys(*member).is_some_and(|keys| UNUSABLE_KEYS.contains(&keys.mask_key.0))
    };
    message.members.iter().any(unusable).then_some(Reason::Key)
}

fn holders(front: &Front<'_>, dealer: MerchantIndex) -> BTreeSet<MerchantIndex> {
    let shares = front.seen(dealer).and_then(|seen| seen.shares.as_ref());
    shares.iter().flat_map(|shares| &shares.shares).map(|share| share.peer).collect()
}

/// U2 of the merchant, everybody it did not choose, and of its holders as few as m_min lets it.
fn without_holders(
    front: &Front<'_>,
    to: MerchantIndex,
    possible: &BTreeSet<MerchantIndex>,
) -> Option<BTreeSet<MerchantIndex>> {
    let Graph::Sparse { share_threshold, .. } = front.secagg().graph else { return None };
    let holders = holders(front, to);
    let mut members: BTreeSet<MerchantIndex> = possible.difference(&holders).copied().collect();
    let missing = (front.secagg().survivors_min as usize).saturating_sub(members.len());
    members.extend(holders.iter().copied().filter(|holder| possible.contains(holder)).take(missing));
    let enough = members.len() >= front.secagg().survivors_min as usize;
    (enough && members.intersection(&holders).count() < share_threshold as usize).then_some(members)
}

fn spoil(
    front: &Front<'_>,
    draws: &mut Draws,
    to: MerchantIndex,
    forbidden: SharesMove,
    other: Option<&Front<'_>>,
    message: &mut ForwardedShares,
) -> Option<Option<Reason>> {
    let least = front.secagg().survivors_min as usize;
    let complete = front.secagg().graph == Graph::Complete;
    let ForwardedShares { sid, members, shares } = message;
    let reason = match forbidden {
        SharesMove::OtherSession => {
            *sid = other?.sid();
            Reason::Session
        }
        SharesMove::Unsorted => {
            members.reverse();
            Reason::Order
        }
        SharesMove::Repeated => {
            shares.insert(0, shares.first()?.clone());
            Reason::Order
        }
        SharesMove::TooFew => {
            while members.len() >= least {
                let last = members.iter().rposition(|member| *member != to)?;
                let gone = members.remove(last);
                shares.retain(|share| share.peer != gone);
            }
            Reason::TooFew
        }
        SharesMove::OwnMissing => {
            members.retain(|member| *member != to);
            if members.len() < least { Reason::TooFew } else { Reason::Own }
        }
        SharesMove::Stranger => {
            let view = front.view(to)?;
            let strangers = front.session.federation.merchants().filter(|one| view.keys(*one).is_none());
            members.push(draws.pick_any(&strangers.collect::<Vec<_>>())?);
            members.sort_unstable();
            Reason::Stranger
        }
        SharesMove::ShareOfStranger => {
            let strangers = front.session.federation.merchants().filter(|one| !members.contains(one));
            let peer = draws.pick_any(&strangers.collect::<Vec<_>>())?;
            shares.push(DealtShare { peer, ..shares.first()?.clone() });
            shares.sort_by_key(|share| share.peer);
            Reason::Stranger
        }
        SharesMove::ShareOfOwn => {
            shares.push(DealtShare { peer: to, ..shares.first()?.clone() });
            shares.sort_by_key(|share| share.peer);
            Reason::Stranger
        }
        SharesMove::Withheld => {
            // In the sparse graph nobody knows who chose it: nothing to refuse, and nothing to gain.
            shares.remove(draws.below(shares.len().max(1)).min(shares.len().checked_sub(1)?));
            return Some(complete.then_some(Reason::Dealers));
        }
        SharesMove::HoldersGone => Reason::Holders,
        SharesMove::OfAnotherRoster => {
            let dealer = draws.pick_any(&under_another_roster(front, to))?;
            members.push(dealer);
            members.sort_unstable();
            shares.push(dealt(front, dealer, to)?);
            shares.sort_by_key(|share| share.peer);
            Reason::Share
        }
        _ => {
            spoil_share(front, draws, to, forbidden, other, shares)?;
            Reason::Share
        }
    };
    Some(Some(reason))
}

/// Honest members of the merchant's U1 that dealt to it under another U1.
fn under_another_roster(front: &Front<'_>, to: MerchantIndex) -> Vec<MerchantIndex> {
    let Some(view) = front.view(to) else { return Vec::new() };
    let under_other = |dealer: &MerchantIndex| {
        view.keys(*dealer).is_some()
            && front.view(*dealer).is_some_and(|other| other.roster != view.roster)
            && dealt(front, *dealer, to).is_some()
    };
    front.keys.keys().copied().filter(under_other).collect()
}

/// Spoils one share.
fn spoil_share(
    front: &Front<'_>,
    draws: &mut Draws,
    to: MerchantIndex,
    forbidden: SharesMove,
    other: Option<&Front<'_>>,
    shares: &mut [DealtShare],
) -> Option<()> {
    let view = front.view(to)?;
    let all: Vec<usize> = (0..shares.len()).collect();
    let honest: Vec<usize> =
        all.iter().copied().filter(|place| !front.colluders.has(shares[*place].peer)).collect();
    let colluding: Vec<usize> =
        all.iter().copied().filter(|place| front.colluders.has(shares[*place].peer)).collect();
    let replace = |place: usize, share: DealtShare, shares: &mut [DealtShare]| shares[place] = share;
    match forbidden {
        SharesMove::OfAnotherHolder => {
            let place = draws.pick_any(&honest)?;
            let dealer = shares[place].peer;
            let others: Vec<MerchantIndex> =
                holders(front, dealer).into_iter().filter(|holder| *holder != to).collect();
            replace(place, dealt(front, dealer, draws.pick_any(&others)?)?, shares);
        }
        SharesMove::CiphertextsSwapped => {
            let (one, two) = (*all.first()?, *all.get(1)?);
            let first = shares[one].sealed.clone();
            shares[one].sealed = std::mem::replace(&mut shares[two].sealed, first);
        }
        SharesMove::CiphertextChanged => {
            let byte = draws.below(32);
            shares[draws.pick_any(&honest)?].sealed.mask_key[byte] ^= 1;
        }
        SharesMove::DealtUnreadable | SharesMove::DealtOtherHashes => {
            let place = draws.pick_any(&colluding)?;
            let dealing = if forbidden == SharesMove::DealtUnreadable {
                Dealing::WrongCiphertext
            } else {
                Dealing::WrongHashes
            };
            replace(place, front.colluders.deal(shares[place].peer, view, to, dealing)?, shares);
        }
        SharesMove::Replayed => {
            let place = draws.pick_any(&honest)?;
            replace(place, dealt(other?, shares[place].peer, to)?, shares);
        }
        _ => return None,
    }
    Some(())
}
