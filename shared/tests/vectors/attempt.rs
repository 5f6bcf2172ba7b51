//! A whole attempt, every message kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::frame;
use guildhall_shared::id::Name;
use guildhall_shared::id::{MerchantIndex, RoundId};
use guildhall_shared::identity::Signature;
use guildhall_shared::job::PrivacySpec;
use guildhall_shared::message::{
    Advertise, Certificate, Certify, ClientMessage, ForwardedShares, RESULT_KIND, ResultHeader, RoundRoster,
    ServerMessage, Shares, Survivors, UPDATE_KIND, Unmask, UpdateHeader, Welcome, join_vector,
};
use guildhall_shared::message::{Hello, SurvivingUpdate, WitnessAnswer};
use guildhall_shared::ring::{RingVector, RingWidth};
use guildhall_shared::secagg::transcript::{self, SignedUpdate, Transcript};
use guildhall_shared::secagg::{Facts, MaskGenerator, SignedHead, client, server};
use guildhall_shared::tree_head::TreeHead;
use guildhall_shared::wire;

use crate::fixture::{DIMENSION, Fixture, Gone, federation_key, identity, secret, session_seed};
use crate::json::{Json, json};

type By<T> = BTreeMap<MerchantIndex, T>;
/// Message, from, to, frame; nobody is the server, or everybody.
type Said = (&'static str, Option<MerchantIndex>, Option<MerchantIndex>, Vec<u8>);

/// What was said, and what came out.
pub struct Attempt {
    pub facts: Arc<Facts>,
    pub advertise: By<Advertise>,
    pub roster: RoundRoster,
    pub shares: By<Shares>,
    pub forwarded: By<ForwardedShares>,
    pub updates: By<(UpdateHeader, Vec<u8>)>,
    pub survivors: Survivors,
    pub certify: By<Certify>,
    pub certificate: Certificate,
    pub unmask: By<Unmask>,
    pub transcript: Transcript,
    pub survivors_digest: Digest,
    pub sum: Vec<i64>,
    pub result: Vec<u8>,
}

/// Runs an attempt with the cores of client and server.
pub fn run(fixture: &Fixture) -> Attempt {
    let (facts, witness) = (fixture.facts(), fixture.witness());
    let mut advertising = server::Advertising::new(Arc::clone(&facts));
    let (mut advertise, mut advertised) = (By::new(), By::new());
    for i in fixture.indices() {
        let (state, message) = client::advertise(Arc::clone(&facts), i, session_seed(i.0), &identity(i.0));
        advertising.receive(i, &message).expect("good");
        advertised.insert(i, state);
        advertise.insert(i, message);
    }
    let (mut dealing, roster) = advertising.close().expect("enough");
    let (mut shares, mut sharing) = (By::new(), By::new());
    for (i, state) in advertised.into_iter().filter(|(i, _)| fixture.takes_part(*i, Gone::Sharing)) {
        let (state, message) = state.share(&roster, &witness, &identity(i.0)).expect("good");
        dealing.receive(i, message.clone()).expect("good");
        sharing.insert(i, state);
        shares.insert(i, message);
    }
    let (mut collecting, forwarded) = dealing.close().expect("enough");
    let (mut updates, mut uploaded) = (By::new(), By::new());
    for (i, state) in sharing.into_iter().filter(|(i, _)| fixture.takes_part(*i, Gone::Uploading)) {
        let masking = state.receive(&forwarded[&i], &identity(i.0)).expect("good");
        let (masks, state) = masking.masks().expect("good");
        let mut vector = RingVector::from_integers(facts.ring, &fixture.integers(i));
        masks.apply(&mut vector);
        let words = vector.to_bytes();
        let (state, header) = state.sign(Digest::of_bytes(&words), head(i), &identity(i.0));
        collecting.receive(i, &header, &words).expect("good");
        uploaded.insert(i, state);
        updates.insert(i, (header, words));
    }
    let (mut certifying, survivors) = collecting.close().expect("enough");
    let (mut certify, mut certified) = (By::new(), By::new());
    for (i, state) in uploaded {
        let (state, message) = state.certify(&survivors, &witness, &identity(i.0)).expect("good");
        certifying.receive(i, &message).expect("good");
        certified.insert(i, state);
        certify.insert(i, message);
    }
    let (mut unmasking, certificate) = certifying.close().expect("enough");
    let mut unmask = By::new();
    for (i, state) in certified.into_iter().filter(|(i, _)| fixture.takes_part(*i, Gone::Unmasking)) {
        let (message, _) = state.unmask(&certificate, &identity(i.0)).expect("good");
        unmasking.receive(i, &message).expect("good");
        unmask.insert(i, message);
    }
    let unmasked = unmasking.finish().expect("enough good shares");
    let (transcript, list) = transcript(&facts, &roster, &shares, &survivors);
    Attempt {
        survivors_digest: transcript::survivors_digest(&transcript, &list),
        transcript,
        result: result(fixture, &list, &unmasked.sum.to_bytes()),
        sum: unmasked.sum.centred(),
        facts,
        advertise,
        roster,
        shares,
        forwarded,
        updates,
        survivors,
        certify,
        certificate,
        unmask,
    }
}

/// A signed head as it is encoded.
fn seen(head: SignedHead) -> String {
    hex::encode(wire::encode(&head).expect("encodes"))
}

/// A ledger head of each merchant's own.
pub fn head(merchant: MerchantIndex) -> TreeHead {
    TreeHead { size: 100 + u64::from(merchant.0), root: Digest(secret("ledger root", merchant.0)) }
}

/// T1, H(U2), and U3 with its update hashes.
fn transcript(
    facts: &Facts,
    roster: &RoundRoster,
    shares: &By<Shares>,
    survivors: &Survivors,
) -> (Transcript, Vec<SignedUpdate>) {
    let members: Vec<MerchantIndex> = shares.keys().copied().collect();
    let transcript = Transcript {
        sid: facts.sid,
        roster: transcript::roster_digest(&facts.sid, &roster.members),
        members: transcript::members_digest(&facts.sid, &members),
    };
    (transcript, survivors.updates.iter().map(SurvivingUpdate::statement).collect())
}

fn result(fixture: &Fixture, survivors: &[SignedUpdate], words: &[u8]) -> Vec<u8> {
    let offer = fixture.offer();
    let header = ResultHeader {
        job: offer.job,
        sid: offer.sid(),
        round: RoundId { ..offer.round },
        version: offer.version + 1,
        model: Digest(secret("model", 1)),
        contributors: survivors.iter().map(|update| update.merchant).collect(),
        sum: Digest::of_bytes(words),
        signature: Signature([[0; 32]; 2]),
    };
    let header = wire::encode(&header.sign(&federation_key())).expect("encodes");
    frame::frame(RESULT_KIND, &join_vector(&header, words))
}

/// The frame of an update.
pub fn update_frame(header: &UpdateHeader, words: &[u8]) -> Vec<u8> {
    let header = wire::encode(header).expect("encodes");
    frame::frame(UPDATE_KIND, &join_vector(&header, words))
}

/// The frame of a client's message.
pub fn client_frame(message: impl Into<ClientMessage>) -> Vec<u8> {
    message.into().to_frame().expect("encodes")
}

/// The frame of a message of the server's.
pub fn server_frame(message: impl Into<ServerMessage>) -> Vec<u8> {
    message.into().to_frame().expect("encodes")
}

impl Attempt {
    /// In the order in which they were said.
    fn messages(&self, fixture: &Fixture) -> Vec<Said> {
        let mut said = vec![("Offer", None, None, server_frame(fixture.offer()))];
        let up = |name, i: &MerchantIndex, frame| (name, Some(*i), None, frame);
        said.extend(self.advertise.iter().map(|(i, m)| up("Advertise", i, client_frame(m.clone()))));
        said.push(("RoundRoster", None, None, server_frame(self.roster.clone())));
        said.extend(self.shares.iter().map(|(i, m)| up("Shares", i, client_frame(m.clone()))));
        said.extend(
            self.forwarded.iter().map(|(i, m)| ("ForwardedShares", None, Some(*i), server_frame(m.clone()))),
        );
        said.extend(self.updates.iter().map(|(i, (h, w))| up("Update", i, update_frame(h, w))));
        said.push(("Survivors", None, None, server_frame(self.survivors.clone())));
        said.extend(self.certify.iter().map(|(i, m)| up("Certify", i, client_frame(m.clone()))));
        said.push(("Certificate", None, None, server_frame(self.certificate.clone())));
        said.extend(self.unmask.iter().map(|(i, m)| up("Unmask", i, client_frame(m.clone()))));
        said.push(("Result", None, None, self.result.clone()));
        said
    }
}

fn generator(generator: MaskGenerator) -> &'static str {
    match generator {
        MaskGenerator::Aes256Ctr => "AES-256-CTR",
        MaskGenerator::ChaCha20 => "ChaCha20",
    }
}

/// The file of one attempt.
pub fn to_json(fixture: &Fixture, attempt: &Attempt) -> Json {
    let PrivacySpec::Gaussian { noise_standard_deviation, .. } = fixture.job.privacy else {
        panic!("a private job")
    };
    let round = &fixture.job.round;
    let federation = fixture.offer().federation;
    let hello =
        Hello { federation, roster: None, software: Name::new("vectors").expect("legal"), nonce: [7; 32] };
    let witness = WitnessAnswer::sign(&hello, &Name::new("m0").expect("legal"), None, &federation_key());
    let welcome = Welcome { federation, roster: Some(fixture.signed_roster()), witness };
    let messages: Vec<Json> = attempt
        .messages(fixture)
        .into_iter()
        .map(|(name, from, to, frame)| {
            json!({
                "message": name,
                "from": from.map(|i| i.0),
                "to": to.map(|i| i.0),
                "frame": hex::encode(frame),
            })
        })
        .collect();
    let secrets = |what| fixture.indices().map(|i| hex::encode(secret(what, i.0))).collect::<Vec<_>>();
    json!({
        "about": fixture.about,
        "job": hex::encode(wire::encode(&fixture.job).expect("encodes")),
        "job_numbers": json!({
            "d": DIMENSION,
            "bound": fixture.job.clipping.bound,
            "noise_standard_deviation": noise_standard_deviation,
            "shoppers_per_merchant_max": round.shoppers_per_merchant_max,
            "quorum": round.quorum,
            "colluders_min": round.colluders_min,
            "generator": generator(round.mask_generator),
        }),
        "parameters_follow_from_the_job": fixture.derived,
        "ring_bits": if attempt.facts.ring == RingWidth::Bits32 { 32 } else { 64 },
        "federation_secret": hex::encode(secret("federation key", 0)),
        "identity_secrets": secrets("identity"),
        "session_seeds": secrets("session seed"),
        "ledger_heads": fixture.indices().map(|i| hex::encode(head(i).statement())).collect::<Vec<_>>(),
        "seen_heads": fixture.indices().map(|i| fixture.witness().newest(i).map(seen)).collect::<Vec<_>>(),
        "integers": fixture.indices().map(|i| fixture.integers(i)).collect::<Vec<_>>(),
        "gone": fixture.gone.iter().map(|(who, since)| json!([*who, since.describe()])).collect::<Vec<_>>(),
        "welcome": hex::encode(server_frame(welcome)),
        "messages": messages,
        "sid": attempt.facts.sid.to_string(),
        "parameter_digest": attempt.facts.parameters.to_string(),
        "t1": attempt.transcript.roster.to_string(),
        "members_digest": attempt.transcript.members.to_string(),
        "survivors_digest": attempt.survivors_digest.to_string(),
        "sum": attempt.sum.clone(),
    })
}
