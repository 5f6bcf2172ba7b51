//! Known answers, made by the second implementation tests/read_noise_vectors.py from docs/privacy.md alone.

use std::path::PathBuf;
use std::process::Command;

use guildhall_sampler::{DiscreteGaussian, Seed, Variance};

#[derive(serde::Deserialize)]
struct Case {
    numerator: String,
    denominator: u32,
    seed: String,
    samples: Vec<i64>,
}

fn repository() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}

fn cases() -> Vec<Case> {
    let path = repository().join("tests/vectors/discrete_gaussian.json");
    let text = std::fs::read_to_string(path).expect("the vectors are there");
    serde_json::from_str(&text).expect("the vectors are JSON")
}

fn seed(hex: &str) -> [u8; 32] {
    assert_eq!(hex.len(), 64, "{hex}");
    std::array::from_fn(|i| u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).expect("hexadecimal"))
}

fn samples(case: &Case, count: usize) -> Vec<i64> {
    let numerator = case.numerator.parse().expect("a number");
    let variance = Variance::new(numerator, case.denominator).expect("legal");
    let mut out = vec![0; count];
    let seed = Seed::from_entropy(seed(&case.seed));
    DiscreteGaussian::new(variance).fill(seed, &mut out).expect("draws");
    out
}

#[test]
fn known_answers() {
    let cases = cases();
    assert!(cases.len() >= 16, "{}", cases.len());
    for case in cases {
        assert_eq!(case.samples.len(), 64);
        let found = samples(&case, 64);
        assert_eq!(found, case.samples, "{}/{} {}", case.numerator, case.denominator, case.seed);
    }
}

/// How many samples are asked for changes none of them.
#[test]
fn a_shorter_fill_is_the_beginning_of_a_longer_one() {
    let case = &cases()[0];
    let long = samples(case, 5000);
    for count in [0, 1, 2, 63, 64, 1023, 1024, 1025, 4999] {
        assert!(samples(case, count) == long[..count], "{count}");
    }
}

#[test]
fn the_second_reader_agrees() {
    let reader = repository().join("tests/read_noise_vectors.py");
    let output = match Command::new("python3").arg(reader).output() {
        Ok(output) => output,
        Err(error) => return eprintln!("skipped: no python3 here ({error})"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
