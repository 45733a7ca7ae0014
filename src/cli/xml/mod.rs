//! `hookmux xml get`: values of a document, for hooks, so that no script searches XML with grep.

pub(crate) mod path;

use std::env;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::CommandEnd;
use super::args::{Format, XmlGetArgs};
use super::json;
use super::output::Output;
use crate::document::input;
use crate::libvirt::{Document, document};
use crate::machine::sanitize;
use path::XmlPath;

/// Reads one of a hook's documents and prints what lies at the paths.
pub(super) fn get(arguments: &XmlGetArgs, output: &mut Output) -> anyhow::Result<CommandEnd> {
    match read(arguments) {
        Ok(found) => Ok(print(arguments, &found, output)),
        // 1 is the answer that there is nothing
        Err(error) => {
            match arguments.output.format {
                Format::Json => output.json(&json::message::Error::from(&error)),
                Format::Text => output.print_error(&format!("{error:#}")),
            }
            Ok(CommandEnd::Unanswered)
        }
    }
}

/// The values at each path.
fn read(arguments: &XmlGetArgs) -> anyhow::Result<Vec<Vec<String>>> {
    let mut paths = Vec::new();
    for text in &arguments.paths {
        let path = XmlPath::parse(text)
            .map_err(|error| anyhow::anyhow!("the path `{text}` can't be read: {error}"))?;
        paths.push(path);
    }
    let (bytes, source) = document_bytes(arguments)?;
    let tree = document::parse(&bytes).map_err(|why| anyhow::anyhow!("{source}: {why}"))?;
    let values = |(path, text): (&XmlPath, &String)| {
        path.values(&tree).map_err(|why| anyhow::anyhow!("the path `{text}`: {why}"))
    };
    paths.iter().zip(&arguments.paths).map(values).collect()
}

/// Reads the document that was asked for, else the one that this hook has.
fn document_bytes(arguments: &XmlGetArgs) -> anyhow::Result<(Vec<u8>, String)> {
    let variable = |name: &str| env::var_os(name).filter(|it| !it.is_empty()).map(PathBuf::from);
    let file = if arguments.started {
        let why = "HOOKMUX_STARTED_XML isn't set: hooks have it at `stopped` and `release`, where the guest has run";
        Some(variable("HOOKMUX_STARTED_XML").context(why)?)
    } else {
        arguments.file.clone().or_else(|| variable("_hook_domxml"))
    };
    match file.filter(|it| it != Path::new("-")) {
        Some(file) => {
            let bytes = input::read_file(&file).with_context(|| file.display().to_string())?;
            Ok((bytes, file.display().to_string()))
        }
        None => Ok((standard_input()?, "standard input".to_owned())),
    }
}

fn standard_input() -> anyhow::Result<Vec<u8>> {
    if std::io::stdin().is_terminal() {
        bail!(
            "there is no document: _hook_domxml isn't set, and standard input is a terminal; --file FILE names one"
        );
    }
    match input::read() {
        Document::Absent => bail!("standard input is empty"),
        document => match document.bytes() {
            Some(bytes) => Ok(bytes.to_vec()),
            None => {
                bail!("standard input: {}", document.why_not_read().unwrap_or("it can't be read"))
            }
        },
    }
}

fn print(arguments: &XmlGetArgs, found: &[Vec<String>], output: &mut Output) -> CommandEnd {
    let is_all_there = found.iter().all(|values| !values.is_empty());
    if !arguments.quiet {
        match arguments.output.format {
            Format::Json => {
                let paths = arguments.paths.iter().zip(found);
                let values = paths.map(|(path, values)| json::xml::AtPath {
                    path: path.clone(),
                    values: values.clone(),
                });
                output.json(&json::xml::XmlGet { paths: values.collect() });
            }
            Format::Text => {
                for value in found.iter().flatten() {
                    if arguments.null {
                        output.bytes(value.as_bytes());
                        output.bytes(b"\0");
                    } else {
                        output.write(&format!("{}\n", one_line(value)));
                    }
                }
            }
        }
    }
    if is_all_there { CommandEnd::Good } else { CommandEnd::Problem }
}

/// A value that is one line, whatever a guest's owner has written into it. A program gets each other character as it
/// is; a terminal only what it can show.
fn one_line(value: &str) -> String {
    let line = value.replace(['\n', '\r'], " ");
    if std::io::stdout().is_terminal() { sanitize::printed_line(&line) } else { line }
}
