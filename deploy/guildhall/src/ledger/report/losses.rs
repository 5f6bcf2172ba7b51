//! What releases cost against each who may look. [core]

use guildhall_accountant::PicoRho;
use guildhall_accountant::observer::{MaskedRelease, Observer};
use guildhall_accountant::zcdp::epsilon_upper_bound;
use guildhall_ledger::account::{Session, Settlement};
use guildhall_ledger::{Outcome, Protection, Travel};

/// Numbers of merchants that know the same shopper, as reports state them.
pub const KNOWN_TO: [u64; 3] = [1, 2, 5];

/// Sums of ρ over releases that count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    /// What is charged: in masked rounds against the server and C merchants, in plain rounds against everybody.
    pub charged: PicoRho,
    /// Of that, by masked sums.
    pub masked: PicoRho,
    /// Against whoever sees the models and nothing else.
    pub outsider: PicoRho,
    /// Against another merchant within the sums.
    pub survivor: PicoRho,
    /// Against the server with all other merchants.
    pub everybody_else: PicoRho,
}

impl Losses {
    /// Takes in a release, if it counts: what was refunded was never made.
    pub fn add(&mut self, session: &Session) {
        if session.settlement == Some(Settlement::Refunded) {
            return;
        }
        let charge = session.charge;
        self.charged = self.charged.saturating_add(charge);
        let against = match (session.travel, session.protection) {
            (Travel::Masked { .. }, Protection::Gaussian { .. }) => {
                self.masked = self.masked.saturating_add(charge);
                observers(session)
            }
            // The full noise is the merchant's own: whoever looks, it is all that is counted.
            _ => [charge; 3],
        };
        self.outsider = self.outsider.saturating_add(against[0]);
        self.survivor = self.survivor.saturating_add(against[1]);
        self.everybody_else = self.everybody_else.saturating_add(against[2]);
    }

    /// Everything of another sum as well.
    pub fn add_all(&mut self, other: &Losses) {
        self.charged = self.charged.saturating_add(other.charged);
        self.masked = self.masked.saturating_add(other.masked);
        self.outsider = self.outsider.saturating_add(other.outsider);
        self.survivor = self.survivor.saturating_add(other.survivor);
        self.everybody_else = self.everybody_else.saturating_add(other.everybody_else);
    }

    /// For a shopper whom k merchants know that all spent as much: k² times in masked sums, where contributions add up
    /// before the noise, k times in plain rounds.
    pub fn known_to(&self, merchants: u64) -> PicoRho {
        let plain = PicoRho::from_pico(self.charged.pico().saturating_sub(self.masked.pico()));
        let masked = self.masked.saturating_mul(merchants.saturating_mul(merchants));
        masked.saturating_add(plain.saturating_mul(merchants))
    }
}

/// Against an outsider, a survivor, everybody else.
fn observers(session: &Session) -> [PicoRho; 3] {
    let Protection::Gaussian { bound, noise_standard_deviation_local, honest_shares, .. } =
        session.protection
    else {
        return [session.charge; 3];
    };
    let survivors = match session.settlement {
        Some(Settlement::Settled(Outcome::Released { survivors, .. })) => survivors,
        // Nobody unmasks fewer.
        _ => session.survivors_min,
    };
    let release = MaskedRelease {
        bound,
        noise_standard_deviation_local,
        honest_shares,
        survivors: u64::from(survivors),
    };
    [Observer::Outsider, Observer::Survivor, Observer::EverybodyElse]
        .map(|observer| release.charge_against(observer))
}

/// ε of a ρ at δ, rounded up, with four digits.
pub fn epsilon(rho: PicoRho, delta: f64) -> String {
    let epsilon = epsilon_upper_bound(rho.rho_upper_bound(), delta);
    if epsilon.is_finite() { format!("{:.4}", (epsilon * 1e4).ceil() / 1e4) } else { "unbounded".into() }
}
