//! A question becomes inputs, by the same public feature builders as training. Errors name field, expected and found
//! kind, never the value.

mod items;

use std::collections::BTreeMap;

use guildhall_shared::job::JobSpec;
use guildhall_shared::task::{FeatureSpec, Task, Transform};
use serde_json::{Map, Value};

use crate::data::features::repurchase::{self, Basket, DAY_MAX};
use crate::data::features::tabular::{Encoder, Field};

pub(super) use items::{
    Ask, ColdStart, EventQuestion, EventsQuestion, ExplainItem, Recommend, Similar, explains_item, visitor_of,
};

/// Baskets one question may hold.
const BASKETS_MAX: usize = 10_000;
/// Amounts one basket may hold: lines, or cents.
const AMOUNT_MAX: i64 = 1_000_000_000_000;

/// A question that cannot be answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: expected {expected}, found {found}")]
pub(super) struct QuestionError {
    /// Where.
    pub field: String,
    /// What belongs there.
    pub expected: String,
    /// What kind of thing is there.
    pub found: String,
}

pub(super) fn error(
    field: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
) -> QuestionError {
    QuestionError { field: field.into(), expected: expected.into(), found: found.into() }
}

/// Reads a question for a job's model.
///
/// # Shapes
/// As many inputs as the job's task has, all finite.
pub(super) fn inputs(body: &[u8], job: &JobSpec) -> Result<Vec<f32>, QuestionError> {
    let expected = form(&job.task);
    let question = match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(mut question)) => {
            // Decides who answers, and nothing else.
            question.remove("visitor");
            question
        }
        Ok(other) => return Err(error("body", expected, kind(Some(&other)))),
        // serde_json's words name line and column, not the content.
        Err(problem) => return Err(error("body", expected, format!("invalid JSON ({problem})"))),
    };
    match (&job.task, question.contains_key("inputs")) {
        (Task::NextItem(_), _) => {
            Err(error("job", "a model that predicts", "a model that ranks items: ask /v1/recommend"))
        }
        (Task::Dummy { .. }, _) => {
            Err(error("job", "a model that predicts", "a bare vector, made for measuring rounds"))
        }
        (_, true) => {
            only(&question, &["inputs"]).and_then(|()| raw_inputs(question.get("inputs"), job.task.inputs()))
        }
        (Task::Tabular { features }, false) => {
            only(&question, &["row"])?;
            row(question.get("row"), features)
        }
        (Task::Repurchase(_) | Task::RepurchaseSequence { .. }, false) => {
            only(&question, &["baskets", "week"])?;
            history(question.get("baskets"), question.get("week"), &job.task)
        }
    }
}

/// Names of the inputs of a row, in order: the column, or column=value. Nothing for other tasks.
pub(super) fn input_names(task: &Task) -> Vec<String> {
    let Task::Tabular { features } = task else { return vec![] };
    let names = |feature: &FeatureSpec| match &feature.transform {
        Transform::OneHot { vocabulary } => {
            vocabulary.iter().map(|value| format!("{}={value}", feature.column)).collect()
        }
        _ => vec![feature.column.clone()],
    };
    features.iter().flat_map(names).collect()
}

fn form(task: &Task) -> String {
    let other = match task {
        Task::Tabular { .. } => "{\"row\": {column: value, …}}",
        Task::Repurchase(_) | Task::RepurchaseSequence { .. } => {
            "{\"baskets\": [{\"day\", \"hour\", \"lines\", \"spend_cents\", …}, …], \"week\": t}"
        }
        Task::Dummy { .. } | Task::NextItem(_) => "nothing",
    };
    format!("an object {other} or {{\"inputs\": [{} numbers]}}", task.inputs())
}

pub(super) fn kind(value: Option<&Value>) -> &'static str {
    match value {
        None => "nothing",
        Some(Value::Null) => "null",
        Some(Value::Bool(_)) => "true or false",
        Some(Value::Number(_)) => "a number",
        Some(Value::String(_)) => "a text",
        Some(Value::Array(_)) => "a list",
        Some(Value::Object(_)) => "an object",
    }
}

/// A misspelt key is an error, not a missing value.
pub(super) fn only(object: &Map<String, Value>, allowed: &[&str]) -> Result<(), QuestionError> {
    match object.keys().find(|key| !allowed.contains(&key.as_str())) {
        None => Ok(()),
        Some(key) => {
            let short: String = key.chars().take(64).collect();
            Err(error(short, format!("only the keys {}", allowed.join(", ")), "an unknown key"))
        }
    }
}

fn raw_inputs(value: Option<&Value>, width: usize) -> Result<Vec<f32>, QuestionError> {
    let expected = format!("a list of {width} numbers");
    let Some(Value::Array(list)) = value else { return Err(error("inputs", expected, kind(value))) };
    if list.len() != width {
        return Err(error("inputs", expected, format!("{} values", list.len())));
    }
    let number = |(index, value): (usize, &Value)| {
        let number = value.as_f64().map(|v| v as f32).filter(|v| v.is_finite());
        number.ok_or_else(|| error(format!("inputs[{index}]"), "a finite 32-bit number", kind(Some(value))))
    };
    list.iter().enumerate().map(number).collect()
}

fn row(value: Option<&Value>, features: &[FeatureSpec]) -> Result<Vec<f32>, QuestionError> {
    let Some(Value::Object(row)) = value else {
        return Err(error("row", "an object of column: value", kind(value)));
    };
    let columns: Vec<&str> = features.iter().map(|feature| feature.column.as_str()).collect();
    only(row, &columns)?;
    // Numbers may name categories, so every category is written as text once.
    let texts: BTreeMap<&str, String> =
        row.iter().map(|(column, value)| (column.as_str(), text(value))).collect();
    for feature in features {
        check_field(feature, row.get(&feature.column))?;
    }
    let field = |column: &str| {
        let category =
            features.iter().any(|f| f.column == column && matches!(f.transform, Transform::OneHot { .. }));
        match row.get(column)? {
            Value::Null if category => Some(Field::Unknown),
            Value::Null => None,
            _ if category => texts.get(column).map(|text| Field::Category(text)),
            Value::Bool(flag) => Some(Field::Number(f64::from(u8::from(*flag)))),
            number => number.as_f64().map(Field::Number),
        }
    };
    let mut inputs = Vec::new();
    let encoded = Encoder::new(features).encode(field, &mut inputs, &mut |_, _| {});
    encoded.map_err(|problem| error(format!("row.{}", problem.column), problem.expected, problem.found))?;
    Ok(inputs)
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => match number.as_f64().filter(|v| v.fract() == 0.0 && v.abs() < 9e15) {
            Some(whole) => (whole as i64).to_string(),
            None => number.to_string(),
        },
        other => other.to_string(),
    }
}

fn check_field(feature: &FeatureSpec, value: Option<&Value>) -> Result<(), QuestionError> {
    let (expected, fits) = match (&feature.transform, value) {
        (Transform::OneHot { .. }, value) => (
            "a text, a number, true or false, or null for unknown",
            matches!(value, Some(Value::String(_) | Value::Number(_) | Value::Bool(_) | Value::Null)),
        ),
        (_, value) => ("a number, true or false", matches!(value, Some(Value::Number(_) | Value::Bool(_)))),
    };
    if fits { Ok(()) } else { Err(error(format!("row.{}", feature.column), expected, kind(value))) }
}

fn history(baskets: Option<&Value>, week: Option<&Value>, task: &Task) -> Result<Vec<f32>, QuestionError> {
    let expected = format!("a list of 1 to {BASKETS_MAX} baskets");
    let Some(Value::Array(list)) = baskets else { return Err(error("baskets", expected, kind(baskets))) };
    if list.is_empty() || list.len() > BASKETS_MAX {
        return Err(error("baskets", expected, format!("{} baskets", list.len())));
    }
    let number =
        week.and_then(Value::as_u64).and_then(|week| u32::try_from(week).ok()).filter(|week| *week >= 1);
    let week = number.ok_or_else(|| error("week", "the number of a week, from 1", kind(week)))?;
    let mut baskets: Vec<Basket> =
        list.iter().enumerate().map(|(index, value)| basket(index, value)).collect::<Result<_, _>>()?;
    baskets.sort();
    let inputs = match task.sequence() {
        Some(shape) => repurchase::with_weeks(&baskets, week, shape.steps),
        None => repurchase::inputs(&baskets, week).map(|inputs| inputs.to_vec()),
    };
    let none =
        || error("baskets", format!("at least one basket up to the end of week {week}"), "only later ones");
    inputs.ok_or_else(none)
}

fn basket(index: usize, value: &Value) -> Result<Basket, QuestionError> {
    let Value::Object(fields) = value else {
        return Err(error(format!("baskets[{index}]"), "an object", kind(Some(value))));
    };
    let keys = ["day", "hour", "lines", "spend_cents", "discount_cents", "with_coupon"];
    only(fields, &keys)?;
    let whole = |key: &str, least: i64, most: i64, default: Option<i64>| {
        let value = fields.get(key);
        let number = if value.is_none() { default } else { value.and_then(Value::as_i64) };
        let expected = format!("a whole number from {least} to {most}");
        let legal = number.filter(|number| (least..=most).contains(number));
        legal.ok_or_else(|| error(format!("baskets[{index}].{key}"), expected, kind(value)))
    };
    let with_coupon = match fields.get("with_coupon") {
        None => false,
        Some(Value::Bool(flag)) => *flag,
        other => return Err(error(format!("baskets[{index}].with_coupon"), "true or false", kind(other))),
    };
    Ok(Basket {
        day: whole("day", 0, DAY_MAX, None)?,
        hour: whole("hour", 0, 23, None)? as u8,
        lines: whole("lines", 0, AMOUNT_MAX, None)?,
        spend_cents: whole("spend_cents", -AMOUNT_MAX, AMOUNT_MAX, None)?,
        discount_cents: whole("discount_cents", 0, AMOUNT_MAX, Some(0))?,
        with_coupon,
    })
}
