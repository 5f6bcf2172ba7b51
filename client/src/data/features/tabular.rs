//! Columns of one row become inputs, as the job's [`FeatureSpec`]s say. [core]
//!
//! # Privacy
//! Every constant is public and part of the job. An observation depends on its own row alone.

use std::collections::BTreeMap;

use guildhall_shared::task::{FeatureSpec, Transform};

use crate::data::report::Problem;

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Field<'v> {
    /// A finite number.
    Number(f64),
    /// A category.
    Category(&'v str),
    /// A category that is missing or not in the vocabulary.
    Unknown,
}

/// Turns rows into inputs.
pub struct Encoder<'j> {
    features: Vec<(&'j FeatureSpec, BTreeMap<String, usize>)>,
    inputs: usize,
}

/// Why a row cannot become inputs: a column is absent, or of the other kind.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("column {column:?}: expected {expected}, found {found}")]
pub struct EncodeError {
    /// Which.
    pub column: String,
    /// A number or a category.
    pub expected: &'static str,
    /// What kind of thing was there.
    pub found: &'static str,
}

impl<'j> Encoder<'j> {
    /// Prepares the features of a job.
    pub fn new(features: &'j [FeatureSpec]) -> Self {
        let inputs = features.iter().map(FeatureSpec::width).sum();
        let slots = |feature: &FeatureSpec| match &feature.transform {
            Transform::OneHot { vocabulary } => vocabulary
                .iter()
                .enumerate()
                .map(|(slot, value)| (value.trim().to_ascii_lowercase(), slot))
                .collect(),
            _ => BTreeMap::new(),
        };
        Encoder { features: features.iter().map(|feature| (feature, slots(feature))).collect(), inputs }
    }

    /// Inputs per row.
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// Appends a row's inputs to `out`. `found` hears of every value that was moved to a public bound or is unknown to the job.
    ///
    /// # Errors
    /// [`EncodeError`]; `out` is then as before.
    pub fn encode<'v>(
        &self,
        field: impl Fn(&str) -> Option<Field<'v>>,
        out: &mut Vec<f32>,
        found: &mut dyn FnMut(Problem, &'j str),
    ) -> Result<(), EncodeError> {
        let start = out.len();
        for (feature, slots) in &self.features {
            let result = match (&feature.transform, field(&feature.column)) {
                (Transform::OneHot { .. }, Some(Field::Category(text))) => {
                    let slot = slots.get(text.trim().to_ascii_lowercase().as_str()).copied();
                    if slot.is_none() {
                        found(Problem::UnknownToJob, &feature.column);
                    }
                    out.extend(
                        (0..slots.len()).map(|i| if Some(i) == slot { feature.scale as f32 } else { 0.0 }),
                    );
                    Ok(())
                }
                (Transform::OneHot { .. }, Some(Field::Unknown)) => {
                    out.extend((0..slots.len()).map(|_| 0.0));
                    Ok(())
                }
                (Transform::OneHot { .. }, other) => Err(("a category", kind(other))),
                (transform, Some(Field::Number(value))) => {
                    let (input, moved) = number(transform, value);
                    if moved {
                        found(Problem::OutOfJobBounds, &feature.column);
                    }
                    out.push((input * feature.scale) as f32);
                    Ok(())
                }
                (_, other) => Err(("a number", kind(other))),
            };
            if let Err((expected, found)) = result {
                out.truncate(start);
                return Err(EncodeError { column: feature.column.clone(), expected, found });
            }
        }
        Ok(())
    }
}

/// The transformed number, and whether it had to be moved to a bound.
fn number(transform: &Transform, value: f64) -> (f64, bool) {
    match transform {
        Transform::Identity { min, max } => (value.clamp(*min, *max), value < *min || value > *max),
        Transform::Log1p { max } => (value.clamp(0.0, *max).ln_1p(), value < 0.0 || value > *max),
        Transform::Positive => (f64::from(u8::from(value > 0.0)), false),
        // Categories never come here.
        Transform::OneHot { .. } => (0.0, false),
    }
}

fn kind(field: Option<Field<'_>>) -> &'static str {
    match field {
        None => "none",
        Some(Field::Number(_)) => "a number",
        Some(Field::Category(_) | Field::Unknown) => "a category",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features() -> Vec<FeatureSpec> {
        let spec = |column: &str, transform, scale| FeatureSpec { column: column.into(), transform, scale };
        vec![
            spec("value", Transform::Log1p { max: 100.0 }, 0.25),
            spec("value", Transform::Positive, 1.0),
            spec("value", Transform::Identity { min: 0.0, max: 60.0 }, 1.0 / 60.0),
            spec("month", Transform::OneHot { vocabulary: vec!["Feb".into(), "Mar".into()] }, 0.5),
        ]
    }

    fn encode(value: f64, month: Field<'static>) -> (Vec<f32>, Vec<(Problem, String)>) {
        let (features, mut out, mut found) = (features(), vec![], vec![]);
        let fields = |column: &str| Some(if column == "value" { Field::Number(value) } else { month });
        Encoder::new(&features)
            .encode(fields, &mut out, &mut |problem, column| found.push((problem, column.to_string())))
            .expect("encodes");
        (out, found)
    }

    #[test]
    fn by_hand() {
        let (out, found) = encode(30.0, Field::Category("mar"));
        assert_eq!(out, [(31f64.ln() * 0.25) as f32, 1.0, 0.5, 0.0, 0.5]);
        assert!(found.is_empty());
        assert_eq!(encode(0.0, Field::Unknown).0, [0.0; 5]);
    }

    #[test]
    fn values_beyond_public_bounds_are_moved_and_told() {
        let (out, found) = encode(1000.0, Field::Category("Apr"));
        assert_eq!(out, [(101f64.ln() * 0.25) as f32, 1.0, 1.0, 0.0, 0.0]);
        let moved = (Problem::OutOfJobBounds, "value".to_string());
        assert_eq!(found, [moved.clone(), moved, (Problem::UnknownToJob, "month".to_string())]);
        assert_eq!(encode(-5.0, Field::Unknown).0[..3], [0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_missing_column_or_one_of_the_other_kind_is_refused_and_nothing_is_written() {
        let features = features();
        let encoder = Encoder::new(&features);
        let mut out = vec![7.0];
        let error = encoder
            .encode(|_| Some(Field::Number(1.0)), &mut out, &mut |_, _| ())
            .expect_err("month is no number");
        assert_eq!((error.column.as_str(), error.expected, error.found), ("month", "a category", "a number"));
        assert!(encoder.encode(|_| None, &mut out, &mut |_, _| ()).is_err());
        assert_eq!(out, [7.0]);
    }
}
