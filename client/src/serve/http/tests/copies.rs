//! A merchant's fine-tuned copy: every answer says what it is, and going back takes nothing with it.

use guildhall_shared::job::JobSpec;
use guildhall_shared::model_spec::{Architecture, MatrixFactorization};
use guildhall_shared::task::{NextItemSpec, Task};

use super::*;
use crate::model_store::{FineTunedCopy, StoredModel};
use crate::train::fine_tune::{Criterion, FineTuned};

const ROUTES: [&str; 3] = ["/v1/predict", "/v1/explain", "/v1/model"];

/// A copy of version 3 whose weights are these.
fn copy(spec: &JobSpec, weights: Vec<f64>) -> FineTunedCopy {
    let state = ModelState::initial(spec);
    let released = StoredModel { version: 3, model: state.hash(&spec.model()), state };
    let tuned = FineTuned { epochs: 2, weights, criterion: Criterion::LogLoss, figures: vec![] };
    FineTunedCopy::new(spec, &released, tuned)
}

async fn answers(shop: &mut Shop) -> Vec<Value> {
    let mut answers = vec![];
    for route in ROUTES {
        let question = json!({"inputs": [1.0, 1.0]});
        answers.push(match route {
            "/v1/model" => serde_json::from_str(&shop.get(route).await.1).unwrap(),
            _ => shop.post(route, &question).await.1["model"].clone(),
        });
    }
    answers
}

#[tokio::test]
async fn answers_of_a_copy_say_what_it_is_and_going_back_brings_the_released_ones_back() {
    let spec = Arc::new(test_job());
    let service = Service::new(BUDGET);
    let state = ModelState { weights: vec![1.0, -1.0, 0.5], ..ModelState::initial(&spec) };
    let released = || ServedModel::new(&spec, LABEL, 3, state.hash(&spec.model()), &state);
    service.publish(released());
    let mut shop = Shop::open(Arc::new(service)).await;
    let ask = json!({"inputs": [1.0, 1.0]});
    let (before, (_, predicted)) = (answers(&mut shop).await, shop.post("/v1/predict", &ask).await);
    let copy = copy(&spec, vec![2.0, 2.0, 0.0]);
    shop.service.pin(Some(ServedModel::fine_tuned(&spec, &copy)));
    for answer in answers(&mut shop).await {
        assert_eq!((&answer["privacy"], &answer["version"]), (&json!(FineTunedCopy::LABEL), &json!(3)));
        assert_eq!((&answer["fine_tuned"], &answer["hash"]), (&json!(true), &json!(copy.hash().to_string())));
    }
    assert_eq!(shop.post("/v1/predict", &ask).await.1["logit"], 4.0);
    // By name: what asks for the released version 3 does not get the copy.
    let tensor =
        json!({"inputs": [{"name": "inputs", "shape": [1, 2], "datatype": "FP32", "data": [1.0, 1.0]}]});
    let (status, inferred) = shop.post("/v2/models/intent/infer", &tensor).await;
    assert_eq!((status, &inferred["model_version"]), (200, &json!("3-fine-tuned")), "{inferred}");
    assert_eq!(shop.post("/v2/models/intent/versions/3/infer", &tensor).await.0, 404);
    assert_eq!(shop.post("/v2/models/intent/versions/3-fine-tuned/infer", &tensor).await.0, 200);
    let (_, metadata) = shop.get("/v2/models/intent").await;
    assert!(metadata.contains(FineTunedCopy::LABEL), "{metadata}");
    assert!(shop.get("/metrics").await.1.contains("version=\"3-fine-tuned\""));
    assert!(shop.get("/v1/experiments").await.1.contains("\"fine_tuned\":true"));
    shop.service.pin(None);
    assert_eq!(answers(&mut shop).await, before);
    assert_eq!(shop.post("/v1/predict", &ask).await.1, predicted);
    assert!(before.iter().all(|answer| answer.get("fine_tuned").is_none()));
}

#[tokio::test]
async fn a_copy_of_an_item_model_ranks() {
    let catalogue = catalogue();
    let items = catalogue.len();
    let factors = MatrixFactorization { items, factors: 2, ridge: 1.0, negatives: 1 };
    let task = Task::NextItem(NextItemSpec { catalogue, history_max: 8 });
    let spec =
        Arc::new(JobSpec { task, architecture: Architecture::MatrixFactorization(factors), ..test_job() });
    let service = Service::new(BUDGET);
    let state = ModelState::initial(&spec);
    let served = ServedModel::new(&spec, LABEL, 3, state.hash(&spec.model()), &state);
    service.publish(served.with_released_ranking(&state, 3));
    // Bread and tea are alike, and nothing else is.
    let mut weights = vec![0.0; 2 * items];
    (weights[0], weights[6], weights[3]) = (1.0, 0.9, 1.0);
    service.pin(Some(ServedModel::fine_tuned(&spec, &copy(&spec, weights))));
    let mut shop = Shop::open(Arc::new(service)).await;
    let (found, answer) = shop.recommend(json!({"history": ["bread"], "k": 1})).await;
    assert_eq!((found, &answer["model"]["fine_tuned"]), (vec!["tea".to_string()], &json!(true)), "{answer}");
}
