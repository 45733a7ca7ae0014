//! Scripts that more than one file of tests uses.

use crate::host::Host;

/// Edits the document by a new file in its place.
pub const TITLE: &str =
    r#"sed -i 's|<devices>|<title>of the first</title><devices>|' "$_hook_domxml""#;

/// Edits the document in its place, and says whether it saw the edit of `TITLE`.
pub const DESCRIPTION: &str = r#"
grep -q '<title>of the first</title>' "$_hook_domxml" && say "second saw the first"
text=$(cat "$_hook_domxml")
printf '%s\n' "$text" | sed 's|<devices>|<description>of the second</description><devices>|' >"$_hook_domxml"
"#;

/// What a document has after both.
#[track_caller]
pub fn assert_both_edits(xml: &str) {
    for edit in ["<title>of the first</title>", "<description>of the second</description>"] {
        assert!(xml.contains(edit), "{edit} is missing: {xml}");
    }
}

impl Host {
    /// A script at each of these events that says the event's name.
    pub fn follow(&self, events: &[&str]) {
        for event in events {
            self.script(&format!("{event}/50-follow"), "say \"$HOOKMUX_EVENT\"");
        }
    }
}
