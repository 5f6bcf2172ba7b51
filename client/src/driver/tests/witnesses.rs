//! Other merchants watch this one's ledger: a folder that is put back is found out although the server keeps quiet.

use guildhall_shared::message::{ClientMessage, DeclineReason};
use guildhall_shared::secagg::{SignedHead, Witness};
use guildhall_shared::tree_head::TreeHead;

use super::masked::{offer, whole};
use super::scene::{Contribution, Scene};
use crate::event::Event;
use crate::participant::tests::server::OWN;

/// What the others remember of this client's ledger.
fn remembering(seen: SignedHead) -> Witness {
    let mut witness = Witness::default();
    witness.saw(OWN, seen);
    witness
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_was_put_back_is_found_out_by_one_other_merchant() {
    let scene = Scene::masked(Contribution::Known);
    let journal = scene.ledger_folder().join("ledger.journal");
    let client = scene.start_client();
    let mut session = scene.open_session().await;
    let old = std::fs::read(&journal).unwrap();
    let (_, mut masked, own) = offer(&scene, &mut session, 0).await;
    whole(&scene, &mut session, &mut masked, &own).await;
    scene.stop();
    client.await.unwrap().unwrap();
    session.close("the server restarts");
    let seen = scene.client_folder().read_witness().unwrap().newest(OWN).expect("its own is a survivor's");
    // A head that the ledger never had, but under nobody's signature: whoever makes it up stops nobody.
    let made_up = SignedHead { head: TreeHead { size: seen.head.size + 100, ..seen.head }, ..seen };
    for (attempt, put_back, remembered) in [(1, false, seen), (2, false, made_up), (3, true, seen)] {
        if put_back {
            std::fs::write(&journal, &old).unwrap();
        }
        let client = scene.start_client();
        let mut session = scene.open_session().await;
        let (_, mut masked, own) = offer(&scene, &mut session, attempt).await;
        masked.witness = remembering(remembered);
        session.say(masked.roster(Some(&own))).await;
        let ClientMessage::Shares(shares) = session.hear().await else { panic!("not M3") };
        session.say(masked.forwarded(Some(&shares)).unwrap()).await;
        if put_back {
            let ClientMessage::Decline(decline) = session.hear().await else { panic!("not declined") };
            assert_eq!(decline.reason, DeclineReason::Policy);
        } else {
            session.receive_update(scene.vector_bytes()).await;
        }
        scene.stop();
        client.await.unwrap().unwrap();
        session.close("the server restarts");
    }
    let alarms = |event: &&Event| matches!(event, Event::LedgerRolledBack { .. });
    assert_eq!(scene.events().iter().filter(alarms).count(), 1);
    // The old ledger holds no commit; what was reserved in the last attempt was given back.
    assert_eq!(scene.releases_paid_for().await, 0);
}
