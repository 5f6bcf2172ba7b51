//! Clocks of New York in 2017, where the households of the extract shop. [core]
//!
//! # Source
//! 15 U.S.C. § 260a (Energy Policy Act of 2005): daylight saving time runs from 2:00 on the second Sunday of March to 2:00 on the
//! first Sunday of November. In 2017: 12 March, 2:00 EST = 07:00 UTC, to 5 November, 2:00 EDT = 06:00 UTC. EST is UTC − 5 h, EDT UTC − 4 h.

use guildhall_client::data::calendar::days_since_1970;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// Day and hour on a clock in New York. Day 0 is 2017-01-01, a Sunday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LocalTime {
    pub(super) day: i64,
    pub(super) hour: i64,
}

/// What a clock in New York showed at a time in seconds since 1970-01-01T00:00 UTC; `None` outside 2017 (UTC) and the five hours after it.
pub(super) fn local_time(utc_seconds: i64) -> Option<LocalTime> {
    let first_day = days_since_1970(2017, 1, 1);
    let begin = days_since_1970(2017, 3, 12) * DAY + 7 * HOUR;
    let end = days_since_1970(2017, 11, 5) * DAY + 6 * HOUR;
    let offset = if (begin..end).contains(&utc_seconds) { -4 * HOUR } else { -5 * HOUR };
    let local = utc_seconds + offset;
    let known = (first_day * DAY..days_since_1970(2018, 1, 1) * DAY).contains(&local);
    known.then(|| LocalTime { day: local.div_euclid(DAY) - first_day, hour: local.rem_euclid(DAY) / HOUR })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(month: u32, day: u32, hour: i64, minute: i64) -> Option<(i64, i64)> {
        local_time(days_since_1970(2017, month, day) * DAY + hour * HOUR + minute * 60)
            .map(|t| (t.day, t.hour))
    }

    #[test]
    fn winter_summer_and_the_two_nights_between() {
        assert_eq!(at(1, 1, 11, 53), Some((0, 6)));
        assert_eq!(at(1, 2, 4, 59), Some((0, 23)));
        assert_eq!(at(1, 2, 5, 0), Some((1, 0)));
        // 12 March is day 70: 1:59 EST is followed by 3:00 EDT.
        assert_eq!(at(3, 12, 6, 59), Some((70, 1)));
        assert_eq!(at(3, 12, 7, 0), Some((70, 3)));
        assert_eq!(at(7, 1, 3, 59), Some((180, 23)));
        // 5 November is day 308: 1:59 EDT is followed by 1:00 EST.
        assert_eq!(at(11, 5, 5, 59), Some((308, 1)));
        assert_eq!(at(11, 5, 6, 0), Some((308, 1)));
        assert_eq!(at(11, 5, 7, 0), Some((308, 2)));
    }

    #[test]
    fn other_years_are_not_guessed() {
        assert_eq!(at(1, 1, 4, 59), None);
        assert_eq!(local_time(days_since_1970(2018, 1, 1) * DAY + 4 * HOUR).map(|t| t.day), Some(364));
        assert_eq!(local_time(days_since_1970(2018, 1, 1) * DAY + 5 * HOUR), None);
        assert_eq!(local_time(i64::MIN / 2), None);
    }
}
