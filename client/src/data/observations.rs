//! What training and evaluation see of a merchant's data: numbers grouped by shopper, no identifiers beyond a key. [core]

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::digest::Digest;
use guildhall_shared::task::Task;

/// A shopper within one merchant: SHA-256 of its id, cut to 128 bits. Never leaves the process.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(test, derive(Debug))]
pub struct ShopperKey(pub [u8; 16]);

impl ShopperKey {
    /// The key of a shopper with an id.
    pub fn of_id(id: &str) -> Self {
        Self::cut(Digest::of("guildhall shopper v1", &[id.as_bytes()]))
    }

    /// The key of a row that is a shopper of its own, by its number in the file.
    pub fn of_row(record: u64) -> Self {
        Self::cut(Digest::of("guildhall row v1", &[&record.to_le_bytes()]))
    }

    fn cut(digest: Digest) -> Self {
        let mut key = [0; 16];
        key.copy_from_slice(&digest.0[..16]);
        ShopperKey(key)
    }
}

/// The rows of one shopper, contiguous in [`Observations`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ShopperRows {
    /// Whose.
    pub key: ShopperKey,
    /// First row.
    pub start: usize,
    /// One past the last row.
    pub end: usize,
}

/// Observations of one merchant, ordered by shopper key, then by the shopper's own row order.
///
/// # Shapes
/// `features` rows × `inputs`, row-major; `labels` rows, each 0 or 1; `shoppers` covers all rows without overlap.
#[derive(Clone, Default)]
pub struct Observations {
    /// Inputs per row.
    pub inputs: usize,
    /// Row-major inputs.
    pub features: Vec<f32>,
    /// Targets.
    pub labels: Vec<f32>,
    /// Who the rows belong to.
    pub shoppers: Vec<ShopperRows>,
}

impl Observations {
    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// Inputs of one row.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.features[row * self.inputs..(row + 1) * self.inputs]
    }

    /// No rows yet, of `inputs` each.
    pub fn empty(inputs: usize) -> Self {
        Observations { inputs, ..Self::default() }
    }

    /// Appends a row.
    ///
    /// # Panics
    /// Where `inputs` has another length than the other rows, or `key` is less than the last one.
    pub fn push(&mut self, key: ShopperKey, inputs: &[f32], label: f32) {
        assert_eq!(inputs.len(), self.inputs, "every row has the same inputs");
        self.features.extend_from_slice(inputs);
        self.labels.push(label);
        let rows = self.rows();
        match self.shoppers.last_mut() {
            Some(last) if last.key == key => last.end = rows,
            last => {
                assert!(last.is_none_or(|last| last.key < key), "shoppers come in the order of their keys");
                self.shoppers.push(ShopperRows { key, start: rows - 1, end: rows });
            }
        }
    }

    /// The rows of those shoppers that `keep` names.
    pub fn restricted_to(&self, keep: impl Fn(ShopperKey) -> bool) -> Self {
        let mut kept = Observations::empty(self.inputs);
        for shopper in self.shoppers.iter().filter(|shopper| keep(shopper.key)) {
            (shopper.start..shopper.end)
                .for_each(|row| kept.push(shopper.key, self.row(row), self.labels[row]));
        }
        kept
    }

    /// The rows of several merchants together, for a pooled reference. A shopper with the same key at several merchants is one.
    pub fn pooled<'o>(merchants: impl IntoIterator<Item = &'o Observations>) -> Self {
        let merchants: Vec<&Observations> = merchants.into_iter().collect();
        let mut pooled = Observations::empty(merchants.first().map_or(0, |m| m.inputs));
        let mut parts: BTreeMap<ShopperKey, Vec<(usize, usize)>> = BTreeMap::new();
        for (merchant, observations) in merchants.iter().enumerate() {
            for shopper in &observations.shoppers {
                let rows = (shopper.start..shopper.end).map(|row| (merchant, row));
                parts.entry(shopper.key).or_default().extend(rows);
            }
        }
        for (key, rows) in parts {
            for (merchant, row) in rows {
                pooled.push(key, merchants[merchant].row(row), merchants[merchant].labels[row]);
            }
        }
        pooled
    }
}

/// A merchant's observations, cut by the job into what may be learnt from and what is held out.
#[derive(Clone, Default)]
pub struct Splits {
    /// What contributions are computed from.
    pub train: Observations,
    /// What local baselines are tuned on.
    pub validation: Observations,
    /// What is reported.
    pub test: Observations,
}

impl Splits {
    /// What a local baseline is fitted on while it is tuned on `validation`. Afterwards it is fitted again on all of `train`.
    ///
    /// A tabular task draws its validation rows out of `train` (federated training uses them all), so they are left out here;
    /// a repurchase task validates on other weeks, and all of `train` may be used.
    pub fn tuning_train(&self, task: &Task) -> Observations {
        if !matches!(task, Task::Tabular { .. }) {
            return self.train.clone();
        }
        let held_out: BTreeSet<ShopperKey> =
            self.validation.shoppers.iter().map(|shopper| shopper.key).collect();
        self.train.restricted_to(|key| !held_out.contains(&key))
    }

    /// The same merchant knowing only the shoppers that `keep` names: it trains and validates on them, and is tested on all.
    pub fn knowing(&self, keep: impl Fn(ShopperKey) -> bool) -> Self {
        Splits {
            train: self.train.restricted_to(&keep),
            validation: self.validation.restricted_to(&keep),
            test: self.test.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Observations {
        let mut observations = Observations::empty(2);
        for (key, value) in [(1, 10.0), (1, 11.0), (3, 30.0), (4, 40.0)] {
            observations.push(ShopperKey([key; 16]), &[value, -value], f32::from(key == 3));
        }
        observations
    }

    fn spans(observations: &Observations) -> Vec<(u8, usize, usize)> {
        observations.shoppers.iter().map(|s| (s.key.0[0], s.start, s.end)).collect()
    }

    #[test]
    fn rows_of_one_shopper_stay_together() {
        let all = some();
        assert_eq!(spans(&all), [(1, 0, 2), (3, 2, 3), (4, 3, 4)]);
        let kept = all.restricted_to(|key| key.0[0] != 1);
        assert_eq!(spans(&kept), [(3, 0, 1), (4, 1, 2)]);
        assert_eq!((kept.row(0), kept.labels[0]), (&[30.0, -30.0][..], 1.0));
    }

    #[test]
    fn pooling_keeps_every_row_and_joins_equal_keys() {
        let (a, b) = (some(), some().restricted_to(|key| key.0[0] >= 3));
        let pooled = Observations::pooled([&a, &b]);
        assert_eq!(spans(&pooled), [(1, 0, 2), (3, 2, 4), (4, 4, 6)]);
        assert_eq!(pooled.labels.iter().sum::<f32>(), 2.0);
        assert_eq!(Observations::pooled([]).rows(), 0);
    }

    #[test]
    #[should_panic(expected = "order of their keys")]
    fn a_shopper_cannot_come_back_later() {
        some().push(ShopperKey([1; 16]), &[0.0, 0.0], 0.0);
    }

    #[test]
    fn ids_and_rows_never_share_a_key() {
        assert_ne!(ShopperKey::of_id("1"), ShopperKey::of_row(1));
        // SHA-256 over (length, label, length, id), cut to 16 bytes: fixed for ever, because draws depend on it.
        assert_eq!(hex::encode(ShopperKey::of_id("17").0), "1943683c816d47f2a59a4279a0eeeb59");
    }
}
