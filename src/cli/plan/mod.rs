//! `hookmux plan`: shows what would run at a call, or at all calls of a guest's life, and why not the rest. Runs
//! nothing.

pub(crate) mod actions;
mod consequence;
mod failing;
pub(crate) mod guest;
mod guest_json;
mod guest_text;
pub(crate) mod known;
mod life;
mod planned_call;
mod ports;
mod release_reason;
mod single_call;
mod tree;
mod words;

use super::args::PlanArgs;
use super::output::Output;
use super::{CommandEnd, CommandPlace};

pub(crate) fn run(
    place: &CommandPlace,
    arguments: &PlanArgs,
    output: &mut Output,
) -> anyhow::Result<CommandEnd> {
    match arguments.call() {
        Some(words) => single_call::run(place, arguments, words, output),
        None => guest::run(place, arguments, output),
    }
}
