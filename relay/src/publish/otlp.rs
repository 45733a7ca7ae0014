//! The sink OTLP: batches of executions over HTTP, one at a time.

use super::report::Reporter;
use super::{Common, Work};
use crate::configuration::Otlp;
use crate::event::Event;
use crate::otlp::{Answer, Collector, request, spans};
use crate::outbox;
use crate::say::{Level, log};
use anyhow::Result;
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// How many executions go in one request.
const BATCH: usize = 64;
const SWEEP: Duration = Duration::from_secs(2);

struct Batch {
    files: Vec<(u64, String)>,
    host: String,
    spans: Vec<Value>,
}

pub(super) async fn run(common: Common, settings: Otlp) -> Result<()> {
    let mut work = Work::new(&common, super::OTLP)?;
    let mut report = Reporter::new(&common.state_dir, super::OTLP);
    let collector = Arc::new(Collector::new(&settings)?);
    let mut woken = common.woken.clone();
    let mut stop = common.stop.clone();
    let mut failures = 0;
    // after a batch that was refused for what is in it: one event at a time shows which
    let mut alone = 0_usize;
    loop {
        if work.todo.is_empty() {
            work.refresh();
        }
        let size = if alone > 0 { 1 } else { BATCH };
        let batch = gather(&mut work, &mut report, &common, size);
        if batch.files.is_empty() {
            if work.aside.is_empty() {
                report.none_aside();
            }
            work.save();
            report.save(false);
            if common.once && work.is_done() {
                break;
            }
            if common.once && work.is_held_up() {
                report.save(true);
                return Err(work.held_up().into());
            }
            tokio::select! {
                changed = woken.changed() => if changed.is_err() { tokio::time::sleep(SWEEP).await },
                () = tokio::time::sleep(SWEEP) => {}
                () = super::stopped(&mut stop) => break,
            }
            continue;
        }
        let answer = if batch.spans.is_empty() {
            Answer::Taken
        } else {
            let collector = collector.clone();
            let body = request(&batch.host, batch.spans);
            let posted = tokio::task::spawn_blocking(move || collector.post(&body));
            tokio::select! {
                answer = posted => answer?,
                // what the collector makes of it isn't known: it is sent again by the next one
                () = super::stopped(&mut stop) => break,
            }
        };
        let mut wait = Duration::ZERO;
        match answer {
            Answer::Taken | Answer::Partly(_) => {
                if let Answer::Partly(partly) = &answer {
                    log(Level::Warning, &format!("otlp: {partly}"));
                }
                failures = 0;
                alone = alone.saturating_sub(1);
                report.sent(batch.files.len() as u64);
                for (number, _) in batch.files {
                    work.done(number);
                }
            }
            Answer::Never(why) if batch.files.len() == 1 => {
                alone = alone.saturating_sub(1);
                for (number, name) in batch.files {
                    reject(&mut work, &mut report, &common, number, &name, &why);
                }
            }
            Answer::Never(_) => {
                alone = batch.files.len();
                for (number, name) in batch.files {
                    work.again(number, name);
                }
            }
            Answer::Again(trouble, asked) => {
                for (number, name) in batch.files {
                    work.again(number, name);
                }
                report.trouble(&trouble, work.waiting());
                wait = asked.unwrap_or_else(|| crate::hold_off(failures));
                failures += 1;
                if common.once && failures > 5 {
                    work.save();
                    report.save(true);
                    return Err(trouble.into());
                }
            }
        }
        report.save(false);
        if work.todo.is_empty() || !wait.is_zero() {
            work.save();
        }
        if !wait.is_zero() {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = super::stopped(&mut stop) => break,
            }
        }
    }
    work.save();
    report.save(true);
    Ok(())
}

/// Takes the oldest together, as far as they are one host's.
fn gather(work: &mut Work, report: &mut Reporter, common: &Common, size: usize) -> Batch {
    let mut batch = Batch { files: Vec::new(), host: String::new(), spans: Vec::new() };
    while batch.files.len() < size {
        let Some((number, name, bytes)) = work.next() else { break };
        let read = bytes.map_err(|error| error.to_string()).and_then(|bytes| {
            let event = Event::parse(&bytes)?;
            if event.id != outbox::id(&name) {
                return Err(format!("its id {} is not that of its name", event.id));
            }
            let host = event.host().unwrap_or_default().to_owned();
            Ok((host, spans(&event)?))
        });
        match read {
            Ok((host, spans)) => {
                if !batch.files.is_empty() && host != batch.host {
                    work.again(number, name);
                    break;
                }
                batch.host = host;
                batch.spans.extend(spans);
                batch.files.push((number, name));
            }
            Err(why) => reject(work, report, common, number, &name, &why),
        }
    }
    batch
}

/// Keeps a copy of what can never be taken.
fn reject(
    work: &mut Work,
    report: &mut Reporter,
    common: &Common,
    number: u64,
    name: &str,
    why: &str,
) {
    let bytes = work.outbox.read(name).unwrap_or_default();
    if work.refuse(report, &common.state_dir, number, name, &bytes, why) {
        work.done(number);
    }
}
