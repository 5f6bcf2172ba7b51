//! What the participant reports becomes events and counters.

use guildhall_shared::job::JobSpec;
use guildhall_shared::round_parameters::RoundMode;

use super::Client;
use crate::event::Event;
use crate::participant::{Refused, Report};
use crate::serve::Vitals;

/// The label of a job's offers and models: how updates travel, and what protects the shoppers.
pub(super) fn label(spec: &JobSpec) -> String {
    format!("{}; {}", RoundMode::of(spec).label(), spec.privacy.label())
}

impl Client {
    /// A statement of the server's that is not acted upon.
    pub(super) fn refused(&mut self, refused: &Refused) {
        let reason = refused.to_string();
        tracing::warn!(%reason, "refused");
        Vitals::count(&self.service.vitals().refused);
        if refused.ends_session() {
            self.hang_up = Some(reason.clone());
        }
        self.tell(Event::Refused { reason });
    }

    pub(super) fn report(&mut self, report: Report) {
        let vitals = self.service.vitals();
        match &report {
            Report::Accepted(_) => Vitals::count(&vitals.accepted),
            Report::Declined { .. } => Vitals::count(&vitals.declined),
            Report::Committed(_) => Vitals::count(&vitals.committed),
            Report::NewModel { .. } => Vitals::count(&vitals.versions),
            Report::Stopped { .. } => Vitals::count(&vitals.stopped),
            Report::Finished { .. } => self.finished = true,
            Report::RosterPinned { .. }
            | Report::JobAnnounced { .. }
            | Report::Stage { .. }
            | Report::AttemptEnded { .. } => {}
        }
        self.tell(self.event(report));
    }

    fn event(&self, report: Report) -> Event {
        let label = self.job.as_ref().map_or(String::new(), |job| job.label.clone());
        match report {
            Report::RosterPinned { roster, merchants } => Event::RosterPinned { roster, merchants },
            Report::JobAnnounced { spec, parameters, objection } => Event::JobAnnounced {
                job: spec.name.clone(),
                purpose: spec.purpose.clone(),
                label,
                mode: parameters.mode.label(),
                rounds: spec.rounds,
                parameters: parameters.parameters,
                objection,
            },
            Report::Accepted(at) => Event::Accepted { round: at.round, attempt: at.attempt, label },
            Report::Declined { round: at, reason } => {
                Event::Declined { round: at.round, attempt: at.attempt, reason, label }
            }
            Report::Committed(at) => Event::Committed { round: at.round, attempt: at.attempt, label },
            Report::Stage { round: at, stage } => {
                Event::Stage { round: at.round, attempt: at.attempt, stage, label }
            }
            Report::AttemptEnded { round: at, reason } => {
                Event::AttemptEnded { round: at.round, attempt: at.attempt, reason, label }
            }
            Report::NewModel { job, version, model } => {
                let (epsilon_spent, epsilon_spent_on_job) = self.books.epsilon(Some(&job));
                let (epsilon_budget, delta) = (self.config.budget.epsilon, self.config.budget.delta);
                Event::NewModel {
                    job,
                    version,
                    model,
                    epsilon_spent,
                    epsilon_spent_on_job,
                    epsilon_budget,
                    delta,
                    label,
                }
            }
            Report::Finished { job, version, model } => {
                let (epsilon_spent, _) = self.books.epsilon(Some(&job));
                Event::Finished { job, version, model, epsilon_spent, label }
            }
            Report::Stopped { job, reason } => Event::Stopped { job, reason, label },
        }
    }
}
