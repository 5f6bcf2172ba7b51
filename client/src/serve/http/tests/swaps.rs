//! Versions change while questions are asked: no answer fails, none is mixed from two versions.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;

/// What version `number` must answer: its weights are its number times a third, the popularity is the same for all.
fn checked(answer: &Value) -> u32 {
    let number = answer["model"]["version"].as_u64().unwrap() as u32;
    let expected = [("jam", 0.25), ("coffee", 0.125)];
    let popularity = BTreeMap::from([("jam", 0.031_25), ("coffee", 0.062_5), ("butter", 0.093_75)]);
    for (item, weight) in expected.into_iter().chain([("butter", 0.5)]) {
        let items = answer["items"].as_array().unwrap();
        let found = items.iter().find(|found| found["item"] == item).unwrap();
        let score = weight * f64::from(number) / 3.0 + popularity[item];
        assert!((found["score"].as_f64().unwrap() - score).abs() < 1e-4 * score, "{answer}");
        let reason = &found["reasons"][0];
        assert_eq!(reason["item"], "bread");
        let strength = weight * f64::from(number) / 3.0;
        assert!((reason["strength"].as_f64().unwrap() - strength).abs() < 1e-4 * strength, "{answer}");
    }
    assert_eq!(answer["model"]["hash"], version(number).model.to_string());
    number
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_swaps_of_both_arms_under_load_and_no_answer_fails_or_is_mixed() {
    let service = service();
    service.publish(version(1));
    let listening = start(&service).await;
    let over = Arc::new(AtomicBool::new(false));
    let mut callers = tokio::task::JoinSet::new();
    for caller in 0..4 {
        let (address, over) = (listening.address, Arc::clone(&over));
        callers.spawn(async move {
            let mut connection = Caller::new(address).await;
            let (mut seen, mut answers) = (BTreeSet::new(), 0u64);
            while !over.load(Ordering::Relaxed) || answers == 0 {
                let visitor = format!("visitor {caller} {}", answers % 7);
                let question = json!({"history": ["bread"], "k": 5, "reasons": true, "visitor": visitor});
                let (status, text) = connection.ask("POST", "/v1/recommend", &question.to_string()).await;
                assert_eq!(status, 200, "{text}");
                seen.insert(checked(&serde_json::from_str(&text).unwrap()));
                answers += 1;
            }
            (seen, answers)
        });
    }
    for number in 2..=101 {
        service.publish(version(number));
        let challenger = Challenger::Version(Arc::new(version(1_000 + number)));
        service.challenge((number % 3 != 0).then_some((challenger, 0.5)));
        service.pin((number % 10 == 5).then(|| version(500 + number)));
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
    over.store(true, Ordering::Relaxed);
    let (mut seen, mut answers) = (BTreeSet::new(), 0);
    while let Some(done) = callers.join_next().await {
        let (versions, count) = done.unwrap();
        seen.extend(versions);
        answers += count;
    }
    assert!(seen.len() > 30, "the swaps happened while questions were asked: {} versions", seen.len());
    assert!(seen.iter().any(|number| *number > 1_000), "challengers answered too: {seen:?}");
    assert!(answers > 100, "{answers} answers only");
    assert_eq!(service.vitals().unanswerable.load(Ordering::Relaxed), 0);
    listening.stop().await;
}
