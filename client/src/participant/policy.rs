//! The merchant's own policy: what it takes part in, whatever the server asks. [core]

use guildhall_shared::id::Name;
use guildhall_shared::job::JobSpec;
use guildhall_shared::round_parameters::RoundMode;

/// Whether something is allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Permission {
    /// No.
    #[default]
    Denied,
    /// Yes.
    Allowed,
}

impl From<bool> for Permission {
    fn from(allowed: bool) -> Self {
        if allowed { Permission::Allowed } else { Permission::Denied }
    }
}

/// Which jobs a merchant takes part in: a whole name, or the beginning of one and a star.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobPattern(String);

impl JobPattern {
    /// Checks a pattern: a name, a name's beginning followed by `*`, or `*`.
    pub fn new(text: &str) -> Option<Self> {
        let beginning = text.strip_suffix('*');
        let legal = match beginning {
            Some("") => true,
            Some(beginning) => Name::new(beginning).is_ok(),
            None => Name::new(text).is_ok(),
        };
        legal.then(|| JobPattern(text.to_owned()))
    }

    fn matches(&self, name: &Name) -> bool {
        match self.0.strip_suffix('*') {
            Some(beginning) => name.as_str().starts_with(beginning),
            None => name.as_str() == self.0,
        }
    }
}

/// What a merchant takes part in. There is no default: the merchant says it in its configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Jobs by name.
    pub jobs: Vec<JobPattern>,
    /// Plain mode: the server reads each update, with the noise the job asks for. Masked rounds need no permission.
    pub plain_mode: Permission,
    /// Jobs without any privacy, masked or not, for masks do not protect from the model; under `[dangerous]`.
    pub privacy_none: Permission,
}

impl Policy {
    /// Why the merchant does not take part in a job with rounds of this mode, if it does not.
    pub fn objection(&self, job: &JobSpec, mode: RoundMode) -> Option<String> {
        if !self.jobs.iter().any(|pattern| pattern.matches(&job.name)) {
            return Some(format!("job {} is not listed under policy.jobs of client.toml", job.name));
        }
        let without_noise = matches!(mode, RoundMode::MaskedUnprotected | RoundMode::Unprotected);
        if without_noise && self.privacy_none == Permission::Denied {
            return Some(
                "the job declares privacy = \"none\", and client.toml does not say dangerous.allow_privacy_none = true"
                    .into(),
            );
        }
        let without_masks = matches!(mode, RoundMode::LocalNoise | RoundMode::Unprotected);
        if without_masks && self.plain_mode == Permission::Denied {
            return Some(
                "the job runs in plain mode, and client.toml says policy.allow_plain_mode = false".into(),
            );
        }
        None
    }
}
