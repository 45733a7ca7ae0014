//! Executions as traces: a stand-in for a collector that answers what it is told to, and a real one.

use crate::support::nats::{Server, make_stream};
use crate::support::outbox::event;
use crate::support::relay::{Relay, nats};
use crate::support::{program, until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// Answers each request as a function of its number and body says, and keeps what it answered 200 to.
struct Collector {
    port: u16,
    taken: Arc<Mutex<Vec<Value>>>,
    requests: Arc<Mutex<usize>>,
}

type Reply = fn(usize, &Value) -> (u16, &'static str, &'static str);

fn collector(reply: Reply) -> Collector {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (taken, requests) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(0)));
    let (kept, counted) = (taken.clone(), requests.clone());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (kept, counted) = (kept.clone(), counted.clone());
            let mut stream = stream.unwrap();
            std::thread::spawn(move || {
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                loop {
                    let mut length = 0;
                    let mut first = String::new();
                    if reader.read_line(&mut first).unwrap_or(0) == 0 {
                        return;
                    }
                    assert_eq!(first.trim(), "POST /v1/traces HTTP/1.1");
                    loop {
                        let mut line = String::new();
                        reader.read_line(&mut line).unwrap();
                        let lower = line.to_lowercase();
                        if let Some(value) = lower.strip_prefix("content-length:") {
                            length = value.trim().parse().unwrap();
                        }
                        if line.trim().is_empty() {
                            break;
                        }
                    }
                    let mut body = vec![0; length];
                    reader.read_exact(&mut body).unwrap();
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    let number = {
                        let mut count = counted.lock().unwrap();
                        *count += 1;
                        *count
                    };
                    let (status, header, text) = reply(number, &body);
                    if status == 200 {
                        kept.lock().unwrap().push(body);
                    }
                    let answer = format!(
                        "HTTP/1.1 {status} X\r\n{header}Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{text}",
                        text.len()
                    );
                    if stream.write_all(answer.as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    Collector { port, taken, requests }
}

impl Collector {
    fn section(&self) -> String {
        format!("otlp:\n  endpoint: http://127.0.0.1:{}\n", self.port)
    }

    fn spans(&self) -> Vec<Value> {
        let taken = self.taken.lock().unwrap();
        taken
            .iter()
            .flat_map(|body| {
                body["resourceSpans"][0]["scopeSpans"][0]["spans"].as_array().unwrap().clone()
            })
            .collect()
    }
}

fn trace(id: &str) -> String {
    let digits = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let bits =
        id.chars().fold(0_u128, |bits, digit| (bits << 5) | digits.find(digit).unwrap() as u128);
    format!("{bits:032x}")
}

#[test]
fn an_execution_is_a_trace_and_each_hook_a_span() {
    let collector = collector(|_, _| (200, "", r#"{"partialSuccess":null}"#));
    let mut relay = Relay::new(&collector.section());
    let mut outbox = relay.outbox();
    for _ in 0..200 {
        outbox.write();
    }
    relay.publish();
    relay.reaches("otlp", 200);
    let spans = collector.spans();
    assert_eq!(spans.len(), 600);
    let traces: BTreeSet<String> =
        spans.iter().map(|span| span["traceId"].as_str().unwrap().to_owned()).collect();
    let wanted: BTreeSet<String> = outbox.ids.iter().map(|id| trace(id)).collect();
    assert_eq!(traces, wanted);
    let roots: Vec<&Value> =
        spans.iter().filter(|span| span.get("parentSpanId").is_none()).collect();
    assert_eq!(roots.len(), 200);
    assert_eq!(roots[0]["name"], "qemu started");
    assert_eq!(roots[0]["status"], serde_json::json!({"code": 2, "message": "exit status 3"}));
    let hook = spans.iter().find(|span| span["name"] == "after_vm_launch/20-b").unwrap();
    assert_eq!(hook["status"]["code"], 2);
    let begin: u64 = hook["startTimeUnixNano"].as_str().unwrap().parse().unwrap();
    let end: u64 = hook["endTimeUnixNano"].as_str().unwrap().parse().unwrap();
    assert_eq!(end - begin, 100_000_000);
    let host = &collector.taken.lock().unwrap()[0]["resourceSpans"][0]["resource"]["attributes"];
    assert!(host.to_string().contains("node-1.example.org"), "{host}");
}

#[test]
fn answers_of_429_and_503_are_waited_for_and_nothing_is_lost() {
    let collector = collector(|number, _| match number {
        1 => (429, "Retry-After: 1\r\n", ""),
        2 | 4 => (503, "", "busy"),
        3 => (502, "", ""),
        _ => (200, "", "{}"),
    });
    let mut relay = Relay::new(&collector.section());
    let mut outbox = relay.outbox();
    for _ in 0..150 {
        outbox.write();
    }
    relay.publish();
    relay.says("answers 429");
    relay.reaches("otlp", 150);
    relay.says("answers 503: busy");
    let traces: Vec<String> = collector
        .spans()
        .iter()
        .filter(|span| span.get("parentSpanId").is_none())
        .map(|span| span["traceId"].as_str().unwrap().to_owned())
        .collect();
    let unique: BTreeSet<&String> = traces.iter().collect();
    assert_eq!((traces.len(), unique.len()), (150, 150));
    relay.says("otlp takes events again");
}

#[test]
fn one_event_that_is_refused_holds_no_other_up() {
    let collector = collector(|_, body| {
        if body.to_string().contains("poison") { (400, "", "bad span") } else { (200, "", "{}") }
    });
    let mut relay = Relay::new(&collector.section());
    let mut outbox = relay.outbox();
    for number in 0..100 {
        outbox.write_changed(|event| {
            if number == 40 {
                event["data"]["title"] = "poison".into();
            }
        });
    }
    relay.publish();
    relay.reaches("otlp", 100);
    assert_eq!(
        collector.spans().iter().filter(|span| span.get("parentSpanId").is_none()).count(),
        99
    );
    assert_eq!(relay.rejected(), [format!("{:020}-{}.json", 41, outbox.ids[40])]);
    relay.says("answers 400: bad span");
}

#[test]
fn wrong_addresses_and_refused_tokens_are_said_and_wait() {
    let collector = collector(|_, _| (401, "", "who are you"));
    let mut relay = Relay::new(&collector.section());
    relay.outbox().write();
    relay.publish();
    relay.says("answers 401: who are you; headers_file holds what it asks for");
    assert_eq!(relay.cursor("otlp"), Some(0));
    relay.stop();
    relay.configure(&format!(
        "otlp:\n  endpoint: http://127.0.0.1:{}\n",
        crate::support::nats::free_port()
    ));
    let status = relay.json(&["status", "--output", "json"]);
    assert_eq!(status["state"], "failed");
    relay.publish();
    relay.says("Connection refused");
    assert_eq!(relay.cursor("otlp"), Some(0));
    assert!(*collector.requests.lock().unwrap() >= 1);
}

#[test]
fn each_sink_has_a_cursor_of_its_own() {
    let server = Server::start();
    make_stream(&server.url(), |_| ());
    let collector = collector(|_, _| (503, "", ""));
    let mut relay = Relay::new(&format!("{}{}", nats(&server.url()), collector.section()));
    let mut outbox = relay.outbox();
    for _ in 0..20 {
        outbox.write();
    }
    relay.publish();
    relay.reaches("nats", 20);
    assert_eq!(relay.cursor("otlp"), Some(0));
}

#[test]
fn a_real_collector_takes_them() {
    let Some(agent) = program("ROTEL_AGENT", "rotel-agent") else {
        eprintln!(
            "skipped: no rotel-agent here; `pip install rotel` brings one, ROTEL_AGENT names it"
        );
        return;
    };
    let (http, grpc) = (crate::support::nats::free_port(), crate::support::nats::free_port());
    let directory = tempfile::tempdir().unwrap();
    let log = std::fs::File::create(directory.path().join("log")).unwrap();
    struct Agent(std::process::Child);
    impl Drop for Agent {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }
    let _agent = Agent(
        Command::new(agent)
            .args([
                "start",
                "--otlp-http-endpoint",
                &format!("127.0.0.1:{http}"),
                "--otlp-grpc-endpoint",
                &format!("127.0.0.1:{grpc}"),
            ])
            .args(["--exporter", "blackhole", "--debug-log", "traces"])
            .current_dir(directory.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap(),
    );
    until("a collector", || std::net::TcpStream::connect(("127.0.0.1", http)).is_ok());
    let mut relay = Relay::new(&format!("otlp:\n  endpoint: http://127.0.0.1:{http}\n"));
    let mut outbox = relay.outbox();
    for number in 0..10 {
        outbox.write_changed(|event| {
            if number == 9 {
                event["data"]["parent"] = crate::support::outbox::ulid(1).into();
            }
        });
    }
    relay.publish();
    relay.reaches("otlp", 10);
    relay.stop();
    assert!(relay.rejected().is_empty());
    let said = std::fs::read_to_string(directory.path().join("log")).unwrap();
    assert!(said.to_lowercase().contains("spans"), "{said}");
    // and it refuses what is none
    let wrong = event("x", "node-1", 1);
    assert!(wrong["data"]["runs"].is_array());
}
