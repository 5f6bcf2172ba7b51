//! Models that rank the items of a catalogue. [core]

use serde::{Deserialize, Serialize};

use super::{ItemVectors, LocalTraining, ParameterSpec, bias, weight};

/// Released sums over shoppers, from which item-item models follow without any further charge.
///
/// The first round releases how many shoppers have each item. Every later round releases how many have both of two items,
/// over the `items_kept` most popular of the first: the mean of these rounds has less noise than one of them. A shopper
/// contributes minus its statistic, so that plain gradient descent adds the statistic up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ItemStatistics {
    /// N, items of the catalogue.
    pub items: usize,
    /// M, items of the co-occurrence.
    pub items_kept: usize,
    /// A shopper with so many items has a popularity contribution of exactly the clip; one with more is scaled down.
    pub popularity_items: usize,
    /// A shopper with so many pairs of items has a co-occurrence contribution of exactly the clip; one with more is scaled down.
    pub cooccurrence_pairs: usize,
    /// Where the diagonal of the co-occurrence comes from.
    pub diagonal: Diagonal,
    /// What is made of the statistics.
    pub ranking: ItemRanking,
}

/// Where the diagonal of a co-occurrence comes from: how many shoppers have an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Diagonal {
    /// From the co-occurrence rounds: an item with itself is a pair.
    Cooccurrence,
    /// From the popularity round; the later rounds spend nothing on it. Better where noise is large.
    Popularity,
}

/// What is made of released statistics: public post-processing, the same for all merchants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum ItemRanking {
    /// Linear item-item weights without a diagonal (Steck 2019), ridge λ.
    Ease {
        /// λ where nothing is noised, in shoppers.
        ridge: f64,
        /// λ is at least this many standard deviations of a statistic's noise.
        ridge_deviations: f64,
        /// Statistics below this many standard deviations of their noise count as zero.
        threshold_deviations: f64,
    },
    /// The cosine of two items' shoppers, over the `neighbours` nearest.
    Cosine {
        /// Nearest items kept per item.
        neighbours: usize,
        /// Added to the denominator, in shoppers: few common shoppers count less.
        shrinkage: f64,
    },
    /// The share of common shoppers among those of either item, over the `neighbours` nearest.
    Jaccard {
        /// Nearest items kept per item.
        neighbours: usize,
        /// Added to the denominator, in shoppers.
        shrinkage: f64,
    },
    /// How many shoppers have an item, alike for everybody.
    Popularity,
}

impl ItemStatistics {
    /// Words of the co-occurrence: the upper triangle with its diagonal, row by row.
    pub fn pairs(&self) -> usize {
        self.items_kept * (self.items_kept + 1) / 2
    }

    /// `popularity [items]`, `cooccurrence [M·(M+1)/2]`; all start at zero.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let zero = |name: &str, len| ParameterSpec { name: name.into(), shape: vec![len], fan_sum: 0 };
        vec![zero("popularity", self.items), zero("cooccurrence", self.pairs())]
    }
}

/// Matrix factorisation with shoppers' own factors that never leave: a shopper solves for its factors given the released item
/// factors (ridge regression on its own items), and contributes the gradient by the item factors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MatrixFactorization {
    /// N.
    pub items: usize,
    /// Width of an item's vector.
    pub factors: usize,
    /// λ of the shopper's ridge regression.
    pub ridge: f64,
    /// Items a shopper does not have that are drawn as counterexamples, for every item it has.
    pub negatives: usize,
}

impl MatrixFactorization {
    /// `items.weight [N, factors]`.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        vec![items_weight(self.items, self.factors)]
    }
}

/// What reads a history.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub enum ItemEncoder {
    /// Causal self-attention (Kang and McAuley 2018, "SASRec"), layer norm before every part.
    Transformer {
        /// Blocks.
        blocks: usize,
        /// Attention heads; they divide the width.
        heads: usize,
        /// Width of the feed-forward layer.
        feed_forward: usize,
    },
    /// A gated recurrent unit (Hidasi et al. 2016).
    Gru,
    /// Two towers (Covington et al. 2016): the mean of the history's item vectors through a hidden layer; an item's vector is its
    /// own plus those of its public tags.
    TwoTower {
        /// Public tags of the catalogue.
        tags: usize,
        /// Width of the shopper tower's hidden layer.
        hidden: usize,
    },
}

/// A model of the next item: history → one vector per position → its product with every item's vector.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NextItemModel {
    /// What reads a history.
    pub encoder: ItemEncoder,
    /// N.
    pub items: usize,
    /// L, the newest items of a history that are read.
    pub positions: usize,
    /// Width of every vector.
    pub width: usize,
    /// Share of values that training hides; 0 for none.
    pub dropout: f64,
    /// Items drawn as counterexamples at every position, by randomness of the shopper's own; 0 compares with the whole catalogue.
    pub negatives: usize,
    /// Local training.
    pub training: LocalTraining,
    /// Item vectors to start from; none where they are drawn from the job's seed like all else.
    pub start: Option<ItemVectors>,
}

impl NextItemModel {
    /// The ordered parameters: `items.weight [N, width]`, then the encoder's. Scales of layer norms are stored less one, so that
    /// they start at zero.
    pub fn parameters(&self) -> Vec<ParameterSpec> {
        let width = self.width;
        let square = |name: &str| [weight(name, width, width, 2 * width), bias(name, width)];
        let norm = |name: &str| {
            ["scale", "offset"].map(|part| ParameterSpec {
                name: format!("{name}.{part}"),
                shape: vec![width],
                fan_sum: 0,
            })
        };
        let mut parameters = vec![items_weight(self.items, width)];
        match self.encoder {
            ItemEncoder::Transformer { blocks, feed_forward, .. } => {
                let shape = vec![self.positions, width];
                parameters.push(ParameterSpec {
                    name: "positions.weight".into(),
                    shape,
                    fan_sum: self.positions + width,
                });
                for block in 0..blocks {
                    let name = |part: &str| format!("block{block}.{part}");
                    parameters.extend(norm(&name("attention_norm")));
                    for part in ["query", "key", "value", "attention_output"] {
                        parameters.extend(square(&name(part)));
                    }
                    parameters.extend(norm(&name("feed_forward_norm")));
                    parameters.extend([
                        weight(&name("feed_forward_input"), feed_forward, width, feed_forward + width),
                        bias(&name("feed_forward_input"), feed_forward),
                        weight(&name("feed_forward_output"), width, feed_forward, feed_forward + width),
                        bias(&name("feed_forward_output"), width),
                    ]);
                }
                parameters.extend(norm("final_norm"));
            }
            ItemEncoder::Gru => parameters.extend([
                weight("encoder.input", 3 * width, width, 2 * width),
                bias("encoder.input", 3 * width),
                weight("encoder.hidden", 3 * width, width, 2 * width),
                bias("encoder.hidden", 3 * width),
            ]),
            ItemEncoder::TwoTower { tags, hidden } => {
                if tags > 0 {
                    let shape = vec![tags, width];
                    parameters.push(ParameterSpec {
                        name: "tags.weight".into(),
                        shape,
                        fan_sum: tags + width,
                    });
                }
                parameters.extend([
                    weight("hidden", hidden, width, hidden + width),
                    bias("hidden", hidden),
                    weight("output", width, hidden, hidden + width),
                    bias("output", width),
                ]);
            }
        }
        parameters
    }
}

fn items_weight(items: usize, width: usize) -> ParameterSpec {
    ParameterSpec { name: "items.weight".into(), shape: vec![items, width], fan_sum: items + width }
}
