//! Finds keys without a value: what is usual holds, which is seldom meant.

use std::path::Path;

use super::finding::{Code, Findings};
use super::survey::Survey;
use crate::cli::fixes;
use crate::config::Diagnostic;
use crate::config::yaml::{self, Value};

pub(super) fn examine(survey: &Survey<'_>, path: &Path, text: &str, findings: &mut Findings) {
    let Ok(Value::Mapping(keys)) = yaml::read::<Value>(text) else { return };
    for (key, value) in &keys {
        let (Some(key), Value::Null) = (key.as_str(), value) else { continue };
        let words = format!(
            "`{key}` has no value, so what is usual holds; a value that begins with `#` or `&` has to be quoted"
        );
        let problem = Diagnostic::at_key(path, text, key, words);
        let fix = fixes::edit(survey.settings, path, problem.place.map(|(line, _)| line));
        findings.add_mistake(Code::MeaninglessKey, &problem, problem.one_line(), fix);
    }
}
