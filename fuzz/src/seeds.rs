//! Inputs to begin with: documents that libvirt wrote, and files that hookmux's versions wrote.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::bytes::MAX_INPUT_BYTES;

/// A file of the source tree.
pub struct Seed {
    /// Its path in the source tree.
    pub path: String,
    pub bytes: Vec<u8>,
}

impl Seed {
    pub fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path).extension().is_some_and(|own| own == extension)
    }
}

/// All files of the tree that may be seeds, in the order of their paths.
pub fn read(tree: &Path) -> Vec<Seed> {
    let mut files: Vec<PathBuf> = Vec::new();
    for directory in ["tests/captures", "tests/formats", "contrib", "fuzz/seeds"] {
        collect(&tree.join(directory), &mut files);
    }
    files.sort();
    files
        .into_iter()
        .filter_map(|path| {
            let bytes = fs::read(&path).ok()?;
            let path = path.strip_prefix(tree).ok()?.to_string_lossy().into_owned();
            (bytes.len() <= MAX_INPUT_BYTES).then_some(Seed { path, bytes })
        })
        .collect()
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&entry.path(), files),
            Ok(kind) if kind.is_file() => files.push(entry.path()),
            _ => {}
        }
    }
}

/// The bytes of those that are objects of JSON which a target wants.
pub fn objects(seeds: &[Seed], wants: impl Fn(&Map<String, Value>) -> bool) -> Vec<Vec<u8>> {
    bytes(seeds, |seed| serde_json::from_slice(&seed.bytes).is_ok_and(|object| wants(&object)))
}

/// The bytes of those that a target wants.
pub fn bytes(seeds: &[Seed], wants: impl Fn(&Seed) -> bool) -> Vec<Vec<u8>> {
    seeds.iter().filter(|seed| wants(seed)).map(|seed| seed.bytes.clone()).collect()
}
