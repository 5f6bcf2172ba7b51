//! What an entry says, held against the roster, the numbers of masked rounds, and what the ledger said before. These
//! rules bind honest programs too; they need more than a ledger knows while it is written.

use guildhall_accountant::{NOISE_STANDARD_DEVIATION_END, NOISE_STANDARD_DEVIATION_MIN};
use guildhall_shared::secagg::transcript::SignedUpdate;
use guildhall_shared::tree_head::TreeHead;

use super::{Model, Severity, Verifier};
use crate::account::Session;
use crate::entry::{Event, Membership, Outcome, Release, Reservation};
use crate::rotation::KeyRotation;
use crate::{Protection, Travel};

/// Why an event cannot be.
type Wrong = (Severity, String);

fn tampered(what: impl Into<String>) -> Result<(), Wrong> {
    Err((Severity::Tampered, what.into()))
}

impl Verifier {
    /// Before the event takes effect.
    pub(super) fn check_event(&mut self, place: usize, event: &Event) {
        let verdict = match event {
            Event::Roster { membership, .. } => self.check_membership(membership),
            Event::Reserve { reservation, .. } => self.check_reservation(reservation),
            Event::Settle { sid, outcome } => match self.account.session(sid).cloned() {
                Some(session) => self.check_settlement(&session, outcome),
                None => Ok(()),
            },
            Event::Result { release, .. } => self.check_release(release),
            Event::Witness { updates, .. } => self.check_witness(updates),
            Event::RollbackAlarm { seen, .. } => self.check_alarm(seen),
            Event::KeyRotation { rotation, .. } => self.check_rotation(rotation),
            Event::Policy { .. }
            | Event::Commit { .. }
            | Event::Refund { .. }
            | Event::Audit { .. }
            | Event::Export { .. } => Ok(()),
        };
        if let Err((severity, what)) = verdict {
            self.findings.at(place, severity, what);
        }
    }

    /// The membership is that of the roster in the file, and only the program may change.
    fn check_membership(&mut self, membership: &Membership) -> Result<(), Wrong> {
        let first = self.membership.get_or_insert_with(|| membership.clone());
        let same = Membership { program: first.program.clone(), ..membership.clone() };
        if same != *first {
            return tampered(
                "expected the membership that was recorded first, with the same roster and place",
            );
        }
        let Some(members) = &self.members else { return Ok(()) };
        let Membership { federation, federation_key, roster, merchants, own, .. } = membership;
        let found = members.roster.digest();
        if *roster != found {
            return tampered(format!("expected the roster with digest {roster}, the file has {found}"));
        }
        if *federation != members.roster.federation || *federation_key != members.key {
            return tampered("the roster in the file is not of the federation that the ledger names");
        }
        if *merchants as usize != members.roster.len() {
            let found = members.roster.len();
            return tampered(format!("expected a roster of {merchants} merchants, the file's has {found}"));
        }
        match own {
            Some(own) if members.roster.entry(*own).is_none() => {
                tampered(format!("the owner is merchant {own}, whom the roster does not list"))
            }
            _ => Ok(()),
        }
    }

    /// The numbers are those of the protocol for a roster of n, and the charge's formula holds for this noise.
    fn check_reservation(&mut self, reservation: &Reservation) -> Result<(), Wrong> {
        let Some(merchants) = self.membership.as_ref().map(|membership| membership.merchants) else {
            let what = "expected a ROSTER entry before the first RESERVE";
            return Err((Severity::Unverifiable, what.into()));
        };
        let Reservation { protection, survivors_min, .. } = reservation;
        if let Protection::Gaussian { bound, noise_standard_deviation_local: deviation, delta, .. } =
            *protection
        {
            if bound == 0
                || !(NOISE_STANDARD_DEVIATION_MIN..NOISE_STANDARD_DEVIATION_END).contains(&deviation)
            {
                return tampered(format!(
                    "expected a clip of at least 1 and a noise share from 2^10 to below 2^53, found {bound} and {deviation}"
                ));
            }
            if !(delta > 0.0 && delta < 1.0) {
                return tampered(format!("expected delta in (0, 1), found {delta}"));
            }
        }
        let shares = protection.honest_shares();
        let colluders = match reservation.travel {
            Travel::Plain if *survivors_min == 0 => return Ok(()),
            Travel::Plain => {
                return tampered(format!("expected no m_min in plain mode, found {survivors_min}"));
            }
            Travel::Masked { colluders } => colluders,
        };
        let Some(numbers) = self.numbers(merchants, colluders) else {
            return tampered(format!(
                "there are no masked rounds of {merchants} merchants with C = {colluders}"
            ));
        };
        // Without noise there are no shares to count.
        let expected = if shares == 0 { 0 } else { u64::from(numbers.noise_shares()) };
        if *survivors_min == numbers.survivors_min && shares == expected {
            return Ok(());
        }
        tampered(format!(
            "expected m_min = {} and h = {expected} for n = {merchants} and C = {colluders}, found {survivors_min} and {shares}",
            numbers.survivors_min
        ))
    }

    /// A released sum is over as many as it may be, and its model follows from the one before.
    fn check_settlement(&mut self, session: &Session, outcome: &Outcome) -> Result<(), Wrong> {
        let Outcome::Released { version, model, survivors, certificate } = outcome else { return Ok(()) };
        let most = self.membership.as_ref().map_or(u32::MAX, |membership| membership.merchants);
        let least = session.survivors_min.max(1);
        if !(least..=most).contains(survivors) {
            return tampered(format!("expected {least} to {most} merchants in the sum, found {survivors}"));
        }
        match (session.travel, certificate) {
            (Travel::Plain, Some(_)) => return tampered("a certificate in plain mode, which has none"),
            (Travel::Masked { .. }, None) => self.uncertified += 1,
            _ => {}
        }
        let next = Model { version: *version, hash: *model };
        let Some(before) = self.models.insert(session.job.clone(), next) else { return Ok(()) };
        if *version <= before.version {
            return tampered(format!("expected a version after {}, found {version}", before.version));
        }
        // Versions between the two, if any, were made without this merchant.
        if *version == before.version + 1 && session.model != before.hash {
            return tampered(format!(
                "version {version}: expected it to be trained from model {}, found {}",
                before.hash, session.model
            ));
        }
        Ok(())
    }

    fn check_release(&self, release: &Release) -> Result<(), Wrong> {
        let most = self.membership.as_ref().map_or(u32::MAX, |membership| membership.merchants);
        if (1..=most).contains(&release.survivors) {
            return Ok(());
        }
        tampered(format!("expected 1 to {most} merchants in the sum, found {}", release.survivors))
    }

    /// Nobody's ledger shrinks or is rewritten between what the server saw of it.
    fn check_witness(&mut self, updates: &[SignedUpdate]) -> Result<(), Wrong> {
        if !updates.windows(2).all(|pair| pair[0].merchant < pair[1].merchant) {
            return tampered("expected merchants in ascending order");
        }
        let most = self.membership.as_ref().map_or(u32::MAX, |membership| membership.merchants);
        for update in updates {
            let (merchant, head) = (update.merchant, update.head);
            if u32::from(merchant.0) >= most {
                return tampered(format!("merchant {merchant} is not in the roster"));
            }
            self.seen.entry(merchant).or_default().insert(head.size, head.root);
            let before = self.heads.insert(merchant, head).unwrap_or(TreeHead::EMPTY);
            if head.size < before.size || (head.size == before.size && head.root != before.root) {
                return tampered(format!(
                    "merchant {merchant} showed {} entries with root {}, after {} with root {}",
                    head.size, head.root, before.size, before.root
                ));
            }
        }
        Ok(())
    }

    /// The first key is the roster's, and no key is taken from somebody else. The ledger's own rules check the rest.
    fn check_rotation(&self, rotation: &KeyRotation) -> Result<(), Wrong> {
        let (Some(members), Some(owner)) = (&self.members, self.owner_at(u64::MAX)) else { return Ok(()) };
        if rotation.old != owner.key {
            return tampered(format!(
                "expected a rotation from key {:?}, found {:?}",
                owner.key, rotation.old
            ));
        }
        let mut others = members.roster.entries.iter().map(|entry| entry.identity);
        if rotation.new == members.key || others.any(|key| key == rotation.new) {
            return tampered(format!("expected a rotation to a new key, {:?} is somebody's", rotation.new));
        }
        Ok(())
    }

    fn check_alarm(&self, seen: &TreeHead) -> Result<(), Wrong> {
        tampered(format!(
            "a witness saw this ledger with {} entries of root {}, which it never had: it was put back or rewritten",
            seen.size, seen.root
        ))
    }
}
