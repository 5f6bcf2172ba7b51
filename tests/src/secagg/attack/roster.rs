//! M2: whose keys, and which.

use std::collections::BTreeSet;

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{MemberKeys, RoundRoster};
use guildhall_shared::secagg::agreement::{AgreementKey, SecretKey};
use guildhall_shared::secagg::{Graph, graph, transcript};

use super::front::Front;
use super::{Crafted, Reason};
use crate::secagg::draws::Draws;

/// What no M2 may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RosterMove {
    /// Of another attempt or round.
    OtherSession,
    /// Out of order.
    Unsorted,
    /// One merchant twice.
    Repeated,
    /// A merchant beyond the pinned roster.
    Unknown,
    /// m_min − 1 merchants.
    TooFew,
    /// Without the receiver.
    OwnMissing,
    /// Another key for the receiver.
    OwnKeyChanged,
    /// An honest merchant's key replaced by the adversary's.
    PeerKeyReplaced,
    /// The same, signed by a colluder.
    PeerKeySignedByColluder,
    /// An honest merchant's two keys swapped.
    PeerKeysSwapped,
    /// The keys of two honest merchants swapped.
    TwoPeersSwapped,
    /// A colluder advertises an honest merchant's key.
    KeyCopied,
    /// A colluder advertises one key for both purposes.
    OneKeyTwice,
    /// A colluder advertises a key to encrypt shares to that is of small order or not spelled as keys are.
    UnusableEncryptionKey,
    /// The same of its key to agree masks with. Found when masks are made.
    UnusableMaskKey,
    /// An honest merchant's keys of another attempt or round.
    Replayed,
    /// An honest merchant that derived another model or other parameters.
    OtherModel,
}

impl RosterMove {
    /// All.
    pub const ALL: &[RosterMove] = &[
        RosterMove::OtherSession,
        RosterMove::Unsorted,
        RosterMove::Repeated,
        RosterMove::Unknown,
        RosterMove::TooFew,
        RosterMove::OwnMissing,
        RosterMove::OwnKeyChanged,
        RosterMove::PeerKeyReplaced,
        RosterMove::PeerKeySignedByColluder,
        RosterMove::PeerKeysSwapped,
        RosterMove::TwoPeersSwapped,
        RosterMove::KeyCopied,
        RosterMove::OneKeyTwice,
        RosterMove::UnusableEncryptionKey,
        RosterMove::UnusableMaskKey,
        RosterMove::Replayed,
        RosterMove::OtherModel,
    ];
}

/// Points of small order on Curve25519 and its twist, and second spellings: zero as p, and the base point with the bit set
/// that X25519 ignores.
pub const UNUSABLE_KEYS: [[u8; 32]; 5] = {
    let mut one = [0; 32];
    one[0] = 1;
    // p = 2^255 − 19; p − 1 is of order 2 on the twist.
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    let mut minus_one = p;
    minus_one[0] = 0xec;
    let mut base = [0; 32];
    base[0] = 9;
    base[31] = 0x80;
    [[0; 32], one, minus_one, p, base]
};

/// A roster for one merchant, allowed or with one forbidden move; nothing where that is impossible here.
pub(super) fn craft(
    front: &Front<'_>,
    draws: &mut Draws,
    to: MerchantIndex,
    forbidden: Option<RosterMove>,
    other: Option<&Front<'_>>,
) -> Option<Crafted<RoundRoster>> {
    let facts = front.session.facts_of(to);
    let alike = |merchant: &MerchantIndex| front.session.facts_of(*merchant) == facts;
    let honest = front.keys.keys().copied().filter(alike);
    let possible: BTreeSet<MerchantIndex> = honest.chain(front.colluders.members().iter().copied()).collect();
    let fitting = front.fit(draws, to, &possible)?;
    let keys = |merchant: &MerchantIndex| match front.keys.get(merchant) {
        Some(keys) => keys.clone(),
        None => front.colluders.advertise(*merchant, facts),
    };
    let mut message = RoundRoster { sid: front.sid(), members: fitting.iter().map(keys).collect() };
    let Some(forbidden) = forbidden else { return Some(Crafted { message, expected: None }) };
    let expected = spoil(front, draws, to, forbidden, other, &mut message)?;
    let expected =
        expected.filter(|reason| *reason != Reason::Signature || draws_unsigned(front, to, &message));
    Some(Crafted { message, expected })
}

/// Whether a merchant draws a holder whose keys nobody signed. It looks at no others: they must not do any harm.
fn draws_unsigned(front: &Front<'_>, to: MerchantIndex, message: &RoundRoster) -> bool {
    let facts = front.session.facts_of(to);
    let listed: Vec<MerchantIndex> = message.members.iter().map(|member| member.merchant).collect();
    let holders = graph::holders(facts.secagg.graph, &listed, to, &mut front.session.seed(to).holders());
    let is_signed = |member: &MemberKeys| {
        let key = facts.identity(member.merchant);
        key.is_some_and(|key| transcript::verify_advertise(facts, member, key).is_ok())
    };
    message.members.iter().any(|member| holders.contains(&member.merchant) && !is_signed(member))
}

/// Makes one forbidden move; the reason that must be given at once, if it can be seen at once.
fn spoil(
    front: &Front<'_>,
    draws: &mut Draws,
    to: MerchantIndex,
    forbidden: RosterMove,
    other: Option<&Front<'_>>,
    message: &mut RoundRoster,
) -> Option<Option<Reason>> {
    let least = front.secagg().survivors_min as usize;
    let members = &mut message.members;
    let reason = match forbidden {
        RosterMove::OtherSession => {
            message.sid = other?.sid();
            Reason::Session
        }
        RosterMove::Unsorted => {
            let last = members.len() - 1;
            members.swap(0, last);
            Reason::Order
        }
        RosterMove::Repeated => {
            members.insert(0, members[0].clone());
            Reason::Order
        }
        RosterMove::Unknown => {
            let mut unknown = members[0].clone();
            unknown.merchant = MerchantIndex(front.secagg().merchants as u16);
            members.push(unknown);
            Reason::Order
        }
        RosterMove::TooFew => {
            while members.len() >= least {
                let last = members.iter().rposition(|member| member.merchant != to)?;
                members.remove(last);
            }
            Reason::TooFew
        }
        RosterMove::OwnMissing => {
            members.retain(|member| member.merchant != to);
            if members.len() < least { Reason::TooFew } else { Reason::Own }
        }
        RosterMove::OwnKeyChanged => {
            own(members, to)?.mask_key = fresh(draws);
            Reason::Own
        }
        RosterMove::OtherModel => {
            other_model(front, draws, to, members)?;
            Reason::Signature
        }
        _ => return peers(front, draws, to, forbidden, other, members),
    };
    Some(Some(reason))
}

fn peers(
    front: &Front<'_>,
    draws: &mut Draws,
    to: MerchantIndex,
    forbidden: RosterMove,
    other: Option<&Front<'_>>,
    members: &mut [MemberKeys],
) -> Option<Option<Reason>> {
    let places = 0..members.len();
    let honest: Vec<usize> = places
        .clone()
        .filter(|place| members[*place].merchant != to && !front.colluders.has(members[*place].merchant))
        .collect();
    let colluding: Vec<usize> =
        places.filter(|place| front.colluders.has(members[*place].merchant)).collect();
    let peer = draws.pick_any(&honest);
    let colluder = draws.pick_any(&colluding);
    let facts = front.session.facts_of(to);
    let sign = |place: usize, encryption, mask, members: &mut [MemberKeys]| {
        members[place] = front.colluders.advertise_keys(members[place].merchant, facts, encryption, mask);
    };
    let reason = match forbidden {
        RosterMove::PeerKeyReplaced => {
            members[peer?].encryption_key = fresh(draws);
            Reason::Signature
        }
        RosterMove::PeerKeySignedByColluder => {
            let by = draws.pick_any(&front.colluding(front.colluders.members().iter().copied()))?;
            let forged = front.colluders.advertise_keys(by, facts, fresh(draws), fresh(draws));
            members[peer?] = MemberKeys { merchant: members[peer?].merchant, ..forged };
            Reason::Signature
        }
        RosterMove::PeerKeysSwapped => {
            let member = &mut members[peer?];
            std::mem::swap(&mut member.encryption_key, &mut member.mask_key);
            Reason::Signature
        }
        RosterMove::TwoPeersSwapped => {
            let (one, two) = (*honest.first()?, *honest.get(1)?);
            let (first, second) = (members[one].merchant, members[two].merchant);
            members.swap(one, two);
            (members[one].merchant, members[two].merchant) = (first, second);
            Reason::Signature
        }
        RosterMove::KeyCopied => {
            let copied = members[peer?].mask_key;
            sign(colluder?, copied, members[colluder?].mask_key, members);
            Reason::DuplicateKey
        }
        RosterMove::OneKeyTwice => {
            let key = members[colluder?].mask_key;
            sign(colluder?, key, key, members);
            Reason::DuplicateKey
        }
        RosterMove::UnusableEncryptionKey => {
            complete(front)?;
            let unusable = AgreementKey(*draws.pick(&UNUSABLE_KEYS));
            sign(colluder?, unusable, members[colluder?].mask_key, members);
            Reason::Key
        }
        RosterMove::UnusableMaskKey => {
            complete(front)?;
            let unusable = AgreementKey(*draws.pick(&UNUSABLE_KEYS));
            sign(colluder?, members[colluder?].encryption_key, unusable, members);
            return Some(None);
        }
        RosterMove::Replayed => {
            let merchant = members[peer?].merchant;
            members[peer?] = other?.keys.get(&merchant)?.clone();
            Reason::Signature
        }
        _ => return None,
    };
    Some(Some(reason))
}

/// In the sparse graph a merchant may never have to do with a colluder's key.
fn complete(front: &Front<'_>) -> Option<()> {
    (front.secagg().graph == Graph::Complete).then_some(())
}

fn own(members: &mut [MemberKeys], to: MerchantIndex) -> Option<&mut MemberKeys> {
    members.iter_mut().find(|member| member.merchant == to)
}

fn fresh(draws: &mut Draws) -> AgreementKey {
    SecretKey::from_bytes(&draws.bytes().into()).public()
}

fn other_model(
    front: &Front<'_>,
    draws: &mut Draws,
    to: MerchantIndex,
    members: &mut Vec<MemberKeys>,
) -> Option<()> {
    let facts = front.session.facts_of(to);
    let others: Vec<&MemberKeys> =
        front.keys.values().filter(|keys| front.session.facts_of(keys.merchant) != facts).collect();
    let stranger = draws.pick_any(&others)?;
    members.push(stranger.clone());
    members.sort_by_key(|member| member.merchant);
    Some(())
}
