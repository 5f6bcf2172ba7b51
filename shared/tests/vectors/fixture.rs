//! Federations of a few merchants whose every secret is known.

use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name, RoundId};
use guildhall_shared::identity::{IdentityKey, Roster, RosterEntry, Signature, SignedRoster};
use guildhall_shared::job::{Aggregation, ClippingSpec, JobSpec, PrivacySpec, RoundSpec, Unit};
use guildhall_shared::message::{Offer, SurvivingUpdate};
use guildhall_shared::model_spec::Architecture;
use guildhall_shared::optimizer::{OptimizerSpec, UpdateRule};
use guildhall_shared::round_parameters::RoundParameters;
use guildhall_shared::secagg::seed::SessionSeed;
use guildhall_shared::secagg::transcript::{self, Transcript};
use guildhall_shared::secagg::{Facts, Graph, MaskGenerator, SignedHead, Witness};
use guildhall_shared::task::Task;
use guildhall_shared::tree_head::TreeHead;

/// d.
pub const DIMENSION: usize = 5;

/// When a merchant vanishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Gone {
    /// Before M3.
    Sharing,
    /// Before M5.
    Uploading,
    /// Before M9.
    Unmasking,
}

impl Gone {
    pub fn describe(self) -> &'static str {
        match self {
            Gone::Sharing => "before Shares",
            Gone::Uploading => "before Update",
            Gone::Unmasking => "before Unmask",
        }
    }
}

/// One attempt, before it begins.
#[derive(Clone)]
pub struct Fixture {
    pub name: &'static str,
    pub about: &'static str,
    pub job: JobSpec,
    pub parameters: RoundParameters,
    /// Whether the parameters follow from the job, as in every real round.
    pub derived: bool,
    pub gone: Vec<(u16, Gone)>,
}

/// 32 bytes that everybody can recompute.
pub fn secret(what: &str, i: u16) -> [u8; 32] {
    Digest::of(&format!("guildhall vector {what}"), &[&i.to_le_bytes()]).0
}

pub fn identity(i: u16) -> IdentityKey {
    IdentityKey::from_secret(&secret("identity", i))
}

pub fn federation_key() -> IdentityKey {
    IdentityKey::from_secret(&secret("federation key", 0))
}

pub fn session_seed(i: u16) -> SessionSeed {
    SessionSeed::from_entropy(secret("session seed", i))
}

pub fn roster(merchants: u16) -> Roster {
    let entry = |i: u16| RosterEntry {
        name: Name::new(format!("m{i:04}")).expect("legal"),
        region: Name::new("eu").expect("legal"),
        identity: identity(i).public(),
        certificate: Digest(secret("certificate", i)),
    };
    Roster { federation: Digest(secret("federation", 0)), entries: (0..merchants).map(entry).collect() }
}

impl Fixture {
    fn new(name: &'static str, about: &'static str, job: JobSpec, merchants: u32) -> Self {
        let parameters = RoundParameters::derive(&job, merchants).expect("it fits");
        Fixture { name, about, job, parameters, derived: true, gone: vec![] }
    }

    pub fn merchants(&self) -> u16 {
        self.parameters.merchants as u16
    }

    pub fn indices(&self) -> impl Iterator<Item = MerchantIndex> {
        (0..self.merchants()).map(MerchantIndex)
    }

    /// Whether a merchant still sends what comes at this stage.
    pub fn takes_part(&self, merchant: MerchantIndex, stage: Gone) -> bool {
        !self.gone.iter().any(|(who, since)| *who == merchant.0 && *since <= stage)
    }

    /// x + e of a merchant.
    pub fn integers(&self, merchant: MerchantIndex) -> Vec<i64> {
        let i = i64::from(merchant.0);
        (0..DIMENSION as i64).map(|j| (i + 1) * 10_007 - j * j * 4_099 - (i * j) % 3).collect()
    }

    pub fn plain_sum(&self) -> Vec<i64> {
        let survivors = self.indices().filter(|i| self.takes_part(*i, Gone::Uploading));
        survivors
            .fold(vec![0; DIMENSION], |sum, i| sum.iter().zip(self.integers(i)).map(|(a, b)| a + b).collect())
    }

    pub fn signed_roster(&self) -> SignedRoster {
        SignedRoster::sign(roster(self.merchants()), &federation_key()).expect("a good roster")
    }

    pub fn offer(&self) -> Offer {
        let roster = roster(self.merchants());
        let unsigned = Offer {
            federation: roster.federation,
            job: self.job.digest(),
            round: RoundId { round: 4, attempt: 1 },
            version: 4,
            model: Digest(secret("model", 0)),
            parameters: self.parameters.clone(),
            roster: roster.digest(),
            nonce: secret("nonce", 0),
            signature: Signature([[0; 32]; 2]),
        };
        unsigned.sign(&federation_key())
    }

    /// What everybody saw of the others' ledgers in an earlier attempt, in which merchant 0 had no part.
    pub fn witness(&self) -> Witness {
        let digest = |what| Digest(secret(what, 0));
        let [sid, roster, members] = ["earlier session", "earlier keys", "earlier members"].map(digest);
        let earlier = Transcript { sid, roster, members };
        let mut witness = Witness::default();
        for merchant in self.indices().skip(1) {
            let hash = Digest(secret("earlier update", merchant.0));
            let root = Digest(secret("earlier ledger root", merchant.0));
            let head = TreeHead { size: 90 + u64::from(merchant.0), root };
            let signature = transcript::sign_update(&earlier, &hash, &head, &identity(merchant.0));
            witness.saw(
                merchant,
                SignedHead::of(&earlier, &SurvivingUpdate { merchant, hash, head, signature }),
            );
        }
        witness
    }

    pub fn facts(&self) -> Arc<Facts> {
        let (offer, roster) = (self.offer(), roster(self.merchants()));
        Arc::new(Facts {
            sid: offer.sid(),
            model: offer.model,
            parameters: self.parameters.digest(&offer.job, &offer.roster),
            roster: Arc::new(roster.decode()),
            secagg: self.parameters.secagg.clone().expect("a masked round"),
            ring: self.parameters.ring,
            dimension: DIMENSION,
        })
    }
}

fn job(bound: u64, generator: MaskGenerator) -> JobSpec {
    JobSpec {
        name: Name::new("vectors").expect("legal"),
        purpose: "test vectors".into(),
        task: Task::Dummy { parameters: DIMENSION },
        architecture: Architecture::Vector,
        seed: 7,
        rounds: 10,
        optimizer: OptimizerSpec {
            rule: UpdateRule::Sgd { momentum: 0.5 },
            learning_rate: 0.25,
            average_last_rounds: 0,
        },
        clipping: ClippingSpec { norm_l2: 1.0, bound },
        adaptive_clip: None,
        privacy: PrivacySpec::Gaussian {
            unit: Unit::Shopper,
            epsilon: 4.0,
            delta: 1e-6,
            noise_standard_deviation: 3 * bound,
        },
        round: RoundSpec {
            aggregation: Aggregation::Masked,
            colluders_min: 0,
            mask_generator: generator,
            quorum: 3,
            accept_deadline_ms: 1_000,
            update_deadline_ms: 2_000,
            upload_slot_ms: 0,
            expected_shoppers: 100,
            shoppers_per_merchant_max: 1 << 12,
            participation_rate: 1.0,
        },
    }
}

/// Three merchants, all of whom are needed; 64-bit words, AES.
pub fn three() -> Fixture {
    let about = "three merchants, nobody drops out";
    Fixture::new("attempt_three", about, job(1 << 20, MaskGenerator::Aes256Ctr), 3)
}

/// Five, of whom one vanishes after it dealt its shares; 32-bit words, ChaCha20.
pub fn five() -> Fixture {
    let about = "five merchants, one drops out after it dealt its shares";
    let gone = vec![(3, Gone::Uploading)];
    Fixture { gone, ..Fixture::new("attempt_five", about, job(1 << 12, MaskGenerator::ChaCha20), 5) }
}

/// Ten, of whom three vanish, one at each stage; one survivor does not answer at the end.
pub fn ten() -> Fixture {
    let about =
        "ten merchants: one drops out before its shares, one before its update, one before it unmasks";
    let gone = vec![(0, Gone::Sharing), (5, Gone::Uploading), (9, Gone::Unmasking)];
    Fixture { gone, ..Fixture::new("attempt_ten", about, job(1 << 20, MaskGenerator::Aes256Ctr), 10) }
}

/// Seven on a sparse graph. Real rounds are sparse from 129 merchants on: graph and m_min are set by hand.
pub fn sparse_seven() -> Fixture {
    let about = "seven merchants on a sparse graph, whose numbers are set by hand: \
                 one drops out before its shares, one before its update";
    let mut fixture = Fixture::new("attempt_sparse_seven", about, job(1 << 12, MaskGenerator::Aes256Ctr), 7);
    let secagg = fixture.parameters.secagg.as_mut().expect("a masked round");
    secagg.graph = Graph::Sparse { holders: 4, share_threshold: 3 };
    secagg.survivors_min = 5;
    fixture.parameters.quorum = 5;
    let gone = vec![(2, Gone::Sharing), (4, Gone::Uploading)];
    Fixture { derived: false, gone, ..fixture }
}

pub fn all() -> Vec<Fixture> {
    vec![three(), five(), ten(), sparse_seven()]
}
