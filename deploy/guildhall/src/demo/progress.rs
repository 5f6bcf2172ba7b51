//! How far the rounds are: one line that is overwritten on a terminal, every fifth round elsewhere.

use std::io::IsTerminal as _;

use crate::process::Report;

/// The events of a client that mean it has done its part in a stage of the server's.
const DONE: [(&str, &str); 5] = [
    ("advertising", "advertised"),
    ("sharing", "shared"),
    ("collecting", "uploaded"),
    ("certifying", "certified"),
    ("unmasking", "unmasked"),
];

/// Progress on standard error.
pub struct Progress {
    rounds: u32,
    settled: u32,
    terminal: bool,
    /// The server's stage, how many are in it, how many have done their part.
    stage: Option<(&'static str, u64, u64)>,
}

impl Progress {
    /// Before the first round.
    pub fn new(rounds: u32) -> Self {
        Progress { rounds, settled: 0, terminal: std::io::stderr().is_terminal(), stage: None }
    }

    /// A stage of a masked attempt, or a merchant that has done its part in it.
    pub fn stage(&mut self, report: &Report) {
        let found = report.event["stage"].as_str().unwrap_or_default();
        match (&report.merchant, &mut self.stage) {
            (None, stage) => {
                let known = DONE.iter().map(|(stage, _)| *stage).find(|stage| *stage == found);
                *stage = known.map(|known| (known, report.event["merchants"].as_u64().unwrap_or(0), 0));
            }
            (Some(_), Some((stage, _, done))) if DONE.contains(&(*stage, found)) => *done += 1,
            _ => return,
        }
        if let (true, Some((stage, of, done))) = (self.terminal, self.stage) {
            eprint!("\r\x1b[Kround {:>3}/{}  {stage}: {done} of {of}", self.settled + 1, self.rounds);
        }
    }

    /// A settled round.
    pub fn round(&mut self, text: &str) {
        self.settled += 1;
        self.stage = None;
        if self.terminal {
            eprint!("\r\x1b[K{text}");
        } else if self.settled.is_multiple_of(5) || self.settled == 1 || self.settled == self.rounds {
            eprintln!("{text}");
        }
    }

    /// Something that must not be overwritten.
    pub fn line(&self, text: &str) {
        self.end();
        eprintln!("{text}");
    }

    /// Leaves the line that is overwritten.
    pub fn end(&self) {
        if self.terminal {
            eprintln!();
        }
    }
}
