//! The result of `xml get`.

use super::shape::object;

object! {
    /// What lies at a path.
    pub struct AtPath {
        /// The path, as it was asked for
        path: String,
        /// The values, in the document's order; none where nothing is there
        values: Vec<String>,
    }

    /// What lies at the paths.
    pub struct XmlGet {
        /// The paths, in the order in which they were asked for
        paths: Vec<AtPath>,
    }
}
