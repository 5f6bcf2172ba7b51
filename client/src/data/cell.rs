//! One value of a table, whatever the file format. [core]

use std::borrow::Cow;

use super::calendar::parse_date;

/// One value, borrowed from a [`super::Table`].
#[derive(Clone, Copy, PartialEq)]
#[cfg_attr(test, derive(Debug))]
pub enum Cell<'t> {
    /// Null, or an empty text.
    Missing,
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Number(f64),
    /// True or false.
    Boolean(bool),
    /// A date, in days since 1970-01-01.
    Day(i64),
    /// A point in time, in microseconds since 1970-01-01T00:00 UTC.
    Moment(i64),
    /// A text without surrounding blanks, never empty.
    Text(&'t str),
}

/// A value that is there but is not what the schema says. Carries nothing: the value is private.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit;

/// Texts that mean "no number here", compared without regard to ASCII case.
const MISSING_NUMBERS: [&str; 5] = ["na", "n/a", "nan", "null", "none"];

/// Whole numbers beyond this are not exact as f64.
const EXACT_F64: f64 = 9_007_199_254_740_992.0;

impl<'t> Cell<'t> {
    /// The value as text, as a shopper's id or a category is compared: 17, 17.0 and "17" are the same.
    pub fn text(self) -> Option<Cow<'t, str>> {
        match self {
            Cell::Missing => None,
            Cell::Number(value) if value.is_nan() => None,
            Cell::Integer(value) | Cell::Day(value) | Cell::Moment(value) => {
                Some(Cow::Owned(value.to_string()))
            }
            Cell::Number(value) => {
                Some(Cow::Owned(whole(value).map_or(value.to_string(), |v| v.to_string())))
            }
            Cell::Boolean(value) => Some(Cow::Borrowed(if value { "true" } else { "false" })),
            Cell::Text(text) => Some(Cow::Borrowed(text)),
        }
    }

    /// The value as a finite number, `None` where it is missing.
    ///
    /// # Errors
    /// [`Unfit`] where it is neither, infinities included.
    pub fn number(self) -> Result<Option<f64>, Unfit> {
        match self {
            Cell::Missing => Ok(None),
            Cell::Integer(value) | Cell::Day(value) | Cell::Moment(value) => Ok(Some(value as f64)),
            Cell::Boolean(value) => Ok(Some(f64::from(u8::from(value)))),
            Cell::Number(value) => finite(value),
            Cell::Text(text) if MISSING_NUMBERS.iter().any(|m| text.eq_ignore_ascii_case(m)) => Ok(None),
            Cell::Text(text) => text.parse().map_err(|_| Unfit).and_then(finite),
        }
    }

    /// The value as a whole number, `None` where it is missing.
    ///
    /// # Errors
    /// [`Unfit`] where it is neither.
    pub fn whole(self) -> Result<Option<i64>, Unfit> {
        match self {
            Cell::Integer(value) => Ok(Some(value)),
            Cell::Text(text) if text.parse::<i64>().is_ok() => Ok(text.parse().ok()),
            other => match other.number()? {
                None => Ok(None),
                Some(value) => whole(value).map(Some).ok_or(Unfit),
            },
        }
    }

    /// The value as a label, 0 or 1, `None` where it is missing.
    ///
    /// # Errors
    /// [`Unfit`] unless it is true/false, yes/no or 1/0.
    pub fn label(self) -> Result<Option<f32>, Unfit> {
        let word = |text: &str| match text.to_ascii_lowercase().as_str() {
            "true" | "yes" | "1" => Ok(Some(1.0)),
            "false" | "no" | "0" => Ok(Some(0.0)),
            _ => Err(Unfit),
        };
        self.text().map_or(Ok(None), |text| word(&text))
    }

    /// The value as a day: a whole number as it stands, or with `first_day` a date counted from it.
    ///
    /// # Errors
    /// [`Unfit`] where it is neither that nor missing.
    pub fn day(self, first_day: Option<i64>) -> Result<Option<i64>, Unfit> {
        match (self, first_day) {
            (Cell::Missing, _) => Ok(None),
            (Cell::Day(day), Some(first)) => day.checked_sub(first).map(Some).ok_or(Unfit),
            (Cell::Text(text), Some(first)) => parse_date(text).map(|day| Some(day - first)).ok_or(Unfit),
            (Cell::Integer(_) | Cell::Number(_) | Cell::Text(_), None) => self.whole(),
            _ => Err(Unfit),
        }
    }

    /// Appends an encoding that differs for different values, to find equal rows.
    pub fn encode(self, out: &mut Vec<u8>) {
        let (tag, bits) = match self {
            Cell::Missing => (0, 0),
            Cell::Integer(value) => (1, value as u64),
            Cell::Number(value) => (2, value.to_bits()),
            Cell::Boolean(value) => (3, u64::from(value)),
            Cell::Day(value) => (4, value as u64),
            Cell::Moment(value) => (5, value as u64),
            Cell::Text(text) => (6, text.len() as u64),
        };
        out.push(tag);
        out.extend_from_slice(&bits.to_le_bytes());
        if let Cell::Text(text) = self {
            out.extend_from_slice(text.as_bytes());
        }
    }
}

fn finite(value: f64) -> Result<Option<f64>, Unfit> {
    if value.is_nan() {
        return Ok(None);
    }
    if value.is_finite() { Ok(Some(value)) } else { Err(Unfit) }
}

fn whole(value: f64) -> Option<i64> {
    (value.fract() == 0.0 && value.abs() <= EXACT_F64).then_some(value as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_id_whatever_its_type() {
        for cell in [Cell::Integer(17), Cell::Number(17.0), Cell::Text("17")] {
            assert_eq!(cell.text().as_deref(), Some("17"));
        }
        assert_eq!(Cell::Number(f64::NAN).text(), None);
    }

    #[test]
    fn numbers_missing_and_unfit() {
        assert_eq!(Cell::Text("1.5").number(), Ok(Some(1.5)));
        for missing in [Cell::Missing, Cell::Text("NA"), Cell::Text("NaN"), Cell::Number(f64::NAN)] {
            assert_eq!(missing.number(), Ok(None));
        }
        for unfit in
            [Cell::Text("twelve"), Cell::Text("inf"), Cell::Text("1e999"), Cell::Number(f64::INFINITY)]
        {
            assert_eq!(unfit.number(), Err(Unfit));
        }
        assert_eq!(Cell::Text("3.0").whole(), Ok(Some(3)));
        assert_eq!(Cell::Text("3.5").whole(), Err(Unfit));
        assert_eq!(Cell::Text("9223372036854775807").whole(), Ok(Some(i64::MAX)));
        assert_eq!(Cell::Number(1e300).whole(), Err(Unfit));
    }

    #[test]
    fn labels_in_their_usual_spellings() {
        for yes in
            [Cell::Boolean(true), Cell::Text("TRUE"), Cell::Text("yes"), Cell::Integer(1), Cell::Number(1.0)]
        {
            assert_eq!(yes.label(), Ok(Some(1.0)));
        }
        for no in [Cell::Boolean(false), Cell::Text("False"), Cell::Text("0")] {
            assert_eq!(no.label(), Ok(Some(0.0)));
        }
        assert_eq!(Cell::Missing.label(), Ok(None));
        assert_eq!(Cell::Integer(2).label(), Err(Unfit));
        assert_eq!(Cell::Text("maybe").label(), Err(Unfit));
    }

    #[test]
    fn days_as_numbers_or_as_dates_but_never_guessed() {
        assert_eq!(Cell::Integer(3).day(None), Ok(Some(3)));
        assert_eq!(Cell::Text("2017-01-02").day(Some(17_167)), Ok(Some(1)));
        assert_eq!(Cell::Day(17_170).day(Some(17_167)), Ok(Some(3)));
        assert_eq!(Cell::Text("2017-01-02").day(None), Err(Unfit));
        assert_eq!(Cell::Day(17_170).day(None), Err(Unfit));
        assert_eq!(Cell::Moment(0).day(None), Err(Unfit));
        assert_eq!(Cell::Integer(3).day(Some(17_167)), Err(Unfit));
    }

    #[test]
    fn encodings_tell_values_apart() {
        let encoded = |cell: Cell<'_>| {
            let mut out = vec![];
            cell.encode(&mut out);
            out
        };
        let cells = [
            Cell::Missing,
            Cell::Integer(0),
            Cell::Number(0.0),
            Cell::Boolean(false),
            Cell::Text("0"),
            Cell::Text("00"),
        ];
        for (i, a) in cells.iter().enumerate() {
            for b in &cells[i + 1..] {
                assert_ne!(encoded(*a), encoded(*b));
            }
        }
    }
}
