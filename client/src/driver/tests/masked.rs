//! Masked rounds of a whole client process: the others and the server are played by the cores of secure aggregation.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::message::{Advertise, ClientMessage, DeclineReason, Offer, Survivors, Unmask};

use super::round;
use super::scene::{Contribution, Scene};
use crate::driver::{HaltAt, draw_seed};
use crate::event::Event;
use crate::participant::AttemptStage;
use crate::participant::tests::masked_round::{MaskedRound, contribution};
use crate::participant::tests::server::OWN;
use crate::transport::fake::FakeSession;

/// Offers an attempt and hears the client's keys.
pub async fn offer(
    scene: &Scene,
    session: &mut FakeSession,
    attempt: u32,
) -> (Offer, MaskedRound, Advertise) {
    let offer = scene.server.offer(round(0, attempt));
    session.say(offer.clone()).await;
    let ClientMessage::Advertise(own) = session.hear().await else { panic!("not M1") };
    let masked = MaskedRound::open(&scene.server, &offer);
    (offer, masked, own)
}

/// … up to the client's vector, which is in the sum then.
async fn up_to_the_survivors(
    scene: &Scene,
    session: &mut FakeSession,
    masked: &mut MaskedRound,
    own: &Advertise,
) -> Survivors {
    session.say(masked.roster(Some(own))).await;
    let ClientMessage::Shares(shares) = session.hear().await else { panic!("not M3") };
    session.say(masked.forwarded(Some(&shares)).unwrap()).await;
    let (header, words) = session.receive_update(scene.vector_bytes()).await;
    assert_eq!(header.hash, Digest::of_bytes(&words));
    masked.survivors(Some((&header, &words)))
}

/// … up to M9.
pub async fn whole(
    scene: &Scene,
    session: &mut FakeSession,
    masked: &mut MaskedRound,
    own: &Advertise,
) -> Unmask {
    let survivors = up_to_the_survivors(scene, session, masked, own).await;
    session.say(survivors).await;
    let ClientMessage::Certify(certify) = session.hear().await else { panic!("not M7") };
    session.say(masked.certificate(Some(&certify))).await;
    let ClientMessage::Unmask(unmask) = session.hear().await else { panic!("not M9") };
    unmask
}

/// The client's part of a sum over everybody, in the ring of 2^32.
fn own_part(sum: &[i64]) -> Vec<i64> {
    let others = |i: usize| -> i64 { [0, 2, 3, 4].map(|m| contribution(MerchantIndex(m))[i]).iter().sum() };
    sum.iter().enumerate().map(|(i, z)| i64::from(z.wrapping_sub(others(i)) as i32)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_takes_part_in_a_masked_round_and_derives_the_model() {
    let mut scene = Scene::masked(Contribution::Known);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let (offer, mut masked, own) = offer(&scene, &mut session, 0).await;
    let unmask = whole(&scene, &mut session, &mut masked, &own).await;
    let (sum, contributors) = masked.sum(Some(&unmask));
    assert!(contributors.contains(&OWN) && contributors.len() == 5);
    // The known contribution (512, −256, 0) with the scripted noise of 1,000 everywhere.
    assert_eq!(own_part(&sum), [1512, 744, 1000]);
    let (result, words) = scene.server.settle_with(&offer, &sum, &contributors);
    session.send_result(&result, &words).await;
    assert!(matches!(session.hear().await, ClientMessage::Ready(r) if r.version == 1));
    scene.stop();
    client.await.unwrap().unwrap();
    assert_eq!(scene.releases_paid_for().await, 1);
    let events = scene.events();
    let stages: Vec<AttemptStage> = events
        .iter()
        .filter_map(|event| match event {
            Event::Stage { round: 0, attempt: 0, stage, label } => {
                assert!(label.starts_with("masked") && label.contains("shopper"), "{label}");
                Some(*stage)
            }
            _ => None,
        })
        .collect();
    assert_eq!(stages, AttemptStage::ALL);
    assert!(events.iter().any(|event| matches!(event, Event::Accepted { .. })));
    assert!(events.iter().any(|event| matches!(event, Event::Committed { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn training_that_fails_or_panics_sends_its_noise_and_masks_all_the_same() {
    for contribution in [Contribution::Fails, Contribution::Panics] {
        let scene = Scene::masked(contribution);
        let client = scene.start_client();
        let mut session = scene.open_session().await;
        let (_, mut masked, own) = offer(&scene, &mut session, 0).await;
        let unmask = whole(&scene, &mut session, &mut masked, &own).await;
        assert_eq!(own_part(&masked.sum(Some(&unmask)).0), [1000, 1000, 1000]);
        scene.stop();
        client.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sum_that_overflows_wraps_and_is_sent() {
    let mut scene = Scene::masked(Contribution::Known);
    scene.noise = i64::MAX;
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let (_, mut masked, own) = offer(&scene, &mut session, 0).await;
    let unmask = whole(&scene, &mut session, &mut masked, &own).await;
    assert_eq!(own_part(&masked.sum(Some(&unmask)).0), [511, -257, -1], "modulo 2^32");
    scene.stop();
    client.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_does_not_open_is_complained_about_refunded_and_named() {
    let scene = Scene::masked(Contribution::Known);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let (_, mut masked, own) = offer(&scene, &mut session, 0).await;
    session.say(masked.roster(Some(&own))).await;
    let ClientMessage::Shares(shares) = session.hear().await else { panic!("not M3") };
    let mut forwarded = masked.forwarded(Some(&shares)).unwrap();
    forwarded.shares[1].sealed.tag[0] ^= 1;
    session.say(forwarded).await;
    assert!(matches!(session.hear().await, ClientMessage::Complaint(c) if c.about == MerchantIndex(2)));
    let named = |event: &Event| matches!(event, Event::Refused { reason } if reason.contains("merchant c"));
    scene.until(named).await;
    // The session with the server goes on.
    offer(&scene, &mut session, 1).await;
    scene.stop();
    client.await.unwrap().unwrap();
    assert_eq!(scene.releases_paid_for().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_attempt_has_keys_of_its_own() {
    let scene = Scene::masked(Contribution::Known);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let (_, mut masked, first) = offer(&scene, &mut session, 0).await;
    session.say(masked.roster(Some(&first))).await;
    session.hear().await;
    session.close("gone");
    let mut session = scene.open_session().await;
    let (_, mut masked, second) = offer(&scene, &mut session, 1).await;
    let (_, _, third) = offer(&scene, &mut session, 2).await;
    // The attempt before is over for the client.
    session.say(masked.roster(Some(&second))).await;
    scene.until(|event| matches!(event, Event::Refused { reason } if reason.contains("RoundRoster"))).await;
    let keys: BTreeSet<_> =
        [first, second, third].into_iter().flat_map(|m| [m.encryption_key, m.mask_key]).collect();
    assert_eq!(keys.len(), 6);
    scene.stop();
    client.await.unwrap().unwrap();
    assert_eq!(scene.releases_paid_for().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_killed_after_its_commitment_paid_and_never_masks_that_attempt_again() {
    let scene = Scene::masked(Contribution::Known);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let (first, mut masked, own) = offer(&scene, &mut session, 0).await;
    let survivors = up_to_the_survivors(&scene, &mut session, &mut masked, &own).await;
    client.abort();
    let _ = client.await;
    session.close("the peer is dead");
    scene.wait_for_the_ledger().await;
    assert_eq!(scene.releases_paid_for().await, 1);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    session.say(survivors).await;
    session.say(first).await;
    // Nothing was said to the survivors, and the attempt is stale.
    assert!(matches!(session.hear().await, ClientMessage::Decline(d) if d.reason == DeclineReason::Stale));
    let (_, mut masked, own) = offer(&scene, &mut session, 1).await;
    whole(&scene, &mut session, &mut masked, &own).await;
    scene.stop();
    client.await.unwrap().unwrap();
    assert_eq!(scene.releases_paid_for().await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_random_bytes_the_budget_is_given_back_and_the_server_told() {
    let mut scene = Scene::masked(Contribution::Known);
    let exhausted = Arc::new(AtomicBool::new(true));
    let now = Arc::clone(&exhausted);
    scene.seed = Arc::new(move || {
        if now.swap(false, Ordering::SeqCst) { Err(getrandom::Error::UNSUPPORTED) } else { draw_seed() }
    });
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    session.say(scene.server.offer(round(0, 0))).await;
    assert!(matches!(session.hear().await, ClientMessage::Decline(d) if d.reason == DeclineReason::Storage));
    offer(&scene, &mut session, 1).await;
    scene.stop();
    client.await.unwrap().unwrap();
    assert_eq!(scene.releases_paid_for().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_falls_silent_where_a_test_asks_for_it() {
    for (halt, paid) in [("shared", 0), ("uploaded:0", 1)] {
        let mut scene = Scene::masked(Contribution::Known);
        scene.halt_at = Some(HaltAt::parse(halt).unwrap());
        let client = scene.start_client();
        let mut session = scene.open_session().await;
        let (_, mut masked, own) = offer(&scene, &mut session, 0).await;
        session.say(masked.roster(Some(&own))).await;
        if paid == 1 {
            let ClientMessage::Shares(shares) = session.hear().await else { panic!("not M3") };
            session.say(masked.forwarded(Some(&shares)).unwrap()).await;
        }
        scene.until(|event| matches!(event, Event::Halted { round: 0, .. })).await;
        scene.stop();
        client.await.unwrap().unwrap();
        assert!(session.connection.accept_uni().await.is_err(), "{halt}: no vector was sent");
        assert_eq!(scene.releases_paid_for().await, paid, "{halt}");
    }
}
