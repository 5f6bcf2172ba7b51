//! Masked rounds over QUIC: the sum is right, the dead and the late stop nobody, the hostile are named.

use std::sync::Arc;

use guildhall_server::{AdminCommand, AdminReply, Event};
use guildhall_shared::digest::Digest;
use guildhall_shared::frame::{FrameHeader, HEADER_BYTES, frame};
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::job::{Aggregation, JobSpec};
use guildhall_shared::message::{
    Accept, Certify, Offer, ResultHeader, ServerMessage, Shares, UPDATE_KIND, Verdict, join_vector,
};
use guildhall_shared::ring::RingVector;
use guildhall_shared::secagg::client::{self, Advertised, Certified, Sharing, Uploaded};
use guildhall_shared::secagg::seed::SessionSeed;
use guildhall_shared::secagg::{Facts, Witness, transcript};
use guildhall_shared::tree_head::TreeHead;
use guildhall_shared::wire;

use crate::bench::{Federation, spec};
use crate::raw_client::{Member, Session, next_head};

fn masked(parameters: usize, rounds: u32) -> JobSpec {
    let mut spec = spec(parameters, rounds, 1, 60_000);
    spec.round.aggregation = Aggregation::Masked;
    spec.round.accept_deadline_ms = 60_000;
    spec
}

/// A merchant's place in the roster: members enrol in the order of their names.
fn own(session: &Session<'_>) -> MerchantIndex {
    let identity = session.member.identity.public();
    session.roster().roster.find(|entry| entry.identity == identity).expect("in the roster")
}

fn value(merchant: MerchantIndex) -> i64 {
    i64::from(merchant.0) * 1_000 - 1_500
}

impl Session<'_> {
    async fn advertise(&mut self) -> (Offer, Advertised) {
        let offer = self.offer().await;
        let (spec, roster) = (self.spec(), Arc::new(self.roster().roster.clone().decode()));
        let (_, model) = self.model.as_ref().expect("a model");
        let parameters = self.parameters();
        let facts = Facts {
            sid: offer.sid(),
            model: model.hash(&spec.model()),
            parameters: parameters.digest(&spec.digest(), &roster.digest()),
            roster,
            secagg: parameters.secagg.clone().expect("masked"),
            ring: parameters.ring,
            dimension: parameters.parameters as usize,
        };
        let own = own(self);
        let seed = SessionSeed::from_entropy(Digest::of("seed", &[&facts.sid.0, &own.0.to_le_bytes()]).0);
        let (state, message) = client::advertise(Arc::new(facts), own, seed, &self.member.identity);
        self.say(message).await;
        (offer, state)
    }

    async fn deal(&mut self, state: Advertised) -> (Sharing, Shares) {
        let ServerMessage::RoundRoster(roster) = self.hear().await else { panic!("everybody's keys") };
        state.share(&roster, &Witness::default(), &self.member.identity).expect("good keys")
    }

    /// The frame of its masked update.
    async fn mask(&mut self, state: Sharing) -> (Uploaded, Vec<u8>) {
        self.mask_with(state, next_head()).await
    }

    async fn mask_with(&mut self, state: Sharing, head: TreeHead) -> (Uploaded, Vec<u8>) {
        let ServerMessage::ForwardedShares(forwarded) = self.hear().await else { panic!("shares") };
        let key = &self.member.identity;
        let (masks, state) = state.receive(&forwarded, key).expect("good shares").masks().expect("good keys");
        let parameters = self.parameters();
        let integers = vec![value(own(self)); parameters.parameters as usize];
        let mut vector = RingVector::from_integers(parameters.ring, &integers);
        masks.apply(&mut vector);
        let words = vector.to_bytes();
        let (state, header) = state.sign(Digest::of_bytes(&words), head, &self.member.identity);
        (state, frame(UPDATE_KIND, &join_vector(&wire::encode(&header).expect("encodes"), &words)))
    }

    async fn certify(&mut self, state: Uploaded) -> (Certified, Certify) {
        let ServerMessage::Survivors(survivors) = self.hear().await else { panic!("the survivors") };
        state.certify(&survivors, &Witness::default(), &self.member.identity).expect("good survivors")
    }

    async fn unmask(&mut self, state: Certified) {
        let ServerMessage::Certificate(certificate) = self.hear().await else { panic!("a certificate") };
        let (unmask, _) = state.unmask(&certificate, &self.member.identity).expect("a good certificate");
        self.say(unmask).await;
    }

    /// From its shares to the result.
    async fn finish(&mut self, state: Sharing) -> (ResultHeader, Vec<i64>) {
        let (state, update) = self.mask(state).await;
        self.send_vector(&update).await;
        assert_eq!(self.receipt().await, Verdict::Added);
        let (state, certify) = self.certify(state).await;
        self.say(certify).await;
        self.unmask(state).await;
        self.result().await
    }

    async fn masked_round(&mut self) -> (ResultHeader, Vec<i64>) {
        let (_, state) = self.advertise().await;
        let (state, shares) = self.deal(state).await;
        self.say(shares).await;
        let result = self.finish(state).await;
        self.ready().await;
        result
    }
}

async fn open(federation: &Federation, members: &'static [Member]) -> Vec<Session<'static>> {
    let mut sessions = Vec::new();
    for member in members {
        sessions.push(member.open_ready(federation.server.address).await);
    }
    sessions
}

/// Members that live as long as the test's tasks.
fn leak(federation: &mut Federation) -> &'static [Member] {
    Box::leak(std::mem::take(&mut federation.members).into_boxed_slice())
}

/// Every session does the same, side by side.
async fn all<T, F>(sessions: Vec<Session<'static>>, work: impl Fn(Session<'static>) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let tasks: Vec<_> = sessions.into_iter().map(|session| tokio::spawn(work(session))).collect();
    let mut results = Vec::new();
    for task in tasks {
        results.push(task.await.expect("no panic"));
    }
    results
}

fn sum_of(merchants: &[u16]) -> i64 {
    merchants.iter().map(|merchant| value(MerchantIndex(*merchant))).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn masked_rounds_make_the_plain_sum_and_refuse_nobody() {
    for n in [3u16, 5] {
        let mut federation = Federation::closed(usize::from(n)).await;
        federation.submit(&masked(3_000, 2)).await;
        let members = leak(&mut federation);
        let sessions = open(&federation, members).await;
        let results = all(sessions, |mut session| async move {
            let first = session.masked_round().await;
            let second = session.masked_round().await;
            // The session lives on: a merchant that hangs up is an event of its own.
            (first, second, session)
        })
        .await;
        let everybody: Vec<u16> = (0..n).collect();
        for (first, second, _) in &results {
            assert_eq!((first, second), (&results[0].0, &results[0].1), "everybody gets the same");
            for (header, sum) in [first, second] {
                assert_eq!(sum, &vec![sum_of(&everybody); 3_000]);
                assert!(header.contributors.iter().map(|m| m.0).eq(everybody.clone()));
            }
        }
        let (mut stages, mut settled) = (Vec::new(), 0);
        while settled < 2 {
            match federation.server.event("anything", |event| Some(event.clone())).await {
                Event::RoundStage { stage, merchants, .. } => stages.push((stage, merchants)),
                Event::RoundSettled { privacy, dropped, .. } => {
                    settled += 1;
                    assert!(privacy.contains("NO PRIVACY: masked sum") && dropped.is_empty(), "{privacy}");
                }
                // With five, four signatures and four answers are enough: the fifth comes late, which is no fault.
                Event::Refused { peer, reason } => panic!("{peer}: {reason}"),
                _ => (),
            }
        }
        let once =
            ["advertising", "sharing", "collecting", "certifying", "unmasking"].map(|s| (s, u32::from(n)));
        assert_eq!(stages, [once, once].concat());
        federation.server.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_merchant_that_vanishes_before_its_update_costs_nothing_but_its_update() {
    let mut federation = Federation::closed(5).await;
    federation.submit(&masked(100, 2)).await;
    let members = leak(&mut federation);
    let sessions = open(&federation, members).await;
    let results = all(sessions, |mut session| async move {
        let (_, state) = session.advertise().await;
        let (state, shares) = session.deal(state).await;
        session.say(shares).await;
        if own(&session) == MerchantIndex(2) {
            // It has everybody's shares, and half of its update is on its way.
            let (_, update) = session.mask(state).await;
            let mut stream = session.connection.open_uni().await.expect("a stream");
            stream.write_all(&update[..update.len() / 2]).await.expect("sent");
            session.connection.close(0u32.into(), b"");
            return None;
        }
        let (header, sum) = session.finish(state).await;
        Some((header, sum, session))
    })
    .await;
    let mut sessions = Vec::new();
    for (header, sum, session) in results.into_iter().flatten() {
        assert_eq!(header.contributors, [0, 1, 3, 4].map(MerchantIndex));
        assert_eq!(sum, vec![sum_of(&[0, 1, 3, 4]); 100]);
        sessions.push(session);
    }
    assert_eq!(sessions.len(), 4);
    let Event::RoundSettled { dropped, .. } = federation.server.settled().await else { panic!("settled") };
    assert_eq!(dropped.iter().map(|name| name.as_str()).collect::<Vec<_>>(), ["m2"]);
    // It comes back for the next round, and waits for the others.
    let mut back = members[2].open_ready(federation.server.address).await;
    back.ready_is_known(&mut federation.server).await;
    for session in &mut sessions {
        session.ready().await;
    }
    sessions.push(back);
    let results = all(sessions, |mut session| async move { session.masked_round().await }).await;
    assert_eq!(results[4].1, vec![sum_of(&[0, 1, 2, 3, 4]); 100]);
    federation.server.stop().await;
}

/// Merchants sign no survivors among whom is a ledger that was put back, so the server leaves such an update out by itself. It
/// cosigns the others' ledgers as soon as it saw them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_update_with_a_ledger_that_was_put_back_is_left_out_and_named() {
    let mut federation = Federation::closed(5).await;
    federation.submit(&masked(100, 2)).await;
    let members = leak(&mut federation);
    let sessions = open(&federation, members).await;
    let results = all(sessions, |mut session| async move {
        session.masked_round().await;
        if own(&session) != MerchantIndex(2) {
            let (header, _) = session.masked_round().await;
            return Some((header, session));
        }
        let (_, state) = session.advertise().await;
        let (state, shares) = session.deal(state).await;
        session.say(shares).await;
        let (_, update) = session.mask_with(state, TreeHead::EMPTY).await;
        session.send_vector(&update).await;
        // It is heard out before it leaves, so that nobody waits for another update of its.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        session.connection.close(0u32.into(), b"");
        None
    })
    .await;
    for (header, session) in results.into_iter().flatten() {
        assert_eq!(header.contributors, [0, 1, 3, 4].map(MerchantIndex));
        let seen: Vec<u64> = session.witnessed.iter().map(|seen| seen.head.size).collect();
        assert!(seen.len() == 2 && seen[0] < seen[1], "its own ledger, after each round: {seen:?}");
    }
    assert_eq!(federation.server.refusal("its ledger: expected more than the").await, "m2");
    federation.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_dropout_too_many_aborts_cleanly_and_the_next_attempt_has_new_keys() {
    let mut federation = Federation::closed(3).await;
    federation.submit(&masked(100, 1)).await;
    let members = leak(&mut federation);
    let sessions = open(&federation, members).await;
    let results = all(sessions, |mut session| async move {
        let (offer, state) = session.advertise().await;
        let (state, shares) = session.deal(state).await;
        session.say(shares).await;
        if own(&session) == MerchantIndex(2) {
            session.mask(state).await;
            session.connection.close(0u32.into(), b"");
            return None;
        }
        let (_, update) = session.mask(state).await;
        session.send_vector(&update).await;
        // The receipt may be there before the end.
        let abort = loop {
            match session.hear().await {
                ServerMessage::Receipt(_) => (),
                ServerMessage::Abort(abort) => break abort,
                other => panic!("an abort, found {other:?}"),
            }
        };
        assert_eq!(abort.sid, offer.sid());
        Some((abort.reason, offer, session))
    })
    .await;
    let mut offers = Vec::new();
    let mut there = Vec::new();
    for (reason, offer, session) in results.into_iter().flatten() {
        assert!(reason.contains("expected at least 3 merchants to send updates"), "{reason}");
        assert!(reason.contains("m2"), "{reason}");
        offers.push(offer);
        there.push(session);
    }
    there.push(members[2].open_ready(federation.server.address).await);
    let results = all(there, |mut session| async move {
        let (offer, state) = session.advertise().await;
        let (state, shares) = session.deal(state).await;
        session.say(shares).await;
        (offer, session.finish(state).await)
    })
    .await;
    for (offer, (_, sum)) in &results {
        assert_eq!((offer.round.round, offer.round.attempt), (0, 1));
        assert!(offer.sid() != offers[0].sid() && offer.nonce != offers[0].nonce);
        assert_eq!(sum, &vec![sum_of(&[0, 1, 2]); 100]);
    }
    federation.server.stop().await;
}

/// Four merchants, one of them hostile: three are enough, and every bad message is named.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_messages_are_refused_by_name_and_the_round_goes_on() {
    let mut federation = Federation::closed(4).await;
    federation.submit(&masked(100, 1)).await;
    let members = leak(&mut federation);
    let mut sessions = open(&federation, members).await;
    let mut bad = sessions.pop().expect("four");
    let offer = bad.offer().await;
    let sid = offer.sid();
    let key = &bad.member.identity;
    let nothing = Certify { sid, signature: transcript::sign_survivors(&sid, &Digest([1; 32]), key) };
    let stale = Certify { sid: Digest([1; 32]), ..nothing.clone() };
    let empty = transcript::sign_shares(&sid, &Digest([1; 32]), Digest([2; 32]), None, vec![], key);
    let plain = Accept::sign(sid, offer.model, Digest([3; 32]), key);
    // Wrong order, another attempt, plain mode's.
    bad.say(nothing.clone()).await;
    federation.server.refusal("expected an answer to the offer, found a signature over the survivors").await;
    bad.say(stale).await;
    federation.server.refusal("expected session").await;
    bad.say(empty.clone()).await;
    federation.server.refusal("expected an answer to the offer, found dealt shares").await;
    bad.say(plain).await;
    federation.server.refusal("expected an answer to the offer, found an acceptance").await;
    // An update while none is awaited.
    bad.send_vector(&frame(UPDATE_KIND, &[0; 200])).await;
    federation.server.refusal("none is awaited").await;
    // It takes part after all, then deals nothing.
    let (spec, roster) = (bad.spec(), Arc::new(bad.roster().roster.clone().decode()));
    let parameters = bad.parameters();
    let facts = Arc::new(Facts {
        sid,
        model: offer.model,
        parameters: parameters.digest(&spec.digest(), &roster.digest()),
        roster,
        secagg: parameters.secagg.clone().expect("masked"),
        ring: parameters.ring,
        dimension: 100,
    });
    let seed = || SessionSeed::from_entropy([9; 32]);
    let (_, advertise) = client::advertise(Arc::clone(&facts), own(&bad), seed(), key);
    let mut forged = advertise.clone();
    forged.mask_key.0[0] ^= 1;
    bad.say(forged).await;
    federation.server.refusal("signature").await;
    bad.say(advertise.clone()).await;
    bad.say(advertise).await;
    federation.server.refusal("found a second").await;
    let good = tokio::spawn(all(sessions, |mut session| async move { session.masked_round().await }));
    let ServerMessage::RoundRoster(roster) = bad.hear().await else { panic!("everybody's keys") };
    assert_eq!(roster.members.len(), 4);
    bad.say(empty).await;
    federation.server.refusal("expected shares for every other member").await;
    // A frame beyond its type's limit ends the session before it has memory; the others need not wait for the deadline.
    let oversize = FrameHeader { kind: 0x0107, length: (96 << 10) + 1, checksum: 0 };
    assert_eq!(oversize.to_bytes().len(), HEADER_BYTES);
    bad.send.write_all(&oversize.to_bytes()).await.expect("sent");
    assert_eq!(federation.server.refusal("at most 98304 bytes, found 98305").await, "m3");
    for (header, sum) in good.await.expect("no panic") {
        assert_eq!(header.contributors, [0, 1, 2].map(MerchantIndex));
        assert_eq!(sum, vec![sum_of(&[0, 1, 2]); 100]);
    }
    federation.server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_masked_job_needs_three_merchants_and_says_what_else_can_be_done() {
    let federation = Federation::closed(2).await;
    let AdminReply::Refused(reason) = federation.admin(AdminCommand::JobSubmit { spec: masked(10, 1) }).await
    else {
        panic!("refused")
    };
    for part in ["at least 3 merchants, the roster has 2", "Enrol more merchants", "aggregation = \"plain\""]
    {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    federation.server.stop().await;
}
