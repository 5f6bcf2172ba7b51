//! `demo --kill N`: merchants that die in the middle of a round, so that a reader can watch what becomes of it.

use guildhall_shared::id::Name;

use super::market::Market;
use super::stage::Stage as _;
use crate::error::CommandError;
use crate::process::Fate;

/// Nobody dies before the third round, counted from 0: by then a reader has seen what a good one looks like.
const ROUND: u32 = 2;

/// Who dies, and when.
#[derive(Clone, Debug)]
pub struct Kill {
    /// The round, from 0.
    pub round: u32,
    /// Who.
    pub victims: Vec<Name>,
    /// How many a round survives the loss of.
    pub spare: usize,
}

impl Kill {
    /// The last so many of the market's merchants; nothing for none.
    pub fn plan(count: usize, market: &Market) -> Result<Option<Self>, CommandError> {
        let mut victims = market.merchants();
        if count == 0 {
            return Ok(None);
        }
        if count >= victims.len() {
            return Err(CommandError::message(format!(
                "--kill: expected fewer than the {} merchants, found {count}",
                victims.len()
            )));
        }
        let spare = victims.len() - market.parameters().quorum as usize;
        victims.drain(..victims.len() - count);
        Ok(Some(Kill { round: ROUND.min(market.job().rounds - 1), victims, spare }))
    }

    /// What becomes of a merchant's first process.
    pub fn fate(kill: Option<&Self>, merchant: &Name) -> Fate {
        match kill {
            Some(kill) if kill.victims.contains(merchant) => Fate::FallsSilent { round: kill.round },
            _ => Fate::Healthy,
        }
    }

    /// What will happen, for people.
    pub fn announcement(&self) -> String {
        let outcome = match self.victims.len() <= self.spare {
            true => "the round goes on without them",
            false => "too many: the attempt is given up, and tried again once they are back",
        };
        format!(
            "{} merchant(s) will be killed in round {}, after they dealt their shares and before their masked update; a round survives the loss of {}, so {outcome}",
            self.victims.len(),
            self.round + 1,
            self.spare
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).expect("legal")
    }

    #[test]
    fn victims_fall_silent_in_their_round_and_nobody_else_does() {
        let kill = Kill { round: 2, victims: vec![name("b")], spare: 1 };
        assert_eq!(Kill::fate(Some(&kill), &name("b")), Fate::FallsSilent { round: 2 });
        assert_eq!(Kill::fate(Some(&kill), &name("a")), Fate::Healthy);
        assert_eq!(Kill::fate(None, &name("b")), Fate::Healthy);
    }

    #[test]
    fn the_announcement_says_whether_the_round_survives() {
        let kill = |spare| Kill { round: 2, victims: vec![name("b"), name("c")], spare };
        assert!(kill(2).announcement().contains("goes on without them"));
        assert!(kill(1).announcement().contains("given up"));
    }
}
