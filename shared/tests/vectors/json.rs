//! As much JSON as the files need, written in one way only, so that files are compared as text.

/// A value.
#[derive(Clone, Debug)]
pub enum Json {
    Null,
    Bool(bool),
    Number(i64),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(&'static str, Json)>),
}

/// An object or an array out of values.
macro_rules! json {
    ({ $($key:literal: $value:expr),* $(,)? }) => {
        $crate::json::Json::Object(vec![$(($key, $crate::json::Json::from($value))),*])
    };
    ([ $($value:expr),* $(,)? ]) => {
        $crate::json::Json::Array(vec![$($crate::json::Json::from($value)),*])
    };
}
pub(crate) use json;

macro_rules! numbers {
    ($($number:ty)*) => {
        $(impl From<$number> for Json {
            fn from(value: $number) -> Self {
                Json::Number(i64::try_from(value).expect("small"))
            }
        })*
    };
}
numbers!(i32 i64 u8 u16 u32 u64 usize);

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Json::Bool(value)
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Json::Text(value.to_owned())
    }
}

impl From<String> for Json {
    fn from(value: String) -> Self {
        Json::Text(value)
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Json::Null, Into::into)
    }
}

impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(values: Vec<T>) -> Self {
        Json::Array(values.into_iter().map(Into::into).collect())
    }
}

impl<T: Into<Json>, const N: usize> From<[T; N]> for Json {
    fn from(values: [T; N]) -> Self {
        Json::Array(values.into_iter().map(Into::into).collect())
    }
}

impl Json {
    /// The whole text. Lists that hold no objects stand in one line up to 120 characters.
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.write(0, &mut out);
        out.push('\n');
        out
    }

    fn write(&self, depth: usize, out: &mut String) {
        match self {
            Json::Null => out.push_str("null"),
            Json::Bool(value) => out.push_str(&value.to_string()),
            Json::Number(value) => out.push_str(&value.to_string()),
            Json::Text(text) => {
                let plain = |c: char| (' '..='~').contains(&c) && c != '\\';
                assert!(text.chars().all(plain), "no text here needs more escaping: {text}");
                out.push_str(&format!("\"{}\"", text.replace('"', "\\\"")));
            }
            Json::Array(values) => {
                let line: Vec<String> =
                    values.iter().map(|value| value.to_text().trim().to_owned()).collect();
                let line = format!("[{}]", line.join(", "));
                if line.len() <= 120 && !line.contains('{') {
                    out.push_str(&line);
                } else {
                    list(depth, '[', values.iter().map(|value| (None, value)), ']', out);
                }
            }
            Json::Object(fields) => {
                list(depth, '{', fields.iter().map(|(key, value)| (Some(*key), value)), '}', out);
            }
        }
    }
}

fn list<'a>(
    depth: usize,
    open: char,
    items: impl Iterator<Item = (Option<&'static str>, &'a Json)>,
    close: char,
    out: &mut String,
) {
    out.push(open);
    for (place, (key, value)) in items.enumerate() {
        out.push_str(if place == 0 { "\n" } else { ",\n" });
        out.push_str(&" ".repeat(depth + 1));
        if let Some(key) = key {
            out.push_str(&format!("\"{key}\": "));
        }
        value.write(depth + 1, out);
    }
    out.push('\n');
    out.push_str(&" ".repeat(depth));
    out.push(close);
}
