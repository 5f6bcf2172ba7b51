//! A whole client process against a scripted server: real QUIC, real ledger, real files; scripted noise and training.

mod fine_tuned;
mod masked;
mod record;
mod scene;
mod sealing;
mod witnesses;

use std::time::Duration;

use guildhall_shared::id::RoundId;
use guildhall_shared::message::{Abort, ClientMessage, DeclineReason, Finished, WitnessedHead};
use guildhall_shared::ring::RingVector;

use crate::event::Event;
use scene::{Contribution, Scene};

fn round(round: u32, attempt: u32) -> RoundId {
    RoundId { round, attempt }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_takes_part_derives_the_model_serves_it_and_ends() {
    let mut scene = Scene::new(Contribution::Known);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let offer = scene.server.offer(round(0, 0));
    session.say(offer.clone()).await;
    assert!(matches!(session.hear().await, ClientMessage::Accept(a) if a.sid == offer.sid()));
    session.say(scene.server.begin(&offer)).await;
    let (header, words) = session.receive_update(scene.vector_bytes()).await;
    header.verify(&scene.identity()).unwrap();
    assert_eq!(header.hash, guildhall_shared::digest::Digest::of_bytes(&words));
    // The known contribution (512, −256, 0) with the scripted noise of 1,000 everywhere.
    let mut sum = RingVector::zero(scene.server.parameters().ring, 3);
    sum.add_bytes(&words).unwrap();
    assert_eq!(sum.centred(), [1512, 744, 1000]);
    let (result, words) = scene.server.settle(&offer, &sum.centred());
    session.send_result(&result, &words).await;
    assert!(
        matches!(session.hear().await, ClientMessage::Ready(r) if r.version == 1 && r.model == result.model)
    );
    let model = scene.get("/v1/model").await;
    assert!(model.contains(&result.model.to_string()) && model.contains("\"version\":1"), "{model}");
    session.say(Finished { job: result.job, version: 1, model: result.model }).await;
    client.await.unwrap().unwrap();
    let events = scene.events();
    let spent = events.iter().find_map(|event| match event {
        Event::NewModel { version: 1, epsilon_spent, label, .. } => {
            assert!(label.contains("plain mode") && label.contains("shopper"), "{label}");
            Some(*epsilon_spent)
        }
        _ => None,
    });
    assert!(spent.is_some_and(|epsilon| epsilon > 0.0), "{events:?}");
    assert!(matches!(events.last(), Some(Event::Finished { .. })), "{events:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_that_fails_or_panics_sends_its_noise_all_the_same() {
    for contribution in [Contribution::Fails, Contribution::Panics] {
        let scene = Scene::new(contribution);
        let client = scene.start_client();
        let mut session = scene.open_session().await;
        let offer = scene.server.offer(round(0, 0));
        session.say(offer.clone()).await;
        session.hear().await;
        session.say(scene.server.begin(&offer)).await;
        let (_, words) = session.receive_update(scene.vector_bytes()).await;
        let mut sum = RingVector::zero(scene.server.parameters().ring, 3);
        sum.add_bytes(&words).unwrap();
        assert_eq!(sum.centred(), [1000, 1000, 1000]);
        scene.stop();
        client.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_connection_is_opened_again_and_the_next_attempt_taken() {
    let scene = Scene::new(Contribution::Known);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let offer = scene.server.offer(round(0, 0));
    session.say(offer.clone()).await;
    session.hear().await;
    session.close("gone");
    let mut session = scene.open_session().await;
    let offer = scene.server.offer(round(0, 1));
    session.say(offer.clone()).await;
    assert!(matches!(session.hear().await, ClientMessage::Accept(_)));
    session.say(scene.server.begin(&offer)).await;
    session.receive_update(scene.vector_bytes()).await;
    scene.stop();
    client.await.unwrap().unwrap();
    // One reservation was given back, one was committed.
    assert_eq!(scene.releases_paid_for().await, 1);
    assert!(
        scene
            .events()
            .iter()
            .any(|event| matches!(event, Event::Disconnected { reason } if reason.contains("gone")))
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_is_killed_in_mid_round_comes_back_and_its_reservation_is_refunded() {
    let scene = Scene::new(Contribution::Known);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let offer = scene.server.offer(round(0, 0));
    session.say(offer.clone()).await;
    session.hear().await;
    client.abort();
    let _ = client.await;
    session.close("the peer is dead");
    scene.wait_for_the_ledger().await;
    assert_eq!(scene.releases_paid_for().await, 0);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    // The same attempt again is stale: the ledger remembers it.
    session.say(offer).await;
    assert!(matches!(session.hear().await, ClientMessage::Decline(d) if d.reason == DeclineReason::Stale));
    session.say(scene.server.offer(round(0, 1))).await;
    assert!(matches!(session.hear().await, ClientMessage::Accept(_)));
    scene.stop();
    client.await.unwrap().unwrap();
}

/// A folder put back from an old copy would spend the same budget twice. The server saw what is missing, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_was_put_back_takes_part_in_nothing() {
    let mut scene = Scene::new(Contribution::Known);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let old = std::fs::read(scene.ledger_folder().join("ledger.journal")).unwrap();
    let offer = scene.server.offer(round(0, 0));
    session.say(offer.clone()).await;
    session.hear().await;
    session.say(scene.server.begin(&offer)).await;
    let (header, _) = session.receive_update(scene.vector_bytes()).await;
    scene.stop();
    client.await.unwrap().unwrap();
    session.close("the server restarts");
    let signature = guildhall_shared::identity::Signature([[0; 32]; 2]);
    scene.seen = Some(WitnessedHead { head: header.head, time_unix_s: 1, cosignature: signature });
    for (put_back, reason) in [(false, None), (true, Some(DeclineReason::Policy))] {
        if put_back {
            std::fs::write(scene.ledger_folder().join("ledger.journal"), &old).unwrap();
        }
        let client = scene.start_client();
        let mut session = scene.open_session().await;
        session.say(scene.server.offer(round(0, 1))).await;
        match (session.hear().await, reason) {
            (ClientMessage::Accept(_), None) => {}
            (ClientMessage::Decline(decline), Some(reason)) => assert_eq!(decline.reason, reason),
            (other, _) => panic!("put back: {put_back}, found {}", other.name()),
        }
        scene.stop();
        client.await.unwrap().unwrap();
        session.close("the server restarts");
    }
    let alarms = |event: &&Event| matches!(event, Event::LedgerRolledBack { .. });
    assert_eq!(scene.events().iter().filter(alarms).count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exhausted_budget_is_declined_and_explained() {
    let mut scene = Scene::new(Contribution::Known);
    scene.budget_epsilon = 0.05;
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    session.say(scene.server.offer(round(0, 0))).await;
    assert!(
        matches!(session.hear().await, ClientMessage::Decline(d) if d.reason == DeclineReason::OverBudget)
    );
    scene.stop();
    client.await.unwrap().unwrap();
    let explained = scene.events().into_iter().find_map(|event| match event {
        Event::Declined { reason, label, .. } => Some((reason, label)),
        _ => None,
    });
    let (reason, label) = explained.unwrap();
    assert!(reason.contains("budget_epsilon") && reason.contains("exhausted"), "{reason}");
    assert!(label.contains("epsilon"), "{label}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restarted_client_serves_what_it_had_before_it_reaches_the_server() {
    let mut scene = Scene::new(Contribution::Known);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let (result, words) = scene.server.settle(&scene.server.offer(round(0, 0)), &[9, 9, 9]);
    session.send_result(&result, &words).await;
    session.hear().await;
    scene.stop();
    client.await.unwrap().unwrap();
    drop(session);
    scene.server_is_away();
    let client = scene.start_client();
    let model = scene.get("/v1/model").await;
    assert!(model.contains(&result.model.to_string()), "{model}");
    scene.stop();
    client.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_gives_the_budget_back_and_the_label_stands_on_every_event_of_a_round() {
    let scene = Scene::new(Contribution::Known);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let offer = scene.server.offer(round(0, 0));
    session.say(offer.clone()).await;
    session.hear().await;
    session.say(Abort { sid: offer.sid(), reason: "no quorum".into() }).await;
    session.say(scene.server.offer(round(0, 1))).await;
    assert!(matches!(session.hear().await, ClientMessage::Accept(_)));
    scene.stop();
    client.await.unwrap().unwrap();
    assert_eq!(scene.releases_paid_for().await, 0);
    for event in scene.events() {
        let json = serde_json::to_value(&event).unwrap();
        if json.get("round").is_some() || json.get("job").is_some() {
            assert!(json["label"].as_str().is_some_and(|label| label.contains("plain mode")), "{json}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_session_ends_with_the_servers_reason() {
    let scene = Scene::new(Contribution::Known);
    let client = scene.start_client();
    let mut session = scene.accept().await;
    session.hear().await;
    session.say(guildhall_shared::message::Refusal { reason: "the roster is closed".into() }).await;
    // It tries again by itself.
    let again = tokio::time::timeout(Duration::from_secs(30), scene.accept()).await;
    assert!(again.is_ok());
    scene.stop();
    client.await.unwrap().unwrap();
    let told =
        |event: &Event| matches!(event, Event::Refused { reason } if reason.contains("the roster is closed"));
    assert!(scene.events().iter().any(told));
}
