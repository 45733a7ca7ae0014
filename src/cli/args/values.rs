//! The words that commands share: the output's form, the reason of a change, reloading, and single values.

use clap::{Args, ValueEnum};

use crate::cli::terminal::ColorChoice;
use crate::cli::time::TimeStyle;
use crate::cli::usage;
use crate::config::suggest::suggestion;
use crate::event::Origin;
use crate::libvirt::Driver;

/// The format of an output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Text,
    /// For programs: one object
    Json,
}

/// In which form a command prints.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct OutputArgs {
    /// How to print
    #[arg(
        id = "output",
        short = 'o',
        long,
        value_enum,
        ignore_case = true,
        default_value_t,
        value_name = "FORMAT"
    )]
    pub format: Format,
}

/// Reads a weight.
///
/// # Errors
/// The word is none.
pub(super) fn weight(word: &str) -> Result<i64, String> {
    word.parse().map_err(|_| "it is a whole number, such as 100 or -5".to_owned())
}

/// Reads how many of something are asked for.
///
/// # Errors
/// The word is no such number.
pub(super) fn whole_number(word: &str) -> Result<usize, String> {
    word.parse().map_err(|_| "it is a whole number, such as 20".to_owned())
}

/// Reads a truth value.
///
/// # Errors
/// The word is none.
pub(crate) fn truth(word: &str) -> Result<bool, String> {
    match word.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err("it is 1 or 0".to_owned()),
    }
}

/// How text is shown.
#[derive(Clone, Copy, Debug, Args)]
#[command(next_help_heading = "Text")]
pub(crate) struct ViewArgs {
    /// Show all columns (of `list` also weight, style, sha256 and root), and shorten nothing
    #[arg(long, global = true)]
    pub wide: bool,
    /// When to use colour [default: auto: on a terminal, if NO_COLOR isn't set]
    #[arg(
        long,
        global = true,
        value_enum,
        ignore_case = true,
        default_value_t,
        hide_default_value = true,
        hide_possible_values = true,
        value_name = "auto|always|never"
    )]
    pub color: ColorChoice,
    /// How tables show times: relative is `2 min ago`, absolute the local time [default: absolute; of `list` relative]
    #[arg(
        long,
        global = true,
        value_enum,
        ignore_case = true,
        hide_possible_values = true,
        value_name = "relative|absolute"
    )]
    pub time: Option<TimeStyle>,
    /// Don't start a pager ($PAGER, else less) for what is longer than the screen
    #[arg(long, global = true)]
    pub no_pager: bool,
}

/// Whether differences of files are shown.
#[derive(Clone, Debug, Args)]
pub(crate) struct DiffArgs {
    /// Show what changes in files, as a unified diff; with --dry-run the exit status is 1 if something would
    /// change
    #[arg(id = "diff", long = "diff")]
    pub is_wanted: bool,
}

/// The reason of a change.
#[derive(Clone, Debug, Args)]
pub(crate) struct ReasonArgs {
    /// Why; stored with the user's name, for `log --audit`
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Whether daemons are reloaded.
#[derive(Debug, Args)]
pub(crate) struct ReloadArgs {
    /// Reload the daemons that use this hooks directory, and wait until each has looked for its hooks
    #[arg(long)]
    pub reload: bool,
    /// How long to wait for them
    #[arg(long, value_parser = crate::config::values::parse_duration, value_name = "TIME", default_value = "30s", requires = "reload")]
    pub reload_timeout: std::time::Duration,
}

impl ReloadArgs {
    /// Checks the options.
    ///
    /// # Errors
    /// The timeout is too short.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        let is_enough = self.reload_timeout.as_secs() > 0;
        usage::ensure(is_enough, "--reload-timeout needs at least a second")
    }
}

pub(super) fn driver(word: &str) -> Result<Driver, String> {
    Driver::from_name(word).ok_or_else(|| {
        let names = Driver::ALL.map(Driver::name).join(", ");
        let hint = match suggestion(word, Driver::ALL.map(Driver::name)) {
            hint if hint.is_empty() => "; a call begins with one: `qemu web1 prepare`".to_owned(),
            hint => hint,
        };
        format!("libvirt's hook drivers are {names}{hint}")
    })
}

/// Reads the driver of a guest or a network.
///
/// # Errors
/// It has neither.
pub(super) fn guest_driver(word: &str) -> Result<Driver, String> {
    match driver(word)? {
        Driver::Daemon => Err("the daemon has no guests".to_owned()),
        driver => Ok(driver),
    }
}

pub(super) fn origin(word: &str) -> Result<Origin, String> {
    [Origin::Fresh, Origin::Restore, Origin::Migration]
        .into_iter()
        .find(|origin| origin.name() == word)
        .ok_or_else(|| "an origin is fresh, restore or migration".to_owned())
}
