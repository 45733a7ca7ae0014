//! What an input has shown to be wrong, and the file that keeps the input.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// How something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Two ways to the same answer come to different ones, or a promise isn't kept.
    Disagreement,
    Panic,
    /// The process died.
    Death,
    /// It took more processor time than any input may.
    Slow,
    /// It didn't end.
    Endless,
    /// The time grows faster than the input.
    Growth,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Disagreement => "disagreement",
            Kind::Panic => "panic",
            Kind::Death => "death",
            Kind::Slow => "slow",
            Kind::Endless => "endless",
            Kind::Growth => "growth",
        }
    }
}

/// Something wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub kind: Kind,
    /// What is the same for all inputs that show it.
    pub what: String,
    /// What was seen with this input.
    pub detail: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.name(), self.what)?;
        for line in self.detail.lines().take(12) {
            let line: String = line.chars().take(400).collect();
            write!(f, "\n    {}", line.escape_debug())?;
        }
        Ok(())
    }
}

/// The end of a file that holds a shape instead of an input.
pub const SHAPE_END: &str = ".growth.json";

/// Keeps an input, and returns where. The name tells the target, the kind and the content.
///
/// # Errors
/// As of `mkdir(2)`, `open(2)`, `write(2)`.
pub fn keep(directory: &Path, target: &str, kind: Kind, input: &[u8]) -> io::Result<PathBuf> {
    fs::create_dir_all(directory)?;
    let digest = input.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let end = if kind == Kind::Growth { SHAPE_END } else { ".input" };
    let path = directory.join(format!("{target}-{}-{digest:016x}{end}", kind.name()));
    fs::write(&path, input)?;
    Ok(path)
}

/// The target whose input a file holds, by its name.
pub fn target_of(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()?.split('-').next()
}

/// A path as it is told: from here, where it lies below.
pub fn shown(path: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).to_path_buf()
}
