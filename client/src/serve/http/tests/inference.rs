//! The Open Inference Protocol.

use super::*;

fn predictor() -> Arc<Service> {
    let spec = Arc::new(test_job());
    let mut state = ModelState::initial(&spec);
    state.weights = vec![1.0, -1.0, 0.5];
    let service = Service::new(BUDGET);
    service.publish(ServedModel::new(&spec, LABEL, 3, Digest([7; 32]), &state));
    Arc::new(service)
}

fn tensor(name: &str, shape: &[i64], datatype: &str, data: Value) -> Value {
    json!({"inputs": [{"name": name, "shape": shape, "datatype": datatype, "data": data}]})
}

#[tokio::test]
async fn a_batch_is_predicted_as_its_rows_are_one_by_one() {
    let mut shop = Shop::open(predictor()).await;
    let flat = tensor("inputs", &[3, 2], "FP32", json!([0.5, 0.25, 3, 0, -1, 2.5]));
    let nested = tensor("inputs", &[3, 2], "FP32", json!([[0.5, 0.25], [3, 0], [-1, 2.5]]));
    let (status, answer) = shop.post("/v2/models/intent/infer", &flat).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(shop.post("/v2/models/intent/versions/3/infer", &nested).await.1, answer);
    assert_eq!(answer["outputs"][0]["shape"], json!([3]));
    for (row, inputs) in [[0.5, 0.25], [3.0, 0.0], [-1.0, 2.5]].into_iter().enumerate() {
        let (_, one) = shop.post("/v1/predict", &json!({"inputs": inputs})).await;
        for (output, name) in ["logit", "probability"].into_iter().enumerate() {
            let found = answer["outputs"][output]["data"][row].as_f64().unwrap();
            assert!((found - one[name].as_f64().unwrap()).abs() < 1e-6, "{answer} {one}");
        }
    }
    let (_, text) = shop.get("/v2/models/intent").await;
    let metadata: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(metadata["inputs"], json!([{"name": "inputs", "datatype": "FP32", "shape": [-1, 2]}]));
}

#[tokio::test]
async fn a_history_is_ranked_as_recommend_ranks_it() {
    let mut shop = Shop::open(service()).await;
    for (ids, numbers) in [(json!([["bread", "butter"]]), json!([[0, 1]])), (json!([[]]), json!([[]]))] {
        let (recommended, answer) = shop.recommend(json!({"history": ids[0], "k": 10})).await;
        let length = ids[0].as_array().unwrap().len() as i64;
        let by_id = tensor("history", &[1, length], "BYTES", ids);
        let (_, found) = shop.post("/v2/models/intent/infer", &by_id).await;
        assert_eq!(found["outputs"][0]["data"], json!(recommended), "{found}");
        assert_eq!(found["outputs"][1]["data"][0], answer["items"][0]["score"]);
        let by_number = tensor("history", &[1, length], "INT64", numbers);
        let (_, found) = shop.post("/v2/models/intent/infer", &by_number).await;
        let catalogue = catalogue();
        let numbers: Vec<u32> = recommended.iter().map(|id| catalogue.position(id).unwrap()).collect();
        assert_eq!(found["outputs"][0]["data"], json!(numbers));
    }
}

#[tokio::test]
async fn what_does_not_fit_is_refused_with_its_place() {
    let mut ranks = Shop::open(service()).await;
    let mut predicts = Shop::open(predictor()).await;
    let history = |shape: &[i64], datatype: &str, data: Value| tensor("history", shape, datatype, data);
    let cases = [
        (true, history(&[1, 2], "BYTES", json!(["bread"])), "inputs[0].data"),
        (true, history(&[2, 1], "BYTES", json!(["bread", "tea"])), "inputs[0].shape"),
        (true, history(&[1, 1], "BYTES", json!(["soap"])), "inputs[0].data[0]"),
        (true, history(&[1, 1], "BYTES", json!([3])), "inputs[0].data[0]"),
        (true, history(&[1, 1], "INT64", json!([6])), "inputs[0].data[0]"),
        (true, history(&[1, 1], "INT64", json!([-1])), "inputs[0].data[0]"),
        (true, history(&[1, 1], "FP32", json!([1])), "inputs[0].datatype"),
        (true, history(&[1, 1], "FP64", json!([1])), "inputs[0].datatype"),
        (true, history(&[i64::MAX, i64::MAX, 4], "INT64", json!([1])), "inputs[0].data"),
        (true, history(&[-1, 1], "INT64", json!([1])), "inputs[0].shape"),
        (true, tensor("other", &[1, 1], "INT64", json!([1])), "inputs[0].name"),
        (true, json!({"inputs": []}), "inputs"),
        (true, json!({"inputs": [1]}), "inputs[0]"),
        (true, json!({}), "inputs"),
        (true, json!([]), "body"),
        (false, tensor("inputs", &[1, 3], "FP32", json!([1, 2, 3])), "inputs[0].shape"),
        (false, tensor("inputs", &[0, 2], "FP32", json!([])), "inputs[0].shape"),
        (false, tensor("inputs", &[1, 2], "FP32", json!([1, 1e300])), "inputs[0].data[1]"),
        (false, tensor("inputs", &[1, 2], "INT64", json!([1, 2])), "inputs[0].datatype"),
    ];
    for (is_ranker, question, field) in cases {
        let shop = if is_ranker { &mut ranks } else { &mut predicts };
        let (status, answer) = shop.post("/v2/models/intent/infer", &question).await;
        assert_eq!((status, answer["field"].as_str()), (400, Some(field)), "{question} {answer}");
    }
    for path in ["/v2/models/other", "/v2/models/intent/versions/4", "/v2/models/intent/versions/x/ready"] {
        let (status, answer) = ranks.get(path).await;
        assert_eq!(status, 404, "{path} {answer}");
    }
}

#[tokio::test]
async fn readiness_follows_the_model_and_versions_follow_the_arms() {
    let service = Arc::new(Service::new(BUDGET));
    let mut shop = Shop::open(Arc::clone(&service)).await;
    assert_eq!(shop.get("/v2/health/live").await.0, 200);
    for path in ["/v2/health/ready", "/v2/models/intent", "/v2/models/intent/ready"] {
        assert_eq!(shop.get(path).await.0, 503, "{path}");
    }
    service.publish(version(3));
    service.challenge(Some((Challenger::Version(Arc::new(version(6))), 0.1)));
    assert_eq!(shop.get("/v2/health/ready").await.0, 200);
    let (_, text) = shop.get("/v2/models/intent").await;
    let metadata: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(metadata["versions"], json!(["3", "6"]));
    let question = tensor("history", &[1, 1], "BYTES", json!(["bread"]));
    for version in ["3", "6"] {
        let path = format!("/v2/models/intent/versions/{version}/infer");
        assert_eq!(shop.post(&path, &question).await.1["model_version"], version);
    }
}
