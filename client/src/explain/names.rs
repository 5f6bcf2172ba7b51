//! What inputs are called, and which of them are one player. [core]

use guildhall_shared::task::{FeatureSpec, Task, Transform};

use crate::data::features::repurchase::{CHANNEL_NAMES, INPUT_NAMES};

/// A public name of one input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputName {
    /// For example `Month = Feb`, or `3 weeks ago: spend (log)`.
    pub name: String,
    /// The player it belongs to: inputs of one player are present or absent together.
    pub player: String,
}

/// Inputs that are present or absent together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Player {
    /// For example a column, or a week.
    pub name: String,
    /// Its inputs, ascending.
    pub inputs: Vec<usize>,
}

/// The names of a task's inputs, in order; none for a bare vector, which is asked nothing.
///
/// All inputs made of one column are one player: no row has one of them without the others. So is a week of a sequence.
pub fn names(task: &Task) -> Vec<InputName> {
    match task {
        Task::Tabular { features } => features.iter().flat_map(columns).collect(),
        Task::Repurchase(_) => fixed().collect(),
        Task::RepurchaseSequence { steps, .. } => fixed().chain((0..*steps).rev().flat_map(week)).collect(),
        Task::NextItem(items) => (0..items.catalogue.len() as u32)
            .filter_map(|item| items.catalogue.id(item))
            .map(|id| alone(id.to_owned()))
            .collect(),
        Task::Dummy { .. } => vec![],
    }
}

/// The players of some inputs, in the order in which they first come.
pub fn players(names: &[InputName]) -> Vec<Player> {
    let mut places = std::collections::BTreeMap::new();
    let mut players: Vec<Player> = Vec::new();
    for (input, name) in names.iter().enumerate() {
        let place = *places.entry(name.player.as_str()).or_insert(players.len());
        if place == players.len() {
            players.push(Player { name: name.player.clone(), inputs: vec![] });
        }
        players[place].inputs.push(input);
    }
    players
}

/// Attributions of inputs, added up by player. Inputs that are not there count as zero.
pub fn fold(attributions: &[f64], players: &[Player]) -> Vec<f64> {
    let of = |player: &Player| player.inputs.iter().filter_map(|input| attributions.get(*input)).sum();
    players.iter().map(of).collect()
}

fn alone(name: String) -> InputName {
    InputName { player: name.clone(), name }
}

fn fixed() -> impl Iterator<Item = InputName> {
    INPUT_NAMES.iter().map(|name| alone((*name).to_owned()))
}

fn columns(feature: &FeatureSpec) -> Vec<InputName> {
    let column = &feature.column;
    let named = |name: String| InputName { name, player: column.clone() };
    match &feature.transform {
        Transform::Identity { .. } => vec![named(column.clone())],
        Transform::Log1p { .. } => vec![named(format!("{column} (log)"))],
        Transform::Positive => vec![named(format!("{column} > 0"))],
        Transform::OneHot { vocabulary } => {
            vocabulary.iter().map(|value| named(format!("{column} = {value}"))).collect()
        }
    }
}

/// One step of a sequence: its token, then its numbers.
fn week(ago: usize) -> Vec<InputName> {
    let player = match ago {
        0 => "this week".to_owned(),
        1 => "last week".to_owned(),
        ago => format!("{ago} weeks ago"),
    };
    let parts = ["class of baskets and spend"].into_iter().chain(CHANNEL_NAMES);
    parts.map(|part| InputName { name: format!("{player}: {part}"), player: player.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use guildhall_shared::catalogue::Catalogue;
    use guildhall_shared::task::{NextItemSpec, RepurchaseSpec};

    use super::*;

    fn tabular() -> Task {
        let spec = |column: &str, transform| FeatureSpec { column: column.into(), transform, scale: 1.0 };
        let vocabulary = vec!["Feb".into(), "Mar".into()];
        Task::Tabular {
            features: vec![
                spec("value", Transform::Log1p { max: 100.0 }),
                spec("month", Transform::OneHot { vocabulary }),
                spec("value", Transform::Positive),
                spec("age", Transform::Identity { min: 0.0, max: 1.0 }),
            ],
        }
    }

    fn weeks() -> RepurchaseSpec {
        let (train_weeks, validation_weeks, test_weeks) = (vec![12], vec![40], vec![44]);
        RepurchaseSpec { horizon_weeks: 2, train_weeks, validation_weeks, test_weeks }
    }

    #[test]
    fn every_input_of_every_task_has_a_name_of_its_own() {
        let catalogue = Catalogue::of_items(vec!["a".into(), "b".into()]);
        for task in [
            tabular(),
            Task::Repurchase(weeks()),
            Task::RepurchaseSequence { weeks: weeks(), steps: 5 },
            Task::NextItem(NextItemSpec { catalogue, history_max: 3 }),
        ] {
            let names = names(&task);
            assert_eq!(names.len(), task.inputs());
            let distinct: BTreeSet<&str> = names.iter().map(|name| name.name.as_str()).collect();
            assert_eq!(distinct.len(), names.len());
            let players = players(&names);
            let inputs: BTreeSet<usize> =
                players.iter().flat_map(|player| player.inputs.iter().copied()).collect();
            assert_eq!(inputs, (0..task.inputs()).collect(), "every input belongs to one player");
        }
        assert!(names(&Task::Dummy { parameters: 9 }).is_empty());
    }

    #[test]
    fn inputs_of_one_column_are_one_player() {
        let names = names(&tabular());
        let text: Vec<&str> = names.iter().map(|name| name.name.as_str()).collect();
        assert_eq!(text, ["value (log)", "month = Feb", "month = Mar", "value > 0", "age"]);
        let players = players(&names);
        let inputs: Vec<(&str, &[usize])> =
            players.iter().map(|player| (player.name.as_str(), &player.inputs[..])).collect();
        assert_eq!(inputs, [("value", &[0, 3][..]), ("month", &[1, 2]), ("age", &[4])]);
        assert_eq!(fold(&[1.0, 2.0, 3.0, 4.0, 5.0], &players), [5.0, 5.0, 5.0]);
    }

    #[test]
    fn weeks_come_the_oldest_first_as_in_the_inputs() {
        let task = Task::RepurchaseSequence { weeks: weeks(), steps: 3 };
        let names = names(&task);
        let players = players(&names);
        let last: Vec<&str> = players[35..].iter().map(|player| player.name.as_str()).collect();
        assert_eq!(last, ["2 weeks ago", "last week", "this week"]);
        assert_eq!(players[36].inputs, (44..53).collect::<Vec<_>>());
        assert_eq!(names[45].name, "last week: bought");
    }
}
