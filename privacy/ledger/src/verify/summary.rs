//! A verification in a few lines, for people.

use std::fmt;

use super::{Verification, Witnesses};

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.verdict)?;
        writeln!(f, "ledger        {}", self.origin)?;
        if let Some(key) = &self.federation_key {
            writeln!(f, "federation    key {key}: compare it with the one you were told")?;
        }
        writeln!(f, "entries       {}, root {}", self.entries, self.root)?;
        if let Some(budget) = self.budget {
            writeln!(
                f,
                "spent         epsilon {:.4} of {} at delta {:e} (rho {})",
                self.epsilon_spent, budget.epsilon, budget.delta, self.spent
            )?;
        }
        writeln!(f, "certificates  {}", self.certificates)?;
        writeln!(f, "witnesses     {}", self.witnessed())?;
        for remark in &self.remarks {
            writeln!(f, "remark        {remark}")?;
        }
        for finding in &self.findings {
            writeln!(f, "{:<13} {}", format!("{:?}", finding.severity).to_lowercase(), finding.what)?;
        }
        if self.findings_left_out > 0 {
            writeln!(f, "              and {} more of the same kinds", self.findings_left_out)?;
        }
        Ok(())
    }
}

impl Verification {
    /// Who saw this ledger, as every report says it.
    pub fn witnessed(&self) -> String {
        match &self.account.membership {
            Some(membership) if membership.own.is_none() => {
                "nobody witnesses the server's own ledger: hold merchants' exports against it".into()
            }
            _ => self.witnesses.to_string(),
        }
    }
}

impl fmt::Display for Witnesses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seen, all) = (self.merchants.len(), self.merchants_all);
        write!(f, "witnessed by {seen} of {all} other merchants")?;
        if seen > 0 {
            write!(f, " (the first {} entries)", self.entries_seen_by_merchants)?;
        }
        match self.server_unix_s {
            Some(time) => {
                write!(f, " and by the server at {} (the first {})", utc(time), self.entries_seen_by_server)
            }
            None => f.write_str(" and never by the server"),
        }
    }
}

/// A time in seconds since 1970 as a date and time of day.
pub fn utc(time_unix_s: u64) -> String {
    let (days, second) = (time_unix_s / 86_400, time_unix_s % 86_400);
    // Eras of 400 years from 1 March of the year 0 on, which is 719,468 days before 1970.
    let day = days + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let (month, next) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = era * 400 + year + next;
    format!(
        "{year:04}-{month:02}-{date:02} {:02}:{:02}:{:02} UTC",
        second / 3_600,
        second / 60 % 60,
        second % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (time, expected) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_000_000_000, "2001-09-09 01:46:40 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (1_735_689_599, "2024-12-31 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
        ] {
            assert_eq!(utc(time), expected);
        }
        assert!(utc(u64::MAX).ends_with("UTC"), "any number is some date");
    }
}
