//! Many hosts at once: each with a connection of its own, publishing acknowledged events at a steady rate.
//!
//!     hosts URLS HOSTS RATE SECONDS
//!
//! Prints one line: how many events were acknowledged, how many not, and how long the acknowledgements took.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use async_nats::jetstream::{self, message::PublishMessage};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::time::{Duration, Instant};

#[derive(Default)]
struct Sum {
    good: u64,
    bad: u64,
    microseconds: Vec<u64>,
}

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [urls, hosts, rate, seconds] = words.as_slice() else {
        println!("usage: hosts URLS HOSTS RATE SECONDS");
        std::process::exit(2);
    };
    let (hosts, rate, seconds) =
        (hosts.parse().unwrap(), rate.parse().unwrap(), seconds.parse().unwrap());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(simulate(urls, hosts, rate, seconds));
}

async fn simulate(urls: &str, hosts: u64, rate: u64, seconds: u64) {
    let servers: Vec<async_nats::ServerAddr> =
        urls.split(',').map(|url| url.parse().unwrap()).collect();
    let begin = Instant::now();
    let mut clients = Vec::new();
    for _ in 0..hosts {
        clients.push(async_nats::ConnectOptions::new().connect(servers.clone()).await.unwrap());
    }
    let connected = begin.elapsed();
    let start = Instant::now() + Duration::from_millis(200);
    let mut tasks = tokio::task::JoinSet::new();
    for (host, client) in clients.into_iter().enumerate() {
        tasks.spawn(one(client, host as u64, hosts, rate, start, seconds));
    }
    let mut all = Sum::default();
    while let Some(sum) = tasks.join_next().await {
        let sum = sum.unwrap();
        all.good += sum.good;
        all.bad += sum.bad;
        all.microseconds.extend(sum.microseconds);
    }
    let took = start.elapsed().as_secs_f64();
    all.microseconds.sort_unstable();
    let at = |part: f64| {
        let index = (all.microseconds.len() as f64 * part) as usize;
        all.microseconds
            .get(index.min(all.microseconds.len().saturating_sub(1)))
            .copied()
            .unwrap_or(0) as f64
            / 1000.0
    };
    println!(
        "{hosts} hosts, {rate} events/s each: {} acknowledged, {} not, {:.0}/s; connected in {:.2} s; acknowledged after {:.1} ms (half), {:.1} ms (9 of 10), {:.1} ms (99 of 100)",
        all.good,
        all.bad,
        all.good as f64 / took,
        connected.as_secs_f64(),
        at(0.5),
        at(0.9),
        at(0.99),
    );
}

async fn one(
    client: async_nats::Client,
    host: u64,
    hosts: u64,
    rate: u64,
    start: Instant,
    seconds: u64,
) -> Sum {
    let context =
        jetstream::ContextBuilder::new().ack_timeout(Duration::from_secs(10)).build(client);
    let step = Duration::from_secs(1) / u32::try_from(rate).unwrap();
    // hosts don't beat in step
    let mut next = start + step.mul_f64(host as f64 / hosts as f64);
    let mut sum = Sum::default();
    let mut waiting = FuturesUnordered::new();
    for number in 0..rate * seconds {
        loop {
            tokio::select! {
                () = tokio::time::sleep_until(next.into()) => break,
                Some((good, microseconds)) = waiting.next(), if !waiting.is_empty() => count(&mut sum, good, microseconds),
            }
        }
        next += step;
        let subject = format!(
            "hookmux.v1.host{host}%2Eexample%2Eorg.qemu.started.4dea22b3-1d52-d8f3-2516-{host:012x}"
        );
        let id = format!("{host:013}{number:013}");
        // an event with two hooks has about a kilobyte
        let event = format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"hookmux/host{host}.example.org","type":"hookmux.execution.v1","sequence":"{number:020}","data":{{"pad":"{}"}}}}"#,
            "x".repeat(850)
        );
        let message = PublishMessage::build().message_id(&id).payload(event.into());
        let sent = Instant::now();
        match context.send_publish(subject, message).await {
            Ok(ack) => {
                waiting.push(async move { (ack.await.is_ok(), sent.elapsed().as_micros() as u64) })
            }
            Err(_) => sum.bad += 1,
        }
    }
    while let Some((good, microseconds)) = waiting.next().await {
        count(&mut sum, good, microseconds);
    }
    sum
}

fn count(sum: &mut Sum, good: bool, microseconds: u64) {
    if good {
        sum.good += 1;
        sum.microseconds.push(microseconds);
    } else {
        sum.bad += 1;
    }
}
