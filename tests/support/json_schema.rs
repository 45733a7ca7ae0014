//! As much of a JSON Schema validator (draft 2020-12) as the schemas of hookmux need. The unit tests of
//! the registration's schema include this file too.

use serde_json::{Value, json};

/// How strictly a value is compared with a schema.
pub(crate) struct Validator<'a> {
    /// The schema that references are looked up in.
    pub(crate) whole: &'a Value,
    /// Whether a key that an object's schema doesn't name is a mistake.
    pub(crate) refuses_unnamed: bool,
    /// Tells whether a text matches a pattern.
    pub(crate) matches: fn(&str, &str) -> bool,
}

impl Validator<'_> {
    /// Checks a value against a schema.
    ///
    /// # Errors
    /// The value doesn't fit: where, and how.
    pub(crate) fn fits(&self, schema: &Value, value: &Value, place: &str) -> Result<(), String> {
        let rules = match schema {
            Value::Object(rules) => rules,
            Value::Bool(true) => return Ok(()),
            Value::Bool(false) => return Err(format!("{place}: {value} is not allowed")),
            other => panic!("{place}: {other} is not a schema"),
        };
        let text = value.as_str();
        let list = value.as_array();
        let object = value.as_object();
        let fits = |schema: &Value| self.fits(schema, value, place).is_ok();
        for (rule, wanted) in rules {
            let number = || wanted.as_f64().unwrap();
            let length = || usize::try_from(wanted.as_u64().unwrap()).unwrap();
            let is_good = match rule.as_str() {
                "$ref" => {
                    let target = wanted.as_str().unwrap().strip_prefix('#').unwrap();
                    self.fits(self.whole.pointer(target).unwrap(), value, place)?;
                    true
                }
                "type" => match wanted {
                    Value::Array(kinds) => kinds.iter().any(|kind| is_kind(value, kind)),
                    kind => is_kind(value, kind),
                },
                "const" => value == wanted,
                "enum" => wanted.as_array().unwrap().contains(value),
                "examples" => value.is_null() || wanted.as_array().unwrap().contains(value),
                "format" => text.is_none_or(is_time),
                "pattern" => text.is_none_or(|text| (self.matches)(wanted.as_str().unwrap(), text)),
                "minimum" => value.as_f64().is_none_or(|value| value >= number()),
                "maximum" => value.as_f64().is_none_or(|value| value <= number()),
                "minLength" => text.is_none_or(|text| text.len() >= length()),
                "maxLength" => text.is_none_or(|text| text.len() <= length()),
                "minItems" => list.is_none_or(|list| list.len() >= length()),
                "maxItems" => list.is_none_or(|list| list.len() <= length()),
                "prefixItems" => {
                    let schemas = wanted.as_array().unwrap();
                    for (index, item) in list.into_iter().flatten().enumerate() {
                        if let Some(schema) = schemas.get(index) {
                            self.fits(schema, item, &format!("{place}/{index}"))?;
                        }
                    }
                    true
                }
                "items" => {
                    let first =
                        rules.get("prefixItems").and_then(Value::as_array).map_or(0, Vec::len);
                    for (index, item) in list.into_iter().flatten().enumerate().skip(first) {
                        self.fits(wanted, item, &format!("{place}/{index}"))?;
                    }
                    true
                }
                "required" => {
                    for key in wanted.as_array().unwrap() {
                        let key = key.as_str().unwrap();
                        if object.is_some_and(|object| !object.contains_key(key)) {
                            return Err(format!("{place} has no {key}"));
                        }
                    }
                    true
                }
                "properties" | "additionalProperties" => {
                    for (key, value) in object.into_iter().flatten() {
                        let named = rules.get("properties").and_then(|known| known.get(key));
                        match named.or(rules.get("additionalProperties")) {
                            Some(schema) => self.fits(schema, value, &format!("{place}/{key}"))?,
                            None if self.refuses_unnamed => {
                                return Err(format!("{place} has a key that isn't named: {key}"));
                            }
                            None => {}
                        }
                    }
                    true
                }
                "propertyNames" => {
                    for key in object.into_iter().flatten().map(|(key, _)| key) {
                        self.fits(wanted, &json!(key), &format!("{place}/{key}"))?;
                    }
                    true
                }
                "anyOf" => {
                    let mut faults = Vec::new();
                    let schemas = wanted.as_array().unwrap();
                    for schema in schemas {
                        faults.extend(self.fits(schema, value, place).err());
                    }
                    if faults.len() == schemas.len() {
                        return Err(faults.join("; or "));
                    }
                    true
                }
                "allOf" => wanted.as_array().unwrap().iter().all(fits),
                "if" => rules.get(if fits(wanted) { "then" } else { "else" }).is_none_or(fits),
                "then" | "else" | "$schema" | "$id" | "$defs" | "title" | "description" => true,
                other => panic!("{place}: no such rule: {other}"),
            };
            if !is_good {
                return Err(format!("{place}: {value} is not {rule}: {wanted}"));
            }
        }
        Ok(())
    }
}

fn is_kind(value: &Value, kind: &Value) -> bool {
    match kind.as_str().unwrap() {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        other => panic!("no such kind: {other}"),
    }
}

/// Tells whether a text is a time as RFC 3339 writes it, in UTC.
fn is_time(text: &str) -> bool {
    let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    shape == "0000-00-00T00:00:00.000000Z"
}
