//! What must work: enrolment, whole jobs, late and dead merchants, roll-backs, restarts.

use guildhall_server::{AdminCommand, AdminReply, Event};
use guildhall_shared::identity::IdentityKey;
use guildhall_shared::message::{CatchUp, EnrolReply, ServerMessage, Verdict};
use rcgen::KeyPair;

use crate::bench::{Federation, name, spec};
use crate::raw_client::{Member, Session, ask_to_enrol, enrol_request};

/// Runs one round in which every session takes part with its own value; returns the sum's first word.
async fn round_of(sessions: &mut [Session<'_>]) -> i64 {
    let mut sum = 0;
    // Offers reach all before anybody has to answer, so taking part one step at a time in turn is enough.
    let mut offers = Vec::new();
    for session in sessions.iter_mut() {
        let offer = session.offer().await;
        session.accept(&offer).await;
        offers.push(offer);
    }
    for session in sessions.iter_mut() {
        assert!(matches!(session.hear().await, ServerMessage::Begin(_)));
    }
    for (i, (session, offer)) in sessions.iter_mut().zip(&offers).enumerate() {
        let update = session.update_frame(offer, -(i as i64) - 1);
        session.send_vector(&update).await;
        assert_eq!(session.receipt().await, Verdict::Added);
    }
    for session in sessions.iter_mut() {
        sum = session.result().await.1[0];
        session.ready().await;
    }
    sum
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_runs_from_invitation_to_the_last_version_and_on_after_a_restart() {
    let mut federation = Federation::closed(3).await;
    let job = spec(1_000, 4, 2, 20_000);
    federation.submit(&job).await;
    let members = std::mem::take(&mut federation.members);
    let address = federation.server.address;
    let mut sessions = Vec::new();
    for member in &members {
        sessions.push(member.open_ready(address).await);
    }
    for _ in 0..2 {
        assert_eq!(round_of(&mut sessions).await, -6);
        let Event::RoundSettled { merchants, bytes_up, bytes_down, privacy, .. } =
            federation.server.settled().await
        else {
            panic!("settled")
        };
        assert_eq!(merchants.len(), 3);
        assert!(bytes_up > 3 * 8_000 && bytes_down > 3 * 8_000, "{bytes_up} {bytes_down}");
        assert!(privacy.contains("NO PRIVACY"));
    }
    let (version, model) = sessions[0].model.clone().expect("a model");
    assert_eq!(version, 2);
    drop(sessions);
    federation.restart().await;
    let AdminReply::Status(status) = federation.admin(AdminCommand::Status).await else { panic!("a status") };
    let status = status.job.expect("a job");
    assert_eq!((status.settled, status.version), (2, 2));
    assert_eq!(status.model, model.hash(&job.model()).to_string());
    // Everybody comes back knowing nothing and derives the same model from the history.
    let mut sessions = Vec::new();
    for member in &members {
        let session = member.open_ready(federation.server.address).await;
        assert_eq!(session.model, Some((2, model.clone())));
        sessions.push(session);
    }
    round_of(&mut sessions).await;
    round_of(&mut sessions).await;
    for session in &mut sessions {
        let ServerMessage::Finished(finished) = session.hear().await else { panic!("the end") };
        let (version, model) = session.model.as_ref().expect("a model");
        assert_eq!((finished.version, finished.model), (*version, model.hash(&job.model())));
    }
    let AdminReply::Versions(versions) = federation.admin(AdminCommand::Versions).await else {
        panic!("versions")
    };
    let rounds: Vec<Option<u32>> = versions.iter().map(|version| version.round).collect();
    assert_eq!(rounds, [None, Some(0), Some(1), Some(2), Some(3)]);
    assert_eq!(versions[4].contributors.len(), 3);
    drop(sessions);
    federation.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merchant_that_dies_in_mid_upload_stops_nobody_and_joins_the_next_round() {
    let mut federation = Federation::closed(3).await;
    let d = 300_000;
    federation.submit(&spec(d, 2, 2, 3_000)).await;
    let members = std::mem::take(&mut federation.members);
    let address = federation.server.address;
    let (mut a, mut b) = (members[0].open_ready(address).await, members[1].open_ready(address).await);
    let mut c = members[2].open_ready(address).await;
    let (offer, also, dead) = tokio::join!(a.begin(), b.begin(), c.begin());
    let half = c.update_frame(&dead, 100);
    let mut stream = c.connection.open_uni().await.expect("a stream");
    stream.write_all(&half[..half.len() / 2]).await.expect("sent");
    // The process is gone: not a word more, not even a close.
    std::mem::forget(stream);
    let (connection, endpoint) = (c.connection.clone(), c.endpoint.clone());
    endpoint.rebind(std::net::UdpSocket::bind("127.0.0.1:0").expect("a socket")).expect("rebound");
    connection.close(0u32.into(), b"");
    for (session, offer) in [(&mut a, &offer), (&mut b, &also)] {
        let update = session.update_frame(offer, 1);
        session.send_vector(&update).await;
        assert_eq!(session.receipt().await, Verdict::Added);
    }
    let (header, sum) = a.result().await;
    assert_eq!((header.contributors.len(), sum[0], sum[d - 1]), (2, 2, 2));
    b.result().await;
    let mut c = members[2].open_ready(address).await;
    assert_eq!(c.model.as_ref().expect("a model").0, 1);
    c.ready_is_known(&mut federation.server).await;
    a.ready().await;
    b.ready().await;
    let (first, second, third) = tokio::join!(a.round(1), b.round(2), c.round(3));
    assert_eq!(first.1[0], 6);
    assert_eq!((first.0.contributors.len(), &first), (3, &second));
    assert_eq!(second, third);
    federation.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_roll_back_reaches_everybody_and_whoever_comes_later() {
    let mut federation = Federation::closed(2).await;
    let job = spec(50, 3, 2, 20_000);
    federation.submit(&job).await;
    let members = std::mem::take(&mut federation.members);
    let address = federation.server.address;
    let mut sessions = vec![members[0].open_ready(address).await, members[1].open_ready(address).await];
    round_of(&mut sessions).await;
    let first = sessions[0].model.clone().expect("a model").1;
    round_of(&mut sessions).await;
    // The third round is on offer: the roll-back aborts it.
    for session in &mut sessions {
        session.offer().await;
    }
    let reply = federation.admin(AdminCommand::RollBack { version: 1 }).await;
    assert!(matches!(reply, AdminReply::RolledBack { version: 3, to: 1, .. }), "{reply:?}");
    for session in &mut sessions {
        let mut heard = [session.hear().await, session.hear().await];
        heard.sort_by_key(ServerMessage::kind);
        let [ServerMessage::Abort(_), ServerMessage::RollBack(roll_back)] = &heard else {
            panic!("{heard:?}")
        };
        roll_back.verify(session.key()).expect("signed");
        assert_eq!((roll_back.version, roll_back.to), (3, 1));
        assert_eq!(roll_back.model, first.hash(&job.model()));
        session.model = Some((3, first.clone()));
        session.ready().await;
    }
    round_of(&mut sessions).await;
    // A newcomer hears the same history: two results, the roll-back, a result.
    let mut late = members[0].open(address).await;
    late.hear_job().await;
    late.say(CatchUp { job: job.digest(), version: 0 }).await;
    late.result().await;
    late.result().await;
    assert!(matches!(late.hear().await, ServerMessage::RollBack(_)));
    late.model = Some((3, first));
    late.result().await;
    assert_eq!(late.model, sessions[1].model);
    federation.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enrolment_over_the_network_is_pinned_idempotent_and_one_time() {
    let mut federation = Federation::empty().await;
    let invitation = federation.invite("grocery").await;
    let (identity, tls) = (IdentityKey::from_secret(&[1; 32]), KeyPair::generate().expect("a key"));
    let request = enrol_request(&invitation, &identity, &tls);
    let EnrolReply::Granted(first) = ask_to_enrol(&invitation, request.clone()).await.expect("answered")
    else {
        panic!("granted")
    };
    assert_eq!(ask_to_enrol(&invitation, request).await, Ok(EnrolReply::Granted(first)));
    let other = enrol_request(&invitation, &IdentityKey::from_secret(&[2; 32]), &tls);
    let EnrolReply::Refused(reason) = ask_to_enrol(&invitation, other).await.expect("answered") else {
        panic!("refused")
    };
    assert!(reason.contains("used already"), "{reason}");
    assert!(federation.server.refusal("used already").await.starts_with("grocery"));
    // Another federation's server does not have the pinned certificate.
    let elsewhere = Federation::empty().await;
    let mut misled = invitation.clone();
    misled.address = elsewhere.server.address;
    assert!(Member::enrol(&misled, 3).await.is_err());
    // A connection that opened before the roster closed is greeted again when it does.
    let invitation = federation.invite("drug-gm").await;
    let member = Member::enrol(&invitation, 4).await.expect("enrolled");
    let mut session = member.open(federation.server.address).await;
    assert!(session.roster.is_none());
    federation.admin(AdminCommand::RosterClose).await;
    let ServerMessage::Welcome(welcome) = session.hear().await else { panic!("a welcome") };
    let signed = welcome.roster.expect("closed");
    signed.verify(session.key()).expect("signed");
    assert_eq!(
        signed.roster.entries.iter().map(|e| &e.name).collect::<Vec<_>>(),
        [&name("drug-gm"), &name("grocery")]
    );
    elsewhere.server.stop().await;
    federation.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_in_mid_round_loses_nothing_and_never_offers_a_number_twice() {
    let mut federation = Federation::closed(2).await;
    federation.submit(&spec(100, 2, 2, 60_000)).await;
    let members = std::mem::take(&mut federation.members);
    let address = federation.server.address;
    let mut sessions = vec![members[0].open_ready(address).await, members[1].open_ready(address).await];
    round_of(&mut sessions).await;
    let model = sessions[0].model.clone();
    for session in &mut sessions {
        let offer = session.offer().await;
        assert_eq!((offer.round.round, offer.round.attempt, offer.version), (1, 0, 1));
    }
    let roster = sessions[0].roster().roster.digest();
    drop(sessions);
    federation.crash_and_start().await;
    let address = federation.server.address;
    let mut sessions = vec![members[0].open_ready(address).await, members[1].open_ready(address).await];
    for session in &mut sessions {
        assert_eq!((&session.model, session.roster().roster.digest()), (&model, roster));
        let offer = session.offer().await;
        assert_eq!((offer.round.round, offer.round.attempt, offer.version), (1, 1, 1));
        session.accept(&offer).await;
    }
    for session in &mut sessions {
        assert!(matches!(session.hear().await, ServerMessage::Begin(_)));
    }
    federation.server.stop().await;
}

/// Ten merchants in this process with a million parameters each; prints the times, asserts only that it works.
#[ignore = "a measurement: run it alone, with --release"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_merchants_with_a_million_parameters() {
    let mut federation = Federation::closed(10).await;
    let mut job = spec(1_000_000, 5, 10, 60_000);
    job.round.accept_deadline_ms = 60_000;
    federation.submit(&job).await;
    let members = std::mem::take(&mut federation.members);
    let address = federation.server.address;
    let clients = members.into_iter().map(|member| {
        tokio::spawn(async move {
            let mut session = member.open_ready(address).await;
            for _ in 0..5 {
                session.round(1).await;
            }
        })
    });
    let clients: Vec<_> = clients.collect();
    for _ in 0..5 {
        if let Event::RoundSettled { seconds, bytes_up, bytes_down, .. } = federation.server.settled().await {
            println!("{seconds} s, {bytes_up} bytes up, {bytes_down} bytes down");
        }
    }
    for client in clients {
        client.await.expect("no panic");
    }
    federation.server.stop().await;
}
