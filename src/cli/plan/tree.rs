//! A tree for people, as `systemctl list-dependencies` draws it.

use crate::cli::output::{Output, Tone};

/// A line of a tree, with the lines below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub text: String,
    pub tone: Tone,
    pub below: Vec<Node>,
}

impl Node {
    pub(super) fn leaf(tone: Tone, text: String) -> Node {
        Node { text, tone, below: Vec::new() }
    }

    pub(super) fn with(tone: Tone, text: String, below: Vec<Node>) -> Node {
        Node { text, tone, below }
    }
}

/// Prints nodes side by side.
pub(super) fn show(nodes: &[Node], output: &mut Output) {
    show_below("", nodes, output);
}

fn show_below(indent: &str, nodes: &[Node], output: &mut Output) {
    for (index, node) in nodes.iter().enumerate() {
        let is_last = index + 1 == nodes.len();
        let (branch, more) = if is_last { ("└─", "  ") } else { ("├─", "│ ") };
        output.branch(&format!("{indent}{branch}"), node.tone, &node.text);
        show_below(&format!("{indent}{more}"), &node.below, output);
    }
}
