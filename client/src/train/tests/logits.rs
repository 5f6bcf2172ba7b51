//! What the model says.

use super::*;

#[test]
fn logits_equal_the_reference_and_do_not_depend_on_other_rows() {
    for spec in small_models() {
        let weights = weights(&spec, 31);
        let all = observations(spec.inputs, &shoppers(200, 4, spec.inputs, 32));
        let trainer = Trainer::new(&spec, &DeviceChoice::Cpu).unwrap();
        let logits = trainer.logits(&weights, &all).unwrap();
        assert_eq!(logits.len(), all.rows());
        for (row, logit) in logits.iter().enumerate() {
            let expected = reference::logit(&spec, &weights, all.row(row));
            assert!((f64::from(*logit) - expected).abs() < 1e-5, "{spec:?} row {row}: {logit} {expected}");
        }
        for row in (0..all.rows()).step_by(37) {
            let features = all.row(row).to_vec();
            let alone = Observations { inputs: spec.inputs, features, labels: vec![0.0], shoppers: vec![] };
            assert_eq!(trainer.logits(&weights, &alone).unwrap()[0].to_bits(), logits[row].to_bits());
        }
    }
}

#[test]
fn no_rows_have_no_logits() {
    let none = Observations { inputs: 2, ..Observations::default() };
    let trainer = Trainer::new(&logistic(2), &DeviceChoice::Cpu).unwrap();
    assert!(trainer.logits(&[0.0; 3], &none).unwrap().is_empty());
}
