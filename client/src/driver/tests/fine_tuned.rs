//! A fine-tuned copy is served and never enters a round.

use guildhall_shared::digest::Digest;
use guildhall_shared::model_state::ModelState;

use super::*;
use crate::model_store::{CopyStore, FineTunedCopy, ModelStore, Retention, StoredModel};
use crate::train::fine_tune::{Criterion, FineTuned};
use crate::use_fine_tuned;

/// A client that has released version 1 and does not run; its hash.
async fn with_one_version(scene: &mut Scene) -> Digest {
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let (result, words) = scene.server.settle(&scene.server.offer(round(0, 0)), &[9, 9, 9]);
    session.send_result(&result, &words).await;
    session.hear().await;
    scene.stop();
    client.await.unwrap().unwrap();
    session.close("the server restarts");
    result.model
}

fn models(scene: &Scene) -> std::path::PathBuf {
    scene.client_folder().models(&scene.server.job.digest())
}

/// Fine-tunes version 1 to weights that no round gives.
fn fine_tune(scene: &Scene) -> FineTunedCopy {
    let job = &scene.server.job;
    let released = ModelStore::open(&models(scene), job).unwrap().load(1).unwrap().unwrap();
    let tuned =
        FineTuned { epochs: 4, weights: vec![5.0; 3], criterion: Criterion::LogLoss, figures: vec![] };
    let copy = FineTunedCopy::new(job, &released, tuned);
    CopyStore::beside(&models(scene), job).store(&copy).unwrap();
    copy
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_copy_is_served_rounds_go_on_from_the_released_version() {
    let mut scene = Scene::new(Contribution::Known);
    let released = with_one_version(&mut scene).await;
    let file = models(&scene).join("0000000001.model");
    let before = std::fs::read(&file).unwrap();
    let copy = fine_tune(&scene);
    use_fine_tuned(&scene.config(), 1).unwrap();
    let client = scene.start_client();
    let mut session = scene.accept().await;
    let ClientMessage::Hello(hello) = session.hear().await else { panic!("says Hello first") };
    session.say(scene.server.welcome_to(&hello, scene.seen)).await;
    session.say(scene.server.announcement()).await;
    assert!(matches!(session.hear().await, ClientMessage::CatchUp(up) if up.version == 1));
    // The client stands at the released version: its hash, not that of the copy.
    assert!(matches!(session.hear().await, ClientMessage::Ready(r) if r.version == 1 && r.model == released));
    let answer = scene.get("/v1/model").await;
    assert!(answer.contains(FineTunedCopy::LABEL) && answer.contains("\"fine_tuned\":true"), "{answer}");
    assert!(answer.contains(&copy.hash().to_string()) && !answer.contains(&released.to_string()), "{answer}");
    let offer = scene.server.offer(round(1, 0));
    session.say(offer.clone()).await;
    assert!(matches!(session.hear().await, ClientMessage::Accept(a) if a.sid == offer.sid()));
    session.say(scene.server.begin(&offer)).await;
    session.receive_update(scene.vector_bytes()).await;
    let (result, words) = scene.server.settle(&offer, &[1512, 744, 1000]);
    session.send_result(&result, &words).await;
    // Everybody derives version 2 from version 1; a client that had started from its copy would stop here.
    assert!(
        matches!(session.hear().await, ClientMessage::Ready(r) if r.version == 2 && r.model == result.model)
    );
    assert!(scene.get("/v1/model").await.contains(FineTunedCopy::LABEL), "the pin holds");
    scene.stop();
    client.await.unwrap().unwrap();
    assert_eq!(std::fs::read(&file).unwrap(), before);
}

/// Somebody who may write in the merchant's own folder dresses a copy up as a version, hash and all. The federation's hash of
/// that version is another, so the client takes part in nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_dressed_up_as_a_version_takes_part_in_nothing() {
    let mut scene = Scene::new(Contribution::Known);
    with_one_version(&mut scene).await;
    let (copy, job) = (fine_tune(&scene), scene.server.job.clone());
    let mut store = ModelStore::open(&models(&scene), &job).unwrap();
    let StoredModel { state, .. } = store.load(1).unwrap().unwrap();
    let forged = ModelState { weights: copy.weights().to_vec(), ..state };
    store.store(1, &forged.hash(&job.model()), &forged, Retention::Ordinary).unwrap();
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    session.say(scene.server.offer(round(1, 0))).await;
    assert!(matches!(session.hear().await, ClientMessage::Decline(d) if d.reason == DeclineReason::Mismatch));
    scene.stop();
    client.await.unwrap().unwrap();
    assert_eq!(scene.releases_paid_for().await, 0);
}
