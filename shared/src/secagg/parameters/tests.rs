//! The table of the protocol, its inequalities for every roster, and what the sparse graph may lose.

use super::super::tail::tests::is_below_exactly;
use super::*;

fn derive(merchants: u32, colluders_min: u32) -> Result<SecaggParameters, SecaggParametersError> {
    SecaggParameters::derive(merchants, colluders_min, MaskGenerator::Aes256Ctr)
}

#[test]
fn the_table_of_the_protocol() {
    // n, C, t, m_min, h
    let table = [
        [3, 1, 3, 3, 2],
        [5, 1, 4, 4, 3],
        [9, 2, 6, 8, 6],
        [10, 3, 7, 8, 5],
        [20, 6, 14, 16, 10],
        [100, 33, 67, 80, 47],
    ];
    for row in table {
        let found = derive(row[0], 0).expect("enough");
        let SecaggParameters { merchants, colluders, threshold, survivors_min, honest_shares, .. } = found;
        assert_eq!([merchants, colluders, threshold, survivors_min, honest_shares], row);
        assert_eq!(found.graph, Graph::Complete);
        assert_eq!([found.noise_shares(), found.share_threshold() as u32], [honest_shares, threshold]);
    }
}

#[test]
fn the_sparse_graphs_of_the_protocol() {
    for (n, holders, share_threshold) in [(129, 67, 43), (200, 98, 63), (500, 165, 107), (1000, 216, 140)] {
        assert_eq!(derive(n, 0).expect("enough").graph, Graph::Sparse { holders, share_threshold }, "{n}");
    }
    assert_eq!(derive(128, 0).expect("enough").graph, Graph::Complete);
    // One in ten colluding: fewer than any job may ask for, but the same rule.
    assert_eq!(sparse_graph(1000, 100, 800), Ok(Graph::Sparse { holders: 71, share_threshold: 35 }));
}

/// 2t > n + C: two survivor sets would need t signatures each, n + C in all as only colluders sign twice.
#[test]
fn the_inequalities_of_the_certificate_hold_for_every_roster() {
    for n in 3..=1000 {
        let found = derive(n, 0).unwrap_or_else(|error| panic!("{n}: {error}"));
        let SecaggParameters { merchants, colluders, threshold, survivors_min, honest_shares, .. } = found;
        assert_eq!([merchants, colluders], [n, ((n - 1) / 3).max(1)]);
        assert!(2 * threshold > n + colluders, "{n}: one certificate");
        assert!(threshold <= survivors_min && survivors_min <= n, "{n}: a certificate can be had");
        assert!(threshold > colluders, "{n}: colluders alone put nothing together");
        assert!(honest_shares >= 1 && honest_shares == survivors_min - colluders, "{n}");
        assert!(found.noise_shares() >= 1, "{n}");
        if let Graph::Sparse { holders, share_threshold } = found.graph {
            assert!(share_threshold <= holders && holders <= SPARSE_HOLDERS_MAX, "{n}");
            assert!(holders < survivors_min, "{n}: the smallest U1 has enough to draw from");
            let bounds = found.failure_bounds();
            assert!(bounds.privacy < PRIVACY_FAILURE_MAX && bounds.privacy >= 0.0, "{n}: {bounds:?}");
            assert!(bounds.liveness < LIVENESS_FAILURE_MAX && bounds.liveness > 0.0, "{n}: {bounds:?}");
        } else {
            assert!(n <= COMPLETE_MAX);
            assert_eq!(found.failure_bounds(), FailureBounds { privacy: 0.0, liveness: 0.0 });
        }
    }
}

#[test]
fn a_job_can_raise_the_tolerated_colluders_and_never_lower_them() {
    for n in [3, 4, 9, 20, 128, 129, 300, 1000] {
        let rule = derive(n, 0).expect("enough").colluders;
        for asked in 0..=n + 1 {
            match derive(n, asked) {
                Ok(found) => {
                    assert_eq!(found.colluders, rule.max(asked), "{n}, {asked}");
                    assert!(2 * found.threshold > n + found.colluders, "{n}, {asked}");
                    assert!(found.threshold <= found.survivors_min && found.survivors_min <= n);
                    assert!(found.honest_shares >= 1 && found.noise_shares() >= 1, "{n}, {asked}");
                }
                Err(SecaggParametersError::Colluders { merchants, colluders }) => {
                    assert_eq!([merchants, colluders], [n, rule.max(asked)]);
                    let sparse = n > COMPLETE_MAX && n - asked.min(n) < 2 * SPARSE_HONEST_SHARES_MIN;
                    assert!(asked >= n || sparse, "{n}, {asked}");
                }
                Err(SecaggParametersError::Holders { colluders, .. }) => {
                    assert!(n > COMPLETE_MAX && colluders > rule, "{n}, {asked}");
                }
                Err(other) => panic!("{n}, {asked}: {other}"),
            }
        }
    }
}

/// With n = 158 of which 152 may collude, h = 4: two honest merchants could be unmasked alone with probability 2^-20.
#[test]
fn a_sparse_graph_with_few_honest_merchants_is_refused() {
    assert_eq!(derive(158, 152), Err(SecaggParametersError::Colluders { merchants: 158, colluders: 152 }));
    let most = (0..158).filter_map(|asked| derive(158, asked).ok()).max_by_key(|found| found.colluders);
    assert_eq!(most.expect("some").honest_shares, SPARSE_HONEST_SHARES_MIN);
}

#[test]
fn rosters_without_masked_rounds_are_refused() {
    assert_eq!(derive(2, 0), Err(SecaggParametersError::TooFew { found: 2 }));
    assert_eq!(derive(0, 0), Err(SecaggParametersError::TooFew { found: 0 }));
    assert_eq!(derive(1001, 0), Err(SecaggParametersError::TooMany { limit: 1000, found: 1001 }));
    let error = derive(1000, 500).expect_err("half of them");
    assert_eq!(error, SecaggParametersError::Holders { merchants: 1000, colluders: 500, limit: 254 });
    assert!(error.to_string().contains("colluders_min"));
}

/// In whole numbers: the bounds hold, t_k − 1 would break privacy, and k − 1 has no t_k at all.
#[test]
fn the_sparse_graph_is_the_smallest_by_exact_integers() {
    for n in [129, 130, 161, 200, 255, 256, 400, 500, 777, 1000] {
        let found = derive(n, 0).expect("enough");
        let Graph::Sparse { holders, share_threshold } = found.graph else { panic!("sparse") };
        let (colluders, m_min) = (found.colluders, found.survivors_min);
        let private = |k, t| is_below_exactly([m_min - 1, colluders, k], t, n, 40);
        let live = |k, t| is_below_exactly([n - 1, n - m_min, k], k - t + 1, n, 20);
        assert!(private(holders, share_threshold) && live(holders, share_threshold), "{n}");
        assert!(!private(holders, share_threshold - 1), "{n}");
        let fewer = holders - 1;
        let smallest = (1..=fewer).find(|t| private(fewer, *t)).expect("k colluders are at most k");
        assert!(!live(fewer, smallest), "{n}: {fewer} holders would do");
    }
}

#[test]
fn failure_probabilities_add_up_over_attempts() {
    let sparse = derive(129, 0).expect("enough");
    assert_eq!(sparse.delta_addition(100, 3), 300.0 / (1u64 << 40) as f64);
    assert_eq!(sparse.delta_addition(0, 3), 0.0);
    assert_eq!(derive(128, 0).expect("enough").delta_addition(100, 3), 0.0);
}

#[test]
fn forged_numbers_give_bounds_and_no_panic() {
    let forged = SecaggParameters {
        merchants: 0,
        colluders: u32::MAX,
        survivors_min: 0,
        graph: Graph::Sparse { holders: 3, share_threshold: 9 },
        ..derive(129, 0).expect("enough")
    };
    assert_eq!(forged.failure_bounds().privacy, 0.0);
}

/// ln n!, for the union bounds below.
struct LogFactorials(Vec<f64>);

impl LogFactorials {
    fn up_to(n: u32) -> Self {
        let mut sum = 0.0;
        LogFactorials(
            (0..=n)
                .map(|i| {
                    sum += f64::from(i.max(1)).ln();
                    sum
                })
                .collect(),
        )
    }

    fn choose(&self, n: u32, k: u32) -> f64 {
        if k > n {
            return f64::NEG_INFINITY;
        }
        self.0[n as usize] - self.0[k as usize] - self.0[(n - k) as usize]
    }
}

/// A bound of the probability that, in a U1 of `size`, some choice of dropouts leaves `alone` honest survivors none of whom
/// drew a holder among the other honest survivors. Only their own draws count: what the others dealt to them the server
/// can withhold, and then they make no mask for it.
fn cutting_off(found: &SecaggParameters, log: &LogFactorials, size: u32, alone: u32) -> f64 {
    let Graph::Sparse { holders, .. } = found.graph else { panic!("sparse") };
    let (others, honest) = (size - 1, size - found.colluders);
    let misses = |many: u32| log.choose(others - many, holders) - log.choose(others, holders);
    let of_these = |dropped: u32| {
        let survivors = honest - dropped;
        let ways = log.choose(honest, dropped) + log.choose(survivors, alone);
        (ways + f64::from(alone) * misses(survivors - alone)).exp()
    };
    (0..=size - found.survivors_min).map(of_these).sum()
}

/// A bound of the probability that some `cut` honest members all have enough colluders and each other for t_k.
fn unmasking_alone(found: &SecaggParameters, log: &LogFactorials, size: u32, cut: u32) -> f64 {
    let Graph::Sparse { holders, share_threshold } = found.graph else { panic!("sparse") };
    let colluding = Hypergeometric::new(size - 1, found.colluders, holders);
    let enough = colluding.at_least((share_threshold + 1).saturating_sub(cut));
    (log.choose(size - found.colluders, cut) + f64::from(cut) * enough.ln()).exp()
}

/// The claim behind [`SecaggParameters::noise_shares`]: all that can go wrong, added up, is within the 2^-40 of an attempt.
fn assert_noise_shares_are_safe(found: &SecaggParameters, log: &LogFactorials) {
    let Graph::Sparse { holders, share_threshold } = found.graph else { panic!("sparse") };
    let (n, m_min) = (found.merchants, found.survivors_min);
    for size in [m_min, m_min + (n - m_min) / 2, n] {
        let honest = size - found.colluders;
        let colluding = Hypergeometric::new(size - 1, found.colluders, holders);
        let mut failure = f64::from(honest) * colluding.at_least(share_threshold);
        for alone in 1..found.noise_shares() {
            failure += cutting_off(found, log, size, alone).min(unmasking_alone(found, log, size, alone));
        }
        let bits = -failure.log2();
        assert!(bits >= 40.0, "n {n}, C {}, |U1| {size}: 2^-{bits}", found.colluders);
    }
}

#[test]
fn a_choice_of_dropouts_cuts_off_less_than_the_noise_allows_for() {
    let log = LogFactorials::up_to(1000);
    for n in (129..=1000).step_by(29).chain([1000]) {
        let rule = (n - 1) / 3;
        let raised = (rule + 1..n).step_by(11).filter_map(|colluders| derive(n, colluders).ok());
        for found in std::iter::once(derive(n, 0).expect("enough")).chain(raised) {
            assert_noise_shares_are_safe(&found, &log);
        }
    }
}

/// In the complete graph C + 1 other merchants at least say what they saw of a merchant's ledger: one of them is honest.
#[test]
fn more_merchants_than_may_collude_answer_for_a_ledger() {
    for merchants in 3..=COMPLETE_MAX {
        for colluders_min in 0..merchants {
            let Ok(found) = SecaggParameters::derive(merchants, colluders_min, MaskGenerator::Aes256Ctr)
            else {
                continue;
            };
            // With C = n − 1 everybody else colludes, and nobody honest is left to answer.
            if found.colluders + 2 <= merchants {
                assert!(found.survivors_min > found.colluders + 1, "{found:?}");
            }
        }
    }
}
