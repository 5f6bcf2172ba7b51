//! A shopper's baskets at one merchant become 35 inputs: will there be another one soon? [core]
//!
//! Weeks run from Monday to Sunday where day 0 is a Sunday: day 0 alone is week 1, days 1 to 7 are week 2, and so on
//! (`week = ⌊(day + 6) / 7⌋ + 1`), so week t ends with day 7·(t − 1).
//!
//! # Privacy
//! Every constant is public. An observation depends on the baskets of its own shopper up to its week; its label on those
//! within the horizon after it. Nothing is learnt from other shoppers, not even a mean.

mod weeks;

use guildhall_shared::task::REPURCHASE_INPUTS;

pub use weeks::{CHANNEL_NAMES, with_weeks};

/// The last day that can be told apart, about 190 years after day 0.
pub const DAY_MAX: i64 = 69_993;

/// Weeks between two visits that are assumed of a shopper who came in one week only.
const GAP_UNKNOWN_WEEKS: f64 = 13.0;
/// From this local hour on it is evening.
const EVENING_HOUR: u8 = 17;
/// Every input lies within ± this.
const INPUT_MAX: f64 = 2.0;

/// One visit to a merchant. Ordered by day, then hour, then the rest.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(test, derive(Debug))]
pub struct Basket {
    /// Days since day 0.
    pub day: i64,
    /// Local hour, 0 to 23.
    pub hour: u8,
    /// Lines of the receipt.
    pub lines: i64,
    /// What was paid.
    pub spend_cents: i64,
    /// What was taken off, all discounts together.
    pub discount_cents: i64,
    /// Whether any line had a coupon.
    pub with_coupon: bool,
}

impl Basket {
    /// Adds a part of the same basket.
    pub fn merge(&mut self, part: &Basket) {
        (self.day, self.hour) = (self.day, self.hour).min((part.day, part.hour));
        self.lines = self.lines.saturating_add(part.lines);
        self.spend_cents = self.spend_cents.saturating_add(part.spend_cents);
        self.discount_cents = self.discount_cents.saturating_add(part.discount_cents);
        self.with_coupon |= part.with_coupon;
    }
}

/// The week of a day.
pub fn week_of(day: i64) -> i64 {
    (day + 6).div_euclid(7) + 1
}

/// The last day of a week.
pub fn last_day_of(week: u32) -> i64 {
    7 * (i64::from(week) - 1)
}

/// Whether there is a basket within `horizon_weeks` after the end of `week`. `baskets` in the order of days.
pub fn bought_after(baskets: &[Basket], week: u32, horizon_weeks: u32) -> bool {
    let from = baskets.partition_point(|b| b.day <= last_day_of(week));
    baskets.get(from).is_some_and(|b| b.day <= last_day_of(week.saturating_add(horizon_weeks)))
}

/// What each input is, in order.
pub const INPUT_NAMES: [&str; REPURCHASE_INPUTS] = [
    "bias",
    "bought this week",
    "bought last week",
    "bought 2 weeks ago",
    "bought 3 weeks ago",
    "weeks since the last basket (log)",
    "days since the last basket",
    "share of active weeks, last 4",
    "share of active weeks, last 8",
    "share of active weeks, last 13",
    "share of active weeks, last 26",
    "baskets, last 4 weeks (log)",
    "baskets, last 13 weeks (log)",
    "baskets, last 26 weeks (log)",
    "spend, last 4 weeks (log)",
    "spend, last 13 weeks (log)",
    "spend, last 26 weeks (log)",
    "mean spend of a basket (log)",
    "mean lines of a basket (log)",
    "discount share, last 13 weeks",
    "coupon baskets per basket, last 13 weeks",
    "weeks since the first basket (log)",
    "mean gap between active weeks (log)",
    "deviation of the gap (log)",
    "overdue: weeks since the last basket by mean gap",
    "trend of active weeks, last 4 against the 4 before",
    "trend of spend (log), last 4 weeks against the 4 before",
    "share of weekend baskets",
    "share of evening baskets",
    "concentration on weekdays",
    "active weeks ever (log)",
    "one basket only",
    "recent activity, half-life 2 weeks",
    "recent activity, half-life 8 weeks",
    "further baskets this week",
];

/// The inputs at the end of `week`; `None` where there is no basket yet. `baskets` in the order of days.
///
/// # Units
/// Spend in currency units (cents / 100), time in weeks and days.
pub fn inputs(baskets: &[Basket], week: u32) -> Option<[f32; REPURCHASE_INPUTS]> {
    let known = &baskets[..baskets.partition_point(|b| b.day <= last_day_of(week))];
    let history = History::new(known, week)?;
    let mut values = Vec::with_capacity(REPURCHASE_INPUTS);
    values.push(1.0);
    history.recency(&mut values);
    history.amounts(&mut values);
    history.rhythm(&mut values);
    history.habits(&mut values);
    let mut inputs = [0.0; REPURCHASE_INPUTS];
    assert_eq!(values.len(), inputs.len(), "as many values as the task declares");
    inputs
        .iter_mut()
        .zip(values)
        .for_each(|(input, value)| *input = value.clamp(-INPUT_MAX, INPUT_MAX) as f32);
    Some(inputs)
}

/// A shopper's baskets up to the end of a week, at least one.
struct History<'b> {
    week: i64,
    baskets: &'b [Basket],
    first: Basket,
    last: Basket,
    /// Weeks with a basket, ascending.
    active: Vec<i64>,
}

impl<'b> History<'b> {
    fn new(baskets: &'b [Basket], week: u32) -> Option<Self> {
        let (first, last) = (*baskets.first()?, *baskets.last()?);
        let mut active: Vec<i64> = baskets.iter().map(|b| week_of(b.day)).collect();
        active.dedup();
        Some(History { week: i64::from(week), baskets, first, last, active })
    }

    /// Baskets of the `length` weeks that end `ago` weeks before this one.
    fn span(&self, ago: i64, length: i64) -> &'b [Basket] {
        let end = self.week - ago;
        let from = self.baskets.partition_point(|b| week_of(b.day) <= end - length);
        let to = self.baskets.partition_point(|b| week_of(b.day) <= end);
        &self.baskets[from..to]
    }

    /// Weeks with a basket among the `length` weeks that end `ago` weeks before this one.
    fn active_weeks(&self, ago: i64, length: i64) -> f64 {
        let end = self.week - ago;
        self.active.iter().filter(|w| **w > end - length && **w <= end).count() as f64
    }

    fn weeks_since_last(&self) -> f64 {
        (self.week - week_of(self.last.day)) as f64
    }

    /// Whether and when: 10 values.
    fn recency(&self, out: &mut Vec<f64>) {
        out.extend((0..4).map(|ago| self.active_weeks(ago, 1)));
        out.push(self.weeks_since_last().ln_1p() / 27f64.ln());
        out.push((7 * (self.week - 1) - self.last.day) as f64 / 28.0);
        out.extend([4, 8, 13, 26].map(|length| self.active_weeks(0, length) / length as f64));
    }

    /// How much: 10 values.
    fn amounts(&self, out: &mut Vec<f64>) {
        let windows = [4, 13, 26];
        out.extend(
            windows.iter().zip([3.0, 4.0, 5.0]).map(|(w, by)| (self.span(0, *w).len() as f64).ln_1p() / by),
        );
        out.extend(windows.iter().zip([5.0, 6.0, 7.0]).map(|(w, by)| spend(self.span(0, *w)).ln_1p() / by));
        let baskets = self.baskets.len() as f64;
        let lines: f64 = self.baskets.iter().map(|b| b.lines as f64).sum();
        out.push((spend(self.baskets) / baskets).ln_1p() / 4.0);
        out.push((lines / baskets).ln_1p() / 3.0);
        let quarter = self.span(0, 13);
        let discount: f64 = quarter.iter().map(|b| b.discount_cents as f64 / 100.0).sum();
        out.push(share(discount, discount + spend(quarter)));
        out.push(share(quarter.iter().filter(|b| b.with_coupon).count() as f64, quarter.len() as f64));
    }

    /// How regularly: 6 values.
    fn rhythm(&self, out: &mut Vec<f64>) {
        let tenure = (self.week - week_of(self.first.day)) as f64;
        out.push(tenure.ln_1p() / 4.0);
        let (gap, deviation) = self.gap();
        out.push(gap.ln_1p() / 14f64.ln());
        out.push(deviation.ln_1p() / 14f64.ln());
        out.push((self.weeks_since_last() / gap).min(5.0) / 5.0);
        out.push((self.active_weeks(0, 4) - self.active_weeks(4, 4)) / 4.0);
        out.push((spend(self.span(0, 4)).ln_1p() - spend(self.span(4, 4)).ln_1p()) / 4.0);
    }

    /// Mean and standard deviation of the weeks between active weeks.
    fn gap(&self) -> (f64, f64) {
        let gaps: Vec<f64> = self.active.windows(2).map(|pair| (pair[1] - pair[0]) as f64).collect();
        if gaps.is_empty() {
            return (GAP_UNKNOWN_WEEKS, 0.0);
        }
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / gaps.len() as f64;
        (mean, variance.sqrt())
    }

    /// In which way: 8 values.
    fn habits(&self, out: &mut Vec<f64>) {
        let baskets = self.baskets.len() as f64;
        let mut weekdays = [0.0; 7];
        self.baskets.iter().for_each(|b| weekdays[b.day.rem_euclid(7) as usize] += 1.0);
        let evenings = self.baskets.iter().filter(|b| b.hour >= EVENING_HOUR).count() as f64;
        // Day 0 is a Sunday.
        out.push((weekdays[0] + weekdays[6]) / baskets);
        out.push(evenings / baskets);
        out.push(weekdays.iter().map(|n| (n / baskets) * (n / baskets)).sum());
        out.push((self.active.len() as f64).ln_1p() / 4.0);
        out.push(if self.baskets.len() == 1 { 1.0 } else { 0.0 });
        // The largest possible sums: 1 / (1 − 2^(−1/2)) = 3.4 and 1 / (1 − 2^(−1/8)) = 12.
        out.extend([(2.0, 3.4), (8.0, 12.0)].map(|(half_life, by)| self.faded(half_life) / by));
        out.push(((self.span(0, 1).len() as f64 - 1.0).clamp(0.0, 3.0)) / 3.0);
    }

    /// Active weeks, each counted half for every half-life that has passed since.
    fn faded(&self, half_life_weeks: f64) -> f64 {
        self.active.iter().map(|w| (-((self.week - w) as f64) / half_life_weeks).exp2()).sum()
    }
}

/// Currency units paid; refunds cannot make it negative.
fn spend(baskets: &[Basket]) -> f64 {
    (baskets.iter().map(|b| b.spend_cents as f64).sum::<f64>() / 100.0).max(0.0)
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

#[cfg(test)]
mod tests;
