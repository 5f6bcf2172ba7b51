use super::*;
use crate::job::Aggregation;
use crate::model_spec::Activation;
use crate::optimizer::UpdateRule;
use crate::secagg::MaskGenerator;
use crate::wire;

fn job(adaptive_clip: Option<AdaptiveClip>, privacy: PrivacySpec) -> JobSpec {
    JobSpec {
        name: Name::new("test").expect("legal"),
        purpose: "test".into(),
        task: Task::Dummy { parameters: 3 },
        architecture: Architecture::Mlp { hidden: vec![2], activation: Activation::Tanh },
        seed: 7,
        rounds: 4,
        optimizer: OptimizerSpec {
            rule: UpdateRule::Sgd { momentum: 0.5 },
            learning_rate: 0.1,
            average_last_rounds: 1,
        },
        clipping: ClippingSpec { norm_l2: 1.0, bound: 1 << 20 },
        adaptive_clip,
        privacy,
        round: RoundSpec {
            aggregation: Aggregation::Plain,
            colluders_min: 0,
            mask_generator: MaskGenerator::Aes256Ctr,
            quorum: 2,
            accept_deadline_ms: 1,
            update_deadline_ms: 1,
            upload_slot_ms: 0,
            expected_shoppers: 10,
            shoppers_per_merchant_max: 10,
            participation_rate: 1.0,
        },
    }
}

const RULE: AdaptiveClip =
    AdaptiveClip { indicator: 0x0102_0304, quantile: 0.5, rate: 0.25, norm_min: 0.125, norm_max: 8.0 };

fn protections() -> [PrivacySpec; 2] {
    let unit = Unit::Row;
    [
        PrivacySpec::Gaussian { unit, epsilon: 1.0, delta: 1e-6, noise_standard_deviation: 1 << 30 },
        PrivacySpec::None { unit },
    ]
}

/// A job as it was before clips could adapt, field by field.
#[derive(Serialize)]
struct Before<'a> {
    name: &'a Name,
    purpose: &'a str,
    task: &'a Task,
    architecture: &'a Architecture,
    seed: u64,
    rounds: u32,
    optimizer: OptimizerSpec,
    clipping: ClippingSpec,
    privacy: PrivacySpec,
    round: RoundSpec,
}

impl<'a> Before<'a> {
    fn of(job: &'a JobSpec) -> Self {
        let JobSpec { name, purpose, task, architecture, .. } = job;
        let &JobSpec { seed, rounds, optimizer, clipping, privacy, round, .. } = job;
        Before { name, purpose, task, architecture, seed, rounds, optimizer, clipping, privacy, round }
    }
}

#[test]
fn a_job_with_a_constant_clip_has_the_bytes_it_always_had() {
    for privacy in protections() {
        let job = job(None, privacy);
        let bytes = wire::encode(&job).expect("encodes");
        assert_eq!(bytes, wire::encode(&Before::of(&job)).expect("encodes"));
        assert_eq!(wire::decode::<JobSpec>(&bytes, 1 << 20), Ok(job));
    }
}

/// Variant 2, the rule, then what stood there before.
#[test]
fn a_rule_stands_before_the_privacy_and_moves_nothing_else() {
    for privacy in protections() {
        let (constant, adaptive) = (job(None, privacy), job(Some(RULE), privacy));
        let (before, bytes) =
            (wire::encode(&constant).expect("encodes"), wire::encode(&adaptive).expect("encodes"));
        let after = wire::encode(&(privacy, constant.round)).expect("encodes").len();
        let (head, tail) = before.split_at(before.len() - after);
        let rule = "02000000\
                    0403020100000000\
                    000000000000e03f\
                    000000000000d03f\
                    000000000000c03f\
                    0000000000002040";
        let expected = [head, &hex::decode(rule).expect("hex"), tail].concat();
        assert_eq!(hex::encode(&bytes), hex::encode(expected));
        assert_eq!(wire::decode::<JobSpec>(&bytes, 1 << 20), Ok(adaptive.clone()));
        assert_ne!(adaptive.digest(), constant.digest());
    }
}

/// One job, one encoding: a rule before a rule is none.
#[test]
fn rules_do_not_nest() {
    let privacy = protections()[1];
    let bytes = wire::encode(&job(Some(RULE), privacy)).expect("encodes");
    let after = wire::encode(&(privacy, job(None, privacy).round)).expect("encodes").len();
    let (head, tail) = bytes.split_at(bytes.len() - after);
    let rule = &head[head.len() - 44..];
    let nested = [head, rule, tail].concat();
    assert!(wire::decode::<JobSpec>(&nested, 1 << 20).is_err());
}
