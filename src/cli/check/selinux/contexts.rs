//! The types that the policy has for files, by their paths: `file_contexts` of the policy in force.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::Path;

use super::pattern::Pattern;

/// The largest that is read of a file: Fedora's `file_contexts` has half a megabyte.
const MAX_BYTES: u64 = 16 << 20;

/// What the policy in force says of files.
#[derive(Debug, Default)]
pub(super) struct FileContexts {
    entries: Vec<Entry>,
    /// Paths that stand for others, such as `/usr/sbin` for `/usr/bin`.
    substitutes: Vec<Vec<(String, String)>>,
    /// Types that an administrator may have given on purpose, and that `restorecon` leaves as they are.
    customizable: BTreeSet<String>,
}

#[derive(Debug)]
struct Entry {
    pattern: Pattern,
    is_for_regular_files: bool,
    /// `None` where the policy says nothing on purpose.
    kind: Option<String>,
}

impl FileContexts {
    /// Reads the files of the policy that `/etc/selinux/config` below a root names.
    pub(super) fn read(root: &Path) -> Option<FileContexts> {
        let config = text(&root.join("etc/selinux/config"))?;
        let value = |line: &str| line.trim().strip_prefix("SELINUXTYPE=").map(str::to_owned);
        let policy = config.lines().rev().find_map(value)?;
        let contexts = root.join("etc/selinux").join(policy.trim()).join("contexts");
        let of = |name: &str| text(&contexts.join("files").join(name)).unwrap_or_default();
        let mut entries = Vec::new();
        // a later one is stronger
        for name in ["file_contexts", "file_contexts.homedirs", "file_contexts.local"] {
            entries.extend(of(name).lines().filter_map(entry));
        }
        let substitutes = ["file_contexts.subs", "file_contexts.subs_dist"];
        let customizable = text(&contexts.join("customizable_types")).unwrap_or_default();
        (!entries.is_empty()).then(|| FileContexts {
            entries,
            substitutes: substitutes.map(|name| of(name).lines().filter_map(pair).collect()).into(),
            customizable: customizable.lines().map(|line| line.trim().to_owned()).collect(),
        })
    }

    /// Returns the type that a regular file at a path has by the policy.
    pub(super) fn expected(&self, path: &Path) -> Option<&str> {
        let mut path = path.to_string_lossy().into_owned();
        for list in &self.substitutes {
            let new = list.iter().find_map(|(from, to)| {
                let rest = path.strip_prefix(from.as_str())?;
                let is_whole = rest.is_empty() || rest.starts_with('/');
                is_whole.then(|| format!("{to}{rest}"))
            });
            path = new.unwrap_or(path);
        }
        let find = |is_plain: bool| {
            self.entries.iter().rev().find(|entry| {
                entry.is_for_regular_files
                    && entry.pattern.is_plain() == is_plain
                    && entry.pattern.matches(&path)
            })
        };
        // a path as it is written is stronger than any pattern
        find(true).or_else(|| find(false))?.kind.as_deref()
    }

    pub(super) fn is_customizable(&self, kind: &str) -> bool {
        self.customizable.contains(kind)
    }
}

/// Returns the type of a context such as `system_u:object_r:bin_t:s0`.
pub(super) fn type_of(context: &str) -> Option<&str> {
    context.split(':').nth(2).filter(|kind| !kind.is_empty())
}

fn entry(line: &str) -> Option<Entry> {
    let mut words = line.split_whitespace();
    let first = words.next().filter(|word| !word.starts_with('#'))?;
    let second = words.next()?;
    let (file_type, context) = match words.next() {
        Some(third) => (second, third),
        None => ("", second),
    };
    let kind = match context {
        "<<none>>" => None,
        context => Some(type_of(context)?.to_owned()),
    };
    let is_for_regular_files = matches!(file_type, "" | "--");
    Some(Entry { pattern: Pattern::new(first), is_for_regular_files, kind })
}

fn pair(line: &str) -> Option<(String, String)> {
    let mut words = line.split_whitespace();
    let first = words.next().filter(|word| !word.starts_with('#'))?;
    Some((first.to_owned(), words.next()?.to_owned()))
}

fn text(path: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    fs::File::open(path).ok()?.take(MAX_BYTES).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
