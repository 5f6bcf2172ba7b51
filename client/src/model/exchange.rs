//! Released weights as a safetensors file, for other tools, and back.
//!
//! Tensors have the names and shapes of [`ModelSpec::parameters`] and are f64, so that nothing is rounded; the file's metadata name the job
//! and the label of its privacy.

use std::collections::HashMap;

use guildhall_shared::model_spec::ModelSpec;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

/// A file that does not hold the weights of a model.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{tensor}: expected {expected}, found {found}")]
pub struct ExchangeError {
    /// Which tensor, or the file.
    pub tensor: String,
    /// What belongs there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

fn error(tensor: &str, expected: impl Into<String>, found: impl Into<String>) -> ExchangeError {
    ExchangeError { tensor: tensor.into(), expected: expected.into(), found: found.into() }
}

/// The bytes of a safetensors file.
///
/// # Shapes
/// `weights` d values in the order of [`ModelSpec::parameters`].
///
/// # Errors
/// [`ExchangeError`] for weights of another model.
pub fn to_safetensors(
    spec: &ModelSpec,
    weights: &[f64],
    facts: HashMap<String, String>,
) -> Result<Vec<u8>, ExchangeError> {
    let d = spec.parameter_count();
    if weights.len() != d {
        return Err(error("weights", format!("{d} values"), weights.len().to_string()));
    }
    let bytes: Vec<u8> = weights.iter().flat_map(|w| w.to_le_bytes()).collect();
    let mut rest = bytes.as_slice();
    let mut tensors = Vec::new();
    for parameter in spec.parameters() {
        let (own, after) = rest.split_at(8 * parameter.len());
        rest = after;
        let view = TensorView::new(Dtype::F64, parameter.shape.clone(), own)
            .map_err(|e| error(&parameter.name, "a tensor", e.to_string()))?;
        tensors.push((parameter.name, view));
    }
    serialize(tensors, Some(facts)).map_err(|e| error("file", "tensors that can be written", e.to_string()))
}

/// The weights in a safetensors file.
///
/// # Shapes
/// d values in the order of [`ModelSpec::parameters`].
///
/// # Errors
/// [`ExchangeError`] unless the file holds exactly the model's tensors, all finite.
pub fn from_safetensors(spec: &ModelSpec, bytes: &[u8]) -> Result<Vec<f64>, ExchangeError> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|e| error("file", "a safetensors file", e.to_string()))?;
    let parameters = spec.parameters();
    if file.len() != parameters.len() {
        return Err(error("file", format!("{} tensors", parameters.len()), file.len().to_string()));
    }
    let mut weights = Vec::with_capacity(spec.parameter_count());
    for parameter in parameters {
        let name = parameter.name.as_str();
        let tensor = file.tensor(name).map_err(|_| error(name, "a tensor", "none"))?;
        if tensor.dtype() != Dtype::F64 || tensor.shape() != parameter.shape {
            let found = format!("{:?} {:?}", tensor.dtype(), tensor.shape());
            return Err(error(name, format!("F64 {:?}", parameter.shape), found));
        }
        for value in tensor.data().as_chunks::<8>().0 {
            weights.push(f64::from_le_bytes(*value));
        }
    }
    match weights.iter().all(|w| w.is_finite()) {
        true => Ok(weights),
        false => Err(error("file", "finite weights", "others")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_shared::model_spec::{
        Activation, Architecture, Diagonal, ItemEncoder, ItemRanking, ItemStatistics, LocalTraining,
        MatrixFactorization, NextItemModel, SequenceClassifier, SequenceEncoder, SequenceShape,
    };

    fn every_model() -> Vec<ModelSpec> {
        let training = LocalTraining { steps: 1, learning_rate: 0.1, merchant_epochs: 0, batch: 1 };
        let shape = SequenceShape { fixed: 2, steps: 5, channels: 3, tokens: 4 };
        let sequence = |encoder| {
            let model = SequenceClassifier {
                encoder,
                shape,
                embedding: 2,
                width: 3,
                hidden: 4,
                dropout: 0.0,
                training,
            };
            ModelSpec { architecture: Architecture::Sequence(model), inputs: shape.inputs() }
        };
        let items = |encoder| {
            let model = NextItemModel {
                encoder,
                items: 6,
                positions: 4,
                width: 4,
                dropout: 0.0,
                negatives: 1,
                training,
                start: None,
            };
            ModelSpec { architecture: Architecture::NextItem(model), inputs: 6 }
        };
        let statistics = ItemStatistics {
            items: 6,
            items_kept: 3,
            popularity_items: 2,
            cooccurrence_pairs: 1,
            diagonal: Diagonal::Popularity,
            ranking: ItemRanking::Popularity,
        };
        let factors = MatrixFactorization { items: 6, factors: 3, ridge: 1.0, negatives: 1 };
        let mlp = Architecture::Mlp { hidden: vec![3], activation: Activation::Tanh };
        vec![
            ModelSpec { architecture: Architecture::LogisticRegression, inputs: 3 },
            ModelSpec { architecture: mlp, inputs: 3 },
            sequence(SequenceEncoder::Gru),
            sequence(SequenceEncoder::Lstm),
            sequence(SequenceEncoder::Convolution { kernel: 3 }),
            items(ItemEncoder::Transformer { blocks: 2, heads: 2, feed_forward: 5 }),
            items(ItemEncoder::Gru),
            items(ItemEncoder::TwoTower { tags: 2, hidden: 3 }),
            ModelSpec { architecture: Architecture::MatrixFactorization(factors), inputs: 6 },
            ModelSpec { architecture: Architecture::ItemStatistics(statistics), inputs: 6 },
        ]
    }

    #[test]
    fn every_model_comes_back_bit_by_bit() {
        for spec in every_model() {
            let weights: Vec<f64> =
                (0..spec.parameter_count()).map(|i| (i as f64 * 0.37).sin() / 3.0).collect();
            let facts = HashMap::from([("job".to_string(), "a job".to_string())]);
            let bytes = to_safetensors(&spec, &weights, facts).expect("written");
            assert_eq!(from_safetensors(&spec, &bytes), Ok(weights), "{:?}", spec.architecture);
        }
    }

    #[test]
    fn files_of_other_models_are_refused_with_the_tensor() {
        let all = every_model();
        let bytes = |spec: &ModelSpec| {
            to_safetensors(spec, &vec![0.5; spec.parameter_count()], HashMap::new()).expect("written")
        };
        let wider = ModelSpec { inputs: 4, ..all[0].clone() };
        let refused = from_safetensors(&all[0], &bytes(&wider)).expect_err("another width");
        assert_eq!(refused.to_string(), "layer0.weight: expected F64 [1, 3], found F64 [1, 4]");
        assert!(from_safetensors(&all[0], &bytes(&all[1])).is_err());
        assert!(from_safetensors(&all[0], b"nothing of the kind").is_err());
        assert!(to_safetensors(&all[0], &[0.0], HashMap::new()).is_err());
        let nan = to_safetensors(&all[0], &[0.0, f64::NAN, 0.0, 0.0], HashMap::new()).expect("written");
        assert_eq!(from_safetensors(&all[0], &nan).expect_err("no number").expected, "finite weights");
    }
}
