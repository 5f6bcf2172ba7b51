//! Figures by how much a merchant knows of a shopper: noise hurts those of whom it knows little first. [core]

use serde::Serialize;

/// Public groups by the number of train items or rows, each from its first number to the next group's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityGroups(Vec<u32>);

impl Default for ActivityGroups {
    /// 0, 1, 2 to 4, 5 to 9, 10 to 19, 20 and more.
    fn default() -> Self {
        ActivityGroups(vec![0, 1, 2, 5, 10, 20])
    }
}

impl ActivityGroups {
    /// Groups that begin at these numbers. `None` unless they ascend from 0: every shopper belongs to one.
    pub fn from_first(first: &[u32]) -> Option<Self> {
        let ascend = first.first() == Some(&0) && first.windows(2).all(|pair| pair[0] < pair[1]);
        ascend.then(|| ActivityGroups(first.to_vec()))
    }

    /// Number of groups.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: there is at least one.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The group of a shopper with so many train items or rows.
    pub fn group_of(&self, count: usize) -> usize {
        self.0.partition_point(|first| *first as usize <= count) - 1
    }

    /// For example `2 to 4`, or `20 and more`.
    pub fn label(&self, group: usize) -> String {
        let first = self.0.get(group).copied().unwrap_or_default();
        match self.0.get(group + 1).map(|next| next - 1) {
            Some(last) if last == first => first.to_string(),
            Some(last) => format!("{first} to {last}"),
            None => format!("{first} and more"),
        }
    }

    /// The shoppers of every group, by their place in `counts`.
    pub fn split(&self, counts: &[usize]) -> Vec<Vec<usize>> {
        let mut groups = vec![Vec::new(); self.len()];
        counts.iter().enumerate().for_each(|(shopper, count)| groups[self.group_of(*count)].push(shopper));
        groups
    }

    /// A figure of every group; `None` where a group is empty or the figure does not exist for it.
    ///
    /// # Shapes
    /// `counts` train items or rows of every shopper; `figure` gets the places of a group's shoppers.
    pub fn summarise(
        &self,
        counts: &[usize],
        mut figure: impl FnMut(&[usize]) -> Option<f64>,
    ) -> Vec<GroupFigure> {
        let split = self.split(counts);
        let of = |(group, shoppers): (usize, &Vec<usize>)| GroupFigure {
            group: self.label(group),
            shoppers: shoppers.len() as u64,
            figure: if shoppers.is_empty() { None } else { figure(shoppers) },
        };
        split.iter().enumerate().map(of).collect()
    }
}

/// One group's figure. For the merchant's own eyes: the number of shoppers is exact.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GroupFigure {
    /// Train items or rows of its shoppers, in words.
    pub group: String,
    /// Shoppers.
    pub shoppers: u64,
    /// The figure over them.
    pub figure: Option<f64>,
}

/// The mean of one value per shopper over some shoppers; `None` of nobody.
pub fn mean_of(values: &[f64], shoppers: &[usize]) -> Option<f64> {
    let sum: f64 = shoppers.iter().filter_map(|shopper| values.get(*shopper)).sum();
    (!shoppers.is_empty()).then(|| sum / shoppers.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shopper_belongs_to_one_group() {
        let groups = ActivityGroups::default();
        let labels: Vec<String> = (0..groups.len()).map(|group| groups.label(group)).collect();
        assert_eq!(labels, ["0", "1", "2 to 4", "5 to 9", "10 to 19", "20 and more"]);
        let of: Vec<usize> = [0, 1, 2, 4, 5, 9, 10, 19, 20, usize::MAX].map(|n| groups.group_of(n)).to_vec();
        assert_eq!(of, [0, 1, 2, 2, 3, 3, 4, 4, 5, 5]);
        assert_eq!(ActivityGroups::from_first(&[1, 2]), None, "some shopper would belong to none");
        assert_eq!(ActivityGroups::from_first(&[0, 2, 2]), None);
        assert_eq!(ActivityGroups::from_first(&[]), None);
        assert_eq!(ActivityGroups::from_first(&[0]).map(|one| one.label(0)), Some("0 and more".into()));
    }

    #[test]
    fn figures_of_groups_by_hand() {
        let counts = [1, 3, 2, 30, 1];
        let values = [0.5, 1.0, 0.0, 0.25, 1.0];
        let found = ActivityGroups::default().summarise(&counts, |shoppers| mean_of(&values, shoppers));
        let found: Vec<(u64, Option<f64>)> =
            found.iter().map(|group| (group.shoppers, group.figure)).collect();
        let expected = [(0, None), (2, Some(0.75)), (2, Some(0.5)), (0, None), (0, None), (1, Some(0.25))];
        assert_eq!(found, expected);
        assert_eq!(mean_of(&values, &[]), None);
    }
}
