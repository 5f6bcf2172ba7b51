//! Rows of a tabular task, checked against the schema one at a time. [core]

use std::collections::BTreeMap;

use super::config::{MissingCategory, MissingNumber, RawNumeric, Schema};
use super::features::tabular::Field;
use super::observations::ShopperKey;
use super::report::{Problem, Tally};
use super::table::{Table, Values};

/// What the schema says about one column, ready to be applied.
enum Rule<'s> {
    Number(&'s RawNumeric),
    Category { spelling: BTreeMap<String, &'s str>, missing: MissingCategory },
}

/// Checks rows of a table against a schema.
pub(super) struct RecordReader<'t> {
    table: &'t Table,
    shopper: Option<(usize, &'t str)>,
    label: (usize, &'t str),
    columns: Vec<(usize, &'t str, Rule<'t>)>,
}

/// A row that is as the schema says, or was made so.
pub(super) struct Record<'t> {
    /// Whose.
    pub shopper: ShopperKey,
    /// 0 or 1.
    pub label: f32,
    /// By column, as the schema names them.
    pub fields: BTreeMap<&'t str, Field<'t>>,
}

impl<'t> RecordReader<'t> {
    /// # Errors
    /// What table and schema do not agree on.
    pub(super) fn new(table: &'t Table, schema: &'t Schema) -> Result<Self, Vec<String>> {
        let mut mistakes = vec![];
        let mut find =
            |column: &'t str, role: &str| find(table, column, role).map_err(|e| mistakes.push(e)).ok();
        let shopper = schema.shopper.as_deref().map(|name| (find(name, "the shopper"), name));
        let label = schema.label.as_deref().map(|name| (find(name, "the label"), name));
        let mut columns = vec![];
        for (name, rule) in &schema.numeric {
            columns.push((find(name, "a number"), name.as_str(), Rule::Number(rule)));
        }
        for (name, rule) in &schema.categorical {
            let spelling =
                rule.vocabulary.iter().map(|v| (v.trim().to_ascii_lowercase(), v.as_str())).collect();
            let missing = rule.missing;
            columns.push((find(name, "a category"), name.as_str(), Rule::Category { spelling, missing }));
        }
        let Some((label, label_name)) = label else {
            mistakes.push("data.schema.label: expected the label's column, found none".into());
            return Err(mistakes);
        };
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        Ok(RecordReader {
            table,
            shopper: shopper.map(|(position, name)| (position.unwrap_or_default(), name)),
            label: (label.unwrap_or_default(), label_name),
            columns: columns.into_iter().map(|(p, name, rule)| (p.unwrap_or_default(), name, rule)).collect(),
        })
    }

    /// One row; `None` where it is dropped, which is counted with its reason.
    pub(super) fn read(&self, row: usize, tally: &mut Tally) -> Option<Record<'t>> {
        let place = self.table.place(row);
        let mut drop = |problem, column| {
            tally.count(problem, Some(column), place);
            None
        };
        let shopper = match self.shopper {
            None => ShopperKey::of_row(place.record),
            Some((column, name)) => match self.table.cell(column, row).text() {
                Some(id) => ShopperKey::of_id(&id),
                None => return drop(Problem::MissingShopper, name),
            },
        };
        let label = match self.table.cell(self.label.0, row).label() {
            Ok(Some(label)) => label,
            Ok(None) => return drop(Problem::MissingLabel, self.label.1),
            Err(_) => return drop(Problem::BadLabel, self.label.1),
        };
        let mut fields = BTreeMap::new();
        let mut replaced = vec![];
        for (column, name, rule) in &self.columns {
            match self.field(*column, row, rule) {
                Ok((field, None)) => {
                    fields.insert(*name, field);
                }
                Ok((field, Some(problem))) => {
                    fields.insert(*name, field);
                    replaced.push((problem, *name));
                }
                Err(problem) => return drop(problem, name),
            }
        }
        // Replacements are counted only once it is certain that the row is used.
        replaced.into_iter().for_each(|(problem, name)| tally.count(problem, Some(name), place));
        Some(Record { shopper, label, fields })
    }

    /// The value of a field and what had to be done to it, or why its row is dropped.
    fn field(
        &self,
        column: usize,
        row: usize,
        rule: &Rule<'t>,
    ) -> Result<(Field<'t>, Option<Problem>), Problem> {
        let cell = self.table.cell(column, row);
        match rule {
            Rule::Number(rule) => match cell.number().map_err(|_| Problem::NotANumber)? {
                Some(value) if value < rule.min || value > rule.max => {
                    Ok((Field::Number(value.clamp(rule.min, rule.max)), Some(Problem::OutOfBounds)))
                }
                Some(value) => Ok((Field::Number(value), None)),
                None if rule.missing == MissingNumber::Zero => {
                    Ok((Field::Number(0.0), Some(Problem::MissingZero)))
                }
                None => Err(Problem::MissingDropped),
            },
            Rule::Category { spelling, missing } => match cell.text() {
                Some(text) => match spelling.get(text.to_ascii_lowercase().as_str()) {
                    Some(known) => Ok((Field::Category(known), None)),
                    None => Ok((Field::Unknown, Some(Problem::UnknownCategory))),
                },
                None if *missing == MissingCategory::Unknown => {
                    Ok((Field::Unknown, Some(Problem::MissingUnknown)))
                }
                None => Err(Problem::MissingDropped),
            },
        }
    }
}

/// Where a column stands, or a sentence saying that it does not.
pub(super) fn find(table: &Table, column: &str, role: &str) -> Result<usize, String> {
    let position = table.position(column).ok_or_else(|| {
        let names: Vec<&str> = table.columns().iter().map(|c| c.name.as_str()).take(40).collect();
        format!("column {column:?}: expected as {role}, found none of that name among {}", names.join(", "))
    })?;
    match &table.columns()[position].values {
        Values::Unreadable(found) => Err(format!("column {column:?}: expected as {role}, found {found}")),
        _ => Ok(position),
    }
}
