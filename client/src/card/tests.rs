use guildhall_privacy::accountant::Calibration;

use super::*;

const JOB: &str = include_str!("../../../deploy/samples/jobs/repurchase_stores.toml");

/// The card of the sample job at a hundred merchants, with figures of every origin.
const GOLDEN: &str = include_str!("golden/repurchase_stores.md");

fn job() -> JobSpec {
    JobSpec::parse(JOB, &Calibration).expect("the sample is a job").0
}

fn figures(of: &str, origin: Origin) -> CardFigures {
    let figure = |name: &str, value, interval| CardFigure { name: name.into(), value, interval };
    CardFigures {
        of: of.into(),
        protocol: "test weeks 44, 47 and 50".into(),
        origin,
        figures: vec![figure("AUC", 0.8843, Some((0.871, 0.896))), figure("log loss", 0.401, None)],
    }
}

fn facts() -> CardFacts {
    CardFacts {
        merchants: Some(100),
        version: Some((20, "ab".repeat(32))),
        data: Some("Baskets of two years of households at the stores of one retailer.".into()),
        epsilon_spent: Some(1.02),
        figures: vec![
            figures("store-367", Origin::OwnRows),
            figures("all merchants together", Origin::Released { epsilon: 0.5, delta: 1e-6 }),
        ],
        importance: Some(CardImportance {
            measure: "rise of the log loss when permuted".into(),
            origin: Origin::OwnRows,
            players: vec![("recent activity, half-life 8 weeks".into(), 0.031), ("a | b".into(), 0.002)],
        }),
        fine_tuned: None,
    }
}

fn without_noise() -> JobSpec {
    let job = job();
    JobSpec { privacy: PrivacySpec::None { unit: job.privacy.unit() }, ..job }
}

#[test]
fn the_card_of_the_sample_is_the_golden_one() {
    let card = ModelCard::new(&job(), facts()).expect("has rounds");
    // The digest follows from the job's encoding, which has golden bytes of its own.
    let text = card.markdown().replace(&card.model.job_digest, "JOB-DIGEST");
    assert_eq!(text, GOLDEN, "if the change is meant, put this text in the golden file:\n{text}");
}

#[test]
fn a_card_for_everybody_has_nothing_of_a_merchant_s_own_rows() {
    let card = ModelCard::new(&job(), facts()).expect("has rounds").for_everybody();
    let origins: Vec<Origin> = card.figures.iter().map(|figures| figures.origin).collect();
    assert_eq!(origins, [Origin::Released { epsilon: 0.5, delta: 1e-6 }]);
    assert_eq!((card.importance.as_ref(), card.privacy.epsilon_spent), (None, None));
    for text in [card.markdown(), card.json().to_string()] {
        assert!(
            !text.contains("store-367") && !text.contains("half-life 8 weeks (") && !text.contains("1.02")
        );
    }
    let unnoised = CardFacts {
        figures: vec![figures("all", Origin::ReleasedWithoutNoise), figures("all", Origin::Public)],
        ..CardFacts::default()
    };
    let card = ModelCard::new(&job(), unnoised).expect("has rounds");
    assert!(card.markdown().contains("from a sum without noise"));
    assert_eq!(card.for_everybody().figures, [figures("all", Origin::Public)]);
    let public = CardFacts {
        importance: facts().importance.map(|i| CardImportance { origin: Origin::Public, ..i }),
        ..facts()
    };
    assert!(ModelCard::new(&job(), public).expect("has rounds").for_everybody().importance.is_some());
}

#[test]
fn the_card_of_a_copy_says_that_it_is_outside_the_claim_and_everybody_s_does_not_speak_of_it() {
    let copy = CardCopy { epochs: 3, hash: "cd".repeat(32) };
    let card = ModelCard::new(&job(), CardFacts { fine_tuned: Some(copy), ..facts() }).expect("has rounds");
    let text = card.markdown();
    let (said, label) = (text.find("outside the privacy claim"), text.find(&card.privacy.label));
    assert!(said.is_some() && said < label, "before anything that sounds like a promise: {text}");
    assert!(text.contains("3 epochs") && card.json()["fine_tuned"]["epochs"] == 3);
    let released = ModelCard::new(&job(), facts()).expect("has rounds").for_everybody();
    assert_eq!(card.for_everybody(), released);
    assert!(released.json().get("fine_tuned").is_none());
}

#[test]
fn no_card_promises_what_nobody_can_keep() {
    let bare = CardFacts::default;
    for card in [
        ModelCard::new(&job(), facts()),
        ModelCard::new(&job(), bare()),
        ModelCard::new(&without_noise(), facts()),
        ModelCard::new(&without_noise(), bare()),
    ] {
        let card = card.expect("has rounds");
        for text in [card.markdown(), card.json().to_string()] {
            let text = text.to_lowercase();
            for word in ["anonym", "compliant", "zero risk", "guarantee", "cannot be traced", "fully private"]
            {
                assert!(!text.contains(word), "{word}");
            }
            assert!(text.contains("not legal advice"));
        }
    }
}

#[test]
fn a_model_without_noise_says_so_first() {
    let card = ModelCard::new(&without_noise(), facts()).expect("has rounds");
    assert!(card.privacy.label.contains("NO PRIVACY"));
    assert_eq!((card.privacy.epsilon, card.privacy.delta), (None, None));
    assert_eq!(card.privacy.epsilon_if_all_others_collude, None);
    assert!(card.limits[0].contains("nothing is promised"));
    assert!(card.markdown().contains("- No ε: nothing was noised"));
    assert!(!card.sources.iter().any(|source| source.starts_with("Noise")));
}

#[test]
fn what_is_not_covered_is_named() {
    let card = ModelCard::new(&job(), CardFacts::default()).expect("has rounds");
    let limits = card.limits.join("\n");
    assert!(limits.contains("personal state") && limits.contains("fine-tuned copies"));
    assert_eq!(
        card.privacy.epsilon_by_merchants,
        [],
        "without a roster nothing is said of colluding merchants"
    );
    assert_eq!(card.data, "Not described.");
    assert!(card.markdown().contains("None here."));
}

#[test]
fn the_json_has_the_same_facts() {
    let card = ModelCard::new(&job(), facts()).expect("has rounds");
    let json = card.json();
    assert_eq!(json["privacy"]["epsilon"], serde_json::json!(card.privacy.epsilon));
    assert_eq!(json["model"]["parameters"], card.model.parameters);
    assert_eq!(json["model"]["inputs"].as_array().map(Vec::len), Some(35));
    assert_eq!(json["figures"][0]["origin"]["kind"], "own_rows");
    assert_eq!(json["figures"][1]["origin"]["epsilon"], 0.5);
    assert_eq!(json["privacy"]["epsilon_by_merchants"][0][0], 1);
}

#[test]
fn texts_from_outside_cannot_begin_a_section() {
    let job = JobSpec { purpose: "good\n\n## Limits\n\nnone <script>".into(), ..job() };
    let text = ModelCard::new(&job, facts()).expect("has rounds").markdown();
    assert_eq!(text.matches("\n## Limits").count(), 1);
    assert!(!text.contains("<script>"));
    assert!(text.contains("| a \\| b | 0.0020 |"));
}
