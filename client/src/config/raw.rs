//! `client.toml` as written by a person.

use std::fmt;
use std::net::SocketAddr;
use std::path::Path;

use guildhall_shared::id::Name;
use serde::Deserialize;

use super::{Budget, ClientConfig, Experiment, Mistakes, WhenFinished};
use crate::data::{DataConfig, RawDataConfig};
use crate::folder::Folder;
use crate::model::DeviceChoice;
use crate::participant::{JobPattern, Permission, Policy};

/// Required keys are optional here, so that all that are missing are named together.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    merchant: Option<String>,
    region: Option<String>,
    server: Option<String>,
    budget_epsilon: Option<f64>,
    budget_delta: Option<f64>,
    #[serde(default = "auto")]
    device: String,
    #[serde(default)]
    exit_when_finished: bool,
    policy: Option<RawPolicy>,
    #[serde(default)]
    dangerous: RawDangerous,
    #[serde(default)]
    serve: RawServe,
    data: Option<RawDataConfig>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    jobs: Option<Vec<String>>,
    allow_plain_mode: Option<bool>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawDangerous {
    #[serde(default)]
    allow_privacy_none: bool,
    #[serde(default)]
    serve_beyond_loopback: bool,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawServe {
    address: Option<String>,
    experiment: Option<RawExperiment>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawExperiment {
    challenger_version: Option<u32>,
    share: Option<f64>,
}

fn auto() -> String {
    "auto".into()
}

struct Check(Vec<String>);

impl Check {
    fn require(&mut self, condition: bool, key: &str, expected: &str, found: impl fmt::Debug) {
        if !condition {
            self.0.push(format!("{key}: expected {expected}, found {found:?}"));
        }
    }

    fn present<T>(&mut self, value: Option<T>, key: &str, expected: &str) -> Option<T> {
        if value.is_none() {
            self.0.push(format!("{key}: missing; expected {expected}"));
        }
        value
    }

    fn parsed<T: std::str::FromStr>(&mut self, text: &str, key: &str, expected: &str) -> Option<T> {
        let value = text.parse().ok();
        self.require(value.is_some(), key, expected, text);
        value
    }

    fn name(&mut self, value: Option<String>, key: &str) -> Option<Name> {
        let text = self.present(value, key, "a name")?;
        Name::new(text).map_err(|error| self.0.push(format!("{key}: {error}"))).ok()
    }

    fn address(&mut self, text: &str, key: &str) -> Option<SocketAddr> {
        self.parsed(text, key, "an address such as 127.0.0.1:4433")
    }
}

pub(super) fn parse(text: &str, folder: &Path) -> Result<ClientConfig, Mistakes> {
    let raw: RawConfig =
        toml::from_str(text).map_err(|error| Mistakes(vec![error.to_string().trim_end().to_string()]))?;
    let mut check = Check(vec![]);
    let config = build(raw, folder, &mut check);
    match config {
        Some(config) if check.0.is_empty() => Ok(config),
        _ => Err(Mistakes(check.0)),
    }
}

/// `None` only after a mistake was noted; every key is looked at before the first `?`.
fn build(raw: RawConfig, folder: &Path, check: &mut Check) -> Option<ClientConfig> {
    let merchant = check.name(raw.merchant, "merchant");
    let region = check.name(raw.region, "region");
    let server = check.present(raw.server, "server", "the server's address");
    let server = server.and_then(|text| check.address(&text, "server"));
    let epsilon = check.present(raw.budget_epsilon, "budget_epsilon", "the largest total ε, for example 4.0");
    check.require(
        epsilon.is_none_or(|e| e > 0.0 && e <= 1_000.0),
        "budget_epsilon",
        "a number in (0, 1000]",
        epsilon,
    );
    let delta =
        check.present(raw.budget_delta, "budget_delta", "δ, well below 1 / shoppers, for example 1e-6");
    check.require(delta.is_none_or(|d| d > 0.0 && d <= 0.01), "budget_delta", "a number in (0, 0.01]", delta);
    let device: Option<DeviceChoice> = check.parsed(&raw.device, "device", "\"auto\", \"cpu\" or \"cuda:N\"");
    let policy = policy(raw.policy, raw.dangerous.allow_privacy_none, check);
    let serve = serve(&raw.serve, raw.dangerous.serve_beyond_loopback, check);
    let experiment = raw.serve.experiment.map(|experiment| tried(&experiment, check));
    let data = raw.data.map(|data| DataConfig::new(data, folder)).transpose();
    let data = data.map_err(|error| check.0.extend(error.mistakes)).ok();
    Some(ClientConfig {
        folder: Folder::at(folder),
        merchant: merchant?,
        region: region?,
        server: server?,
        budget: Budget { epsilon: epsilon?, delta: delta? },
        device: device?,
        policy: policy?,
        serve: serve?,
        experiment: experiment.map_or(Some(None), |experiment| experiment.map(Some))?,
        data: data?,
        when_finished: if raw.exit_when_finished { WhenFinished::Exit } else { WhenFinished::Stay },
    })
}

fn policy(raw: Option<RawPolicy>, allow_privacy_none: bool, check: &mut Check) -> Option<Policy> {
    let raw = check.present(raw, "[policy]", "jobs = [\"*\"] and allow_plain_mode = true or false")?;
    let jobs = check.present(raw.jobs, "policy.jobs", "the names of jobs to take part in, or [\"*\"]");
    let plain_mode = check.present(raw.allow_plain_mode, "policy.allow_plain_mode", "true or false");
    let mut patterns = vec![];
    for text in jobs? {
        let pattern = JobPattern::new(&text);
        check.require(
            pattern.is_some(),
            "policy.jobs",
            "names, beginnings of names with a final *, or \"*\"",
            &text,
        );
        patterns.extend(pattern);
    }
    Some(Policy {
        jobs: patterns,
        plain_mode: plain_mode?.into(),
        privacy_none: Permission::from(allow_privacy_none),
    })
}

fn tried(raw: &RawExperiment, check: &mut Check) -> Option<Experiment> {
    let share = check.present(raw.share, "serve.experiment.share", "a share of the shoppers in (0, 1)");
    let legal = share.is_none_or(|share| share > 0.0 && share < 1.0);
    check.require(legal, "serve.experiment.share", "a number in (0, 1)", share);
    Some(Experiment { challenger_version: raw.challenger_version, share: share? })
}

fn serve(raw: &RawServe, beyond_loopback: bool, check: &mut Check) -> Option<SocketAddr> {
    let address = check.address(raw.address.as_deref().unwrap_or("127.0.0.1:0"), "serve.address")?;
    check.require(
        address.ip().is_loopback() || beyond_loopback,
        "serve.address",
        "a loopback address (or dangerous.serve_beyond_loopback = true: questions travel unencrypted and anybody may ask)",
        address,
    );
    Some(address)
}
