use super::*;

fn basket(day: i64, hour: u8, spend_cents: i64) -> Basket {
    Basket { day, hour, lines: 3, spend_cents, discount_cents: 100, with_coupon: false }
}

/// Input by its name.
fn input(inputs: &[f32; REPURCHASE_INPUTS], name: &str) -> f64 {
    let position = INPUT_NAMES.iter().position(|n| *n == name).expect(name);
    f64::from(inputs[position])
}

#[track_caller]
fn close(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "expected {expected}, found {found}");
}

#[test]
fn weeks_follow_the_formula() {
    assert_eq!([0, 1, 7, 8, 364].map(week_of), [1, 2, 2, 3, 53]);
    assert_eq!(week_of(last_day_of(12)), 12);
    assert_eq!(week_of(last_day_of(12) + 1), 13);
}

#[test]
fn names_are_distinct() {
    let distinct: std::collections::BTreeSet<&str> = INPUT_NAMES.into_iter().collect();
    assert_eq!(distinct.len(), REPURCHASE_INPUTS);
}

#[test]
fn nobody_is_observed_before_the_first_basket() {
    let baskets = [basket(8, 10, 500)];
    assert!(inputs(&baskets, 2).is_none());
    assert!(inputs(&baskets, 3).is_some());
    assert!(inputs(&[], 3).is_none());
}

#[test]
fn the_label_looks_at_the_horizon_only() {
    // Week 3 ends with day 14, week 5 with day 28.
    let at = |day| bought_after(&[basket(1, 9, 100), basket(day, 9, 100)], 3, 2);
    assert_eq!([14, 15, 28, 29].map(at), [false, true, true, false]);
}

#[test]
fn the_future_changes_no_input() {
    let past = [basket(1, 9, 100), basket(10, 18, 700)];
    let future = [past[0], past[1], basket(15, 9, 9_999), basket(40, 9, 1)];
    assert_eq!(inputs(&past, 3), inputs(&future, 3));
}

#[test]
fn a_small_history_by_hand() {
    // Day 1 Monday (week 2), day 7 Sunday (week 2), day 17 Wednesday (week 4), day 42 Sunday (week 7); seen at the end of week 8, day 49.
    let mut baskets = [basket(1, 9, 1_000), basket(7, 17, 2_000), basket(17, 16, 400), basket(42, 20, 600)];
    baskets[2].with_coupon = true;
    let x = inputs(&baskets, 8).expect("seen");
    close(input(&x, "bias"), 1.0);
    close(input(&x, "bought this week"), 0.0);
    close(input(&x, "bought last week"), 1.0);
    close(input(&x, "bought 2 weeks ago"), 0.0);
    close(input(&x, "bought 3 weeks ago"), 0.0);
    close(input(&x, "weeks since the last basket (log)"), 2f64.ln() / 27f64.ln());
    close(input(&x, "days since the last basket"), 7.0 / 28.0);
    close(input(&x, "share of active weeks, last 4"), 1.0 / 4.0);
    close(input(&x, "share of active weeks, last 8"), 3.0 / 8.0);
    close(input(&x, "share of active weeks, last 13"), 3.0 / 13.0);
    close(input(&x, "share of active weeks, last 26"), 3.0 / 26.0);
    close(input(&x, "baskets, last 4 weeks (log)"), 2f64.ln() / 3.0);
    close(input(&x, "baskets, last 13 weeks (log)"), 5f64.ln() / 4.0);
    close(input(&x, "baskets, last 26 weeks (log)"), 5f64.ln() / 5.0);
    close(input(&x, "spend, last 4 weeks (log)"), 7f64.ln() / 5.0);
    close(input(&x, "spend, last 13 weeks (log)"), 41f64.ln() / 6.0);
    close(input(&x, "spend, last 26 weeks (log)"), 41f64.ln() / 7.0);
    close(input(&x, "mean spend of a basket (log)"), 11f64.ln() / 4.0);
    close(input(&x, "mean lines of a basket (log)"), 4f64.ln() / 3.0);
    close(input(&x, "discount share, last 13 weeks"), 4.0 / 44.0);
    close(input(&x, "coupon baskets per basket, last 13 weeks"), 1.0 / 4.0);
    close(input(&x, "weeks since the first basket (log)"), 7f64.ln() / 4.0);
    // Gaps of 2 and 3 weeks: mean 2.5, deviation 0.5.
    close(input(&x, "mean gap between active weeks (log)"), 3.5f64.ln() / 14f64.ln());
    close(input(&x, "deviation of the gap (log)"), 1.5f64.ln() / 14f64.ln());
    close(input(&x, "overdue: weeks since the last basket by mean gap"), 1.0 / 2.5 / 5.0);
    close(input(&x, "trend of active weeks, last 4 against the 4 before"), (1.0 - 2.0) / 4.0);
    close(
        input(&x, "trend of spend (log), last 4 weeks against the 4 before"),
        (7f64.ln() - 35f64.ln()) / 4.0,
    );
    close(input(&x, "share of weekend baskets"), 2.0 / 4.0);
    close(input(&x, "share of evening baskets"), 2.0 / 4.0);
    // Monday, Wednesday once, Sunday twice.
    close(input(&x, "concentration on weekdays"), (1.0 + 1.0 + 4.0) / 16.0);
    close(input(&x, "active weeks ever (log)"), 4f64.ln() / 4.0);
    close(input(&x, "one basket only"), 0.0);
    let faded =
        |half_life: f64| [6.0, 4.0, 1.0].map(|ago: f64| (-ago / half_life).exp2()).iter().sum::<f64>();
    close(input(&x, "recent activity, half-life 2 weeks"), faded(2.0) / 3.4);
    close(input(&x, "recent activity, half-life 8 weeks"), faded(8.0) / 12.0);
    close(input(&x, "further baskets this week"), 0.0);
}

#[test]
fn one_basket_alone() {
    let x = inputs(&[basket(6, 12, 0)], 2).expect("seen");
    close(input(&x, "one basket only"), 1.0);
    close(input(&x, "bought this week"), 1.0);
    close(input(&x, "mean gap between active weeks (log)"), 1.0);
    close(input(&x, "deviation of the gap (log)"), 0.0);
    close(input(&x, "overdue: weeks since the last basket by mean gap"), 0.0);
    close(input(&x, "discount share, last 13 weeks"), 1.0);
    close(input(&x, "share of weekend baskets"), 1.0);
    close(input(&x, "weeks since the first basket (log)"), 0.0);
}

#[test]
fn further_baskets_in_one_week_are_capped() {
    let baskets: Vec<Basket> = (8..14).map(|day| basket(day, 9, 100)).collect();
    close(input(&inputs(&baskets, 3).expect("seen"), "further baskets this week"), 1.0);
    close(input(&inputs(&baskets[..3], 3).expect("seen"), "further baskets this week"), 2.0 / 3.0);
}

#[test]
fn whatever_the_history_every_input_is_finite_and_clipped() {
    let huge = Basket {
        day: 0,
        hour: 23,
        lines: i64::MAX,
        spend_cents: i64::MAX,
        discount_cents: i64::MAX,
        with_coupon: true,
    };
    let refund = Basket { spend_cents: i64::MIN, discount_cents: 0, lines: 0, ..huge };
    for history in [vec![huge], vec![refund], vec![huge, refund, Basket { day: DAY_MAX, ..huge }]] {
        for week in [1, 2, 60, 9_999] {
            let x = inputs(&history, week).expect("seen");
            assert!(x.iter().all(|v| v.is_finite() && v.abs() <= 2.0), "{x:?}");
        }
    }
}

#[test]
fn parts_of_one_basket_add_up() {
    let mut whole = basket(3, 12, 100);
    whole.merge(&Basket { with_coupon: true, hour: 11, ..basket(3, 12, 250) });
    assert_eq!(
        whole,
        Basket { day: 3, hour: 11, lines: 6, spend_cents: 350, discount_cents: 200, with_coupon: true }
    );
}
