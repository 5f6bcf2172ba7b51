//! M3 in, M4 out: everybody's secrets in shares the server cannot read. [core]

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Collecting;
use super::fault::{Fault, Shortfall, check_session};
use crate::digest::Digest;
use crate::id::MerchantIndex;
use crate::message::{DealtShare, ForwardedShares, MemberKeys, Shares};
use crate::secagg::{Facts, Graph, transcript};

/// Shares come in.
#[derive(Clone, Debug, PartialEq)]
pub struct Sharing {
    pub(super) facts: Arc<Facts>,
    /// U1.
    pub(super) members: BTreeMap<MerchantIndex, MemberKeys>,
    /// T1.
    pub(super) roster: Digest,
    pub(super) dealt: BTreeMap<MerchantIndex, Shares>,
}

impl Sharing {
    pub(super) fn new(facts: Arc<Facts>, members: Vec<MemberKeys>) -> Self {
        let roster = transcript::roster_digest(&facts.sid, &members);
        let members = members.into_iter().map(|member| (member.merchant, member)).collect();
        Sharing { facts, members, roster, dealt: BTreeMap::new() }
    }

    /// Takes an M3. The signatures for single holders are the holders' to check.
    ///
    /// # Errors
    /// [`Fault`]; nothing changed.
    pub fn receive(&mut self, from: MerchantIndex, message: Shares) -> Result<(), Fault> {
        let stranger = Fault::Stranger { expected: "advertised keys" };
        let identity =
            self.facts.identity(from).filter(|_| self.members.contains_key(&from)).ok_or(stranger)?;
        check_session(self.facts.sid, message.sid)?;
        if self.dealt.contains_key(&from) {
            return Err(Fault::Repeated { message: "Shares" });
        }
        self.check_holders(from, &message)?;
        transcript::verify_shares(&self.roster, &message, identity)?;
        self.dealt.insert(from, message);
        Ok(())
    }

    fn check_holders(&self, from: MerchantIndex, message: &Shares) -> Result<(), Fault> {
        let listed: Vec<MerchantIndex> = message.shares.iter().map(|share| share.peer).collect();
        let ascending = listed.windows(2).all(|pair| pair[0] < pair[1]);
        let members = listed.iter().all(|holder| *holder != from && self.members.contains_key(holder));
        let (expected, right) = match self.facts.secagg.graph {
            Graph::Complete => {
                let all = listed.len() + 1 == self.members.len() && message.own.is_some();
                ("every other member, ascending, and hashes of its own".to_owned(), all)
            }
            Graph::Sparse { holders, .. } => {
                let drawn = (holders as usize).min(self.members.len().saturating_sub(1));
                let right = listed.len() == drawn && message.own.is_none();
                (format!("{drawn} other members, ascending"), right)
            }
        };
        if ascending && members && right {
            return Ok(());
        }
        Err(Fault::Holders { expected, found: format!("{} holders that are not those", listed.len()) })
    }

    /// Who dealt so far.
    pub fn dealers(&self) -> impl Iterator<Item = MerchantIndex> {
        self.dealt.keys().copied()
    }

    /// U1.
    pub fn members(&self) -> impl Iterator<Item = MerchantIndex> {
        self.members.keys().copied()
    }

    /// M4, one for each member of U2: U2 is final.
    ///
    /// # Errors
    /// [`Shortfall`] below m_min.
    pub fn close(self) -> Result<(Collecting, BTreeMap<MerchantIndex, ForwardedShares>), Shortfall> {
        Shortfall::check("deal shares", self.facts.secagg.survivors_min, self.dealt.len())?;
        let members: Vec<MerchantIndex> = self.dealt.keys().copied().collect();
        let empty = ForwardedShares { sid: self.facts.sid, members: members.clone(), shares: Vec::new() };
        let mut forwarded: BTreeMap<MerchantIndex, ForwardedShares> =
            members.iter().map(|member| (*member, empty.clone())).collect();
        for (dealer, shares) in &self.dealt {
            for share in &shares.shares {
                if let Some(message) = forwarded.get_mut(&share.peer) {
                    message.shares.push(DealtShare { peer: *dealer, ..share.clone() });
                }
            }
        }
        Ok((Collecting::new(self, &members), forwarded))
    }
}
