//! How fast masks expand, sums add up, secrets split and keys agree, on one core: medians of repeated runs.
//!
//! `cargo bench -p guildhall-shared --bench masks`. Prints a table; asserts nothing about time.

use std::hint::black_box;
use std::time::Instant;

use guildhall_shared::digest::Digest;
use guildhall_shared::id::MerchantIndex;
use guildhall_shared::ring::{RingVector, RingWidth, Sign};
use guildhall_shared::secagg::MaskGenerator;
use guildhall_shared::secagg::agreement::{SecretKey, self_mask};
use guildhall_shared::secagg::mask::MaskSet;
use guildhall_shared::secagg::seed::SessionSeed;
use guildhall_shared::secagg::shamir;
use guildhall_shared::secagg::transcript::Transcript;

/// Words of the vectors: 10^6 parameters.
const WORDS: usize = 1_000_000;
/// Bytes read to measure the memory: more than any cache.
const MEMORY_BYTES: usize = 512 << 20;
const RUNS: usize = 15;

/// Median seconds of one call.
fn median_s(runs: usize, mut work: impl FnMut()) -> f64 {
    work();
    let mut seconds: Vec<f64> = (0..runs)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed().as_secs_f64()
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    seconds[runs / 2]
}

fn gigabytes_per_s(bytes: usize, seconds: f64) -> f64 {
    bytes as f64 / seconds / 1e9
}

fn masks(generator: MaskGenerator, count: u8) -> MaskSet {
    let sid = Digest([1; 32]);
    let mut masks = MaskSet::new(sid, generator);
    for i in 0..count {
        let sign = if i % 2 == 0 { Sign::Add } else { Sign::Subtract };
        masks.push(self_mask(&[i; 32], &sid, MerchantIndex(u16::from(i))), sign);
    }
    masks
}

fn expansion(width: RingWidth, name: &str) {
    let mut vector = RingVector::zero(width, WORDS);
    for (generator, label) in
        [(MaskGenerator::Aes256Ctr, "AES-256-CTR"), (MaskGenerator::ChaCha20, "ChaCha20")]
    {
        for count in [1u8, 10, 100] {
            let runs = if count == 100 { 3 } else { RUNS };
            let seconds = median_s(runs, || masks(generator, count).apply(black_box(&mut vector)));
            let rate = gigabytes_per_s(vector.bytes() * usize::from(count), seconds);
            println!("expand and add {count:3} masks of 10^6 words of {name}, {label:11} {rate:7.2} GB/s");
        }
    }
}

/// Reads memory as a sum of words, eight at a time.
fn read(memory: &[u8]) {
    let mut sums = [0u64; 8];
    let (rows, _) = black_box(memory).as_chunks::<64>();
    for row in rows {
        let (words, _) = row.as_chunks::<8>();
        sums.iter_mut().zip(words).for_each(|(sum, word)| *sum = sum.wrapping_add(u64::from_le_bytes(*word)));
    }
    black_box(sums);
}

/// Adds updates that no cache holds, in turn with reading the same memory: other work on the machine slows both alike.
fn sums(memory: &[u8], width: RingWidth, name: &str) {
    let mut sum = RingVector::zero(width, WORDS);
    let updates: Vec<&[u8]> = memory.chunks_exact(sum.bytes()).collect();
    let bytes = updates.len() * sum.bytes();
    let mut pairs: Vec<[f64; 2]> = (0..RUNS)
        .map(|_| {
            let reading = median_s(1, || read(&memory[..bytes]));
            let adding = median_s(1, || {
                for update in &updates {
                    sum.add_bytes(black_box(update)).expect("of the right length");
                }
            });
            [reading, adding]
        })
        .collect();
    pairs.sort_by(|a, b| (a[0] / a[1]).total_cmp(&(b[0] / b[1])));
    let [reading, adding] = pairs[RUNS / 2];
    println!(
        "sum of updates of 10^6 words of {name}: {:.2} GB/s of updates, memory read at {:.2} GB/s: {:.0} % of it",
        gigabytes_per_s(bytes, adding),
        gigabytes_per_s(bytes, reading),
        100.0 * reading / adding
    );
}

fn writing() {
    let integers: Vec<i64> = (0..WORDS as i64).collect();
    let vector = RingVector::from_integers(RingWidth::Bits64, &integers);
    let mut bytes = Vec::new();
    let seconds = median_s(RUNS, || {
        bytes.clear();
        black_box(&vector).write_bytes(&mut bytes);
        black_box(&bytes);
    });
    println!("write 10^6 words of 64 bits: {:.2} GB/s", gigabytes_per_s(bytes.len(), seconds));
    let seconds = median_s(RUNS, || {
        bytes.clear();
        RingWidth::Bits32.write(black_box(&integers), &mut bytes);
        black_box(&bytes);
    });
    println!("write 10^6 integers as words of 32 bits: {:.2} GB/s", gigabytes_per_s(bytes.len(), seconds));
}

fn sharing() {
    let seed = SessionSeed::from_entropy([5; 32]);
    let secret = [9; 64];
    let seconds = median_s(101, || {
        let coefficients = seed.coefficients(67);
        black_box(shamir::split(black_box(&secret), 100, &coefficients));
    });
    println!("Shamir, 67 of 100, 64 bytes: split {:.0} µs", seconds * 1e6);
    let shares = shamir::split(&secret, 100, &seed.coefficients(67));
    let points: Vec<(u8, [u8; 32])> = (1..=67)
        .map(|x: u8| {
            let mut share = [0; 32];
            share.copy_from_slice(&shares[usize::from(x) - 1][..32]);
            (x, share)
        })
        .collect();
    let seconds = median_s(101, || {
        black_box(shamir::reconstruct(black_box(&points)));
    });
    println!("Shamir, 67 of 100, 32 bytes: reconstruct {:.0} µs", seconds * 1e6);
}

fn agreement() {
    let seed = SessionSeed::from_entropy([6; 32]);
    let (own, peer): (SecretKey, SecretKey) = (seed.mask_key(), seed.encryption_key());
    let public = peer.public();
    let transcript = Transcript { sid: Digest([1; 32]), roster: Digest([2; 32]), members: Digest([3; 32]) };
    let seconds = median_s(501, || {
        let key = own.pair_mask(black_box(&public), &transcript, MerchantIndex(0), MerchantIndex(1));
        black_box(key.is_ok());
    });
    println!("X25519 agreement and key derivation: {:.0} µs", seconds * 1e6);
}

fn main() {
    let memory = vec![3u8; MEMORY_BYTES];
    for (width, name) in [(RingWidth::Bits32, "32 bits"), (RingWidth::Bits64, "64 bits")] {
        expansion(width, name);
        sums(&memory, width, name);
    }
    writing();
    sharing();
    agreement();
}
