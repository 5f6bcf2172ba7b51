//! How long the accountants take: the tight one for 1,000 Poisson-sampled steps (at most 1 s), RDP (at most 20 ms).
//! `cargo bench -p guildhall-accountant`.

use std::hint::black_box;
use std::time::Instant;

use guildhall_accountant::gaussian;
use guildhall_accountant::mechanism::SampledGaussian;
use guildhall_accountant::pld::Pld;
use guildhall_accountant::rdp::Rdp;

const STEPS: u64 = 1_000;
const DELTA: f64 = 1e-5;
const RUNS: usize = 5;

/// Median seconds and the result.
fn timed(work: impl Fn() -> f64) -> (f64, f64) {
    let mut seconds: Vec<f64> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            black_box(work());
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    (seconds[RUNS / 2], work())
}

fn main() {
    println!("{STEPS} Poisson-sampled steps, delta {DELTA:e}");
    println!("    z       q   RDP epsilon     ms   PLD epsilon     ms");
    for (z, q) in [(0.5, 0.1), (1.0, 0.1), (1.0, 0.01), (2.0, 0.1), (2.0, 0.01), (10.0, 0.001), (1.0, 0.0001)]
    {
        let mechanism = SampledGaussian::new(z, q).expect("within the ranges");
        let (rdp_s, rdp) = timed(|| {
            let mut rdp = Rdp::default();
            rdp.compose(black_box(mechanism), STEPS);
            rdp.epsilon_upper_bound(DELTA)
        });
        let (pld_s, pld) = timed(|| {
            let mut pld = Pld::default();
            pld.compose(black_box(mechanism), STEPS);
            pld.epsilon_upper_bound(DELTA)
        });
        println!("{z:5} {q:7} {rdp:13.6} {:6.1} {pld:13.6} {:6.1}", rdp_s * 1e3, pld_s * 1e3);
    }
    let (seconds, epsilon) = timed(|| gaussian::epsilon_upper_bound(black_box(2.0), DELTA));
    println!("analytic Gaussian, mu 2: epsilon {epsilon:.6}, {:.1} us", seconds * 1e6);
}
