//! Types that know their own JSON Schema, so that a key of an output and its schema are written once.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// A type with a JSON Schema.
pub(crate) trait Shape {
    /// Returns the schema. Named types are put into `defs`, and referred to.
    fn schema(defs: &mut Defs) -> Value;
}

/// An object, made by [`object!`].
pub(crate) trait Object: Shape {
    const NAME: &'static str;
    /// Its description.
    const WORDS: &'static str;

    /// Returns its keys in their order, each with its schema.
    fn keys(defs: &mut Defs) -> Map<String, Value>;
}

/// The schemas of named types.
#[derive(Debug, Default)]
pub(crate) struct Defs(pub Map<String, Value>);

impl Defs {
    /// Returns a reference to a named type. Its schema is made the first time.
    pub(crate) fn refer(&mut self, name: &str, make: impl FnOnce(&mut Defs) -> Value) -> Value {
        if !self.0.contains_key(name) {
            self.0.insert(name.to_owned(), Value::Null);
            let made = make(self);
            self.0.insert(name.to_owned(), made);
        }
        json!({ "$ref": format!("#/$defs/{name}") })
    }

    /// Returns a reference to an object.
    pub(crate) fn object<T: Object>(&mut self) -> Value {
        self.refer(T::NAME, |defs| with_keys(T::WORDS, T::keys(defs)))
    }
}

/// Returns the schema of an object with these keys. All keys are always there. Later versions may have more,
/// so other keys are allowed.
pub(crate) fn with_keys(words: &str, keys: Map<String, Value>) -> Value {
    let required: Vec<&String> = keys.keys().collect();
    json!({
        "description": words.trim(),
        "type": "object",
        "required": required,
        "properties": keys,
    })
}

/// Returns the schema of a key.
pub(crate) fn described(words: &str, mut schema: Value) -> Value {
    if let Some(rules) = schema.as_object_mut() {
        // the type's own description stays if the key has none
        rules.insert("description".to_owned(), words.trim().into());
    }
    schema
}

/// Defines objects: structs that can be printed, with a schema made from the same lines. `..head: T` before
/// the keys, and `..=tail: T` after them, include the keys of another object.
macro_rules! object {
    ($(
        $(#[doc = $doc:literal])+
        pub struct $name:ident {
            $( ..$flat:ident: $flat_type:ty, )*
            $( $(#[doc = $words:literal])+ $key:ident: $type:ty, )*
            $( ..=$last:ident: $last_type:ty, )*
        }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Debug, serde::Serialize)]
        pub(crate) struct $name {
            $( #[serde(flatten)] pub(crate) $flat: $flat_type, )*
            $( $(#[doc = $words])+ pub(crate) $key: $type, )*
            $( #[serde(flatten)] pub(crate) $last: $last_type, )*
        }

        impl $crate::cli::json::shape::Object for $name {
            const NAME: &'static str = stringify!($name);
            const WORDS: &'static str = concat!($($doc),+);

            fn keys(
                defs: &mut $crate::cli::json::shape::Defs,
            ) -> serde_json::Map<String, serde_json::Value> {
                let mut keys = serde_json::Map::new();
                $( keys.extend(<$flat_type as $crate::cli::json::shape::Object>::keys(defs)); )*
                $(
                    let schema = <$type as $crate::cli::json::shape::Shape>::schema(defs);
                    let words = concat!($($words),+);
                    keys.insert(
                        stringify!($key).trim_start_matches("r#").to_owned(),
                        $crate::cli::json::shape::described(words, schema),
                    );
                )*
                $( keys.extend(<$last_type as $crate::cli::json::shape::Object>::keys(defs)); )*
                keys
            }
        }

        impl $crate::cli::json::shape::Shape for $name {
            fn schema(defs: &mut $crate::cli::json::shape::Defs) -> serde_json::Value {
                defs.object::<$name>()
            }
        }
    )+};
}
pub(crate) use object;

/// Defines sets of words, each with its meaning.
macro_rules! words {
    ($(
        $(#[doc = $doc:literal])+
        pub enum $name:ident {
            $( $(#[doc = $meaning:literal])+ $variant:ident = $word:literal, )+
        }
    )+) => {$(
        $(#[doc = $doc])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum $name {
            $( $(#[doc = $meaning])+ $variant, )+
        }

        impl $name {
            pub(crate) const fn name(self) -> &'static str {
                match self { $( $name::$variant => $word, )+ }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        }

        impl $crate::cli::json::shape::Shape for $name {
            fn schema(defs: &mut $crate::cli::json::shape::Defs) -> serde_json::Value {
                defs.refer(stringify!($name), |_| {
                    let mut words = concat!($($doc),+).trim().to_owned();
                    $(
                        words.push_str(concat!("\n", $word, ":", $($meaning),+));
                    )+
                    $crate::cli::json::shape::word(&words, &[$($word),+])
                })
            }
        }
    )+};
}
pub(crate) use words;

/// Returns the schema of a word. Later versions may have more words, so these are only examples.
pub(crate) fn word(description: &str, known: &[&str]) -> Value {
    json!({ "description": description, "type": "string", "examples": known })
}

impl Shape for String {
    fn schema(_: &mut Defs) -> Value {
        json!({ "type": "string" })
    }
}

impl Shape for &'static str {
    fn schema(_: &mut Defs) -> Value {
        json!({ "type": "string" })
    }
}

impl Shape for bool {
    fn schema(_: &mut Defs) -> Value {
        json!({ "type": "boolean" })
    }
}

macro_rules! whole_numbers {
    ($($type:ty $(, $least:literal)?;)+) => {$(
        impl Shape for $type {
            fn schema(_: &mut Defs) -> Value {
                json!({ "type": "integer" $(, "minimum": $least)? })
            }
        }
    )+};
}

whole_numbers! {
    i32;
    i64;
    u32, 0;
    u64, 0;
    usize, 0;
}

impl<T: Shape> Shape for Vec<T> {
    fn schema(defs: &mut Defs) -> Value {
        json!({ "type": "array", "items": T::schema(defs) })
    }
}

impl<T: Shape> Shape for BTreeMap<String, T> {
    fn schema(defs: &mut Defs) -> Value {
        json!({ "type": "object", "additionalProperties": T::schema(defs) })
    }
}

impl<T: Shape> Shape for Option<T> {
    fn schema(defs: &mut Defs) -> Value {
        match T::schema(defs) {
            Value::Object(mut rules) if rules.get("type").is_some_and(Value::is_string) => {
                let kind = rules.get("type").cloned();
                rules.insert("type".to_owned(), json!([kind, "null"]));
                Value::Object(rules)
            }
            schema => json!({ "anyOf": [schema, { "type": "null" }] }),
        }
    }
}
