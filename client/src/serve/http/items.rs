//! `POST /v1/recommend`, `/v1/similar` and `/v1/events`.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;

use super::refusal::{Question, Refusal};
use crate::data::observations::ShopperKey;
use crate::serve::arms::{Arm, Arms};
use crate::serve::events::ShopperEvent;
use crate::serve::question::{Ask, ColdStart, EventsQuestion, QuestionError, Recommend, Similar, error};
use crate::serve::ranker::{Basis, Eligible, Ranked};
use crate::serve::ranking::Ranking;
use crate::serve::{ServedModel, Service, Vitals};

/// Reasons named for one item.
const REASONS_MAX: usize = 5;

/// Where an answer comes from.
#[derive(Serialize)]
pub(super) struct Origin<'a> {
    job: &'a str,
    version: u32,
    hash: String,
    privacy: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fine_tuned: Option<bool>,
}

impl<'a> Origin<'a> {
    pub fn of(model: &'a ServedModel) -> Self {
        Origin {
            job: model.job.as_str(),
            version: model.version,
            hash: model.model.to_string(),
            privacy: &model.label,
            fine_tuned: model.fine_tuned.then_some(true),
        }
    }
}

/// An item that speaks for another.
#[derive(Serialize)]
pub(super) struct Reason<'a> {
    pub item: &'a str,
    pub strength: f32,
}

#[derive(Serialize)]
struct Item<'a> {
    item: &'a str,
    score: f32,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons: Option<Vec<Reason<'a>>>,
}

#[derive(Serialize)]
struct Answer<'a> {
    items: Vec<Item<'a>>,
    /// What the order rests on.
    basis: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reasons_are: Option<&'static str>,
    arm: &'static str,
    model: Origin<'a>,
}

/// The ranking of a version, if it has one.
pub(super) fn ranking(model: &ServedModel) -> Result<&Ranking, QuestionError> {
    let found = "a model that predicts: ask /v1/predict";
    model.ranking.as_ref().ok_or_else(|| error("job", "a model that ranks items", found))
}

/// Numbers of items, in the order of the list.
pub(super) fn numbers(ranking: &Ranking, ids: &[String], field: &str) -> Result<Vec<u32>, QuestionError> {
    let number = |(place, id): (usize, &String)| {
        let found = ranking.catalogue.position(id);
        found.ok_or_else(|| error(format!("{field}[{place}]"), "an item of the catalogue", "an unknown item"))
    };
    ids.iter().enumerate().map(number).collect()
}

pub(super) fn number(ranking: &Ranking, id: &str) -> Result<u32, QuestionError> {
    let found = ranking.catalogue.position(id);
    found.ok_or_else(|| error("item", "an item of the catalogue", "an unknown item"))
}

/// What is known of whoever an answer is for, the oldest first; none for a shopper nobody heard of.
pub(super) fn history(
    service: &Service,
    arms: &Arms,
    arm: &Arm,
    ask: &Ask,
) -> Result<Option<Vec<u32>>, QuestionError> {
    let ranking = ranking(&arm.model)?;
    let key = match ask {
        Ask::Nobody => return Ok(Some(vec![])),
        Ask::History(ids) => return numbers(ranking, ids, "history").map(Some),
        Ask::Shopper(key) => *key,
    };
    let known = arms.known_history(arm, key);
    let live = service.live().history(key);
    if known.is_none() && live.is_none() {
        return Ok(None);
    }
    let mut history = known.unwrap_or_default();
    history.extend(live.unwrap_or_default().iter().filter_map(|id| ranking.catalogue.position(id)));
    Ok(Some(history))
}

/// Whose arm answers.
pub(super) fn bucket_key(ask: &Ask, visitor: Option<ShopperKey>) -> Option<ShopperKey> {
    visitor.or(match ask {
        Ask::Shopper(key) => Some(*key),
        _ => None,
    })
}

fn filter(ranking: &Ranking, tags: Option<&[String]>) -> Result<Option<Vec<bool>>, QuestionError> {
    let unknown = |place| error(format!("filter.tags[{place}]"), "a tag of the catalogue", "an unknown tag");
    tags.map(|tags| ranking.with_any_tag(tags).map_err(unknown)).transpose()
}

fn sorted(mut items: Vec<u32>) -> Vec<u32> {
    items.sort_unstable();
    items.dedup();
    items
}

pub(super) async fn recommend(State(service): State<Arc<Service>>, Question(body): Question) -> Response {
    let arms = service.arms();
    let answer = Recommend::parse(&body).map_err(Refusal::from).and_then(|question| {
        let key = bucket_key(&question.ask, question.visitor);
        let arm = arms.of(key).ok_or_else(Refusal::no_model)?;
        recommended(&service, &arms, arm, &question, key)
    });
    match answer {
        Ok(answer) => {
            Vitals::count(&service.vitals().recommended);
            answer
        }
        Err(refusal) => refusal.counted(&service),
    }
}

fn recommended(
    service: &Service,
    arms: &Arms,
    arm: &Arm,
    question: &Recommend,
    key: Option<ShopperKey>,
) -> Result<Response, Refusal> {
    let ranking = ranking(&arm.model)?;
    let known = history(service, arms, arm, &question.ask)?;
    if question.cold_start == ColdStart::Refuse {
        refuse_cold_start(known.as_deref())?;
    }
    let history = known.unwrap_or_default();
    let mut excluded = numbers(ranking, &question.exclude, "exclude")?;
    if !question.include_seen {
        excluded.extend(&history);
    }
    let (excluded, filter) = (sorted(excluded), filter(ranking, question.tags.as_deref())?);
    let eligible = Eligible { excluded: &excluded, filter: filter.as_deref() };
    let newest = ranking.newest(&history);
    let ranked = ranking.ranker.top(newest, question.k, eligible);
    arm.counts.count_shown(ranked.items.len());
    if let Some(key) = key {
        let shown = ranked.items.iter().map(|scored| scored.item).collect();
        service.live().show(key, &arm.counts, &ranking.catalogue, shown);
    }
    let because = (question.reasons && ranked.basis == Basis::History).then_some(newest);
    Ok(Json(answer(arm, ranking, &ranked, because)).into_response())
}

fn refuse_cold_start(history: Option<&[u32]>) -> Result<(), Refusal> {
    let expected = "a history, or \"cold_start\": \"popularity\"";
    match history {
        None => {
            let unknown = error("shopper", expected, "a shopper without any");
            Err(Refusal::from(unknown).with_status(StatusCode::NOT_FOUND))
        }
        Some([]) => Err(error("history", expected, "an empty history").into()),
        Some(_) => Ok(()),
    }
}

fn answer<'a>(arm: &'a Arm, ranking: &'a Ranking, ranked: &Ranked, because: Option<&[u32]>) -> Answer<'a> {
    let id = |item: u32| ranking.catalogue.id(item).unwrap_or_default();
    let mut reasons_are = None;
    let mut items = Vec::with_capacity(ranked.items.len());
    for scored in &ranked.items {
        let reasons = because.map(|history| {
            let reasons = ranking.ranker.reasons(history, scored.item);
            reasons_are = Some(reasons.kind.word());
            let first = reasons.items.into_iter().take(REASONS_MAX);
            first.map(|(item, strength)| Reason { item: id(item), strength }).collect()
        });
        items.push(Item { item: id(scored.item), score: scored.score, reasons });
    }
    let model = Origin::of(&arm.model);
    Answer { items, basis: ranked.basis.word(), reasons_are, arm: arm.name.word(), model }
}

pub(super) async fn similar(State(service): State<Arc<Service>>, Question(body): Question) -> Response {
    let arms = service.arms();
    let Some(arm) = arms.champion() else { return Refusal::no_model().into_response() };
    match Similar::parse(&body).and_then(|question| alike(arm, &question)) {
        Ok(answer) => {
            Vitals::count(&service.vitals().recommended);
            answer
        }
        Err(error) => Refusal::from(error).counted(&service),
    }
}

fn alike(arm: &Arm, question: &Similar) -> Result<Response, QuestionError> {
    let ranking = ranking(&arm.model)?;
    let item = number(ranking, &question.item)?;
    let mut excluded = numbers(ranking, &question.exclude, "exclude")?;
    excluded.push(item);
    let (excluded, filter) = (sorted(excluded), filter(ranking, question.tags.as_deref())?);
    let eligible = Eligible { excluded: &excluded, filter: filter.as_deref() };
    let ranked = ranking.ranker.most_similar(item, question.k, eligible);
    Ok(Json(answer(arm, ranking, &ranked, None)).into_response())
}

pub(super) async fn events(State(service): State<Arc<Service>>, Question(body): Question) -> Response {
    let Some(model) = service.current() else { return Refusal::no_model().into_response() };
    let events = match EventsQuestion::parse(&body).and_then(|question| checked(&model, question)) {
        Ok(events) => events,
        Err(error) => return Refusal::from(error).counted(&service),
    };
    // A task of its own: whoever hangs up after the events are on disk does not keep them out of memory.
    let (recorder, count) = (Arc::clone(&service), events.len());
    let recorded = tokio::spawn(async move { recorder.record(&events).await }).await;
    match recorded {
        Ok(Ok(durable)) => {
            Vitals::add(&service.vitals().events, count as u64);
            Json(json!({"recorded": count, "durable": durable})).into_response()
        }
        Ok(Err(error)) => Refusal::unavailable(error.to_string()).into_response(),
        Err(error) => Refusal::unavailable(format!("recording ended early: {error}")).into_response(),
    }
}

/// All of them, or none: whatever names an item that is not sold is refused as a whole.
fn checked(model: &ServedModel, question: EventsQuestion) -> Result<Vec<ShopperEvent>, QuestionError> {
    let ranking = ranking(model)?;
    let event = |(place, event): (usize, crate::serve::question::EventQuestion)| {
        if ranking.catalogue.position(&event.item).is_none() {
            let field = format!("events[{place}].item");
            return Err(error(field, "an item of the catalogue", "an unknown item"));
        }
        Ok(ShopperEvent { shopper: event.shopper, item: event.item, time: event.time })
    };
    question.0.into_iter().enumerate().map(event).collect()
}
