//! What `new`, `add`, `import`, `delete`, `enable` and `disable` are asked.

use std::path::PathBuf;

use clap::builder::NonEmptyStringValueParser as NotEmpty;
use clap::{Args, ValueEnum, ValueHint};

use super::values::{DiffArgs, OutputArgs, ReasonArgs, truth, weight};
use crate::config::choice::{CallStyle, FailurePolicy, Mode, ResultKind};

/// The language of a new script.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScriptLanguage {
    /// The POSIX shell
    #[default]
    Sh,
    /// Bash
    Bash,
    /// Python 3
    Python,
}

#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The event at which it runs: `hookmux events` shows all of them
    #[arg(value_parser = NotEmpty::new())]
    pub event: String,
    /// The hook's name: hooks of an event run in the order of their names, so scripts often begin with a number
    pub name: String,
    /// The script's language [default: sh]
    #[arg(long, value_enum, value_name = "LANGUAGE")]
    pub language: Option<ScriptLanguage>,
    /// Also make a registration: with it a hook can have conditions, a time limit, an undo and more
    #[arg(long)]
    pub registered: bool,
    /// Make a registered hook that takes back what it has set up
    #[arg(long)]
    pub undo: bool,
    /// Make a registered hook with this condition: driver, name, uuid, title, reason, origin, network or property.NAME,
    /// and a pattern; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub when: Vec<String>,
    /// Only show what would be made
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub reason: ReasonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct AddArgs {
    /// `script` (which may be left out before the path of a program), `module`, a ready-made hook, or the file of a
    /// registration, or a directory of such files; `-` is standard input, and needs --name
    #[arg(value_name = "script|module|contrib/NAME|FILE.yaml|DIR|-", value_hint = ValueHint::FilePath)]
    pub what: PathBuf,
    /// The script's path, or the module's name
    #[arg(value_name = "PATH|MODULE|FILE.yaml", value_hint = ValueHint::FilePath)]
    pub reference: Option<PathBuf>,
    /// More files of registrations
    #[arg(value_name = "FILE.yaml", value_hint = ValueHint::FilePath)]
    pub more: Vec<PathBuf>,
    /// 1: the options describe the hook, and nothing is asked; the default if any is given. 0: the script or
    /// module is asked, and options count only if it has no description
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "1", value_parser = truth)]
    pub manual: Option<bool>,
    /// Run the script to describe itself, even if its text doesn't contain --describe
    #[arg(long)]
    pub describe: bool,
    /// cPanel's word for what is registered; has to be the same as the first word
    #[arg(long, value_parser = EXECTYPES, ignore_case = true)]
    pub exectype: Option<String>,
    #[command(flatten)]
    pub register: RegisterArgs,
    #[command(flatten)]
    pub options: HookOptions,
}

/// How `add` and `import` register hooks.
#[derive(Clone, Debug, Args)]
pub(crate) struct RegisterArgs {
    /// Where the ready-made hooks lie, for contrib/NAME and for saschpe's files
    /// [default: share/hookmux/contrib/hooks of the installation]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub from: Option<PathBuf>,
    /// Replace registrations of the same name
    #[arg(long)]
    pub replace: bool,
    /// Only show what would be registered; runs nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub diff: DiffArgs,
    #[command(flatten)]
    pub reason: ReasonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What is registered, given by options.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "What to register, without asking")]
pub(crate) struct HookOptions {
    /// The registration's name [default: made from the script's and the event's name]
    #[arg(long)]
    pub name: Option<String>,
    /// The event: before_vm_start, or (with category and stage) start; may be repeated
    #[arg(long)]
    pub event: Vec<String>,
    /// cPanel's category: vm, device, network, daemon or vdsm
    #[arg(long)]
    pub category: Option<String>,
    /// cPanel's stage: pre or post
    #[arg(long)]
    pub stage: Option<String>,
    /// Its order at the event, lower first [default: 100 more than the highest]
    #[arg(long, allow_negative_numbers = true, value_parser = weight)]
    pub weight: Option<i64>,
    /// A command to run before: if it fails, the hook is skipped
    #[arg(long, value_name = "COMMAND")]
    pub check: Option<String>,
    /// A command to run if a later hook makes the call fail
    #[arg(long, value_name = "COMMAND")]
    pub rollback: Option<String>,
    /// A command to run at the end of the guest, network or port: it takes back what the hook set up
    #[arg(long, value_name = "COMMAND")]
    pub undo: Option<String>,
    /// Guests share what it sets up: it runs for the first, and --undo for the last
    #[arg(long)]
    pub shared: bool,
    /// The script's arguments, split as in a shell; or the module's function
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub action: Option<String>,
    /// One more argument, in which $NAME, $UUID and the like are filled in; may be repeated
    #[arg(long, value_name = "ARGUMENT", allow_hyphen_values = true)]
    pub args: Vec<String>,
    /// cPanel's option for root's rights, which hooks have anyway; 0 means --run-as nobody
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "1", value_parser = truth)]
    pub escalateprivs: Option<bool>,
    /// cPanel's option for what a failure means: 1 is --on-failure stop, 0 is --on-failure warn
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "1", value_parser = truth)]
    pub blocking: Option<bool>,
    /// The user and group whose rights it has
    #[arg(long, value_name = "USER[:GROUP]")]
    pub run_as: Option<String>,
    /// Its time limit: 30s, 2m; 0 means only the call's limit
    #[arg(long, value_name = "TIME")]
    pub timeout: Option<String>,
    /// What happens if it fails
    #[arg(long, value_parser = FailurePolicy::WORDS)]
    pub on_failure: Option<String>,
    /// How it says whether it succeeded [default: status-line with category and stage, else exit-status]
    #[arg(long, value_parser = ResultKind::WORDS)]
    pub result: Option<String>,
    /// Whether libvirt waits for it
    #[arg(long, value_parser = Mode::WORDS)]
    pub mode: Option<String>,
    /// How it is called
    #[arg(long, value_parser = CallStyle::WORDS)]
    pub style: Option<String>,
    /// A condition: driver, name, uuid, title, reason, origin, network or property.NAME, and a
    /// pattern; may be repeated
    #[arg(long, value_name = "KEY=VALUE")]
    pub when: Vec<String>,
}

/// A hook system whose files can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ForeignSystem {
    /// Templates of OpenNebula's hooks
    #[value(name = "opennebula")]
    OpenNebula,
    /// The hooks.json of saschpe/libvirt-hook-qemu
    Saschpe,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Whose files they are
    #[arg(value_enum, ignore_case = true, value_name = "SYSTEM")]
    pub system: ForeignSystem,
    /// The files; `-` is standard input
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<PathBuf>,
    /// For opennebula: the event or call for templates for which no event stands; may be repeated
    #[arg(long)]
    pub event: Vec<String>,
    /// For opennebula: leave out what can't be imported, and import the others
    #[arg(long)]
    pub skip: bool,
    #[command(flatten)]
    pub register: RegisterArgs,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    /// The directory; it is made if there is none
    #[arg(value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub directory: PathBuf,
    /// The registrations' names [default: all of the hooks directory]
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// Replace files with another content
    #[arg(long)]
    pub replace: bool,
    /// Only show what would be written
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub diff: DiffArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    /// `script`, `module`, or the name or the id of a registration
    #[arg(value_name = "script|module|NAME")]
    pub what: PathBuf,
    /// The script's path, or the module's name
    #[arg(value_name = "PATH|MODULE", value_hint = ValueHint::FilePath)]
    pub reference: Option<PathBuf>,
    /// 1: only what the options select, as without it. 0: all that the script or module has; no options
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "1", value_parser = truth)]
    pub manual: Option<bool>,
    /// cPanel's word for what is deleted; has to be the same as the first word
    #[arg(long, value_parser = EXECTYPES, ignore_case = true)]
    pub exectype: Option<String>,
    /// Only show what would be deleted
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub diff: DiffArgs,
    /// If there is no such registration, change nothing and end well
    #[arg(long)]
    pub ignore_missing: bool,
    #[command(flatten)]
    pub selectors: Selectors,
    #[command(flatten)]
    pub reason: ReasonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// Which registrations of a script or a module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Which of them")]
pub(crate) struct Selectors {
    /// At this event: before_vm_start, or (with category and stage) start; or at this call; may be repeated
    #[arg(long)]
    pub event: Vec<String>,
    /// Of this category: vm, device, network, daemon or vdsm
    #[arg(long)]
    pub category: Option<String>,
    /// Of this stage: pre or post
    #[arg(long)]
    pub stage: Option<String>,
    /// With these arguments of the script, split as in a shell; or of this function of the module
    #[arg(long, value_name = "WORDS", allow_hyphen_values = true)]
    pub action: Option<String>,
    /// With this weight
    #[arg(long, allow_negative_numbers = true, value_parser = weight)]
    pub weight: Option<i64>,
    /// With this check
    #[arg(long, value_name = "COMMAND")]
    pub check: Option<String>,
    /// With this rollback
    #[arg(long, value_name = "COMMAND")]
    pub rollback: Option<String>,
    /// 1: with root's rights; 0: with those of nobody
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "1", value_parser = truth)]
    pub escalateprivs: Option<bool>,
    /// 1: with on_failure stop; 0: with on_failure warn
    #[arg(long, value_name = "0|1", num_args = 0..=1, default_missing_value = "1", value_parser = truth)]
    pub blocking: Option<bool>,
}

/// cPanel's words for what is registered.
pub(crate) const EXECTYPES: [&str; 2] = ["script", "module"];

#[derive(Debug, Args)]
pub(crate) struct EditArgs {
    /// A registration's name or id, or a script: event/name
    #[arg(value_name = "NAME", required_unless_present = "settings", conflicts_with = "settings")]
    pub name: Option<String>,
    /// Edit hookmux.yaml; if there is none, it begins with an example in comments
    #[arg(long)]
    pub settings: bool,
    /// Show what was changed, as a unified diff
    #[arg(long)]
    pub diff: bool,
    #[command(flatten)]
    pub reason: ReasonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct SwitchArgs {
    /// The registrations' names
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// Only show what would be changed
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub diff: DiffArgs,
    #[command(flatten)]
    pub reason: ReasonArgs,
    #[command(flatten)]
    pub output: OutputArgs,
}
