mod adaptive;
mod data;
mod errors;
mod fitting;
mod gradients;
mod hostile;
mod integers;
mod invariance;
mod logits;
mod reference;

use data::*;

use super::*;

/// Keeps every contribution as it would be clipped.
#[derive(Default)]
struct Recorder(Vec<Vec<f64>>);

impl ContributionSink for Recorder {
    fn add(&mut self, contribution: &[f64]) {
        self.0.push(contribution.to_vec());
    }
}

/// Every entering shopper's contribution, in the order of the observations.
fn contributions(
    spec: &ModelSpec,
    weights: &[f64],
    observations: &Observations,
    enters: &(dyn Fn(ShopperKey) -> bool + Sync),
) -> Vec<Vec<f64>> {
    let trainer = Trainer::new(spec, &DeviceChoice::Cpu).unwrap();
    let recorders = trainer.contributions(weights, observations, enters, &Recorder::default).unwrap();
    recorders.into_iter().flat_map(|recorder| recorder.0).collect()
}

fn everybody(_: ShopperKey) -> bool {
    true
}

fn bits(values: &[f64]) -> Vec<u64> {
    values.iter().map(|x| x.to_bits()).collect()
}
