//! A merchant's own model over all of its items, exact, for comparison and for blending. [core]
//!
//! # Privacy
//! Made of the merchant's rows without noise: it never leaves.
//!
//! # Source
//! Steck 2019, as `ease`; where there are fewer shoppers than items, P comes from the smaller inverse:
//! (XᵀX + λI)⁻¹ = (I − Xᵀ(XXᵀ + λI)⁻¹X) / λ (Woodbury 1950).

use std::collections::BTreeMap;

use faer::linalg::solvers::DenseSolveCore as _;
use faer::{Mat, Side};

use crate::data::sequences::Sequences;

/// Linear item-item weights over all of a merchant's own items, in the smaller of two forms.
pub struct OwnEase {
    ridge: f64,
    /// Of every shopper, its items.
    shoppers: Vec<Vec<u32>>,
    /// Of every item of the catalogue, its shoppers.
    shoppers_of: Vec<Vec<u32>>,
    /// (XXᵀ + λI)⁻¹, shoppers × shoppers, symmetric.
    inverse: Vec<f32>,
    /// The diagonal of P.
    diagonal: Vec<f64>,
    popularity: Vec<f32>,
}

impl OwnEase {
    /// Fits the model to all sequences; `None` where the matrix cannot be inverted.
    pub fn fit(catalogue: usize, sequences: &Sequences, ridge: f64) -> Option<Self> {
        let mut shoppers = Vec::with_capacity(sequences.len());
        let mut shoppers_of: Vec<Vec<u32>> = vec![vec![]; catalogue];
        for (_, items) in sequences.iter() {
            let mut own: Vec<u32> = items.iter().copied().filter(|i| (*i as usize) < catalogue).collect();
            own.sort_unstable();
            own.dedup();
            own.iter().for_each(|item| shoppers_of[*item as usize].push(shoppers.len() as u32));
            shoppers.push(own);
        }
        let n = shoppers.len();
        let mut gram = Mat::<f64>::zeros(n, n);
        for with in &shoppers_of {
            for a in with {
                with.iter().for_each(|b| gram[(*a as usize, *b as usize)] += 1.0);
            }
        }
        (0..n).for_each(|u| gram[(u, u)] += ridge);
        let inverse = gram.llt(Side::Lower).ok()?.inverse();
        let diagonal = shoppers_of
            .iter()
            .map(|with| {
                let pairs = with.iter().flat_map(|a| with.iter().map(move |b| (*a as usize, *b as usize)));
                (1.0 - pairs.map(|pair| inverse[pair]).sum::<f64>()) / ridge
            })
            .collect();
        let most = shoppers_of.iter().map(Vec::len).max().unwrap_or(1).max(1) as f32;
        let popularity = shoppers_of.iter().map(|with| with.len() as f32 / most * 1e-3).collect();
        let inverse = (0..n * n).map(|place| inverse[(place % n, place / n)] as f32).collect();
        Some(OwnEase { ridge, shoppers, shoppers_of, inverse, diagonal, popularity })
    }

    /// A score for every item of the catalogue.
    ///
    /// # Shapes
    /// `out` one per item of the catalogue.
    pub fn scores(&self, history: &[u32], out: &mut [f32]) {
        out.copy_from_slice(&self.popularity);
        let mut own: Vec<u32> =
            history.iter().copied().filter(|item| (*item as usize) < self.shoppers_of.len()).collect();
        own.sort_unstable();
        own.dedup();
        // X·x, where it is not zero.
        let mut common: BTreeMap<u32, f32> = BTreeMap::new();
        for item in &own {
            self.shoppers_of[*item as usize].iter().for_each(|u| *common.entry(*u).or_default() += 1.0);
        }
        // (XXᵀ + λI)⁻¹·X·x, row after row of a symmetric matrix.
        let n = self.shoppers.len();
        let mut weights = vec![0.0f32; n];
        for (other, count) in common {
            let row = &self.inverse[other as usize * n..][..n];
            weights.iter_mut().zip(row).for_each(|(weight, entry)| *weight += count * entry);
        }
        // −λ·(x·P) on the items that are not in the history.
        let mut pull = vec![0.0f64; out.len()];
        for (items, weight) in self.shoppers.iter().zip(weights) {
            items.iter().for_each(|item| pull[*item as usize] += f64::from(weight));
        }
        for ((out, pull), diagonal) in out.iter_mut().zip(&pull).zip(&self.diagonal) {
            *out += (pull / (self.ridge * diagonal)) as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::observations::ShopperKey;
    use crate::recommend::{ItemItem, Statistics};
    use guildhall_shared::model_spec::ItemRanking;

    /// Both forms of the same inverse.
    #[test]
    fn it_is_the_model_of_the_statistics() {
        let mut sequences = Sequences::default();
        for u in 0..60u8 {
            let items: Vec<u32> =
                (0..12u32).filter(|i| (u32::from(u) * 5 + i * i + u32::from(u) % 7) % 4 == 0).collect();
            sequences.push(ShopperKey([u; 16]), &items);
        }
        let own = OwnEase::fit(12, &sequences, 3.0).expect("invertible");
        let statistics = Statistics::local(12, (0..12).collect(), &sequences);
        let ranking = ItemRanking::Ease { ridge: 3.0, ridge_deviations: 0.0, threshold_deviations: 0.0 };
        let other = ItemItem::new(&statistics, ranking);
        for history in [vec![0, 3, 5], vec![11], vec![], vec![2, 2, 7, 99]] {
            let (mut a, mut b) = (vec![0.0; 12], vec![0.0; 12]);
            own.scores(&history, &mut a);
            other.scores(&history, &mut b);
            for item in (0..12).filter(|item| !history.contains(&(*item as u32))) {
                assert!((a[item] - b[item]).abs() < 1e-4, "{history:?} {item}: {} {}", a[item], b[item]);
            }
        }
    }
}
