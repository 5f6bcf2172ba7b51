//! What a client's ledger says of the program and the data of a training, and of exports.

use guildhall_ledger::entry::{Event as Entry, Handover};
use guildhall_ledger::journal::Journal;
use guildhall_shared::digest::Digest;
use guildhall_shared::message::ClientMessage;
use guildhall_shared::tree_head::TreeHead;

use super::round;
use super::scene::{Contribution, PROGRAM, Scene, data};
use crate::driver::record_export;
use crate::error::ClientError;

fn entries(scene: &Scene) -> Vec<Entry> {
    let (_, found) = Journal::open(&scene.ledger_folder()).unwrap();
    found.entries.into_iter().map(|(_, entry)| entry.event).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn program_and_data_are_recorded_and_an_export_only_while_the_client_is_away() {
    let scene = Scene::new(Contribution::Known);
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let offer = scene.server.offer(round(0, 0));
    session.say(offer.clone()).await;
    assert!(matches!(session.hear().await, ClientMessage::Accept(_)));
    session.say(scene.server.begin(&offer)).await;
    session.receive_update(scene.vector_bytes()).await;
    let handed_out = |head| Handover { recipient: "auditors".into(), head, file: Digest([1; 32]) };
    let refused = record_export(scene.config(), handed_out(TreeHead::EMPTY)).await;
    assert!(matches!(refused, Err(ClientError::Ledger(_))), "the running client holds the ledger");
    scene.stop();
    client.await.unwrap().unwrap();

    let programs: Vec<_> = entries(&scene)
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Reserve { reservation, .. } => Some(reservation.program),
            _ => None,
        })
        .collect();
    assert_eq!(programs, [Some(PROGRAM)]);
    let tags: Vec<_> = entries(&scene)
        .into_iter()
        .filter_map(|entry| match entry {
            Entry::Commit { data, .. } => Some(data.is_some_and(|tag| tag.is_of(&super::scene::data()))),
            _ => None,
        })
        .collect();
    assert_eq!(tags, [true]);
    let journal = std::fs::read(scene.ledger_folder().join(guildhall_ledger::journal::JOURNAL_FILE)).unwrap();
    assert!(!journal.windows(32).any(|window| window == [0xDA; 32]), "not {:?} itself", data());

    let strange =
        record_export(scene.config(), handed_out(TreeHead { size: 1, root: Digest([2; 32]) })).await;
    assert!(matches!(strange, Err(ClientError::Ledger(_))), "a head of another ledger");
    let spent = scene.releases_paid_for().await;
    record_export(scene.config(), handed_out(TreeHead::EMPTY)).await.unwrap();
    let recorded = entries(&scene).into_iter().filter(|entry| entry.kind() == "EXPORT").count();
    assert_eq!((recorded, scene.releases_paid_for().await), (1, spent));
}
