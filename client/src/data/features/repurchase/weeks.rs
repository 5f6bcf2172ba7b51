//! A shopper's last weeks one by one, for models that read a sequence. [core]
//!
//! # Privacy
//! As the fixed inputs: public constants and the shopper's own baskets up to the observed week.

use guildhall_shared::task::{WEEK_CHANNELS, WEEK_TOKENS};

use super::{Basket, EVENING_HOUR, History, INPUT_MAX, inputs, last_day_of, share, spend};

/// What each number of a week is, in order.
pub const CHANNEL_NAMES: [&str; WEEK_CHANNELS] = [
    "bought",
    "baskets (log)",
    "spend (log)",
    "lines (log)",
    "discount share",
    "share of baskets with a coupon",
    "share of weekend baskets",
    "share of evening baskets",
];

/// Upper ends of the classes of a week's spend, in currency units; above the last is a class of its own.
const SPEND_CLASSES: [f64; 3] = [10.0, 30.0, 80.0];

/// The fixed inputs of [`inputs`], then for each of the last `steps` weeks, the oldest first, its token and its numbers;
/// `None` where there is no basket yet. `baskets` in the order of days.
///
/// # Shapes
/// `REPURCHASE_INPUTS + steps · (1 + WEEK_CHANNELS)`.
pub fn with_weeks(baskets: &[Basket], week: u32, steps: usize) -> Option<Vec<f32>> {
    let mut values = inputs(baskets, week)?.to_vec();
    let known = &baskets[..baskets.partition_point(|b| b.day <= last_day_of(week))];
    let history = History::new(known, week)?;
    for ago in (0..steps as i64).rev() {
        let week = history.span(ago, 1);
        values.push(token(week) as f32);
        values.extend(channels(week).map(|value| value.clamp(-INPUT_MAX, INPUT_MAX) as f32));
    }
    Some(values)
}

/// 0 for a week without a basket, else 1 + 4·(baskets up to 4, less 1) + the class of the spend.
fn token(week: &[Basket]) -> usize {
    if week.is_empty() {
        return 0;
    }
    let paid = spend(week);
    let class = SPEND_CLASSES.iter().filter(|end| paid >= **end).count();
    (1 + 4 * (week.len().min(4) - 1) + class).min(WEEK_TOKENS - 1)
}

fn channels(week: &[Basket]) -> [f64; WEEK_CHANNELS] {
    let count = week.len() as f64;
    let counted = |keep: fn(&Basket) -> bool| share(week.iter().filter(|b| keep(b)).count() as f64, count);
    let lines: f64 = week.iter().map(|b| b.lines as f64).sum();
    let discount: f64 = week.iter().map(|b| b.discount_cents as f64 / 100.0).sum();
    [
        count.min(1.0),
        count.ln_1p() / 2.0,
        spend(week).ln_1p() / 5.0,
        lines.max(0.0).ln_1p() / 3.0,
        share(discount, discount + spend(week)),
        counted(|b| b.with_coupon),
        counted(|b| matches!(b.day.rem_euclid(7), 0 | 6)),
        counted(|b| b.hour >= EVENING_HOUR),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use guildhall_shared::task::REPURCHASE_INPUTS;

    fn basket(day: i64, spend_cents: i64) -> Basket {
        Basket { day, hour: 18, lines: 3, spend_cents, discount_cents: 0, with_coupon: false }
    }

    #[test]
    fn weeks_are_shown_the_oldest_first_and_the_future_not_at_all() {
        // Week 1 is day 0 alone, week 2 days 1 to 7, week 4 days 15 to 21.
        let baskets = [basket(0, 500), basket(3, 2_000), basket(5, 2_000), basket(22, 100)];
        let values = with_weeks(&baskets, 4, 3).expect("known");
        assert_eq!(values.len(), REPURCHASE_INPUTS + 3 * (1 + WEEK_CHANNELS));
        let week =
            |index: usize| &values[REPURCHASE_INPUTS + index * (1 + WEEK_CHANNELS)..][..1 + WEEK_CHANNELS];
        // Two baskets for 40.00: class 2.
        assert_eq!(week(0)[..2], [1.0 + 4.0 + 2.0, 1.0]);
        assert_eq!(week(1), [0.0; 9]);
        assert_eq!(week(2), [0.0; 9]);
        assert_eq!(values[..REPURCHASE_INPUTS], inputs(&baskets, 4).expect("known"));
        assert_eq!(with_weeks(&baskets[3..], 4, 3), None);
    }

    #[test]
    fn every_token_is_within_the_public_vocabulary() {
        for count in 1..10 {
            for cents in [-100, 0, 999, 1_000, 100_000_000] {
                let token = token(&vec![basket(1, cents); count]);
                assert!((1..WEEK_TOKENS).contains(&token));
            }
        }
        assert_eq!(token(&[]), 0);
        assert_eq!(token(&[basket(1, 999)]), 1);
        assert_eq!(token(&[basket(1, 100_000), basket(1, 1)]), 1 + 4 + 3);
    }
}
