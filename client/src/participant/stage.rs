//! The steps of a masked attempt, by the names that events and tests use. [core]

use serde::Serialize;

/// What a merchant has done in a masked attempt, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptStage {
    /// M1 is sent: fresh keys.
    Advertised,
    /// M3 is sent: shares of the own secrets.
    Shared,
    /// M4 is taken and the masks are made: training starts.
    Masked,
    /// The commitment of the masked update is durable.
    Committed,
    /// M5 leaves.
    Uploaded,
    /// M7 is sent: the survivors are signed.
    Certified,
    /// M9 is sent: shares are revealed, and nothing secret is left.
    Unmasked,
}

impl AttemptStage {
    /// All, in order.
    pub const ALL: [AttemptStage; 7] = [
        AttemptStage::Advertised,
        AttemptStage::Shared,
        AttemptStage::Masked,
        AttemptStage::Committed,
        AttemptStage::Uploaded,
        AttemptStage::Certified,
        AttemptStage::Unmasked,
    ];

    /// Its name in events.
    pub fn name(self) -> &'static str {
        match self {
            AttemptStage::Advertised => "advertised",
            AttemptStage::Shared => "shared",
            AttemptStage::Masked => "masked",
            AttemptStage::Committed => "committed",
            AttemptStage::Uploaded => "uploaded",
            AttemptStage::Certified => "certified",
            AttemptStage::Unmasked => "unmasked",
        }
    }
}
