//! Versions of file formats. Every file that outlives a call contains the version of its format. A file without one
//! is of hookmux 0.1.0. A file of a newer version is left as it is, and reported.

use std::fmt;
use std::io;

use serde::Deserialize;

/// The error for a file that a newer hookmux has written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewerFormat {
    /// The version of its format.
    pub found: u64,
    /// The newest version that this program reads.
    pub known: u32,
}

impl fmt::Display for NewerFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NewerFormat { found, known } = self;
        write!(
            f,
            "a newer hookmux wrote it, in format {found}; this version reads formats up to {known}"
        )
    }
}

impl std::error::Error for NewerFormat {}

impl From<NewerFormat> for io::Error {
    fn from(newer: NewerFormat) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, newer)
    }
}

impl NewerFormat {
    /// Finds it in an I/O error.
    pub fn of(error: &io::Error) -> Option<NewerFormat> {
        error.get_ref()?.downcast_ref().copied()
    }
}

/// Checks that JSON is an object. serde also accepts an array, with the values in the order of the fields.
///
/// # Errors
/// It is an array.
pub(crate) fn object(json: &[u8]) -> serde_json::Result<&[u8]> {
    if json.trim_ascii_start().starts_with(b"[") {
        return Err(serde::de::Error::custom("an array instead of an object"));
    }
    Ok(json)
}

/// Reads a JSON object.
///
/// # Errors
/// It is not an object, or not of this kind.
pub(crate) fn read_object<'de, T: Deserialize<'de>>(json: &'de [u8]) -> serde_json::Result<T> {
    serde_json::from_slice(object(json)?)
}

/// Checks the `format` of a JSON object. Its other content may be anything.
///
/// # Errors
/// It is newer than `known`.
pub(crate) fn check(json: &[u8], known: u32) -> Result<(), NewerFormat> {
    #[derive(Deserialize)]
    struct Versioned {
        #[serde(default)]
        format: u64,
    }
    match read_object::<Versioned>(json) {
        Ok(Versioned { format: found }) if found > u64::from(known) => {
            Err(NewerFormat { found, known })
        }
        // the function that reads the whole file reports other errors
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_newer_format_is_newer() {
        for json in ["{}", r#"{"format":0}"#, r#"{"format":1,"x":[{}]}"#, "{", "[]", "[2]", ""] {
            assert_eq!(check(json.as_bytes(), 1), Ok(()), "{json}");
        }
        let newer = check(br#"{"x":1,"format":2}"#, 1).unwrap_err();
        assert_eq!((newer.found, newer.known), (2, 1));
        assert!(check(br#"{"format":18446744073709551615}"#, 1).is_err());
        let error = io::Error::from(newer);
        assert_eq!(NewerFormat::of(&error), Some(newer));
        assert_eq!(
            error.to_string(),
            "a newer hookmux wrote it, in format 2; this version reads formats up to 1"
        );
        assert_eq!(NewerFormat::of(&io::Error::other("x")), None);
    }
}
