//! Questions about items: what to recommend, what is alike, why, and what shoppers did. Numbers may stand for ids. [core]

use serde_json::{Map, Value};

use super::{QuestionError, error, kind, only};
use crate::data::observations::ShopperKey;

/// Most items of an answer.
const K_MAX: u64 = 1_000;
/// Items of an answer where the question does not say.
const K_DEFAULT: usize = 10;
/// Most items of an answer with reasons.
const K_WITH_REASONS_MAX: usize = 100;
/// Most ids in a list of a question.
const IDS_MAX: usize = 10_000;
/// Most tags of a filter.
const TAGS_MAX: usize = 100;
/// Most events of one request.
const EVENTS_MAX: usize = 1_000;
/// Longest id of a shopper, in bytes.
const SHOPPER_BYTES_MAX: usize = 256;

/// Whom an answer is for.
pub(in crate::serve) enum Ask {
    /// A shopper by its id.
    Shopper(ShopperKey),
    /// Whoever has these items, the oldest first.
    History(Vec<String>),
    /// Nothing is known.
    Nobody,
}

/// What to do where there is no history.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::serve) enum ColdStart {
    /// Recommend what is popular, and say so.
    Popularity,
    /// Answer that there is none.
    Refuse,
}

/// `POST /v1/recommend`
pub(in crate::serve) struct Recommend {
    pub ask: Ask,
    /// Who is asking, for experiments, where that is not the shopper.
    pub visitor: Option<ShopperKey>,
    pub k: usize,
    pub exclude: Vec<String>,
    pub tags: Option<Vec<String>>,
    pub reasons: bool,
    pub include_seen: bool,
    pub cold_start: ColdStart,
}

/// `POST /v1/similar`
pub(in crate::serve) struct Similar {
    pub item: String,
    pub k: usize,
    pub exclude: Vec<String>,
    pub tags: Option<Vec<String>>,
}

/// `POST /v1/explain` for a model of items
pub(in crate::serve) struct ExplainItem {
    pub ask: Ask,
    pub visitor: Option<ShopperKey>,
    pub item: String,
}

/// One event of `POST /v1/events`
pub(in crate::serve) struct EventQuestion {
    pub shopper: ShopperKey,
    pub item: String,
    pub time: Option<i64>,
}

/// `POST /v1/events`
pub(in crate::serve) struct EventsQuestion(pub Vec<EventQuestion>);

impl Recommend {
    pub fn parse(body: &[u8]) -> Result<Self, QuestionError> {
        let mut object = object(
            body,
            "an object with \"shopper\" or \"history\", \"k\", …",
            &[
                "shopper",
                "history",
                "visitor",
                "k",
                "exclude",
                "filter",
                "reasons",
                "include_seen",
                "cold_start",
            ],
        )?;
        let reasons = flag(&object, "reasons")?;
        let k = count(&object)?;
        if reasons && k > K_WITH_REASONS_MAX {
            return Err(error("k", format!("at most {K_WITH_REASONS_MAX} with reasons"), "a greater number"));
        }
        let cold_start = match object.get("cold_start") {
            None => ColdStart::Popularity,
            Some(Value::String(word)) if word == "popularity" => ColdStart::Popularity,
            Some(Value::String(word)) if word == "refuse" => ColdStart::Refuse,
            Some(Value::String(_)) => return Err(cold_start_error("another text")),
            other => return Err(cold_start_error(kind(other))),
        };
        Ok(Recommend {
            ask: ask(&mut object)?,
            visitor: visitor(&mut object)?,
            k,
            exclude: optional_ids(&mut object, "exclude")?,
            tags: tags(&mut object)?,
            reasons,
            include_seen: flag(&object, "include_seen")?,
            cold_start,
        })
    }
}

fn cold_start_error(found: &str) -> QuestionError {
    error("cold_start", "\"popularity\" or \"refuse\"", found)
}

impl Similar {
    pub fn parse(body: &[u8]) -> Result<Self, QuestionError> {
        let expected = "an object with \"item\", \"k\", …";
        let mut object = object(body, expected, &["item", "k", "exclude", "filter"])?;
        Ok(Similar {
            item: id(object.remove("item"), "item", "the id of an item")?,
            k: count(&object)?,
            exclude: optional_ids(&mut object, "exclude")?,
            tags: tags(&mut object)?,
        })
    }
}

/// Who asks for a prediction, where the question says so.
pub(in crate::serve) fn visitor_of(body: &[u8]) -> Result<Option<ShopperKey>, QuestionError> {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(mut question)) => visitor(&mut question),
        // What else is wrong is said where the whole question is read.
        _ => Ok(None),
    }
}

/// Whether a question is about an item of a ranking, and not about a prediction.
pub(in crate::serve) fn explains_item(body: &[u8]) -> bool {
    matches!(serde_json::from_slice(body), Ok(Value::Object(question)) if question.contains_key("item"))
}

impl ExplainItem {
    pub fn parse(body: &[u8]) -> Result<Self, QuestionError> {
        let expected = "an object with \"item\" and \"shopper\" or \"history\"";
        let mut object = object(body, expected, &["item", "shopper", "history", "visitor"])?;
        let ask = ask(&mut object)?;
        if matches!(ask, Ask::Nobody) {
            return Err(error("history", "a list of items, or \"shopper\"", "neither"));
        }
        let item = id(object.remove("item"), "item", "the id of an item")?;
        Ok(ExplainItem { ask, visitor: visitor(&mut object)?, item })
    }
}

impl EventsQuestion {
    pub fn parse(body: &[u8]) -> Result<Self, QuestionError> {
        let mut object = object(body, "an object {\"events\": [{\"shopper\", \"item\"}, …]}", &["events"])?;
        let expected = format!("a list of 1 to {EVENTS_MAX} events");
        let list = match object.remove("events") {
            Some(Value::Array(list)) if (1..=EVENTS_MAX).contains(&list.len()) => list,
            Some(Value::Array(list)) => {
                return Err(error("events", expected, format!("{} events", list.len())));
            }
            other => return Err(error("events", expected, kind(other.as_ref()))),
        };
        list.into_iter()
            .enumerate()
            .map(|(place, value)| event(place, value))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

fn event(place: usize, value: Value) -> Result<EventQuestion, QuestionError> {
    let at = |key: &str| format!("events[{place}].{key}");
    let mut object = match value {
        Value::Object(object) => object,
        other => return Err(error(format!("events[{place}]"), "an object", kind(Some(&other)))),
    };
    only(&object, &["shopper", "item", "time"])?;
    let time = match object.get("time") {
        None => None,
        Some(value) => match value.as_i64() {
            Some(time) => Some(time),
            None => return Err(error(at("time"), "a whole number", kind(Some(value)))),
        },
    };
    Ok(EventQuestion {
        shopper: shopper(object.remove("shopper"), &at("shopper"))?,
        item: id(object.remove("item"), &at("item"), "the id of an item")?,
        time,
    })
}

/// Reads an object that has only these keys.
fn object(body: &[u8], expected: &str, keys: &[&str]) -> Result<Map<String, Value>, QuestionError> {
    match serde_json::from_slice::<Value>(body) {
        Ok(Value::Object(object)) => only(&object, keys).map(|()| object),
        Ok(other) => Err(error("body", expected, kind(Some(&other)))),
        // serde_json's words name line and column, not the content.
        Err(problem) => Err(error("body", expected, format!("invalid JSON ({problem})"))),
    }
}

fn ask(object: &mut Map<String, Value>) -> Result<Ask, QuestionError> {
    match (object.remove("shopper"), object.remove("history")) {
        (Some(_), Some(_)) => Err(error("history", "\"shopper\" or \"history\"", "both")),
        (Some(value), None) => shopper(Some(value), "shopper").map(Ask::Shopper),
        (None, Some(value)) => ids(value, "history", IDS_MAX).map(Ask::History),
        (None, None) => Ok(Ask::Nobody),
    }
}

fn visitor(object: &mut Map<String, Value>) -> Result<Option<ShopperKey>, QuestionError> {
    object.remove("visitor").map(|value| shopper(Some(value), "visitor")).transpose()
}

fn shopper(value: Option<Value>, field: &str) -> Result<ShopperKey, QuestionError> {
    let expected = format!("an id of 1 to {SHOPPER_BYTES_MAX} bytes");
    let id = id(value, field, &expected)?;
    match id.len() {
        1..=SHOPPER_BYTES_MAX => Ok(ShopperKey::of_id(&id)),
        0 => Err(error(field, expected, "an empty text")),
        _ => Err(error(field, expected, "a longer one")),
    }
}

/// A text, or a whole number as text.
fn id(value: Option<Value>, field: &str, expected: &str) -> Result<String, QuestionError> {
    match value {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Number(number)) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        other => Err(error(field, expected, kind(other.as_ref()))),
    }
}

fn ids(value: Value, field: &str, most: usize) -> Result<Vec<String>, QuestionError> {
    let expected = format!("a list of at most {most} ids");
    let list = match value {
        Value::Array(list) if list.len() <= most => list,
        Value::Array(list) => return Err(error(field, expected, format!("{} entries", list.len()))),
        other => return Err(error(field, expected, kind(Some(&other)))),
    };
    let entry = |(place, value)| id(Some(value), &format!("{field}[{place}]"), "an id");
    list.into_iter().enumerate().map(entry).collect()
}

fn optional_ids(object: &mut Map<String, Value>, field: &str) -> Result<Vec<String>, QuestionError> {
    object.remove(field).map_or(Ok(vec![]), |value| ids(value, field, IDS_MAX))
}

fn tags(object: &mut Map<String, Value>) -> Result<Option<Vec<String>>, QuestionError> {
    let mut filter = match object.remove("filter") {
        None => return Ok(None),
        Some(Value::Object(filter)) => filter,
        other => return Err(error("filter", "an object {\"tags\": […]}", kind(other.as_ref()))),
    };
    only(&filter, &["tags"])?;
    match filter.remove("tags") {
        Some(value) => ids(value, "filter.tags", TAGS_MAX).map(Some),
        None => Err(error("filter.tags", "a list of tags", "nothing")),
    }
}

fn count(object: &Map<String, Value>) -> Result<usize, QuestionError> {
    let Some(value) = object.get("k") else { return Ok(K_DEFAULT) };
    match value.as_u64() {
        Some(k @ 1..=K_MAX) => Ok(k as usize),
        Some(0) => Err(error("k", format!("a whole number from 1 to {K_MAX}"), "zero")),
        Some(_) => Err(error("k", format!("a whole number from 1 to {K_MAX}"), "a greater number")),
        None => Err(error("k", format!("a whole number from 1 to {K_MAX}"), kind(Some(value)))),
    }
}

fn flag(object: &Map<String, Value>, field: &str) -> Result<bool, QuestionError> {
    match object.get(field) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        other => Err(error(field, "true or false", kind(other))),
    }
}
