//! When and with whom the next attempt starts. [core]

use std::collections::BTreeSet;
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::Signature;
use guildhall_shared::message::Offer;

use super::{Coordinator, Output, Phase};
use crate::round::{Attempt, Round, TimestampMs};

impl Coordinator {
    /// Starts the next attempt if it is time, or says when to look again.
    pub(super) fn consider_start(&mut self, now: TimestampMs, out: &mut Vec<Output>) {
        let (Phase::Waiting { not_before, quorum_since }, Some(job)) = (&mut self.phase, &self.job) else {
            return;
        };
        let (quorum, version) = (job.parameters().quorum as usize, job.version());
        let patience = job.spec().round.accept_deadline_ms;
        let connected = |wanted: fn(&Option<u32>, u32) -> bool| -> BTreeSet<MerchantIndex> {
            let members = self.members.iter().filter(|(_, member)| wanted(&member.derived, version));
            members.map(|(index, _)| *index).collect()
        };
        let able = connected(|derived, _| derived.is_some());
        let left_out = job.left_out(&able);
        let able = &able - &left_out;
        let ready = &connected(|derived, version| *derived == Some(version)) - &left_out;
        if able.len() < quorum.max(1) {
            (*quorum_since, self.waiting_until) = (None, None);
            return;
        }
        let worth_waiting_for =
            if job.opened { able.len() } else { self.setup.roster.len() - left_out.len() };
        let give_up_waiting = quorum_since.get_or_insert(now).saturating_add(patience);
        let start_at =
            if ready.len() >= worth_waiting_for { *not_before } else { give_up_waiting.max(*not_before) };
        if now < start_at {
            self.waiting_until = Some(start_at);
            return;
        }
        // Whoever is late with the newest version joins the next attempt, unless there is no quorum without it. It was
        // waited for once: a dead merchant must not slow every round until its session times out, so it is waited for
        // again only once it says that it is ready.
        let offered = if ready.len() >= quorum {
            for member in self.members.values_mut().filter(|member| member.derived != Some(version)) {
                member.derived = None;
            }
            ready
        } else {
            able
        };
        self.open_attempt(now, offered, &left_out, out);
    }

    fn open_attempt(
        &mut self,
        now: TimestampMs,
        offered: BTreeSet<MerchantIndex>,
        left_out: &BTreeSet<MerchantIndex>,
        out: &mut Vec<Output>,
    ) {
        let Some(job) = &mut self.job else { return };
        let round = job.next_attempt();
        let nonce = Digest::of(
            "guildhall nonce v1",
            &[
                &self.setup.nonce_seed,
                &job.digest().0,
                &round.round.to_le_bytes(),
                &round.attempt.to_le_bytes(),
                &job.version().to_le_bytes(),
            ],
        );
        let offer = Offer {
            federation: self.setup.federation,
            job: job.digest(),
            round,
            version: job.version(),
            model: job.model(),
            parameters: job.parameters().clone(),
            roster: self.roster_digest,
            nonce: nonce.0,
            signature: Signature([[0; 32]; 2]),
        }
        .sign(&self.setup.key);
        let attempt = Attempt {
            round,
            sid: offer.sid(),
            model: job.model(),
            parameters: job.parameters_digest(),
            ring: job.parameters().ring,
            dimension: job.parameters().parameters as usize,
            quorum: job.parameters().quorum as usize,
            accept_deadline_ms: job.spec().round.accept_deadline_ms,
            update_deadline_ms: job.spec().round.update_deadline_ms,
            offered,
            roster: Arc::clone(&self.setup.roster),
        };
        job.offered(round);
        out.push(Output::RecordAttempt(round));
        self.tell_left_out(round, left_out, out);
        let mut wishes = Vec::new();
        let opened = Round::open(attempt, &offer, now, &mut wishes);
        self.phase = Phase::Idle;
        self.tell_phase(&opened, out);
        self.after_round_step(now, opened, now, wishes, out);
    }
}
