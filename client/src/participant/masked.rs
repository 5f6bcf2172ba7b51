//! The messages of a masked attempt. The core of secure aggregation checks them; here is what follows. [core]
//!
//! ```text
//! Reserved ─Advertise▶ RoundRoster ─Shares▶ ForwardedShares ─CompareHeads▶ LedgerCompared ─Train▶ … ─Upload▶ Survivors ─Certify▶ Certificate ─Unmask▶
//! ```
//! A message of another attempt, of plain mode or out of order is refused and changes nothing. A message whose content is
//! wrong ends the attempt: its secrets are wiped, and the merchant is a dropout of it.

use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::job::Aggregation;
use guildhall_shared::message::{
    Certificate, Decline, DeclineReason, ForwardedShares, RoundRoster, Survivors,
};
use guildhall_shared::secagg::Facts;
use guildhall_shared::secagg::client::{Breach, advertise};
use guildhall_shared::secagg::seed::SessionSeed;

use super::attempt::{Cover, Origin, Stage};
use super::{AttemptStage, Outcome, Output, Participant, Refused, Report, send};

/// A set of survivors this client signed: the result of that attempt must be the sum of exactly these.
pub(super) struct SignedSurvivors {
    pub round: RoundId,
    pub survivors: Vec<MerchantIndex>,
}

/// Whether the attempt's debit can still be given back.
enum Debit {
    Reserved,
    Committed,
}

impl Participant {
    /// M1, once the reservation is durable.
    pub(super) fn advertise(
        &mut self,
        origin: Origin,
        facts: Facts,
        seed: SessionSeed,
        out: &mut Vec<Output>,
    ) {
        let Some(own) = self.pinned.as_ref().map(|pinned| pinned.own) else { return };
        let (state, message) = advertise(Arc::new(facts), own, seed, &self.standing.identity);
        send(message, out);
        out.push(Output::Report(Report::Accepted(origin.round)));
        self.reach(origin, Stage::Advertised(Box::new(state)), AttemptStage::Advertised, out);
    }

    /// M2 in, M3 out.
    pub(super) fn round_roster(
        &mut self,
        roster: &RoundRoster,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        const MESSAGE: &str = "RoundRoster";
        self.expect(MESSAGE, roster.sid, Aggregation::Masked)?;
        let advertised = |stage| match stage {
            Stage::Advertised(state) => Ok(state),
            other => Err(other),
        };
        let (origin, state) =
            self.take(&roster.sid, advertised).map_err(|error| error.refused(MESSAGE, roster.sid))?;
        match state.share(roster, &self.witness, &self.standing.identity) {
            Ok((state, message)) => {
                send(message, out);
                self.reach(origin, Stage::Sharing(Box::new(state)), AttemptStage::Shared, out);
                Ok(())
            }
            Err(breach) => Err(broken(&origin, Debit::Reserved, breach, out)),
        }
    }

    /// M4 in: the ledger is held against what the dealers saw of it.
    pub(super) fn forwarded_shares(
        &mut self,
        forwarded: &ForwardedShares,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        const MESSAGE: &str = "ForwardedShares";
        self.expect(MESSAGE, forwarded.sid, Aggregation::Masked)?;
        let sharing = |stage| match stage {
            Stage::Sharing(state) => Ok(state),
            other => Err(other),
        };
        let (origin, state) =
            self.take(&forwarded.sid, sharing).map_err(|error| error.refused(MESSAGE, forwarded.sid))?;
        match state.receive(forwarded, &self.standing.identity) {
            Ok(state) => {
                let (sid, seen) = (origin.sid, state.seen().to_vec());
                self.enter(origin, Stage::Comparing(Box::new(state)));
                out.push(Output::CompareHeads { sid, seen });
                Ok(())
            }
            Err(breach) => Err(broken(&origin, Debit::Reserved, breach, out)),
        }
    }

    /// The ledger is what everybody saw: training starts, and takes the masks along. Otherwise this client takes no part.
    pub(super) fn ledger_compared(
        &mut self,
        now_ms: u64,
        sid: Digest,
        objection: Option<String>,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        let comparing = |stage| match stage {
            Stage::Comparing(state) => Ok(state),
            other => Err(other),
        };
        // An answer to a question of an attempt that is over.
        let Ok((origin, state)) = self.take(&sid, comparing) else { return Ok(()) };
        let round = origin.round;
        if let Some(reason) = objection {
            out.push(Output::Refund { sid });
            send(Decline { sid, reason: DeclineReason::Policy }, out);
            out.push(Output::Report(Report::AttemptEnded { round, reason }));
            return Ok(());
        }
        match state.masks() {
            Ok((masks, state)) => {
                self.train(now_ms, origin, Cover::Masked(Box::new(state)), Some(masks), out);
                out.push(Output::Report(Report::Stage { round, stage: AttemptStage::Masked }));
                Ok(())
            }
            Err(breach) => Err(broken(&origin, Debit::Reserved, breach, out)),
        }
    }

    /// M6 in, M7 out: one set of survivors is signed and remembered, with where their ledgers stand.
    pub(super) fn survivors(&mut self, survivors: &Survivors, out: &mut Vec<Output>) -> Result<(), Refused> {
        const MESSAGE: &str = "Survivors";
        self.expect(MESSAGE, survivors.sid, Aggregation::Masked)?;
        let uploaded = |stage| match stage {
            Stage::Uploaded(state) => Ok(state),
            other => Err(other),
        };
        let (origin, state) =
            self.take(&survivors.sid, uploaded).map_err(|error| error.refused(MESSAGE, survivors.sid))?;
        match state.certify(survivors, &self.witness, &self.standing.identity) {
            Ok((state, message)) => {
                if let Some(job) = &mut self.job {
                    let survivors = state.survivors().collect();
                    job.signed.insert(origin.sid, SignedSurvivors { round: origin.round, survivors });
                }
                state.heads().for_each(|(merchant, head)| self.witness.saw(merchant, head));
                out.push(Output::KeepWitness(Box::new(self.witness.clone())));
                send(message, out);
                self.reach(origin, Stage::Certified(Box::new(state)), AttemptStage::Certified, out);
                Ok(())
            }
            Err(breach) => Err(broken(&origin, Debit::Committed, breach, out)),
        }
    }

    /// M8 in, M9 out: one shot, and nothing secret is left.
    pub(super) fn certificate(
        &mut self,
        certificate: &Certificate,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        const MESSAGE: &str = "Certificate";
        self.expect(MESSAGE, certificate.sid, Aggregation::Masked)?;
        let certified = |stage| match stage {
            Stage::Certified(state) => Ok(state),
            other => Err(other),
        };
        let (origin, state) = self
            .take(&certificate.sid, certified)
            .map_err(|error| error.refused(MESSAGE, certificate.sid))?;
        match state.unmask(certificate, &self.standing.identity) {
            Ok((message, evidence)) => {
                send(message, out);
                self.reach(origin, Stage::Unmasked(Box::new(evidence)), AttemptStage::Unmasked, out);
                Ok(())
            }
            Err(breach) => Err(broken(&origin, Debit::Committed, breach, out)),
        }
    }

    fn reach(&mut self, origin: Origin, stage: Stage, reached: AttemptStage, out: &mut Vec<Output>) {
        out.push(Output::Report(Report::Stage { round: origin.round, stage: reached }));
        self.enter(origin, stage);
    }
}

/// What the server said breaks the rules of secure aggregation: the attempt was taken out, and stays so. Before the
/// commitment the budget is given back and the server told, so that it need not wait; afterwards the debit stays.
fn broken(origin: &Origin, debit: Debit, breach: Breach, out: &mut Vec<Output>) -> Refused {
    let Origin { sid, round, .. } = *origin;
    match (debit, &breach) {
        (Debit::Reserved, Breach::Share { complaint, .. }) => {
            out.push(Output::Refund { sid });
            send(complaint.as_ref().clone(), out);
        }
        (Debit::Reserved, _) => {
            out.push(Output::Refund { sid });
            send(Decline { sid, reason: DeclineReason::Mismatch }, out);
        }
        (Debit::Committed, _) => {
            out.push(Output::Settle { sid, outcome: Outcome::Aborted, certificate: None })
        }
    }
    out.push(Output::Report(Report::AttemptEnded { round, reason: breach.to_string() }));
    Refused::Breach(breach)
}
