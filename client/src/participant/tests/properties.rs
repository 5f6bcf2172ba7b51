//! Random histories. The shell asserts the order of outputs on the spot; here is what must hold at the end.

use proptest::prelude::*;

use super::harness::{Shell, job, masked_job};
use super::masked_round::MaskedRound;
use super::round;
use super::server::Server;
use guildhall_shared::digest::Digest;
use guildhall_shared::job::JobSpec;
use guildhall_shared::message::{Abort, Offer, Receipt, ResultHeader, RollBack, ServerMessage, Verdict};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The next attempt at the current round.
    Offer,
    /// The same bytes again.
    RepeatOffer,
    /// An attempt before the last.
    OldOffer,
    /// A signature by somebody else.
    ForgedOffer,
    /// Other numbers, rightly signed.
    CrookedOffer,
    Begin,
    /// The next message of a masked attempt.
    Advance,
    /// The next message of a masked attempt, cut too short.
    Bend,
    /// A message of a masked attempt that was said before, in this attempt or an earlier one.
    Replay(usize),
    Abort,
    /// The round settles; its result is delivered later.
    Settle(i64),
    RollBack,
    /// The next record not delivered yet.
    Deliver,
    /// One that was delivered before.
    Redeliver,
    Receipt,
    FinishTraining,
    Wait(u16),
    Reconnect,
    Restart,
    Exhaust,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Offer),
        1 => Just(Step::RepeatOffer),
        1 => Just(Step::OldOffer),
        1 => Just(Step::ForgedOffer),
        1 => Just(Step::CrookedOffer),
        6 => Just(Step::Begin),
        16 => Just(Step::Advance),
        1 => Just(Step::Bend),
        4 => (0usize..40).prop_map(Step::Replay),
        2 => Just(Step::Abort),
        5 => (-5_000i64..5_000).prop_map(Step::Settle),
        1 => Just(Step::RollBack),
        8 => Just(Step::Deliver),
        1 => Just(Step::Redeliver),
        2 => Just(Step::Receipt),
        5 => Just(Step::FinishTraining),
        5 => (1u16..400).prop_map(Step::Wait),
        1 => Just(Step::Reconnect),
        1 => Just(Step::Restart),
        1 => Just(Step::Exhaust),
    ]
}

enum Record {
    Result(ResultHeader, Vec<u8>),
    RollBack(RollBack),
}

/// A server with a memory, and the way to the client.
struct World {
    server: Server,
    shell: Shell,
    records: Vec<Record>,
    delivered: usize,
    attempt: u32,
    settled: u32,
    offer: Option<Offer>,
    masked: Option<MaskedRound>,
    said: Vec<ServerMessage>,
}

impl World {
    fn new(job: JobSpec, hold_training: bool) -> Self {
        let server = Server::new(job);
        let mut shell = Shell::new(&server);
        shell.hold_training = hold_training;
        let mut world = World {
            server,
            shell,
            records: vec![],
            delivered: 0,
            attempt: 0,
            settled: 0,
            offer: None,
            masked: None,
            said: vec![],
        };
        world.open_session();
        world
    }

    fn open_session(&mut self) {
        self.shell.connect();
        self.shell.hear(self.server.welcome()).unwrap();
        self.shell.hear(self.server.announcement()).unwrap();
    }

    fn deliver(&mut self, index: usize) {
        match self.records.get(index) {
            Some(Record::Result(header, words)) => self.shell.result(header.clone(), words.clone()).unwrap(),
            Some(Record::RollBack(roll_back)) => self.shell.hear(roll_back.clone()).unwrap(),
            None => {}
        }
    }

    /// In a masked round the sum is what comes out when the masks are off.
    fn settle(&mut self, offer: &Offer, z: i64) {
        let (header, words) = match &mut self.masked {
            None => self.server.settle(offer, &[z, -z, z / 3]),
            Some(attempt) if attempt.is_unmasking() => {
                let (sum, contributors) = attempt.finish(&self.shell);
                self.server.settle_with(offer, &sum, &contributors)
            }
            Some(_) => return,
        };
        self.records.push(Record::Result(header, words));
        (self.settled, self.attempt) = (self.settled + 1, 0);
    }

    fn advance(&mut self, change: impl Fn(&mut ServerMessage)) {
        let Some(mut message) = self.masked.as_mut().and_then(|attempt| attempt.next(&self.shell)) else {
            return;
        };
        self.said.push(message.clone());
        change(&mut message);
        let _ = self.shell.hear(message);
    }

    fn act(&mut self, step: Step) {
        let last = self.offer.clone();
        match step {
            Step::Offer => {
                self.attempt += 1;
                let offer = self.server.offer(round(self.settled, self.attempt));
                self.offer = Some(offer.clone());
                self.masked =
                    offer.parameters.secagg.is_some().then(|| MaskedRound::open(&self.server, &offer));
                self.shell.hear(offer).unwrap();
            }
            Step::RepeatOffer => last.into_iter().for_each(|offer| self.shell.hear(offer).unwrap()),
            Step::OldOffer => self.shell.hear(self.server.offer(round(self.settled, 0))).unwrap(),
            Step::ForgedOffer => {
                let key = guildhall_shared::identity::IdentityKey::from_secret(&[31; 32]);
                let forged = self.server.offer(round(self.settled + 1, 0)).sign(&key);
                assert!(self.shell.hear(forged).is_err());
            }
            Step::CrookedOffer => {
                let mut offer = self.server.offer(round(self.settled, self.attempt));
                offer.parameters.noise_standard_deviation_local = 1;
                self.shell.hear(offer.sign(&self.server.key)).unwrap();
            }
            // These may come when they make no sense; then they are refused and nothing happens.
            Step::Begin => last.into_iter().for_each(|offer| {
                let _ = self.shell.hear(self.server.begin(&offer));
            }),
            Step::Advance => self.advance(|_| {}),
            Step::Bend => self.advance(bend),
            Step::Replay(index) => {
                if let Some(message) = self.said.iter().rev().nth(index).cloned() {
                    let _ = self.shell.hear(message);
                }
            }
            Step::Abort => last.into_iter().for_each(|offer| {
                let _ = self.shell.hear(Abort { sid: offer.sid(), reason: "test".into() });
            }),
            Step::Receipt => last.into_iter().for_each(|offer| {
                let _ = self.shell.hear(Receipt { sid: offer.sid(), verdict: Verdict::Added });
            }),
            Step::Settle(z) => {
                if let Some(offer) = self.offer.take().filter(|offer| offer.version == self.server.version())
                {
                    self.settle(&offer, z);
                }
            }
            Step::RollBack => {
                let to = self.server.version() / 2;
                if to < self.server.version() {
                    let roll_back = self.server.roll_back(to);
                    self.records.push(Record::RollBack(roll_back));
                }
            }
            Step::Deliver => {
                self.deliver(self.delivered);
                self.delivered = (self.delivered + 1).min(self.records.len());
            }
            Step::Redeliver => self.deliver(self.delivered / 2),
            Step::FinishTraining => {
                let hold = self.shell.hold_training;
                self.shell.finish_training();
                self.shell.hold_training = hold;
            }
            Step::Wait(ms) => self.shell.wake_at(self.shell.now_ms + u64::from(ms)),
            Step::Reconnect => {
                self.shell.disconnect();
                self.open_session();
                self.delivered = 0;
            }
            Step::Restart => {
                self.shell.restart(&self.server);
                self.delivered = 0;
            }
            Step::Exhaust => self.shell.over_budget = true,
        }
    }
}

/// Takes more out of what the message lists than may be missing.
fn bend(message: &mut ServerMessage) {
    match message {
        ServerMessage::RoundRoster(m) => m.members.truncate(3),
        ServerMessage::ForwardedShares(m) => m.shares.truncate(1),
        ServerMessage::Survivors(m) => m.updates.truncate(3),
        ServerMessage::Certificate(m) => m.signatures.truncate(3),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_rules_hold(
        steps in prop::collection::vec(step(), 1..80),
        hold_training: bool,
        masked: bool,
    ) {
        let mut world = World::new(if masked { masked_job() } else { job() }, hold_training);
        for step in steps {
            world.act(step);
            let (server, shell) = (&world.server, &world.shell);
            // An honest server, however disorderly its messages arrive, is never accused.
            prop_assert!(!shell.is_stopped(), "{:?}", shell.reports.last());
            let honest = server.hashes();
            for (version, model) in &shell.stored {
                prop_assert_eq!(Some(model), honest.get(version));
            }
        }
        // Everything is delivered in the end, and everybody arrives at the same model.
        world.act(Step::Reconnect);
        for _ in 0..=world.records.len() {
            world.act(Step::Deliver);
        }
        let (newest, honest) = (world.server.version(), world.server.hashes());
        prop_assert_eq!(world.shell.stored.get(&newest), honest.get(&newest));
        // Whatever happened, the next attempt is a good one.
        let (uploads, unmaskings) = (world.shell.uploads.len(), world.shell.count("Unmask"));
        world.act(Step::Offer);
        for _ in 0..4 {
            for step in [Step::Advance, Step::Begin, Step::FinishTraining, Step::Wait(400)] {
                world.act(step);
            }
        }
        if !world.shell.over_budget {
            prop_assert_eq!(world.shell.uploads.len(), uploads + 1);
            prop_assert_eq!(world.shell.count("Unmask"), unmaskings + usize::from(masked));
        }
        // No reservation is left hanging.
        world.shell.disconnect();
        let open: Vec<&Digest> = world.shell.reserved.iter().map(|(_, sid)| sid).filter(|sid| world.shell.is_open(sid)).collect();
        prop_assert!(open.is_empty(), "{open:?}");
        prop_assert!(world.shell.uploads.len() <= world.shell.committed.len());
        // The shell asserts that each is said once in a session, in this order.
        prop_assert!(world.shell.count("Unmask") <= world.shell.count("Certify"));
        prop_assert!(world.shell.count("Certify") <= world.shell.uploads.len());
    }
}
