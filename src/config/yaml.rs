//! The one door to the YAML library: no other file names its crate.
//!
//! What the library says of a mistake is written for the author of a parser, and it can't be told in
//! another way: serde's traits carry words only. So the English of both is taken apart in [`mistake`],
//! and nowhere else, with a test there for each sentence. Another library needs another door and
//! those sentences, and no more.

use serde::Serialize;
use serde::de::DeserializeOwned;

mod limits;
mod mistake;
mod places;

pub(crate) use mistake::Mistake;
pub(crate) use places::Place;
pub(crate) use serde_yaml::Value;

/// Reads a value. An empty text is a null.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    let text = without_mark(text);
    limits::check(text).map_err(|excess| Mistake::of_excess(text, excess))?;
    serde_yaml::from_str(text).map_err(|error| {
        let place = error.location().map(|at| (at.line(), at.column()));
        Mistake::of(text, &error.to_string(), place)
    })
}

/// Takes a value that was read for another kind of value; `None` where it is none of that kind.
pub(crate) fn value<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_yaml::from_value(value).ok()
}

/// A text without an editor's mark of UTF-8, which would begin another document.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Writes a value.
///
/// # Errors
/// In words: there is no way to write it.
pub(crate) fn write(value: &impl Serialize) -> Result<String, String> {
    serde_yaml::to_string(value).map_err(|error| error.to_string())
}

/// Where a key first stands in a text.
pub(crate) fn place_of_key(text: &str, key: &str) -> Option<Place> {
    places::nth_key(text, key, 1)
}

/// Reads a text as the library itself does, and gives its own words of a mistake.
///
/// # Errors
/// The library's words.
#[cfg(test)]
pub(crate) fn unchecked<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_yaml::from_str(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    /// Adds the files below a directory that name the crate.
    fn naming(directory: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                naming(&path, found);
            } else if fs::read_to_string(&path).unwrap().contains("serde_yaml") {
                found.push(path.display().to_string());
            }
        }
    }

    #[test]
    fn no_other_file_names_the_crate() {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let mut found = Vec::new();
        naming(&sources, &mut found);
        assert_eq!(found, [sources.join("config/yaml.rs").display().to_string()]);
    }
}
