//! Which version answers whom: a champion, and a challenger for a share of the shoppers.
//!
//! A snapshot of both is swapped in whole; a request takes one and answers from one arm of it alone.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use guildhall_shared::catalogue::Catalogue;

use super::ServedModel;
use crate::data::observations::ShopperKey;

/// The two arms of an experiment. Without one, all are answered by the champion.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ArmName {
    /// The version that is served: the newest, or the one that is pinned.
    Champion,
    /// The version that is tried on a share of the shoppers.
    Challenger,
}

impl ArmName {
    /// The word in answers and metrics.
    pub fn word(self) -> &'static str {
        match self {
            ArmName::Champion => "champion",
            ArmName::Challenger => "challenger",
        }
    }
}

/// What one version did as one arm, since it became that.
#[derive(Debug, Default)]
pub struct ArmCounts {
    /// Requests answered.
    pub requests: AtomicU64,
    /// Items recommended.
    pub shown: AtomicU64,
    /// Events on items that the shopper's last recommendation showed, each item once.
    pub clicks: AtomicU64,
}

impl ArmCounts {
    /// Counts a recommendation.
    pub fn count_shown(&self, items: usize) {
        self.requests.fetch_add(1, Relaxed);
        self.shown.fetch_add(items as u64, Relaxed);
    }
}

/// One version in one role.
#[derive(Clone)]
pub struct Arm {
    /// Which role.
    pub name: ArmName,
    /// The version.
    pub model: Arc<ServedModel>,
    /// What it did.
    pub counts: Arc<ArmCounts>,
    /// Whether the known histories count items as this version's catalogue does.
    histories_fit: bool,
}

/// Histories of the shoppers in the merchant's own data.
pub(super) struct Known {
    pub catalogue: Catalogue,
    pub histories: BTreeMap<ShopperKey, Vec<u32>>,
}

/// What requests are answered from at one moment.
#[derive(Default)]
pub struct Arms {
    champion: Option<Arm>,
    challenger: Option<Arm>,
    share: f64,
    known: Option<Arc<Known>>,
}

impl Arms {
    /// The champion.
    pub fn champion(&self) -> Option<&Arm> {
        self.champion.as_ref()
    }

    /// The arm for whoever has this key: always the same one while the experiment lasts. Without a key it is the champion.
    pub fn of(&self, key: Option<ShopperKey>) -> Option<&Arm> {
        let tried = key.is_some_and(|key| bucket(key) < self.share);
        self.challenger.as_ref().filter(|_| tried).or(self.champion.as_ref())
    }

    /// Both arms, with the share of the shoppers each answers.
    pub fn all(&self) -> impl Iterator<Item = (&Arm, f64)> {
        let tried = if self.challenger.is_some() { self.share } else { 0.0 };
        let challenger = self.challenger.iter().map(move |arm| (arm, tried));
        self.champion.iter().map(move |arm| (arm, 1.0 - tried)).chain(challenger)
    }

    /// A version by its [name](ServedModel::version_name), where an arm has it.
    pub fn version(&self, name: &str) -> Option<&Arm> {
        self.all().map(|(arm, _)| arm).find(|arm| arm.model.version_name() == name)
    }

    /// A shopper's items in the merchant's data, as an arm's catalogue numbers them; none for a shopper that is not in there.
    pub(super) fn known_history(&self, arm: &Arm, key: ShopperKey) -> Option<Vec<u32>> {
        let known = self.known.as_ref()?;
        let history = known.histories.get(&key)?;
        let ranking = arm.model.ranking.as_ref()?;
        if arm.histories_fit {
            return Some(history.clone());
        }
        let number = |item: &u32| ranking.catalogue.position(known.catalogue.id(*item)?);
        Some(history.iter().filter_map(number).collect())
    }
}

/// Where a key falls in [0, 1). Keys are digests, so their last bytes are as good as random.
fn bucket(key: ShopperKey) -> f64 {
    let [.., a, b, c, d, e, f, g, h] = key.0;
    // 53 bits are exact in f64, and the greatest stays below one.
    (u64::from_le_bytes([a, b, c, d, e, f, g, h]) >> 11) as f64 / (1u64 << 53) as f64
}

/// Which version is tried.
pub enum Challenger {
    /// Whatever version is the newest, where it is not the champion.
    Newest,
    /// This one.
    Version(Arc<ServedModel>),
}

/// What the driver and the merchant want served; arms follow from it.
#[derive(Default)]
pub(super) struct Wanted {
    pub newest: Option<Arc<ServedModel>>,
    pub pinned: Option<Arc<ServedModel>>,
    pub challenger: Option<(Challenger, f64)>,
    pub known: Option<Arc<Known>>,
}

impl Wanted {
    /// What follows from the wishes. Counters of a version that stays in its role go on.
    pub fn arms(&self, before: &Arms) -> Arms {
        let job = self.newest.as_ref().map(|model| &model.job);
        // Pins and experiments are about versions of one job; another job's versions begin anew.
        let same_job = |model: &&Arc<ServedModel>| job.is_none_or(|job| model.job == *job);
        let champion = self.pinned.as_ref().filter(same_job).or(self.newest.as_ref());
        let challenger = self.challenger.as_ref().and_then(|(challenger, _)| match challenger {
            Challenger::Newest => self.newest.as_ref(),
            Challenger::Version(model) => Some(model).filter(same_job),
        });
        // A fine-tuned copy has the number of the version it was made of.
        let name = |model: &ServedModel| (model.version, model.fine_tuned);
        let differs = |model: &&Arc<ServedModel>| champion.is_some_and(|c| name(c) != name(model));
        let challenger = challenger.filter(differs);
        Arms {
            champion: champion.map(|model| self.arm(ArmName::Champion, model, before.champion.as_ref())),
            challenger: challenger
                .map(|model| self.arm(ArmName::Challenger, model, before.challenger.as_ref())),
            share: self.challenger.as_ref().map_or(0.0, |(_, share)| *share),
            known: self.known.clone(),
        }
    }

    fn arm(&self, name: ArmName, model: &Arc<ServedModel>, before: Option<&Arm>) -> Arm {
        let same = |arm: &&Arm| arm.model.version == model.version && arm.model.model == model.model;
        let before = before.filter(same);
        let catalogue = model.ranking.as_ref().map(|ranking| &ranking.catalogue);
        let known = self.known.as_ref().map(|known| &known.catalogue);
        Arm {
            name,
            model: Arc::clone(model),
            counts: before.map(|arm| Arc::clone(&arm.counts)).unwrap_or_default(),
            histories_fit: catalogue.is_some() && catalogue == known,
        }
    }
}
