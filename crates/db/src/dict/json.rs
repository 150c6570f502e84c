//! Values that are JSON objects: fields of a user.

use std::fmt;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::Value;

/// The fields of an object, in their order; `None` for null.
///
/// # Errors
/// It is no object, or one with more than text, numbers and truths in it.
pub fn fields(text: &str) -> Result<Vec<(String, Option<String>)>, String> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let fields = reader.deserialize_map(Fields).and_then(|fields| reader.end().map(|()| fields));
    fields.map_err(|error| error.to_string())
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(String, Option<String>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some((key, value)) = map.next_entry::<String, Value>()? {
            if key.is_empty() {
                return Err(de::Error::custom("Empty object key"));
            }
            let value = match value {
                Value::Null => None,
                Value::Bool(truth) => Some(truth.to_string()),
                Value::Number(number) => Some(number.to_string()),
                Value::String(text) => Some(text),
                Value::Array(_) => return Err(de::Error::custom("Arrays not supported")),
                Value::Object(_) => return Err(de::Error::custom("Nested objects not supported")),
            };
            fields.push((key, value));
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects() {
        let text = r#"{"uid": 1000, "home": "/h/\"x\"", "yes": true, "none": null, "z": "1", "a": "2"}"#;
        let found = fields(text).unwrap();
        let found: Vec<_> = found.iter().map(|(key, value)| (key.as_str(), value.as_deref())).collect();
        let expect = [
            ("uid", Some("1000")),
            ("home", Some("/h/\"x\"")),
            ("yes", Some("true")),
            ("none", None),
            ("z", Some("1")),
            ("a", Some("2")),
        ];
        assert_eq!(found, expect);
        for bad in ["", "[]", "1", "{", r#"{"a": {}}"#, r#"{"a": []}"#, r#"{"": 1}"#, r#"{"a": 1} x"#, "\0"] {
            assert!(fields(bad).is_err(), "{bad}");
        }
    }
}
