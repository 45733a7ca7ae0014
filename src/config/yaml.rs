//! The only file that uses the YAML library: no other file names its crate.
//!
//! The library's error messages are written for programmers, and serde's traits carry nothing but
//! messages. So [`mistake`] parses the English sentences of both, and nothing else does; it has a test
//! for each sentence. To change the library, only this file and these sentences have to change.

use serde::Serialize;
use serde::de::DeserializeOwned;

mod advice;
mod limits;
mod mistake;
mod places;

pub(crate) use mistake::Mistake;
pub(crate) use places::TextPosition;
pub(crate) use serde_yaml::Value;

/// Reads a value. An empty text is a null.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn read<T: DeserializeOwned>(text: &str) -> Result<T, Mistake> {
    let text = without_bom(text);
    limits::check(text).map_err(|excess| Mistake::of_limit(text, excess))?;
    serde_yaml::from_str(text).map_err(|error| {
        let place = error.location().map(|at| (at.line(), at.column()));
        Mistake::of(text, &error.to_string(), place)
    })
}

/// Converts a value to another type; `None` where it doesn't fit.
pub(crate) fn value<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_yaml::from_value(value).ok()
}

/// Removes a byte order mark, which would begin another document.
pub(crate) fn without_bom(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Writes a value.
///
/// # Errors
/// Why it can't be written.
pub(crate) fn write(value: &impl Serialize) -> Result<String, String> {
    serde_yaml::to_string(value).map_err(|error| error.to_string())
}

/// Returns the first position of a key in a text.
pub(crate) fn place_of_key(text: &str, key: &str) -> Option<TextPosition> {
    places::nth_key(text, key, 1)
}

/// Reads a text as the library itself does, and returns the library's own error message.
///
/// # Errors
/// The library's message.
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
