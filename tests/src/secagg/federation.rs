//! Who takes part: identities, the roster, facts, session seeds and inputs.

use std::collections::BTreeMap;
use std::sync::Arc;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::{MerchantIndex, Name};
use guildhall_shared::identity::{DecodedRoster, IdentityKey, Roster, RosterEntry};
use guildhall_shared::ring::{RingVector, RingWidth};
use guildhall_shared::secagg::seed::SessionSeed;
use guildhall_shared::secagg::{Facts, Graph, MaskGenerator, SecaggParameters};

use super::draws::Draws;

/// What a federation looks like.
#[derive(Clone, Debug)]
pub struct Shape {
    /// Thresholds, graph and generator.
    pub secagg: SecaggParameters,
    /// Width of a ring word.
    pub ring: RingWidth,
    /// d, words of an update.
    pub dimension: usize,
}

impl Shape {
    /// By the rules, with 64-bit words and AES masks.
    pub fn of(merchants: u16) -> Self {
        Shape::drawn(merchants, RingWidth::Bits64, MaskGenerator::Aes256Ctr)
    }

    /// By the rules.
    pub fn drawn(merchants: u16, ring: RingWidth, generator: MaskGenerator) -> Self {
        let secagg = SecaggParameters::derive(u32::from(merchants), 0, generator)
            .expect("three and more merchants have parameters");
        Shape { secagg, ring, dimension: 5 }
    }

    /// With the sparse graph, however few merchants there are: the same code as in a large federation, at a fraction of the
    /// work. With t_k > C no merchant's holders can put its secrets together by themselves, whatever is drawn.
    pub fn sparse(merchants: u16, holders: u32, share_threshold: u32) -> Self {
        let mut shape = Shape::of(merchants);
        shape.secagg.graph = Graph::Sparse { holders, share_threshold };
        shape
    }
}

/// A roster with everybody's secret identity.
pub struct Federation {
    seed: u64,
    identities: Vec<IdentityKey>,
    roster: Arc<DecodedRoster>,
    shape: Shape,
}

impl Federation {
    /// Of a shape, from a number.
    pub fn new(seed: u64, shape: Shape) -> Self {
        let mut draws = Draws::new("simulated identities", seed);
        let identities: Vec<IdentityKey> =
            (0..shape.secagg.merchants).map(|_| IdentityKey::from_secret(&draws.bytes())).collect();
        let entry = |(i, key): (usize, &IdentityKey)| RosterEntry {
            name: Name::new(format!("m{i:04}")).expect("a legal name"),
            region: Name::new("eu").expect("a legal name"),
            identity: key.public(),
            certificate: Digest::of("simulated certificate", &[&i.to_le_bytes()]),
        };
        let entries = identities.iter().enumerate().map(entry).collect();
        let federation = Digest::of("simulated federation", &[&seed.to_le_bytes()]);
        Federation { seed, identities, roster: Arc::new(Roster { federation, entries }.decode()), shape }
    }

    /// Everybody.
    pub fn merchants(&self) -> impl Iterator<Item = MerchantIndex> + use<> {
        (0..self.identities.len() as u16).map(MerchantIndex)
    }

    /// A merchant's secret identity.
    pub fn identity(&self, merchant: MerchantIndex) -> &IdentityKey {
        &self.identities[usize::from(merchant.0)]
    }

    /// One attempt at one round.
    pub fn session(&self, round: u32, attempt: u32) -> Session<'_> {
        let number =
            [self.seed.to_le_bytes().as_slice(), &round.to_le_bytes(), &attempt.to_le_bytes()].concat();
        let label = |what| Digest::of(what, &[&number]);
        let model = Digest::of("simulated model", &[&round.to_le_bytes()]);
        let facts = Facts {
            sid: label("simulated session"),
            model,
            parameters: Digest([3; 32]),
            roster: Arc::clone(&self.roster),
            secagg: self.shape.secagg.clone(),
            ring: self.shape.ring,
            dimension: self.shape.dimension,
        };
        Session {
            federation: self,
            facts: Arc::new(facts),
            entropy: label("simulated entropy"),
            deviating: BTreeMap::new(),
        }
    }

    /// A merchant's input, the same in every attempt. The first words are large, so that sums wrap around a narrow ring's
    /// borders if anything goes wrong.
    pub fn input(&self, merchant: MerchantIndex) -> Vec<i64> {
        let number = u64::from(merchant.0) << 32 ^ self.seed;
        let mut draws = Draws::new("simulated input", number);
        let word = |draws: &mut Draws| {
            let mut bytes = [0; 8];
            draws.fill(&mut bytes);
            // 2^24 times the largest roster fits the narrow ring.
            i64::from_le_bytes(bytes) >> 40
        };
        (0..self.shape.dimension).map(|_| word(&mut draws)).collect()
    }

    /// The plain sum of some merchants' inputs.
    pub fn plain_sum(&self, of: impl IntoIterator<Item = MerchantIndex>) -> Vec<i64> {
        of.into_iter().fold(vec![0; self.shape.dimension], |sum, merchant| {
            sum.iter().zip(self.input(merchant)).map(|(a, b)| a + b).collect()
        })
    }
}

/// One attempt: its facts, and the secrets that merchants draw for it.
pub struct Session<'a> {
    /// Everybody.
    pub federation: &'a Federation,
    facts: Arc<Facts>,
    entropy: Digest,
    deviating: BTreeMap<MerchantIndex, Arc<Facts>>,
}

impl Session<'_> {
    /// What most merchants, and an honest server, derive.
    pub fn facts(&self) -> &Arc<Facts> {
        &self.facts
    }

    /// What one merchant derives.
    pub fn facts_of(&self, merchant: MerchantIndex) -> &Arc<Facts> {
        self.deviating.get(&merchant).unwrap_or(&self.facts)
    }

    /// Lets a merchant derive something else than the others.
    pub fn set_facts_of(&mut self, merchant: MerchantIndex, facts: Facts) {
        self.deviating.insert(merchant, Arc::new(facts));
    }

    /// The session seed a merchant draws.
    pub fn seed(&self, merchant: MerchantIndex) -> SessionSeed {
        SessionSeed::from_entropy(
            Digest::of("simulated seed", &[&self.entropy.0, &merchant.0.to_le_bytes()]).0,
        )
    }

    /// A merchant's input as ring words.
    pub fn input(&self, merchant: MerchantIndex) -> RingVector {
        RingVector::from_integers(self.facts.ring, &self.federation.input(merchant))
    }
}
