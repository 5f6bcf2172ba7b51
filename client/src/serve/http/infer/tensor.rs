//! Requests of the Open Inference Protocol: tensors in JSON, flat or nested.

use serde_json::{Map, Value};

use crate::serve::question::{QuestionError, error, kind};

/// Most numbers or texts of one tensor.
const ELEMENTS_MAX: usize = 1 << 18;

/// A request.
pub(super) struct Request {
    pub id: Option<String>,
    pub parameters: Map<String, Value>,
    inputs: Vec<Tensor>,
}

/// One tensor.
pub(super) struct Tensor {
    name: String,
    pub shape: Vec<usize>,
    pub data: Data,
}

/// The elements of a tensor, in row-major order.
pub(super) enum Data {
    /// FP32, all finite.
    Floats(Vec<f32>),
    /// INT64.
    Integers(Vec<i64>),
    /// BYTES.
    Texts(Vec<String>),
}

impl Request {
    pub fn parse(body: &[u8]) -> Result<Self, QuestionError> {
        let expected = "an object {\"inputs\": [tensor]}";
        let mut object = match serde_json::from_slice::<Value>(body) {
            Ok(Value::Object(object)) => object,
            Ok(other) => return Err(error("body", expected, kind(Some(&other)))),
            // serde_json's words name line and column, not the content.
            Err(problem) => return Err(error("body", expected, format!("invalid JSON ({problem})"))),
        };
        let id = match object.remove("id") {
            None => None,
            Some(Value::String(id)) if id.len() <= 256 => Some(id),
            Some(Value::String(_)) => return Err(error("id", "a text of at most 256 bytes", "a longer one")),
            other => return Err(error("id", "a text", kind(other.as_ref()))),
        };
        let parameters = match object.remove("parameters") {
            None => Map::new(),
            Some(Value::Object(parameters)) => parameters,
            other => return Err(error("parameters", "an object", kind(other.as_ref()))),
        };
        // "outputs" may name what the asker wants; all outputs are small, and all are given.
        let inputs = match object.remove("inputs") {
            Some(Value::Array(list)) if list.len() == 1 => list,
            Some(Value::Array(list)) => {
                return Err(error("inputs", "one tensor", format!("{} tensors", list.len())));
            }
            other => return Err(error("inputs", "a list of one tensor", kind(other.as_ref()))),
        };
        let inputs = inputs.into_iter().map(tensor).collect::<Result<_, _>>()?;
        Ok(Request { id, parameters, inputs })
    }

    /// The tensor with a name.
    pub fn input(&self, name: &str) -> Result<&Tensor, QuestionError> {
        let found = self.inputs.iter().find(|tensor| tensor.name == name);
        found.ok_or_else(|| error("inputs[0].name", format!("{name:?}"), "another"))
    }
}

fn tensor(value: Value) -> Result<Tensor, QuestionError> {
    let Value::Object(mut fields) = value else {
        return Err(error("inputs[0]", "an object", kind(Some(&value))));
    };
    let text = |value: Option<Value>, field: &str| match value {
        Some(Value::String(text)) => Ok(text),
        other => Err(error(format!("inputs[0].{field}"), "a text", kind(other.as_ref()))),
    };
    let name = text(fields.remove("name"), "name")?;
    let datatype = text(fields.remove("datatype"), "datatype")?;
    let shape = shape(fields.get("shape"))?;
    let mut flat = vec![];
    flatten(fields.remove("data").unwrap_or_default(), &mut flat)?;
    let elements = shape.iter().try_fold(1usize, |product, size| product.checked_mul(*size));
    if elements != Some(flat.len()) {
        let expected = "as many elements as the shape says";
        return Err(error("inputs[0].data", expected, format!("{} elements", flat.len())));
    }
    let data = match datatype.as_str() {
        "FP32" => floats(&flat).map(Data::Floats),
        "INT64" => integers(&flat).map(Data::Integers),
        "BYTES" => texts(flat).map(Data::Texts),
        _ => Err(error("inputs[0].datatype", "FP32, INT64 or BYTES", "another")),
    }?;
    Ok(Tensor { name, shape, data })
}

fn shape(value: Option<&Value>) -> Result<Vec<usize>, QuestionError> {
    let expected = "a list of 1 to 8 whole numbers from 0";
    let Some(Value::Array(sizes)) = value else {
        return Err(error("inputs[0].shape", expected, kind(value)));
    };
    let size = |size: &Value| size.as_u64().and_then(|size| usize::try_from(size).ok());
    let sizes: Option<Vec<usize>> = sizes.iter().map(size).collect();
    let legal = sizes.filter(|sizes| (1..=8).contains(&sizes.len()));
    legal.ok_or_else(|| error("inputs[0].shape", expected, "another list"))
}

fn flatten(value: Value, flat: &mut Vec<Value>) -> Result<(), QuestionError> {
    match value {
        // JSON's own depth is limited where it is read.
        Value::Array(list) => list.into_iter().try_for_each(|entry| flatten(entry, flat)),
        Value::Null => Err(error("inputs[0].data", "a list of elements", "null, or nothing")),
        _ if flat.len() == ELEMENTS_MAX => {
            Err(error("inputs[0].data", format!("at most {ELEMENTS_MAX} elements"), "more"))
        }
        element => {
            flat.push(element);
            Ok(())
        }
    }
}

fn elements<T>(
    flat: &[Value],
    expected: &str,
    read: impl Fn(&Value) -> Option<T>,
) -> Result<Vec<T>, QuestionError> {
    let element = |(place, value): (usize, &Value)| {
        read(value).ok_or_else(|| error(format!("inputs[0].data[{place}]"), expected, kind(Some(value))))
    };
    flat.iter().enumerate().map(element).collect()
}

fn floats(flat: &[Value]) -> Result<Vec<f32>, QuestionError> {
    let read = |value: &Value| value.as_f64().map(|v| v as f32).filter(|v| v.is_finite());
    elements(flat, "a finite 32-bit number", read)
}

fn integers(flat: &[Value]) -> Result<Vec<i64>, QuestionError> {
    elements(flat, "a whole number", Value::as_i64)
}

fn texts(flat: Vec<Value>) -> Result<Vec<String>, QuestionError> {
    elements(&flat, "a text", |value| value.as_str().map(str::to_owned))
}
