//! A registration as written; every key is optional.

use std::path::PathBuf;

use serde::Deserialize;

use crate::config::choice::{CallStyle, FailurePolicy, Mode, ResultKind, StdinKind};
use crate::config::rights::RunAs;
use crate::config::template::Template;
use crate::config::values::{OneOrMany, OptionalTimeout, Variables};
use crate::config::when::When;
use crate::machine::privileges::ResourceLimits;

/// The file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a mapping of keys")]
pub(super) struct RegistrationFragment {
    pub events: Option<OneOrMany>,
    pub calls: Option<OneOrMany>,
    pub command: Option<OneOrMany>,
    pub args: Option<Vec<Template>>,
    pub args_stdin: Option<bool>,
    pub weight: Option<i64>,
    pub check: Option<OneOrMany>,
    pub rollback: Option<OneOrMany>,
    pub undo: Option<OneOrMany>,
    pub shared: Option<bool>,
    pub when: Option<When>,
    pub timeout: Option<OptionalTimeout>,
    pub on_failure: Option<FailurePolicy>,
    pub result: Option<ResultKind>,
    pub run_as: Option<RunAs>,
    pub style: Option<CallStyle>,
    pub stdin: Option<StdinKind>,
    pub mode: Option<Mode>,
    pub retries: Option<u32>,
    pub max_parallel: Option<u32>,
    pub enabled: Option<bool>,
    pub parallel: Option<bool>,
    pub lock: Option<String>,
    pub filter: Option<bool>,
    pub kill_leftovers: Option<bool>,
    #[serde(default, deserialize_with = "crate::config::limits::optional")]
    pub limits: Option<ResourceLimits>,
    pub nice: Option<i32>,
    pub environment: Option<Variables>,
    pub environment_file: Option<PathBuf>,
    pub remote: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::keys;

    #[test]
    fn every_key_has_its_row() {
        let table = keys::REGISTRATION;
        keys::tests::assert_complete::<RegistrationFragment>(table, None);
        keys::tests::assert_complete::<When>(table, Some("when"));
        keys::tests::assert_complete::<crate::config::limits::LimitsFragment>(
            table,
            Some("limits"),
        );
        keys::tests::assert_complete::<RunAs>(table, Some("run_as"));
    }
}
