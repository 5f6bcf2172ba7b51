//! Who dies in which round of a benchmark: some in every second one, taking turns. [core]

use guildhall_shared::id::Name;

use crate::process::Fate;

/// The plan of who dies when.
pub struct Deaths {
    merchants: Vec<Name>,
    count: usize,
    rounds: u32,
}

impl Deaths {
    /// `count` merchants in every second of so many rounds, the last in the list first.
    pub fn new(merchants: &[Name], count: usize, rounds: u32) -> Self {
        Deaths { merchants: merchants.to_vec(), count, rounds }
    }

    /// How many die in a round in which some do.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Who dies in a round.
    pub fn victims(&self, round: u32) -> Vec<Name> {
        let length = self.merchants.len();
        if round.is_multiple_of(2) || length == 0 {
            return vec![];
        }
        let first = (round as usize / 2) * self.count;
        let place = |turn: usize| length - 1 - (first + turn) % length;
        (0..self.count).map(|turn| self.merchants[place(turn)].clone()).collect()
    }

    /// What becomes of a process that is started before a round.
    pub fn fate(&self, merchant: &Name, before: u32) -> Fate {
        let dies = |round: &u32| self.victims(*round).contains(merchant);
        (before..self.rounds).find(dies).map_or(Fate::Healthy, |round| Fate::FallsSilent { round })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: usize) -> Vec<Name> {
        (0..count).map(|i| Name::new(format!("m{i}")).expect("legal")).collect()
    }

    #[test]
    fn every_second_round_others_die() {
        let all = names(5);
        let deaths = Deaths::new(&all, 2, 6);
        let victims = |round| deaths.victims(round).iter().map(Name::to_string).collect::<Vec<_>>();
        assert!(victims(0).is_empty() && victims(2).is_empty());
        assert_eq!(
            (victims(1), victims(3)),
            (vec!["m4".into(), "m3".into()], vec!["m2".into(), "m1".into()])
        );
        assert_eq!(victims(5), ["m0", "m4"], "and then it is the first one's turn again");
        assert_eq!(deaths.fate(&all[4], 0), Fate::FallsSilent { round: 1 });
        assert_eq!(deaths.fate(&all[4], 2), Fate::FallsSilent { round: 5 });
        assert_eq!(deaths.fate(&all[3], 2), Fate::Healthy);
    }

    #[test]
    fn nobody_dies_unless_asked() {
        let all = names(3);
        let deaths = Deaths::new(&all, 0, 6);
        assert!(all.iter().all(|name| deaths.fate(name, 0) == Fate::Healthy));
    }
}
