//! PASS, BROKEN, INCONCLUSIVE. [core]

use std::fmt;

use serde::{Deserialize, Serialize};

/// What an audit, or one of its checks, came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    /// Nothing was found that contradicts the claim. That proves nothing.
    Pass,
    /// What was measured would happen once in a million times if the claim held, or never.
    Broken,
    /// Too little was measured to see a violation worth the name.
    Inconclusive,
}

impl Verdict {
    /// The verdict of several together: one that is broken breaks all; one that is inconclusive, or none at all, leaves
    /// the question open.
    pub fn of(verdicts: impl Iterator<Item = Verdict> + Clone) -> Self {
        let any = |wanted| verdicts.clone().any(|verdict| verdict == wanted);
        if any(Verdict::Broken) {
            Verdict::Broken
        } else if any(Verdict::Inconclusive) || verdicts.clone().count() == 0 {
            Verdict::Inconclusive
        } else {
            Verdict::Pass
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::Pass => "PASS",
            Verdict::Broken => "BROKEN",
            Verdict::Inconclusive => "INCONCLUSIVE",
        })
    }
}
