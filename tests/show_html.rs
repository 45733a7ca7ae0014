//! `show --html`: one file that needs nothing else, and says what the text says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::{Value, json};

use crate::support::record::{alter_record, host_with_a_record, kept_record};
use crate::support::{GUEST, Host, skip, until};

/// What must stay text wherever it comes from.
const HOSTILE: &str = "\"'></pre></style></title><script src=//x>alert(1)</script><img src=x onerror=alert(1)>&lt;&#x3c;\u{1b}[31m\u{202e}\u{0}\u{7}\u{ffff}";

/// The page of an execution.
fn page(host: &Host, words: &[&str]) -> String {
    host.text(&[&["show"], words, &["--html"]].concat(), 0)
}

/// Reads a page as XML, which is stricter than HTML.
fn parsed(page: &str) -> Document<'_> {
    let options = ParsingOptions { allow_dtd: true, ..ParsingOptions::default() };
    Document::parse_with_options(page, options).unwrap_or_else(|error| panic!("{error}\n{page}"))
}

/// All text of an element, with single blanks.
fn text(node: Node<'_, '_>) -> String {
    let mut all = String::new();
    for part in node.descendants() {
        match part.text().filter(|_| part.is_text()) {
            Some(text) => all.push_str(text),
            None if ["span", "wbr", "a", "code"].contains(&part.tag_name().name()) => {}
            None => all.push(' '),
        }
    }
    all.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn with_class<'d>(document: &'d Document<'d>, tag: &str, class: &str) -> Vec<Node<'d, 'd>> {
    let has = |node: &Node<'_, '_>| {
        let classes = node.attribute("class").unwrap_or_default();
        node.has_tag_name(tag) && classes.split(' ').any(|it| it == class)
    };
    document.descendants().filter(has).collect()
}

/// Fails where a page has something that runs, that is loaded, or that isn't its own.
#[track_caller]
fn is_self_contained(page: &str) {
    let document = parsed(page);
    let known: BTreeSet<&str> = [
        "html", "head", "meta", "title", "style", "body", "header", "main", "footer", "nav",
        "section", "h1", "h2", "h3", "h4", "p", "ul", "li", "dl", "dt", "dd", "a", "code", "pre",
        "span", "div", "wbr", "table", "caption", "thead", "tbody", "tr", "th", "td", "svg",
        "defs", "pattern", "rect",
    ]
    .into();
    for node in document.descendants().filter(Node::is_element) {
        let tag = node.tag_name().name();
        assert!(known.contains(tag), "<{tag}>");
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(
                !name.starts_with("on") && !["src", "style", "action"].contains(&name),
                "{name}"
            );
            assert!(name != "href" || value.starts_with('#'), "{value}");
        }
    }
    let policy = document
        .descendants()
        .find(|node| node.attribute("http-equiv") == Some("Content-Security-Policy"));
    let policy = policy.and_then(|node| node.attribute("content"));
    assert_eq!(policy, Some("default-src 'none'; style-src 'unsafe-inline'"));
    let style = document.descendants().find(|node| node.has_tag_name("style")).unwrap();
    let style = text(style);
    assert!(
        !style.contains("@import")
            && style.matches("url(").count() == style.matches("url(#").count()
    );
    for words in ["http:", "https:", "<script", "javascript:", "data:"] {
        assert!(!page.contains(words), "{words}");
    }
    let is_odd = |c: char| c.is_control() && c != '\n' && c != '\t';
    assert!(!page.contains(is_odd), "a control character");
    // what readers of screens need
    for tag in ["header", "main", "footer", "nav", "h1"] {
        let count = document.descendants().filter(|node| node.has_tag_name(tag)).count();
        assert_eq!(count, 1, "<{tag}>");
    }
    let ids: Vec<&str> = document.descendants().filter_map(|node| node.attribute("id")).collect();
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "{ids:?}");
    for node in document.descendants() {
        let target = node.attribute("href").map(|href| &href[1..]);
        for wanted in target.into_iter().chain(node.attribute("aria-labelledby")) {
            assert!(ids.contains(&wanted), "{wanted}");
        }
        if node.has_tag_name("table") {
            let has = |tag: &str| node.descendants().any(|it| it.has_tag_name(tag));
            assert!(has("caption") && has("thead"), "{}", text(node));
        }
        let is_title = node.has_tag_name("th");
        assert!(!is_title || node.attribute("scope").is_some());
    }
}

/// Puts a text behind every text of a record that isn't a word of its format.
fn append(value: &mut Value, key: &str, words: &mut dyn FnMut(&str) -> String) {
    const FIXED: [&str; 15] = [
        "hooks_dir",
        "id",
        "state",
        "outcome",
        "cause",
        "decision",
        "driver",
        "operation",
        "class",
        "origin",
        "boot",
        "job",
        "hook",
        "event",
        "device",
    ];
    match value {
        Value::String(text) if !FIXED.contains(&key) => text.push_str(&words(key)),
        Value::Array(all) => all.iter_mut().for_each(|it| append(it, key, words)),
        Value::Object(all) => all.iter_mut().for_each(|(key, it)| append(it, key, words)),
        _ => {}
    }
}

/// A host with a record that has everything: a failure, a rollback, an edit, a hook that didn't run.
fn host_with_everything() -> Host {
    let host = Host::new();
    host.script("bin/x", "echo said; echo complained >&2; exit ${1:-0}");
    let event = "events: before_vm_migrate_destination\n";
    host.file(
        "hooks.d/10-a.yaml",
        format!("{event}command: bin/x\nrollback: bin/x\nargs: [\"0\", $NAME]\nweight: 10\n"),
    );
    host.script(
        "before_vm_migrate_destination/20-edit",
        "sed -i 's/<devices>/<devices> /' \"$_hook_domxml\"",
    );
    host.file(
        "hooks.d/30-c.yaml",
        format!("{event}command: [bin/x, \"3\"]\nweight: 300\ntimeout: 50s\n"),
    );
    host.file(
        "hooks.d/40-d.yaml",
        format!("{event}command: bin/x\nweight: 400\nwhen: {{name: other}}\n"),
    );
    host.guest("migrate begin").run();
    host.text(&["prune"], 0);
    host
}

#[test]
fn the_page_has_everything_and_needs_nothing() {
    let host = host_with_everything();
    let page = page(&host, &["last"]);
    is_self_contained(&page);
    let document = parsed(&page);
    let record = host.json(&["show", "last"], 0);
    let rows: Vec<String> = with_class(&document, "table", "timeline")[0]
        .descendants()
        .filter(|node| node.attribute("role") == Some("rowheader"))
        .map(text)
        .collect();
    let hooks: Vec<&str> = record["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["hook"].as_str().unwrap())
        .collect();
    assert_eq!(rows, hooks, "every hook of the record, in its order");
    assert_eq!(hooks.len(), 4, "with the rollback: {hooks:?}");
    let parts = with_class(&document, "section", "hook");
    assert_eq!(parts.len(), 4);
    assert!(
        text(parts[0]).starts_with("before_vm_migrate_destination/30-c"),
        "the failed one first"
    );
    let said = text(document.root_element());
    let registered = |run: &&Value| run["registration_sha256"].is_string();
    let registered = record["runs"].as_array().unwrap().iter().find(registered).unwrap();
    assert!(said.contains(registered["registration_sha256"].as_str().unwrap()), "{said}");
    for words in [
        "still running",
        "Told to libvirt",
        "exit status 3",
        "migrate begin",
        "when: name is g, not other",
        record["host"].as_str().unwrap(),
        record["id"].as_str().unwrap(),
        record["runs"][0]["sha256"].as_str().unwrap(),
    ] {
        assert_eq!(said.contains(words), words != "still running", "{words}\n{said}");
    }
    assert!(
        host.text(&["show", "last", "--html", "-o", "json"], 2).contains("cannot be used with")
    );
}

#[test]
fn nothing_in_a_record_becomes_markup() {
    let host = host_with_everything();
    alter_record(&kept_record(&host), |head, body| {
        append(head, "", &mut |_| HOSTILE.to_owned());
        append(body, "", &mut |_| HOSTILE.to_owned());
        for run in body["runs"].as_array_mut().unwrap() {
            run["hook"] = format!("a/{HOSTILE}").into();
            run["device"] = HOSTILE.into();
            // <b>, between bytes that are no UTF-8
            run["stdout"] = json!({ "base64": "/zxiPv7/" });
        }
        body["plan"][0]["hook"] = HOSTILE.into();
        body["left_out"] = HOSTILE.into();
        body["notes"] = json!([HOSTILE]);
        let wait = json!({ "hook": HOSTILE, "reason": HOSTILE, "start_us": 1, "duration_us": 9 });
        body["waits"] = json!([wait]);
    });
    let page = page(&host, &["last"]);
    is_self_contained(&page);
    let document = parsed(&page);
    let said = text(document.root_element());
    assert!(said.contains("<script src=//x>alert(1)</script>"), "it is shown as it is");
    assert!(
        said.contains("\\u{1b}[31m\\u{202e}\\u{0}\\u{7}"),
        "and what can't be seen, as in the text"
    );
    assert!(said.contains("\u{fffd}<b>\u{fffd}"));
}

/// Whoever may see the text may see the page, and nobody sees more or less by it.
#[test]
fn the_page_says_what_the_text_says() {
    let host = host_with_everything();
    alter_record(&kept_record(&host), |head, body| {
        body["left_out"] = "no room".into();
        body["notes"] = json!(["a note"]);
        let mut count = 0;
        let mut mark = |key: &str| {
            count += 1;
            format!(" M{count}{}M", key.replace('_', ""))
        };
        append(head, "", &mut mark);
        append(body, "", &mut mark);
        body["document"] = "<domain>\n M901M\n</domain>".into();
        body["document_after"] = "<domain>\n M902M\n</domain>".into();
    });
    let marks = |text: &str| -> BTreeSet<String> {
        let words = text.split(|c: char| !c.is_ascii_alphanumeric());
        let is_mark = |word: &&str| {
            word.len() > 2
                && word.starts_with('M')
                && word.ends_with('M')
                && word[1..2].bytes().all(|byte| byte.is_ascii_digit())
        };
        words.filter(is_mark).map(str::to_owned).collect()
    };
    let in_text = marks(&host.text(&["show", "last", "--full"], 0));
    let page = page(&host, &["last"]);
    let in_page = marks(&text(parsed(&page).root_element()));
    assert!(in_text.len() > 20, "{in_text:?}");
    let missing: Vec<&String> = in_text.difference(&in_page).collect();
    assert!(missing.is_empty(), "only in the text: {missing:?}");
    // the version, the hooks directory, and programs without a line of their own
    let more: Vec<&String> = in_page.difference(&in_text).collect();
    let record = host.json(&["show", "last"], 0);
    let known = ["hookmux_version", "hooks_dir", "digest", "sub_operation"];
    let known = known.into_iter().map(|key| &record[key]);
    let paths = record["runs"].as_array().unwrap().iter().map(|run| &run["path"]);
    let known: String = known.chain(paths).filter_map(Value::as_str).collect();
    assert!(more.iter().all(|mark| known.contains(mark.as_str())), "only in the page: {more:?}");
}

#[test]
fn passwords_are_masked() {
    let host = Host::new();
    let secret = "s3cret-w0rd";
    let document = GUEST.replace(
        "<devices>",
        &format!("<devices><graphics type='vnc' passwd='{secret}' port='5900'/>"),
    );
    host.script(
        "before_vm_migrate_destination/10-x",
        r#"cat "$_hook_domxml"; sed 's/x/x/' "$_hook_domxml" >&2; sed -i "s/5900/5901/" "$_hook_domxml""#,
    );
    host.file(
        "hooks.d/20-y.yaml",
        "events: before_vm_migrate_destination\ncommand: /bin/false\nargs: [$XML_BASE64]\n",
    );
    host.guest("migrate begin").stdin(document.as_str()).run();
    let page = page(&host, &["last"]);
    is_self_contained(&page);
    assert!(!page.contains(secret), "{page}");
    assert!(page.contains("passwd=&#39;***&#39;"), "{page}");
    assert!(page.contains("Passwords of the document are replaced by ***."), "{page}");
}

#[test]
fn the_timeline_is_to_scale() {
    let (host, path) = host_with_a_record();
    let run = |hook: &str, start: u64, took: u64, more: Value| {
        let mut run =
            json!({ "hook": hook, "outcome": "success", "start_us": start, "duration_us": took });
        run.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        run
    };
    alter_record(&path, |head, body| {
        head["duration_us"] = 10_000_000.into();
        body["runs"] = json!([
            run("a/1", 0, 2_500_000, json!({})),
            run(
                "a/2",
                5_000_000,
                2_000_000,
                json!({ "outcome": "timeout", "limit_us": 1_900_000 })
            ),
            run("a/1 (rollback)", 7_500_000, 1_000_000, json!({})),
            run("a/1 (undo)", 9_000_000, 500_000, json!({ "undo": { "hook": "a/1" } })),
        ]);
        body["waits"] = json!([{ "hook": "a/2", "reason": "the lock `gpu`", "start_us": 3_000_000, "duration_us": 2_000_000 }]);
    });
    let page = page(&host, &["last"]);
    is_self_contained(&page);
    let document = parsed(&page);
    let percent = |node: Node<'_, '_>, name: &str| -> f64 {
        node.attribute(name).unwrap().trim_end_matches('%').parse().unwrap()
    };
    let bars: Vec<(String, f64, f64)> = with_class(&document, "td", "bar")
        .into_iter()
        .flat_map(|cell| cell.descendants().filter(|node| node.has_tag_name("rect")))
        .filter(|rect| rect.attribute("class") != Some("track"))
        .map(|rect| {
            let class = rect.attribute("class").unwrap().to_owned();
            let width = if class == "limit" { 0.0 } else { percent(rect, "width") };
            (class, percent(rect, "x"), width)
        })
        .collect();
    let expected = [
        ("good", 0.0, 25.0),
        ("waits", 30.0, 20.0),
        ("bad", 50.0, 20.0),
        ("limit", 69.0, 0.0),
        ("rollback-bar", 75.0, 10.0),
        ("undo-bar", 90.0, 5.0),
    ];
    assert_eq!(bars.len(), expected.len(), "{bars:?}");
    for ((class, left, width), (wanted, at, wide)) in bars.iter().zip(expected) {
        let is_there = class == wanted && (left - at).abs() < 0.01 && (width - wide).abs() < 0.01;
        assert!(is_there, "{bars:?}");
    }
    // the same in words
    let table = text(with_class(&document, "table", "timeline")[0]);
    assert!(
        table.contains("a/2 +5.0 s 2.0 s timed out waited 2.0 s for the lock `gpu`"),
        "{table}"
    );
    let legend = text(with_class(&document, "ul", "legend")[0]);
    for words in ["waited", "rollback", "undo", "its time was over"] {
        assert!(legend.contains(words), "{legend}");
    }
}

#[test]
fn a_call_that_runs_has_a_page_and_a_hook_has_that_of_its_last_execution() {
    let host = Host::new();
    host.script("before_vm_start/10-first", ":");
    host.script(
        "before_vm_start/70-loop",
        "log begun; while ! test -e \"$T/go\"; do sleep 0.02; done",
    );
    let mut call = host.guest("prepare begin").start();
    call.until_logged("begun");
    until("it is seen", || {
        host.json(&["log"], 0)["executions"][0]["running"]
            .as_array()
            .is_some_and(|all| all.len() == 1)
    });
    let page_now = page(&host, &["last"]);
    is_self_contained(&page_now);
    let said = text(parsed(&page_now).root_element());
    for words in [
        "still running at 20",
        "before_vm_start/70-loop runs for 0:",
        "before_vm_start/10-first +",
        "runs now",
        "ends it.",
    ] {
        assert!(said.contains(words), "{words} is missing in {said}");
    }
    host.text(&["show", "70-loop", "--html"], 1);
    fs::write(host.path("go"), "").unwrap();
    call.wait().succeeds();
    let id = host.json(&["show", "last"], 0)["id"].as_str().unwrap().to_owned();
    let of_hook = host.text(&["show", "70-loop", "--html"], 0);
    let (told, page_of_hook): (Vec<&str>, Vec<&str>) =
        of_hook.lines().partition(|line| line.starts_with("hookmux: "));
    assert!(
        told.iter()
            .any(|line| line.contains(&format!("is a hook: this is its last execution, {id}"))),
        "{told:?}"
    );
    assert!(page_of_hook.join("\n").contains(&id));
    // by conditions, as without --html
    host.script("before_vm_start/80-bad", "exit 3");
    host.guest("prepare begin").run();
    host.guest("release end").run();
    let failed = page(&host, &["--failed"]);
    assert!(failed.contains("before_vm_start/80-bad: exit status 3"));
    assert!(page(&host, &[&id]).contains(&id));
}

#[test]
fn colours_have_contrast() {
    let (host, _) = host_with_a_record();
    let page = page(&host, &["last"]);
    let style = page.split("<style>").nth(1).unwrap().split("</style>").next().unwrap();
    let light = style.split("@media").next().unwrap();
    let dark =
        style.split("prefers-color-scheme: dark)").nth(1).unwrap().split("} }").next().unwrap();
    for (theme, rules) in [("light", light), ("dark", dark)] {
        let colour = |name: &str| -> f64 {
            let value = rules
                .split(&format!("--{name}: #"))
                .nth(1)
                .unwrap_or_else(|| panic!("{theme}: {name}"));
            let part = |at: usize| {
                let value = f64::from(u8::from_str_radix(&value[at..at + 2], 16).unwrap()) / 255.0;
                if value <= 0.040_45 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(0) + 0.7152 * part(2) + 0.0722 * part(4)
        };
        for text in ["text", "dim", "good", "bad", "warning", "rollback", "undo", "waits"] {
            for ground in ["page", "panel"] {
                let (one, other) = (colour(text), colour(ground));
                let contrast = (one.max(other) + 0.05) / (one.min(other) + 0.05);
                let least = if text == "waits" { 3.0 } else { 4.5 };
                assert!(contrast >= least, "{theme}: {text} on {ground} has {contrast:.2}");
            }
        }
    }
}

/// A browser, if there is one.
fn chromium() -> Option<&'static str> {
    let names = ["chromium", "chromium-browser", "google-chrome"];
    let is_there = |name: &&str| {
        Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success())
    };
    names.into_iter().find(is_there)
}

/// What a page of the test says at the end, in a browser.
fn in_browser(browser: &str, directory: &Path, page: &str) -> String {
    fs::write(directory.join("test.html"), page).unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--allow-file-access-from-files"])
        .args(["--virtual-time-budget=5000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", directory.join("browser").display()))
        .arg(format!("file://{}", directory.join("test.html").display()))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_browser_shows_it_on_a_phone_without_scrolling_sideways() {
    let Some(browser) = chromium() else { return skip("there is no Chromium to open a page in") };
    let host = host_with_everything();
    alter_record(&kept_record(&host), |_, body| {
        body["runs"][0]["stderr"] = "x".repeat(3000).into();
        body["runs"][1]["hook"] = format!("before_vm_start/{}", "y".repeat(200)).into();
        body["plan"][0]["reason"] = "z".repeat(300).into();
    });
    let place = host.path("page.html");
    fs::write(&place, page(&host, &["last"])).unwrap();
    for width in [320, 800, 1400] {
        let test = format!(
            "<iframe id=f src='file://{}' style='border:0;width:{width}px;height:900px'></iframe><p id=p></p><script>
             f.onload = () => {{
               const d = f.contentDocument, e = d.documentElement;
               const bar = d.querySelector('td.bar rect.good').getBoundingClientRect();
               p.textContent = ['wide', e.scrollWidth <= {width}, d.compatMode, bar.width > 0, d.querySelectorAll('section.hook').length].join(' ');
             }}</script>",
            place.display()
        );
        let said = in_browser(browser, host.directory(), &test);
        assert!(said.contains("wide true CSS1Compat true 4"), "{width}: {said}");
    }
}
