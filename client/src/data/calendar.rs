//! Days of the proleptic Gregorian calendar as numbers. [core]

/// Days from 1970-01-01 to a date.
///
/// # Source
/// Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`.
pub fn days_since_1970(year: i64, month: u32, day: u32) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = i64::from((month + 9) % 12);
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

/// Reads `YYYY-MM-DD` as days since 1970-01-01.
pub fn parse_date(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 10
        && bytes
            .iter()
            .enumerate()
            .all(|(i, b)| if i == 4 || i == 7 { *b == b'-' } else { b.is_ascii_digit() });
    if !shape {
        return None;
    }
    let (year, month, day) = (text[..4].parse().ok()?, text[5..7].parse().ok()?, text[8..].parse().ok()?);
    let legal = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    legal.then(|| days_since_1970(year, month, day))
}

fn days_in_month(year: i64, month: u32) -> u32 {
    let next =
        if month == 12 { days_since_1970(year + 1, 1, 1) } else { days_since_1970(year, month + 1, 1) };
    u32::try_from(next - days_since_1970(year, month, 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        assert_eq!(days_since_1970(1970, 1, 1), 0);
        assert_eq!(days_since_1970(2017, 1, 1), 17_167);
        assert_eq!(days_since_1970(2000, 3, 1), 11_017);
        assert_eq!(days_since_1970(1969, 12, 31), -1);
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        assert_eq!(parse_date("2017-01-02"), Some(17_168));
        assert_eq!(parse_date("2016-02-29"), Some(16_860));
        for bad in [
            "2017-02-29",
            "2017-13-01",
            "2017-00-01",
            "2017-01-00",
            "2017-1-1",
            "17-01-01",
            "2017/01/01",
            "é017-01-0",
        ] {
            assert_eq!(parse_date(bad), None, "{bad}");
        }
    }
}
