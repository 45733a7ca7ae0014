//! The patterns of `file_contexts`: Perl's regular expressions, as far as the crate knows them. What it doesn't
//! know, such as a look ahead, matches nothing; no policy that was seen has that.

use regex_lite::RegexBuilder;

/// The largest that a pattern may become, in bytes of memory: `{1000}` of `{1000}` isn't a path's.
const MAX_PATTERN_BYTES: usize = 1 << 20;
/// What isn't itself in a regular expression.
const SPECIAL: &[char] = &['.', '^', '$', '?', '*', '+', '|', '[', '(', '{', '\\', ')'];

/// A pattern that has to match all of a path.
#[derive(Clone, Debug)]
pub(super) struct Pattern {
    text: String,
    /// What each match begins with: it spares most patterns the work.
    stem: String,
    is_plain: bool,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Pattern {
        let mut stem = String::new();
        let mut rest = text;
        let is_plain = loop {
            let part = rest.find(SPECIAL).unwrap_or(rest.len());
            let (plain, special) = rest.split_at(part);
            stem.push_str(plain);
            // an escaped mark stands for itself, an escaped letter for a class
            let mut marks = special.chars();
            match (marks.next(), marks.next()) {
                (None, _) => break true,
                (Some('\\'), Some(mark)) if mark.is_ascii_punctuation() => stem.push(mark),
                // the character before it may be missing, or be one of several choices
                (Some('?' | '*' | '{'), _) => {
                    stem.pop();
                    break false;
                }
                (Some('|'), _) => {
                    stem.clear();
                    break false;
                }
                _ => break false,
            }
            rest = marks.as_str();
        };
        if text.contains('|') && !is_plain {
            // it may divide the whole pattern
            stem.clear();
        }
        Pattern { text: text.to_owned(), stem, is_plain }
    }

    /// Tells whether it stands for one path alone.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    pub(super) fn matches(&self, path: &str) -> bool {
        if self.is_plain {
            return path == self.stem;
        }
        path.starts_with(&self.stem)
            && RegexBuilder::new(&format!("^(?:{})$", self.text))
                .dot_matches_new_line(true)
                .size_limit(MAX_PATTERN_BYTES)
                .build()
                .is_ok_and(|pattern| pattern.is_match(path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_policies_match_paths() {
        for (pattern, yes, no) in [
            ("/etc/libvirt/hooks(/.*)?", "/etc/libvirt/hooks", "/etc/libvirt/hooksx"),
            ("/etc/libvirt/hooks(/.*)?", "/etc/libvirt/hooks/qemu.d/a/b", "/etc/libvirt"),
            ("/etc/libvirt/[^/]*", "/etc/libvirt/qemu.conf", "/etc/libvirt/hooks/qemu"),
            ("/usr/(.*/)?sbin(/.*)?", "/usr/sbin/hookmux-qemu", "/usr/sbinx"),
            ("/usr/(.*/)?sbin(/.*)?", "/usr/local/sbin/x", "/usr/local/xsbin/x"),
            ("/home/[^/]+/.+", "/home/me/x", "/home/me/"),
            ("/dev/[shmxv]d[^/]*", "/dev/sda1", "/dev/zd"),
            ("/x/(a|bc|d?)y", "/x/bcy", "/x/cy"),
            ("/x/(a|bc|d?)y", "/x/y", "/x/ay/"),
            ("/x/ab?c", "/x/ac", "/x/abbc"),
            ("/x/ab{2}", "/x/abb", "/x/ab"),
            ("/one|/two", "/two", "/one/two"),
            ("/usr/lib(64)?/x\\.so(\\.[0-9]+){0,2}", "/usr/lib64/x.so.1.22", "/usr/lib/x.so.1.2.3"),
            ("/a[]x]b[a-c-]", "/a]b-", "/aybd"),
            ("/p/\\d{2}", "/p/12", "/p/1"),
            ("/(?:one|two)", "/two", "/three"),
            ("/x/é", "/x/é", "/x/e"),
            ("/x/.", "/x/\n", "/x/"),
        ] {
            let pattern = Pattern::new(pattern);
            assert!(pattern.matches(yes), "{pattern:?} and {yes}");
            assert!(!pattern.matches(no), "{pattern:?} and {no}");
        }
    }

    #[test]
    fn plain_ones_stand_for_one_path() {
        for (pattern, is_plain) in [
            ("/a/b\\.c", true),
            ("/a/b", true),
            ("/a/b.c", false),
            ("/a/b(/.*)?", false),
            ("/a/b?", false),
            ("/a/\\d", false),
        ] {
            assert_eq!(Pattern::new(pattern).is_plain(), is_plain, "{pattern}");
        }
    }

    #[test]
    fn what_is_not_understood_matches_nothing() {
        for pattern in ["/a(", "/a)", "/a[", "*", "/a{3,2}", "/a(?=b).*", "/((a{999}){999}){999}"] {
            assert!(!Pattern::new(pattern).matches("/ab"), "{pattern}");
        }
    }

    #[test]
    fn no_pattern_takes_long() {
        let path = format!("/{}", "a".repeat(4_000));
        for pattern in ["/(a*)*b", "/(a|aa)+b", "/.*.*.*.*b", "/((a?){50}){50}b"] {
            assert!(!Pattern::new(pattern).matches(&path), "{pattern}");
        }
    }
}
