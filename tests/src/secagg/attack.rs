//! An adversarial server with colluding merchants, against client cores.
//!
//! An attack is a composition, drawn from one number: who colludes, whom the server shows which U1, U2 and U3, whose messages
//! it withholds, one attempt or two at once, and at every step with some chance one of the forbidden [`Move`]s. Whatever is
//! allowed must be answered; every forbidden move must be refused with its own reason; and at the end [`super::knowledge`]
//! judges what the adversary got.
//!
//! The adversary holds all secrets of the colluders. Honest merchants' secrets it meets only in messages.

pub mod certificate;
pub mod front;
pub mod roster;
pub mod shares;
pub mod survivors;

use std::collections::{BTreeMap, BTreeSet};

use guildhall_shared::id::MerchantIndex;
use guildhall_shared::identity::Verifier;
use guildhall_shared::message::Complaint;
use guildhall_shared::secagg::client::Breach;
use guildhall_shared::secagg::{Graph, transcript};

use super::draws::Draws;
use super::federation::{Federation, Session, Shape};
use super::knowledge::Judgement;
use super::merchant::Refusal;
use certificate::CertificateMove;
use front::Front;
use roster::RosterMove;
use shares::SharesMove;
use survivors::SurvivorsMove;

/// One forbidden thing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Move {
    /// In M2.
    Roster(RosterMove),
    /// In M4.
    Shares(SharesMove),
    /// In M6.
    Survivors(SurvivorsMove),
    /// In M8.
    Certificate(CertificateMove),
}

impl Move {
    /// All.
    pub fn all() -> Vec<Move> {
        let roster = RosterMove::ALL.iter().copied().map(Move::Roster);
        let shares = SharesMove::ALL.iter().copied().map(Move::Shares);
        let survivors = SurvivorsMove::ALL.iter().copied().map(Move::Survivors);
        let certificate = CertificateMove::ALL.iter().copied().map(Move::Certificate);
        roster.chain(shares).chain(survivors).chain(certificate).collect()
    }
}

impl Move {
    /// Whether it needs another session to take something from.
    fn replays(self) -> bool {
        matches!(
            self,
            Move::Roster(RosterMove::OtherSession | RosterMove::Replayed)
                | Move::Shares(SharesMove::OtherSession | SharesMove::Replayed)
                | Move::Survivors(SurvivorsMove::OtherSession | SurvivorsMove::Replayed)
                | Move::Certificate(CertificateMove::OtherSession | CertificateMove::Replayed)
        )
    }
}

/// The reason a refusal gives, without its details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// [`Breach::Session`].
    Session,
    /// [`Breach::Order`].
    Order,
    /// [`Breach::TooFew`].
    TooFew,
    /// [`Breach::Own`].
    Own,
    /// [`Breach::Stranger`].
    Stranger,
    /// [`Breach::Signature`].
    Signature,
    /// [`Breach::DuplicateKey`].
    DuplicateKey,
    /// [`Breach::Key`].
    Key,
    /// [`Breach::Dealers`].
    Dealers,
    /// [`Breach::Share`].
    Share,
    /// [`Breach::Holders`].
    Holders,
    /// [`Breach::Ledger`]: never here, where nobody saw a ledger before.
    Ledger,
}

impl Reason {
    /// Of a breach.
    pub fn of(breach: &Breach) -> Self {
        match breach {
            Breach::Session { .. } => Reason::Session,
            Breach::Order { .. } => Reason::Order,
            Breach::TooFew { .. } => Reason::TooFew,
            Breach::Own { .. } => Reason::Own,
            Breach::Stranger { .. } => Reason::Stranger,
            Breach::Signature { .. } => Reason::Signature,
            Breach::DuplicateKey { .. } => Reason::DuplicateKey,
            Breach::Key { .. } => Reason::Key,
            Breach::Dealers { .. } => Reason::Dealers,
            Breach::Share { .. } => Reason::Share,
            Breach::Holders { .. } => Reason::Holders,
            Breach::Ledger { .. } => Reason::Ledger,
        }
    }
}

/// A message of the adversary's, and how an honest merchant must take it.
#[derive(Clone, Debug)]
pub struct Crafted<M> {
    /// To be sent.
    pub message: M,
    /// Why it must be refused; nothing where it must be answered.
    pub expected: Option<Reason>,
}

/// What happened in one attack or many.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Forbidden moves made.
    pub moves: BTreeMap<Move, u64>,
    /// Refusals.
    pub reasons: BTreeMap<Reason, u64>,
    /// Sessions.
    pub sessions: u64,
    /// Honest vectors the adversary held.
    pub vectors: u64,
    /// Sessions with a certificate.
    pub certificates: u64,
    /// M9 of honest merchants.
    pub unmask_messages: u64,
    /// Sums of honest inputs the adversary learned, as it may.
    pub sums: u64,
    /// Second requests to merchants that had answered.
    pub second_requests: u64,
}

impl Tally {
    /// Adds another.
    pub fn add(&mut self, other: &Tally) {
        other.moves.iter().for_each(|(one, times)| *self.moves.entry(*one).or_default() += times);
        other.reasons.iter().for_each(|(reason, times)| *self.reasons.entry(*reason).or_default() += times);
        self.sessions += other.sessions;
        self.vectors += other.vectors;
        self.certificates += other.certificates;
        self.unmask_messages += other.unmask_messages;
        self.sums += other.sums;
        self.second_requests += other.second_requests;
    }
}

/// How an adversary goes about it.
#[derive(Clone, Debug)]
pub struct Style {
    /// Who colludes.
    pub colluders: BTreeSet<MerchantIndex>,
    /// Chance of a forbidden move at each message, in percent.
    pub forbidden_percent: usize,
    /// A forbidden move to make once, at the first message that allows it.
    pub forced: Option<Move>,
    /// Different sets shown at each of M2, M4 and M6; one set is shown to everybody alike.
    pub sets: [usize; 3],
    /// Chance that a merchant is left without M2, M4, M6 or M8, in percent.
    pub withheld_percent: [usize; 4],
    /// Whether sets are as small as merchants accept.
    pub smallest_sets: Smallest,
}

/// Whether sets are as small as merchants accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Smallest {
    /// Any size.
    Any,
    /// Exactly m_min.
    AtTheLimit,
}

impl Style {
    /// Drawn.
    pub fn drawn(draws: &mut Draws, federation: &Session<'_>) -> Self {
        let secagg = &federation.facts().secagg;
        let merchants = (0..secagg.merchants as u16).map(MerchantIndex);
        let colluding = if draws.percent(80) {
            secagg.colluders as usize
        } else {
            draws.between(0, secagg.colluders as usize)
        };
        let sets = [0; 3].map(|_| *draws.pick(&[1, 1, 1, 2, 3]));
        Style {
            colluders: draws.subset(merchants, colluding),
            forbidden_percent: *draws.pick(&[0, 0, 5, 15]),
            forced: None,
            sets,
            withheld_percent: [*draws.pick(&[0, 0, 10]); 4],
            smallest_sets: *draws.pick(&[Smallest::Any, Smallest::AtTheLimit]),
        }
    }
}

impl Style {
    /// Sets and silences without which a move is hardly ever possible.
    fn make_room_for(&mut self, forced: Move) {
        let (sets, silent) = match forced {
            Move::Shares(SharesMove::OfAnotherRoster) => ([2, 1, 1], 0),
            Move::Survivors(SurvivorsMove::OtherTranscript) => ([1, 2, 1], 0),
            Move::Survivors(SurvivorsMove::NeverSent | SurvivorsMove::NeverSentSignedByColluder) => {
                ([1, 1, 1], 25)
            }
            Move::Certificate(CertificateMove::OverOtherSurvivors) => ([1, 1, 2], 0),
            _ => return,
        };
        self.sets = sets;
        self.withheld_percent[1] = silent;
        self.smallest_sets = Smallest::Any;
    }
}

/// The federation of one attack: mostly small, where there are fewest to hide among.
pub fn shape(draws: &mut Draws) -> Shape {
    if draws.percent(15) {
        return sparse_shape(draws);
    }
    Shape::of(*draws.pick(&[3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 6, 6, 7, 7, 10]))
}

/// With as many holders that collude as can be, and still too few of them.
fn sparse_shape(draws: &mut Draws) -> Shape {
    let merchants = *draws.pick(&[7, 7, 8, 10]);
    let colluders = Shape::of(merchants).secagg.colluders;
    Shape::sparse(merchants, draws.between(colluders as usize + 1, 6) as u32, colluders + 1)
}

/// A drawn attack. Panics when it comes to anything it must not.
///
/// # Panics
/// When an honest merchant answers what it must refuse, refuses what it must answer or gives another reason, or when the
/// adversary gets what it must not.
pub fn run(case: u64) -> Tally {
    let mut draws = Draws::new("attacks", case);
    let federation = Federation::new(case, shape(&mut draws));
    let mut sessions = vec![federation.session(1, 0)];
    if draws.percent(30) {
        sessions.push(if draws.percent(50) { federation.session(1, 1) } else { federation.session(2, 0) });
    }
    if draws.percent(15) {
        deviate(&mut draws, &mut sessions[0]);
    }
    let style = Style::drawn(&mut draws, &sessions[0]);
    let turns = if draws.percent(50) { Turns::StepByStep } else { Turns::OneAfterTheOther };
    tally(case, &sessions, play(case, &mut draws, &sessions, &style, turns))
}

/// An attack with one forbidden move for certain, if what else is drawn makes it possible.
///
/// # Panics
/// As [`run`].
pub fn run_forced(case: u64, forced: Move) -> Tally {
    let mut draws = Draws::new("forced attacks", case);
    let shape = match forced {
        Move::Shares(SharesMove::HoldersGone) => sparse_shape(&mut draws),
        Move::Survivors(SurvivorsMove::OtherTranscript) => Shape::of(*draws.pick(&[4, 5])),
        _ => shape(&mut draws),
    };
    let federation = Federation::new(case, shape);
    let mut sessions = vec![federation.session(1, 0)];
    if forced == Move::Roster(RosterMove::OtherModel) {
        deviate(&mut draws, &mut sessions[0]);
    } else if forced.replays() {
        sessions.push(federation.session(1, 1));
    }
    let mut style = Style::drawn(&mut draws, &sessions[0]);
    style.forbidden_percent = 0;
    style.withheld_percent = [0; 4];
    style.forced = Some(forced);
    style.make_room_for(forced);
    tally(case, &sessions, play(case, &mut draws, &sessions, &style, Turns::OneAfterTheOther))
}

/// Lets some merchants derive another model, or other parameters, under the same session id: more than a server can bring
/// about, for the id covers both.
fn deviate(draws: &mut Draws, session: &mut Session<'_>) {
    let everybody: Vec<MerchantIndex> = session.federation.merchants().collect();
    let some = draws.between(1, everybody.len() - 1);
    let other_model = draws.percent(50);
    for merchant in draws.subset(everybody, some) {
        let mut facts = session.facts().as_ref().clone();
        if other_model {
            facts.model.0[0] ^= 1;
        } else {
            facts.parameters.0[0] ^= 1;
        }
        session.set_facts_of(merchant, facts);
    }
}

/// In which order two sessions are played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turns {
    /// The second begins when the first is over.
    OneAfterTheOther,
    /// Both at once.
    StepByStep,
}

/// Plays all sessions and works out what the adversary got.
///
/// # Panics
/// When an honest merchant answers what it must refuse, refuses what it must answer or gives another reason.
pub fn play(
    case: u64,
    draws: &mut Draws,
    sessions: &[Session<'_>],
    style: &Style,
    turns: Turns,
) -> Vec<(Tally, Judgement)> {
    let mut fronts: Vec<Front<'_>> =
        sessions.iter().map(|session| Front::open(case, session, style)).collect();
    let (steps, count) = (Front::STEPS, fronts.len());
    let row: Vec<(usize, usize)> = match turns {
        Turns::StepByStep => (0..steps).flat_map(|step| (0..count).map(move |front| (front, step))).collect(),
        Turns::OneAfterTheOther => {
            (0..count).flat_map(|front| (0..steps).map(move |step| (front, step))).collect()
        }
    };
    for (place, step) in row {
        // Taken out of the row, so that it can look at the other one.
        let mut front = fronts.remove(place);
        front.step(draws, step, fronts.first());
        fronts.insert(place, front);
    }
    fronts.iter_mut().map(|front| front.finish(draws)).collect()
}

fn tally(case: u64, sessions: &[Session<'_>], played: Vec<(Tally, Judgement)>) -> Tally {
    let mut all = Tally::default();
    for (session, (tally, judgement)) in sessions.iter().zip(played) {
        assert_harmless(case, session, &judgement);
        all.add(&tally);
    }
    all
}

/// What no adversary may come to.
///
/// # Panics
/// When it did.
pub fn assert_harmless(case: u64, session: &Session<'_>, judgement: &Judgement) {
    let secagg = &session.facts().secagg;
    let at = format!("case {case}: {judgement:?}");
    assert!(judgement.recovered.is_empty(), "an input is bare, {at}");
    assert!(judgement.both_kinds().is_empty(), "key and seed of one merchant, {at}");
    assert!(judgement.certified.len() <= 1, "two survivor sets, {at}");
    for survivors in judgement.certified.values() {
        assert!(survivors.len() >= secagg.survivors_min as usize, "a small survivor set, {at}");
    }
    for group in &judgement.sums {
        let least = match secagg.graph {
            Graph::Complete => secagg.honest_shares,
            // Whoever's seed is known has t_k holders that answered, itself aside; at most C collude.
            Graph::Sparse { share_threshold, .. } => share_threshold + 1 - secagg.colluders,
        };
        assert!(group.len() >= least as usize, "the sum of too few, {at}");
    }
}

/// Checks a refusal against what it must be, and a complaint's signature.
pub(crate) fn check_refusal(
    at: &str,
    session: &Session<'_>,
    by: MerchantIndex,
    expected: Option<Reason>,
    refusal: &Refusal,
) -> Reason {
    let Refusal::Breach(breach) = refusal else { panic!("{at}: {by} was asked out of turn") };
    let found = Reason::of(breach);
    assert_eq!(expected, Some(found), "{at}: {by} says {breach}");
    if let Breach::Share { complaint, .. } = breach {
        check_complaint(at, session, by, complaint);
    }
    found
}

fn check_complaint(at: &str, session: &Session<'_>, by: MerchantIndex, complaint: &Complaint) {
    let key = Verifier::new(session.federation.identity(by).public());
    assert_eq!(transcript::verify_complaint(complaint, &key), Ok(()), "{at}: complaint of {by}");
    assert_eq!(complaint.sid, session.facts().sid, "{at}: complaint of {by}");
}
