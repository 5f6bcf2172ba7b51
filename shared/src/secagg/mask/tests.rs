//! Published key streams, and what masked words look like to whoever has not the keys.

use aes::Aes256;
use aes::cipher::StreamCipher as _;
use ctr::Ctr128BE;

use super::*;
use crate::id::MerchantIndex;
use crate::ring::RingWidth;
use crate::secagg::agreement::self_mask;

const GENERATORS: [MaskGenerator; 2] = [MaskGenerator::Aes256Ctr, MaskGenerator::ChaCha20];
const WIDTHS: [RingWidth; 2] = [RingWidth::Bits32, RingWidth::Bits64];

/// `ordinary` samples, or `full` where GUILDHALL_FULL_COUNTS=1.
fn sample_count(ordinary: usize, full: usize) -> usize {
    if std::env::var_os("GUILDHALL_FULL_COUNTS").is_some_and(|value| value == "1") { full } else { ordinary }
}

fn masks(generator: MaskGenerator, keys: &[([u8; 32], Sign)]) -> MaskSet {
    let mut masks = MaskSet::new(Digest([1; 32]), generator);
    for (key, sign) in keys {
        masks.push(MaskKey::from_secret(Zeroizing::new(*key)), *sign);
    }
    masks
}

/// The key stream of one key, through a vector of `words` words.
fn stream(generator: MaskGenerator, key: [u8; 32], width: RingWidth, words: usize) -> Vec<u8> {
    let mut vector = RingVector::zero(width, words);
    masks(generator, &[(key, Sign::Add)]).apply(&mut vector);
    vector.into_bytes()
}

fn ascending() -> [u8; 32] {
    std::array::from_fn(|i| i as u8)
}

/// E(0), E(1), E(2) under the key of zeros: the hash key, the tag of test case 13 and the ciphertext of test case 14 of the
/// GCM submission (McGrew and Viega), which has the same counter blocks here.
#[test]
fn published_blocks_of_aes_256() {
    let expected =
        "dc95c078a2408989ad48a21492842087530f8afbc74536b9a963b4f1c4cb738bcea7403d4d606b6e074ec5d3baf39d18";
    for width in WIDTHS {
        let found = stream(MaskGenerator::Aes256Ctr, [0; 32], width, 48 / width.bytes());
        assert_eq!(hex::encode(found), expected);
    }
}

/// SP 800-38A, F.5.5 has a counter block that does not start at zero: it holds for the reference that the next test compares
/// with.
#[test]
fn the_reference_for_counter_mode_is_the_published_one() {
    let bytes = |text: &str| hex::decode(text).expect("hex");
    let key = bytes("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
    let counter = bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
    let mut text = bytes(
        "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e5130c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
    );
    Ctr128BE::<Aes256>::new_from_slices(&key, &counter).expect("lengths").apply_keystream(&mut text);
    let expected = "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c52b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6";
    assert_eq!(hex::encode(text), expected);
}

/// RFC 8439, appendix A.1, vectors 1 and 2 (one stream), and 4 (its third block).
#[test]
fn published_blocks_of_chacha20() {
    let first = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a376a43b8f41518a11cc387b669b2ee6586";
    let second = "9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed29b721769ce64e43d57133b074d839d531ed1f28510afb45ace10a1f4b794d6f";
    let third = "72d54dfbf12ec44b362692df94137f328fea8da73990265ec1bbbea1ae9af0ca13b25aa26cb4a648cb9b9d1be65b2c0924a66c54d545ec1b7374f4872e99f096";
    for width in WIDTHS {
        let zeros = hex::encode(stream(MaskGenerator::ChaCha20, [0; 32], width, 128 / width.bytes()));
        assert_eq!(zeros, format!("{first}{second}"));
        let mut key = [0; 32];
        key[1] = 0xff;
        let found = stream(MaskGenerator::ChaCha20, key, width, 192 / width.bytes());
        assert_eq!(hex::encode(&found[128..]), third);
    }
}

/// One long stream from the reference.
fn reference(generator: MaskGenerator, key: [u8; 32], bytes: usize) -> Vec<u8> {
    let mut stream = vec![0; bytes];
    match generator {
        MaskGenerator::Aes256Ctr => {
            Ctr128BE::<Aes256>::new(&key.into(), &[0; 16].into()).apply_keystream(&mut stream);
        }
        MaskGenerator::ChaCha20 => {
            ChaCha20::new(&key.into(), &[0; 12].into()).apply_keystream(&mut stream);
        }
    }
    stream
}

/// Around every size at which something is cut: a block, the blocks a cipher makes at once, a chunk.
#[test]
fn a_mask_is_one_long_stream_wherever_it_is_cut() {
    let bytes: Vec<usize> = [0, 16, 64, 128, 256, 1024, 2048, CHUNK_BYTES, 2 * CHUNK_BYTES, 5 * CHUNK_BYTES]
        .into_iter()
        .flat_map(|size: usize| [size.saturating_sub(24), size.saturating_sub(8), size, size + 8, size + 40])
        .collect();
    for generator in GENERATORS {
        let long = reference(generator, ascending(), 6 * CHUNK_BYTES);
        for width in WIDTHS {
            for bytes in &bytes {
                let found = stream(generator, ascending(), width, bytes / width.bytes());
                assert!(found == long[..*bytes], "{generator:?}, {width:?}, {bytes} bytes");
            }
        }
    }
    let odd = stream(MaskGenerator::Aes256Ctr, ascending(), RingWidth::Bits32, 2051);
    assert!(odd == reference(MaskGenerator::Aes256Ctr, ascending(), 8204));
}

#[test]
fn masks_are_added_and_taken_away_word_by_word() {
    let words = 3 * CHUNK_BYTES / 4 + 7;
    let keys = [([7; 32], Sign::Add), ([8; 32], Sign::Subtract), (ascending(), Sign::Add)];
    for generator in GENERATORS {
        for width in WIDTHS {
            let integers: Vec<i64> = (0..words as i64).map(|i| i * 1_000_003 % 4096 - 2048).collect();
            let mut vector = RingVector::from_integers(width, &integers);
            masks(generator, &keys).apply(&mut vector);
            let streams = keys.map(|(key, _)| reference(generator, key, words * width.bytes()));
            for (i, found) in vector.centred().into_iter().enumerate() {
                let word = |stream: &[u8]| {
                    let mut bytes = [0; 8];
                    bytes[..width.bytes()].copy_from_slice(&stream[i * width.bytes()..][..width.bytes()]);
                    i64::from_le_bytes(bytes)
                };
                let [a, b, c] = [&streams[0], &streams[1], &streams[2]].map(|stream| word(stream));
                let sum = integers[i].wrapping_add(a).wrapping_sub(b).wrapping_add(c);
                let expected = if width == RingWidth::Bits32 { i64::from(sum as i32) } else { sum };
                assert_eq!(found, expected, "{generator:?}, {width:?}, word {i}");
            }
        }
    }
}

#[test]
fn what_one_adds_and_another_takes_away_cancels() {
    for generator in GENERATORS {
        let mut vector = RingVector::from_integers(RingWidth::Bits64, &[5; 3000]);
        masks(generator, &[([1; 32], Sign::Add), ([2; 32], Sign::Subtract)]).apply(&mut vector);
        assert_ne!(vector.centred()[..3], [5; 3]);
        masks(generator, &[([2; 32], Sign::Add), ([1; 32], Sign::Subtract)]).apply(&mut vector);
        assert_eq!(vector.centred(), [5; 3000]);
    }
}

#[test]
fn a_set_without_masks_changes_nothing() {
    let empty = masks(MaskGenerator::Aes256Ctr, &[]);
    assert!(empty.is_empty());
    assert_eq!(empty.len(), 0);
    let mut vector = RingVector::from_integers(RingWidth::Bits32, &[1, 2]);
    empty.apply(&mut vector);
    assert_eq!(vector.centred(), [1, 2]);
}

/// What an observer may look for in masked words. Each statistic is chi-square with 255 degrees of freedom if they are
/// uniform and independent.
struct Observer {
    /// Counts of each byte value, by place in the word.
    places: Vec<[u64; 256]>,
    /// Counts of the differences, modulo 256, between the same bytes of neighbouring words.
    neighbours: Vec<[u64; 256]>,
    /// Set bits, by place in the word.
    bits: Vec<u64>,
    words: u64,
}

/// 255 degrees of freedom: exceeded with a probability below 1e-9 (Wilson and Hilferty 1931).
const CHI_SQUARE_MAX: f64 = 415.0;
/// Standard deviations of a binomial count: exceeded with a probability below 2e-9.
const DEVIATIONS_MAX: f64 = 6.0;

impl Observer {
    fn of(words: &[u8], width: RingWidth) -> Self {
        let bytes = width.bytes();
        let mut seen = Observer {
            places: vec![[0; 256]; bytes],
            neighbours: vec![[0; 256]; bytes],
            bits: vec![0; bytes * 8],
            words: (words.len() / bytes) as u64,
        };
        for (i, word) in words.chunks_exact(bytes).enumerate() {
            for (place, byte) in word.iter().enumerate() {
                seen.places[place][usize::from(*byte)] += 1;
                (0..8).for_each(|bit| seen.bits[place * 8 + bit] += u64::from(byte >> bit & 1));
                if i % 2 == 1 {
                    let before = words[(i - 1) * bytes + place];
                    seen.neighbours[place][usize::from(byte.wrapping_sub(before))] += 1;
                }
            }
        }
        seen
    }

    /// What is not uniform, in words.
    fn findings(&self) -> Vec<String> {
        let mut findings = Vec::new();
        for (name, counts) in [("place", &self.places), ("neighbours", &self.neighbours)] {
            for (place, counts) in counts.iter().enumerate() {
                let expected = counts.iter().sum::<u64>() as f64 / 256.0;
                let chi_square: f64 = counts.iter().map(|n| (*n as f64 - expected).powi(2) / expected).sum();
                if chi_square > CHI_SQUARE_MAX {
                    findings.push(format!("{name} {place}: chi-square {chi_square}"));
                }
            }
        }
        for (bit, set) in self.bits.iter().enumerate() {
            let deviation = (*set as f64 - self.words as f64 / 2.0) / (self.words as f64 / 4.0).sqrt();
            if deviation.abs() > DEVIATIONS_MAX {
                findings.push(format!("bit {bit}: {deviation} standard deviations"));
            }
        }
        findings
    }
}

/// The masked vector of the first of four merchants: its own mask and three pairwise ones, on a vector that is anything but
/// uniform.
fn masked(generator: MaskGenerator, width: RingWidth, words: usize, session: u8) -> Vec<u8> {
    let integers: Vec<i64> = (0..words as i64).map(|i| i % 7 - 3).collect();
    let mut vector = RingVector::from_integers(width, &integers);
    let keys: Vec<([u8; 32], Sign)> = (0..4)
        .map(|i| (Digest::of("mask", &[&[session, i]]).0, if i == 2 { Sign::Subtract } else { Sign::Add }))
        .collect();
    masks(generator, &keys).apply(&mut vector);
    vector.into_bytes()
}

/// 10^7 words with GUILDHALL_FULL_COUNTS=1. False-alarm rate of the whole test, over the choice of the keys: 48 chi-squares
/// and 192 counts of bits, together below 5e-7.
#[test]
fn masked_words_are_uniform() {
    let words = sample_count(100_000, 10_000_000);
    for generator in GENERATORS {
        for width in WIDTHS {
            let findings = Observer::of(&masked(generator, width, words, 1), width).findings();
            assert_eq!(findings, Vec::<String>::new(), "{generator:?}, {width:?}");
        }
    }
}

/// The statistics above have teeth: each of these is no mask.
#[test]
fn the_observer_sees_through_what_is_no_mask() {
    let words = 100_000usize;
    let width = RingWidth::Bits32;
    let plain: Vec<i64> = (0..words as i64).map(|i| i % 7 - 3).collect();
    let sees = |integers: &[i64]| {
        !Observer::of(&RingVector::from_integers(width, integers).to_bytes(), width).findings().is_empty()
    };
    let pads = RingVector::from_integers(width, &vec![0; words]);
    let mut pads = pads;
    masks(MaskGenerator::ChaCha20, &[([3; 32], Sign::Add)]).apply(&mut pads);
    let pads = pads.centred();
    let with = |pad: &dyn Fn(usize) -> i64| -> Vec<i64> {
        plain.iter().enumerate().map(|(i, x)| x.wrapping_add(pad(i))).collect()
    };
    assert!(!sees(&with(&|i| pads[i])), "a mask");
    assert!(sees(&plain), "no mask");
    assert!(sees(&with(&|_| pads[0])), "a scalar mask");
    assert!(sees(&with(&|i| pads[i / 2 * 2])), "every pad twice");
    assert!(sees(&with(&|i| pads[i] >> 1)), "31 bits");
    assert!(sees(&with(&|i| pads[i] & !1)), "an even mask");
    assert!(sees(&with(&|i| pads[i] % 1_000_000_000)), "a mask modulo something else");
}

/// False-alarm rate: four comparisons of 10^5 words; equal words by chance 2.3e-5 · 2 for 32 bits; differences as above.
#[test]
fn the_same_input_in_two_sessions_shares_nothing() {
    let words = 100_000;
    for generator in GENERATORS {
        for width in WIDTHS {
            let [first, second] = [1, 2].map(|session| masked(generator, width, words, session));
            let equal = first
                .chunks_exact(width.bytes())
                .zip(second.chunks_exact(width.bytes()))
                .filter(|(one, other)| one == other)
                .count();
            assert_eq!(equal, 0, "{generator:?}, {width:?}");
            let mut difference = RingVector::zero(width, words);
            difference.for_each_chunk(usize::MAX / 2, |mut chunk| {
                chunk.add(&first, Sign::Add);
                chunk.add(&second, Sign::Subtract);
            });
            let findings = Observer::of(&difference.to_bytes(), width).findings();
            assert_eq!(findings, Vec::<String>::new(), "{generator:?}, {width:?}");
        }
    }
    let [first, again] = [1, 1].map(|session| masked(GENERATORS[0], WIDTHS[0], 100, session));
    assert_eq!(first, again, "a two-time pad would be seen");
}

/// A mask that is one number for all coordinates leaves all differences between them open.
/// Chance of two equal pads among 10^4 words of 64 bits: below 3e-12.
#[test]
fn no_scalar_masks_no_two_coordinates_share_a_pad() {
    for generator in GENERATORS {
        let stream = stream(generator, ascending(), RingWidth::Bits64, 10_000);
        let pads: std::collections::BTreeSet<&[u8]> = stream.chunks_exact(8).collect();
        assert_eq!(pads.len(), 10_000, "{generator:?}");
    }
}

/// All 256 bits of a key count, and of the seed of a self-mask: with 32 of them a mask could be found by trying.
#[test]
fn no_32_bit_mask_seeds_every_bit_of_a_key_changes_the_mask() {
    let seeded = |seed: [u8; 32]| {
        let mut masks = MaskSet::new(Digest([1; 32]), MaskGenerator::Aes256Ctr);
        masks.push(self_mask(&seed, &Digest([1; 32]), MerchantIndex(3)), Sign::Add);
        let mut vector = RingVector::zero(RingWidth::Bits64, 4);
        masks.apply(&mut vector);
        vector.into_bytes()
    };
    let expansions: [&dyn Fn([u8; 32]) -> Vec<u8>; 3] = [
        &|key| stream(MaskGenerator::Aes256Ctr, key, RingWidth::Bits64, 4),
        &|key| stream(MaskGenerator::ChaCha20, key, RingWidth::Bits64, 4),
        &seeded,
    ];
    for expansion in expansions {
        let mut seen = std::collections::BTreeSet::from([expansion([0; 32])]);
        for bit in 0..256 {
            let mut key = [0; 32];
            key[bit / 8] = 1 << (bit % 8);
            assert!(seen.insert(expansion(key)), "bit {bit}");
        }
    }
}
