//! What a merchant says in a round. [core]

use guildhall_shared::digest::Digest;
use guildhall_shared::message::{
    Accept, Advertise, Certify, Complaint, Decline, Shares, Unmask, UpdateHeader,
};

/// What a merchant says in a round.
#[derive(Clone, Debug)]
pub enum RoundMessage<'a> {
    /// It takes part in a plain round.
    Accept(Accept),
    /// It does not take part, or cannot go on.
    Decline(Decline),
    /// It takes part in a masked round.
    Advertise(Advertise),
    /// Its secrets, dealt.
    Shares(Box<Shares>),
    /// Somebody's shares are unusable.
    Complaint(Complaint),
    /// Its update.
    Update {
        /// Session, hash, signature.
        header: UpdateHeader,
        /// Ring words, little endian.
        words: &'a [u8],
    },
    /// It has seen the survivors.
    Certify(Certify),
    /// Shares that take the masks off the sum.
    Unmask(Unmask),
}

impl RoundMessage<'_> {
    /// The message's name.
    pub fn name(&self) -> &'static str {
        match self {
            RoundMessage::Accept(_) => "an acceptance",
            RoundMessage::Decline(_) => "a refusal to take part",
            RoundMessage::Advertise(_) => "an advertisement of keys",
            RoundMessage::Shares(_) => "dealt shares",
            RoundMessage::Complaint(_) => "a complaint",
            RoundMessage::Update { .. } => "an update",
            RoundMessage::Certify(_) => "a signature over the survivors",
            RoundMessage::Unmask(_) => "shares to unmask with",
        }
    }

    /// The attempt it claims to belong to.
    pub fn sid(&self) -> Digest {
        match self {
            RoundMessage::Accept(accept) => accept.sid,
            RoundMessage::Decline(decline) => decline.sid,
            RoundMessage::Advertise(advertise) => advertise.sid,
            RoundMessage::Shares(shares) => shares.sid,
            RoundMessage::Complaint(complaint) => complaint.sid,
            RoundMessage::Update { header, .. } => header.sid,
            RoundMessage::Certify(certify) => certify.sid,
            RoundMessage::Unmask(unmask) => unmask.sid,
        }
    }

    /// Whether a good merchant may say it when a masked attempt has ended without waiting for it: its words and the end
    /// crossed. Only plain mode has acceptances.
    pub fn may_cross_the_end(&self) -> bool {
        !matches!(self, RoundMessage::Accept(_))
    }

    /// Whether its sender may have reserved budget and wait for what follows, so that it must hear of the end.
    pub fn awaits_an_answer(&self) -> bool {
        matches!(self, RoundMessage::Advertise(_) | RoundMessage::Shares(_))
    }
}
