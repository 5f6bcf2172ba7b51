use crate::job::{JobError, JobSpec, NoiseCalibration};
use crate::model_spec::{Architecture, ItemEncoder, ItemRanking, SequenceEncoder};
use crate::wire;

struct Fixed;

impl NoiseCalibration for Fixed {
    fn noise_standard_deviation(&self, _: f64, _: f64, _: u32, bound: u64) -> Result<u64, String> {
        Ok(10 * bound)
    }
}

const ITEMS: &str = "kind = \"next_item\"\nhistory_max = 5\ncatalogue = [\"b\", { id = \"a\", tags = [\"red\", \"old\"] }, \"c\"]";
const WEEKS: &str = "kind = \"repurchase_sequence\"\nhorizon_weeks = 2\ntrain_weeks = [12]\nvalidation_weeks = [40]\ntest_weeks = [44]\nsteps = 26";

fn parse(task: &str, model: &str, privacy: &str) -> Result<JobSpec, JobError> {
    let text = format!(
        r#"
name = "next"
purpose = "What comes next?"
seed = 7
rounds = 10
unit = "shopper"
privacy = {privacy}
[task]
{task}
[model]
{model}
[optimizer]
kind = "sgd"
learning_rate = 1.0
momentum = 0.0
[clipping]
norm_l2 = 2.0
[round]
quorum = 2
update_deadline_ms = 30000
expected_shoppers = 1000
shoppers_per_merchant_max = 1000
"#
    );
    super::super::parse(&text, &Fixed).map(|(spec, _)| spec)
}

const EPSILON: &str = "{ epsilon = 1.0, delta = 1e-5 }";

#[test]
fn every_kind_parses_passes_its_own_check_and_survives_the_wire() {
    let network = "width = 8\ndropout = 0.1";
    for (task, model, parameters) in [
        (ITEMS, "kind = \"item_statistics\"\nitems_kept = 2\npopularity_items = 4\ncooccurrence_pairs = 9\ndiagonal = \"popularity\"\nranking = { kind = \"ease\", ridge = 10.0 }".to_string(), 3 + 3),
        (ITEMS, "kind = \"matrix_factorization\"\nfactors = 4".to_string(), 12),
        (ITEMS, format!("kind = \"two_tower\"\n{network}\nhidden = 6\nnegatives = 2"), 3 * 8 + 2 * 8 + 6 * 9 + 8 * 7),
        (ITEMS, format!("kind = \"gru\"\n{network}\nnegatives = 0"), 3 * 8 + 2 * (24 * 8 + 24)),
        (ITEMS, format!("kind = \"transformer\"\n{network}\nblocks = 2\nheads = 2\nfeed_forward = 16\nnegatives = 3"),
            3 * 8 + 5 * 8 + 2 * (2 * 16 + 4 * 72 + 16 * 9 + 8 * 17) + 16),
        (WEEKS, format!("kind = \"gru\"\n{network}\nembedding = 3\nhidden = 5"), 17 * 3 + 24 * 11 + 24 + 24 * 8 + 24 + 5 * 43 + 5 + 6),
        (WEEKS, format!("kind = \"lstm\"\n{network}\nembedding = 0\nhidden = 0"), 32 * 8 + 32 + 32 * 8 + 32 + 43 + 1),
        (WEEKS, format!("kind = \"cnn\"\n{network}\nembedding = 2\nhidden = 5\nkernel = 3"), 34 + 8 * 30 + 8 + 5 * 51 + 5 + 6),
        (WEEKS, "kind = \"mlp\"\nhidden = [4]\nactivation = \"tanh\"".to_string(), (35 + 26 * 9) * 4 + 4 + 5),
    ] {
        let spec = parse(task, &model, EPSILON).unwrap_or_else(|e| panic!("{model}: {e}"));
        assert_eq!(spec.check(), Ok(()));
        assert_eq!(spec.model().parameter_count(), parameters, "{model}");
        let bytes = wire::encode(&spec).expect("encodes");
        assert_eq!(wire::decode::<JobSpec>(&bytes, 1 << 20).expect("decodes"), spec);
    }
}

#[test]
fn sizes_come_from_the_task() {
    let spec =
        parse(ITEMS, "kind = \"two_tower\"\nwidth = 8\nhidden = 6\nnegatives = 2", EPSILON).expect("good");
    let Architecture::NextItem(model) = &spec.architecture else { panic!("ranks items") };
    assert_eq!((model.items, model.positions), (3, 5));
    assert_eq!(model.encoder, ItemEncoder::TwoTower { tags: 2, hidden: 6 });
    let catalogue = &spec.task.items().expect("items").catalogue;
    assert_eq!(
        (catalogue.tags(), catalogue.tags_of(1)),
        (&["old".to_string(), "red".into()][..], &[0, 1][..])
    );
    let spec = parse(WEEKS, "kind = \"cnn\"\nwidth = 8\nembedding = 0\nhidden = 2\nkernel = 5", EPSILON)
        .expect("good");
    let Architecture::Sequence(model) = &spec.architecture else { panic!("reads a sequence") };
    assert_eq!(
        (model.encoder, model.shape.inputs()),
        (SequenceEncoder::Convolution { kernel: 5 }, spec.task.inputs())
    );
}

#[test]
fn mistakes_name_the_key_and_what_was_expected() {
    let wrong = |task: &str, model: &str, privacy: &str| {
        parse(task, model, privacy).expect_err("a mistake").to_string()
    };
    let transformer =
        "kind = \"transformer\"\nwidth = 8\nblocks = 2\nheads = 3\nfeed_forward = 16\nnegatives = 3";
    assert!(
        wrong(ITEMS, transformer, EPSILON)
            .contains("model.heads: expected a divisor of model.width, found 3")
    );
    assert!(wrong(WEEKS, transformer, EPSILON).contains("model.kind: expected a model of this task"));
    let gru = "kind = \"gru\"\nwidth = 8\nembedding = 3\nhidden = 5\nkernel = 3";
    assert!(
        wrong(WEEKS, gru, EPSILON)
            .contains("model.kernel: expected nothing, this kind has no use for it, found Some(3)")
    );
    assert!(
        wrong(ITEMS, "kind = \"mlp\"\nhidden = [3]\nactivation = \"relu\"", EPSILON).contains("model.kind")
    );
    let all = "kind = \"next_item\"\nhistory_max = 0\ncatalogue = []";
    let factors = "kind = \"matrix_factorization\"\nfactors = 4";
    let text = wrong(all, factors, EPSILON);
    assert!(text.contains("task.catalogue: items: expected 1 to 200000, found 0"), "{text}");
    assert!(text.contains("task.history_max"), "{text}");
    let ranking = "kind = \"item_statistics\"\nitems_kept = 0\npopularity_items = 4\ncooccurrence_pairs = 9\ndiagonal = \"popularity\"\nranking = { kind = \"cosine\", neighbours = 0 }";
    let text = wrong(ITEMS, ranking, EPSILON);
    assert!(text.contains("model.items_kept") && text.contains("neighbours"), "{text}");
}

#[test]
fn ordinary_epochs_are_for_jobs_without_privacy() {
    let model = "kind = \"gru\"\nwidth = 8\nnegatives = 0\ntraining = { merchant_epochs = 2, learning_rate = 0.001, batch = 64 }";
    assert!(parse(ITEMS, model, "\"none\"").is_ok());
    let text = parse(ITEMS, model, EPSILON).expect_err("one shopper moves everything").to_string();
    assert!(text.contains("model.training.merchant_epochs: expected 0 in a job with privacy"), "{text}");
}

#[test]
fn rankings_have_their_own_keys() {
    let model = |ranking: &str| {
        format!(
            "kind = \"item_statistics\"\nitems_kept = 2\npopularity_items = 4\ncooccurrence_pairs = 9\ndiagonal = \"popularity\"\nranking = {ranking}"
        )
    };
    let ranking = |text: &str| match parse(ITEMS, &model(text), EPSILON).expect("good").architecture {
        Architecture::ItemStatistics(model) => model.ranking,
        other => panic!("{other:?}"),
    };
    assert_eq!(ranking("{ kind = \"popularity\" }"), ItemRanking::Popularity);
    assert_eq!(
        ranking("{ kind = \"jaccard\", neighbours = 20, shrinkage = 5.0 }"),
        ItemRanking::Jaccard { neighbours: 20, shrinkage: 5.0 }
    );
    assert!(parse(ITEMS, &model("{ kind = \"ease\", neighbours = 3 }"), EPSILON).is_err());
}

#[test]
fn a_job_that_cannot_travel_is_refused() {
    use crate::catalogue::Catalogue;
    use crate::model_spec::ItemVectors;
    use crate::task::Task;
    let model = "kind = \"gru\"\nwidth = 64\nnegatives = 1";
    let mut spec = parse(ITEMS, model, EPSILON).expect("good");
    let (Task::NextItem(task), Architecture::NextItem(network)) = (&mut spec.task, &mut spec.architecture)
    else {
        panic!("ranks items")
    };
    let count = 20_000;
    task.catalogue = Catalogue::of_items((0..count).map(|item| format!("{item:0>100}")).collect());
    network.items = count;
    assert_eq!(spec.check(), Ok(()), "2.2 MB of ids");
    let Architecture::NextItem(network) = &mut spec.architecture else { panic!("ranks items") };
    network.start = Some(ItemVectors::nearest(&vec![0.1; 64 * count]));
    let text = spec.check().expect_err("2.6 MB of vectors beside them").to_string();
    assert!(text.contains("at most 4,128,768 bytes"), "{text}");
}
