//! What `xml` is asked.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};

use super::values::OutputArgs;

#[derive(Debug, Subcommand)]
pub(crate) enum XmlCommand {
    /// Print the values at a path of the document, one per line
    ///
    /// The document is that of the hook ($_hook_domxml), else standard input; --file and --started name another
    /// one. The value of an attribute is printed as it is, that of an element is its text without the blanks around
    /// it; a line end in a value is printed as a blank.
    ///
    /// A path is a part of XPath: steps from the root element on, parted by `/` (children) or `//` (at any depth).
    /// A step is a name, a name with its prefix, or `*`, and may have conditions in brackets: `[2]` (counted from 1),
    /// `[@a]`, `[@a="v"]`, `[child]`, `[child="v"]`. `@a` at the end is an attribute. A path that begins with `/`
    /// has the root element as its first step.
    ///
    /// Exit status: 0 if each path has a value, 1 if one has none, 2 if a path or the document can't be read.
    #[command(after_help = "Examples:
  hookmux xml get name uuid
  hookmux xml get 'devices/interface/mac/@address'
  hookmux xml get 'devices/disk[@device=\"disk\"]/source/@file'
  hookmux xml get --quiet '//hostdev' && echo 'it has a passed-through device'
  virsh dumpxml web1 | hookmux xml get '//graphics[@type=\"vnc\"]/@port'")]
    Get(XmlGetArgs),
}

#[derive(Debug, Args)]
pub(crate) struct XmlGetArgs {
    /// What to print: `devices/disk/source/@file`
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<String>,
    /// Read this file, or standard input (-), instead of $_hook_domxml
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "started")]
    pub file: Option<PathBuf>,
    /// Read the document with which the guest was started ($HOOKMUX_STARTED_XML), at `stopped` and `release`
    #[arg(long)]
    pub started: bool,
    /// End each value with a NUL byte and change nothing in it
    #[arg(long, short = '0', conflicts_with = "output")]
    pub null: bool,
    /// Print nothing; the exit status is the answer
    #[arg(long, short)]
    pub quiet: bool,
    #[command(flatten)]
    pub output: OutputArgs,
}
