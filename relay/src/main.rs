//! hookmux-relay: carries hookmux's events to other hosts, and runs hooks for events of other hosts.

mod args;
mod configuration;
mod connection;
mod consume;
mod cursor;
mod dead;
mod ensure;
mod event;
mod filter;
mod identity;
mod nats;
mod otlp;
mod outbox;
mod publish;
mod say;
mod status;
mod subject;
mod ulid;
mod watch;

use anyhow::{Context, Result};
use args::{Arguments, Command};
use clap::{CommandFactory, Parser};
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match run(&arguments) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            say::log(say::Level::Error, &format!("{error:#}"));
            ExitCode::from(1)
        }
    }
}

/// What the exit status is: 0 done, 1 it met or found a problem.
fn run(arguments: &Arguments) -> Result<u8> {
    let config = arguments.config.as_deref();
    if let Command::Man { directory } = &arguments.command {
        return man(directory);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let status = runtime.block_on(async {
        match &arguments.command {
            Command::Publish(publish) => publish::run(config, publish).await,
            Command::Status(output) => status::run(config, output.output).await,
            Command::EnsureStream(ensure) => ensure::run(config, ensure).await,
            Command::Watch(watch) => watch::run(config, watch).await,
            Command::Consume => consume::run(config).await,
            Command::Dead(dead) => dead::run(config, dead).await,
            Command::Man { .. } => Ok(0),
        }
    });
    // a request that hangs in another thread holds nothing up
    runtime.shutdown_background();
    status
}

/// Writes a page for the program and for each of its commands.
fn man(directory: &std::path::Path) -> Result<u8> {
    let mut command = Arguments::command();
    command.build();
    let mut pages = vec![(command.get_name().to_owned(), command)];
    while let Some((name, command)) = pages.pop() {
        for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            pages.push((format!("{name}-{}", inner.get_name()), inner.clone()));
        }
        let mut text = Vec::new();
        clap_mangen::Man::new(command.display_name(name.clone()))
            .title(&name)
            .section("8")
            .render(&mut text)?;
        let file = directory.join(format!("{name}.8"));
        std::fs::write(&file, text).with_context(|| format!("{}", file.display()))?;
    }
    Ok(0)
}

/// A number below a limit, by chance: so that a thousand hosts don't come back in step.
fn chance(below: u64) -> u64 {
    use ring::rand::{SecureRandom, SystemRandom};
    let mut bytes = [0; 8];
    let _ = SystemRandom::new().fill(&mut bytes);
    u64::from_le_bytes(bytes) % below.max(1)
}

/// A back-off: from 0.1 to 5 s, half of it by chance.
fn hold_off(failures: u32) -> std::time::Duration {
    let most = (100_u64 << failures.min(6)).min(5000);
    std::time::Duration::from_millis(most / 2 + chance(most / 2))
}

/// Comes back where the process is asked to end.
async fn asked_to_end() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
