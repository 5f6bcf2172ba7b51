//! Who is left out of attempts because of what happened in earlier ones. [core]

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::message::{Abort, Complaint, Receipt, Verdict};
use guildhall_shared::secagg::transcript;

use super::{Coordinator, Output, RunningJob};
use crate::event::Event;
use crate::round::{Accusation, Blame, Misdeed, RoundMessage};

impl RunningJob {
    /// Whom to leave out of an attempt that these merchants could take part in, always leaving a quorum: everybody there is
    /// reason to; or else those with proof against them and then those complained about, by most peers first, as many as can
    /// be spared.
    pub(super) fn left_out(&self, able: &BTreeSet<MerchantIndex>) -> BTreeSet<MerchantIndex> {
        let quorum = self.parameters().quorum as usize;
        let leaves_a_quorum = |out: &BTreeSet<MerchantIndex>| able.difference(out).count() >= quorum;
        let all = &self.culprits | &self.sitting_out;
        if leaves_a_quorum(&all) {
            return all;
        }
        let mut out = BTreeSet::new();
        for merchant in self.culprits.iter().chain(&self.most_accused_first()) {
            let more = &out | &BTreeSet::from([*merchant]);
            if leaves_a_quorum(&more) {
                out = more;
            }
        }
        out
    }

    /// Those sitting out that others complained about.
    fn most_accused_first(&self) -> Vec<MerchantIndex> {
        let accusers = self.accusers();
        let count = |merchant: &MerchantIndex| accusers.get(merchant).map_or(0, BTreeSet::len);
        let mut accused: Vec<MerchantIndex> =
            self.sitting_out.iter().copied().filter(|m| count(m) > 0).collect();
        accused.sort_by_key(|merchant| std::cmp::Reverse(count(merchant)));
        accused
    }

    /// By whom each merchant was complained about.
    fn accusers(&self) -> BTreeMap<MerchantIndex, BTreeSet<MerchantIndex>> {
        let mut accusers: BTreeMap<MerchantIndex, BTreeSet<MerchantIndex>> = BTreeMap::new();
        for Accusation { about, by } in &self.complaints {
            accusers.entry(*about).or_default().insert(*by);
        }
        accusers
    }

    /// Whoever more peers complained about than may collude is at fault, for one of them is honest; its accusers have nothing
    /// to sit out for. Returns whom that convicts now.
    fn convict(&mut self) -> BTreeSet<MerchantIndex> {
        let Some(secagg) = &self.parameters().secagg else { return BTreeSet::new() };
        let colluders = secagg.colluders as usize;
        let mut convicted = BTreeSet::new();
        for (about, by) in self.accusers().into_iter().filter(|(_, by)| by.len() > colluders) {
            if self.culprits.insert(about) {
                convicted.insert(about);
            }
            self.sitting_out.retain(|merchant| !by.contains(merchant));
        }
        convicted
    }
}

impl Coordinator {
    /// Remembers who is to blame for what happened in an attempt, and tells the operator of proofs.
    pub(super) fn blame(&mut self, round: RoundId, blame: &Blame, out: &mut Vec<Output>) {
        let Some(job) = &mut self.job else { return };
        job.sitting_out.extend(&blame.sitting_out);
        job.complaints.extend(&blame.complaints);
        job.culprits.extend(blame.culprits.iter().map(|culprit| culprit.merchant));
        for culprit in &blame.culprits {
            let reason = match culprit.misdeed {
                Misdeed::WrongShare => "it revealed a share that is not the one it was dealt",
                Misdeed::BadDealing => "it dealt shares of something else than it committed itself to",
            };
            self.tell_misdeed(round, culprit.merchant, reason, out);
        }
        self.convict(round, out);
    }

    fn convict(&mut self, round: RoundId, out: &mut Vec<Output>) {
        for merchant in self.job.as_mut().map(RunningJob::convict).unwrap_or_default() {
            let reason = "more merchants complained about its shares than may collude";
            self.tell_misdeed(round, merchant, reason, out);
        }
    }

    fn tell_misdeed(&self, round: RoundId, merchant: MerchantIndex, reason: &str, out: &mut Vec<Output>) {
        let Some(merchant) = self.name(merchant) else { return };
        let RoundId { round, attempt } = round;
        out.push(Output::Event(Event::Misbehaved { round, attempt, merchant, reason: reason.to_owned() }));
    }

    /// A good merchant cannot know yet that the attempt ended without waiting for this. It is told where it would wait for
    /// an answer, and its complaint still counts.
    pub(super) fn after_the_end(
        &mut self,
        from: MerchantIndex,
        message: &RoundMessage<'_>,
        out: &mut Vec<Output>,
    ) {
        if message.awaits_an_answer() {
            let abort = Abort { sid: message.sid(), reason: "the attempt has ended".into() };
            out.push(Output::Send { to: from, message: abort.into() });
        }
        match message {
            RoundMessage::Complaint(complaint) => self.late_complaint(from, complaint, out),
            RoundMessage::Update { header, .. } => {
                let verdict = Verdict::Refused("the attempt has ended".into());
                let receipt = Receipt { sid: header.sid, verdict };
                out.push(Output::Send { to: from, message: receipt.into() });
            }
            _ => (),
        }
    }

    fn late_complaint(&mut self, by: MerchantIndex, complaint: &Complaint, out: &mut Vec<Output>) {
        let about = complaint.about;
        let (accuser, accused) = (self.setup.roster.identity(by), self.setup.roster.identity(about));
        let (Some(accuser), Some(_), Some(job)) = (accuser, accused, &mut self.job) else { return };
        if by == about || transcript::verify_complaint(complaint, accuser).is_err() {
            return;
        }
        let last = job.last_attempt();
        job.complaints.insert(Accusation { about, by });
        if let Some(last) = last {
            self.convict(last, out);
        }
    }

    /// Tells the operator who is left out of the attempt that opens, and who only should be. Complaints without proof count
    /// for one attempt.
    pub(super) fn tell_left_out(
        &mut self,
        round: RoundId,
        left_out: &BTreeSet<MerchantIndex>,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = &mut self.job else { return };
        let complaints = std::mem::take(&mut job.sitting_out);
        let wanted = &job.culprits | &complaints;
        if wanted.is_empty() {
            return;
        }
        let (quorum, kept) = (job.parameters().quorum, &wanted - left_out);
        let mut reason =
            String::from("complaints about shares, or proof of misbehaviour, in earlier attempts");
        if !kept.is_empty() {
            let names: Vec<String> = kept.iter().map(|merchant| self.label(*merchant)).collect();
            reason.push_str(&format!(
                "; {} should sit out too, but fewer than the {quorum} merchants that a round needs would remain",
                names.join(", ")
            ));
        }
        let (merchants, RoundId { round, attempt }) = (self.names(left_out), round);
        out.push(Output::Event(Event::SittingOut { round, attempt, merchants, reason }));
    }
}
