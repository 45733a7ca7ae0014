//! Executions as traces of OTLP/HTTP in JSON: a trace for each, a span for each hook.

use crate::configuration::{Otlp, headers};
use crate::event::{Event, GAP, nanoseconds};
use crate::nats::Trouble;
use serde::Deserialize;
use serde_json::{Value, json};
use std::time::Duration;

/// What a collector made of a request.
pub(crate) enum Answer {
    Taken,
    /// it took the request, and not all that was in it
    Partly(String),
    /// with the time that it asks for
    Again(Trouble, Option<Duration>),
    /// it never takes these bytes
    Never(String),
}

pub(crate) struct Collector {
    agent: ureq::Agent,
    url: String,
    headers: Vec<(String, String)>,
}

impl Collector {
    pub(crate) fn new(settings: &Otlp) -> Result<Self, Trouble> {
        let mut config = ureq::Agent::config_builder()
            .timeout_global(Some(settings.timeout.0))
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("hookmux-relay/", env!("CARGO_PKG_VERSION")));
        if settings.endpoint.starts_with("https://") {
            config = config
                .tls_config(ureq::tls::TlsConfig::builder().root_certs(roots(settings)?).build());
        }
        let headers = match &settings.headers_file {
            Some(file) => headers(file)
                .map_err(|error| Trouble::new(format!("headers_file: {error:#}")))?
                .into_iter()
                .collect(),
            None => Vec::new(),
        };
        let base = settings.endpoint.trim_end_matches('/');
        let url = if base.ends_with("/v1/traces") {
            base.to_owned()
        } else {
            format!("{base}/v1/traces")
        };
        Ok(Self { agent: config.build().into(), url, headers })
    }

    /// Sends a request; blocks until it is answered.
    pub(crate) fn post(&self, body: &str) -> Answer {
        let mut request = self.agent.post(&self.url).content_type("application/json");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let mut response = match request.send(body) {
            Ok(response) => response,
            Err(error) => {
                let text = format!("{}: {}", self.url, crate::nats::whole(&error));
                let trouble = if text.contains("UnknownIssuer") {
                    Trouble::with(
                        text,
                        "ca must name the certificate of the authority that signed the collector's",
                    )
                } else {
                    Trouble::new(text)
                };
                return Answer::Again(trouble, None);
            }
        };
        let status = response.status().as_u16();
        let wait = response
            .headers()
            .get("retry-after")
            .and_then(|value| value.to_str().ok()?.trim().parse().ok())
            .map(|seconds: u64| Duration::from_secs(seconds.min(300)));
        let text =
            response.body_mut().with_config().limit(64 << 10).read_to_string().unwrap_or_default();
        let said: String = text.chars().take(200).collect();
        match status {
            200..=299 => match partly(&text) {
                Some(partly) => Answer::Partly(partly),
                None => Answer::Taken,
            },
            400 | 413 | 422 => Answer::Never(format!("{} answers {status}: {said}", self.url)),
            401 | 403 => Answer::Again(
                Trouble::with(
                    format!("{} answers {status}: {said}", self.url),
                    "headers_file holds what it asks for",
                ),
                wait,
            ),
            404 | 405 => Answer::Again(
                Trouble::with(
                    format!("{} answers {status}: no OTLP collector answers there", self.url),
                    "`endpoint` is its address for OTLP over HTTP, usually port 4318",
                ),
                wait,
            ),
            _ => Answer::Again(
                Trouble::new(format!(
                    "{} answers {status}{}{said}",
                    self.url,
                    if said.is_empty() { "" } else { ": " }
                )),
                wait,
            ),
        }
    }
}

/// What a collector says of spans that it took a request with, and not them.
fn partly(text: &str) -> Option<String> {
    let answer: Value = serde_json::from_str(text).ok()?;
    let partial = answer.get("partialSuccess").or_else(|| answer.get("partial_success"))?;
    let count = partial.get("rejectedSpans").or_else(|| partial.get("rejected_spans"))?;
    let count = count.as_str().map_or_else(|| count.as_i64(), |text| text.parse().ok())?;
    let message = partial
        .get("errorMessage")
        .or_else(|| partial.get("error_message"))
        .and_then(Value::as_str)
        .unwrap_or_default();
    (count > 0).then(|| format!("{count} spans refused: {message}"))
}

/// The authorities that a collector's certificate may be signed by.
fn roots(settings: &Otlp) -> Result<ureq::tls::RootCerts, Trouble> {
    let known = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
    ];
    let file = match &settings.ca {
        Some(ca) => ca.clone(),
        None => match known.iter().find(|file| std::path::Path::new(file).exists()) {
            Some(file) => file.into(),
            None => return Ok(ureq::tls::RootCerts::WebPki),
        },
    };
    let pem = std::fs::read(&file)
        .map_err(|error| Trouble::new(format!("ca: {}: {error}", file.display())))?;
    let certificates: Vec<_> = ureq::tls::parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        return Err(Trouble::new(format!("ca: {} holds no certificate", file.display())));
    }
    Ok(ureq::tls::RootCerts::new_with_certs(&certificates))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Data {
    driver: String,
    operation: String,
    sub_operation: Option<String>,
    object: Value,
    uuid: Option<String>,
    title: Option<String>,
    origin: Option<String>,
    reason: Option<String>,
    began: Option<String>,
    duration_ms: Option<f64>,
    outcome: Option<String>,
    exit_status: Option<i64>,
    failure: Option<String>,
    cause: Option<String>,
    parent: Option<String>,
    runs: Vec<Run>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Run {
    hook: String,
    event: Option<String>,
    device: Option<String>,
    kind: Option<String>,
    outcome: Option<String>,
    start_ms: Option<f64>,
    duration_ms: Option<f64>,
    status: Value,
    failure: Option<String>,
}

/// The spans of an event; none for what is no execution and no gap.
pub(crate) fn spans(event: &Event) -> Result<Vec<Value>, String> {
    let trace = crate::ulid::bits(&event.id)
        .map(|bits| format!("{bits:032x}"))
        .ok_or("its id is no ULID")?;
    if event.kind == GAP {
        let at = nanoseconds(&event.time).ok_or("its time is none")?.to_string();
        let data = |key: &str| event.data.get(key).cloned().unwrap_or_default();
        return Ok(vec![json!({
            "traceId": trace, "spanId": span_id(&event.id, ""), "name": "events lost", "kind": 1,
            "startTimeUnixNano": at, "endTimeUnixNano": at,
            "attributes": attributes([
                ("hookmux.gap.first", data("first")), ("hookmux.gap.last", data("last")),
                ("hookmux.gap.events", data("events")), ("hookmux.gap.why", data("why")),
            ]),
            "status": {"code": 2, "message": event.text("why").unwrap_or("events lost")},
        })]);
    }
    if event.kind != crate::event::EXECUTION {
        return Ok(Vec::new());
    }
    let data: Data =
        serde_json::from_value(event.data.clone()).map_err(|error| format!("its data: {error}"))?;
    let end = nanoseconds(&event.time).ok_or("its time is none")?;
    let length = length(data.duration_ms.unwrap_or(0.0));
    let begin = match &data.began {
        Some(began) => nanoseconds(began).ok_or("`began` is no time")?,
        None => end.saturating_sub(length),
    };
    let root = span_id(&event.id, "");
    let failed = matches!(data.outcome.as_deref(), Some("failed" | "lost"));
    let first = data.failure.or_else(|| data.runs.iter().find_map(|run| run.failure.clone()));
    // a detached hook's attempt and a retry are executions of their own: the link leads to where they come from
    let links: Vec<Value> = data
        .parent
        .iter()
        .filter_map(|parent| {
            let bits = crate::ulid::bits(parent)?;
            Some(json!({"traceId": format!("{bits:032x}"), "spanId": span_id(parent, "")}))
        })
        .collect();
    let mut spans = vec![json!({
        "traceId": trace, "spanId": root, "name": format!("{} {}", data.driver, data.operation), "kind": 2,
        "startTimeUnixNano": begin.to_string(), "endTimeUnixNano": (begin + length).to_string(),
        "attributes": attributes([
            ("hookmux.execution", json!(event.id)), ("hookmux.driver", json!(data.driver)),
            ("hookmux.operation", json!(data.operation)), ("hookmux.sub_operation", json!(data.sub_operation)),
            ("hookmux.object", data.object), ("hookmux.uuid", json!(data.uuid)), ("hookmux.title", json!(data.title)),
            ("hookmux.origin", json!(data.origin)), ("hookmux.reason", json!(data.reason)),
            ("hookmux.outcome", json!(data.outcome)), ("process.exit.code", json!(data.exit_status)),
            ("hookmux.sequence", json!(event.sequence)), ("hookmux.cause", json!(data.cause)),
            ("hookmux.parent", json!(data.parent)),
        ]),
        "links": links,
        "status": status(failed.then(|| first.or(data.outcome).unwrap_or_default())),
    })];
    for (number, run) in data.runs.into_iter().enumerate() {
        // a queued hook hasn't begun: it stands at the end of its call
        let start = begin + run.start_ms.map_or(length, self::length);
        let code = if run.status.is_i64() { run.status.clone() } else { Value::Null };
        let words = if run.status.is_string() { run.status } else { Value::Null };
        let failed = run.outcome.as_deref() == Some("failed") || run.failure.is_some();
        spans.push(json!({
            "traceId": trace, "spanId": span_id(&event.id, &number.to_string()), "parentSpanId": root,
            "name": run.hook, "kind": 1,
            "startTimeUnixNano": start.to_string(),
            "endTimeUnixNano": (start + self::length(run.duration_ms.unwrap_or(0.0))).to_string(),
            "attributes": attributes([
                ("hookmux.hook", json!(run.hook)), ("hookmux.event", json!(run.event)), ("hookmux.device", json!(run.device)),
                ("hookmux.kind", json!(run.kind)), ("hookmux.outcome", json!(run.outcome)),
                ("process.exit.code", code), ("hookmux.status", words),
            ]),
            "status": status(failed.then(|| run.failure.unwrap_or_else(|| "failed".to_owned()))),
        }));
    }
    Ok(spans)
}

/// A request with the spans of one host.
pub(crate) fn request(host: &str, spans: Vec<Value>) -> String {
    json!({"resourceSpans": [{
        "resource": {"attributes": attributes([("service.name", json!("hookmux")), ("host.name", json!(host))])},
        "scopeSpans": [{"scope": {"name": "hookmux", "version": env!("CARGO_PKG_VERSION")}, "spans": spans}],
    }]})
    .to_string()
}

/// A span's id follows from the execution's: the same event sent twice is the same span.
fn span_id(id: &str, number: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, format!("{id}{number}").as_bytes());
    digest.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn status(failure: Option<String>) -> Value {
    match failure {
        Some(message) => json!({"code": 2, "message": message}),
        None => json!({"code": 1}),
    }
}

fn length(milliseconds: f64) -> u128 {
    // a float that is no length counts as none
    if milliseconds.is_finite() && milliseconds > 0.0 { (milliseconds * 1e6) as u128 } else { 0 }
}

/// Attributes as OTLP has them: 64-bit numbers are texts. What is null is left out.
fn attributes<const N: usize>(pairs: [(&str, Value); N]) -> Vec<Value> {
    pairs
        .into_iter()
        .filter_map(|(key, value)| {
            let value = match value {
                Value::Null => return None,
                Value::Bool(value) => json!({"boolValue": value}),
                Value::Number(number) if number.is_i64() || number.is_u64() => {
                    json!({"intValue": number.to_string()})
                }
                Value::Number(number) => json!({"doubleValue": number}),
                Value::String(text) => json!({"stringValue": text}),
                other => json!({"stringValue": other.to_string()}),
            };
            Some(json!({"key": key, "value": value}))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{partly, spans};
    use crate::event::Event;

    #[test]
    fn an_execution_is_a_trace() {
        let event = serde_json::json!({
            "specversion": "1.0", "id": "01JDZ3M8X5Q2K7R9T4V6W8Y0AB", "source": "hookmux/a", "type": "hookmux.execution.v1",
            "subject": "qemu/prepare/-", "time": "1970-01-01T00:00:02Z", "sequence": "00000000000000000007",
            "data": {"driver": "qemu", "operation": "prepare", "object": "web", "uuid": null, "outcome": "failed",
                "began": "1970-01-01T00:00:01Z", "duration_ms": 1000, "exit_status": 3, "runs": [
                    {"hook": "before_vm_start/10-a", "start_ms": 100, "duration_ms": 200, "status": 0, "failure": null},
                    {"hook": "before_vm_start/20-b", "start_ms": 300.5, "duration_ms": 1, "status": 3, "failure": "exit status 3", "kind": "hook", "outcome": "failed"},
                    {"hook": "notify", "kind": "detached", "outcome": "queued", "start_ms": null, "duration_ms": null, "status": null, "failure": null}]},
        });
        let spans = Event::parse(event.to_string().as_bytes())
            .and_then(|event| spans(&event))
            .unwrap_or_default();
        assert_eq!(spans.len(), 4);
        assert_eq!(spans[3]["startTimeUnixNano"], "2000000000");
        let id = crate::ulid::bits("01JDZ3M8X5Q2K7R9T4V6W8Y0AB").map(|bits| format!("{bits:032x}"));
        for span in &spans {
            assert_eq!(span["traceId"].as_str(), id.as_deref());
            assert_eq!(span["spanId"].as_str().map(str::len), Some(16));
        }
        assert_eq!(spans[0]["status"], serde_json::json!({"code": 2, "message": "exit status 3"}));
        assert_eq!(spans[0]["startTimeUnixNano"], "1000000000");
        assert_eq!(spans[0]["endTimeUnixNano"], "2000000000");
        assert_eq!(spans[1]["parentSpanId"], spans[0]["spanId"]);
        assert_eq!(spans[1]["status"]["code"], 1);
        assert_eq!(spans[2]["startTimeUnixNano"], "1300500000");
        let attributes = spans[2]["attributes"].as_array().cloned().unwrap_or_default();
        assert!(attributes.contains(
            &serde_json::json!({"key": "process.exit.code", "value": {"intValue": "3"}})
        ));
    }

    #[test]
    fn what_is_refused_in_part_is_seen() {
        assert_eq!(
            partly(r#"{"partialSuccess":{"rejectedSpans":"2","errorMessage":"old"}}"#).as_deref(),
            Some("2 spans refused: old")
        );
        for text in
            ["", "{}", r#"{"partialSuccess":null}"#, r#"{"partialSuccess":{"rejectedSpans":"0"}}"#]
        {
            assert_eq!(partly(text), None, "{text}");
        }
    }
}
