//! Numbers for Prometheus, written by hand. All are public or the merchant's own; none names a shopper or an item.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Service;
use super::arms::ArmCounts;

/// Counters and gauges of a client.
#[derive(Default)]
pub struct Vitals {
    /// Attempts accepted.
    pub accepted: AtomicU64,
    /// Offers declined.
    pub declined: AtomicU64,
    /// Updates committed: debits that stay.
    pub committed: AtomicU64,
    /// Versions derived.
    pub versions: AtomicU64,
    /// Sessions opened.
    pub sessions: AtomicU64,
    /// Statements of the server's that were refused.
    pub refused: AtomicU64,
    /// 1 while a session is open.
    pub connected: AtomicU64,
    /// 1 when the server contradicted what this client derived, and it takes no further part.
    pub stopped: AtomicU64,
    /// Questions answered.
    pub answered: AtomicU64,
    /// Questions that could not be answered.
    pub unanswerable: AtomicU64,
    /// Recommendations and lists of similar items.
    pub recommended: AtomicU64,
    /// Explanations.
    pub explained: AtomicU64,
    /// Inferences by the Open Inference Protocol.
    pub inferred: AtomicU64,
    /// Events recorded.
    pub events: AtomicU64,
    epsilon_spent_bits: AtomicU64,
    epsilon_spent_on_job_bits: AtomicU64,
}

impl Vitals {
    /// Counts one more.
    pub fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Counts several more.
    pub fn add(counter: &AtomicU64, more: u64) {
        counter.fetch_add(more, Relaxed);
    }

    /// Sets what was spent: over all jobs, and on the followed one.
    pub fn set_epsilon_spent(&self, total: f64, on_job: f64) {
        self.epsilon_spent_bits.store(total.to_bits(), Relaxed);
        self.epsilon_spent_on_job_bits.store(on_job.to_bits(), Relaxed);
    }

    /// ε spent over all jobs.
    pub fn epsilon_spent(&self) -> f64 {
        f64::from_bits(self.epsilon_spent_bits.load(Relaxed))
    }

    /// ε spent on the followed job.
    pub fn epsilon_spent_on_job(&self) -> f64 {
        f64::from_bits(self.epsilon_spent_on_job_bits.load(Relaxed))
    }
}

/// The Prometheus text exposition format, version 0.0.4.
pub(super) fn render(service: &Service) -> String {
    let vitals = service.vitals();
    let counters = [
        ("rounds_accepted_total", "Attempts at rounds this client accepted.", &vitals.accepted),
        ("rounds_declined_total", "Offers this client declined.", &vitals.declined),
        ("updates_committed_total", "Updates whose debit is durable.", &vitals.committed),
        ("model_versions_total", "Model versions this process derived.", &vitals.versions),
        ("sessions_total", "Sessions opened with the server.", &vitals.sessions),
        ("statements_refused_total", "Statements of the server's that were refused.", &vitals.refused),
        ("predictions_total", "Questions answered.", &vitals.answered),
        ("predictions_refused_total", "Questions that could not be answered.", &vitals.unanswerable),
        ("recommendations_total", "Recommendations and lists of similar items.", &vitals.recommended),
        ("explanations_total", "Explanations.", &vitals.explained),
        ("inferences_total", "Inferences by the Open Inference Protocol.", &vitals.inferred),
        ("events_total", "Events of shoppers recorded.", &vitals.events),
    ];
    let mut text = String::new();
    for (name, help, value) in counters {
        metric(&mut text, name, "counter", help, value.load(Relaxed) as f64);
    }
    let gauge = |text: &mut String, name, help, value| metric(text, name, "gauge", help, value);
    gauge(
        &mut text,
        "connected",
        "1 while a session with the server is open.",
        vitals.connected.load(Relaxed) as f64,
    );
    gauge(
        &mut text,
        "stopped",
        "1 after the server contradicted this client.",
        vitals.stopped.load(Relaxed) as f64,
    );
    let version = service.current().map_or(0, |model| model.version);
    gauge(&mut text, "model_version", "Version that is served.", f64::from(version));
    gauge(
        &mut text,
        "epsilon_spent",
        "Epsilon spent over all jobs at the budget's delta.",
        vitals.epsilon_spent(),
    );
    let on_job = vitals.epsilon_spent_on_job();
    gauge(
        &mut text,
        "epsilon_spent_on_job",
        "Epsilon spent on the followed job at the budget's delta.",
        on_job,
    );
    gauge(
        &mut text,
        "epsilon_budget",
        "Epsilon the merchant allows over all jobs.",
        service.budget().epsilon,
    );
    gauge(&mut text, "delta", "Delta of the budget.", service.budget().delta);
    arms(&mut text, service);
    text
}

/// Counters of both arms, each since its version took its role.
fn arms(text: &mut String, service: &Service) {
    type Pick = fn(&ArmCounts) -> &AtomicU64;
    let counters: [(&str, &str, Pick); 3] = [
        ("arm_requests_total", "Recommendations and predictions by arm and version.", |counts| {
            &counts.requests
        }),
        ("arm_items_shown_total", "Items recommended by arm and version.", |counts| &counts.shown),
        ("arm_clicks_total", "Events on items that were recommended last.", |counts| &counts.clicks),
    ];
    let arms = service.arms();
    for (name, help, pick) in counters {
        // Writing to a String cannot fail.
        let _ =
            write!(text, "# HELP guildhall_client_{name} {help}\n# TYPE guildhall_client_{name} counter\n");
        for (arm, _) in arms.all() {
            let (word, version) = (arm.name.word(), arm.model.version_name());
            let value = pick(&arm.counts).load(Relaxed);
            let _ = writeln!(text, "guildhall_client_{name}{{arm=\"{word}\",version=\"{version}\"}} {value}");
        }
    }
}

fn metric(text: &mut String, name: &str, kind: &str, help: &str, value: f64) {
    // Writing to a String cannot fail.
    let _ = write!(
        text,
        "# HELP guildhall_client_{name} {help}\n# TYPE guildhall_client_{name} {kind}\nguildhall_client_{name} {value}\n"
    );
}
